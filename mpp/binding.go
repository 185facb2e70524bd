package mpp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"sync"
)

// MinKeyBytes is the shortest secret that challenges may be issued under.
const MinKeyBytes = 32

// ErrWeakKey means a secret shorter than [MinKeyBytes].
var ErrWeakKey = errors.New("secret is shorter than 32 bytes")

// ErrSlot means a bound value with a separator or control character in it.
var ErrSlot = errors.New("character not allowed in a bound value")

// appendSlots appends the MAC input of c: the bound values as they travel,
// joined with "|"; an absent one is empty. The header's slot exists only when
// it is not the default and comes before opaque.
func appendSlots(b []byte, c *Challenge) []byte {
	for _, s := range [...]string{c.Realm, c.Method, c.Intent, c.Request, c.Expires, c.Digest} {
		b = append(append(b, s...), '|')
	}
	if c.Header != "" && c.Header != defaultHeader {
		b = append(append(b, c.Header...), '|')
	}
	return append(b, c.Opaque...)
}

// checkSlots refuses what would let two tuples share one MAC input. The header
// is one fixed word without separators, so the number of slots tells both forms apart.
func checkSlots(c *Challenge) error {
	for _, s := range [...]string{c.Realm, c.Method, c.Intent, c.Request, c.Expires, c.Digest, c.Opaque} {
		for i := range len(s) {
			if s[i] == '|' || s[i] < ' ' || s[i] == 0x7f {
				return ErrSlot
			}
		}
	}
	if c.Header != "" && c.Header != defaultHeader && c.Header != PaymentAuthorization {
		return fmt.Errorf("%w: unknown header", ErrSlot)
	}
	return nil
}

// ComputeID is the binding of httpauth-payment-01 over c's wire strings:
// unpadded base64url of HMAC-SHA256. It takes any key; c.ID is not read.
func ComputeID(secret []byte, c Challenge) (string, error) {
	if err := checkSlots(&c); err != nil {
		return "", err
	}
	m := hmac.New(sha256.New, secret)
	m.Write(appendSlots(nil, &c))
	return EncodeBase64(m.Sum(nil)), nil
}

// IssueID is [ComputeID] for a challenge about to be sent: [ErrWeakKey] for a short secret.
func IssueID(secret []byte, c Challenge) (string, error) {
	if len(secret) < MinKeyBytes {
		return "", ErrWeakKey
	}
	return ComputeID(secret, c)
}

// VerifyID reports in constant time whether c.ID is the binding of its other fields.
func VerifyID(secret []byte, c Challenge) bool {
	want, err := ComputeID(secret, c)
	return err == nil && hmac.Equal([]byte(want), []byte(c.ID))
}

// Key is a binding secret with its public id, which travels in opaque.
type Key struct {
	// ID is 1 to 32 of A-Z a-z 0-9 - _.
	ID string
	// Secret is at least [MinKeyBytes] long.
	Secret []byte
}

// KeyRing signs with one key and verifies with several. It is safe for
// concurrent use. A key taken out of the ring revokes its open challenges.
type KeyRing struct {
	current *boundKey
	byID    map[string]*boundKey
}

type boundKey struct {
	id   string
	pool sync.Pool // of *scratch
}

// scratch is a keyed MAC with room for one challenge.
type scratch struct {
	mac    hash.Hash
	sum    [sha256.Size]byte
	nonce  [nonceBytes]byte
	random [32 * nonceBytes]byte
	unused int // nonces in random
	id     [43]byte
	opaque []byte
	msg    []byte
	line   []byte
}

// NewKeyRing takes the key to sign with and older ones that still verify.
func NewKeyRing(current Key, previous ...Key) (*KeyRing, error) {
	r := &KeyRing{byID: make(map[string]*boundKey, 1+len(previous))}
	for i, k := range append([]Key{current}, previous...) {
		if len(k.Secret) < MinKeyBytes {
			return nil, fmt.Errorf("key %q: %w", k.ID, ErrWeakKey)
		}
		if !validKeyID(k.ID) || r.byID[k.ID] != nil {
			return nil, fmt.Errorf("key id %q is empty, malformed or used twice", k.ID)
		}
		secret := append([]byte(nil), k.Secret...)
		b := &boundKey{id: k.ID}
		b.pool.New = func() any { return &scratch{mac: hmac.New(sha256.New, secret)} }
		r.byID[k.ID] = b
		if i == 0 {
			r.current = b
		}
	}
	return r, nil
}

func validKeyID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// verify recomputes c's id under every key and returns the id of the one that
// made it. Nothing that c says is read for that, and the work is the same
// whichever key it is, if any.
func (r *KeyRing) verify(c *Challenge) (keyID string, ok bool) {
	if checkSlots(c) != nil {
		return "", false
	}
	for id, k := range r.byID {
		s, have := k.pool.Get().(*scratch)
		if !have {
			continue
		}
		s.msg = appendSlots(s.msg[:0], c)
		s.seal(s.msg)
		if hmac.Equal(s.id[:], []byte(c.ID)) {
			keyID, ok = id, true
		}
		k.pool.Put(s)
	}
	return keyID, ok
}

// seal writes the id of msg to s.id.
func (s *scratch) seal(msg []byte) {
	s.mac.Reset()
	s.mac.Write(msg)
	base64.RawURLEncoding.Encode(s.id[:], s.mac.Sum(s.sum[:0]))
}
