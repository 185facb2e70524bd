// Package httpsig signs HTTP messages and verifies signatures (RFC 9421), with digests
// of bodies (RFC 9530) and keys as JWKs (RFC 7517), as far as the shopping protocol
// uses them: ECDSA and Ed25519, keys by id, no other parameters than times.
package httpsig

import "errors"

// Errors of verifying; test with [errors.Is].
var (
	// ErrMissing: there is no signature.
	ErrMissing = errors.New("not signed")
	// ErrInvalid: a signature does not hold, or does not cover what it must.
	ErrInvalid = errors.New("the signature does not hold")
	// ErrKeyNotFound: no key has the signature's id; a [*KeyError] names it.
	ErrKeyNotFound = errors.New("no such key")
	// ErrAlgorithm: the key or digest is of a kind that is not known here.
	ErrAlgorithm = errors.New("an algorithm that is not known here")
	// ErrDigestMismatch: the body is not the one that was signed.
	ErrDigestMismatch = errors.New("the digest is of another body")
	// ErrKeys: a set of keys that cannot be used.
	ErrKeys = errors.New("not a set of public keys")
)

// KeyError names the key that was not found. It wraps [ErrKeyNotFound].
type KeyError struct{ ID string }

func (e *KeyError) Error() string { return ErrKeyNotFound.Error() }

// Unwrap returns [ErrKeyNotFound].
func (*KeyError) Unwrap() error { return ErrKeyNotFound }
