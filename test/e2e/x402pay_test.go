package e2e

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"paywall/payment"
	"paywall/x402"
)

// coins runs `paywall pay --wallet key` with a key file.
func (w *world) coins(env []string, args ...string) result {
	w.t.Helper()
	return command(w.t, w.dir, env, "", w.bin, append([]string{"pay", "--wallet", "key", "--key-file", "payer.key"}, args...)...)
}

// newPayer makes the key that coins pays from, and returns its address.
func (w *world) newPayer() string {
	w.t.Helper()
	r := w.paywall("keys", "payer", "payer.key").want(w.t, 0, "0x")
	_, after, _ := strings.Cut(r.stdout+r.stderr, "0x")
	if len(after) < 40 {
		w.t.Fatalf("keys payer shows no address: %s%s", r.stdout, r.stderr)
	}
	return "0x" + after[:40]
}

// TestX402_Pay pays from a key at the command line, and proves what was paid.
func TestX402_Pay(t *testing.T) {
	t.Parallel()
	w := newCoinWorld(t, release)
	w.serve()
	env := w.purse(t)
	address := w.newPayer()
	secret := strings.TrimSpace(w.read("payer.key"))
	report := w.public + "/v1/reports/7"

	w.coins(env, "--dry-run", report).want(t, 0, "1.00", "USD", report)
	if audit := w.audit(); len(audit.Chain.Calls) != 0 {
		t.Fatalf("a dry run has the facilitator called: %+v", audit.Chain.Calls)
	}
	r := w.coins(env, "-y", "--receipt", "receipt.jwt", report).want(t, 0, "paid 1.0", "USD, reference 0x")
	if want := `{"method":"GET","path":"/v1/reports/7","body":""}`; strings.TrimSpace(r.stdout) != want {
		t.Errorf("standard output is %q, want the answer alone: %s", r.stdout, want)
	}
	w.paywall("receipt", "verify", "receipt.jwt", "--issuer", w.public).want(t, 0, "valid: signed by "+w.public, "USDC")
	var paid struct {
		Status                           int
		Paid                             bool
		Body, Amount, Reference, Payment string
	}
	post := w.coins(env, "-y", "--json", "-d", `{"prompt":"?"}`, w.public+"/v1/complete").want(t, 0)
	w.decode([]byte(post.stdout), &paid)
	if paid.Status != http.StatusOK || !paid.Paid || !strings.HasPrefix(paid.Amount, "0.75") || !strings.HasPrefix(paid.Reference, "0x") || !strings.Contains(paid.Body, "POST") {
		t.Errorf("--json says %+v", paid)
	}
	w.handedOver()
	audit := w.audit()
	if len(audit.Chain.Transfers) != 2 || !strings.EqualFold(audit.Chain.Transfers[0].From, address) || audit.Totals.Charges != 0 {
		t.Errorf("the chain has %+v, and the card %d charges", audit.Chain.Transfers, audit.Totals.Charges)
	}
	if transferred(audit, paid.Reference) != 1 {
		t.Errorf("the reference %q is no transfer", paid.Reference)
	}
	var shown struct{ Protocol, Method, Currency string }
	w.decode([]byte(w.paywall("payments", "show", paid.Payment, "--json").want(t, 0).stdout), &shown)
	if shown.Protocol != "x402" || shown.Method != "facilitator" || shown.Currency != "USDC" {
		t.Errorf("the payment is shown as %+v", shown)
	}
	w.coinRows()
	w.books()
	w.serving.stop(t)
	for _, text := range []string{r.stdout, r.stderr, post.stdout, post.stderr, w.serving.out.String()} {
		if strings.Contains(text, strings.TrimPrefix(secret, "0x")) {
			t.Error("the key is in the output")
		}
	}
}

// TestX402_PayIsRefused has an exit code for each way in which nothing is paid.
func TestX402_PayIsRefused(t *testing.T) {
	t.Parallel()
	w := newCoinWorld(t, release)
	w.serve()
	env := w.purse(t)
	address := w.newPayer()
	report := w.public + "/v1/reports/7"
	key := func(args ...string) result {
		t.Helper()
		return command(t, w.dir, env, "", w.bin, append([]string{"pay", "-y", "--wallet", "key"}, args...)...)
	}
	w.write("garbage.key", "not a key")
	w.write("zero.key", "0x"+strings.Repeat("0", 64))
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		pieces []string
	}{
		{"no key", []string{report}, 2, []string{"--key-file", "paywall keys payer"}},
		{"no such file", []string{"--key-file", "gone.key", report}, 2, []string{"--key-file", "gone.key"}},
		{"a file that is a folder", []string{"--key-file", ".", report}, 2, []string{"--key-file"}},
		{"a file that is no key", []string{"--key-file", "garbage.key", report}, 2, []string{"--wallet key"}},
		{"a key of nothing", []string{"--key-file", "zero.key", report}, 2, []string{"--wallet key"}},
		{"the seller's key", []string{"--key-file", "receipts.pem", report}, 2, []string{"--wallet key"}},
		{"a network that is none", []string{"--key-file", "payer.key", "--network", "base", report}, 2, []string{"--network"}},
		{"another network", []string{"--key-file", "payer.key", "--network", "eip155:8453", report}, 3, nil},
		{"above the most", []string{"--key-file", "payer.key", "--max", "0.99 USD", report}, 3, []string{"per payment", "0.99 USD allowed"}},
		{"above the day's", []string{"--key-file", "payer.key", "--max-day", "0.50 USD", report}, 3, []string{"per day"}},
		{"another currency", []string{"--key-file", "payer.key", "--max", "5.00 EUR", "--max-day", "5.00 EUR", report}, 3, []string{"currency"}},
		{"another host", []string{"--key-file", "payer.key", "--host", "shop.example", report}, 3, []string{"allowed hosts"}},
	} {
		for _, dry := range []bool{false, true} {
			args := c.args
			if dry {
				args = append([]string{"--dry-run"}, args...)
			}
			r := key(args...)
			if r.code != c.code || r.stdout != "" && !dry {
				t.Errorf("%s (dry: %t): exit code %d, want %d\n%s%s", c.name, dry, r.code, c.code, r.stdout, r.stderr)
			}
			for _, piece := range c.pieces {
				if !strings.Contains(r.stderr, piece) {
					t.Errorf("%s (dry: %t): the output lacks %q: %s", c.name, dry, piece, r.stderr)
				}
			}
		}
	}
	if r := command(t, w.dir, env, "n\n", w.bin, "pay", "--wallet", "key", "--key-file", "payer.key", report); r.code != 5 || r.stdout != "" {
		t.Errorf("who says no has exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if audit := w.audit(); len(audit.Chain.Calls) != 0 || len(w.payments()) != 0 {
		t.Errorf("%d calls of the facilitator and %d payments, want none", len(audit.Chain.Calls), len(w.payments()))
	}
	// Nobody can pay what it does not have.
	w.control(http.MethodPost, "/_sandbox/fund", map[string]string{"network": coinNetwork, "address": address, "balance": "999999"}, http.StatusOK)
	// What it signed is out, and good until it expires: another is not signed unasked.
	for range 2 {
		w.coins(env, "-y", report).want(t, 4, "declined", "--forget").oneLine(t)
	}
	w.coins(env, "-y", "-d", "{}", w.public+"/v1/complete").want(t, 0, "paid 0.75")
	w.control(http.MethodPost, "/_sandbox/fund", map[string]string{"network": coinNetwork, "address": address, "units": "1000000"}, http.StatusOK)
	w.coins(env, "-y", "--forget", report).want(t, 0, "paid 1.0")
	w.handedOver()
	if n := len(w.audit().Chain.Transfers); n != 2 {
		t.Errorf("%d transfers, want 2", n)
	}
	w.coinRows()
	w.books()
	w.serving.stop(t)
}

// TestX402_PayIsPending loses the server while it settles: exit code 4. The same
// command again presents the same payment, and nothing is signed anew.
func TestX402_PayIsPending(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "{}"} {
		t.Run("with "+data, func(t *testing.T) {
			t.Parallel()
			w := newCoinWorld(t, hooked)
			env := w.purse(t)
			w.newPayer()
			args := []string{"-y", w.public + "/v1/reports/7"}
			if data != "" {
				args = []string{"-y", "-d", data, w.public + "/v1/complete"}
			}
			server := w.serve("PAYWALL_CRASH=" + payment.PointAnswered + ":1")
			r := w.coins(env, args...).want(t, 4, "run the same command again").oneLine(t)
			if r.stdout != "" {
				t.Errorf("standard output has %q", r.stdout)
			}
			killed(t, server)
			w.serve()
			w.coins(env, args...).want(t, 0, "paid ")
			w.handedOver()
			if n := len(w.audit().Chain.Transfers); n != 1 {
				t.Errorf("%d transfers, want 1", n)
			}
			w.coinRows()
			w.books()
			w.serving.stop(t)
		})
	}
}

// TestX402_PayByLinkToken pays with a shared payment token over x402. A token that was
// spent by one protocol buys nothing by the other.
func TestX402_PayByLinkToken(t *testing.T) {
	t.Parallel()
	w := newCoinWorld(t, release)
	w.serve()
	env := w.purse(t)
	w.pay(env, "-y", "--protocol", "x402", "--dry-run", w.public+"/v1/reports/7").want(t, 0, "1.00 USD")
	var paid struct {
		Paid                       bool
		Amount, Payment, Reference string
	}
	r := w.pay(env, "-y", "--protocol", "x402", "--json", w.public+"/v1/reports/7").want(t, 0)
	w.decode([]byte(r.stdout), &paid)
	var shown struct{ Protocol, Method, Currency string }
	w.decode([]byte(w.paywall("payments", "show", paid.Payment, "--json").want(t, 0).stdout), &shown)
	if !paid.Paid || paid.Amount != "1.00 USD" || !strings.HasPrefix(paid.Reference, "pi_") || shown.Protocol != "x402" || shown.Method != "stripe" {
		t.Errorf("it is shown as %+v and %+v", paid, shown)
	}
	w.pay(env, "-y", "--protocol", "x402", "-d", "{}", w.public+"/v1/complete").want(t, 0, "paid 0.75 USD")

	// The same token by both protocols, in either order.
	a := newAgent(t, w, "")
	for _, first := range []string{"mpp", "x402"} {
		p := must[purchase](t)(a.prepare(t.Context(), http.MethodGet, w.public+"/v1/reports/"+first, ""))
		asked := must[answer](t)(a.do(t.Context(), http.MethodGet, w.public+"/v1/reports/"+first, "", nil))
		over := p
		over.credential = linkToken(t, asked, p.spt(t))
		one, other := p, over
		if first == "x402" {
			one, other = over, p
		}
		if got := must[answer](t)(a.present(t.Context(), one)); got.status != http.StatusOK {
			t.Fatalf("%s: %d %s", first, got.status, got.body)
		}
		before := w.api.runs()
		other.url = w.public + "/v1/reports/" + first
		got := must[answer](t)(a.present(t.Context(), other))
		if got.status == http.StatusOK || w.api.runs() != before {
			t.Errorf("after %s, the other protocol has %d %s with the same token", first, got.status, got.body)
		}
	}
	w.handedOver()
	if totals := w.audit().Totals; totals.Charges != 4 || totals.Refunds != 0 {
		t.Errorf("%d charges and %d refunds, want 4 and none", totals.Charges, totals.Refunds)
	}
	w.books()
	w.serving.stop(t)
}

// linkToken is a token as x402 carries it.
func linkToken(t *testing.T, asked answer, token string) http.Header {
	t.Helper()
	var required x402.PaymentRequired
	if err := x402.Decode(asked.header.Get(x402.HeaderRequired), &required); err != nil {
		t.Fatal(err)
	}
	for _, need := range required.Accepts {
		if need.Network == "stripe:test" {
			payload := must[[]byte](t)(json.Marshal(map[string]string{"token": token}))
			field := must[string](t)(x402.Encode(x402.PaymentPayload{Version: x402.V2, Accepted: need, Payload: payload}))
			return http.Header{"Payment-Signature": {field}}
		}
	}
	t.Fatalf("no tokens are asked for: %+v", required.Accepts)
	return nil
}

// TestX402_KeysPayer makes the key of a payer, over nothing that is there.
func TestX402_KeysPayer(t *testing.T) {
	t.Parallel()
	w := &world{t: t, bin: release, dir: t.TempDir()}
	w.env = environment(w.dir)
	first := w.newPayer()
	before := w.read("payer.key")
	if again := w.newPayer(); again != first || w.read("payer.key") != before {
		t.Errorf("the key of %s was written over by that of %s", first, again)
	}
	w.paywall("keys", "payer", filepath.Join("gone", "payer.key")).want(t, 1, "gone").oneLine(t)
	w.remove("payer.key")
	if second := w.newPayer(); second == first {
		t.Error("two keys have one address")
	}
}

// spt is the token in a credential of MPP.
func (p purchase) spt(t *testing.T) string {
	t.Helper()
	if !strings.HasPrefix(p.token, "spt_") {
		t.Fatal("the proof is no token")
	}
	return p.token
}
