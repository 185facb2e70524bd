package x402_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/payment"
	"paywall/x402"
	"paywall/x402/evm"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func signIns(c *x402.Config) { c.SignInKey = bytes.Repeat([]byte{5}, 32) }

// door is a dialect that lets payers come back.
func door(t testing.TB, p *x402.Protocol, offers ...payment.Offer) payment.SignIn {
	t.Helper()
	d, ok := payment.Dialect(compile(t, p, offers...)).(payment.SignIn)
	if !ok {
		t.Fatal("nobody can come back")
	}
	return d
}

// proof signs the challenge to sign in, as the stock client does.
func proof(t testing.TB, p x402.PaymentRequired, change func(object)) object {
	t.Helper()
	var d struct {
		Info   object                           `json:"info"`
		Chains []struct{ ChainID, Type string } `json:"supportedChains"`
	}
	if err := json.Unmarshal(p.Extensions[x402.ExtensionSignIn], &d); err != nil {
		t.Fatal(err)
	}
	out := d.Info
	out["chainId"], out["type"], out["address"] = d.Chains[0].ChainID, d.Chains[0].Type, payerKey().Address().Checksum()
	if change != nil {
		change(out)
	}
	text := func(name string) string { s, _ := out[name].(string); return s }
	message := text("domain") + " wants you to sign in with your Ethereum account:\n" + text("address") + "\n\n\nURI: " + text("uri") +
		"\nVersion: " + text("version") + "\nChain ID: " + strings.TrimPrefix(text("chainId"), "eip155:") + "\nNonce: " + text("nonce") +
		"\nIssued At: " + text("issuedAt") + "\nExpiration Time: " + text("expirationTime")
	if _, ok := out["signature"]; !ok {
		out["signature"] = payerKey().Sign(evm.TextDigest([]byte(message))).String()
	}
	return out
}

func TestSignIn(t *testing.T) {
	d := door(t, protocol(t, signIns), link(100), stable(10000))
	p := challenge(t, d)
	other := scope()
	other.Target = "/v1/other"
	for _, tt := range []struct {
		name   string
		change func(object)
		scope  payment.Scope
		at     time.Duration
		kind   payment.Kind // zero is let in
	}{
		{name: "good"},
		{name: "lower-case address", change: func(o object) { o["address"] = payerKey().Address().String() }},
		{name: "said to be of its type", change: func(o object) { o["signatureScheme"] = "eip191" }},
		{name: "null where nothing is", change: func(o object) { o["statement"], o["resources"] = nil, nil }},
		{name: "at the last moment", at: 5*time.Minute - time.Millisecond},
		{name: "too late", at: 5 * time.Minute, kind: payment.KindPaymentRequired},
		{name: "too early", at: -time.Second, kind: payment.KindPaymentRequired},
		{name: "another resource", scope: other, kind: payment.KindPaymentRequired},
		{name: "another domain", change: func(o object) { o["domain"] = "evil.example" }, kind: payment.KindPaymentRequired},
		{name: "another uri", change: func(o object) { o["uri"] = origin + ".evil.example" }, kind: payment.KindPaymentRequired},
		{name: "another version", change: func(o object) { o["version"] = "2" }, kind: payment.KindPaymentRequired},
		{name: "a nonce of its own", change: func(o object) { o["nonce"] = strings.Repeat("0", 32) }, kind: payment.KindPaymentRequired},
		{name: "the nonce in capitals", change: func(o object) { o["nonce"] = strings.ToUpper(o["nonce"].(string)) }, kind: payment.KindPaymentRequired},
		{name: "a longer life", change: func(o object) { o["expirationTime"] = "2036-11-01T12:05:00Z" }, kind: payment.KindPaymentRequired},
		{name: "issued later", change: func(o object) { o["issuedAt"] = "2026-11-01T12:04:00Z" }, kind: payment.KindPaymentRequired},
		{name: "a chain of no offer", change: func(o object) { o["chainId"] = "eip155:1" }, kind: payment.KindPaymentRequired},
		{name: "a network that is no chain", change: func(o object) { o["chainId"] = "stripe:test" }, kind: payment.KindPaymentRequired},
		{name: "another type", change: func(o object) { o["type"] = "ed25519" }, kind: payment.KindPaymentRequired},
		{name: "a wallet that is a contract", change: func(o object) { o["signatureScheme"] = "eip1271" }, kind: payment.KindPaymentRequired},
		{name: "somebody else", change: func(o object) { o["address"] = payTo }, kind: payment.KindPaymentRequired},
		{name: "no signature", change: func(o object) { o["signature"] = "0x" }, kind: payment.KindPaymentRequired},
		{name: "a statement", change: func(o object) { o["statement"] = "and all I own is yours" }, kind: payment.KindBadRequest},
		{name: "a line more", change: func(o object) { o["address"] = payTo + "\nURI: x" }, kind: payment.KindPaymentRequired},
		{name: "a member missing", change: func(o object) { delete(o, "nonce") }, kind: payment.KindBadRequest},
		{name: "no end", change: func(o object) { delete(o, "expirationTime") }, kind: payment.KindBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc := scope()
			if tt.scope.Target != "" {
				sc = tt.scope
			}
			v, err := d.SignedIn(request(x402.HeaderSignIn, encode(proof(t, p, tt.change))), sc, began.Add(tt.at))
			if tt.kind == 0 {
				if err != nil || v.Payer != payerKey().Address().String() || len(v.Nonce) != 32 || !v.Expires.Equal(began.Add(5*time.Minute)) {
					t.Errorf("%+v, %v", v, err)
				}
				return
			}
			if e := refusal(t, err); e.Kind != tt.kind || v != (payment.Visitor{}) {
				t.Errorf("%v", e)
			}
		})
	}
}

func TestSignIn_WithoutProof(t *testing.T) {
	d := door(t, protocol(t, signIns), stable(10000))
	if _, err := d.SignedIn(&http.Request{Header: http.Header{}}, scope(), began); !errors.Is(err, payment.ErrNoCredential) {
		t.Error(err)
	}
	twice := request(x402.HeaderSignIn, "a")
	twice.Header.Add(x402.HeaderSignIn, "b")
	for _, r := range []*http.Request{twice, request(x402.HeaderSignIn, "e30=, e30="), request(x402.HeaderSignIn, "!"), request(x402.HeaderSignIn, b64(`{"domain":"a","domain":"b"}`))} {
		if _, err := d.SignedIn(r, scope(), began); refusal(t, err).Kind != payment.KindBadRequest {
			t.Error(err)
		}
	}
	off := door(t, protocol(t, nil), stable(10000))
	good := request(x402.HeaderSignIn, encode(proof(t, challenge(t, d), nil)))
	if _, err := off.SignedIn(good, scope(), began); !errors.Is(err, payment.ErrNoCredential) {
		t.Errorf("switched off: %v", err)
	}
	stranger := door(t, protocol(t, func(c *x402.Config) { c.SignInKey = bytes.Repeat([]byte{6}, 32) }), stable(10000))
	if _, err := stranger.SignedIn(good, scope(), began); refusal(t, err).Kind != payment.KindPaymentRequired {
		t.Errorf("a challenge of another key: %v", err)
	}
	if p := challenge(t, door(t, protocol(t, signIns), link(100))); p.Extensions[x402.ExtensionSignIn] != nil {
		t.Error("declared where nobody signs")
	}
}

// Challenges of one second differ.
func TestSignIn_NoncesDiffer(t *testing.T) {
	d := door(t, protocol(t, signIns), stable(10000))
	seen := map[string]bool{}
	for range 100 {
		seen[string(challenge(t, d).Extensions[x402.ExtensionSignIn])] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d of 100", len(seen))
	}
}

// Whoever is let in has an address, and signed exactly what is said to be signed: a
// change of any member shuts the door.
func FuzzSignIn(f *testing.F) {
	d := door(f, protocol(f, signIns), stable(10000))
	good := proof(f, challenge(f, d), nil)
	f.Add(must(json.Marshal(good)))
	f.Add([]byte(`{"domain":"api.example.com"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := d.SignedIn(request(x402.HeaderSignIn, base64.RawURLEncoding.EncodeToString(data)), scope(), began)
		if err != nil {
			refusal(t, err)
			return
		}
		var said object
		if err := json.Unmarshal(data, &said); err != nil {
			t.Fatalf("let in by no JSON: %v", err)
		}
		address, err := evm.ParseAddress(said["address"].(string))
		if err != nil || address.String() != v.Payer || said["nonce"] != v.Nonce {
			t.Errorf("%v is let in as %+v", said, v)
		}
		said["nonce"] = strings.Repeat("1", 32)
		if _, err := d.SignedIn(request(x402.HeaderSignIn, encode(said)), scope(), began); err == nil {
			t.Error("the nonce is not looked at")
		}
	})
}

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
