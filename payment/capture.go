package payment

import (
	"context"
	"fmt"

	"paywall/money"
)

// Capture takes what a payment from [Processor.Hold] costs in the end: amount is
// what was held or, of a metered offer, less. A nil error means that the answer
// may be let out: the payment is settled and this process still serves it, to be
// ended by Delivered or Undelivered; or, when amount is zero, nothing was taken
// and it is released. With an error the answer is to be discarded; the payment is
// this process's no more, and either nothing was taken or KindPending says that
// the same credential may collect it later. Errors are *[Error]. It does not end
// with the caller's context.
func (p *Processor) Capture(ctx context.Context, pay Payment, amount money.Amount) (Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Patience)
	defer cancel()
	m, pay, err := p.holding(pay)
	if err != nil {
		return pay, &Error{Kind: KindInternal, Detail: "there is no promise to take the payment from", Err: fmt.Errorf("capture: %w", err)}
	}
	switch {
	case amount.IsZero() && within(amount, pay.Amount):
		after, err := p.Release(ctx, pay, "nothing_used")
		if err != nil {
			p.cfg.Logger.WarnContext(ctx, "a payment of nothing is not released yet", "payment", pay.ID, "err", err)
		}
		return after, nil // nothing was taken, and nothing will be
	case !amount.IsPositive() || !within(amount, pay.Amount):
		after, err := p.Release(ctx, pay, "amount_refused")
		if err == nil {
			err = fmt.Errorf("capture %s of %s: %w", amount, pay.Amount, ErrState)
		}
		return after, &Error{Kind: KindInternal, Detail: "what the request used is more than was promised; nothing was charged", Err: err}
	}
	in, err := p.sealer.open(pay)
	if err != nil {
		p.drop(pay.ID)
		return pay, p.unknown(ctx, pay, Outcome{Reason: "intent_unreadable", Err: err})
	}
	// A place among the calls is waited for as long as the payer has patience: the
	// goods are made already.
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		after, err := p.Release(ctx, pay, "busy")
		return after, &Error{Kind: KindBusy, Detail: "too many payments are being settled; nothing was charged", RetryAfter: retrySoon, Err: err}
	}
	pay, err = p.decide(ctx, pay, amount)
	if err != nil {
		p.drop(pay.ID)
		return pay, err
	}
	p.cfg.Point(PointCapture)
	after, err := p.settle(ctx, capturing(m), pay, in)
	if err != nil {
		p.drop(pay.ID)
		if after.ID == "" {
			after = pay
		}
		return after, err
	}
	p.keep(after)
	return after, nil
}

// decide makes durable how much is to be taken, before any of it can be.
func (p *Processor) decide(ctx context.Context, pay Payment, amount money.Amount) (Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
	defer cancel()
	now := p.Now()
	next := pay
	next.Revision, next.UpdatedAt = pay.Revision+1, now
	next.State, next.Delivery, next.Amount = StateAuthorized, DeliveryOpen, amount
	next.Dispatches = pay.Dispatches + 1
	next.Owner, next.LeaseUntil = p.cfg.Owner, now.Add(leaseTime)
	stored, err := p.update(ctx, pay, next, nil, "")
	if err == nil && (stored.Epoch != pay.Epoch || stored.Amount != amount) {
		err = fmt.Errorf("%s was taken over by %s: %w", pay.ID, stored.Owner, ErrConflict)
	}
	if err != nil {
		// Nothing was sent. What is stored is found out by recovery: a promise to be
		// released, or an amount to be taken.
		return pay, &Error{
			Kind: KindPending, PaymentID: pay.ID, RetryAfter: retrySoon, Err: err,
			Detail: "the payment could not be recorded; do not pay again, present the same credential later",
		}
	}
	p.keep(stored)
	return stored, nil
}
