package gate_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"paywall/gate"
	"paywall/mpp"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/receipts"
)

// benched is a gate as a server has it, over a store in memory.
func benched(b *testing.B, rails int, more ...payment.Protocol) *gate.Router {
	b.Helper()
	var methods []payment.Method
	for i := range rails {
		methods = append(methods, &paymenttest.Method{ID: "rail" + string(rune('a'+i))})
	}
	keys, err := mpp.NewKeyRing(mpp.Key{ID: "k1", Secret: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		b.Fatal(err)
	}
	scheme, err := mpp.New(mpp.Config{Keys: keys})
	if err != nil {
		b.Fatal(err)
	}
	key, err := receipts.GenerateKey(receipts.ES256, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	ring, err := receipts.NewKeyRing(key)
	if err != nil {
		b.Fatal(err)
	}
	issuer, err := receipts.New(receipts.Config{Keys: ring, Issuer: "https://" + realm, Audience: realm})
	if err != nil {
		b.Fatal(err)
	}
	verifier, err := receipts.NewVerifier(receipts.VerifierConfig{Keys: ring, Issuer: "https://" + realm, Audience: realm})
	if err != nil {
		b.Fatal(err)
	}
	p, err := payment.New(b.Context(), payment.Config{Store: paymenttest.NewStore(), Methods: methods, Key: bytes.Repeat([]byte{9}, 32), Sole: true})
	if err != nil {
		b.Fatal(err)
	}
	g, err := gate.New(gate.Config{
		Realm: realm, Processor: p, Methods: methods, Protocols: append([]payment.Protocol{scheme}, more...),
		Receipts: receipts.Desk{Issuer: issuer, Verifier: verifier},
		Limits:   gate.Limits{Challenges: 1 << 29, Burst: 1 << 30, Failures: -1},
	})
	if err != nil {
		b.Fatal(err)
	}
	r, err := g.Router([]gate.Route{{
		ID: "report", Pattern: "GET /v1/reports/{id}", Pricer: usd(b, "1.00 USD"), Description: "One market report",
		Pass: payment.Pass{For: time.Hour},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{"text/plain"}
			_, _ = io.WriteString(w, "a report")
		}),
	}})
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// nowhere is a response that is thrown away, so that the gate alone is measured.
type nowhere struct {
	h      http.Header
	status int
}

func (n *nowhere) Header() http.Header         { return n.h }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(status int)      { n.status = status }

func serveMany(b *testing.B, h http.Handler, r *http.Request, status int) {
	b.Helper()
	w := &nowhere{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
		if w.status != status {
			b.Fatalf("%d, want %d", w.status, status)
		}
	}
}

func benchRequest(b *testing.B, authorization string) *http.Request {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/v1/reports/2026", http.NoBody)
	r.Host, r.RemoteAddr = realm, "192.0.2.1:1234"
	r.Header = http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func BenchmarkChallenge(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprintf("offers=%d", n), func(b *testing.B) {
			serveMany(b, benched(b, n), benchRequest(b, ""), http.StatusPaymentRequired)
		})
	}
}

// BenchmarkExplained is a challenge with members in its document, the making of
// which costs nothing here.
func BenchmarkExplained(b *testing.B) {
	members := []byte(`"x402Version":1,"error":"Payment required","accepts":[{"scheme":"exact","network":"base"}]`)
	voice := &spoken{members: func(*http.Request, payment.Scope, *payment.Error) []byte { return members }}
	serveMany(b, benched(b, 1, voice), benchRequest(b, ""), http.StatusPaymentRequired)
}

// BenchmarkForged refuses a credential that was made for another target.
func BenchmarkForged(b *testing.B) {
	router := benched(b, 1)
	other := benchRequest(b, "")
	other.URL.Path, other.RequestURI = "/v1/reports/2025", "/v1/reports/2025"
	w := do(router, other)
	serveMany(b, router, benchRequest(b, answer(b, w.Header(), "tok_forged")), http.StatusPaymentRequired)
}

func BenchmarkReceipt(b *testing.B) {
	router := benched(b, 1)
	w := do(router, benchRequest(b, ""))
	w = do(router, benchRequest(b, answer(b, w.Header(), "tok_receipt")))
	if w.Code != http.StatusOK {
		b.Fatalf("paid: %d", w.Code)
	}
	serveMany(b, router, benchRequest(b, "Bearer "+w.Header().Get("Paywall-Receipt")), http.StatusOK)
}

// answer is a credential for the first challenge.
func answer(b *testing.B, h http.Header, token string) string {
	b.Helper()
	cs, err := mpp.ParseChallenges(h)
	if err != nil {
		b.Fatal(err)
	}
	c, err := mpp.NewCredential(cs[0], []byte(`{"token":"`+token+`"}`))
	if err != nil {
		b.Fatal(err)
	}
	field, err := c.Format()
	if err != nil {
		b.Fatal(err)
	}
	return field
}
