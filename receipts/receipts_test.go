package receipts_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"

	"paywall/money"
	"paywall/receipts"
)

func TestIssueAndVerify(t *testing.T) {
	for _, alg := range []receipts.Algorithm{receipts.ES256, receipts.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			c, ring := newClock(), newRing(t, newKey(t, alg))
			token := issue(t, newIssuer(t, ring, c), claims(t))
			if len(token) > 1200 {
				t.Errorf("a typical receipt takes %d bytes", len(token))
			}
			want := claims(t)
			want.Issuer, want.Audience = origin, realm
			want.IssuedAt, want.Expires = c.now(), c.now().Add(10*time.Minute)
			want.Network, want.Payer = "stripe", "anonymous"
			want.ResourceURL = origin + live().Target
			v := newVerifier(t, receipts.VerifierConfig{Keys: ring, Now: c.now})
			for _, state := range []string{"cold", "cached"} {
				got, err := v.Verify(token)
				if err != nil {
					t.Fatalf("%s: %v", state, err)
				}
				if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b money.Amount) bool { return a == b })); diff != "" {
					t.Errorf("%s: %s", state, diff)
				}
			}
		})
	}
}

// The wire form is a promise to verifiers elsewhere.
func TestPayloadOnTheWire(t *testing.T) {
	c := newClock()
	token := issue(t, newIssuer(t, newRing(t, newKey(t, receipts.ES256)), c), claims(t))
	got := unb64(t, strings.Split(token, ".")[1])
	want := `{"amount":"100","aud":"api.example.com","currency":"USD","exp":1795522200,"iat":1795521600,` +
		`"iss":"https://api.example.com","issuedAt":1795521600,"jti":"rcp_1","method":"stripe","nbf":1795521600,` +
		`"network":"stripe","payer":"anonymous","reference":"pi_3RtAbCdEfGhIjKlM0nOpQrSt",` +
		`"resourceUrl":"https://api.example.com/v1/reports/7?lang=en&full=1","scale":2,` +
		`"scope":{"method":"GET","route":"GET /v1/reports/{id}","target":"/v1/reports/7?lang=en&full=1"},` +
		`"sub":"pay_0198c0d2a7b77cc1b1b5a1a8c1b2c3d4","use":{"kind":"once"},"version":1}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	canonical, err := jcs.Transform(got)
	if err != nil || string(canonical) != string(got) {
		t.Errorf("not the RFC 8785 form: %s, %v", canonical, err)
	}
}

func TestUseKinds(t *testing.T) {
	c := newClock()
	day := c.now().Add(48 * time.Hour)
	for _, tt := range []struct {
		name    string
		edit    func(*receipts.Claims)
		wantErr error
	}{
		{name: "n", edit: func(c *receipts.Claims) { c.Use = receipts.Use{Kind: receipts.Times, N: 5} }},
		{name: "a pass over a route", edit: func(c *receipts.Claims) {
			c.Use = receipts.Use{Kind: receipts.Until, Until: day}
			c.Scope.Target, c.Scope.Digest = receipts.Any, receipts.Any
		}},
		{name: "credit for longer than a day", edit: func(c *receipts.Claims) { c.Use, c.Expires = receipts.Use{Kind: receipts.Credit}, day }},
		{name: "no use", edit: func(c *receipts.Claims) { c.Use = receipts.Use{} }, wantErr: receipts.ErrClaims},
		{name: "unknown use", edit: func(c *receipts.Claims) { c.Use.Kind = "forever" }, wantErr: receipts.ErrClaims},
		{name: "n of none", edit: func(c *receipts.Claims) { c.Use.Kind = receipts.Times }, wantErr: receipts.ErrClaims},
		{name: "once with a count", edit: func(c *receipts.Claims) { c.Use.N = 2 }, wantErr: receipts.ErrClaims},
		{name: "once over a whole route", edit: func(c *receipts.Claims) { c.Scope.Target = receipts.Any }, wantErr: receipts.ErrClaims},
		{name: "once for longer than a day", edit: func(c *receipts.Claims) { c.Expires = day }, wantErr: receipts.ErrClaims},
		{name: "until other than exp", edit: func(c *receipts.Claims) {
			c.Use, c.Expires = receipts.Use{Kind: receipts.Until, Until: day}, day.Add(time.Hour)
		}, wantErr: receipts.ErrClaims},
		{name: "until in the past", edit: func(c *receipts.Claims) {
			c.Use = receipts.Use{Kind: receipts.Until, Until: day.Add(-72 * time.Hour)}
		}, wantErr: receipts.ErrClaims},
		{name: "no payment id", edit: func(c *receipts.Claims) { c.PaymentID = "" }, wantErr: receipts.ErrClaims},
		{name: "no amount", edit: func(c *receipts.Claims) { c.Amount = money.Amount{} }, wantErr: receipts.ErrClaims},
		{name: "target is no path", edit: func(c *receipts.Claims) { c.Scope.Target = "v1" }, wantErr: receipts.ErrClaims},
		{name: "control character", edit: func(c *receipts.Claims) { c.Reference = "pi\n" }, wantErr: receipts.ErrClaims},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ring := newRing(t, newKey(t, receipts.EdDSA))
			in := claims(t)
			tt.edit(&in)
			token, err := newIssuer(t, ring, c).Issue(in)
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("Issue: %v, want %v", err, tt.wantErr)
			}
			if err != nil {
				return
			}
			got, err := newVerifier(t, receipts.VerifierConfig{Keys: ring, Now: c.now}).Verify(token)
			if err != nil || got.Use != in.Use {
				t.Errorf("got %+v, %v; want %+v", got.Use, err, in.Use)
			}
		})
	}
}

// A payment was taken by the time a receipt is made: no request that was served
// may be too large to be receipted.
func TestLongestReceiptFits(t *testing.T) {
	c, ring := newClock(), newRing(t, newKey(t, receipts.ES256))
	in, request := claims(t), live()
	request.Target = "/" + strings.Repeat("a", 510) + "?q=" + strings.Repeat("b", 7<<10)
	request.Digest = "sha-256=:" + strings.Repeat("A", 44) + ":"
	request.Route = strings.Repeat("r", 128)
	in.Scope = receipts.ScopeOf(request)
	in.Reference, in.Network, in.Payer = strings.Repeat("x", 256), strings.Repeat("n", 256), strings.Repeat("p", 256)
	token := issue(t, newIssuer(t, ring, c), in)
	v := newVerifier(t, receipts.VerifierConfig{Keys: ring, Now: c.now})
	got, err := v.VerifyRequest(token, request)
	if err != nil {
		t.Fatal(err)
	}
	if want := origin + request.Target[:511]; got.ResourceURL != want {
		t.Errorf("resource %q", got.ResourceURL)
	}
	other := request
	other.Target += "b"
	if _, err := v.VerifyRequest(token, other); !errors.Is(err, receipts.ErrScope) {
		t.Errorf("another long target: %v", err)
	}
	hashed := request
	hashed.Target = got.Scope.Target
	if _, err := v.VerifyRequest(token, hashed); !errors.Is(err, receipts.ErrScope) {
		t.Errorf("the hash in place of the target: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	ring := newRing(t, newKey(t, receipts.EdDSA))
	public, err := receipts.NewKeyRing()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  receipts.Config
	}{
		{name: "no keys", cfg: receipts.Config{Issuer: origin, Audience: realm}},
		{name: "no signing key", cfg: receipts.Config{Keys: public, Issuer: origin, Audience: realm}},
		{name: "no audience", cfg: receipts.Config{Keys: ring, Issuer: origin}},
		{name: "plain http", cfg: receipts.Config{Keys: ring, Issuer: "http://api.example.com", Audience: realm}},
		{name: "a path", cfg: receipts.Config{Keys: ring, Issuer: origin + "/", Audience: realm}},
		{name: "user", cfg: receipts.Config{Keys: ring, Issuer: "https://u@api.example.com", Audience: realm}},
		{name: "upper case", cfg: receipts.Config{Keys: ring, Issuer: "https://API.example.com", Audience: realm}},
		{name: "not a host", cfg: receipts.Config{Keys: ring, Issuer: origin, Audience: realm, Host: "a b"}},
		{name: "too long", cfg: receipts.Config{Keys: ring, Issuer: origin, Audience: realm, TTL: 25 * time.Hour}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := receipts.New(tt.cfg); err == nil {
				t.Error("accepted")
			}
		})
	}
	local := receipts.Config{Keys: ring, Issuer: "http://127.0.0.1:4020", Audience: "127.0.0.1:4020"}
	i, err := receipts.New(local)
	if err != nil {
		t.Fatal(err)
	}
	head := unb64(t, strings.Split(issue(t, i, claims(t)), ".")[0])
	if !strings.Contains(string(head), `"kid":"did:web:127.0.0.1%3A4020#`) {
		t.Errorf("header %s", head)
	}
}
