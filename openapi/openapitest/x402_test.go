package openapitest_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"paywall/openapi/openapitest"
)

// TestPricedOverX402: what may and may not be said to a payer of x402.
func TestPricedOverX402(t *testing.T) {
	field := func(name, object string) string {
		return name + ": " + base64.StdEncoding.EncodeToString([]byte(object))
	}
	const (
		scheme = "https://paymentauth.org/problems/"
		ours   = "urn:paywall:problem:"
		ways   = `{"x402Version":2,"error":"x","resource":{"url":"https://a.example/v1","description":"","mimeType":""},"accepts":[` + terms + `]}`
		failed = `{"success":false,"errorReason":"insufficient_funds","transaction":"","network":"eip155:84532"}`
		done   = `{"success":true,"transaction":"0x1","network":"eip155:84532","payer":"0xc","extensions":{"offer-receipt":{"info":{}}}}`
		v1     = `{"scheme":"exact","network":"base-sepolia","maxAmountRequired":"10000","resource":"https://a.example/v1","description":"","mimeType":"","payTo":"0xb","maxTimeoutSeconds":60,"asset":"0xa"}`
	)
	doc := func(slug string, status int, more string) string {
		return fmt.Sprintf(`{"type":%q,"title":"x","status":%d%s}`, slug, status, more)
	}
	asks, private := field("PAYMENT-REQUIRED", ways), "Cache-Control: private, no-store"
	tests := []struct {
		name    string
		paid    string // the field that the request has, if any
		handler http.HandlerFunc
		want    string
	}{
		{"unpaid", "", answer(402, asProblem, doc(scheme+"payment-required", 402, ""), asks, noStore), ""},
		{"unpaid, as a page", "", answer(402, "text/html", "<p>", asks, noStore), ""},
		{"unpaid in both versions", "", answer(402, asProblem, doc(scheme+"payment-required", 402, `,"x402Version":1,"error":"x","accepts":[`+v1+`]`), asks, noStore), ""},
		{"half of version 1", "", answer(402, asProblem, doc(scheme+"payment-required", 402, `,"x402Version":1,"error":"x"`), asks, noStore), "doesn't match"},
		{"a null in version 1", "", answer(402, asProblem, doc(scheme+"payment-required", 402, `,"x402Version":1,"error":"x","accepts":[`+strings.Replace(v1, `"asset"`, `"outputSchema":null,"asset"`, 1)+`]`), asks, noStore), "doesn't match"},
		{"a network of version 2 in version 1", "", answer(402, asProblem, doc(scheme+"payment-required", 402, `,"x402Version":1,"error":"x","accepts":[`+strings.Replace(v1, `base-sepolia`, `eip155:84532`, 1)+`]`), asks, noStore), "doesn't match"},
		{"a challenge that is no base64", "", answer(402, asProblem, doc(scheme+"payment-required", 402, ""), "PAYMENT-REQUIRED: {}", noStore), "base64"},
		{"a challenge without padding", "", answer(402, asProblem, doc(scheme+"payment-required", 402, ""), strings.TrimRight(field("PAYMENT-REQUIRED", ways+" "), "="), noStore), "base64"},
		{"a challenge that is no JSON", "", answer(402, asProblem, doc(scheme+"payment-required", 402, ""), field("PAYMENT-REQUIRED", "{"), noStore), "JSON"},
		{"a challenge without a way", "", answer(402, asProblem, doc(scheme+"payment-required", 402, ""), field("PAYMENT-REQUIRED", strings.Replace(ways, terms, "", 1)), noStore), "Payment-Required"},
		{"two challenges", "", answer(402, asProblem, doc(scheme+"payment-required", 402, ""), asks, asks, noStore), "2 lines"},
		{"a challenge with the goods", "", answer(200, "text/csv", "a,b", asks), "status 200 with PAYMENT-REQUIRED"},

		{"paid", "PAYMENT-SIGNATURE", answer(200, "text/csv", "a,b", field("PAYMENT-RESPONSE", done), "Paywall-Receipt: a.b.c", private), ""},
		{"paid in version 1", "X-PAYMENT", answer(200, "text/csv", "a,b", field("X-PAYMENT-RESPONSE", strings.Replace(done, "eip155:84532", "base-sepolia", 1)), private), ""},
		{"paid and kept by anyone", "PAYMENT-SIGNATURE", answer(200, "text/csv", "a,b", field("PAYMENT-RESPONSE", done), "Cache-Control: public"), "Cache-Control"},
		{"paid by nothing", "PAYMENT-SIGNATURE", answer(200, "text/csv", "a,b", field("PAYMENT-RESPONSE", strings.Replace(done, "0x1", "", 1)), private), "Payment-Response"},
		{"served though refused", "PAYMENT-SIGNATURE", answer(200, "text/csv", "a,b", field("PAYMENT-RESPONSE", failed), private), "success false"},
		{"paid and asked again", "PAYMENT-SIGNATURE", answer(402, asProblem, doc(scheme+"verification-failed", 402, ""), asks, field("PAYMENT-RESPONSE", done), noStore), "success true"},

		{"refused", "PAYMENT-SIGNATURE", answer(402, asProblem, doc(scheme+"payment-insufficient", 402, ""), asks, field("PAYMENT-RESPONSE", failed), noStore), ""},
		{"refused without a reason", "PAYMENT-SIGNATURE", answer(402, asProblem, doc(scheme+"payment-insufficient", 402, ""), asks, field("PAYMENT-RESPONSE", strings.Replace(failed, `"errorReason":"insufficient_funds",`, "", 1)), noStore), "Payment-Response"},
		{"no allowance", "PAYMENT-SIGNATURE", answer(412, asProblem, doc(scheme+"payment-insufficient", 412, ""), asks, field("PAYMENT-RESPONSE", failed), noStore), ""},
		{"no allowance, to a payer of another protocol", "", answer(412, asProblem, doc(scheme+"payment-insufficient", 412, ""), asks, noStore), "not 402"},
		{"not readable", "PAYMENT-SIGNATURE", answer(400, asProblem, doc(scheme+"malformed-credential", 400, ""), asks, noStore), ""},
		{"not readable, to a payer of another protocol", "", answer(400, asProblem, doc(scheme+"malformed-credential", 400, ""), asks, noStore), "not 402"},
		{"not offered any more", "PAYMENT-SIGNATURE", answer(402, asProblem, doc(scheme+"method-unsupported", 402, ""), asks, noStore), ""},
		{"expired as unreadable", "PAYMENT-SIGNATURE", answer(400, asProblem, doc(scheme+"payment-expired", 400, ""), asks, noStore), "not 402"},
		{"pending", "PAYMENT-SIGNATURE", answer(503, asProblem, doc(ours+"payment-pending", 503, ""), "Retry-After: 2", noStore), ""},
		{"pending and asked again", "PAYMENT-SIGNATURE", answer(503, asProblem, doc(ours+"payment-pending", 503, ""), "Retry-After: 2", asks, noStore), "challenges true"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &spy{TB: t}
			r := request(t, "GET /v1/reports/7", "")
			if tt.paid != "" {
				r.Header.Set(tt.paid, "eyJ9")
			}
			openapitest.Priced(s, tt.handler).ServeHTTP(httptest.NewRecorder(), r)
			judge(t, s, tt.want)
		})
	}
}
