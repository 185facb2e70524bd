package gate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paywall/gate"
	"paywall/mpp"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/pricing/flat"
	"paywall/receipts"
	"paywall/receipts/receiptstest"
)

const realm = "api.example.com"

// house is a gate with everything behind it in memory.
type house struct {
	t         *testing.T
	store     *paymenttest.Store
	rail      *paymenttest.Method
	processor *payment.Processor
	gate      *gate.Gate
	desk      receipts.Desk
	revoked   *receipts.RevocationList
	clock     *clock
	api       *api
	events    chan gate.Event
	tokens    atomic.Int64
}

type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// api is the priced handler: it counts what it served.
type api struct {
	mu   sync.Mutex // guards what follows
	seen []string
	last *http.Request
	// answer, if set, takes the place of the default.
	answer http.HandlerFunc
}

func (a *api) set(answer http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	a.mu.Lock()
	a.seen = append(a.seen, r.Method+" "+r.URL.RequestURI()+" "+string(body))
	a.last = r
	answer := a.answer
	a.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	fmt.Fprintf(w, "served %s %s", r.Method, r.URL.RequestURI())
}

func (a *api) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen)
}

func usd(t testing.TB, s string) flat.Pricer {
	t.Helper()
	p, err := flat.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type option func(*gate.Config, *payment.Config)

func newHouse(t *testing.T, opts ...option) *house {
	t.Helper()
	h := &house{
		t: t, store: paymenttest.NewStore(), rail: &paymenttest.Method{Minimum: 50}, api: &api{},
		clock: &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}, events: make(chan gate.Event, 4096),
	}
	h.build(opts...)
	return h
}

// build makes processor and gate over the house's store, as a restart does.
func (h *house) build(opts ...option) {
	h.t.Helper()
	keys, err := mpp.NewKeyRing(mpp.Key{ID: "k1", Secret: bytes.Repeat([]byte{7}, 32)})
	h.must(err)
	scheme, err := mpp.New(mpp.Config{Keys: keys})
	h.must(err)
	key, err := receipts.GenerateKey(receipts.ES256, h.clock.Now())
	h.must(err)
	ring, err := receipts.NewKeyRing(key)
	h.must(err)
	issuer, err := receipts.New(receipts.Config{Keys: ring, Issuer: "https://" + realm, Audience: realm, Now: h.clock.Now})
	h.must(err)
	h.revoked = &receipts.RevocationList{}
	verifier, err := receipts.NewVerifier(receipts.VerifierConfig{
		Keys: ring, Issuer: "https://" + realm, Audience: realm, Now: h.clock.Now,
		Uses: &receiptstest.Uses{}, Revocations: h.revoked,
	})
	h.must(err)
	h.desk = receipts.Desk{Issuer: issuer, Verifier: verifier}
	pc := payment.Config{
		Store: h.store, Methods: []payment.Method{h.rail}, Key: bytes.Repeat([]byte{9}, 32), Sole: true,
		Now: h.clock.Now, InFlight: 1000, Patience: 2 * time.Second, Backoff: time.Millisecond,
	}
	gc := gate.Config{
		Realm: realm, Methods: []payment.Method{h.rail}, Protocols: []payment.Protocol{scheme}, Receipts: h.desk,
		Keys: &keysInMemory{}, Now: h.clock.Now, Limits: gate.Limits{Challenges: -1, Failures: -1},
		Observe: func(_ context.Context, e gate.Event) {
			select {
			case h.events <- e:
			default:
			}
		},
	}
	for _, o := range opts {
		o(&gc, &pc)
	}
	h.processor, err = payment.New(h.t.Context(), pc)
	h.must(err)
	gc.Processor = h.processor
	h.gate, err = gate.New(gc)
	h.must(err)
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// router makes a table of routes for the house's API: priced ones by pattern, free ones with the price "".
func (h *house) router(routes map[string]string) *gate.Router {
	h.t.Helper()
	var list []gate.Route
	for pattern, price := range routes {
		r := gate.Route{ID: id(pattern), Pattern: pattern, Handler: h.api, Free: price == ""}
		if price != "" {
			r.Pricer = usd(h.t, price)
		}
		list = append(list, r)
	}
	router, err := h.gate.Router(list)
	h.must(err)
	return router
}

func id(pattern string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		if r >= 'A' && r <= 'Z' {
			return r + 32
		}
		return '-'
	}, pattern), "-")
}

func request(t testing.TB, method, target, body string) *http.Request {
	t.Helper()
	var b io.Reader = http.NoBody
	if body != "" {
		b = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, target, b)
	r.Host = realm
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// challenge asks unpaid and returns the first challenge.
func (h *house) challenge(handler http.Handler, method, target, body string) mpp.Challenge {
	h.t.Helper()
	w := do(handler, request(h.t, method, target, body))
	if w.Code != http.StatusPaymentRequired {
		h.t.Fatalf("%s %s: %d, want 402: %s", method, target, w.Code, w.Body)
	}
	cs, err := mpp.ParseChallenges(w.Result().Header)
	h.must(err)
	return cs[0]
}

// credential answers a challenge with a token.
func (h *house) credential(c mpp.Challenge, token string) string {
	h.t.Helper()
	payload, err := json.Marshal(map[string]string{"token": token})
	h.must(err)
	cred, err := mpp.NewCredential(c, payload)
	h.must(err)
	field, err := cred.Format()
	h.must(err)
	return field
}

func (h *house) token() string { return fmt.Sprintf("tok_%d", h.tokens.Add(1)) }

// paid is the request with a fresh payment of its own.
func (h *house) paid(handler http.Handler, method, target, body string) *http.Request {
	h.t.Helper()
	r := request(h.t, method, target, body)
	r.Header.Set("Authorization", h.credential(h.challenge(handler, method, target, body), h.token()))
	return r
}

// settled checks that the books are whole and how many charges and refunds were made.
func (h *house) settled(charges, refunds int) {
	h.t.Helper()
	report, err := payment.Audit(context.WithoutCancel(h.t.Context()), h.store, h.clock.Now(), time.Minute)
	h.must(err)
	for _, b := range report.Breaks {
		h.t.Errorf("broken %s %s: %s", b.Invariant, b.Payment, b.What)
	}
	if c, r := h.rail.Total(); c != charges || r != refunds {
		h.t.Errorf("%d charges and %d refunds, want %d and %d", c, r, charges, refunds)
	}
}

type keysInMemory struct {
	mu   sync.Mutex // guards rows
	rows map[string][2]string
}

func (k *keysInMemory) Remember(_ context.Context, principal, key, fingerprint, value string) (string, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rows == nil {
		k.rows = map[string][2]string{}
	}
	row, ok := k.rows[principal+"\x00"+key]
	if !ok {
		k.rows[principal+"\x00"+key] = [2]string{fingerprint, value}
		return "", false, nil
	}
	return row[1], row[0] != fingerprint, nil
}
