package receipts

import "errors"

// Errors of this package; test with [errors.Is]. None of them carries a token or
// any part of one.
var (
	// ErrMalformed: not a receipt, or not in the one form this package accepts.
	ErrMalformed = errors.New("not a well-formed receipt")
	// ErrUnknownKey: the header names no key of the ring with its own algorithm and type.
	ErrUnknownKey = errors.New("no known key for this receipt")
	// ErrSignature: the signature does not hold.
	ErrSignature = errors.New("receipt signature does not verify")
	// ErrIssuer: issued by someone else.
	ErrIssuer = errors.New("receipt is of another issuer")
	// ErrAudience: issued for another realm.
	ErrAudience = errors.New("receipt is for another audience")
	// ErrExpired: its time, or that of its key, is over.
	ErrExpired = errors.New("receipt has expired")
	// ErrNotYetValid: dated in the future by more than the permitted skew.
	ErrNotYetValid = errors.New("receipt is not valid yet")
	// ErrRevoked: its payment was refunded or disputed, or its key was revoked.
	ErrRevoked = errors.New("receipt is revoked")
	// ErrScope: good, but for another request.
	ErrScope = errors.New("receipt does not cover this request")
	// ErrUsedUp: every use it allowed is gone.
	ErrUsedUp = errors.New("receipt is used up")

	// ErrKey: a key, or a file or document of keys, cannot be used.
	ErrKey = errors.New("unusable receipt key")
	// ErrClaims: what was to be issued is incomplete or out of bounds.
	ErrClaims = errors.New("unusable receipt claims")
)
