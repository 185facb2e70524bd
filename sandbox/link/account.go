package link

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// paymentMethod is one of the fixed means of payment of the sandbox wallet.
type paymentMethod struct {
	id, nickname string
	brand, last4 string
	number       string // test number that a card credential gets
	processor    string // the processor's test payment method; empty cannot pay
	bank         bool
	attention    bool // an approval with it ends in requires_action
	balance      int64
}

func (m *paymentMethod) eligible() bool { return !m.bank }

// methods come with the default first: link-cli takes the first. Their names
// say what will happen, so that every outcome can be tried on purpose.
var methods = []*paymentMethod{
	{
		id: "csmrpd_sandbox_visa", nickname: "Sandbox Visa, always pays", brand: "visa", last4: "1984",
		number: "4000009990001984", processor: "pm_card_visa",
	},
	{
		id: "csmrpd_sandbox_declined", nickname: "Sandbox Visa, always declined", brand: "visa", last4: "0002",
		number: "4000000000000002", processor: "pm_card_chargeDeclined",
	},
	{
		id: "csmrpd_sandbox_insufficient", nickname: "Sandbox Visa, insufficient funds", brand: "visa", last4: "9995",
		number: "4000000000009995", processor: "pm_card_chargeDeclinedInsufficientFunds",
	},
	{
		id: "csmrpd_sandbox_authentication", nickname: "Sandbox Visa, asks for 3-D Secure when charged", brand: "visa",
		last4: "3184", number: "4000002760003184", processor: "pm_card_authenticationRequired",
	},
	{
		id: "csmrpd_sandbox_attention", nickname: "Sandbox Visa, needs attention before it pays", brand: "visa",
		last4: "0069", number: "4000000000000069", processor: "pm_card_chargeDeclinedExpiredCard", attention: true,
	},
	{
		id: "csmrpd_sandbox_bank", nickname: "Sandbox bank account, not for agents", last4: "6789", bank: true,
		balance: 2_500_00,
	},
}

// method finds a payment method; an empty id is the default one.
func (w *Wallet) method(id string) *paymentMethod {
	if id == "" {
		return methods[0]
	}
	for _, m := range methods {
		if m.id == id {
			return m
		}
	}
	return nil
}

var billing = wireAddress{
	Name: "Sandbox Wallet", Line1: "1 Example Street", City: "San Francisco", State: "CA", PostalCode: "94105", Country: "US",
}

func (w *Wallet) routeAccount(mux *http.ServeMux) {
	mux.HandleFunc("GET /payment-details", w.agent(scopePay, w.apiPaymentDetails))
	mux.HandleFunc("GET /shipping_addresses", w.agent(scopePay, w.apiShippingAddresses))
	mux.HandleFunc("GET /userinfo", w.agent(scopeUserinfo, w.apiUserinfo))
	mux.HandleFunc("GET /approval_policy", w.agent(scopePay, w.apiPolicy))
	mux.HandleFunc("GET /transactions", w.agent("", w.apiTransactions))
	mux.HandleFunc("GET /sources", w.agent("", w.apiSources))
	mux.HandleFunc("GET /balances", w.agent("", w.apiBalances))
	mux.HandleFunc("POST /agent_observations", w.agent(scopePay, w.apiObserve))
	mux.HandleFunc("POST /web_bot_auth/sign", w.agent("", w.apiSign))
	mux.HandleFunc("GET /.well-known/http-message-signatures-directory", w.serveDirectory)
}

type wireMethod struct {
	ID           string                    `json:"id"`
	Type         string                    `json:"type"`
	IsDefault    bool                      `json:"is_default"`
	Nickname     string                    `json:"nickname"`
	Card         *wireCardDetails          `json:"card_details,omitempty"`
	Bank         *wireBankDetails          `json:"bank_account_details,omitempty"`
	Capabilities map[string]wireCapability `json:"capabilities"`
}

type wireCardDetails struct {
	Brand    string `json:"brand"`
	Last4    string `json:"last4"`
	ExpMonth int    `json:"exp_month"`
	ExpYear  int    `json:"exp_year"`
}

type wireBankDetails struct {
	Last4    string `json:"last4"`
	BankName string `json:"bank_name"`
}

type wireCapability struct {
	Eligible bool     `json:"eligible"`
	Reasons  []string `json:"ineligibility_reasons"`
}

func (w *Wallet) apiPaymentDetails(rw http.ResponseWriter, r *http.Request, _ *connection) error {
	out := make([]wireMethod, len(methods))
	for i, m := range methods {
		capability := wireCapability{Eligible: m.eligible(), Reasons: []string{}}
		out[i] = wireMethod{ID: m.id, Type: "CARD", IsDefault: i == 0, Nickname: m.nickname}
		if m.bank {
			out[i].Type, out[i].Bank = "BANK_ACCOUNT", &wireBankDetails{Last4: m.last4, BankName: "Sandbox Bank"}
			capability.Reasons = append(capability.Reasons, "payment_method_type_not_supported")
		} else {
			out[i].Card = &wireCardDetails{Brand: m.brand, Last4: m.last4, ExpMonth: 12, ExpYear: w.now().UTC().Year() + 3}
		}
		out[i].Capabilities = map[string]wireCapability{"agentic_payments": capability}
	}
	w.answer(rw, r, http.StatusOK, map[string]any{"payment_details": out})
	return nil
}

type wireShippingAddress struct {
	ID        string          `json:"id"`
	IsDefault bool            `json:"is_default"`
	Nickname  *string         `json:"nickname"`
	Address   shippingAddress `json:"address"`
}

type shippingAddress struct {
	Name               string  `json:"name"`
	Line1              string  `json:"line_1"`
	Line2              *string `json:"line_2"`
	Locality           string  `json:"locality"`
	DependentLocality  *string `json:"dependent_locality"`
	AdministrativeArea string  `json:"administrative_area"`
	PostalCode         string  `json:"postal_code"`
	SortingCode        *string `json:"sorting_code"`
	CountryCode        string  `json:"country_code"`
}

func (w *Wallet) apiShippingAddresses(rw http.ResponseWriter, r *http.Request, _ *connection) error {
	w.answer(rw, r, http.StatusOK, map[string]any{"shipping_addresses": []wireShippingAddress{{
		ID: "shadd_sandbox", IsDefault: true,
		Address: shippingAddress{
			Name: billing.Name, Line1: billing.Line1, Locality: billing.City, AdministrativeArea: billing.State,
			PostalCode: billing.PostalCode, CountryCode: billing.Country,
		},
	}}})
	return nil
}

type wireUserinfo struct {
	Sub       string      `json:"sub"`
	Email     string      `json:"email"`
	Name      string      `json:"name"`
	FirstName string      `json:"first_name"`
	LastName  string      `json:"last_name"`
	Phone     *string     `json:"phone"`
	Limits    wireLimits  `json:"agent_wallet_spend_limits"`
	StepUp    *wireStepUp `json:"agent_wallet_step_up"`
}

type wireStepUp struct {
	Status    string  `json:"status"`
	ActionURL *string `json:"action_url"`
}

type wireLimits struct {
	PerTransaction wireLimit `json:"per_transaction"`
	Daily          wireUsage `json:"daily"`
	ThirtyDay      wireUsage `json:"thirty_day"`
}

type wireLimit struct {
	Limit int64 `json:"limit"`
}

type wireUsage struct {
	Limit     int64 `json:"limit"`
	Used      int64 `json:"used"`
	Remaining int64 `json:"remaining"`
}

// spending is how much of the limits is used. Callers hold mu.
func (w *Wallet) spending(now time.Time) wireLimits {
	usage := func(limit int64, since time.Duration) wireUsage {
		used := w.committed(now.Add(-since))
		return wireUsage{Limit: limit, Used: used, Remaining: max(0, limit-used)}
	}
	return wireLimits{
		PerTransaction: wireLimit{w.limits.PerRequest},
		Daily:          usage(w.limits.Daily, day),
		ThirtyDay:      usage(w.limits.ThirtyDay, 30*day),
	}
}

func (w *Wallet) apiUserinfo(rw http.ResponseWriter, r *http.Request, _ *connection) error {
	w.refresh(r.Context())
	w.mu.Lock()
	limits := w.spending(w.now())
	w.mu.Unlock()
	w.answer(rw, r, http.StatusOK, wireUserinfo{
		Sub: "lwuser_sandbox", Email: "wallet@example.com", Name: billing.Name, FirstName: "Sandbox", LastName: "Wallet",
		Limits: limits, StepUp: &wireStepUp{Status: "not_required"},
	})
	return nil
}

// apiPolicy tells which requests need no click: one rule, or none.
func (w *Wallet) apiPolicy(rw http.ResponseWriter, r *http.Request, _ *connection) error {
	rules := []any{}
	if w.cfg.AutoApprove > 0 {
		rules = append(rules, map[string]any{
			"action": "spend_request_create",
			"limits": map[string]any{"per_purchase": map[string]any{"amount": w.cfg.AutoApprove, "currency": "usd"}},
		})
	}
	w.answer(rw, r, http.StatusOK, map[string]any{"rules": rules})
	return nil
}

type wireTransaction struct {
	ID          string  `json:"id"`
	SourceID    *string `json:"source_id"`
	Amount      int64   `json:"amount"`
	Currency    string  `json:"currency"`
	CreatedDate string  `json:"created_date"`
	Description string  `json:"description"`
	Origin      string  `json:"origin"`
	Category    *string `json:"category"`
	Status      string  `json:"status"`
}

// apiTransactions lists the purchases that went through, newest first. All of
// them are Link's own; no external account is connected and none has a category.
func (w *Wallet) apiTransactions(rw http.ResponseWriter, r *http.Request, c *connection) error {
	if !c.mayRead("read_link_transactions") && !c.mayRead("read_external_transactions") {
		return insufficient("read_link_transactions")
	}
	query := r.URL.Query()
	from, err := queryDate(query, "date_start", time.Time{})
	if err != nil {
		return err
	}
	to, err := queryDate(query, "date_end", w.now().Add(day))
	if err != nil {
		return err
	}
	w.refresh(r.Context())
	w.mu.Lock()
	var all []wireTransaction
	for _, sr := range slices.Backward(w.requests) {
		if sr.status != Succeeded || sr.updatedAt.Before(from) || !sr.updatedAt.Before(to.Add(day)) ||
			!chosen(query, sr.method.id) || !c.mayRead("read_link_transactions") {
			continue
		}
		all = append(all, wireTransaction{
			ID: sr.transaction, SourceID: &sr.method.id, Amount: sr.captured, Currency: sr.Currency,
			CreatedDate: timestamp(sr.updatedAt), Description: line(sr.merchant(), 120), Origin: "link", Status: "succeeded",
		})
	}
	w.mu.Unlock()
	if query.Get("category") != "" || query.Get("origin") == "external_connection" {
		all = nil
	}
	return answerPage(w, rw, r, all, func(t wireTransaction) string { return t.ID })
}

// queryDate reads a day such as 2026-10-01.
func queryDate(query url.Values, name string, otherwise time.Time) (time.Time, error) {
	if query.Get(name) == "" {
		return otherwise, nil
	}
	t, err := time.Parse(time.DateOnly, query.Get(name))
	if err != nil {
		return t, invalid(name + " must be a date such as 2026-10-01")
	}
	return t, nil
}

// chosen applies the filter sources[].
func chosen(query url.Values, id string) bool {
	list := query["sources[]"]
	return len(list) == 0 || slices.Contains(list, id)
}

type wireSource struct {
	ID           string                  `json:"id"`
	Name         string                  `json:"name"`
	Type         string                  `json:"type"`
	Capabilities map[string]sourceStatus `json:"capabilities"`
	Connection   *struct{}               `json:"external_connection"`
	Actions      []string                `json:"granted_actions"`
	Card         *map[string]string      `json:"card,omitempty"`
	Bank         *map[string]string      `json:"bank_account,omitempty"`
}

type sourceStatus struct {
	Status string `json:"status"`
}

func (w *Wallet) apiSources(rw http.ResponseWriter, r *http.Request, c *connection) error {
	if !c.mayRead("read_source_details") {
		return insufficient("read_source_details")
	}
	out := make([]wireSource, len(methods))
	for i, m := range methods {
		out[i] = wireSource{
			ID: m.id, Name: m.nickname, Type: "card", Actions: c.actions,
			Capabilities: map[string]sourceStatus{"balances": {"eligible"}, "transactions": {"eligible"}},
		}
		if m.bank {
			out[i].Type, out[i].Bank = "bank_account", &map[string]string{"bank_name": "Sandbox Bank", "last4": m.last4}
		} else {
			out[i].Card = &map[string]string{"brand": m.brand, "last4": m.last4}
		}
	}
	return answerPage(w, rw, r, out, func(s wireSource) string { return s.ID })
}

type wireBalance struct {
	SourceID string                      `json:"source_id"`
	Type     string                      `json:"type"`
	Cash     map[string]map[string]int64 `json:"cash,omitempty"`
	Credit   map[string]map[string]int64 `json:"credit,omitempty"`
	Current  int64                       `json:"current"`
	Currency string                      `json:"currency"`
	AsOf     string                      `json:"as_of"`
}

// apiBalances shows the bank account as it is and on the cards what was bought
// with them in US dollars.
func (w *Wallet) apiBalances(rw http.ResponseWriter, r *http.Request, c *connection) error {
	if !c.mayRead("read_balances") {
		return insufficient("read_balances")
	}
	w.refresh(r.Context())
	now := timestamp(w.now())
	w.mu.Lock()
	used := map[string]int64{}
	for _, sr := range w.requests {
		if sr.status == Succeeded && sr.Currency == "usd" {
			used[sr.method.id] += sr.captured
		}
	}
	w.mu.Unlock()
	var out []wireBalance
	for _, m := range methods {
		if !chosen(r.URL.Query(), m.id) {
			continue
		}
		b := wireBalance{SourceID: m.id, Type: "credit", Current: used[m.id], Currency: "usd", AsOf: now}
		if m.bank {
			b.Type, b.Current = "cash", m.balance
			b.Cash = map[string]map[string]int64{"available": {"usd": m.balance}}
		} else {
			b.Credit = map[string]map[string]int64{"used": {"usd": used[m.id]}}
		}
		out = append(out, b)
	}
	return answerPage(w, rw, r, out, func(b wireBalance) string { return b.SourceID })
}

// answerPage cuts all by limit, starting_after and ending_before, as the lists
// of Link's data do.
func answerPage[T any](w *Wallet, rw http.ResponseWriter, r *http.Request, all []T, id func(T) string) error {
	query := r.URL.Query()
	limit := 100
	if s := query.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 100 {
			return invalid("limit must be between 1 and 100")
		}
		limit = n
	}
	find := func(name string) (int, error) {
		i := slices.IndexFunc(all, func(v T) bool { return id(v) == query.Get(name) })
		if i < 0 {
			return 0, invalid(name + " names no element of this list")
		}
		return i, nil
	}
	from, to := 0, len(all)
	switch {
	case query.Get("starting_after") != "" && query.Get("ending_before") != "":
		return invalid("starting_after and ending_before cannot be used together")
	case query.Get("starting_after") != "":
		i, err := find("starting_after")
		if err != nil {
			return err
		}
		from = i + 1
		to = min(to, from+limit)
	case query.Get("ending_before") != "":
		i, err := find("ending_before")
		if err != nil {
			return err
		}
		to = i
		from = max(0, to-limit)
	default:
		to = min(to, limit)
	}
	more := to < len(all)
	if query.Get("ending_before") != "" {
		more = from > 0
	}
	data := append([]T{}, all[from:to]...)
	w.answer(rw, r, http.StatusOK, map[string]any{"data": data, "has_more": more})
	return nil
}
