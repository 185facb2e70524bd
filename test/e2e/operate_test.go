package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestOperations goes through a working day: payments are looked at and returned,
// settlement is paused and resumed, the books are verified.
func TestOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	for _, args := range [][]string{{"refund", "pay_0"}, {"settle", "pause"}, {"settle", "resume"}} {
		w.paywall(args...).want(t, 1, "no server answers on the admin address", "paywall serve").oneLine(t)
	}
	w.serve()
	w.paywall("payments", "list").want(t, 0, "no payments")
	w.paywall("payments", "show", "pay_0").want(t, 1, "no such payment").oneLine(t)
	w.paywall("refund", "pay_0").want(t, 1, "no such payment").oneLine(t)

	a := newAgent(t, w, "")
	first := a.buy(t, http.MethodGet, w.public+"/v1/reports/first", "")
	second := a.buy(t, http.MethodPost, w.public+"/v1/complete", `{"prompt":"?"}`)
	w.handedOver()
	id := first.payment()
	list := w.paywall("payments", "list").want(t, 0, id, second.payment(), "settled", "delivered", "1.00 USD", "0.75 USD").stdout
	if n := strings.Count(strings.TrimSpace(list), "\n"); n != 2 {
		t.Errorf("the list has %d lines below its head, want 2:\n%s", n, list)
	}
	if strings.Index(list, second.payment()) > strings.Index(list, id) {
		t.Errorf("the newest is not the first:\n%s", list)
	}
	w.paywall("payments", "list", "--limit", "1").want(t, 0, "--after "+second.payment())
	if r := w.paywall("payments", "list", "--after", second.payment()).want(t, 0, id); strings.Contains(r.stdout, second.payment()) {
		t.Errorf("--after lists what it goes on after:\n%s", r.stdout)
	}
	if r := w.paywall("payments", "list", "--route", "post-v1-complete").want(t, 0, second.payment()); strings.Contains(r.stdout, id) {
		t.Errorf("--route lists another route:\n%s", r.stdout)
	}
	w.paywall("payments", "list", "--state", "refunded").want(t, 0, "no payments")
	w.paywall("payments", "show", id).want(t, 0, id, "settled, delivery delivered", "GET /v1/reports/first", "pi_")

	if before := w.books(); before.Balances["revenue USD/2"] != -175 {
		t.Errorf("revenue is %d, want -175 (credit)", before.Balances["revenue USD/2"])
	}
	w.paywall("refund", id, "--reason", "wrong report").want(t, 0, "refunded", "wrong report")
	w.paywall("refund", id).want(t, 0, "refunded") // asked for again, it is not made again
	w.paywall("payments", "list", "--state", "refunded").want(t, 0, id)
	if charges, refunds := charged(w.audit(), id); charges != 1 || refunds != 1 {
		t.Errorf("%d charges and %d refunds, want one of each", charges, refunds)
	}
	if after := w.books(); after.Balances["revenue USD/2"] != -75 || after.Balances["receivable:stripe USD/2"] != 75 {
		t.Errorf("after the refund the balances are %v", after.Balances)
	}
	w.paywall("ledger", "verify").want(t, 0, "payments: 2", "revenue USD/2", "-75", "every invariant holds")

	w.pause(t, a)
	w.serving.stop(t)
	// What is stored is read without a server, too.
	w.paywall("payments", "show", id).want(t, 0, "refunded")
	w.paywall("ledger", "verify").want(t, 0, "every invariant holds")
}

// pause stops settlement, which outlives a restart, and lets it go on.
func (w *world) pause(t *testing.T, a *agent) {
	t.Helper()
	early, err := a.prepare(t.Context(), http.MethodGet, w.public+"/v1/reports/early", "")
	if err != nil {
		t.Fatal(err)
	}
	w.paywall("settle", "pause", "processor incident").want(t, 0, "settlement is paused: processor incident")
	closed := func() {
		t.Helper()
		for what, header := range map[string]http.Header{"an unpaid request": nil, "a paid one": early.credential} {
			got, err := a.do(t.Context(), http.MethodGet, early.url, "", header)
			if err != nil {
				t.Fatal(err)
			}
			if got.status != http.StatusServiceUnavailable || got.header.Get("Www-Authenticate") != "" || got.header.Get("Retry-After") == "" {
				t.Errorf("while paused, %s gets %d %v, want 503 without an offer", what, got.status, got.header)
			}
		}
		if got, err := a.do(t.Context(), http.MethodGet, w.public+"/health", "", nil); err != nil || got.status != http.StatusOK {
			t.Errorf("while paused, a free route answers %d %v", got.status, err)
		}
	}
	closed()
	w.serving.stop(t)
	log := w.serve().out
	await(t, "the start says that settlement is paused", 5*time.Second, func() bool {
		return strings.Contains(log.String(), "PAUSED (processor incident)")
	})
	closed()
	charges := w.audit().Totals.Charges
	w.paywall("settle", "resume").want(t, 0, "settlement is running")
	if got, err := a.insist(t.Context(), early); err != nil || got.status != http.StatusOK {
		t.Errorf("after the pause: %d %v, want 200", got.status, err)
	}
	if after := w.audit().Totals.Charges; after != charges+1 {
		t.Errorf("%d charges, want one more than %d", after, charges)
	}
	w.handedOver()
}
