package paymenttest

import (
	"errors"
	"fmt"
	"testing"

	"paywall/payment"
)

func listPages(t *testing.T, s payment.Store) {
	t.Helper()
	ctx := t.Context()
	var all []payment.Payment
	for n := range 5 {
		all = append(all, claim(t, s, n+1))
	}
	settled := settle(t, s, all[1])
	held := claimHeld(t, s, 7)
	all = append(all, held)
	for _, tt := range []struct {
		name   string
		filter payment.Filter
		after  string
		limit  int
		want   []payment.Payment
	}{
		{"newest first", payment.Filter{}, "", 3, []payment.Payment{held, all[4], all[3]}},
		{"the next page", payment.Filter{}, all[3].ID, 2, []payment.Payment{all[2], settled}},
		{"the last page", payment.Filter{}, settled.ID, 2, []payment.Payment{all[0]}},
		{"by state", payment.Filter{State: payment.StateSettled}, "", 9, []payment.Payment{settled}},
		{"by delivery", payment.Filter{Delivery: payment.DeliveryOpen}, "", 9, []payment.Payment{settled}},
		{"by route", payment.Filter{Route: "another"}, "", 9, nil},
		{"by payer", payment.Filter{Payer: held.Payer}, "", 9, []payment.Payment{held}},
		{"by payer, from a cursor", payment.Filter{Payer: held.Payer}, "pay_9", 9, []payment.Payment{held}},
		{"by payer, after the last", payment.Filter{Payer: held.Payer}, held.ID, 9, nil},
		{"by payer and state", payment.Filter{Payer: held.Payer, State: payment.StateSettled}, "", 9, nil},
		{"by a payer in other letters", payment.Filter{Payer: "0X0000000000000000000000000000000000000007"}, "", 9, nil},
		{"by state, from a cursor", payment.Filter{State: payment.StatePending, Route: "report"}, all[2].ID, 9, []payment.Payment{all[0]}},
	} {
		got, err := s.List(ctx, tt.filter, tt.after, tt.limit)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		wantIDs(t, tt.name, got, tt.want...)
	}
}

func ledgerPages(t *testing.T, s payment.Store) {
	t.Helper()
	ctx := t.Context()
	for n := range 5 {
		p := Step(claim(t, s, n+1), payment.StateSettled, payment.DeliveryOpen)
		event := payment.Event{ID: fmt.Sprintf("evt_%d", n+1), Payment: p.ID, Type: "payment.settled", At: p.UpdatedAt}
		if err := s.Update(ctx, p, []payment.Entry{SettleEntry(p)}, []payment.Event{event}); err != nil {
			t.Fatal(err)
		}
	}
	var entries, events []string
	for after := int64(0); ; {
		page, err := s.Entries(ctx, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			if e.Position <= after {
				t.Fatalf("position %d after %d", e.Position, after)
			}
			after = e.Position
			entries = append(entries, e.Payment)
		}
		if len(page) < 2 {
			break
		}
	}
	for after := int64(0); ; {
		page, err := s.Events(ctx, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			if e.Position <= after {
				t.Fatalf("position %d after %d", e.Position, after)
			}
			after = e.Position
			events = append(events, e.Payment)
		}
		if len(page) < 2 {
			break
		}
	}
	want := fmt.Sprint([]string{Sample(t, 1).ID, Sample(t, 2).ID, Sample(t, 3).ID, Sample(t, 4).ID, Sample(t, 5).ID})
	if fmt.Sprint(entries) != want || fmt.Sprint(events) != want {
		t.Errorf("entries of %v, events of %v, want %s", entries, events, want)
	}
}

func settings(t *testing.T, s payment.Store) {
	t.Helper()
	ctx := t.Context()
	if err := s.SetSetting(ctx, "unset", "for a while"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetSetting(ctx, "unset", ""); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"one", "two"} {
		if err := s.SetSetting(ctx, "suite", value); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Setting(ctx, "suite"); err != nil || got != value {
			t.Errorf("setting = %q, %v; want %q", got, err, value)
		}
	}
	for _, name := range []string{"unset", "never set"} {
		if got, err := s.Setting(ctx, name); err != nil || got != "" {
			t.Errorf("setting %q = %q, %v; want none", name, got, err)
		}
	}
}

var errNotFirst = errors.New("not first")

func seenOnce(t *testing.T, s payment.Store) {
	t.Helper()
	won := race(t, 64, errNotFirst, func(int) error {
		fresh, err := s.Seen(t.Context(), "stripe", "evt_1", began)
		if err == nil && !fresh {
			return errNotFirst
		}
		return err
	})
	if won != 1 {
		t.Errorf("%d of 64 saw the event first", won)
	}
	see(t, s, "evt_1", false)
	see(t, s, "evt_2", true)
	if fresh, err := s.Seen(t.Context(), "facilitator", "evt_1", began); err != nil || !fresh {
		t.Errorf("the same id of another source: %v, %v", fresh, err)
	}
}
