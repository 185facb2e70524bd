package checkout

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"paywall/money"
)

// ShopError is one thing that is wrong with a shop. Path names it, as
// "products[2].variants[0].price".
type ShopError struct{ Path, Problem string }

func (e *ShopError) Error() string { return e.Path + ": " + e.Problem }

// Bounds of a shop. Texts are in bytes.
const (
	maxVariants    = 1_000_000
	maxTitle       = 200
	maxDescription = 5_000
	maxOfOne       = 100 // variants, categories, options and grants of one thing
	maxRules       = 1_000
	maxPasses      = 1_000_000
)

var (
	itemID   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$`)
	codeText = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	country  = regexp.MustCompile(`^[A-Z]{2}$`)
	region   = regexp.MustCompile(`^[A-Z0-9]{1,3}$`)
	linkType = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
)

// NewShop checks a shop and makes it ready to be asked. Errors are *[ShopError]s,
// joined.
func NewShop(s Shop) (*Shop, error) {
	c := shopChecker{s: &s}
	c.shop()
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return &s, nil
}

// Variant finds what can be bought by its id.
func (s *Shop) Variant(id string) (Product, Variant, bool) {
	at, ok := s.variants[id]
	if !ok {
		return Product{}, Variant{}, false
	}
	p := s.Products[at.product]
	return p, p.Variants[at.variant], true
}

// Product finds a product by its id, or by that of one of its variants.
func (s *Shop) Product(id string) (Product, bool) {
	if i, ok := s.products[id]; ok {
		return s.Products[i], true
	}
	at, ok := s.variants[id]
	if !ok {
		return Product{}, false
	}
	return s.Products[at.product], true
}

type shopChecker struct {
	s    *Shop
	errs []error
}

func (c *shopChecker) fault(path, format string, args ...any) {
	const most = 20
	if len(c.errs) < most {
		c.errs = append(c.errs, &ShopError{path, fmt.Sprintf(format, args...)})
	}
}

func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func (c *shopChecker) shop() {
	s := c.s
	if exponent, known := money.Exponent(s.Currency); !known || exponent != s.Scale || s.Currency != strings.ToUpper(s.Currency) {
		c.fault("currency", "%.20q with %d decimals is not a currency", s.Currency, s.Scale)
	}
	if len(s.Products) == 0 {
		c.fault("products", "there are none")
	}
	s.variants, s.products = map[string]place{}, map[string]int{}
	s.index = make([]entry, 0, len(s.Products))
	for i := range s.Products {
		c.product(at("products", i), i)
	}
	if len(s.variants) > maxVariants {
		c.fault("products", "there are more than %d variants", maxVariants)
	}
	c.discounts()
	c.taxes()
	c.delivery()
	for i, l := range s.Links {
		path := at("links", i)
		if !linkType.MatchString(l.Type) {
			c.fault(path+".type", "%.40q is not a type; write terms_of_service, privacy_policy, refund_policy, shipping_policy or faq", l.Type)
		}
		c.url(path+".url", l.URL, true)
		c.text(path+".title", l.Title, maxTitle, false)
	}
}

func (c *shopChecker) product(path string, i int) {
	p := &c.s.Products[i]
	if c.id(path+".id", p.ID) {
		if _, twice := c.s.products[p.ID]; twice {
			c.fault(path+".id", "%s is the id of another product", p.ID)
		}
		c.s.products[p.ID] = i
	}
	c.text(path+".title", p.Title, maxTitle, true)
	c.text(path+".description", p.Description, maxDescription, false)
	c.url(path+".url", p.URL, false)
	c.url(path+".image", p.Image, false)
	c.few(path+".categories", len(p.Categories))
	for j, name := range p.Categories {
		c.text(at(path+".categories", j), name, maxTitle, true)
	}
	if len(p.Variants) == 0 {
		c.fault(path+".variants", "there is none")
	}
	c.few(path+".variants", len(p.Variants))
	for j := range p.Variants {
		c.variant(at(path+".variants", j), i, j)
	}
	c.s.index = append(c.s.index, indexed(p))
}

func (c *shopChecker) variant(path string, i, j int) {
	v := &c.s.Products[i].Variants[j]
	if c.id(path+".id", v.ID) {
		if _, twice := c.s.variants[v.ID]; twice {
			c.fault(path+".id", "%s is the id of another variant", v.ID)
		}
		c.s.variants[v.ID] = place{i, j}
	}
	c.text(path+".title", v.Title, maxTitle, true)
	c.text(path+".description", v.Description, maxDescription, false)
	c.text(path+".sku", v.SKU, maxTitle, false)
	c.url(path+".image", v.Image, false)
	c.amount(path+".price", v.Price)
	if v.Stock != nil {
		c.amount(path+".stock", *v.Stock)
	}
	c.amount(path+".limit", v.Limit)
	c.few(path+".options", len(v.Options))
	for k, o := range v.Options {
		c.text(at(path+".options", k), o.Name, maxTitle, true)
		c.text(at(path+".options", k), o.Value, maxTitle, true)
	}
	if v.TaxClass != "" && !itemID.MatchString(v.TaxClass) {
		c.fault(path+".tax_class", "%.40q is not a name of letters, digits and . _ : -", v.TaxClass)
	}
	c.few(path+".opens", len(v.Grants))
	for k, g := range v.Grants {
		c.grant(at(path+".opens", k), g)
	}
	if len(v.Grants) > 0 && !v.Digital {
		c.fault(path+".opens", "is for digital goods")
	}
	if len(v.Grants) > 1 && slices.ContainsFunc(v.Grants, func(g Grant) bool { return g.Pass.Credit }) {
		c.fault(path+".opens", "buys credit for one route, or opens several, and not both")
	}
}

func (c *shopChecker) grant(path string, g Grant) {
	if g.Route == "" || len(g.Route) > maxTitle {
		c.fault(path+".route", "names no route")
	}
	if g.Pass.Uses < 0 || g.Pass.For < 0 || g.Pass.Uses == 0 && g.Pass.For == 0 || g.Pass.Uses > maxPasses || g.Pass.Credit && g.Pass.Uses > 0 {
		c.fault(path, "opens nothing; it has uses (at most %d), a time, or both", maxPasses)
	}
}

func (c *shopChecker) discounts() {
	if len(c.s.Discounts) > maxRules {
		c.fault("discounts", "there are more than %d", maxRules)
	}
	codes := map[string]bool{}
	for i, d := range c.s.Discounts {
		path := at("discounts", i)
		code := strings.ToLower(d.Code)
		switch {
		case d.Code != "" && !codeText.MatchString(d.Code):
			c.fault(path+".code", "%.40q is not 1 to 64 letters, digits and . _ -", d.Code)
		case d.Code != "" && codes[code]:
			c.fault(path+".code", "%s is the code of another; upper and lower case are the same", d.Code)
		}
		codes[code] = true
		c.text(path+".title", d.Title, maxTitle, true)
		if (d.BasisPoints > 0) == (d.Amount > 0) || d.BasisPoints < 0 || d.Amount < 0 || d.BasisPoints > 10_000 || d.Amount > MaxUnits {
			c.fault(path, "takes off either a share of at most 100 %% or an amount")
		}
		c.amount(path+".minimum", d.Minimum)
		for j, id := range d.Variants {
			if _, ok := c.s.variants[id]; !ok {
				c.fault(at(path+".variants", j), "%.80q is no variant", id)
			}
		}
		if !d.Starts.IsZero() && !d.Ends.IsZero() && !d.Starts.Before(d.Ends) {
			c.fault(path+".ends", "is not after starts")
		}
	}
}

func (c *shopChecker) taxes() {
	if len(c.s.Taxes) > maxRules {
		c.fault("taxes", "there are more than %d", maxRules)
	}
	type key struct{ country, region, class string }
	seen := map[key]bool{}
	for i, t := range c.s.Taxes {
		path := at("taxes", i)
		c.place(path, t.Country, t.Region)
		if t.Rate < 0 || t.Rate > 1_000_000 {
			c.fault(path+".percent", "is not from 0 to 100 percent")
		}
		k := key{t.Country, t.Region, t.Class}
		if seen[k] {
			c.fault(path, "is for the same place and class as another")
		}
		seen[k] = true
	}
}

func (c *shopChecker) delivery() {
	if len(c.s.Shipping) > maxRules || len(c.s.Locations) > maxRules {
		c.fault("shipping", "there are more than %d", maxRules)
	}
	seen := map[string]bool{}
	for i, r := range c.s.Shipping {
		path := at("shipping", i)
		if c.id(path+".id", r.ID) && seen[r.ID] {
			c.fault(path+".id", "%s is the id of another", r.ID)
		}
		seen[r.ID] = true
		c.text(path+".title", r.Title, maxTitle, true)
		c.text(path+".carrier", r.Carrier, maxTitle, false)
		c.amount(path+".price", r.Price)
		c.amount(path+".per_item", r.PerItem)
		c.amount(path+".free_from", r.FreeFrom)
		for j, name := range r.Countries {
			if !country.MatchString(name) {
				c.fault(at(path+".countries", j), "%.20q is not a country of two capital letters, as US", name)
			}
		}
		for j, name := range r.Regions {
			if first, second, ok := strings.Cut(name, "-"); !ok || !country.MatchString(first) || !region.MatchString(second) {
				c.fault(at(path+".regions", j), "%.20q is not a region, as US-CA", name)
			}
		}
		if r.MinDays < 0 || r.MaxDays < r.MinDays || r.MaxDays > 3650 {
			c.fault(path+".days", "is not a number of days, or two in order")
		}
	}
	for i, l := range c.s.Locations {
		path := at("locations", i)
		if c.id(path+".id", l.ID) && seen[l.ID] {
			c.fault(path+".id", "%s is the id of another", l.ID)
		}
		seen[l.ID] = true
		c.text(path+".name", l.Name, maxTitle, true)
		c.place(path, l.Address.Country, l.Address.Region)
	}
}

func (c *shopChecker) place(path, in, part string) {
	switch {
	case in != "" && !country.MatchString(in):
		c.fault(path+".country", "%.20q is not a country of two capital letters, as US", in)
	case part != "" && in == "":
		c.fault(path+".region", "has no country")
	case part != "" && !region.MatchString(part):
		c.fault(path+".region", "%.20q is not a region of up to three capital letters and digits, as CA", part)
	}
}

func (c *shopChecker) id(path, id string) bool {
	if !itemID.MatchString(id) {
		c.fault(path, "%.80q is not an id of 1 to 64 letters, digits and . _ : - that begins with a letter or digit", id)
		return false
	}
	return true
}

func (c *shopChecker) amount(path string, units int64) {
	if units < 0 || units > MaxUnits {
		c.fault(path, "%d is not from 0 to %d", units, int64(MaxUnits))
	}
}

func (c *shopChecker) few(path string, n int) {
	if n > maxOfOne {
		c.fault(path, "there are more than %d", maxOfOne)
	}
}

func (c *shopChecker) text(path, s string, limit int, required bool) {
	switch {
	case s == "" && required:
		c.fault(path, "is missing")
	case len(s) > limit:
		c.fault(path, "is longer than %d bytes", limit)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		c.fault(path, "is not text on one line")
	}
}

func (c *shopChecker) url(path, s string, required bool) {
	if s == "" && !required {
		return
	}
	u, err := url.Parse(s)
	if err != nil || !slices.Contains([]string{"https", "http"}, u.Scheme) || u.Host == "" || u.User != nil || len(s) > 2000 {
		c.fault(path, "%.80q is not a URL; write https://…", s)
	}
}
