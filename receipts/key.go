package receipts

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Algorithm is a JWS algorithm. A key has exactly one.
type Algorithm string

// Algorithms. ES256 is the default because every JOSE library has it; EdDSA is faster both ways.
const (
	ES256 Algorithm = "ES256"
	EdDSA Algorithm = "EdDSA"
)

// Status is what a key may still do.
type Status string

// Statuses of a key.
const (
	// Signing: issues and verifies. At most one key of a ring.
	Signing Status = "signing"
	// Verifying: verifies until NotAfter.
	Verifying Status = "verifying"
	// Revoked: receipts of it are refused as revoked, and it is not published.
	Revoked Status = "revoked"
)

// Key is one receipt key. Only a signing key holds its private half. It prints
// and logs as its id.
type Key struct {
	// ID is the part of the kid after "#": 1 to 64 of A-Z a-z 0-9 - _ .
	ID        string
	Algorithm Algorithm
	Status    Status
	// Created is informational. NotAfter is when a verifying key stops; zero is never.
	Created, NotAfter time.Time

	public  crypto.PublicKey // *ecdsa.PublicKey on P-256, or ed25519.PublicKey
	private crypto.Signer
}

// GenerateKey makes a signing key; its id is taken from its thumbprint.
func GenerateKey(alg Algorithm, created time.Time) (Key, error) {
	var (
		private crypto.Signer
		err     error
	)
	switch alg {
	case ES256, "":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return Key{}, fmt.Errorf("algorithm: want %s or %s: %w", ES256, EdDSA, ErrKey)
	}
	if err != nil {
		return Key{}, fmt.Errorf("generate receipt key: %w", err)
	}
	return NewKey(private, "", created)
}

// NewKey makes a signing key of an *ecdsa.PrivateKey on P-256 or an
// ed25519.PrivateKey. An empty id is taken from the key's thumbprint (RFC 7638).
func NewKey(private crypto.Signer, id string, created time.Time) (Key, error) {
	if private == nil {
		return Key{}, fmt.Errorf("no private key: %w", ErrKey)
	}
	k, err := publicKey(private.Public(), id)
	if err != nil {
		return Key{}, err
	}
	switch private.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey:
	default:
		return Key{}, fmt.Errorf("private key of an unsupported kind: %w", ErrKey)
	}
	k.Status, k.Created, k.private = Signing, created.UTC().Truncate(time.Second), private
	return k, nil
}

// Signer is the private half of a signing key, for what else is signed in the issuer's
// name; nil of other keys.
func (k Key) Signer() crypto.Signer { return k.private }

// Public is the public half.
func (k Key) Public() crypto.PublicKey { return k.public }

// publicKey makes a verifying key without an end.
func publicKey(public crypto.PublicKey, id string) (Key, error) {
	k := Key{ID: id, Status: Verifying, public: public}
	switch pub := public.(type) {
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return Key{}, fmt.Errorf("curve is not P-256: %w", ErrKey)
		}
		k.Algorithm = ES256
	case ed25519.PublicKey:
		if len(pub) != ed25519.PublicKeySize {
			return Key{}, fmt.Errorf("length of the Ed25519 key: %w", ErrKey)
		}
		k.Algorithm = EdDSA
	default:
		return Key{}, fmt.Errorf("want a P-256 or an Ed25519 key: %w", ErrKey)
	}
	if k.ID == "" {
		var err error
		if k.ID, err = k.thumbprintID(); err != nil {
			return Key{}, err
		}
	}
	if !validKeyID(k.ID) {
		return Key{}, fmt.Errorf("key id: want 1 to 64 of A-Z a-z 0-9 - _ .: %w", ErrKey)
	}
	return k, nil
}

func validKeyID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		switch b := id[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '-', b == '_', b == '.':
		default:
			return false
		}
	}
	return true
}

// dead reports whether a verifying key has reached its end.
func (k Key) dead(now time.Time) bool { return !k.NotAfter.IsZero() && !now.Before(k.NotAfter) }

// withoutPrivate returns the key unable to sign.
func (k Key) withoutPrivate() Key {
	k.private = nil
	return k
}

// Format writes the id, whatever the verb: no dump of a struct may print a private key.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "receipt key "+k.ID) }

// LogValue is the id.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.ID) }
