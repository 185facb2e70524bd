package stripe_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"paywall/sandbox/stripe"
)

// A token pays once, whatever is left of it, and says so when it is read.
func TestTokenLife(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	spt := p.token(t, "pm_card_visa", 500)
	got := p.get("/v1/shared_payment/granted_tokens/"+spt, "").ok(t)
	got.is(t, "object", "shared_payment.granted_token")
	got.is(t, "deactivated_at", nil)
	got.is(t, "usage_limits.max_amount", 500)

	paid := p.post("/v1/payment_intents", sale(spt, 120), "Idempotency-Key: k1").ok(t)
	paid.is(t, "status", "succeeded")
	paid.is(t, "amount_received", 120)
	paid.is(t, "livemode", false)
	paid.is(t, "metadata.paywall_payment", "pay_1")
	paid.is(t, "latest_charge.paid", true)
	paid.is(t, "latest_charge.captured", true)
	paid.is(t, "latest_charge.balance_transaction", nil)
	if m := paid.str("payment_method"); !strings.HasPrefix(m, "pm_") || m == "pm_card_visa" {
		t.Errorf("payment method %q is not the seller's own copy", m)
	}

	got = p.get("/v1/shared_payment/granted_tokens/"+spt, "").ok(t)
	got.is(t, "deactivated_reason", "consumed")
	got.is(t, "usage_details.amount_captured.value", 120)
	p.post("/v1/payment_intents", sale(spt, 100), "Idempotency-Key: k2").refused(t, http.StatusBadRequest, "",
		"The shared payment granted token cannot be used because it is already in a deactivated state.")
	if state, ok := p.Token(spt); !ok || state.DeactivatedReason != "consumed" || state.Captured != 120 || state.Intent != paid.str("id") {
		t.Errorf("Token = %+v, %v", state, ok)
	}
	if a := p.Audit(10); a.Totals.Charges != 1 || a.Totals.Captured["usd"] != 120 {
		t.Errorf("totals %+v", a.Totals)
	}
}

// The three ways that clients send a token, of which the third is wrong.
func TestTokenParameters(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	rest := "&amount=100&currency=usd&confirm=true&automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never"
	p.post("/v1/payment_intents", "payment_method_data[shared_payment_granted_token]="+p.token(t, "pm_card_visa", 100)+rest).ok(t)
	p.post("/v1/payment_intents", "payment_method_data%5Bshared_payment_granted_token%5D="+p.token(t, "pm_card_visa", 100)+rest).ok(t)
	p.post("/v1/payment_intents", "shared_payment_granted_token="+p.token(t, "pm_card_visa", 100)+rest).ok(t)
	spt := p.token(t, "pm_card_visa", 100)
	p.post("/v1/payment_intents", "payment_method="+spt+rest).refused(t, http.StatusBadRequest, "resource_missing", "No such PaymentMethod: '"+spt+"'")
	p.post("/v1/payment_intents", "shared_payment_granted_token="+spt+"&payment_method=pm_card_visa"+rest).
		refused(t, http.StatusBadRequest, "parameters_exclusive", "You may only specify one")
	if state, _ := p.Token(spt); state.DeactivatedReason != "" {
		t.Errorf("a refused call ended the token: %q", state.DeactivatedReason)
	}
}

// Without a preview version the parameters and endpoints do not exist.
func TestVersionGate(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	spt := p.token(t, "pm_card_visa", 100)
	for _, v := range []string{"", "2026-08-26.dahlia", "2025-08-27.basil"} {
		p.post("/v1/payment_intents", sale(spt, 100), "Stripe-Version: "+v).refused(t, http.StatusBadRequest, "parameter_unknown",
			"Received unknown parameter: payment_method_data[shared_payment_granted_token]")
		p.post("/v1/payment_intents", "shared_payment_granted_token="+spt, "Stripe-Version: "+v).refused(t, http.StatusBadRequest, "parameter_unknown",
			"Received unknown parameter: shared_payment_granted_token")
		got := p.get("/v1/shared_payment/granted_tokens/"+spt, "", "Stripe-Version: "+v)
		got.refused(t, http.StatusNotFound, "", "Unrecognized request URL (GET: /v1/shared_payment/granted_tokens/"+spt+")")
		if got.header.Get("Sandbox-Hint") == "" {
			t.Error("no hint says why")
		}
	}
	p.get("/v1/charges", "", "Stripe-Version: yesterday").refused(t, http.StatusBadRequest, "", "Invalid Stripe API version")
	p.post("/v1/payment_intents", sale(spt, 100)).ok(t)
}

func TestB058_TokenRefusals(t *testing.T) {
	const over = "The requested amount is greater than the remaining amount capturable with this shared payment granted token."
	const dead = "The shared payment granted token cannot be used because it is already in a deactivated state."
	for _, tt := range []struct {
		name          string
		prepare       func(p *psp, spt string)
		form          func(spt string) string
		account       string
		status        int
		code, message string
		reason        string // afterwards
	}{
		{name: "limit below price", form: func(s string) string { return sale(s, 501) }, status: 400, message: over},
		{name: "other currency", form: func(s string) string { return strings.Replace(sale(s, 500), "=usd", "=eur", 1) }, status: 400, message: "currency"},
		{name: "unknown", form: func(string) string { return sale("spt_none", 500) }, status: 404, code: "resource_missing", message: "No such"},
		{name: "other seller", form: func(s string) string { return sale(s, 500) }, account: "acct_other", status: 404, code: "resource_missing", message: "No such"},
		{
			name: "revoked", form: func(s string) string { return sale(s, 500) }, status: 400, message: dead, reason: "revoked",
			prepare: func(p *psp, s string) { p.post("/v1/test_helpers/shared_payment/granted_tokens/"+s+"/revoke", "") },
		},
		{
			name: "expired", form: func(s string) string { return sale(s, 500) }, status: 400, message: dead, reason: "expired",
			prepare: func(p *psp, _ string) { p.clock.advance(time.Hour) },
		},
		{name: "kept for later", form: func(s string) string { return sale(s, 500) + "&setup_future_usage=off_session" }, status: 400, message: "setup_future_usage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPSP(t, stripe.Config{})
			spt := p.token(t, "pm_card_visa", 500)
			if tt.prepare != nil {
				tt.prepare(p, spt)
			}
			p.post("/v1/payment_intents", tt.form(spt), "Stripe-Account: "+tt.account).refused(t, tt.status, tt.code, tt.message)
			a := p.Audit(10)
			if len(a.Charges) != 0 || len(a.Intents) != 0 {
				t.Errorf("a refusal left %d charges and %d intents", len(a.Charges), len(a.Intents))
			}
			if state, _ := p.Token(spt); state.DeactivatedReason != tt.reason {
				t.Errorf("token is %q, want %q", state.DeactivatedReason, tt.reason)
			}
		})
	}
}

func TestTokenCreation(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	at := func(d time.Duration) string { return strconv.FormatInt(start.Add(d).Unix(), 10) }
	base := "payment_method=pm_card_visa&usage_limits[currency]=usd&usage_limits[max_amount]=100"
	for _, tt := range []struct {
		name, form    string
		code, message string
	}{
		{"current", base + "&usage_limits[expires_at]=" + at(time.Hour), "", ""},
		{"older, which named the seller", base + "&seller_details[network_id]=internal&seller_details[external_id]=x", "", ""},
		{"ninety days", base + "&usage_limits[expires_at]=" + at(90*24*time.Hour), "", ""},
		{"ninety days and a second", base + "&usage_limits[expires_at]=" + at(90*24*time.Hour+time.Second), "", "at most 90 days"},
		{"now", base + "&usage_limits[expires_at]=" + at(0), "", "in the future"},
		{"no limit", "payment_method=pm_card_visa&usage_limits[currency]=usd", "parameter_missing", "usage_limits[max_amount]"},
		{"no method", strings.TrimPrefix(base, "payment_method=pm_card_visa&"), "parameter_missing", "payment_method"},
		{"unknown method", strings.Replace(base, "pm_card_visa", "pm_card_nonesuch", 1), "resource_missing", "No such PaymentMethod"},
		{"return_url", base + "&return_url=x", "parameter_unknown", "return_url"},
		{"limit not a number", strings.Replace(base, "=100", "=1e2", 1), "parameter_invalid_integer", "Invalid integer: 1e2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := p.post("/v1/test_helpers/shared_payment/granted_tokens", tt.form)
			if tt.message == "" {
				got.ok(t).is(t, "usage_limits.max_amount", 100)
				return
			}
			got.refused(t, http.StatusBadRequest, tt.code, tt.message)
		})
	}
}

// An agent issues a token for a seller that it names by profile.
func TestIssuedTokens(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	profile := p.get("/v2/network/business_profiles/me", "").ok(t).str("id")
	const agent = "Stripe-Account: acct_agent"
	form := "payment_method=pm_card_visa&usage_limits[currency]=usd&usage_limits[max_amount]=100&seller_details[network_business_profile]="
	issued := p.post("/v1/shared_payment/issued_tokens", form+profile, agent).ok(t)
	issued.is(t, "status", "active")
	spt := issued.str("id")
	p.get("/v1/shared_payment/issued_tokens/"+spt, "").refused(t, http.StatusNotFound, "resource_missing", "No such")
	p.get("/v1/shared_payment/granted_tokens/"+spt, "", agent).refused(t, http.StatusNotFound, "resource_missing", "No such")
	granted := p.get("/v1/shared_payment/granted_tokens/"+spt, "").ok(t)
	if granted.str("agent_details.network_business_profile") == "" || granted.at("seller_details") != nil {
		t.Errorf("granted: %s", granted.raw)
	}
	p.post("/v1/payment_intents", sale(spt, 100)).ok(t)
	p.get("/v1/shared_payment/issued_tokens/"+spt, "", agent).ok(t).is(t, "status", "deactivated")
	p.post("/v1/shared_payment/issued_tokens/"+spt+"/revoke", "", agent).refused(t, http.StatusBadRequest, "", "deactivated")

	p.post("/v1/shared_payment/issued_tokens", form+profile).refused(t, http.StatusBadRequest, "", "counterparty network_id")
	p.post("/v1/shared_payment/issued_tokens", form+"profile_live", agent).refused(t, http.StatusBadRequest, "", "livemode")
	p.post("/v1/shared_payment/issued_tokens", form+profile+"&return_url=x", agent).refused(t, http.StatusBadRequest, "parameter_unknown", "return_url")
	p.post("/v1/shared_payment/issued_tokens", strings.Replace(form, "pm_card_visa", "pm_card_authenticationRequired", 1)+profile, agent).ok(t).
		is(t, "status", "requires_action")
}

func TestGrant(t *testing.T) {
	p := newPSP(t, stripe.Config{Profile: "profile_test_shop"})
	hour := start.Add(time.Hour)
	spt, err := p.Grant("pm_card_visa", "USD", 100, hour, "profile_test_shop")
	if err != nil {
		t.Fatal(err)
	}
	p.post("/v1/payment_intents", sale(spt, 100)).ok(t).is(t, "status", "succeeded")

	other, err := p.Grant("pm_card_visa", "usd", 100, hour, "profile_test_elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	p.post("/v1/payment_intents", sale(other, 100)).refused(t, http.StatusNotFound, "resource_missing", "No such")
	if err := p.Revoke(other); err != nil {
		t.Fatal(err)
	}
	if state, _ := p.Token(other); state.DeactivatedReason != "revoked" {
		t.Errorf("%+v", state)
	}
	refusal := func(_ string, err error) error { return err }
	for name, err := range map[string]error{
		"no such method":  refusal(p.Grant("pm_none", "usd", 100, hour, "internal")),
		"no such money":   refusal(p.Grant("pm_card_visa", "xyz", 100, hour, "internal")),
		"nothing":         refusal(p.Grant("pm_card_visa", "usd", 0, hour, "internal")),
		"over already":    refusal(p.Grant("pm_card_visa", "usd", 1, start, "internal")),
		"revoke used":     p.Revoke(spt),
		"revoke once":     p.Revoke(other),
		"revoke unissued": p.Revoke("spt_none"),
	} {
		if _, ok := errors.AsType[*stripe.Error](err); !ok && !errors.Is(err, stripe.ErrNoToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
