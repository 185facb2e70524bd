package payment

import (
	"context"
	"errors"
)

// Resume answers a credential that is rightly bound but may not begin a payment
// any more (expired, or an offer of the past) with the payment that it began in
// time. [ErrNotFound] means that it began none. Other errors are *[Error].
func (p *Processor) Resume(ctx context.Context, c Credential) (Payment, error) {
	if _, ok := p.methods[c.Offer.Method]; !ok {
		return Payment{}, ErrNotFound
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Patience)
	defer cancel()
	// Looked at first, so that a credential that began nothing takes no place in the queue.
	pay, err := p.latest(ctx, c.ChallengeID)
	switch {
	case errors.Is(err, ErrNotFound):
		return Payment{}, ErrNotFound
	case err != nil:
		return Payment{}, &Error{Kind: KindInternal, Detail: "the payment could not be read", RetryAfter: retrySoon, Err: err}
	case pay.CredentialHash != c.Hash || pay.Scope != c.Scope:
		return Payment{}, Refuse(KindInvalidChallenge, "this challenge has been used")
	case pay.State == StatePending || pay.State == StateAuthorized:
		// Consent ended with the challenge: nothing is sent again for it, and
		// recovery finds out what was (security model, "settling with a processor").
		return Payment{}, p.refusal(pay, Outcome{})
	}
	return pay, p.refusal(pay, Outcome{})
}
