package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"paywall/payment"
	"paywall/sandbox"
)

type readiness struct {
	Status string
	Checks map[string]string
}

func (h *house) readyz() (int, readiness) {
	h.t.Helper()
	var r readiness
	w := ask(h.t, described(h.t, h.server.public()), h.listen, "GET /readyz", "")
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		h.t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return w.Code, r
}

// TestReadyz: ready is who has recovered, can use the store and does not stop;
// a stand-in for the processor is said.
func TestReadyz(t *testing.T) {
	h := build(t, plan{deaf: true, asleep: true})
	code, r := h.readyz()
	if code != http.StatusServiceUnavailable || r.Status != "not ready" || r.Checks["recovery"] != "under way" || r.Checks["store"] != "ok" {
		t.Errorf("before recovery: %d %+v", code, r)
	}
	h.run()
	code, r = h.readyz()
	if code != http.StatusOK || r.Status != "ready" || r.Checks["recovery"] != "done" || r.Checks["settlement"] != "running" ||
		r.Checks["processor"] != "not the real one: no money moves" {
		t.Errorf("while serving: %d %+v", code, r)
	}
	h.must(h.stop())
	code, r = h.readyz()
	if code != http.StatusServiceUnavailable || r.Checks["server"] != "stopping" || r.Checks["store"] != "cannot be read" {
		t.Errorf("stopped: %d %+v", code, r)
	}
}

// TestRecoveryBeforeReady: what was in doubt when the last process ended is
// known before the next one serves, and its payer gets what was paid for.
func TestRecoveryBeforeReady(t *testing.T) {
	h := build(t, plan{deaf: true, more: "settlement: {patience: 1s, attempt: 1s}"})
	credential := h.quote(http.MethodGet, "/v1/reports/7", "")
	_, err := h.play.Order(sandbox.Fault{Kind: sandbox.DropAfter, Path: "/v1/payment_intents", Method: http.MethodPost, Count: 1})
	h.must(err)
	deaf, err := h.play.Order(sandbox.Fault{Kind: sandbox.Status, Path: "/v1/*", Status: http.StatusServiceUnavailable})
	h.must(err)
	a := h.do(http.MethodGet, "/v1/reports/7", "", credential)
	id := a.header.Get("Paywall-Payment-Id")
	if a.status != http.StatusServiceUnavailable || a.header.Get("Www-Authenticate") != "" {
		t.Fatalf("in doubt: %d %v", a.status, a.header)
	}

	// A processor that is away does not keep a start waiting for ever, and decides nothing.
	h.restart()
	if p := h.payment(id); p.State != payment.StatePending {
		t.Fatalf("%s, though the processor said nothing", p.State)
	}
	h.must(h.stop())
	h.do(http.MethodDelete, h.playAt+"/_sandbox/faults/"+deaf, "")
	h.open()
	settledAtReady := false
	s := h.server
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.run(ctx, func() {
			p, err := s.store.Get(ctx, id)
			settledAtReady = err == nil && p.State == payment.StateSettled
			close(ready)
		})
	}()
	h.stop = func() error {
		h.stop = func() error { return nil }
		cancel()
		h.client.CloseIdleConnections()
		return <-ended
	}
	<-ready
	if !settledAtReady {
		t.Error("it served before it knew")
	}
	if a := h.do(http.MethodGet, "/v1/reports/7", "", credential); a.status != http.StatusOK {
		t.Errorf("its payer: %d %s", a.status, a.body)
	}
	if n := h.play.Audit().Totals.Charges; n != 1 {
		t.Errorf("%d charges", n)
	}
	h.until("delivered", func() bool { return h.payment(id).Delivery == payment.DeliveryDelivered })
	h.whole()
}

// TestRevocationsAfterRestart: what a refund has closed is closed from the first
// request of the next process on.
func TestRevocationsAfterRestart(t *testing.T) {
	h := build(t, plan{deaf: true})
	s := h.buy(http.MethodGet, "/v1/archive/2026", "")
	kept := h.buy(http.MethodGet, "/v1/archive/2027", "")
	if a := h.operate("/admin/payments/"+s.id+"/refund", ""); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	h.restart()
	if a := h.do(http.MethodGet, "/v1/archive/2026", "", "Authorization: Bearer "+s.receipt); a.status != http.StatusPaymentRequired {
		t.Errorf("the refunded pass: %d", a.status)
	}
	if a := h.do(http.MethodGet, "/v1/archive/2027", "", "Authorization: Bearer "+kept.receipt); a.status != http.StatusOK {
		t.Errorf("the other one: %d %s", a.status, a.body)
	}
}

// TestStopWithAnOwedAnswer: the API has done its work and the payer is gone. Its
// answer waits for the payer in memory; a stop would lose it, and refunds.
func TestStopWithAnOwedAnswer(t *testing.T) {
	h := build(t, plan{deaf: true, asleep: true})
	reached, release := make(chan struct{}), make(chan struct{})
	paid, over := make(chan context.Context, 1), make(chan struct{})
	spans := h.server.telemetry.spans
	h.server.telemetry.spans = func(next http.Handler) http.Handler {
		return spans(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				next.ServeHTTP(w, r)
				return
			}
			paid <- r.Context()
			defer close(over)
			next.ServeHTTP(w, r)
		}))
	}
	h.run()
	h.api.set(func(w http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-release
		fmt.Fprint(w, "done")
	})
	credential := h.quote(http.MethodPost, "/v1/complete", "{}")
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	r := h.request(http.MethodPost, "/v1/complete", "{}", credential).WithContext(ctx)
	go func() {
		_, err := h.try(r)
		gone <- err
	}()
	<-reached
	leave()
	if err := <-gone; err == nil {
		t.Fatal("the payer did not leave")
	}
	<-(<-paid).Done() // the server knows; now the API answers
	close(release)
	<-over
	list, err := h.server.store.List(t.Context(), payment.Filter{}, "", 10)
	h.must(err)
	if len(list) != 1 || list[0].State != payment.StateSettled || list[0].Delivery != payment.DeliveryDispatched {
		t.Fatalf("before the stop: %+v", list)
	}
	id := list[0].ID
	h.must(h.stop())
	h.open()
	if p := h.payment(id); p.State != payment.StateRefunded {
		t.Errorf("after the stop: %s, delivery %s, %s", p.State, p.Delivery, p.Reason)
	}
	h.whole()
	if c := h.play.Audit().Totals; c.Charges != 1 || c.Refunds != 1 || len(h.api.requests()) != 1 {
		t.Errorf("%d charges, %d refunds, %d requests to the API", c.Charges, c.Refunds, len(h.api.requests()))
	}
	h.stop = h.server.store.Close
}
