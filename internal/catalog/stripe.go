package catalog

import (
	"fmt"
	"strconv"

	"paywall/checkout"
	"paywall/internal/config"
	"paywall/methods/stripe"
)

// Metadata of products, and of prices, that say what the processor has no word for.
// Those of a price win.
const (
	metaStock      = "paywall_stock"
	metaLimit      = "paywall_limit"
	metaDigital    = "paywall_digital"
	metaRoute      = "paywall_route"
	metaUses       = "paywall_uses"
	metaFor        = "paywall_for"
	metaCategories = "paywall_categories"
	metaTaxClass   = "paywall_tax_class"
)

// FromStripe makes a shop of the products at the processor: each price in the shop's
// currency is a variant, and its id the variant's. Problems name the product.
func FromStripe(products []stripe.Product, o Options) (*checkout.Shop, error) {
	r := reader{o: o, sheet: config.NewSheet("")}
	var seen []byte
	for _, p := range products {
		r.fromStripe(p)
		seen = fmt.Appendf(seen, "%+v\n", p) // any change makes another version
	}
	return r.shop(seen)
}

func (r *reader) fromStripe(p stripe.Product) {
	in := productFile{ID: p.ID, Title: p.Name, Description: p.Description, URL: p.URL, Image: p.Image}
	in.Categories = list(p.Metadata[metaCategories])
	at := item("products", len(r.in.Products))
	for _, price := range p.Prices {
		if price.Currency != r.currency() {
			continue
		}
		said := func(key string) string {
			if v, ok := price.Metadata[key]; ok {
				return v
			}
			return p.Metadata[key]
		}
		v := variantFile{
			ID: price.ID, Title: p.Name, Price: r.decimal(price.Units), Stock: said(metaStock), Limit: said(metaLimit),
			Digital: said(metaDigital) == "true", TaxClass: said(metaTaxClass),
		}
		if price.Nickname != "" {
			v.Title = price.Nickname
		}
		if route := said(metaRoute); route != "" {
			v.Opens = []opensFile{{Route: route, Uses: said(metaUses), For: said(metaFor)}}
		}
		in.Variants = append(in.Variants, v)
	}
	if len(in.Variants) == 0 {
		return // it is sold in other currencies alone
	}
	r.sheet.Note(at, 0)
	r.in.Products = append(r.in.Products, in)
}

// decimal writes minor units as a file has them.
func (r *reader) decimal(units int64) string {
	scale := r.scale()
	text := strconv.FormatInt(units, 10)
	for len(text) <= scale {
		text = "0" + text
	}
	if scale == 0 {
		return text
	}
	return text[:len(text)-scale] + "." + text[len(text)-scale:]
}
