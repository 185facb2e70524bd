package payment

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// finalStretch is how close to its window's end a dispatch is always stored, so
// that the refund and the delivery exclude each other by revision.
const finalStretch = 5 * time.Minute

// Dispatch takes the right to serve a settled payment. In this process it is
// exclusive. With durable it is stored first: a request that must not run twice
// at the upstream is marked before it leaves. Errors are *[Error].
func (p *Processor) Dispatch(ctx context.Context, pay Payment, durable bool) (Payment, error) {
	now := p.Now()
	if pay.State != StateSettled || pay.Delivery == DeliveryDelivered || pay.Delivery == DeliveryNone {
		return Payment{}, Refuse(KindInvalidChallenge, "there is nothing left to deliver for this payment")
	}
	durable = durable || now.After(pay.WindowEnds.Add(-finalStretch)) || pay.Delivery == DeliveryDispatched
	if !p.take(pay.ID) {
		return Payment{}, &Error{Kind: KindInProgress, Detail: "this payment is being served", PaymentID: pay.ID, RetryAfter: time.Second}
	}
	if !durable {
		// Looked at again under the hold: whoever had it before may have delivered or
		// refunded it since pay was read. A stored dispatch is held by its revision.
		stored, err := p.cfg.Store.Get(ctx, pay.ID)
		if err == nil && at(stored) != at(pay) {
			err = ErrConflict
		}
		if err != nil {
			p.drop(pay.ID)
			return Payment{}, &Error{Kind: KindInProgress, Detail: "this payment is being served or returned; present the same credential again", PaymentID: pay.ID, RetryAfter: time.Second, Err: err}
		}
		pay = stored
	}
	next, err := p.dispatched(ctx, pay, durable, now)
	if err != nil {
		p.drop(pay.ID)
		return Payment{}, err
	}
	p.cfg.Point(PointDispatched)
	return next, nil
}

func (p *Processor) dispatched(ctx context.Context, pay Payment, durable bool, now time.Time) (Payment, error) {
	inProgress := &Error{Kind: KindInProgress, Detail: "this payment is being served", PaymentID: pay.ID, RetryAfter: time.Second}
	if pay.Delivery == DeliveryDispatched && pay.Owner == "" && !pay.Redeliver {
		return Payment{}, &Error{
			Kind: KindPending, PaymentID: pay.ID, RetryAfter: time.Minute,
			Detail: "the request was carried out, but its answer is not here; the payment is returned if nobody has it in time",
		}
	}
	if pay.Delivery == DeliveryDispatched && (!pay.Redeliver || now.Before(pay.LeaseUntil)) {
		return Payment{}, inProgress // another process has it, or it may have run and must not run again
	}
	if now.After(pay.WindowEnds) && pay.Delivery != DeliveryDispatched {
		return Payment{}, &Error{Kind: KindInvalidChallenge, Detail: "the time to collect this payment is over; it is being refunded", PaymentID: pay.ID}
	}
	next := pay
	next.Dispatches++
	if !durable {
		return next, nil
	}
	next.Revision, next.Epoch, next.UpdatedAt, next.Delivery = pay.Revision+1, pay.Epoch+1, now, DeliveryDispatched
	next.Owner, next.LeaseUntil = p.cfg.Owner, now.Add(leaseTime)
	// If this process dies now, nobody can tell whether the request ran. Recovery
	// takes it up as soon as the lease is over.
	if err := p.cfg.Store.Update(ctx, next, nil, nil); err != nil {
		if errors.Is(err, ErrConflict) {
			inProgress.Err = err
			return Payment{}, inProgress
		}
		return Payment{}, &Error{Kind: KindPending, Detail: "the delivery could not be recorded; present the same credential again", PaymentID: pay.ID, RetryAfter: 2 * time.Second, Err: err}
	}
	p.keep(next)
	return next, nil
}

// Delivered records that the complete answer was written. It gives up the right
// to serve. It does not end with the caller's context.
func (p *Processor) Delivered(ctx context.Context, pay Payment, receiptID string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
	defer cancel()
	defer p.drop(pay.ID)
	pay = p.current(pay)
	now := p.Now()
	next := pay
	next.Revision, next.UpdatedAt, next.DeliveredAt = pay.Revision+1, now, now
	next.Delivery, next.ReceiptID, next.Owner, next.LeaseUntil = DeliveryDelivered, receiptID, "", time.Time{}
	entry := Entry{Payment: pay.ID, Kind: "deliver", Debit: AccountUndelivered, Credit: pay.earned(), Amount: pay.Amount, At: now}
	if _, err := p.update(ctx, pay, next, []Entry{entry}, "payment.delivered"); err != nil {
		return fmt.Errorf("record delivery: %w", err)
	}
	p.cfg.Point(PointDelivered)
	return nil
}

// Undelivered gives up the right to serve after a failure. With reexecute, and
// while dispatches are left, the entitlement is open again; otherwise the
// payment is refunded. It returns the payment as stored. It does not end with
// the caller's context.
func (p *Processor) Undelivered(ctx context.Context, pay Payment, reexecute bool, reason string) (Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Patience)
	defer cancel()
	defer p.drop(pay.ID)
	return p.undelivered(ctx, p.current(pay), reexecute, reason)
}

func (p *Processor) undelivered(ctx context.Context, pay Payment, reexecute bool, reason string) (Payment, error) {
	if !reexecute || pay.Dispatches >= p.cfg.Dispatches {
		return p.refund(ctx, pay, orString(reason, "undelivered"))
	}
	next := pay
	next.Revision, next.UpdatedAt, next.Delivery = pay.Revision+1, p.Now(), DeliveryOpen
	next.Owner, next.LeaseUntil, next.Reason = "", time.Time{}, reason
	return p.update(ctx, pay, next, nil, "")
}

// take makes the caller the only one in this process that serves, refunds or
// recovers the payment, until drop.
func (p *Processor) take(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, busy := p.serving[id]; busy {
		return false
	}
	p.serving[id] = &Payment{}
	return true
}

// keep remembers a stored dispatch for renew, and what renew made of it.
func (p *Processor) keep(pay Payment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.serving[pay.ID]; ok && s.Revision < pay.Revision {
		p.serving[pay.ID] = &pay
	}
}

func (p *Processor) drop(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.serving, id)
}

// current is the record with the revision of the latest lease renewal.
func (p *Processor) current(pay Payment) Payment {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.serving[pay.ID]; ok && s.Revision > pay.Revision {
		return *s
	}
	return pay
}

// renew extends the leases of stored dispatches and held payments that this
// process still serves.
func (p *Processor) renew(ctx context.Context) {
	now := p.Now()
	p.mu.Lock()
	var due []Payment
	for _, s := range p.serving {
		if (s.Delivery == DeliveryDispatched || s.Held && s.State == StatePending) && now.After(s.LeaseUntil.Add(-2*leaseTime/3)) {
			due = append(due, *s)
		}
	}
	p.mu.Unlock()
	for _, pay := range due {
		if err := p.extend(ctx, pay, now.Add(leaseTime)); err != nil {
			p.cfg.Logger.WarnContext(ctx, "lease not renewed", "payment", pay.ID, "err", err)
		}
	}
}

func (p *Processor) extend(ctx context.Context, pay Payment, until time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	next := pay
	next.Revision, next.LeaseUntil, next.UpdatedAt = pay.Revision+1, until, p.Now()
	stored, err := p.update(ctx, pay, next, nil, "")
	switch {
	case err != nil:
		return err
	case stored.Epoch != pay.Epoch:
		return fmt.Errorf("%s was taken over by %s: %w", pay.ID, stored.Owner, ErrConflict)
	}
	p.keep(stored)
	return nil
}
