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

// FuzzParseChallenges: what parses can be written, and reads as the same again.
func FuzzParseChallenges(f *testing.F) {
	f.Add(`Payment id="i", realm="r", method="stripe", intent="charge", request="e30"`)
	f.Add(`Bearer realm="Payment id=", Payment id=i,realm=r,method=stripe,intent=charge,request=e30, opaque="a\"b", Payment id="x"`)
	f.Fuzz(func(t *testing.T, line string) {
		cs, err := mpp.ParseChallenges(http.Header{"Www-Authenticate": {line}})
		if err != nil {
			return
		}
		for _, c := range cs {
			out, err := c.Format()
			if err != nil {
				continue // it holds what we never write
			}
			again, err := mpp.ParseChallenges(http.Header{"Www-Authenticate": {out}})
			if err != nil || len(again) != 1 || again[0] != c {
				t.Errorf("%q: %+v, %v; want %+v", line, again, err, c)
			}
			native, err := c.Native()
			if err != nil {
				continue
			}
			if got, err := mpp.ParseNative(native); err == nil {
				// The request may have been spelt in another way; its value is the same.
				got.Request = c.Request
				if got != c {
					t.Errorf("%q over mcp: %+v", line, got)
				}
			}
		}
	})
}

// FuzzA011_Binding: two tuples share a binding only if they are one tuple.
func FuzzA011_Binding(f *testing.F) {
	f.Add("r\x1fm\x1fi\x1fq\x1fe\x1fd\x1fo", "r\x1fm\x1fi\x1fq\x1fe\x1f\x1fd|o", true, false)
	f.Add("r", "r\x1f", false, true)
	key := []byte(strings.Repeat("s", 32))
	tuple := func(s string, header bool) mpp.Challenge {
		var v [7]string
		copy(v[:], strings.Split(s, "\x1f"))
		c := mpp.Challenge{Realm: v[0], Method: v[1], Intent: v[2], Request: v[3], Expires: v[4], Digest: v[5], Opaque: v[6]}
		if header {
			c.Header = mpp.PaymentAuthorization
		}
		return c
	}
	f.Fuzz(func(t *testing.T, a, b string, ah, bh bool) {
		x, y := tuple(a, ah), tuple(b, bh)
		xid, xerr := mpp.ComputeID(key, x)
		yid, yerr := mpp.ComputeID(key, y)
		if xerr == nil && yerr == nil && (xid == yid) != (x == y) {
			t.Errorf("%+v and %+v have ids %s and %s", x, y, xid, yid)
		}
	})
}
