package link

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBearerTokens(t *testing.T) {
	f := newFixture(t, nil)
	for header, want := range map[string]int{
		"Bearer sandbox": http.StatusOK, "bearer sandbox": http.StatusOK,
		"": http.StatusUnauthorized, "sandbox": http.StatusUnauthorized, "Basic sandbox": http.StatusUnauthorized,
		"Bearer ": http.StatusUnauthorized, "Bearer sandbox2": http.StatusUnauthorized,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, testBase+"/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		a := f.do(r)
		if a.status != want {
			t.Errorf("%q: %d, want %d", header, a.status, want)
		}
		if want == http.StatusUnauthorized {
			a.refused(t, want, "unauthorized")
			if a.header.Get("Www-Authenticate") == "" {
				t.Errorf("%q: no WWW-Authenticate", header)
			}
		}
	}
}

func TestUserinfoShowsLimits(t *testing.T) {
	f := newFixture(t, nil)
	sr := f.create(nil)
	if err := f.Approve(sr.ID); err != nil {
		t.Fatal(err)
	}
	var info wireUserinfo
	f.call(StaticToken, http.MethodGet, "/userinfo", "").into(t, http.StatusOK, &info)
	want := wireLimits{
		PerTransaction: wireLimit{500_00}, Daily: wireUsage{500_00, 1500, 485_00}, ThirtyDay: wireUsage{20_000_00, 1500, 19_985_00},
	}
	if info.Limits != want || info.StepUp == nil || info.StepUp.Status != "not_required" {
		t.Errorf("%+v", info)
	}
}

func TestPaymentDetailsBeginWithTheDefault(t *testing.T) {
	f := newFixture(t, nil)
	var got struct {
		Details []wireMethod `json:"payment_details"`
	}
	f.call(StaticToken, http.MethodGet, "/payment-details", "").into(t, http.StatusOK, &got)
	declining := 0
	for i, m := range got.Details {
		if m.IsDefault != (i == 0) || !strings.HasPrefix(m.Nickname, "Sandbox ") || !strings.HasPrefix(m.ID, "csmrpd_") {
			t.Errorf("%+v", m)
		}
		if strings.Contains(m.Nickname, "declined") {
			declining++
		}
		if m.Capabilities["agentic_payments"].Eligible != (m.Bank == nil) {
			t.Errorf("%+v", m)
		}
	}
	if declining == 0 {
		t.Error("no card to try a decline with")
	}
	var addresses map[string][]wireShippingAddress
	f.call(StaticToken, http.MethodGet, "/shipping_addresses", "").into(t, http.StatusOK, &addresses)
	if len(addresses["shipping_addresses"]) != 1 {
		t.Errorf("%+v", addresses)
	}
}

func TestTransactionsInPages(t *testing.T) {
	f := newFixture(t, nil)
	for i := range 5 {
		sr := f.create(map[string]any{"amount": 100 + i})
		if err := f.Approve(sr.ID); err != nil {
			t.Fatal(err)
		}
		f.proc.capture(fmt.Sprintf("spt_%d", i+1), int64(100+i))
		f.refresh(t.Context())
		f.clock.advance(day)
	}
	type transactions struct {
		Data []wireTransaction `json:"data"`
		More bool              `json:"has_more"`
	}
	get := func(query string) transactions {
		t.Helper()
		var p transactions
		f.call(StaticToken, http.MethodGet, "/transactions"+query, "").into(t, http.StatusOK, &p)
		return p
	}
	all := get("")
	if len(all.Data) != 5 || all.More || all.Data[0].Amount != 104 {
		t.Fatalf("%+v", all)
	}
	for _, tt := range []struct {
		query   string
		amounts string
		more    bool
	}{
		{"?limit=2", "[104 103]", true},
		{"?limit=2&starting_after=" + all.Data[1].ID, "[102 101]", true},
		{"?limit=2&starting_after=" + all.Data[3].ID, "[100]", false},
		{"?limit=2&ending_before=" + all.Data[3].ID, "[103 102]", true},
		{"?date_start=2026-11-04&date_end=2026-11-05", "[103 102]", false},
		{"?origin=external_connection", "[]", false},
		{"?category=travel", "[]", false},
		{"?sources[]=csmrpd_sandbox_declined", "[]", false},
	} {
		p := get(tt.query)
		amounts := []int64{}
		for _, d := range p.Data {
			amounts = append(amounts, d.Amount)
		}
		if got := fmt.Sprint(amounts); got != tt.amounts || p.More != tt.more {
			t.Errorf("%s: %s, %t", tt.query, got, p.More)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=x", "?starting_after=none", "?date_start=today", "?starting_after=a&ending_before=b"} {
		f.call(StaticToken, http.MethodGet, "/transactions"+query, "").refused(t, http.StatusBadRequest, "invalid_request")
	}
	var balances struct{ Data []wireBalance }
	f.call(StaticToken, http.MethodGet, "/balances?sources[]=csmrpd_sandbox_visa", "").into(t, http.StatusOK, &balances)
	if len(balances.Data) != 1 || balances.Data[0].Current != 510 {
		t.Errorf("%+v", balances)
	}
	var sources struct{ Data []wireSource }
	f.call(StaticToken, http.MethodGet, "/sources", "").into(t, http.StatusOK, &sources)
	if len(sources.Data) != len(methods) {
		t.Errorf("%+v", sources)
	}
}

func TestApprovalPolicy(t *testing.T) {
	for cents, want := range map[int64]string{
		0:   `{"rules":[]}`,
		250: `{"rules":[{"action":"spend_request_create","limits":{"per_purchase":{"amount":250,"currency":"usd"}}}]}`,
	} {
		f := newFixture(t, func(c *Config) { c.AutoApprove = cents })
		if a := f.call(StaticToken, http.MethodGet, "/approval_policy", ""); a.body != want {
			t.Errorf("%d: %s", cents, a.body)
		}
	}
}

func TestObservations(t *testing.T) {
	f := newFixture(t, nil)
	sr := f.create(nil)
	report := func(rest string) answer {
		return f.call(StaticToken, http.MethodPost, "/agent_observations", `{"spend_request_id":"`+sr.ID+`"`+rest+`}`)
	}
	report(`,"domain":"shop.example.com","outcome":"blocked","tags":["captcha"],"step":"cart"`).into(t, http.StatusOK, &struct{}{})
	for _, bad := range []string{
		`,"outcome":"blocked"`, `,"domain":"x","outcome":"lost"`, `,"domain":"x","outcome":"blocked","tags":["bored"]`,
		`,"domain":"x","outcome":"blocked","tags":[7]`, `,"domain":"x","outcome":"blocked","attempt_trace":"` + strings.Repeat("x", 8001) + `"`,
	} {
		report(bad).refused(t, http.StatusBadRequest, "invalid_request")
	}
	f.call(StaticToken, http.MethodPost, "/agent_observations", `{"spend_request_id":"none","domain":"x","outcome":"blocked"}`).
		refused(t, http.StatusNotFound, "not_found")
	if got, _ := f.look(sr.ID); len(got.Reports) != 1 || got.Reports[0] != "blocked at shop.example.com; captcha; cart" {
		t.Errorf("%q", got.Reports)
	}
}

func TestWebBotAuthVerifies(t *testing.T) {
	f := newFixture(t, nil)
	var signed struct {
		Block map[string]string `json:"web_bot_auth"`
	}
	f.call(StaticToken, http.MethodPost, "/web_bot_auth/sign", `{"url":"https://Shop.Example.com:443/checkout"}`).into(t, http.StatusOK, &signed)
	var directory struct{ Keys []map[string]string }
	f.page("/.well-known/http-message-signatures-directory").into(t, http.StatusOK, &directory)
	key, err := base64.RawURLEncoding.DecodeString(directory.Keys[0]["x"])
	if err != nil {
		t.Fatal(err)
	}
	params := strings.TrimPrefix(signed.Block["signature_input"], "sig1=")
	sig, err := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimPrefix(signed.Block["signature"], "sig1="), ":"))
	if err != nil {
		t.Fatal(err)
	}
	base := "\"@authority\": shop.example.com\n\"signature-agent\": \"" + testBase + "\"\n\"@signature-params\": " + params
	if !ed25519.Verify(key, []byte(base), sig) {
		t.Errorf("the signature does not verify: %v", signed.Block)
	}
	if !strings.Contains(params, `keyid="`+directory.Keys[0]["kid"]+`"`) || signed.Block["expires_at"] != timestamp(f.clock.now().Add(10*time.Minute)) {
		t.Errorf("%v", signed.Block)
	}
	for _, bad := range []string{`{}`, `{"url":"ftp://x"}`, `{"url":"https://u:p@x"}`, `{"url":7}`} {
		f.call(StaticToken, http.MethodPost, "/web_bot_auth/sign", bad).refused(t, http.StatusBadRequest, "invalid_request")
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	good := func() Config { return Config{Processor: &processor{}, BaseURL: testBase} }
	for name, change := range map[string]func(*Config){
		"Processor":     func(c *Config) { c.Processor = nil },
		"BaseURL":       func(c *Config) { c.BaseURL = "127.0.0.1:4022" },
		"BaseURL: want": func(c *Config) { c.BaseURL = testBase + "/wallet" },
		"AutoApprove":   func(c *Config) { c.AutoApprove = -1 },
		"Limits":        func(c *Config) { c.Limits.Daily = -1 },
		"Webhook":       func(c *Config) { c.Webhook, c.WebhookSecret = "ftp://x", "s" },
		"WebhookSecret": func(c *Config) { c.Webhook = "http://127.0.0.1:1" },
	} {
		cfg := good()
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w, err := New(good())
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
}

func TestIdentifiersTakeEitherConvention(t *testing.T) {
	for name, newID := range map[string]func(string) string{
		"with underscore": func(p string) string { return p + "_7" },
		"prefix only":     func(p string) string { return p + "7" },
		"neither":         func(string) string { return "7" },
	} {
		f := newFixture(t, func(c *Config) { c.NewID = newID })
		if got := f.create(nil).ID; got != "lsrq_7" {
			t.Errorf("%s: %s", name, got)
		}
	}
}
