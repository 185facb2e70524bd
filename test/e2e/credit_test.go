package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"paywall/payment"
)

const quotesRoute = `routes:
  - {id: quotes, match: "GET /v1/quotes/{id}", upstream: api, price: 0.01 USD, description: One quote, credit: {pack: 5.00 USD}}
`

// newCounter is a world that sells quotes for a cent, in packs of 5.00.
func newCounter(t *testing.T, bin string, more ...string) *world {
	t.Helper()
	w := newWorld(t, bin, more...)
	w.edit("routes:\n", quotesRoute)
	return w
}

// account is what `paywall credit list` says of one.
type account struct {
	Account, Bought, Spent, Left string
	Frozen                       bool
}

func (w *world) credits() []account {
	w.t.Helper()
	data, ok := get(w.t.Context(), w.admin+"/admin/credit?limit=200")
	if !ok {
		w.t.Fatal("no list of accounts")
	}
	var list []account
	w.decode(data, &list)
	return list
}

// pack buys credit and returns the receipt that spends it.
func (w *world) pack(t *testing.T) string {
	t.Helper()
	got := newAgent(t, w, "pm_card_visa").buy(t, http.MethodGet, w.public+"/v1/quotes/0", "")
	receipt := got.header.Get("Paywall-Receipt")
	if receipt == "" {
		t.Fatalf("no receipt in %v", got.header)
	}
	return receipt
}

// quote asks for one with a receipt; 0 is a connection that broke.
func (w *world) quote(ctx context.Context, receipt, id string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.public+"/v1/quotes/"+id, http.NoBody)
	if err != nil {
		w.t.Error(err)
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+receipt)
	resp, err := plain().Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var doc map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		return 0
	}
	return resp.StatusCode
}

// balanced demands that what was delivered and what is left are what was bought, and
// returns how many requests were delivered, the first one included.
func (w *world) balanced(id string) int {
	w.t.Helper()
	w.until("every draw has come to an end", func(r row) bool {
		return r.Method != payment.MethodCredit || r.position() == delivered || r.position() == refunded || r.State == payment.StateVoided || r.State == payment.StateFailed
	})
	posted := 0
	for _, r := range w.payments() {
		if r.Method == payment.MethodCredit && r.position() == delivered {
			posted++
		}
	}
	for _, a := range w.credits() {
		if a.Account != id {
			continue
		}
		if want := fmt.Sprintf("%d.%02d000 USD", posted/100, posted%100); a.Spent != want {
			w.t.Errorf("%s are spent, and %d requests for a cent were delivered", a.Spent, posted)
		}
		if want := fmt.Sprintf("%d.%02d000 USD", (500-posted)/100, (500-posted)%100); a.Left != want {
			w.t.Errorf("%s are left after %d requests", a.Left, posted)
		}
	}
	w.books()
	return posted
}

// TestCreditStorm spends a pack of 500 requests from 32 clients, while the server is
// killed three times, the API fails now and then, and clients hang up.
func TestCreditStorm(t *testing.T) {
	t.Parallel()
	w := newCounter(t, hooked, "log: {level: error}")
	w.serve()
	receipt := w.pack(t)
	id := w.credits()[0].Account
	var served, asked atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 32 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := asked.Add(1)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				if n%17 == 0 {
					cancel() // it hangs up at once
				}
				switch w.quote(ctx, receipt, strconv.FormatInt(n, 10)) {
				case http.StatusOK:
					served.Add(1)
				case 0, http.StatusPaymentRequired:
					time.Sleep(20 * time.Millisecond)
				}
				cancel()
			}
		})
	}
	for range 3 {
		before := served.Load()
		await(t, "more is served", 30*time.Second, func() bool { return served.Load() >= before+60 })
		w.serving.kill(t)
		w.serve()
	}
	await(t, "nothing is left", time.Minute, func() bool {
		return w.quote(t.Context(), receipt, "last") == http.StatusPaymentRequired
	})
	close(stop)
	clients.Wait()
	// What was under way when the server died goes back when its window is over.
	w.advance(20 * time.Minute)
	posted := w.balanced(id)
	for posted < 500 && w.quote(t.Context(), receipt, "rest") == http.StatusOK {
		posted++
		served.Add(1)
	}
	if got := w.balanced(id); got != 500 {
		t.Errorf("%d requests were delivered of 500 that were bought", got)
	}
	// Of an answer that was there a moment before the server died it is not known that it
	// was had: its payer has its cent back.
	if n := served.Load() + 1; n > 500+3*32 {
		t.Errorf("%d answers were had of 500 that were bought", n)
	}
	if w.quote(t.Context(), receipt, "more") != http.StatusPaymentRequired {
		t.Error("more than was bought")
	}
	if n := w.audit().Totals.Charges; n != 1 {
		t.Errorf("%d charges", n)
	}
}

// TestCreditCrashes kills the server at each point of a draw, and of the purchase of a
// pack: the books hold, and what was not delivered is there to be spent.
func TestCreditCrashes(t *testing.T) {
	t.Parallel()
	w := newCounter(t, hooked, "log: {level: error}", "settlement: {patience: 5s, attempt: 2s}")
	w.serve()
	receipt := w.pack(t)
	id := w.credits()[0].Account
	passed := time.Duration(0)
	for _, point := range []string{
		payment.PointVerified, payment.PointIntent, payment.PointSend, payment.PointAnswered, payment.PointSettled, payment.PointDispatched,
		payment.PointUpstream, payment.PointHeaders, payment.PointLastByte, payment.PointDelivered,
	} {
		w.serving.stop(t)
		server := w.serve("PAYWALL_CRASH=" + point + ":1")
		got := w.quote(t.Context(), receipt, point)
		if s := server.ended(t, 20*time.Second); !s.Signaled() || s.Signal() != syscall.SIGKILL {
			t.Fatalf("%s: the server ended with %v after %d", point, s, got)
		}
		w.serve() // finds out what became of it
		passed += 20 * time.Minute
		w.advance(passed) // and gives back what nobody comes for
		w.balanced(id)
		if got := w.quote(t.Context(), receipt, "after-"+point); got != http.StatusOK {
			t.Errorf("after %s: %d", point, got)
		}
		w.balanced(id)
	}
}

// TestCreditCommand spends with `paywall pay` what one payment has bought.
func TestCreditCommand(t *testing.T) {
	t.Parallel()
	w := newCounter(t, release)
	w.env = append(w.env, "PAYWALL_HOME="+filepath.Join(w.dir, "agent"), "PAYWALL_TEST_KEY="+testKey)
	w.serve()
	pay := func(id string) result {
		return w.paywall("pay", "--wallet", "processor", "--processor", w.sandbox, "--yes", w.public+"/v1/quotes/"+id)
	}
	pay("1").want(t, 0, "paid 5.00 USD", `left="4.99000"`)
	for i := range 5 {
		r := pay(strconv.Itoa(i)).want(t, 0, "drawn from credit")
		if strings.Contains(r.stderr, "paid") {
			t.Errorf("it was paid again: %s", r.stderr)
		}
	}
	a := w.credits()
	if len(a) != 1 || a[0].Left != "4.94000 USD" || w.audit().Totals.Charges != 1 {
		t.Fatalf("%+v, %d charges", a, w.audit().Totals.Charges)
	}
	w.paywall("credit", "list").want(t, 0, a[0].Account, "4.94000 USD")
	w.paywall("credit", "show", a[0].Account).want(t, 0, "0.06000 USD")
	w.paywall("credit", "show", "pay_none").want(t, 1, "no such credit")
	w.paywall("refund", a[0].Account).want(t, 1, "0.06000 USD")
	w.paywall("credit", "freeze", a[0].Account).want(t, 0, `"frozen": true`)
	pay("frozen").want(t, 0, "paid 5.00 USD") // another pack
	if n := w.audit().Totals.Charges; n != 2 {
		t.Errorf("%d charges", n)
	}
	// One that nobody has drawn on is paid back, and spends nothing then.
	w.api.release()
	w.books()
}

// TestCreditByCoins buys packs with stablecoins, in both versions of x402, and spends
// them as any other.
func TestCreditByCoins(t *testing.T) {
	t.Parallel()
	w := newCounter(t, release)
	w.takeCoins(true)
	w.serve()
	for _, v1 := range []bool{false, true} {
		c := newCoiner(t)
		c.v1 = v1
		got := c.agent().buy(t, http.MethodGet, w.public+"/v1/quotes/0", "")
		receipt := got.header.Get("Paywall-Receipt")
		if s := got.settlement(t); !s.Success || receipt == "" {
			t.Errorf("v1 %t: %+v, %v", v1, s, got.header)
		}
		for range 3 {
			if got := w.quote(t.Context(), receipt, "1"); got != http.StatusOK {
				t.Errorf("v1 %t: %d", v1, got)
			}
		}
	}
	for _, a := range w.credits() {
		if a.Bought != "5.00000 USD" || a.Left != "4.96000 USD" {
			t.Errorf("%+v", a)
		}
	}
	if n := len(w.audit().Chain.Transfers); n != 2 {
		t.Errorf("%d transfers", n)
	}
	w.until("all is entered", func(r row) bool { return r.position() == delivered })
	w.books()
}

// TestCreditOrder buys credit as an item of a shop, and spends it on the route.
func TestCreditOrder(t *testing.T) {
	t.Parallel()
	w := newShop(t, release)
	w.edit("routes:\n", quotesRoute)
	w.write("catalog.yaml", strings.Replace(shopCatalog, "products:\n", "products:\n  - {id: calls, title: Five hundred quotes, price: 4.00, digital: true, opens: {route: quotes, credit: true, for: 24h}}\n", 1)+
		"taxes: [{country: US, percent: 10}]\n")
	w.paywall("check").want(t, 0, "the configuration is good")
	w.serve()
	p := newPlatform(t, w)
	mixed := p.call(http.MethodPost, "/checkout-sessions", newKey(), `{"line_items":[{"item":{"id":"calls"},"quantity":1},{"item":{"id":"report"},"quantity":1}],"context":{"address_country":"US"}}`)
	if mixed.str("status") != "incomplete" || !strings.Contains(mixed.text, "credit_alone") {
		t.Errorf("credit beside something else: %d %s", mixed.status, mixed.text)
	}
	x := p.call(http.MethodPost, "/checkout-sessions", newKey(), `{"line_items":[{"item":{"id":"calls"},"quantity":2}],"context":{"address_country":"US"}}`)
	if x.str("status") != "ready_for_complete" || x.total() != 800 {
		t.Fatalf("%d %s", x.status, x.text)
	}
	a := p.call(http.MethodPost, complete(x.str("id")), newKey(), paying(p.token(800, "pm_card_visa")))
	if a.str("status") != "completed" {
		t.Fatalf("%d %s", a.status, a.text)
	}
	receipt := receiptOf(t, a.str("order", "permalink_url"))
	for range 4 {
		if got := w.quote(t.Context(), receipt, "1"); got != http.StatusOK {
			t.Errorf("%d", got)
		}
	}
	if got := w.with(t, receipt); got != http.StatusPaymentRequired {
		t.Errorf("another route: %d", got)
	}
	all := w.credits()
	if len(all) != 1 || all[0].Bought != "8.00000 USD" || all[0].Left != "7.96000 USD" {
		t.Errorf("%+v", all)
	}
	w.until("all is entered", func(r row) bool { return r.position() == delivered })
	r := w.books()
	if owed := r.Balances["liability:credits USD/2"]; owed != -800 {
		t.Errorf("%d are owed", owed)
	}
	// Its payment goes back at the processor: what is left is frozen.
	w.paywall("refund", all[0].Account).want(t, 1, "0.04000 USD")
}
