package sandbox_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/sandbox"
)

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  sandbox.Config
		ok   bool
	}{
		{"loopback", sandbox.Config{BaseURL: "http://127.0.0.1:4022"}, true},
		{"by name", sandbox.Config{BaseURL: "http://localhost:4022"}, true},
		{"version 6", sandbox.Config{BaseURL: "http://[::1]:4022"}, true},
		{"none", sandbox.Config{}, false},
		{"elsewhere", sandbox.Config{BaseURL: "http://pay.example.com"}, false},
		{"all addresses", sandbox.Config{BaseURL: "http://0.0.0.0:4022"}, false},
		{"no time at all", sandbox.Config{BaseURL: "http://127.0.0.1", Latency: -1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := sandbox.New(tt.cfg)
			if (err == nil) != tt.ok {
				t.Fatal(err)
			}
			if s != nil {
				s.Close()
			}
		})
	}
}

func TestListen(t *testing.T) {
	b := newBox(t, sandbox.Config{})
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", ""} {
		if l, err := b.Listen(addr); !errors.Is(err, sandbox.ErrNotLoopback) {
			t.Errorf("%q: %v, %v", addr, l, err)
		}
	}
	l, err := b.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// The audit has a call before its client has the answer, and counts what happened.
func TestAudit(t *testing.T) {
	b := newBox(t, sandbox.Config{Seed: 1})
	spt := b.token(500)
	for range 2 {
		if r := b.stripe(http.MethodPost, "/v1/payment_intents", sale(spt, 200), "k1"); r.status != 200 || r.header.Get("Sandbox") != sandbox.Notice {
			t.Fatalf("%d %s %v", r.status, r.body, r.header)
		}
	}
	v := b.control(http.MethodGet, "audit", "").decode(t)
	calls, _ := v["calls"].([]any)
	if len(calls) != 2 || v["notice"] != sandbox.Notice {
		t.Fatalf("audit %v", v)
	}
	first, _ := calls[0].(map[string]any)
	second, _ := calls[1].(map[string]any)
	if first["idempotency_key"] != "k1" || first["path"] != "/v1/payment_intents" || first["replayed"] != false || second["replayed"] != true || first["status"] != 200.0 {
		t.Errorf("calls %v", calls)
	}
	totals, _ := v["totals"].(map[string]any)
	captured, _ := totals["captured"].(map[string]any)
	if totals["charges"] != 1.0 || captured["usd"] != 200.0 {
		t.Errorf("totals %v", totals)
	}
	a := b.Audit()
	if len(a.Charges) != 1 || a.Charges[0].IdempotencyKey != "k1" || len(a.Tokens) != 1 || a.Tokens[0].DeactivatedReason != "consumed" {
		t.Errorf("%+v", a)
	}
	if strings.Contains(b.control(http.MethodGet, "audit", "").body, "sk_test_sandbox") {
		t.Error("the audit tells keys")
	}
}

// One seed, one story.
func TestSeed(t *testing.T) {
	story := func() string {
		b := newBox(t, sandbox.Config{Seed: 7, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
		first := b.stripe(http.MethodPost, "/v1/payment_intents", sale(b.token(500), 200), "k").body
		if r := b.control(http.MethodPost, "reset", ""); r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if second := b.stripe(http.MethodPost, "/v1/payment_intents", sale(b.token(500), 200), "k").body; second != first {
			t.Errorf("after a reset: %s, before: %s", second, first)
		}
		return first
	}
	if a, b := story(), story(); a != b {
		t.Errorf("%s and %s", a, b)
	}
}

func TestClock(t *testing.T) {
	b := newBox(t, sandbox.Config{Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	spt := b.token(500)
	for _, bad := range []string{
		`{}`, `{"advance":"-1h"}`, `{"advance":"x"}`, `{"advance_seconds":1,"advance":"1s"}`, `{"advance_seconds":-5}`,
		`{"advance_seconds":9223372036854775807}`, `{"speed":2}`, `{"advance":"1s"}{}`, ``,
	} {
		if r := b.control(http.MethodPost, "clock", bad); r.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, r.status, r.body)
		}
	}
	b.control(http.MethodPost, "clock", `{"advance_seconds":3599}`)
	if state, _ := b.Stripe().Token(spt); state.DeactivatedReason != "" {
		t.Errorf("too early: %+v", state)
	}
	v := b.control(http.MethodPost, "clock", `{"advance":"1s"}`).decode(t)
	if v["advanced_seconds"] != 3600.0 || v["now"] != "2027-01-15T09:00:00Z" {
		t.Errorf("clock %v", v)
	}
	if state, _ := b.Stripe().Token(spt); state.DeactivatedReason != "expired" {
		t.Errorf("too late: %+v", state)
	}
	if v := b.control(http.MethodGet, "clock", "").decode(t); v["advanced_seconds"] != 3600.0 {
		t.Errorf("clock %v", v)
	}
}

// Pages of other sites do not reach the control plane.
func TestControlIsGuarded(t *testing.T) {
	b := newBox(t, sandbox.Config{})
	for _, header := range []string{"Sec-Fetch-Site: cross-site", "Origin: http://evil.example", "Host: evil.example"} {
		if r := b.control(http.MethodPost, "reset", "", header); r.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", header, r.status, r.body)
		}
	}
	if r := b.control(http.MethodGet, "audit", "", "Host: evil.example"); r.status != http.StatusForbidden {
		t.Errorf("rebound name: %d", r.status)
	}
	if r := b.control(http.MethodGet, "nonesuch", ""); r.status != http.StatusNotFound {
		t.Errorf("%d", r.status)
	}
}

func TestLiveKeysAreRefused(t *testing.T) {
	b := newBox(t, sandbox.Config{})
	r := b.do(http.MethodPost, "/v1/payment_intents", "application/x-www-form-urlencoded", "amount=100&currency=usd", "Authorization: Bearer sk_live_secret")
	if r.status != http.StatusUnauthorized || !strings.Contains(r.body, "no money moves") || strings.Contains(r.body, "sk_live_secret") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestMount(t *testing.T) {
	b := newBox(t, sandbox.Config{})
	b.Mount("/elsewhere/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.Path)
		w.WriteHeader(http.StatusTeapot)
	}))
	b.order(`{"kind":"status","path":"/elsewhere/","count":1}`)
	if r := b.do(http.MethodGet, "/elsewhere/supported", "", ""); r.status != 500 || r.header.Get("X-Path") != "" {
		t.Errorf("%d %v", r.status, r.header)
	}
	if r := b.do(http.MethodGet, "/elsewhere/supported", "", ""); r.status != http.StatusTeapot || r.header.Get("X-Path") != "/elsewhere/supported" {
		t.Errorf("%d %v", r.status, r.header)
	}
	if a := b.Audit(); len(a.Calls) != 2 || a.Calls[0].Fault != "status" || a.Calls[0].Executed != 0 || a.Calls[1].Executed != http.StatusTeapot {
		t.Errorf("%+v", a.Calls)
	}
}

// The wallet is there, and its page says what it is.
func TestWalletIsMounted(t *testing.T) {
	b := newBox(t, sandbox.Config{})
	r := b.do(http.MethodGet, "/wallet", "", "", "Host: 127.0.0.1:4022")
	if r.status != http.StatusOK || !strings.Contains(strings.ToLower(r.body), "no money moves") {
		t.Errorf("%d %.400s", r.status, r.body)
	}
	if r := b.do(http.MethodGet, "/userinfo", "", ""); r.status != http.StatusUnauthorized {
		t.Errorf("%d %.200s", r.status, r.body)
	}
}

func TestDisputesAndEvents(t *testing.T) {
	b := newBox(t, sandbox.Config{Seed: 3})
	paid := b.stripe(http.MethodPost, "/v1/payment_intents", sale(b.token(500), 500), "k").decode(t)
	id, _ := paid["id"].(string)
	if r := b.control(http.MethodPost, "disputes", `{"payment_intent":"`+id+`","reason":"fraudulent"}`); r.status != http.StatusCreated {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := b.control(http.MethodPost, "disputes", `{"payment_intent":"`+id+`"}`); r.status != http.StatusBadRequest {
		t.Errorf("disputed twice: %d %s", r.status, r.body)
	}
	if a := b.Audit(); a.Totals.Disputes != 1 || !a.Charges[0].Disputed {
		t.Errorf("%+v", a.Totals)
	}
	list := b.stripe(http.MethodGet, "/v1/events?type=charge.dispute.created", "", "").decode(t)
	data, _ := list["data"].([]any)
	event, _ := data[0].(map[string]any)
	if r := b.control(http.MethodPost, "events/"+event["id"].(string)+"/resend", ""); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := b.control(http.MethodPost, "events/evt_none/resend", ""); r.status != http.StatusNotFound {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// Parallel copies over real sockets, with faults in between, charge once.
func TestB041_ParallelCopiesWithFaults(t *testing.T) {
	b := newBox(t, sandbox.Config{Seed: 11})
	spt := b.token(500)
	b.order(`{"kind":"drop_after","path":"/v1/payment_intents","probability":0.3}`)
	b.order(`{"kind":"rate_limit","path":"/v1/payment_intents","probability":0.3}`)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { b.stripe(http.MethodPost, "/v1/payment_intents", sale(spt, 500), "k") })
	}
	wg.Wait()
	a := b.Audit()
	if a.Totals.Charges != 1 || a.Totals.Captured["usd"] != 500 || a.TotalCalls != 50 {
		t.Errorf("%d calls, %+v", a.TotalCalls, a.Totals)
	}
	if a.Faults[0].Happened == 0 || a.Faults[1].Happened == 0 {
		t.Errorf("no faults happened: %+v", a.Faults)
	}
}

// In-process use needs no socket.
func TestInProcess(t *testing.T) {
	b := newBox(t, sandbox.Config{})
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/charges", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
