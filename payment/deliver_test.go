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

func TestDispatchRefusals(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		pay := w.charge(p, c, false)
		for _, bad := range []payment.Payment{
			{ID: "pay_x", State: payment.StatePending, Delivery: payment.DeliveryNone},
			{ID: "pay_x", State: payment.StateRefunding, Delivery: payment.DeliveryNone},
			{ID: "pay_x", State: payment.StateSettled, Delivery: payment.DeliveryDelivered},
		} {
			_, err := p.Dispatch(w.Context(), bad, true)
			wantKind(w, err, payment.KindInvalidChallenge)
		}
		served := w.dispatch(p, pay, true)
		_, err := p.Dispatch(w.Context(), pay, true)
		wantKind(w, err, payment.KindInProgress)
		// Another process sees the stored dispatch; a stale record meets the revision.
		two := w.processor(func(c *payment.Config) { c.Owner = "two" })
		for _, seen := range []payment.Payment{w.get(c), pay} {
			_, err = two.Dispatch(w.Context(), seen, true)
			wantKind(w, err, payment.KindInProgress)
		}
		if err := p.Delivered(w.Context(), served, "r"); err != nil {
			w.Fatal(err)
		}
		w.clean(1, 0)
	})
}

func TestDispatchNotStored(t *testing.T) {
	inTime(t, func(w *world) {
		down := false
		w.store = &tap{Store: w.store, update: func(_ context.Context, _ payment.Payment, run func() error) error {
			if down {
				return errors.New("disk full")
			}
			return run()
		}}
		p := w.processor(nil)
		pay := w.charge(p, credential(w, 1, "tok_1"), false)
		down = true
		_, err := p.Dispatch(w.Context(), pay, true)
		wantKind(w, err, payment.KindPending)
		down = false
		w.dispatch(p, pay, true) // the right to serve was given back
	})
}

func TestB066_UndeliveredUntilDispatchesAreUsedUp(t *testing.T) {
	for name, durable := range map[string]bool{"durable": true, "in memory": false} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				p := w.processor(nil)
				c := credential(w, 1, "tok_1")
				pay := w.charge(p, c, true)
				for n := 1; n <= 2; n++ {
					if _, err := p.Undelivered(w.Context(), w.dispatch(p, pay, durable), true, "upstream_502"); err != nil {
						w.Fatal(err)
					}
					if got := w.at(c, payment.StateSettled, payment.DeliveryOpen); got.Dispatches != n || got.Reason != "upstream_502" {
						w.Errorf("after failure %d: %+v", n, got)
					}
					pay = w.charge(p, c, true) // the payer is back
				}
				pay, err := p.Undelivered(w.Context(), w.dispatch(p, pay, durable), true, "upstream_502")
				if err != nil || pay.State != payment.StateRefunded {
					w.Errorf("third failure: %s, %v", pay.State, err)
				}
				w.at(c, payment.StateRefunded, payment.DeliveryNone)
				_, err = p.Charge(w.Context(), c, entitlement(true))
				wantKind(w, err, payment.KindInvalidChallenge)
				w.clean(1, 1)
			})
		})
	}
}

func TestUndeliveredMustNotRunAgain(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		pay, err := p.Undelivered(w.Context(), w.dispatch(p, w.charge(p, c, false), true), false, "")
		if err != nil || pay.State != payment.StateRefunded || pay.Reason != "undelivered" {
			w.Errorf("%s (%s), %v", pay.State, pay.Reason, err)
		}
		w.clean(1, 1)
	})
}

// TestLeaseRenewal: a delivery of many minutes keeps its lease, also when the rail
// does not answer recovery meanwhile.
func TestLeaseRenewal(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		ctx, stop := context.WithCancel(w.Context())
		defer stop()
		// A payment in doubt at a rail that hangs keeps recovery busy for long.
		stuck := credential(w, 2, "tok_2")
		w.rail.Script("charge", always(20, paymenttest.Reply{Outcome: unknown()})...)
		_, err := p.Charge(w.Context(), stuck, entitlement(true))
		wantKind(w, err, payment.KindPending)
		w.rail.Heal()
		w.rail.Script("lookup", always(100, paymenttest.Reply{Delay: time.Hour})...)

		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx, 0) })
		c := credential(w, 1, "tok_1")
		pay := w.dispatch(p, w.charge(p, c, false), true)
		two := w.processor(func(c *payment.Config) { c.Owner = "two" })
		for range 20 {
			time.Sleep(30 * time.Second)
			if got := w.get(c); !got.LeaseUntil.After(time.Now()) || got.Owner != "one" {
				w.Fatalf("lease until %s, owner %q at %s", got.LeaseUntil, got.Owner, time.Now())
			}
			if due, err := two.Recover(w.Context(), false); err != nil || due != 0 {
				w.Fatalf("taken over: %d, %v", due, err)
			}
		}
		if err := p.Delivered(w.Context(), pay, "r"); err != nil {
			w.Error(err)
		}
		w.at(c, payment.StateSettled, payment.DeliveryDelivered)
		stop()
		wg.Wait()
		if w.get(c).Revision < 10 {
			w.Error("nothing was renewed")
		}
		w.clean(1, 0)
	})
}

// TestDeliveryMeetsARenewal: a lease renewed, or a dispute flagged, between the
// reading and the writing of a delivery must not lose the delivery.
func TestDeliveryMeetsARenewal(t *testing.T) {
	for name, meanwhile := range map[string]func(w *world, p *payment.Processor, pay payment.Payment){
		"a renewal": func(w *world, _ *payment.Processor, pay payment.Payment) {
			pay.Revision++
			pay.LeaseUntil = time.Now().Add(time.Minute)
			if err := w.store.(*tap).Store.Update(w.Context(), pay, nil, nil); err != nil {
				w.Error(err)
			}
		},
		"a dispute": func(w *world, p *payment.Processor, pay payment.Payment) {
			if changed, err := p.Dispute(w.Context(), pay.ID, true); err != nil || !changed {
				w.Error(changed, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				store := &tap{Store: w.store}
				w.store = store
				p := w.processor(nil)
				c := credential(w, 1, "tok_1")
				pay := w.dispatch(p, w.charge(p, c, false), true)
				store.update = func(_ context.Context, _ payment.Payment, run func() error) error {
					store.update = nil
					meanwhile(w, p, pay)
					return run()
				}
				if err := p.Delivered(w.Context(), pay, "r"); err != nil {
					w.Error(err)
				}
				got := w.at(c, payment.StateSettled, payment.DeliveryDelivered)
				if got.Disputed != (name == "a dispute") || got.ReceiptID != "r" {
					w.Errorf("stored %+v", got)
				}
				w.clean(1, 0)
			})
		})
	}
}

// TestB079_StaleDeliveryIsFenced: a process that slept past its lease cannot
// write over what another has done with the payment since.
func TestB079_StaleDeliveryIsFenced(t *testing.T) {
	for name, redeliver := range map[string]bool{"open again": true, "refunded": false} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				one, two := w.processor(nil), w.processor(func(c *payment.Config) { c.Owner = "two" })
				c := credential(w, 1, "tok_1")
				pay := w.dispatch(one, w.charge(one, c, redeliver), true)
				time.Sleep(2 * time.Minute) // one is stopped
				w.recover(two, false, 1)
				if redeliver {
					w.dispatch(two, w.charge(two, c, true), true)
				}
				if err := one.Delivered(w.Context(), pay, "r"); !errors.Is(err, payment.ErrConflict) {
					w.Errorf("late delivery: %v, want ErrConflict", err)
				}
				if redeliver {
					w.at(c, payment.StateSettled, payment.DeliveryDispatched)
					if err := two.Delivered(w.Context(), w.get(c), "r2"); err != nil {
						w.Error(err)
					}
					w.clean(1, 0)
				} else {
					w.at(c, payment.StateRefunded, payment.DeliveryNone)
					w.clean(1, 1)
				}
			})
		})
	}
}

// TestB079_DeliveryTakenOver: the same, when the other process took the delivery
// over without opening it again first.
func TestB079_DeliveryTakenOver(t *testing.T) {
	inTime(t, func(w *world) {
		one, two := w.processor(nil), w.processor(func(c *payment.Config) { c.Owner = "two" })
		c := credential(w, 1, "tok_1")
		pay := w.dispatch(one, w.charge(one, c, true), true)
		_, err := two.Dispatch(w.Context(), w.get(c), true)
		wantKind(w, err, payment.KindInProgress) // while the lease lives
		time.Sleep(2 * time.Minute)
		taken := w.dispatch(two, w.get(c), false)
		if taken.Epoch <= pay.Epoch || taken.Owner != "two" || taken.Dispatches != 2 {
			w.Errorf("taken over as %+v", taken)
		}
		if err := one.Delivered(w.Context(), pay, "r"); !errors.Is(err, payment.ErrConflict) {
			w.Errorf("late delivery: %v, want ErrConflict", err)
		}
		if err := two.Delivered(w.Context(), taken, "r2"); err != nil {
			w.Error(err)
		}
		if got := w.at(c, payment.StateSettled, payment.DeliveryDelivered); got.ReceiptID != "r2" {
			w.Errorf("receipt %s", got.ReceiptID)
		}
		w.clean(1, 0)
	})
}

// TestB072_LastMinutesAreStored: near the window's end every dispatch is durable,
// so that another process's recovery sees it.
func TestB072_LastMinutesAreStored(t *testing.T) {
	inTime(t, func(w *world) {
		one, two := w.processor(nil), w.processor(func(c *payment.Config) { c.Owner = "two" })
		c := credential(w, 1, "tok_1")
		w.charge(one, c, true)
		early := w.dispatch(one, w.get(c), false)
		w.at(c, payment.StateSettled, payment.DeliveryOpen)
		if _, err := one.Undelivered(w.Context(), early, true, "reset"); err != nil {
			w.Fatal(err)
		}
		time.Sleep(window - time.Second)
		pay := w.dispatch(one, w.get(c), false)
		w.at(c, payment.StateSettled, payment.DeliveryDispatched)
		time.Sleep(10 * time.Second)
		w.recover(two, false, 0)
		if err := one.Delivered(w.Context(), pay, "r"); err != nil {
			w.Error(err)
		}
		w.clean(1, 0)
	})
}

// TestB072_WindowEndRace: at its window's end a payment is either delivered or
// refunded, by whichever process and in whichever order.
func TestB072_WindowEndRace(t *testing.T) {
	delivered, refunded := 0, 0
	for round := range 40 {
		inTime(t, func(w *world) {
			one, two := w.processor(nil), w.processor(func(c *payment.Config) { c.Owner = "two" })
			c := credential(w, 1, "tok_1")
			pay := w.charge(one, c, true)
			time.Sleep(time.Until(pay.WindowEnds))
			var wg sync.WaitGroup
			recover := func(p *payment.Processor) func() {
				return func() {
					if _, err := p.Recover(w.Context(), false); err != nil {
						w.Errorf("recovery: %v", err)
					}
				}
			}
			deliver := func() {
				got, err := one.Charge(w.Context(), c, entitlement(true))
				if err == nil {
					got, err = one.Dispatch(w.Context(), got, false)
				}
				if err == nil {
					err = one.Delivered(w.Context(), got, "r")
					if err != nil {
						w.Errorf("served, and not recorded: %v", err)
					}
				}
				if pe, ok := errors.AsType[*payment.Error](err); err != nil && (!ok || pe.Kind != payment.KindInProgress && pe.Kind != payment.KindInvalidChallenge) {
					w.Errorf("re-entry: %v", err)
				}
			}
			for i, f := range []func(){recover(one), deliver, recover(two), deliver} {
				if (round+i)%3 == 0 {
					f()
				} else {
					wg.Go(f)
				}
			}
			wg.Wait()
			w.recover(two, false, 0)
			if got := w.get(c); got.State == payment.StateRefunded && got.Delivery == payment.DeliveryNone {
				refunded++
				w.clean(1, 1)
			} else {
				delivered++
				w.at(c, payment.StateSettled, payment.DeliveryDelivered)
				w.clean(1, 0)
			}
		})
	}
	if delivered == 0 || refunded == 0 {
		t.Errorf("%d delivered, %d refunded: the race was not run both ways", delivered, refunded)
	}
}

func TestWindowOver(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		w.charge(p, c, true)
		time.Sleep(window - time.Second)
		w.recover(p, false, 0)
		time.Sleep(2 * time.Second)
		_, err := p.Dispatch(w.Context(), w.charge(p, c, true), false)
		wantKind(w, err, payment.KindInvalidChallenge)
		w.recover(p, false, 1)
		if got := w.at(c, payment.StateRefunded, payment.DeliveryNone); got.Reason != "not_collected" || got.RefundReference == "" || got.RefundedAt.IsZero() {
			w.Errorf("stored %+v", got)
		}
		w.clean(1, 1)
	})
}

// TestRecoveryLeavesTheServedAlone: a payment that this process serves is not
// touched, and one that recovery has taken is not served.
func TestRecoveryLeavesTheServedAlone(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		pay := w.dispatch(p, w.charge(p, c, true), false)
		time.Sleep(window + time.Minute)
		w.recover(p, false, 0)
		_, err := p.Refund(w.Context(), pay.ID, "operator")
		wantKind(w, err, payment.KindInProgress)
		if _, err := p.Undelivered(w.Context(), pay, true, "reset"); err != nil {
			w.Fatal(err)
		}
		w.rail.Script("refund", paymenttest.Reply{Delay: 5 * time.Second})
		var wg sync.WaitGroup
		wg.Go(func() { w.recover(p, false, 1) })
		time.Sleep(time.Second)
		_, err = p.Dispatch(w.Context(), pay, true)
		wantKind(w, err, payment.KindInProgress)
		wg.Wait()
		w.clean(1, 1)
	})
}

// TestReentryMeetsRecovery: a payer that comes back to an interrupted delivery
// while recovery is about to open it again keeps what it took.
func TestReentryMeetsRecovery(t *testing.T) {
	inTime(t, func(w *world) {
		store := &listing{Store: w.store}
		w.store = store
		one, two := w.processor(nil), w.processor(func(c *payment.Config) { c.Owner = "two" })
		c := credential(w, 1, "tok_1")
		w.dispatch(one, w.charge(one, c, true), true)
		time.Sleep(2 * time.Minute) // one is dead
		var again payment.Payment
		store.after = func() { again = w.dispatch(two, w.get(c), true) }
		w.recover(two, false, 0)
		_, err := two.Dispatch(w.Context(), w.get(c), true)
		wantKind(w, err, payment.KindInProgress)
		if err := two.Delivered(w.Context(), again, "r"); err != nil {
			w.Error(err)
		}
		w.at(c, payment.StateSettled, payment.DeliveryDelivered)
		w.clean(1, 0)
	})
}

// listing calls after between the reading of what is due and its return.
type listing struct {
	payment.Store
	after func()
}

func (s *listing) Due(ctx context.Context, now time.Time, limit int) ([]payment.Payment, error) {
	due, err := s.Store.Due(ctx, now, limit)
	if f := s.after; f != nil {
		s.after = nil
		f()
	}
	return due, err //nolint:wrapcheck // a test's window
}
