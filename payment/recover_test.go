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

// doubt leaves a payment whose outcome nobody knows.
func doubt(w *world, moves bool) (*payment.Processor, payment.Credential) {
	w.Helper()
	p := w.processor(func(c *payment.Config) { c.Patience = time.Second })
	c := credential(w, 1, "tok_1")
	w.rail.Script("charge", always(9, paymenttest.Reply{Outcome: unknown(), Moves: moves})...)
	_, err := p.Charge(w.Context(), c, entitlement(true))
	wantKind(w, err, payment.KindPending)
	w.rail.Heal()
	return p, c
}

func ops(w *world, from int) string {
	var s strings.Builder
	for _, c := range w.rail.Calls()[from:] {
		s.WriteString(c.Op + " ")
	}
	return s.String()
}

// TestRecoverPending walks what looking, voiding and sending again may find.
func TestRecoverPending(t *testing.T) {
	amount := usd(t, 150)
	succeeded := payment.Outcome{Class: payment.OutcomeSucceeded, Reference: "ch_1", Amount: amount}
	less := payment.Outcome{Class: payment.OutcomeSucceeded, Reference: "ch_1", Amount: usd(t, 149)}
	says := func(c payment.OutcomeClass) []payment.Outcome { return []payment.Outcome{{Class: c, Reason: "said"}} }
	for name, tt := range map[string]struct {
		moves                bool
		lookup, void, charge []payment.Outcome
		want                 payment.State
		calls                string
	}{
		"found":                       {moves: true, want: payment.StateSettled, calls: "lookup "},
		"B060 nothing, and void":      {want: payment.StateVoided, calls: "lookup void "},
		"lookup declined":             {lookup: says(payment.OutcomeDeclined), want: payment.StateFailed, calls: "lookup "},
		"lookup contradicts":          {lookup: says(payment.OutcomeMismatch), want: payment.StateReview, calls: "lookup "},
		"lookup finds less":           {lookup: []payment.Outcome{less}, want: payment.StateReview, calls: "lookup "},
		"lookup knows nothing":        {lookup: []payment.Outcome{unknown()}, want: payment.StatePending, calls: "lookup "},
		"lookup not now":              {lookup: says(payment.OutcomeNotNow), want: payment.StatePending, calls: "lookup "},
		"B049 overlooked, but begun":  {moves: true, lookup: says(payment.OutcomeNone), want: payment.StateSettled, calls: "lookup void charge "},
		"B051 begun and running":      {lookup: says(payment.OutcomeNone), void: says(payment.OutcomeStarted), charge: []payment.Outcome{unknown()}, want: payment.StatePending, calls: "lookup void charge "},
		"begun, and declined":         {lookup: says(payment.OutcomeNone), void: says(payment.OutcomeStarted), charge: says(payment.OutcomeDeclined), want: payment.StateFailed, calls: "lookup void charge "},
		"begun, and succeeded":        {lookup: says(payment.OutcomeStarted), charge: []payment.Outcome{succeeded}, want: payment.StateSettled, calls: "lookup charge "},
		"void knows nothing":          {lookup: says(payment.OutcomeNone), void: []payment.Outcome{unknown()}, want: payment.StatePending, calls: "lookup void "},
		"void finds nothing":          {lookup: says(payment.OutcomeNone), void: says(payment.OutcomeNone), want: payment.StatePending, calls: "lookup void "},
		"void finds the charge":       {lookup: says(payment.OutcomeNone), void: []payment.Outcome{succeeded}, want: payment.StateSettled, calls: "lookup void "},
		"void contradicts":            {lookup: says(payment.OutcomeNone), void: says(payment.OutcomeMismatch), want: payment.StateReview, calls: "lookup void "},
		"a word that does not exist":  {lookup: says(payment.OutcomeClass(88)), want: payment.StatePending, calls: "lookup "},
		"a void that was not asked":   {lookup: says(payment.OutcomeVoided), want: payment.StateVoided, calls: "lookup "},
		"begun, and begun once again": {lookup: says(payment.OutcomeStarted), charge: says(payment.OutcomeStarted), want: payment.StatePending, calls: "lookup charge "},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				p, c := doubt(w, tt.moves)
				before := len(w.rail.Calls())
				for op, outs := range map[string][]payment.Outcome{"lookup": tt.lookup, "void": tt.void, "charge": tt.charge} {
					for _, out := range outs {
						w.rail.Script(op, paymenttest.Reply{Outcome: out})
					}
				}
				moved := 1
				if tt.want == payment.StatePending {
					moved = 0
				}
				w.recover(p, false, moved)
				if got := ops(w, before); got != tt.calls {
					w.Errorf("asked %q, want %q", got, tt.calls)
				}
				pay := w.get(c)
				if pay.State != tt.want {
					w.Errorf("%s (%s), want %s", pay.State, pay.Reason, tt.want)
				}
				if pay.State == payment.StatePending {
					if pay.Owner != "" || !pay.LeaseUntil.After(time.Now()) || pay.LeaseUntil.After(time.Now().Add(time.Minute)) {
						w.Errorf("owner %q, next look at %s", pay.Owner, pay.LeaseUntil)
					}
					w.recover(p, false, 0) // not before its time
					if got := ops(w, before); got != tt.calls {
						w.Errorf("asked at once again: %q", got)
					}
				}
				if pay.State == payment.StateVoided || pay.State == payment.StateFailed {
					w.charge(p, credential(w, 2, "tok_1"), true) // its token is free
				}
			})
		})
	}
}

func TestB048_BlackHoleHeals(t *testing.T) {
	inTime(t, func(w *world) {
		p, c := doubt(w, true)
		ctx, stop := context.WithCancel(w.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx, 0) })
		w.rail.Script("lookup", always(500, paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeNotNow, RetryAfter: 999 * time.Hour}})...)
		time.Sleep(6 * time.Hour)
		calls := len(w.rail.Calls())
		if calls < 6*50 || calls > 6*75 {
			w.Errorf("%d calls in six hours: recovery is to ask about once a minute, whatever the rail wishes", calls)
		}
		w.rail.Heal()
		time.Sleep(70 * time.Second)
		w.at(c, payment.StateSettled, payment.DeliveryOpen)
		stop()
		wg.Wait()
		w.clean(1, 0)
	})
}

func TestNoAnswerForADay(t *testing.T) {
	inTime(t, func(w *world) {
		p, c := doubt(w, false)
		ctx, stop := context.WithCancel(w.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx, 0) })
		w.rail.Script("lookup", always(2000, paymenttest.Reply{Outcome: unknown()})...)
		time.Sleep(22*time.Hour + 58*time.Minute)
		w.at(c, payment.StatePending, payment.DeliveryNone)
		time.Sleep(5 * time.Minute)
		if pay := w.at(c, payment.StateReview, payment.DeliveryNone); pay.Reason != "no_answer" {
			w.Errorf("reason %q", pay.Reason)
		}
		calls := len(w.rail.Calls())
		time.Sleep(time.Hour)
		if n := len(w.rail.Calls()); n != calls {
			w.Errorf("%d calls after it was given up", n-calls)
		}
		_, err := p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindPending)
		stop()
		wg.Wait()
		w.clean(0, 0)
	})
}

func TestRecoverAMethodThatIsGone(t *testing.T) {
	inTime(t, func(w *world) {
		_, c := doubt(w, true)
		p := w.processor(func(cfg *payment.Config) { cfg.Methods = []payment.Method{&paymenttest.Method{ID: "other"}} })
		w.recover(p, true, 1)
		if pay := w.at(c, payment.StateReview, payment.DeliveryNone); pay.Reason != "method_gone" {
			w.Errorf("reason %q", pay.Reason)
		}
	})
}

// TestB079_LeaseFencesSettlement: a process that slept past its lease finds its
// payment settled by another, or voided, and writes nothing over it.
func TestB079_LeaseFencesSettlement(t *testing.T) {
	for name, sent := range map[string]bool{"stopped before sending": false, "stopped after sending": true} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				wake := make(chan struct{})
				point := payment.PointSend
				if sent {
					point = payment.PointAnswered
				}
				one := w.processor(func(c *payment.Config) {
					c.Patience, c.Attempt = 10*time.Minute, 10*time.Minute
					c.Point = func(name string) {
						if name == point {
							<-wake
						}
					}
				})
				two := w.processor(func(c *payment.Config) { c.Owner = "two" })
				c := credential(w, 1, "tok_1")
				var pay payment.Payment
				var err error
				var wg sync.WaitGroup
				wg.Go(func() { pay, err = one.Charge(w.Context(), c, entitlement(true)) })
				time.Sleep(30 * time.Second)
				w.recover(two, false, 0)
				time.Sleep(time.Minute)
				w.recover(two, false, 1)
				close(wake)
				wg.Wait()
				if sent {
					w.at(c, payment.StateSettled, payment.DeliveryOpen)
					if err != nil || pay.ID != w.get(c).ID {
						w.Errorf("the late process: %s, %v", pay.ID, err)
					}
					w.clean(1, 0)
				} else {
					w.at(c, payment.StateVoided, payment.DeliveryNone)
					wantKind(w, err, payment.KindPending)
					w.clean(0, 0)
				}
			})
		})
	}
}

// TestB042_TwoProcessesRecover: each payment is recovered by one.
func TestB042_TwoProcessesRecover(t *testing.T) {
	inTime(t, func(w *world) {
		const n = 150 // more than one batch
		for i := range n {
			p := w.processor(dieAt(payment.PointAnswered))
			dies(func() { w.charge(p, credential(w, i, fmt.Sprintf("tok_%d", i)), true) })
		}
		time.Sleep(time.Minute)
		ps := []*payment.Processor{w.processor(nil), w.processor(func(c *payment.Config) { c.Owner = "two" })}
		w.rail.Latency = time.Second
		moved := 0
		for range 3 {
			var wg sync.WaitGroup
			var mu sync.Mutex
			for _, p := range ps {
				wg.Go(func() {
					m, err := p.Recover(w.Context(), false)
					mu.Lock()
					defer mu.Unlock()
					moved += m
					if err != nil {
						w.Error(err)
					}
				})
			}
			wg.Wait()
		}
		if calls := len(w.rail.Calls()); moved != n || calls != 2*n {
			w.Errorf("%d moved with %d calls, want %d with %d", moved, calls, n, 2*n)
		}
		w.clean(n, 0)
	})
}

func TestRecoverStopsWithItsContext(t *testing.T) {
	inTime(t, func(w *world) {
		_, c := doubt(w, true)
		ctx, cancel := context.WithCancel(w.Context())
		w.store = &listing{Store: w.store, after: cancel}
		p := w.processor(nil)
		if n, err := p.Recover(ctx, false); n != 0 || err != nil {
			w.Errorf("%d, %v", n, err)
		}
		w.at(c, payment.StatePending, payment.DeliveryNone)
	})
}

func TestRecoverStoreFails(t *testing.T) {
	inTime(t, func(w *world) {
		_, c := doubt(w, true)
		down := errors.New("disk full")
		real := w.store
		w.store = &tap{Store: real, update: func(context.Context, payment.Payment, func() error) error { return down }}
		if n, err := w.processor(nil).Recover(w.Context(), false); n != 0 || !errors.Is(err, down) {
			w.Errorf("%d, %v", n, err)
		}
		w.store = real
		w.at(c, payment.StatePending, payment.DeliveryNone)
		w.recover(w.processor(nil), false, 1)
		w.clean(1, 0)
	})
}

// TestI166_ClockSetBack: what was decided stays decided.
func TestI166_ClockSetBack(t *testing.T) {
	inTime(t, func(w *world) {
		var back time.Duration
		clock := func(c *payment.Config) { c.Now = func() time.Time { return time.Now().Add(-back) } }
		p := w.processor(clock)
		ctx, stop := context.WithCancel(w.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx, 0) })
		time.Sleep(10 * time.Second)
		stop()
		wg.Wait()
		before := p.Now()

		back = time.Hour
		if now := p.Now(); now.Before(before) {
			w.Errorf("now %s is before %s", now, before)
		}
		restarted := w.processor(clock)
		if now := restarted.Now(); now.Before(before.Add(-5 * time.Second)) {
			w.Errorf("after a restart now is %s, was %s", now, before)
		}
		if behind, yes := restarted.ClockBehind(); !yes || behind < 50*time.Minute {
			w.Errorf("behind by %s, %v", behind, yes)
		}
		time.Sleep(30 * time.Second)
		ctx, stop = context.WithCancel(w.Context())
		wg.Go(func() { restarted.Run(ctx, 0) })
		time.Sleep(30 * time.Second)
		stop()
		wg.Wait()
		if mark, err := w.store.Setting(w.Context(), payment.SettingClock); err != nil || mark > before.Add(time.Second).Format(time.RFC3339Nano) {
			w.Errorf("mark %s, %v: a clock that is behind moves no mark", mark, err)
		}

		back = 0
		if behind, yes := restarted.ClockBehind(); yes {
			w.Errorf("behind by %s once it is right again", behind)
		}
		back = 4 * time.Minute // small corrections are no fault
		if _, yes := restarted.ClockBehind(); yes {
			w.Error("four minutes are too much")
		}
	})
}

func TestRun(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		ctx, stop := context.WithCancel(w.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx, 0) })
		c := credential(w, 1, "tok_1")
		w.charge(p, c, true)
		// Another process pauses; this one hears of it within about a second.
		if err := w.processor(nil).SetPaused(w.Context(), "elsewhere"); err != nil {
			w.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
		if p.Paused(w.Context()) != "elsewhere" {
			w.Error("does not hear of the pause")
		}
		time.Sleep(window + 6*time.Second)
		w.at(c, payment.StateRefunded, payment.DeliveryNone)
		mark, err := w.store.Setting(w.Context(), payment.SettingClock)
		if at, perr := time.Parse(time.RFC3339Nano, mark); err != nil || perr != nil || time.Since(at) > 6*time.Second {
			w.Errorf("clock mark %q, %v", mark, err)
		}
		stop()
		wg.Wait() // Run ends with its context
		w.clean(1, 1)
	})
}

// TestRunOutlivesItsStore: a store that is away for a while ends nothing.
func TestRunOutlivesItsStore(t *testing.T) {
	inTime(t, func(w *world) {
		real := w.store
		down := &flaky{Store: real}
		w.store = down
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		w.charge(p, c, true)
		ctx, stop := context.WithCancel(w.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx, 0) })
		down.set(true)
		time.Sleep(window + time.Minute)
		down.set(false)
		w.at(c, payment.StateSettled, payment.DeliveryOpen)
		time.Sleep(6 * time.Second)
		w.at(c, payment.StateRefunded, payment.DeliveryNone)
		stop()
		wg.Wait()
		w.clean(1, 1)
	})
}

// flaky is a store that is away at times.
type flaky struct {
	payment.Store
	mu   sync.Mutex
	down bool // guarded by mu
}

func (s *flaky) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *flaky) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errors.New("store is away")
	}
	return nil
}

func (s *flaky) Due(ctx context.Context, now time.Time, limit int) ([]payment.Payment, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Due(ctx, now, limit)
}

func (s *flaky) Setting(ctx context.Context, name string) (string, error) {
	if err := s.err(); err != nil {
		return "", err
	}
	return s.Store.Setting(ctx, name)
}

func (s *flaky) SetSetting(ctx context.Context, name, value string) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.SetSetting(ctx, name, value)
}

// TestRecoverySideBySide: an account that does not answer holds up a few, not all.
func TestRecoverySideBySide(t *testing.T) {
	inTime(t, func(w *world) {
		const n = 40
		p := w.processor(nil)
		for i := range n {
			w.rail.Script("charge", always(99, paymenttest.Reply{Outcome: unknown(), Moves: true})...)
			_, err := p.Charge(w.Context(), credential(w, i, fmt.Sprintf("tok_%d", i)), entitlement(true))
			wantKind(w, err, payment.KindPending)
			w.rail.Heal()
		}
		var now, most atomic.Int64
		w.rail.Script("lookup", always(n, paymenttest.Reply{Delay: 10 * time.Second, Hook: func(context.Context, payment.Payment) {
			if at := now.Add(1); at > most.Load() {
				most.Store(at)
			}
			time.Sleep(time.Second)
			now.Add(-1)
		}})...)
		start := time.Now()
		w.recover(p, false, n)
		if took := time.Since(start); took != 5*11*time.Second || most.Load() != 8 {
			w.Errorf("%d payments took %s, up to %d at once", n, took, most.Load())
		}
		w.clean(n, 0)
	})
}
