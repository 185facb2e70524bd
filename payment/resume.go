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
	if _, err := p.cfg.Store.ByChallenge(ctx, c.ChallengeID); err != nil {
		if errors.Is(err, ErrNotFound) {
			return Payment{}, ErrNotFound
		}
		return Payment{}, &Error{Kind: KindInternal, Detail: "the payment could not be read", RetryAfter: retrySoon, Err: err}
	}
	release, err := p.acquire(ctx)
	if err != nil {
		return Payment{}, err
	}
	defer release()
	return p.rejoin(ctx, m, c)
}
