package payment_test

import (
	"errors"
	"testing"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

// A rail without refunds leaves the duty with a person, whose word closes it.
func TestRefundSentByHand(t *testing.T) {
	for name, delivered := range map[string]bool{"undelivered": false, "delivered": true} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				p := w.processor(nil)
				w.rail.Script("refund", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "refund_by_hand"}})
				c := credential(w, 1, "tok_1")
				pay := w.charge(p, c, true)
				delivery := payment.DeliveryNone
				if delivered {
					delivery = payment.DeliveryDelivered
					if err := p.Delivered(w.Context(), w.dispatch(p, pay, false), "r"); err != nil {
						w.Fatal(err)
					}
				}
				if _, err := p.RefundSent(w.Context(), pay.ID, "0xabc"); !errors.Is(err, payment.ErrState) {
					w.Errorf("before a refund was asked for: %v", err)
				}
				if got, err := p.Refund(w.Context(), pay.ID, "operator"); err != nil || got.State != payment.StateReview || got.Reason != "refund_by_hand" {
					w.Fatalf("%s (%s), %v", got.State, got.Reason, err)
				}
				for _, bad := range []string{"", "a b", "\x1b[2J", string(make([]byte, 300))} {
					if _, err := p.RefundSent(w.Context(), pay.ID, bad); !errors.Is(err, payment.ErrState) {
						w.Errorf("reference %q: %v", bad, err)
					}
				}
				for range 2 {
					if got, err := p.RefundSent(w.Context(), pay.ID, "0xabc"); err != nil || got.State != payment.StateRefunded || got.RefundReference != "0xabc" {
						w.Fatalf("%s, %v", got.State, err)
					}
				}
				if _, err := p.RefundSent(w.Context(), pay.ID, "0xdef"); !errors.Is(err, payment.ErrState) {
					w.Errorf("a second one: %v", err)
				}
				w.at(c, payment.StateRefunded, delivery)
				for account, units := range w.clean(1, 0).Balances {
					if units != 0 {
						w.Errorf("%s is %d after a refund", account, units)
					}
				}
			})
		})
	}
}

func TestDecideByHand(t *testing.T) {
	for name, reference := range map[string]string{"charged": "0xabc", "not charged": ""} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				p := w.processor(nil)
				w.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeMismatch, Reason: "no_proof"}})
				c := credential(w, 1, "tok_1")
				_, err := p.Charge(w.Context(), c, entitlement(true))
				wantKind(w, err, payment.KindPending)
				pay := w.at(c, payment.StateReview, payment.DeliveryNone)
				got, err := p.Decide(w.Context(), pay.ID, reference)
				if err != nil {
					w.Fatal(err)
				}
				if reference == "" {
					w.at(c, payment.StateVoided, payment.DeliveryNone)
					w.clean(0, 0)
					return
				}
				if got.State != payment.StateSettled || got.Reference != reference || got.Delivery != payment.DeliveryOpen {
					w.Fatalf("%s/%s %s", got.State, got.Delivery, got.Reference)
				}
				// It is owed as any other: the same credential collects it.
				if err := p.Delivered(w.Context(), w.dispatch(p, w.charge(p, c, true), false), "r"); err != nil {
					w.Fatal(err)
				}
				if _, err := p.Decide(w.Context(), pay.ID, ""); !errors.Is(err, payment.ErrState) {
					w.Errorf("decided twice: %v", err)
				}
				if _, err := p.Decide(w.Context(), "pay_none", ""); !errors.Is(err, payment.ErrNotFound) {
					w.Errorf("a payment of nobody: %v", err)
				}
			})
		})
	}
}
