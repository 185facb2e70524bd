package config

import (
	"net/http"
	"strings"
	"time"

	"paywall/money"
	"paywall/payment"
)

// price checks that a route is free, or priced by one rule, and never neither.
func (c *checker) price(at string, in *routeFile, out *Route) {
	var rules []string
	for _, key := range []string{"price", "tiers", "remote"} {
		if c.has(at + "." + key) {
			rules = append(rules, key)
		}
	}
	if in.Free {
		c.onlyPriced(at, rules)
		return
	}
	switch {
	case len(rules) == 0:
		c.fault(at, "has no price; give it price, tiers or remote, or say free: true")
	case len(rules) > 1:
		c.fault(at+"."+rules[1], "the route has %s already; keep one of price, tiers and remote", rules[0])
	case c.has(at+".when") && rules[0] != "price":
		c.fault(at+".when", "is for routes with price, which holds when no entry does")
	}
	if len(rules) > 0 {
		out.PriceLine = c.lines[at+"."+rules[0]]
	}
	if in.Price.Valid() {
		out.Price = in.Price.Amount
		c.point(out, at+".price", out.Price)
	}
	c.conditions(at+".when", in.When, out)
	if in.Tiers != nil {
		out.Tiers = c.tiers(at+".tiers", in.Tiers, out)
	}
	if in.Remote != nil {
		out.Remote = c.remote(at+".remote", in.Remote, out)
	}
	out.Terms = c.terms(at+".terms", &in.Terms, out)
}

// onlyPriced refuses what has no meaning without a payment: whoever wrote it
// meant the route to be paid for.
func (c *checker) onlyPriced(at string, rules []string) {
	if len(rules) > 0 {
		c.fault(at+".free", "the route is free and has %s; keep one of the two", rules[0])
	}
	for _, key := range []string{"when", "methods", "window", "redeliver", "accept", "pass", "terms", "settle", "meter"} {
		if c.has(at + "." + key) {
			c.fault(at+"."+key, "has no meaning on a free route; leave it out")
		}
	}
}

func (c *checker) point(out *Route, path string, a money.Amount) {
	out.Prices = append(out.Prices, PricePoint{Amount: a, Path: path, Line: lineOf(c.lines, path)})
}

func (c *checker) conditions(path string, in []whenFile, out *Route) {
	for i, w := range in {
		at := item(path, i)
		c.missing(at+".price", "write what such a request costs")
		cond := Condition{Query: w.Query, Price: w.Price.Amount}
		if len(w.Query) == 0 && len(w.Header) == 0 {
			if !c.has(at+".query") && !c.has(at+".header") {
				c.fault(at, "has no condition; give it query or header")
			}
			continue
		}
		for _, name := range sortedKeys(w.Query) {
			if name == "" {
				c.fault(at+".query", "a parameter has a name")
			}
		}
		for _, name := range sortedKeys(w.Header) {
			where := join(at+".header", name)
			canonical, ok := c.fieldName(where, name)
			if !ok {
				continue
			}
			if cond.Header == nil {
				cond.Header = map[string]string{}
			}
			switch _, twice := cond.Header[canonical]; {
			case twice:
				c.fault(where, "is given twice; names of fields are the same in upper and lower case")
			case canonical == "Authorization" || canonical == "Cookie":
				c.fault(where, "%s holds secrets; a price cannot depend on it", canonical)
			case !printable(w.Header[name]) || strings.TrimSpace(w.Header[name]) != w.Header[name]:
				c.fault(where, "has a value that no field can have: printable ASCII, without spaces at the ends")
			}
			cond.Header[canonical] = w.Header[name]
		}
		for j, earlier := range out.When {
			if contains(cond.Query, earlier.Query) && contains(cond.Header, earlier.Header) {
				c.fault(at, "is never reached: whatever matches it matches %s before; put it first", item(path, j))
				break
			}
		}
		out.When = append(out.When, cond)
		if cond.Price.Valid() {
			c.point(out, at+".price", cond.Price)
		}
	}
}

// contains reports whether all pairs of part are in whole.
func contains(whole, part map[string]string) bool {
	for k, v := range part {
		if have, ok := whole[k]; !ok || have != v {
			return false
		}
	}
	return true
}

func (c *checker) tiers(at string, in *tiersFile, out *Route) *Tiers {
	t := &Tiers{Query: in.Query, JSON: in.JSON, Unit: in.Unit.Amount, Max: int64(in.Max), Default: int64(in.Default)}
	sources := 0
	for _, key := range []string{"query", "header", "json"} {
		if c.has(at + "." + key) {
			sources++
		}
	}
	if sources != 1 {
		c.fault(at, "wants one of query, header and json, where the quantity is; there are %d", sources)
	}
	if in.Header != "" {
		if name, ok := c.fieldName(at+".header", in.Header); ok {
			t.Header = name
		}
	}
	if in.JSON != "" {
		for member := range strings.SplitSeq(in.JSON, ".") {
			if member == "" {
				c.fault(at+".json", "%s is not a path of members; write input.pages", clip(in.JSON))
				break
			}
		}
		if out.Method == http.MethodGet || out.Method == http.MethodHead {
			c.fault(at+".json", "a %s request has no body; use query or header", out.Method)
		}
	}
	switch steps, unit := c.has(at+".steps"), c.has(at+".unit"); {
	case steps == unit:
		c.fault(at, "wants either steps or unit, the price of one")
	case steps:
		c.steps(at, in, t, out)
	case unit:
		c.unit(at, t, out)
	}
	if t.Max > 0 && t.Default > t.Max {
		c.fault(at+".default", "%d is more than the largest quantity, %d", t.Default, t.Max)
	}
	return t
}

func (c *checker) steps(at string, in *tiersFile, t *Tiers, out *Route) {
	previous := int64(0)
	for i, s := range in.Steps {
		path := item(at+".steps", i)
		upTo, key := int64(s.UpTo), path+".upto"
		if !c.has(key) && i == len(in.Steps)-1 && in.Max > 0 {
			upTo, key = t.Max, at+".max"
		} else {
			c.missing(key, "write the largest quantity of the step")
		}
		c.missing(path+".price", "write what a request up to it costs")
		if upTo > 0 && upTo <= previous {
			c.fault(key, "%d does not come after %d, the step before; steps ascend", upTo, previous)
		}
		previous = max(previous, upTo)
		if !s.Price.Valid() {
			continue
		}
		if len(t.Steps) > 0 && t.Steps[0].Price.Currency() != s.Price.Currency() {
			c.fault(path+".price", "is in another currency than the first step")
		}
		t.Steps = append(t.Steps, Step{UpTo: upTo, Price: s.Price.Amount})
		c.point(out, path+".price", s.Price.Amount)
	}
	if in.Max > 0 && t.Max != previous {
		c.fault(at+".max", "%d is not where the last step ends, %d; leave one of them out", t.Max, previous)
	}
	t.Max = previous
}

func (c *checker) unit(at string, t *Tiers, out *Route) {
	c.missing(at+".max", "write the largest quantity, so that the dearest request is known")
	if !t.Unit.Valid() {
		return
	}
	c.point(out, at+".unit", t.Unit)
	if t.Max > 1 {
		most, err := t.Unit.Mul(t.Max)
		if err != nil {
			c.fault(at+".max", "%d times %s is more than can be counted", t.Max, t.Unit)
			return
		}
		c.point(out, at+".max", most)
	}
}

func (c *checker) remote(at string, in *remoteFile, out *Route) *Remote {
	r := &Remote{Timeout: time.Duration(in.Timeout), Cache: time.Duration(in.Cache)}
	c.missing(at+".url", "write the hook that is asked")
	if in.URL != "" {
		if u, ok := c.webURL(at+".url", in.URL); ok {
			if u.Scheme != "https" && !loopback(u.Hostname()) {
				c.fault(at+".url", "is plain HTTP beyond loopback, where prices could be changed on the way; write https://")
			}
			r.URL = u.String()
		}
	}
	if in.Cache >= c.in.Challenge.TTL {
		c.fault(at+".cache", "%v is not shorter than the life of a challenge, %v (challenge.ttl)", in.Cache, c.in.Challenge.TTL)
	}
	r.Headers = c.headers(at+".headers", in.Headers)
	for i, name := range in.Forward {
		if name == "" {
			continue // reported when it was read
		}
		path := item(at+".forward", i)
		canonical, ok := c.fieldName(path, name)
		switch {
		case !ok:
		case canonical == "Authorization" || canonical == "Cookie":
			c.fault(path, "%s holds the payer's secrets; the hook is not told", canonical)
		default:
			r.Forward = append(r.Forward, canonical)
		}
	}
	if in.Fallback != "refuse" && in.Fallback != "" {
		var a amount
		if err := a.set(in.Fallback); err != nil {
			c.fault(at+".fallback", "%v; or refuse", err)
		} else {
			r.Fallback = a.Amount
			c.point(out, at+".fallback", a.Amount)
		}
	}
	return r
}

// terms checks the seller's side of the charge. The fee is compared with every
// price that is known now; the method compares it again with each charge.
func (c *checker) terms(at string, in *termsFile, out *Route) payment.Terms {
	t := payment.Terms{
		Account: in.Account, OnBehalfOf: in.OnBehalfOf, Destination: in.Destination, TransferGroup: in.TransferGroup,
		StatementSuffix: in.StatementSuffix, Metadata: in.Metadata,
	}
	c.account(at+".account", in.Account)
	c.account(at+".on_behalf_of", in.OnBehalfOf)
	c.account(at+".destination", in.Destination)
	if in.Account != "" && in.Destination != "" {
		c.fault(at+".destination", "a charge is made on account or for destination, not both; keep one")
	}
	if !visible(in.TransferGroup) || len(in.TransferGroup) > maxMetadataValue {
		c.fault(at+".transfer_group", "is a word of printable ASCII")
	}
	c.statementSuffix(at+".statement_suffix", in.StatementSuffix)
	c.metadata(at+".metadata", in.Metadata)
	if !in.Fee.Valid() {
		return t
	}
	path := at + ".fee"
	if in.Account == "" && in.Destination == "" && (c.in.Methods.Stripe == nil || c.in.Methods.Stripe.Account == "") {
		c.fault(path, "is taken from a connected account; give terms.account or terms.destination")
	}
	exponent, _ := money.Exponent(in.Fee.Currency())
	fee, err := in.Fee.Rescale(exponent)
	if err != nil {
		c.fault(path, "%s is not a whole number of the smallest coin", in.Fee)
		return t
	}
	t.FeeUnits = fee.Units()
	for _, p := range out.Prices {
		order, err := fee.Cmp(p.Amount)
		switch {
		case err != nil:
			c.fault(path, "%s is in another currency than the price %s (line %d)", in.Fee, p.Amount, p.Line)
			return t
		case order > 0:
			c.fault(path, "%s is more than the price %s (line %d)", in.Fee, p.Amount, p.Line)
			return t
		}
	}
	return t
}
