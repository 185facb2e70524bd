package receipts

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MaxTTL bounds the life of receipts that are no pass.
const MaxTTL = 24 * time.Hour

// Config is what an [Issuer] needs.
type Config struct {
	// Keys must hold a signing key. It is asked for at every receipt, so that a
	// rotation takes effect at once.
	Keys *KeyRing
	// Issuer is the public origin, "https://api.example.com"; plain http for loopback only.
	Issuer string
	// Audience is the realm that receipts are for.
	Audience string
	// Host is what did:web key ids name. Empty is the host of Issuer.
	Host string
	// TTL is the life of a receipt that says no other. Zero is 10 minutes, at most [MaxTTL].
	TTL time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// NewID makes receipt ids; nil is "rcp_" and 128 random bits.
	NewID func() string
}

// Issuer signs receipts. It is safe for concurrent use.
type Issuer struct {
	cfg Config
	id  identity
}

// New checks the configuration.
func New(cfg Config) (*Issuer, error) {
	id, err := newIdentity(cfg.Issuer, cfg.Audience, cfg.Host)
	if err != nil {
		return nil, fmt.Errorf("receipt issuer: %w", err)
	}
	if cfg.Keys == nil {
		return nil, fmt.Errorf("receipt issuer: Keys is missing: %w", ErrKey)
	}
	if _, ok := cfg.Keys.Signing(); !ok {
		return nil, fmt.Errorf("receipt issuer: no key of the ring signs: %w", ErrKey)
	}
	if cfg.TTL == 0 {
		cfg.TTL = 10 * time.Minute
	}
	if cfg.TTL < time.Second || cfg.TTL > MaxTTL {
		return nil, fmt.Errorf("receipt issuer: TTL: want 1s to %s: %w", MaxTTL, ErrClaims)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewID == nil {
		cfg.NewID = newID
	}
	return &Issuer{cfg: cfg, id: id}, nil
}

func newID() string { return "rcp_" + strings.ToLower(rand.Text()) }

// Complete fills in what c leaves out and checks the rest; errors are
// [ErrClaims] and name the claim. Issuing the same complete claims again, after
// a crash for instance, makes an equivalent receipt with the same id.
func (i *Issuer) Complete(c Claims) (Claims, error) {
	c.Issuer, c.Audience = i.id.issuer, i.id.audience
	if c.ID == "" {
		c.ID = i.cfg.NewID()
	}
	if c.IssuedAt.IsZero() {
		c.IssuedAt = i.cfg.Now()
	}
	c.IssuedAt = c.IssuedAt.UTC().Truncate(time.Second)
	if c.Use.Kind == Until && c.Expires.IsZero() {
		c.Expires = c.Use.Until
	}
	if c.Expires.IsZero() {
		c.Expires = c.IssuedAt.Add(i.cfg.TTL)
	}
	c.Expires = c.Expires.UTC().Truncate(time.Second)
	if !c.Use.Until.IsZero() {
		c.Use.Until = c.Use.Until.UTC().Truncate(time.Second)
	}
	if c.Network == "" {
		c.Network = c.Method
	}
	if c.Payer == "" {
		c.Payer = "anonymous"
	}
	if c.ResourceURL == "" {
		c.ResourceURL = resourceURL(i.id.issuer, c.Scope.Target)
	}
	c.Scope = c.Scope.compact()
	if err := c.check(); err != nil {
		return Claims{}, err
	}
	return c, nil
}

func resourceURL(origin, target string) string {
	path, _, _ := strings.Cut(target, "?")
	switch {
	case !strings.HasPrefix(target, "/") || len(path) > maxTarget:
		return origin + "/"
	case len(target) > maxTarget:
		return origin + path
	default:
		return origin + target
	}
}

// Issue completes and signs the claims. It does no I/O; its cost is that of one signature.
func (i *Issuer) Issue(c Claims) (string, error) {
	c, err := i.Complete(c)
	if err != nil {
		return "", fmt.Errorf("issue receipt: %w", err)
	}
	key, ok := i.cfg.Keys.Signing()
	if !ok {
		return "", fmt.Errorf("issue receipt for %s: no key of the ring signs: %w", c.PaymentID, ErrKey)
	}
	data, err := c.encode()
	if err != nil {
		return "", err
	}
	text := header(key, i.id.did) + "." + b64(data)
	sig, err := key.sign(text)
	if err != nil {
		return "", fmt.Errorf("issue receipt for %s: %w", c.PaymentID, err)
	}
	token := text + "." + b64(sig)
	if len(token) > MaxSize {
		return "", fmt.Errorf("issue receipt for %s: %d bytes, more than %d: %w", c.PaymentID, len(token), MaxSize, ErrClaims)
	}
	return token, nil
}

// header renders the one protected header of a key, base64url. The members need
// no escape: key ids and hosts are from restricted alphabets.
func header(k Key, did string) string { return typedHeader(k, did, Type) }

func typedHeader(k Key, did, typ string) string {
	return b64([]byte(`{"alg":"` + string(k.Algorithm) + `","kid":"` + did + "#" + k.ID + `","typ":"` + typ + `"}`))
}

const signatureSize = 64 // bytes, for both algorithms

// P-256's group order, and half of it.
const (
	order     = "\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51"
	halfOrder = "\x7f\xff\xff\xff\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff\xde\x73\x7d\x56\xd3\x8b\xcf\x42\x79\xdc\xe5\x61\x7e\x31\x92\xa8"
)

func (k Key) sign(text string) ([]byte, error) {
	if k.Algorithm == EdDSA {
		return jwt.SigningMethodEdDSA.Sign(text, k.private)
	}
	sig, err := jwt.SigningMethodES256.Sign(text, k.private)
	if err != nil {
		return nil, err
	}
	// For every (r, s) that verifies (r, n-s) does, too. Only the lower one is
	// issued and accepted, so that nobody can make a second spelling of a receipt.
	if s := sig[signatureSize/2:]; string(s) > halfOrder {
		n := new(big.Int).SetBytes([]byte(order))
		n.Sub(n, new(big.Int).SetBytes(s)).FillBytes(s)
	}
	return sig, nil
}

func (k Key) verify(text string, sig []byte) bool {
	if len(sig) != signatureSize {
		return false
	}
	if k.Algorithm == EdDSA {
		return jwt.SigningMethodEdDSA.Verify(text, sig, k.public) == nil
	}
	return string(sig[signatureSize/2:]) <= halfOrder && jwt.SigningMethodES256.Verify(text, sig, k.public) == nil
}
