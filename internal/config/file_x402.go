package config

// facilitatorFile is one way to take a stablecoin, as it is read.
type facilitatorFile struct {
	Name       string         `yaml:"name" default:"facilitator" doc:"Name in payments, the ledger and routes: 1 to 20 lower-case letters."`
	Network    string         `yaml:"network" type:"eip155:N" doc:"Chain that the money moves on, by its CAIP-2 id: eip155:8453 is Base, eip155:84532 its test network. Required."`
	Asset      string         `yaml:"asset" default:"USDC" doc:"Token by its symbol, of those that are known on the network, or of contract."`
	Contract   string         `yaml:"contract" type:"address" else:"that of a known asset" doc:"Contract of a token that is not known here; then domain_name, domain_version and decimals are given too."`
	DomainName string         `yaml:"domain_name" doc:"Name in the token's signing domain (EIP-712). A wrong one makes every payment fail."`
	DomainVer  string         `yaml:"domain_version" doc:"Version in the token's signing domain."`
	Decimals   count          `yaml:"decimals" min:"0" max:"18" doc:"Decimal places of the token."`
	PayTo      string         `yaml:"pay_to" type:"address or stripe" doc:"Address that is paid; or stripe, for the deposit address of methods.stripe, whose books then have every payment. Required."`
	Scheme     string         `yaml:"scheme" enum:"exact|upto" default:"exact" doc:"exact takes the price. upto is for routes with settle: metered, which take what was used."`
	URL        string         `yaml:"url" type:"URL" doc:"The facilitator: base of /verify, /settle and /supported; https, or http on loopback. Either url or endpoints is given."`
	Endpoints  []endpointFile `yaml:"endpoints,one" type:"mapping or list" doc:"Facilitators with keys, or several: the first that supports the network is used."`
	Node       string         `yaml:"node" type:"URL" doc:"JSON-RPC node of the chain. With one, a payment whose outcome was lost is looked up on the chain; without one, a person is asked about it."`
	Timeout    duration       `yaml:"timeout" default:"5m" min:"10s" max:"1h" caution:"15m" doc:"How long a payer's authorization should be good for (maxTimeoutSeconds)."`
}

type endpointFile struct {
	URL       string               `yaml:"url" type:"URL" doc:"Base of /verify, /settle and /supported: https, or http on loopback. Required."`
	Headers   map[string]reference `yaml:"headers" type:"mapping of references" doc:"Fields sent along, such as Authorization."`
	CDPKeyID  reference            `yaml:"cdp_key_id" doc:"Id of a key of the Coinbase Developer Platform, whose facilitator wants a token made for every call."`
	CDPSecret reference            `yaml:"cdp_key_secret" doc:"Secret of that key: base64 of an Ed25519 key, or a P-256 key in PEM."`
}

type x402File struct {
	Enabled    bool                    `yaml:"enabled" default:"true" doc:"Offer x402 beside MPP, wherever a method can be paid by it."`
	V1         bool                    `yaml:"v1" default:"true" doc:"Serve clients of version 1 too, by the body of a 402."`
	LinkTokens linkTokensFile          `yaml:"link_tokens"`
	Offers     bool                    `yaml:"signed_offers" default:"false" doc:"Sign offers (offer-receipt). Each challenge then costs a signature and some 600 bytes for each."`
	Identifier string                  `yaml:"payment_identifier" enum:"off|optional|required" default:"optional" doc:"Let clients name a payment (payment-identifier), so that a repeat of it is answered and not paid again."`
	SignIn     bool                    `yaml:"sign_in" default:"false" doc:"Let a payer come back by a signature of its key (sign-in-with-x), where its receipt would open the route."`
	Bazaar     bool                    `yaml:"bazaar" default:"true" doc:"Describe routes for facilitators' directories (bazaar), and list them at /discovery/resources."`
	Clients    []facilitatorClientFile `yaml:"facilitator_clients" type:"list" doc:"Other servers that may settle Link tokens through this one, at /x402/verify and /x402/settle. Without any, it is no facilitator."`
}

type linkTokensFile struct {
	Offer       string            `yaml:"offer" enum:"auto|on|off" default:"auto" doc:"Whether Link tokens are offered over x402. No published scheme for them exists, so auto is on only where methods.stripe.base_url is a sandbox on loopback."`
	Scheme      string            `yaml:"scheme" default:"auth-capture" doc:"Name of the scheme."`
	Network     string            `yaml:"network" else:"stripe:test or stripe:live" doc:"Name of the network, in the form of CAIP-2."`
	PayTo       string            `yaml:"pay_to" else:"methods.stripe.profile" doc:"Who is paid, as clients are told."`
	TokenMember string            `yaml:"token_member" default:"token" doc:"Member of a payload that holds the token."`
	IDMember    string            `yaml:"id_member" default:"paymentId" doc:"Member of a payload that holds the client's own id of the payment."`
	Extra       map[string]string `yaml:"extra" type:"mapping of text" else:"psp: stripe" doc:"Members of extra."`
}

type facilitatorClientFile struct {
	Name    string    `yaml:"name" doc:"Name in payments and logs: 1 to 64 of a-z 0-9 . _ -. Required."`
	Token   reference `yaml:"token" doc:"Bearer token that the client sends, at least 32 bytes. Required."`
	Account string    `yaml:"account" doc:"Connected account that its payments are charged on: acct_…."`
}

type meterFile struct {
	Header  string `yaml:"header" default:"Paywall-Used" doc:"Field of the upstream's answer that says what was used, as 0.0123 USD. Settlement-Overrides of x402 is read too."`
	Missing string `yaml:"missing" enum:"ceiling|zero|fail" default:"ceiling" doc:"What is taken of an answer that does not say, or says it wrongly: all of price, nothing, or nothing and the answer is withheld."`
}
