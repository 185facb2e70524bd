package openapitest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"paywall/openapi/openapitest"
)

// spy is a testing.TB that only remembers what was found.
type spy struct {
	testing.TB

	mu    sync.Mutex // guards found
	found []string
}

func (s *spy) Helper() {}

func (s *spy) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = append(s.found, fmt.Sprintf(format, args...))
}

// answer is a handler that always answers the same. Headers are "Name: value".
func answer(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Add(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const (
	asJSON    = "application/json"
	asProblem = "application/problem+json"
	noStore   = "Cache-Control: no-store"
	paid      = `{"id":"pay_1","state":"settled","delivery":"delivered","amount":{"value":"100","currency":"usd"},"method":"stripe","route":"reports","resource":"GET /v1/reports/7","settled_at":"2026-11-24T12:00:00Z"}`
	notFound  = `{"type":"about:blank","title":"Not Found","status":404}`

	transfers = `{"position":7,"carry":{"eip155:84532":"0.002000 USD"},"waiting":[],"dead":[{"payment":"pay_1","network":"eip155:84532","transaction":"0x1","amount":"1.000000 USDC","reason":"declined","since":"2026-11-24T12:00:00Z","tries":9}]}`

	terms     = `{"scheme":"exact","network":"eip155:84532","amount":"10000","asset":"0xa","payTo":"0xb","maxTimeoutSeconds":60,"extra":{"name":"USDC","version":"2"}}`
	order     = `{"x402Version":2,"paymentPayload":{"x402Version":2,"accepted":` + terms + `,"payload":{}},"paymentRequirements":` + terms + `}`
	kinds     = `{"kinds":[{"x402Version":2,"scheme":"exact","network":"stripe:live","extra":{}}],"extensions":[],"signers":{}}`
	settled   = `{"success":true,"transaction":"pi_1","network":"stripe:live","amount":"100"}`
	resources = `{"x402Version":2,"items":[{"resource":"https://a.example/v1/{id}","type":"http","x402Version":2,"accepts":[` + terms + `],"lastUpdated":"2026-11-24T12:00:00.000Z"}],"pagination":{"limit":1,"offset":0,"total":1}}`
)

func TestCheck(t *testing.T) {
	tests := []struct {
		name    string
		request string // method, path, and perhaps a header "Name: value"
		body    string
		handler http.HandlerFunc
		want    string // part of the finding, or nothing
	}{
		{"as described", "GET /healthz", "", answer(200, asJSON, `{"status":"ok"}`, noStore), ""},
		{"HEAD is GET", "HEAD /healthz", "", answer(200, asJSON, "", noStore), ""},
		{"another value", "GET /healthz", "", answer(200, asJSON, `{"status":"fine"}`, noStore), "doesn't match schema"},
		{"another member", "GET /healthz", "", answer(200, asJSON, `{"status":"ok","up":1}`, noStore), "doesn't match schema"},
		{"another type", "GET /healthz", "", answer(200, "text/plain", "ok", noStore), "Content-Type"},
		{"another status", "GET /healthz", "", answer(204, "", "", noStore), "status 204"},
		{"HEAD with another status", "HEAD /healthz", "", answer(204, "", "", noStore), "status 204"},
		{"a header is missing", "GET /healthz", "", answer(200, asJSON, `{"status":"ok"}`), "Cache-Control"},
		{"a header of another form", "GET /healthz", "", answer(200, asJSON, `{"status":"ok"}`, "Cache-Control: public"), "Cache-Control"},
		{"an undescribed method", "POST /healthz", "", answer(405, "", "", "Allow: GET, HEAD"), ""},
		{"an undescribed method served", "POST /healthz", "", answer(200, asJSON, `{"status":"ok"}`, noStore), "not 405"},
		{"405 without Allow", "DELETE /payments/pay_1", "", answer(405, "", ""), "leaves out GET"},
		{"not ours", "GET /v1/reports/7", "", answer(418, "text/plain", "short and stout"), ""},
		{"not ready", "GET /readyz", "", answer(503, asJSON, `{"status":"not ready","checks":{"store":"full"}}`, noStore), ""},
		{"not changed", "GET /llms.txt", "", answer(304, "", ""), ""},
		{"not changed, not described", "GET /healthz", "", answer(304, "", ""), "status 304"},

		{"a payment for its holder", "GET /payments/pay_1 Authorization: Payment eyJ9", "", answer(200, asJSON, paid, noStore), ""},
		{"a payment for the bearer of its receipt", "GET /payments/pay_1 Authorization: bearer a.b.c", "", answer(200, asJSON, paid, noStore), ""},
		{"a payment for anybody", "GET /payments/pay_1", "", answer(200, asJSON, paid, noStore), "not described"},
		{"a payment for another scheme", "GET /payments/pay_1 Authorization: Basic eA==", "", answer(200, asJSON, paid, noStore), "not described"},
		{"a float for an amount", "GET /payments/pay_1 Authorization: Payment eyJ9", "", answer(200, asJSON, strings.Replace(paid, `"100"`, `1.00`, 1), noStore), "doesn't match schema"},
		{"a decimal for an amount", "GET /payments/pay_1 Authorization: Payment eyJ9", "", answer(200, asJSON, strings.Replace(paid, `"100"`, `"1.00"`, 1), noStore), "doesn't match schema"},
		{"a state of no table", "GET /payments/pay_1 Authorization: Payment eyJ9", "", answer(200, asJSON, strings.Replace(paid, `"settled"`, `"paid"`, 1), noStore), "doesn't match schema"},
		{"a day for a time", "GET /payments/pay_1 Authorization: Payment eyJ9", "", answer(200, asJSON, strings.Replace(paid, `2026-11-24T12:00:00Z`, `2026-11-24`, 1), noStore), "doesn't match schema"},
		{"the credential in the answer", "GET /payments/pay_1 Authorization: Payment eyJ9", "", answer(200, asJSON, strings.Replace(paid, `"id"`, `"credential":"eyJ9","id"`, 1), noStore), "doesn't match schema"},
		{"nobody's payment", "GET /payments/pay_1 Authorization: Payment eyJ9", "", answer(404, asProblem, notFound), ""},
		{"a problem without a status", "GET /payments/pay_1 Authorization: Payment eyJ9", "", answer(404, asProblem, `{"type":"about:blank","title":"Not Found"}`), "doesn't match schema"},
		{"unauthorized", "GET /payments/pay_1", "", answer(401, asProblem, `{"type":"about:blank","title":"Unauthorized","status":401}`, `WWW-Authenticate: Bearer realm="x"`), ""},
		{"unauthorized without saying how", "GET /payments/pay_1", "", answer(401, asProblem, `{"type":"about:blank","title":"Unauthorized","status":401}`), "WWW-Authenticate"},

		{"a signed event", "POST /webhooks/stripe Stripe-Signature: t=1,v1=00", `{"id":"evt_1"}`, answer(200, asJSON, `{"received":true}`), ""},
		{"an unsigned event taken", "POST /webhooks/stripe", `{"id":"evt_1"}`, answer(200, asJSON, `{"received":true}`), "not described"},
		{"an unsigned event refused", "POST /webhooks/stripe", `{"id":"evt_1"}`, answer(400, asProblem, `{"type":"about:blank","title":"Bad Request","status":400}`), ""},

		{"a page of payments", "GET /admin/payments?limit=2&state=settled", "", answer(200, asJSON, `{"payments":[]}`, noStore), ""},
		{"a limit out of bounds", "GET /admin/payments?limit=1001", "", answer(200, asJSON, `{"payments":[]}`, noStore), "not described"},
		{"a pause", "POST /admin/settlement/pause Paywall-Admin: 1", `{"reason":"audit"}`, answer(200, asJSON, `{"paused":"audit"}`, noStore), ""},
		{"a pause by a page", "POST /admin/settlement/pause", `{"reason":"audit"}`, answer(200, asJSON, `{"paused":"audit"}`, noStore), "not described"},
		{"a pause without a reason", "POST /admin/settlement/pause Paywall-Admin: 1", "", answer(200, asJSON, `{"paused":"by hand"}`, noStore), ""},
		{"kinds for a client", "GET /x402/supported Authorization: Bearer t", "", answer(200, asJSON, kinds, noStore), ""},
		{"kinds for anybody", "GET /x402/supported", "", answer(200, asJSON, kinds, noStore), "not described"},
		{"kinds of version 1", "GET /x402/supported Authorization: Bearer t", "", answer(200, asJSON, strings.Replace(kinds, `2`, `1`, 1), noStore), "doesn't match schema"},
		{"kinds on a network without a chain", "GET /x402/supported Authorization: Bearer t", "", answer(200, asJSON, strings.Replace(kinds, `stripe:live`, `stripe`, 1), noStore), "doesn't match schema"},
		{"a client without a token", "POST /x402/settle", order, answer(401, asProblem, `{"type":"about:blank","title":"Unauthorized","status":401}`, `WWW-Authenticate: Bearer realm="x"`), ""},
		{"a client told of nothing", "POST /x402/settle", order, answer(401, asProblem, `{"type":"about:blank","title":"Unauthorized","status":401}`), "WWW-Authenticate"},
		{"a client in a hurry", "POST /x402/verify Authorization: Bearer t", order, answer(429, asProblem, `{"type":"about:blank","title":"Too Many Requests","status":429}`, "Retry-After: 1"), ""},
		{"valid", "POST /x402/verify Authorization: Bearer t", order, answer(200, asJSON, `{"isValid":true}`, noStore), ""},
		{"not valid", "POST /x402/verify Authorization: Bearer t", order, answer(200, asJSON, `{"isValid":false,"invalidReason":"invalid_payload"}`, noStore), ""},
		{"not valid and no reason", "POST /x402/verify Authorization: Bearer t", order, answer(200, asJSON, `{"isValid":false}`, noStore), "doesn't match schema"},
		{"valid and a reason", "POST /x402/verify Authorization: Bearer t", order, answer(200, asJSON, `{"isValid":true,"invalidReason":"invalid_payload"}`, noStore), "doesn't match schema"},
		{"valid as a text", "POST /x402/verify Authorization: Bearer t", order, answer(200, asJSON, `{"isValid":"true"}`, noStore), "doesn't match schema"},
		{"valid without a question", "POST /x402/verify Authorization: Bearer t", `{"x402Version":2}`, answer(200, asJSON, `{"isValid":true}`, noStore), "not described"},
		{"another version refused", "POST /x402/verify Authorization: Bearer t", `{"x402Version":1,"paymentPayload":{},"paymentRequirements":{}}`, answer(200, asJSON, `{"isValid":false,"invalidReason":"invalid_x402_version"}`, noStore), ""},
		{"settled", "POST /x402/settle Authorization: Bearer t", order, answer(200, asJSON, settled, noStore), ""},
		{"settled by nothing", "POST /x402/settle Authorization: Bearer t", order, answer(200, asJSON, strings.Replace(settled, "pi_1", "", 1), noStore), "doesn't match schema"},
		{"settlement refused", "POST /x402/settle Authorization: Bearer t", order, answer(200, asJSON, `{"success":false,"errorReason":"insufficient_funds","transaction":"","network":"stripe:live"}`, noStore), ""},
		{"settlement refused by payment required", "POST /x402/settle Authorization: Bearer t", order, answer(402, asJSON, `{"success":false,"errorReason":"insufficient_funds","transaction":"","network":"stripe:live"}`, noStore), "status 402"},
		{"settlement open", "POST /x402/settle Authorization: Bearer t", order, answer(200, asJSON, `{"success":false,"errorReason":"settlement_pending","transaction":"pay_1","network":"stripe:live"}`, noStore, "Retry-After: 2"), ""},
		{"settlement stopped", "POST /x402/settle Authorization: Bearer t", order, answer(503, asJSON, `{"success":false,"errorReason":"settlement_pending","transaction":"pay_1","network":"stripe:live"}`, noStore, "Retry-After: 5"), ""},
		{"settlement stopped and no word when", "POST /x402/settle Authorization: Bearer t", order, answer(503, asJSON, `{"success":false,"errorReason":"settlement_pending","transaction":"pay_1","network":"stripe:live"}`, noStore), "Retry-After"},
		{"no facilitator", "POST /x402/settle Authorization: Bearer t", order, answer(404, asProblem, notFound), ""},

		{"resources", "GET /discovery/resources?limit=1&offset=0&type=http", "", answer(200, asJSON, resources, "Cache-Control: public, max-age=60"), ""},
		{"no resources", "GET /discovery/resources", "", answer(200, asJSON, `{"x402Version":2,"items":[],"pagination":{"limit":20,"offset":0,"total":0}}`, "Cache-Control: public, max-age=60"), ""},
		{"resources without a number", "GET /discovery/resources?limit=0", "", answer(200, asJSON, resources, "Cache-Control: public, max-age=60"), "not described"},
		{"a resource that costs a fraction", "GET /discovery/resources", "", answer(200, asJSON, strings.Replace(resources, `"10000"`, `"0.01"`, 1), "Cache-Control: public, max-age=60"), "doesn't match schema"},
		{"a resource for nothing", "GET /discovery/resources", "", answer(200, asJSON, `{"x402Version":2,"items":[{"resource":"https://a.example/","type":"http","x402Version":2,"accepts":[],"lastUpdated":"2026-11-24T12:00:00.000Z"}],"pagination":{"limit":20,"offset":0,"total":1}}`, "Cache-Control: public, max-age=60"), "doesn't match schema"},

		{"a refund that a person has sent", "POST /admin/payments/pay_1/refund Paywall-Admin: 1", `{"sent":"re_1"}`, answer(409, asProblem, `{"type":"about:blank","title":"Conflict","status":409}`), ""},
		{"decided", "POST /admin/payments/pay_1/decide Paywall-Admin: 1", `{"not_charged":true}`, answer(404, asProblem, notFound), ""},
		{"decided both ways", "POST /admin/payments/pay_1/decide Paywall-Admin: 1", `{"charged":"pi_1","not_charged":true}`, answer(200, asJSON, `{}`, noStore), "not described"},
		{"transfers", "GET /admin/transfers", "", answer(200, asJSON, transfers, noStore), ""},
		{"transfers without a list", "GET /admin/transfers", "", answer(200, asJSON, strings.Replace(transfers, "[]", "null", 1), noStore), "doesn't match schema"},
		{"a transfer again", "POST /admin/transfers/pay_1/retry Paywall-Admin: 1", "", answer(200, asJSON, transfers, noStore), ""},
		{"a transfer by a page", "POST /admin/transfers/pay_1/dismiss", "", answer(200, asJSON, transfers, noStore), "not described"},
		{"a transfer somehow", "POST /admin/transfers/pay_1/double Paywall-Admin: 1", "", answer(200, asJSON, transfers, noStore), "not described"},

		{"a report", "GET /admin/ledger/verify", "", answer(200, asJSON, `{"payments":1,"entries":2,"balances":{"revenue USD/2":-100},"breaks":[{"invariant":"I5","payment":"pay_1","what":"late"}]}`, noStore), ""},
		{"a report without breaks", "GET /admin/ledger/verify", "", answer(200, asJSON, `{"payments":1,"entries":2,"balances":{},"breaks":null}`, noStore), "doesn't match schema"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &spy{TB: t}
			rec := httptest.NewRecorder()
			openapitest.Check(s, tt.handler).ServeHTTP(rec, request(t, tt.request, tt.body))
			judge(t, s, tt.want)
			direct := httptest.NewRecorder()
			tt.handler.ServeHTTP(direct, request(t, tt.request, tt.body))
			if rec.Code != direct.Code || rec.Body.String() != direct.Body.String() {
				t.Errorf("passed on %d %q, not %d %q", rec.Code, rec.Body, direct.Code, direct.Body)
			}
		})
	}
}

func request(t *testing.T, line, body string) *http.Request {
	t.Helper()
	parts := strings.SplitN(line, " ", 3)
	r := httptest.NewRequestWithContext(t.Context(), parts[0], parts[1], strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", asJSON)
	}
	if len(parts) == 3 {
		name, value, _ := strings.Cut(parts[2], ": ")
		r.Header.Set(name, value)
	}
	return r
}

func judge(t *testing.T, s *spy, want string) {
	t.Helper()
	switch {
	case want == "" && len(s.found) > 0:
		t.Errorf("found %q, want nothing", s.found)
	case want != "" && (len(s.found) != 1 || !strings.Contains(s.found[0], want)):
		t.Errorf("found %q, want %q", s.found, want)
	}
}

func TestPriced(t *testing.T) {
	doc := func(slug string, status int) string {
		return fmt.Sprintf(`{"type":%q,"title":"x","status":%d,"price":"1.00 USD"}`, slug, status)
	}
	const (
		scheme    = "https://paymentauth.org/problems/"
		ours      = "urn:paywall:problem:"
		challenge = `WWW-Authenticate: Payment id="x"`
		later     = "Retry-After: 2"
	)
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"unpaid", answer(402, asProblem, doc(scheme+"payment-required", 402), challenge, noStore), ""},
		{"unpaid, as a page", answer(402, "text/html", "<p>", challenge, noStore), ""},
		{"unpaid without a challenge", answer(402, asProblem, doc(scheme+"payment-required", 402), noStore), "challenges false"},
		{"a page without a challenge", answer(402, "text/html", "<p>", noStore), "WWW-Authenticate"},
		{"another scheme first", answer(402, asProblem, doc(scheme+"payment-required", 402), "WWW-Authenticate: Bearer", challenge, noStore), "WWW-Authenticate"},
		{"unpaid and kept", answer(402, asProblem, doc(scheme+"payment-required", 402), challenge, "Cache-Control: public"), "Cache-Control"},
		{"a kind of no table", answer(402, asProblem, doc(scheme+"too-poor", 402), challenge, noStore), "not in the table"},
		{"a kind with another status", answer(400, asProblem, doc(scheme+"payment-expired", 400), challenge, noStore), "not 402"},
		{"pending", answer(503, asProblem, doc(ours+"payment-pending", 503), later, noStore), ""},
		{"pending with a challenge", answer(503, asProblem, doc(ours+"payment-pending", 503), challenge, later, noStore), "challenges true"},
		{"pending and no word when", answer(503, asProblem, doc(ours+"payment-pending", 503), noStore), "Retry-After"},
		{"in progress", answer(409, asProblem, doc(ours+"payment-in-progress", 409), later, noStore), ""},
		{"internal", answer(500, asProblem, doc(scheme+"internal-payment-error", 500), later, noStore), ""},
		{"twice", answer(400, asProblem, doc(scheme+"bad-request", 400), challenge, noStore), ""},
		{"paid", answer(200, "text/csv", "a,b", "Payment-Receipt: eyJ9", "Paywall-Receipt: a.b.c", "Cache-Control: private, no-store"), ""},
		{"paid and kept by anyone", answer(200, "text/csv", "a,b", "Payment-Receipt: eyJ9", "Cache-Control: public"), "Cache-Control"},
		{"a receipt that is none", answer(200, "text/csv", "a,b", "Paywall-Receipt: a.b", "Cache-Control: private, no-store"), "Paywall-Receipt"},
		{"a receipt with a failure", answer(502, "text/csv", "a,b", "Payment-Receipt: eyJ9"), "with a receipt"},
		{"the API's own refusal", answer(503, "text/plain", "away"), ""},
		{"a problem of no payment", answer(400, asProblem, `{"type":"about:blank","title":"Bad Request","status":400}`), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &spy{TB: t}
			openapitest.Priced(s, tt.handler).ServeHTTP(httptest.NewRecorder(), request(t, "GET /v1/reports/7", ""))
			judge(t, s, tt.want)
		})
	}
}

// TestCheckInParallel: one wrapped handler serves many requests at once.
func TestCheckInParallel(t *testing.T) {
	h := openapitest.Check(t, answer(200, asJSON, `{"status":"ok"}`, noStore))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { h.ServeHTTP(httptest.NewRecorder(), request(t, "GET /healthz", "")) })
	}
	wg.Wait()
}
