package receipts_test

import (
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"paywall/money"
	"paywall/payment"
	"paywall/receipts"
)

const (
	origin = "https://api.example.com"
	realm  = "api.example.com"
)

// clock is a settable time.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newKey(t testing.TB, alg receipts.Algorithm) receipts.Key {
	t.Helper()
	k, err := receipts.GenerateKey(alg, newClock().now())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newRing(t testing.TB, keys ...receipts.Key) *receipts.KeyRing {
	t.Helper()
	r, err := receipts.NewKeyRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newIssuer(t testing.TB, ring *receipts.KeyRing, c *clock) *receipts.Issuer {
	t.Helper()
	i, err := receipts.New(receipts.Config{Keys: ring, Issuer: origin, Audience: realm, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func newVerifier(t testing.TB, cfg receipts.VerifierConfig) *receipts.Verifier {
	t.Helper()
	if cfg.Issuer == "" {
		cfg.Issuer = origin
	}
	if cfg.Audience == "" {
		cfg.Audience = realm
	}
	v, err := receipts.NewVerifier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func live() payment.Scope {
	return payment.Scope{Tenant: realm, Route: "GET /v1/reports/{id}", Method: "GET", Target: "/v1/reports/7?lang=en&full=1"}
}

func claims(t testing.TB) receipts.Claims {
	t.Helper()
	amount, err := money.New(100, "USD", 2)
	if err != nil {
		t.Fatal(err)
	}
	return receipts.Claims{
		PaymentID: "pay_0198c0d2a7b77cc1b1b5a1a8c1b2c3d4", ID: "rcp_1",
		Scope: receipts.ScopeOf(live()), Amount: amount,
		Method: "stripe", Reference: "pi_3RtAbCdEfGhIjKlM0nOpQrSt", Use: receipts.Use{Kind: receipts.Once},
	}
}

func issue(t testing.TB, i *receipts.Issuer, c receipts.Claims) string {
	t.Helper()
	token, err := i.Issue(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
