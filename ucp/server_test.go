package ucp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/checkout"
	"paywall/checkout/checkouttest"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/ucp"
	"paywall/ucp/agent"
	"paywall/ucp/profile"
	"paywall/ucp/protocol"
	"paywall/ucp/ucptest"
)

var now = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

const origin = "https://shop.example.com"

// till takes a token of the test's rail.
type till struct{ rail *paymenttest.Method }

func (till) Name() string { return "com.stripe.payments" }

func (h till) Declare(_ protocol.Version, due *checkout.Due, _ time.Time) (protocol.Declaration, bool) {
	if due != nil {
		if _, err := h.rail.Offer(due.Quote); err != nil {
			return protocol.Declaration{}, false
		}
	}
	return protocol.Declaration{ID: "stripe_main", Version: "2026-06-25", Instruments: []protocol.InstrumentType{{Type: "link"}}, Config: json.RawMessage(`{"environment":"sandbox"}`)}, true
}

func (h till) Credential(in protocol.Instrument, due checkout.Due, _ time.Time) (payment.Credential, error) {
	var c struct{ Token string }
	if err := json.Unmarshal(in.Credential, &c); err != nil || c.Token == "" {
		return payment.Credential{}, checkout.Refuse(checkout.KindPayment, "payment_failed", "No token.", "", checkout.Recoverable)
	}
	o, err := h.rail.Offer(due.Quote)
	if err != nil {
		return payment.Credential{}, err
	}
	return payment.Credential{
		Protocol: "ucp", ChallengeID: due.Challenge, Offer: o, Scope: due.Scope, Payload: json.RawMessage(fmt.Sprintf(`{"token":%q}`, c.Token)),
		Hash: due.Challenge + c.Token, Expires: due.Session.ExpiresAt,
	}, nil
}

// shop is a whole one in memory, with agents of both versions.
type shop struct {
	store *checkouttest.Memory
	books payment.Store
	rail  *paymenttest.Method
	http  map[protocol.Version]http.Handler
	mux   http.Handler
}

func platform(v protocol.Version, without ...string) []byte {
	capabilities := map[string]any{}
	for _, name := range []string{
		"checkout", "cart", "order", "catalog.search", "catalog.lookup", "discount", "fulfillment", "buyer_consent",
	} {
		name = "dev.ucp.shopping." + name
		skip := false
		for _, w := range without {
			skip = skip || w == name
		}
		if !skip {
			entry := map[string]any{"version": string(v)}
			if name == protocol.Order {
				entry["config"] = map[string]any{"webhook_url": "https://agent.example/hook"}
			}
			capabilities[name] = []any{entry}
		}
	}
	if len(without) == 0 {
		capabilities["com.example.shop.receipt"] = []any{map[string]any{"version": profile.ReceiptVersion}}
	}
	data, _ := json.Marshal(map[string]any{"ucp": map[string]any{"version": string(v), "services": map[string]any{}, "capabilities": capabilities}})
	return data
}

func agentOf(v protocol.Version) string { return "https://agent.example/" + string(v) }

func catalog(t testing.TB) *checkout.Shop {
	t.Helper()
	s, err := checkout.NewShop(checkout.Shop{
		Version: "v1", Currency: "USD", Scale: 2,
		Products: []checkout.Product{
			{ID: "report", Title: "Market report", Description: "Forty pages", Categories: []string{"Reports"}, URL: "https://shop.example.com/report", Image: "https://shop.example.com/r.png", Variants: []checkout.Variant{
				{ID: "report", Title: "Market report", Price: 500, Digital: true},
			}},
			{ID: "shirt", Title: "Shirt", Variants: []checkout.Variant{
				{ID: "shirt-m", SKU: "S-M", Title: "Medium", Price: 1900, Stock: new(int64(3)), Options: []checkout.Option{{Name: "size", Value: "M"}}},
				{ID: "shirt-l", Title: "Large", Price: 1933, Options: []checkout.Option{{Name: "size", Value: "L"}}},
			}},
			{ID: "free", Title: "Free", Variants: []checkout.Variant{{ID: "free", Title: "Free", Digital: true}}},
		},
		Discounts: []checkout.Discount{{Code: "TEN", Title: "Ten percent", BasisPoints: 1000}, {Code: "SHIRT", Title: "A dollar off each", Amount: 100, Each: true, Variants: []string{"shirt-m"}}},
		Shipping:  []checkout.ShippingRate{{ID: "post", Title: "Post", Price: 450, MinDays: 3, MaxDays: 5}, {ID: "fast", Title: "Courier", Carrier: "Bike", Price: 1500}},
		Locations: []checkout.Location{{ID: "store", Name: "Main street", Address: checkout.Address{Country: "US", Street: "1 Main"}}},
		Links:     []checkout.Link{{Type: "terms_of_service", URL: "https://shop.example.com/terms", Title: "Terms"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newShop(t testing.TB, change ...func(*ucp.Config)) *shop {
	t.Helper()
	sh := &shop{store: &checkouttest.Memory{}, books: paymenttest.NewStore(), rail: &paymenttest.Method{Minimum: 50}, http: map[protocol.Version]http.Handler{}}
	pays, err := payment.New(t.Context(), payment.Config{Store: sh.books, Methods: []payment.Method{sh.rail}, Key: []byte(strings.Repeat("k", 32)), Sole: true})
	if err != nil {
		t.Fatal(err)
	}
	goods := catalog(t)
	var server *ucp.Server
	service, err := checkout.New(checkout.Config{
		Store: sh.store, Shop: func() *checkout.Shop { return goods }, Payments: pays, Tenant: "shop.example.com",
		Build: func(o checkout.Order) (*checkout.Delivery, error) {
			body, err := server.EncodeOrder(protocol.Version(o.Platform.Version), o)
			return &checkout.Delivery{ID: fmt.Sprintf("whk_%s_%d", o.ID, o.Revision), Order: o.ID, URL: o.Platform.Webhook, Body: body, State: checkout.DeliveryPending, Version: o.Platform.Version}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	about := profile.Config{Origin: origin, Handlers: []protocol.Handler{till{sh.rail}}, Receipt: "com.example.shop.receipt", ReceiptSchema: "https://shop.example.com/receipt.json"}
	pinned := map[string][]byte{"https://agent.example/none": []byte(`{"ucp":{"version":"2026-08-25","capabilities":{}}}`), "https://agent.example/old": []byte(`{"ucp":{"version":"2026-01-11"}}`)}
	for _, v := range protocol.Versions() {
		pinned[agentOf(v)], pinned[agentOf(v)+"/plain"] = platform(v), platform(v, protocol.Discount, protocol.Fulfillment, protocol.BuyerConsent)
	}
	dir, err := agent.NewDirectory(agent.DirectoryConfig{Pinned: pinned, OnlyPinned: true})
	if err != nil {
		t.Fatal(err)
	}
	gate, err := agent.New(agent.Config{Directory: dir, Offer: about.Offer(), Keys: []agent.APIKey{key("one", "secret-of-one", agentOf(protocol.Current), agentOf(protocol.April2026)), key("two", "secret-of-two", agentOf(protocol.Current))}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := ucp.Config{
		Service: service, Shop: func() *checkout.Shop { return goods }, Handlers: about.Handlers, Identify: gate.Identify, Requests: sh.store,
		CheckoutURL: func(id string) string { return origin + "/shop/checkout/" + id }, OrderURL: func(id string) string { return origin + "/shop/orders/" + id },
		Extension: "com.example.shop.receipt",
		Receipts: func(_ context.Context, o checkout.Order) []ucp.Receipt {
			return []ucp.Receipt{{Line: o.Lines[0].ID, Opens: origin + "/v1/reports/{id}", Token: "ey.x.y", Expires: now}}
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	if server, err = ucp.New(cfg); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, v := range protocol.Versions() {
		sh.http[v] = server.Handler(v, profile.Endpoint(v))
		mux.Handle(profile.Endpoint(v)+"/", sh.http[v])
	}
	sh.mux = mux
	return sh
}

// client is an agent of one version over one binding.
type client struct {
	t      testing.TB
	shop   *shop
	v      protocol.Version
	mcp    bool
	agent  string
	header http.Header
	checks *ucptest.Schemas
	keys   int
}

type got struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
	rpc    *rpcError
}

type rpcError struct {
	Code int
	Data struct{ Code, Content string }
}

func (g got) str(path string) string {
	g.t.Helper()
	var v any
	if err := json.Unmarshal(g.body, &v); err != nil {
		g.t.Fatalf("%v in %d %s", err, g.status, g.body)
	}
	for part := range strings.SplitSeq(path, ".") {
		switch o := v.(type) {
		case map[string]any:
			v = o[part]
		case []any:
			n := 0
			_, _ = fmt.Sscan(part, &n)
			if n >= len(o) {
				return ""
			}
			v = o[n]
		default:
			return ""
		}
	}
	if s, ok := v.(string); ok {
		return s
	}
	if v == nil {
		return ""
	}
	data, _ := json.Marshal(v)
	return string(data)
}

var tools = map[string]struct{ method, path, member string }{
	"create_checkout": {"POST", "checkout-sessions", "checkout"}, "get_checkout": {"GET", "checkout-sessions/*", ""}, "update_checkout": {"PUT", "checkout-sessions/*", "checkout"},
	"complete_checkout": {"POST", "checkout-sessions/*/complete", "checkout"}, "cancel_checkout": {"POST", "checkout-sessions/*/cancel", ""},
	"create_cart": {"POST", "carts", "cart"}, "get_cart": {"GET", "carts/*", ""}, "update_cart": {"PUT", "carts/*", "cart"}, "cancel_cart": {"POST", "carts/*/cancel", ""},
	"search_catalog": {"POST", "catalog/search", "catalog"}, "lookup_catalog": {"POST", "catalog/lookup", "catalog"}, "get_product": {"POST", "catalog/product", "catalog"},
	"get_order": {"GET", "orders/*", ""},
}

func kindOf(tool string) string {
	switch {
	case strings.HasSuffix(tool, "_checkout"):
		return "checkout"
	case strings.HasSuffix(tool, "_cart"):
		return "cart"
	}
	return map[string]string{"search_catalog": "search", "lookup_catalog": "lookup", "get_product": "product", "get_order": "order"}[tool]
}

// do calls an operation under a key; "" is a new one where one is wanted.
func (c *client) do(tool, id, body, key string) got {
	c.t.Helper()
	if key == "" {
		c.keys++
		key = fmt.Sprintf("%s-key-%04d", c.t.Name(), c.keys)
	}
	var g got
	if c.mcp {
		g = c.call(tool, id, body, key)
	} else {
		op := tools[tool]
		g = c.send(op.method, strings.Replace(op.path, "*", id, 1), body, key)
	}
	if g.status/100 == 2 && c.checks != nil {
		kind := kindOf(tool)
		if g.str("ucp.status") == "error" {
			kind = "error"
		}
		c.checks.Valid(c.t, kind, g.body)
		ucptest.Consistent(c.t, g.body)
		if v := g.str("ucp.version"); v != string(c.v) {
			c.t.Errorf("the answer is of version %s: %s", v, g.body)
		}
	}
	return g
}

func (c *client) send(method, path, body, key string) got {
	c.t.Helper()
	r := httptest.NewRequest(method, profile.Endpoint(c.v)+"/"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("UCP-Agent", `profile="`+c.agent+`"; v=1, more=2`)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	maps.Copy(r.Header, c.header)
	w := httptest.NewRecorder()
	c.shop.mux.ServeHTTP(w, r)
	return got{c.t, w.Code, w.Header(), w.Body.Bytes(), nil}
}

func (c *client) call(tool, id, body, key string) got {
	c.t.Helper()
	args := map[string]any{"meta": map[string]any{"ucp-agent": map[string]any{"profile": c.agent}, "idempotency-key": key}}
	if id != "" {
		args["id"] = id
	}
	if body != "" {
		args[tools[tool].member] = json.RawMessage(body)
	}
	data, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": map[string]any{"name": tool, "arguments": args}})
	if err != nil {
		c.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, profile.Endpoint(c.v)+"/mcp", bytes.NewReader(data))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	maps.Copy(r.Header, c.header)
	w := httptest.NewRecorder()
	c.shop.mux.ServeHTTP(w, r)
	var doc struct {
		ID     int
		Result struct {
			StructuredContent json.RawMessage
			Content           []struct{ Text string }
		}
		Error *rpcError
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.ID != 7 {
		c.t.Fatalf("%v in %d %s", err, w.Code, w.Body)
	}
	if doc.Error == nil && (len(doc.Result.Content) != 1 || doc.Result.Content[0].Text != string(doc.Result.StructuredContent)) {
		c.t.Errorf("text and structure differ: %s", w.Body)
	}
	return got{c.t, w.Code, w.Header(), doc.Result.StructuredContent, doc.Error}
}

// everywhere runs a test with an agent of each version over each binding.
func everywhere(t *testing.T, test func(t *testing.T, c *client)) {
	t.Helper()
	for _, v := range protocol.Versions() {
		for name, mcp := range map[string]bool{"REST": false, "MCP": true} {
			t.Run(string(v)+" "+name, func(t *testing.T) {
				test(t, &client{
					t: t, shop: newShop(t), v: v, mcp: mcp, agent: agentOf(v), header: http.Header{"X-Api-Key": {"secret-of-one"}}, checks: ucptest.Open(t, v),
				})
			})
		}
	}
}

func link(token string) string {
	return `{"payment":{"instruments":[{"id":"pi_1","handler_id":"stripe_main","type":"link","credential":{"type":"stripe_payment_token","token":"` + token + `"}}]}}`
}

func TestConversation(t *testing.T) {
	everywhere(t, func(t *testing.T, c *client) {
		t.Helper()
		g := c.do("search_catalog", "", `{"query":"shirt","pagination":{"limit":1}}`, "")
		if g.str("products.0.variants.0.id") != "shirt-m" || g.str("products.0.variants.0.availability.available") != "true" || g.str("pagination.has_next_page") != "false" {
			t.Errorf("%s", g.body)
		}
		g = c.do("lookup_catalog", "", `{"ids":["report","shirt-l","nothing","report"]}`, "")
		if g.str("products.1.variants.0.inputs.0.match") != "exact" || g.str("messages.0.content") != "nothing" || g.str("products.1.variants.1.id") != "" {
			t.Errorf("%s", g.body)
		}
		if g = c.do("get_product", "", `{"id":"shirt","selected":[{"name":"size","label":"M"},{"name":"size","label":"XXL"}]}`, ""); g.str("product.selected") != `[{"label":"M","name":"size"}]` {
			t.Errorf("%s", g.body)
		}
		if g = c.do("get_product", "", `{"id":"nothing"}`, ""); g.status != 200 || g.str("ucp.status") != "error" || g.str("messages.0.code") != "not_found" {
			t.Errorf("%d %s", g.status, g.body)
		}
		cart := c.do("create_cart", "", `{"line_items":[{"item":{"id":"report"},"quantity":1}],"discounts":{"codes":["ten"]}}`, "")
		cart = c.do("update_cart", cart.str("id"), `{"line_items":[{"item":{"id":"report"},"quantity":2}],"discounts":{"codes":["ten","nope"]},"buyer":{"email":"ada@example.com"}}`, "")
		if cart.str("totals.2.amount") != "900" || cart.str("messages.0.code") != "discount_code_invalid" || cart.str("status") != "" {
			t.Errorf("%s", cart.body)
		}
		if g = c.do("get_cart", cart.str("id"), "", ""); g.str("id") != cart.str("id") {
			t.Errorf("%s", g.body)
		}
		x := c.do("create_checkout", "", `{"cart_id":"`+cart.str("id")+`"}`, "")
		if x.str("status") != "ready_for_complete" || x.str("buyer.email") != "ada@example.com" || x.str("ucp.payment_handlers") == "{}" || x.str("continue_url") == "" {
			t.Fatalf("%d %s", x.status, x.body)
		}
		if want := map[bool]int{true: 200, false: 201}[c.mcp]; x.status != want {
			t.Errorf("status %d", x.status)
		}
		// Goods: a place, a way, a price that follows.
		x = c.do("update_checkout", x.str("id"), `{"line_items":[{"id":"`+x.str("line_items.0.id")+`","item":{"id":"report","price":1},"quantity":1},{"item":{"id":"shirt-m"},"quantity":2}],
			"buyer":{"email":"ada@example.com"},"discounts":{"codes":["SHIRT"]},"totals":[{"type":"total","amount":1}],"status":"completed","currency":"EUR",
			"fulfillment":{"methods":[{"type":"shipping","destinations":[{"type":"shipping_address","id":"home","street_address":"1 Way","address_country":"US"}]}]}}`, "")
		if x.str("status") != "incomplete" || x.str("messages.0.path") != "$.fulfillment.methods[0].groups[0].selected_option_id" || x.str("fulfillment.methods.0.groups.0.options.1.carrier") != "Bike" || x.str("currency") != "USD" {
			t.Fatalf("%s", x.body)
		}
		x = c.do("update_checkout", x.str("id"), `{"line_items":[{"id":"`+x.str("line_items.0.id")+`","item":{"id":"report"},"quantity":1},{"id":"`+x.str("line_items.1.id")+`","item":{"id":"shirt-m"},"quantity":2}],
			"buyer":{"email":"ada@example.com"},"discounts":{"codes":["SHIRT"]},
			"fulfillment":{"methods":[{"id":"`+x.str("fulfillment.methods.0.id")+`","type":"shipping","line_item_ids":["`+x.str("line_items.1.id")+`"],
			"groups":[{"id":"`+x.str("fulfillment.methods.0.groups.0.id")+`","selected_option_id":"post"}]}]}}`, "")
		if x.str("status") != "ready_for_complete" || x.str("totals.3.amount") != "4550" || x.str("discounts.applied.0.allocations.0.amount") != "200" {
			t.Fatalf("%s", x.body)
		}
		if g = c.do("get_checkout", x.str("id"), "", ""); string(g.body) != string(x.body) {
			t.Errorf("read again it is %s", g.body)
		}
		done := c.do("complete_checkout", x.str("id"), link("good"), "")
		if done.str("status") != "completed" || !strings.HasPrefix(done.str("order.permalink_url"), origin+"/shop/orders/ord_") || done.str("receipts.0.token") != "ey.x.y" {
			t.Fatalf("%s", done.body)
		}
		o := c.do("get_order", done.str("order.id"), "", "")
		if o.str("line_items.0.status") != "fulfilled" || o.str("line_items.1.status") != "processing" || o.str("checkout_id") != x.str("id") || o.str("fulfillment.expectations.1.destination.street_address") != "1 Way" {
			t.Errorf("%s", o.body)
		}
		events, err := c.shop.store.Deliveries(t.Context(), "", "", 10)
		if err != nil || len(events) != 1 || strings.Contains(string(events[0].Body), "ey.x.y") {
			t.Fatalf("%+v, %v", events, err)
		}
		c.checks.Valid(t, "order", events[0].Body)
		if g = c.do("cancel_checkout", x.str("id"), "", ""); g.status != http.StatusConflict {
			t.Errorf("%d %s", g.status, g.body)
		}
		second := c.do("create_checkout", "", `{"line_items":[{"item":{"id":"free"},"quantity":1}]}`, "")
		if second.str("ucp.payment_handlers") != "{}" {
			t.Errorf("%s", second.body)
		}
		if g = c.do("cancel_checkout", second.str("id"), "", ""); g.str("status") != "canceled" {
			t.Errorf("%s", g.body)
		}
		if g = c.do("cancel_cart", cart.str("id"), "", ""); g.status != 200 {
			t.Errorf("%d %s", g.status, g.body)
		}
		if g = c.do("get_cart", cart.str("id"), "", ""); g.str("messages.0.code") != "not_found" {
			t.Errorf("%s", g.body)
		}
	})
}

func TestOutcomes(t *testing.T) {
	everywhere(t, func(t *testing.T, c *client) {
		t.Helper()
		for name, tt := range map[string]struct{ tool, id, body, code string }{
			"unknown checkout": {"get_checkout", "chk_none", "", "not_found"},
			"unknown order":    {"get_order", "ord_none", "", "not_found"},
			"nothing to sell":  {"create_checkout", "", `{"line_items":[{"item":{"id":"nothing"},"quantity":1}]}`, "item_unavailable"},
			"sold out":         {"create_checkout", "", `{"line_items":[{"item":{"id":"none"},"quantity":1}]}`, "item_unavailable"},
			"an unknown cart":  {"create_checkout", "", `{"cart_id":"cart_none"}`, "not_found"},
		} {
			if g := c.do(tt.tool, tt.id, tt.body, ""); g.status != 200 || g.str("ucp.status") != "error" || g.str("messages.0.code") != tt.code || g.str("messages.0.severity") != "unrecoverable" {
				t.Errorf("%s: %d %s", name, g.status, g.body)
			}
		}
		for name, tt := range map[string]struct {
			tool, body string
			status     int
			code       string
		}{
			"no lines":         {"create_checkout", `{}`, 400, "invalid_request"},
			"a fraction":       {"create_checkout", `{"line_items":[{"item":{"id":"report"},"quantity":1.5}]}`, 400, "invalid_request"},
			"text":             {"create_checkout", `{"line_items":[{"item":{"id":"report"},"quantity":"2"}]}`, 400, "invalid_request"},
			"zero":             {"create_checkout", `{"line_items":[{"item":{"id":"report"},"quantity":0}]}`, 400, "invalid_request"},
			"2^53":             {"create_checkout", `{"line_items":[{"item":{"id":"report"},"quantity":9007199254740992}]}`, 400, "invalid_request"},
			"too much":         {"create_checkout", `{"line_items":[{"item":{"id":"report"},"quantity":9007199254740991}]}`, 400, "invalid_request"},
			"a list":           {"create_checkout", `[]`, 400, "invalid_request"},
			"a long text":      {"create_checkout", `{"line_items":[{"item":{"id":"` + strings.Repeat("x", 600) + `"},"quantity":1}]}`, 400, "invalid_request"},
			"a cursor":         {"search_catalog", `{"pagination":{"cursor":"x"}}`, 400, "invalid_request"},
			"nothing to find":  {"lookup_catalog", `{"ids":[]}`, 400, "invalid_request"},
			"too many to find": {"lookup_catalog", `{"ids":["` + strings.Repeat(`a","`, 101) + `a"]}`, 400, "request_too_large"},
		} {
			g := c.do(tt.tool, "", tt.body, "")
			code := ""
			if g.rpc != nil {
				code = g.rpc.Data.Code
			} else if g.status >= 400 {
				code = g.str("code")
			}
			if g.status != tt.status || code != tt.code {
				t.Errorf("%s: %d %s %+v", name, g.status, g.body, g.rpc)
			}
		}
		x := c.do("create_checkout", "", `{"line_items":[{"item":{"id":"report"},"quantity":1}]}`, "")
		for name, body := range map[string]string{
			"nothing":            `{}`,
			"another handler":    `{"payment":{"instruments":[{"id":"a","handler_id":"other","type":"link","credential":{"token":"t"}}]}}`,
			"another type":       `{"payment":{"instruments":[{"id":"a","handler_id":"stripe_main","type":"card","credential":{"token":"t"}}]}}`,
			"two":                `{"payment":{"instruments":[{"id":"a","handler_id":"stripe_main","type":"link","credential":{"token":"t"}},{"id":"b","handler_id":"stripe_main","type":"link","credential":{"token":"u"}}]}}`,
			"without credential": `{"payment":{"instruments":[{"id":"a","handler_id":"stripe_main","type":"link"}]}}`,
		} {
			if g := c.do("complete_checkout", x.str("id"), body, ""); g.status != 200 || g.str("status") != "ready_for_complete" || g.str("messages.0.code") != "payment_failed" || g.str("messages.0.severity") != "recoverable" {
				t.Errorf("%s: %d %s", name, g.status, g.body)
			}
		}
		c.shop.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "card_declined"}})
		if g := c.do("complete_checkout", x.str("id"), link("bad"), ""); g.str("messages.0.code") != "payment_failed" || g.str("status") != "ready_for_complete" {
			t.Errorf("%s", g.body)
		}
		c.shop.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Kind: payment.KindActionRequired, Reason: "3ds"}})
		if g := c.do("complete_checkout", x.str("id"), link("3ds"), ""); g.str("status") != "requires_escalation" || g.str("messages.0.code") != "requires_3ds" {
			t.Errorf("%s", g.body)
		}
		// The selected one of several pays.
		two := `{"payment":{"instruments":[{"id":"a","handler_id":"other","type":"link"},{"id":"b","selected":true,"handler_id":"stripe_main","type":"link","credential":{"token":"good"}}]}}`
		if g := c.do("complete_checkout", x.str("id"), two, ""); g.str("status") != "completed" {
			t.Errorf("%s", g.body)
		}
		if charges, _ := c.shop.rail.Total(); charges != 1 {
			t.Errorf("%d charges", charges)
		}
	})
}

func TestG133_Idempotency(t *testing.T) {
	everywhere(t, func(t *testing.T, c *client) {
		t.Helper()
		const one = `{"line_items":[{"item":{"id":"report"},"quantity":1}]}`
		a, b := c.do("create_checkout", "", one, "key-0000-0001"), c.do("create_checkout", "", one, "key-0000-0001")
		if a.str("id") != b.str("id") || a.status != b.status || string(a.body) != string(b.body) {
			t.Errorf("%s and %s", a.body, b.body)
		}
		other := *c
		other.mcp = !c.mcp // one memory for both bindings
		if g := other.do("create_checkout", "", one, "key-0000-0001"); g.str("id") != a.str("id") {
			t.Errorf("over the other binding: %s", g.body)
		}
		if g := c.do("create_checkout", "", one+" ", "key-0000-0001"); !c.mcp && g.status != http.StatusConflict {
			t.Errorf("%d %s", g.status, g.body)
		}
		if g := c.do("create_checkout", "", strings.Replace(one, "1}", "2}", 1), "key-0000-0001"); g.status != http.StatusConflict {
			t.Errorf("%d %s", g.status, g.body)
		}
		second := *c
		second.header = http.Header{"X-Api-Key": {"secret-of-two"}}
		if c.v == protocol.Current {
			if g := second.do("create_checkout", "", one, "key-0000-0001"); g.str("id") == a.str("id") || g.status/100 != 2 {
				t.Errorf("another agent: %s", g.body)
			}
		}
		done := c.do("complete_checkout", a.str("id"), link("tok"), "key-0000-0001")
		again := c.do("complete_checkout", a.str("id"), link("tok"), "key-0000-0001")
		if done.str("order.id") == "" || string(done.body) != string(again.body) {
			t.Errorf("%s and %s", done.body, again.body)
		}
		if g := c.do("complete_checkout", a.str("id"), link("tok2"), "key-0000-0001"); g.status != http.StatusConflict {
			t.Errorf("%d %s", g.status, g.body)
		}
		// Twenty at once are one.
		x := c.do("create_checkout", "", one, "")
		var wg sync.WaitGroup
		orders := make(chan string, 20)
		for range 20 {
			wg.Go(func() {
				mine := *c
				g := mine.do("complete_checkout", x.str("id"), link("twenty"), "key-0000-0020")
				if g.status == 200 {
					orders <- g.str("order.id")
				}
			})
		}
		wg.Wait()
		close(orders)
		seen := map[string]int{}
		for id := range orders {
			seen[id]++
		}
		if charges, _ := c.shop.rail.Total(); len(seen) != 1 || charges != 2 {
			t.Errorf("%v, %d charges", seen, charges)
		}
		// Without a store nothing is done.
		c.shop.store.Fail = func(call string) error {
			if call == "Begin" {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		if g := c.do("create_checkout", "", one, "key-0000-0003"); g.status != http.StatusServiceUnavailable || g.header.Get("Retry-After") == "" {
			t.Errorf("%d %s", g.status, g.body)
		}
	})
}

func TestExtensionsThatAreNotShared(t *testing.T) {
	for _, v := range protocol.Versions() {
		c := &client{t: t, shop: newShop(t), v: v, agent: agentOf(v) + "/plain", checks: ucptest.Open(t, v)}
		g := c.do("create_checkout", "", `{"line_items":[{"item":{"id":"report"},"quantity":1}],"discounts":{"codes":["TEN"]},"buyer":{"consent":{"x":1}}}`, "")
		if g.str("discounts") != "" || g.str("fulfillment") != "" || g.str("totals.1.amount") != "500" || strings.Contains(g.str("ucp.capabilities"), "discount") || strings.Contains(g.str("ucp.capabilities"), "order") {
			t.Errorf("%d %s", g.status, g.body)
		}
	}
}

func TestWhoCalls(t *testing.T) {
	sh := newShop(t, func(c *ucp.Config) { c.Challenge = `Bearer realm="https://id.example"` })
	for name, tt := range map[string]struct {
		agent, path string
		header      http.Header
		method      string
		body        string
		status      int
		code        string
	}{
		"no agent":          {"-", "catalog/search", nil, "POST", "{}", 400, "invalid_profile_url"},
		"an unknown one":    {"https://evil.example/p", "catalog/search", nil, "POST", "{}", 403, "profile_not_trusted"},
		"another version":   {"https://agent.example/old", "catalog/search", nil, "POST", "{}", 422, "version_unsupported"},
		"the leaf's":        {agentOf(protocol.April2026), "catalog/search", nil, "POST", "{}", 422, "version_unsupported"},
		"nothing in common": {"https://agent.example/none", "catalog/search", nil, "POST", "{}", 200, ""},
		"a wrong key":       {agentOf(protocol.Current), "catalog/search", http.Header{"X-Api-Key": {"x"}}, "POST", "{}", 401, "unauthorized"},
		"another's profile": {agentOf(protocol.Current) + "/plain", "catalog/search", http.Header{"X-Api-Key": {"secret-of-one"}}, "POST", "{}", 403, "forbidden"},
		"an order, unknown": {agentOf(protocol.Current), "orders/ord_1", nil, "GET", "", 401, "unauthorized"},
		"nothing here":      {agentOf(protocol.Current), "nothing", nil, "GET", "", 404, "not_found"},
		"another method":    {agentOf(protocol.Current), "carts", nil, "DELETE", "", 405, "method_not_allowed"},
		"no JSON":           {agentOf(protocol.Current), "catalog/search", http.Header{"Content-Type": {"text/plain"}}, "POST", "{}", 415, "unsupported_media_type"},
		"noise":             {agentOf(protocol.Current), "catalog/search", nil, "POST", "{{", 400, "invalid_request"},
		"a name twice":      {agentOf(protocol.Current), "catalog/search", nil, "POST", `{"query":"a","query":"b"}`, 400, "invalid_request"},
		"a large body":      {agentOf(protocol.Current), "catalog/search", nil, "POST", `{"query":"` + strings.Repeat("x", 300<<10) + `"}`, 400, "request_too_large"},
		"a short key":       {agentOf(protocol.Current), "carts", http.Header{"Idempotency-Key": {"x"}}, "POST", `{"line_items":[{"item":{"id":"report"},"quantity":1}]}`, 400, "invalid_request"},
	} {
		c := &client{t: t, shop: sh, v: protocol.Current, agent: tt.agent, header: tt.header}
		if tt.agent == "-" {
			c.header = http.Header{"Ucp-Agent": nil}
		}
		g := c.send(tt.method, tt.path, tt.body, "")
		if g.status != tt.status || tt.code != "" && g.str("code") != tt.code {
			t.Errorf("%s: %d %s", name, g.status, g.body)
		}
		if tt.status == 401 && g.header.Get("WWW-Authenticate") == "" || tt.status == 405 && g.header.Get("Allow") == "" {
			t.Errorf("%s: %v", name, g.header)
		}
		if name == "nothing in common" && g.str("messages.0.code") != "capabilities_incompatible" {
			t.Errorf("%s", g.body)
		}
	}
	c := &client{t: t, shop: sh, v: protocol.Current, agent: agentOf(protocol.Current), header: http.Header{"Request-Id": {"abc"}}}
	if g := c.send("POST", "catalog/search", "{}", ""); g.header.Get("Request-Id") != "abc" || g.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", g.header)
	}
}

func TestMCP_Protocol(t *testing.T) {
	sh := newShop(t)
	for name, tt := range map[string]struct {
		body   string
		status int
		code   int
		says   string
	}{
		"initialize":      {`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}`, 200, 0, `"protocolVersion":"2025-06-18"`},
		"ping":            {`{"jsonrpc":"2.0","id":"a","method":"ping"}`, 200, 0, `"id":"a"`},
		"a notification":  {`{"jsonrpc":"2.0","method":"notifications/initialized"}`, 202, 0, ""},
		"list":            {`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"arguments":{"meta":{}}}}`, 200, 0, `"inputSchema"`},
		"unknown":         {`{"jsonrpc":"2.0","id":1,"method":"resources/list"}`, 404, -32601, ""},
		"an unknown tool": {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`, 400, -32602, ""},
		"no agent":        {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_cart","arguments":{"id":"x"}}}`, 400, -32001, "invalid_profile_url"},
		"no key":          {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"complete_checkout","arguments":{"id":"x","meta":{"ucp-agent":{"profile":"` + agentOf(protocol.Current) + `"}}}}}`, 400, -32602, "idempotency"},
		"no id":           {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_cart","arguments":{"meta":{"ucp-agent":{"profile":"` + agentOf(protocol.Current) + `"}}}}}`, 400, -32602, "id is missing"},
		"a batch":         {`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, 400, -32700, ""},
		"no JSON":         {`{`, 400, -32700, ""},
		"no version":      {`{"id":1,"method":"ping"}`, 400, -32600, ""},
		"an object as id": {`{"jsonrpc":"2.0","id":{},"method":"ping"}`, 400, -32600, ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/ucp/v1/mcp", strings.NewReader(tt.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		sh.mux.ServeHTTP(w, r)
		var doc struct{ Error *rpcError }
		_ = json.Unmarshal(w.Body.Bytes(), &doc)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) || (doc.Error != nil) != (tt.code != 0) || doc.Error != nil && doc.Error.Code != tt.code {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	sh.mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ucp/v1/mcp", http.NoBody))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

// Whatever is sent, the fault is the sender's.
func FuzzREST(f *testing.F) {
	sh := newShop(f)
	f.Add("POST", "checkout-sessions", `{"line_items":[{"item":{"id":"report"},"quantity":1}]}`)
	f.Add("PUT", "carts/x", `{"fulfillment":{"methods":[{"type":"shipping","destinations":[{"address_country":"US"}]}]}}`)
	f.Add("POST", "catalog/search", `{"filters":{"price":{"min":-1}}}`)
	f.Add("POST", "mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_cart","arguments":{}}}`)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if strings.ContainsAny(method+path, " \r\n\t?#%") || method == "" || strings.ContainsFunc(method+path, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://shop.example.com/ucp/v1/"+path, strings.NewReader(body))
		if err != nil {
			return
		}
		r.RequestURI = r.URL.Path
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("UCP-Agent", `profile="`+agentOf(protocol.Current)+`"`)
		w := httptest.NewRecorder()
		sh.mux.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s %q: %d %s", method, path, body, w.Code, w.Body)
		}
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) && w.Code != http.StatusMovedPermanently && w.Code != http.StatusTemporaryRedirect && w.Code != 307 && path == "checkout-sessions" {
			t.Errorf("%s", w.Body)
		}
	})
}
