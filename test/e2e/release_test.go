package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"paywall/sandbox"
)

// TestReleaseHasNoTestHooks looks for the names of the hooks in the binary that is
// shipped, and shows that its looking would find them.
func TestReleaseHasNoTestHooks(t *testing.T) {
	t.Parallel()
	for _, b := range []struct {
		path string
		want bool
	}{{release, false}, {hooked, true}} {
		data, err := os.ReadFile(b.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"PAYWALL_CRASH", "PAYWALL_CLOCK"} {
			if got := bytes.Contains(data, []byte(name)); got != b.want {
				t.Errorf("%s contains %s: %t, want %t", b.path, name, got, b.want)
			}
		}
	}
}

// TestReleaseIgnoresTestHooks sets both and finds the real clock and a server
// that lives.
func TestReleaseIgnoresTestHooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	w.advance(25 * time.Hour)
	w.serve("PAYWALL_CRASH=settled:1")
	got := newAgent(t, w, "").buy(t, http.MethodGet, w.public+"/v1/reports/1", "")
	if !w.serving.running() {
		t.Fatal("the server died")
	}
	w.rest()
	for _, r := range w.payments() {
		if r.ID != got.payment() || r.SettledAt == nil || r.SettledAt.After(time.Now().Add(time.Hour)) {
			t.Errorf("the payment is %+v, want one that is settled now", r)
		}
	}
	w.serving.stop(t)
}

// secrets are what must never be seen where it does not belong.
type secrets map[string]string // what it is → its text

func (s secrets) add(name, text string) {
	if len(text) >= 12 { // shorter ones would be found anywhere
		s[name] = text
	}
}

// leaked names the secrets that text has in it.
func (s secrets) leaked(text string) []string {
	var names []string
	for name, secret := range s {
		if strings.Contains(text, secret) {
			names = append(names, name)
		}
	}
	return names
}

// TestC095_I14_I168_NoSecretIsLeaked pays well and badly at the most talkative
// log level, and looks for every secret in logs, metrics, error bodies and in
// what reached the API.
func TestC095_I14_I168_NoSecretIsLeaked(t *testing.T) {
	t.Parallel()
	const webhook, upstreamKey = "whsec_CANARYe2eWebhookSecret", "CANARYe2eUpstreamKey"
	w := newWorld(t, release, "log: {level: debug, format: json}", "settlement: {patience: 2s, attempt: 1s}")
	w.edit("profile: "+profile, "webhook_secret: env:WEBHOOK_SECRET, profile: "+profile)
	w.edit("upstreams:\n  api: {", "upstreams:\n  api: {headers: {X-Upstream-Key: env:UPSTREAM_KEY}, ")
	w.env = append(w.env, "WEBHOOK_SECRET="+webhook, "UPSTREAM_KEY="+upstreamKey)

	hidden := secrets{}
	hidden.add("processor key", testKey)
	hidden.add("processor key as it is sent", base64.StdEncoding.EncodeToString([]byte(testKey + ":"))[:24])
	hidden.add("webhook secret", webhook)
	hidden.add("challenge key", strings.TrimSpace(w.read("challenge.key")))
	hidden.add("seal key", strings.TrimSpace(w.read("seal.key")))
	for i, line := range strings.Split(w.read("receipts.pem"), "\n") {
		if !strings.Contains(line, "-----") && !strings.Contains(line, ":") {
			hidden.add(fmt.Sprintf("receipt key, line %d", i), line)
		}
	}
	upstreamOnly := secrets{"key of the API": upstreamKey} // the API itself gets it

	w.serve()
	ctx := t.Context()
	var bodies []string // of all answers that are not the goods
	present := func(a *agent, method, target string, want int) {
		t.Helper()
		p, err := a.prepare(ctx, method, w.public+target, "")
		if err != nil {
			t.Fatal(err)
		}
		hidden.add("token of "+target, p.token)
		hidden.add("credential of "+target, strings.TrimPrefix(p.credential.Get("Authorization"), "Payment "))
		got, err := a.present(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		if got.status != want {
			t.Errorf("%s: %d %s, want %d", target, got.status, got.body, want)
		}
		token := got.header.Get("Paywall-Receipt")
		hidden.add("receipt of "+target, token)
		if got.status != http.StatusOK {
			bodies = append(bodies, string(got.body))
			return
		}
		// The receipt is presented where it opens nothing, and altered.
		for _, bearer := range []string{token, token[:len(token)-8] + "AAAAAAAA"} {
			got, err := a.do(ctx, http.MethodGet, w.public+"/v1/reports/other", "", http.Header{"Authorization": {"Bearer " + bearer}})
			if err != nil || got.status == http.StatusOK {
				t.Errorf("a receipt for %s opened another report: %d %v", target, got.status, err)
			}
			bodies = append(bodies, string(got.body))
		}
	}
	good, bad := newAgent(t, w, ""), newAgent(t, w, "pm_card_chargeDeclined")
	present(good, http.MethodGet, "/v1/reports/paid", http.StatusOK)
	present(bad, http.MethodGet, "/v1/reports/declined", http.StatusPaymentRequired)
	present(good, http.MethodGet, "/v1/broken", http.StatusBadGateway)
	for _, kind := range []string{sandbox.DropAfter, sandbox.HTML, sandbox.Garbage, sandbox.Truncate, sandbox.Status, sandbox.Redirect} {
		w.order(sandbox.Fault{Kind: kind, Path: "/v1/payment_intents", Method: http.MethodPost})
		present(good, http.MethodGet, "/v1/reports/"+kind, http.StatusServiceUnavailable)
		w.heal()
	}
	w.probe(t, &bodies, hidden)

	// A reload with a key where none belongs says so without the key.
	const misplaced = "pk_test_CANARYe2eMisplaced"
	hidden.add("misplaced key", misplaced)
	w.write("good.yaml", w.read("paywall.yaml"))
	w.edit("env:STRIPE_KEY", misplaced)
	if err := w.serving.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "the reload is refused", 10*time.Second, func() bool {
		return strings.Contains(w.serving.out.String(), "configuration not reloaded")
	})
	check := w.paywall("check").want(t, 1)
	bodies = append(bodies, check.stdout, check.stderr)
	w.write("paywall.yaml", w.read("good.yaml"))

	status, metrics, err := fetch(ctx, w.admin+"/metrics")
	if err != nil || status != http.StatusOK {
		t.Errorf("metrics: %d %v", status, err)
	}
	_, list, err := fetch(ctx, w.admin+"/admin/payments")
	if err != nil {
		t.Fatal(err)
	}
	w.serving.stop(t)
	for place, text := range map[string]string{
		"log": w.serving.out.String(), "metrics": string(metrics), "list of payments": string(list), "answers": strings.Join(bodies, "\n"),
	} {
		for _, name := range append(hidden.leaked(text), upstreamOnly.leaked(text)...) {
			t.Errorf("%s: the %s is in it", place, name)
		}
	}
	if !strings.Contains(w.serving.out.String(), `"msg":"request"`) {
		t.Error("the log holds no requests, so that nothing was looked through")
	}
	reached := 0
	for _, h := range w.api.seen() {
		var b strings.Builder
		if err := h.Write(&b); err != nil {
			t.Fatal(err)
		}
		reached++
		for _, name := range hidden.leaked(b.String()) {
			t.Errorf("API: the %s reached it", name)
		}
		if h.Get("X-Upstream-Key") != upstreamKey {
			t.Error("the API did not get its own key")
		}
		for _, field := range []string{"Authorization", "Payment-Authorization", "Paywall-Receipt"} {
			if h.Get(field) != "" {
				t.Errorf("API: %s reached it", field)
			}
		}
	}
	if reached == 0 {
		t.Error("nothing reached the API")
	}
}

// probe sends what is wrong in ways of its own.
func (w *world) probe(t *testing.T, bodies *[]string, hidden secrets) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	a := newAgent(t, w, "")
	p, err := a.prepare(ctx, http.MethodGet, w.public+"/v1/reports/forged", "")
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimPrefix(p.credential.Get("Authorization"), "Payment ")
	hidden.add("forged credential", token)
	hidden.add("token of the forged credential", p.token)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	forged := base64.RawURLEncoding.EncodeToString(bytes.Replace(raw, []byte(p.challenge), []byte(strings.Repeat("A", len(p.challenge))), 1))
	hidden.add("altered credential", forged)
	for _, c := range []struct {
		method, url string
		header      http.Header
	}{
		{http.MethodGet, "/v1/reports/forged", http.Header{"Authorization": {"Payment " + forged}}},
		{http.MethodGet, "/v1/reports/forged", http.Header{"Authorization": {"Payment " + token[:len(token)/2]}}},
		{http.MethodGet, "/v1/reports/another", p.credential},
		{http.MethodGet, "/v1/reports/forged", http.Header{"Authorization": {"Payment " + token, "Payment " + token}}},
		{http.MethodGet, "/payments/pay_0", p.credential},
		{http.MethodPost, "/webhooks/stripe", http.Header{"Stripe-Signature": {"t=1,v1=00"}}},
		{http.MethodGet, "/health", p.credential}, // free, and the credential still stays here
	} {
		got, err := a.do(ctx, c.method, w.public+c.url, "", c.header)
		if err != nil {
			t.Fatal(err)
		}
		if got.status == http.StatusOK && c.url != "/health" {
			t.Errorf("%s %s was served", c.method, c.url)
		}
		*bodies = append(*bodies, string(got.body))
	}
}
