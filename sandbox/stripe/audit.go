package stripe

import (
	"maps"
	"time"
)

// An Audit is what really happened, for tests to count. Its lists are ordered by
// account and age, and cut at the front when they are too long; the totals never are.
type Audit struct {
	Totals    Totals      `json:"totals"`
	Intents   []IntentRow `json:"intents"`
	Charges   []ChargeRow `json:"charges"`
	Refunds   []RefundRow `json:"refunds"`
	Tokens    []TokenRow  `json:"tokens"`
	Truncated []string    `json:"truncated,omitempty"` // names of the lists that are cut
}

// Totals counts successful charges and refunds that did not fail, and their sums
// by currency in its smallest unit.
type Totals struct {
	Charges  int              `json:"charges"`
	Declined int              `json:"declined"`
	Refunds  int              `json:"refunds"`
	Disputes int              `json:"disputes"`
	Captured map[string]int64 `json:"captured"`
	Refunded map[string]int64 `json:"refunded"`
}

// An IntentRow is one payment.
type IntentRow struct {
	ID             string            `json:"id"`
	Account        string            `json:"account"`
	IdempotencyKey string            `json:"idempotency_key,omitempty"`
	Status         string            `json:"status"`
	Amount         int64             `json:"amount"`
	Received       int64             `json:"amount_received"`
	Currency       string            `json:"currency"`
	Token          string            `json:"token,omitempty"`
	Transaction    string            `json:"transaction_hash,omitempty"` // that paid it in stablecoins
	Metadata       map[string]string `json:"metadata"`
	Created        time.Time         `json:"created"`
}

// A ChargeRow is one try to take money.
type ChargeRow struct {
	ID             string    `json:"id"`
	Account        string    `json:"account"`
	Intent         string    `json:"payment_intent"`
	IdempotencyKey string    `json:"idempotency_key,omitempty"` // that made the intent
	Status         string    `json:"status"`
	DeclineCode    string    `json:"decline_code,omitempty"`
	Amount         int64     `json:"amount"`
	Captured       int64     `json:"captured"`
	Refunded       int64     `json:"refunded"`
	Disputed       bool      `json:"disputed"`
	Currency       string    `json:"currency"`
	Created        time.Time `json:"created"`
}

// A RefundRow is one refund.
type RefundRow struct {
	ID             string    `json:"id"`
	Account        string    `json:"account"`
	Charge         string    `json:"charge"`
	Intent         string    `json:"payment_intent"`
	IdempotencyKey string    `json:"idempotency_key,omitempty"`
	Status         string    `json:"status"`
	Amount         int64     `json:"amount"`
	Currency       string    `json:"currency"`
	Created        time.Time `json:"created"`
}

// A TokenRow is one shared payment token.
type TokenRow struct {
	ID                string     `json:"id"`
	Seller            string     `json:"seller"`
	Issuer            string     `json:"issuer,omitempty"`
	DeactivatedReason string     `json:"deactivated_reason,omitempty"`
	Captured          int64      `json:"captured"`
	Max               int64      `json:"max_amount"`
	Currency          string     `json:"currency"`
	Expires           *time.Time `json:"expires,omitempty"`
	Intent            string     `json:"payment_intent,omitempty"`
}

// Audit reports everything, with at most limit rows in each list.
func (s *Server) Audit(limit int) Audit {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	a := Audit{
		Intents: []IntentRow{}, Charges: []ChargeRow{}, Refunds: []RefundRow{}, Tokens: []TokenRow{},
		Totals: Totals{Captured: make(map[string]int64), Refunded: make(map[string]int64)},
	}
	for _, account := range s.state.sorted() {
		a.add(account)
	}
	a.Intents = trimmed(&a, "intents", a.Intents, limit)
	a.Charges = trimmed(&a, "charges", a.Charges, limit)
	a.Refunds = trimmed(&a, "refunds", a.Refunds, limit)
	a.Tokens = trimmed(&a, "tokens", a.Tokens, limit)
	return a
}

func trimmed[T any](a *Audit, name string, rows []T, limit int) []T {
	if len(rows) <= limit {
		return rows
	}
	a.Truncated = append(a.Truncated, name)
	return rows[len(rows)-limit:]
}

func (a *Audit) add(of *account) {
	for _, i := range of.intents.list {
		row := IntentRow{
			ID: i.id, Account: of.id, IdempotencyKey: i.key, Status: i.status, Amount: i.amount, Received: i.received,
			Currency: i.currency, Metadata: maps.Clone(i.metadata), Created: i.created.UTC(),
		}
		if i.token != nil {
			row.Token = i.token.id
		}
		if i.coin != nil {
			row.Transaction = i.coin.hash
		}
		a.Intents = append(a.Intents, row)
	}
	for _, h := range of.charges.list {
		row := ChargeRow{
			ID: h.id, Account: of.id, Intent: h.intent.id, IdempotencyKey: h.intent.key, Status: h.status, Amount: h.amount,
			Captured: h.captured, Refunded: h.refunded, Disputed: h.dispute != nil, Currency: h.intent.currency, Created: h.created.UTC(),
		}
		if h.failure != nil {
			row.DeclineCode = h.failure.decline
			a.Totals.Declined++
		}
		if h.done {
			a.Totals.Charges++
			a.Totals.Captured[h.intent.currency] += h.captured
		}
		a.Charges = append(a.Charges, row)
	}
	for _, r := range of.refunds.list {
		currency := r.charge.intent.currency
		if r.status != statusFailed {
			a.Totals.Refunds++
			a.Totals.Refunded[currency] += r.amount
		}
		a.Refunds = append(a.Refunds, RefundRow{
			ID: r.id, Account: of.id, Charge: r.charge.id, Intent: r.charge.intent.id, IdempotencyKey: r.key, Status: r.status,
			Amount: r.amount, Currency: currency, Created: r.created.UTC(),
		})
	}
	a.Totals.Disputes += len(of.disputes.list)
	for _, t := range of.tokens.list {
		row := TokenRow{
			ID: t.id, Seller: of.id, DeactivatedReason: t.reason, Captured: t.captured, Max: t.max, Currency: t.currency, Intent: t.intent,
		}
		if t.issuer != nil {
			row.Issuer = t.issuer.id
		}
		if !t.expires.IsZero() {
			row.Expires = &t.expires
		}
		a.Tokens = append(a.Tokens, row)
	}
}
