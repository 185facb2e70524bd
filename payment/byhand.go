package payment

import (
	"context"
	"fmt"
	"time"
)

// maxByHand bounds a reference that a person types.
const maxByHand = 200

// RefundSent records that a person has returned the money of a payment whose
// refund the rail refused: by a transfer of its own, named by reference. Only a
// settled payment under review can be closed so; ask for its refund first. Errors
// wrap [ErrState] and [ErrNotFound].
func (p *Processor) RefundSent(ctx context.Context, id, reference string) (Payment, error) {
	return p.byHand(ctx, id, func(ctx context.Context, pay Payment) (Payment, error) {
		if pay.State == StateRefunded && pay.RefundReference == reference {
			return pay, nil
		}
		if pay.State != StateReview || pay.SettledAt.IsZero() || !reasonable(reference) {
			return pay, fmt.Errorf("record a refund of %s by hand: it is %s: %w", id, pay.State, ErrState)
		}
		now := p.Now()
		next := pay
		next.Revision, next.Epoch, next.UpdatedAt = pay.Revision+1, pay.Epoch+1, now
		next.State, next.RefundReference, next.RefundedAt, next.Owner, next.LeaseUntil = StateRefunded, reference, now, "", time.Time{}
		entry := Entry{
			Payment: id, Kind: nth("refund", pay.RefundsFailed), Amount: pay.Amount, At: now,
			Debit: AccountRefundsDue, Credit: AccountReceivable + pay.Method,
		}
		return p.update(ctx, pay, next, []Entry{entry}, "payment.refunded")
	})
}

// Decide records what a person has found out about a payment under review whose
// outcome could not be proved: that it was charged, under the rail's reference, or,
// with none, that it was not and cannot be any more. A charged payment is owed to
// its payer from then on, as any other.
func (p *Processor) Decide(ctx context.Context, id, reference string) (Payment, error) {
	return p.byHand(ctx, id, func(ctx context.Context, pay Payment) (Payment, error) {
		if pay.State != StateReview || !pay.SettledAt.IsZero() || reference != "" && !reasonable(reference) {
			return pay, fmt.Errorf("decide on %s: it is %s: %w", id, pay.State, ErrState)
		}
		out := Outcome{Class: OutcomeVoided, Reason: "decided_by_hand"}
		if reference != "" {
			out = Outcome{Class: OutcomeSucceeded, Reference: reference, Amount: pay.Amount, Reason: out.Reason}
		}
		return p.enter(ctx, pay, out)
	})
}

// byHand changes a payment that nobody else here is at work on.
func (p *Processor) byHand(ctx context.Context, id string, change func(context.Context, Payment) (Payment, error)) (Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
	defer cancel()
	if !p.take(id) {
		return Payment{}, &Error{Kind: KindInProgress, Detail: "the payment is being delivered or returned right now", PaymentID: id, RetryAfter: time.Second}
	}
	defer p.drop(id)
	pay, err := p.Get(ctx, id)
	if err != nil {
		return Payment{}, err
	}
	return change(ctx, pay)
}

// reasonable reports whether a reference is printable and short enough to be one.
func reasonable(reference string) bool {
	if reference == "" || len(reference) > maxByHand {
		return false
	}
	for _, r := range reference {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return true
}
