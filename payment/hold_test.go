package payment_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

// calls are the operations that the rail was asked for, in order.
func (w *world) calls() string {
	var ops []string
	for _, c := range w.rail.Calls() {
		ops = append(ops, c.Op)
	}
	return strings.Join(ops, " ")
}

func TestHoldCaptureDeliver(t *testing.T) {
	for _, redeliver := range []bool{true, false} {
		for _, units := range []int64{150, 149, 1} {
			t.Run(fmt.Sprintf("redeliver %v, %d units", redeliver, units), func(t *testing.T) {
				inTime(t, func(w *world) {
					p := w.processor(nil)
					c := holding(w, 1, "tok_1")
					pay := w.hold(p, c, redeliver)
					if pay.Payer != c.Payer || pay.Network != c.Offer.Network {
						w.Errorf("payer %q at %q", pay.Payer, pay.Network)
					}
					w.clean(0, 0)
					pay = w.capture(p, pay, units)
					want := payment.DeliveryOpen
					if !redeliver {
						want = payment.DeliveryDispatched // it has run, and must not again
					}
					stored := w.at(c, payment.StateSettled, want)
					if pay.Amount != usd(w, units) || stored.Amount != pay.Amount || stored.Dispatches != 1 || w.rail.Taken(pay.Key) != pay.Amount {
						w.Errorf("took %s, stored %s in %d dispatches", pay.Amount, stored.Amount, stored.Dispatches)
					}
					w.clean(1, 0)
					if err := p.Delivered(w.Context(), pay, "r"); err != nil {
						w.Error(err)
					}
					w.at(c, payment.StateSettled, payment.DeliveryDelivered)
					report := w.clean(1, 0)
					if got := report.Balances["revenue USD/2"]; got != -units {
						w.Errorf("revenue %d, want %d", got, -units)
					}
					again, err := p.Hold(w.Context(), c, entitlement(redeliver))
					if err != nil || again.Delivery != payment.DeliveryDelivered {
						w.Errorf("presented again: %s/%s, %v", again.State, again.Delivery, err)
					}
					if got := w.calls(); got != "hold capture" {
						w.Errorf("the rail was asked to %s", got)
					}
				})
			})
		}
	}
}

// TestCaptureThenUndelivered: the money is taken and the answer did not arrive.
func TestCaptureThenUndelivered(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := holding(w, 1, "tok_1")
		pay := w.capture(p, w.hold(p, c, true), 100)
		pay, err := p.Undelivered(w.Context(), pay, true, "payer_gone")
		if err != nil || pay.State != payment.StateSettled || pay.Delivery != payment.DeliveryOpen {
			w.Fatalf("undelivered: %s/%s, %v", pay.State, pay.Delivery, err)
		}
		again, err := p.Hold(w.Context(), c, entitlement(true))
		if err != nil || again.State != payment.StateSettled || again.Delivery != payment.DeliveryOpen {
			w.Fatalf("back: %s/%s, %v", again.State, again.Delivery, err)
		}
		again = w.dispatch(p, again, true)
		if again.Dispatches != 2 {
			w.Errorf("%d dispatches", again.Dispatches)
		}
		if err := p.Delivered(w.Context(), again, "r"); err != nil {
			w.Error(err)
		}
		w.clean(1, 0)

		c = holding(w, 2, "tok_2")
		pay = w.capture(p, w.hold(p, c, false), 100)
		if pay, err = p.Undelivered(w.Context(), pay, false, "payer_gone"); err != nil || pay.State != payment.StateRefunded {
			w.Errorf("undelivered: %s, %v", pay.State, err)
		}
		w.clean(2, 1)
	})
}

// TestReleaseAndBeginAgain: nothing was taken for a credential, so that it may be
// presented again, a bounded number of times, each with a payment of its own.
func TestReleaseAndBeginAgain(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := holding(w, 1, "tok_1")
		keys := map[string]bool{}
		for n := 1; n <= 8; n++ {
			pay := w.hold(p, c, false)
			want := c.ChallengeID
			if n > 1 {
				want = fmt.Sprintf("%s~%d", want, n)
			}
			if pay.ChallengeID != want || keys[pay.Key] {
				w.Errorf("claim %d is under %q with key %q", n, pay.ChallengeID, pay.Key)
			}
			keys[pay.Key] = true
			released, err := p.Release(w.Context(), pay, "upstream_502")
			if err != nil || released.State != payment.StateVoided || released.Reason != "released:upstream_502" {
				w.Fatalf("release %d: %s (%s), %v", n, released.State, released.Reason, err)
			}
			if closed, err := p.Closed(w.Context(), c.ChallengeID, time.Now().Add(time.Minute)); err != nil || !closed {
				w.Errorf("closed %v, %v", closed, err)
			}
		}
		_, err := p.Hold(w.Context(), c, entitlement(false))
		wantKind(w, err, payment.KindInvalidChallenge)
		w.clean(0, 0)

		// The last claim is the one that counts for whoever comes late.
		c = holding(w, 2, "tok_2")
		if _, err := p.Release(w.Context(), w.hold(p, c, true), ""); err != nil {
			w.Fatal(err)
		}
		second := w.capture(p, w.hold(p, c, true), 150)
		if pay, err := p.Resume(w.Context(), c); err != nil || pay.ID != second.ID {
			w.Errorf("resumed %s, %v; want %s", pay.ID, err, second.ID)
		}
		if closed, err := p.Closed(w.Context(), c.ChallengeID, time.Now()); err != nil || closed {
			w.Errorf("closed %v, %v", closed, err)
		}
		w.clean(1, 0)

		// Neither another credential nor another request may take its place.
		c = holding(w, 3, "tok_3")
		if _, err := p.Release(w.Context(), w.hold(p, c, true), ""); err != nil {
			w.Fatal(err)
		}
		other := c
		other.Hash = "another"
		_, err = p.Hold(w.Context(), other, entitlement(true))
		wantKind(w, err, payment.KindInvalidChallenge)
		other = c
		other.Scope.Target = "/v1/another"
		_, err = p.Hold(w.Context(), other, entitlement(true))
		wantKind(w, err, payment.KindInvalidChallenge)
		w.clean(1, 0)
	})
}

// TestOnlyAReleaseBeginsAgain: what failed, was voided for other reasons or paid
// back stays closed.
func TestOnlyAReleaseBeginsAgain(t *testing.T) {
	declined := payment.Outcome{Class: payment.OutcomeDeclined, Kind: payment.KindPaymentInsufficient, Reason: "insufficient_funds"}
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := holding(w, 1, "tok_1")
		w.rail.Script("hold", paymenttest.Reply{Outcome: declined})
		for range 2 {
			_, err := p.Hold(w.Context(), c, entitlement(true))
			if e, ok := errors.AsType[*payment.Error](err); !ok || e.Reason != "insufficient_funds" {
				w.Errorf("declined: %+v", err)
			}
		}
		w.at(c, payment.StateFailed, payment.DeliveryNone)

		c = holding(w, 2, "tok_2")
		pay := w.hold(p, c, true)
		w.rail.Script("capture", paymenttest.Reply{Outcome: declined})
		_, err := p.Capture(w.Context(), pay, pay.Amount)
		if e := wantKind(w, err, payment.KindPaymentInsufficient); e.Reason != "insufficient_funds" {
			w.Errorf("reason %q", e.Reason)
		}
		w.at(c, payment.StateFailed, payment.DeliveryNone)
		_, err = p.Hold(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindVerificationFailed)

		c = holding(w, 3, "tok_3")
		paid := w.capture(p, w.hold(p, c, true), 150)
		if _, err := p.Undelivered(w.Context(), paid, false, "x"); err != nil {
			w.Fatal(err)
		}
		_, err = p.Hold(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindInvalidChallenge)
		w.clean(1, 1)
	})
}

func TestCaptureOfNothing(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := holding(w, 1, "tok_1")
		pay := w.capture(p, w.hold(p, c, false), 0)
		if pay.State != payment.StateVoided || pay.Reason != "released:nothing_used" {
			w.Errorf("%s (%s)", pay.State, pay.Reason)
		}
		c = holding(w, 2, "tok_2")
		w.rail.Script("release", paymenttest.Reply{Outcome: unknown()})
		w.capture(p, w.hold(p, c, false), 0) // the rail does not answer; nothing is taken all the same
		w.at(c, payment.StatePending, payment.DeliveryNone)
		w.recover(p, false, 1)
		if pay := w.at(c, payment.StateVoided, payment.DeliveryNone); pay.Reason != "released:nothing_used" {
			w.Errorf("reason %q", pay.Reason)
		}
		w.clean(0, 0)
	})
}

// TestCaptureRefusesAmounts: what was not promised is not asked for, and the
// promise is given up.
func TestCaptureRefusesAmounts(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		for n, units := range []int64{151, -1} {
			c := holding(w, n+1, fmt.Sprintf("tok_%d", n+1))
			pay := w.hold(p, c, true)
			_, err := p.Capture(w.Context(), pay, usd(w, units))
			if !errors.Is(err, payment.ErrState) {
				w.Errorf("%d units: %v", units, err)
			}
			wantKind(w, err, payment.KindInternal)
			w.at(c, payment.StateVoided, payment.DeliveryNone)
			if _, err := p.Capture(w.Context(), pay, pay.Amount); !errors.Is(err, payment.ErrState) {
				w.Errorf("a second capture: %v", err)
			}
			if _, err := p.Release(w.Context(), pay, "x"); !errors.Is(err, payment.ErrState) {
				w.Errorf("a release after it: %v", err)
			}
		}
		w.clean(0, 0)
	})
}

// TestHoldWithoutAnAnswer: a promise that cannot be had in time moves nothing.
func TestHoldWithoutAnAnswer(t *testing.T) {
	notNow := payment.Outcome{Class: payment.OutcomeNotNow, Reason: "not_sent"}
	inTime(t, func(w *world) {
		p := w.processor(nil)
		for n, out := range []payment.Outcome{unknown(), notNow} {
			w.rail.Heal()
			c := holding(w, n+1, fmt.Sprintf("tok_%d", n+1))
			w.rail.Script("hold", always(99, paymenttest.Reply{Outcome: out})...)
			_, err := p.Hold(w.Context(), c, entitlement(true))
			if e := wantKind(w, err, payment.KindBusy); e.RetryAfter == 0 || e.PaymentID != "" || e.Reason != out.Reason {
				w.Errorf("%+v", e)
			}
			w.at(c, payment.StateVoided, payment.DeliveryNone)
			w.rail.Heal()
			w.hold(p, c, true) // nothing was taken: it may try again
		}

		// A rail that may keep a promise says nothing at all: recovery gives it up.
		c := holding(w, 8, "tok_8")
		w.rail.Script("hold", always(99, paymenttest.Reply{Outcome: unknown()})...)
		w.rail.Script("release", paymenttest.Reply{Outcome: unknown()})
		_, err := p.Hold(w.Context(), c, entitlement(true))
		if e := wantKind(w, err, payment.KindPending); e.PaymentID == "" {
			w.Errorf("%+v", e)
		}
		w.at(c, payment.StatePending, payment.DeliveryNone)
		w.recover(p, false, 1)
		w.at(c, payment.StateVoided, payment.DeliveryNone)
		w.clean(0, 0)
	})
}

// TestGivenUpIsNotHeldAgain: a rail that has forgotten its promise, and whose word
// of that was lost, is not asked for the same one again.
func TestGivenUpIsNotHeldAgain(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := holding(w, 1, "tok_1")
		pay := w.hold(p, c, true)
		w.rail.Script("release", paymenttest.Reply{Outcome: unknown()})
		_, err := p.Release(w.Context(), pay, "upstream_502")
		wantKind(w, err, payment.KindPending)
		_, err = p.Hold(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindPending)
		if got := w.calls(); got != "hold release" {
			w.Errorf("the rail was asked to %s", got)
		}
		w.recover(p, false, 1)
		if pay := w.at(c, payment.StateVoided, payment.DeliveryNone); pay.Reason != "released:upstream_502" {
			w.Errorf("reason %q", pay.Reason)
		}
		w.capture(p, w.hold(p, c, true), 150)
		w.clean(1, 0)
	})
}

func TestHoldFatalPauses(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := holding(w, 1, "tok_1")
		w.rail.Script("hold", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeNotNow, Fatal: true, Reason: "key_refused"}})
		_, err := p.Hold(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindBusy)
		if p.Paused(w.Context()) == "" {
			w.Error("settlement goes on")
		}
		_, err = p.Hold(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindPaused)
		w.clean(0, 0)
	})
}

// TestB053_CaptureUnknown: the claim is kept, the same bytes go out again, and the
// payer collects later.
func TestB053_CaptureUnknown(t *testing.T) {
	for _, moves := range []bool{true, false} {
		for _, by := range []string{"recovery", "payer"} {
			for _, redeliver := range []bool{true, false} {
				t.Run(fmt.Sprintf("moves %v, found by %s, redeliver %v", moves, by, redeliver), func(t *testing.T) {
					inTime(t, func(w *world) {
						p := w.processor(nil)
						c := holding(w, 1, "tok_1")
						pay := w.hold(p, c, redeliver)
						w.rail.Script("capture", always(99, paymenttest.Reply{Outcome: unknown(), Moves: moves})...)
						_, err := p.Capture(w.Context(), pay, usd(w, 99))
						if e := wantKind(w, err, payment.KindPending); e.PaymentID != pay.ID {
							w.Errorf("%+v", e)
						}
						w.at(c, payment.StateAuthorized, payment.DeliveryOpen)
						_, err = p.Hold(w.Context(), holding(w, 2, "tok_1"), entitlement(true))
						wantKind(w, err, payment.KindPending) // the same instrument is in doubt
						_, err = p.Resume(w.Context(), c)
						wantKind(w, err, payment.KindPending)
						w.rail.Heal()
						if by == "recovery" {
							w.recover(p, false, 1)
						}
						after, err := p.Hold(w.Context(), c, entitlement(redeliver))
						if err != nil || after.ID != pay.ID || after.State != payment.StateSettled || after.Amount != usd(w, 99) {
							w.Fatalf("back: %s/%s of %s, %v", after.State, after.Delivery, after.Amount, err)
						}
						if redeliver {
							after = w.dispatch(p, after, false)
						} else {
							// It ran once. Only the answer that was kept may be given for it.
							_, err := p.Dispatch(w.Context(), after, true)
							wantKind(w, err, payment.KindPending)
						}
						if err := p.Delivered(w.Context(), after, "r"); err != nil {
							w.Error(err)
						}
						w.at(c, payment.StateSettled, payment.DeliveryDelivered)
						w.clean(1, 0)
					})
				})
			}
		}
	}
}

// TestCaptureMismatch: an answer that contradicts the payment is for a person.
func TestCaptureMismatch(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := holding(w, 1, "tok_1")
		pay := w.hold(p, c, true)
		w.rail.Script("capture", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeSucceeded, Reference: "ch_1", Amount: pay.Amount}})
		_, err := p.Capture(w.Context(), pay, usd(w, 10)) // it took all of it
		wantKind(w, err, payment.KindPending)
		if stored := w.at(c, payment.StateReview, payment.DeliveryNone); stored.Reason != "amount_differs" {
			w.Errorf("reason %q", stored.Reason)
		}
		w.clean(1, 0)
	})
}

// TestI3_OneServesAHeldPayment: of many copies of a credential one is served.
func TestI3_OneServesAHeldPayment(t *testing.T) {
	inTime(t, func(w *world) {
		procs := []*payment.Processor{w.processor(nil), w.processor(func(c *payment.Config) { c.Owner = "two" })}
		for round := range 2 { // the second time, after a release
			c := holding(w, 1, "tok_1")
			var served atomic.Int64
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() {
					pay, err := procs[i%2].Hold(w.Context(), c, entitlement(false))
					if err != nil {
						wantKind(w, err, payment.KindInProgress)
						return
					}
					served.Add(1)
					time.Sleep(10 * time.Second)
					if round == 0 {
						_, err = procs[i%2].Release(w.Context(), pay, "upstream")
					} else if pay, err = procs[i%2].Capture(w.Context(), pay, pay.Amount); err == nil {
						err = procs[i%2].Delivered(w.Context(), pay, "r")
					}
					if err != nil {
						w.Error(err)
					}
				})
			}
			wg.Wait()
			if served.Load() != 1 {
				w.Errorf("%d copies were served", served.Load())
			}
		}
		w.clean(1, 0)
	})
}

// TestHoldOutlivesItsLease: a long answer keeps its payment as long as its process lives.
func TestHoldOutlivesItsLease(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		other := w.processor(func(c *payment.Config) { c.Owner = "two" })
		ctx, stop := context.WithCancel(w.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx, 0) })
		wg.Go(func() { other.Run(ctx, 0) })
		c := holding(w, 1, "tok_1")
		pay := w.hold(p, c, false)
		time.Sleep(10 * time.Minute)
		_, err := other.Hold(ctx, c, entitlement(false))
		wantKind(w, err, payment.KindInProgress)
		_, err = p.Hold(ctx, c, entitlement(false))
		wantKind(w, err, payment.KindInProgress)
		pay = w.capture(p, pay, 150)
		time.Sleep(window + 10*time.Minute) // a long stream
		if err := p.Delivered(ctx, pay, "r"); err != nil {
			w.Error(err)
		}
		stop()
		wg.Wait()
		w.at(c, payment.StateSettled, payment.DeliveryDelivered)
		w.clean(1, 0)
	})
}

// TestB057_HoldIsFenced: a process that lost its lease takes nothing any more.
func TestB057_HoldIsFenced(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil) // it renews nothing
		other := w.processor(func(c *payment.Config) { c.Owner = "two" })
		c := holding(w, 1, "tok_1")
		pay := w.hold(p, c, true)
		time.Sleep(time.Minute)
		// The payer comes to the other process, which serves it anew.
		again := w.hold(other, c, true)
		_, err := p.Capture(w.Context(), pay, pay.Amount)
		wantKind(w, err, payment.KindPending)
		w.clean(0, 0)
		w.capture(other, again, 150)
		w.clean(1, 0)

		c = holding(w, 2, "tok_2")
		pay = w.hold(p, c, false)
		time.Sleep(time.Minute)
		// It may have run: it is not served again under this payment.
		_, err = other.Hold(w.Context(), c, entitlement(false))
		wantKind(w, err, payment.KindPending)
		w.recover(other, false, 1)
		w.at(c, payment.StateVoided, payment.DeliveryNone)
		_, err = p.Capture(w.Context(), pay, pay.Amount)
		wantKind(w, err, payment.KindPending)
		if _, err = p.Release(w.Context(), pay, "x"); !errors.Is(err, payment.ErrState) {
			w.Errorf("release of what is gone: %v", err)
		}
		w.clean(1, 0)
	})
}

// TestCaptureStoreFails: without a durable decision nothing is asked of the rail.
func TestCaptureStoreFails(t *testing.T) {
	for _, lost := range []bool{true, false} {
		t.Run(fmt.Sprintf("answer lost %v", lost), func(t *testing.T) {
			inTime(t, func(w *world) {
				broken := false
				w.store = &tap{Store: w.store, update: func(_ context.Context, _ payment.Payment, real func() error) error {
					if !broken {
						return real()
					}
					if lost {
						if err := real(); err != nil {
							return err
						}
					}
					return errors.New("connection lost")
				}}
				p := w.processor(nil)
				c := holding(w, 1, "tok_1")
				pay := w.hold(p, c, true)
				broken = true
				_, err := p.Capture(w.Context(), pay, usd(w, 70))
				broken = false
				switch {
				case lost && err != nil: // the retry finds that it is stored
					w.Fatalf("capture: %v", err)
				case lost:
					return
				}
				wantKind(w, err, payment.KindPending)
				if got := w.calls(); got != "hold" {
					w.Errorf("the rail was asked to %s", got)
				}
				time.Sleep(time.Minute)
				w.recover(p, false, 1)
				w.at(c, payment.StateVoided, payment.DeliveryNone)
				w.clean(0, 0)
			})
		})
	}
}

func TestRecoverHeld(t *testing.T) {
	none := paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeNone}}
	silent := paymenttest.Reply{Outcome: unknown()}
	for name, tt := range map[string]struct {
		at     string
		script map[string][]paymenttest.Reply
		after  time.Duration
		paused bool
		want   payment.State
		reason string
		calls  string
		taken  int
	}{
		"given up":                {at: payment.PointHeld, want: payment.StateVoided, reason: "released:interrupted", calls: "hold release"},
		"rail is silent":          {at: payment.PointHeld, script: map[string][]paymenttest.Reply{"release": {silent}}, want: payment.StatePending, reason: "released:interrupted", calls: "hold release"},
		"rail contradicts":        {at: payment.PointHeld, script: map[string][]paymenttest.Reply{"release": {{Outcome: payment.Outcome{Class: payment.OutcomeMismatch, Reason: "captured"}}}}, want: payment.StateReview, reason: "captured", calls: "hold release"},
		"pending for too long":    {at: payment.PointHeld, after: 24 * time.Hour, want: payment.StateReview, reason: "no_answer", calls: "hold"},
		"not begun":               {at: payment.PointCapture, want: payment.StateSettled, calls: "hold lookup capture", taken: 1},
		"begun":                   {at: payment.PointAnswered, want: payment.StateSettled, calls: "hold capture lookup", taken: 1},
		"begun, hidden":           {at: payment.PointAnswered, script: map[string][]paymenttest.Reply{"lookup": {none}}, want: payment.StateSettled, calls: "hold capture lookup capture", taken: 1},
		"look-up is silent":       {at: payment.PointAnswered, script: map[string][]paymenttest.Reply{"lookup": {silent}}, want: payment.StateAuthorized, reason: "timeout", calls: "hold capture lookup", taken: 1},
		"authorized for too long": {at: payment.PointCapture, after: 24 * time.Hour, want: payment.StateReview, reason: "no_answer", calls: "hold"},
		"paused, not begun":       {at: payment.PointCapture, paused: true, want: payment.StateAuthorized, reason: "none", calls: "hold lookup"},
		"paused, begun":           {at: payment.PointAnswered, paused: true, want: payment.StateSettled, calls: "hold capture lookup", taken: 1},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				c := holding(w, 1, "tok_1")
				if p := w.processor(dieAt(tt.at)); !dies(func() { w.capture(p, w.hold(p, c, true), 33) }) {
					w.Fatal("did not crash")
				}
				for op, replies := range tt.script {
					w.rail.Script(op, replies...)
				}
				time.Sleep(max(tt.after, time.Minute))
				p := w.processor(nil)
				if tt.paused {
					if err := p.SetPaused(w.Context(), "drill"); err != nil {
						w.Fatal(err)
					}
				}
				if _, err := p.Recover(w.Context(), true); err != nil {
					w.Error(err)
				}
				if pay := w.get(c); pay.State != tt.want || pay.Reason != tt.reason {
					w.Errorf("%s (%s), want %s (%s)", pay.State, pay.Reason, tt.want, tt.reason)
				}
				if got := w.calls(); got != tt.calls {
					w.Errorf("the rail was asked to %s, want %s", got, tt.calls)
				}
				w.clean(tt.taken, 0)
			})
		})
	}
}

// TestHeldMethodGone: without its rail, or with one that does not hold any more,
// a person decides.
func TestHeldMethodGone(t *testing.T) {
	inTime(t, func(w *world) {
		c := holding(w, 1, "tok_1")
		if p := w.processor(dieAt(payment.PointHeld)); !dies(func() { w.hold(p, c, true) }) {
			w.Fatal("did not crash")
		}
		p := w.processor(func(cfg *payment.Config) {
			cfg.Sole, cfg.Methods = true, []payment.Method{struct{ payment.Method }{w.rail}}
		})
		_, err := p.Hold(w.Context(), holding(w, 2, "tok_2"), entitlement(true))
		wantKind(w, err, payment.KindMethodUnsupported)
		w.recover(p, true, 1)
		if pay := w.at(c, payment.StateReview, payment.DeliveryNone); pay.Reason != "method_gone" {
			w.Errorf("reason %q", pay.Reason)
		}
	})
}

// TestChargeOfAHold: what is a ceiling is never taken at once, and a payment that
// is held is not charged by another way in.
func TestChargeOfAHold(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := holding(w, 1, "tok_1")
		c.Offer.Metered = true
		_, err := p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindInternal)
		if _, err := w.store.ByChallenge(w.Context(), c.ChallengeID); !errors.Is(err, payment.ErrNotFound) {
			w.Errorf("it was claimed: %v", err)
		}
		pay := w.hold(p, c, true)
		c.Offer.Metered = false
		_, err = p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindInProgress)
		time.Sleep(time.Minute)
		_, err = p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindPending)
		w.clean(0, 0)
		w.capture(p, pay, 1)
		w.clean(1, 0)
	})
}

// TestResolveHeld: word of the rail that comes while a capture is in doubt.
func TestResolveHeld(t *testing.T) {
	for _, redeliver := range []bool{true, false} {
		inTime(t, func(w *world) {
			p := w.processor(nil)
			c := holding(w, 1, "tok_1")
			pay := w.hold(p, c, redeliver)
			// The word is there before the answer.
			w.rail.Script("capture", paymenttest.Reply{Moves: true, Hook: func(ctx context.Context, pay payment.Payment) {
				changed, err := p.Resolve(ctx, pay.ID, payment.Outcome{Class: payment.OutcomeSucceeded, Reference: "ch_" + pay.Key, Amount: pay.Amount})
				if err != nil || !changed {
					w.Errorf("resolve: %v, %v", changed, err)
				}
			}})
			pay = w.capture(p, pay, 75)
			if err := p.Delivered(w.Context(), pay, "r"); err != nil {
				w.Error(err)
			}
			w.at(c, payment.StateSettled, payment.DeliveryDelivered)
			w.clean(1, 0)
		})
	}
}
