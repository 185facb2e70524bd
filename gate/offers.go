package gate

import (
	"net/http"

	"paywall/payment"
)

// Offering is a priced route whose price is known before a request.
type Offering struct {
	// Route is its id.
	Route string
	// Method and Pattern are what is asked for; a route for all methods is listed with
	// its GET. Pattern is the path of [Route.Pattern].
	Method, Pattern string
	Description     string
	Offers          []payment.Offer
	// Dialects state the offers, one for each protocol that can.
	Dialects []payment.Dialect
}

// Offers lists the routes of one price, in the table's order.
func (r *Router) Offers() []Offering {
	var out []Offering
	for _, c := range r.priced {
		method := c.pattern.Method
		if method == "" {
			method = http.MethodGet
		}
		t := c.static[slot(c.holds(method))]
		if t == nil {
			continue
		}
		o := Offering{Route: c.ID, Method: method, Pattern: c.pattern.Path(), Description: t.quote.Description, Offers: t.offers}
		for _, d := range t.dialects {
			if d != nil {
				o.Dialects = append(o.Dialects, d)
			}
		}
		out = append(out, o)
	}
	return out
}
