package evm

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

const redacted = "redacted"

// Key is a private key. However it is printed, logged or encoded, it shows as
// "redacted". The zero value is no key: it signs nothing.
type Key struct{ private *secp256k1.PrivateKey }

var (
	_ fmt.Formatter  = Key{}
	_ slog.LogValuer = Key{}
)

// ParseKey reads 64 hexadecimal digits in any case, with or without "0x" in front.
func ParseKey(s string) (Key, error) {
	if !strings.HasPrefix(s, "0x") {
		s = "0x" + s
	}
	var raw [32]byte
	defer clear(raw[:])
	if !unhex(raw[:], s) {
		return Key{}, ErrKey
	}
	return keyOf(raw[:])
}

// NewKey draws a key from r, which is [crypto/rand.Reader] but in tests.
func NewKey(r io.Reader) (Key, error) {
	var raw [32]byte
	defer clear(raw[:])
	for {
		if _, err := io.ReadFull(r, raw[:]); err != nil {
			return Key{}, fmt.Errorf("draw a key: %w", err)
		}
		// One draw in 2^128 is no key.
		if k, err := keyOf(raw[:]); err == nil {
			return k, nil
		}
	}
}

func keyOf(raw []byte) (Key, error) {
	var n secp256k1.ModNScalar
	if over := n.SetByteSlice(raw); over || n.IsZero() {
		return Key{}, ErrKey
	}
	return Key{private: secp256k1.NewPrivateKey(&n)}, nil
}

// Address is the account that the key signs for.
func (k Key) Address() Address {
	if k.private == nil {
		return Address{}
	}
	return addressOf(k.private.PubKey())
}

// Sign signs a digest. The same key and digest give the same signature (RFC 6979).
// The zero key gives the zero signature, which is not valid.
func (k Key) Sign(digest Hash) Signature {
	var s Signature
	if k.private == nil {
		return s
	}
	compact := ecdsa.SignCompact(k.private, digest[:], false)
	copy(s[:lastV], compact[1:])
	s[lastV] = compact[0]
	return s
}

// Hex returns the key itself, for the one place that stores it.
func (k Key) Hex() string {
	if k.private == nil {
		return ""
	}
	raw := k.private.Serialize()
	defer clear(raw)
	return Hash(raw).String()
}

// String is "redacted".
func (Key) String() string { return redacted }

// GoString is "redacted".
func (Key) GoString() string { return redacted }

// Format writes "redacted" for every verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is "redacted".
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is "redacted".
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
