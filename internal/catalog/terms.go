package catalog

import (
	"strings"

	"paywall/checkout"
)

// terms reads what is not a product: it comes after that of a base.
func (r *reader) terms() {
	r.shift("discounts", len(r.out.Discounts), len(r.in.Discounts))
	for i, in := range r.in.Discounts {
		at := item("discounts", i)
		d := checkout.Discount{
			Code: in.Code, Title: in.Title, Amount: r.optional(at+".amount", in.Amount), Each: in.Each, Variants: in.Variants,
			Categories: in.Categories, Minimum: r.optional(at+".minimum", in.Minimum), Alone: in.Alone,
			Starts: r.date(at+".starts", in.Starts), Ends: r.date(at+".ends", in.Ends),
		}
		if in.Percent != "" {
			d.BasisPoints = r.share(at+".percent", in.Percent, 2)
		}
		r.out.Discounts = append(r.out.Discounts, d)
	}
	r.shift("taxes", len(r.out.Taxes), len(r.in.Taxes))
	for i, in := range r.in.Taxes {
		at := item("taxes", i)
		if in.Percent == "" {
			r.sheet.Fault(at+".percent", "is missing; write 7.25, or 0 for what is not taxed")
		}
		t := checkout.TaxRule{Country: in.Country, Region: in.Region, Class: in.Class, Shipping: in.Shipping}
		if in.Percent != "" {
			t.Rate = r.share(at+".percent", in.Percent, 4)
		}
		r.out.Taxes = append(r.out.Taxes, t)
	}
	r.shift("shipping", len(r.out.Shipping), len(r.in.Shipping))
	for i, in := range r.in.Shipping {
		at := item("shipping", i)
		s := checkout.ShippingRate{
			ID: in.ID, Title: in.Title, Carrier: in.Carrier, Countries: in.Countries, Regions: in.Regions,
			Price: r.optional(at+".price", in.Price), PerItem: r.optional(at+".per_item", in.PerItem), FreeFrom: r.optional(at+".free_from", in.FreeFrom),
		}
		if in.Days != "" {
			first, last, ranged := strings.Cut(in.Days, "-")
			if !ranged {
				last = first
			}
			s.MinDays, s.MaxDays = int(r.number(at+".days", first)), int(r.number(at+".days", last))
		}
		r.out.Shipping = append(r.out.Shipping, s)
	}
	r.shift("locations", len(r.out.Locations), 0)
	for i, in := range r.in.Pickup {
		r.at[item("locations", len(r.out.Locations))] = item("pickup", i)
		r.out.Locations = append(r.out.Locations, checkout.Location{ID: in.ID, Name: in.Name, Address: checkout.Address{
			Street: in.Street, Locality: in.Locality, Region: in.Region, Postal: in.Postal, Country: in.Country,
		}})
	}
	r.shift("links", len(r.out.Links), len(r.in.Links))
	for _, in := range r.in.Links {
		r.out.Links = append(r.out.Links, checkout.Link{Type: in.Type, URL: in.URL, Title: in.Title})
	}
}

// shift notes where the entries of a list stand that come after those of a base.
func (r *reader) shift(list string, before, entries int) {
	if before == 0 {
		return
	}
	for i := range entries {
		r.at[item(list, before+i)] = item(list, i)
	}
}
