package interop

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const mppxCommand = "node_modules/mppx/dist/bin.js"

// TestClients pays with the clients that agents use today.
func TestClients(t *testing.T) {
	needNode(t)
	s := start(t, packs)

	t.Run("mppx library, GET", func(t *testing.T) {
		p := s.pay(t, nil, s.public+"/v1/reports/7")
		p.settled(t, 100, "usd")
		want := map[string]string{"method": "GET", "path": "/v1/reports/7", "body": ""}
		p.answered(t, want)
		s.reached(t, "GET /v1/reports/7")
	})
	t.Run("mppx library, POST with a body", func(t *testing.T) {
		const body = `{"prompt":"a \"quoted\" word, ☕"}`
		p := s.pay(t, nil, s.public+"/v1/complete", body)
		p.settled(t, 75, "usd")
		if p.Offered[0].Digest == "" {
			t.Error("the challenge for a request with a body binds no digest")
		}
		p.answered(t, map[string]string{"method": "POST", "path": "/v1/complete", "body": body})
		s.reached(t, "POST /v1/complete")
	})
	t.Run("mppx library, a declined card buys nothing", func(t *testing.T) {
		p := s.pay(t, []string{"PAYMENT_METHOD=pm_card_chargeDeclined"}, s.public+"/v1/reports/7")
		if p.Status != 402 || p.Receipt != nil {
			t.Errorf("status %d, receipt %v; want 402 and none", p.Status, p.Receipt)
		}
		s.reached(t)
	})
	t.Run("mppx library, a free route costs nothing", func(t *testing.T) {
		p := s.pay(t, nil, s.public+"/health")
		if p.Status != 200 || p.Tokens != 0 {
			t.Errorf("status %d with %d tokens, want 200 with none", p.Status, p.Tokens)
		}
		s.reached(t, "GET /health")
	})
	t.Run("mppx command, GET", func(t *testing.T) {
		out, status := s.node(t, nil, mppxCommand, s.public+"/v1/reports/8", "-M", "paymentMethod=pm_card_visa")
		if want := `{"method":"GET","path":"/v1/reports/8","body":""}`; status != 0 || strings.TrimSpace(out) != want {
			t.Errorf("status %d, printed %q, want %q", status, out, want)
		}
		s.reached(t, "GET /v1/reports/8")
	})
	t.Run("mppx command, POST with a body", func(t *testing.T) {
		out, status := s.node(t, nil, mppxCommand, "-i", s.public+"/v1/complete", "-J", `{"n":1}`, "-M", "paymentMethod=pm_card_visa")
		if status != 0 || !strings.Contains(out, `"body":"{\"n\":1}"`) {
			t.Errorf("status %d, printed %q", status, out)
		}
		if !strings.Contains(strings.ToLower(out), "\npayment-receipt: ") {
			t.Errorf("no receipt among the headers:\n%s", out)
		}
		s.reached(t, "POST /v1/complete")
	})
	t.Run("mppx library, a pack of credit", func(t *testing.T) {
		p := s.pay(t, nil, s.public+"/v1/calls/1")
		p.settled(t, 500, "usd")
		p.answered(t, map[string]string{"method": "GET", "path": "/v1/calls/1", "body": ""})
		for range 3 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.public+"/v1/calls/2", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+p.PaywallReceipt)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Paywall-Credit"), "left=\"4.9") {
				t.Errorf("%s %v", resp.Status, resp.Header)
			}
		}
		s.reached(t, "GET /v1/calls/1", "GET /v1/calls/2", "GET /v1/calls/2", "GET /v1/calls/2")
	})
	t.Run("mppx validate", s.validate)
}

// packs is a route that sells credit.
const packs = `  - {id: calls, match: "GET /v1/calls/{id}", upstream: api, price: 0.01 USD, credit: {pack: 5.00 USD}, description: One call}
`

// A paid answer, as client.mjs prints it.
type paid struct {
	Status         int
	Body           string
	CacheControl   string
	PaywallReceipt string
	Receipt        map[string]any
	Offered        []struct{ ID, Realm, Digest, Expires string }
	Tokens         int
	Intent         *struct {
		ID, Status, Currency string
		Amount               int
	}
}

func (s *stack) pay(t *testing.T, env []string, args ...string) paid {
	t.Helper()
	out, status := s.node(t, env, append([]string{"client.mjs"}, args...)...)
	var p paid
	if err := json.Unmarshal([]byte(out), &p); err != nil || status != 0 {
		t.Fatalf("client ended with %d, %v: %s", status, err, out)
	}
	return p
}

// settled checks that one token paid one challenge and that the processor agrees.
func (p paid) settled(t *testing.T, amount int, currency string) {
	t.Helper()
	if p.Status != 200 || p.Tokens != 1 || len(p.Offered) != 1 {
		t.Fatalf("status %d after %d challenges and %d tokens, want 200 after one: %s", p.Status, len(p.Offered), p.Tokens, p.Body)
	}
	if p.Offered[0].Expires == "" {
		t.Error("the challenge does not expire")
	}
	if p.Receipt["status"] != "success" || p.Receipt["method"] != "stripe" {
		t.Errorf("receipt %v", p.Receipt)
	}
	if p.Intent == nil || p.Intent.Status != "succeeded" || p.Intent.Amount != amount || p.Intent.Currency != currency {
		t.Errorf("the processor says %+v, want %d %s succeeded", p.Intent, amount, currency)
	}
	if strings.Count(p.PaywallReceipt, ".") != 2 {
		t.Errorf("Paywall-Receipt %q is not a JWT", p.PaywallReceipt)
	}
	if !strings.Contains(p.CacheControl, "no-store") || !strings.Contains(p.CacheControl, "private") {
		t.Errorf("a paid answer with Cache-Control %q", p.CacheControl)
	}
}

// answered checks that the upstream's answer came through unchanged.
func (p paid) answered(t *testing.T, want map[string]string) {
	t.Helper()
	var got map[string]string
	if err := json.Unmarshal([]byte(p.Body), &got); err != nil {
		t.Fatalf("body %q: %v", p.Body, err)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("the API saw %s %q, want %q", k, got[k], v)
		}
	}
}

// reached checks what the sample API has served since the last look.
func (s *stack) reached(t *testing.T, want ...string) {
	t.Helper()
	if got := s.served.take(); !slices.Equal(got, want) {
		t.Errorf("the API served %q, want %q", got, want)
	}
}

// validate runs mppx's black-box check of a server. None of its checks of the
// stripe method needs the internet, so none may fail or be skipped; a rejected
// payment shows as a skip there.
func (s *stack) validate(t *testing.T) {
	out, status := s.node(t, nil, mppxCommand, "validate", s.public, "-j")
	type row struct{ Label, Detail, Severity string }
	var report struct {
		Discovery struct {
			Found, Valid bool
			Checks       []row
		}
		Endpoints []struct {
			Method, Path                      string
			Challenge, ErrorHandling, Payment []row
		}
		Summary struct{ Passed, Failed, Warnings, Suggested, Skipped int }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("status %d, %v: %s", status, err, out)
	}
	t.Logf("summary %+v", report.Summary)
	rows := report.Discovery.Checks
	var paths []string
	for _, e := range report.Endpoints {
		paths = append(paths, e.Method+" "+e.Path)
		rows = slices.Concat(rows, e.Challenge, e.ErrorHandling, e.Payment)
		if !slices.ContainsFunc(e.Payment, func(r row) bool { return r.Label == "Payment [stripe]: successful" && r.Severity == "pass" }) {
			t.Errorf("%s %s was not paid: %+v", e.Method, e.Path, e.Payment)
		}
	}
	for _, r := range rows {
		switch r.Severity {
		case "pass":
		case "warn":
			t.Logf("warning: %s (%s)", r.Label, r.Detail)
		default:
			t.Errorf("%s: %s (%s)", r.Severity, r.Label, r.Detail)
		}
	}
	slices.Sort(paths)
	if want := []string{"GET /v1/calls/{id}", "GET /v1/reports/{id}", "POST /v1/complete"}; !slices.Equal(paths, want) {
		t.Errorf("validated %q, want %q", paths, want)
	}
	if status != 0 || report.Summary.Passed < 30 {
		t.Errorf("status %d with %d checks passed, want 0 with 30 or more", status, report.Summary.Passed)
	}
}
