package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"paywall/payment"
	"paywall/sandbox"
)

// astray has the processor answer every call in a way that cannot be understood,
// for as long as a buyer pays. Whether or not the money moved, the buyer is not
// asked to pay again, and has the goods for one charge once the processor speaks
// sense: by presenting the same credential, which is all that it can do.
func (h *house) astray(t *testing.T, path string, f sandbox.Fault) {
	t.Helper()
	charges, served := h.play.Audit().Totals.Charges, len(h.api.requests())
	credential := h.quote(http.MethodGet, path, "")
	f.Path = "/v1/*"
	fault, err := h.play.Order(f)
	h.must(err)
	var id string
	for range 2 {
		a := h.do(http.MethodGet, path, "", credential)
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.header.Get("Www-Authenticate") != "" {
			t.Errorf("in doubt: %d %s %v", a.status, a.body, a.header)
		}
		if strings.Contains(a.body, "sk_test") || strings.Contains(a.body, "127.0.0.1") {
			t.Errorf("the answer tells too much: %s", a.body)
		}
		if id = a.header.Get("Paywall-Payment-Id"); id == "" || h.payment(id).State != payment.StatePending {
			t.Fatalf("in doubt, payment %q: %d %s", id, a.status, a.body)
		}
	}
	if n := h.play.Audit().Totals.Charges - charges; n > 1 {
		t.Errorf("%d charges for one payment in doubt", n)
	}
	if n := len(h.api.requests()) - served; n != 0 {
		t.Errorf("%d requests reached the API before the money was there", n)
	}
	h.do(http.MethodDelete, h.playAt+"/_sandbox/faults/"+fault, "")
	h.until("the goods", func() bool {
		a := h.do(http.MethodGet, path, "", credential)
		if a.status == http.StatusOK && a.header.Get("Paywall-Payment-Id") != id {
			t.Errorf("served for payment %q, want %q", a.header.Get("Paywall-Payment-Id"), id)
		}
		return a.status == http.StatusOK
	})
	h.until("delivered", func() bool { return h.active.Load() == 0 && h.payment(id).Delivery == payment.DeliveryDelivered })
	if n := h.play.Audit().Totals.Charges - charges; n != 1 {
		t.Errorf("%d charges, want one", n)
	}
	if n := len(h.api.requests()) - served; n != 1 {
		t.Errorf("%d requests reached the API, want one", n)
	}
}

// Answers that are cut short, no JSON, without an end or a byte a second leave the
// payment in doubt, not the buyer without goods.
func TestB055_AnswersOfNoUse(t *testing.T) {
	h := build(t, plan{deaf: true, more: "settlement: {patience: 1s, attempt: 1s}"})
	for i, f := range []sandbox.Fault{
		{Kind: sandbox.Truncate},
		{Kind: sandbox.Cut},
		{Kind: sandbox.HTML, Status: http.StatusOK, Moved: true},
		{Kind: sandbox.Garbage, Size: 10 << 20, Moved: true},
		{Kind: sandbox.SlowBody, DelayMS: 1000},
		{Kind: sandbox.Answer, Body: []byte(`{}`), Moved: true},
		{Kind: sandbox.Answer, Body: []byte(`[[[[]]]]`)},
	} {
		t.Run(fmt.Sprintf("%s moved %t", f.Kind, f.Moved), func(t *testing.T) {
			h.astray(t, fmt.Sprintf("/v1/reports/%d", i), f)
		})
	}
	h.whole()
}

// The secret key goes to nobody that the processor, or someone on the way, points to.
func TestB056_RedirectedCharges(t *testing.T) {
	h := build(t, plan{deaf: true, more: "settlement: {patience: 1s, attempt: 1s}"})
	var followed atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		followed.Add(1)
		t.Errorf("%s %s was sent there, with a key: %t", r.Method, r.URL, r.Header.Get("Authorization") != "")
	}))
	t.Cleanup(other.Close)
	for i, status := range []int{302, 307} {
		for _, moved := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d moved %t", status, moved), func(t *testing.T) {
				h.astray(t, fmt.Sprintf("/v1/reports/%d-%t", i, moved), sandbox.Fault{
					Kind: sandbox.Redirect, Status: status, Location: other.URL + "/v1/payment_intents", Moved: moved,
				})
			})
		}
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
	h.whole()
}

// Asking what things cost, however often and by however many, asks the processor
// nothing and writes nothing; one client is slowed down, the others are not.
func TestD090_ChallengesCostNoQuota(t *testing.T) {
	h := build(t, plan{deaf: true, more: "limits: {challenges_per_second: 1, burst: 50}"})
	before := h.play.Audit().TotalCalls
	counts := map[int]int{}
	for i := range 500 {
		a := h.do(http.MethodGet, fmt.Sprintf("/v1/archive/%d", i), "")
		counts[a.status]++
		if a.status == http.StatusTooManyRequests && (a.header.Get("Retry-After") == "" || a.header.Get("Www-Authenticate") != "") {
			t.Fatalf("429 with %v", a.header)
		}
	}
	if counts[http.StatusPaymentRequired] < 50 || counts[http.StatusTooManyRequests] < 300 || len(counts) != 2 {
		t.Errorf("answers by status %v", counts)
	}
	if n := h.play.Audit().TotalCalls - before; n != 0 {
		t.Errorf("the processor was asked %d times", n)
	}
	if r := h.whole(); r.Payments != 0 {
		t.Errorf("%d payments are in the books", r.Payments)
	}
	if n := len(h.api.requests()); n != 0 {
		t.Errorf("%d requests reached the API", n)
	}
}
