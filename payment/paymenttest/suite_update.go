package paymenttest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"paywall/money"
	"paywall/payment"
)

func raceUpdate(t *testing.T, s payment.Store) {
	t.Helper()
	p := claim(t, s, 1)
	won := race(t, 64, payment.ErrConflict, func(i int) error {
		next := Step(p, payment.StateSettled, payment.DeliveryOpen)
		if i%2 == 0 {
			next = Step(p, payment.StatePending, payment.DeliveryNone)
			next.Epoch++
			return s.Update(t.Context(), next, nil, nil)
		}
		return s.Update(t.Context(), next, []payment.Entry{SettleEntry(next)}, nil)
	})
	if won != 1 {
		t.Errorf("%d of 64 updates of one revision won", won)
	}
	got, err := s.Get(t.Context(), p.ID)
	if err != nil || got.Revision != 2 {
		t.Fatalf("revision %d, %v; want 2", got.Revision, err)
	}
	entries, err := s.Entries(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if settled := got.State == payment.StateSettled; settled != (len(entries) == 1) || len(entries) > 1 {
		t.Errorf("state %s with %d entries", got.State, len(entries))
	}
}

func updateWhole(t *testing.T, s payment.Store) {
	t.Helper()
	ctx := t.Context()
	p := settle(t, s, claim(t, s, 1))
	next := Step(p, payment.StateSettled, payment.DeliveryDelivered)
	deliver := payment.Entry{Payment: p.ID, Kind: "deliver", Debit: payment.AccountUndelivered, Credit: payment.AccountRevenue, Amount: p.Amount, At: next.UpdatedAt}
	event := payment.Event{ID: "evt_1", Payment: p.ID, Type: "payment.delivered", At: next.UpdatedAt}

	wantErr(t, "a second entry of a kind", s.Update(ctx, next, []payment.Entry{deliver, SettleEntry(p)}, []payment.Event{event}), payment.ErrConflict)
	foreign, same, nothing := deliver, deliver, deliver
	foreign.Payment, same.Credit = "pay_other", same.Debit
	nothing.Amount = money.Amount{}
	for what, e := range map[string]payment.Entry{"an entry of another payment": foreign, "an entry onto itself": same, "an entry of nothing": nothing} {
		wantErr(t, what, s.Update(ctx, next, []payment.Entry{e}, nil), payment.ErrState)
	}
	absent := Step(Sample(t, 9), payment.StateFailed, payment.DeliveryNone)
	wantErr(t, "update of an absent payment", s.Update(ctx, absent, nil, []payment.Event{event}), payment.ErrNotFound)

	wantPayment(t, s, p)
	if es, err := s.Entries(ctx, 0, 10); err != nil || len(es) != 1 {
		t.Errorf("%d entries, %v; want the first alone", len(es), err)
	}
	if es, err := s.Events(ctx, 0, 10); err != nil || len(es) != 0 {
		t.Errorf("%d events, %v; want none", len(es), err)
	}

	if err := s.Update(ctx, next, []payment.Entry{deliver}, []payment.Event{event}); err != nil {
		t.Fatal(err)
	}
	wantPayment(t, s, next)
	es, err := s.Entries(ctx, 1, 10)
	if err != nil || len(es) != 1 || es[0] != (payment.PositionedEntry{Position: es[0].Position, Entry: deliver}) {
		t.Errorf("entries = %v, %v", es, err)
	}
	evs, err := s.Events(ctx, 0, 10)
	if err != nil || len(evs) != 1 || evs[0].Event != event {
		t.Errorf("events = %v, %v", evs, err)
	}
}

func fenced(t *testing.T, s payment.Store) {
	t.Helper()
	ctx := t.Context()
	stale := claim(t, s, 1)
	lease := Step(stale, payment.StatePending, payment.DeliveryNone)
	lease.Owner, lease.Epoch, lease.LeaseUntil, lease.Attempts = "two", 2, lease.LeaseUntil.Add(time.Minute), 2
	update(t, s, lease)
	late := Step(stale, payment.StateSettled, payment.DeliveryOpen)
	wantErr(t, "the old owner's write", s.Update(ctx, late, []payment.Entry{SettleEntry(late)}, nil), payment.ErrConflict)
	late.Revision++ // even if it guesses the revision, its epoch tells
	wantErr(t, "the old epoch", s.Update(ctx, late, []payment.Entry{SettleEntry(late)}, nil), payment.ErrConflict)
	skip := Step(lease, payment.StateSettled, payment.DeliveryOpen)
	skip.Revision++
	wantErr(t, "a skipped revision", s.Update(ctx, skip, nil, nil), payment.ErrConflict)
	wantPayment(t, s, lease)
}

func fixedStay(t *testing.T, s payment.Store) {
	t.Helper()
	p := claim(t, s, 1)
	more, err := money.New(p.Amount.Units()+1, "USD", 2)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*payment.Payment){
		"challenge":  func(p *payment.Payment) { p.ChallengeID = "x" },
		"instrument": func(p *payment.Payment) { p.Instrument = "x" },
		"credential": func(p *payment.Payment) { p.CredentialHash = "x" },
		"target":     func(p *payment.Payment) { p.Scope.Target = "/other" },
		"digest":     func(p *payment.Payment) { p.Scope.Digest = "" },
		"amount":     func(p *payment.Payment) { p.Amount = more },
		"key":        func(p *payment.Payment) { p.Key = "x" },
		"payer":      func(p *payment.Payment) { p.Payer = "x" },
		"network":    func(p *payment.Payment) { p.Network = "x" },
		"promise":    func(p *payment.Payment) { p.Held = true },
	} {
		next := Step(p, payment.StateSettled, payment.DeliveryOpen)
		change(&next)
		wantErr(t, "update with another "+what, s.Update(t.Context(), next, nil, nil), payment.ErrState)
	}
	wantPayment(t, s, p)
}

// positions lists every pair of state and delivery, sensible or not.
func positions() [][2]string {
	var out [][2]string
	for _, s := range []payment.State{
		payment.StatePending, payment.StateAuthorized, payment.StateSettled, payment.StateFailed, payment.StateVoided,
		payment.StateReview, payment.StateRefunding, payment.StateRefunded, payment.StateCredited, "", "paid",
	} {
		for _, d := range []payment.Delivery{payment.DeliveryNone, payment.DeliveryOpen, payment.DeliveryDispatched, payment.DeliveryDelivered, "lost"} {
			out = append(out, [2]string{string(s), string(d)})
		}
	}
	return out
}

func stateTable(t *testing.T, s payment.Store) {
	t.Helper()
	walk(t, s, claim, 14)
}

func heldTable(t *testing.T, s payment.Store) {
	t.Helper()
	walk(t, s, claimHeld, 15)
}

// walk takes payments into every position that can be reached, and tries every
// position from there.
func walk(t *testing.T, s payment.Store, claim func(*testing.T, payment.Store, int) payment.Payment, want int) {
	t.Helper()
	type place struct {
		s payment.State
		d payment.Delivery
	}
	n := 0
	paths := map[place][]place{{payment.StatePending, payment.DeliveryNone}: nil}
	queue := []place{{payment.StatePending, payment.DeliveryNone}}
	for ; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		n++
		p := claim(t, s, n)
		for _, via := range paths[at] {
			p = update(t, s, Step(p, via.s, via.d))
		}
		for _, pos := range positions() {
			to := place{payment.State(pos[0]), payment.Delivery(pos[1])}
			next := Step(p, to.s, to.d)
			if payment.Check(p, next) == nil {
				if _, known := paths[to]; !known {
					paths[to] = append(append([]place{}, paths[at]...), to)
					queue = append(queue, to)
				}
				continue
			}
			if err := s.Update(t.Context(), next, nil, nil); !errors.Is(err, payment.ErrState) {
				t.Errorf("%s/%s to %s/%s = %v, want ErrState", at.s, at.d, to.s, to.d, err)
			}
		}
		wantPayment(t, s, p)
	}
	if n != want {
		t.Errorf("%d positions were reached, want %d", n, want)
	}
}

// heldAmount: what is taken of a held payment is decided once, when it is
// authorized, and is never more than was held.
func heldAmount(t *testing.T, s payment.Store) {
	t.Helper()
	ctx := t.Context()
	p := claimHeld(t, s, 1)
	of := func(next payment.Payment, units int64, currency string, scale int) payment.Payment {
		amount, err := money.New(units, currency, scale)
		if err != nil {
			t.Fatal(err)
		}
		next.Amount = amount
		return next
	}
	all := p.Amount.Units()
	next := Step(p, payment.StateAuthorized, payment.DeliveryOpen)
	for what, bad := range map[string]payment.Payment{
		"more":             of(next, all+1, "USD", 2),
		"nothing":          of(next, 0, "USD", 2),
		"below nothing":    of(next, -1, "USD", 2),
		"another currency": of(next, 1, "EUR", 2),
		"another scale":    of(next, all, "USD", 3),
		"without a state":  of(Step(p, payment.StatePending, payment.DeliveryNone), all-1, "USD", 2),
		"with its failure": of(Step(p, payment.StateFailed, payment.DeliveryNone), all-1, "USD", 2),
		"when settled":     of(Step(p, payment.StateSettled, payment.DeliveryDispatched), all-1, "USD", 2),
	} {
		wantErr(t, what, s.Update(ctx, bad, nil, nil), payment.ErrState)
	}
	wantPayment(t, s, p)
	less := update(t, s, of(next, all-1, "USD", 2))
	wantPayment(t, s, less)
	for what, bad := range map[string]payment.Payment{
		"less again":   of(Step(less, payment.StateAuthorized, payment.DeliveryOpen), all-2, "USD", 2),
		"all after it": of(Step(less, payment.StateSettled, payment.DeliveryOpen), all, "USD", 2),
		"less after":   of(Step(less, payment.StateSettled, payment.DeliveryDispatched), 1, "USD", 2),
	} {
		wantErr(t, what, s.Update(ctx, bad, nil, nil), payment.ErrState)
	}
	settled := Step(less, payment.StateSettled, payment.DeliveryDispatched)
	settled.RefundsFailed = 2
	wantPayment(t, s, update(t, s, settled, SettleEntry(settled)))

	unheld := claim(t, s, 2)
	wantErr(t, "an amount that was not held", s.Update(ctx, of(Step(unheld, payment.StateSettled, payment.DeliveryOpen), 1, "USD", 2), nil, nil), payment.ErrState)
	wantErr(t, "an authorization of what was not held", s.Update(ctx, Step(unheld, payment.StateAuthorized, payment.DeliveryOpen), nil, nil), payment.ErrState)
	wantPayment(t, s, unheld)
}

// mixed runs whole payments side by side and lets the audit judge the books.
func mixed(t *testing.T, s payment.Store) {
	t.Helper()
	const buyers, each = 32, 4
	var wg sync.WaitGroup
	for b := range buyers {
		wg.Go(func() {
			for i := range each {
				p := Sample(t, b*each+i+1)
				settled := Step(p, payment.StateSettled, payment.DeliveryOpen)
				done := Step(settled, payment.StateSettled, payment.DeliveryDelivered)
				deliver := payment.Entry{Payment: p.ID, Kind: "deliver", Debit: payment.AccountUndelivered, Credit: payment.AccountRevenue, Amount: p.Amount, At: done.UpdatedAt}
				if err := s.Claim(t.Context(), p); err != nil {
					t.Errorf("claim: %v", err)
				}
				if err := s.Update(t.Context(), settled, []payment.Entry{SettleEntry(settled)}, nil); err != nil {
					t.Errorf("settle: %v", err)
				}
				if err := s.Update(t.Context(), done, []payment.Entry{SettleEntry(done)}, nil); !errors.Is(err, payment.ErrConflict) {
					t.Errorf("a second settle entry = %v, want ErrConflict", err)
				}
				if err := s.Update(t.Context(), done, []payment.Entry{deliver}, nil); err != nil {
					t.Errorf("deliver: %v", err)
				}
			}
		})
	}
	wg.Wait()
	report, err := payment.Audit(t.Context(), s, began.Add(time.Hour), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Breaks) > 0 || report.Payments != buyers*each || report.Entries != 2*buyers*each {
		t.Errorf("%d payments, %d entries, breaks %v", report.Payments, report.Entries, report.Breaks)
	}
}
