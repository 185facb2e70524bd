package stripe

import "time"

// A customer is a name to file payments under.
type customer struct {
	id          string
	created     time.Time
	email       string
	name        string
	description string
	metadata    map[string]string
}

func (u *customer) ident() string   { return u.id }
func (u *customer) born() time.Time { return u.created }

func (u *customer) render() object {
	return object{
		"id": u.id, "object": "customer", "created": u.created.Unix(), "email": orNull(u.email), "name": orNull(u.name),
		"description": orNull(u.description), "metadata": notes(u.metadata), "livemode": false, "balance": 0, "currency": nil,
		"default_source": nil, "delinquent": false, "address": nil, "phone": nil, "shipping": nil,
	}
}

func (u *customer) read(c *call) {
	for name, into := range map[string]*string{"email": &u.email, "name": &u.name, "description": &u.description} {
		if c.has(name) {
			*into = c.str(name)
		}
	}
	u.metadata = c.metadata("metadata", u.metadata)
	c.ignore("phone", "address", "shipping", "preferred_locales", "invoice_settings")
}

func (s *Server) createCustomer(c *call) (object, error) {
	u := &customer{created: c.now}
	u.read(c)
	if err := c.finish(); err != nil {
		return nil, err
	}
	u.id = s.newID("cus")
	c.account.customers.add(u)
	s.emit(c.account, "customer.created", u.render(), nil)
	return u.render(), nil
}

func (s *Server) retrieveCustomer(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	u, ok := c.account.customers.get(c.id)
	if !ok {
		return nil, noSuch("customer", "id", c.id)
	}
	return u.render(), nil
}

func (s *Server) updateCustomer(c *call) (object, error) {
	u, ok := c.account.customers.get(c.id)
	if !ok {
		return nil, noSuch("customer", "id", c.id)
	}
	changed := *u
	changed.read(c)
	if err := c.finish(); err != nil {
		return nil, err
	}
	*u = changed
	s.emit(c.account, "customer.updated", u.render(), nil)
	return u.render(), nil
}

func (s *Server) listCustomers(c *call) (object, error) {
	when, g, email := c.created(), c.page(), c.str("email")
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, more, err := cut(&c.account.customers, g, "customer", func(u *customer) bool {
		return when.covers(u.created) && (email == "" || u.email == email)
	})
	if err != nil {
		return nil, err
	}
	return listOf(found, more, "/v1/customers", (*customer).render), nil
}

func (s *Server) retrieveAccount(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	return object{
		"id": c.account.id, "object": "account", "charges_enabled": true, "payouts_enabled": true, "country": "US",
		"default_currency": "usd", "details_submitted": true, "type": "standard",
		"settings": object{"dashboard": object{"display_name": "Sandbox: no money moves"}},
	}, nil
}

func (s *Server) businessProfile(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	return object{
		"id": c.account.profile, "object": "v2.network.business_profile", "livemode": false,
		"display_name": "Sandbox: no money moves", "description": nil, "url": nil,
	}, nil
}
