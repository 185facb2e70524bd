package gatetest

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

// Subject is a protocol under test, with a payer that speaks it. All fields but
// Unbound and Lasting are required.
type Subject struct {
	// New makes the protocol afresh. Each one must take the challenges of the others.
	New func(t *testing.T) payment.Protocol
	// TTL is at least how long a challenge is good for.
	TTL time.Duration
	// Challenged reports whether an answer's header asks for payment.
	Challenged func(h http.Header) bool
	// Pay answers the challenge in an answer's header with a payload for the rail,
	// by setting fields of a request.
	Pay func(t *testing.T, challenge http.Header, payload []byte, out http.Header)
	// Receipt checks the protocol's receipt in the header of an answer; no receipt is an error.
	Receipt func(h http.Header) error
	// Spoil are ways, by name, to make a good credential a bad one.
	Spoil map[string]func(h http.Header)
	// Unbound says that the protocol does not bind a credential to one request. Then
	// the first request that it is presented with has it, and no other ever gets
	// anything for it.
	Unbound bool
	// Lasting says that a credential does not end by itself: its rail knows until
	// when it takes the proof.
	Lasting bool
}

// RunProtocol checks the contract of [payment.Protocol] as a gate relies on it.
func RunProtocol(t *testing.T, s Subject) {
	t.Helper()
	for _, one := range []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"asks and stores nothing", asks},
		{"serves what is paid", serves},
		{"a credential is for one request", scoped},
		{"a credential is spent once", once},
		{"copies at once", copies},
		{"spoiled credentials", spoiled},
		{"two credentials", two},
		{"expiry", expires},
		{"collected after expiry", collected},
		{"an open outcome is no invitation to pay", open},
		{"only the gate writes receipts", forged},
		{"the holder of a credential may ask after its payment", status},
		{"nothing to offer", nothing},
		{"the body of a 402 is one JSON object", documents},
		{"held: taken for the answer", heldServes},
		{"held: a credential is for one request", heldScoped},
		{"held: copies at once", heldCopies},
		{"held: not promised", heldRefused},
		{"held: declined at capture", heldDeclined},
		{"held: unknown, then collected", heldUnknown},
		{"held: a handler that fails costs nothing", heldFails},
		{"held: a stream is paid before its first byte", heldStreams},
		{"held: what was used is taken", heldMetered},
	} {
		t.Run(one.name, func(t *testing.T) { one.run(t, s) })
	}
}

func asks(t *testing.T, s Subject) {
	t.Helper()
	h := newHouse(t, s)
	p := s.New(t)
	if p.Name() == "" || p.Presents(http.Header{}) || p.Presents(http.Header{"Authorization": {"Bearer x"}}) {
		t.Errorf("protocol %q sees a payment where there is none", p.Name())
	}
	if _, err := p.Fingerprint(http.Header{}); !errors.Is(err, payment.ErrNoCredential) {
		t.Errorf("fingerprint of nothing: %v", err)
	}
	for _, ask := range []string{"GET /a", "HEAD /a", "POST /a x"} {
		w := h.do(ask, nil)
		if w.Code != http.StatusPaymentRequired || !s.Challenged(w.Header()) || s.Receipt(w.Header()) == nil {
			t.Errorf("%s: %d %v", ask, w.Code, w.Header())
		}
	}
	if h.store.calls.Load() != 0 || len(h.rail.Calls()) != 0 || h.served() != 0 {
		t.Error("an unpaid request was stored, charged or served")
	}
}

func serves(t *testing.T, s Subject) {
	t.Helper()
	for _, ask := range []string{"GET /a", "POST /a?x=1 body", "DELETE /a"} {
		h := newHouse(t, s)
		cred := h.credential(ask)
		if !s.New(t).Presents(cred) {
			t.Errorf("%s: the protocol does not see its credential", ask)
		}
		w := h.do(ask, cred)
		if w.Code != http.StatusOK || w.Body.String() != "goods" || s.Challenged(w.Header()) {
			t.Fatalf("%s: %d %v %s", ask, w.Code, w.Header(), w.Body)
		}
		if err := s.Receipt(w.Header()); err != nil {
			t.Errorf("%s: %v", ask, err)
		}
		if s.New(t).Presents(h.seen[0]) {
			t.Errorf("%s: the credential went on to the handler", ask)
		}
		h.moved(1)
	}
}

func scoped(t *testing.T, s Subject) {
	t.Helper()
	oneRequest(newHouse(t, s))
}

func oneRequest(h *house) {
	h.t.Helper()
	cred := h.credential("POST /a?x=1 body")
	if h.s.Unbound {
		if w := h.do("POST /a?x=1 body", cred); w.Code != http.StatusOK || w.Body.String() != "goods" {
			h.t.Errorf("the first request: %d %s", w.Code, w.Body)
		}
	}
	for _, ask := range []string{"POST /b?x=1 body", "POST /a?x=2 body", "POST /a body", "PUT /a?x=1 body", "GET /a?x=1", "POST /a?x=1 other", "POST /a?x=1"} {
		w := h.do(ask, cred)
		h.refused(ask, w)
		if strings.Contains(w.Body.String(), "goods") {
			h.t.Errorf("%s: goods for the payment of another request", ask)
		}
	}
	if !h.s.Unbound && (h.store.calls.Load() != 0 || len(h.rail.Calls()) != 0 || h.served() != 0) {
		h.t.Error("a credential for another request was stored, charged or served")
	}
	// Its own request gets it, or its answer once more.
	if w := h.do("POST /a?x=1 body", cred); w.Code != http.StatusOK || w.Body.String() != "goods" {
		h.t.Errorf("its own request: %d %s", w.Code, w.Body)
	}
	if h.served() != 1 {
		h.t.Errorf("served %d times", h.served())
	}
	h.moved(1)
}

func once(t *testing.T, s Subject) {
	t.Helper()
	h := newHouse(t, s)
	cred := h.credential("POST /a x")
	for range 3 {
		if w := h.do("POST /a x", cred); w.Code != http.StatusOK || w.Body.String() != "goods" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if h.served() != 1 {
		t.Errorf("served %d times", h.served())
	}
	h.moved(1)
}

func copies(t *testing.T, s Subject) {
	t.Helper()
	atOnce(newHouse(t, s), 100)
}

func atOnce(h *house, copies int) {
	h.t.Helper()
	cred := h.credential("POST /a x")
	var wg sync.WaitGroup
	for range copies {
		wg.Go(func() {
			w := h.do("POST /a x", cred)
			later := w.Code == http.StatusConflict && w.Header().Get("Retry-After") != "" && !h.s.Challenged(w.Header())
			if w.Code != http.StatusOK && !later {
				h.t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
		})
	}
	wg.Wait()
	if h.served() != 1 {
		h.t.Errorf("served %d times", h.served())
	}
	h.moved(1)
}

func spoiled(t *testing.T, s Subject) {
	t.Helper()
	if len(s.Spoil) == 0 {
		t.Fatal("Subject.Spoil is empty")
	}
	for name, spoil := range s.Spoil {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, s)
			cred := h.credential("GET /a")
			spoil(cred)
			h.refused(name, h.do("GET /a", cred))
			if h.store.calls.Load() != 0 || len(h.rail.Calls()) != 0 || h.served() != 0 {
				t.Error("it was looked up, charged or served")
			}
		})
	}
}

func two(t *testing.T, s Subject) {
	t.Helper()
	h := newHouse(t, s)
	both := h.credential("GET /a")
	for name, values := range h.credential("GET /a") {
		both[name] = append(both[name], values...)
	}
	if w := h.do("GET /a", both); w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.moved(0)
}

func expires(t *testing.T, s Subject) {
	t.Helper()
	h := newHouse(t, s)
	cred := h.credential("GET /a")
	h.pass(s.TTL - time.Second)
	early := h.credential("GET /a")
	if w := h.do("GET /a", early); w.Code != http.StatusOK {
		t.Errorf("in time: %d %s", w.Code, w.Body)
	}
	h.pass(24 * time.Hour)
	w := h.do("GET /a", cred)
	if s.Lasting {
		if w.Code != http.StatusOK {
			t.Errorf("late: %d %s", w.Code, w.Body)
		}
		h.moved(2)
		return
	}
	h.refused("late", w)
	h.moved(1)
}

func collected(t *testing.T, s Subject) {
	t.Helper()
	h := newHouse(t, s)
	h.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	cred := h.credential("GET /a")
	w := h.do("GET /a", cred)
	if w.Code != http.StatusBadGateway || s.Challenged(w.Header()) || s.Receipt(w.Header()) == nil {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	h.set(nil)
	h.pass(s.TTL + time.Hour)
	w = h.do("GET /a", cred)
	if w.Code != http.StatusOK || s.Receipt(w.Header()) != nil {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	h.moved(1)
}

func open(t *testing.T, s Subject) {
	t.Helper()
	h := newHouse(t, s)
	lost := errors.New("lost")
	unknown := paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeNotNow, RetryAfter: time.Hour, Err: lost}}
	h.rail.Script("charge", unknown)
	cred := h.credential("GET /a")
	w := h.do("GET /a", cred)
	if w.Code != http.StatusServiceUnavailable || s.Challenged(w.Header()) || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "lost") {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := h.do("GET /a", cred); w.Code != http.StatusOK {
		t.Errorf("later: %d %s", w.Code, w.Body)
	}
	h.moved(1)
}

// forged lets the handler answer with the head of an earlier paid answer.
func forged(t *testing.T, s Subject) {
	t.Helper()
	h := newHouse(t, s)
	earlier := h.do("GET /a", h.credential("GET /a")).Header()
	h.set(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), earlier)
	})
	w := h.do("GET /b", h.credential("GET /b"))
	for name, values := range w.Header() {
		switch name {
		case "Vary", "Cache-Control", "Content-Type", "Content-Length", "Date":
			continue
		}
		if len(values) != 1 || values[0] == earlier.Get(name) {
			t.Errorf("%s came from the handler: %v", name, values)
		}
	}
	if err := s.Receipt(w.Header()); err != nil {
		t.Error(err)
	}
}

func status(t *testing.T, s Subject) {
	t.Helper()
	h := newHouse(t, s)
	cred := h.credential("GET /a")
	id := h.do("GET /a", cred).Header().Get("Paywall-Payment-Id")
	one, err := s.New(t).Fingerprint(cred)
	h.must(err)
	if two, err := s.New(t).Fingerprint(cred); err != nil || two != one || one == "" {
		t.Errorf("fingerprints %q and %q, %v", one, two, err)
	}
	for what, tt := range map[string]struct {
		header http.Header
		want   int
	}{"holder": {cred, 200}, "another payer": {h.credential("GET /a"), 404}, "nobody": {nil, 401}} {
		w := httptest.NewRecorder()
		h.gate.Payments().ServeHTTP(w, h.request("GET /payments/"+id, tt.header))
		if w.Code != tt.want {
			t.Errorf("%s: %d, want %d", what, w.Code, tt.want)
		}
	}
}

func nothing(t *testing.T, s Subject) {
	t.Helper()
	if _, err := s.New(t).Compile(realm, nil); !errors.Is(err, payment.ErrNotOffered) {
		t.Errorf("%v, want ErrNotOffered", err)
	}
}
