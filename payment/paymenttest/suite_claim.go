package paymenttest

import (
	"testing"
	"time"

	"paywall/payment"
)

func claimFound(t *testing.T, s payment.Store) {
	t.Helper()
	ctx := t.Context()
	wantPayment(t, s, claimHeld(t, s, 2))
	p := claim(t, s, 1)
	wantPayment(t, s, p)
	for what, find := range map[string]func() (payment.Payment, error){
		"challenge":  func() (payment.Payment, error) { return s.ByChallenge(ctx, p.ChallengeID) },
		"instrument": func() (payment.Payment, error) { return s.ByInstrument(ctx, p.Instrument) },
	} {
		if got, err := find(); err != nil || got.ID != p.ID {
			t.Errorf("by %s: %q, %v", what, got.ID, err)
		}
	}
	for what, find := range map[string]func() (payment.Payment, error){
		"id":              func() (payment.Payment, error) { return s.Get(ctx, "pay_none") },
		"challenge":       func() (payment.Payment, error) { return s.ByChallenge(ctx, "none") },
		"instrument":      func() (payment.Payment, error) { return s.ByInstrument(ctx, "none") },
		"reference":       func() (payment.Payment, error) { return s.ByReference(ctx, p.Method, "none") },
		"empty reference": func() (payment.Payment, error) { return s.ByReference(ctx, p.Method, "") },
	} {
		_, err := find()
		wantErr(t, "absent "+what, err, payment.ErrNotFound)
	}
	p = settle(t, s, p)
	wantPayment(t, s, p)
	if got, err := s.ByReference(ctx, p.Method, p.Reference); err != nil || got.ID != p.ID {
		t.Errorf("by reference: %q, %v", got.ID, err)
	}
	_, err := s.ByReference(ctx, "another", p.Reference)
	wantErr(t, "reference of another method", err, payment.ErrNotFound)
}

func claimRefused(t *testing.T, s payment.Store) {
	t.Helper()
	ctx := t.Context()
	first := claim(t, s, 1)

	again := Sample(t, 2)
	again.ChallengeID, again.Instrument = first.ChallengeID, first.Instrument
	wantErr(t, "claim with both used", s.Claim(ctx, again), payment.ErrChallengeUsed)
	other := Sample(t, 3)
	other.Instrument = first.Instrument
	wantErr(t, "claim with a held instrument", s.Claim(ctx, other), payment.ErrInstrumentUsed)
	settled := Sample(t, 4)
	settled.State = payment.StateSettled
	wantErr(t, "claim of a settled payment", s.Claim(ctx, settled), payment.ErrState)

	if err := s.SetSetting(ctx, payment.SettingPaused, "drill"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "claim while paused", s.Claim(ctx, Sample(t, 5)), payment.ErrPaused)
	wantErr(t, "used challenge while paused", s.Claim(ctx, first), payment.ErrChallengeUsed)
	if err := s.SetSetting(ctx, payment.SettingPaused, ""); err != nil {
		t.Fatal(err)
	}
	claim(t, s, 5)
	for _, id := range []string{again.ID, other.ID, settled.ID} {
		_, err := s.Get(ctx, id)
		wantErr(t, "refused claim "+id, err, payment.ErrNotFound)
	}

	// A failed payment gives its instrument free, and never its challenge.
	for _, state := range []payment.State{payment.StateFailed, payment.StateVoided} {
		update(t, s, Step(first, state, payment.DeliveryNone))
		_, err := s.ByInstrument(ctx, first.Instrument)
		wantErr(t, "instrument of a "+string(state)+" payment", err, payment.ErrNotFound)
		wantErr(t, "challenge of a "+string(state)+" payment", s.Claim(ctx, again), payment.ErrChallengeUsed)
		if err := s.Claim(ctx, other); err != nil {
			t.Fatalf("claim with the instrument of a %s payment: %v", state, err)
		}
		first, other = other, Sample(t, 6)
		other.Instrument, again.ChallengeID = first.Instrument, first.ChallengeID
	}
}

func raceChallenge(t *testing.T, s payment.Store) {
	t.Helper()
	won := race(t, 500, payment.ErrChallengeUsed, func(i int) error {
		p := Sample(t, i)
		p.ChallengeID = "one"
		return s.Claim(t.Context(), p)
	})
	if won != 1 {
		t.Errorf("%d of 500 claims won", won)
	}
}

func raceInstrument(t *testing.T, s payment.Store) {
	t.Helper()
	won := race(t, 500, payment.ErrInstrumentUsed, func(i int) error {
		p := Sample(t, i)
		p.Instrument = "one"
		return s.Claim(t.Context(), p)
	})
	if won != 1 {
		t.Errorf("%d of 500 claims won", won)
	}
}

func dueOrder(t *testing.T, s payment.Store) {
	t.Helper()
	ctx := t.Context()
	pending := claim(t, s, 1)
	open := settle(t, s, claim(t, s, 2))
	refunding := settle(t, s, claim(t, s, 3))
	refunding = update(t, s, Step(refunding, payment.StateRefunding, payment.DeliveryNone))
	dispatched := settle(t, s, claim(t, s, 4))
	dispatched = update(t, s, Step(dispatched, payment.StateSettled, payment.DeliveryDispatched))
	delivered := settle(t, s, claim(t, s, 5))
	update(t, s, Step(delivered, payment.StateSettled, payment.DeliveryDelivered))
	update(t, s, Step(claim(t, s, 6), payment.StateFailed, payment.DeliveryNone))
	update(t, s, Step(claim(t, s, 7), payment.StateReview, payment.DeliveryNone))
	authorized := update(t, s, Step(claimHeld(t, s, 8), payment.StateAuthorized, payment.DeliveryOpen))

	for _, tt := range []struct {
		name  string
		at    time.Time
		limit int
		want  []payment.Payment
	}{
		{"all leases run", pending.LeaseUntil.Add(-time.Millisecond), 10, nil},
		{"a lease is over at its end", pending.LeaseUntil, 10, []payment.Payment{pending}},
		{"an open window is not over", open.WindowEnds.Add(-time.Millisecond), 10, []payment.Payment{pending, refunding, dispatched, authorized}},
		{"a window is over at its end", open.WindowEnds, 10, []payment.Payment{pending, refunding, dispatched, authorized, open}},
		{"the limit keeps what is due longest", open.WindowEnds, 2, []payment.Payment{pending, refunding}},
	} {
		got, err := s.Due(ctx, tt.at, tt.limit)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		wantIDs(t, tt.name, got, tt.want...)
	}
	// A lease taken again moves the payment out of sight, and a lease given up into it.
	next := Step(pending, payment.StatePending, payment.DeliveryNone)
	next.Epoch, next.LeaseUntil = 2, open.WindowEnds.Add(time.Minute)
	update(t, s, next)
	refunding = Step(refunding, payment.StateRefunding, payment.DeliveryNone)
	refunding.LeaseUntil = time.Time{}
	update(t, s, refunding)
	got, err := s.Due(ctx, open.WindowEnds, 10)
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "after the leases moved", got, refunding, dispatched, authorized, open)
}
