package config

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Facilitator is a stablecoin on one network, settled by facilitators.
type Facilitator struct {
	// Name is the method's.
	Name    string
	Network string
	Asset   Asset
	// PayTo is an address; empty is the deposit address of methods.stripe.
	PayTo     string
	Scheme    string
	Endpoints []Endpoint
	// Node is the URL of the chain's JSON-RPC node, or empty.
	Node    string
	Timeout time.Duration
	// Path is where it stands in the file.
	Path string
}

// Asset is a token: a known one by its symbol, or with all fields one that is not.
type Asset struct {
	Symbol, Contract, DomainName, DomainVersion string
	Decimals                                    int
}

// Endpoint is a facilitator.
type Endpoint struct {
	URL       string
	Headers   map[string]Secret
	CDPKeyID  string
	CDPSecret Secret
}

// Header reveals Headers, for the one client that sends them.
func (e Endpoint) Header() http.Header { return reveal(e.Headers) }

// X402 is about the x402 protocol.
type X402 struct {
	Enabled, V1 bool
	// LinkTokens is nil when they are not offered.
	LinkTokens     *LinkTokens
	SignedOffers   bool
	Identifier     string // "off", "optional" or "required"
	SignIn, Bazaar bool
	Clients        []FacilitatorClient
}

// LinkTokens is how tokens of the card rail travel over x402.
type LinkTokens struct {
	Scheme, Network, PayTo, TokenMember, IDMember string
	Extra                                         map[string]string
}

// FacilitatorClient is another server that settles through this one.
type FacilitatorClient struct {
	Name    string
	Token   Secret
	Account string
}

// Meter says how an upstream tells what was used.
type Meter struct{ Header, Missing string }

var (
	methodName  = regexp.MustCompile(`^[a-z]{1,20}$`)
	evmNetwork  = regexp.MustCompile(`^eip155:[1-9][0-9]{0,18}$`)
	evmAddress  = regexp.MustCompile(`^0x[0-9a-fA-F]{40}$`)
	assetSymbol = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9.]{1,15}$`)
	caip2       = regexp.MustCompile(`^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}$`)
	memberName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,31}$`)
	schemeName  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
)

const (
	maxFacilitators = 16
	maxEndpoints    = 8
	maxClients      = 256
	minClientToken  = 32
)

func (c *checker) facilitators() {
	in := c.in.Methods.Facilitator
	if len(in) > maxFacilitators {
		c.fault("methods.facilitator", "there are %d; at most %d", len(in), maxFacilitators)
		return
	}
	for i := range in {
		at := item("methods.facilitator", i)
		if !c.has(at) {
			at = "methods.facilitator" // a single one
		}
		c.out.Methods.Facilitators = append(c.out.Methods.Facilitators, c.facilitator(at, &in[i], in[:i]))
	}
}

func (c *checker) facilitator(at string, in *facilitatorFile, before []facilitatorFile) Facilitator {
	out := Facilitator{
		Name: in.Name, Network: in.Network, Scheme: in.Scheme, Timeout: time.Duration(in.Timeout), Path: at,
		Asset: Asset{
			Symbol: in.Asset, Contract: in.Contract, DomainName: in.DomainName, DomainVersion: in.DomainVer, Decimals: int(in.Decimals),
		},
	}
	switch {
	case !methodName.MatchString(in.Name) || in.Name == "stripe" || in.Name == "credit":
		c.fault(at+".name", "%s is not a name for a method; write 1 to 20 lower-case letters, not stripe and not credit", clip(in.Name))
	case slices.ContainsFunc(before, func(o facilitatorFile) bool { return o.Name == in.Name }):
		c.fault(at+".name", "%s is the name of another; each has its own", clip(in.Name))
	}
	c.missing(at+".network", "write the CAIP-2 id of a chain, as eip155:8453 for Base")
	if in.Network != "" && !evmNetwork.MatchString(in.Network) {
		c.fault(at+".network", "%s is not an EVM chain; write eip155: and its number, as eip155:8453 for Base", clip(in.Network))
	}
	c.asset(at, in)
	c.missing(at+".pay_to", "write the address that is paid, or stripe")
	switch {
	case in.PayTo == "":
	case in.PayTo == "stripe":
		if c.in.Methods.Stripe == nil {
			c.fault(at+".pay_to", "is the deposit address of methods.stripe, which is not set up")
		}
	case !evmAddress.MatchString(in.PayTo):
		c.fault(at+".pay_to", "%s is not an address; write 0x and 40 hexadecimal digits, or stripe", clip(in.PayTo))
	default:
		out.PayTo = in.PayTo
	}
	switch named := c.has(at + ".endpoints"); {
	case named == c.has(at+".url"):
		c.fault(at, "wants a facilitator: either url, or endpoints for several and for those with keys")
	case !named:
		in.Endpoints = []endpointFile{{URL: in.URL}}
	}
	if len(in.Endpoints) > maxEndpoints {
		c.fault(at+".endpoints", "there are %d; at most %d", len(in.Endpoints), maxEndpoints)
	}
	for i, e := range in.Endpoints {
		path := item(at+".endpoints", i)
		switch {
		case c.has(at + ".url"):
			path = at
		case !c.has(path):
			path = at + ".endpoints" // a single one
		}
		out.Endpoints = append(out.Endpoints, c.endpoint(path, e))
	}
	if in.Node != "" {
		out.Node = c.secureURL(at+".node", in.Node)
	}
	return out
}

// asset checks that a token is either left to what is known or described whole.
func (c *checker) asset(at string, in *facilitatorFile) {
	if !assetSymbol.MatchString(in.Asset) {
		c.fault(at+".asset", "%s is not a symbol; write one as USDC", clip(in.Asset))
	}
	own := []string{"domain_name", "domain_version", "decimals"}
	if in.Contract == "" {
		for _, key := range own {
			if c.has(at + "." + key) {
				c.fault(at+"."+key, "is for a token with contract; a known asset brings its own")
			}
		}
		return
	}
	if !evmAddress.MatchString(in.Contract) {
		c.fault(at+".contract", "%s is not an address; write 0x and 40 hexadecimal digits", clip(in.Contract))
	}
	for _, key := range own {
		c.missing(at+"."+key, "a token with contract is described whole")
	}
}

func (c *checker) endpoint(at string, in endpointFile) Endpoint {
	out := Endpoint{Headers: c.headers(at+".headers", in.Headers)}
	c.missing(at+".url", "write the base of /verify and /settle")
	if in.URL != "" {
		out.URL = strings.TrimSuffix(c.secureURL(at+".url", in.URL), "/")
	}
	id, hasID := c.resolve(at+".cdp_key_id", in.CDPKeyID)
	secret, hasSecret := c.resolve(at+".cdp_key_secret", in.CDPSecret)
	if (in.CDPKeyID == "") != (in.CDPSecret == "") {
		c.fault(at, "wants both cdp_key_id and cdp_key_secret, or neither")
	}
	if hasID && hasSecret {
		out.CDPKeyID, out.CDPSecret = id, NewSecret(secret)
		if in.CDPSecret.literal() {
			c.literal(at+".cdp_key_secret", c.live())
		}
	}
	return out
}

// secureURL is a URL that secrets or money may be sent to.
func (c *checker) secureURL(path, text string) string {
	u, ok := c.webURL(path, text)
	if !ok {
		return ""
	}
	if u.Scheme != "https" && !loopback(u.Hostname()) {
		c.fault(path, "is plain HTTP beyond loopback; write https://")
	}
	return u.String()
}

func (c *checker) x402() {
	in := &c.in.X402
	out := X402{
		Enabled: in.Enabled, V1: in.V1, SignedOffers: in.Offers, Identifier: in.Identifier, SignIn: in.SignIn, Bazaar: in.Bazaar,
	}
	out.LinkTokens = c.linkTokens("x402.link_tokens", &in.LinkTokens)
	if len(in.Clients) > maxClients {
		c.fault("x402.facilitator_clients", "there are %d; at most %d", len(in.Clients), maxClients)
		return
	}
	for i, one := range in.Clients {
		at := item("x402.facilitator_clients", i)
		c.missing(at+".name", "name the client")
		c.missing(at+".token", "write env:NAME or file:PATH of a token of at least 32 bytes")
		switch {
		case one.Name != "" && !routeID.MatchString(one.Name):
			c.fault(at+".name", "%s is not a name; it is 1 to 64 of a-z 0-9 . _ - and begins with a letter or digit", clip(one.Name))
		case slices.ContainsFunc(out.Clients, func(o FacilitatorClient) bool { return o.Name == one.Name }):
			c.fault(at+".name", "%s is given twice", clip(one.Name))
		}
		c.account(at+".account", one.Account)
		out.Clients = append(out.Clients, FacilitatorClient{Name: one.Name, Account: one.Account, Token: c.clientToken(at+".token", one.Token, out.Clients)})
	}
	if len(in.Clients) > 0 && out.LinkTokens == nil {
		c.fault("x402.facilitator_clients", "have nothing to settle; say x402.link_tokens.offer: on")
	}
	c.out.X402 = out
}

func (c *checker) clientToken(path string, r reference, before []FacilitatorClient) Secret {
	value, ok := c.resolve(path, r)
	switch {
	case !ok:
		return Secret{}
	case len(value) < minClientToken || !visible(value) || weak(value):
		c.fault(path, "can be guessed; it needs 32 or more random characters, without spaces")
		return Secret{}
	case slices.ContainsFunc(before, func(o FacilitatorClient) bool { return o.Token.Reveal() == value }):
		c.fault(path, "is the token of another client; each has its own")
	case r.literal():
		c.literal(path, c.live())
	}
	return NewSecret(value)
}

func (c *checker) linkTokens(at string, in *linkTokensFile) *LinkTokens {
	stripe := c.out.Methods.Stripe
	on := in.Offer == "on"
	if in.Offer == "auto" && stripe != nil && stripe.BaseURL != "" {
		if u, ok := c.webURL("methods.stripe.base_url", stripe.BaseURL); ok {
			on = loopback(u.Hostname())
		}
	}
	out := &LinkTokens{Scheme: in.Scheme, Network: in.Network, PayTo: in.PayTo, TokenMember: in.TokenMember, IDMember: in.IDMember, Extra: in.Extra}
	if out.Network == "" {
		out.Network = "stripe:test"
		if c.live() {
			out.Network = "stripe:live"
		}
	}
	if out.PayTo == "" && stripe != nil {
		out.PayTo = stripe.Profile
	}
	if out.Extra == nil {
		out.Extra = map[string]string{"psp": "stripe"}
	}
	switch {
	case in.Offer == "on" && c.in.Methods.Stripe == nil:
		c.fault(at+".offer", "wants methods.stripe, which settles them")
	case !schemeName.MatchString(out.Scheme):
		c.fault(at+".scheme", "%s is not a name of a scheme: lower-case letters, digits and -", clip(out.Scheme))
	case !caip2.MatchString(out.Network):
		c.fault(at+".network", "%s has not the form of CAIP-2, as stripe:test", clip(out.Network))
	case !memberName.MatchString(out.TokenMember):
		c.fault(at+".token_member", "%s is not a name of a member", clip(out.TokenMember))
	case !memberName.MatchString(out.IDMember) || out.IDMember == out.TokenMember:
		c.fault(at+".id_member", "%s is not a name of a member of its own", clip(out.IDMember))
	}
	for _, key := range sortedKeys(out.Extra) {
		if !memberName.MatchString(key) || key == "paymentFlow" || key == "assetTransferMethod" || !printable(out.Extra[key]) || len(out.Extra[key]) > maxField {
			c.fault(join(at+".extra", key), "is not a member that can be set here: text of at most %d ASCII characters, not paymentFlow", maxField)
		}
	}
	if !on || stripe == nil {
		return nil
	}
	return out
}

const maxField = 200

// settle checks when the money of a route is taken.
func (c *checker) settle(at string, in *routeFile, out *Route) {
	out.Settle = in.Settle
	metered := in.Settle == "metered"
	if in.Meter != nil && !metered {
		c.fault(at+".meter", "is for routes with settle: metered")
	}
	if !metered {
		return
	}
	m := meterFile{Header: "Paywall-Used", Missing: "ceiling"}
	if in.Meter != nil {
		m = *in.Meter
	}
	out.Meter = &Meter{Header: m.Header, Missing: m.Missing}
	if m.Header != "Paywall-Used" {
		if name, ok := c.fieldName(at+".meter.header", m.Header); ok {
			out.Meter.Header = name
		}
	}
}
