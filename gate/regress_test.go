package gate_test

import (
	"context"
	"errors"
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
	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// rival is a store in which something happens right after a payment was read.
type rival struct {
	payment.Store

	mu   sync.Mutex // guards then
	then func()
}

func (s *rival) Get(ctx context.Context, id string) (payment.Payment, error) {
	p, err := s.Store.Get(ctx, id)
	s.mu.Lock()
	then := s.then
	s.then = nil
	s.mu.Unlock()
	if then != nil {
		then()
	}
	return p, err
}

// half pays for target, gets half of the answer, and returns the receipt that
// was in its head with the payment's id.
func (h *house) half(router http.Handler, target string) (receipt, id string) {
	h.t.Helper()
	h.api.set(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	})
	w := httptest.NewRecorder()
	r := h.paid(router, "GET", target, "")
	func() {
		defer func() { recover() }()
		router.ServeHTTP(w, r)
	}()
	h.api.set(nil)
	return w.Header().Get("Paywall-Receipt"), w.Header().Get("Paywall-Payment-Id")
}

func bearing(t *testing.T, method, receipt string) *http.Request {
	t.Helper()
	r := request(t, method, "/a", "")
	r.Header.Set("Authorization", "Bearer "+receipt)
	return r
}

func TestE109_ServedBetweenLookAndDispatch(t *testing.T) {
	s := &rival{}
	h := newHouse(t, func(_ *gate.Config, pc *payment.Config) { s.Store, pc.Store = pc.Store, s })
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	receipt, _ := h.half(router, "/a")
	var first *httptest.ResponseRecorder
	s.then = func() { first = do(router, bearing(t, "GET", receipt)) }
	second := do(router, bearing(t, "GET", receipt))
	if first.Code != http.StatusOK || second.Code == http.StatusOK {
		t.Errorf("two bearers of one receipt got %d and %d", first.Code, second.Code)
	}
	h.settled(1, 0)
}

func TestB072_RefundedBetweenLookAndDispatch(t *testing.T) {
	s := &rival{}
	h := newHouse(t, func(_ *gate.Config, pc *payment.Config) { s.Store, pc.Store = pc.Store, s })
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	receipt, id := h.half(router, "/a")
	s.then = func() {
		if _, err := h.processor.Refund(t.Context(), id, "operator"); err != nil {
			t.Error(err)
		}
	}
	if w := do(router, bearing(t, "GET", receipt)); w.Code == http.StatusOK {
		t.Error("refunded, and delivered")
	}
	h.settled(1, 1)
}

// The head of an answer must not use up what the whole was paid for.
func TestC084_HeadDoesNotCollectGet(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	receipt, _ := h.half(router, "/a")
	if w := do(router, bearing(t, "HEAD", receipt)); w.Code != http.StatusBadRequest {
		t.Errorf("HEAD: %d", w.Code)
	}
	if w := do(router, bearing(t, "GET", receipt)); w.Code != http.StatusOK {
		t.Errorf("GET afterwards: %d", w.Code)
	}
	h.settled(1, 0)
}

// I13: while a purchase is being charged, the same one asked for again is in
// progress and not to be paid again.
func TestB043_SameTokenInFlight(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	in, out := make(chan struct{}), make(chan struct{})
	h.rail.Script("charge", paymenttest.Reply{Hook: func(context.Context, payment.Payment) { close(in); <-out }})
	first, second := request(t, "GET", "/a", ""), request(t, "GET", "/a", "")
	for _, r := range []*http.Request{first, second} {
		r.Header.Set("Authorization", h.credential(h.challenge(router, "GET", "/a", ""), "tok_same"))
	}
	var wg sync.WaitGroup
	wg.Go(func() { do(router, first) })
	<-in
	w := do(router, second)
	close(out)
	wg.Wait()
	if w.Code != http.StatusConflict || w.Header().Get("Www-Authenticate") != "" || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	h.settled(1, 0)
}

// asked counts how often a rule is asked for a price.
type asked struct{ n atomic.Int64 }

func (a *asked) Quote(context.Context, *http.Request, []byte) (payment.Quote, error) {
	a.n.Add(1)
	amount, err := money.New(100, "USD", 2)
	return payment.Quote{Amount: amount, Version: "1"}, err
}

func (*asked) Prices() []money.Amount { return nil }

func TestD087_JunkDoesNotDriveThePricingRule(t *testing.T) {
	h := newHouse(t, func(gc *gate.Config, _ *payment.Config) {
		gc.Limits = gate.Limits{Challenges: 1, Burst: 5, Failures: 5}
	})
	rule := &asked{}
	router, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: "POST /a", Pricer: rule, Handler: h.api}})
	h.must(err)
	for range 200 {
		r := request(t, "POST", "/a", "x")
		r.Header.Set("Authorization", "Payment junk")
		do(router, r)
	}
	if n := rule.n.Load(); n > 5 {
		t.Errorf("the rule was asked %d times by a client that may ask 5 times", n)
	}
}

// A client that is slow to read, or a handler that pauses, is not cut off: each
// piece of an answer has a time of its own.
func TestWriteStall(t *testing.T) {
	const stall = 200 * time.Millisecond
	pause := func(t *testing.T) { t.Helper(); <-time.After(2 * stall) }
	for _, protocol := range []int{1, 2} {
		for _, target := range []string{"/free", "/a"} {
			t.Run(fmt.Sprintf("HTTP/%d %s", protocol, target), func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Limits.WriteStall = stall })
				router := h.router(map[string]string{"GET /a": "1.00 USD", "GET /free": ""})
				h.api.set(func(w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, "one,")
					http.NewResponseController(w).Flush()
					pause(t)
					io.WriteString(w, "two")
					pause(t)
				})
				srv := httptest.NewUnstartedServer(hosted(router))
				srv.EnableHTTP2 = protocol == 2
				srv.StartTLS()
				defer srv.Close()
				r := request(t, "GET", target, "")
				if target == "/a" {
					r = h.paid(router, "GET", "/a", "")
				}
				res, err := srv.Client().Do(live(t, srv, r))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if b, err := io.ReadAll(res.Body); err != nil || string(b) != "one,two" {
					t.Errorf("%s: %q, %v", res.Proto, b, err)
				}
			})
		}
	}
}

// A request that goes on without its payer ends in time to be refunded.
func TestB065_DetachedWorkEnds(t *testing.T) {
	h := newHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Limits.AnswerFor = 50 * time.Millisecond })
	router := h.router(map[string]string{"POST /a": "1.00 USD"})
	ctx, hangUp := context.WithCancel(t.Context())
	h.api.set(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first,")
		hangUp()
		<-r.Context().Done() // an upstream that says nothing more
		panic(http.ErrAbortHandler)
	})
	r := h.paid(router, "POST", "/a", "x").WithContext(ctx)
	func() {
		defer func() { recover() }()
		router.ServeHTTP(httptest.NewRecorder(), r)
	}()
	h.settled(1, 1)
}

func TestB066_RefundUnderWayIsNotKept(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"POST /a": "1.00 USD"})
	h.rail.Script("refund", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeUnknown, Err: errors.New("lost")}})
	h.api.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })
	w := do(router, h.paid(router, "POST", "/a", "x"))
	if w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "is being refunded") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Whoever paid collects, however many others behind the same address failed.
func TestB077_OthersFailuresDoNotKeepThePayerOut(t *testing.T) {
	h := newHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Limits = gate.Limits{Challenges: -1, Failures: 3} })
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	h.api.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })
	r := h.paid(router, "GET", "/a", "")
	do(router, r)
	for range 5 {
		junk := request(t, "GET", "/a", "")
		junk.Header.Set("Authorization", "Payment junk")
		do(router, junk)
	}
	h.api.set(nil)
	if w := do(router, r); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.settled(1, 0)
}

func TestC095_ReceiptAmongOtherCredentials(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD", "GET /free": ""})
	w := do(router, h.paid(router, "GET", "/a", ""))
	r := request(t, "GET", "/free", "")
	r.Header["Authorization"] = []string{"Bearer " + w.Header().Get("Paywall-Receipt"), "Basic abc"}
	do(router, r)
	if got := h.api.last.Header["Authorization"]; len(got) > 0 {
		t.Error("the receipt reached the upstream")
	}
}

func TestC085_OverridesAndIdentities(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /free": ""})
	names := []string{
		"Http-Method-Override", "X-Real-Method-Override", "X-Forwarded", "X-Client-Ip", "X-Host",
		"X-Cluster-Client-Ip", "Cf-Connecting-Ip", "Expect", "True-Client-Ip",
	}
	r := request(t, "GET", "/free", "")
	for _, name := range names {
		r.Header.Set(name, "v")
	}
	do(router, r)
	for _, name := range names {
		if h.api.last.Header.Get(name) != "" {
			t.Errorf("%s was passed on", name)
		}
	}
}

// B063: an answer that breaks off in its body is no delivery: the same
// credential has it again, from the beginning.
func TestB063_BrokenOffInTheBody(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	r := h.paid(router, "GET", "/a", "")
	h.api.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
	})
	func() {
		defer func() { recover() }()
		router.ServeHTTP(httptest.NewRecorder(), r)
	}()
	h.api.set(nil)
	if w := do(router, r); w.Code != http.StatusOK || w.Body.String() != "served GET /a" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if h.api.count() != 2 {
		t.Errorf("%d executions, want 2", h.api.count())
	}
	h.settled(1, 0)
}

// C101: cookies are the upstream's and stay as they are; we set none.
func TestC101_Cookies(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	if w := do(router, request(t, "GET", "/a", "")); len(w.Header().Values("Set-Cookie")) > 0 {
		t.Error("a challenge sets a cookie")
	}
	h.api.set(func(w http.ResponseWriter, _ *http.Request) { w.Header().Add("Set-Cookie", "theirs=1; Path=/") })
	w := do(router, h.paid(router, "GET", "/a", ""))
	if got := w.Header().Values("Set-Cookie"); len(got) != 1 || got[0] != "theirs=1; Path=/" {
		t.Errorf("cookies %q", got)
	}
}

// I12: what cannot be a proof of payment leaves nothing in the store, also when
// it comes with an Idempotency-Key.
func TestA016_MalformedProofUnderAKey(t *testing.T) {
	keys := &keysInMemory{}
	h := newHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Keys = keys })
	router := h.router(map[string]string{"POST /a": "1.00 USD"})
	r := request(t, "POST", "/a", "x")
	r.Header.Set("Authorization", h.credential(h.challenge(router, "POST", "/a", "x"), ""))
	r.Header.Set("Idempotency-Key", "k")
	if w := do(router, r); w.Code != http.StatusPaymentRequired || !strings.Contains(w.Body.String(), "invalid-payload") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(keys.rows) != 0 {
		t.Error("a row was written")
	}
}
