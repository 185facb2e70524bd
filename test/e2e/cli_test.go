package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUsage goes through what can be asked of the command line alone, and what is
// wrong with it: exit code 2, and what to do next.
func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const run = "Run paywall --help"
	for _, c := range []struct {
		args   string
		code   int
		pieces []string
	}{
		{"version", 0, []string{"paywall v0.0.0-e2e\n"}},
		{"--help", 0, []string{"serve", "check", "demo", "sandbox", "pay", "wallet", "receipt", "keys", "payments", "refund", "ledger", "settle", "Exit codes:"}},
		{"serve --help", 0, []string{"--config"}},
		{"pay --help", 0, []string{"--max", "--receipt", "--dry-run"}},
		{"", 2, []string{run}},
		{"nonsense", 2, []string{"nonsense", run}},
		{"serve --nonsense", 2, []string{"--nonsense", run}},
		{"refund", 2, []string{"<id>", run}},
		{"ledger", 2, []string{run}},
		{"settle stop", 2, []string{run}},
		{"payments list --limit 0", 2, []string{"--limit must be 1 to 10000"}},
		{"payments list --limit many", 2, []string{"many", run}},
		{"receipt verify some.jwt", 2, []string{"--issuer", run}},
		{"receipt verify cli_test --issuer nowhere", 1, []string{"read the receipt"}},
		{"keys new --algorithm RS256", 2, []string{"RS256", run}},
		{"sandbox --auto-approve lots", 2, []string{"--auto-approve"}},
		{"pay --max lots http://127.0.0.1:1/", 2, []string{"--max", "5.00 USD"}},
		{"pay --wallet gold http://127.0.0.1:1/", 2, []string{"gold", run}},
		{"pay -H nocolon http://127.0.0.1:1/", 2, []string{"has no colon"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			r := command(t, dir, environment(dir), "", release, strings.Fields(c.args)...).want(t, c.code, c.pieces...)
			if c.code == 0 && r.stderr != "" {
				t.Errorf("standard error has %q", r.stderr)
			}
			if c.code != 0 && r.stdout != "" {
				t.Errorf("standard output has %q", r.stdout)
			}
		})
	}
}

// TestCheck reads good and bad configurations. Every fault is named at once, with
// its line.
func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	w.paywall("check").want(t, 0, "get-v1-reports-id", "GET /v1/reports/{id}", "1.00 USD", "0.75 USD", "free", "stripe", "the configuration is good")

	var good struct {
		OK     bool `json:"ok"`
		Routes []struct {
			ID, Match, Upstream string
			Free                bool
			Prices, Methods     []string
			Line                int
		} `json:"routes"`
	}
	w.decode([]byte(w.paywall("check", "--json").want(t, 0).stdout), &good)
	if !good.OK || len(good.Routes) != 5 || good.Routes[1].Match != "POST /v1/complete" || good.Routes[1].Line != 12 || good.Routes[1].Prices[0] != "0.75 USD" || !good.Routes[4].Free {
		t.Errorf("check --json says %+v", good)
	}

	for _, c := range []struct {
		name, piece, with string
		lines             []string // "number: path: piece of the message"
	}{
		{"two faults", "listen: 127", "lisen: 127", []string{"1: lisen: is not a key here; was listen meant?", "2: public_url: has port"}},
		{"no such upstream", "/v1/slow\", upstream: api", "/v1/slow\", upstream: apis", []string{"13: routes[2].upstream: "}},
		{"price below what cards take", "0.75 USD", "0.01 USD", []string{"12: routes[1].price: no payment method can take 0.01 USD"}},
		{"price that is a number", "price: 0.75 USD", "price: 0.75", []string{"12: routes[1].price: "}},
		{"neither price nor free", "free: true", "description: health", []string{"15: routes[4]: "}},
		{"same route twice", "GET /v1/slow", "GET /v1/broken", []string{"GET /v1/broken"}},
		{"misspelt key", "  stripe: {key", "  stripe: {kye", []string{"7: methods.stripe.kye: is not a key here; was key meant?"}},
		{"public URL on another port", "public_url: http://127.0.0.1:", "public_url: http://127.0.0.1:1", []string{"2: public_url: "}},
		{"missing variable", "env:STRIPE_KEY", "env:STRIPE_KEE", []string{"7: methods.stripe.key: "}},
		{"duplicate key", "store: ", "store: sqlite:a.db\nstore: ", []string{"5: store: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := w.read("paywall.yaml")
			w := w.within(t)
			w.edit(c.piece, c.with)
			t.Cleanup(func() { w.write("paywall.yaml", text) })
			r := w.paywall("check").want(t, 1)
			for _, line := range c.lines {
				where, message, numbered := strings.Cut(line, ": ")
				want := line
				if numbered {
					want = filepath.Join(w.dir, "paywall.yaml") + ":" + where + ": " + message
				}
				if !strings.Contains(r.stderr, want) {
					t.Errorf("the output lacks %q:\n%s", want, r.stderr)
				}
			}
			var bad struct {
				OK       bool `json:"ok"`
				Problems []struct {
					Line    int    `json:"line"`
					Path    string `json:"path"`
					Message string `json:"message"`
				} `json:"problems"`
			}
			asJSON := w.paywall("check", "--json").want(t, 1)
			w.decode([]byte(asJSON.stdout), &bad)
			if bad.OK || len(bad.Problems) == 0 || bad.Problems[0].Line == 0 || bad.Problems[0].Message == "" {
				t.Errorf("check --json says %+v", bad)
			}
			if n := strings.Count(strings.TrimSpace(r.stderr), "\n") + 1; n != len(bad.Problems) {
				t.Errorf("%d lines of text for %d problems:\n%s", n, len(bad.Problems), r.stderr)
			}
		})
	}
	w.paywall("check", "-c", "missing.yaml").want(t, 1, "missing.yaml").oneLine(t)
}

// key is one of `paywall keys list --json`.
type key struct{ ID, Algorithm, Status string }

// TestKeys creates, rotates and revokes keys, and overwrites none.
func TestKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	paywall := func(args ...string) result { return command(t, dir, environment(dir), "", release, args...) }
	list := func() []key {
		t.Helper()
		var keys []key
		if err := json.Unmarshal([]byte(paywall("keys", "list", "--json").want(t, 0).stdout), &keys); err != nil {
			t.Fatal(err)
		}
		return keys
	}
	paywall("keys", "list").want(t, 1, "receipts.pem").oneLine(t)
	paywall("keys", "new").want(t, 0, "created")
	first := map[string]string{}
	for _, name := range []string{"challenge.key", "seal.key", "receipts.pem"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", name, info.Mode().Perm())
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		first[name] = string(data)
	}
	if again := paywall("keys", "new").want(t, 0, "kept").stdout; strings.Contains(again, "created") {
		t.Errorf("keys new made keys where there were some: %s", again)
	}
	for name, before := range first {
		if after, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(after) != before {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
	before := list()
	if len(before) != 1 || before[0].Status != "signing" || before[0].Algorithm != "ES256" {
		t.Fatalf("the keys are %v, want one that signs", before)
	}
	paywall("keys", "rotate").want(t, 0, before[0].ID)
	status := map[string]string{}
	for _, k := range list() {
		status[k.Status] = k.ID
	}
	if len(status) != 2 || status["signing"] == before[0].ID || status["verifying"] != before[0].ID {
		t.Fatalf("after a rotation the keys are %v", status)
	}
	paywall("keys", "revoke", "nonsense").want(t, 1, "nonsense").oneLine(t)
	paywall("keys", "revoke", before[0].ID).want(t, 0, "revoked")
	for _, k := range list() {
		if k.ID == before[0].ID && k.Status != "revoked" {
			t.Errorf("the revoked key is %s", k.Status)
		}
	}
	paywall("keys", "new", "--dir", "other", "--algorithm", "EdDSA").want(t, 0, "created")
	paywall("keys", "list", "-f", "other/receipts.pem").want(t, 0, "EdDSA")
}
