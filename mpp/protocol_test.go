package mpp_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/money"
	"paywall/mpp"
	"paywall/payment"
)

func TestProtocol(t *testing.T) {
	key := mpp.Key{ID: "k1", Secret: []byte(strings.Repeat("s", 32))}
	ring, err := mpp.NewKeyRing(key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := mpp.New(mpp.Config{Keys: ring})
	if err != nil {
		t.Fatal(err)
	}
	amount, err := money.New(100, "USD", 2)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Compile("api.example.com", []payment.Offer{{Method: "stripe", Intent: "charge", Amount: amount}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	scope := payment.Scope{Tenant: "t", Route: "r", Method: "POST", Target: "/a?x=1", Digest: mpp.Digest([]byte("body"))}
	h, blank := http.Header{}, &http.Request{Header: http.Header{}}
	for range 2 {
		if err := d.Challenge(h, blank, scope, now); err != nil {
			t.Fatal(err)
		}
	}
	cs, err := mpp.ParseChallenges(h)
	if err != nil || len(cs) != 2 || cs[0].ID == cs[1].ID {
		t.Fatalf("challenges %v, %v", cs, err)
	}
	for _, tt := range []struct {
		name string
		edit func(*mpp.Challenge, *payment.Scope, *time.Time)
		want payment.Kind
		ok   bool
	}{
		{name: "as issued", edit: func(*mpp.Challenge, *payment.Scope, *time.Time) {}, ok: true},
		{name: "A001 other path", edit: func(_ *mpp.Challenge, s *payment.Scope, _ *time.Time) { s.Target = "/b" }, want: payment.KindInvalidChallenge},
		{name: "A002 other method", edit: func(_ *mpp.Challenge, s *payment.Scope, _ *time.Time) { s.Method = "GET" }, want: payment.KindInvalidChallenge},
		{name: "A004 other tenant", edit: func(_ *mpp.Challenge, s *payment.Scope, _ *time.Time) { s.Tenant = "u" }, want: payment.KindInvalidChallenge},
		{name: "A005 other realm", edit: func(c *mpp.Challenge, _ *payment.Scope, _ *time.Time) { c.Realm = "x" }, want: payment.KindInvalidChallenge},
		{name: "A007 other amount", edit: func(c *mpp.Challenge, _ *payment.Scope, _ *time.Time) { c.Request = "e30" }, want: payment.KindInvalidChallenge},
		{name: "A010 id of another", edit: func(c *mpp.Challenge, _ *payment.Scope, _ *time.Time) { c.ID = cs[1].ID }, want: payment.KindInvalidChallenge},
		{name: "A012 expires dropped", edit: func(c *mpp.Challenge, _ *payment.Scope, _ *time.Time) { c.Expires = "" }, want: payment.KindInvalidChallenge},
		{name: "A013 at the instant", edit: func(_ *mpp.Challenge, _ *payment.Scope, n *time.Time) { *n = n.Add(5 * time.Minute) }, want: payment.KindPaymentExpired},
		{name: "A028 other body", edit: func(_ *mpp.Challenge, s *payment.Scope, _ *time.Time) { s.Digest = mpp.Digest([]byte("bodz")) }, want: payment.KindInvalidChallenge},
	} {
		c, s, n := cs[0], scope, now
		tt.edit(&c, &s, &n)
		cred, err := mpp.NewCredential(c, []byte(`{"spt":"spt_1"}`))
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Header: http.Header{}}
		if err := cred.Set(r.Header); err != nil {
			t.Fatal(err)
		}
		got, err := d.Credential(r, s, n)
		var pe *payment.Error
		if tt.ok {
			if err != nil || got.ChallengeID != c.ID || string(got.Payload) != `{"spt":"spt_1"}` {
				t.Errorf("%s: %v %v", tt.name, got, err)
			}
		} else if !errors.As(err, &pe) || pe.Kind != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
