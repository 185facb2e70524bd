package payment

import (
	"errors"
	"fmt"
	"time"
)

// Kind classes what went wrong in words that a payer may see. Every kind has a
// row in the edge's table of problem documents; a test walks [Kinds].
type Kind uint8

// Kinds of refusal. The zero value is internal.
const (
	KindInternal Kind = iota
	// KindPaymentRequired: no credential was presented.
	KindPaymentRequired
	// KindMalformedCredential: it cannot be read.
	KindMalformedCredential
	// KindBadRequest: more than one payment was presented.
	KindBadRequest
	// KindInvalidChallenge: not ours, altered, used, or for another request.
	KindInvalidChallenge
	// KindPaymentExpired: ours, but its time is over.
	KindPaymentExpired
	// KindInvalidPayload: the proof does not have the rail's form.
	KindInvalidPayload
	// KindMethodUnsupported: rightly signed, but no longer offered.
	KindMethodUnsupported
	// KindVerificationFailed: the rail declined.
	KindVerificationFailed
	// KindPaymentInsufficient: the instrument's limit is below the price.
	KindPaymentInsufficient
	// KindActionRequired: a person must act at the payer's side first.
	KindActionRequired
	// KindInProgress: this very credential is being worked on.
	KindInProgress
	// KindPending: the outcome at the rail is not known yet. Nothing new is to be paid.
	KindPending
	// KindPaused: the seller has stopped settlement.
	KindPaused
	// KindBusy: too many settlements at once; nothing was claimed.
	KindBusy
)

// Kinds lists every kind, for tables and their tests.
func Kinds() []Kind {
	kinds := make([]Kind, 0, KindBusy+1)
	for k := KindInternal; k <= KindBusy; k++ {
		kinds = append(kinds, k)
	}
	return kinds
}

// String is the kind's slug, used in problem types and metric labels.
func (k Kind) String() string {
	switch k {
	case KindPaymentRequired:
		return "payment-required"
	case KindMalformedCredential:
		return "malformed-credential"
	case KindBadRequest:
		return "bad-request"
	case KindInvalidChallenge:
		return "invalid-challenge"
	case KindPaymentExpired:
		return "payment-expired"
	case KindInvalidPayload:
		return "invalid-payload"
	case KindMethodUnsupported:
		return "method-unsupported"
	case KindVerificationFailed:
		return "verification-failed"
	case KindPaymentInsufficient:
		return "payment-insufficient"
	case KindActionRequired:
		return "payment-action-required"
	case KindInProgress:
		return "payment-in-progress"
	case KindPending:
		return "payment-pending"
	case KindPaused:
		return "settlement-paused"
	case KindBusy:
		return "settlement-busy"
	case KindInternal:
		return "internal-payment-error"
	}
	return "internal-payment-error"
}

// Unsettled reports whether the kind forbids a new challenge: the answer is
// "come back", never "pay again".
func (k Kind) Unsettled() bool {
	switch k {
	case KindInternal, KindInProgress, KindPending, KindPaused, KindBusy:
		return true
	default:
		return false
	}
}

// Error is a refusal with its cause. Detail may be shown to the payer; Err never.
type Error struct {
	Kind   Kind
	Detail string
	// PaymentID is set when a record exists that the payer can come back to.
	PaymentID string
	// Reason is a short stable code for programs, such as "insufficient_funds".
	Reason string
	// RetryAfter is when it is worth coming back; zero when it is not.
	RetryAfter time.Duration
	Err        error
}

// Error is for the log.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Kind, e.Detail)
	}
	return fmt.Sprintf("%s: %s: %v", e.Kind, e.Detail, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refuse makes an *[Error] from a kind and a detail fit for the payer.
func Refuse(k Kind, detail string) *Error { return &Error{Kind: k, Detail: detail} }

// Errors of the contracts in this package; test with [errors.Is].
var (
	ErrNoCredential   = errors.New("no credential of this protocol")
	ErrNotOffered     = errors.New("not offered")
	ErrNotFound       = errors.New("no such payment")
	ErrChallengeUsed  = errors.New("challenge already claimed")
	ErrInstrumentUsed = errors.New("instrument already spent or being spent")
	ErrConflict       = errors.New("payment changed meanwhile")
	ErrPaused         = errors.New("settlement is paused")
	ErrState          = errors.New("state change not allowed")
)
