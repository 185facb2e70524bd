package gate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"paywall/internal/pattern"
	"paywall/money"
	"paywall/payment"
)

// Route is one line of the price table.
type Route struct {
	// ID names the route in payments, logs and metrics: 1 to 64 of a-z 0-9 . _ -
	ID string
	// Pattern is "GET /v1/reports/{id}": an optional method (GET covers HEAD)
	// and a path, where "*" or "{name}" stand for one segment, "*" within a
	// segment for any characters, and a last "**" or "{name...}" for the rest.
	Pattern string
	// Free routes are passed on unpriced. A route is free or has a Pricer.
	Free   bool
	Pricer Pricer
	// Methods restricts and orders the ways to pay by name; empty is all of the gate's.
	Methods     []string
	Description string
	Terms       payment.Terms
	// Window is how long the payer may come back; zero is 24 h for GET and HEAD, 15 min otherwise.
	Window time.Duration
	// Redeliver says that the request may be sent to the upstream again after an
	// unclear failure; nil is by the HTTP method: GET, HEAD, PUT and DELETE may.
	Redeliver *bool
	// Settle is when the money is taken, one of the constants Settle…; Meter says how
	// much of it with [SettleMetered].
	Settle string
	Meter  Meter
	// Pass is what the receipt opens beyond the paid request.
	Pass payment.Pass
	// Credit, if its Pack is an amount, sells credit instead of requests, which draw on it.
	// It takes the place of Settle and Pass.
	Credit Credit
	// Accept are statuses besides 2xx that count as delivered.
	Accept []int
	// Body bounds a request body in bytes; zero is the gate's limit.
	Body int64
	// Handler answers the request once it is paid.
	Handler http.Handler
}

// Credit is sold in packs, for prices that no rail takes by themselves.
type Credit struct {
	// Pack is the price of one, which every price of the route is below.
	Pack money.Amount
	// For is how long it can be used; zero is [CreditFor].
	For time.Duration
}

// CreditFor is how long credit can be used where nothing else is said.
const CreditFor = 365 * 24 * time.Hour

func (c Credit) sold() bool { return c.Pack.IsPositive() }

// Pricer quotes requests.
type Pricer interface {
	// Quote prices the canonical request r; body is its body, or nil when there
	// is none. Of the quote only Amount, Version and Description are read.
	// An error that says Unpriced() is the client's fault and its text is shown to
	// it (400); any other is the rule's own failure (503).
	Quote(ctx context.Context, r *http.Request, body []byte) (payment.Quote, error)
	// Prices lists the amounts it can come to, as far as they are known before a
	// request, for documents and for the check that each can be paid; empty is unknown.
	Prices() []money.Amount
}

// unpriced is an error for a request that a rule cannot price: the client's fault.
type unpriced interface {
	error
	Unpriced() string
}

var routeID = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// quotesKept bounds the rendered offers of a route with a price per request.
const quotesKept = 256

// route is a compiled [Route].
type route struct {
	Route

	pattern pattern.Pattern
	methods []payment.Method
	// static holds the terms of the only price, when there is one: paid before, and
	// held. A route may have use for one of them alone.
	static [2]*terms
	// rendered holds the terms of other prices by what tells them apart.
	rendered *lru.Cache[quoteKey, *terms]
	once     sync.Mutex // guards rendering, so that one price is rendered once
}

type quoteKey struct {
	amount               money.Amount
	version, description string
	hold                 bool
}

// terms are the rendered offers of one quote.
type terms struct {
	quote  payment.Quote
	offers []payment.Offer
	// draw is what a request takes from credit, where offers are of packs of it.
	draw     *payment.Offer
	dialects []payment.Dialect // by index of Config.Protocols; nil where it has none
	// explainers are those dialects that say more than Dialect does, by the same index.
	explainers []payment.Explainer
	// doors are those dialects that let payers come back.
	doors []payment.SignIn
	// body is the answer to an unpaid request, with its Content-Length.
	body       []byte
	bodyLength []string
}

func (g *Gate) compile(r Route) (*route, error) {
	p, err := parsePattern(r.Pattern)
	if err != nil {
		return nil, fmt.Errorf("route %s: %w", r.ID, err)
	}
	c := &route{Route: r, pattern: p}
	switch {
	case !routeID.MatchString(r.ID):
		return nil, fmt.Errorf("route %q: the id must be 1 to 64 of a-z 0-9 . _ -", r.ID)
	case r.Handler == nil:
		return nil, fmt.Errorf("route %s: no handler", r.ID)
	case r.Free && r.Pricer != nil:
		return nil, fmt.Errorf("route %s: it is free and has a price; leave one out", r.ID)
	case r.Free && r.Credit.sold():
		return nil, fmt.Errorf("route %s: it is free and sells credit; leave one out", r.ID)
	case !r.Free && r.Pricer == nil:
		return nil, fmt.Errorf("route %s: it has no price; give it one or say that it is free", r.ID)
	}
	if r.Free {
		return c, nil
	}
	if err := c.checkSettle(); err != nil {
		return nil, err
	}
	if err := g.checkCredit(c); err != nil {
		return nil, err
	}
	if c.methods, err = g.methodsOf(r); err != nil {
		return nil, err
	}
	if c.rendered, err = lru.New[quoteKey, *terms](quotesKept); err != nil {
		return nil, fmt.Errorf("route %s: %w", r.ID, err)
	}
	// Every price that is known now must be payable now: a route that nobody can
	// pay for is found at start-up, not by its first customer.
	prices := r.Pricer.Prices()
	_, fixed := r.Pricer.(interface{ Fixed() })
	for _, amount := range prices {
		for _, hold := range c.holdings() {
			t, err := g.render(c, payment.Quote{Amount: amount, Hold: hold})
			if err != nil {
				return nil, err
			}
			if fixed && len(prices) == 1 {
				c.static[slot(hold)] = t
			}
		}
	}
	return c, nil
}

// fixed reports whether there is one price, whatever the request.
func (c *route) fixed() bool { return c.static != [2]*terms{} }

func slot(hold bool) int {
	if hold {
		return 1
	}
	return 0
}

func (g *Gate) methodsOf(r Route) ([]payment.Method, error) {
	if len(r.Methods) == 0 {
		return g.cfg.Methods, nil
	}
	var ms []payment.Method
	for _, name := range r.Methods {
		i := slices.IndexFunc(g.cfg.Methods, func(m payment.Method) bool { return m.Name() == name })
		if i < 0 {
			return nil, fmt.Errorf("route %s: payment method %q is not configured", r.ID, name)
		}
		ms = append(ms, g.cfg.Methods[i])
	}
	return ms, nil
}

// render states and encodes the offers of a quote.
func (g *Gate) render(c *route, q payment.Quote) (*terms, error) {
	if !q.Amount.IsPositive() {
		return nil, fmt.Errorf("route %s: %s is not a price", c.ID, q.Amount)
	}
	q.Route, q.Terms, q.Metered = c.ID, c.Terms, c.Settle == SettleMetered
	if q.Description == "" {
		q.Description = c.Description
	}
	offered, draw, err := g.packOf(c, q)
	if err != nil {
		return nil, err
	}
	t := &terms{quote: q, draw: draw, dialects: make([]payment.Dialect, len(g.cfg.Protocols))}
	var why []error
	for _, m := range c.methods {
		o, err := m.Offer(offered)
		if err != nil {
			why = append(why, fmt.Errorf("%s: %w", m.Name(), err))
			continue
		}
		if offered.Metered && !o.Metered {
			// The price is a ceiling: a rail that can only take all of it takes too much.
			why = append(why, fmt.Errorf("%s: it cannot take less than was authorized: %w", m.Name(), payment.ErrNotOffered))
			continue
		}
		t.offers = append(t.offers, o)
	}
	if len(t.offers) == 0 {
		return nil, fmt.Errorf("route %s: no payment method can take %s: %w", c.ID, offered.Amount, errors.Join(why...))
	}
	some := false
	for i, p := range g.cfg.Protocols {
		d, err := p.Compile(g.cfg.Realm, offersOf(t.offers, p.Name()))
		if err != nil {
			why = append(why, err)
			continue
		}
		t.dialects[i], some = d, true
	}
	if !some {
		return nil, fmt.Errorf("route %s: no protocol can state the offers for %s: %w", c.ID, offered.Amount, errors.Join(why...))
	}
	t.prepare()
	return t, nil
}

// offersOf are those that the protocol may carry.
func offersOf(all []payment.Offer, protocol string) []payment.Offer {
	var some []payment.Offer
	for _, o := range all {
		if o.Protocol == "" || o.Protocol == protocol {
			some = append(some, o)
		}
	}
	return some
}

// price quotes a request and returns the rendered terms.
func (g *Gate) price(x *exchange) (*terms, error) {
	c := x.route
	hold := c.holds(x.c.Method)
	if c.fixed() {
		return c.static[slot(hold)], nil
	}
	r := x.r.WithContext(x.r.Context())
	// Priced is what the handler will see: a field that does not reach it must not
	// make the request cheaper.
	r.URL, r.Header = canonicalURL(x.c), x.cleanRequest()
	q, err := c.Pricer.Quote(r.Context(), r, x.body)
	if err != nil {
		return nil, err //nolint:wrapcheck // the edge classes it
	}
	q.Hold = hold
	key := quoteKey{q.Amount, q.Version, q.Description, hold}
	if t, ok := c.rendered.Get(key); ok {
		return t, nil
	}
	c.once.Lock()
	defer c.once.Unlock()
	if t, ok := c.rendered.Get(key); ok {
		return t, nil
	}
	t, err := g.render(c, q)
	if err != nil {
		return nil, err
	}
	c.rendered.Add(key, t)
	return t, nil
}

// safe reports whether the HTTP method has no effect by definition.
func safe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// idempotent reports whether the request may be sent to the upstream again.
func (c *route) idempotent(method string) bool {
	if c.Redeliver != nil {
		return *c.Redeliver
	}
	return safe(method) || method == http.MethodPut || method == http.MethodDelete
}

func (c *route) window(method string) time.Duration {
	switch {
	case c.Window > 0:
		return c.Window
	case safe(method):
		return 24 * time.Hour
	default:
		return 15 * time.Minute
	}
}

func (c *route) accepts(status int) bool {
	return status >= 200 && status < 300 || slices.Contains(c.Accept, status)
}
