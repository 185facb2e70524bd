package app

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"paywall/checkout"
	"paywall/internal/config"
	"paywall/receipts"
	"paywall/ucp/agent"
	"paywall/ucp/protocol"
	"paywall/ucp/ucptest"
)

// TestAgentProfile holds what `paywall shop` says of itself against the schema, and
// shows that shops can use it.
func TestAgentProfile(t *testing.T) {
	k, err := receipts.GenerateKey(receipts.ES256, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	data, err := agentProfile(k, "https://agent.example/hook")
	if err != nil {
		t.Fatal(err)
	}
	ucptest.Open(t, protocol.Current).Valid(t, "platform", data)
	p, err := agent.ParseProfile(data)
	if err != nil || len(p.Capabilities) < 5 {
		t.Errorf("%+v, %v", p, err)
	}
	if strings.Contains(string(data), `"d"`) {
		t.Error("the private key is in the profile")
	}
	other, err := receipts.GenerateKey(receipts.EdDSA, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agentProfile(other, ""); err == nil {
		t.Error("a key that shops do not take")
	}
}

// TestIntrospector asks an authorization server that answers as it likes.
func TestIntrospector(t *testing.T) {
	var status int
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, secret, ok := r.BasicAuth()
		data, err := io.ReadAll(r.Body)
		if !ok || name != "paywall" || secret != "s%2Bcret" || err != nil || string(data) != "token=tok%26en" || r.Method != http.MethodPost {
			t.Errorf("asked %s %s by %q, %v", r.Method, data, name, err)
		}
		w.Header().Set("Location", "https://elsewhere.example/")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	now := time.Unix(1_800_000_000, 0)
	i := newIntrospector(config.ShopOAuth{Introspection: server.URL, ClientID: "paywall", ClientSecret: config.NewSecret("s+cret"), ProfileMember: "ucp_profile"}, nil, func() time.Time { return now })
	for name, tt := range map[string]struct {
		status   int
		body     string
		client   string
		profiles string
		want     error
	}{
		"good, of one profile":    {200, `{"active":true,"client_id":"c1","ucp_profile":"https://a.example/p"}`, "c1", "https://a.example/p", nil},
		"good, of two":            {200, `{"active":true,"client_id":"c1","exp":1800000001,"ucp_profile":["https://a.example/p","https://b.example/p"]}`, "c1", "https://a.example/p https://b.example/p", nil},
		"good, of none":           {200, `{"active":true,"client_id":"c1"}`, "c1", "", nil},
		"good, of something else": {200, `{"active":true,"client_id":"c1","ucp_profile":{"x":1}}`, "c1", "", nil},
		"not good":                {200, `{"active":false,"client_id":"c1"}`, "", "", agent.ErrToken},
		"of nobody":               {200, `{"active":true}`, "", "", agent.ErrToken},
		"over":                    {200, `{"active":true,"client_id":"c1","exp":1800000000}`, "", "", agent.ErrToken},
		"not ours to ask":         {401, `{}`, "", "", errIntrospection},
		"led elsewhere":           {302, `{"active":true,"client_id":"c1"}`, "", "", errIntrospection},
		"down":                    {503, `{"active":true,"client_id":"c1"}`, "", "", errIntrospection},
		"no JSON":                 {200, `<html>`, "", "", errIntrospection},
		"a list":                  {200, `[]`, "", "", errIntrospection},
		"too long":                {200, `{"active":true,"client_id":"c1","x":"` + strings.Repeat("x", maxIntrospection) + `"}`, "", "", errIntrospection},
	} {
		status, body = tt.status, tt.body
		client, profiles, err := i.Verify(t.Context(), "tok&en")
		if client != tt.client || strings.Join(profiles, " ") != tt.profiles || !errors.Is(err, tt.want) {
			t.Errorf("%s: %q, %q, %v", name, client, profiles, err)
		}
	}
	server.Close()
	if _, _, err := i.Verify(t.Context(), "tok&en"); !errors.Is(err, errIntrospection) || strings.Contains(err.Error(), "tok") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestBuckets(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b, err := newBuckets(2, 3, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	takes := func(addr string, want int) {
		t.Helper()
		got := 0
		for range 10 {
			if b.take(netip.MustParseAddr(addr)) {
				got++
			}
		}
		if got != want {
			t.Errorf("%s took %d, want %d", addr, got, want)
		}
	}
	takes("192.0.2.1", 3)
	takes("192.0.2.2", 3)
	takes("2001:db8::1", 3)
	takes("2001:db8::2", 0) // one network
	now = now.Add(time.Second)
	takes("192.0.2.1", 2)
	now = now.Add(time.Hour)
	takes("192.0.2.1", 3)
	now = now.Add(-2 * time.Hour) // a clock that is set back gives nothing and takes nothing
	takes("192.0.2.1", 0)
	now = now.Add(time.Second)
	takes("192.0.2.1", 2)
}

const (
	shopAgent = "https://agent.example/profile.json"
	shopKey   = "k8Zq3vNw6Rt1Xy5Bc9Lm2Pd7Fh4Js0Ga"
)

// shopHouse is a house that also sells over UCP to one agent.
func shopHouse(t *testing.T) *house {
	t.Helper()
	return build(t, plan{
		more: "shop:\n  catalog: catalog.yaml\n  authority: shop.example.com\n  platforms: {pinned: {\"" + shopAgent + "\": agent.json}}\n" +
			"  clients: [{name: one, key: " + shopKey + ", profiles: [\"" + shopAgent + "\"]}]",
		prepare: func(dir string) {
			entry := func(name string) string { return `"dev.ucp.shopping.` + name + `":[{"version":"2026-08-25"}]` }
			profile := `{"ucp":{"version":"2026-08-25","capabilities":{` + entry("checkout") + "," + entry("cart") + "," + entry("order") + "," + entry("catalog.search") + "," + entry("catalog.lookup") + `}}}`
			for name, text := range map[string]string{
				"agent.json":   profile,
				"catalog.yaml": "currency: USD\nproducts:\n  - {id: report, title: Report, price: 5.00, digital: true}\n  - {id: mug, title: Mug, price: 9.00}\nshipping: [{id: post, title: Post, price: 1.00}]\n",
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		},
	})
}

// TestShopContract: the shop is as described, and what it answers to other methods.
func TestShopContract(t *testing.T) {
	h := shopHouse(t)
	public := described(t, h.server.public())
	agents := []string{`UCP-Agent: profile="` + shopAgent + `"`, "X-API-Key: " + shopKey}
	value := func(body, name string) string {
		var doc map[string]any
		if err := json.Unmarshal([]byte(body), &doc); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		text, _ := doc[name].(string)
		return text
	}
	const one = `{"line_items":[{"item":{"id":"report"},"quantity":1}]}`
	made := ask(t, public, h.listen, "POST /ucp/v1/checkout-sessions", one, append(agents, "Idempotency-Key: made-0001")...)
	paid := ask(t, public, h.listen, "POST /ucp/v1/checkout-sessions", one, append(agents, "Idempotency-Key: made-0002")...)
	cart := ask(t, public, h.listen, "POST /ucp/v1/carts", one, append(agents, "Idempotency-Key: made-0003")...)
	id, cartID, paidID := value(made.Body.String(), "id"), value(cart.Body.String(), "id"), value(paid.Body.String(), "id")
	pay := func(token string) string {
		return `{"payment":{"instruments":[{"id":"i","handler_id":"stripe_main","type":"link","credential":{"type":"stripe_payment_token","token":"` + token + `"}}]}}`
	}
	token, err := h.play.Stripe().Grant("pm_card_visa", "usd", 500, h.play.Now().Add(time.Hour), testProfile)
	if err != nil {
		t.Fatal(err)
	}
	order := ""
	for _, tt := range []struct {
		line, body string
		headers    []string
		status     int
		want       string
	}{
		{line: "GET /.well-known/ucp", status: 200, want: "supported_versions"},
		{line: "HEAD /.well-known/ucp", status: 200},
		{line: "GET /.well-known/ucp", headers: []string{"If-None-Match: *"}, status: 304},
		{line: "GET /.well-known/ucp/2026-04-08", status: 200, want: "signing_keys"},
		{line: "GET /.well-known/ucp/2020-01-01", status: 404},
		{line: "POST /.well-known/ucp", status: 405},
		{line: "GET /ucp/handlers/x402.md", status: 200, want: "x402"},
		{line: "GET /ucp/handlers/none.md", status: 404},
		{line: "GET /ucp/handlers/mpp.md", status: 200},
		{line: "GET /ucp/handlers/mpp.json", status: 200, want: "$schema"},
		{line: "GET /ucp/receipt.json", status: 200, want: "receipts"},
		{line: "GET /ucp/receipt.md", status: 200, want: "Accept: application/json"},
		{line: "GET /ucp/nothing", status: 404},
		{line: "POST /ucp/v1/catalog/search", body: `{"query":"report"}`, headers: agents, status: 200, want: `"report"`},
		{line: "POST /ucp/v1/catalog/lookup", body: `{"ids":["mug","none"]}`, headers: agents, status: 200, want: "not_found"},
		{line: "POST /ucp/v1/catalog/product", body: `{"id":"mug"}`, headers: agents, status: 200, want: `"mug"`},
		{line: "POST /ucp/v1/catalog/product", body: `{"id":"none"}`, headers: agents, status: 200, want: `"error"`},
		{line: "POST /ucp/v1/catalog/search", body: `{`, headers: agents, status: 400},
		{line: "POST /ucp/v1/catalog/search", body: `{}`, headers: append([]string{"Content-Type: text/plain"}, agents...), status: 415},
		{line: "POST /ucp/v1/catalog/search", body: `{}`, headers: agents[1:], status: 400, want: "invalid_profile_url"},
		{line: "POST /ucp/v1/catalog/search", body: `{}`, headers: []string{agents[0], "X-API-Key: another-key-of-thirty-two-bytes-xx"}, status: 401},
		{line: "GET /ucp/v1/checkout-sessions/" + id, headers: agents, status: 200, want: id},
		{line: "GET /ucp/v1/checkout-sessions/chk_none", headers: agents, status: 200, want: `"error"`},
		{line: "PUT /ucp/v1/checkout-sessions/" + id, body: strings.Replace(one, "1}", "3}", 1), headers: append([]string{"Idempotency-Key: put-00001"}, agents...), status: 200, want: "1500"},
		{line: "PUT /ucp/v1/checkout-sessions/" + id, body: one, headers: append([]string{"Idempotency-Key: put-00001"}, agents...), status: 409},
		{line: "POST /ucp/v1/checkout-sessions/" + id + "/complete", body: pay("spt_none"), headers: append([]string{"Idempotency-Key: pay-00001"}, agents...), status: 200, want: "payment_failed"},
		{line: "POST /ucp/v1/checkout-sessions/" + paidID + "/complete", body: pay(token), headers: append([]string{"Idempotency-Key: pay-00002"}, agents...), status: 200, want: `"completed"`},
		{line: "POST /ucp/v1/checkout-sessions/" + id + "/cancel", headers: append([]string{"Idempotency-Key: end-00001"}, agents...), status: 200, want: `"canceled"`},
		{line: "DELETE /ucp/v1/checkout-sessions/" + id, headers: agents, status: 405},
		{line: "GET /ucp/v1/carts/" + cartID, headers: agents, status: 200, want: cartID},
		{line: "PUT /ucp/v1/carts/" + cartID, body: one, headers: append([]string{"Idempotency-Key: put-00002"}, agents...), status: 200},
		{line: "POST /ucp/v1/carts/" + cartID + "/cancel", headers: append([]string{"Idempotency-Key: end-00002"}, agents...), status: 200},
		{line: "GET /ucp/v1/orders/ORDER", headers: agents, status: 200, want: "permalink_url"},
		{line: "GET /ucp/v1/orders/ORDER", headers: agents[:1], status: 401},
		{line: "GET /ucp/v1/orders/ord_none", headers: agents, status: 200, want: `"error"`},
		{line: "POST /ucp/v1/mcp", body: `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, headers: agents, status: 200, want: "complete_checkout"},
		{line: "POST /ucp/v1/mcp", body: `{"jsonrpc":"2.0","method":"notifications/initialized"}`, headers: agents, status: 202},
		{line: "POST /ucp/v1/mcp", body: `{`, headers: agents, status: 400},
		{line: "GET /ucp/v1/mcp", status: 405},
		{line: "GET /shop/checkout/" + paidID, status: 200, want: "Bought"},
		{line: "GET /shop/checkout/chk_none", status: 404},
		{line: "POST /shop/checkout/" + paidID + "/pay", status: 403},
		{line: "GET /shop/orders/ORDER", status: 200, want: "<h1>Your order"},
		{line: "GET /shop/orders/ORDER", headers: []string{"Accept: application/json"}, status: 200, want: `"receipts":[]`},
		{line: "GET /shop/buy/report:1", status: 303},
		{line: "DELETE /shop/orders/ORDER", status: 405},
	} {
		t.Run(tt.line, func(t *testing.T) {
			w := ask(t, public, h.listen, strings.Replace(tt.line, "ORDER", order, 1), tt.body, tt.headers...)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%d, want %d with %q: %s", w.Code, tt.status, tt.want, w.Body)
			}
			if strings.HasSuffix(tt.line, "/complete") && tt.want == `"completed"` {
				var doc struct{ Order struct{ ID string } }
				if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
					t.Fatal(err)
				}
				order = doc.Order.ID
			}
		})
	}
	admin := described(t, h.server.operator().handler())
	goods := ask(t, public, h.listen, "POST /ucp/v1/checkout-sessions", `{"line_items":[{"item":{"id":"mug"},"quantity":2}],"buyer":{"email":"ada@example.com"}}`, append(agents, "Idempotency-Key: made-0004")...)
	if goods.Code != http.StatusCreated || !strings.Contains(goods.Body.String(), "incomplete") {
		t.Errorf("goods that nobody sends: %d %s", goods.Code, goods.Body)
	}
	for _, tt := range []struct {
		line, body string
		status     int
		want       string
	}{
		{line: "GET /admin/orders", status: 200, want: order},
		{line: "GET /admin/orders?after=" + order, status: 200, want: "[]"},
		{line: "GET /admin/orders/" + order, status: 200, want: "fulfilled"},
		{line: "GET /admin/orders/ord_none", status: 404},
		{line: "POST /admin/orders/" + order + "/ship", body: `{}`, status: 400}, // nothing is left to ship
		{line: "POST /admin/orders/" + order + "/ship", body: `[]`, status: 400},
		{line: "POST /admin/orders/" + order + "/burn", body: `{}`, status: 404},
		{line: "POST /admin/orders/" + order + "/erase", status: 200, want: "erased"},
		{line: "GET /admin/deliveries", status: 200, want: "[]"}, // it has no webhook
		{line: "GET /admin/deliveries?state=dead", status: 200, want: "[]"},
		{line: "POST /admin/deliveries/whk_none/resend", status: 404},
	} {
		t.Run(tt.line, func(t *testing.T) {
			w := ask(t, admin, h.admin, tt.line, tt.body, adminHeader+": 1")
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%d, want %d with %q: %s", w.Code, tt.status, tt.want, w.Body)
			}
		})
	}
	h.whole()
}

// TestShopReload shows that a catalog with a mistake changes nothing.
func TestShopReload(t *testing.T) {
	h := shopHouse(t)
	goods := func() *checkout.Shop { return h.server.shop.live.Current() }
	before := goods()
	file := filepath.Join(h.dir, "catalog.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("currency: USD\nproducts:\n  - {id: report, title: Report, price: five}\n")
	if err := h.server.reload(t.Context()); err == nil || !strings.Contains(err.Error(), "catalog.yaml:3") {
		t.Errorf("a catalog with a mistake: %v", err)
	}
	if goods() != before {
		t.Error("the shop has changed")
	}
	write("currency: USD\nproducts:\n  - {id: report, title: Report, price: 6.00, digital: true}\n")
	if err := h.server.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, _ := goods().Product("report"); v.Variants[0].Price != 600 {
		t.Errorf("the price is %d", v.Variants[0].Price)
	}
	// What it takes to be another shop altogether wants a restart.
	h.edit("catalog: catalog.yaml", "catalog: other.yaml")
	if err := h.server.reload(t.Context()); err == nil {
		t.Error("another catalog by a reload")
	}
}
