package payment

import (
	"context"
	"time"

	"paywall/money"
)

// Method is a rail: who moves the money. Implementations are safe for
// concurrent use and keep no record of payments; the [Processor] does.
type Method interface {
	// Name is 1 to 20 lower-case letters and is stored with payments.
	Name() string

	// Offer states how this rail takes the quote. A quote it cannot take
	// (currency, below its minimum) is an error that wraps [ErrNotOffered] and
	// says why in words for the seller. No I/O.
	Offer(q Quote) (Offer, error)

	// Inspect checks the payload's form and returns its fingerprint. Errors are
	// *[Error] of [KindInvalidPayload]. No I/O.
	Inspect(c Credential) (Instrument, error)

	// Prepare returns the exact outgoing request for a claimed payment. It is
	// stored, sealed, before anything is sent, and all later calls get these
	// bytes and nothing else. No I/O.
	Prepare(p Payment, c Credential) (Intent, error)

	// Charge sends the intent. Repeating it must be harmless: same key, same
	// bytes. It makes one attempt; the Processor owns the retry loop.
	Charge(ctx context.Context, p Payment, in Intent) Outcome

	// Lookup asks, without acting, what became of the intent. [OutcomeNone]
	// means that nothing was found now, which proves nothing.
	Lookup(ctx context.Context, p Payment, in Intent) Outcome

	// Void makes sure that the intent can never execute, without moving money.
	// [OutcomeVoided] is proof; [OutcomeStarted] says that the rail has seen the
	// intent and its stored answer can be had by Charge.
	Void(ctx context.Context, p Payment, in Intent) Outcome

	// Refund returns the whole amount to the payer under a key derived from the
	// payment's id and RefundsFailed, so that repeating it refunds once.
	// OutcomeSucceeded carries the refund's reference.
	Refund(ctx context.Context, p Payment) Outcome
}

// Holder is a [Method] that can promise the money before it is taken. It states
// [Offer.Hold] in offers for quotes that ask for it.
type Holder interface {
	Method

	// Hold makes sure that the money can be taken and takes none:
	// [OutcomeSucceeded] is the promise, of p.Amount. Repeating it must be harmless,
	// and a repeat must tell how it is now: nobody serves on a promise that was
	// given up since.
	Hold(ctx context.Context, p Payment, in Intent) Outcome

	// Capture takes p.Amount, which is the intent's amount or, of a metered offer,
	// less. It makes one attempt; repeating it must be harmless. It is called too
	// for a payment whose earlier owner may have died before or after its capture.
	Capture(ctx context.Context, p Payment, in Intent) Outcome

	// Release gives up the promise of a payment whose capture was never begun.
	// [OutcomeVoided] is proof that nothing can be taken any more.
	Release(ctx context.Context, p Payment, in Intent) Outcome
}

// Intent describes one money call, byte for byte.
type Intent struct {
	// Account and Key address it at the rail. The key is derived from account
	// and challenge id, never from the instrument.
	Account, Key string
	// Request is what is sent, in the rail's own encoding, with everything that
	// could change between two attempts (API version included). It may hold a
	// bearer secret and is sealed at rest.
	Request []byte
}

// OutcomeClass is what an answer of a rail means for the state table.
type OutcomeClass uint8

// Classes of outcome. The zero value is unknown, so that a forgotten case fails
// closed.
const (
	// OutcomeUnknown: money may or may not have moved.
	OutcomeUnknown OutcomeClass = iota
	// OutcomeSucceeded: moved, and every field agrees with the payment.
	OutcomeSucceeded
	// OutcomeDeclined: the rail said no for good; Kind and Reason say how.
	OutcomeDeclined
	// OutcomeNotNow: provably nothing happened (refused connection, 429, bad
	// key); the same intent may be sent again.
	OutcomeNotNow
	// OutcomeMismatch: it answered with something that contradicts the payment.
	OutcomeMismatch
	// OutcomeNone: a look-up found nothing.
	OutcomeNone
	// OutcomeStarted: a void found that the intent had begun.
	OutcomeStarted
	// OutcomeVoided: proof that the intent can never execute.
	OutcomeVoided
)

// String names the class in logs and metrics.
func (c OutcomeClass) String() string {
	switch c {
	case OutcomeSucceeded:
		return "succeeded"
	case OutcomeDeclined:
		return "declined"
	case OutcomeNotNow:
		return "not_now"
	case OutcomeMismatch:
		return "mismatch"
	case OutcomeNone:
		return "none"
	case OutcomeStarted:
		return "started"
	case OutcomeVoided:
		return "voided"
	case OutcomeUnknown:
		return "unknown"
	}
	return "unknown"
}

// Outcome is the answer of a rail, already classed.
type Outcome struct {
	Class OutcomeClass
	// Reference is the rail's id of the charge or refund, kept for the books
	// and shown in receipts.
	Reference string
	// Amount is what the rail says it moved; of Hold, what it promises.
	Amount money.Amount
	// Refunded is how much of a charge that succeeded was paid back since, by whoever
	// did; zero is none. RefundReference is the rail's id of the latest such refund.
	// A charge that was paid back in whole opens nothing; of one that was in part, a
	// person decides.
	Refunded        money.Amount
	RefundReference string
	// Kind is what a decline means to the payer; zero is [KindVerificationFailed].
	Kind Kind
	// Reason is a short stable code for operators, such as "card_declined".
	Reason string
	// RetryAfter is the rail's own wish, or zero.
	RetryAfter time.Duration
	// Fatal says of OutcomeNotNow that no retry can help until a person acts
	// (revoked key): settlement pauses on this rail and an alarm is raised.
	Fatal bool
	// Err is the cause for the log, already free of secrets.
	Err error
}
