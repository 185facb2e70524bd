package payment_test

import (
	"testing"
	"time"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

// life is one way a payment goes, in a process that may die on it.
type life func(w *world, p *payment.Processor, c payment.Credential)

func paid(redeliver, durable bool) life {
	return func(w *world, p *payment.Processor, c payment.Credential) {
		pay := w.dispatch(p, w.charge(p, c, redeliver), durable)
		if err := p.Delivered(w.Context(), pay, "r"); err != nil {
			w.Errorf("delivered: %v", err)
		}
	}
}

// used is a life in which the request runs before its money is taken.
func used(redeliver bool) life {
	return func(w *world, p *payment.Processor, c payment.Credential) {
		pay := w.capture(p, w.hold(p, c, redeliver), 120)
		if err := p.Delivered(w.Context(), pay, "r"); err != nil {
			w.Errorf("delivered: %v", err)
		}
	}
}

// present is what a payer does that comes back with its credential, and reports
// whether it was served.
func present(w *world, p *payment.Processor, c payment.Credential) bool {
	w.Helper()
	pay, err := p.Hold(w.Context(), c, entitlement(true)) // what does not hold is charged
	switch {
	case err != nil || pay.Delivery == payment.DeliveryDispatched || pay.Delivery == payment.DeliveryDelivered:
		return false
	case pay.State == payment.StatePending:
		pay = w.capture(p, pay, 120)
	default:
		pay = w.dispatch(p, pay, true)
	}
	if err := p.Delivered(w.Context(), pay, "r"); err != nil {
		w.Errorf("delivered: %v", err)
	}
	return true
}

func returned(w *world, p *payment.Processor, c payment.Credential) {
	pay := w.dispatch(p, w.charge(p, c, false), true)
	if _, err := p.Undelivered(w.Context(), pay, false, "upstream_502"); err != nil {
		w.Errorf("undelivered: %v", err)
	}
}

// TestCrashTable kills the process at every point of the core, one row of the
// crash table each, and lets another one take over.
func TestCrashTable(t *testing.T) {
	type where struct {
		s payment.State
		d payment.Delivery
	}
	var (
		voided   = where{payment.StateVoided, payment.DeliveryNone}
		open     = where{payment.StateSettled, payment.DeliveryOpen}
		ran      = where{payment.StateSettled, payment.DeliveryDispatched}
		failed   = where{payment.StateFailed, payment.DeliveryNone}
		done     = where{payment.StateSettled, payment.DeliveryDelivered}
		repaid   = where{payment.StateRefunded, payment.DeliveryNone}
		nothing  = where{}
		lost     = []paymenttest.Reply{{Outcome: unknown(), Moves: true}}
		declined = []paymenttest.Reply{{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "card_declined"}}}
	)
	reached := map[string]bool{}
	for _, tt := range []struct {
		name   string
		at     string
		life   life
		hold   bool // the money is held first
		charge []paymenttest.Reply
		refund []paymenttest.Reply
		after  where // once recovery has passed
		// the payer comes back after recovery: served means it gets the goods
		served  bool
		end     where // when its window is over, too
		charges int
		refunds int
		money   int // charges when nobody comes back
	}{
		{name: "s1 B059", at: payment.PointVerified, life: paid(true, true), after: nothing, served: true, end: done, charges: 1},
		{name: "s2 B060", at: payment.PointIntent, life: paid(true, true), after: voided, end: voided},
		{name: "s3 B060", at: payment.PointSend, life: paid(true, true), after: voided, end: voided},
		{name: "s4 B061 answer lost", at: payment.PointAnswered, life: paid(true, true), charge: lost, after: open, served: true, end: done, charges: 1, money: 1},
		{name: "s5 B061", at: payment.PointAnswered, life: paid(true, true), after: open, served: true, end: done, charges: 1, money: 1},
		{name: "s5 declined", at: payment.PointAnswered, life: paid(true, true), charge: declined, after: failed, end: failed},
		{name: "s6 B062", at: payment.PointSettled, life: paid(false, true), after: open, served: true, end: done, charges: 1, money: 1},
		{name: "s7 must not run twice", at: payment.PointDispatched, life: paid(false, true), after: repaid, end: repaid, charges: 1, refunds: 1, money: 1},
		{name: "s7 may run again", at: payment.PointDispatched, life: paid(true, true), after: open, served: true, end: done, charges: 1, money: 1},
		{name: "s7 in memory", at: payment.PointDispatched, life: paid(true, false), after: open, served: true, end: done, charges: 1, money: 1},
		{name: "s11", at: payment.PointDelivered, life: paid(false, true), after: done, end: done, charges: 1, money: 1},
		// A promise of which nothing was taken is given up, and the credential may begin
		// again. What was decided to be taken is taken; its goods can be collected where
		// they may be made again, and are paid back where not.
		{name: "s1 held", hold: true, at: payment.PointVerified, life: used(true), after: nothing, served: true, end: done, charges: 1},
		{name: "s2 held", hold: true, at: payment.PointIntent, life: used(true), after: voided, served: true, end: voided, charges: 1},
		{name: "promised, may run again", hold: true, at: payment.PointHeld, life: used(true), after: voided, served: true, end: voided, charges: 1},
		{name: "promised, must not run twice", hold: true, at: payment.PointHeld, life: used(false), after: voided, served: true, end: voided, charges: 1},
		{name: "decided, may run again", hold: true, at: payment.PointCapture, life: used(true), after: open, served: true, end: done, charges: 1, money: 1},
		{name: "decided, must not run twice", hold: true, at: payment.PointCapture, life: used(false), after: ran, end: repaid, charges: 1, refunds: 1, money: 1},
		{name: "s3 held", hold: true, at: payment.PointSend, life: used(true), after: open, served: true, end: done, charges: 1, money: 1},
		{name: "s4 held, answer lost", hold: true, at: payment.PointAnswered, life: used(true), charge: lost, after: open, served: true, end: done, charges: 1, money: 1},
		{name: "s5 held", hold: true, at: payment.PointAnswered, life: used(false), after: ran, end: repaid, charges: 1, refunds: 1, money: 1},
		{name: "s5 held, declined", hold: true, at: payment.PointAnswered, life: used(true), charge: declined, after: failed, end: failed},
		{name: "s6 held, may run again", hold: true, at: payment.PointSettled, life: used(true), after: open, served: true, end: done, charges: 1, money: 1},
		{name: "s6 held, must not run twice", hold: true, at: payment.PointSettled, life: used(false), after: ran, end: repaid, charges: 1, refunds: 1, money: 1},
		{name: "s11 held", hold: true, at: payment.PointDelivered, life: used(false), after: done, end: done, charges: 1, money: 1},
		{name: "B064 duty stored", at: payment.PointRefunding, life: returned, after: repaid, end: repaid, charges: 1, refunds: 1, money: 1},
		{name: "B064 about to ask", at: payment.PointRefundSend, life: returned, after: repaid, end: repaid, charges: 1, refunds: 1, money: 1},
		{name: "B064 answer not stored", at: payment.PointRefundAnswer, life: returned, after: repaid, end: repaid, charges: 1, refunds: 1, money: 1},
		{name: "B064 answer lost", at: payment.PointRefundAnswer, life: returned, refund: lost, after: repaid, end: repaid, charges: 1, refunds: 1, money: 1},
		{name: "B064 done", at: payment.PointRefunded, life: returned, after: repaid, end: repaid, charges: 1, refunds: 1, money: 1},
	} {
		reached[tt.at] = true
		// A single process finds a dead one's leases dead at start; replicas wait
		// for their end. The payer comes back, or not.
		for _, sole := range []bool{true, false} {
			for _, back := range []bool{true, false} {
				name := tt.name
				if sole {
					name += ", sole"
				}
				if back {
					name += ", payer back"
				}
				t.Run(name, func(t *testing.T) {
					inTime(t, func(w *world) {
						c := credential(w, 1, "tok_1")
						if tt.hold {
							c = holding(w, 1, "tok_1")
						}
						w.rail.Script("charge", tt.charge...)
						w.rail.Script("capture", tt.charge...)
						w.rail.Script("refund", tt.refund...)
						if p := w.processor(dieAt(tt.at)); !dies(func() { tt.life(w, p, c) }) {
							w.Fatal("did not crash")
						}
						// With Sole the new process may well have the old one's name.
						p := w.processor(func(cfg *payment.Config) {
							cfg.Sole = sole
							if !sole {
								cfg.Owner = "two"
							}
						})
						if !sole {
							w.recover(p, true, 0)
							time.Sleep(time.Minute)
						}
						if _, err := p.Recover(w.Context(), true); err != nil {
							w.Errorf("recovery: %v", err)
						}
						if tt.after != nothing {
							w.at(c, tt.after.s, tt.after.d)
						}
						w.recover(p, false, 0)

						if back && present(w, p, c) != tt.served {
							w.Errorf("back for the goods: served %v", !tt.served)
						}
						time.Sleep(window + 2*time.Minute)
						if _, err := p.Recover(w.Context(), false); err != nil {
							w.Errorf("recovery: %v", err)
						}
						switch {
						case back:
							w.at(c, tt.end.s, tt.end.d)
							w.clean(tt.charges, tt.refunds)
						case tt.after == nothing:
							w.clean(0, 0)
						case tt.after == open || tt.after == ran: // not collected
							w.at(c, payment.StateRefunded, payment.DeliveryNone)
							w.clean(tt.money, 1)
						default:
							w.at(c, tt.after.s, tt.after.d)
							w.clean(tt.money, tt.refunds)
						}
					})
				})
			}
		}
	}
	gate := map[string]bool{payment.PointUpstream: true, payment.PointHeaders: true, payment.PointLastByte: true}
	for _, point := range payment.CrashPoints() {
		if reached[point] == gate[point] {
			t.Errorf("point %s: has a row %v, lies in the gate %v", point, reached[point], gate[point])
		}
	}
}

// TestB060_PayerIsBackBeforeRecovery: consent is live again, so the stored bytes go out.
func TestB060_PayerIsBackBeforeRecovery(t *testing.T) {
	for _, point := range []string{payment.PointIntent, payment.PointSend, payment.PointAnswered} {
		t.Run(point, func(t *testing.T) {
			inTime(t, func(w *world) {
				c := credential(w, 1, "tok_1")
				if p := w.processor(dieAt(point)); !dies(func() { w.charge(p, c, true) }) {
					w.Fatal("did not crash")
				}
				p := w.processor(func(cfg *payment.Config) { cfg.Owner = "two" })
				_, err := p.Charge(w.Context(), c, entitlement(true))
				wantKind(w, err, payment.KindInProgress) // its lease is not over
				time.Sleep(time.Minute)
				w.charge(p, c, true)
				w.clean(1, 0)
			})
		})
	}
}

// TestB060_EveryAttemptMayDie kills one process after the other at each step of
// the same payment.
func TestB060_EveryAttemptMayDie(t *testing.T) {
	inTime(t, func(w *world) {
		c := credential(w, 1, "tok_1")
		for _, point := range []string{payment.PointIntent, payment.PointSend, payment.PointSend, payment.PointAnswered, payment.PointAnswered} {
			if p := w.processor(dieAt(point)); !dies(func() { w.charge(p, c, true) }) {
				w.Fatalf("did not crash at %s", point)
			}
			time.Sleep(time.Minute)
		}
		if n := w.get(c).Attempts; n != 5 {
			w.Errorf("%d attempts", n)
		}
		w.charge(w.processor(nil), c, true)
		w.clean(1, 0)
	})
}

// TestB064_RecoveryMayDieInARefund: the second process dies on it too.
func TestB064_RecoveryMayDieInARefund(t *testing.T) {
	for _, point := range []string{payment.PointRefundSend, payment.PointRefundAnswer, payment.PointRefunded} {
		t.Run(point, func(t *testing.T) {
			inTime(t, func(w *world) {
				c := credential(w, 1, "tok_1")
				w.charge(w.processor(nil), c, true)
				time.Sleep(window)
				for range 3 {
					p := w.processor(dieAt(point))
					dies(func() { _, _ = p.Recover(w.Context(), false) })
					time.Sleep(2 * time.Minute)
				}
				if _, err := w.processor(nil).Recover(w.Context(), false); err != nil {
					w.Error(err)
				}
				w.at(c, payment.StateRefunded, payment.DeliveryNone)
				w.clean(1, 1)
			})
		})
	}
}
