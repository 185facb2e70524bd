package payment

import (
	"context"
	"errors"
	"fmt"
)

// Hold claims a verified credential and has its rail promise the money, which
// [Processor.Capture] takes when there is something to give for it. A nil error
// means one of two things. A pending payment is Held, and this process alone
// serves it: the caller ends it by Capture or Release, and until then its lease
// is renewed by [Processor.Run]. A settled one is what [Processor.Charge] returns
// for a credential that has paid; that its Delivery is dispatched says that the
// request ran and must not run again, so that only an answer that was kept may be
// given for it. An offer that does not hold is charged. Errors are *[Error].
//
// A credential whose payment was released may begin again, under a number.
func (p *Processor) Hold(ctx context.Context, c Credential, e Entitlement) (Payment, error) {
	if !c.Offer.Hold {
		return p.Charge(ctx, c, e)
	}
	return p.begin(ctx, c, e, true)
}

// promise asks the rail until it promises or refuses, or the payer's patience
// ends. The payment was taken by this process; it stays so only with the promise.
func (p *Processor) promise(ctx context.Context, m Holder, pay Payment, in Intent) (Payment, error) {
	kept := false
	defer func() {
		if !kept {
			p.drop(pay.ID)
		}
	}()
	wait := p.cfg.Backoff
	for attempt := 0; ; attempt++ {
		out := p.call(ctx, "hold", pay, attempt > 0, func(ctx context.Context) Outcome { return m.Hold(ctx, pay, in) })
		switch out.Class {
		case OutcomeSucceeded:
			kept = true
			p.keep(pay)
			p.cfg.Point(PointHeld)
			return pay, nil
		case OutcomeDeclined, OutcomeMismatch:
			return p.conclude(ctx, pay, out)
		case OutcomeUnknown, OutcomeNotNow, OutcomeNone, OutcomeStarted, OutcomeVoided:
		}
		if out.Class == OutcomeNotNow && out.Fatal {
			p.alarm(ctx, pay, out)
			return Payment{}, p.abandon(ctx, m, pay, in, out)
		}
		if !p.again(ctx, &wait, out) {
			return Payment{}, p.abandon(ctx, m, pay, in, out)
		}
	}
}

// abandon gives up a payment whose promise could not be had in time. A promise
// moves no money, but some rails may keep one that nobody heard of.
func (p *Processor) abandon(ctx context.Context, m Holder, pay Payment, in Intent, why Outcome) error {
	stored, err := p.giveBack(ctx, m, pay, in, orString(why.Reason, why.Class.String()))
	if err != nil || stored.State != StateVoided {
		return &Error{
			Kind: KindPending, PaymentID: pay.ID, RetryAfter: retrySoon, Err: errors.Join(why.Err, err),
			Detail: "the payment could not be checked; nothing was charged, present the same credential again",
		}
	}
	return &Error{
		Kind: KindBusy, Detail: "the payment could not be checked; nothing was charged", RetryAfter: max(retrySoon, min(why.RetryAfter, maxRest)),
		Reason: why.Reason, Err: why.Err,
	}
}

// holding returns the rail of a payment that this process holds and serves, and
// the record as it is stored now.
func (p *Processor) holding(pay Payment) (Holder, Payment, error) {
	m, ok := p.methods[pay.Method].(Holder)
	if !ok || !pay.Held || pay.State != StatePending {
		return nil, pay, fmt.Errorf("%s is %s, held %t: %w", pay.ID, pay.State, pay.Held, ErrState)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s, served := p.serving[pay.ID]
	switch {
	case !served || s.ID != pay.ID || s.State != StatePending:
		return nil, pay, fmt.Errorf("%s is not served by this process: %w", pay.ID, ErrState)
	case s.Revision > pay.Revision:
		pay = *s
	}
	return m, pay, nil
}
