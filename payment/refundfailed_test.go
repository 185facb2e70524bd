package payment_test

import (
	"errors"
	"testing"
	"time"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

// TestRefundFailed: the payer's bank sends a refund back. It is owed again, and
// the next one is another refund at the rail.
func TestRefundFailed(t *testing.T) {
	for name, delivered := range map[string]bool{"undelivered": false, "delivered": true} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				p := w.processor(nil)
				c := credential(w, 1, "tok_1")
				pay := w.charge(p, c, true)
				delivery := payment.DeliveryNone
				if delivered {
					delivery = payment.DeliveryDelivered
					if err := p.Delivered(w.Context(), w.dispatch(p, pay, false), "r"); err != nil {
						w.Fatal(err)
					}
				}
				pay, err := p.Refund(w.Context(), pay.ID, "operator")
				if err != nil {
					w.Fatal(err)
				}
				var seen []string
				for n := 1; n <= 3; n++ {
					failed := pay.RefundReference
					for i, word := range []struct {
						reference string
						want      bool
					}{{"re_another", false}, {"", false}, {failed, true}, {failed, false}} {
						changed, err := p.RefundFailed(w.Context(), pay.ID, word.reference, "bank_account_closed")
						if err != nil || changed != word.want {
							w.Errorf("word %d of refund %d: %v, %v", i, n, changed, err)
						}
					}
					stored := w.at(c, payment.StateReview, delivery)
					if stored.RefundsFailed != n || stored.Reason != "bank_account_closed" || !stored.RefundedAt.IsZero() || !stored.Terminal() {
						w.Errorf("%d failed, %q, refunded at %s", stored.RefundsFailed, stored.Reason, stored.RefundedAt)
					}
					report := w.clean(1, n)
					if owed := report.Balances["liability:refunds_due USD/2"]; owed != -150 {
						w.Errorf("owed %d", owed)
					}
					// Late word of the refund that came back does not make another one.
					if changed, err := p.Returned(w.Context(), pay.ID, failed); err != nil || changed {
						w.Errorf("late word: %v, %v", changed, err)
					}
					if pay, err = p.Refund(w.Context(), pay.ID, "again"); err != nil || pay.State != payment.StateRefunded {
						w.Fatalf("refund %d: %s, %v", n+1, pay.State, err)
					}
					// Word of the first comes once more when the second has been made.
					if changed, err := p.RefundFailed(w.Context(), pay.ID, failed, "x"); err != nil || changed {
						w.Errorf("old word: %v, %v", changed, err)
					}
					seen = append(seen, failed)
				}
				if seen[0] == seen[1] || seen[1] == seen[2] {
					w.Errorf("references %q", seen)
				}
				w.at(c, payment.StateRefunded, delivery)
				for account, units := range w.clean(1, 4).Balances {
					if units != 0 {
						w.Errorf("%s is %d after all", account, units)
					}
				}
			})
		})
	}
}

// TestRefundFailedTooEarly: the word is there before the refund is confirmed here.
func TestRefundFailedTooEarly(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		pay := w.charge(p, c, true)
		if changed, err := p.RefundFailed(w.Context(), pay.ID, "re_1", "x"); err != nil || changed {
			w.Errorf("of what was not returned: %v, %v", changed, err)
		}
		if _, err := p.RefundFailed(w.Context(), "pay_none", "re_1", "x"); !errors.Is(err, payment.ErrNotFound) {
			w.Errorf("of no payment: %v", err)
		}
		w.rail.Script("refund", paymenttest.Reply{Outcome: unknown()})
		if _, err := p.Refund(w.Context(), pay.ID, "operator"); err == nil {
			w.Fatal("the refund was confirmed")
		}
		if changed, err := p.RefundFailed(w.Context(), pay.ID, "re_"+pay.ID, "x"); !errors.Is(err, payment.ErrConflict) || changed {
			w.Errorf("while it is under way: %v, %v", changed, err)
		}
		time.Sleep(time.Minute)
		w.recover(p, false, 1)
		if changed, err := p.RefundFailed(w.Context(), pay.ID, "re_"+pay.ID, ""); err != nil || !changed {
			w.Errorf("afterwards: %v, %v", changed, err)
		}
		if got := w.at(c, payment.StateReview, payment.DeliveryNone); got.Reason != "refund_failed" {
			w.Errorf("reason %q", got.Reason)
		}
		w.clean(1, 1)
	})
}

// TestRefundedAtTheRail: a charge whose outcome was in doubt was made, and somebody
// has paid it back there since. Nothing is owed for it.
func TestRefundedAtTheRail(t *testing.T) {
	all := func(c payment.Credential, back int64) payment.Outcome {
		return payment.Outcome{
			Class: payment.OutcomeSucceeded, Reference: "ch_1", Amount: c.Offer.Amount,
			Refunded: usd(t, back), RefundReference: "re_1",
		}
	}
	for name, tt := range map[string]struct {
		back   int64
		state  payment.State
		reason string
	}{
		"nothing":           {0, payment.StateSettled, ""},
		"a part":            {149, payment.StateReview, "partly_refunded"},
		"all":               {150, payment.StateRefunded, "refunded_at_rail"},
		"more than all":     {151, payment.StateReview, "partly_refunded"},
		"less than nothing": {-1, payment.StateReview, "partly_refunded"},
	} {
		for _, by := range []string{"recovery", "webhook", "payer"} {
			t.Run(name+", found by "+by, func(t *testing.T) {
				inTime(t, func(w *world) {
					c := credential(w, 1, "tok_1")
					w.rail.Script("charge", paymenttest.Reply{Outcome: unknown(), Moves: true})
					if p := w.processor(dieAt(payment.PointAnswered)); !dies(func() { w.charge(p, c, true) }) {
						w.Fatal("did not crash")
					}
					time.Sleep(time.Minute)
					p := w.processor(nil)
					out := all(c, tt.back)
					switch by {
					case "recovery":
						w.rail.Script("lookup", paymenttest.Reply{Outcome: out})
						w.recover(p, true, 1)
					case "webhook":
						if changed, err := p.Resolve(w.Context(), w.get(c).ID, out); err != nil || !changed {
							w.Errorf("resolve: %v, %v", changed, err)
						}
					case "payer":
						w.rail = &paymenttest.Method{}
						w.rail.Script("charge", paymenttest.Reply{Outcome: out})
						p = w.processor(nil)
						_, err := p.Charge(w.Context(), c, entitlement(true))
						if (err == nil) != (tt.state == payment.StateSettled) {
							w.Errorf("charge: %v", err)
						}
					}
					pay := w.get(c)
					if pay.State != tt.state || pay.Reason != tt.reason {
						w.Errorf("%s/%s (%s), want %s (%s)", pay.State, pay.Delivery, pay.Reason, tt.state, tt.reason)
					}
					if tt.state == payment.StateRefunded {
						if pay.Delivery != payment.DeliveryNone || pay.RefundReference != "re_1" || pay.SettledAt.IsZero() || pay.RefundedAt.IsZero() || pay.Intent != nil {
							w.Errorf("stored as %+v", pay)
						}
						_, err := p.Charge(w.Context(), c, entitlement(true))
						wantKind(w, err, payment.KindInvalidChallenge)
						for account, units := range w.clean(1, 0).Balances {
							if units != 0 {
								w.Errorf("%s is %d", account, units)
							}
						}
						if changed, err := p.Resolve(w.Context(), pay.ID, out); err != nil || changed {
							w.Errorf("the same word again: %v, %v", changed, err)
						}
						if changed, err := p.RefundFailed(w.Context(), pay.ID, "re_1", ""); err != nil || !changed {
							w.Errorf("it came back: %v, %v", changed, err)
						}
					}
					w.clean(1, 0)
				})
			})
		}
	}
}
