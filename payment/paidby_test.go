package payment_test

import (
	"errors"
	"testing"
	"time"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

func TestPaidBy(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		var made []payment.Payment
		for i, payer := range []string{"0xa", "0xa", "0xb", "", "0xa"} {
			c := credential(w, i+1, "tok_"+string(rune('a'+i)))
			c.Payer = payer
			made = append(made, w.charge(p, c, true))
			time.Sleep(time.Millisecond) // of the bubble: ids are in order
		}
		if _, err := p.Refund(w.Context(), made[1].ID, "operator"); err != nil {
			w.Fatal(err)
		}
		w.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "no"}})
		declined := credential(w, 9, "tok_z")
		declined.Payer = "0xa"
		if _, err := p.Charge(w.Context(), declined, entitlement(true)); err == nil {
			w.Fatal("it was to be declined")
		}
		route := made[0].Scope.Route
		for _, tt := range []struct {
			payer, route string
			limit        int
			want         []payment.Payment
		}{
			{"0xa", route, 20, []payment.Payment{made[4], made[0]}},
			{"0xa", route, 1, []payment.Payment{made[4]}},
			{"0xb", route, 20, []payment.Payment{made[2]}},
			{"0xc", route, 20, nil},
			{"0xa", "another", 20, nil},
			{"", route, 20, nil},
		} {
			got, err := p.PaidBy(w.Context(), tt.payer, tt.route, tt.limit)
			if err != nil || len(got) != len(tt.want) {
				w.Errorf("%q on %q: %d, %v", tt.payer, tt.route, len(got), err)
				continue
			}
			for i := range got {
				if got[i].ID != tt.want[i].ID {
					w.Errorf("%q: %s at %d, want %s", tt.payer, got[i].ID, i, tt.want[i].ID)
				}
			}
		}
	})
}

func TestBegun(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := holding(w, 1, "tok_1")
		if _, err := p.Begun(w.Context(), c.ChallengeID); !errors.Is(err, payment.ErrNotFound) {
			w.Errorf("before: %v", err)
		}
		first := w.hold(p, c, true)
		if _, err := p.Release(w.Context(), first, "upstream_failed"); err != nil {
			w.Fatal(err)
		}
		if got, err := p.Begun(w.Context(), c.ChallengeID); err != nil || got.ID != first.ID {
			w.Errorf("%s, %v", got.ID, err)
		}
		second := w.hold(p, c, true)
		if got, err := p.Begun(w.Context(), c.ChallengeID); err != nil || got.ID != second.ID || second.ID == first.ID {
			w.Errorf("%s, want the later %s; %v", got.ID, second.ID, err)
		}
	})
}
