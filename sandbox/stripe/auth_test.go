package stripe_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"paywall/sandbox/stripe"
)

func TestKeys(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	basic := func(key string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(key+":")) }
	for _, tt := range []struct {
		name, field string
		status      int
		message     string
	}{
		{"bearer", "Bearer sk_test_1", 200, ""},
		{"basic", basic("sk_test_1"), 200, ""},
		{"lower case", "bearer sk_test_1", 200, ""},
		{"restricted", "Bearer rk_test_1", 200, ""},
		{"none", "", 401, "You did not provide an API key"},
		{"live", "Bearer sk_live_verysecret", 401, "no money moves"},
		{"live, basic", basic("sk_live_verysecret"), 401, "refuses live keys"},
		{"live, restricted", "Bearer rk_live_verysecret", 401, "refuses live keys"},
		{"publishable", "Bearer pk_test_verysecret", 401, "publishable"},
		{"other", "Bearer sk_verysecret", 401, "Invalid API Key provided: sk_****"},
		{"short", "Bearer x", 401, "Invalid API Key provided: ****"},
		{"no base64", "Basic %%%", 401, "You did not provide an API key"},
		{"other scheme", "Payment verysecret", 401, "You did not provide an API key"},
		{"only a prefix", "Bearer sk_test_", 401, "Invalid API Key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := p.get("/v1/charges", "", "Authorization: "+tt.field)
			if got.status != tt.status || !strings.Contains(got.str("error.message"), tt.message) || strings.Contains(got.raw, "verysecret") {
				t.Errorf("got %d %s", got.status, got.raw)
			}
			if (got.header.Get("WWW-Authenticate") != "") != (tt.status == http.StatusUnauthorized) {
				t.Errorf("headers %v", got.header)
			}
		})
	}
	reader := "Authorization: Bearer rk_test_readonly_1"
	p.get("/v1/charges", "", reader).ok(t)
	p.post("/v1/payment_intents", charge("pm_card_visa", 100), reader).refused(t, http.StatusForbidden, "", "does not have the required permissions")
}

func TestUnknownRoutes(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	for _, tt := range []struct{ method, path string }{
		{http.MethodGet, "/v1/nonesuch"},
		{http.MethodGet, "/v1/charges/"},
		{http.MethodPut, "/v1/charges"},
		{http.MethodPost, "/v1/charges/ch_1/pay"},
		{http.MethodGet, "/"},
	} {
		p.do(tt.method, tt.path, "").refused(t, http.StatusNotFound, "", "Unrecognized request URL ("+tt.method+": "+tt.path+")")
	}
	p.post("/v1/payment_intents", `{"amount":100}`, "Content-Type: application/json").refused(t, http.StatusBadRequest, "", "x-www-form-urlencoded")
	p.post("/v1/payment_intents", strings.Repeat("a", 1<<20+1)).refused(t, http.StatusBadRequest, "", "larger than")
}

func TestReset(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	id := p.post("/v1/payment_intents", charge("pm_card_visa", 100), "Idempotency-Key: k").ok(t).str("id")
	p.Reset()
	p.get("/v1/payment_intents/"+id, "").refused(t, http.StatusNotFound, "resource_missing", "No such")
	if got := p.post("/v1/payment_intents", charge("pm_card_visa", 200), "Idempotency-Key: k").ok(t); got.header.Get("Idempotent-Replayed") != "" {
		t.Error("the key survived")
	}
	if a := p.Audit(1); a.Totals.Charges != 1 || a.Totals.Captured["usd"] != 200 {
		t.Errorf("%+v", a.Totals)
	}
	p.post("/v1/payment_intents", charge("pm_card_visa", 300))
	if a := p.Audit(1); len(a.Charges) != 1 || len(a.Truncated) == 0 || a.Totals.Charges != 2 || a.Charges[0].Amount != 300 {
		t.Errorf("a cut audit: %+v", a)
	}
}
