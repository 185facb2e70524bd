package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"paywall/openapi/openapitest"
	"paywall/payment"
)

// described is a handler that is held to the description of our endpoints.
func described(t *testing.T, h http.Handler) http.Handler {
	t.Helper()
	return openapitest.Check(t, openapitest.Priced(t, h))
}

// ask serves one request, "METHOD target" with headers "Name: value".
func ask(t *testing.T, h http.Handler, host, line, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Host, r.RemoteAddr = host, "127.0.0.1:40000"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, one := range headers {
		name, value, _ := strings.Cut(one, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestPublicContract: what agents reach is as described, for the methods that
// are described and for all others.
func TestPublicContract(t *testing.T) {
	h := build(t, plan{})
	public := described(t, h.server.public())
	s := h.buy(http.MethodGet, "/v1/reports/7", "")
	bearer := "Authorization: Bearer " + s.receipt
	for _, tt := range []struct {
		line, body string
		header     string
		status     int
		allow      string // methods that Allow has, if it is a 405
	}{
		{line: "GET /openapi.json", status: 200},
		{line: "HEAD /openapi.json", status: 200},
		{line: "GET /llms.txt", status: 200},
		{line: "GET /.well-known/jwks.json", status: 200},
		{line: "HEAD /.well-known/jwks.json", status: 200},
		{line: "GET /.well-known/did.json", status: 200},
		{line: "GET /healthz", status: 200},
		{line: "HEAD /healthz", status: 200},
		{line: "GET /readyz", status: 200},
		{line: "HEAD /readyz", status: 200},
		{line: "GET /payments/" + s.id, status: 401},
		{line: "GET /payments/" + s.id, header: bearer, status: 200},
		{line: "HEAD /payments/" + s.id, header: bearer, status: 200},
		{line: "GET /payments/" + s.id, header: s.credential, status: 200},
		{line: "GET /payments/pay_00000000000000000000000000000000", header: bearer, status: 404},
		{line: "GET /payments/pay_00000000000000000000000000000000", header: "Authorization: Bearer a.b.c", status: 401},
		{line: "POST /webhooks/stripe", body: "{}", status: 400},
		{line: "POST /webhooks/stripe", body: `{"id":"evt_1"}`, header: "Stripe-Signature: t=1,v1=00", status: 400},
		{line: "POST /webhooks/other", body: "{}", status: 404},
		{line: "POST /webhooks/stripe", body: strings.Repeat("x", maxWebhook+1), status: 413},

		{line: "POST /openapi.json", status: 405, allow: "GET, HEAD"},
		{line: "DELETE /llms.txt", status: 405, allow: "GET, HEAD"},
		{line: "PUT /.well-known/jwks.json", status: 405, allow: "GET, HEAD"},
		{line: "POST /.well-known/did.json", status: 405, allow: "GET, HEAD"},
		{line: "POST /healthz", status: 405, allow: "GET, HEAD"},
		{line: "DELETE /readyz", status: 405, allow: "GET, HEAD"},
		{line: "POST /payments/" + s.id, status: 405, allow: "GET, HEAD"},
		{line: "GET /webhooks/stripe", status: 405, allow: "POST"},
		{line: "PUT /webhooks/stripe", status: 405, allow: "POST"},

		{line: "GET /v1/reports/7", status: 402},
		{line: "HEAD /v1/reports/7", status: 402},
		{line: "POST /v1/complete", body: `{"prompt":"x"}`, status: 402},
		{line: "GET /v1/reports/7", header: "Authorization: Payment e30", status: 402},
		{line: "GET /v1/reports/7", header: bearer, status: 402}, // good for one request, which it was
		{line: "GET /v1/reports/7", header: s.credential, status: 200},
		{line: "DELETE /v1/reports/7", status: 405, allow: "GET"},
		{line: "GET /nothing", status: 404},
		{line: "GET /health", status: 200},
	} {
		name := tt.line
		if tt.header != "" {
			name += " " + strings.SplitN(tt.header, " ", 3)[1]
		}
		t.Run(name, func(t *testing.T) {
			var headers []string
			if tt.header != "" {
				headers = append(headers, tt.header)
			}
			w := ask(t, public, h.listen, tt.line, tt.body, headers...)
			if w.Code != tt.status {
				t.Fatalf("%d, want %d: %s", w.Code, tt.status, w.Body)
			}
			allow := w.Header().Get("Allow")
			for _, method := range strings.FieldsFunc(tt.allow, func(r rune) bool { return r == ',' || r == ' ' }) {
				if !slices.Contains(strings.FieldsFunc(allow, func(r rune) bool { return r == ',' || r == ' ' }), method) {
					t.Errorf("Allow: %q leaves out %s", allow, method)
				}
			}
		})
	}
}

// TestAdminContract: every operation as described, and the states it may not change.
func TestAdminContract(t *testing.T) {
	h := build(t, plan{})
	admin := described(t, h.server.operator().handler())
	served := h.buy(http.MethodGet, "/v1/reports/7", "")
	refunded := h.buy(http.MethodPost, "/v1/complete", `{}`)
	declined := h.declined("/v1/reports/8")
	const nobody = "pay_00000000000000000000000000000000"
	for _, tt := range []struct {
		line, body string
		status     int
		want       string // part of the body
	}{
		{line: "GET /admin/payments", status: 200, want: served.id},
		{line: "HEAD /admin/payments", status: 200},
		{line: "GET /admin/payments?limit=1", status: 200, want: `"next"`},
		{line: "GET /admin/payments?limit=1000&state=failed", status: 200, want: declined},
		{line: "GET /admin/payments?state=settled&delivery=delivered&route=nothing", status: 200, want: `"payments":[]`},
		{line: "GET /admin/payments?limit=0", status: 400},
		{line: "GET /admin/payments?limit=1001", status: 400},
		{line: "GET /admin/payments?limit=ten", status: 400},
		{line: "GET /admin/payments?state=paid", status: 400},
		{line: "GET /admin/payments?delivery=sent", status: 400},
		{line: "GET /admin/payments/" + served.id, status: 200, want: `"state":"settled"`},
		{line: "GET /admin/payments/" + nobody, status: 404},
		{line: "POST /admin/payments/" + nobody + "/refund", status: 404},
		{line: "POST /admin/payments/" + refunded.id + "/refund", body: `{"reason":"wrong answer"}`, status: 200, want: `"state":"refunded"`},
		{line: "POST /admin/payments/" + refunded.id + "/refund", status: 200, want: `"reason":"wrong answer"`}, // once
		{line: "POST /admin/payments/" + declined + "/refund", status: 409},
		{line: "POST /admin/payments/" + served.id + "/refund", body: `{"reason":7}`, status: 400},
		{line: "POST /admin/payments/" + served.id + "/refund", body: `{"reason":"` + strings.Repeat("x", 201) + `"}`, status: 400},
		{line: "POST /admin/payments/" + served.id + "/refund", body: strings.Repeat(" ", 5<<10), status: 400},
		{line: "GET /admin/ledger/verify", status: 200, want: `"breaks":[]`},
		{line: "POST /admin/reload", status: 200, want: `"reloaded":true`},
		{line: "POST /admin/reconcile", status: 200, want: `"drift":[]`},
		{line: "POST /admin/reconcile", body: `{"since":"1h"}`, status: 200, want: `"charges":3`},
		{line: "POST /admin/reconcile", body: `{"since":"1s"}`, status: 400},
		{line: "POST /admin/reconcile", body: `{"since":"2161h"}`, status: 400},
		{line: "POST /admin/reconcile", body: `{"since":7}`, status: 400},
		{line: "POST /admin/settlement/resume", status: 200, want: `"paused":""`},
		{line: "GET /healthz", status: 200, want: "ok"},
		{line: "GET /readyz", status: 200, want: "ready"},
		{line: "GET /metrics", status: 200, want: "# TYPE"},

		{line: "DELETE /admin/payments", status: 405},
		{line: "DELETE /admin/payments/" + served.id, status: 405},
		{line: "GET /admin/payments/" + served.id + "/refund", status: 405}, // a GET has no effect
		{line: "GET /admin/settlement/pause", status: 405},
		{line: "GET /admin/settlement/resume", status: 405},
		{line: "GET /admin/reload", status: 405},
		{line: "GET /admin/reconcile", status: 405},
		{line: "POST /admin/ledger/verify", status: 405},
		{line: "POST /metrics", status: 405},
		{line: "GET /debug/pprof/", status: 404},
		{line: "GET /admin", status: 404},
		{line: "GET /", status: 404},
	} {
		t.Run(tt.line, func(t *testing.T) {
			w := ask(t, admin, h.admin, tt.line, tt.body, adminHeader+": 1")
			if w.Code != tt.status {
				t.Fatalf("%d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if !strings.Contains(w.Body.String(), tt.want) && !strings.HasPrefix(tt.line, "HEAD") {
				t.Errorf("want %q in %s", tt.want, w.Body)
			}
			if got := w.Header().Get("Cache-Control"); !strings.Contains(got, "no-store") {
				t.Errorf("Cache-Control: %q", got)
			}
		})
	}
	if p := h.payment(served.id); p.State != payment.StateSettled {
		t.Errorf("a refused refund changed the payment to %s", p.State)
	}
	if n := h.play.Audit().Totals.Refunds; n != 1 {
		t.Errorf("%d refunds at the processor, want 1", n)
	}
	h.whole()
}

// declined makes a payment that the bank refuses, and returns its id.
func (h *house) declined(path string) string {
	h.t.Helper()
	spt, err := h.play.Stripe().Grant("pm_card_chargeDeclined", "usd", 1000, h.play.Now().Add(3600e9), testProfile)
	h.must(err)
	a := h.do(http.MethodGet, path, "")
	a = h.do(http.MethodGet, path, "", h.credentialWith(a.header, spt))
	if a.status != http.StatusPaymentRequired {
		h.t.Fatalf("declined: %d %s", a.status, a.body)
	}
	list, err := h.server.store.List(h.t.Context(), payment.Filter{State: payment.StateFailed}, "", 1)
	h.must(err)
	if len(list) != 1 {
		h.t.Fatal("no failed payment")
	}
	return list[0].ID
}

// TestH143_AdminRoutes: no admin route that changes something is served without
// the header that a page cannot send, whatever else is sent.
func TestH143_AdminRoutes(t *testing.T) {
	h := build(t, plan{asleep: true})
	admin := described(t, h.server.operator().handler())
	for _, line := range []string{
		"POST /admin/payments/pay_1/refund", "POST /admin/settlement/pause", "POST /admin/settlement/resume",
		"POST /admin/reload", "POST /admin/reconcile",
	} {
		for _, headers := range [][]string{
			nil,
			{"Content-Type: text/plain", "Origin: https://evil.example"},
			{"Content-Type: application/x-www-form-urlencoded", "Origin: null"},
			{"Content-Type: application/json", "Origin: http://sibling.127.0.0.1"},
			{adminHeader + ": "},
			{"X-" + adminHeader + ": 1"},
			{"Cookie: session=1"},
		} {
			t.Run(fmt.Sprint(line, headers), func(t *testing.T) {
				if w := ask(t, admin, h.admin, line, "", headers...); w.Code != http.StatusForbidden {
					t.Errorf("%d, want 403: %s", w.Code, w.Body)
				}
			})
		}
	}
	if h.server.processor.Paused(t.Context()) != "" {
		t.Error("paused")
	}
}

// TestH145_Preflight: a page may ask whether it may send the header, and is not told so.
func TestH145_Preflight(t *testing.T) {
	h := build(t, plan{asleep: true})
	admin := h.server.operator().handler()
	for _, path := range []string{"/admin/settlement/pause", "/admin/payments", "/metrics"} {
		w := ask(t, admin, h.admin, "OPTIONS "+path, "", "Origin: https://evil.example",
			"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: "+adminHeader)
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s is granted", path, name)
			}
		}
		if w.Code < 400 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestH148_Rebinding: a name that somebody else points at the admin listener is
// not answered; addresses are when the listener is beyond loopback on purpose.
func TestH148_Rebinding(t *testing.T) {
	h := build(t, plan{asleep: true})
	for _, tt := range []struct {
		listen, host string
		status       int
	}{
		{"127.0.0.1:4021", "127.0.0.1:4021", 200},
		{"127.0.0.1:4021", "localhost:4021", 200},
		{"127.0.0.1:4021", "localhost", 200},
		{"127.0.0.1:4021", "[::1]:4021", 200},
		{"127.0.0.1:4021", "127.9.9.9", 200},
		{"127.0.0.1:4021", "evil.example:4021", 421},
		{"127.0.0.1:4021", "127.0.0.1.evil.example", 421},
		{"127.0.0.1:4021", "localhost.evil.example", 421},
		{"127.0.0.1:4021", "localhost.", 421},
		{"127.0.0.1:4021", "10.0.0.1:4021", 421},
		{"127.0.0.1:4021", "0.0.0.0:4021", 421},
		{"127.0.0.1:4021", "", 421},
		{"127.0.0.1:4021", "127.0.0.1@evil.example", 421},
		{"10.0.0.1:4021", "10.0.0.1:4021", 200},
		{"0.0.0.0:4021", "10.0.0.1:4021", 200},
		{":4021", "[fd00::1]:4021", 200},
		{":4021", "evil.example", 421},
		{":4021", "", 421},
		{"ops.internal:4021", "ops.internal:4021", 200},
		{"ops.internal:4021", "OPS.internal", 200},
		{"ops.internal:4021", "evil.example", 421},
	} {
		t.Run(tt.listen+" "+tt.host, func(t *testing.T) {
			o := h.server.operator()
			o.listen = tt.listen
			for _, line := range []string{"GET /admin/payments", "POST /admin/settlement/resume", "GET /metrics"} {
				if w := ask(t, described(t, o.handler()), tt.host, line, "", adminHeader+": 1"); w.Code != tt.status {
					t.Errorf("%s: %d, want %d", line, w.Code, tt.status)
				}
			}
		})
	}
}

// TestPause: while it lasts, nobody is asked to pay, and what was quoted before
// is not charged; after it, all goes on.
func TestPause(t *testing.T) {
	h := build(t, plan{})
	public := described(t, h.server.public())
	quoted := h.quote(http.MethodGet, "/v1/reports/7", "")
	bought := h.buy(http.MethodGet, "/v1/archive/a", "")
	if a := h.operate("/admin/settlement/pause", `{"reason":"audit"}`); a.status != 200 || !strings.Contains(a.body, "audit") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for _, header := range []string{"X-None: 1", quoted} {
		w := ask(t, public, h.listen, "GET /v1/reports/7", "", header)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Www-Authenticate") != "" {
			t.Errorf("paused: %d %v", w.Code, w.Header())
		}
		if strings.Contains(w.Body.String(), "audit") {
			t.Error("the operator's reason is told to payers")
		}
	}
	for _, line := range []string{"GET /health", "GET /readyz"} { // free, and still in service
		if w := ask(t, public, h.listen, line, ""); w.Code != 200 {
			t.Errorf("%s: %d", line, w.Code)
		}
	}
	if w := ask(t, public, h.listen, "GET /v1/archive/a", "", "Authorization: Bearer "+bought.receipt); w.Code != 200 {
		t.Errorf("what was paid for: %d %s", w.Code, w.Body)
	}
	var r struct{ Checks map[string]string }
	h.do(http.MethodGet, "/readyz", "").into(t, &r)
	if r.Checks["settlement"] != "paused" {
		t.Errorf("readyz: %v", r.Checks)
	}
	h.restart() // outlives it
	if a := h.do(http.MethodGet, "/v1/reports/7", ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("after a restart: %d", a.status)
	}
	if a := h.operate("/admin/settlement/resume", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := h.do(http.MethodGet, "/v1/reports/7", "", quoted); a.status != 200 {
		t.Errorf("after the pause: %d %s", a.status, a.body)
	}
	if n := h.play.Audit().Totals.Charges; n != 2 {
		t.Errorf("%d charges, want 2", n)
	}
}

// TestC108_OperationsOnThePublicListener: they are not there, however they are spelled.
func TestC108_OperationsOnThePublicListener(t *testing.T) {
	h := build(t, plan{})
	public := h.server.public()
	for _, path := range []string{"/admin/payments", "/admin/reload", "/admin/settlement/pause", "/admin/reconcile", "/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
		for _, spelled := range []string{
			path, "/" + path, path + "/", strings.ToUpper(path), "/." + path, "/x/.." + path,
			strings.Replace(path, "/", "/%61/..%2f", 1), strings.Replace(path, "m", "%6d", 1), strings.Replace(path, "m", "%6D", 1),
			path + "?x=/healthz", path + ";/healthz", "/healthz" + path, "/healthz/.." + path, "/payments/x/../.." + path,
			"/payments/..%2f" + path[1:], "/webhooks/%2e%2e" + path, path + "%00", path + "#/healthz", "http://" + h.listen + path,
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				r := httptest.NewRequestWithContext(t.Context(), method, "/", http.NoBody)
				r.Host, r.RemoteAddr, r.RequestURI = h.listen, "127.0.0.1:40000", spelled
				r.Header.Set(adminHeader, "1")
				u, err := r.URL.Parse(spelled)
				if err != nil {
					continue // the HTTP server refuses it itself
				}
				r.URL = u
				w := httptest.NewRecorder()
				public.ServeHTTP(w, r)
				// What cannot be read in one way is a bad request, and what is one segment
				// below /payments/ is the id of no payment; nothing else is there.
				fine := w.Code == http.StatusNotFound || w.Code == http.StatusBadRequest
				if below(spelled, "/payments/") {
					fine = fine || w.Code == http.StatusUnauthorized || w.Code == http.StatusMethodNotAllowed
				}
				if !fine {
					t.Errorf("%s %s: %d %.100s", method, spelled, w.Code, w.Body)
				}
				if spelled == path && w.Code != http.StatusNotFound {
					t.Errorf("%s %s: %d, want 404", method, spelled, w.Code)
				}
			}
		}
	}
	if h.server.processor.Paused(t.Context()) != "" {
		t.Error("paused from outside")
	}
	if n := len(h.api.requests()); n != 0 {
		t.Errorf("%d requests reached the API", n)
	}
}

// TestC110_Unmatched: what no route names is refused, and free is what says so.
func TestC110_Unmatched(t *testing.T) {
	h := build(t, plan{})
	for _, path := range []string{"/", "/v1", "/v1/reports", "/v1/reports/7/raw", "/v2/reports/7", "/healthy"} {
		if a := h.do(http.MethodGet, path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if n := len(h.api.requests()); n != 0 {
		t.Errorf("%d requests reached the API", n)
	}
	if a := h.do(http.MethodGet, "/health", ""); a.status != 200 || len(h.api.requests()) != 1 {
		t.Errorf("free: %d", a.status)
	}
}
