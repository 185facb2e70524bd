package checkout

import (
	"context"
	"fmt"
	"slices"
)

// Bounds of what a client may ask for.
const (
	maxLines        = 100
	maxCodes        = 20
	maxMethods      = 10
	maxDestinations = 20
)

// till makes one price. It is used once.
type till struct {
	Pricing

	out Priced
	// of has the variant of each line; off what an order's discount takes from it.
	of  []Variant
	in  []Product
	off []int64
	// wanted is where each line stands in what was asked for.
	wanted []int
	gone   []Message // about lines that were left out
}

// Price makes the price of what is desired. What is missing, or was changed, is in the
// messages of the result. Errors are *[Error]: of [KindInvalid] for a wish that makes
// no sense, of [KindUnavailable] when nothing of it can be sold.
func (p Pricing) Price(ctx context.Context) (Priced, error) {
	t := till{Pricing: p, out: Priced{Shop: p.Shop.Version, Currency: p.Shop.Currency, Scale: p.Shop.Scale, Lines: []Line{}}}
	for _, step := range []func() error{t.check, t.lines, t.credit, t.discounts, func() error { return t.delivery(ctx) }, func() error { return t.tax(ctx) }, t.total} {
		if err := step(); err != nil {
			return Priced{}, err
		}
	}
	return t.out, nil
}

func invalid(path, format string, args ...any) error {
	return Refuse(KindInvalid, "invalid_request", fmt.Sprintf(format, args...), path, Recoverable)
}

func tooLarge() error {
	return Refuse(KindInvalid, "amount_too_large", "The amount is larger than can be sold at once.", "$.line_items", Recoverable)
}

func (t *till) say(kind, code, path, severity, format string, args ...any) {
	t.out.Messages = append(t.out.Messages, Message{Type: kind, Code: code, Content: fmt.Sprintf(format, args...), Path: path, Severity: severity})
}

// lacks says that a checkout cannot be completed yet. A cart can lack anything.
func (t *till) lacks(code, path, text string) {
	if t.Kind == KindCheckout {
		t.say(TypeError, code, path, Recoverable, "%s", text)
	}
}

// check refuses what makes no sense whatever the shop sells.
func (t *till) check() error {
	d := t.Desired
	switch {
	case len(d.Lines) == 0 && t.Kind == KindCheckout:
		return invalid("$.line_items", "There are no items; name at least one.")
	case len(d.Lines) > maxLines:
		return invalid("$.line_items", "There are more than %d lines.", maxLines)
	case len(d.Codes) > maxCodes:
		return invalid("$.discounts.codes", "There are more than %d codes.", maxCodes)
	case len(d.Fulfillment) > maxMethods:
		return invalid("$.fulfillment.methods", "There are more than %d methods.", maxMethods)
	}
	ids := map[string]bool{}
	for i, l := range d.Lines {
		path := fmt.Sprintf("$.line_items[%d]", i)
		switch {
		case l.Quantity < 1 || l.Quantity > MaxUnits:
			return invalid(path+".quantity", "The quantity is a whole number from 1.")
		case l.Variant == "":
			return invalid(path+".item.id", "The item has no id.")
		case l.ID != "" && ids[l.ID]:
			return invalid(path+".id", "The line is given twice.")
		}
		ids[l.ID] = true
	}
	return nil
}

// lines prices what can be sold, and says what cannot.
func (t *till) lines() error {
	room := map[string]int64{}
	before := slices.Clone(t.Before.Lines)
	for i, w := range t.Desired.Lines {
		product, v, ok := t.Shop.Variant(w.Variant)
		if !ok {
			t.leftOut("item_unavailable", "An item is not sold here any more, and was left out.")
			continue
		}
		left, seen := room[v.ID]
		if !seen {
			left = t.room(v)
		}
		quantity := min(w.Quantity, left)
		room[v.ID] = left - quantity
		if quantity < 1 {
			t.leftOut("out_of_stock", "%s is sold out, and was left out.", v.Title)
			continue
		}
		line := Line{
			ID: t.lineID(w, &before), Variant: v.ID, Title: title(product, v), Image: v.Image, Parent: w.Parent,
			Price: v.Price, Quantity: quantity, Digital: v.Digital, Grants: v.Grants,
		}
		if line.Image == "" {
			line.Image = product.Image
		}
		if line.Subtotal, ok = mul(v.Price, quantity); !ok {
			return tooLarge()
		}
		line.Total = line.Subtotal
		if quantity < w.Quantity {
			t.say(TypeWarning, "quantity_adjusted", fmt.Sprintf("$.line_items[%d].quantity", len(t.out.Lines)), "",
				"Only %d of %s can be had; the quantity was lowered.", quantity, v.Title)
		}
		t.out.Lines = append(t.out.Lines, line)
		t.of, t.in, t.wanted = append(t.of, v), append(t.in, product), append(t.wanted, i)
	}
	t.off = make([]int64, len(t.out.Lines))
	if len(t.out.Lines) == 0 && len(t.Desired.Lines) > 0 {
		for i := range t.gone {
			t.gone[i].Severity = Unrecoverable
		}
		return &Error{Kind: KindUnavailable, Messages: t.gone}
	}
	t.out.Messages = append(t.out.Messages, t.gone...)
	return t.parents()
}

func (t *till) leftOut(code, format string, args ...any) {
	t.gone = append(t.gone, Message{Type: TypeError, Code: code, Content: fmt.Sprintf(format, args...), Path: "$.line_items", Severity: Recoverable})
}

// title names a line so that variants of one product can be told apart.
func title(p Product, v Variant) string {
	if len(p.Variants) == 1 || v.Title == p.Title {
		return v.Title
	}
	return p.Title + ", " + v.Title
}

// room is how many of a variant the session may have.
func (t *till) room(v Variant) int64 {
	left := int64(MaxUnits)
	if v.Stock != nil {
		level := t.Stock[v.ID]
		left = max(0, *v.Stock-level.Sold-level.Held)
	}
	if v.Limit > 0 {
		left = min(left, v.Limit)
	}
	return left
}

// lineID keeps the id of a line that was there before, and takes it out of before.
func (t *till) lineID(w WantedLine, before *[]Line) string {
	same := slices.IndexFunc(*before, func(l Line) bool { return l.ID == w.ID })
	if same < 0 && w.ID == "" {
		named := func(id string) bool {
			return slices.ContainsFunc(t.Desired.Lines, func(o WantedLine) bool { return o.ID == id })
		}
		same = slices.IndexFunc(*before, func(l Line) bool { return l.Variant == w.Variant && !named(l.ID) })
	}
	if same < 0 {
		return t.NewID("li_")
	}
	id := (*before)[same].ID
	*before = slices.Delete(*before, same, same+1)
	return id
}

// parents checks that a line belongs to another that is there.
func (t *till) parents() error {
	for i, l := range t.out.Lines {
		if l.Parent == "" {
			continue
		}
		if l.Parent == l.ID || !slices.ContainsFunc(t.out.Lines, func(o Line) bool { return o.ID == l.Parent }) {
			return invalid(fmt.Sprintf("$.line_items[%d].parent_id", t.wanted[i]), "The line belongs to one that is not there.")
		}
	}
	return nil
}

// total sums up.
func (t *till) total() error {
	var subtotal, items, order int64
	ok := true
	for i, l := range t.out.Lines {
		var fine bool
		subtotal, fine = sum(subtotal, l.Subtotal)
		items, order = items+l.Discount, order+t.off[i] // each below what it is taken from
		ok = ok && fine
	}
	totals := []Total{{Type: TotalSubtotal, Amount: subtotal}}
	if items > 0 {
		totals = append(totals, Total{Type: TotalItemsDiscount, Amount: -items})
	}
	if order > 0 {
		totals = append(totals, Total{Type: TotalDiscount, Amount: -order})
	}
	totals = append(totals, t.out.Totals...) // of delivery and tax
	amounts := make([]int64, len(totals))
	for i, one := range totals {
		amounts[i] = one.Amount
	}
	all, fine := sum(amounts...)
	if !ok || !fine || all < 0 {
		return tooLarge()
	}
	t.out.Totals = append(totals, Total{Type: TotalTotal, Amount: all})
	return nil
}
