package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"paywall/checkout"
	"paywall/internal/config"
	"paywall/money"
	"paywall/payment"
)

// maxBytes is the largest file that is read.
const maxBytes = 32 << 20

// Options are what a catalog is read with.
type Options struct {
	// Currency is used where the file names none; empty is USD.
	Currency string
	// Base has what a CSV file or the processor cannot say: currency, discounts, taxes,
	// shipping, pickup and links. Its products are not used.
	Base *checkout.Shop
	// CreditRoutes are the ids of those that sell credit.
	CreditRoutes []string
	// RoutePrice is the price of a priced route, which a variant that opens it costs
	// when it names no price of its own; false when there is no such route, or its price
	// is not one amount. Nil knows no routes.
	RoutePrice func(route string) (money.Amount, bool)
	// Routes are the ids of the priced routes, for advice.
	Routes []string
}

// Load reads the catalog at path: CSV by its name, YAML otherwise. What is wrong with
// the content is all in one [config.Errors], each with its line.
func Load(path string, o Options) (*checkout.Shop, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	return Parse(path, data, o)
}

// LoadTerms reads a file that has everything but products, as a base for catalogs that
// have only them.
func LoadTerms(path string, o Options) (*checkout.Shop, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	r := reader{o: o, at: map[string]string{}}
	r.sheet = config.Read(path, data, maxBytes, &r.in)
	if err := r.sheet.Err(); err != nil {
		return nil, err //nolint:wrapcheck // it names the lines
	}
	if len(r.in.Products) > 0 {
		r.sheet.Fault("products", "are those of the catalog; here is the rest")
	}
	r.out.Currency, r.out.Scale = r.currency(), r.scale()
	r.terms()
	sum := sha256.Sum256(data)
	r.out.Version = hex.EncodeToString(sum[:8])
	return &r.out, r.sheet.Err() //nolint:wrapcheck // it names the lines
}

// Parse is [Load] for a file that was read.
func Parse(name string, data []byte, o Options) (*checkout.Shop, error) {
	if strings.EqualFold(filepath.Ext(name), ".csv") {
		return parseCSV(name, data, o)
	}
	r := reader{o: o}
	r.sheet = config.Read(name, data, maxBytes, &r.in)
	if err := r.sheet.Err(); err != nil {
		return nil, err //nolint:wrapcheck // it names the lines
	}
	return r.shop(data)
}

// reader makes a shop of what was read, or says what is wrong with it.
type reader struct {
	o     Options
	sheet *config.Sheet
	in    file
	out   checkout.Shop
	// at is where a path of the shop stands in the file.
	at map[string]string
}

func (r *reader) shop(data []byte) (*checkout.Shop, error) {
	r.at = map[string]string{}
	r.out.Currency = r.currency()
	exponent, known := money.Exponent(r.out.Currency)
	if !known {
		r.sheet.Fault("currency", "%.20q is not a currency; write an ISO 4217 code, as USD", r.out.Currency)
		return nil, r.sheet.Err() //nolint:wrapcheck // it names the lines
	}
	r.out.Scale = exponent
	for i, p := range r.in.Products {
		r.product(i, p)
	}
	if b := r.o.Base; b != nil {
		r.out.Discounts, r.out.Taxes, r.out.Shipping, r.out.Locations, r.out.Links = b.Discounts, b.Taxes, b.Shipping, b.Locations, b.Links
	}
	r.terms()
	if err := r.sheet.Err(); err != nil {
		return nil, err //nolint:wrapcheck // it names the lines
	}
	sum := sha256.New()
	sum.Write(data)
	if r.o.Base != nil {
		sum.Write([]byte(r.o.Base.Version))
	}
	// A price that comes from a route changes with it.
	for _, p := range r.out.Products {
		for _, v := range p.Variants {
			sum.Write([]byte(strconv.FormatInt(v.Price, 10) + "\n"))
		}
	}
	r.out.Version = hex.EncodeToString(sum.Sum(nil)[:8])
	shop, err := checkout.NewShop(r.out)
	if err != nil {
		r.faults(err)
		return nil, r.sheet.Err() //nolint:wrapcheck // it names the lines
	}
	return shop, nil
}

// faults puts what a shop refuses where it stands in the file.
func (r *reader) faults(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			r.faults(one)
		}
		return
	}
	var se *checkout.ShopError
	if !errors.As(err, &se) {
		r.sheet.Fault("", "%v", err)
		return
	}
	r.sheet.Fault(r.place(se.Path), "%s", se.Problem)
}

// place is where a path of the shop, as products[2].variants[0].price, stands in the file.
func (r *reader) place(path string) string {
	for head := path; head != ""; head = head[:max(0, strings.LastIndexAny(head, ".["))] {
		if at, ok := r.at[head]; ok {
			return at + path[len(head):]
		}
	}
	return path
}

func (r *reader) currency() string {
	for _, c := range []string{r.in.Currency, r.o.Currency} {
		if c != "" {
			return c
		}
	}
	if r.o.Base != nil {
		return r.o.Base.Currency
	}
	return "USD"
}

// scale is the number of decimals of the currency; zero where there is no such currency.
func (r *reader) scale() int {
	n, _ := money.Exponent(r.currency())
	return n
}

func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func (r *reader) product(i int, in productFile) {
	at := item("products", i)
	out := checkout.Product{ID: in.ID, Title: in.Title, Description: in.Description, Categories: in.Categories, URL: in.URL, Image: in.Image}
	if len(in.Variants) == 0 {
		r.at[at+".variants[0]"] = at
		out.Variants = []checkout.Variant{r.variant(at, in.own())}
	} else {
		for _, key := range []string{"price", "stock", "limit", "digital", "sku", "tax_class", "options", "opens"} {
			if r.sheet.Has(at + "." + key) {
				r.sheet.Fault(at+"."+key, "is of each of the variants; write it there")
			}
		}
	}
	for j, v := range in.Variants {
		if v.Title == "" {
			v.Title = in.Title
		}
		out.Variants = append(out.Variants, r.variant(item(at+".variants", j), v))
	}
	r.out.Products = append(r.out.Products, out)
}

func (r *reader) variant(at string, in variantFile) checkout.Variant {
	out := checkout.Variant{
		ID: in.ID, Title: in.Title, Description: in.Description, SKU: in.SKU, Image: in.Image, Digital: in.Digital, TaxClass: in.TaxClass,
		Limit: r.number(at+".limit", in.Limit),
	}
	for _, name := range slices.Sorted(maps.Keys(in.Options)) {
		out.Options = append(out.Options, checkout.Option{Name: name, Value: in.Options[name]})
	}
	if in.Stock != "" {
		n := r.number(at+".stock", in.Stock)
		out.Stock = &n
	}
	for i, o := range in.Opens {
		path := item(at+".opens", i)
		if !r.sheet.Has(path) {
			path = at + ".opens"
		}
		out.Grants = append(out.Grants, r.grant(path, o))
	}
	if len(out.Grants) > 0 && !in.Digital {
		r.sheet.Fault(at+".opens", "is for digital goods; say digital: true")
	}
	switch {
	case in.Price != "":
		out.Price = r.money(at+".price", in.Price)
	case len(in.Opens) == 1 && !in.Opens[0].Credit && r.o.RoutePrice != nil:
		out.Price = r.routePrice(at+".opens", in.Opens[0].Route)
	default:
		r.sheet.Fault(at+".price", "is missing; write it as 5.00, or name a route under opens whose price it has")
	}
	return out
}

func (r *reader) routePrice(at, route string) int64 {
	price, ok := r.o.RoutePrice(route)
	if !ok {
		r.sheet.Fault(at, "%.80q is no route with one price; write a price here, or name another (%s)", route, strings.Join(r.o.Routes, ", "))
		return 0
	}
	scaled, err := price.Rescale(r.out.Scale)
	if err != nil || price.Currency() != r.out.Currency {
		r.sheet.Fault(at, "the route costs %s, which is no amount of %s; write a price here", price, r.out.Currency)
		return 0
	}
	return scaled.Units()
}

func (r *reader) grant(at string, in opensFile) checkout.Grant {
	out := checkout.Grant{Route: in.Route, Pass: payment.Pass{Uses: int(r.number(at+".uses", in.Uses))}}
	if r.o.RoutePrice != nil && !slices.Contains(r.o.Routes, in.Route) {
		r.sheet.Fault(at+".route", "%.80q is no priced route; there are %s", in.Route, strings.Join(r.o.Routes, ", "))
	}
	if in.For != "" {
		d, err := time.ParseDuration(in.For)
		if err != nil || d < time.Second {
			r.sheet.Fault(at+".for", "%.40q is not a time; write 24h, 30m", in.For)
		}
		out.Pass.For = d
	}
	switch {
	case in.Credit:
		out.Pass.Credit = true
		if r.o.RoutePrice != nil && !slices.Contains(r.o.CreditRoutes, in.Route) {
			r.sheet.Fault(at+".route", "%.80q sells no credit; set its routes[].credit", in.Route)
		}
		if in.For == "" {
			out.Pass.For = creditFor
		}
		if in.Uses != "" {
			r.sheet.Fault(at+".uses", "and credit exclude each other")
		}
	case out.Pass == (payment.Pass{}):
		out.Pass.Uses = 1
	}
	return out
}

// creditFor is how long credit can be used where nothing else is said.
const creditFor = 365 * 24 * time.Hour

// money reads an amount in the shop's currency, with its code behind or without.
func (r *reader) money(at, text string) int64 {
	digits, code, named := strings.Cut(text, " ")
	if named && code != r.out.Currency {
		r.sheet.Fault(at, "%.40q is in another currency than the catalog, %s", text, r.out.Currency)
		return 0
	}
	a, err := money.Parse(digits, r.out.Currency, r.out.Scale)
	if err != nil || a.Units() < 0 {
		r.sheet.Fault(at, "%.40q is not a price in %s; write digits and a point, as 5.00", text, r.out.Currency)
		return 0
	}
	return a.Units()
}

// optional is money that may be left out.
func (r *reader) optional(at, text string) int64 {
	if text == "" {
		return 0
	}
	return r.money(at, text)
}

// number reads a whole number, zero when there is none.
func (r *reader) number(at, text string) int64 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 53)
	if err != nil || n < 0 || text[0] == '+' {
		r.sheet.Fault(at, "%.40q is not a whole number", text)
		return 0
	}
	return n
}

// share reads a percentage with the given number of decimals, as whole units of them.
func (r *reader) share(at, text string, decimals int) int64 {
	// A percentage is read as money is: exactly, and never rounded.
	a, err := money.Parse(strings.TrimSuffix(text, "%"), "USD", decimals)
	if err != nil || a.Units() < 0 {
		r.sheet.Fault(at, "%.40q is not a percentage with at most %d decimals", text, decimals)
		return 0
	}
	return a.Units()
}

func (r *reader) date(at, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	r.sheet.Fault(at, "%.40q is not a time; write 2026-12-24 or 2026-12-24T18:00:00Z", text)
	return time.Time{}
}
