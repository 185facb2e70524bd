package ucp

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"paywall/checkout"
	"paywall/ucp/protocol"
)

type object map[string]any

// meta is the "ucp" member of an answer: what was negotiated and has to do with it.
func (c *call) meta(names ...string) object {
	capabilities := object{}
	for _, name := range names {
		if version, ok := c.peer.Capabilities[name]; ok {
			capabilities[name] = []object{{"version": version}}
		}
	}
	return object{"version": string(c.v), "capabilities": capabilities}
}

// failure is the answer that has nothing but messages.
func (s *Server) failure(c *call, page *string, messages ...checkout.Message) object {
	out := object{
		"ucp":      object{"version": string(c.v), "status": "error", "capabilities": object{}},
		"messages": s.messages(messages),
	}
	if page != nil {
		out["continue_url"] = *page
	}
	return out
}

func (*Server) messages(list []checkout.Message) []object {
	out := make([]object, 0, len(list))
	for _, m := range list {
		one := object{"type": m.Type, "code": m.Code, "content": m.Content}
		if m.Path != "" {
			one["path"] = m.Path
		}
		if m.Type == checkout.TypeError {
			one["severity"] = m.Severity
			if m.Severity == "" {
				one["severity"] = checkout.Recoverable
			}
		}
		out = append(out, one)
	}
	return out
}

// session renders a checkout or cart.
func (s *Server) session(ctx context.Context, c *call, x checkout.Session) (object, error) {
	names := []string{protocol.Checkout, protocol.Discount, protocol.Fulfillment, protocol.BuyerConsent, s.cfg.Extension}
	if x.Kind == checkout.KindCart {
		names = []string{protocol.Cart, protocol.Discount, protocol.BuyerConsent}
	}
	p := x.Priced
	out := object{
		"ucp": c.meta(names...), "id": x.ID, "line_items": s.lines(p.Lines), "currency": p.Currency, "totals": totals(p.Totals), "links": s.links(),
	}
	if messages := append(append([]checkout.Message{}, x.Notice...), p.Messages...); len(messages) > 0 && !x.Status.Final() {
		out["messages"] = s.messages(messages)
	} else if len(x.Notice) > 0 {
		out["messages"] = s.messages(x.Notice)
	}
	if b := s.buyer(c, x.Desired.Buyer); len(b) > 0 {
		out["buyer"] = b
	}
	if hints := echoed(x.Desired.Context); len(hints) > 0 {
		out["context"] = hints
	}
	if len(x.Desired.Attribution) > 0 {
		out["attribution"] = x.Desired.Attribution
	}
	if c.peer.Has(protocol.Discount) {
		out["discounts"] = discounts(p)
	}
	if !x.Status.Final() {
		out["expires_at"] = stamp(x.ExpiresAt)
	}
	if x.Kind == checkout.KindCart {
		return out, nil
	}
	out["status"] = string(x.Status)
	meta := out["ucp"].(object) //nolint:forcetypeassert // made above
	meta["payment_handlers"] = s.handlers(c, x)
	if !x.Status.Final() {
		out["continue_url"] = s.cfg.CheckoutURL(x.ID)
	}
	if c.peer.Has(protocol.Fulfillment) && len(p.Fulfillment) > 0 {
		out["fulfillment"] = object{"methods": methods(c.v, p.Fulfillment)}
	}
	if x.Status == checkout.Completed && x.Order != "" {
		out["order"] = object{"id": x.Order, "permalink_url": s.cfg.OrderURL(x.Order)}
		if s.cfg.Extension != "" && c.peer.Has(s.cfg.Extension) {
			o, err := s.cfg.Service.Order(ctx, c.caller(), x.Order)
			if err != nil {
				return nil, err //nolint:wrapcheck // sorted by the caller
			}
			if all := s.cfg.Receipts(ctx, o); len(all) > 0 {
				out["receipts"] = all
			}
		}
	}
	return out, nil
}

// handlers are the ways to pay this checkout.
func (s *Server) handlers(c *call, x checkout.Session) map[string][]protocol.Declaration {
	out := map[string][]protocol.Declaration{}
	if x.Status.Final() || x.Status == checkout.InProgress {
		return out
	}
	due, owed := s.cfg.Service.Due(x)
	for _, h := range s.cfg.Handlers {
		at := &due
		if !owed {
			if x.Priced.Total() == 0 {
				continue // nothing is to be paid
			}
			at = nil // what it will cost is not known yet
		}
		if d, ok := h.Declare(c.v, at, s.cfg.Now()); ok {
			out[h.Name()] = append(out[h.Name()], d)
		}
	}
	return out
}

func (*Server) lines(list []checkout.Line) []object {
	out := make([]object, 0, len(list))
	for _, l := range list {
		one := object{"id": l.ID, "item": item(l), "quantity": l.Quantity, "totals": lineTotals(l)}
		if l.Parent != "" {
			one["parent_id"] = l.Parent
		}
		out = append(out, one)
	}
	return out
}

func item(l checkout.Line) object {
	out := object{"id": l.Variant, "title": l.Title, "price": l.Price}
	if l.Image != "" {
		out["image_url"] = l.Image
	}
	return out
}

func lineTotals(l checkout.Line) []object {
	out := []object{{"type": checkout.TotalSubtotal, "amount": l.Subtotal}}
	if l.Discount > 0 {
		out = append(out, object{"type": checkout.TotalItemsDiscount, "amount": -l.Discount})
	}
	return append(out, object{"type": checkout.TotalTotal, "amount": l.Total})
}

func totals(list []checkout.Total) []object {
	out := make([]object, 0, len(list))
	for _, t := range list {
		one := object{"type": t.Type, "amount": t.Amount}
		if t.Text != "" {
			one["display_text"] = t.Text
		}
		out = append(out, one)
	}
	return out
}

func (s *Server) links() []object {
	out := []object{}
	for _, l := range s.cfg.Shop().Links {
		one := object{"type": l.Type, "url": l.URL}
		if l.Title != "" {
			one["title"] = l.Title
		}
		out = append(out, one)
	}
	return out
}

func put(o object, name, value string) {
	if value != "" {
		o[name] = value
	}
}

func (*Server) buyer(c *call, b checkout.Buyer) object {
	out := object{}
	put(out, "first_name", b.FirstName)
	put(out, "last_name", b.LastName)
	put(out, "email", b.Email)
	put(out, "phone_number", b.Phone)
	if len(b.Consent) == 0 || !c.peer.Has(protocol.BuyerConsent) {
		return out
	}
	given := object{}
	for name, one := range b.Consent {
		if c.v == protocol.April2026 {
			for former, now := range formerConsent {
				if name == consentPrefix+now {
					given[former] = one.Granted
				}
			}
			continue
		}
		given[name] = object{"granted": one.Granted, "source": one.Source, "description": purposes[strings.TrimPrefix(name, consentPrefix)]}
		if purposes[strings.TrimPrefix(name, consentPrefix)] == "" {
			given[name].(object)["description"] = "As agreed with the buyer" //nolint:forcetypeassert // made above
		}
	}
	out["consent"] = given
	return out
}

var purposes = map[string]string{
	"analytics": "Measuring how the shop is used", "marketing": "News and offers from the shop", "preferences": "Remembering the buyer's preferences",
	"sale_or_sharing": "Sharing data with others",
}

func echoed(c checkout.Context) object {
	out := object{}
	put(out, "address_country", c.Country)
	put(out, "address_region", c.Region)
	put(out, "postal_code", c.Postal)
	put(out, "language", c.Language)
	put(out, "currency", c.Currency)
	put(out, "intent", c.Intent)
	return out
}

func discounts(p checkout.Priced) object {
	codes := p.Codes
	if codes == nil {
		codes = []string{}
	}
	applied := []object{}
	for _, a := range p.Applied {
		one := object{"title": a.Title, "amount": a.Amount, "automatic": a.Automatic, "priority": a.Priority, "method": "across"}
		if a.Each {
			one["method"] = "each"
		}
		put(one, "code", a.Code)
		shares := []object{}
		for _, share := range a.Allocations {
			for i, l := range p.Lines {
				if l.ID == share.Line {
					shares = append(shares, object{"path": fmt.Sprintf("$.line_items[%d]", i), "amount": share.Amount})
				}
			}
		}
		one["allocations"] = shares
		applied = append(applied, one)
	}
	return object{"codes": codes, "applied": applied}
}

func methods(v protocol.Version, list []checkout.Method) []object {
	out := []object{}
	for _, m := range list {
		one := object{"id": m.ID, "type": m.Type, "line_item_ids": m.Lines}
		if len(m.Destinations) > 0 {
			var to []object
			for _, d := range m.Destinations {
				to = append(to, destination(v, m.Type, d))
			}
			one["destinations"] = to
		}
		put(one, "selected_destination_id", m.Destination)
		if len(m.Groups) > 0 {
			var groups []object
			for _, g := range m.Groups {
				group := object{"id": g.ID, "line_item_ids": g.Lines, "options": options(g.Options)}
				put(group, "selected_option_id", g.Option)
				groups = append(groups, group)
			}
			one["groups"] = groups
		}
		out = append(out, one)
	}
	return out
}

func destination(v protocol.Version, kind string, d checkout.Destination) object {
	current := v == protocol.Current
	if kind == checkout.MethodPickup {
		out := object{"id": d.ID, "name": d.Name, "address": address(d.Address)}
		if current {
			out["type"] = "business_location"
		}
		return out
	}
	out := address(d.Address)
	out["id"] = d.ID
	if current {
		out["type"] = "shipping_address"
	}
	return out
}

func address(a checkout.Address) object {
	out := object{}
	put(out, "first_name", a.FirstName)
	put(out, "last_name", a.LastName)
	put(out, "phone_number", a.Phone)
	put(out, "street_address", a.Street)
	put(out, "extended_address", a.Extended)
	put(out, "address_locality", a.Locality)
	put(out, "address_region", a.Region)
	put(out, "postal_code", a.Postal)
	put(out, "address_country", a.Country)
	return out
}

func options(list []checkout.FulfillmentOption) []object {
	out := []object{}
	for _, o := range list {
		one := object{"id": o.ID, "title": o.Title, "totals": []object{{"type": checkout.TotalTotal, "amount": o.Amount}}}
		put(one, "carrier", o.Carrier)
		if !o.Earliest.IsZero() {
			one["earliest_fulfillment_time"] = stamp(o.Earliest)
		}
		if !o.Latest.IsZero() {
			one["latest_fulfillment_time"] = stamp(o.Latest)
		}
		out = append(out, one)
	}
	return out
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// order renders an order. Receipts are for who has negotiated them.
func (s *Server) order(ctx context.Context, c *call, o checkout.Order, withReceipts bool) object {
	lines := []object{}
	for _, l := range o.Lines {
		one := object{
			"id": l.ID, "item": item(l.Line), "quantity": object{"original": l.Quantity, "total": l.Current, "fulfilled": l.Fulfilled},
			"totals": lineTotals(l.Line), "status": l.Status(),
		}
		if l.Parent != "" {
			one["parent_id"] = l.Parent
		}
		lines = append(lines, one)
	}
	names := []string{protocol.Order}
	if withReceipts {
		names = append(names, s.cfg.Extension)
	}
	out := object{
		"ucp": c.meta(names...), "id": o.ID, "checkout_id": o.Session, "permalink_url": s.cfg.OrderURL(o.ID), "line_items": lines,
		"currency": o.Currency, "totals": totals(o.Totals), "fulfillment": fulfillment(o),
	}
	if len(o.Adjustments) > 0 {
		var list []object
		for _, a := range o.Adjustments {
			one := object{
				"id": a.ID, "type": a.Type, "occurred_at": stamp(a.At), "status": a.Status,
				"totals": []object{{"type": checkout.TotalTotal, "amount": -a.Amount}},
			}
			list = append(list, one)
		}
		out["adjustments"] = list
	}
	if withReceipts {
		if all := s.cfg.Receipts(ctx, o); len(all) > 0 {
			out["receipts"] = all
		}
	}
	return out
}

// fulfillment says what is to come and what has.
func fulfillment(o checkout.Order) object {
	quantity := func(id string) int64 {
		for _, l := range o.Lines {
			if l.ID == id {
				return l.Quantity
			}
		}
		return 0
	}
	expectations := []object{}
	digital := []object{}
	for _, l := range o.Lines {
		if l.Digital {
			digital = append(digital, object{"id": l.ID, "quantity": l.Quantity})
		}
	}
	if len(digital) > 0 {
		expectations = append(expectations, object{"id": "exp_digital", "line_items": digital, "method_type": "digital", "destination": object{}})
	}
	for _, m := range o.Fulfillment {
		moved := []object{}
		for _, id := range m.Lines {
			if n := quantity(id); n > 0 {
				moved = append(moved, object{"id": id, "quantity": n})
			}
		}
		to := object{}
		for _, d := range m.Destinations {
			if d.ID == m.Destination {
				to = address(d.Address)
			}
		}
		one := object{"id": m.ID, "line_items": moved, "method_type": m.Type, "destination": to}
		for _, g := range m.Groups {
			for _, option := range g.Options {
				if option.ID == g.Option && !option.Latest.IsZero() {
					one["fulfillable_on"] = stamp(option.Latest)
				}
			}
		}
		expectations = append(expectations, one)
	}
	events := []object{}
	for _, e := range o.Events {
		moved := []object{}
		for _, m := range e.Lines {
			moved = append(moved, object{"id": m.Line, "quantity": m.Quantity})
		}
		one := object{"id": e.ID, "occurred_at": stamp(e.At), "type": e.Type, "line_items": moved}
		put(one, "tracking_number", e.Tracking)
		put(one, "tracking_url", e.TrackingURL)
		put(one, "carrier", e.Carrier)
		put(one, "description", e.Description)
		events = append(events, one)
	}
	return object{"expectations": expectations, "events": events}
}

// EncodeOrder renders an order for its platform, as it is sent there at every change.
func (s *Server) EncodeOrder(v protocol.Version, o checkout.Order) ([]byte, error) {
	peer := protocol.Peer{Version: v, Capabilities: map[string]string{protocol.Order: string(v)}}
	// No receipts: what is sent is kept and shown by whoever gets it.
	data, err := json.Marshal(s.order(context.Background(), &call{v: v, peer: peer}, o, false))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", o.ID, err)
	}
	return data, nil
}
