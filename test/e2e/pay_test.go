package e2e

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"paywall/payment"
	"paywall/sandbox"
)

// purse is the environment of one paying user.
func (w *world) purse(t *testing.T, settings ...string) []string {
	t.Helper()
	home := t.TempDir()
	env := environment(home, "PAYWALL_HOME="+filepath.Join(home, "purse"), "PAYWALL_TEST_KEY="+testKey, "PAYWALL_PROCESSOR="+w.sandbox, "LINK_API_BASE_URL="+w.sandbox)
	return append(env, settings...)
}

// pay runs `paywall pay` with play money of the processor's test helper.
func (w *world) pay(env []string, args ...string) result {
	w.t.Helper()
	return command(w.t, w.dir, env, "", w.bin, append([]string{"pay", "--wallet", "processor"}, args...)...)
}

// TestPay pays from the command line and proves what was paid, offline and not.
func TestPay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	w.serve()
	env := w.purse(t)
	report := w.public + "/v1/reports/7"

	w.pay(env, "--dry-run", report).want(t, 0, "1.00 USD")
	if n := w.audit().Totals.Charges; n != 0 {
		t.Fatalf("a dry run made %d charges", n)
	}
	r := w.pay(env, "-y", "--receipt", "receipt.jwt", report).want(t, 0, "paid 1.00 USD, reference pi_")
	if want := `{"method":"GET","path":"/v1/reports/7","body":""}`; strings.TrimSpace(r.stdout) != want {
		t.Errorf("standard output is %q, want the answer alone: %s", r.stdout, want)
	}
	var paid struct {
		Status                           int
		Paid                             bool
		Body, Amount, Reference, Payment string
	}
	post := w.pay(env, "-y", "--json", "-d", `{"prompt":"?"}`, w.public+"/v1/complete").want(t, 0)
	w.decode([]byte(post.stdout), &paid)
	if paid.Status != http.StatusOK || !paid.Paid || paid.Amount != "0.75 USD" || !strings.Contains(paid.Body, "POST") || paid.Payment == "" {
		t.Errorf("pay --json says %+v", paid)
	}
	w.pay(env, "-y", "-i", w.public+"/health").want(t, 0, "200 OK") // nothing to pay
	w.handedOver()
	if rows := w.payments(); len(rows) != 2 {
		t.Errorf("%d payments, want 2", len(rows))
	}

	w.paywall("receipt", "show", "receipt.jwt").want(t, 0, "not verified", "1.00 USD", "GET "+report)
	w.paywall("receipt", "verify", "receipt.jwt", "--issuer", w.public).want(t, 0, "valid: signed by "+w.public, "1.00 USD")
	keys, ok := get(t.Context(), w.public+"/.well-known/jwks.json")
	if !ok {
		t.Fatal("no keys are published")
	}
	w.write("jwks.json", string(keys))
	did, ok := get(t.Context(), w.public+"/.well-known/did.json")
	if !ok {
		t.Fatal("no did document is published")
	}
	w.write("did.json", string(did))
	w.serving.stop(t) // from here on offline
	w.paywall("receipt", "verify", "receipt.jwt", "--issuer", w.public, "--keys", "jwks.json").want(t, 0, "valid")
	w.paywall("receipt", "verify", "receipt.jwt", "--issuer", w.public, "--keys", "did.json").want(t, 0, "valid")
	command(t, w.dir, w.env, w.read("receipt.jwt"), w.bin, "receipt", "verify", "-", "--issuer", w.public, "--keys", "jwks.json", "--json").want(t, 0, `"amount": "1.00 USD"`)
	w.paywall("receipt", "verify", "receipt.jwt", "--issuer", "https://other.example", "--keys", "jwks.json").want(t, 1, "not valid").oneLine(t)
	w.paywall("receipt", "verify", "receipt.jwt", "--issuer", w.public).want(t, 1, "fetch the issuer's keys").oneLine(t)
	token := strings.TrimSpace(w.read("receipt.jwt"))
	w.write("altered.jwt", token[:len(token)-6]+"AAAAAA")
	w.paywall("receipt", "verify", "altered.jwt", "--issuer", w.public, "--keys", "jwks.json").want(t, 1, "not valid").oneLine(t)
	w.books()
}

// TestPayIsRefused has exit code 3 for what the spending policy or the seller's
// bank forbids, and charges nothing.
func TestPayIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	w.serve()
	env := w.purse(t)
	report := w.public + "/v1/reports/7"
	w.pay(env, "-y", "--max", "0.99 USD", report).want(t, 3, "per payment", "1.00 USD asked", "0.99 USD allowed").oneLine(t)
	w.pay(env, "-y", "--max", "5.00 EUR", "--max-day", "5.00 EUR", report).want(t, 3, "currency").oneLine(t)
	w.pay(env, "-y", "--host", "shop.example", report).want(t, 3, "allowed hosts").oneLine(t)
	w.pay(env, "-y", "--max-day", "0.50 USD", report).want(t, 3, "per day").oneLine(t)
	for _, answer := range []string{"n\n", "", "what?\n"} {
		r := command(t, w.dir, env, answer, w.bin, "pay", "--wallet", "processor", report)
		if r.want(t, 5, "costs 1.00 USD", "pay? [y/N]"); r.stdout != "" {
			t.Errorf("standard output has %q", r.stdout)
		}
	}
	audit := w.audit()
	if audit.Totals.Charges != 0 || len(audit.Tokens) != 0 {
		t.Errorf("%d charges and %d tokens, want none", audit.Totals.Charges, len(audit.Tokens))
	}
	command(t, w.dir, env, "y\n", w.bin, "pay", "--wallet", "processor", report).want(t, 0, "paid 1.00 USD")
	// A fault of the processor that is its last word is a no.
	w.order(sandbox.Fault{Kind: sandbox.Stored500, Path: "/v1/payment_intents", Method: http.MethodPost, Count: 1})
	w.pay(env, "-y", w.public+"/v1/reports/8").want(t, 3, "declined")
	// An API that never has the goods: the payment is given back after a few tries.
	broken := w.public + "/v1/broken"
	w.pay(env, "-y", broken).want(t, 4, "this payment was returned", "--forget")
	w.pay(env, "-y", w.public+"/nowhere").want(t, 1, "404")
	if totals := w.audit().Totals; totals.Charges != 2 || totals.Refunds != 1 {
		t.Errorf("%d charges and %d refunds, want 2 and 1", totals.Charges, totals.Refunds)
	}
	w.books()
	w.serving.stop(t)
}

// TestPayIsPending loses the server while it settles: exit code 4. The same
// command again presents the same payment and gets the goods; nothing is paid twice.
func TestPayIsPending(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hooked)
	server := w.serve("PAYWALL_CRASH=" + payment.PointAnswered + ":1")
	env := w.purse(t)
	args := []string{"-y", "-d", `{"prompt":"?"}`, w.public + "/v1/complete"}
	r := w.pay(env, args...).want(t, 4, "run the same command again").oneLine(t)
	if r.stdout != "" {
		t.Errorf("standard output has %q", r.stdout)
	}
	server.ended(t, time.Second)
	w.pay(env, args...).want(t, 4).oneLine(t) // nobody is there yet
	w.serve()
	w.pay(env, args...).want(t, 0, "paid 0.75 USD")
	w.handedOver()
	if totals := w.audit().Totals; totals.Charges != 1 || totals.Refunds != 0 {
		t.Errorf("%d charges and %d refunds, want one charge", totals.Charges, totals.Refunds)
	}
	w.books()
	w.pay(env, args...).want(t, 0, "paid 0.75 USD") // a purchase of its own
	if n := w.audit().Totals.Charges; n != 2 {
		t.Errorf("%d charges after a second purchase, want 2", n)
	}
	w.serving.stop(t)
}

// TestLinkWallet pays from the wallet stand-in: with a login and its owner's word,
// and by itself up to a limit.
func TestLinkWallet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	w.serve()
	env := w.purse(t)
	wallet := func(args ...string) result {
		t.Helper()
		return command(t, w.dir, env, "", w.bin, append([]string{"wallet"}, args...)...)
	}
	wallet("list").want(t, 1, "paywall wallet login").oneLine(t)
	w.login(t, env)
	wallet("list").want(t, 0, "no spend requests")
	wallet("limits").want(t, 0, "per payment", "a day")
	wallet("limits", "--json").want(t, 0, `"per_payment"`)

	for _, c := range []struct {
		verb, word string
		code       int
		says       string
	}{
		{"approve", "approved", 0, "paid 1.00 USD"},
		{"deny", "denied", 5, "denied"},
		{"cancel", "canceled", 5, ""},
	} {
		buying := start(t, w.dir, env, w.bin, "pay", "-y", "--test", "--why", "I want to know what the report says about copper, and I will read all of it.", w.public+"/v1/reports/"+c.verb)
		id := w.waiting(t, env)
		wallet(c.verb, id).want(t, 0, id, c.word)
		if s := buying.ended(t, 20*time.Second); s.ExitStatus() != c.code || !strings.Contains(buying.out.String(), c.says) {
			t.Errorf("after %s: exit code %d, want %d:\n%s", c.verb, s.ExitStatus(), c.code, buying.out)
		}
	}
	wallet("approve", "lsrq_none").want(t, 1)
	w.handedOver()
	if rows := w.payments(); len(rows) != 1 || rows[0].Resource != "GET /v1/reports/approve" || rows[0].position() != delivered {
		t.Errorf("the payments are %v, want the approved one", rows)
	}
	wallet("logout").want(t, 0, "disconnected")
	wallet("list").want(t, 1, "paywall wallet login").oneLine(t)

	// A wallet that approves small amounts by itself, and a login by variable.
	w.play.stop(t)
	w.startSandbox("--auto-approve", "0.80 USD")
	env = w.purse(t, "LINK_ACCESS_TOKEN=sandbox")
	command(t, w.dir, env, "", w.bin, "pay", "-y", "--test", "-d", "{}", w.public+"/v1/complete").want(t, 0, "paid 0.75 USD")
	dear := start(t, w.dir, env, w.bin, "pay", "-y", "--test", w.public+"/v1/reports/dear")
	wallet("deny", w.waiting(t, env)).want(t, 0)
	if s := dear.ended(t, 20*time.Second); s.ExitStatus() != 5 {
		t.Errorf("a dear report: exit code %d, want 5:\n%s", s.ExitStatus(), dear.out)
	}
	w.serving.stop(t)
}

// login connects the purse and confirms the code on the wallet's page.
func (w *world) login(t *testing.T, env []string) {
	t.Helper()
	login := start(t, w.dir, env, w.bin, "wallet", "login")
	code := ""
	await(t, "a code to confirm", 10*time.Second, func() bool {
		_, after, ok := strings.Cut(login.out.String(), "confirm the code ")
		code = strings.TrimSpace(after)
		return ok && strings.HasSuffix(after, "\n")
	})
	w.confirm(t, code)
	if s := login.ended(t, 30*time.Second); s.ExitStatus() != 0 || !strings.Contains(login.out.String(), "connected") {
		t.Fatalf("login: exit code %d\n%s", s.ExitStatus(), login.out)
	}
}

var formToken = regexp.MustCompile(`name="token" value="([^"]+)"`)

// confirm does what the owner does on the wallet's page.
func (w *world) confirm(t *testing.T, code string) {
	t.Helper()
	page, ok := get(t.Context(), w.sandbox+"/device?user_code="+url.QueryEscape(code))
	if !ok {
		t.Fatalf("the wallet has no page for the code %q", code)
	}
	token := formToken.FindSubmatch(page)
	if token == nil {
		t.Fatalf("the page has no form:\n%s", page)
	}
	form := url.Values{"user_code": {code}, "token": {html.UnescapeString(string(token[1]))}, "decision": {"allow"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.sandbox+"/device", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := plain().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the wallet's page answers %s", resp.Status)
	}
}

// waiting is the spend request that waits for the owner.
func (w *world) waiting(t *testing.T, env []string) string {
	t.Helper()
	id := ""
	await(t, "a spend request", 15*time.Second, func() bool {
		r := command(t, w.dir, env, "", w.bin, "wallet", "list", "--json")
		var list []struct{ ID, Status string }
		if r.code != 0 || json.Unmarshal([]byte(r.stdout), &list) != nil {
			return false
		}
		for _, one := range list {
			if one.Status == "pending_approval" || one.Status == "pending" {
				id = one.ID
			}
		}
		return id != ""
	})
	return id
}
