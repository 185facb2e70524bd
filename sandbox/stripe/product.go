package stripe

import "time"

// A product is something to sell; what it costs is in its prices.
type product struct {
	id, name, description, url string
	created                    time.Time
	active                     bool
	images                     []string
	taxCode                    string
	metadata                   map[string]string
}

func (p *product) ident() string   { return p.id }
func (p *product) born() time.Time { return p.created }

func (p *product) render() object {
	images := p.images
	if images == nil {
		images = []string{}
	}
	return object{
		"id": p.id, "object": "product", "active": p.active, "created": p.created.Unix(), "updated": p.created.Unix(), "livemode": false,
		"name": p.name, "description": orNull(p.description), "images": images, "url": orNull(p.url), "tax_code": orNull(p.taxCode),
		"metadata": notes(p.metadata), "default_price": nil, "marketing_features": []object{}, "package_dimensions": nil, "shippable": nil,
		"statement_descriptor": nil, "type": "service", "unit_label": nil,
	}
}

func (p *product) read(c *call) {
	for name, into := range map[string]*string{"name": &p.name, "description": &p.description, "url": &p.url, "tax_code": &p.taxCode} {
		if c.has(name) {
			*into = c.str(name)
		}
	}
	if c.has("active") {
		p.active = c.flag("active")
	}
	if c.has("images") {
		p.images = c.list("images")
	}
	p.metadata = c.metadata("metadata", p.metadata)
}

func (s *Server) createProduct(c *call) (object, error) {
	p := &product{created: c.now, active: true}
	c.need("name")
	p.read(c)
	if err := c.finish(); err != nil {
		return nil, err
	}
	p.id = s.newID("prod")
	c.account.products.add(p)
	s.emit(c.account, "product.created", p.render(), nil)
	return p.render(), nil
}

func (s *Server) retrieveProduct(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	p, ok := c.account.products.get(c.id)
	if !ok {
		return nil, noSuch("product", "id", c.id)
	}
	return p.render(), nil
}

func (s *Server) updateProduct(c *call) (object, error) {
	p, ok := c.account.products.get(c.id)
	if !ok {
		return nil, noSuch("product", "id", c.id)
	}
	changed := *p
	changed.read(c)
	if err := c.finish(); err != nil {
		return nil, err
	}
	*p = changed
	s.emit(c.account, "product.updated", p.render(), nil)
	return p.render(), nil
}

func (s *Server) listProducts(c *call) (object, error) {
	when, g, active := c.created(), c.page(), c.one("active", "true", "false")
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, more, err := cut(&c.account.products, g, "product", func(p *product) bool {
		return when.covers(p.created) && (active == "" || p.active == (active == "true"))
	})
	if err != nil {
		return nil, err
	}
	return listOf(found, more, "/v1/products", (*product).render), nil
}

// A price is what one of a product costs.
type price struct {
	id, product, currency, nickname string
	created                         time.Time
	active, recurring               bool
	amount                          int64
	metadata                        map[string]string
}

func (p *price) ident() string   { return p.id }
func (p *price) born() time.Time { return p.created }

func (p *price) kind() string {
	if p.recurring {
		return "recurring"
	}
	return "one_time"
}

func (p *price) render() object {
	return object{
		"id": p.id, "object": "price", "active": p.active, "created": p.created.Unix(), "livemode": false, "product": p.product,
		"currency": p.currency, "unit_amount": p.amount, "nickname": orNull(p.nickname), "type": p.kind(), "billing_scheme": "per_unit",
		"metadata": notes(p.metadata), "lookup_key": nil, "tax_behavior": "unspecified", "tiers_mode": nil, "transform_quantity": nil,
	}
}

func (s *Server) createPrice(c *call) (object, error) {
	p := &price{created: c.now, active: true, product: c.need("product"), currency: c.currency(), nickname: c.str("nickname")}
	var ok bool
	if p.amount, ok = c.integer("unit_amount", 0); !ok {
		c.missing("unit_amount")
	}
	if c.has("active") {
		p.active = c.flag("active")
	}
	p.recurring = c.has("recurring")
	c.ignore("recurring", "lookup_key", "tax_behavior")
	p.metadata = c.metadata("metadata", nil)
	if err := c.finish(); err != nil {
		return nil, err
	}
	if _, ok := c.account.products.get(p.product); !ok {
		return nil, noSuch("product", "product", p.product)
	}
	p.id = s.newID("price")
	c.account.prices.add(p)
	s.emit(c.account, "price.created", p.render(), nil)
	return p.render(), nil
}

func (s *Server) retrievePrice(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	p, ok := c.account.prices.get(c.id)
	if !ok {
		return nil, noSuch("price", "id", c.id)
	}
	return p.render(), nil
}

func (s *Server) updatePrice(c *call) (object, error) {
	p, ok := c.account.prices.get(c.id)
	if !ok {
		return nil, noSuch("price", "id", c.id)
	}
	changed := *p
	if c.has("active") {
		changed.active = c.flag("active")
	}
	if c.has("nickname") {
		changed.nickname = c.str("nickname")
	}
	changed.metadata = c.metadata("metadata", p.metadata)
	if err := c.finish(); err != nil {
		return nil, err
	}
	*p = changed
	s.emit(c.account, "price.updated", p.render(), nil)
	return p.render(), nil
}

func (s *Server) listPrices(c *call) (object, error) {
	when, g := c.created(), c.page()
	active, kind, product := c.one("active", "true", "false"), c.one("type", "one_time", "recurring"), c.str("product")
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, more, err := cut(&c.account.prices, g, "price", func(p *price) bool {
		return when.covers(p.created) && (active == "" || p.active == (active == "true")) && (kind == "" || p.kind() == kind) &&
			(product == "" || p.product == product)
	})
	if err != nil {
		return nil, err
	}
	return listOf(found, more, "/v1/prices", (*price).render), nil
}
