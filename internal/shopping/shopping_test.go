package shopping_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"paywall/internal/shopping"
	"paywall/wallet"
)

const (
	origin  = "https://shop.example"
	profile = `{"ucp":{"version":"2026-08-25","services":{"dev.ucp.shopping":[{"version":"2026-08-25","transport":"mcp","endpoint":"https://shop.example/mcp"},` +
		`{"version":"2026-08-25","transport":"rest","endpoint":"https://shop.example/ucp/"}]},"capabilities":{"dev.ucp.shopping.checkout":[{}]},` +
		`"payment_handlers":{"com.stripe.payments":[{"id":"h1","version":"1","available_instruments":[{"type":"link"}],"config":{"network_id":"profile_1"}}]}}}`
)

// shop answers what it is told to, by method and path; the last answer is repeated.
type shop struct {
	mu      sync.Mutex // guards what follows
	answers map[string][]answer
	calls   []seen
}

type answer struct {
	status int
	body   string
	lost   bool
}

type seen struct{ call, key, body string }

func (s *shop) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	call := r.Method + " " + r.URL.Path
	s.calls = append(s.calls, seen{call, r.Header.Get("Idempotency-Key"), string(body)})
	list := s.answers[call]
	a := answer{status: http.StatusNotFound, body: `{"code":"not_found","content":"nothing at ` + call + `"}`}
	if len(list) > 0 {
		a = list[0]
		if len(list) > 1 {
			s.answers[call] = list[1:]
		}
	}
	if a.lost {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{StatusCode: a.status, Status: strconv.Itoa(a.status), Header: http.Header{"Location": {"https://elsewhere.example/"}}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func open(t *testing.T, answers map[string][]answer) (*shopping.Client, shopping.Shop, *shop) {
	t.Helper()
	s := &shop{answers: answers}
	if s.answers == nil {
		s.answers = map[string][]answer{}
	}
	if s.answers["GET /.well-known/ucp"] == nil {
		s.answers["GET /.well-known/ucp"] = []answer{{status: 200, body: profile}}
	}
	n := 0
	c, err := shopping.New(shopping.Config{HTTP: &http.Client{Transport: s}, Profile: "https://agent.example/p", NewKey: func() string { n++; return fmt.Sprintf("key-%04d", n) }})
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.Discover(t.Context(), origin)
	if err != nil {
		t.Fatal(err)
	}
	return c, found, s
}

func TestDiscover(t *testing.T) {
	_, s, _ := open(t, nil)
	if s.Endpoint != "https://shop.example/ucp" || s.Origin != origin || len(s.Capabilities) != 1 || s.Handlers["com.stripe.payments"][0].Text("network_id") != "profile_1" {
		t.Errorf("%+v", s)
	}
	for name, tt := range map[string]struct {
		origin string
		a      answer
	}{
		"plain HTTP":          {"http://shop.example", answer{status: 200, body: profile}},
		"no origin":           {"shop.example", answer{status: 200, body: profile}},
		"nothing there":       {origin, answer{status: 404, body: "{}"}},
		"it leads elsewhere":  {origin, answer{status: 302, body: ""}},
		"no profile":          {origin, answer{status: 200, body: "<html>"}},
		"another version":     {origin, answer{status: 200, body: strings.Replace(profile, `"version":"2026-08-25"`, `"version":"2020-01-01"`, 1)}},
		"no REST":             {origin, answer{status: 200, body: strings.ReplaceAll(profile, `"rest"`, `"a2a"`)}},
		"an endpoint in HTTP": {origin, answer{status: 200, body: strings.ReplaceAll(profile, `https://shop.example/ucp/`, `http://shop.example/ucp/`)}},
		"too much of it":      {origin, answer{status: 200, body: profile + strings.Repeat(" ", 1<<20)}},
	} {
		c, _, sh := open(t, nil)
		sh.answers["GET /.well-known/ucp"] = []answer{tt.a}
		if got, err := c.Discover(t.Context(), tt.origin); !errors.Is(err, shopping.ErrShop) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "agent", "https://agent.example/\"", "https://a b"} {
		if _, err := shopping.New(shopping.Config{Profile: bad}); err == nil {
			t.Errorf("a profile at %q", bad)
		}
	}
}

// purse gives tokens, and counts those that were given back.
type purse struct {
	err    error
	asked  []wallet.Purchase
	forgot int
}

func (p *purse) Spend(_ context.Context, x wallet.Purchase) (wallet.Proof, func(context.Context) error, error) {
	p.asked = append(p.asked, x)
	return wallet.Proof{Payload: json.RawMessage(`{"spt":"spt_secret"}`)}, func(context.Context) error { p.forgot++; return nil }, p.err
}

func checkout(status string, total int, more string) string {
	return fmt.Sprintf(`{"ucp":{"version":"2026-08-25","payment_handlers":{"com.stripe.payments":[{"id":"h1","available_instruments":[{"type":"link"}],"config":{"network_id":"profile_1"}}]}},`+
		`"id":"chk_1","status":%q,"currency":"USD","line_items":[{"id":"li","item":{"id":"report","title":"Report","price":500},"quantity":2}],"totals":[{"type":"total","amount":%d}]%s}`, status, total, more)
}

const (
	path     = "POST /ucp/checkout-sessions/chk_1/complete"
	read     = "GET /ucp/checkout-sessions/chk_1"
	finished = `,"order":{"id":"ord_1","permalink_url":"https://shop.example/orders/ord_1"}`
)

// TestPay shows what a payment may come to, and that a token that was not used is given back.
func TestPay(t *testing.T) {
	done := answer{status: 200, body: checkout("completed", 1000, finished)}
	for name, tt := range map[string]struct {
		answers []answer // to the completion
		reads   []answer
		want    error
		forgot  int
	}{
		"paid":                    {answers: []answer{done}},
		"in progress for a while": {answers: []answer{{status: 200, body: checkout("complete_in_progress", 1000, "")}}, reads: []answer{{status: 200, body: checkout("complete_in_progress", 1000, "")}, done}},
		"its answer lost once":    {answers: []answer{{lost: true}, done}},
		"its answers lost":        {answers: []answer{{lost: true}}, reads: []answer{{status: 503}, done}},
		"unavailable":             {answers: []answer{{status: 503, body: `{"code":"unavailable","content":"later"}`}}, reads: []answer{{lost: true}, done}},
		"never known":             {answers: []answer{{lost: true}}, reads: []answer{{status: 500}}, want: shopping.ErrPending},
		"in doubt for ever":       {answers: []answer{{status: 200, body: checkout("complete_in_progress", 1000, "")}}, reads: []answer{{status: 200, body: checkout("complete_in_progress", 1000, "")}}, want: shopping.ErrPending},
		"declined":                {answers: []answer{{status: 200, body: checkout("ready_for_complete", 1000, `,"messages":[{"type":"error","code":"payment_failed","content":"No."}]`)}}, want: shopping.ErrDeclined, forgot: 1},
		"its price has moved":     {answers: []answer{{status: 200, body: checkout("ready_for_complete", 1200, `,"messages":[{"type":"warning","code":"price_changed","content":"It costs more."}]`)}}, want: shopping.ErrNotReady, forgot: 1},
		"canceled":                {answers: []answer{{status: 200, body: checkout("canceled", 1000, "")}}, want: shopping.ErrNotReady, forgot: 1},
		"a person has to act":     {answers: []answer{{status: 200, body: checkout("requires_escalation", 1000, `,"continue_url":"https://shop.example/c"`)}}, want: shopping.ErrEscalated},
		"refused":                 {answers: []answer{{status: 403, body: `{"code":"forbidden","content":"Go away."}`}}, want: shopping.ErrRefused, forgot: 1},
		"refused in an envelope":  {answers: []answer{{status: 200, body: `{"ucp":{"status":"error"},"messages":[{"code":"not_found","content":"Gone."}]}`}}, want: shopping.ErrRefused, forgot: 1},
		"led elsewhere":           {answers: []answer{{status: 307}}, want: shopping.ErrRefused, forgot: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s, sh := open(t, map[string][]answer{path: tt.answers, read: tt.reads, "POST /ucp/checkout-sessions": {{status: 201, body: checkout("ready_for_complete", 1000, "")}}})
				x, err := c.Create(t.Context(), s, shopping.Wanted{Items: []shopping.Item{{Variant: "report", Quantity: 2}}})
				if err != nil {
					t.Fatal(err)
				}
				p := &purse{}
				x, err = c.Pay(t.Context(), s, x, p, "because")
				if !errors.Is(err, tt.want) || tt.want == nil && (x.Order == nil || x.Order.ID != "ord_1") {
					t.Errorf("%+v, %v", x, err)
				}
				if p.forgot != tt.forgot || len(p.asked) != 1 {
					t.Errorf("%d tokens given back, want %d; %d asked for", p.forgot, tt.forgot, len(p.asked))
				}
				if a := p.asked[0]; a.Amount.String() != "10.00 USD" || a.NetworkID != "profile_1" || a.Host != "shop.example" || a.Description != "2 × Report" {
					t.Errorf("the wallet was asked for %+v", a)
				}
				keys := map[string]bool{}
				for _, one := range sh.calls {
					if strings.Contains(one.key, "secret") {
						t.Errorf("the token is in the key %q", one.key)
					}
					if one.call == path {
						keys[one.key] = true
						if !strings.Contains(one.body, "spt_secret") {
							t.Errorf("paid with %s", one.body)
						}
					}
				}
				if len(keys) != 1 {
					t.Errorf("completed under the keys %v", keys)
				}
			})
		})
	}
}

func TestPay_Refusals(t *testing.T) {
	c, s, sh := open(t, nil)
	read := func(text string) (x shopping.Checkout) {
		if err := json.Unmarshal([]byte(text), &x); err != nil {
			t.Fatal(err)
		}
		return x
	}
	none := errors.New("no")
	for name, tt := range map[string]struct {
		x    string
		p    purse
		want error
	}{
		"not ready":        {checkout("incomplete", 1000, ""), purse{}, shopping.ErrNotReady},
		"no total":         {strings.Replace(checkout("ready_for_complete", 1000, ""), `"total"`, `"subtotal"`, 1), purse{}, shopping.ErrShop},
		"a negative total": {checkout("ready_for_complete", -1, ""), purse{}, shopping.ErrShop},
		"no such currency": {strings.Replace(checkout("ready_for_complete", 1000, ""), `"USD"`, `"ZZZ"`, 1), purse{}, shopping.ErrShop},
		"no way to pay":    {strings.Replace(checkout("ready_for_complete", 1000, ""), `"link"`, `"card"`, 1), purse{}, shopping.ErrNoWay},
		"the wallet's no":  {checkout("ready_for_complete", 1000, ""), purse{err: none}, none},
	} {
		if _, err := c.Pay(t.Context(), s, read(tt.x), &tt.p, ""); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, one := range sh.calls {
		if one.call == path {
			t.Errorf("it was paid: %+v", one)
		}
	}
	// What is free is not asked of a wallet.
	sh.answers[path] = []answer{{status: 200, body: checkout("completed", 0, finished)}}
	p := &purse{}
	if x, err := c.Pay(t.Context(), s, read(checkout("ready_for_complete", 0, "")), p, ""); err != nil || x.Order == nil || len(p.asked) > 0 {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestReceipts(t *testing.T) {
	c, s, sh := open(t, map[string][]answer{"GET /orders/ord_1": {{status: 200, body: `{"receipts":[{"title":"A week","opens":"https://shop.example/v1","token":"e.y.J"}]}`}}})
	list, err := c.Receipts(t.Context(), s, origin+"/orders/ord_1")
	if err != nil || len(list) != 1 || list[0].Token != "e.y.J" {
		t.Errorf("%+v, %v", list, err)
	}
	before := len(sh.calls)
	for _, elsewhere := range []string{"https://shop.example.evil/orders/ord_1", "https://elsewhere.example/", "", "https://shop.example"} {
		if _, err := c.Receipts(t.Context(), s, elsewhere); !errors.Is(err, shopping.ErrRefused) {
			t.Errorf("%s: %v", elsewhere, err)
		}
	}
	if len(sh.calls) != before {
		t.Errorf("asked %v", sh.calls[before:])
	}
}
