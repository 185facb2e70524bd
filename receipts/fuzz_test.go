package receipts_test

import (
	"slices"
	"strings"
	"testing"

	"paywall/receipts"
)

// What verifies is byte for byte a token that was issued. The fuzzer has no
// private key, so anything else that passes is a forgery or a second spelling.
func FuzzVerify(f *testing.F) {
	c := newClock()
	var issued []string
	var verifiers []*receipts.Verifier
	for _, alg := range []receipts.Algorithm{receipts.ES256, receipts.EdDSA} {
		ring := newRing(f, newKey(f, alg))
		iss := newIssuer(f, ring, c)
		for _, use := range []receipts.Use{{Kind: receipts.Once}, {Kind: receipts.Times, N: 3}, {Kind: receipts.Credit}} {
			in := claims(f)
			in.Use = use
			issued = append(issued, issue(f, iss, in))
		}
		verifiers = append(verifiers, newVerifier(f, receipts.VerifierConfig{Keys: ring, Now: c.now}))
	}
	for i, token := range issued {
		f.Add(token)
		parts, next := strings.Split(token, "."), strings.Split(issued[(i+1)%len(issued)], ".")
		f.Add(parts[0] + "." + next[1] + "." + parts[2])
		f.Add(token + "=")
		f.Add("." + token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		for _, v := range verifiers {
			if _, err := v.Verify(token); err == nil && !slices.Contains(issued, token) {
				t.Errorf("accepted: %q", token)
			}
		}
		if _, err := receipts.Show(token); err != nil {
			return
		}
		// Readable is not valid, but it has the shape of a receipt.
		if strings.Count(token, ".") != 2 || len(token) > receipts.MaxSize {
			t.Errorf("shown: %q", token)
		}
	})
}

// Claims that are issued come back as the same claims and encode to the same bytes.
func FuzzClaims(f *testing.F) {
	c := newClock()
	ring := newRing(f, newKey(f, receipts.EdDSA)) // deterministic signatures
	iss := newIssuer(f, ring, c)
	v := newVerifier(f, receipts.VerifierConfig{Keys: ring, Now: c.now})
	f.Add("pay_1", "GET /x", "/x?a=1&b=2", "sha-256=:AA==:", "payer", 3)
	f.Add("pay<1>", "r\"\\", "/"+strings.Repeat("x", 600), "", "0x00", 1)
	f.Fuzz(func(t *testing.T, id, route, target, digest, payer string, n int) {
		in := claims(t)
		in.PaymentID, in.Payer = id, payer
		in.Scope = receipts.Scope{Route: route, Method: "GET", Target: target, Digest: digest}
		in.Use = receipts.Use{Kind: receipts.Times, N: n}
		token, err := iss.Issue(in)
		if err != nil {
			return
		}
		out, err := v.Verify(token)
		if err != nil {
			t.Fatalf("issued but refused: %v", err)
		}
		if again, err := iss.Issue(out); err != nil || again != token {
			t.Errorf("%v: %q became %q", err, token, again)
		}
	})
}
