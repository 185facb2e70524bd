package payment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"paywall/money"
)

// Report is what an [Audit] found. It is clean when Breaks is empty.
type Report struct {
	Payments int `json:"payments"`
	Entries  int `json:"entries"`
	// Balances is debit minus credit per account and currency: "revenue USD/2".
	Balances map[string]int64 `json:"balances"`
	// Breaks names each broken invariant with what broke it.
	Breaks []Break `json:"breaks"`
}

// Accounts are the names in Balances, in order.
func (r Report) Accounts() []string { return slices.Sorted(maps.Keys(r.Balances)) }

// Break is one broken invariant (security model 5.1).
type Break struct {
	Invariant string `json:"invariant"`
	Payment   string `json:"payment,omitempty"`
	What      string `json:"what"`
}

// Books is the half of [Store] that an [Audit] reads.
type Books interface {
	List(ctx context.Context, f Filter, after string, limit int) ([]Payment, error)
	Entries(ctx context.Context, after int64, limit int) ([]PositionedEntry, error)
}

type tally struct {
	report   Report
	kinds    map[string]map[string]Entry // payment → kind → entry
	open     map[string]int64            // what open entitlements add up to
	due      map[string]int64            // what refunds under way add up to
	owed     map[string]int64            // receivable and disputed, per method and currency
	charges  map[string]string           // challenge → payment that was charged
	spent    map[string]string           // instrument → live payment
	unearned map[string]int64            // what packs that were not paid back add up to
	packs    map[string]money.Amount     // pack → what it bought
	drawn    map[string]money.Amount     // pack → what was drawn from its account
	overtime time.Time
}

// Audit reads the whole store and checks what must always hold: unique charges
// and instruments, one fate per settled payment, entries that match states, and
// balances that match what is owed. now judges windows; recovery is given
// grace to act on a window that has just ended.
func Audit(ctx context.Context, s Books, now time.Time, grace time.Duration) (Report, error) {
	t := tally{
		report: Report{Balances: map[string]int64{}, Breaks: []Break{}}, kinds: map[string]map[string]Entry{},
		open: map[string]int64{}, due: map[string]int64{}, owed: map[string]int64{},
		charges: map[string]string{}, spent: map[string]string{}, unearned: map[string]int64{},
		packs: map[string]money.Amount{}, drawn: map[string]money.Amount{}, overtime: now.Add(-grace),
	}
	for after := int64(0); ; {
		page, err := s.Entries(ctx, after, 1000)
		if err != nil {
			return Report{}, fmt.Errorf("read the ledger: %w", err)
		}
		for _, e := range page {
			t.entry(e.Entry)
			after = e.Position
		}
		if len(page) < 1000 {
			break
		}
	}
	for after := ""; ; {
		page, err := s.List(ctx, Filter{}, after, 1000)
		if err != nil {
			return Report{}, fmt.Errorf("read the payments: %w", err)
		}
		for _, p := range page {
			t.payment(p)
			after = p.ID
		}
		if len(page) < 1000 {
			break
		}
	}
	t.balances()
	return t.report, nil
}

func (t *tally) broken(invariant, payment, format string, args ...any) {
	t.report.Breaks = append(t.report.Breaks, Break{invariant, payment, fmt.Sprintf(format, args...)})
}

func unit(a money.Amount) string { return fmt.Sprintf(" %s/%d", a.Currency(), a.Scale()) }

func (t *tally) entry(e Entry) {
	t.report.Entries++
	if e.Debit == e.Credit || !e.Amount.IsPositive() {
		t.broken("I7", e.Payment, "entry %s moves %s from %s to %s", e.Kind, e.Amount, e.Credit, e.Debit)
	}
	of := t.kinds[e.Payment]
	if of == nil {
		of = map[string]Entry{}
		t.kinds[e.Payment] = of
	}
	if _, twice := of[e.Kind]; twice {
		t.broken("I7", e.Payment, "two entries of kind %s", e.Kind)
	}
	of[e.Kind] = e
	t.report.Balances[e.Debit+unit(e.Amount)] += e.Amount.Units()
	t.report.Balances[e.Credit+unit(e.Amount)] -= e.Amount.Units()
}

// expected names the entries that a payment must have, and no others.
func expected(p Payment) []string {
	var kinds []string
	settled := !p.SettledAt.IsZero()
	if settled {
		kinds = append(kinds, "settle")
	}
	if p.Delivery == DeliveryDelivered {
		kinds = append(kinds, "deliver")
	}
	for i := range p.RefundsFailed {
		kinds = append(kinds, nth("refund", i), nth("refund_failed", i))
	}
	switch p.State {
	case StateRefunding:
		kinds = append(kinds, "refund_due")
	case StateReview:
		if settled {
			kinds = append(kinds, "refund_due")
		}
	case StateRefunded:
		kinds = append(kinds, "refund_due", nth("refund", p.RefundsFailed))
	case StateCredited:
		kinds = append(kinds, "refund_due", "credit")
	case StatePending, StateAuthorized, StateSettled, StateFailed, StateVoided:
	}
	return kinds
}

func (t *tally) payment(p Payment) {
	t.report.Payments++
	of := t.kinds[p.ID]
	delete(t.kinds, p.ID)
	want := expected(p)
	for _, k := range want {
		e, ok := of[k]
		switch {
		case !ok:
			t.broken("I5", p.ID, "%s/%s without an entry %s", p.State, p.Delivery, k)
		case e.Amount != p.Amount:
			t.broken("I9", p.ID, "entry %s says %s, the payment %s", k, e.Amount, p.Amount)
		}
	}
	for k := range of {
		if !slices.Contains(want, k) && !strings.HasPrefix(k, "dispute") {
			t.broken("I5", p.ID, "%s/%s with an entry %s", p.State, p.Delivery, k)
		}
	}
	if !p.SettledAt.IsZero() {
		// However often a credential began again, it is charged once.
		challenge, _, _ := strings.Cut(p.ChallengeID, numberMark)
		if other, twice := t.charges[challenge]; twice {
			t.broken("I1", p.ID, "challenge charged by %s too", other)
		}
		t.charges[challenge] = p.ID
		if p.Reference == "" {
			t.broken("I9", p.ID, "settled without a reference")
		}
	}
	if p.State == StateAuthorized && !p.Held {
		t.broken("I5", p.ID, "authorized, and not held")
	}
	if p.State.Live() {
		if other, twice := t.spent[p.Instrument]; twice {
			t.broken("I2", p.ID, "instrument used by %s too", other)
		}
		t.spent[p.Instrument] = p.ID
	}
	t.owes(p)
	t.credit(p)
}

// credit adds a pack, or what was drawn from one.
func (t *tally) credit(p Payment) {
	switch {
	case p.Pack && p.Delivery == DeliveryDelivered && !p.SettledAt.IsZero():
		if bought, err := CreditFor(p.Amount); err != nil {
			t.broken("credit", p.ID, "%v", err)
		} else {
			t.packs[p.ID] = bought
		}
		if p.State == StateSettled {
			t.unearned[unit(p.Amount)] += p.Amount.Units()
		}
	case p.Method == MethodCredit && !p.SettledAt.IsZero() && p.State != StateRefunded:
		sum, ok := t.drawn[p.Payer]
		if !ok {
			t.drawn[p.Payer] = p.Amount
			return
		}
		sum, err := sum.Add(p.Amount)
		if err != nil {
			t.broken("I9", p.ID, "drawn in another unit than before: %v", err)
			return
		}
		t.drawn[p.Payer] = sum
	}
}

// owes adds the payment to what the balances must show.
func (t *tally) owes(p Payment) {
	u := unit(p.Amount)
	if !p.SettledAt.IsZero() && p.State != StateRefunded {
		t.owed[AccountReceivable+p.Method+u] += p.Amount.Units()
	}
	if p.Disputed {
		t.owed[AccountReceivable+p.Method+u] -= p.Amount.Units()
		t.owed[AccountDisputed+p.Method+u] += p.Amount.Units()
	}
	switch {
	case p.State == StateSettled && p.Delivery != DeliveryDelivered:
		t.open[u] += p.Amount.Units()
		if p.WindowEnds.Before(t.overtime) && p.LeaseUntil.Before(t.overtime) {
			t.broken("I5", p.ID, "its window ended at %s and it is neither delivered nor refunded", p.WindowEnds.Format(time.RFC3339))
		}
	case p.State == StateRefunding, p.State == StateReview && !p.SettledAt.IsZero():
		t.due[u] += p.Amount.Units()
	}
}

func (t *tally) balances() {
	for id := range t.kinds {
		t.broken("I7", id, "entries without a payment")
	}
	check := func(invariant, account string, want int64) {
		if got := t.report.Balances[account]; got != want {
			t.broken(invariant, "", "%s is %d, want %d", account, got, want)
		}
	}
	for account, sum := range t.drawn {
		bought, known := t.packs[account]
		if more, err := sum.Cmp(bought); !known || err != nil || more > 0 {
			t.broken("credit", account, "%s were drawn of the %s that it bought", sum, bought)
		}
	}
	seen := map[string]bool{}
	for account := range t.report.Balances {
		if u := account[strings.LastIndexByte(account, ' '):]; !seen[u] {
			seen[u] = true
			check("I8", AccountUndelivered+u, -t.open[u])
			check("I8", AccountRefundsDue+u, -t.due[u])
			check("I8", AccountCredits+u, -t.unearned[u])
		}
		if strings.HasPrefix(account, AccountReceivable) || strings.HasPrefix(account, AccountDisputed) {
			check("I6", account, t.owed[account])
		}
	}
	slices.SortFunc(t.report.Breaks, func(a, b Break) int {
		return strings.Compare(a.Invariant+a.Payment+a.What, b.Invariant+b.Payment+b.What)
	})
}
