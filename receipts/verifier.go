package receipts

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Skew is how far the clocks of issuer and verifier may differ.
const Skew = time.Minute

// VerifierConfig is what a [Verifier] needs.
type VerifierConfig struct {
	// Keys are the issuer's: its own ring, or [Published.Keys].
	Keys *KeyRing
	// Issuer, Audience and Host are as in [Config]; the claims must equal them exactly.
	Issuer, Audience, Host string
	// Revocations is asked at every verification, cached or not. Nil revokes nothing.
	Revocations Revocations
	// Uses counts for [Verifier.Redeem]. Nil refuses receipts whose uses are counted.
	Uses Uses
	// CacheSize is how many verified receipts are remembered, of about 1 KiB
	// each. Zero is 4096; a negative number is none.
	CacheSize int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Verifier checks receipts of one issuer for one audience, with no I/O. It is
// safe for concurrent use.
type Verifier struct {
	cfg     VerifierConfig
	id      identity
	headers atomic.Pointer[headerTable]
	cache   *lru.Cache[[sha256.Size]byte, verified] // nil: none
}

// headerTable finds the key of an encoded header.
type headerTable struct {
	set  *keySet
	keys map[string]Key
}

// verified is a receipt that held under one snapshot of the ring. Failures are
// never remembered: a receipt that is not valid yet, or whose key is about to be
// loaded, must be looked at again, and strangers must not fill the cache.
type verified struct {
	claims Claims
	set    *keySet
	until  time.Time
}

// NewVerifier checks the configuration.
func NewVerifier(cfg VerifierConfig) (*Verifier, error) {
	id, err := newIdentity(cfg.Issuer, cfg.Audience, cfg.Host)
	if err != nil {
		return nil, fmt.Errorf("receipt verifier: %w", err)
	}
	if cfg.Keys == nil {
		return nil, fmt.Errorf("receipt verifier: Keys is missing: %w", ErrKey)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.CacheSize == 0 {
		cfg.CacheSize = 4096
	}
	v := &Verifier{cfg: cfg, id: id}
	if cfg.CacheSize > 0 {
		if v.cache, err = lru.New[[sha256.Size]byte, verified](cfg.CacheSize); err != nil {
			return nil, fmt.Errorf("receipt verifier: cache: %w", err)
		}
	}
	return v, nil
}

// Verify returns the claims of a receipt of this issuer for this audience that
// is in force now. It says nothing about which request the receipt covers, nor
// whether uses are left. Errors are those of this package.
func (v *Verifier) Verify(token string) (Claims, error) {
	if len(token) > MaxSize {
		return Claims{}, fmt.Errorf("more than %d bytes: %w", MaxSize, ErrMalformed)
	}
	set, now := v.cfg.Keys.set.Load(), v.cfg.Now()
	var sum [sha256.Size]byte
	if v.cache != nil {
		sum = sha256.Sum256([]byte(token))
		if hit, ok := v.cache.Get(sum); ok && hit.set == set && now.Before(hit.until) {
			if v.revoked(hit.claims.PaymentID) {
				v.cache.Remove(sum)
				return Claims{}, ErrRevoked
			}
			return hit.claims, nil
		}
	}
	c, key, err := v.verify(token, set, now)
	if err != nil {
		return Claims{}, err
	}
	if v.cache != nil {
		until := c.Expires.Add(Skew)
		if !key.NotAfter.IsZero() && key.NotAfter.Before(until) {
			until = key.NotAfter
		}
		v.cache.Add(sum, verified{claims: c, set: set, until: until})
	}
	return c, nil
}

func (v *Verifier) verify(token string, set *keySet, now time.Time) (Claims, Key, error) {
	head, body, sig, err := split(token)
	if err != nil {
		return Claims{}, Key{}, err
	}
	key, ok := v.table(set).keys[head]
	switch {
	case !ok:
		return Claims{}, Key{}, ErrUnknownKey
	case key.Status == Revoked:
		return Claims{}, Key{}, fmt.Errorf("key %s: %w", key.ID, ErrRevoked)
	case key.dead(now):
		return Claims{}, Key{}, fmt.Errorf("key %s: %w", key.ID, ErrExpired)
	}
	raw, ok := unb64(sig)
	if !ok {
		return Claims{}, Key{}, fmt.Errorf("signature is not base64url: %w", ErrMalformed)
	}
	if !key.verify(token[:len(head)+1+len(body)], raw) {
		return Claims{}, Key{}, ErrSignature
	}
	data, ok := unb64(body)
	if !ok {
		return Claims{}, Key{}, fmt.Errorf("claims are not base64url: %w", ErrMalformed)
	}
	c, err := decode(data)
	if err != nil {
		return Claims{}, Key{}, err
	}
	return c, key, v.check(c, now)
}

func (v *Verifier) check(c Claims, now time.Time) error {
	switch {
	case c.Issuer != v.id.issuer:
		return ErrIssuer
	case c.Audience != v.id.audience:
		return ErrAudience
	case now.Add(Skew).Before(c.IssuedAt): // nbf equals iat
		return ErrNotYetValid
	case !now.Before(c.Expires.Add(Skew)):
		return ErrExpired
	case v.revoked(c.PaymentID):
		return ErrRevoked
	}
	return nil
}

func (v *Verifier) revoked(paymentID string) bool {
	return v.cfg.Revocations != nil && v.cfg.Revocations.Revoked(paymentID)
}

func (v *Verifier) table(set *keySet) *headerTable {
	if t := v.headers.Load(); t != nil && t.set == set {
		return t
	}
	t := &headerTable{set: set, keys: make(map[string]Key, len(set.keys))}
	for _, k := range set.keys {
		t.keys[header(k, v.id.did)] = k.withoutPrivate()
	}
	v.headers.Store(t)
	return t
}

// split cuts a token at its two dots without looking at the parts.
func split(token string) (head, body, sig string, err error) {
	head, rest, ok := strings.Cut(token, ".")
	body, sig, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(sig, ".") || head == "" || body == "" || sig == "" {
		return "", "", "", fmt.Errorf("want three parts and two dots: %w", ErrMalformed)
	}
	return head, body, sig, nil
}
