package facilitator_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"paywall/x402/facilitator"
)

const keyID = "organizations/1/apiKeys/2"

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestCDP(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	public, edwards := must2(ed25519.GenerateKey(rand.Reader))
	curve := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	sec1 := pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(curve)))
	for _, tt := range []struct {
		name, secret, alg string
		verify            any
	}{
		{"Ed25519", base64.StdEncoding.EncodeToString(edwards), "EdDSA", public},
		{"the seed of one", base64.StdEncoding.EncodeToString(edwards.Seed()), "EdDSA", public},
		{"Ed25519 in PEM", pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(edwards))), "EdDSA", public},
		{"P-256", sec1, "ES256", curve.Public()},
		{"P-256 in one line", strings.ReplaceAll(sec1, "\n", `\n`), "ES256", curve.Public()},
		{"P-256, PKCS 8", pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(curve))), "ES256", curve.Public()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := facilitator.NewCDP(keyID, tt.secret)
			if err != nil {
				t.Fatal(err)
			}
			nonces := map[any]bool{}
			for range 300 { // numbers in signatures are shorter now and then
				r := must(http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.cdp.example/platform/v2/x402/settle?q=1", nil))
				if err := key.Authorize(r, now); err != nil {
					t.Fatal(err)
				}
				text, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
				claims := jwt.MapClaims{}
				parsed, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return tt.verify, nil },
					jwt.WithValidMethods([]string{tt.alg}), jwt.WithTimeFunc(func() time.Time { return now }))
				if err != nil || !bearer {
					t.Fatalf("%v, bearer %v", err, bearer)
				}
				want := jwt.MapClaims{"sub": keyID, "iss": "cdp", "nbf": 1.8e9, "exp": 1.8e9 + 120, "uris": []any{"POST api.cdp.example/platform/v2/x402/settle"}}
				if d := cmp.Diff(want, claims); d != "" {
					t.Error(d)
				}
				nonce, _ := parsed.Header["nonce"].(string)
				if nonces[nonce] || len(nonce) != 32 || parsed.Header["kid"] != keyID || parsed.Header["typ"] != "JWT" {
					t.Errorf("%v", parsed.Header)
				}
				nonces[nonce] = true
			}
			if _, err := facilitator.New(facilitator.Config{Endpoints: []facilitator.Endpoint{{URL: where, Auth: key}}}); err != nil {
				t.Error(err)
			}
		})
	}
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

func TestCDP_Refuses(t *testing.T) {
	_, edwards := must2(ed25519.GenerateKey(rand.Reader))
	good := base64.StdEncoding.EncodeToString(edwards)
	mixed := append(ed25519.PrivateKey{}, edwards...)
	mixed[40] ^= 1
	big := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	for name, tt := range map[string]struct{ id, secret string }{
		"no id":         {"", good},
		"an odd id":     {"a b", good},
		"no secret":     {keyID, ""},
		"not base64":    {keyID, secret},
		"short":         {keyID, base64.StdEncoding.EncodeToString(edwards[:31])},
		"two halves":    {keyID, base64.StdEncoding.EncodeToString(mixed)},
		"another curve": {keyID, pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(big)))},
		"not a key":     {keyID, pemOf("EC PRIVATE KEY", []byte(secret))},
		"a certificate": {keyID, pemOf("CERTIFICATE", []byte(secret))},
		"two of them":   {keyID, strings.Repeat(pemOf("EC PRIVATE KEY", []byte(secret)), 2)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := facilitator.NewCDP(tt.id, tt.secret); err == nil || tt.secret != "" && strings.Contains(err.Error(), tt.secret) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAuth_Redacts(t *testing.T) {
	_, edwards := must2(ed25519.GenerateKey(rand.Reader))
	fixed := facilitator.Headers(http.Header{"Authorization": {"Bearer " + secret}})
	cdp := must(facilitator.NewCDP(secret, base64.StdEncoding.EncodeToString(edwards)))
	var log journal
	l := slog.New(slog.NewTextHandler(&log, nil))
	for _, a := range []facilitator.Auth{fixed, cdp} {
		l.InfoContext(t.Context(), "auth", "auth", a)
		_, _ = fmt.Fprintf(&log, "%v %+v %#v %s %d %x", a, a, a, a, a, a)
		_, _ = log.Write(must(json.Marshal(a)))
	}
	log.lacks(t, secret, hex.EncodeToString(edwards.Seed()[:4]), fmt.Sprintf("%d %d", edwards[0], edwards[1]))
}
