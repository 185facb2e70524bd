package page_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"paywall/checkout"
	"paywall/ucp/page"
)

var now = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

func session(status checkout.Status, change ...func(*checkout.Session)) checkout.Session {
	s := checkout.Session{
		ID: "chk_1", Kind: checkout.KindCheckout, Status: status, Platform: checkout.Platform{Profile: "https://agent.example/profile.json"},
		Priced: checkout.Priced{
			Currency: "USD", Scale: 2,
			Lines:  []checkout.Line{{ID: "li_1", Title: "Report", Price: 500, Quantity: 2, Subtotal: 1000, Total: 1000}},
			Totals: []checkout.Total{{Type: "subtotal", Amount: 1000}, {Type: "discount", Amount: -100}, {Type: "total", Amount: 900}},
		},
		Desired: checkout.Desired{Buyer: checkout.Buyer{Email: "ada@example.com"}},
	}
	for _, f := range change {
		f(&s)
	}
	return s
}

// shop serves one session and one order.
func shop(t *testing.T, s checkout.Session, o checkout.Order, change ...func(*page.Config)) http.Handler {
	t.Helper()
	cfg := page.Config{
		Base: "/shop", Origin: "https://shop.example", Shop: "Reports & more",
		Session: func(_ context.Context, id string) (checkout.Session, error) {
			if id != s.ID {
				return checkout.Session{}, checkout.ErrNotFound
			}
			return s, nil
		},
		Order: func(_ context.Context, id string) (checkout.Order, error) {
			if id != o.ID {
				return checkout.Order{}, &checkout.Error{Kind: checkout.KindNotFound}
			}
			return o, nil
		},
		Links: func() []checkout.Link {
			return []checkout.Link{{Type: "terms_of_service", URL: "https://shop.example/terms"}}
		},
		Now: func() time.Time { return now },
	}
	for _, f := range change {
		f(&cfg)
	}
	h, err := page.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func do(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestOrderData is what an agent reads that knows an order's link and nothing else.
func TestOrderData(t *testing.T) {
	o := checkout.Order{ID: "ord_1", Lines: []checkout.OrderLine{{Line: checkout.Line{ID: "li_1", Title: "A week", Quantity: 1}}}}
	h := shop(t, session(checkout.Completed), o, func(c *page.Config) {
		c.Receipts = func(context.Context, checkout.Order) []page.Receipt {
			return []page.Receipt{{Line: "li_1", Title: "A week", Opens: "https://shop.example/v1", Token: "e.y.J", Expires: now}}
		}
	})
	const browser = "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8"
	for accept, kind := range map[string]string{"application/json": "application/json", browser: "text/html; charset=utf-8", "": "text/html; charset=utf-8"} {
		w := do(h, http.MethodGet, "/shop/orders/ord_1", "Accept", accept)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != kind || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Vary") != "Accept" {
			t.Errorf("%q: %d %v", accept, w.Code, w.Header())
		}
		if want := `"receipts":[{"line_item_id":"li_1","title":"A week","opens":"https://shop.example/v1","token":"e.y.J","expires_at":"2026-11-25T09:00:00Z"}]`; kind == "application/json" && !strings.Contains(w.Body.String(), want) {
			t.Errorf("the answer is %s", w.Body)
		}
	}
	if w := do(h, http.MethodGet, "/shop/orders/ord_2", "Accept", "application/json"); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
}

func TestCheckout(t *testing.T) {
	for status, says := range map[checkout.Status]string{
		checkout.Ready:              "Ready to be paid",
		checkout.Incomplete:         "Something is missing",
		checkout.RequiresEscalation: "approve it in your wallet",
		checkout.InProgress:         "Do not pay again",
		checkout.Completed:          "/shop/orders/ord_1",
		checkout.Canceled:           "nothing can be paid any more",
	} {
		w := do(shop(t, session(status, func(s *checkout.Session) { s.Order = "ord_1" }), checkout.Order{}), "GET", "/shop/checkout/chk_1")
		body := w.Body.String()
		for _, want := range []string{says, "Report", "2 × 5.00 USD", "10.00 USD", "−1.00 USD", "9.00 USD", "agent.example", "Reports &amp; more", "Terms of service"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %q in\n%s", status, want, body)
			}
		}
		if w.Code != http.StatusOK || strings.Contains(body, "<form") || strings.Contains(body, "ada") || (w.Header().Get("Refresh") != "") != (status == checkout.InProgress) {
			t.Errorf("%s: %d %v\n%s", status, w.Code, w.Header(), body)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s", name, got)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") || strings.Contains(csp, "unsafe") {
			t.Errorf("policy: %s", csp)
		}
	}
}

// Only the page's own form pays, and a reload of what follows pays nothing.
func TestPay(t *testing.T) {
	paid := 0
	var fails error
	with := func(c *page.Config) {
		c.Pay = func(context.Context, string) error { paid++; return fails }
	}
	h := shop(t, session(checkout.Ready), checkout.Order{}, with)
	if body := do(h, "GET", "/shop/checkout/chk_1").Body.String(); !strings.Contains(body, `action="/shop/checkout/chk_1/pay"`) || !strings.Contains(body, "9.00 USD with play money") {
		t.Error(body)
	}
	for name, header := range map[string][]string{
		"another site":              {"Sec-Fetch-Site", "cross-site"},
		"a sibling":                 {"Sec-Fetch-Site", "same-site"},
		"an address bar":            {"Sec-Fetch-Site", "none"},
		"another origin, old style": {"Origin", "https://evil.example"},
		"no word":                   nil,
		"a hidden origin":           {"Origin", "null"},
	} {
		if w := do(h, "POST", "/shop/checkout/chk_1/pay", header...); w.Code != http.StatusForbidden || paid != 0 {
			t.Errorf("%s: %d, paid %d", name, w.Code, paid)
		}
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Origin", "https://shop.example"}} {
		if w := do(h, "POST", "/shop/checkout/chk_1/pay", header...); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/shop/checkout/chk_1" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
	if paid != 2 {
		t.Errorf("paid %d times", paid)
	}
	for _, tt := range []struct {
		err    error
		status int
		says   string
	}{
		{checkout.Refuse(checkout.KindPayment, "payment_failed", "The card was declined.", "", checkout.Recoverable), 200, "The card was declined."},
		{&checkout.Error{Kind: checkout.KindState}, 303, ""},
		{&checkout.Error{Kind: checkout.KindNotFound}, 404, "Nothing is here"},
		{errors.New("secret of the store"), 200, "Nothing was charged"},
	} {
		fails = tt.err
		w := do(h, "POST", "/shop/checkout/chk_1/pay", "Sec-Fetch-Site", "same-origin")
		if body := w.Body.String(); w.Code != tt.status || !strings.Contains(body, tt.says) || strings.Contains(body, "secret") {
			t.Errorf("%v: %d %s", tt.err, w.Code, body)
		}
	}
	if w := do(shop(t, session(checkout.Ready), checkout.Order{}), "POST", "/shop/checkout/chk_1/pay", "Sec-Fetch-Site", "same-origin"); w.Code != http.StatusNotFound {
		t.Errorf("where money is real: %d", w.Code)
	}
}

func order() checkout.Order {
	return checkout.Order{
		ID: "ord_1", Currency: "USD", Scale: 2, CreatedAt: now, Buyer: checkout.Buyer{FirstName: "Ada", Email: "ada@example.com"},
		Lines: []checkout.OrderLine{
			{Line: checkout.Line{ID: "li_1", Title: "Report", Price: 500, Quantity: 1, Subtotal: 500, Total: 500}, Current: 1, Fulfilled: 1},
			{Line: checkout.Line{ID: "li_2", Title: "Mug", Price: 900, Quantity: 1, Subtotal: 900, Total: 900}, Current: 1},
		},
		Totals:      []checkout.Total{{Type: "subtotal", Amount: 1400}, {Type: "total", Amount: 1400}},
		Events:      []checkout.FulfillmentEvent{{Type: "shipped", Tracking: "1Z", TrackingURL: "javascript:alert(1)", Carrier: "Post"}},
		Adjustments: []checkout.Adjustment{{Type: "refund", Status: "pending", Amount: 1400}},
	}
}

func TestOrder(t *testing.T) {
	h := shop(t, session(checkout.Completed), order(), func(c *page.Config) {
		c.Receipts = func(context.Context, checkout.Order) []page.Receipt {
			return []page.Receipt{{Title: "Report", Opens: "https://api.example/v1/reports/{id}", Token: "ey.abc.def", Expires: now.Add(time.Hour)}}
		}
	})
	body := do(h, "GET", "/shop/orders/ord_1").Body.String()
	for _, want := range []string{
		"ord_1", "Delivered", "On its way", "14.00 USD", "The payment is being returned", "a…@example.com", "Authorization: Bearer ey.abc.def", "Post: 1Z", "25 November 2026, 10:00 UTC",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	if strings.Contains(body, "Ada") || strings.Contains(body, "ada@") || strings.Contains(body, "javascript:") {
		t.Error(body)
	}
}

func TestG132_NothingToGuess(t *testing.T) {
	h := shop(t, session(checkout.Ready), order())
	cart := shop(t, session(checkout.Ready, func(s *checkout.Session) { s.Kind = checkout.KindCart }), order())
	for name, w := range map[string]*httptest.ResponseRecorder{
		"another checkout": do(h, "GET", "/shop/checkout/chk_2"), "another order": do(h, "GET", "/shop/orders/ord_2"),
		"a cart": do(cart, "GET", "/shop/checkout/chk_1"), "nothing": do(h, "GET", "/shop/"), "below": do(h, "GET", "/shop/orders/ord_1/x"),
		"a long id": do(h, "GET", "/shop/orders/"+strings.Repeat("x", 200)), "elsewhere": do(h, "GET", "/other/orders/ord_1"),
	} {
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "Nothing is here") {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if w := do(h, "DELETE", "/shop/orders/ord_1"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", w.Code)
	}
	if w := do(h, "HEAD", "/shop/orders/ord_1"); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
}

// What others have written stays text, and reads as it is written.
func TestG141_TextStaysText(t *testing.T) {
	const evil = `<script>alert(1)</script>"'` + "\u202e\x1b[31m\x00\u2066\u200b" + "\xff"
	s := session(checkout.Incomplete, func(s *checkout.Session) {
		s.Priced.Lines[0].Title, s.Platform.Profile = evil, "https://agent.example/"+evil
		s.Notice = []checkout.Message{{Type: checkout.TypeError, Content: evil}}
	})
	o := order()
	o.Lines[0].Title, o.Events[0].Tracking, o.Buyer.Email = evil, evil, evil+"@"+evil
	h := shop(t, s, o, func(c *page.Config) { c.Shop = evil })
	for _, path := range []string{"/shop/checkout/chk_1", "/shop/orders/ord_1"} {
		body := do(h, "GET", path).Body.String()
		if strings.Contains(body, "<script") || strings.ContainsAny(body, "\u202e\x1b\x00\u2066\u200b") || !strings.Contains(body, "&lt;script&gt;") {
			t.Errorf("%s:\n%q", path, body)
		}
	}
}
