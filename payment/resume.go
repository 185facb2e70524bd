package payment

import (
	"context"
	"errors"
)

// Resume answers a credential that is rightly bound but may not begin a payment
// any more (expired, or an offer of the past) with the payment that it began in
// time. [ErrNotFound] means that it began none. Other errors are *[Error].
func (p *Processor) Resume(ctx context.Context, c Credential) (Payment, error) {
	m, ok := p.methods[c.Offer.Method]
	if !ok {
		return Payment{}, ErrNotFound
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Patience)
	defer cancel()
	// Looked at first, so that a credential that began nothing takes no place in the queue.
	pay, err := p.cfg.Store.ByChallenge(ctx, c.ChallengeID)
	switch {
	case errors.Is(err, ErrNotFound):
		return Payment{}, ErrNotFound
	case err != nil:
		return Payment{}, &Error{Kind: KindInternal, Detail: "the payment could not be read", RetryAfter: retrySoon, Err: err}
	case pay.State == StatePending && pay.CredentialHash == c.Hash && pay.Scope == c.Scope:
		// Consent ended with the challenge: nothing is sent again for it, and
		// recovery finds out what was (security model, "settling with a processor").
		return Payment{}, p.refusal(pay, Outcome{})
	}
	release, err := p.acquire(ctx)
	if err != nil {
		return Payment{}, err
	}
	defer release()
	return p.rejoin(ctx, m, c)
}
