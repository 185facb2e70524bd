package checkout

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// tax adds what is due on lines, after all discounts, and on delivery.
func (t *till) tax(ctx context.Context) error {
	if _, credit := t.out.Credit(); credit {
		return nil
	}
	var delivery int64
	for _, one := range t.out.Totals {
		delivery += one.Amount // there is at most one yet
	}
	if t.Rates != nil {
		p, _, _ := t.parcel(nil, t.place(""))
		amount, err := t.Rates.Tax(ctx, p, delivery)
		switch {
		case err == nil:
			t.out.Totals = append(t.out.Totals, Total{Type: TotalTax, Amount: amount})
			return nil
		case !errors.Is(err, ErrNoRate):
			t.lacks("tax_unavailable", "$.totals", "The tax could not be found out just now; try again in a moment.")
			return nil
		}
	}
	if len(t.Shop.Taxes) == 0 {
		return nil
	}
	if t.Kind == KindCheckout && t.unplaced() {
		t.lacks("missing", "$.context.address_country", "The country is needed to find out the tax.")
		return nil
	}
	var all int64
	for i, l := range t.out.Lines {
		rule, ok := t.Shop.taxRule(t.place(l.ID), t.of[i].TaxClass)
		if !ok {
			continue
		}
		due, fine := mulDiv(l.Total-t.off[i], rule.Rate, 1_000_000)
		if !fine {
			return tooLarge()
		}
		all += due // at most 100 times 2^53
	}
	for _, m := range t.out.Fulfillment {
		rule, ok := t.Shop.taxRule(t.place(m.Lines[0]), "")
		if !ok || !rule.Shipping {
			continue
		}
		for _, g := range m.Groups {
			for _, o := range g.Options {
				if o.ID == g.Option {
					due, _ := mulDiv(min(o.Amount, MaxUnits), rule.Rate, 1_000_000) // at most the amount
					all += due
				}
			}
		}
	}
	t.out.Totals = append(t.out.Totals, Total{Type: TotalTax, Amount: min(all, MaxUnits+1)})
	return nil
}

// place is where a line goes, or where the buyer says to be for what goes nowhere.
func (t *till) place(line string) Address {
	for _, m := range t.out.Fulfillment {
		if line != "" && !slices.Contains(m.Lines, line) {
			continue
		}
		for _, d := range m.Destinations {
			if d.ID == m.Destination {
				return d.Address
			}
		}
	}
	c := t.Desired.Context
	return Address{Country: strings.ToUpper(c.Country), Region: strings.ToUpper(c.Region), Postal: c.Postal}
}

// unplaced reports whether some line is taxed by a place that is not known.
func (t *till) unplaced() bool {
	if !slices.ContainsFunc(t.Shop.Taxes, func(r TaxRule) bool { return r.Country != "" }) {
		return false
	}
	return slices.ContainsFunc(t.out.Lines, func(l Line) bool { return t.place(l.ID).Country == "" })
}

// taxRule is the most specific rule that fits.
func (s *Shop) taxRule(at Address, class string) (best TaxRule, found bool) {
	score := -1
	for _, r := range s.Taxes {
		if r.Country != "" && r.Country != at.Country || r.Region != "" && !strings.EqualFold(r.Region, at.Region) || r.Class != "" && r.Class != class {
			continue
		}
		n := 0
		if r.Country != "" {
			n += 2
		}
		if r.Region != "" {
			n += 4
		}
		if r.Class != "" {
			n++
		}
		if n > score {
			best, score, found = r, n, true
		}
	}
	return best, found
}
