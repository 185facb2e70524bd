package config

// shopFile is what is sold over UCP, as it is read.
type shopFile struct {
	Catalog   string           `yaml:"catalog" type:"path or stripe" doc:"What is for sale: a YAML or CSV file, or stripe for the active products of methods.stripe. Required."`
	Settings  string           `yaml:"settings" type:"path" doc:"YAML file with currency, taxes, shipping, discounts and links, for a catalog that cannot hold them: CSV and stripe."`
	Currency  string           `yaml:"currency" else:"USD, or that of the catalog" doc:"ISO 4217 code of all prices."`
	Refresh   duration         `yaml:"refresh" default:"10m" min:"10s" max:"24h" doc:"How often products are read again where catalog is stripe. Files are read again with SIGHUP."`
	Session   duration         `yaml:"session" default:"6h" min:"1m" max:"24h" doc:"How long a cart or checkout lives after its last change."`
	Hold      duration         `yaml:"hold" default:"15m" min:"30s" max:"24h" doc:"How long a checkout holds stock after its last change."`
	Authority string           `yaml:"authority" else:"the host of public_url" doc:"Host name that our own payment handlers and the receipt extension are named after, reversed: shop.example.com gives com.example.shop.x402. On an address without a name they are off."`
	Keys      reference        `yaml:"keys" type:"file:PATH" else:"keys.receipts" doc:"Key file that answers and order events are signed with; the signing key is ES256. A former key stays published for as long as it is in the file."`
	Require   string           `yaml:"require" enum:"none|authenticated|signature" default:"none" doc:"What agents must show: nothing, a key, token or signature, or a signature. Orders are never shown without one of them."`
	Clients   []shopClientFile `yaml:"clients" type:"list" doc:"Agents with an API key."`
	OAuth     *shopOAuthFile   `yaml:"oauth"`
	Platforms platformsFile    `yaml:"platforms"`
	Handlers  handlersFile     `yaml:"handlers"`
	Rates     *ratesFile       `yaml:"rates"`
}

type shopClientFile struct {
	Name     string    `yaml:"name" doc:"Name in orders and logs: 1 to 64 of a-z 0-9 . _ -. Required."`
	Key      reference `yaml:"key" doc:"API key that the agent sends as X-API-Key, at least 32 bytes. Required."`
	Profiles []string  `yaml:"profiles,one" type:"list of URLs" doc:"The profiles that it may name in UCP-Agent. Required."`
}

type shopOAuthFile struct {
	Introspection string    `yaml:"introspection" type:"URL" doc:"RFC 7662 endpoint that tells whether a bearer token is good. Its client_id is the principal. Required."`
	Issuer        string    `yaml:"issuer" type:"URL" doc:"Issuer that agents are sent to for a token. Required."`
	ClientID      string    `yaml:"client_id" doc:"Our name at the endpoint. Required."`
	ClientSecret  reference `yaml:"client_secret" doc:"Our secret at the endpoint. Required."`
	Profiles      string    `yaml:"profile_member" default:"ucp_profile" doc:"Member of its answer that names the client's profile."`
}

type platformsFile struct {
	Pinned    map[string]string `yaml:"pinned" type:"mapping of paths" doc:"Profiles by their URL that are read from files, so that they are not fetched."`
	Only      bool              `yaml:"only_pinned" default:"false" doc:"Serve no other profiles."`
	Loopback  bool              `yaml:"loopback" default:"false" doc:"Fetch profiles, and send order events, to plain HTTP addresses on this machine too. For tests alone; refused where public_url is not on loopback."`
	PerSecond count             `yaml:"per_second" default:"10" caution:"10" doc:"Profiles that are fetched per second, of all agents together."`
}

type handlersFile struct {
	Stripe *stripeHandlerFile `yaml:"stripe"`
	X402   bool               `yaml:"x402" default:"true" doc:"Take x402 payments at checkouts, where a method can be paid by it."`
	MPP    bool               `yaml:"mpp" default:"true" doc:"Take MPP credentials at checkouts."`
}

type stripeHandlerFile struct {
	Offer   bool              `yaml:"offer" default:"true" doc:"Offer com.stripe.payments."`
	ID      string            `yaml:"id" default:"stripe_main" doc:"Id of the handler's instance."`
	Version string            `yaml:"version" default:"2026-06-25" doc:"Version of the handler's own specification."`
	Link    bool              `yaml:"link" default:"true" doc:"Take link: a token of the buyer's Link wallet."`
	Card    bool              `yaml:"card" default:"false" doc:"Take card: a token that the agent made of a card."`
	Brands  []string          `yaml:"brands" type:"list of words" doc:"Card brands that are taken; none is all."`
	Config  map[string]string `yaml:"config" type:"mapping of text" doc:"Further members of the handler's config, such as merchant_id and publishable_key."`
}

type ratesFile struct {
	Delivery string               `yaml:"delivery" type:"URL" doc:"Asked what delivery costs, instead of the catalog's shipping."`
	Tax      string               `yaml:"tax" type:"URL" doc:"Asked for the tax, instead of the catalog's taxes."`
	Timeout  duration             `yaml:"timeout" default:"3s" min:"100ms" max:"15s" doc:"How long an answer may take. Without one the checkout cannot be completed."`
	Headers  map[string]reference `yaml:"headers" type:"mapping of references" doc:"Fields sent along, such as Authorization."`
}
