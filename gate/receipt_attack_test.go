package gate_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paywall/gate"
	"paywall/payment"
)

// bought is a receipt that opens the route for an hour, and its three parts.
func (h *house) bought(handler http.Handler, target string) (token string, parts []string) {
	h.t.Helper()
	w := do(handler, h.paid(handler, "GET", target, ""))
	token = w.Header().Get("Paywall-Receipt")
	parts = strings.Split(token, ".")
	if w.Code != 200 || len(parts) != 3 {
		h.t.Fatalf("%d %q", w.Code, token)
	}
	return token, parts
}

func hour(h *house, handler http.Handler) []gate.Route {
	return []gate.Route{{ID: "hour", Pattern: "GET /hour/{x}", Pricer: usd(h.t, "1.00 USD"), Handler: handler, Pass: payment.Pass{For: time.Hour}}}
}

// Receipts that are spoiled in any way open nothing, and nothing is looked up or written for them.
func TestSpoiledReceipts(t *testing.T) {
	store, opt := watch()
	h := newHouse(t, opt)
	router, err := h.gate.Router(hour(h, h.api))
	h.must(err)
	token, parts := h.bought(router, "/hour/1")
	raw := func(s string) string {
		b, err := base64.RawURLEncoding.DecodeString(s)
		h.must(err)
		return string(b)
	}
	enc := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	header, claims := raw(parts[0]), raw(parts[1])
	head := func(from, to string) string {
		changed := strings.Replace(header, from, to, 1)
		if changed == header {
			t.Fatalf("%s is not in %s", from, header)
		}
		return enc(changed) + "." + parts[1] + "." + parts[2]
	}
	add := func(member string) string {
		return enc(header[:len(header)-1]+","+member+"}") + "." + parts[1] + "." + parts[2]
	}
	signature := []byte(raw(parts[2]))
	zero := make([]byte, len(signature))
	mac := hmac.New(sha256.New, []byte("public key"))
	mac.Write([]byte(parts[0] + "." + parts[1]))
	now := store.writes.Load() + store.reads.Load()
	served := h.api.count()
	for name, spoiled := range map[string]string{
		"E099_None":         head(`"alg":"ES256"`, `"alg":"none"`),
		"E099_NoneCased":    head(`"alg":"ES256"`, `"alg":"nOnE"`),
		"E099_NoSignature":  enc(strings.Replace(header, "ES256", "none", 1)) + "." + parts[1] + ".",
		"E099_Missing":      head(`"alg":"ES256"`, `"x":1`),
		"E099_List":         head(`"alg":"ES256"`, `"alg":["ES256"]`),
		"E100_HS256":        enc(strings.Replace(header, "ES256", "HS256", 1)) + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		"E101_Traversal":    head(`"kid":"`, `"kid":"../../etc/passwd`),
		"E101_SQL":          head(`"kid":"`, `"kid":"' OR 1=1 --`),
		"E101_URL":          head(`"kid":"`, `"kid":"https://evil.example/`),
		"E101_Long":         head(`"kid":"`, `"kid":"`+strings.Repeat("k", 10<<10)),
		"E102_jku":          add(`"jku":"https://evil.example/jwks.json"`),
		"E102_jwk":          add(`"jwk":{"kty":"EC"}`),
		"E102_x5c":          add(`"x5c":["AA=="]`),
		"E103_crit":         add(`"crit":["x"],"x":1`),
		"E103_b64":          add(`"b64":false,"crit":["b64"]`),
		"E103_zip":          add(`"zip":"DEF"`),
		"E103_Detached":     parts[0] + ".." + parts[2],
		"E103_FiveParts":    token + ".x.y",
		"E104_OtherType":    head(`"typ":"`, `"typ":"at+`),
		"E105_Zero":         parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(zero),
		"E105_Short":        parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(signature[:40]),
		"E105_Long":         token + "AA",
		"E105_Flipped":      parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(append([]byte{signature[0] ^ 1}, signature[1:]...)),
		"E106_OtherClaims":  parts[0] + "." + enc(strings.Replace(claims, realm, "evil.example", 1)) + "." + parts[2],
		"E107_Longer":       parts[0] + "." + enc(strings.Replace(claims, `"exp":1`, `"exp":9`, 1)) + "." + parts[2],
		"E113_Dots":         strings.Repeat(".", 100_000),
		"E113_Long":         parts[0] + "." + strings.Repeat("A", 1<<20) + "." + parts[2],
		"padded":            token + "=",
		"trailing space in": parts[0] + " ." + parts[1] + "." + parts[2],
	} {
		t.Run(name, func(t *testing.T) {
			w := present(t, router, "GET", "/hour/1", "", "Bearer "+spoiled)
			if w.Code != http.StatusPaymentRequired || w.Header().Get("Www-Authenticate") == "" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			if strings.Contains(w.Body.String(), parts[2]) {
				t.Error("the answer repeats the receipt")
			}
		})
	}
	if got := store.writes.Load() + store.reads.Load(); got != now {
		t.Errorf("%d calls of the store", got-now)
	}
	if h.api.count() != served {
		t.Error("a spoiled receipt was served")
	}
	if w := present(t, router, "GET", "/hour/1", "", "Bearer "+token); w.Code != 200 {
		t.Errorf("the receipt itself: %d %s", w.Code, w.Body)
	}
	h.settled(1, 0)
}

// E108: a receipt opens its own resource alone.
func TestE108_OtherRequests(t *testing.T) {
	h := newHouse(t)
	router, err := h.gate.Router(append(hour(h, h.api),
		gate.Route{ID: "other", Pattern: "/other", Pricer: usd(t, "1.00 USD"), Handler: h.api, Pass: payment.Pass{For: time.Hour}}))
	h.must(err)
	token, _ := h.bought(router, "/hour/1?q=1")
	for ask, want := range map[string]int{
		"GET /hour/1?q=1": 200, "HEAD /hour/1?q=1": 200, "GET /hour/1?q=2": 402, "GET /hour/1": 402, "GET /hour/2?q=1": 402, "GET /other": 402, "POST /other": 402, "GET /hour/1?q=1&": 200,
	} {
		method, target, _ := strings.Cut(ask, " ")
		if w := present(t, router, method, target, "", "Bearer "+token); w.Code != want {
			t.Errorf("%s: %d, want %d: %s", ask, w.Code, want, w.Body)
		}
	}
}

// E109: a receipt of one further use, fifty times at once, is used once; one
// that only collects what is owed is served as often as it is owed: once.
func TestE109_OneUse(t *testing.T) {
	for _, pass := range []payment.Pass{{Uses: 1}, {}} {
		t.Run(fmt.Sprint(pass.Uses, " uses"), func(t *testing.T) {
			h := newHouse(t)
			router, err := h.gate.Router([]gate.Route{{ID: "once", Pattern: "GET /once", Pricer: usd(t, "1.00 USD"), Handler: h.api, Pass: pass}})
			h.must(err)
			w := do(router, h.paid(router, "GET", "/once", ""))
			token := w.Header().Get("Paywall-Receipt")
			var wg sync.WaitGroup
			var served atomic.Int64
			for range 50 {
				wg.Go(func() {
					if w := present(t, router, "GET", "/once", "", "Bearer "+token); w.Code == 200 {
						served.Add(1)
					}
				})
			}
			wg.Wait()
			if served.Load() != int64(pass.Uses) || h.api.count() != 1+pass.Uses {
				t.Errorf("%d served, %d executions", served.Load(), h.api.count())
			}
			h.settled(1, 0)
		})
	}
}

func TestE107_E110_Times(t *testing.T) {
	h := newHouse(t)
	router, err := h.gate.Router(hour(h, h.api))
	h.must(err)
	token, _ := h.bought(router, "/hour/1")
	for _, tt := range []struct {
		add  time.Duration
		want int
	}{{59 * time.Minute, 200}, {3 * time.Minute, 402}, {24 * time.Hour, 402}} {
		h.clock.add(tt.add)
		if w := present(t, router, "GET", "/hour/1", "", "Bearer "+token); w.Code != tt.want {
			t.Errorf("after %s more: %d, want %d", tt.add, w.Code, tt.want)
		}
	}
}

// E111: after a restart with other keys the old receipts are worth nothing, and
// are not taken for somebody else's bearer tokens in a way that serves them.
func TestE111_KeysReplaced(t *testing.T) {
	h := newHouse(t)
	router, err := h.gate.Router(hour(h, h.api))
	h.must(err)
	token, _ := h.bought(router, "/hour/1")
	served := h.api.count()
	h.build() // with a key of its own
	router, err = h.gate.Router(hour(h, h.api))
	h.must(err)
	if w := present(t, router, "GET", "/hour/1", "", "Bearer "+token); w.Code != 402 || h.api.count() != served {
		t.Errorf("%d", w.Code)
	}
}

// A receipt and a payment in one request are two payments.
func TestReceiptBesidePayment(t *testing.T) {
	h := newHouse(t)
	router, err := h.gate.Router(hour(h, h.api))
	h.must(err)
	token, _ := h.bought(router, "/hour/1")
	r := h.paid(router, "GET", "/hour/1", "")
	r.Header["Payment-Authorization"] = r.Header["Authorization"]
	r.Header["Authorization"] = []string{"Bearer " + token}
	if w := do(router, r); w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.settled(1, 0)
}

// A handler serves a receipt without a payment in its context, and learns its id.
func TestReceiptReachesHandlerClean(t *testing.T) {
	h := newHouse(t)
	router, err := h.gate.Router(hour(h, h.api))
	h.must(err)
	token, _ := h.bought(router, "/hour/1")
	w := present(t, router, "GET", "/hour/1", "", "Bearer "+token)
	last := h.api.last
	if _, paid := payment.FromContext(last.Context()); paid || last.Header.Get("Authorization") != "" || !strings.HasPrefix(last.Header.Get("Paywall-Payment-Id"), "pay_") {
		t.Errorf("the handler got %v", last.Header)
	}
	if w.Header().Get("Cache-Control") != "private, no-store" {
		t.Errorf("Cache-Control %q", w.Header().Get("Cache-Control"))
	}
}
