package app

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paywall/payment"
	"paywall/sandbox"
)

// reconcile asks the admin listener's handler for a comparison of the last hour.
func (h *house) reconcile() reconciliation {
	h.t.Helper()
	w := ask(h.t, described(h.t, h.server.operator().handler()), h.admin, "POST /admin/reconcile", `{"since":"1h"}`, adminHeader+": 1")
	if w.Code != http.StatusOK {
		h.t.Fatalf("%d %s", w.Code, w.Body)
	}
	var rec reconciliation
	h.must(json.Unmarshal(w.Body.Bytes(), &rec))
	return rec
}

// kinds are the differences as "kind payment reference state amount recorded".
func kinds(rec reconciliation) []string {
	list := []string{}
	for _, d := range rec.Drift {
		list = append(list, strings.TrimSpace(strings.Join([]string{d.Kind, d.Payment, d.Reference, string(d.State), d.Amount, d.Recorded}, "|")))
		if d.Do == "" {
			list = append(list, "no advice for "+d.Kind)
		}
	}
	slices.Sort(list)
	return list
}

// TestReconcile: what agrees is not reported, and every way to differ is, with
// both sides' view. No money moves and nothing that was decided changes.
func TestReconcile(t *testing.T) {
	h := build(t, plan{deaf: true})
	served := h.payment(h.buy(http.MethodGet, "/v1/reports/7", "").id)
	returned := h.buy(http.MethodPost, "/v1/complete", "{}")
	if a := h.operate("/admin/payments/"+returned.id+"/refund", ""); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	failed := h.declined("/v1/reports/8")
	rec := h.reconcile()
	if len(rec.Drift) > 0 || len(rec.Resolved) > 0 || rec.Charges != 3 || rec.Payments != 2 || rec.Elsewhere != 0 {
		t.Errorf("all is well, but: %+v", rec)
	}
	if code, out := h.command("reconcile"); code != exitOK || !strings.Contains(out, "they agree") {
		t.Errorf("%d %s", code, out)
	}

	orphan := h.foreign("pay_of_another_store", 500)
	second := h.foreign(served.ID, 100)
	late := h.foreign(failed, 100)
	before := h.play.Audit().Totals
	want := []string{
		"charged_closed|" + failed + "|" + late + "|failed|1.00 USD|1.00 USD",
		"orphan_charge|pay_of_another_store|" + orphan + "||5.00 USD|",
		"second_charge|" + served.ID + "|" + second + "|settled|1.00 USD|1.00 USD",
	}
	if diff := cmp.Diff(want, kinds(h.reconcile())); diff != "" {
		t.Error(diff)
	}
	code, out := h.command("reconcile", "--since", "1h")
	if code != exitFailed || !strings.Contains(out, orphan) || !strings.Contains(out, "orphan_charge: look for it") || !strings.Contains(out, "3 differences") {
		t.Errorf("%d %s", code, out)
	}
	code, out = h.command("reconcile", "--json")
	var printed reconciliation
	if at := strings.LastIndexByte(out, '}'); code != exitFailed || json.Unmarshal([]byte(out[:at+1]), &printed) != nil || len(printed.Drift) != 3 {
		t.Errorf("%d %s", code, out)
	}
	if diff := cmp.Diff(before, h.play.Audit().Totals); diff != "" {
		t.Errorf("money moved: %s", diff)
	}
	if q := h.payment(served.ID); q.Revision != served.Revision {
		t.Errorf("changed to %s", q.State)
	}

	// The processor has forgotten everything: what is recorded as settled is missing.
	h.play.Reset()
	got := kinds(h.reconcile())
	want = []string{
		"charge_missing|" + served.ID + "|" + served.Reference + "|settled||1.00 USD",
		"charge_missing|" + returned.id + "|" + h.payment(returned.id).Reference + "|refunded||0.75 USD",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestReconcileRefundThatFailed: a bank may return a refund days later; the
// payer is without goods and money then, which somebody has to know.
func TestReconcileRefundThatFailed(t *testing.T) {
	h := build(t, plan{deaf: true})
	spt, err := h.play.Stripe().Grant("pm_card_refundFail", "usd", 1000, h.play.Now().Add(time.Hour), testProfile)
	h.must(err)
	a := h.do(http.MethodGet, "/v1/reports/7", "")
	a = h.do(http.MethodGet, "/v1/reports/7", "", h.credentialWith(a.header, spt))
	id := a.header.Get("Paywall-Payment-Id")
	h.until("delivered", func() bool { return h.active.Load() == 0 && h.payment(id).Delivery == payment.DeliveryDelivered })
	if a := h.operate("/admin/payments/"+id+"/refund", ""); a.status != http.StatusOK || h.payment(id).State != payment.StateRefunded {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if got := kinds(h.reconcile()); len(got) > 0 {
		t.Errorf("while the bank has it: %v", got)
	}
	h.must(h.play.Advance(time.Minute))
	want := []string{"not_refunded|" + id + "|" + h.chargeOf(id) + "|refunded||1.00 USD"}
	if diff := cmp.Diff(want, kinds(h.reconcile())); diff != "" {
		t.Error(diff)
	}
	if p := h.payment(id); p.State != payment.StateRefunded {
		t.Errorf("%s", p.State)
	}
}

// TestReconcileResolves: a payment in doubt that the processor has charged is
// settled, once; one that it has not is left to recovery.
func TestReconcileResolves(t *testing.T) {
	h := build(t, plan{deaf: true, more: "settlement: {patience: 1s, attempt: 1s}"})
	p := h.doubtful("/v1/reports/7")
	stopped := h.halt() // recovery would find out by itself
	if q := h.payment(p.ID); q.State != payment.StatePending {
		t.Fatalf("%s", q.State)
	}
	rec := h.reconcile()
	if diff := cmp.Diff([]string{p.ID}, rec.Resolved); diff != "" || len(rec.Drift) > 0 {
		t.Errorf("%s %+v", diff, rec.Drift)
	}
	if q := h.payment(p.ID); q.State != payment.StateSettled || q.Delivery != payment.DeliveryOpen || q.Reference != h.chargeOf(p.ID) {
		t.Errorf("%s %s %s", q.State, q.Delivery, q.Reference)
	}
	if rec := h.reconcile(); len(rec.Resolved) > 0 || len(rec.Drift) > 0 {
		t.Errorf("again: %+v", rec)
	}
	if n := h.play.Audit().Totals.Charges; n != 1 {
		t.Errorf("%d charges", n)
	}
	h.whole()
	stopped()
}

// halt stops the server and opens it again without running it: nothing happens
// by itself. The function that is returned closes it.
func (h *house) halt() func() {
	h.t.Helper()
	h.must(h.stop())
	h.open()
	s := h.server
	return func() { h.must(s.store.Close()) }
}

// TestReconcileMismatch: a charge that claims to be of a payment in doubt and is
// of another amount decides nothing.
func TestReconcileMismatch(t *testing.T) {
	h := build(t, plan{deaf: true, more: "settlement: {patience: 1s, attempt: 1s}"})
	credential := h.quote(http.MethodGet, "/v1/reports/7", "")
	fault, err := h.play.Order(sandbox.Fault{Kind: sandbox.Status, Path: "/v1/*", Status: http.StatusServiceUnavailable})
	h.must(err)
	a := h.do(http.MethodGet, "/v1/reports/7", "", credential)
	p := h.payment(a.header.Get("Paywall-Payment-Id"))
	stopped := h.halt()
	h.do(http.MethodDelete, h.playAt+"/_sandbox/faults/"+fault, "")
	reference := h.foreign(p.ID, 99)
	rec := h.reconcile()
	want := []string{"not_resolved|" + p.ID + "|" + reference + "|pending|0.99 USD|1.00 USD"}
	if diff := cmp.Diff(want, kinds(rec)); diff != "" || len(rec.Resolved) > 0 {
		t.Errorf("%s, resolved %v", diff, rec.Resolved)
	}
	if q := h.payment(p.ID); q.State != payment.StatePending {
		t.Errorf("%s", q.State)
	}
	stopped()
}

// TestReconcileUnfinished: a processor or store that does not answer is not the
// same as one that agrees.
func TestReconcileUnfinished(t *testing.T) {
	h := build(t, plan{deaf: true})
	h.buy(http.MethodGet, "/v1/reports/7", "")
	fault, err := h.play.Order(sandbox.Fault{Kind: sandbox.Status, Path: "/v1/*", Status: http.StatusBadGateway})
	h.must(err)
	code, out := h.command("reconcile")
	if code != exitFailed || !strings.Contains(out, "not complete") {
		t.Errorf("%d %s", code, out)
	}
	h.do(http.MethodDelete, h.playAt+"/_sandbox/faults/"+fault, "")

	// One at a time: each reads the whole list.
	o := h.server.operator()
	o.reconciler.busy.Lock()
	if w := ask(t, described(t, o.handler()), h.admin, "POST /admin/reconcile", "", adminHeader+": 1"); w.Code != http.StatusConflict {
		t.Errorf("twice: %d", w.Code)
	}
	o.reconciler.busy.Unlock()
	o.reconciler = nil
	if w := ask(t, described(t, o.handler()), h.admin, "POST /admin/reconcile", "", adminHeader+": 1"); w.Code != http.StatusNotFound {
		t.Errorf("without a processor: %d", w.Code)
	}
	for _, since := range []string{"1s", "-1h", "9000h"} {
		if code, out := h.command("reconcile", "--since="+since); code != exitUsage {
			t.Errorf("--since %s: %d %s", since, code, out)
		}
	}
	h.must(h.stop())
	if code, out := h.command("reconcile"); code != exitFailed || !strings.Contains(out, "no server answers") {
		t.Errorf("no server: %d %s", code, out)
	}
}

// TestReconcileWindow: what is older than asked for is not looked at.
func TestReconcileWindow(t *testing.T) {
	h := build(t, plan{deaf: true})
	h.buy(http.MethodGet, "/v1/reports/7", "")
	h.play.Reset()
	rec, err := h.server.operator().reconciler.run(t.Context(), time.Now().Add(time.Minute))
	if err != nil || rec.Payments != 0 || len(rec.Drift) != 0 {
		t.Errorf("%v %+v", err, rec)
	}
}
