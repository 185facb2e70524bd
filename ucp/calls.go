package ucp

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"paywall/checkout"
	"paywall/payment"
	"paywall/ucp/protocol"
)

// shown renders a session that an operation has come to.
func (s *Server) shown(ctx context.Context, c *call, status int, x checkout.Session, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	doc, err := s.session(ctx, c, x)
	return answer{status, doc}, err
}

func (s *Server) create(ctx context.Context, c *call) (answer, error) {
	d, err := c.desired()
	if err != nil {
		return answer{}, err
	}
	x, err := s.cfg.Service.Create(ctx, c.caller(), d)
	return s.shown(ctx, c, http.StatusCreated, x, err)
}

func (s *Server) get(ctx context.Context, c *call) (answer, error) {
	x, err := s.cfg.Service.Get(ctx, c.caller(), c.id)
	return s.shown(ctx, c, http.StatusOK, x, err)
}

func (s *Server) update(ctx context.Context, c *call) (answer, error) {
	d, err := c.desired()
	if err != nil {
		return answer{}, err
	}
	x, err := s.cfg.Service.Update(ctx, c.caller(), c.id, d)
	return s.shown(ctx, c, http.StatusOK, x, err)
}

func (s *Server) cancel(ctx context.Context, c *call) (answer, error) {
	x, err := s.cfg.Service.Cancel(ctx, c.caller(), c.id)
	return s.shown(ctx, c, http.StatusOK, x, err)
}

func (s *Server) complete(ctx context.Context, c *call) (answer, error) {
	var in completeBody
	if err := decode(c.body, &in); err != nil {
		return answer{}, err
	}
	x, err := s.cfg.Service.Complete(ctx, c.caller(), c.id, c.key, func(due checkout.Due) (payment.Credential, error) {
		i, err := instrument(in.Payment.Instruments)
		if err != nil {
			return payment.Credential{}, err
		}
		return s.credential(c, i, due)
	})
	return s.shown(ctx, c, http.StatusOK, x, err)
}

// credential finds the handler that the instrument names among those that this
// checkout was offered.
func (s *Server) credential(c *call, i protocol.Instrument, due checkout.Due) (payment.Credential, error) {
	for _, h := range s.cfg.Handlers {
		d, ok := h.Declare(c.v, &due, s.cfg.Now())
		if !ok || d.ID != i.HandlerID {
			continue
		}
		if !slices.ContainsFunc(d.Instruments, func(t protocol.InstrumentType) bool { return t.Type == i.Type }) {
			break
		}
		return h.Credential(i, due, s.cfg.Now()) //nolint:wrapcheck // made for the platform
	}
	return payment.Credential{}, checkout.Refuse(checkout.KindPayment, "payment_failed",
		"This checkout cannot be paid with such an instrument; see payment_handlers. Nothing was charged.", "$.payment.instruments[0]", checkout.Recoverable)
}

func (s *Server) createCart(ctx context.Context, c *call) (answer, error) {
	d, err := c.desired()
	if err != nil {
		return answer{}, err
	}
	x, err := s.cfg.Service.CreateCart(ctx, c.caller(), d)
	return s.shown(ctx, c, http.StatusCreated, x, err)
}

func (s *Server) getCart(ctx context.Context, c *call) (answer, error) {
	x, err := s.cfg.Service.GetCart(ctx, c.caller(), c.id)
	return s.shown(ctx, c, http.StatusOK, x, err)
}

func (s *Server) updateCart(ctx context.Context, c *call) (answer, error) {
	d, err := c.desired()
	if err != nil {
		return answer{}, err
	}
	x, err := s.cfg.Service.UpdateCart(ctx, c.caller(), c.id, d)
	return s.shown(ctx, c, http.StatusOK, x, err)
}

func (s *Server) cancelCart(ctx context.Context, c *call) (answer, error) {
	x, err := s.cfg.Service.CancelCart(ctx, c.caller(), c.id)
	return s.shown(ctx, c, http.StatusOK, x, err)
}

func (s *Server) getOrder(ctx context.Context, c *call) (answer, error) {
	o, err := s.cfg.Service.Order(ctx, c.caller(), c.id)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // sorted by the caller
	}
	return answer{http.StatusOK, s.order(ctx, c, o, s.cfg.Extension != "" && c.peer.Has(s.cfg.Extension))}, nil
}

// Bodies of the catalog.
type (
	searchBody struct {
		Query   string `json:"query"`
		Filters struct {
			Categories []string `json:"categories"`
			Price      struct {
				Min *int64 `json:"min"`
				Max *int64 `json:"max"`
			} `json:"price"`
		} `json:"filters"`
		Pagination struct {
			Cursor string `json:"cursor"`
			Limit  *int64 `json:"limit"`
		} `json:"pagination"`
	}
	lookupBody struct {
		IDs []string `json:"ids"`
	}
	productBody struct {
		ID       string `json:"id"`
		Selected []struct {
			Name  string `json:"name"`
			Label string `json:"label"`
		} `json:"selected"`
	}
)

// Bounds of the catalog's calls.
const (
	maxQuery  = 500
	maxLookup = 100
)

func (s *Server) search(ctx context.Context, c *call) (answer, error) {
	var in searchBody
	if err := decode(c.body, &in); err != nil {
		return answer{}, err
	}
	limit := int64(10)
	if in.Pagination.Limit != nil {
		limit = *in.Pagination.Limit
	}
	if len(in.Query) > maxQuery || len(in.Filters.Categories) > maxLookup || limit < 1 {
		return answer{}, &protocol.Fault{Code: protocol.InvalidRequest, Content: "The query is too long, or the limit is not from 1."}
	}
	page, err := s.cfg.Shop().Search(checkout.Search{
		Query: in.Query, Categories: in.Filters.Categories, Min: in.Filters.Price.Min, Max: in.Filters.Price.Max,
		Cursor: in.Pagination.Cursor, Limit: int(min(limit, checkout.MaxPage)),
	})
	if err != nil {
		return answer{}, &protocol.Fault{Code: protocol.InvalidRequest, Content: "The cursor is not one of this search, or the catalog has changed; search again.", Err: err}
	}
	products, err := s.products(ctx, page.Products, nil)
	if err != nil {
		return answer{}, err
	}
	next := object{"has_next_page": page.Next != "", "total_count": page.Total}
	put(next, "cursor", page.Next)
	return answer{http.StatusOK, object{"ucp": c.meta(protocol.CatalogSearch), "products": products, "pagination": next}}, nil
}

func (s *Server) lookup(ctx context.Context, c *call) (answer, error) {
	var in lookupBody
	if err := decode(c.body, &in); err != nil {
		return answer{}, err
	}
	if len(in.IDs) == 0 {
		return answer{}, &protocol.Fault{Code: protocol.InvalidRequest, Content: "Name the ids to look up."}
	}
	if len(in.IDs) > maxLookup {
		return answer{}, &protocol.Fault{Code: protocol.RequestTooLarge, Content: fmt.Sprintf("At most %d ids are looked up at once.", maxLookup)}
	}
	shop := s.cfg.Shop()
	var found []checkout.Product
	inputs := map[string][]object{} // by variant
	var misses []checkout.Message
	seen := map[string]bool{}
	for _, id := range in.IDs {
		if seen[id] {
			continue
		}
		seen[id] = true
		p, ok := shop.Product(id)
		if !ok {
			misses = append(misses, checkout.Message{Type: checkout.TypeInfo, Code: "not_found", Content: id})
			continue
		}
		variants := p.Variants
		match := "featured"
		if _, v, exact := shop.Variant(id); exact {
			variants, match = []checkout.Variant{v}, "exact"
		}
		i := slices.IndexFunc(found, func(o checkout.Product) bool { return o.ID == p.ID })
		if i < 0 {
			p.Variants = nil
			found = append(found, p)
			i = len(found) - 1
		}
		for _, v := range variants {
			if len(inputs[v.ID]) == 0 {
				found[i].Variants = append(found[i].Variants, v)
			}
			inputs[v.ID] = append(inputs[v.ID], object{"id": id, "match": match})
		}
	}
	products, err := s.products(ctx, found, inputs)
	if err != nil {
		return answer{}, err
	}
	out := object{"ucp": c.meta(protocol.CatalogLookup), "products": products}
	if len(misses) > 0 {
		out["messages"] = s.messages(misses)
	}
	return answer{http.StatusOK, out}, nil
}

func (s *Server) product(ctx context.Context, c *call) (answer, error) {
	var in productBody
	if err := decode(c.body, &in); err != nil {
		return answer{}, err
	}
	if in.ID == "" {
		return answer{}, &protocol.Fault{Code: protocol.InvalidRequest, Content: "Name the product's id."}
	}
	p, ok := s.cfg.Shop().Product(in.ID)
	if !ok {
		return answer{}, checkout.Refuse(checkout.KindNotFound, "not_found", "There is no such product.", "", checkout.Unrecoverable)
	}
	docs, err := s.products(ctx, []checkout.Product{p}, nil)
	if err != nil {
		return answer{}, err
	}
	doc := docs[0]
	if len(in.Selected) > 0 {
		selected := []object{}
		for _, one := range in.Selected {
			if slices.ContainsFunc(p.Variants, func(v checkout.Variant) bool {
				return slices.Contains(v.Options, checkout.Option{Name: one.Name, Value: one.Label})
			}) {
				selected = append(selected, object{"name": one.Name, "label": one.Label})
			}
		}
		doc["selected"] = selected
	}
	return answer{http.StatusOK, object{"ucp": c.meta(protocol.CatalogLookup), "product": doc}}, nil
}

// products renders products, with what asked for each variant where that is wanted.
func (s *Server) products(ctx context.Context, list []checkout.Product, inputs map[string][]object) ([]object, error) {
	var variants []checkout.Variant
	for _, p := range list {
		variants = append(variants, p.Variants...)
	}
	left, err := s.cfg.Service.Left(ctx, variants)
	if err != nil {
		return nil, err //nolint:wrapcheck // sorted by the caller
	}
	currency := s.cfg.Shop().Currency
	price := func(units int64) object { return object{"amount": units, "currency": currency} }
	out := []object{}
	for _, p := range list {
		low, high := p.Variants[0].Price, p.Variants[0].Price
		var docs []object
		for _, v := range p.Variants {
			low, high = min(low, v.Price), max(high, v.Price)
			one := object{
				"id": v.ID, "title": v.Title, "description": described(v.Description, v.Title), "price": price(v.Price), "availability": available(v, left),
			}
			put(one, "sku", v.SKU)
			if v.Image != "" {
				one["media"] = []object{{"type": "image", "url": v.Image}}
			}
			if len(v.Options) > 0 {
				var chosen []object
				for _, o := range v.Options {
					chosen = append(chosen, object{"name": o.Name, "label": o.Value})
				}
				one["options"] = chosen
			}
			if inputs != nil {
				one["inputs"] = inputs[v.ID]
			}
			docs = append(docs, one)
		}
		one := object{
			"id": p.ID, "title": p.Title, "description": described(p.Description, p.Title),
			"price_range": object{"min": price(low), "max": price(high)}, "variants": docs,
		}
		put(one, "url", p.URL)
		if p.Image != "" {
			one["media"] = []object{{"type": "image", "url": p.Image}}
		}
		if len(p.Categories) > 0 {
			var all []object
			for _, name := range p.Categories {
				all = append(all, object{"value": name})
			}
			one["categories"] = all
		}
		if o := optionsOf(p); len(o) > 0 {
			one["options"] = o
		}
		out = append(out, one)
	}
	return out, nil
}

func described(text, otherwise string) object {
	if text == "" {
		text = otherwise
	}
	return object{"plain": text}
}

func available(v checkout.Variant, left map[string]int64) object {
	if n, bounded := left[v.ID]; bounded && n < 1 {
		return object{"available": false, "status": "out_of_stock"}
	}
	return object{"available": true, "status": "in_stock"}
}

// optionsOf lists what tells a product's variants apart.
func optionsOf(p checkout.Product) []object {
	var names []string
	values := map[string][]string{}
	for _, v := range p.Variants {
		for _, o := range v.Options {
			if !slices.Contains(names, o.Name) {
				names = append(names, o.Name)
			}
			if !slices.Contains(values[o.Name], o.Value) {
				values[o.Name] = append(values[o.Name], o.Value)
			}
		}
	}
	var out []object
	for _, name := range names {
		var all []object
		for _, v := range values[name] {
			all = append(all, object{"label": v})
		}
		out = append(out, object{"name": name, "values": all})
	}
	return out
}
