package payment

import (
	"context"
	"fmt"
)

// Resolve applies what a rail was found to say about a payment: by a webhook
// after the object was read again, or by reconciliation. A late or repeated
// word is a no-op. It reports whether anything changed.
func (p *Processor) Resolve(ctx context.Context, id string, out Outcome) (bool, error) {
	pay, err := p.Get(ctx, id)
	if err != nil {
		return false, err
	}
	switch out.Class {
	case OutcomeSucceeded, OutcomeDeclined, OutcomeMismatch:
	case OutcomeUnknown, OutcomeNotNow, OutcomeNone, OutcomeStarted, OutcomeVoided:
		return false, nil
	}
	out = judged(pay, out)
	switch {
	case pay.State == StatePending, pay.State == StateAuthorized, pay.State == StateReview && pay.SettledAt.IsZero() && out.Class != OutcomeMismatch:
		_, err := p.enter(ctx, pay, out)
		return err == nil, err
	case (pay.State == StateFailed || pay.State == StateVoided) && out.Class == OutcomeSucceeded:
		// Must never happen; if it does, a person has to know at once.
		p.cfg.Logger.ErrorContext(ctx, "the rail reports a charge for a closed payment", "payment", id, "reference", out.Reference)
		return false, fmt.Errorf("%s is %s but the rail reports a charge %s: %w", id, pay.State, out.Reference, ErrState)
	case !pay.SettledAt.IsZero() && out.Class == OutcomeSucceeded && out.Reference != pay.Reference:
		// Two charges for one payment break the first promise there is.
		p.cfg.Logger.ErrorContext(ctx, "the rail reports a second charge for a payment", "payment", id, "reference", out.Reference)
		return false, fmt.Errorf("%s was settled by %s but the rail reports a charge %s: %w", id, pay.Reference, out.Reference, ErrState)
	}
	return false, nil
}

// Returned records a refund that was made at the rail by somebody else: in its
// dashboard, or by an earlier life of this store.
func (p *Processor) Returned(ctx context.Context, id, reference string) (bool, error) {
	pay, err := p.Get(ctx, id)
	if err != nil {
		return false, err
	}
	if pay.State == StateRefunded || pay.State == StateCredited {
		return false, nil
	}
	if pay.RefundsFailed > 0 && reference == pay.RefundReference && pay.State == StateReview {
		return false, nil // late word of a refund that came back since
	}
	// The rail's refund call is keyed by the payment and finds the refund that exists.
	after, err := p.Refund(ctx, id, "refunded_at_rail:"+reference)
	return err == nil && after.State != pay.State, err
}

// Dispute flags a settled payment, or clears the flag. Opening one moves the
// amount from the receivable to the disputed account; a lost one stays there.
func (p *Processor) Dispute(ctx context.Context, id string, open bool) (bool, error) {
	pay, err := p.Get(ctx, id)
	if err != nil {
		return false, err
	}
	if pay.SettledAt.IsZero() || pay.Disputed == open {
		return false, nil
	}
	now := p.Now()
	next := pay
	next.Revision, next.UpdatedAt, next.Disputed = pay.Revision+1, now, open
	entry := Entry{Payment: id, Kind: "dispute", Debit: AccountDisputed + pay.Method, Credit: AccountReceivable + pay.Method, Amount: pay.Amount, At: now}
	event := "payment.disputed"
	if !open {
		entry.Kind, entry.Debit, entry.Credit = "dispute_won", entry.Credit, entry.Debit
		event = "payment.dispute_won"
	}
	_, err = p.update(ctx, pay, next, []Entry{entry}, event)
	return err == nil, err
}
