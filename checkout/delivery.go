package checkout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// delivery arranges how the goods come, and what that costs.
func (t *till) delivery(ctx context.Context) error {
	var goods []string
	for _, l := range t.out.Lines {
		if !l.Digital {
			goods = append(goods, l.ID)
		}
	}
	if len(goods) == 0 || t.Kind == KindCart && len(t.Desired.Fulfillment) == 0 {
		return nil
	}
	if t.Kind == KindCheckout && t.Desired.Buyer.Email == "" {
		t.lacks("missing", "$.buyer.email", "An e-mail address is needed for the delivery.")
	}
	wishes := t.Desired.Fulfillment
	if len(wishes) == 0 {
		wishes = []WantedMethod{{}}
	}
	assigned, err := t.assign(wishes, goods)
	if err != nil {
		return err
	}
	before := slices.Clone(t.Before.Fulfillment)
	var cost int64
	chosen := false
	for i, w := range wishes {
		if len(assigned[i]) == 0 {
			continue
		}
		m, old, err := t.method(w, assigned[i], &before, fmt.Sprintf("$.fulfillment.methods[%d]", i))
		if err != nil {
			return err
		}
		path := fmt.Sprintf("$.fulfillment.methods[%d]", len(t.out.Fulfillment))
		if err := t.group(ctx, &m, w, old, path); err != nil {
			return err
		}
		t.out.Fulfillment = append(t.out.Fulfillment, m)
		for _, g := range m.Groups {
			for _, o := range g.Options {
				if o.ID == g.Option {
					cost, chosen = cost+o.Amount, true
				}
			}
		}
	}
	if chosen {
		t.out.Totals = append(t.out.Totals, Total{Type: TotalFulfillment, Amount: min(cost, MaxUnits+1)})
	}
	return nil
}

// assign gives each line that is to be delivered to exactly one method.
func (t *till) assign(wishes []WantedMethod, goods []string) ([][]string, error) {
	taken := map[string]bool{}
	out := make([][]string, len(wishes))
	for i, w := range wishes {
		for j, id := range w.Lines {
			path := fmt.Sprintf("$.fulfillment.methods[%d].line_item_ids[%d]", i, j)
			switch {
			case taken[id]:
				return nil, invalid(path, "The line has a method already.")
			case !slices.ContainsFunc(t.out.Lines, func(l Line) bool { return l.ID == id }) && !slices.ContainsFunc(t.Before.Lines, func(l Line) bool { return l.ID == id }):
				return nil, invalid(path, "There is no such line.")
			case slices.Contains(goods, id): // others need no delivery
				taken[id] = true
				out[i] = append(out[i], id)
			}
		}
	}
	var rest []string
	for _, id := range goods {
		if !taken[id] {
			rest = append(rest, id)
		}
	}
	if len(rest) > 0 {
		n := slices.IndexFunc(wishes, func(w WantedMethod) bool { return len(w.Lines) == 0 })
		n = max(n, 0)
		out[n] = append(out[n], rest...)
	}
	return out, nil
}

// method makes a method without groups. old is what it was before, if it was.
func (t *till) method(w WantedMethod, lines []string, before *[]Method, path string) (m Method, old *Method, err error) {
	same := slices.IndexFunc(*before, func(o Method) bool { return o.ID == w.ID })
	if same < 0 && w.ID == "" {
		same = slices.IndexFunc(*before, func(o Method) bool { return w.Type == "" || o.Type == w.Type })
	}
	if same >= 0 {
		kept := (*before)[same]
		old = &kept
		*before = slices.Delete(*before, same, same+1)
	}
	m = Method{Type: w.Type, Lines: lines}
	switch {
	case m.Type == "" && old != nil:
		m.Type = old.Type
	case m.Type == "" && len(w.Destinations) == 0 && len(t.Shop.Shipping) == 0 && len(t.Shop.Locations) > 0:
		m.Type = MethodPickup
	case m.Type == "":
		m.Type = MethodShipping
	case m.Type != MethodShipping && m.Type != MethodPickup:
		return m, nil, invalid(path+".type", "This method is not offered; there are shipping and pickup.")
	}
	if old != nil && old.Type != m.Type {
		old = nil
	}
	if old != nil {
		m.ID = old.ID
	} else {
		m.ID = t.NewID("fm_")
	}
	if m.Type == MethodPickup {
		for _, l := range t.Shop.Locations {
			m.Destinations = append(m.Destinations, Destination(l))
		}
	} else if m.Destinations, err = t.destinations(w, old, path); err != nil {
		return m, nil, err
	}
	m.Destination = w.Destination
	if m.Destination == "" && old != nil && slices.ContainsFunc(m.Destinations, func(d Destination) bool { return d.ID == old.Destination }) {
		m.Destination = old.Destination
	}
	if m.Destination == "" && len(m.Destinations) == 1 {
		m.Destination = m.Destinations[0].ID
	}
	if m.Destination != "" && !slices.ContainsFunc(m.Destinations, func(d Destination) bool { return d.ID == m.Destination }) {
		return m, nil, invalid(path+".selected_destination_id", "There is no such destination.")
	}
	return m, old, nil
}

// destinations are the client's. A method that is named without any keeps those it has.
func (t *till) destinations(w WantedMethod, old *Method, path string) ([]Destination, error) {
	if len(w.Destinations) == 0 && old != nil {
		return slices.Clone(old.Destinations), nil
	}
	if len(w.Destinations) > maxDestinations {
		return nil, invalid(path+".destinations", "There are more than %d destinations.", maxDestinations)
	}
	var out []Destination
	for i, d := range w.Destinations {
		d.Address.Country = strings.ToUpper(d.Address.Country)
		where := fmt.Sprintf("%s.destinations[%d]", path, i)
		switch {
		case d.Address.Country != "" && !country.MatchString(d.Address.Country):
			return nil, invalid(where+".address_country", "The country is a code of two letters, as US.")
		case d.ID != "" && !itemID.MatchString(d.ID):
			return nil, invalid(where+".id", "The id is not 1 to 64 letters, digits and . _ : -.")
		case d.ID != "" && slices.ContainsFunc(out, func(o Destination) bool { return o.ID == d.ID }):
			return nil, invalid(where+".id", "The destination is given twice.")
		case d.ID == "":
			d.ID = t.NewID("dest_")
			if old != nil && i < len(old.Destinations) && old.Destinations[i].Address == d.Address {
				d.ID = old.Destinations[i].ID
			}
		}
		d.Name = "" // of our own locations alone
		out = append(out, d)
	}
	return out, nil
}

// group makes the one group of a method: all of its lines in a parcel.
func (t *till) group(ctx context.Context, m *Method, w WantedMethod, old *Method, path string) error {
	i := slices.IndexFunc(m.Destinations, func(d Destination) bool { return d.ID == m.Destination })
	if i < 0 {
		t.lacks("missing", path+".selected_destination_id", "It is not known where the goods go; give a destination, or choose one.")
		return nil
	}
	to := m.Destinations[i]
	if m.Type == MethodShipping && to.Address.Country == "" {
		t.lacks("missing", fmt.Sprintf("%s.destinations[%d].address_country", path, i), "The address has no country.")
		return nil
	}
	g := Group{Lines: slices.Clone(m.Lines), Options: []FulfillmentOption{}}
	if old != nil && len(old.Groups) > 0 {
		g.ID = old.Groups[0].ID
	} else {
		g.ID = t.NewID("grp_")
	}
	var err error
	if m.Type == MethodPickup {
		g.Options = []FulfillmentOption{{ID: "pickup", Title: "Pick up at " + to.Name}}
	} else if g.Options, err = t.options(ctx, m, to.Address); err != nil {
		t.lacks("delivery_unavailable", path, "What delivery costs could not be found out just now; try again in a moment.")
		return nil //nolint:nilerr // it is told, and nothing can be completed
	}
	wish := ""
	for j, wg := range w.Groups {
		if wg.ID != "" && wg.ID != g.ID {
			return invalid(fmt.Sprintf("%s.groups[%d].id", path, j), "There is no such group.")
		}
		wish = wg.Option
	}
	has := func(id string) bool {
		return slices.ContainsFunc(g.Options, func(o FulfillmentOption) bool { return o.ID == id })
	}
	switch {
	case len(g.Options) == 0:
		t.lacks("address_undeliverable", path+".selected_destination_id", "Nothing is delivered to this address.")
	case wish != "" && has(wish):
		g.Option = wish
	case wish == "" && old != nil && len(old.Groups) > 0 && has(old.Groups[0].Option):
		g.Option = old.Groups[0].Option
	case len(g.Options) == 1:
		g.Option = g.Options[0].ID
	default:
		t.lacks("missing", path+".groups[0].selected_option_id", "Choose one of the ways of delivery.")
	}
	m.Groups = []Group{g}
	return nil
}

// parcel is the lines of a method with what is paid for them.
func (t *till) parcel(lines []string, to Address) (p Parcel, units, amount int64) {
	to.FirstName, to.LastName, to.Phone = "", "", ""
	p = Parcel{Currency: t.out.Currency, To: to, Lines: []ParcelLine{}}
	for i, l := range t.out.Lines {
		paid := l.Total - t.off[i]
		if lines != nil && !slices.Contains(lines, l.ID) {
			continue
		}
		units, amount = min(units+l.Quantity, MaxUnits), min(amount+paid, MaxUnits)
		p.Lines = append(p.Lines, ParcelLine{Variant: l.Variant, TaxClass: t.of[i].TaxClass, Quantity: l.Quantity, Amount: paid})
	}
	return p, units, amount
}

func (t *till) options(ctx context.Context, m *Method, to Address) ([]FulfillmentOption, error) {
	p, units, amount := t.parcel(m.Lines, to)
	if t.Rates != nil {
		options, err := t.Rates.Delivery(ctx, p)
		if !errors.Is(err, ErrNoRate) {
			return options, err //nolint:wrapcheck // only told apart from success
		}
	}
	options := []FulfillmentOption{}
	for _, r := range t.Shop.Shipping {
		if !r.reaches(to) {
			continue
		}
		o := FulfillmentOption{ID: r.ID, Title: r.Title, Carrier: r.Carrier}
		if each, ok := mul(r.PerItem, units); ok {
			o.Amount = min(r.Price+each, MaxUnits+1)
		} else {
			o.Amount = MaxUnits + 1 // the total is refused
		}
		if r.FreeFrom > 0 && amount >= r.FreeFrom {
			o.Amount = 0
		}
		if r.MaxDays > 0 {
			day := t.Now.UTC().Truncate(24 * time.Hour)
			o.Earliest, o.Latest = day.AddDate(0, 0, r.MinDays), day.AddDate(0, 0, r.MaxDays)
		}
		options = append(options, o)
	}
	return options, nil
}

// reaches reports whether goods are sent to an address.
func (r ShippingRate) reaches(to Address) bool {
	if len(r.Countries) == 0 && len(r.Regions) == 0 {
		return true
	}
	return slices.Contains(r.Countries, to.Country) || slices.Contains(r.Regions, to.Country+"-"+strings.ToUpper(to.Region))
}
