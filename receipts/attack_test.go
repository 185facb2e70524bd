package receipts_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"paywall/payment"
	"paywall/receipts"
	"paywall/receipts/receiptstest"
)

// forge holds a ring whose private key the test also has, to sign what the issuer would not.
type forge struct {
	key      *ecdsa.PrivateKey
	ring     *receipts.KeyRing
	clock    *clock
	verifier *receipts.Verifier
	kid      string
}

func newForge(t testing.TB) *forge {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := receipts.NewKey(private, "k1", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	f := &forge{key: private, ring: newRing(t, k), clock: newClock(), kid: "did:web:api.example.com#k1"}
	f.verifier = newVerifier(t, receipts.VerifierConfig{Keys: f.ring, Now: f.clock.now})
	return f
}

func (f *forge) header() string {
	return `{"alg":"ES256","kid":"` + f.kid + `","typ":"receipt+jwt"}`
}

// sign signs any header and payload with the ring's own key.
func (f *forge) sign(t testing.TB, header, payload string) string {
	t.Helper()
	text := b64(header) + "." + b64(payload)
	sig, err := jwt.SigningMethodES256.Sign(text, f.key)
	if err != nil {
		t.Fatal(err)
	}
	if s := new(big.Int).SetBytes(sig[32:]); s.Cmp(new(big.Int).Rsh(elliptic.P256().Params().N, 1)) > 0 {
		new(big.Int).Sub(elliptic.P256().Params().N, s).FillBytes(sig[32:])
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func (f *forge) good(t testing.TB) (token, payload string) {
	t.Helper()
	token = issue(t, newIssuer(t, f.ring, f.clock), claims(t))
	return token, string(unb64(t, strings.Split(token, ".")[1]))
}

func (f *forge) refused(t *testing.T, token string, want error) {
	t.Helper()
	if _, err := f.verifier.Verify(token); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// The forge makes good receipts too: what the tests below refuse is refused for
// the difference they make.
func TestForgeIsSound(t *testing.T) {
	f := newForge(t)
	_, payload := f.good(t)
	f.refused(t, f.sign(t, f.header(), payload), nil)
}

func TestE099_AlgorithmNone(t *testing.T) {
	f := newForge(t)
	token, payload := f.good(t)
	sig := strings.Split(token, ".")[2]
	for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `""`, `null`, `["ES256","none"]`, `"ES256 "`, `"es256"`, `"ES384"`, `"EdDSA"`} {
		header := `{"alg":` + alg + `,"kid":"` + f.kid + `","typ":"receipt+jwt"}`
		f.refused(t, f.sign(t, header, payload), receipts.ErrUnknownKey)
		f.refused(t, b64(header)+"."+b64(payload)+"."+sig, receipts.ErrUnknownKey)
		f.refused(t, b64(header)+"."+b64(payload)+".", receipts.ErrMalformed)
	}
	f.refused(t, f.sign(t, `{"kid":"`+f.kid+`","typ":"receipt+jwt"}`, payload), receipts.ErrUnknownKey)
}

func TestE100_PublicKeyAsHMACSecret(t *testing.T) {
	f := newForge(t)
	_, payload := f.good(t)
	der, err := x509.MarshalPKIXPublicKey(&f.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), []byte(f.kid)} {
		for _, header := range []string{`{"alg":"HS256","kid":"` + f.kid + `","typ":"receipt+jwt"}`, f.header()} {
			text := b64(header) + "." + b64(payload)
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(text))
			if _, err := f.verifier.Verify(text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))); err == nil {
				t.Errorf("accepted with header %s", header)
			}
		}
	}
}

func TestE101_KeyIDs(t *testing.T) {
	f := newForge(t)
	_, payload := f.good(t)
	for _, kid := range []string{
		"", "k1", "k2", "../../etc/passwd", "' or 1=1 --", "https://evil.example/jwks.json", "did:web:evil.example#k1",
		"did:web:api.example.com#k2", "did:web:api.example.com", f.kid + "#k1", strings.Repeat("k", 1800),
	} {
		f.refused(t, f.sign(t, `{"alg":"ES256","kid":"`+kid+`","typ":"receipt+jwt"}`, payload), receipts.ErrUnknownKey)
	}
	f.refused(t, f.sign(t, `{"alg":"ES256","kid":"`+strings.Repeat("k", 10<<10)+`","typ":"receipt+jwt"}`, payload), receipts.ErrMalformed)
}

func TestE102_E103_E104_HeaderMembers(t *testing.T) {
	f := newForge(t)
	_, payload := f.good(t)
	with := func(extra string) string {
		return `{"alg":"ES256",` + extra + `,"kid":"` + f.kid + `","typ":"receipt+jwt"}`
	}
	for name, header := range map[string]string{
		"jku":             with(`"jku":"https://evil.example/jwks.json"`),
		"x5u":             with(`"x5u":"https://evil.example/cert"`),
		"x5c":             with(`"x5c":["MIIB"]`),
		"jwk":             with(`"jwk":{"kty":"EC"}`),
		"crit":            with(`"crit":["exp"]`),
		"b64":             with(`"b64":false,"crit":["b64"]`),
		"zip":             with(`"zip":"DEF"`),
		"encrypted":       with(`"enc":"A256GCM"`),
		"nested":          with(`"cty":"JWT"`),
		"access token":    `{"alg":"ES256","kid":"` + f.kid + `","typ":"at+jwt"}`,
		"plain JWT":       `{"alg":"ES256","kid":"` + f.kid + `","typ":"JWT"}`,
		"full media type": `{"alg":"ES256","kid":"` + f.kid + `","typ":"application/receipt+jwt"}`,
		"no type":         `{"alg":"ES256","kid":"` + f.kid + `"}`,
		"type twice":      `{"alg":"ES256","kid":"` + f.kid + `","typ":"receipt+jwt","typ":"at+jwt"}`,
		"spaces":          `{"alg": "ES256","kid":"` + f.kid + `","typ":"receipt+jwt"}`,
	} {
		t.Run(name, func(t *testing.T) { f.refused(t, f.sign(t, header, payload), receipts.ErrUnknownKey) })
	}
	t.Run("detached", func(t *testing.T) {
		token := f.sign(t, f.header(), payload)
		parts := strings.Split(token, ".")
		f.refused(t, parts[0]+".."+parts[2], receipts.ErrMalformed)
	})
}

func TestE105_Signatures(t *testing.T) {
	f := newForge(t)
	token, _ := f.good(t)
	text := token[:strings.LastIndex(token, ".")]
	sig := unb64(t, strings.Split(token, ".")[2])
	n := elliptic.P256().Params().N
	half := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	join := func(r, s *big.Int) []byte {
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out
	}
	digest := sha256.Sum256([]byte(text))
	der, err := ecdsa.SignASN1(rand.Reader, f.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := jwt.SigningMethodES384.Sign(text, other)
	if err != nil {
		t.Fatal(err)
	}
	for name, forged := range map[string][]byte{
		"zero":          make([]byte, 64),
		"zero r":        join(new(big.Int), half(sig[32:])),
		"zero s":        join(half(sig[:32]), new(big.Int)),
		"order as s":    join(half(sig[:32]), n),
		"high s":        join(half(sig[:32]), new(big.Int).Sub(n, half(sig[32:]))),
		"DER":           der,
		"short":         sig[:63],
		"long":          append(append([]byte{}, sig...), 0),
		"another curve": p384,
		"swapped":       join(half(sig[32:]), half(sig[:32])),
	} {
		t.Run(name, func(t *testing.T) {
			f.refused(t, text+"."+base64.RawURLEncoding.EncodeToString(forged), receipts.ErrSignature)
		})
	}
	// The library alone would take the high form: the check above is ours.
	if err := jwt.SigningMethodES256.Verify(text, join(half(sig[:32]), new(big.Int).Sub(n, half(sig[32:]))), &f.key.PublicKey); err != nil {
		t.Errorf("high s is not a second signature: %v", err)
	}
}

func TestE106_IssuerAndAudience(t *testing.T) {
	f := newForge(t)
	_, payload := f.good(t)
	for _, tt := range []struct {
		old, new string
		want     error
	}{
		{`"aud":"api.example.com"`, `"aud":"other.example.com"`, receipts.ErrAudience},
		{`"aud":"api.example.com"`, `"aud":"api.example.com.evil"`, receipts.ErrAudience},
		{`"aud":"api.example.com"`, `"aud":"api.example"`, receipts.ErrAudience},
		{`"aud":"api.example.com"`, `"aud":["api.example.com"]`, receipts.ErrMalformed},
		{`"aud":"api.example.com"`, `"aud":null`, receipts.ErrAudience},
		{`"aud":"api.example.com",`, ``, receipts.ErrAudience},
		{`"aud":"api.example.com"`, `"aud":"api.example.com","aud":"x"`, receipts.ErrMalformed},
		{`"aud":"api.example.com"`, `"aud":"x","AUD":"api.example.com"`, receipts.ErrMalformed},
		{`"iss":"https://api.example.com"`, `"iss":"https://API.example.com"`, receipts.ErrIssuer},
		{`"iss":"https://api.example.com"`, `"iss":"https://api.example.com/"`, receipts.ErrIssuer},
		{`"iss":"https://api.example.com"`, `"iss":"https://tenant2.example.com"`, receipts.ErrIssuer},
	} {
		t.Run(tt.new, func(t *testing.T) {
			f.refused(t, f.sign(t, f.header(), replaceOnce(t, payload, tt.old, tt.new)), tt.want)
		})
	}
}

func replaceOnce(t testing.TB, s, from, to string) string {
	t.Helper()
	if strings.Count(s, from) != 1 {
		t.Fatalf("%q is not once in %s", from, s)
	}
	return strings.Replace(s, from, to, 1)
}

func TestE107_Times(t *testing.T) {
	f := newForge(t)
	_, payload := f.good(t) // iat 1795521600, exp 1795522200
	for _, bad := range []string{
		`1795522200.5`, `1795522200.0`, `1.7955222e9`, `"1795522200"`, `-1`, `0`, `100000000000000000000`, `9223372036854775807`,
		`null`, `true`, `[1795522200]`, `1795521600`, `1795521599`,
	} {
		t.Run("exp "+bad, func(t *testing.T) {
			f.refused(t, f.sign(t, f.header(), replaceOnce(t, payload, `"exp":1795522200`, `"exp":`+bad)), receipts.ErrMalformed)
		})
	}
	t.Run("no exp", func(t *testing.T) {
		f.refused(t, f.sign(t, f.header(), replaceOnce(t, payload, `"exp":1795522200,`, ``)), receipts.ErrMalformed)
	})
	t.Run("nbf other than iat", func(t *testing.T) {
		f.refused(t, f.sign(t, f.header(), replaceOnce(t, payload, `"nbf":1795521600`, `"nbf":1795521660`)), receipts.ErrMalformed)
	})
	token := f.sign(t, f.header(), payload)
	for _, tt := range []struct {
		name string
		at   time.Duration
		want error
	}{
		{name: "too early", at: -61 * time.Second, want: receipts.ErrNotYetValid},
		{name: "early, within the skew", at: -60 * time.Second},
		{name: "late, within the skew", at: 11*time.Minute - time.Second},
		{name: "too late", at: 11 * time.Minute, want: receipts.ErrExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := newClock()
			at.advance(tt.at)
			_, err := newVerifier(t, receipts.VerifierConfig{Keys: f.ring, Now: at.now}).Verify(token)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestE108_AnotherRequest(t *testing.T) {
	f := newForge(t)
	in := claims(t)
	request := live()
	request.Digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
	in.Scope = receipts.ScopeOf(request)
	token := issue(t, newIssuer(t, f.ring, f.clock), in)
	for _, tt := range []struct {
		name string
		edit func(*payment.Scope)
		want error
	}{
		{name: "the same", edit: func(*payment.Scope) {}},
		{name: "route", edit: func(s *payment.Scope) { s.Route = "GET /v1/other/{id}" }, want: receipts.ErrScope},
		{name: "method", edit: func(s *payment.Scope) { s.Method = "POST" }, want: receipts.ErrScope},
		{name: "path", edit: func(s *payment.Scope) { s.Target = "/v1/reports/8?lang=en&full=1" }, want: receipts.ErrScope},
		{name: "query", edit: func(s *payment.Scope) { s.Target = "/v1/reports/7?lang=en" }, want: receipts.ErrScope},
		{name: "body", edit: func(s *payment.Scope) { s.Digest = "" }, want: receipts.ErrScope},
		{name: "realm", edit: func(s *payment.Scope) { s.Tenant = "other" }, want: receipts.ErrAudience},
		{name: "a wildcard as target", edit: func(s *payment.Scope) { s.Target = receipts.Any }, want: receipts.ErrScope},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scope := request
			tt.edit(&scope)
			if _, err := f.verifier.VerifyRequest(token, scope); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("a pass opens its route and no other", func(t *testing.T) {
		in.Scope.Target, in.Scope.Digest = receipts.Any, receipts.Any
		in.Use = receipts.Use{Kind: receipts.Times, N: 2}
		pass := issue(t, newIssuer(t, f.ring, f.clock), in)
		scope := live()
		scope.Target = "/v1/reports/8"
		if _, err := f.verifier.VerifyRequest(pass, scope); err != nil {
			t.Errorf("another report: %v", err)
		}
		scope.Route = "GET /v1/other/{id}"
		if _, err := f.verifier.VerifyRequest(pass, scope); !errors.Is(err, receipts.ErrScope) {
			t.Errorf("another route: %v", err)
		}
	})
}

func TestE109_OneUseInParallel(t *testing.T) {
	f := newForge(t)
	token, _ := f.good(t)
	v := newVerifier(t, receipts.VerifierConfig{Keys: f.ring, Now: f.clock.now, Uses: &receiptstest.Uses{}})
	var served, refused atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch _, err := v.Redeem(t.Context(), token, live()); {
			case err == nil:
				served.Add(1)
			case errors.Is(err, receipts.ErrUsedUp):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if served.Load() != 1 || refused.Load() != 49 {
		t.Errorf("served %d, refused %d", served.Load(), refused.Load())
	}
}

func TestE110_UselessAfterUsesAndTime(t *testing.T) {
	f := newForge(t)
	in := claims(t)
	in.Use = receipts.Use{Kind: receipts.Times, N: 2}
	token := issue(t, newIssuer(t, f.ring, f.clock), in)
	v := newVerifier(t, receipts.VerifierConfig{Keys: f.ring, Now: f.clock.now, Uses: &receiptstest.Uses{}})
	for i, want := range []error{nil, nil, receipts.ErrUsedUp} {
		if _, err := v.Redeem(t.Context(), token, live()); !errors.Is(err, want) {
			t.Errorf("use %d: %v, want %v", i+1, err, want)
		}
	}
	if _, err := f.verifier.Redeem(t.Context(), token, live()); !errors.Is(err, receipts.ErrUsedUp) {
		t.Errorf("without a counter: %v", err)
	}
	if _, err := v.Verify(token); err != nil {
		t.Errorf("used up, but still proof of a payment: %v", err)
	}
	f.clock.advance(11 * time.Minute)
	if _, err := v.Verify(token); !errors.Is(err, receipts.ErrExpired) {
		t.Errorf("cached and expired: %v", err)
	}
}

func TestE111_RotationAndRevocationOfKeys(t *testing.T) {
	c, ring := newClock(), newRing(t, newKey(t, receipts.ES256))
	iss := newIssuer(t, ring, c)
	v := newVerifier(t, receipts.VerifierConfig{Keys: ring, Now: c.now})
	verify := func(name, token string, want error) {
		t.Helper()
		if _, err := v.Verify(token); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	first, _ := ring.Signing()
	in := claims(t)
	in.Expires = c.now().Add(20 * time.Hour)
	old := issue(t, iss, in)
	verify("before", old, nil)
	if err := ring.Rotate(newKey(t, receipts.EdDSA), c.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	fresh := issue(t, iss, in)
	verify("old key in the overlap", old, nil)
	verify("new key", fresh, nil)
	c.advance(time.Hour)
	verify("old key after the overlap, though cached", old, receipts.ErrExpired)
	verify("new key", fresh, nil)

	second, _ := ring.Signing()
	if err := ring.Revoke(second.ID); !errors.Is(err, receipts.ErrKey) {
		t.Errorf("revoking the signing key: %v", err)
	}
	if err := ring.Rotate(newKey(t, receipts.EdDSA), c.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	verify("rotated out", fresh, nil)
	if err := ring.Revoke(second.ID); err != nil {
		t.Fatal(err)
	}
	verify("revoked, though cached", fresh, receipts.ErrRevoked)
	if err := ring.Revoke(first.ID); err != nil {
		t.Fatal(err)
	}
	verify("revoked beats expired", old, receipts.ErrRevoked)

	other := newRing(t, newKey(t, receipts.ES256))
	ring.Replace(other)
	verify("a key that is gone", fresh, receipts.ErrUnknownKey)
	verify("after a reload", issue(t, iss, in), nil)
}

func TestE113_Oversized(t *testing.T) {
	f := newForge(t)
	token, payload := f.good(t)
	deep := strings.Repeat("[", 600) + strings.Repeat("]", 600)
	for name, bad := range map[string]string{
		"empty":         "",
		"dots":          strings.Repeat(".", 4000),
		"more dots":     strings.Repeat(".", 1<<20),
		"a megabyte":    token + strings.Repeat("A", 1<<20),
		"four parts":    token + ".x",
		"two parts":     token[:strings.LastIndex(token, ".")],
		"empty claims":  strings.Split(token, ".")[0] + "..x",
		"line break":    token[:len(token)-4] + "\n" + token[len(token)-4:],
		"padding":       token + "==",
		"deep claims":   f.sign(t, f.header(), strings.TrimSuffix(payload, "}")+`,"x":`+deep+`}`),
		"array claims":  f.sign(t, f.header(), `[]`),
		"trailing data": f.sign(t, f.header(), payload+`{}`),
		"not UTF-8":     f.sign(t, f.header(), strings.TrimSuffix(payload, "}")+",\"x\":\"\xff\"}"),
	} {
		t.Run(name, func(t *testing.T) { f.refused(t, bad, receipts.ErrMalformed) })
	}
	allocs := testing.AllocsPerRun(10, func() {
		if _, err := f.verifier.Verify(token[:8]); err == nil {
			t.Error("accepted")
		}
	})
	if allocs > 12 {
		t.Errorf("refusing garbage takes %v allocations", allocs)
	}
}

func TestE114_RefundedPayment(t *testing.T) {
	f := newForge(t)
	token, _ := f.good(t)
	var list receipts.RevocationList
	v := newVerifier(t, receipts.VerifierConfig{Keys: f.ring, Now: f.clock.now, Revocations: &list})
	if _, err := v.Verify(token); err != nil {
		t.Fatal(err)
	}
	list.Add("pay_other", claims(t).PaymentID)
	if _, err := v.Verify(token); !errors.Is(err, receipts.ErrRevoked) {
		t.Errorf("cached and revoked: %v", err)
	}
	if _, err := v.Verify(token); !errors.Is(err, receipts.ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	list.Replace([]string{"pay_other"})
	if _, err := v.Verify(token); err != nil || list.Len() != 1 {
		t.Errorf("taken off the list: %v, %d left", err, list.Len())
	}
}

// Every single-character change of a receipt must be refused.
func TestNoOtherSpellingVerifies(t *testing.T) {
	for _, alg := range []receipts.Algorithm{receipts.ES256, receipts.EdDSA} {
		c, ring := newClock(), newRing(t, newKey(t, alg))
		token := issue(t, newIssuer(t, ring, c), claims(t))
		v := newVerifier(t, receipts.VerifierConfig{Keys: ring, Now: c.now, CacheSize: -1})
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := strings.LastIndex(token, ".") + 1
		for i := range token {
			if i < last && i%9 != 0 { // all of the signature, a sample of what it covers
				continue
			}
			swap := alphabet[(strings.IndexByte(alphabet, token[i])+1)%64]
			if _, err := v.Verify(token[:i] + string(swap) + token[i+1:]); err == nil {
				t.Errorf("%s: accepted with another character at %d", alg, i)
			}
		}
		for b := range 64 {
			other := token[:len(token)-1] + alphabet[b:b+1]
			if _, err := v.Verify(other); (err == nil) != (other == token) {
				t.Errorf("%s: last character %q: %v", alg, alphabet[b], err)
			}
		}
	}
}
