package e2e

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"paywall/payment"
)

// TestServeRefusesToStart has one clear line and exit code 1 for each reason why
// nothing can be served.
func TestServeRefusesToStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	config := w.read("paywall.yaml")
	busy, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := busy.Addr().String()
	public, admin := strings.TrimPrefix(w.public, "http://"), strings.TrimPrefix(w.admin, "http://")
	for _, c := range []struct {
		name     string
		spoil    func(w *world)
		settings []string
		pieces   []string
	}{
		{"no file", func(w *world) { w.remove("paywall.yaml") }, nil, []string{"paywall.yaml", "no such file"}},
		{"no challenge key", func(w *world) { w.edit("challenge.key", "gone.key") }, nil, []string{":5: keys.challenge", "gone.key"}},
		{"no receipt key", func(w *world) { w.edit("receipts.pem", "gone.pem") }, nil, []string{":5: keys.receipts", "paywall keys new"}},
		{"weak key", func(w *world) {
			w.write("weak.key", strings.Repeat("a", 64))
			w.edit("challenge.key", "weak.key")
		}, nil, []string{":5: keys.challenge", "can be guessed", "paywall keys new"}},
		{"short key", func(w *world) {
			w.write("weak.key", "b1946ac92492d234")
			w.edit("challenge.key", "weak.key")
		}, nil, []string{":5: keys.challenge", "32 or more"}},
		{"one key for two purposes", func(w *world) { w.edit("seal.key", "challenge.key") }, nil, []string{":5: keys.seal", "same secret"}},
		{"receipt key that is none", func(w *world) { w.edit("receipts.pem", "challenge.key") }, nil, []string{"challenge.key"}},
		{"port in use", func(w *world) {
			w.edit(public, taken)
			w.edit(public, taken)
		}, nil, []string{"listen", "address already in use", "choose another address"}},
		{"admin port in use", func(w *world) { w.edit(admin, taken) }, nil, []string{"admin.listen", "address already in use"}},
		{"store in a folder that is not there", func(w *world) { w.edit("sqlite:paywall.db", "sqlite:gone/paywall.db") }, nil, []string{"store", "gone"}},
		{"store in a folder that is a file", func(w *world) { w.edit("sqlite:paywall.db", "sqlite:challenge.key/paywall.db") }, nil, []string{"store", "challenge.key"}},
		{"store that is a folder", func(w *world) { w.mkdir("folder.db"); w.edit("sqlite:paywall.db", "sqlite:folder.db") }, nil, []string{"store", "folder.db"}},
		{"store that is something else", func(w *world) { w.edit("sqlite:paywall.db", "sqlite:paywall.yaml") }, nil, []string{"store"}},
		{"no processor key", func(*world) {}, []string{"STRIPE_KEY="}, []string{":7: methods.stripe.key", "STRIPE_KEY"}},
		{"publishable key", func(*world) {}, []string{"STRIPE_KEY=pk_test_1234567890"}, []string{":7: methods.stripe.key", "publishable"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := w.within(t)
			w.write("paywall.yaml", config)
			c.spoil(w)
			r := command(t, w.dir, append(append([]string{}, w.env...), c.settings...), "", w.bin, "serve")
			r.want(t, 1, c.pieces...).oneLine(t)
			if r.stdout != "" {
				t.Errorf("standard output has %q", r.stdout)
			}
		})
	}
	t.Run("folder that may not be written", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("notice: root may write everywhere")
		}
		w := w.within(t)
		w.mkdir("closed")
		w.write("paywall.yaml", strings.Replace(config, "sqlite:paywall.db", "sqlite:closed/paywall.db", 1))
		if err := os.Chmod(w.dir+"/closed", 0o500); err != nil {
			t.Fatal(err)
		}
		w.paywall("serve").want(t, 1, "store", "closed").oneLine(t)
	})
	t.Run("store of another server", func(t *testing.T) {
		w := w.within(t)
		w.write("paywall.yaml", config)
		w.serve()
		addrs := freeAddrs(t, 2)
		second := strings.ReplaceAll(strings.ReplaceAll(config, public, addrs[0]), admin, addrs[1])
		w.write("second.yaml", second)
		w.paywall("serve", "-c", "second.yaml").want(t, 1, "store is in use by another process").oneLine(t)
		w.serving.stop(t)
	})
	t.Run("live key for the sandbox", func(t *testing.T) {
		w := w.within(t)
		const live = "sk_live_CANARYe2eLive0000000"
		for _, saying := range []string{"", "live: true, "} {
			w.write("paywall.yaml", strings.Replace(config, "profile: "+profile, saying+"profile: profile_e2e", 1))
			r := command(t, w.dir, append(append([]string{}, w.env...), "STRIPE_KEY="+live), "", w.bin, "serve")
			r.want(t, 1, ":7: methods.stripe")
			if !strings.Contains(r.stderr, "live key") || strings.Contains(r.stderr, live) {
				t.Errorf("the reason is not clear, or the key is shown:\n%s", r.stderr)
			}
		}
		if calls := w.audit().TotalCalls; calls != 0 {
			t.Errorf("the sandbox was called %d times", calls)
		}
	})
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(w.dir + "/" + name); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mkdir(name string) {
	w.t.Helper()
	if err := os.Mkdir(w.dir+"/"+name, 0o700); err != nil {
		w.t.Fatal(err)
	}
}

// TestUpstreamIsUnreachable keeps what was paid for until the API is there again.
func TestUpstreamIsUnreachable(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, release)
			addr := freeAddrs(t, 1)[0]
			w.edit("upstreams:\n  api: {url: \"http://", "upstreams:\n  api: {url: \"http://"+addr+"\"}\n  old: {url: \"http://")
			w.serve()
			target := "/v1/reports/7"
			if method == http.MethodPost {
				target = "/v1/complete"
			}
			a := newAgent(t, w, "")
			p, err := a.prepare(t.Context(), method, w.public+target, "")
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.present(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if got.status != http.StatusBadGateway || got.payment() == "" || got.header.Get("Retry-After") == "" {
				t.Errorf("the answer is %d %v %s, want 502 with a payment to come back with", got.status, got.header, got.body)
			}
			if rows := w.of(method + " " + target); len(rows) != 1 || rows[0].position() != "settled/open" {
				t.Errorf("the payments are %v, want one that is open", rows)
			}
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			api := httptest.NewUnstartedServer(w.api)
			api.Listener.Close()
			api.Listener = l
			api.Start()
			defer api.Close()
			if got, err = a.insist(t.Context(), p); err != nil || got.status != http.StatusOK {
				t.Fatalf("with the API back: %d %s %v, want 200", got.status, got.body, err)
			}
			w.rest()
			if charges, refunds := charged(w.audit(), got.payment()); charges != 1 || refunds != 0 {
				t.Errorf("%d charges and %d refunds, want one charge", charges, refunds)
			}
			w.books()
			w.serving.stop(t)
		})
	}
}

// TestI13_ProcessorIsUnreachable answers 503 as long as the outcome is not known:
// a 402 would invite a second payment.
func TestI13_ProcessorIsUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release, "settlement: {patience: 1s, attempt: 1s}")
	w.serve()
	a := newAgent(t, w, "")
	p, err := a.prepare(t.Context(), http.MethodGet, w.public+"/v1/reports/7", "")
	if err != nil {
		t.Fatal(err)
	}
	w.play.stop(t)
	for range 3 {
		got, err := a.present(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case got.status == http.StatusServiceUnavailable && got.problem() == "payment-pending":
		case got.status == http.StatusConflict && got.problem() == "payment-in-progress": // recovery is at it
		default:
			t.Errorf("the answer is %d %s, want a payment that is pending", got.status, got.body)
		}
		if got.header.Get("Www-Authenticate") != "" || got.header.Get("Retry-After") == "" {
			t.Errorf("the head is %v, want when to come back and no new offer", got.header)
		}
	}
	if rows := w.payments(); len(rows) != 1 || rows[0].State != payment.StatePending {
		t.Errorf("the payments are %v, want one that is pending", rows)
	}
	w.serving.stop(t)
	// A start does not wait for the processor, and the books are right without it.
	w.serve()
	w.paywall("ledger", "verify").want(t, 0, "every invariant holds")
	w.serving.stop(t)
}

// price asks what a report costs.
func (w *world) price() string {
	w.t.Helper()
	got, err := newAgent(w.t, w, "").do(w.t.Context(), http.MethodGet, w.public+"/v1/reports/7", "", nil)
	if err != nil || got.status != http.StatusPaymentRequired {
		w.t.Fatalf("%d %v, want 402", got.status, err)
	}
	var d struct {
		Price string `json:"price"`
	}
	w.decode(got.body, &d)
	return d.Price
}

// TestReload changes a price in a running server. A file with a fault changes
// nothing, and the server says which line it is.
func TestReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	w.serve()
	reload := func(says string) {
		t.Helper()
		before := strings.Count(w.serving.out.String(), says)
		if err := w.serving.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		await(t, says, 10*time.Second, func() bool { return strings.Count(w.serving.out.String(), says) > before })
	}
	if got := w.price(); got != "1.00 USD" {
		t.Fatalf("the price is %s", got)
	}
	a := newAgent(t, w, "")
	old, err := a.prepare(t.Context(), http.MethodGet, w.public+"/v1/reports/old", "")
	if err != nil {
		t.Fatal(err)
	}
	w.edit("1.00 USD", "1.25 USD")
	reload("configuration reloaded")
	if got := w.price(); got != "1.25 USD" {
		t.Errorf("after a reload the price is %s, want 1.25 USD", got)
	}
	a.buy(t, http.MethodGet, w.public+"/v1/reports/new", "")
	// Whatever an old offer comes to: nobody pays another price than it was made for.
	if _, err := a.insist(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	for _, r := range w.payments() {
		if want := map[string]int64{"GET /v1/reports/new": 125, "GET /v1/reports/old": 100}[r.Resource]; r.Units != want {
			t.Errorf("%s cost %d cents, want %d", r.Resource, r.Units, want)
		}
	}
	for _, c := range []struct{ piece, with, says string }{
		{"price: 1.25 USD", "price: 1.2.5 USD", ":11: routes[0].price"},
		{"upstreams:", "upsteams:", "upsteams"},
		{"1.25 USD", "0.01 USD", "no payment method can take 0.01 USD"},
		{"receipts.pem", "gone.pem", "gone.pem"},
	} {
		text := w.read("paywall.yaml")
		w.edit(c.piece, c.with)
		reload("configuration not reloaded")
		if log := w.serving.out.String(); !strings.Contains(log, c.says) {
			t.Errorf("the log does not say %q", c.says)
		}
		if got := w.price(); got != "1.25 USD" {
			t.Errorf("after a bad file the price is %s, want 1.25 USD", got)
		}
		w.write("paywall.yaml", text)
	}
	w.edit("listen: ", "receipts: {ttl: 20m}\nlisten: ")
	w.edit("store: sqlite:paywall.db", "store: sqlite:other.db")
	reload("these settings take effect after a restart")
	w.edit("sqlite:other.db", "sqlite:paywall.db")
	w.rest()
	w.books()
	w.serving.stop(t)
}

// TestDrain stops a server while a paid request is at the API: it is finished and
// delivered, nothing new comes in, and the exit code is 0.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	w.serve()
	a := newAgent(t, w, "")
	p, err := a.prepare(t.Context(), http.MethodGet, w.public+"/v1/slow", "")
	if err != nil {
		t.Fatal(err)
	}
	type last struct {
		answer
		err error
	}
	done := make(chan last, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() {
		got, err := a.present(ctx, p)
		done <- last{got, err}
	}()
	select {
	case <-w.api.entered:
	case <-ctx.Done():
		t.Fatal("the request did not reach the API")
	}
	if err := w.serving.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, "the door is closed", 5*time.Second, func() bool {
		_, _, err := fetch(t.Context(), w.public+"/healthz")
		return err != nil
	})
	if !w.serving.running() {
		t.Fatal("the server ended with a paid request under way")
	}
	w.api.release()
	if got := <-done; got.err != nil || got.status != http.StatusOK {
		t.Errorf("the request under way got %d %v, want 200", got.status, got.err)
	}
	if s := w.serving.ended(t, 10*time.Second); s.ExitStatus() != 0 {
		t.Errorf("exit status %d, want 0", s.ExitStatus())
	}
	if rows := w.payments(); len(rows) != 1 || rows[0].position() != delivered {
		t.Errorf("the payments are %v, want one that is delivered", rows)
	}
	w.books()
}
