package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo tells the whole story. It is not run beside other tests: it listens on
// the ports that the documentation names.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	r := command(t, dir, environment(dir), "", release, "demo").want(t, 0,
		"402 Payment Required", "200 OK", "Payment-Receipt", "0 broken invariants", "charged 4 times", "100 quotes for one payment", `left="0.00000"`, "POST /ucp/v1/checkout-sessions", "archive of 1987/10/19",
		"PAYMENT-REQUIRED", "PAYMENT-RESPONSE", "by MPP", "eip155:84532", "1 transfer to the seller, 1.000000 USDC")
	if r.stderr != "" {
		t.Errorf("standard error has %q", r.stderr)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the demo left %v behind (%v)", left, err)
	}
}

// TestDemoKeep runs the lines that the demo prints to be tried.
func TestDemoKeep(t *testing.T) {
	dir := t.TempDir()
	demo := start(t, dir, environment(dir), release, "demo", "--keep")
	await(t, "the invitation", time.Minute, func() bool {
		return strings.Contains(demo.out.String(), "ledger verify -c") || !demo.running()
	})
	if !demo.running() {
		t.Fatal("the demo ended")
	}
	printed := func(pattern string) string {
		t.Helper()
		found := regexp.MustCompile(`(?m)^\s+(` + pattern + `)$`).FindStringSubmatch(demo.out.String())
		if found == nil {
			t.Fatalf("no line like %s in\n%s", pattern, demo.out)
		}
		return found[1]
	}
	export, pay := printed(`export LINK_API_BASE_URL=\S+ LINK_ACCESS_TOKEN=\S+`), printed(`\S*paywall pay \S+`)
	env := append(environment(dir), strings.Fields(export)[1:]...)
	shell := func(line string) result {
		t.Helper()
		return command(t, dir, env, "", "sh", "-c", line)
	}
	if _, err := exec.LookPath("curl"); err == nil {
		shell(printed(`curl -i \S+`)).want(t, 0, "402 Payment Required", "Www-Authenticate: Payment")
	} else {
		t.Log("notice: curl is missing, so its line is not run")
	}
	buying := start(t, dir, env, "sh", "-c", pay+" -y")
	w := &world{t: t, bin: release, dir: dir}
	command(t, dir, env, "", release, "wallet", "approve", w.waiting(t, env)).want(t, 0, "approved")
	if s := buying.ended(t, 20*time.Second); s.ExitStatus() != 0 || !strings.Contains(buying.out.String(), "paid 1.00 USD") {
		t.Errorf("pay: exit code %d\n%s", s.ExitStatus(), buying.out)
	}
	shell(printed(`\S*paywall shop search .*`)).want(t, 0, "archive-day")
	buying = start(t, dir, env, "sh", "-c", printed(`\S*paywall shop buy .*`)+" -y")
	command(t, dir, env, "", release, "wallet", "approve", w.waiting(t, env)).want(t, 0, "approved")
	if s := buying.ended(t, 20*time.Second); s.ExitStatus() != 0 || !strings.Contains(buying.out.String(), "completed") {
		t.Errorf("shop buy: exit code %d\n%s", s.ExitStatus(), buying.out)
	}
	await(t, "the books have the purchases", 10*time.Second, func() bool {
		r := shell(printed(`\S*paywall ledger verify .*`))
		return r.code == 0 && strings.Contains(r.stdout, "payments: 107") && strings.Contains(r.stdout, "every invariant holds")
	})
	if err := demo.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if s := demo.ended(t, 15*time.Second); s.ExitStatus() != 0 {
		t.Errorf("after SIGINT: exit code %d, want 0", s.ExitStatus())
	}
}
