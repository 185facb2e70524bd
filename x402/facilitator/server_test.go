package facilitator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/x402"
	"paywall/x402/facilitator"
)

const (
	shopToken  = "shop-token-0123456789abcdef0123456789"
	otherToken = "other-token-0123456789abcdef012345678"
	grant      = "tok_granted_by_a_wallet"
)

// house is a server, with a store and a rail that outlive it.
type house struct {
	testing.TB

	store *paymenttest.Store
	rail  *paymenttest.Method
	log   *journal
	proc  *payment.Processor
	srv   *facilitator.Server
}

func newHouse(t testing.TB, change ...func(*facilitator.ServerConfig)) *house {
	t.Helper()
	h := &house{TB: t, store: paymenttest.NewStore(), rail: &paymenttest.Method{ID: "stripe", Minimum: 50}, log: &journal{}}
	h.start(change...)
	return h
}

// start is a new process on the same store.
func (h *house) start(change ...func(*facilitator.ServerConfig)) {
	h.Helper()
	logger := slog.New(slog.NewTextHandler(&locked{w: h.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	methods := []payment.Method{h.rail}
	h.proc = must(payment.New(h.Context(), payment.Config{Store: h.store, Methods: methods, Key: bytes.Repeat([]byte{7}, 32), Logger: logger}))
	cfg := facilitator.ServerConfig{
		Processor: h.proc, Payments: h.store, Methods: methods, Realm: "pay.example", Logger: logger,
		Bindings: []x402.Binding{{Method: "stripe", Network: "stripe:test", PayTo: "profile_1", ProofMember: "token"}},
		Clients: []facilitator.ServerClient{
			{Name: "shop", TokenHash: facilitator.HashToken(shopToken), Terms: payment.Terms{Account: "acct_1"}},
			{Name: "other", TokenHash: facilitator.HashToken(otherToken)},
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	srv, err := facilitator.NewServer(cfg)
	if err != nil {
		h.Fatal(err)
	}
	h.srv = srv
}

// in is the house in another test.
func (h *house) in(t testing.TB) *house {
	t.Helper()
	other := *h
	other.TB = t
	return &other
}

type locked struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

type object = map[string]any

// order is a request as a stock server sends it: 1.50 USD for a report.
func order(change ...func(body, payload, need object)) []byte {
	need := object{
		"scheme": "auth-capture", "network": "stripe:test", "amount": "150", "asset": "USD", "payTo": "profile_1", "maxTimeoutSeconds": 60,
		"extra": object{"psp": "stripe", "paymentFlow": "upfront", "more": []any{1}},
	}
	payload := object{
		"x402Version": 2, "resource": object{"url": "https://shop.example/report"},
		"payload": object{"token": grant, "paymentId": "p1"},
	}
	body := object{"x402Version": 2, "paymentPayload": payload, "paymentRequirements": need}
	for _, f := range change {
		f(body, payload, need)
	}
	if _, given := payload["accepted"]; !given {
		payload["accepted"] = need
	}
	return must(json.Marshal(body))
}

func token(s string) func(_, payload, _ object) {
	return func(_, payload, _ object) { payload["payload"] = object{"token": s} }
}

// ask sends a request and returns the answer with its members.
func (h *house) ask(path, token string, body []byte) (*httptest.ResponseRecorder, object) {
	h.Helper()
	r := httptest.NewRequestWithContext(h.Context(), http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.srv.ServeHTTP(w, r)
	var out object
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		h.Fatalf("%s: %d %q", path, w.Code, w.Body)
	}
	if strings.Contains(w.Body.String(), grant) || w.Header().Get("Cache-Control") != "no-store" {
		h.Errorf("%s %v", w.Body, w.Header())
	}
	return w, out
}

// settled has the order settled, or ends the test, and returns the transaction.
func (h *house) settled(body []byte) string {
	h.Helper()
	w, out := h.ask("/settle", shopToken, body)
	tx, _ := out["transaction"].(string)
	if w.Code != http.StatusOK || out["success"] != true || tx == "" || out["network"] != "stripe:test" || out["amount"] != "150" {
		h.Fatalf("%d %v", w.Code, out)
	}
	return tx
}

// refused asserts a no, by its code.
func (h *house) refused(path, token string, body []byte, status int, code string) {
	h.Helper()
	w, out := h.ask(path, token, body)
	yes, reason := "isValid", "invalidReason"
	if path == "/settle" {
		yes, reason = "success", "errorReason"
		if _, said := out["transaction"]; !said {
			h.Errorf("no transaction in %v", out)
		}
	}
	if w.Code != status || out[yes] != false || out[reason] != code {
		h.Errorf("%s: %d %v, want %d %s", path, w.Code, out, status, code)
	}
}

// charged asserts how often money moved, and that the books are in order.
func (h *house) charged(want int) {
	h.Helper()
	if got, _ := h.rail.Total(); got != want {
		h.Errorf("%d charges, want %d", got, want)
	}
	report, err := payment.Audit(h.Context(), h.store, h.proc.Now(), time.Minute)
	if err != nil || len(report.Breaks) > 0 {
		h.Errorf("audit: %v %v", report.Breaks, err)
	}
}

func (h *house) payments() []payment.Payment {
	h.Helper()
	return must(h.store.List(h.Context(), payment.Filter{}, "", 100))
}

func TestServer_Supported(t *testing.T) {
	h := newHouse(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/supported", nil)
	r.Header.Set("Authorization", "bearer "+shopToken)
	w := httptest.NewRecorder()
	h.srv.ServeHTTP(w, r)
	const want = `{"kinds":[{"x402Version":2,"scheme":"auth-capture","network":"stripe:test","extra":{"paymentFlow":"upfront","psp":"stripe"}}],"extensions":[],"signers":{}}`
	if w.Code != http.StatusOK || w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestServer_Client has the other half of this package call it.
func TestServer_Client(t *testing.T) {
	h := newHouse(t)
	srv := httptest.NewServer(http.StripPrefix("/x402", h.srv))
	defer srv.Close()
	c := newClient(t, facilitator.Config{Endpoints: []facilitator.Endpoint{
		{Name: "paywall", URL: srv.URL + "/x402", Auth: facilitator.Headers(http.Header{"Authorization": {"Bearer " + shopToken}})},
	}})
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	picked(t, c, "auth-capture", "stripe:test", "paywall", nil)
	reply := must(c.Verify(t.Context(), "paywall", order()))
	if v, ok := facilitator.ParseVerify(reply); !ok || !v.IsValid {
		t.Errorf("%d %s", reply.Status, reply.Body)
	}
	reply = must(c.Settle(t.Context(), "paywall", order()))
	if s, ok := facilitator.ParseSettle(reply); !ok || !s.Success || s.Transaction == "" || s.Amount != "150" {
		t.Errorf("%d %s", reply.Status, reply.Body)
	}
	h.charged(1)
}

func TestServer_Strangers(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct {
		name, method, path string
		auth               []string
		status             int
	}{
		{"no token", "POST", "/settle", nil, 401},
		{"an empty one", "POST", "/settle", []string{"Bearer "}, 401},
		{"a wrong one", "POST", "/settle", []string{"Bearer " + shopToken + "x"}, 401},
		{"its hash", "POST", "/settle", []string{fmt.Sprintf("Bearer %x", facilitator.HashToken(shopToken))}, 401},
		{"another scheme", "POST", "/settle", []string{"Basic " + shopToken}, 401},
		{"two", "POST", "/settle", []string{"Bearer " + shopToken, "Bearer " + shopToken}, 401},
		{"a long one", "POST", "/settle", []string{"Bearer " + strings.Repeat("x", 2000)}, 401},
		{"verify", "POST", "/verify", nil, 401},
		{"supported", "GET", "/supported", nil, 401},
		{"get", "GET", "/settle", []string{"Bearer " + shopToken}, 405},
		{"a part of a method", "OST", "/settle", []string{"Bearer " + shopToken}, 405},
		{"head", "HEAD", "/verify", []string{"Bearer " + shopToken}, 405},
		{"post", "POST", "/supported", []string{"Bearer " + shopToken}, 405},
		{"elsewhere", "POST", "/settle/", []string{"Bearer " + shopToken}, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, bytes.NewReader(order()))
			r.Header["Authorization"] = tt.auth
			w := httptest.NewRecorder()
			h.srv.ServeHTTP(w, r)
			if w.Code != tt.status || (tt.status == 401) != (w.Header().Get("Www-Authenticate") != "") || strings.Contains(w.Body.String(), "success") {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
		})
	}
	if len(h.payments()) > 0 || len(h.rail.Calls()) > 0 {
		t.Error("a stranger began a payment")
	}
	h.log.lacks(t, shopToken, grant)
}

// TestA034_A035_ServerRefuses: neither endpoint takes what is not, to the letter, a
// payment of a kind that is served; nothing is written and nobody is called for it.
func TestA034_A035_ServerRefuses(t *testing.T) {
	need := func(name string, v any) []byte { return order(func(_, _, need object) { need[name] = v }) }
	extra := func(name string, v any) []byte {
		return order(func(_, _, need object) { need["extra"].(object)[name] = v })
	}
	payload := func(v any) []byte { return order(func(_, payload, _ object) { payload["payload"] = v }) }
	differs := func(name string, v any) []byte {
		return order(func(_, payload, need object) {
			copied := maps.Clone(need)
			copied[name] = v
			payload["accepted"] = copied
		})
	}
	const req, pay = x402.CodeInvalidRequirements, x402.CodeInvalidPayload
	for name, tt := range map[string]struct {
		body   []byte
		status int
		code   string
	}{
		"nothing":                {[]byte(``), 400, pay},
		"a page":                 {[]byte(`<html>`), 400, pay},
		"an empty object":        {[]byte(`{}`), 400, pay},
		"two documents":          {append(order(), order()...), 400, pay},
		"a member twice":         {bytes.Replace(order(), []byte(`{"paymentPayload"`), []byte(`{"x402Version":2,"paymentPayload"`), 1), 400, pay},
		"a member of case":       {bytes.Replace(order(), []byte(`"paymentRequirements"`), []byte(`"PaymentRequirements"`), 1), 400, pay},
		"requirements of text":   {order(func(body, _, _ object) { body["paymentRequirements"] = "x" }), 400, pay},
		"a payload of text":      {payload("x"), 400, pay},
		"no accepted":            {order(func(_, payload, _ object) { payload["accepted"] = nil }), 400, pay},
		"version 1":              {order(func(body, _, _ object) { body["x402Version"] = 1 }), 200, x402.CodeInvalidVersion},
		"version 3":              {order(func(body, _, _ object) { body["x402Version"] = 3 }), 200, x402.CodeInvalidVersion},
		"version 1 inside":       {order(func(_, payload, _ object) { payload["x402Version"] = 1 }), 200, x402.CodeInvalidVersion},
		"a version of text":      {order(func(body, _, _ object) { body["x402Version"] = "2" }), 400, pay},
		"another scheme":         {need("scheme", "exact"), 200, x402.CodeUnsupportedScheme},
		"another network":        {need("network", "stripe:live"), 200, x402.CodeInvalidNetwork},
		"another payee":          {need("payTo", "profile_2"), 200, req},
		"another psp":            {extra("psp", "other"), 200, req},
		"no psp":                 {need("extra", object{}), 200, req},
		"escrow":                 {extra("paymentFlow", "escrow"), 200, req},
		"an unknown flow":        {extra("paymentFlow", "later"), 200, req},
		"a flow of number":       {extra("paymentFlow", 1), 200, req},
		"a member that is ours":  {need("other", 1), 200, req},
		"no time":                {need("maxTimeoutSeconds", 0), 200, req},
		"nothing to pay":         {need("amount", "0"), 200, req},
		"below the minimum":      {need("amount", "49"), 200, req},
		"negative":               {need("amount", "-150"), 200, req},
		"a fraction":             {need("amount", "150.0"), 200, req},
		"a sign":                 {need("amount", "+150"), 200, req},
		"zeros":                  {need("amount", "0150"), 200, req},
		"too much":               {need("amount", strings.Repeat("9", 40)), 200, req},
		"no currency":            {need("asset", "XXQ"), 200, req},
		"a currency of case":     {need("asset", "usd"), 200, req},
		"a token as asset":       {need("asset", "0x036CbD53842c5426634e7929541eC2318f3dCF7e"), 200, req},
		"accepted a price":       {differs("amount", "1"), 200, req},
		"accepted a payee":       {differs("payTo", "profile_2"), 200, req},
		"accepted an asset":      {differs("asset", "EUR"), 200, req},
		"accepted a time":        {differs("maxTimeoutSeconds", 61), 200, req},
		"accepted more":          {differs("other", 1), 200, req},
		"accepted other extra":   {differs("extra", object{"psp": "stripe"}), 200, req},
		"no token":               {payload(object{}), 200, pay},
		"an empty token":         {payload(object{"token": ""}), 200, pay},
		"a token of number":      {payload(object{"token": 1}), 200, pay},
		"the number of a card":   {payload(object{"token": "4242424242424242"}), 200, pay},
		"an id of number":        {payload(object{"token": grant, "paymentId": 1}), 200, pay},
		"a payload of a chain":   {payload(object{"signature": "0x", "authorization": object{}}), 200, pay},
		"a payload that is long": {payload(object{"token": grant, "pad": strings.Repeat("x", 20<<10)}), 200, pay},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.refused("/verify", shopToken, tt.body, tt.status, tt.code)
			h.refused("/settle", shopToken, tt.body, tt.status, tt.code)
			if len(h.payments()) > 0 || len(h.rail.Calls()) > 0 {
				t.Error("it began a payment")
			}
			h.log.lacks(t, grant, "4242")
		})
	}
}

// TestServer_Requests that are none have no member `success`, by which a stock server
// would take a settlement for refused.
func TestServer_Requests(t *testing.T) {
	h := newHouse(t)
	for name, tt := range map[string]struct {
		body     io.Reader
		kind     string
		encoding string
		status   int
	}{
		"too large":       {strings.NewReader(strings.Repeat(" ", 64<<10+1)), "application/json", "", 413},
		"a form":          {bytes.NewReader(order()), "application/x-www-form-urlencoded", "", 415},
		"compressed":      {bytes.NewReader(order()), "application/json", "gzip", 415},
		"cut off":         {io.MultiReader(strings.NewReader(`{"x`), failing{}), "application/json", "", 400},
		"without a type":  {bytes.NewReader(order()), "", "", 200},
		"with parameters": {bytes.NewReader(order()), "Application/JSON; charset=utf-8", "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/settle", tt.body)
			r.Header.Set("Authorization", "Bearer "+shopToken)
			r.Header.Set("Content-Type", tt.kind)
			r.Header.Set("Content-Encoding", tt.encoding)
			w := httptest.NewRecorder()
			h.srv.ServeHTTP(w, r)
			if w.Code != tt.status || strings.Contains(w.Body.String(), "success") != (tt.status == 200) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("cut off") }

func TestServer_Verify(t *testing.T) {
	h := newHouse(t)
	valid := func(token string, body []byte) {
		t.Helper()
		if w, out := h.ask("/verify", token, body); w.Code != http.StatusOK || out["isValid"] != true {
			t.Errorf("%d %v", w.Code, out)
		}
	}
	valid(shopToken, order())
	valid(shopToken, order(func(_, payload, _ object) { delete(payload, "resource") }))
	valid(shopToken, order(func(_, _, need object) { delete(need["extra"].(object), "paymentFlow") }))
	valid(shopToken, order(func(_, _, need object) { need["extra"].(object)["paymentFlow"] = "authorization" }))
	valid(otherToken, order())
	if len(h.payments()) > 0 || len(h.rail.Calls()) > 0 {
		t.Fatal("to verify began a payment")
	}
	h.settled(order())
	h.refused("/verify", shopToken, order(), 200, "duplicate_settlement") // its server has delivered for it
	for name, body := range map[string][]byte{
		"another resource": order(func(_, payload, _ object) { payload["resource"] = object{"url": "https://shop.example/other"} }),
		"another price":    order(func(_, _, need object) { need["amount"] = "151" }),
		"another currency": order(func(_, _, need object) { need["asset"] = "EUR" }),
		"another id":       order(func(_, payload, _ object) { payload["payload"] = object{"token": grant, "paymentId": "p2"} }),
		"another token":    order(func(_, payload, _ object) { payload["payload"] = object{"token": "tok_2", "paymentId": "p1"} }),
	} {
		t.Run(name, func(t *testing.T) {
			h := h.in(t)
			h.refused("/verify", shopToken, body, 200, x402.CodeInvalidState)
			h.refused("/settle", shopToken, body, 200, x402.CodeInvalidState)
		})
	}
	h.refused("/verify", otherToken, order(), 200, x402.CodeInvalidState)
	h.refused("/settle", otherToken, order(), 200, x402.CodeInvalidState)
	h.charged(1)
	if err := h.proc.SetPaused(t.Context(), "stop"); err != nil {
		t.Fatal(err)
	}
	if w, out := h.ask("/verify", shopToken, order(token("tok_3"))); w.Code != 503 || w.Header().Get("Retry-After") == "" || out["isValid"] != nil {
		t.Errorf("paused: %d %v", w.Code, out)
	}
}

func TestServer_Settle(t *testing.T) {
	h := newHouse(t)
	tx := h.settled(order())
	again := order(func(body, payload, _ object) { // the same in another spelling
		body["other"], payload["extensions"] = 1, object{"x": object{"info": 1}}
	})
	if got := h.settled(again); got != tx {
		t.Errorf("%s, then %s", tx, got)
	}
	h.start() // it is not known any more how often that was said
	h.refused("/settle", shopToken, order(), 200, "duplicate_settlement")
	list := h.payments()
	if len(list) != 1 {
		t.Fatalf("%d payments", len(list))
	}
	p := list[0]
	if p.State != payment.StateSettled || p.Delivery != payment.DeliveryDelivered || p.Account != "acct_1" || p.Protocol != "x402" || p.Reference != tx ||
		p.Scope.Tenant != "pay.example" || p.Scope.Route != "x402" || p.Scope.Method != "SETTLE" || !strings.HasPrefix(p.Scope.Target, "shop/") || p.Scope.Digest != "" {
		t.Errorf("%+v", p)
	}
	if n := len(h.rail.Calls()); n != 1 {
		t.Errorf("%d calls of the rail", n)
	}
	h.charged(1)
	h.log.lacks(t, grant, shopToken)
}

// TestServer_OneTokenIsOneGrant: a server that runs its handler for every success must
// not be led to run it without end.
func TestServer_OneTokenIsOneGrant(t *testing.T) {
	h := newHouse(t)
	grants := 0
	for range 20 {
		if _, s := h.ask("/settle", shopToken, order()); s["success"] == true {
			grants++
		} else if s["errorReason"] != "duplicate_settlement" || s["transaction"] == "" {
			t.Fatalf("%v", s)
		}
	}
	h.charged(1)
	if grants != 3 {
		t.Errorf("%d successes for one charge, want the first and two for answers that were lost", grants)
	}
}

// TestServer_Copies: many copies at once are one charge, and few have its answer.
func TestServer_Copies(t *testing.T) {
	h := newHouse(t, func(c *facilitator.ServerConfig) {
		c.Limits = facilitator.ServerLimits{Requests: 1000, Burst: 1000, Settling: 100}
	})
	h.rail.Latency = 5 * time.Millisecond
	var wg sync.WaitGroup
	var granted atomic.Int64
	for range 100 {
		wg.Go(func() {
			switch _, s := h.ask("/settle", shopToken, order()); {
			case s["success"] == true:
				granted.Add(1)
			case s["errorReason"] != "duplicate_settlement":
				t.Errorf("%v", s)
			}
		})
	}
	wg.Wait()
	if n := granted.Load(); n < 1 || n > 3 {
		t.Errorf("%d successes", n)
	}
	h.charged(1)
	if p := h.payments(); len(p) != 1 || p[0].Delivery != payment.DeliveryDelivered {
		t.Errorf("%+v", p)
	}
}

// TestServer_Races: one token asked for by many at once for different things is settled
// for one of them, and everybody else is told no, or to come back.
func TestServer_Races(t *testing.T) {
	h := newHouse(t)
	h.rail.Latency = 5 * time.Millisecond
	var wg sync.WaitGroup
	var won, open sync.Map
	for i := range 20 {
		wg.Go(func() {
			client := []string{shopToken, otherToken}[i%2]
			_, out := h.ask("/settle", client, order(func(_, payload, _ object) {
				payload["resource"] = object{"url": fmt.Sprintf("https://shop.example/%d", i)}
				payload["payload"] = object{"token": grant, "paymentId": strconv.Itoa(i)}
			}))
			switch {
			case out["success"] == true:
				won.Store(i, true)
			case out["errorReason"] == x402.CodePending:
				open.Store(i, true)
			case out["errorReason"] != x402.CodeInvalidState:
				t.Errorf("%v", out)
			}
		})
	}
	wg.Wait()
	n := 0
	won.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d have it", n)
	}
	open.Range(func(i, _ any) bool { t.Errorf("%v is told that it may come back", i); return true })
	h.charged(1)
}

// TestServer_Unknown: while an outcome is open, the answer is one for which a stock
// server asks again and a payer does not pay again; then the same request has the goods.
func TestServer_Unknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		lost := payment.Outcome{Class: payment.OutcomeUnknown, Err: errors.New("no answer for " + grant[:4])}
		for range 20 {
			h.rail.Script("charge", paymenttest.Reply{Outcome: lost, Moves: true})
		}
		w, out := h.ask("/settle", shopToken, order())
		p := h.payments()
		if len(p) != 1 || w.Code != 200 || out["success"] != false || out["errorReason"] != x402.CodePending || out["transaction"] != p[0].ID || w.Header().Get("Retry-After") == "" {
			t.Fatalf("%d %v %+v", w.Code, out, p)
		}
		if _, out := h.ask("/verify", shopToken, order()); out["isValid"] != true {
			t.Errorf("%v", out)
		}
		// The same token for the same thing, under another id.
		_, out = h.ask("/settle", shopToken, order(token(grant)))
		if tx, _ := out["transaction"].(string); out["errorReason"] != x402.CodePending || tx == "" {
			t.Errorf("%v", out)
		}
		h.rail.Heal()
		h.settled(order())
		h.charged(1)
	})
}

func TestServer_Declined(t *testing.T) {
	for name, tt := range map[string]struct {
		out  payment.Outcome
		code string
	}{
		"by the rail":     {payment.Outcome{Reason: "card_declined"}, "card_declined"},
		"without a code":  {payment.Outcome{}, x402.CodeInvalidState},
		"in words":        {payment.Outcome{Reason: "Your <b>card</b>"}, x402.CodeInvalidState},
		"for its limit":   {payment.Outcome{Kind: payment.KindPaymentInsufficient}, x402.CodeInsufficientFunds},
		"until confirmed": {payment.Outcome{Kind: payment.KindActionRequired}, "card_authentication_required"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			tt.out.Class, tt.out.Err = payment.OutcomeDeclined, errors.New("no")
			h.rail.Script("charge", paymenttest.Reply{Outcome: tt.out})
			h.refused("/settle", shopToken, order(), 200, tt.code)
			h.refused("/verify", shopToken, order(), 200, x402.CodeInvalidState)
			h.settled(order(func(_, payload, _ object) { payload["payload"] = object{"token": "tok_2", "paymentId": "p2"} }))
			h.charged(1)
		})
	}
}

// TestServer_Paused: nothing is begun, and nobody is told that a payment failed.
func TestServer_Paused(t *testing.T) {
	h := newHouse(t)
	if err := h.proc.SetPaused(t.Context(), "stop"); err != nil {
		t.Fatal(err)
	}
	w, out := h.ask("/settle", shopToken, order())
	if tx, _ := out["transaction"].(string); w.Code != 503 || out["errorReason"] != x402.CodePending || tx == "" || w.Header().Get("Retry-After") != "60" {
		t.Errorf("%d %v %v", w.Code, out, w.Header())
	}
	if err := h.proc.SetPaused(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	h.settled(order())
	h.charged(1)
}

// gone is a client that left before the answer.
type gone struct{ http.ResponseWriter }

func (gone) Write([]byte) (int, error) { return 0, errors.New("gone") }

func (h *house) leave(body []byte) {
	h.Helper()
	r := httptest.NewRequestWithContext(h.Context(), http.MethodPost, "/settle", bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+shopToken)
	h.srv.ServeHTTP(gone{httptest.NewRecorder()}, r)
}

// TestServer_AnswerLost: a settlement whose answer nobody got waits for its client, and
// is refunded when it does not come.
func TestServer_AnswerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.leave(order())
		if p := h.payments()[0]; p.State != payment.StateSettled || p.Delivery != payment.DeliveryOpen {
			t.Fatalf("%s %s", p.State, p.Delivery)
		}
		h.start() // it may have been the server that died
		h.settled(order())
		if p := h.payments()[0]; p.Delivery != payment.DeliveryDelivered {
			t.Fatalf("%s %s", p.State, p.Delivery)
		}
		h.charged(1)

		second := order(func(_, payload, _ object) { payload["payload"] = object{"token": "tok_2", "paymentId": "p2"} })
		h.leave(second)
		time.Sleep(15*time.Minute + time.Second)
		// The window is over, whether or not the refund is made yet.
		h.refused("/settle", shopToken, second, 200, x402.CodeInvalidState)
		if _, err := h.proc.Recover(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		h.refused("/settle", shopToken, second, 200, x402.CodeInvalidState)
		h.refused("/verify", shopToken, second, 200, x402.CodeInvalidState)
		if _, refunds := h.rail.Total(); refunds != 1 {
			t.Errorf("%d refunds", refunds)
		}
		h.charged(2)
	})
}

// TestServer_HangUp: a client that leaves in the middle has its settlement made and kept.
func TestServer_HangUp(t *testing.T) {
	h := newHouse(t)
	ctx, hangUp := context.WithCancel(t.Context())
	h.rail.Script("charge", paymenttest.Reply{Hook: func(context.Context, payment.Payment) { hangUp() }})
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/settle", bytes.NewReader(order()))
	r.Header.Set("Authorization", "Bearer "+shopToken)
	h.srv.ServeHTTP(httptest.NewRecorder(), r)
	if p := h.payments()[0]; p.State != payment.StateSettled || p.Delivery != payment.DeliveryOpen {
		t.Errorf("%s %s", p.State, p.Delivery)
	}
	h.settled(order())
	h.charged(1)
}

func TestServer_Limits(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	h := newHouse(t, func(c *facilitator.ServerConfig) {
		c.Now = func() time.Time { return now }
		c.Limits = facilitator.ServerLimits{Requests: 2, Burst: 3, Settling: 1}
	})
	for range 3 {
		if w, _ := h.ask("/verify", shopToken, order()); w.Code != 200 {
			t.Fatal(w.Code)
		}
	}
	w, out := h.ask("/settle", shopToken, order())
	if _, said := out["success"]; w.Code != 429 || w.Header().Get("Retry-After") == "" || said {
		t.Errorf("%d %v", w.Code, out)
	}
	if w, _ := h.ask("/verify", otherToken, order()); w.Code != 200 {
		t.Errorf("another client: %d", w.Code)
	}
	now = now.Add(time.Second)
	running, end := make(chan struct{}), make(chan struct{})
	h.rail.Script("charge", paymenttest.Reply{Hook: func(context.Context, payment.Payment) { close(running); <-end }})
	var wg sync.WaitGroup
	wg.Go(func() { h.settled(order()) })
	<-running
	w, out = h.ask("/settle", shopToken, order(token("tok_2")))
	if _, said := out["success"]; w.Code != 429 || said {
		t.Errorf("%d %v", w.Code, out)
	}
	close(end)
	wg.Wait()
	h.charged(1)
}

func TestNewServer_Refuses(t *testing.T) {
	h := newHouse(t)
	hash := facilitator.HashToken
	for name, tt := range map[string]struct {
		change func(*facilitator.ServerConfig)
		want   string
	}{
		"no processor":  {func(c *facilitator.ServerConfig) { c.Processor = nil }, "Processor"},
		"no payments":   {func(c *facilitator.ServerConfig) { c.Payments = nil }, "Payments"},
		"no methods":    {func(c *facilitator.ServerConfig) { c.Methods = nil }, "Methods"},
		"no bindings":   {func(c *facilitator.ServerConfig) { c.Bindings = nil }, "Bindings"},
		"no such rail":  {func(c *facilitator.ServerConfig) { c.Bindings[0].Method = "other" }, "Bindings[0]"},
		"no payee":      {func(c *facilitator.ServerConfig) { c.Bindings[0].PayTo = "" }, "Bindings"},
		"no clients":    {func(c *facilitator.ServerConfig) { c.Clients = nil }, "Clients"},
		"no name":       {func(c *facilitator.ServerConfig) { c.Clients[0].Name = "" }, "Clients[0]"},
		"a slash":       {func(c *facilitator.ServerConfig) { c.Clients[0].Name = "a/b" }, "Clients[0]"},
		"no token":      {func(c *facilitator.ServerConfig) { c.Clients[0].TokenHash = [32]byte{} }, "Clients[0]"},
		"an empty one":  {func(c *facilitator.ServerConfig) { c.Clients[0].TokenHash = hash("") }, "Clients[0]"},
		"one for two":   {func(c *facilitator.ServerConfig) { c.Clients[1].TokenHash = hash(shopToken) }, "Clients[1]"},
		"one name":      {func(c *facilitator.ServerConfig) { c.Clients[1].Name = "shop" }, "Clients[1]"},
		"no realm":      {func(c *facilitator.ServerConfig) { c.Realm = "" }, "Realm"},
		"a quote":       {func(c *facilitator.ServerConfig) { c.Realm = `a"b` }, "Realm"},
		"a limit":       {func(c *facilitator.ServerConfig) { c.Limits.Settling = -1 }, "Limits"},
		"a window":      {func(c *facilitator.ServerConfig) { c.Window = -1 }, "Window"},
		"a chain bound": {func(c *facilitator.ServerConfig) { c.Bindings[0].Network = "eip155:1" }, "Bindings"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := facilitator.ServerConfig{
				Processor: h.proc, Payments: h.store, Methods: []payment.Method{h.rail}, Realm: "pay.example",
				Bindings: []x402.Binding{{Method: "stripe", Network: "stripe:test", PayTo: "profile_1"}},
				Clients:  []facilitator.ServerClient{{Name: "shop", TokenHash: hash(shopToken)}, {Name: "other", TokenHash: hash(otherToken)}},
			}
			tt.change(&cfg)
			if _, err := facilitator.NewServer(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want one of %s", err, tt.want)
			}
		})
	}
}

// FuzzServer: what is settled is settled as it was asked for, once.
func FuzzServer(f *testing.F) {
	f.Add(order())
	f.Add(order(token(grant)))
	f.Add([]byte(`{}`))
	// One server for what is refused: to settle takes coins to be tossed, which the
	// fuzzer would take for news.
	common := newHouse(f, func(c *facilitator.ServerConfig) {
		c.Limits = facilitator.ServerLimits{Requests: 1 << 30, Burst: 1 << 30}
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		door := common.in(t)
		_, verdict := door.ask("/verify", shopToken, body)
		if verdict["isValid"] != true {
			_, out := door.ask("/settle", shopToken, body)
			if out["success"] != false || out["errorReason"] != verdict["invalidReason"] || len(door.payments()) > 0 {
				t.Fatalf("verified %v, settled %v", verdict, out)
			}
			return
		}
		h := newHouse(t)
		_, out := h.ask("/settle", shopToken, body)
		if out["success"] != true {
			t.Fatalf("verified %v, settled %v", verdict, out)
		}
		list := h.payments()
		var asked struct {
			Need x402.PaymentRequirements `json:"paymentRequirements"`
		}
		if err := json.Unmarshal(body, &asked); err != nil {
			t.Fatal(err)
		}
		exponent, _ := money.Exponent(asked.Need.Asset)
		p := list[0]
		if len(list) != 1 || strconv.FormatInt(p.Amount.Units(), 10) != asked.Need.Amount || p.Amount.Currency() != asked.Need.Asset || p.Amount.Scale() != exponent || asked.Need.PayTo != "profile_1" {
			t.Fatalf("%+v for %+v", p, asked.Need)
		}
		_, again := h.ask("/settle", shopToken, body)
		if again["transaction"] != out["transaction"] {
			t.Fatalf("%v, then %v", out, again)
		}
		h.charged(1)
	})
}
