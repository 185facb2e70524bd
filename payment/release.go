package payment

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Release gives up a payment from [Processor.Hold] for which there is nothing to
// give. It ends this process's right to serve it. A nil error means that the
// payment is voided; with an error, an *[Error], the rail has not confirmed it
// yet and recovery goes on. Nothing is taken in either case, and the same
// credential may begin again. It does not end with the caller's context.
func (p *Processor) Release(ctx context.Context, pay Payment, reason string) (Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Patience)
	defer cancel()
	m, pay, err := p.holding(pay)
	if err != nil {
		return pay, &Error{Kind: KindInternal, Detail: "there is no promise to give up", Err: fmt.Errorf("release: %w", err)}
	}
	defer p.drop(pay.ID)
	in, err := p.sealer.open(pay)
	if err != nil {
		return pay, p.unknown(ctx, pay, Outcome{Reason: "intent_unreadable", Err: err})
	}
	return p.giveBack(ctx, m, pay, in, reason)
}

// giveBack asks the rail once to forget its promise, and stores its answer.
func (p *Processor) giveBack(ctx context.Context, m Holder, pay Payment, in Intent, reason string) (Payment, error) {
	// A payer's patience may have ended; the rail is told all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Attempt+storePatience)
	defer cancel()
	reason = releasedReason(reason)
	out := p.call(ctx, "release", pay, false, func(ctx context.Context) Outcome { return m.Release(ctx, pay, in) })
	if out.Class == OutcomeVoided {
		out.Reason = reason
		stored, err := p.enter(ctx, pay, out)
		if err == nil && stored.State == StateVoided {
			return stored, nil
		}
		out.Err = errors.Join(out.Err, err)
	}
	next := out
	next.Reason = reason // recovery voids it under the reason that it is given up for
	unknown := p.unknown(ctx, pay, next)
	return pay, &Error{
		Kind: KindPending, PaymentID: pay.ID, RetryAfter: retrySoon, Err: errors.Join(unknown, fmt.Errorf("release %s: %s %s", pay.ID, out.Class, out.Reason)),
		Detail: "the payment is being given up; nothing is charged for it",
	}
}

// releasedPrefix begins the reason of every payment that was given up with proof
// that nothing was taken, and that its payer may begin again.
const releasedPrefix = "released"

func releasedReason(why string) string {
	if why == "" || strings.HasPrefix(why, releasedPrefix) {
		return orString(why, releasedPrefix)
	}
	return releasedPrefix + ":" + why
}

func released(pay Payment) bool {
	return pay.State == StateVoided && pay.Held && strings.HasPrefix(pay.Reason, releasedPrefix)
}

// maxClaims bounds how often one credential may begin.
const maxClaims = 8

// numberMark separates a challenge id from the number of its claim. No protocol
// has it in its own ids.
const numberMark = "~"

// numbered is the challenge id of the nth claim of a credential.
func numbered(challengeID string, n int) string {
	if n == 1 {
		return challengeID
	}
	return challengeID + numberMark + strconv.Itoa(n)
}

// claimed returns the payment that has the credential's challenge, if it is the
// credential's.
func (p *Processor) claimed(ctx context.Context, c Credential) (Payment, error) {
	pay, err := p.cfg.Store.ByChallenge(ctx, c.ChallengeID)
	if err != nil {
		return Payment{}, &Error{Kind: KindInternal, Detail: "the payment could not be read", RetryAfter: retrySoon, Err: err}
	}
	if pay.CredentialHash != c.Hash || pay.Scope != c.Scope {
		return Payment{}, Refuse(KindInvalidChallenge, "this challenge has been used")
	}
	return pay, nil
}

// latest returns the last payment that a challenge began, or [ErrNotFound].
func (p *Processor) latest(ctx context.Context, challengeID string) (Payment, error) {
	last, err := p.cfg.Store.ByChallenge(ctx, challengeID)
	for n := 2; err == nil && released(last) && n <= maxClaims; n++ {
		next, nerr := p.cfg.Store.ByChallenge(ctx, numbered(challengeID, n))
		if errors.Is(nerr, ErrNotFound) {
			break
		}
		last, err = next, nerr
	}
	return last, err //nolint:wrapcheck // the caller tells what is absent from what cannot be read
}
