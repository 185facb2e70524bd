package payment_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

// books is a store as somebody may have left it: what is in it was checked by nobody.
type books struct {
	payment.Store
	pays    []payment.Payment
	entries []payment.Entry
	err     error
}

func (b *books) List(_ context.Context, _ payment.Filter, after string, limit int) ([]payment.Payment, error) {
	slices.SortStableFunc(b.pays, func(x, y payment.Payment) int { return strings.Compare(y.ID, x.ID) })
	var page []payment.Payment
	for _, p := range b.pays {
		if (after == "" || p.ID < after) && len(page) < limit {
			page = append(page, p)
		}
	}
	return page, b.err
}

func (b *books) Entries(_ context.Context, after int64, limit int) ([]payment.PositionedEntry, error) {
	var page []payment.PositionedEntry
	for i, e := range b.entries {
		if int64(i) >= after && len(page) < limit {
			page = append(page, payment.PositionedEntry{Position: int64(i) + 1, Entry: e})
		}
	}
	return page, nil
}

func (b *books) add(p payment.Payment, kinds ...string) {
	b.pays = append(b.pays, p)
	for _, k := range kinds {
		e := payment.Entry{Payment: p.ID, Kind: k, Amount: p.Amount, At: p.UpdatedAt}
		switch k {
		case "settle":
			e.Debit, e.Credit = payment.AccountReceivable+p.Method, payment.AccountUndelivered
		case "deliver":
			e.Debit, e.Credit = payment.AccountUndelivered, payment.AccountRevenue
		case "refund_due":
			e.Debit, e.Credit = payment.AccountUndelivered, payment.AccountRefundsDue
			if p.Delivery == payment.DeliveryDelivered {
				e.Debit = payment.AccountRevenue
			}
		case "refund", "refund#2":
			e.Debit, e.Credit = payment.AccountRefundsDue, payment.AccountReceivable+p.Method
		case "refund_failed":
			e.Debit, e.Credit = payment.AccountReceivable+p.Method, payment.AccountRefundsDue
		case "dispute":
			e.Debit, e.Credit = payment.AccountDisputed+p.Method, payment.AccountReceivable+p.Method
		}
		b.entries = append(b.entries, e)
	}
}

// TestAudit plants every kind of break in good books.
func TestAudit(t *testing.T) {
	sample := func(n int, s payment.State, d payment.Delivery) payment.Payment {
		p := paymenttest.Sample(t, n)
		if s == payment.StatePending {
			return p
		}
		if s != payment.StateFailed && s != payment.StateVoided {
			p = paymenttest.Step(p, payment.StateSettled, payment.DeliveryOpen)
		}
		return paymenttest.Step(p, s, d)
	}
	held := func(n int, s payment.State, d payment.Delivery) payment.Payment {
		p := paymenttest.SampleHeld(t, n)
		if s == payment.StatePending {
			return p
		}
		p = paymenttest.Step(p, payment.StateAuthorized, payment.DeliveryOpen)
		p.Amount = usd(t, 7) // what was used
		return paymenttest.Step(p, s, d)
	}
	good := func() *books {
		b := &books{}
		b.add(sample(1, payment.StateSettled, payment.DeliveryOpen), "settle")
		b.add(sample(2, payment.StateSettled, payment.DeliveryDelivered), "settle", "deliver")
		b.add(sample(3, payment.StateRefunding, payment.DeliveryNone), "settle", "refund_due")
		b.add(sample(4, payment.StateRefunded, payment.DeliveryNone), "settle", "refund_due", "refund")
		b.add(sample(5, payment.StateRefunded, payment.DeliveryDelivered), "settle", "deliver", "refund_due", "refund")
		b.add(sample(6, payment.StateReview, payment.DeliveryNone), "settle", "refund_due")
		b.add(sample(7, payment.StateFailed, payment.DeliveryNone))
		b.add(sample(8, payment.StateVoided, payment.DeliveryNone))
		b.add(sample(9, payment.StatePending, payment.DeliveryNone))
		disputed := sample(10, payment.StateSettled, payment.DeliveryDelivered)
		disputed.Disputed = true
		b.add(disputed, "settle", "deliver", "dispute")
		b.add(held(11, payment.StateAuthorized, payment.DeliveryOpen))
		b.add(held(12, payment.StateSettled, payment.DeliveryDispatched), "settle")
		b.add(held(13, payment.StatePending, payment.DeliveryNone))
		back := sample(14, payment.StateReview, payment.DeliveryNone)
		back.RefundsFailed = 1
		b.add(back, "settle", "refund_due", "refund", "refund_failed")
		back = sample(15, payment.StateRefunded, payment.DeliveryDelivered)
		back.RefundsFailed = 1
		b.add(back, "settle", "deliver", "refund_due", "refund", "refund_failed", "refund#2")
		return b
	}
	now := good().pays[0].WindowEnds.Add(-time.Second)
	pay := func(b *books, n int) *payment.Payment {
		id := fmt.Sprintf("pay_%032d", n)
		return &b.pays[slices.IndexFunc(b.pays, func(p payment.Payment) bool { return p.ID == id })]
	}
	entry := func(b *books, n int, kind string) *payment.Entry {
		id := fmt.Sprintf("pay_%032d", n)
		return &b.entries[slices.IndexFunc(b.entries, func(e payment.Entry) bool { return e.Payment == id && e.Kind == kind })]
	}
	drop := func(b *books, n int, kind string) {
		e := *entry(b, n, kind)
		b.entries = slices.DeleteFunc(b.entries, func(x payment.Entry) bool { return x == e })
	}
	for name, tt := range map[string]struct {
		plant func(b *books)
		want  []string // invariant and payment of breaks that must be named
	}{
		"nothing":        {plant: func(*books) {}},
		"I1 two charges": {plant: func(b *books) { pay(b, 2).ChallengeID = pay(b, 1).ChallengeID }, want: []string{"I1 2|I1 1"}},
		"I1 a credential charged again": {plant: func(b *books) {
			pay(b, 1).ChallengeID, pay(b, 2).ChallengeID = "c", "c~2"
		}, want: []string{"I1 2|I1 1"}},
		"I5 authorized, not held":      {plant: func(b *books) { pay(b, 11).Held = false }, want: []string{"I5 11"}},
		"I5 authorized, and posted":    {plant: func(b *books) { pay(b, 12).State, pay(b, 12).SettledAt = payment.StateAuthorized, time.Time{} }, want: []string{"I5 12"}},
		"I5 no word of what came back": {plant: func(b *books) { drop(b, 14, "refund_failed") }, want: []string{"I5 14"}},
		"I5 came back, not counted":    {plant: func(b *books) { pay(b, 14).RefundsFailed = 0 }, want: []string{"I5 14"}},
		"I5 second refund not posted":  {plant: func(b *books) { drop(b, 15, "refund#2") }, want: []string{"I5 15"}},
		"I9 more posted than used":     {plant: func(b *books) { entry(b, 12, "settle").Amount = usd(t, 112) }, want: []string{"I9 12"}},
		"I2 one token for two":         {plant: func(b *books) { pay(b, 9).Instrument = pay(b, 4).Instrument }, want: []string{"I2 9|I2 4"}},
		"I2 a token of a failed one":   {plant: func(b *books) { pay(b, 9).Instrument = pay(b, 7).Instrument }},
		"I5 settlement not posted":     {plant: func(b *books) { drop(b, 1, "settle") }, want: []string{"I5 1"}},
		"I5 delivery not posted":       {plant: func(b *books) { drop(b, 2, "deliver") }, want: []string{"I5 2"}},
		"I5 duty not posted":           {plant: func(b *books) { drop(b, 3, "refund_due") }, want: []string{"I5 3"}},
		"I5 refund not posted":         {plant: func(b *books) { drop(b, 4, "refund") }, want: []string{"I5 4"}},
		"I5 review without its duty":   {plant: func(b *books) { drop(b, 6, "refund_due") }, want: []string{"I5 6"}},
		"I5 posted, not settled":       {plant: func(b *books) { pay(b, 1).State, pay(b, 1).SettledAt = payment.StateFailed, time.Time{} }, want: []string{"I5 1"}},
		"I5 posted, not delivered":     {plant: func(b *books) { pay(b, 2).Delivery = payment.DeliveryOpen }, want: []string{"I5 2"}},
		"I5 an entry nobody knows":     {plant: func(b *books) { entry(b, 1, "settle").Kind = "gift" }, want: []string{"I5 1"}},
		"I5 forgotten":                 {plant: func(b *books) { pay(b, 1).WindowEnds = now.Add(-2 * time.Minute) }, want: []string{"I5 1"}},
		"I5 not yet forgotten":         {plant: func(b *books) { pay(b, 1).WindowEnds = now.Add(-30 * time.Second) }},
		"I5 late, but being served":    {plant: func(b *books) { pay(b, 1).WindowEnds, pay(b, 1).LeaseUntil = now.Add(-2*time.Minute), now }},
		"I6 dispute not posted":        {plant: func(b *books) { drop(b, 10, "dispute") }, want: []string{"I6 "}},
		"I6 flag without an entry":     {plant: func(b *books) { pay(b, 2).Disputed = true }, want: []string{"I6 "}},
		"I6 posted to another rail":    {plant: func(b *books) { entry(b, 1, "settle").Debit = "receivable:other" }, want: []string{"I6 "}},
		"I7 onto itself":               {plant: func(b *books) { entry(b, 2, "deliver").Credit = payment.AccountUndelivered }, want: []string{"I7 2"}},
		"I7 nothing":                   {plant: func(b *books) { entry(b, 1, "settle").Amount = usd(t, 0) }, want: []string{"I7 1"}},
		"I7 less than nothing":         {plant: func(b *books) { entry(b, 1, "settle").Amount = usd(t, -101) }, want: []string{"I7 1"}},
		"I7 twice":                     {plant: func(b *books) { b.entries = append(b.entries, *entry(b, 1, "settle")) }, want: []string{"I7 1", "I8 "}},
		"I7 of nobody":                 {plant: func(b *books) { b.pays = b.pays[:len(b.pays)-1] }, want: []string{"I7 15"}},
		"I8 liability of a delivered":  {plant: func(b *books) { entry(b, 2, "deliver").Debit = payment.AccountRevenue + "2" }, want: []string{"I8 "}},
		"I8 duty to another account":   {plant: func(b *books) { entry(b, 3, "refund_due").Credit = "pocket" }, want: []string{"I8 "}},
		"I9 other amount posted":       {plant: func(b *books) { entry(b, 1, "settle").Amount = usd(t, 1) }, want: []string{"I9 1", "I8 ", "I6 "}},
		"I9 other amount stored":       {plant: func(b *books) { pay(b, 2).Amount = usd(t, 1) }, want: []string{"I9 2"}},
		"I9 no reference":              {plant: func(b *books) { pay(b, 1).Reference = "" }, want: []string{"I9 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := good()
			tt.plant(b)
			report, err := payment.Audit(t.Context(), b, now, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, br := range report.Breaks {
				got = append(got, br.Invariant+" "+strings.TrimLeft(strings.TrimPrefix(br.Payment, "pay_"), "0"))
				if br.What == "" {
					t.Errorf("break %+v says nothing", br)
				}
			}
			for _, want := range tt.want {
				if !slices.ContainsFunc(strings.Split(want, "|"), func(s string) bool { return slices.Contains(got, s) }) {
					t.Errorf("breaks %q, want %q among them", got, want)
				}
			}
			if len(tt.want) == 0 && len(got) > 0 {
				t.Errorf("breaks in good books: %v", report.Breaks)
			}
			if report.Payments != len(b.pays) || report.Entries != len(b.entries) {
				t.Errorf("%d payments and %d entries were read, of %d and %d", report.Payments, report.Entries, len(b.pays), len(b.entries))
			}
		})
	}
	if _, err := payment.Audit(t.Context(), &books{err: errors.New("gone")}, now, 0); err == nil {
		t.Error("books that cannot be read are clean")
	}
}

// TestAuditReadsAll: more than one page of each.
func TestAuditReadsAll(t *testing.T) {
	b := &books{}
	for n := range 1500 {
		p := paymenttest.Step(paymenttest.Step(paymenttest.Sample(t, n), payment.StateSettled, payment.DeliveryOpen), payment.StateSettled, payment.DeliveryDelivered)
		b.add(p, "settle", "deliver")
	}
	report, err := payment.Audit(t.Context(), b, time.Now(), 0)
	if err != nil || report.Payments != 1500 || report.Entries != 3000 || len(report.Breaks) > 0 {
		t.Errorf("%d payments, %d entries, breaks %v, %v", report.Payments, report.Entries, report.Breaks, err)
	}
}
