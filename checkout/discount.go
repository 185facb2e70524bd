package checkout

import (
	"fmt"
	"slices"
	"strings"
)

// discounts applies the codes in the order they were given, and then what applies by
// itself in the seller's order.
func (t *till) discounts() error {
	t.out.Codes = slices.Clone(t.Desired.Codes)
	seen := map[string]bool{}
	for i, code := range t.Desired.Codes {
		path := fmt.Sprintf("$.discounts.codes[%d]", i)
		name := strings.ToLower(strings.TrimSpace(code))
		if seen[name] {
			t.say(TypeWarning, "discount_code_already_applied", path, "", "The code is given twice.")
			continue
		}
		seen[name] = true
		n := slices.IndexFunc(t.Shop.Discounts, func(d Discount) bool { return d.Code != "" && strings.ToLower(d.Code) == name })
		if n < 0 {
			t.say(TypeWarning, "discount_code_invalid", path, "", "There is no such code.")
			continue
		}
		if code, why := t.apply(t.Shop.Discounts[n]); code != "" {
			t.say(TypeWarning, code, path, "", "%s", why)
		}
	}
	for _, d := range t.Shop.Discounts {
		if d.Code == "" {
			t.apply(d) // or it does not
		}
	}
	return nil
}

// apply takes a discount off, or says why not.
func (t *till) apply(d Discount) (code, why string) {
	var subtotal int64
	for _, l := range t.out.Lines {
		subtotal += l.Subtotal // at most 100 times 2^53
	}
	alone := slices.ContainsFunc(t.out.Applied, func(a Applied) bool { return a.alone })
	switch {
	case !d.Starts.IsZero() && t.Now.Before(d.Starts):
		return "discount_code_invalid", "The code is not good yet."
	case !d.Ends.IsZero() && !t.Now.Before(d.Ends):
		return "discount_code_expired", "The code is not good any more."
	case len(t.out.Applied) > 0 && (d.Alone || alone):
		return "discount_code_combination_disallowed", "The code cannot be combined with another discount."
	case subtotal < d.Minimum:
		return "discount_code_invalid", "The order is too small for the code."
	}
	shares := t.shares(d)
	a := Applied{Code: d.Code, Title: d.Title, Automatic: d.Code == "", Each: d.Each, Priority: len(t.out.Applied) + 1, Items: d.items(), alone: d.Alone}
	for i, share := range shares {
		if share == 0 {
			continue
		}
		a.Amount += share
		a.Allocations = append(a.Allocations, Allocation{Line: t.out.Lines[i].ID, Amount: share})
		if a.Items {
			t.out.Lines[i].Discount += share
			t.out.Lines[i].Total -= share
		} else {
			t.off[i] += share
		}
	}
	if a.Amount == 0 {
		return "discount_code_invalid", "The code is for nothing in this order."
	}
	t.out.Applied = append(t.out.Applied, a)
	return "", ""
}

// items reports whether the discount is of items rather than of the order.
func (d Discount) items() bool { return d.Each || len(d.Variants) > 0 || len(d.Categories) > 0 }

// covers reports whether the discount is for a line.
func (d Discount) covers(v Variant, p Product) bool {
	if len(d.Variants) == 0 && len(d.Categories) == 0 {
		return true
	}
	return slices.Contains(d.Variants, v.ID) || slices.ContainsFunc(d.Categories, func(c string) bool {
		return slices.ContainsFunc(p.Categories, func(o string) bool { return strings.EqualFold(c, o) })
	})
}

// shares is what comes off each line: never more than is left of it.
func (t *till) shares(d Discount) []int64 {
	left := make([]int64, len(t.out.Lines))
	var all int64
	for i, l := range t.out.Lines {
		if d.covers(t.of[i], t.in[i]) {
			left[i] = l.Subtotal - l.Discount - t.off[i]
			all += left[i]
		}
	}
	if d.BasisPoints == 0 && !d.Each {
		return spread(min(d.Amount, all), left)
	}
	shares := make([]int64, len(left))
	for i, rest := range left {
		switch {
		case rest == 0:
		case d.Each:
			off, ok := mul(d.share(t.out.Lines[i].Price), t.out.Lines[i].Quantity)
			if !ok {
				off = rest
			}
			shares[i] = min(off, rest)
		default:
			shares[i], _ = mulDiv(rest, d.BasisPoints, 10_000) // at most rest
		}
	}
	return shares
}

// share is what an each-discount takes off one unit.
func (d Discount) share(price int64) int64 {
	if d.BasisPoints == 0 {
		return min(d.Amount, price)
	}
	off, _ := mulDiv(price, d.BasisPoints, 10_000) // at most price
	return off
}
