package httpsig_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"paywall/internal/httpsig"
)

var now = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

func signer(t testing.TB, id string) (httpsig.Signer, httpsig.Set) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := httpsig.Public(id, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return httpsig.Signer{KeyID: id, Key: key}, set(t, jwk)
}

func set(t testing.TB, keys ...any) httpsig.Set {
	t.Helper()
	var list []json.RawMessage
	for _, k := range keys {
		data, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, data)
	}
	s, err := httpsig.ParseKeys(list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const body = `{"line_items":[]}`

func request(t testing.TB) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://Shop.example/ucp/v1/checkout-sessions?a=b%20c", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("UCP-Agent", `profile="https://agent.example/p"`)
	r.Header.Set("Idempotency-Key", "0123456789abcdef")
	return r
}

func TestRoundTrip(t *testing.T) {
	s, keys := signer(t, "k1")
	r := request(t)
	if err := s.SignRequest(r, []byte(body)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`"@method"`, `"@authority"`, `"@path"`, `"@query"`, `"ucp-agent"`, `"idempotency-key"`, `"content-digest"`, `"content-type"`} {
		if !strings.Contains(r.Header.Get("Signature-Input"), name) {
			t.Errorf("%s is not covered: %s", name, r.Header.Get("Signature-Input"))
		}
	}
	got, err := httpsig.VerifyRequest(httpsig.PartsOf(r), []byte(body), keys.ByID, now)
	if err != nil || got.KeyID != "k1" {
		t.Errorf("%+v, %v", got, err)
	}
	// The signature is r and s in a row, and no ASN.1.
	sig, err := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimPrefix(r.Header.Get("Signature"), "sig1="), ":"))
	if err != nil || len(sig) != 64 {
		t.Errorf("%d bytes, %v", len(sig), err)
	}
	get := httptest.NewRequest(http.MethodGet, "https://shop.example/", http.NoBody)
	if err := s.SignRequest(get, nil); err != nil || get.Header.Get("Content-Digest") != "" {
		t.Errorf("%v, %v", get.Header, err)
	}
	if _, err := httpsig.VerifyRequest(httpsig.PartsOf(get), nil, keys.ByID, now); err != nil {
		t.Error(err)
	}
	h := http.Header{"Content-Type": {"application/json"}}
	if err := s.SignResponse(h, 200, []byte(body)); err != nil {
		t.Fatal(err)
	}
	if _, err := httpsig.VerifyResponse(h, 200, []byte(body), keys.ByID, now); err != nil {
		t.Error(err)
	}
	if _, err := httpsig.VerifyResponse(h, 201, []byte(body), keys.ByID, now); !errors.Is(err, httpsig.ErrInvalid) {
		t.Errorf("of another status: %v", err)
	}
}

func TestG135_Attacks(t *testing.T) {
	s, keys := signer(t, "k1")
	other, otherKeys := signer(t, "k2")
	der := func(r *http.Request) {
		// Signed all right, and written as ASN.1.
		if err := s.SignRequest(r, []byte(body)); err != nil {
			t.Fatal(err)
		}
		sig, _ := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimPrefix(r.Header.Get("Signature"), "sig1="), ":"))
		int1 := append([]byte{2, 33, 0}, sig[:32]...)
		int2 := append([]byte{2, 33, 0}, sig[32:]...)
		all := append([]byte{0x30, byte(len(int1) + len(int2))}, append(int1, int2...)...)
		r.Header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(all)+":")
	}
	for name, tt := range map[string]struct {
		change func(r *http.Request)
		body   string
		want   error
	}{
		"not signed":              {func(r *http.Request) { r.Header.Del("Signature"); r.Header.Del("Signature-Input") }, body, httpsig.ErrMissing},
		"half of it":              {func(r *http.Request) { r.Header.Del("Signature") }, body, httpsig.ErrInvalid},
		"another method":          {func(r *http.Request) { r.Method = http.MethodPut }, body, httpsig.ErrInvalid},
		"another authority":       {func(r *http.Request) { r.Host = "evil.example" }, body, httpsig.ErrInvalid},
		"another path":            {func(r *http.Request) { r.URL.Path = "/ucp/v1/carts" }, body, httpsig.ErrInvalid},
		"another query":           {func(r *http.Request) { r.URL.RawQuery = "a=c" }, body, httpsig.ErrInvalid},
		"no query":                {func(r *http.Request) { r.URL.RawQuery = "" }, body, httpsig.ErrInvalid},
		"another agent":           {func(r *http.Request) { r.Header.Set("UCP-Agent", `profile="https://evil.example/p"`) }, body, httpsig.ErrInvalid},
		"a second agent":          {func(r *http.Request) { r.Header.Add("UCP-Agent", `profile="https://evil.example/p"`) }, body, httpsig.ErrInvalid},
		"another key":             {func(r *http.Request) { r.Header.Set("Idempotency-Key", "1") }, body, httpsig.ErrInvalid},
		"another body":            {func(*http.Request) {}, body + " ", httpsig.ErrDigestMismatch},
		"body and digest":         {func(r *http.Request) { r.Header.Set("Content-Digest", httpsig.Digest([]byte("x"))) }, "x", httpsig.ErrInvalid},
		"an unknown digest":       {func(r *http.Request) { r.Header.Set("Content-Digest", "md5=:AAAA:") }, body, httpsig.ErrAlgorithm},
		"no digest":               {func(r *http.Request) { r.Header.Del("Content-Digest") }, body, httpsig.ErrInvalid},
		"the digest not covered":  {func(r *http.Request) { uncover(r, `"content-digest" `) }, body, httpsig.ErrInvalid},
		"the query not covered":   {func(r *http.Request) { uncover(r, `"@query" `) }, body, httpsig.ErrInvalid},
		"the agent not covered":   {func(r *http.Request) { uncover(r, `"ucp-agent" `) }, body, httpsig.ErrInvalid},
		"a key that is not there": {func(r *http.Request) { swap(r, "k1", "k9") }, body, httpsig.ErrKeyNotFound},
		"another's key":           {func(r *http.Request) { swap(r, "k1", "k2") }, body, httpsig.ErrInvalid},
		"as ASN.1":                {der, body, httpsig.ErrInvalid},
		"of tomorrow":             {func(r *http.Request) { swap(r, `;keyid`, fmt.Sprintf(`;created=%d;keyid`, now.Add(time.Hour).Unix())) }, body, httpsig.ErrInvalid},
		"of yesterday":            {func(r *http.Request) { swap(r, `;keyid`, fmt.Sprintf(`;expires=%d;keyid`, now.Unix())) }, body, httpsig.ErrInvalid},
		"another algorithm":       {func(r *http.Request) { swap(r, `;keyid`, `;alg="ed25519";keyid`) }, body, httpsig.ErrInvalid},
		"a component's part":      {func(r *http.Request) { swap(r, `"@path"`, `"@path";req`) }, body, httpsig.ErrInvalid},
		"a component twice":       {func(r *http.Request) { swap(r, `"@path"`, `"@path" "@path"`) }, body, httpsig.ErrInvalid},
		"noise":                   {func(r *http.Request) { r.Header.Set("Signature-Input", "sig1=((("); r.Header.Set("Signature", "x") }, body, httpsig.ErrInvalid},
		"endless":                 {func(r *http.Request) { r.Header.Set("Signature-Input", strings.Repeat("a=();b=1, ", 2000)) }, body, httpsig.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t)
			if err := s.SignRequest(r, []byte(body)); err != nil {
				t.Fatal(err)
			}
			tt.change(r)
			find := func(id string) []httpsig.Key { return append(keys.ByID(id), otherKeys.ByID(id)...) }
			if got, err := httpsig.VerifyRequest(httpsig.PartsOf(r), []byte(tt.body), find, now); !errors.Is(err, tt.want) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	// Of several signatures one that holds is enough, wherever it stands.
	r, second := request(t), request(t)
	if err := errors.Join(s.SignRequest(r, []byte(body)), other.SignRequest(second, []byte(body))); err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Signature-Input", "sig0="+strings.TrimPrefix(second.Header.Get("Signature-Input"), "sig1=")+", "+r.Header.Get("Signature-Input"))
	r.Header.Set("Signature", "sig0="+strings.TrimPrefix(second.Header.Get("Signature"), "sig1=")+", "+r.Header.Get("Signature"))
	if got, err := httpsig.VerifyRequest(httpsig.PartsOf(r), []byte(body), keys.ByID, now); err != nil || got.KeyID != "k1" {
		t.Errorf("%+v, %v", got, err)
	}
}

func uncover(r *http.Request, what string) { swap(r, what, "") }

func swap(r *http.Request, what, by string) {
	r.Header.Set("Signature-Input", strings.Replace(r.Header.Get("Signature-Input"), what, by, 1))
}

func TestKeys(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, err := httpsig.Public("k1", &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change map[string]any) map[string]any {
		m := map[string]any{"kid": good.ID, "kty": good.Type, "crv": good.Curve, "x": good.X, "y": good.Y}
		maps.Copy(m, change)
		return m
	}
	for name, tt := range map[string]struct {
		key    map[string]any
		usable bool
		fails  bool
	}{
		"good":             {with(nil), true, false},
		"with its alg":     {with(map[string]any{"alg": "ES256", "use": "sig", "key_ops": []string{"verify"}}), true, false},
		"a private member": {with(map[string]any{"d": "AAAA"}), false, true},
		"a symmetric one":  {map[string]any{"kid": "a", "kty": "oct", "k": "AAAA"}, false, true},
		"another alg":      {with(map[string]any{"alg": "ES384"}), false, true},
		"off the curve":    {with(map[string]any{"y": good.X}), false, true},
		"short":            {with(map[string]any{"x": "AAAA"}), false, true},
		"for encryption":   {with(map[string]any{"use": "enc"}), false, false},
		"to sign alone":    {with(map[string]any{"key_ops": []string{"sign"}}), false, false},
		"without a name":   {with(map[string]any{"kid": ""}), false, false},
		"of another type":  {map[string]any{"kid": "k1", "kty": "RSA", "n": "AAAA", "e": "AQAB"}, true, false},
		"of another curve": {with(map[string]any{"crv": "secp256k1"}), true, false},
		"Ed25519, short":   {map[string]any{"kid": "k1", "kty": "OKP", "crv": "Ed25519", "x": "AAAA"}, false, true},
	} {
		data, err := json.Marshal(tt.key)
		if err != nil {
			t.Fatal(err)
		}
		s, err := httpsig.ParseKeys([]json.RawMessage{data})
		if (err != nil) != tt.fails || len(s.ByID("k1")) > 0 != tt.usable {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if _, err := httpsig.ParseKeys([]json.RawMessage{[]byte(`{"kid":"a","kid":"b","kty":"EC"}`)}); !errors.Is(err, httpsig.ErrKeys) {
		t.Errorf("a name twice: %v", err)
	}
}

// A vector of RFC 9421, appendix B.2.6: Ed25519.
func TestKnownAnswer(t *testing.T) {
	keys := set(t, map[string]string{"kid": "test-key-ed25519", "kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"})
	h := http.Header{
		"Date": {"Tue, 20 Apr 2021 02:07:55 GMT"}, "Content-Type": {"application/json"}, "Content-Length": {"18"},
		"Signature-Input": {`sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`},
		"Signature":       {`sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:`},
	}
	got, err := httpsig.VerifyRequest(httpsig.Parts{Method: "POST", Authority: "example.com", Path: "/foo", Header: h}, nil, keys.ByID, now)
	if err != nil || got.KeyID != "test-key-ed25519" {
		t.Errorf("%+v, %v", got, err)
	}
	h.Set("Date", "Tue, 20 Apr 2021 02:07:56 GMT")
	if _, err := httpsig.VerifyRequest(httpsig.Parts{Method: "POST", Authority: "example.com", Path: "/foo", Header: h}, nil, keys.ByID, now); !errors.Is(err, httpsig.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestDigest(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	good := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	for field, want := range map[string]error{
		good: nil, good + ", md5=:AAAA:": nil, "md5=:AAAA:": httpsig.ErrAlgorithm, good + ", sha-512=:AAAA:": httpsig.ErrDigestMismatch,
		"": httpsig.ErrDigestMismatch, "sha-256=AAAA": httpsig.ErrDigestMismatch, good + ", " + good: httpsig.ErrDigestMismatch,
	} {
		if err := httpsig.CheckDigest(field, []byte("x")); !errors.Is(err, want) {
			t.Errorf("%q: %v", field, err)
		}
	}
}

// Whatever the fields hold, nothing that was not signed passes.
func FuzzVerify(f *testing.F) {
	s, keys := signer(f, "k1")
	r := request(f)
	if err := s.SignRequest(r, []byte(body)); err != nil {
		f.Fatal(err)
	}
	f.Add(r.Header.Get("Signature-Input"), r.Header.Get("Signature"), r.Header.Get("Content-Digest"), body)
	f.Add(`sig1=("@method" "@authority" "@path");keyid="k1";created=1`, "sig1=:AAAA:", "sha-256=:AAAA:", "x")
	parts := httpsig.PartsOf(r)
	f.Fuzz(func(t *testing.T, in, sig, digest, payload string) {
		p := parts
		p.Header = r.Header.Clone()
		p.Header.Set("Signature-Input", in)
		p.Header.Set("Signature", sig)
		p.Header.Set("Content-Digest", digest)
		if _, err := httpsig.VerifyRequest(p, []byte(payload), keys.ByID, now); err == nil && payload != body {
			t.Errorf("another body was taken: %q with %q", payload, in)
		}
	})
}
