package gatetest

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"paywall/gate"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

func heldServes(t *testing.T, s Subject) {
	t.Helper()
	for _, ask := range []string{"GET /a", "POST /a?x=1 body"} {
		h := heldHouse(t, s)
		h.set(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "goods")
			if n, _ := h.rail.Total(); n != 0 {
				t.Errorf("%s: %d charges before there is an answer", ask, n)
			}
		})
		cred := h.credential(ask)
		for range 2 { // and the same once more
			w := h.do(ask, cred)
			if w.Code != http.StatusOK || w.Body.String() != "goods" || s.Challenged(w.Header()) {
				t.Fatalf("%s: %d %v %s", ask, w.Code, w.Header(), w.Body)
			}
			if err := s.Receipt(w.Header()); err != nil {
				t.Errorf("%s: %v", ask, err)
			}
		}
		if h.served() != 1 {
			t.Errorf("%s: served %d times", ask, h.served())
		}
		h.moved(1)
	}
}

func heldScoped(t *testing.T, s Subject) {
	t.Helper()
	oneRequest(heldHouse(t, s))
}

func heldCopies(t *testing.T, s Subject) {
	t.Helper()
	atOnce(heldHouse(t, s), 500)
}

func heldRefused(t *testing.T, s Subject) {
	t.Helper()
	h := heldHouse(t, s)
	h.rail.Script("hold", declined())
	h.refused("not promised", h.do("GET /a", h.credential("GET /a")))
	if h.served() != 0 {
		t.Error("it was served")
	}
	h.moved(0)
}

func heldDeclined(t *testing.T, s Subject) {
	t.Helper()
	for _, ask := range []string{"GET /a", "POST /a x"} {
		h := heldHouse(t, s)
		h.rail.Script("capture", declined())
		w := h.do(ask, h.credential(ask))
		h.refused(ask, w)
		if strings.Contains(w.Body.String(), "goods") {
			t.Errorf("%s: goods that nobody paid for: %s", ask, w.Body)
		}
		h.moved(0)
	}
}

func declined() paymenttest.Reply {
	return paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "insufficient_funds"}}
}

func heldUnknown(t *testing.T, s Subject) {
	t.Helper()
	for ask, runs := range map[string]int{"GET /a": 2, "POST /a x": 1} { // what may run again does
		h := bareHouse(t, s, 100*time.Millisecond)
		h.must(h.open(gate.SettleHold))
		h.rail.Script("capture", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeNotNow, RetryAfter: time.Hour, Err: errors.New("lost")}})
		cred := h.credential(ask)
		w := h.do(ask, cred)
		if w.Code != http.StatusServiceUnavailable || s.Challenged(w.Header()) || w.Header().Get("Retry-After") == "" ||
			s.Receipt(w.Header()) == nil || strings.Contains(w.Body.String(), "lost") || strings.Contains(w.Body.String(), "goods") {
			t.Fatalf("%s: %d %v %s", ask, w.Code, w.Header(), w.Body)
		}
		w = h.do(ask, cred)
		for tries := 0; w.Code == http.StatusServiceUnavailable && tries < 50; tries++ {
			w = h.do(ask, cred) // a slow machine may run out of the payer's patience
		}
		if w.Code != http.StatusOK || w.Body.String() != "goods" {
			t.Errorf("%s, later: %d %s", ask, w.Code, w.Body)
		}
		if err := s.Receipt(w.Header()); err != nil {
			t.Errorf("%s, later: %v", ask, err)
		}
		if h.served() != runs {
			t.Errorf("%s: served %d times, want %d", ask, h.served(), runs)
		}
		h.moved(1)
	}
}

func heldFails(t *testing.T, s Subject) {
	t.Helper()
	for status, want := range map[int]int{http.StatusInternalServerError: http.StatusBadGateway, http.StatusNotFound: http.StatusNotFound} {
		for _, ask := range []string{"GET /a", "POST /a x"} {
			h := heldHouse(t, s)
			h.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			cred := h.credential(ask)
			w := h.do(ask, cred)
			if w.Code != want || s.Challenged(w.Header()) || s.Receipt(w.Header()) == nil {
				t.Fatalf("%s, %d: %d %v %s", ask, status, w.Code, w.Header(), w.Body)
			}
			h.moved(0)
			h.set(nil)
			if w := h.do(ask, cred); w.Code != http.StatusOK || s.Receipt(w.Header()) != nil {
				t.Errorf("%s, %d, again: %d %v %s", ask, status, w.Code, w.Header(), w.Body)
			}
			h.moved(1)
		}
	}
}

func heldStreams(t *testing.T, s Subject) {
	t.Helper()
	h := heldHouse(t, s)
	w := httptest.NewRecorder()
	h.set(func(hw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(hw, "first")
		if n, _ := h.rail.Total(); n != 0 || w.Body.Len() != 0 {
			t.Errorf("%d charges and %q before it is flushed", n, w.Body)
		}
		if err := http.NewResponseController(hw).Flush(); err != nil {
			t.Error(err)
		}
		if n, _ := h.rail.Total(); n != 1 || w.Body.String() != "first" {
			t.Errorf("%d charges and %q when it was flushed", n, w.Body)
		}
		if err := s.Receipt(w.Header()); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(hw, " last")
	})
	h.handler.ServeHTTP(w, h.request("GET /a", h.credential("GET /a")))
	if w.Code != http.StatusOK || w.Body.String() != "first last" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.moved(1)
}

func heldMetered(t *testing.T, s Subject) {
	t.Helper()
	h := bareHouse(t, s, patience)
	if err := h.open(gate.SettleMetered); errors.Is(err, payment.ErrNotOffered) {
		t.Skip("the protocol has no offers that are ceilings")
	} else if err != nil {
		t.Fatal(err)
	}
	for used, want := range map[string]int64{"0.40 USD": 40, "0 USD": 0, "7.00 USD": 100} {
		h := bareHouse(t, s, patience)
		h.must(h.open(gate.SettleMetered))
		h.set(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Paywall-Used", used)
			_, _ = io.WriteString(w, "goods")
		})
		w := h.do("GET /a", h.credential("GET /a"))
		if w.Code != http.StatusOK || w.Body.String() != "goods" || w.Header().Get("Paywall-Used") != "" {
			t.Errorf("%s: %d %v %s", used, w.Code, w.Header(), w.Body)
		}
		if err := s.Receipt(w.Header()); want > 0 && err != nil {
			t.Errorf("%s: %v", used, err)
		}
		if want == 0 {
			h.moved(0)
			continue
		}
		h.moved(1)
		pay, err := h.processor.Get(t.Context(), w.Header().Get("Paywall-Payment-Id"))
		h.must(err)
		if pay.Amount.Units() != want {
			t.Errorf("%s: %s was taken", used, pay.Amount)
		}
	}
}
