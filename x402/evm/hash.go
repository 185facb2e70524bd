package evm

import (
	"encoding/hex"

	"golang.org/x/crypto/sha3"
)

// Hash is 32 bytes: a digest, a nonce or a transaction's name.
type Hash [32]byte

// Keccak256 is the hash of all parts, one after the other: the padding of Keccak
// as it was before it became SHA-3.
func Keccak256(parts ...[]byte) Hash {
	h := sha3.NewLegacyKeccak256()
	for _, p := range parts {
		_, _ = h.Write(p) // a hash takes everything
	}
	var out Hash
	h.Sum(out[:0])
	return out
}

// ParseHash reads "0x" and 64 hexadecimal digits in any case.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if !unhex(h[:], s) {
		return Hash{}, ErrHash
	}
	return h, nil
}

// String is the form that [ParseHash] reads, in lower case.
func (h Hash) String() string { return "0x" + hex.EncodeToString(h[:]) }

// MarshalText is [Hash.String].
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText is [ParseHash].
func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHash(string(text))
	return err
}
