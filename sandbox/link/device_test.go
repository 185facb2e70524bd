package link

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const client = "lwlpk_U7Qy7ThG69STZk"

func (f *fixture) login(form url.Values) wireDevice {
	f.t.Helper()
	form.Set("client_id", client)
	var d wireDevice
	f.postForm("/device/code", false, form).into(f.t, http.StatusOK, &d)
	return d
}

func (f *fixture) poll(code string) answer {
	f.t.Helper()
	return f.postForm("/device/token", false, url.Values{
		"grant_type": {grantDevice}, "device_code": {code}, "client_id": {client},
	})
}

func (a answer) oauth(t *testing.T, code string) {
	t.Helper()
	var e oauthError
	a.into(t, http.StatusBadRequest, &e)
	if e.Code != code {
		t.Fatalf("error %q, want %q", e.Code, code)
	}
}

func (f *fixture) decide(d wireDevice, decision string) answer {
	f.t.Helper()
	path := strings.TrimPrefix(d.VerificationURIComplete, testBase)
	return f.postForm("/device", true, url.Values{
		"token": {f.formTokenOf(path)}, "user_code": {d.UserCode}, "decision": {decision},
	})
}

func TestDeviceLoginConversation(t *testing.T) {
	f := newFixture(t, nil)
	d := f.login(url.Values{
		"connection_label":                   {"Report agent on workstation"},
		"authorization_details[][type]":      {"source"},
		"authorization_details[][actions][]": {"read_balances", "read_source_details"},
	})
	if d.VerificationURI != testBase+"/device" || d.ExpiresIn != 600 || d.Interval != 5 {
		t.Fatalf("%+v", d)
	}
	f.poll(d.DeviceCode).oauth(t, "authorization_pending")
	f.clock.advance(time.Second)
	f.poll(d.DeviceCode).oauth(t, "slow_down")
	f.clock.advance(9 * time.Second) // the interval is 10 seconds by now
	f.poll(d.DeviceCode).oauth(t, "slow_down")
	f.clock.advance(15 * time.Second)
	f.poll(d.DeviceCode).oauth(t, "authorization_pending")

	page := f.page(strings.TrimPrefix(d.VerificationURIComplete, testBase)).body
	for _, want := range []string{"Report agent on workstation", d.UserCode, "See balances"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if a := f.decide(d, "allow"); a.status != http.StatusOK || !strings.Contains(a.body, "Connected") {
		t.Fatalf("%d: %s", a.status, a.body)
	}

	var tok wireToken
	f.poll(d.DeviceCode).into(t, http.StatusOK, &tok)
	if tok.TokenType != "Bearer" || tok.ExpiresIn != 3600 || tok.Scope != scopePay+" "+scopeUserinfo ||
		len(tok.Details) != 1 || !slices.Equal(tok.Details[0].Actions, []string{"read_balances", "read_source_details"}) {
		t.Fatalf("%+v", tok)
	}
	f.poll(d.DeviceCode).oauth(t, "invalid_grant") // once

	read := func(token, path string) int { return f.call(token, http.MethodGet, path, "").status }
	if got := read(tok.AccessToken, "/userinfo"); got != http.StatusOK {
		t.Fatalf("userinfo: %d", got)
	}
	if got := read(tok.AccessToken, "/balances"); got != http.StatusOK {
		t.Fatalf("balances: %d", got)
	}
	if got := read(tok.AccessToken, "/transactions"); got != http.StatusForbidden {
		t.Fatalf("transactions without the grant: %d", got)
	}
	if !strings.Contains(f.page("/wallet/agents").body, "Report agent on workstation") {
		t.Fatal("the agent is not listed")
	}

	f.clock.advance(accessLife)
	if got := read(tok.AccessToken, "/userinfo"); got != http.StatusUnauthorized {
		t.Fatalf("an access token at its end: %d", got)
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}, "client_id": {client}}
	var again wireToken
	f.postForm("/device/token", false, refresh).into(t, http.StatusOK, &again)
	if got := read(again.AccessToken, "/userinfo"); got != http.StatusOK {
		t.Fatalf("after the refresh: %d", got)
	}

	if a := f.postForm("/device/revoke", false, url.Values{"client_id": {client}, "token": {again.RefreshToken}}); a.status != http.StatusOK {
		t.Fatalf("revoke: %d", a.status)
	}
	if got := read(again.AccessToken, "/userinfo"); got != http.StatusUnauthorized {
		t.Fatalf("after the revocation: %d", got)
	}
	f.postForm("/device/token", false, refresh).oauth(t, "invalid_grant")
}

func TestDeviceLoginEndings(t *testing.T) {
	f := newFixture(t, nil)
	denied := f.login(url.Values{})
	f.decide(denied, "deny")
	f.poll(denied.DeviceCode).oauth(t, "access_denied")

	late := f.login(url.Values{})
	f.clock.advance(deviceLife)
	f.poll(late.DeviceCode).oauth(t, "expired_token")
	if a := f.page("/device?user_code=" + late.UserCode); a.status != http.StatusNotFound {
		t.Errorf("the page of an expired code: %d", a.status)
	}

	d := f.login(url.Values{})
	f.postForm("/device/token", false, url.Values{
		"grant_type": {grantDevice}, "device_code": {d.DeviceCode}, "client_id": {"another"},
	}).oauth(t, "invalid_grant")
	if a := f.decide(d, "maybe"); a.status != http.StatusConflict {
		t.Errorf("an unknown decision: %d", a.status)
	}
	f.poll(d.DeviceCode).oauth(t, "authorization_pending")
}

func TestDeviceRefusals(t *testing.T) {
	f := newFixture(t, nil)
	for _, tt := range []struct {
		name, path, want string
		form             url.Values
	}{
		{"no client", "/device/code", "invalid_client", url.Values{}},
		{"a scope nobody knows", "/device/code", "invalid_scope", url.Values{"client_id": {client}, "scope": {"root"}}},
		{"a repeated parameter", "/device/code", "invalid_request", url.Values{"client_id": {client, client}}},
		{"an action nobody knows", "/device/code", "invalid_authorization_details", url.Values{
			"client_id": {client}, "authorization_details[][type]": {"source"}, "authorization_details[][actions][]": {"move_money"},
		}},
		{"actions without a type", "/device/code", "invalid_authorization_details", url.Values{
			"client_id": {client}, "authorization_details[][actions][]": {"read_balances"},
		}},
		{"a grant nobody knows", "/device/token", "unsupported_grant_type", url.Values{"client_id": {client}, "grant_type": {"password"}}},
		{"an empty device code", "/device/token", "invalid_grant", url.Values{"client_id": {client}, "grant_type": {grantDevice}}},
		{"an empty refresh token", "/device/token", "invalid_grant", url.Values{"client_id": {client}, "grant_type": {"refresh_token"}}},
		{"nothing to revoke", "/device/revoke", "invalid_request", url.Values{"client_id": {client}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.postForm(tt.path, false, tt.form).oauth(t, tt.want)
		})
	}
}

func TestLoginsUnderWayAreBounded(t *testing.T) {
	f := newFixture(t, nil)
	for range maxDevices {
		f.login(url.Values{})
	}
	f.postForm("/device/code", false, url.Values{"client_id": {client}}).oauth(t, "temporarily_unavailable")
	f.clock.advance(2*deviceLife + time.Second)
	f.login(url.Values{})
}

func TestDisconnectEndsTheTokens(t *testing.T) {
	f := newFixture(t, nil)
	d := f.login(url.Values{})
	f.decide(d, "allow")
	var tok wireToken
	f.poll(d.DeviceCode).into(t, http.StatusOK, &tok)
	id := f.connections[0].id
	if a := f.postForm("/wallet/agents/"+id+"/disconnect", true, url.Values{"token": {"wrong"}}); a.status != http.StatusConflict {
		t.Fatalf("a wrong form token: %d", a.status)
	}
	form := url.Values{"token": {f.formTokenOf("/wallet/agents")}}
	if a := f.postForm("/wallet/agents/"+id+"/disconnect", true, form); a.status != http.StatusSeeOther {
		t.Fatalf("%d: %s", a.status, a.body)
	}
	if a := f.call(tok.AccessToken, http.MethodGet, "/userinfo", ""); a.status != http.StatusUnauthorized {
		t.Fatalf("the token still works: %d", a.status)
	}
}

func TestTypedUserCodes(t *testing.T) {
	for in, want := range map[string]string{
		"bcdf-ghjk": "BCDF-GHJK", " BCDF GHJK ": "BCDF-GHJK", "BCDFGHJK": "BCDF-GHJK", "BCDF": "", "": "", "BCDF-GHJK-L": "",
	} {
		if got := readUserCode(in); got != want {
			t.Errorf("%q is read as %q, want %q", in, got, want)
		}
	}
}

func FuzzAuthorizationDetails(f *testing.F) {
	f.Add("authorization_details[][type]=source&authorization_details[][actions][]=read_balances")
	f.Add("authorization_details[0][type]=source&authorization_details[0][actions][1]=read_balances&authorization_details[x]=1")
	f.Fuzz(func(t *testing.T, form string) {
		values, err := url.ParseQuery(form)
		if err != nil {
			return
		}
		actions, ok := parseDetails(values)
		if !ok {
			return
		}
		again := url.Values{}
		if len(actions) > 0 {
			again.Set("authorization_details[][type]", "source")
			again["authorization_details[][actions][]"] = actions
		}
		back, ok := parseDetails(again)
		if !ok || !slices.Equal(back, actions) {
			t.Errorf("%q gives %v, which gives %v, %t", form, actions, back, ok)
		}
		for _, a := range actions {
			if !slices.Contains(sourceActions, a) {
				t.Errorf("%q grants %q", form, a)
			}
		}
	})
}
