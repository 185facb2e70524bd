package gate_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"paywall/gate"
	"paywall/mpp"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// watched counts what is asked of a store: an unpaid or forged request asks nothing.
type watched struct {
	*paymenttest.Store

	writes, reads atomic.Int64
}

func watch() (*watched, option) {
	s := &watched{Store: paymenttest.NewStore()}
	return s, func(_ *gate.Config, pc *payment.Config) { pc.Store = s }
}

func (s *watched) Claim(ctx context.Context, p payment.Payment) error {
	s.writes.Add(1)
	return s.Store.Claim(ctx, p)
}

func (s *watched) Update(ctx context.Context, p payment.Payment, e []payment.Entry, v []payment.Event) error {
	s.writes.Add(1)
	return s.Store.Update(ctx, p, e, v)
}

func (s *watched) SetSetting(ctx context.Context, name, value string) error {
	s.writes.Add(1)
	return s.Store.SetSetting(ctx, name, value)
}

func (s *watched) Get(ctx context.Context, id string) (payment.Payment, error) {
	s.reads.Add(1)
	return s.Store.Get(ctx, id)
}

func (s *watched) ByChallenge(ctx context.Context, id string) (payment.Payment, error) {
	s.reads.Add(1)
	return s.Store.ByChallenge(ctx, id)
}

func (s *watched) ByInstrument(ctx context.Context, f string) (payment.Payment, error) {
	s.reads.Add(1)
	return s.Store.ByInstrument(ctx, f)
}

// refused checks an answer of the catalogue's first kind: 402 with a fresh
// challenge, and nothing written, charged or served.
func (h *house) refused(t *testing.T, w *httptest.ResponseRecorder, problem string) {
	t.Helper()
	if w.Code != http.StatusPaymentRequired || len(w.Header().Values("Www-Authenticate")) == 0 {
		t.Errorf("%d, want 402 with a fresh challenge: %v %s", w.Code, w.Header(), w.Body)
	}
	if problem != "" && !strings.Contains(w.Body.String(), "problems/"+problem) {
		t.Errorf("problem %s, want %s", w.Body, problem)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", w.Header().Get("Cache-Control"))
	}
	h.untouched(t)
}

// untouched checks that nobody was charged and nothing served.
func (h *house) untouched(t *testing.T) {
	t.Helper()
	if n := h.api.count(); n != 0 {
		t.Errorf("the handler was reached %d times", n)
	}
	if calls := h.rail.Calls(); len(calls) != 0 {
		t.Errorf("the rail was called: %v", calls)
	}
}

// present sends a request with the credential.
func present(t *testing.T, handler http.Handler, method, target, body, field string) *httptest.ResponseRecorder {
	t.Helper()
	r := request(t, method, target, body)
	r.Header.Set("Authorization", field)
	return do(handler, r)
}

// first is the first challenge of an answer.
func (h *house) first(w *httptest.ResponseRecorder) mpp.Challenge {
	h.t.Helper()
	cs, err := mpp.ParseChallenges(w.Result().Header)
	h.must(err)
	return cs[0]
}
