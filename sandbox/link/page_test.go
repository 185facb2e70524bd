package link

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

var elements = regexp.MustCompile(`(?i)<(script|img|svg|iframe|object|a href="javascript)[^>]*>`)

func TestH147_AgentTextIsInert(t *testing.T) {
	const attack = `"><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}<!--`
	f := newFixture(t, nil)
	token := f.create(map[string]any{
		"network_id": "profile_" + attack, "context": attack + why + "\x1b[31mred\x1b[0m \u202egnp.exe\u202c",
		"line_items": []any{map[string]any{"name": attack, "description": attack, "sku": attack, "url": "javascript:alert(1)"}},
		"totals":     []any{map[string]any{"type": "total", "display_text": attack, "amount": 1500}},
	})
	card := f.create(map[string]any{
		"credential_type": "card", "network_id": nil, "merchant_name": attack, "merchant_url": "https://x.example/" + attack,
	})
	f.call(StaticToken, http.MethodPost, "/agent_observations",
		`{"domain":"<script>alert(1)</script>","outcome":"blocked","spend_request_id":"`+card.ID+`","freeform_context":"<img src=x>"}`).
		into(t, http.StatusOK, &struct{}{})
	d := f.login(url.Values{"connection_label": {attack}})
	device := strings.TrimPrefix(d.VerificationURIComplete, testBase)
	paths := []string{
		"/wallet", "/wallet/purchases", "/wallet/requests/" + token.ID, "/wallet/requests/" + card.ID, device,
		"/device?user_code=" + url.QueryEscape(attack), "/wallet/requests/" + url.PathEscape(attack),
	}
	check := func(path string) {
		t.Helper()
		a := f.page(path)
		nonce := regexp.MustCompile(`script-src 'nonce-([A-Z2-7]{26})'`).FindStringSubmatch(a.header.Get("Content-Security-Policy"))
		if nonce == nil || !strings.HasPrefix(a.header.Get("Content-Security-Policy"), "default-src 'none';") {
			t.Fatalf("%s: policy %q", path, a.header.Get("Content-Security-Policy"))
		}
		for _, e := range elements.FindAllString(a.body, -1) {
			if e != `<script nonce="`+nonce[1]+`">` {
				t.Errorf("%s: %s", path, e)
			}
		}
		for _, bad := range []string{"\x1b", "\u202e", "[31m", "onclick", "<!--"} {
			if strings.Contains(a.body, bad) {
				t.Errorf("%s contains %q", path, bad)
			}
		}
		if !strings.Contains(a.body, "no money moves") {
			t.Errorf("%s does not say that no money moves", path)
		}
	}
	for _, path := range paths {
		check(path)
	}
	f.decide(d, "allow")
	f.poll(d.DeviceCode).into(t, http.StatusOK, &struct{}{})
	check("/wallet/agents")
	if got := f.page("/wallet/requests/" + token.ID).body; !strings.Contains(got, "&lt;script&gt;alert(1)&lt;/script&gt;") {
		t.Error("the text itself is gone")
	}
}

func TestH145_DecisionsNeedOurOwnPage(t *testing.T) {
	f := newFixture(t, nil)
	sr := f.create(nil)
	page := "/wallet/requests/" + sr.ID
	good := f.formTokenOf(page)
	for _, tt := range []struct {
		name, path, token string
		header            map[string]string
		want              int
	}{
		{"cross-site", page + "/approve", good, map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{"same-site", page + "/approve", good, map[string]string{"Sec-Fetch-Site": "same-site"}, http.StatusForbidden},
		{"a foreign origin", page + "/approve", good, map[string]string{"Origin": "http://evil.example"}, http.StatusForbidden},
		{"another port", page + "/approve", good, map[string]string{"Origin": "http://127.0.0.1:9999"}, http.StatusForbidden},
		{"origin null", page + "/approve", good, map[string]string{"Origin": "null"}, http.StatusForbidden},
		{"no form token", page + "/approve", "", map[string]string{"Sec-Fetch-Site": "same-origin"}, http.StatusConflict},
		{"no headers, no form token", page + "/approve", "", nil, http.StatusConflict},
		{"the token of something else", page + "/deny", f.formToken("agent", sr.ID), nil, http.StatusConflict},
		{"deny cross-site", page + "/deny", good, map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{"control cross-site", "/_wallet/requests/" + sr.ID + "/approve", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{"control from a foreign origin", "/_wallet/requests/" + sr.ID + "/approve", "", map[string]string{"Origin": "http://evil.example"}, http.StatusForbidden},
		{"device cross-site", "/device", good, map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, testBase+tt.path, strings.NewReader(url.Values{"token": {tt.token}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			if a := f.do(r); a.status != tt.want {
				t.Errorf("%d, want %d: %s", a.status, tt.want, a.body)
			}
			f.wantStatus(sr.ID, PendingApproval)
		})
	}
	for _, what := range []string{"/approve", "/deny"} { // a GET has no effect
		if a := f.page(page + what); a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", what, a.status)
		}
	}
	f.wantStatus(sr.ID, PendingApproval)
	if a := f.postForm(page+"/approve", true, url.Values{"token": {good}}); a.status != http.StatusSeeOther {
		t.Errorf("the real click: %d", a.status)
	}
}

func TestH148_AnotherHostNameIsRefused(t *testing.T) {
	f := newFixture(t, nil)
	sr := f.create(nil)
	for host, known := range map[string]bool{
		"127.0.0.1:4022": true, "localhost:4022": true, "LOCALHOST": true, "[::1]:4022": true, "127.0.0.9": true,
		"rebind.example:4022": false, "127.0.0.1.rebind.example": false, "192.168.1.4:4022": false, "localhost.example": false, "": false,
	} {
		for _, call := range []struct{ method, path string }{
			{http.MethodGet, "/wallet"},
			{http.MethodGet, "/wallet/requests/" + sr.ID},
			{http.MethodGet, "/_wallet/requests"},
			{http.MethodPost, "/_wallet/requests/lsrq_none/approve"},
		} {
			r := httptest.NewRequest(call.method, call.path, nil)
			r.Host = host
			status := f.do(r).status
			if refused := status == http.StatusForbidden || status == http.StatusMisdirectedRequest; refused == known {
				t.Errorf("%s %s under %q: %d", call.method, call.path, host, status)
			}
		}
	}
}

func TestClickOnAnOldPageDoesNothing(t *testing.T) {
	f := newFixture(t, nil)
	sr := f.create(map[string]any{"request_approval": nil})
	f.call(StaticToken, http.MethodPost, "/spend_requests/"+sr.ID+"/request_approval", "").into(t, http.StatusOK, &struct{}{})
	path := "/wallet/requests/" + sr.ID
	old := f.formTokenOf(path)
	f.clock.advance(10 * time.Minute)
	a := f.postForm(path+"/approve", true, url.Values{"token": {old}})
	if a.status != http.StatusConflict || !strings.Contains(a.body, "Expired") {
		t.Errorf("%d: %s", a.status, a.body)
	}
	if len(f.proc.grants) != 0 {
		t.Error("a token was granted")
	}
}

func TestPagesShowWhatThePersonNeeds(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.AutoApprove = 100 })
	if a := f.page("/wallet"); !strings.Contains(a.body, "Nothing waits for you") {
		t.Error("no word on the empty list")
	}
	if a := f.page("/"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/wallet" {
		t.Errorf("/: %d", a.status)
	}
	sr := f.create(map[string]any{
		"line_items": []any{map[string]any{"name": "Report", "quantity": 3, "unit_amount": 450}},
		"totals":     []any{map[string]any{"type": "fee", "display_text": "Fee", "amount": 150}},
	})
	f.clock.advance(time.Minute)
	for _, path := range []string{"/wallet", "/wallet/requests/" + sr.ID} {
		body := f.page(path).body
		for _, want := range []string{
			"$15.00 USD", "profile_test_1", why, "Expires in 9 minutes", "Report", "$13.50", "$1.50", "Static sandbox token",
			`action="/wallet/requests/` + sr.ID + `/approve"`, `action="/wallet/requests/` + sr.ID + `/deny"`,
			`<noscript><meta http-equiv="refresh"`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not show %q", path, want)
			}
		}
	}
	f.click(sr.ID, "approve")
	f.proc.capture("spt_1", 1500)
	if body := f.page("/wallet/purchases").body; !strings.Contains(body, "Paid") {
		t.Errorf("the purchase is not shown as paid: %s", body)
	}
	if body := f.page("/wallet/requests/" + sr.ID).body; strings.Contains(body, "<button") || strings.Contains(body, "http-equiv") {
		t.Error("a finished request still has buttons or looks for news")
	}
	if body := f.page("/wallet").body; !strings.Contains(body, "$15.00 of $500.00") {
		t.Error("the meter does not show what was spent")
	}
}

func TestControlListsAndDecides(t *testing.T) {
	f := newFixture(t, nil)
	first, second := f.create(nil), f.create(map[string]any{"amount": 2})
	var list struct{ Data []Request }
	f.page("/_wallet/requests").into(t, http.StatusOK, &list)
	if len(list.Data) != 2 || list.Data[0].ID != first.ID {
		t.Fatalf("%+v", list.Data)
	}
	var v Request
	f.postForm("/_wallet/requests/"+first.ID+"/approve", false, nil).into(t, http.StatusOK, &v)
	if v.Status != Approved || v.DecidedBy != byControl {
		t.Errorf("%+v", v)
	}
	f.postForm("/_wallet/requests/"+first.ID+"/approve", false, nil).refused(t, http.StatusConflict, "invalid_state")
	f.postForm("/_wallet/requests/"+second.ID+"/deny", false, nil).into(t, http.StatusOK, &v)
	f.postForm("/_wallet/requests/lsrq_none/deny", false, nil).refused(t, http.StatusNotFound, "not_found")
	f.page("/_wallet/requests?history=true").into(t, http.StatusOK, &list)
	if len(list.Data) != 2 || list.Data[1].Status != Denied {
		t.Errorf("%+v", list.Data)
	}
	a := f.page("/_wallet/requests?history=true")
	if strings.Contains(a.body, "spt_") {
		t.Error("a token is in what a person sees")
	}
}
