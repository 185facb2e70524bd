package app

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"paywall/internal/config"
	"paywall/mpp"
	"paywall/payment"
)

const unlimited = "limits: {challenges_per_second: 1000000, burst: 1000000, connections_per_client: 4096}"

// price asks unpaid, and returns the amount and the description that are offered.
func (h *house) price(path string) (amount, description string) {
	h.t.Helper()
	a := h.do(http.MethodGet, path, "")
	if a.status != http.StatusPaymentRequired {
		h.t.Errorf("%s: %d %s", path, a.status, a.body)
		return "", ""
	}
	cs, err := mpp.ParseChallenges(a.header)
	if err != nil || len(cs) == 0 {
		h.t.Errorf("%s: %v", path, err)
		return "", ""
	}
	var d struct{ Price string }
	a.into(h.t, &d)
	return d.Price, cs[0].Description
}

// TestI15_OneSnapshot: while the file changes under load, every answer is made
// of one version of it, and no request fails.
func TestI15_OneSnapshot(t *testing.T) {
	const first, second = `price: 1.00 USD, description: The first`, `price: 2.00 USD, description: The second`
	h := build(t, plan{deaf: true, more: unlimited, routes: "\n  - {match: \"GET /v1/reports/{id}\", upstream: api, " + first + "}"})
	want := map[string]string{"1.00 USD": "The first", "2.00 USD": "The second"}
	var stop atomic.Bool
	var asked, changed atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := ""
			for !stop.Load() {
				amount, description := h.price("/v1/reports/7")
				if amount == "" || want[amount] != description {
					t.Errorf("%q is offered for %q", amount, description)
					return
				}
				if asked.Add(1); amount != last && last != "" {
					changed.Add(1)
				}
				last = amount
			}
		})
	}
	for i := range 50 {
		from, to := first, second
		if i%2 == 1 {
			from, to = second, first
		}
		h.edit(from, to)
		if a := h.operate("/admin/reload", ""); a.status != http.StatusOK {
			t.Errorf("reload %d: %d %s", i, a.status, a.body)
		}
	}
	stop.Store(true)
	wg.Wait()
	if asked.Load() < 50 || changed.Load() == 0 {
		t.Errorf("%d answers, %d changes: the load was none", asked.Load(), changed.Load())
	}
	if amount, _ := h.price("/v1/reports/7"); amount != "1.00 USD" {
		t.Errorf("at last %s", amount)
	}
}

// TestReloadAndMoney: an offer of the file before is not charged at a price that
// is not in force any more, and what is under way ends as it began.
func TestReloadAndMoney(t *testing.T) {
	h := build(t, plan{deaf: true})
	quoted := h.quote(http.MethodGet, "/v1/reports/7", "")

	reached, release := make(chan struct{}), make(chan struct{})
	h.api.set(func(w http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-release
		fmt.Fprint(w, "late")
	})
	credential := h.quote(http.MethodPost, "/v1/complete", "{}")
	under := make(chan answer, 1)
	go func() {
		a, err := h.try(h.request(http.MethodPost, "/v1/complete", "{}", credential))
		if err != nil {
			t.Error(err)
		}
		under <- a
	}()
	<-reached
	h.edit("price: 1.00 USD", "price: 2.00 USD")
	h.edit(`  - {match: "POST /v1/complete", upstream: api, price: 0.75 USD}`+"\n", "")
	if a := h.operate("/admin/reload", ""); a.status != http.StatusOK {
		t.Fatalf("reload: %d %s", a.status, a.body)
	}
	if a := h.do(http.MethodPost, "/v1/complete", "{}"); a.status != http.StatusNotFound {
		t.Errorf("the route that was taken out: %d", a.status)
	}
	close(release)
	h.api.set(nil)
	a := <-under
	if a.status != http.StatusOK || a.body != "late" || a.header.Get("Paywall-Receipt") == "" {
		t.Errorf("under way: %d %s", a.status, a.body)
	}
	h.until("delivered", func() bool {
		return h.payment(a.header.Get("Paywall-Payment-Id")).Delivery == payment.DeliveryDelivered
	})
	if a := h.do(http.MethodGet, "/v1/reports/7", "", quoted); a.status != http.StatusPaymentRequired {
		t.Errorf("the offer of before: %d %s", a.status, a.body)
	}
	if c := h.play.Audit().Totals; c.Charges != 1 || c.Captured["usd"] != 75 {
		t.Errorf("charged %d times, %d cents", c.Charges, c.Captured["usd"])
	}
	h.whole()
}

// TestReloadBad: a file with faults says where, and changes nothing.
func TestReloadBad(t *testing.T) {
	h := build(t, plan{deaf: true})
	good, err := os.ReadFile(h.file)
	h.must(err)
	was := h.server.current.Load()
	for _, tt := range []struct{ name, from, to, want string }{
		{"not YAML", "routes:", "routes: [", "paywall.yaml:"},
		{"an unknown key", "methods:", "metods:", "metods"},
		{"an amount that is none", "1.00 USD", "1.00", "routes[0].price"},
		{"below what the method takes", "1.00 USD", "0.01 USD", "no payment method can take 0.01 USD"},
		{"an upstream that is none", "upstream: api, price: 1.00", "upstream: apo, price: 1.00", "apo"},
		{"a key file that is not there", "file:receipts.pem", "file:nothing.pem", "nothing.pem"},
		{"two routes for one request", `match: "GET /health"`, `match: "GET /v1/reports/{id}"`, "routes["},
		{"nothing", string(good), "", "paywall.yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.write(strings.Replace(string(good), tt.from, tt.to, 1))
			a := h.operate("/admin/reload", "")
			if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, tt.want) || strings.Contains(a.body, hookSecret) {
				t.Errorf("%d %s, want 422 with %q", a.status, a.body, tt.want)
			}
			if h.server.current.Load() != was {
				t.Error("it is in force")
			}
		})
	}
	if amount, _ := h.price("/v1/reports/7"); amount != "1.00 USD" {
		t.Errorf("price %s", amount)
	}
	h.write(string(good))
	if a := h.operate("/admin/reload", ""); a.status != http.StatusOK || h.server.current.Load() == was {
		t.Errorf("the good file: %d %s", a.status, a.body)
	}
}

// TestReloadHeld: settings that wait for a restart are named, and what is said
// about the origin stays that of the challenges.
func TestReloadHeld(t *testing.T) {
	h := build(t, plan{deaf: true, more: "trusted_proxies: [10.0.0.0/24]\nchallenge: {ttl: 5m}\nlimits: {burst: 60}"})
	before := h.do(http.MethodGet, "/openapi.json", "").body
	if held := h.held(); len(held) > 0 {
		t.Errorf("nothing changed, but held: %v", held)
	}
	h.edit("public_url: "+h.origin, "public_url: https://elsewhere.example.com")
	h.edit("ttl: 5m", "ttl: 4m")
	h.edit("burst: 60", "burst: 61")
	h.edit("10.0.0.0/24", "10.0.1.0/24")
	h.edit(testProfile, "profile_test_another")
	want := "[public_url trusted_proxies methods challenge x402 limits]"
	if held := fmt.Sprint(h.held()); held != want {
		t.Errorf("held: %v, want %s", held, want)
	}
	if a := h.operate("/admin/reload", ""); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if !strings.Contains(h.logs.String(), "public_url, trusted_proxies, methods, challenge, x402, limits") {
		t.Error("the log does not name them")
	}
	if after := h.do(http.MethodGet, "/openapi.json", "").body; after != before {
		t.Errorf("the description changed its origin: %s", after)
	}
}

func (h *house) held() []string {
	h.t.Helper()
	next, err := config.Load(h.file, h.process().Getenv)
	h.must(err)
	return h.server.needsRestart(next)
}

// TestC083_OverlappingRoutes: whatever the order in the file and however often
// it is read, the narrowest route prices a request; routes of which neither is
// the narrower are refused.
func TestC083_OverlappingRoutes(t *testing.T) {
	table := []string{
		`{match: "GET /{path...}", upstream: api, price: 5.00 USD}`,
		`{match: "GET /v1/{path...}", upstream: api, price: 4.00 USD}`,
		`{match: "GET /v1/reports/{id}", upstream: api, price: 1.00 USD}`,
		`{match: "GET /v1/reports/today", upstream: api, price: 2.00 USD}`,
		`{match: "GET /v1/reports/{id}/raw", upstream: api, price: 3.00 USD}`,
	}
	rows := func(list []string) string { return "\n  - " + strings.Join(list, "\n  - ") }
	h := build(t, plan{deaf: true, more: unlimited, routes: rows(table)})
	rng := rand.New(rand.NewPCG(1, 2))
	last := rows(table)
	for i := range 50 {
		for path, want := range map[string]string{
			"/other": "5.00 USD", "/v1/reports": "4.00 USD", "/v1/x/y": "4.00 USD", "/v1/reports/7": "1.00 USD",
			"/v1/reports/today": "2.00 USD", "/v1/reports/today/raw": "3.00 USD", "/v1/reports/today?x=1": "2.00 USD",
		} {
			if got, _ := h.price(path); got != want {
				t.Fatalf("after %d reloads %s costs %s, want %s", i, path, got, want)
			}
		}
		rng.Shuffle(len(table), func(a, b int) { table[a], table[b] = table[b], table[a] })
		h.edit(last, rows(table))
		last = rows(table)
		if err := h.server.reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.edit(last, last+"\n  - {match: \"GET /v1/{kind}/today\", upstream: api, price: 6.00 USD}\n  - {match: \"GET /v1/news/{day}\", upstream: api, price: 7.00 USD}")
	if err := h.server.reload(t.Context()); err == nil || !strings.Contains(err.Error(), "neither is the more specific") {
		t.Errorf("two routes for /v1/news/today: %v", err)
	}
	if code, out := h.command("check"); code != exitFailed || !strings.Contains(out, "neither is the more specific") {
		t.Errorf("check: %d %s", code, out)
	}
}
