package app

import (
	"net/http"
	"strings"
	"testing"
)

// TestCreditContract: credit is as described, on both listeners, and a refund of its
// pack waits for nobody to have used it.
func TestCreditContract(t *testing.T) {
	h := build(t, plan{routes: usualRoutes + "\n  - {id: quotes, match: \"GET /v1/quotes/{id}\", upstream: api, price: 0.001 USD, credit: {pack: 1.00 USD, for: 24h}}"})
	public, admin := described(t, h.server.public()), described(t, h.server.operator().handler())
	used, fresh := h.buy(http.MethodGet, "/v1/quotes/1", ""), h.buy(http.MethodGet, "/v1/quotes/2", "")
	h.until("both are entered", func() bool { return h.active.Load() == 0 })
	bearer := "Authorization: Bearer " + used.receipt
	for _, tt := range []struct {
		line, body, header string
		status             int
		want               string
	}{
		{line: "GET /v1/quotes/3", header: bearer, status: 200},
		{line: "GET /v1/reports/3", header: bearer, status: 402},
		{line: "GET /v1/quotes/3", status: 402, want: `"pack":"1.00 USD"`},
		{line: "GET /payments/credit", header: bearer, status: 200, want: `"value":"0.99800"`},
		{line: "GET /openapi.json", status: 200, want: "Credit of 1.00 USD, for requests at 0.001 USD"},
		{line: "GET /payments/credit", status: 401},
		{line: "POST /payments/credit", header: bearer, status: 405},
		{line: "GET /payments/credit", header: "Authorization: Bearer a.b.c", status: 401},
	} {
		t.Run(tt.line, func(t *testing.T) {
			var headers []string
			if tt.header != "" {
				headers = append(headers, tt.header)
			}
			w := ask(t, public, h.listen, tt.line, tt.body, headers...)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%d, want %d with %q: %s", w.Code, tt.status, tt.want, w.Body)
			}
		})
	}
	for _, tt := range []struct {
		line   string
		status int
		want   string
	}{
		{"GET /admin/credit", 200, used.id},
		{"GET /admin/credit?limit=1", 200, fresh.id},
		{"GET /admin/credit/" + used.id, 200, `"left":"0.99800 USD"`},
		{"GET /admin/credit/pay_none", 404, ""},
		{"POST /admin/payments/" + used.id + "/refund", 409, "0.00200 USD"},
		{"POST /admin/credit/" + used.id + "/freeze", 200, `"frozen":true`},
		{"POST /admin/credit/pay_none/freeze", 404, ""},
		{"GET /admin/credit/" + used.id + "/freeze", 405, ""},
	} {
		t.Run(tt.line, func(t *testing.T) {
			w := ask(t, admin, h.admin, tt.line, "", adminHeader+": 1")
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%d, want %d with %q: %s", w.Code, tt.status, tt.want, w.Body)
			}
		})
	}
	if w := ask(t, public, h.listen, "GET /v1/quotes/4", "", bearer); w.Code != http.StatusPaymentRequired {
		t.Errorf("frozen, and spent: %d", w.Code)
	}
	h.whole()
}

// TestCreditAfterARefund: what was paid back at the processor spends nothing more.
func TestCreditAfterARefund(t *testing.T) {
	h := build(t, plan{routes: usualRoutes + "\n  - {id: quotes, match: \"GET /v1/quotes/{id}\", upstream: api, price: 0.01 USD, credit: {pack: 1.00 USD}}"})
	s := h.buy(http.MethodGet, "/v1/quotes/1", "")
	bearer := "Authorization: Bearer " + s.receipt
	if a := h.do(http.MethodGet, "/v1/quotes/2", "", bearer); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	_, err := h.play.Stripe().OpenDispute(h.payment(s.id).Reference, "fraudulent")
	h.must(err)
	h.until("the credit is frozen", func() bool {
		a, err := h.server.store.Credit().Account(t.Context(), s.id)
		return err == nil && a.Frozen
	})
	if a := h.do(http.MethodGet, "/v1/quotes/3", "", bearer); a.status != http.StatusPaymentRequired {
		t.Errorf("%d %s", a.status, a.body)
	}
	h.whole()
}
