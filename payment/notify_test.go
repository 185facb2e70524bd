package payment_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

func TestResolve(t *testing.T) {
	amount := usd(t, 150)
	succeeded := payment.Outcome{Class: payment.OutcomeSucceeded, Reference: "ch_hook", Amount: amount}
	declined := payment.Outcome{Class: payment.OutcomeDeclined, Reason: "expired_card"}
	mismatch := payment.Outcome{Class: payment.OutcomeMismatch, Reason: "livemode"}
	other := succeeded
	other.Amount = usd(t, 149)
	for name, tt := range map[string]struct {
		charge paymenttest.Reply // what the first charge met
		out    payment.Outcome
		want   payment.State
		same   bool  // nothing may change
		err    error // of the first word
	}{
		"pending, succeeded":        {charge: paymenttest.Reply{Outcome: unknown(), Moves: true}, out: succeeded, want: payment.StateSettled},
		"pending, declined":         {charge: paymenttest.Reply{Outcome: unknown()}, out: declined, want: payment.StateFailed},
		"pending, mismatch":         {charge: paymenttest.Reply{Outcome: unknown()}, out: mismatch, want: payment.StateReview},
		"B054 pending, less":        {charge: paymenttest.Reply{Outcome: unknown()}, out: other, want: payment.StateReview},
		"pending, nothing known":    {charge: paymenttest.Reply{Outcome: unknown()}, out: unknown(), want: payment.StatePending, same: true},
		"pending, none":             {charge: paymenttest.Reply{Outcome: unknown()}, out: payment.Outcome{Class: payment.OutcomeNone}, want: payment.StatePending, same: true},
		"pending, voided":           {charge: paymenttest.Reply{Outcome: unknown()}, out: payment.Outcome{Class: payment.OutcomeVoided}, want: payment.StatePending, same: true},
		"review, succeeded":         {charge: paymenttest.Reply{Outcome: mismatch}, out: succeeded, want: payment.StateSettled},
		"review, declined":          {charge: paymenttest.Reply{Outcome: mismatch}, out: declined, want: payment.StateFailed},
		"review, still wrong":       {charge: paymenttest.Reply{Outcome: mismatch}, out: mismatch, want: payment.StateReview, same: true},
		"settled, same word":        {out: payment.Outcome{Class: payment.OutcomeSucceeded, Amount: amount}, want: payment.StateSettled, same: true},
		"settled, late decline":     {out: declined, want: payment.StateSettled, same: true},
		"I1 settled, second charge": {out: succeeded, want: payment.StateSettled, same: true, err: payment.ErrState},
		"T14 failed, succeeded":     {charge: paymenttest.Reply{Outcome: declined}, out: succeeded, want: payment.StateFailed, same: true, err: payment.ErrState},
		"failed, declined":          {charge: paymenttest.Reply{Outcome: declined}, out: declined, want: payment.StateFailed, same: true},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				p := w.processor(func(c *payment.Config) { c.Patience = time.Second })
				if tt.charge.Outcome.Class != payment.OutcomeUnknown || tt.charge.Outcome.Err != nil {
					w.rail.Script("charge", always(9, tt.charge)...)
				}
				c := credential(w, 1, "tok_1")
				_, _ = p.Charge(w.Context(), c, entitlement(true)) // the state below says what came of it
				before := w.get(c)
				out := tt.out
				if out.Class == payment.OutcomeSucceeded && out.Reference == "" {
					out.Reference = before.Reference
				}
				changed, err := p.Resolve(w.Context(), before.ID, out)
				if !errors.Is(err, tt.err) || changed == tt.same {
					w.Errorf("changed %v, %v; want %v, %v", changed, err, !tt.same, tt.err)
				}
				after := w.get(c)
				if after.State != tt.want || (after.Revision == before.Revision) != tt.same {
					w.Errorf("state %s at revision %d, want %s; was at %d", after.State, after.Revision, tt.want, before.Revision)
				}
				if changed, err = p.Resolve(w.Context(), before.ID, out); changed || !errors.Is(err, tt.err) {
					w.Errorf("repeated: changed %v, %v", changed, err)
				}
				if after.State == payment.StateSettled && before.State != payment.StateSettled {
					if after.Delivery != payment.DeliveryOpen || !after.WindowEnds.Equal(after.SettledAt.Add(window)) || after.Reference != "ch_hook" {
						w.Errorf("stored %+v", after)
					}
				}
				report, err := payment.Audit(w.Context(), w.store, time.Now(), time.Minute)
				if err != nil || len(report.Breaks) > 0 {
					w.Errorf("breaks %v, %v", report.Breaks, err)
				}
			})
		})
	}
	inTime(t, func(w *world) {
		if _, err := w.processor(nil).Resolve(w.Context(), "pay_none", succeeded); !errors.Is(err, payment.ErrNotFound) {
			w.Errorf("unknown payment: %v", err)
		}
	})
}

// TestResolveWhileSettling: the webhook is faster than the answer.
func TestResolveWhileSettling(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		w.rail.Script("charge", paymenttest.Reply{Hook: func(ctx context.Context, pay payment.Payment) {
			out := payment.Outcome{Class: payment.OutcomeSucceeded, Reference: "ch_" + pay.Key, Amount: pay.Amount}
			if changed, err := p.Resolve(ctx, pay.ID, out); err != nil || !changed {
				w.Errorf("webhook: %v, %v", changed, err)
			}
		}})
		if pay := w.charge(p, c, true); pay.Delivery != payment.DeliveryOpen {
			w.Errorf("delivery %s", pay.Delivery)
		}
		w.clean(1, 0)
	})
}

func TestF121_WebhooksAtOnce(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(func(c *payment.Config) { c.Patience = time.Second })
		w.rail.Script("charge", always(9, paymenttest.Reply{Outcome: unknown(), Moves: true})...)
		c := credential(w, 1, "tok_1")
		_, err := p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindPending)
		pay := w.get(c)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := p.Resolve(w.Context(), pay.ID, payment.Outcome{Class: payment.OutcomeSucceeded, Reference: "ch_1", Amount: pay.Amount}); err != nil {
					w.Error(err)
				}
			})
		}
		wg.Wait()
		w.clean(1, 0)
	})
}

func TestDispute(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		pay := w.charge(p, c, true)
		if err := p.Delivered(w.Context(), w.dispatch(p, pay, true), "r"); err != nil {
			w.Fatal(err)
		}
		word := func(open, want bool, receivable int64) {
			w.Helper()
			if changed, err := p.Dispute(w.Context(), pay.ID, open); err != nil || changed != want {
				w.Errorf("dispute %v: changed %v, %v", open, changed, err)
			}
			if got := w.clean(1, 0).Balances["receivable:fake USD/2"]; got != receivable {
				w.Errorf("receivable %d, want %d", got, receivable)
			}
			if got := w.get(c); got.Disputed != open {
				w.Errorf("disputed %v", got.Disputed)
			}
		}
		word(false, false, 150)
		word(true, true, 0)
		word(true, false, 0)
		word(false, true, 150)
		word(false, false, 150)
		w.at(c, payment.StateSettled, payment.DeliveryDelivered)
		if _, err := p.Dispute(w.Context(), "pay_none", true); !errors.Is(err, payment.ErrNotFound) {
			w.Errorf("unknown payment: %v", err)
		}
	})
}

// TestB071_RefundOfADisputed: refund and lost dispute together are in the books as
// what they are, a loss.
func TestB071_RefundOfADisputed(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		pay := w.charge(p, c, true)
		if _, err := p.Dispute(w.Context(), pay.ID, true); err != nil {
			w.Fatal(err)
		}
		if _, err := p.Refund(w.Context(), pay.ID, "operator"); err != nil {
			w.Fatal(err)
		}
		report := w.clean(1, 1)
		if report.Balances["disputed:fake USD/2"] != 150 || report.Balances["receivable:fake USD/2"] != -150 {
			w.Errorf("balances %v", report.Balances)
		}
	})
}

func TestDisputeOfAnUnsettled(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		w.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined}})
		c := credential(w, 1, "tok_1")
		_, err := p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindVerificationFailed)
		if changed, err := p.Dispute(w.Context(), w.get(c).ID, true); changed || err != nil {
			w.Errorf("changed %v, %v", changed, err)
		}
	})
}
