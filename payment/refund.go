package payment

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Refund returns a settled payment to its payer. It may be called again at any
// time: a payment is refunded once. The state that comes back is refunded, or
// refunding when the rail has not answered yet and recovery goes on.
func (p *Processor) Refund(ctx context.Context, id, reason string) (Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Patience)
	defer cancel()
	// Held from before the read, so that no delivery can begin in between.
	if !p.take(id) {
		return Payment{}, &Error{Kind: KindInProgress, Detail: "the payment is being delivered or returned right now", PaymentID: id, RetryAfter: time.Second}
	}
	defer p.drop(id)
	pay, err := p.Get(ctx, id)
	if err != nil {
		return Payment{}, err
	}
	return p.refund(ctx, pay, reason)
}

// refund stores the duty first, and then asks the rail.
func (p *Processor) refund(ctx context.Context, pay Payment, reason string) (Payment, error) {
	switch pay.State {
	case StateRefunded, StateCredited:
		return pay, nil
	case StateRefunding:
		if p.Now().Before(pay.LeaseUntil) && pay.Owner != "" {
			return pay, nil // somebody is at it
		}
		leased, err := p.lease(ctx, pay)
		if err != nil {
			return pay, err
		}
		return p.payBack(ctx, leased)
	case StateReview:
		// A refund that the rail refused may be tried again, or was made there by
		// hand. The duty to return the money is in the books already.
		if pay.SettledAt.IsZero() {
			return pay, fmt.Errorf("refund %s: it is %s and was never settled: %w", pay.ID, pay.State, ErrState)
		}
	case StateSettled:
	case StatePending, StateAuthorized, StateFailed, StateVoided:
		return pay, fmt.Errorf("refund %s: it is %s: %w", pay.ID, pay.State, ErrState)
	}
	now := p.Now()
	from := AccountUndelivered
	next := pay
	next.Revision, next.Epoch, next.UpdatedAt = pay.Revision+1, pay.Epoch+1, now
	next.State, next.Reason, next.Owner, next.LeaseUntil = StateRefunding, reason, p.cfg.Owner, now.Add(leaseTime)
	if pay.Delivery == DeliveryDelivered {
		from = pay.earned()
	} else {
		next.Delivery = DeliveryNone
	}
	var entries []Entry
	if pay.State == StateSettled {
		entries = []Entry{{Payment: pay.ID, Kind: "refund_due", Debit: from, Credit: AccountRefundsDue, Amount: pay.Amount, At: now}}
	}
	stored, err := p.update(ctx, pay, next, entries, "payment.refunding")
	if err != nil {
		return pay, fmt.Errorf("begin refund: %w", err)
	}
	if stored.Owner != p.cfg.Owner {
		return stored, nil // another process was first, and goes on with it
	}
	p.cfg.Point(PointRefunding)
	return p.payBack(ctx, stored)
}

// payBack asks the rail once and stores its answer. pay is refunding and leased.
func (p *Processor) payBack(ctx context.Context, pay Payment) (Payment, error) {
	m, ok := p.methods[pay.Method]
	if !ok {
		return pay, fmt.Errorf("refund %s: method %q is not configured", pay.ID, pay.Method)
	}
	p.cfg.Point(PointRefundSend)
	out := p.call(ctx, "refund", pay, pay.Attempts > 1, func(ctx context.Context) Outcome { return m.Refund(ctx, pay) })
	p.cfg.Point(PointRefundAnswer)
	now := p.Now()
	next := pay
	next.Revision, next.UpdatedAt, next.Owner = pay.Revision+1, now, ""
	switch out.Class {
	case OutcomeSucceeded:
		next.State, next.RefundReference, next.RefundedAt, next.LeaseUntil = StateRefunded, out.Reference, now, time.Time{}
		entry := Entry{Payment: pay.ID, Kind: nth("refund", pay.RefundsFailed), Debit: AccountRefundsDue, Credit: AccountReceivable + pay.Method, Amount: pay.Amount, At: now}
		stored, err := p.update(ctx, pay, next, []Entry{entry}, "payment.refunded")
		if err == nil {
			p.cfg.Point(PointRefunded)
		}
		return stored, err
	case OutcomeDeclined, OutcomeMismatch, OutcomeVoided:
		next.State, next.Reason, next.LeaseUntil = StateReview, orString(out.Reason, "refund_refused"), time.Time{}
		p.cfg.Logger.ErrorContext(ctx, "refund refused; payment needs review", "payment", pay.ID, "reason", next.Reason, "err", out.Err)
		return p.update(ctx, pay, next, nil, "payment.review")
	default: // unknown, not now, or a word that does not answer the question
		next.LeaseUntil = now.Add(backoff(pay.Attempts))
		stored, err := p.update(ctx, pay, next, nil, "")
		return stored, errors.Join(err, wrapOutcome(pay, "refund", out))
	}
}

// RefundFailed records that a refund which was confirmed did not reach the payer:
// its bank sent the money back. reference is the rail's id of that refund; word of
// any other is of the past and changes nothing. What is owed is owed again, and a
// person decides in what way: [Processor.Refund] makes another refund. It reports
// whether anything changed. [ErrConflict] means that the refund is under way here
// still, and the word should come again.
func (p *Processor) RefundFailed(ctx context.Context, id, reference, reason string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
	defer cancel()
	pay, err := p.Get(ctx, id)
	switch {
	case err != nil:
		return false, err
	case pay.State == StateRefunding:
		return false, fmt.Errorf("refund of %s failed before it was confirmed: %w", id, ErrConflict)
	case pay.State != StateRefunded || reference == "" || reference != pay.RefundReference:
		return false, nil
	}
	now := p.Now()
	next := pay
	next.Revision, next.Epoch, next.UpdatedAt = pay.Revision+1, pay.Epoch+1, now
	next.State, next.Reason, next.RefundedAt, next.RefundsFailed = StateReview, orString(reason, "refund_failed"), time.Time{}, pay.RefundsFailed+1
	entry := Entry{
		Payment: id, Kind: nth("refund_failed", pay.RefundsFailed), Amount: pay.Amount, At: now,
		Debit: AccountReceivable + pay.Method, Credit: AccountRefundsDue,
	}
	if _, err := p.update(ctx, pay, next, []Entry{entry}, "payment.refund_failed"); err != nil {
		return false, fmt.Errorf("record a failed refund: %w", err)
	}
	p.cfg.Logger.ErrorContext(ctx, "a refund came back; payment needs review", "payment", id, "reason", next.Reason)
	return true, nil
}

// nth is the kind of an entry that was posted before as often as it says.
func nth(kind string, before int) string {
	if before == 0 {
		return kind
	}
	return fmt.Sprintf("%s#%d", kind, before+1)
}

func wrapOutcome(pay Payment, op string, out Outcome) error {
	return &Error{
		Kind: KindPending, PaymentID: pay.ID, RetryAfter: 5 * time.Second,
		Detail: "the " + op + " is under way", Err: fmt.Errorf("%s %s: %s %s: %w", op, pay.ID, out.Class, out.Reason, out.Err),
	}
}

// backoff is how long recovery leaves a payment alone after its nth attempt: 1 s
// doubling to a minute.
func backoff(attempts int) time.Duration {
	return min(time.Second<<min(max(attempts-1, 0), 6), time.Minute)
}
