package payment_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

func TestRefund(t *testing.T) {
	for name, tt := range map[string]struct {
		delivered bool
		revenue   int64
	}{"undelivered": {}, "delivered": {delivered: true}} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				p := w.processor(nil)
				c := credential(w, 1, "tok_1")
				pay := w.charge(p, c, true)
				if tt.delivered {
					if err := p.Delivered(w.Context(), w.dispatch(p, pay, false), "r"); err != nil {
						w.Fatal(err)
					}
				}
				for range 3 {
					got, err := p.Refund(w.Context(), pay.ID, "operator")
					if err != nil || got.State != payment.StateRefunded || got.Reason != "operator" {
						w.Fatalf("%s (%s), %v", got.State, got.Reason, err)
					}
				}
				delivery := payment.DeliveryNone
				if tt.delivered {
					delivery = payment.DeliveryDelivered
				}
				w.at(c, payment.StateRefunded, delivery)
				report := w.clean(1, 1)
				for account, units := range report.Balances {
					if units != 0 {
						w.Errorf("%s is %d after a refund", account, units)
					}
				}
				// A refunded payment keeps its token spent.
				_, err := p.Charge(w.Context(), credential(w, 2, "tok_1"), entitlement(true))
				wantKind(w, err, payment.KindVerificationFailed)
			})
		})
	}
}

func TestRefundRefusals(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		if _, err := p.Refund(w.Context(), "pay_none", ""); !errors.Is(err, payment.ErrNotFound) {
			w.Errorf("unknown payment: %v", err)
		}
		w.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined}})
		c := credential(w, 1, "tok_1")
		_, err := p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindVerificationFailed)
		if _, err := p.Refund(w.Context(), w.get(c).ID, ""); !errors.Is(err, payment.ErrState) {
			w.Errorf("failed payment: %v", err)
		}
		w.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeMismatch}})
		c = credential(w, 2, "tok_2")
		_, err = p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindPending)
		if _, err := p.Refund(w.Context(), w.get(c).ID, ""); !errors.Is(err, payment.ErrState) {
			w.Errorf("payment under review that was never settled: %v", err)
		}
		w.clean(0, 0)
	})
}

// TestB071_RefundsAtOnce: many hands on one refund, in two processes.
func TestB071_RefundsAtOnce(t *testing.T) {
	inTime(t, func(w *world) {
		ps := []*payment.Processor{w.processor(nil), w.processor(func(c *payment.Config) { c.Owner = "two" })}
		c := credential(w, 1, "tok_1")
		pay := w.charge(ps[0], c, true)
		w.rail.Script("refund", always(99, paymenttest.Reply{Delay: time.Second})...)
		var wg sync.WaitGroup
		for n := range 40 {
			wg.Go(func() {
				got, err := ps[n%2].Refund(w.Context(), pay.ID, "operator")
				if err != nil {
					wantKind(w, err, payment.KindInProgress)
				} else if got.State != payment.StateRefunded && got.State != payment.StateRefunding {
					w.Errorf("state %s", got.State)
				}
			})
		}
		wg.Wait()
		w.at(c, payment.StateRefunded, payment.DeliveryNone)
		if n := len(w.rail.Calls()); n != 2 {
			w.Errorf("%d calls of the rail, want a charge and a refund", n)
		}
		w.clean(1, 1)
	})
}

func TestB064_RefundAnswerLost(t *testing.T) {
	for name, tt := range map[string]struct {
		reply paymenttest.Reply
	}{
		"answer lost":   {paymenttest.Reply{Outcome: unknown(), Moves: true}},
		"no answer":     {paymenttest.Reply{Outcome: unknown()}},
		"not now":       {paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeNotNow, RetryAfter: 99 * time.Hour}}},
		"rail is slow":  {paymenttest.Reply{Delay: time.Minute}},
		"odd answer":    {paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeStarted}}},
		"future answer": {paymenttest.Reply{Outcome: payment.Outcome{Class: 77}}},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				p := w.processor(nil)
				c := credential(w, 1, "tok_1")
				pay := w.charge(p, c, true)
				w.rail.Script("refund", tt.reply, tt.reply)
				got, err := p.Refund(w.Context(), pay.ID, "operator")
				wantKind(w, err, payment.KindPending)
				if got.State != payment.StateRefunding {
					w.Errorf("state %s", got.State)
				}
				w.clean(1, map[bool]int{true: 1}[tt.reply.Moves])
				calls := len(w.rail.Calls())
				time.Sleep(2 * time.Second)
				_, err = p.Recover(w.Context(), false)
				wantKind(w, err, payment.KindPending)
				if n := len(w.rail.Calls()); n != calls+1 {
					w.Errorf("%d calls within two seconds, want one", n-calls)
				}
				_, err = p.Charge(w.Context(), c, entitlement(true))
				wantKind(w, err, payment.KindInvalidChallenge)
				for range 5 {
					time.Sleep(time.Minute)
					if _, err := p.Recover(w.Context(), false); err != nil {
						wantKind(w, err, payment.KindPending)
					}
				}
				w.at(c, payment.StateRefunded, payment.DeliveryNone)
				w.clean(1, 1)
			})
		})
	}
}

// TestRefundRefused: a refund that the rail refuses goes to a person, who may try
// again; the duty is in the books once.
func TestRefundRefused(t *testing.T) {
	for name, class := range map[string]payment.OutcomeClass{"declined": payment.OutcomeDeclined, "mismatch": payment.OutcomeMismatch} {
		for _, delivered := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				inTime(t, func(w *world) {
					p := w.processor(nil)
					c := credential(w, 1, "tok_1")
					pay := w.charge(p, c, true)
					delivery := payment.DeliveryNone
					if delivered {
						delivery = payment.DeliveryDelivered
						if err := p.Delivered(w.Context(), w.dispatch(p, pay, true), "r"); err != nil {
							w.Fatal(err)
						}
					}
					w.rail.Script("refund", always(2, paymenttest.Reply{Outcome: payment.Outcome{Class: class, Reason: "insufficient_funds"}})...)
					for range 2 {
						got, err := p.Refund(w.Context(), pay.ID, "operator")
						if err != nil || got.State != payment.StateReview || got.Reason != "insufficient_funds" {
							w.Fatalf("%s (%s), %v", got.State, got.Reason, err)
						}
					}
					time.Sleep(time.Hour)
					w.recover(p, false, 0)
					w.clean(1, 0)
					if got, err := p.Refund(w.Context(), pay.ID, "funded"); err != nil || got.State != payment.StateRefunded {
						w.Errorf("%s, %v", got.State, err)
					}
					w.at(c, payment.StateRefunded, delivery)
					w.clean(1, 1)
					events, err := w.store.Events(w.Context(), 0, 99)
					if err != nil {
						w.Fatal(err)
					}
					ids := map[string]bool{}
					for _, e := range events {
						if ids[e.ID] {
							w.Errorf("two events are %s", e.ID)
						}
						ids[e.ID] = true
					}
				})
			})
		}
	}
}

func TestRefundAmountDiffers(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		pay := w.charge(p, c, true)
		w.rail.Script("refund", paymenttest.Reply{Moves: true, Outcome: payment.Outcome{Class: payment.OutcomeSucceeded, Reference: "re_1", Amount: usd(w, 1)}})
		got, err := p.Refund(w.Context(), pay.ID, "operator")
		if err != nil || got.State != payment.StateReview || got.Reason != "amount_differs" {
			w.Errorf("%s (%s), %v", got.State, got.Reason, err)
		}
	})
}

func TestRefundOfAMethodThatIsGone(t *testing.T) {
	inTime(t, func(w *world) {
		pay := w.charge(w.processor(nil), credential(w, 1, "tok_1"), true)
		gone := w.processor(func(c *payment.Config) { c.Methods = []payment.Method{&paymenttest.Method{ID: "other"}} })
		if _, err := gone.Refund(w.Context(), pay.ID, "operator"); err == nil {
			w.Error("refunded through a method that is not there")
		}
		time.Sleep(2 * time.Minute)
		w.recover(w.processor(nil), true, 1) // the duty is kept
		w.clean(1, 1)
	})
}

func TestReturned(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		pay := w.charge(p, c, true)
		served := w.dispatch(p, pay, true)
		_, err := p.Returned(w.Context(), pay.ID, "re_1")
		wantKind(w, err, payment.KindInProgress)
		if err := p.Delivered(w.Context(), served, "r"); err != nil {
			w.Fatal(err)
		}
		for n := range 3 {
			changed, err := p.Returned(w.Context(), pay.ID, "re_1")
			if err != nil || changed != (n == 0) {
				w.Errorf("word %d: changed %v, %v", n, changed, err)
			}
		}
		if got := w.at(c, payment.StateRefunded, payment.DeliveryDelivered); got.Reason != "refunded_at_rail:re_1" {
			w.Errorf("reason %q", got.Reason)
		}
		if _, err := p.Returned(w.Context(), "pay_none", "re_1"); !errors.Is(err, payment.ErrNotFound) {
			w.Errorf("unknown payment: %v", err)
		}
		w.clean(1, 1)
	})
}

// TestReturnedAfterRefusal: what the rail refused to us, a person did there.
func TestReturnedAfterRefusal(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		pay := w.charge(p, c, true)
		w.rail.Script("refund", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "insufficient_funds"}})
		if _, err := p.Refund(w.Context(), pay.ID, "operator"); err != nil {
			w.Fatal(err)
		}
		if changed, err := p.Returned(w.Context(), pay.ID, "re_1"); err != nil || !changed {
			w.Errorf("changed %v, %v", changed, err)
		}
		w.at(c, payment.StateRefunded, payment.DeliveryNone)
		w.clean(1, 1)
	})
}
