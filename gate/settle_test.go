package gate_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"paywall/gate"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// quoted is a rail that remembers the quotes it was asked to take, and meters if it
// can.
type quoted struct {
	*paymenttest.Method

	meters bool
	mu     sync.Mutex // guards quotes
	quotes []payment.Quote
}

func (m *quoted) Offer(q payment.Quote) (payment.Offer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quotes = append(m.quotes, q)
	o, err := m.Method.Offer(q)
	o.Metered = q.Metered && m.meters
	return o, err
}

// When the money is taken is part of the quote: a route for all methods asks for
// both, each for its own requests.
func TestSettle_Quotes(t *testing.T) {
	for _, tt := range []struct {
		name, settle, pattern string
		get, post             bool
	}{
		{name: "auto", pattern: "/a", get: true, post: false},
		{name: "auto in words", settle: "auto", pattern: "/a", get: true, post: false},
		{name: "before", settle: gate.SettleBefore, pattern: "/a"},
		{name: "hold", settle: gate.SettleHold, pattern: "/a", get: true, post: true},
		{name: "metered", settle: gate.SettleMetered, pattern: "/a", get: true, post: true},
	} {
		for _, pricer := range []gate.Pricer{usd(t, "1.00 USD"), perRequest{usd(t, "1.00 USD")}} {
			t.Run(tt.name, func(t *testing.T) {
				rail := &quoted{Method: &paymenttest.Method{}, meters: true}
				voice := &spoken{}
				h := newHouse(t, speaking(voice), func(gc *gate.Config, pc *payment.Config) {
					gc.Methods, pc.Methods = []payment.Method{rail}, []payment.Method{rail}
				})
				router, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: tt.pattern, Pricer: pricer, Settle: tt.settle, Handler: h.api}})
				h.must(err)
				for method, want := range map[string]bool{"GET": tt.get, "HEAD": tt.get, "POST": tt.post, "GET again": tt.get} {
					method, _, _ = strings.Cut(method, " ")
					var got payment.Quote
					voice.asking = func(o payment.Offer) { got = o.Quote }
					if w := say(h, router, method+" /a", ""); w.Code != http.StatusPaymentRequired {
						t.Fatalf("%s: %d", method, w.Code)
					}
					if got.Hold != want || got.Metered != (tt.settle == gate.SettleMetered) || got.Amount.Units() != 100 {
						t.Errorf("%s: hold %t, metered %t", method, got.Hold, got.Metered)
					}
				}
				if len(rail.quotes) > 4 { // two to see that they can be paid, at the start
					t.Errorf("%d offers were made for one price", len(rail.quotes))
				}
			})
		}
	}
}

// perRequest hides that there is one price.
type perRequest struct{ gate.Pricer }

func TestSettle_Checked(t *testing.T) {
	rail := &quoted{Method: &paymenttest.Method{}}
	h := newHouse(t, func(gc *gate.Config, pc *payment.Config) {
		gc.Methods, pc.Methods = []payment.Method{rail}, []payment.Method{rail}
	})
	for _, tt := range []struct {
		name  string
		route gate.Route
		want  string
	}{
		{"no such time", gate.Route{Settle: "later"}, `settle "later"`},
		{"a meter that is not asked", gate.Route{Settle: gate.SettleHold, Meter: gate.Meter{Header: "X-Used"}}, "a meter is for a route"},
		{"no field", gate.Route{Settle: gate.SettleMetered, Meter: gate.Meter{Header: "X Used"}}, "not the name of a field"},
		// A ceiling is no price: a rail that can only take all of it is not asked to.
		{"a rail without a meter", gate.Route{Settle: gate.SettleMetered}, "cannot take less than was authorized"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.route.ID, tt.route.Pattern, tt.route.Pricer, tt.route.Handler = "a", "/a", usd(t, "1.00 USD"), h.api
			_, err := h.gate.Router([]gate.Route{tt.route})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if tt.name == "a rail without a meter" && !errors.Is(err, payment.ErrNotOffered) {
				t.Errorf("%v is not ErrNotOffered", err)
			}
		})
	}
}
