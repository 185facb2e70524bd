package mpp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paywall/money"
	"paywall/mpp"
	"paywall/payment"
)

func FuzzParseCredential(f *testing.F) {
	f.Add("Payment eyJjaGFsbGVuZ2UiOnt9fQ")
	f.Fuzz(func(t *testing.T, field string) {
		c, err := mpp.ParseCredential(field)
		if err != nil {
			return
		}
		line, err := c.Format()
		if err != nil {
			return // the echo may hold what we never write
		}
		again, err := mpp.ParseCredential(line)
		if err != nil || again.Challenge != c.Challenge || again.Source != c.Source {
			t.Errorf("%q: %v, %v", field, again, err)
		}
	})
}

func FuzzChallengeRoundTrip(f *testing.F) {
	f.Add("id", "api.example.com", `say "Payment", please`, "trace")
	f.Fuzz(func(t *testing.T, id, realm, description, opaque string) {
		c := mpp.Challenge{
			ID: id, Realm: realm, Method: "stripe", Intent: "charge", Request: "e30",
			Description: description, Opaque: opaque,
		}
		line, err := c.Format()
		if err != nil {
			return
		}
		got, err := mpp.ParseChallenges(http.Header{"Www-Authenticate": {line}})
		if err != nil || !cmp.Equal(got, []mpp.Challenge{c}) {
			t.Errorf("%q: %v, %v", line, got, err)
		}
	})
}

func BenchmarkChallenge(b *testing.B) {
	ring, err := mpp.NewKeyRing(mpp.Key{ID: "k1", Secret: []byte(strings.Repeat("s", 32))})
	if err != nil {
		b.Fatal(err)
	}
	p, err := mpp.New(mpp.Config{Keys: ring})
	if err != nil {
		b.Fatal(err)
	}
	amount, err := money.New(100, "USD", 2)
	if err != nil {
		b.Fatal(err)
	}
	d, err := p.Compile("api.example.com", []payment.Offer{{Method: "stripe", Intent: "charge", Amount: amount}})
	if err != nil {
		b.Fatal(err)
	}
	now, r := time.Unix(1800000000, 0), &http.Request{Header: http.Header{}}
	s := payment.Scope{Tenant: "t", Route: "r", Method: "GET", Target: "/a"}
	h := http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		clear(h)
		if err := d.Challenge(h, r, s, now); err != nil {
			b.Fatal(err)
		}
	}
}
