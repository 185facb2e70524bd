package mpp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/money"
	"paywall/mpp"
	"paywall/payment"
)

var began = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

const realm = "api.example.com"

func ring(tb testing.TB, ids ...string) *mpp.KeyRing {
	tb.Helper()
	var keys []mpp.Key
	for _, id := range ids {
		keys = append(keys, mpp.Key{ID: id, Secret: []byte(strings.Repeat(id, 32))})
	}
	r, err := mpp.NewKeyRing(keys[0], keys[1:]...)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func protocol(tb testing.TB, c mpp.Config) *mpp.Protocol {
	tb.Helper()
	if c.Keys == nil {
		c.Keys = ring(tb, "k1")
	}
	p, err := mpp.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func offer(tb testing.TB, method string, cents int64) payment.Offer {
	tb.Helper()
	amount, err := money.New(cents, "USD", 2)
	if err != nil {
		tb.Fatal(err)
	}
	return payment.Offer{
		Method: method, Intent: "charge", Amount: amount,
		Details: json.RawMessage(`{"networkId":"profile_1","paymentMethodTypes":["card","link"]}`),
		Quote:   payment.Quote{Route: "r", Amount: amount, Description: "one report", Version: "3"},
	}
}

func compile(tb testing.TB, c mpp.Config, offers ...payment.Offer) payment.Dialect {
	tb.Helper()
	d, err := protocol(tb, c).Compile(realm, offers)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func bodyScope() payment.Scope {
	return payment.Scope{Tenant: "t", Route: "r", Method: "POST", Target: "/a?x=1", Digest: mpp.Digest([]byte("body"))}
}

func challenges(tb testing.TB, d payment.Dialect, s payment.Scope, accept ...string) []mpp.Challenge {
	tb.Helper()
	h, r := http.Header{}, &http.Request{Header: http.Header{}}
	if len(accept) > 0 {
		r.Header[mpp.AcceptPayment] = accept
	}
	if err := d.Challenge(h, r, s, began); err != nil {
		tb.Fatal(err)
	}
	cs, err := mpp.ParseChallenges(h)
	if err != nil {
		tb.Fatal(err)
	}
	return cs
}

// present puts fields into a request and gives it to the dialect.
func present(d payment.Dialect, s payment.Scope, at time.Time, fields ...string) (payment.Credential, error) {
	r := &http.Request{Header: http.Header{"Authorization": fields}}
	return d.Credential(r, s, at) //nolint:wrapcheck // the test looks at it
}

// echo is the credential of a challenge as plain JSON, to be spoilt.
func echo(tb testing.TB, c mpp.Challenge, payload string) map[string]any {
	tb.Helper()
	cred, err := mpp.NewCredential(c, []byte(payload))
	if err != nil {
		tb.Fatal(err)
	}
	field, err := cred.Format()
	if err != nil {
		tb.Fatal(err)
	}
	b, err := mpp.DecodeBase64(strings.TrimPrefix(field, "Payment "))
	if err != nil {
		tb.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		tb.Fatal(err)
	}
	return m
}

func field(tb testing.TB, m any) string {
	tb.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		tb.Fatal(err)
	}
	return "Payment " + mpp.EncodeBase64(bytes.TrimSpace(b.Bytes()))
}

func kindOf(tb testing.TB, err error) payment.Kind {
	tb.Helper()
	pe, ok := errors.AsType[*payment.Error](err)
	if !ok {
		tb.Fatalf("error %v is not for the payer", err)
	}
	if strings.Contains(err.Error(), "spt_secret") {
		tb.Errorf("the error shows the token: %v", err)
	}
	return pe.Kind
}

const spt = `{"spt":"spt_secret"}`
