package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/x402"
)

// TestX402_ServeRefusesToStart has one clear line for each fault in how stablecoins
// are set up, which names the setting, from serve and from check.
func TestX402_ServeRefusesToStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	w.takeCoins(true)
	config := w.read("paywall.yaml")
	method := func(line string) func(string) string {
		return func(text string) string {
			before, rest, _ := strings.Cut(text, "  facilitator: {")
			_, after, _ := strings.Cut(rest, "\n")
			return before + "  facilitator: " + line + "\n" + after
		}
	}
	swap := func(piece, with string) func(string) string {
		return func(text string) string { return strings.Replace(text, piece, with, 1) }
	}
	url := w.sandbox + "/facilitator"
	for _, c := range []struct {
		name   string
		spoil  func(string) string
		pieces []string
	}{
		{"a network by its old name", swap("eip155:84532", "base-sepolia"), []string{":8: methods.facilitator.network", "eip155:"}},
		{"a network that is none", swap("eip155:84532", "eip155:0"), []string{":8: methods.facilitator.network"}},
		{"a network of another kind", swap("eip155:84532", "solana:mainnet"), []string{":8: methods.facilitator.network"}},
		{"a network where the asset is not known", swap("eip155:84532", "eip155:999999"), []string{"USDC", "eip155:999999", "contract"}},
		{"an asset that is not known", swap("pay_to:", "asset: DOGE, pay_to:"), []string{"DOGE", coinNetwork, "contract"}},
		{"an asset that is no symbol", swap("pay_to:", `asset: "U$D", pay_to:`), []string{":8: methods.facilitator.asset"}},
		{"half of an asset", swap("pay_to:", `contract: "0x036CbD53842c5426634e7929541eC2318f3dCF7e", domain_name: USDC, domain_version: "2", pay_to:`), []string{":8: methods.facilitator.decimals"}},
		{"an address that is none", swap(coinPayee, "0x1234"), []string{":8: methods.facilitator.pay_to"}},
		{"an address with a wrong checksum", swap(coinPayee, "0x209693bc6afc0C5328bA36FaF03C514EF312287C"), []string{"pay_to"}},
		{"the token itself is paid", swap(coinPayee, "0x036CbD53842c5426634e7929541eC2318f3dCF7e"), []string{"PayTo", "contract"}},
		{"nobody is paid", swap(`pay_to: "`+coinPayee+`", `, ""), []string{":8: methods.facilitator.pay_to"}},
		{"no facilitator", method(`{network: "` + coinNetwork + `", pay_to: "` + coinPayee + `"}`), []string{":8: methods.facilitator", "url"}},
		{"two ways to name one", method(`{network: "` + coinNetwork + `", pay_to: "` + coinPayee + `", url: "` + url + `", endpoints: {url: "` + url + `"}}`), []string{":8: methods.facilitator"}},
		{"a facilitator in the clear", swap(url, "http://facilitator.example/x402"), []string{":8: methods.facilitator.url", "https"}},
		{"a node in the clear", swap(w.sandbox+"/rpc/84532", "http://node.example/"), []string{":8: methods.facilitator.node", "https"}},
		{"a facilitator with a password", swap(url, "https://u:CANARYpassword@facilitator.example"), []string{":8: methods.facilitator.url"}},
		{"a scheme that is none", swap("pay_to:", "scheme: deferred, pay_to:"), []string{":8: methods.facilitator.scheme", "upto"}},
		{"a timeout too short", swap("pay_to:", "timeout: 2s, pay_to:"), []string{":8: methods.facilitator.timeout"}},
		{"the name of another method", swap("pay_to:", "name: stripe, pay_to:"), []string{":8: methods.facilitator.name"}},
		{"a key that is nowhere", method(`{network: "` + coinNetwork + `", pay_to: "` + coinPayee + `", endpoints: {url: "` + url + `", headers: {Authorization: "env:NOWHERE"}}}`), []string{":8: methods.facilitator.endpoints", "NOWHERE"}},
		{"half of a key", method(`{network: "` + coinNetwork + `", pay_to: "` + coinPayee + `", endpoints: {url: "` + url + `", cdp_key_id: "env:STRIPE_KEY"}}`), []string{":8: methods.facilitator.endpoints", "cdp_key_secret"}},
		{"a price of fractions of a unit", swap("price: 1.00 USD", "methods: [facilitator], price: 0.0000001 USD"), []string{"price"}},
		{"a store in a folder that is not there", swap("sqlite:paywall.db", "sqlite:gone/paywall.db"), []string{"store", "gone"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := w.within(t)
			spoiled := c.spoil(config)
			if spoiled == config {
				t.Fatal("nothing is changed")
			}
			w.write("paywall.yaml", spoiled)
			r := w.paywall("serve").want(t, 1, c.pieces...).oneLine(t)
			if r.stdout != "" || strings.Contains(r.stderr, "CANARY") {
				t.Errorf("it says %q and %q", r.stdout, r.stderr)
			}
			if c.name != "a store in a folder that is not there" { // check opens none
				w.paywall("check").want(t, 1, c.pieces...)
			}
		})
	}
}

// TestX402_FacilitatorIsAway starts while the facilitator cannot be reached. What only
// it can settle is out of service and /readyz says why; the rest is sold. When it
// comes, nobody has to do anything.
func TestX402_FacilitatorIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	away := freeAddrs(t, 1)[0]
	w.edit("upstreams:\n", `  facilitator: {network: "`+coinNetwork+`", pay_to: "`+coinPayee+`", url: "http://`+away+`/facilitator"}`+"\nupstreams:\n")
	w.edit("routes:\n", `routes:
  - {match: "GET /v1/coins/{id}", upstream: api, price: 0.001 USD, methods: [facilitator], description: Too cheap for cards}
`)
	w.serving = start(t, w.dir, w.env, w.bin, "serve")
	await(t, "it serves", 20*time.Second, func() bool {
		if !w.serving.running() {
			t.Fatalf("it ended: %s", w.serving.out)
		}
		_, ok := get(t.Context(), w.public+"/healthz")
		return ok
	})
	readiness := func() (int, map[string]any) {
		t.Helper()
		status, body, err := fetch(t.Context(), w.admin+"/readyz")
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return status, v
	}
	status, v := readiness()
	if text := toJSON(t, v); !strings.Contains(text, "exact on "+coinNetwork) {
		t.Errorf("/readyz says %d %s, and does not name what is missing", status, text)
	}
	a := newAgent(t, w, "")
	coins := newCoinAgent(t)
	got := must[answer](t)(a.do(t.Context(), http.MethodGet, w.public+"/v1/coins/1", "", nil))
	if got.status != http.StatusServiceUnavailable || got.asksAgain() || got.header.Get("Retry-After") == "" {
		t.Errorf("what nobody can settle is answered %d %s %v", got.status, got.body, got.header)
	}
	got = must[answer](t)(a.do(t.Context(), http.MethodGet, w.public+"/v1/reports/7", "", nil))
	var required x402.PaymentRequired
	if field := got.header.Get(x402.HeaderRequired); field != "" {
		if err := x402.Decode(field, &required); err != nil {
			t.Fatal(err)
		}
	}
	for _, need := range required.Accepts {
		if need.Network == coinNetwork {
			t.Errorf("what nobody settles is offered: %+v", need)
		}
	}
	if got.status != http.StatusPaymentRequired || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("what cards pay for is answered %d %s", got.status, got.body)
	}
	a.buy(t, http.MethodGet, w.public+"/v1/reports/7", "")

	w.play.stop(t)
	w.startSandboxAt(away)
	await(t, "stablecoins are offered", 30*time.Second, func() bool {
		got, err := a.do(t.Context(), http.MethodGet, w.public+"/v1/coins/1", "", nil)
		return err == nil && got.status == http.StatusPaymentRequired
	})
	coins.buy(t, http.MethodGet, w.public+"/v1/coins/1", "")
	if status, v := readiness(); status != http.StatusOK || strings.Contains(toJSON(t, v), "no facilitator") {
		t.Errorf("/readyz says %d %s", status, toJSON(t, v))
	}
	w.handedOver()
	if rows := w.coinRows(); len(rows) != 1 || rows[0].Units != 1000 {
		t.Errorf("the payments are %+v", rows)
	}
	w.serving.stop(t)
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	return string(must[[]byte](t)(json.Marshal(v)))
}

// startSandboxAt starts another sandbox, whose audit is asked from now on.
func (w *world) startSandboxAt(addr string) {
	w.t.Helper()
	w.sandbox = "http://" + addr
	w.startSandbox()
}
