package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"paywall/checkout"
	"paywall/payment"
	"paywall/sandbox"
)

// TestG137_ManyCompletes shows that of any number of completions at once one is paid.
func TestG137_ManyCompletes(t *testing.T) {
	t.Parallel()
	w := newShop(t, release)
	w.serve()
	p := newPlatform(t, w)
	x := p.checkout(oneReport)
	id := x.str("id")
	bodies := make([]string, 20)
	for i := range bodies {
		bodies[i] = paying(p.token(500, "pm_card_visa"))
	}
	answers := make([]reply, len(bodies))
	var all sync.WaitGroup
	for i, body := range bodies {
		key := newKey()
		all.Go(func() { answers[i] = p.call(http.MethodPost, complete(id), key, body) })
	}
	all.Wait()
	done := 0
	for _, a := range answers {
		switch {
		case a.status >= 500 || a.status == 0:
			t.Errorf("%d %s", a.status, a.text)
		case a.status == http.StatusOK && a.str("status") == "completed":
			done++
		}
	}
	if done != 1 {
		t.Errorf("%d of 20 were told that they have paid", done)
	}
	if x := p.ends(id); x.str("status") != "completed" {
		t.Errorf("the checkout is %s", x.text)
	}
	if n := w.audit().Totals.Charges; n != 1 {
		t.Errorf("%d charges", n)
	}
	if n := len(w.orders()); n != 1 {
		t.Errorf("%d orders", n)
	}
	w.books()
}

// shopPoints are those that a completion passes, and how often the processor may have
// charged when the process died there.
func shopPoints() map[string][2]int {
	return map[string][2]int{
		checkout.PointInProgress: {0, 0}, payment.PointVerified: {0, 0}, payment.PointIntent: {0, 0}, payment.PointSend: {0, 0},
		payment.PointAnswered: {1, 1}, payment.PointSettled: {1, 1}, checkout.PointCharged: {1, 1}, payment.PointDispatched: {1, 1},
		checkout.PointOrdered: {1, 1}, payment.PointDelivered: {1, 1}, checkout.PointClosed: {1, 1},
	}
}

// TestShopKilled kills the server at each point of a completion. After
// the restart there is one charge and one order, or no charge and a checkout that can
// be paid; the same call then gets the same answer as any later one.
func TestShopKilled(t *testing.T) {
	t.Parallel()
	for _, point := range checkout.Points() {
		if _, ok := shopPoints()[point]; !ok {
			t.Errorf("%s has no row", point)
		}
	}
	w := newShop(t, hooked, "settlement: {patience: 5s, attempt: 2s}")
	p := newPlatform(t, w)
	w.serve()
	charged, ordered := 0, 0
	for point, times := range shopPoints() {
		x := p.checkout(oneReport)
		id, key, body := x.str("id"), newKey(), paying(p.token(500, "pm_card_visa"))
		w.serving.stop(t)
		server := w.serve("PAYWALL_CRASH=" + point + ":1")
		a := p.call(http.MethodPost, complete(id), key, body)
		if s := server.ended(t, 20*time.Second); !s.Signaled() || s.Signal() != syscall.SIGKILL {
			t.Fatalf("%s: the server ended with %v, and answered %d %s", point, s, a.status, a.text)
		}
		w.serve()
		x = p.ends(id)
		now := w.audit().Totals.Charges - charged
		if now < times[0] || now > times[1] {
			t.Errorf("%s: charged %d times", point, now)
		}
		charged += now
		switch state := x.str("status"); {
		case state == "completed" && now == 1:
			ordered++
		case state == "ready_for_complete" && now == 0:
			// Nothing was taken: the same call pays it now.
			if a := p.call(http.MethodPost, complete(id), key, body); a.status != http.StatusOK || p.ends(id).str("status") != "completed" {
				t.Errorf("%s: paid again: %d %s", point, a.status, a.text)
			}
			charged, ordered = charged+1, ordered+1
		default:
			t.Errorf("%s: charged %d times, and the checkout is %s", point, now, x.text)
		}
		first := p.call(http.MethodPost, complete(id), key, body)
		if second := p.call(http.MethodPost, complete(id), key, body); first.status != http.StatusOK || first.text != second.text || first.str("order", "id") == "" {
			t.Errorf("%s: the same call is answered with\n%d %s\n%d %s", point, first.status, first.text, second.status, second.text)
		}
		if a := p.call(http.MethodPost, complete(id), key, paying("spt_another")); a.status != http.StatusConflict {
			t.Errorf("%s: the key with another body: %d %s", point, a.status, a.text)
		}
	}
	if n := w.audit().Totals.Charges; n != charged || n != len(shopPoints()) {
		t.Errorf("%d charges, want %d", n, charged)
	}
	if n := len(w.orders()); n != ordered {
		t.Errorf("%d orders, want %d", n, ordered)
	}
	w.until("all is delivered", func(r row) bool { return r.position() == delivered || r.State == payment.StateVoided })
	w.books()
	await(t, "the platform has heard of each order", 20*time.Second, func() bool {
		told := map[string]bool{}
		for _, e := range p.heard() {
			told[e.id] = true
		}
		return len(told) >= ordered
	})
}

// TestShopDoubt loses the processor's answer: the checkout is in progress until
// recovery has found out.
func TestShopDoubt(t *testing.T) {
	t.Parallel()
	w := newShop(t, release, "settlement: {patience: 2s, attempt: 1s}")
	w.serve()
	p := newPlatform(t, w)
	x := p.checkout(oneReport)
	id := x.str("id")
	w.order(sandbox.Fault{Kind: sandbox.DropAfter, Path: "/v1/payment_intents", Method: http.MethodPost})
	w.order(sandbox.Fault{Kind: sandbox.DropAfter, Path: "/v1/payment_intents", Method: http.MethodGet})
	a := p.call(http.MethodPost, complete(id), newKey(), paying(p.token(500, "pm_card_visa")))
	if a.status != http.StatusOK || a.str("status") != "complete_in_progress" {
		t.Fatalf("%d %s", a.status, a.text)
	}
	if a := p.call(http.MethodPost, complete(id), newKey(), paying(p.token(500, "pm_card_visa"))); a.str("status") == "completed" {
		t.Errorf("paid again while it was in doubt: %s", a.text)
	}
	w.heal()
	if x := p.ends(id); x.str("status") != "completed" || w.audit().Totals.Charges != 1 {
		t.Errorf("%d charges, and %s", w.audit().Totals.Charges, x.text)
	}
	w.books()
}

// TestShopDeclines shows that a declined token leaves a checkout payable, and one that
// needs its owner sends him to the page.
func TestShopDeclines(t *testing.T) {
	t.Parallel()
	w := newShop(t, release)
	w.serve()
	p := newPlatform(t, w)
	for method, want := range map[string][2]string{
		"pm_card_chargeDeclined":         {"ready_for_complete", "payment_failed"},
		"pm_card_authenticationRequired": {"requires_escalation", "requires_3ds"},
	} {
		x := p.checkout(oneReport)
		a := p.call(http.MethodPost, complete(x.str("id")), newKey(), paying(p.token(500, method)))
		if a.status != http.StatusOK || a.str("status") != want[0] || a.str("messages", 0, "code") != want[1] {
			t.Errorf("%s: %d %s", method, a.status, a.text)
		}
		if status, page, err := fetch(t.Context(), a.str("continue_url")); err != nil || status != http.StatusOK || !strings.Contains(string(page), "Market report") {
			t.Errorf("%s: the page: %d %s %v", method, status, page, err)
		}
		if a := p.call(http.MethodPost, complete(x.str("id")), newKey(), paying(p.token(500, "pm_card_visa"))); a.str("status") != "completed" {
			t.Errorf("%s: then paid with a good one: %d %s", method, a.status, a.text)
		}
	}
	if n := w.audit().Totals.Captured["usd"]; n != 1000 {
		t.Errorf("%d cents were taken", n)
	}
	w.books()
}

// TestG129_Tampering shows that a platform decides neither what things cost nor whose
// they are.
func TestG129_Tampering(t *testing.T) {
	t.Parallel()
	w := newShop(t, release)
	w.serve()
	p, other := newPlatform(t, w), newPlatform(t, w)
	a := p.call(http.MethodPost, "/checkout-sessions", newKey(), `{"currency":"JPY","status":"completed","totals":[{"type":"total","amount":1}],"line_items":[{"id":"li_own","item":{"id":"report","price":1,"title":"Cheap"},"quantity":1,"totals":[{"type":"total","amount":1}]}]}`)
	if a.status >= 500 || a.status == http.StatusCreated && (a.total() != 500 || a.str("currency") != "USD" || a.str("status") != "ready_for_complete") {
		t.Errorf("%d %s", a.status, a.text)
	}
	for _, quantity := range []string{"0", "-1", "1.5", "9007199254740993", "1e400", `"1"`, "9007199254740991"} {
		a := p.call(http.MethodPost, "/checkout-sessions", newKey(), `{"line_items":[{"item":{"id":"report"},"quantity":`+quantity+`}]}`)
		if a.status >= 500 || a.str("status") == "ready_for_complete" {
			t.Errorf("quantity %s: %d %s", quantity, a.status, a.text)
		}
	}
	x := p.checkout(oneReport)
	id := x.str("id")
	token := p.token(500, "pm_card_visa")
	for what, a := range map[string]reply{
		"read":     other.call(http.MethodGet, "/checkout-sessions/"+id, "", ""),
		"updated":  other.call(http.MethodPut, "/checkout-sessions/"+id, newKey(), `{"line_items":`+oneReport+`}`),
		"paid":     other.call(http.MethodPost, complete(id), newKey(), paying(token)),
		"canceled": other.call(http.MethodPost, "/checkout-sessions/"+id+"/cancel", newKey(), ""),
	} {
		if a.str("status") != "" || a.total() != -1 {
			t.Errorf("another's checkout was %s: %d %s", what, a.status, a.text)
		}
	}
	if a := p.call(http.MethodPost, complete(id), newKey(), paying(p.token(499, "pm_card_visa"))); a.str("status") != "ready_for_complete" {
		t.Errorf("paid with a token for less: %d %s", a.status, a.text)
	}
	if n := w.audit().Totals.Charges; n != 0 {
		t.Errorf("%d charges", n)
	}
	if a := p.call(http.MethodPost, complete(id), newKey(), paying(token)); a.str("status") != "completed" {
		t.Fatalf("%d %s", a.status, a.text)
	} else if got := other.call(http.MethodGet, "/orders/"+a.str("order", "id"), "", ""); got.status == http.StatusOK && got.str("checkout_id") != "" {
		t.Errorf("another's order: %d %s", got.status, got.text)
	}
	w.books()
}

// TestShopPriceMoves shows that a price that went up between two calls is shown, and
// not charged.
func TestShopPriceMoves(t *testing.T) {
	t.Parallel()
	w := newShop(t, release)
	w.serve()
	p := newPlatform(t, w)
	x := p.checkout(oneReport)
	w.write("catalog.yaml", strings.Replace(shopCatalog, "price: 5.00", "price: 6.00", 1))
	if err := w.serving.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "the new price", 10*time.Second, func() bool {
		return p.call(http.MethodPost, "/checkout-sessions", newKey(), `{"line_items":`+oneReport+`}`).total() == 600
	})
	a := p.call(http.MethodPost, complete(x.str("id")), newKey(), paying(p.token(600, "pm_card_visa")))
	if a.status != http.StatusOK || a.str("status") != "ready_for_complete" || a.total() != 600 || a.str("messages", 0, "code") != "price_changed" {
		t.Fatalf("%d %s", a.status, a.text)
	}
	if n := w.audit().Totals.Charges; n != 0 {
		t.Errorf("%d charges", n)
	}
	if a := p.call(http.MethodPost, complete(x.str("id")), newKey(), paying(p.token(600, "pm_card_visa"))); a.str("status") != "completed" || a.total() != 600 {
		t.Errorf("%d %s", a.status, a.text)
	}
	w.write("catalog.yaml", "currency: USD\nproducts:\n  - {id: report, title: Market report, price: five}\n")
	w.paywall("check").want(t, 1, "catalog.yaml:3", "price")
	w.books()
}

// TestShopStock sells what there is, once.
func TestShopStock(t *testing.T) {
	t.Parallel()
	w := newShop(t, release)
	w.serve()
	p := newPlatform(t, w)
	const shirts = `[{"item":{"id":"shirt"},"quantity":2}]`
	ship := `,"buyer":{"email":"ada@example.com"},"fulfillment":{"methods":[{"type":"shipping","destinations":[{"id":"home","first_name":"Ada","last_name":"Byron","street_address":"1 Main St","address_locality":"Oakland","address_region":"CA","postal_code":"94601","address_country":"US"}],"selected_destination_id":"home"}]}`
	body := `{"line_items":` + shirts + ship + `}`
	x := p.call(http.MethodPost, "/checkout-sessions", newKey(), body)
	if x.str("status") != "ready_for_complete" || x.total() != 2*1900+450 {
		t.Fatalf("%d %s", x.status, x.text)
	}
	if y := p.call(http.MethodPost, "/checkout-sessions", newKey(), body); y.total() != 1900+450 || y.str("messages", 0, "code") != "quantity_adjusted" {
		t.Errorf("two more of the three are promised: %d %s", y.status, y.text)
	}
	a := p.call(http.MethodPost, complete(x.str("id")), newKey(), paying(p.token(x.total(), "pm_card_visa")))
	if a.str("status") != "completed" {
		t.Fatalf("%d %s", a.status, a.text)
	}
	id := a.str("order", "id")
	w.paywall("orders", "list").want(t, 0, id, "open")
	line := p.call(http.MethodGet, "/orders/"+id, "", "").str("line_items", 0, "id")
	w.paywall("orders", "ship", id, "--line", line+":1", "--carrier", "Post", "--tracking", "1Z999", "--tracking-url", "https://post.example/1Z999").want(t, 0, "partial")
	w.paywall("orders", "ship", id, "--line", line+":2").want(t, 1)
	w.paywall("orders", "ship", id, "--line", line+":0").want(t, 2, "li_")
	w.paywall("orders", "ship", id).want(t, 0, "fulfilled")
	w.paywall("orders", "show", "ord_none").want(t, 1, "no such order")
	o := p.call(http.MethodGet, "/orders/"+id, "", "")
	if o.str("line_items", 0, "status") != "fulfilled" || !strings.Contains(o.text, "1Z999") {
		t.Errorf("the order is %s", o.text)
	}
	await(t, "three events", 20*time.Second, func() bool { return len(p.heard()) >= 3 })
	w.paywall("orders", "erase", id).want(t, 0, "erased")
	if o := p.call(http.MethodGet, "/orders/"+id, "", ""); strings.Contains(o.text, "ada@example.com") || strings.Contains(o.text, "Main St") {
		t.Errorf("after it was erased: %s", o.text)
	}
	if raw, err := os.ReadFile(filepath.Join(w.dir, "paywall.db")); err != nil || strings.Contains(string(raw), "tok_") {
		t.Errorf("the store: %v", err)
	}
	w.books()
}

// TestShopEvents shows that events are tried again as they were, over restarts too.
func TestShopEvents(t *testing.T) {
	t.Parallel()
	w := newShop(t, hooked)
	w.serve()
	p := newPlatform(t, w)
	p.mu.Lock()
	p.deaf = 2
	p.mu.Unlock()
	x := p.checkout(oneReport)
	a := p.call(http.MethodPost, complete(x.str("id")), newKey(), paying(p.token(500, "pm_card_visa")))
	if a.str("status") != "completed" {
		t.Fatalf("%d %s", a.status, a.text)
	}
	await(t, "the first attempt", 20*time.Second, func() bool { return len(p.heard()) == 1 })
	w.serving.kill(t)
	w.advance(5 * time.Minute)
	w.serve()
	await(t, "the second attempt", 20*time.Second, func() bool { return len(p.heard()) == 2 })
	w.advance(2 * time.Hour)
	await(t, "the third attempt", 20*time.Second, func() bool { return len(p.heard()) == 3 })
	all := p.heard()
	for _, e := range all[1:] {
		if e.id != all[0].id || e.at != all[0].at || e.body != all[0].body || e.id == "" {
			t.Errorf("attempts differ:\n%+v\n%+v", all[0], e)
		}
	}
	if !strings.Contains(all[0].body, a.str("order", "id")) {
		t.Errorf("the event is %s", all[0].body)
	}
	await(t, "the event is recorded as sent", 10*time.Second, func() bool {
		return strings.Contains(w.paywall("orders", "events", "--state", "sent").want(t, 0).stdout, all[0].id)
	})
	w.paywall("orders", "resend", all[0].id).want(t, 0, "pending")
	await(t, "it is sent again", 20*time.Second, func() bool { return len(p.heard()) == 4 })
	if last := p.heard()[3]; last.id != all[0].id || last.body != all[0].body {
		t.Errorf("sent again as %+v", last)
	}
	w.paywall("orders", "resend", "whk_none").want(t, 1, "no such event")
}

// TestShopRefund shows what becomes of an order whose payment goes back: an adjustment,
// an event, and a receipt that opens nothing any more.
func TestShopRefund(t *testing.T) {
	t.Parallel()
	w := newShop(t, release)
	w.serve()
	p := newPlatform(t, w)
	x := p.checkout(`[{"item":{"id":"week"},"quantity":1}]`)
	a := p.call(http.MethodPost, complete(x.str("id")), newKey(), paying(p.token(2000, "pm_card_visa")))
	if a.str("status") != "completed" {
		t.Fatalf("%d %s", a.status, a.text)
	}
	w.env = append(w.env, "PAYWALL_HOME="+filepath.Join(w.dir, "agent"))
	bearer := receiptOf(t, a.str("order", "permalink_url"))
	if got := w.with(t, bearer); got != http.StatusOK {
		t.Fatalf("the receipt opens with %d", got)
	}
	rows := w.payments()
	if len(rows) != 1 {
		t.Fatal(rows)
	}
	w.paywall("refund", rows[0].ID).want(t, 0)
	id := a.str("order", "id")
	await(t, "the order is adjusted", 20*time.Second, func() bool {
		o := p.call(http.MethodGet, "/orders/"+id, "", "")
		return o.str("adjustments", 0, "type") == "refund" && o.str("adjustments", 0, "status") == "completed"
	})
	await(t, "the receipt opens nothing", 10*time.Second, func() bool { return w.with(t, bearer) == http.StatusPaymentRequired })
	if again := receiptOf(t, a.str("order", "permalink_url")); again != "" {
		t.Errorf("a receipt of what was paid back: %s", again)
	}
	await(t, "the platform has heard of it", 20*time.Second, func() bool {
		return slices.ContainsFunc(p.heard(), func(e event) bool { return strings.Contains(e.body, `"refund"`) })
	})
	w.books()
}

// receiptOf reads the receipt on an order's page; empty when there is none.
func receiptOf(t *testing.T, permalink string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, permalink, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := plain().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc struct {
		Receipts []struct{ Token string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Receipts) == 0 {
		return ""
	}
	return doc.Receipts[0].Token
}

// with asks for a report with a receipt.
func (w *world) with(t *testing.T, bearer string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.public+"/v1/reports/7", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := plain().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// TestShopCommands drives the commands of both sides.
func TestShopCommands(t *testing.T) {
	t.Parallel()
	w := newShop(t, release)
	w.write("goods.csv", "id,title,price,stock\nmug,Mug,12.00,4\npen,Pen,twelve,1\n")
	w.paywall("catalog", "check", "goods.csv").want(t, 1, "goods.csv:3")
	w.write("goods.csv", "id,title,price,stock\nmug,Mug,12.00,4\npen,Pen,1.20,1\n")
	w.paywall("catalog", "check", "goods.csv").want(t, 0, "mug", "12.00 USD")
	w.paywall("catalog", "import", "--from", "goods.csv", "-o", "goods.yaml").want(t, 0, "2 products")
	w.paywall("catalog", "import", "--from", "goods.csv", "-o", "goods.yaml").want(t, 1, "exists")
	w.paywall("catalog", "check", "goods.yaml").want(t, 0, "pen", "1.20 USD")
	w.paywall("check").want(t, 0, "the configuration is good")

	p := newPlatform(t, w)
	w.env = append(w.env, "PAYWALL_HOME="+filepath.Join(w.dir, "agent"), "PAYWALL_AGENT_PROFILE="+p.server.URL+"/agent.json", "PAYWALL_TEST_KEY="+testKey)
	w.serve()
	// The command signs with a key of its own, which must be in its profile.
	own := w.paywall("shop", "profile", "--webhook", p.server.URL+"/hook").want(t, 0, `"keys"`).stdout
	p.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			p.ServeHTTP(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprint(rw, own)
	})
	w.paywall("shop", "discover", w.public).want(t, 0, "dev.ucp.shopping.checkout", "com.stripe.payments")
	w.paywall("shop", "search", w.public, "market").want(t, 0, "report", "5.00 USD")
	w.paywall("shop", "cart", w.public, "report:2").want(t, 0, "10.00 USD")
	w.paywall("shop", "cart", w.public, "nothing").want(t, 1)
	w.paywall("shop", "cart", w.public, "report:0").want(t, 2, "shirt-m:2")
	pay := []string{"--wallet", "processor", "--processor", w.sandbox, "--yes"}
	buy := func(args ...string) result {
		return w.paywall(append(append([]string{"shop", "buy", w.public}, args...), pay...)...)
	}
	buy("report", "--dry-run").want(t, 0, "5.00 USD")
	buy("week", "--max", "19.00 USD").want(t, 3)
	buy("shirt").want(t, 1, "cannot be paid yet")
	if n := w.audit().Totals.Charges; n != 0 {
		t.Errorf("%d charges before anything was bought", n)
	}
	done := buy("week", "--max", "20.00 USD", "--receipt", filepath.Join(w.dir, "week.jwt")).want(t, 0, "completed", "20.00 USD").stdout
	w.paywall("receipt", "verify", filepath.Join(w.dir, "week.jwt"), "--issuer", w.public).want(t, 0, "20.00 USD")
	fields := strings.Fields(done)
	id := fields[slices.Index(fields, "order")+1]
	w.paywall("shop", "order", w.public, id).want(t, 0, "A week of reports", "fulfilled")
	w.paywall("shop", "order", w.public, "ord_none").want(t, 1)
	x := fields[slices.Index(fields, "checkout")+1]
	w.paywall("shop", "status", w.public, x).want(t, 0, "completed")
	w.paywall("orders", "show", id).want(t, 0, "20.00 USD")
	await(t, "the platform has heard of it", 20*time.Second, func() bool { return len(p.heard()) > 0 })
	w.books()
}

// TestShopByChallenge pays checkouts as requests are paid: with stablecoins over x402,
// and with a token over MPP. Neither proof pays anything else.
func TestShopByChallenge(t *testing.T) {
	t.Parallel()
	w := newShop(t, release, "  authority: shop.example.com")
	w.takeCoins(true)
	w.serve()
	p := newPlatform(t, w)
	coins, tokens := newCoinAgent(t), newAgent(t, w, "pm_card_visa")
	challenge := func(x reply, kind string) (handler string, asked answer) {
		t.Helper()
		declared, _ := x.at("ucp", "payment_handlers", "com.example.shop."+kind, 0).(map[string]any)
		config, _ := declared["config"].(map[string]any)
		asked = answer{status: http.StatusPaymentRequired, header: http.Header{}}
		if required, ok := config["payment_required"]; ok {
			data, err := json.Marshal(required)
			if err != nil {
				t.Fatal(err)
			}
			asked.header.Set("Payment-Required", base64.StdEncoding.EncodeToString(data))
		}
		all, _ := config["challenges"].([]any)
		for _, one := range all {
			asked.header.Add("Www-Authenticate", one.(string))
		}
		id, _ := declared["id"].(string)
		return id, asked
	}
	instrument := func(x reply, kind string) string {
		t.Helper()
		id, asked := challenge(x, kind)
		by := coins
		if kind == "mpp" {
			by = tokens
		}
		proof, err := by.prove(t.Context(), asked)
		if err != nil {
			t.Fatalf("%v in %s", err, x.text)
		}
		credential := `"type":"x402_payment_payload","payload":"` + proof.credential.Get("Payment-Signature") + `"`
		if kind == "mpp" {
			credential = `"type":"mpp_credential","credential":"` + strings.TrimPrefix(proof.credential.Get("Authorization"), "Payment ") + `"`
		}
		until := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
		return `{"payment":{"instruments":[{"id":"pi_1","handler_id":"` + id + `","type":"` + kind + `_payment","credential":{` + credential + `,"expires_at":"` + until + `"}}]}}`
	}
	for _, kind := range []string{"x402", "mpp"} {
		x, other := p.checkout(oneReport), p.checkout(oneReport)
		body := instrument(x, kind)
		if a := p.call(http.MethodPost, complete(other.str("id")), newKey(), body); a.str("status") != "ready_for_complete" {
			t.Errorf("%s: another checkout was paid with it: %d %s", kind, a.status, a.text)
		}
		a := p.call(http.MethodPost, complete(x.str("id")), newKey(), body)
		if a.status != http.StatusOK || p.ends(x.str("id")).str("status") != "completed" {
			t.Errorf("%s: %d %s", kind, a.status, a.text)
		}
		if strings.Contains(a.text, `"credential"`) || strings.Contains(a.text, `"signature"`) {
			t.Errorf("%s: the credential is in the answer %s", kind, a.text)
		}
		if again := p.call(http.MethodPost, complete(other.str("id")), newKey(), body); again.str("status") == "completed" {
			t.Errorf("%s: and then another: %d %s", kind, again.status, again.text)
		}
	}
	if n := len(w.orders()); n != 2 {
		t.Errorf("%d orders", n)
	}
	w.books()
}
