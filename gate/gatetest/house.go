package gatetest

import (
	"context"
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

const realm = "api.example.com"

// house is a gate with the protocol under test and everything else in memory.
type house struct {
	t       *testing.T
	s       Subject
	store   *store
	rail    *paymenttest.Method
	gate    *gate.Gate
	handler http.Handler
	// processor is the one behind the gate.
	processor *payment.Processor
	tokens    atomic.Int64

	mu     sync.Mutex // guards what follows
	now    time.Time
	seen   []http.Header
	answer http.HandlerFunc
}

// store counts what is asked of it.
type store struct {
	*paymenttest.Store

	calls atomic.Int64
}

func (s *store) Claim(ctx context.Context, p payment.Payment) error {
	s.calls.Add(1)
	return s.Store.Claim(ctx, p) //nolint:wrapcheck // a counter, nothing else
}

func (s *store) ByChallenge(ctx context.Context, id string) (payment.Payment, error) {
	s.calls.Add(1)
	return s.Store.ByChallenge(ctx, id) //nolint:wrapcheck // a counter, nothing else
}

// newHouse is one whose money is taken before its request is served.
func newHouse(t *testing.T, s Subject) *house {
	t.Helper()
	h := bareHouse(t, s, patience)
	h.must(h.open(gate.SettleBefore))
	return h
}

// heldHouse is one whose money is taken for an answer.
func heldHouse(t *testing.T, s Subject) *house {
	t.Helper()
	h := bareHouse(t, s, patience)
	h.must(h.open(gate.SettleHold))
	return h
}

// open makes the price table: everything costs a dollar.
func (h *house) open(settle string) error {
	amount, err := money.ParsePrice("1.00 USD")
	if err == nil {
		h.handler, err = h.gate.Router([]gate.Route{{
			ID: "all", Pattern: "/**", Pricer: fixed{amount}, Settle: settle, Handler: http.HandlerFunc(h.serve),
		}})
	}
	return err //nolint:wrapcheck // for one test
}

// patience is how long a payer waits, on a machine that may be slow.
const patience = 2 * time.Second

func bareHouse(t *testing.T, s Subject, patience time.Duration) *house {
	t.Helper()
	h := &house{
		t: t, s: s, store: &store{Store: paymenttest.NewStore()}, rail: &paymenttest.Method{Holds: true},
		now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
	}
	processor, err := payment.New(t.Context(), payment.Config{
		Store: h.store, Methods: []payment.Method{h.rail}, Key: make([]byte, 32), Sole: true,
		Now: h.clock, InFlight: 1000, Patience: patience, Backoff: time.Millisecond,
	})
	h.must(err)
	h.gate, err = gate.New(gate.Config{
		Realm: realm, Processor: processor, Methods: []payment.Method{h.rail}, Protocols: []payment.Protocol{s.New(t)},
		Now: h.clock, Limits: gate.Limits{Challenges: -1, Failures: -1, Settling: -1},
	})
	h.must(err)
	t.Cleanup(h.gate.Close)
	h.processor = processor
	return h
}

// fixed is one price.
type fixed struct{ amount money.Amount }

func (f fixed) Quote(context.Context, *http.Request, []byte) (payment.Quote, error) {
	return payment.Quote{Amount: f.amount}, nil
}

func (f fixed) Prices() []money.Amount { return []money.Amount{f.amount} }

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func (h *house) set(answer http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

// serve is the priced handler.
func (h *house) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.seen = append(h.seen, r.Header)
	answer := h.answer
	h.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	_, _ = io.WriteString(w, "goods")
}

func (h *house) served() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen)
}

func (h *house) request(ask string, header http.Header) *http.Request {
	parts := strings.SplitN(ask+"  ", " ", 3)
	body := strings.TrimSpace(parts[2])
	r := httptest.NewRequestWithContext(h.t.Context(), parts[0], parts[1], strings.NewReader(body))
	r.Host = realm
	if header != nil {
		r.Header = header.Clone()
	}
	return r
}

// do sends "METHOD /target body" with the header.
func (h *house) do(ask string, header http.Header) *httptest.ResponseRecorder {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, h.request(ask, header))
	return w
}

// credential asks unpaid and answers the challenge.
func (h *house) credential(ask string) http.Header {
	h.t.Helper()
	w := h.do(ask, nil)
	if w.Code != http.StatusPaymentRequired {
		h.t.Fatalf("%s, unpaid: %d %s", ask, w.Code, w.Body)
	}
	out := http.Header{}
	h.s.Pay(h.t, w.Result().Header, fmt.Appendf(nil, `{"token":"tok_%d"}`, h.tokens.Add(1)), out)
	return out
}

// refused checks a 402 with a fresh challenge, or with 400 allowed a refusal for its form.
func (h *house) refused(what string, w *httptest.ResponseRecorder) {
	h.t.Helper()
	if w.Code != http.StatusPaymentRequired && w.Code != http.StatusBadRequest || !h.s.Challenged(w.Header()) || h.s.Receipt(w.Header()) == nil {
		h.t.Errorf("%s: %d %v %s; want a refusal with a fresh challenge and no receipt", what, w.Code, w.Header(), w.Body)
	}
}

// moved checks how many charges were made, without a refund, and that the books are whole.
func (h *house) moved(charges int) {
	h.t.Helper()
	if c, r := h.rail.Total(); c != charges || r != 0 {
		h.t.Errorf("%d charges and %d refunds, want %d and none", c, r, charges)
	}
	report, err := payment.Audit(context.WithoutCancel(h.t.Context()), h.store, h.clock(), time.Minute)
	h.must(err)
	for _, b := range report.Breaks {
		h.t.Errorf("broken %s %s: %s", b.Invariant, b.Payment, b.What)
	}
}
