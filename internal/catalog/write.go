package catalog

import (
	"bytes"
	"fmt"
	"strconv"

	"paywall/checkout"
	"paywall/money"
)

// Write renders the products of a shop as a YAML catalog.
func Write(s *checkout.Shop) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "currency: %s\nproducts:\n", s.Currency)
	for _, p := range s.Products {
		fmt.Fprintf(&b, "  - id: %s\n    title: %s\n", quoted(p.ID), quoted(p.Title))
		for _, f := range []struct{ name, value string }{{"description", p.Description}, {"url", p.URL}, {"image", p.Image}} {
			if f.value != "" {
				fmt.Fprintf(&b, "    %s: %s\n", f.name, quoted(f.value))
			}
		}
		if len(p.Categories) > 0 {
			b.WriteString("    categories:\n")
			for _, c := range p.Categories {
				fmt.Fprintf(&b, "      - %s\n", quoted(c))
			}
		}
		b.WriteString("    variants:\n")
		for _, v := range p.Variants {
			writeVariant(&b, s, v)
		}
	}
	return b.Bytes()
}

func writeVariant(b *bytes.Buffer, s *checkout.Shop, v checkout.Variant) {
	price := ""
	if a, err := money.New(v.Price, s.Currency, s.Scale); err == nil {
		price = a.Decimal()
	}
	fmt.Fprintf(b, "      - id: %s\n        title: %s\n        price: %s\n", quoted(v.ID), quoted(v.Title), quoted(price))
	for _, f := range []struct{ name, value string }{{"description", v.Description}, {"sku", v.SKU}, {"image", v.Image}, {"tax_class", v.TaxClass}} {
		if f.value != "" {
			fmt.Fprintf(b, "        %s: %s\n", f.name, quoted(f.value))
		}
	}
	if v.Stock != nil {
		fmt.Fprintf(b, "        stock: %d\n", *v.Stock)
	}
	if v.Limit > 0 {
		fmt.Fprintf(b, "        limit: %d\n", v.Limit)
	}
	if v.Digital {
		b.WriteString("        digital: true\n")
	}
	if len(v.Options) > 0 {
		b.WriteString("        options:\n")
		for _, o := range v.Options {
			fmt.Fprintf(b, "          %s: %s\n", quoted(o.Name), quoted(o.Value))
		}
	}
	if len(v.Grants) > 0 {
		b.WriteString("        opens:\n")
		for _, g := range v.Grants {
			fmt.Fprintf(b, "          - route: %s\n", quoted(g.Route))
			if g.Pass.Credit {
				b.WriteString("            credit: true\n")
			}
			if g.Pass.Uses > 0 {
				fmt.Fprintf(b, "            uses: %d\n", g.Pass.Uses)
			}
			if g.Pass.For > 0 {
				fmt.Fprintf(b, "            for: %s\n", g.Pass.For)
			}
		}
	}
}

// quoted is text as YAML reads it back, whatever is in it.
func quoted(s string) string { return strconv.Quote(s) }
