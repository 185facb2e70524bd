package config

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"paywall/money"
)

// Shop is what is sold over UCP.
type Shop struct {
	// Catalog is the path of a file; empty is the processor's products.
	Catalog string
	// Settings is the path of a file, or empty.
	Settings string
	// Currency is empty for that of the files.
	Currency               string
	Refresh, Session, Hold time.Duration
	// Authority is a host name that is not one label and no address, or empty.
	Authority string
	// Keys is the path of a key file; empty is that of receipts.
	Keys      string
	Require   string // "none", "authenticated" or "signature"
	Clients   []ShopClient
	OAuth     *ShopOAuth
	Platforms Platforms
	Handlers  Handlers
	Rates     *Rates
}

// ShopClient is an agent with an API key.
type ShopClient struct {
	Name     string
	Key      Secret
	Profiles []string
}

// ShopOAuth is who tells whether a bearer token is good.
type ShopOAuth struct {
	Introspection, Issuer, ClientID, ProfileMember string
	ClientSecret                                   Secret
}

// Platforms says whose profiles are believed.
type Platforms struct {
	// Pinned are paths of files by the URL of a profile.
	Pinned         map[string]string
	Only, Loopback bool
	PerSecond      int
}

// Handlers are the ways to pay at a checkout.
type Handlers struct {
	// Stripe is nil when it is not offered.
	Stripe    *StripeHandler
	X402, MPP bool
}

// StripeHandler is com.stripe.payments.
type StripeHandler struct {
	ID, Version string
	Link, Card  bool
	Brands      []string
	Config      map[string]string
}

// Rates are the seller's own services for delivery and tax; empty URLs are none.
type Rates struct {
	Delivery, Tax string
	Timeout       time.Duration
	Headers       map[string]Secret
}

// Header reveals Headers, for the one client that sends them.
func (r Rates) Header() http.Header { return reveal(r.Headers) }

var (
	handlerID   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	releaseDate = regexp.MustCompile(`^20[0-9]{2}-[0-9]{2}-[0-9]{2}$`)
	brandName   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
)

const (
	maxPinned   = 1024
	maxProfiles = 16
)

func (c *checker) shop() {
	in := c.in.Shop
	if in == nil {
		return
	}
	out := &Shop{
		Currency: strings.ToUpper(in.Currency), Refresh: time.Duration(in.Refresh), Session: time.Duration(in.Session), Hold: time.Duration(in.Hold),
		Require: in.Require,
	}
	c.missing("shop.catalog", "write the path of a catalog, or stripe for the products of your account")
	switch {
	case in.Catalog == "stripe" && c.in.Methods.Stripe == nil:
		c.fault("shop.catalog", "is the products of methods.stripe, which is not set up")
	case in.Catalog != "" && in.Catalog != "stripe":
		out.Catalog = c.readable("shop.catalog", in.Catalog)
	}
	if in.Settings != "" {
		out.Settings = c.readable("shop.settings", in.Settings)
	}
	if _, known := money.Exponent(out.Currency); in.Currency != "" && !known {
		c.fault("shop.currency", "%s is not a currency; write an ISO 4217 code, as USD", clip(in.Currency))
	}
	if path, ok := strings.CutPrefix(string(in.Keys), "file:"); ok {
		out.Keys = c.readable("shop.keys", path)
	} else if in.Keys != "" {
		c.fault("shop.keys", "is not a key file; write file:PATH")
	}
	out.Authority = c.authority(in.Authority)
	c.shopClients(in, out)
	c.shopOAuth(in, out)
	c.platforms(&in.Platforms, out)
	c.handlers(&in.Handlers, out)
	c.rates(in.Rates, out)
	if len(c.out.Methods.Names()) == 0 && !c.has("methods.stripe") && !c.has("methods.facilitator") {
		c.fault("methods", "is missing, so that nothing can be paid; set up methods.stripe or methods.facilitator")
	}
	c.out.Shop = out
}

// readable is the path of a plain file, joined with the folder of the configuration.
func (c *checker) readable(path, name string) string {
	at, err := c.regular(name)
	if err != nil {
		c.fault(path, "%v", err)
	}
	return at
}

func (c *checker) authority(text string) string {
	host := strings.ToLower(text)
	if text == "" {
		host = c.out.Realm
	}
	// A name of two labels at least, whose last one is no number.
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	named := len(labels) > 1 && isHost(host) && strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(host, "[")
	switch {
	case named:
		return host
	case text != "":
		c.fault("shop.authority", "%s is not a host name of two labels or more, as shop.example.com", clip(text))
	}
	return ""
}

func (c *checker) shopClients(in *shopFile, out *Shop) {
	if len(in.Clients) > maxClients {
		c.fault("shop.clients", "there are %d; at most %d", len(in.Clients), maxClients)
		return
	}
	for i, one := range in.Clients {
		at := item("shop.clients", i)
		c.missing(at+".name", "name the agent")
		c.missing(at+".key", "write env:NAME or file:PATH of a key of at least 32 bytes")
		c.missing(at+".profiles", "write the URL of its profile")
		switch {
		case one.Name != "" && !routeID.MatchString(one.Name):
			c.fault(at+".name", "%s is not a name; it is 1 to 64 of a-z 0-9 . _ - and begins with a letter or digit", clip(one.Name))
		case slices.ContainsFunc(out.Clients, func(o ShopClient) bool { return o.Name == one.Name }):
			c.fault(at+".name", "%s is given twice", clip(one.Name))
		}
		var before []FacilitatorClient
		for _, o := range out.Clients {
			before = append(before, FacilitatorClient{Token: o.Key})
		}
		client := ShopClient{Name: one.Name, Key: c.clientToken(at+".key", one.Key, before)}
		if len(one.Profiles) > maxProfiles {
			c.fault(at+".profiles", "there are %d; at most %d", len(one.Profiles), maxProfiles)
		}
		for j, text := range one.Profiles {
			path := item(at+".profiles", j)
			if !c.has(path) {
				path = at + ".profiles"
			}
			if u, ok := c.webURL(path, text); ok {
				client.Profiles = append(client.Profiles, u.String())
			}
		}
		out.Clients = append(out.Clients, client)
	}
}

func (c *checker) shopOAuth(in *shopFile, out *Shop) {
	o := in.OAuth
	if o == nil {
		return
	}
	const at = "shop.oauth."
	c.missing(at+"introspection", "write the URL of the endpoint")
	c.missing(at+"issuer", "write the URL of the issuer")
	c.missing(at+"client_id", "write our name at the endpoint")
	c.missing(at+"client_secret", "write env:NAME or file:PATH")
	out.OAuth = &ShopOAuth{ClientID: o.ClientID, ProfileMember: o.Profiles}
	if o.Introspection != "" {
		out.OAuth.Introspection = c.secureURL(at+"introspection", o.Introspection)
	}
	if o.Issuer != "" {
		// An issuer is compared to the byte, so it is kept as it is written.
		c.secureURL(at+"issuer", o.Issuer)
		out.OAuth.Issuer = o.Issuer
	}
	if !memberName.MatchString(o.Profiles) {
		c.fault(at+"profile_member", "%s is not a name of a member", clip(o.Profiles))
	}
	if value, ok := c.resolve(at+"client_secret", o.ClientSecret); ok {
		out.OAuth.ClientSecret = NewSecret(value)
		if o.ClientSecret.literal() {
			c.literal(at+"client_secret", c.live())
		}
	}
}

func (c *checker) platforms(in *platformsFile, out *Shop) {
	const at = "shop.platforms."
	out.Platforms = Platforms{Only: in.Only, Loopback: in.Loopback, PerSecond: int(in.PerSecond), Pinned: map[string]string{}}
	if in.Loopback && !loopback(c.out.Realm) {
		c.fault(at+"loopback", "would let anybody reach servers on this machine; it is for a public_url on loopback")
	}
	if in.Only && len(in.Pinned) == 0 {
		c.fault(at+"only_pinned", "leaves nobody to sell to; name profiles under pinned")
	}
	if len(in.Pinned) > maxPinned {
		c.fault(at+"pinned", "there are %d; at most %d", len(in.Pinned), maxPinned)
		return
	}
	for _, url := range sortedKeys(in.Pinned) {
		path := join(at+"pinned", url)
		if _, ok := c.webURL(path, url); ok {
			out.Platforms.Pinned[url] = c.readable(path, in.Pinned[url])
		}
	}
}

func (c *checker) handlers(in *handlersFile, out *Shop) {
	const at = "shop.handlers.stripe."
	out.Handlers = Handlers{X402: in.X402 && c.in.X402.Enabled, MPP: in.MPP}
	if in.Stripe == nil {
		// What a shop with this method would expect without saying it.
		in.Stripe = &stripeHandlerFile{Offer: c.in.Methods.Stripe != nil, ID: "stripe_main", Version: "2026-06-25", Link: true}
	} else if in.Stripe.Offer && c.in.Methods.Stripe == nil {
		c.fault("shop.handlers.stripe", "wants methods.stripe, which settles it")
	}
	h := in.Stripe
	if !h.Offer {
		return
	}
	switch {
	case !handlerID.MatchString(h.ID):
		c.fault(at+"id", "%s is not an id; it is 1 to 64 of letters, digits and . _ -", clip(h.ID))
	case !releaseDate.MatchString(h.Version):
		c.fault(at+"version", "%s is not a version; write 2026-06-25", clip(h.Version))
	case !h.Link && !h.Card:
		c.fault("shop.handlers.stripe", "takes nothing; say link: true or card: true, or offer: false")
	case len(h.Brands) > 0 && !h.Card:
		c.fault(at+"brands", "are of cards; say card: true")
	}
	for i, brand := range h.Brands {
		if brand != "" && !brandName.MatchString(brand) {
			c.fault(item(at+"brands", i), "%s is not a brand; write visa, mastercard", clip(brand))
		}
	}
	for _, key := range sortedKeys(h.Config) {
		if !memberName.MatchString(key) || !printable(h.Config[key]) || len(h.Config[key]) > maxField {
			c.fault(join(at+"config", key), "is not a member that can be set here: text of at most %d ASCII characters", maxField)
		}
		if strings.HasPrefix(h.Config[key], "sk_") || strings.HasPrefix(h.Config[key], "rk_") {
			c.fault(join(at+"config", key), "is a secret key, and everybody reads the handler's config; give the publishable key")
		}
	}
	out.Handlers.Stripe = &StripeHandler{ID: h.ID, Version: h.Version, Link: h.Link, Card: h.Card, Brands: h.Brands, Config: h.Config}
}

func (c *checker) rates(in *ratesFile, out *Shop) {
	if in == nil {
		return
	}
	out.Rates = &Rates{Timeout: time.Duration(in.Timeout), Headers: c.headers("shop.rates.headers", in.Headers)}
	if in.Delivery != "" {
		out.Rates.Delivery = c.secureURL("shop.rates.delivery", in.Delivery)
	}
	if in.Tax != "" {
		out.Rates.Tax = c.secureURL("shop.rates.tax", in.Tax)
	}
	if in.Delivery == "" && in.Tax == "" {
		c.fault("shop.rates", "asks nobody; give delivery, tax or both")
	}
}
