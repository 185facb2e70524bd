package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/internal/httpsig"
	"paywall/receipts"
	"paywall/ucp/ucptest"
)

const shopLines = `shop:
  catalog: catalog.yaml
  platforms: {loopback: true}`

const shopCatalog = `currency: USD
products:
  - {id: report, title: Market report, price: 5.00, digital: true}
  - {id: shirt, title: Shirt, price: 19.00, stock: 3}
  - {id: week, title: A week of reports, price: 20.00, digital: true, opens: {route: get-v1-reports-id, for: 168h}}
shipping: [{id: post, title: Post, price: 4.50}]
`

// newShop is a world that also sells a catalog.
func newShop(t *testing.T, bin string, more ...string) *world {
	t.Helper()
	w := newWorld(t, bin, append([]string{shopLines}, more...)...)
	w.write("catalog.yaml", shopCatalog)
	return w
}

// platform is an agent of shops: a profile, a key, and ears for order events.
type platform struct {
	t      *testing.T
	shop   *world
	signer httpsig.Signer
	server *httptest.Server
	checks *ucptest.Schemas // nil where there are none

	mu     sync.Mutex // guards what follows
	deaf   int        // events to answer with 500
	events []event
}

// event is one attempt to tell of an order.
type event struct {
	id, at string
	body   string
	status int
}

const ucpVersion = "2026-08-25"

func newPlatform(t *testing.T, shop *world) *platform {
	t.Helper()
	k, err := receipts.GenerateKey(receipts.ES256, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, shop: shop, signer: httpsig.Signer{KeyID: k.ID, Key: k.Signer()}}
	jwk, err := httpsig.Public(k.ID, k.Public().(*ecdsa.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	p.checks, _ = ucptest.Find(t, ucpVersion)
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	capability := func(name, config string) string {
		file := strings.ReplaceAll(strings.TrimPrefix(name, "dev.ucp.shopping."), ".", "_")
		return fmt.Sprintf(`"%s":[{"version":"%s","spec":"https://ucp.dev/%[2]s/specification/overview","schema":"https://ucp.dev/%[2]s/schemas/shopping/%s.json"%s}]`, name, ucpVersion, file, config)
	}
	key, err := json.Marshal(jwk)
	if err != nil {
		t.Fatal(err)
	}
	profile := fmt.Sprintf(`{"ucp":{"version":"%s","services":{},"payment_handlers":{},"capabilities":{%s,%s,%s,%s}},"keys":[%s]}`, ucpVersion,
		capability("dev.ucp.shopping.checkout", ""), capability("dev.ucp.shopping.fulfillment", ""), capability("dev.ucp.shopping.cart", ""),
		capability("dev.ucp.shopping.order", `,"config":{"webhook_url":"`+p.server.URL+`/hook"}`), key)
	p.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			p.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, profile)
	})
	return p
}

// ServeHTTP hears of an order.
func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if _, err := httpsig.VerifyRequest(partsOf(r), body, p.shopKeys(r.Context()), time.Now()); err != nil {
		p.t.Errorf("an order event: %v", err)
	}
	if p.checks != nil {
		p.checks.Valid(p.t, "order", body)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := event{r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), string(body), http.StatusNoContent}
	if p.deaf > 0 {
		p.deaf--
		e.status = http.StatusInternalServerError
	}
	p.events = append(p.events, e)
	w.WriteHeader(e.status)
}

func partsOf(r *http.Request) httpsig.Parts {
	return httpsig.Parts{Method: r.Method, Authority: r.Host, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Header: r.Header}
}

// shopKeys are those of the shop's profile.
func (p *platform) shopKeys(ctx context.Context) httpsig.Keys {
	data, _ := get(ctx, p.shop.public+"/.well-known/ucp")
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	_ = json.Unmarshal(data, &doc)
	set, err := httpsig.ParseKeys(doc.Keys)
	if err != nil || len(set) == 0 {
		p.t.Errorf("the shop's keys: %v in %s", err, tail(string(data), 300))
	}
	return set.ByID
}

func (p *platform) heard() []event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]event{}, p.events...)
}

// reply is an answer of the shop; doc is empty when there was none.
type reply struct {
	status int
	doc    map[string]any
	text   string
}

// at follows a path through the document; what is not there is nil.
func (a reply) at(path ...any) any {
	var v any = a.doc
	for _, step := range path {
		switch s := step.(type) {
		case string:
			o, _ := v.(map[string]any)
			v = o[s]
		case int:
			list, _ := v.([]any)
			if s >= len(list) {
				return nil
			}
			v = list[s]
		}
	}
	return v
}

func (a reply) str(path ...any) string {
	s, _ := a.at(path...).(string)
	return s
}

// total is the amount of the total, or -1.
func (a reply) total() int64 {
	list, _ := a.at("totals").([]any)
	for _, one := range list {
		if t, _ := one.(map[string]any); t["type"] == "total" {
			n, _ := t["amount"].(float64)
			return int64(n)
		}
	}
	return -1
}

// call asks the shop once. An error of the connection has status 0.
func (p *platform) call(method, path, key, body string) reply {
	return p.callIn(p.t.Context(), method, path, key, body)
}

func (p *platform) callIn(ctx context.Context, method, path, key, body string) reply {
	req, err := http.NewRequestWithContext(ctx, method, p.shop.public+"/ucp/v1"+path, strings.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return reply{}
	}
	req.Header.Set("Ucp-Agent", `profile="`+p.server.URL+`/agent.json"`)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if err := p.signer.SignRequest(req, []byte(body)); err != nil {
		p.t.Error(err)
		return reply{}
	}
	resp, err := plain().Do(req)
	if err != nil {
		return reply{text: err.Error()}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{text: err.Error()}
	}
	out := reply{status: resp.StatusCode, text: string(data)}
	if err := json.Unmarshal(data, &out.doc); err != nil {
		p.t.Errorf("%s %s: %d without JSON: %s", method, path, resp.StatusCode, tail(out.text, 300))
	}
	if p.checks != nil && out.status/100 == 2 {
		p.checks.Valid(p.t, kindOf(path, out), data)
		ucptest.Consistent(p.t, data)
	}
	return out
}

// kindOf names the schema of an answer.
func kindOf(path string, a reply) string {
	if a.str("ucp", "status") == "error" {
		return "error"
	}
	for base, kind := range map[string]string{"/checkout-sessions": "checkout", "/carts": "cart", "/orders": "order"} {
		if strings.HasPrefix(path, base) {
			return kind
		}
	}
	return strings.TrimPrefix(path, "/catalog/")
}

// checkout begins one and demands that it can be paid.
func (p *platform) checkout(lines string) reply {
	p.t.Helper()
	x := p.call(http.MethodPost, "/checkout-sessions", newKey(), `{"line_items":`+lines+`}`)
	if x.status != http.StatusCreated || x.str("status") != "ready_for_complete" {
		p.t.Fatalf("checkout: %d %s", x.status, tail(x.text, 800))
	}
	return x
}

const oneReport = `[{"item":{"id":"report"},"quantity":1}]`

func newKey() string { return "key-" + rand.Text() }

// token makes one of a test wallet at the processor.
func (p *platform) token(cents int64, method string) string {
	p.t.Helper()
	form := url.Values{
		"payment_method": {method}, "usage_limits[currency]": {"usd"}, "usage_limits[max_amount]": {strconv.FormatInt(cents, 10)},
		"usage_limits[expires_at]": {strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)},
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.shop.sandbox+"/v1/test_helpers/shared_payment/granted_tokens", bytes.NewBufferString(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	req.Header.Set("Stripe-Version", "2026-04-22.preview")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := plain().Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var token struct{ ID string }
	if data, err := io.ReadAll(resp.Body); err != nil || json.Unmarshal(data, &token) != nil || token.ID == "" {
		p.t.Fatalf("no token: %s, %v", data, err)
	}
	return token.ID
}

// paying is the body that completes a checkout with a token.
func paying(token string) string {
	return `{"payment":{"instruments":[{"id":"pi_1","handler_id":"stripe_main","type":"link","credential":{"type":"stripe_payment_token","token":"` + token + `"}}]}}`
}

func complete(id string) string { return "/checkout-sessions/" + id + "/complete" }

// ends waits until a checkout is no longer being paid.
func (p *platform) ends(id string) reply {
	p.t.Helper()
	var x reply
	await(p.t, "checkout "+id+" has come to an end", 40*time.Second, func() bool {
		x = p.call(http.MethodGet, "/checkout-sessions/"+id, "", "")
		return x.status == http.StatusOK && x.str("status") != "complete_in_progress"
	})
	return x
}

// orders are those that the shop knows of.
func (w *world) orders() []map[string]any {
	w.t.Helper()
	data, ok := get(w.t.Context(), w.admin+"/admin/orders?limit=200")
	if !ok {
		w.t.Fatal("no list of orders")
	}
	var list []map[string]any
	w.decode(data, &list)
	return list
}
