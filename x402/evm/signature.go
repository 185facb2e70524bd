package evm

import (
	"encoding/hex"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// Signature is r, s and v, 32, 32 and 1 bytes, where v is 27 or 28. Of the two values
// of s that are good for one message only the lower is one here: a signature
// cannot be turned into another.
//
// Whoever has the signature of an authorization can have it carried out; what is
// made of one goes to logs by its digest.
type Signature [65]byte

const (
	offsetV = 27
	lastV   = 64
)

// ParseSignature reads "0x" and 130 hexadecimal digits in any case. A last byte of
// 0 or 1, as some wallets write it, becomes 27 or 28.
func ParseSignature(s string) (Signature, error) {
	var sig Signature
	if !unhex(sig[:], s) {
		return Signature{}, ErrSignature
	}
	if sig[lastV] < 2 {
		sig[lastV] += offsetV
	}
	if !sig.Valid() {
		return Signature{}, ErrSignature
	}
	return sig, nil
}

// Valid reports whether the numbers are in range and s is the lower of the two.
func (s Signature) Valid() bool {
	if s[lastV] != offsetV && s[lastV] != offsetV+1 {
		return false
	}
	var r, low secp256k1.ModNScalar
	if over := r.SetByteSlice(s[:32]); over || r.IsZero() {
		return false
	}
	if over := low.SetByteSlice(s[32:64]); over || low.IsZero() {
		return false
	}
	return !low.IsOverHalfOrder()
}

// String is the form that [ParseSignature] reads, in lower case.
func (s Signature) String() string { return "0x" + hex.EncodeToString(s[:]) }

// Recover returns the address whose key signed the digest, and [ErrSignature] for
// what no key can have signed. It always gives some address for a signature in
// range: only comparing it proves anything.
func Recover(digest Hash, s Signature) (Address, error) {
	if !s.Valid() {
		return Address{}, ErrSignature
	}
	var compact [65]byte // the library has v in front
	compact[0] = s[lastV]
	copy(compact[1:], s[:lastV])
	key, _, err := ecdsa.RecoverCompact(compact[:], digest[:])
	if err != nil {
		return Address{}, ErrSignature
	}
	return addressOf(key), nil
}

// addressOf is the end of the hash of the key's two coordinates.
func addressOf(key *secp256k1.PublicKey) Address {
	raw := key.SerializeUncompressed()
	sum := Keccak256(raw[1:])
	return Address(sum[12:])
}
