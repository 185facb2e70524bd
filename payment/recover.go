package payment

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// recoverBatch bounds one look at the store.
const recoverBatch = 100

// maxRest bounds how long a payment in doubt is left alone, whatever a rail asks for.
const maxRest = time.Minute

// Recover takes up every payment whose owner is gone: it asks the rail what
// became of it, and acts only on proof. It returns how many payments it moved.
// Call it once before serving, with first set, and then let [Processor.Run] go on.
func (p *Processor) Recover(ctx context.Context, first bool) (int, error) {
	moved := 0
	horizon := p.Now()
	if first && p.cfg.Sole {
		// The store is ours alone, so the leases in it belong to a dead process.
		horizon = horizon.Add(leaseTime)
	}
	due, err := p.cfg.Store.Due(ctx, horizon, recoverBatch)
	if err != nil {
		return 0, err //nolint:wrapcheck // the store says what it did
	}
	var (
		mu   sync.Mutex // guards moved and errs
		errs []error
	)
	p.together(len(due), func(i int) {
		pay := due[i]
		if ctx.Err() != nil {
			return
		}
		dead := first && p.cfg.Sole // whoever has a lease
		if !dead && pay.Owner == p.cfg.Owner && p.Now().Before(pay.LeaseUntil) {
			return
		}
		// A payer may come back at this moment: whoever takes the payment first has it.
		if !p.take(pay.ID) {
			return
		}
		changed, err := p.recoverOne(ctx, pay, dead)
		p.drop(pay.ID)
		mu.Lock()
		defer mu.Unlock()
		if err != nil && !errors.Is(err, ErrConflict) {
			errs = append(errs, err)
		}
		if changed {
			moved++
		}
	})
	return moved, errors.Join(errs...)
}

// together does n pieces of work in order, a few at once: one that waits for a
// slow account must not hold up the others. A panic of one is the caller's.
func (p *Processor) together(n int, do func(i int)) {
	var (
		next   atomic.Int64
		failed atomic.Pointer[any]
		wg     sync.WaitGroup
	)
	worker := func() {
		defer func() {
			if r := recover(); r != nil {
				failed.CompareAndSwap(nil, &r)
			}
		}()
		for failed.Load() == nil {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			do(i)
		}
	}
	for range min(n, p.cfg.Recoveries) {
		wg.Go(worker)
	}
	wg.Wait()
	if r := failed.Load(); r != nil {
		panic(*r)
	}
}

func (p *Processor) recoverOne(ctx context.Context, pay Payment, sole bool) (bool, error) {
	now := p.Now()
	switch pay.State {
	case StatePending:
		leased, err := p.lease(ctx, pay)
		if err != nil {
			return false, err
		}
		if leased.Held {
			return p.recoverHeld(ctx, leased)
		}
		return p.recoverPending(ctx, leased)
	case StateAuthorized:
		leased, err := p.lease(ctx, pay)
		if err != nil {
			return false, err
		}
		return p.recoverAuthorized(ctx, leased)
	case StateRefunding:
		if sole {
			pay.Owner = "" // whoever leased it is gone
		}
		after, err := p.refund(ctx, pay, pay.Reason)
		return after.State != pay.State, err
	case StateSettled:
		if pay.Delivery == DeliveryDispatched && pay.Redeliver {
			_, err := p.undelivered(ctx, pay, true, "interrupted")
			return err == nil, err
		}
		reason := "not_collected"
		switch {
		case pay.Delivery == DeliveryDispatched:
			reason = "delivery_unclear" // it may have run, and must not run again
		case now.Before(pay.WindowEnds):
			return false, nil
		}
		after, err := p.refund(ctx, pay, reason)
		return after.State != pay.State, err
	case StateFailed, StateVoided, StateReview, StateRefunded, StateCredited:
		return false, nil
	}
	return false, nil
}

// intent returns what recovery needs to ask about a payment, or the outcome that
// hands it to a person.
func (p *Processor) intent(pay Payment) (Method, Intent, *Outcome) {
	if p.Now().Sub(pay.CreatedAt) > answerLimit {
		return nil, Intent{}, &Outcome{Class: OutcomeMismatch, Reason: "no_answer"}
	}
	m, ok := p.methods[pay.Method]
	if _, holds := m.(Holder); !ok || pay.Held && !holds {
		return nil, Intent{}, &Outcome{Class: OutcomeMismatch, Reason: "method_gone"}
	}
	in, err := p.sealer.open(pay)
	if err != nil {
		return nil, Intent{}, &Outcome{Class: OutcomeMismatch, Reason: "intent_unreadable", Err: err}
	}
	return m, in, nil
}

// recoverPending finds out whether money moved. Nobody waits for the goods any
// more, so it must not create a charge: it looks, and when it finds nothing it
// makes sure that nothing can come (security model, "settling with a processor
// that can lie by omission").
func (p *Processor) recoverPending(ctx context.Context, pay Payment) (bool, error) {
	m, in, verdict := p.intent(pay)
	if verdict != nil {
		return p.finish(ctx, pay, *verdict)
	}
	out := p.call(ctx, "lookup", pay, true, func(ctx context.Context) Outcome { return m.Lookup(ctx, pay, in) })
	if out.Class == OutcomeNone {
		out = p.call(ctx, "void", pay, true, func(ctx context.Context) Outcome { return m.Void(ctx, pay, in) })
	}
	if out.Class == OutcomeStarted {
		// The rail has begun with the original request: its stored answer is
		// had by sending the same bytes again, and no second charge can come of it.
		out = p.call(ctx, "charge", pay, true, func(ctx context.Context) Outcome { return m.Charge(ctx, pay, in) })
	}
	return p.finish(ctx, pay, out)
}

// recoverHeld gives up a promise of which nothing was taken: nobody serves it any
// more. What is pending never began its capture.
func (p *Processor) recoverHeld(ctx context.Context, pay Payment) (bool, error) {
	m, in, verdict := p.intent(pay)
	if verdict != nil {
		return p.finish(ctx, pay, *verdict)
	}
	why := releasedReason("interrupted")
	if strings.HasPrefix(pay.Reason, releasedPrefix) {
		why = pay.Reason
	}
	h, _ := m.(Holder) // intent has looked
	out := p.call(ctx, "release", pay, true, func(ctx context.Context) Outcome { return h.Release(ctx, pay, in) })
	switch out.Class {
	case OutcomeVoided:
		out.Reason = why
		return p.finish(ctx, pay, out)
	case OutcomeMismatch:
		return p.finish(ctx, pay, out)
	default:
		out.Reason = why // kept, so that it is voided under it
		return p.rest(ctx, pay, out)
	}
}

// recoverAuthorized finds out whether what was decided to be taken was, and takes
// it if not: the payer authorized it, the request ran, and the same bytes can be
// carried out once.
func (p *Processor) recoverAuthorized(ctx context.Context, pay Payment) (bool, error) {
	m, in, verdict := p.intent(pay)
	if verdict != nil {
		return p.finish(ctx, pay, *verdict)
	}
	out := p.call(ctx, "lookup", pay, true, func(ctx context.Context) Outcome { return m.Lookup(ctx, pay, in) })
	begin := out.Class == OutcomeNone && p.Paused(ctx) == ""
	if begin || out.Class == OutcomeStarted {
		h, _ := m.(Holder) // intent has looked
		p.cfg.Point(PointSend)
		out = p.call(ctx, "capture", pay, true, func(ctx context.Context) Outcome { return h.Capture(ctx, pay, in) })
		p.cfg.Point(PointAnswered)
	}
	return p.finish(ctx, pay, out)
}

// rest leaves a payment in doubt alone for a while.
func (p *Processor) rest(ctx context.Context, pay Payment, out Outcome) (bool, error) {
	next := pay
	next.Revision, next.UpdatedAt, next.Owner = pay.Revision+1, p.Now(), ""
	rest := min(max(backoff(pay.Attempts), out.RetryAfter), maxRest)
	next.LeaseUntil, next.Reason = p.Now().Add(rest), orString(out.Reason, out.Class.String())
	_, err := p.update(ctx, pay, next, nil, "")
	return false, err
}

// finish stores what recovery found out, or that it found out nothing yet.
func (p *Processor) finish(ctx context.Context, pay Payment, out Outcome) (bool, error) {
	switch out.Class {
	case OutcomeSucceeded, OutcomeDeclined, OutcomeMismatch, OutcomeVoided:
		_, err := p.enter(ctx, pay, out)
		return err == nil, err
	case OutcomeUnknown, OutcomeNotNow, OutcomeNone, OutcomeStarted:
	}
	return p.rest(ctx, pay, out)
}

// Run keeps recovery, leases, the pause switch and the clock mark going until
// ctx ends. every is the time between two passes; zero is five seconds.
func (p *Processor) Run(ctx context.Context, every time.Duration) {
	// Apart from each other: a rail that does not answer must not cost a long
	// delivery its lease.
	var wg sync.WaitGroup
	wg.Go(func() { repeat(ctx, orDefault(every, 5*time.Second), p.pass) })
	wg.Go(func() { repeat(ctx, time.Second, p.upkeep) })
	wg.Wait()
}

func repeat(ctx context.Context, every time.Duration, do func(context.Context)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do(ctx)
		}
	}
}

func (p *Processor) upkeep(ctx context.Context) {
	p.renew(ctx)
	if err := p.refresh(ctx); err != nil && ctx.Err() == nil {
		p.cfg.Logger.WarnContext(ctx, "store not readable", "err", err)
	}
}

func (p *Processor) pass(ctx context.Context) {
	if err := p.storeClock(ctx); err != nil && ctx.Err() == nil {
		p.cfg.Logger.WarnContext(ctx, "clock mark not stored", "err", err)
	}
	if n, err := p.Recover(ctx, false); err != nil || n > 0 {
		p.cfg.Logger.InfoContext(ctx, "recovery", "moved", n, "err", err)
	}
}
