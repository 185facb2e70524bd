package receipts_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"paywall/receipts"
)

func get(t *testing.T, h http.Handler, method, etag string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestE112_PublishedKeys(t *testing.T) {
	c, ring := newClock(), newRing(t, newKey(t, receipts.ES256))
	p, err := receipts.NewPublisher(receipts.PublisherConfig{Keys: ring, Issuer: "https://api.example.com:8443", Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := ring.Signing()
	if err := ring.Rotate(newKey(t, receipts.EdDSA), c.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	second, _ := ring.Signing()
	if err := ring.Rotate(newKey(t, receipts.ES256), c.now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	third, _ := ring.Signing()
	want := func(ids ...string) {
		t.Helper()
		var set struct {
			Keys []map[string]string `json:"keys"`
		}
		if err := json.Unmarshal(get(t, p.JWKS(), http.MethodGet, "").Body.Bytes(), &set); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range set.Keys {
			for name := range k {
				if !strings.Contains(" alg crv kid kty use x y ", " "+name+" ") {
					t.Errorf("member %q is published", name)
				}
			}
			if k["kty"] != "EC" && k["kty"] != "OKP" {
				t.Errorf("kty %q", k["kty"])
			}
			got = append(got, strings.TrimPrefix(k["kid"], "did:web:api.example.com%3A8443#"))
		}
		if strings.Join(got, " ") != strings.Join(ids, " ") {
			t.Errorf("published %v, want %v", got, ids)
		}
	}
	want(first.ID, second.ID, third.ID)
	c.advance(time.Hour)
	want(second.ID, third.ID)
	if err := ring.Revoke(second.ID); err != nil {
		t.Fatal(err)
	}
	want(third.ID)
}

func TestPublisherHeaders(t *testing.T) {
	p, err := receipts.NewPublisher(receipts.PublisherConfig{Keys: newRing(t, newKey(t, receipts.ES256)), Issuer: origin, Now: newClock().now})
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]http.Handler{"jwks": p.JWKS(), "did": p.DID()} {
		t.Run(name, func(t *testing.T) {
			w := get(t, h, http.MethodGet, "")
			etag := w.Header().Get("Etag")
			if w.Code != http.StatusOK || etag == "" || w.Header().Get("Cache-Control") != "public, max-age=300, must-revalidate" ||
				w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%d, %v", w.Code, w.Header())
			}
			if w := get(t, h, http.MethodGet, etag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
				t.Errorf("with its own tag: %d, %d bytes", w.Code, w.Body.Len())
			}
			if w := get(t, h, http.MethodHead, ""); w.Code != http.StatusOK || w.Body.Len() != 0 {
				t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
			}
			if w := get(t, h, http.MethodPost, ""); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("POST: %d, %v", w.Code, w.Header())
			}
		})
	}
}

func TestVerifyFromPublishedDocuments(t *testing.T) {
	for _, alg := range []receipts.Algorithm{receipts.ES256, receipts.EdDSA} {
		c, ring := newClock(), newRing(t, newKey(t, alg))
		p, err := receipts.NewPublisher(receipts.PublisherConfig{Keys: ring, Issuer: origin, Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		token := issue(t, newIssuer(t, ring, c), claims(t))
		for name, h := range map[string]http.Handler{"jwks": p.JWKS(), "did": p.DID()} {
			t.Run(string(alg)+" "+name, func(t *testing.T) {
				pub, err := receipts.ParsePublished(get(t, h, http.MethodGet, "").Body.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				if pub.DID != "did:web:api.example.com" || pub.Host != "api.example.com" {
					t.Errorf("published by %s, %s", pub.DID, pub.Host)
				}
				got, err := newVerifier(t, receipts.VerifierConfig{Keys: pub.Keys, Host: pub.Host, Now: c.now}).Verify(token)
				if err != nil || got.PaymentID != claims(t).PaymentID {
					t.Errorf("got %s, %v", got.PaymentID, err)
				}
			})
		}
	}
}

func TestPublishedDocumentsThatAreRefused(t *testing.T) {
	const (
		x    = `"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"`
		y    = `"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
		kid  = `"kid":"did:web:api.example.com#a"`
		good = `{"kty":"EC","crv":"P-256",` + x + `,` + y + `,` + kid + `}`
	)
	if p, err := receipts.ParsePublished([]byte(`{"keys":[` + good + `,{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"r"},{"kty":"EC","crv":"P-521","kid":"did:web:api.example.com#b"}]}`)); err != nil || len(p.Keys.Keys()) != 1 {
		t.Fatalf("a good key among kinds we do not use: %v", err)
	}
	for name, bad := range map[string]string{
		"not JSON":       `keys`,
		"names twice":    `{"keys":[],"keys":[` + good + `]}`,
		"no keys":        `{"keys":[]}`,
		"private member": `{"keys":[` + strings.Replace(good, `"kty"`, `"d":"AA","kty"`, 1) + `]}`,
		"symmetric":      `{"keys":[{"kty":"oct","k":"AAAA","kid":"did:web:api.example.com#a"}]}`,
		"duplicate id":   `{"keys":[` + good + `,` + good + `]}`,
		"two issuers":    `{"keys":[` + good + `,` + strings.Replace(good, "api.", "www.", 1) + `]}`,
		"other id form":  `{"keys":[` + strings.Replace(good, "did:web:", "did:key:", 1) + `]}`,
		"alg":            `{"keys":[` + strings.Replace(good, `"kty"`, `"alg":"EdDSA","kty"`, 1) + `]}`,
		"not on curve":   `{"keys":[` + strings.Replace(good, x, strings.Replace(x, "f83", "f84", 1), 1) + `]}`,
		"short":          `{"keys":[` + strings.Replace(good, x, `"x":"AAAA"`, 1) + `]}`,
		"padded":         `{"keys":[` + strings.Replace(good, `VEU"`, `VEU="`, 1) + `]}`,
		"DID of another": `{"id":"did:web:www.example.com","verificationMethod":[{"id":"did:web:api.example.com#a","publicKeyJwk":` + good + `}]}`,
		"large":          `{"keys":[` + strings.Repeat(" ", 1<<20) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := receipts.ParsePublished([]byte(bad)); !errors.Is(err, receipts.ErrKey) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestBearer(t *testing.T) {
	c, ring := newClock(), newRing(t, newKey(t, receipts.ES256))
	token := issue(t, newIssuer(t, ring, c), claims(t))
	v := newVerifier(t, receipts.VerifierConfig{Keys: ring, Now: c.now})
	for _, tt := range []struct {
		name   string
		fields []string
		ok     bool
	}{
		{name: "ours", fields: []string{"Bearer " + token}, ok: true},
		{name: "scheme in lower case", fields: []string{"bearer " + token}, ok: true},
		{name: "none"},
		{name: "two", fields: []string{"Bearer " + token, "Bearer " + token}},
		{name: "another scheme", fields: []string{"Basic " + token}},
		{name: "a token of the API's own", fields: []string{"Bearer abc"}},
		{name: "a JWT of the API's own", fields: []string{"Bearer " + b64(`{"alg":"ES256"}`) + ".e30.AAAA"}},
		{name: "two spaces", fields: []string{"Bearer  " + token}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := v.Bearer(http.Header{"Authorization": tt.fields})
			if ok != tt.ok || (ok && got != token) {
				t.Errorf("got %q, %v", got, ok)
			}
		})
	}
}

func TestShow(t *testing.T) {
	c, ring := newClock(), newRing(t, newKey(t, receipts.ES256))
	token := issue(t, newIssuer(t, ring, c), claims(t))
	got, err := receipts.Show(token)
	if err != nil || got.Algorithm != "ES256" || got.Claims.PaymentID != claims(t).PaymentID || !strings.HasPrefix(got.KeyID, "did:web:") {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "a.b.c", b64(`{"typ":"JWT"}`) + ".e30.AAAA", b64(`{"typ":"receipt+jwt"}`) + ".e30.AAAA", strings.Repeat("A", 5000)} {
		if _, err := receipts.Show(bad); !errors.Is(err, receipts.ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
