package config

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"paywall/internal/pattern"
	"paywall/payment"
)

const (
	// maxRoutes bounds the comparison of every route with every other.
	maxRoutes     = 1000
	maxRouteText  = 200
	maxMethodName = 20
)

// compared is a route whose pattern could be read.
type compared struct {
	at      string
	pattern pattern.Pattern
}

func (c *checker) routes() {
	if len(c.in.Routes) == 0 && c.in.Shop != nil {
		return // a shop alone
	}
	if len(c.in.Routes) == 0 {
		c.missing("routes", "say what is sold, with match, upstream and price, or free: true")
		return
	}
	if len(c.in.Routes) > maxRoutes {
		c.fault("routes", "there are %d; at most %d are compared with each other", len(c.in.Routes), maxRoutes)
		return
	}
	var all []compared
	ids := map[string]string{}
	priced := false
	for i := range c.in.Routes {
		in, at := &c.in.Routes[i], item("routes", i)
		out := c.route(at, in)
		priced = priced || !out.Free
		if in.Match != "" {
			if p, err := parsePattern(in.Match); err != nil {
				c.fault(at+".match", "%v", err)
			} else {
				out.Method, out.Path = p.Method, p.Path()
				c.openDoor(at, &out, p)
				c.hidden(at, p)
				c.compare(all, at, p)
				all = append(all, compared{at, p})
				c.name(ids, at, in.ID, &out, p)
			}
		}
		c.price(at, in, &out)
		if !out.Free {
			out.Window = c.window(in, out.Method)
			c.redelivery(at, in, &out)
		}
		c.out.Routes = append(c.out.Routes, out)
	}
	if priced && len(c.out.Methods.Names()) == 0 && !c.has("methods.stripe") && !c.has("methods.facilitator") {
		c.fault("methods", "is missing, so that nothing can be paid; set up methods.stripe or methods.facilitator")
	}
}

// route checks what does not depend on the pattern or the price.
func (c *checker) route(at string, in *routeFile) Route {
	out := Route{
		Match: in.Match, Upstream: in.Upstream, Free: in.Free, Description: in.Description,
		Redeliver: in.Redeliver, Methods: in.Methods, BodyLimit: int64(in.BodyLimit), Line: c.lines[at],
	}
	c.missing(at+".match", "write a method and a path, as GET /v1/reports/{id}")
	if _, known := c.in.Upstreams[in.Upstream]; in.Upstream != "" && !known {
		names := sortedKeys(c.in.Upstreams)
		if meant := nearest(in.Upstream, names); meant != "" {
			c.fault(at+".upstream", "%s is not under upstreams; was %s meant?", clip(in.Upstream), meant)
		} else {
			c.fault(at+".upstream", "%s is not under upstreams; there are %s", clip(in.Upstream), orNone(names))
		}
	}
	c.missing(at+".upstream", "name one of upstreams")
	if len(in.Description) > maxRouteText || !printable(in.Description) {
		c.fault(at+".description", "has at most %d characters of printable ASCII, which wallets show", maxRouteText)
	}
	c.settle(at, in, &out)
	for i, name := range in.Methods {
		path := item(at+".methods", i)
		switch {
		case name == "": // reported when it was read
		case slices.Contains(in.Methods[:i], name):
			c.fault(path, "%s is given twice", clip(name))
		case !slices.Contains(c.out.Methods.Names(), name):
			c.fault(path, "%s is not set up under methods", clip(name))
		}
	}
	for i, status := range in.Accept {
		path := item(at+".accept", i)
		switch {
		case status == http.StatusUnauthorized || status == http.StatusPaymentRequired || status == http.StatusProxyAuthRequired ||
			status == http.StatusTooManyRequests || status < 300 || status > 499:
			c.fault(path, "%v cannot count as delivered; 3xx and 4xx can, but not 401, 402, 407 and 429", status)
		case slices.Contains(in.Accept[:i], status):
			c.fault(path, "%v is given twice", status)
		default:
			out.Accept = append(out.Accept, int(status))
		}
	}
	if in.Pass != nil {
		out.Pass = payment.Pass{Uses: int(in.Pass.Uses), For: time.Duration(in.Pass.For)}
		if out.Pass == (payment.Pass{}) && !c.has(at+".pass.uses") && !c.has(at+".pass.for") {
			c.fault(at+".pass", "wants uses, for, or both")
		}
	}
	c.credit(at, in, &out)
	return out
}

// credit checks what a route says of packs.
func (c *checker) credit(at string, in *routeFile, out *Route) {
	if in.Credit == nil {
		return
	}
	at += ".credit"
	out.Credit = &RouteCredit{Pack: in.Credit.Pack.Amount, For: time.Duration(in.Credit.For)}
	c.missing(at+".pack", "write what a pack costs, as 5.00 USD")
	switch {
	case in.Free:
		c.fault(at, "is for routes with a price")
	case in.Pass != nil:
		c.fault(at, "and pass exclude each other: the receipt spends the credit")
	case in.Settle != "auto" && in.Settle != "before":
		c.fault(at, "is taken before the request; leave settle out")
	}
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	if len(names) > maxMethodName {
		return strings.Join(names[:maxMethodName], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// openDoor warns of a free route that takes everything not priced.
func (c *checker) openDoor(at string, r *Route, p pattern.Pattern) {
	if r.Free && p.Segments[0].Kind == pattern.Rest {
		c.warn(at+".match", "every request that no other route prices is FREE and reaches %s", clip(r.Upstream))
	}
}

// own are the paths that the server answers itself, before any route.
var own = []string{
	"/openapi.json", "/llms.txt", "/.well-known/jwks.json", "/.well-known/did.json", "/healthz", "/readyz",
	"/payments/{id}", "/webhooks/{method}", "/x402/{call}", "/discovery/resources",
}

// ownOfShop are further ones where there is a shop.
var ownOfShop = []string{"/.well-known/ucp", "/.well-known/ucp/{version}", "/ucp/{rest...}", "/shop/{rest...}"}

// hidden finds routes that no request can reach.
func (c *checker) hidden(at string, p pattern.Pattern) {
	paths := own
	if c.in.Shop != nil {
		paths = slices.Concat(own, ownOfShop)
	}
	for _, path := range paths {
		if o, err := parsePattern(path); err == nil && p.Within(o) {
			c.fault(at+".match", "is hidden: the server answers %s itself; serve the route under another path", path)
		}
	}
}

// compare finds routes that share requests without an order between them.
func (c *checker) compare(before []compared, at string, p pattern.Pattern) {
	for _, other := range before {
		if pattern.Relate(other.pattern, p) != pattern.Ambiguous {
			continue
		}
		advice := "change one so that its requests are all among the other's"
		if other.pattern.Within(p) && p.Within(other.pattern) {
			advice = "keep one"
		}
		c.fault(at+".match", "some requests match this and %s (%s, line %d), and neither is the more specific; %s",
			other.at, other.pattern, c.lines[other.at], advice)
		return // one clash is enough to show
	}
}

var routeID = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// name gives the route its id. One that is made up is never numbered: an id
// stays with payments, and must not move when routes change places.
func (c *checker) name(ids map[string]string, at, in string, r *Route, p pattern.Pattern) {
	r.ID = in
	path := at + ".id"
	if in == "" {
		if c.has(path) {
			return // reported when it was read
		}
		r.ID = idOf(p)
	}
	switch first := ids[r.ID]; {
	case !routeID.MatchString(r.ID) && in == "":
		c.fault(path, "cannot be made from match; give one of 1 to 64 of a-z 0-9 . _ -")
	case !routeID.MatchString(r.ID):
		c.fault(path, "%s is not an id; it is 1 to 64 of a-z 0-9 . _ - and begins with a letter or digit", clip(r.ID))
	case first != "" && in == "":
		c.fault(path, "%s, made from match, is the id of %s; give this route another id", r.ID, first)
	case first != "":
		c.fault(path, "%s is the id of %s too; choose another", r.ID, first)
	}
	ids[r.ID] = at
}

func (c *checker) window(in *routeFile, method string) time.Duration {
	read, write := time.Duration(c.in.Window.Read), time.Duration(c.in.Window.Write)
	switch {
	case in.Window > 0:
		return time.Duration(in.Window)
	case method == http.MethodGet || method == http.MethodHead:
		return read
	case method == "":
		return max(read, write)
	}
	return write
}

func (c *checker) redelivery(at string, in *routeFile, out *Route) {
	changes := out.Method == http.MethodPost || out.Method == http.MethodPatch || out.Method == ""
	if in.Redeliver != nil && *in.Redeliver && changes && !c.in.Upstreams[in.Upstream].Dedupes {
		c.warn(at+".redeliver", "the upstream may see one paid request twice; say upstreams.%s.dedupes: true if it tells them apart by Paywall-Payment-Id", in.Upstream)
	}
}
