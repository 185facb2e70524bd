package gate

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"paywall/internal/canonical"
	"paywall/payment"
)

// exchange is one request on its way through the gate.
type exchange struct {
	g     *Gate
	w     http.ResponseWriter
	r     *http.Request
	c     canonical.Request
	route *route
	ev    Event

	now   time.Time
	body  []byte
	scope payment.Scope
	terms *terms
	// spoken is 1 and the index of the protocol whose credential was presented; 0 none.
	spoken int
	// only is the network of the client that the answer is kept for, if it is not for
	// whoever presents its credential.
	only netip.Addr
	// sale is the pack that this request has bought, drawn says that it is drawn from one.
	sale  *sale
	drawn bool
	// known says that a refusal is of an honest payer, and no guess.
	known bool
}

// ServeHTTP implements [http.Handler].
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	x := r.gate.exchange(w, req)
	defer x.end(r.gate.cfg.Now()) //nolint:contextcheck // the context is the request's
	c, err := canonical.Parse(req, r.gate.cfg.Canonical)
	if err != nil {
		x.reject(err)
		return
	}
	x.c = c
	if !r.gate.known(c.Authority) {
		x.problem(http.StatusMisdirectedRequest, "This host is not served here.")
		return
	}
	if c.Method == http.MethodOptions {
		x.options(r)
		return
	}
	x.route = r.find(c.Method, c.Path)
	if x.route == nil || r.evades(c.Method, c.Path, x.route, false) {
		x.unmatched(r)
		return
	}
	if (c.Query != "" || x.form() != "") && r.evades(c.Method, c.Path, x.route, true) && x.namesMethod() {
		return
	}
	x.serve() //nolint:contextcheck // the context is the request's
}

// Handle puts one route before a handler, for servers that route themselves.
// The route's Pattern may be empty; its Handler is h.
func (g *Gate) Handle(one Route, h http.Handler) (http.Handler, error) {
	if one.Pattern == "" {
		one.Pattern = "/**"
	}
	one.Handler = h
	c, err := g.compile(one)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange{g: g, w: w, r: r, route: c}
		defer x.observe(g.cfg.Now()) //nolint:contextcheck // the context is the request's
		canon, err := canonical.Parse(r, g.cfg.Canonical)
		if err != nil {
			x.reject(err)
			return
		}
		x.c = canon
		switch {
		case !g.known(canon.Authority):
			x.problem(http.StatusMisdirectedRequest, "This host is not served here.")
		case canon.Method == http.MethodOptions:
			x.allow(patternMethods)
		case !c.pattern.Takes(canon.Method) || !c.pattern.Match(canon.Path):
			x.problem(http.StatusNotFound, "Nothing is here.")
		default:
			x.serve() //nolint:contextcheck // the context is the request's
		}
	}), nil
}

// exchange is a new one, or one that is no longer needed.
func (g *Gate) exchange(w http.ResponseWriter, r *http.Request) *exchange {
	x, ok := g.spare.Get().(*exchange)
	if !ok {
		x = new(exchange)
	}
	*x = exchange{g: g, w: w, r: r}
	return x
}

// end tells of the exchange. One that was answered by a challenge was seen by
// nobody outside of this package, and can be used again.
func (x *exchange) end(start time.Time) {
	x.observe(start)
	if g := x.g; x.ev.Outcome == OutcomeChallenged {
		*x = exchange{}
		g.spare.Put(x)
	}
}

func (x *exchange) observe(start time.Time) {
	x.ev.Took = x.g.cfg.Now().Sub(start)
	if x.route != nil {
		x.ev.Route = x.route.ID
	}
	x.g.cfg.Observe(x.r.Context(), x.ev)
}

func (x *exchange) serve() {
	if x.route.Free {
		x.free()
		return
	}
	x.now = x.g.cfg.Processor.Now()
	bearer, protocol, n := x.presented()
	if n > 1 {
		x.refuse(&payment.Error{Kind: payment.KindBadRequest, Detail: "More than one payment was presented; present one."})
		return
	}
	// A price that is asked for costs as much with a bad credential as without one.
	if (n == 0 || !x.route.fixed()) && !x.g.limits.challenge(x.g.cfg.Client(x.r)) {
		x.limited()
		return
	}
	if !x.readBody(n > 0) {
		return
	}
	if !x.quote() {
		return
	}
	switch {
	case bearer != "":
		x.redeem(bearer)
	case protocol >= 0:
		x.pay(protocol)
	case len(x.r.Header["Sign-In-With-X"]) > 0 && x.visit():
	default:
		x.challenge()
	}
}

// presented finds what the request offers as payment: a receipt, or the one
// protocol (by index) that claims a credential. n counts all of them.
func (x *exchange) presented() (bearer string, protocol, n int) {
	protocol = -1
	for i, p := range x.g.cfg.Protocols {
		if p.Presents(x.r.Header) {
			protocol = i
			n++
		}
	}
	if x.g.cfg.Receipts != nil {
		if token, ok := x.g.cfg.Receipts.Bearer(x.r.Header); ok {
			bearer = token
			n++
		}
	}
	return bearer, protocol, n
}

// quote prices the request; false means that it was answered.
func (x *exchange) quote() bool {
	t, err := x.g.price(x)
	if err == nil {
		x.terms = t
		return true
	}
	if client, ok := errors.AsType[unpriced](err); ok {
		x.ev.Outcome = OutcomeRejected
		x.problem(http.StatusBadRequest, "This request has no price: "+client.Unpriced())
		return false
	}
	x.ev.Err = err
	x.w.Header().Set("Retry-After", "5")
	x.problem(http.StatusServiceUnavailable, "The price of this request cannot be told right now; nothing was charged.")
	return false
}

// challenge asks for payment. Nothing is stored.
func (x *exchange) challenge() {
	x.ev.Outcome = OutcomeChallenged
	if err := x.closed(); err != nil {
		x.refuse(err)
		return
	}
	x.refuse(nil)
}

// closed says why nothing is sold right now, or nil.
func (x *exchange) closed() *payment.Error {
	if x.g.cfg.Processor.Paused(x.r.Context()) != "" {
		return &payment.Error{Kind: payment.KindPaused, Detail: "The seller has paused payments; nothing was charged.", RetryAfter: time.Minute}
	}
	if behind, yes := x.g.cfg.Processor.ClockBehind(); yes {
		x.ev.Err = errors.New("the clock is behind by " + behind.String())
		return &payment.Error{Kind: payment.KindPaused, Detail: "The seller's clock is being set; nothing was charged.", RetryAfter: time.Minute}
	}
	return nil
}

// free passes the request on. Payment headers are ours alone on free routes, too.
func (x *exchange) free() {
	x.ev.Outcome = OutcomeFree
	out := x.outgoing(nil)
	fw := &plainWriter{ResponseWriter: x.w, x: x}
	fw.serve(out)
}

// redeem serves the bearer of a receipt.
func (x *exchange) redeem(token string) {
	grant, err := x.g.cfg.Receipts.Redeem(x.r.Context(), token, x.scope)
	if err != nil {
		x.refuse(err)
		return
	}
	x.ev.Payment = grant.PaymentID
	x.granted(grant)
}

// granted serves what a receipt opens.
func (x *exchange) granted(grant payment.Grant) {
	switch {
	case grant.Credit:
		x.spend(grant.PaymentID)
	case grant.Collect:
		x.collect(grant.PaymentID)
	default:
		x.serveGrant(grant)
	}
}

// serveGrant serves a request that a receipt opens.
func (x *exchange) serveGrant(grant payment.Grant) {
	x.ev.Outcome = OutcomeReceipt
	out := x.outgoing(nil)
	out.Header.Set(paymentIDField, grant.PaymentID)
	fw := &plainWriter{ResponseWriter: x.w, x: x, paid: true}
	fw.serve(out)
}

// collect serves what a payment still owes to the holder of its receipt.
func (x *exchange) collect(id string) {
	pay, err := x.g.cfg.Processor.Get(x.r.Context(), id)
	if err != nil {
		x.refuse(&payment.Error{Kind: payment.KindInternal, Detail: "The payment could not be read.", RetryAfter: time.Second, Err: err})
		return
	}
	if pay.State != payment.StateSettled || pay.Delivery == payment.DeliveryDelivered {
		x.refuse(&payment.Error{Kind: payment.KindPaymentRequired, Detail: "The receipt is used up.", PaymentID: id})
		return
	}
	if x.c.Method == http.MethodHead && pay.Scope.Method != http.MethodHead {
		// The head alone would use up what the whole was paid for.
		x.refuse(&payment.Error{Kind: payment.KindBadRequest, Detail: "This receipt collects a GET; a HEAD would use it up.", PaymentID: id})
		return
	}
	x.dispatch(pay, x.dialectFor(pay.Protocol), "")
}

func (x *exchange) dialectFor(protocol string) payment.Dialect {
	for i, p := range x.g.cfg.Protocols {
		if p.Name() == protocol {
			return x.terms.dialects[i]
		}
	}
	return nil
}

// outgoing is the canonical request for the handler, stripped of everything
// that is between the payer and us, with the payment in its context.
func (x *exchange) outgoing(pay *payment.Payment) *http.Request {
	ctx := x.r.Context()
	if pay != nil {
		ctx = payment.NewContext(ctx, *pay)
	}
	out := x.r.WithContext(ctx)
	out.Header = x.cleanRequest()
	out.URL = canonicalURL(x.c)
	out.RequestURI = x.c.Target()
	out.Trailer = nil
	switch {
	case x.body != nil && len(x.body) == 0:
		out.Body, out.ContentLength, out.TransferEncoding = http.NoBody, 0, nil
	case x.body != nil:
		out.Body, out.ContentLength, out.TransferEncoding = newBody(x.body), int64(len(x.body)), nil
	}
	if pay != nil {
		out.Header.Set(paymentIDField, pay.ID)
		if !safe(x.c.Method) {
			out.Header.Set("Idempotency-Key", pay.ID)
		}
		// A paid answer is whole: a 304 would deliver nothing for the money.
		out.Header.Del("If-None-Match")
		out.Header.Del("If-Modified-Since")
	}
	return out
}

// canonicalURL is what the canonical request asks for, and nothing else.
func canonicalURL(c canonical.Request) *url.URL {
	u := &url.URL{Path: c.Path, RawQuery: c.Query}
	if strings.IndexByte(c.Path, '%') >= 0 {
		if p, err := url.PathUnescape(c.Path); err == nil {
			u.Path, u.RawPath = p, c.Path
		}
	}
	return u
}
