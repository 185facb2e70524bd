package link

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCreateRefuses(t *testing.T) {
	f := newFixture(t, nil)
	card := func(changes map[string]any) string {
		m := map[string]any{"credential_type": "card", "network_id": nil, "merchant_name": "Shop", "merchant_url": "https://shop.example.com"}
		maps.Copy(m, changes)
		return body(m)
	}
	token := func(name string, v any) string { return body(map[string]any{name: v}) }
	pay := func(changes map[string]any) string {
		m := map[string]any{
			"merchant_name": nil, "merchant_url": nil, "execution_method": "link_pay_token", "merchant_account_id": "acct_1",
		}
		maps.Copy(m, changes)
		return card(m)
	}
	manyKeys := map[string]string{}
	for i := range 51 {
		manyKeys[strconv.Itoa(i)] = "v"
	}
	for _, tt := range []struct{ name, body string }{
		{"no JSON", `amount=1`},
		{"a list", `[]`},
		{"null", `null`},
		{"two objects", body(nil) + `{}`},
		{"no amount", token("amount", nil)},
		{"amount zero", token("amount", 0)},
		{"a negative amount", token("amount", -5)},
		{"a fraction", strings.Replace(body(nil), "1500", "15.5", 1)},
		{"an amount in exponent form", strings.Replace(body(nil), "1500", "15e2", 1)},
		{"an amount as text", token("amount", "1500")},
		{"an amount beyond int64", strings.Replace(body(nil), "1500", "92233720368547758080", 1)},
		{"a currency of two letters", token("currency", "us")},
		{"a currency of signs", token("currency", "u$d")},
		{"no context", token("context", nil)},
		{"a context of 99 characters", token("context", strings.Repeat("x", 99))},
		{"a context of 100 invisible characters", token("context", strings.Repeat("\u200b", 100))},
		{"a context that never ends", token("context", strings.Repeat("x", maxContext+1))},
		{"a token without network", token("network_id", nil)},
		{"a token with merchant name", token("merchant_name", "Shop")},
		{"a token with merchant URL", token("merchant_url", "https://shop.example.com")},
		{"a credential nobody knows", token("credential_type", "gold")},
		{"a card with network", card(map[string]any{"network_id": "profile_test_1"})},
		{"a card without merchant name", card(map[string]any{"merchant_name": nil})},
		{"a card without merchant URL", card(map[string]any{"merchant_url": nil})},
		{"a merchant URL that runs", card(map[string]any{"merchant_url": "javascript:alert(1)"})},
		{"a pay token without account", pay(map[string]any{"merchant_account_id": nil})},
		{"a pay token without method", pay(map[string]any{"execution_method": nil})},
		{"a pay token with network", pay(map[string]any{"network_id": "profile_test_1"})},
		{"a pay token with merchant", pay(map[string]any{"merchant_name": "Shop"})},
		{"a pay token as SPT", pay(map[string]any{"credential_type": "shared_payment_token"})},
		{"a pay token in test mode", pay(map[string]any{"test": true})},
		{"expires_at", token("expires_at", 1800000000)},
		{"a flag as text", token("test", "yes")},
		{"line items as object", token("line_items", map[string]any{})},
		{"a line item as text", token("line_items", []any{"name:x"})},
		{"a line item without name", token("line_items", []any{map[string]any{"quantity": 1}})},
		{"a line item with half a piece", token("line_items", []any{map[string]any{"name": "x", "quantity": 0.5}})},
		{"a line item with no piece", token("line_items", []any{map[string]any{"name": "x", "quantity": 0}})},
		{"too many line items", token("line_items", make([]map[string]any, maxLines+1))},
		{"a total of a type nobody knows", token("totals", []any{map[string]any{"type": "bribe", "display_text": "x", "amount": 1}})},
		{"a total without amount", token("totals", []any{map[string]any{"type": "tax", "display_text": "x"}})},
		{"51 metadata", token("metadata", manyKeys)},
		{"a metadata key of 41", token("metadata", map[string]string{strings.Repeat("k", 41): "v"})},
		{"a metadata value of 501", token("metadata", map[string]string{"k": strings.Repeat("v", 501)})},
		{"a metadata number", token("metadata", map[string]any{"k": 1})},
		{"no UTF-8", strings.Replace(body(nil), "profile_test_1", "\xff", 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.call(StaticToken, http.MethodPost, "/spend_requests", tt.body).refused(t, http.StatusBadRequest, "invalid_request")
		})
	}
	f.call(StaticToken, http.MethodPost, "/spend_requests", body(map[string]any{"context": strings.Repeat("x", maxBody)})).
		refused(t, http.StatusRequestEntityTooLarge, "invalid_request")
	if n := len(f.list(t.Context(), anyOf)); n != 0 {
		t.Errorf("%d requests were filed", n)
	}
}

func TestLimits(t *testing.T) {
	file := func(f *fixture, n int, amount int64) (last answer) {
		for i := range n {
			last = f.call(StaticToken, http.MethodPost, "/spend_requests",
				body(map[string]any{"amount": amount, "metadata": map[string]string{"n": fmt.Sprint(i, f.clock.now())}}))
		}
		return last
	}
	purchase := func(f *fixture, amount int64) {
		f.t.Helper()
		var sr wireRequest
		file(f, 1, amount).into(f.t, http.StatusOK, &sr)
		if err := f.Approve(sr.ID); err != nil {
			f.t.Fatal(err)
		}
		f.proc.capture(f.proc.grants[len(f.proc.grants)-1].id, amount)
		f.refresh(t.Context())
	}
	t.Run("500 dollars a request", func(t *testing.T) {
		f := newFixture(t, nil)
		file(f, 1, 500_01).refused(t, http.StatusBadRequest, "amount_limit_exceeded")
		file(f, 1, 500_00).into(t, http.StatusOK, &struct{}{})
	})
	t.Run("500 dollars in 24 hours", func(t *testing.T) {
		f := newFixture(t, nil)
		purchase(f, 400_00)
		file(f, 1, 100_01).refused(t, http.StatusBadRequest, "daily_limit_exceeded")
		file(f, 1, 100_00).into(t, http.StatusOK, &struct{}{})
		f.clock.advance(24 * time.Hour)
		file(f, 1, 100_01).into(t, http.StatusOK, &struct{}{})
	})
	t.Run("what two requests ask, only one can get", func(t *testing.T) {
		f := newFixture(t, nil)
		var first, second wireRequest
		file(f, 1, 300_00).into(t, http.StatusOK, &first)
		file(f, 1, 300_01).into(t, http.StatusOK, &second)
		if err := f.Approve(first.ID); err != nil {
			t.Fatal(err)
		}
		if a := f.click(second.ID, "approve"); a.status != http.StatusBadRequest || !strings.Contains(a.body, "daily limit") {
			t.Errorf("%d: %s", a.status, a.body)
		}
		f.wantStatus(second.ID, PendingApproval)
	})
	t.Run("20,000 dollars in 30 days", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Limits.PerRequest, c.Limits.Daily = 10_000_00, 10_000_00 })
		purchase(f, 10_000_00)
		f.clock.advance(25 * time.Hour)
		purchase(f, 9_999_00)
		f.clock.advance(25 * time.Hour)
		file(f, 1, 1_01).refused(t, http.StatusBadRequest, "thirty_day_limit_exceeded")
		file(f, 1, 1_00).into(t, http.StatusOK, &struct{}{})
		f.clock.advance(28 * 24 * time.Hour)
		file(f, 1, 1_01).into(t, http.StatusOK, &struct{}{})
	})
	t.Run("30 active", func(t *testing.T) {
		f := newFixture(t, nil)
		file(f, 30, 100).into(t, http.StatusOK, &struct{}{})
		file(f, 1, 101).refused(t, http.StatusBadRequest, "active_limit_exceeded")
		f.clock.advance(10 * time.Minute)
		file(f, 1, 101).into(t, http.StatusOK, &struct{}{})
	})
	t.Run("10 approved", func(t *testing.T) {
		f := newFixture(t, nil)
		file(f, 11, 100)
		for i, r := range f.Pending() {
			a := f.postForm("/_wallet/requests/"+r.ID+"/approve", false, nil)
			if i < 10 {
				a.into(t, http.StatusOK, &Request{})
			} else {
				a.refused(t, http.StatusBadRequest, "approved_limit_exceeded")
			}
		}
	})
	t.Run("50 an hour", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Limits.Active = 1000 })
		file(f, 50, 100).into(t, http.StatusOK, &struct{}{})
		f.clock.advance(30 * time.Minute)
		a := file(f, 1, 101)
		p := a.refused(t, http.StatusTooManyRequests, "spend_request_rate_limited")
		if want := f.clock.now().Add(30 * time.Minute).Unix(); p.Error.RetryAfter != want || a.header.Get("Retry-After") != "1800" {
			t.Errorf("retry_after %d, want %d; Retry-After %q", p.Error.RetryAfter, want, a.header.Get("Retry-After"))
		}
		f.clock.advance(30 * time.Minute)
		file(f, 1, 101).into(t, http.StatusOK, &struct{}{})
	})
	t.Run("200 in 60 days", func(t *testing.T) {
		f := newFixture(t, nil)
		for range 10 {
			file(f, 20, 100).into(t, http.StatusOK, &struct{}{})
			f.clock.advance(day)
		}
		file(f, 1, 100).refused(t, http.StatusTooManyRequests, "spend_request_rate_limited")
		f.clock.advance(50 * day)
		file(f, 1, 100).into(t, http.StatusOK, &struct{}{})
	})
	t.Run("the same again while it waits", func(t *testing.T) {
		f := newFixture(t, nil)
		first := f.create(nil)
		p := f.call(StaticToken, http.MethodPost, "/spend_requests", body(nil)).
			refused(t, http.StatusTooManyRequests, "spend_request_rate_limited")
		if p.Error.Duplicate == nil || p.Error.Duplicate.ID != first.ID || p.Error.RetryAfter == 0 {
			t.Errorf("%+v", p.Error)
		}
		if err := f.Deny(first.ID); err != nil {
			t.Fatal(err)
		}
		f.create(nil)
	})
}

func FuzzParseDraft(f *testing.F) {
	f.Add([]byte(body(nil)))
	f.Add([]byte(body(map[string]any{
		"line_items": []any{map[string]any{"name": "x", "quantity": 2, "unit_amount": -5, "totals": []any{map[string]any{"type": "tax", "amount": 1}}}},
		"metadata":   map[string]string{"a": "b"}, "idempotency_key": "k",
	})))
	f.Add([]byte(`{"amount":1e2,"context":null,"line_items":[null]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := parseDraft(in)
		if err != nil {
			return
		}
		if d.Amount <= 0 || d.Amount > maxCents || d.CredentialType == credentialToken && (d.NetworkID == "" || d.MerchantName != "") {
			t.Errorf("let through: %+v", d)
		}
		out, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseDraft(out)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		twice, err := json.Marshal(again)
		if err != nil || string(twice) != string(out) {
			t.Error(cmp.Diff(string(out), string(twice)))
		}
	})
}
