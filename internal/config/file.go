package config

// file is paywall.yaml as it is read; the tags are described at [decoder].
type file struct {
	Listen         string                  `yaml:"listen" type:"address" default:"127.0.0.1:4020" doc:"Host and port of the priced API."`
	PublicURL      string                  `yaml:"public_url" type:"origin" else:"the address of listen, on loopback" doc:"The only origin that appears in challenges, receipts and documents; its host is the realm. Required unless listen is on loopback; https unless its host is."`
	Hosts          []string                `yaml:"hosts" type:"list of hosts" doc:"Further names that are answered, without ports. Requests for other hosts are refused with 421."`
	InsecureHTTP   bool                    `yaml:"insecure_http" default:"false" doc:"Allow plain HTTP beyond loopback. Credentials and receipts can then be read on the way; there is a warning at each start."`
	TrustedProxies []string                `yaml:"trusted_proxies" type:"list of networks" doc:"Addresses or networks (CIDR) of the proxies in front, whose X-Forwarded-For is believed. They may speak plain HTTP to listen."`
	Store          string                  `yaml:"store" type:"sqlite:PATH" default:"sqlite:paywall.db" doc:"Where payments and the ledger are kept."`
	Admin          adminFile               `yaml:"admin"`
	TLS            *tlsFile                `yaml:"tls"`
	Paths          pathsFile               `yaml:"paths"`
	Keys           keysFile                `yaml:"keys"`
	Methods        methodsFile             `yaml:"methods"`
	Upstreams      map[string]upstreamFile `yaml:"upstreams" type:"mapping" doc:"The servers behind, by a name of a-z 0-9 _ -."`
	Routes         []routeFile             `yaml:"routes" type:"list" doc:"What is sold and what is free. Requests that no route matches are refused. Of several that match, the one whose requests are all matched by the others decides; two of which neither is the narrower are an error."`
	Shop           *shopFile               `yaml:"shop"`
	Window         windowFile              `yaml:"window"`
	Challenge      challengeFile           `yaml:"challenge"`
	X402           x402File                `yaml:"x402"`
	Receipts       receiptsFile            `yaml:"receipts"`
	Settlement     settlementFile          `yaml:"settlement"`
	Limits         limitsFile              `yaml:"limits"`
	Service        serviceFile             `yaml:"service"`
	Log            logFile                 `yaml:"log"`
	Traces         tracesFile              `yaml:"traces"`
}

type adminFile struct {
	Listen   string `yaml:"listen" type:"address" default:"127.0.0.1:4021" doc:"Host and port of operations and metrics, on a port of its own."`
	Insecure bool   `yaml:"insecure" default:"false" doc:"Allow an address beyond loopback. Whoever reaches it can refund and pause."`
}

type tlsFile struct {
	Cert     string        `yaml:"cert" type:"path" doc:"Certificate chain in PEM. It must be good for the host of public_url, unless trusted_proxies are in front."`
	Key      string        `yaml:"key" type:"path" doc:"Private key of cert in PEM."`
	Autocert *autocertFile `yaml:"autocert"`
}

type autocertFile struct {
	Hosts []string `yaml:"hosts" type:"list of hosts" else:"the host of public_url" doc:"Names to get certificates for, instead of cert and key."`
	Cache string   `yaml:"cache" type:"path" default:"certificates" doc:"Folder that certificates are kept in."`
	Email string   `yaml:"email" doc:"Where the authority writes when something is wrong."`
}

type pathsFile struct {
	FoldSlashes bool `yaml:"fold_slashes" default:"false" doc:"Read // in a path as / instead of refusing it."`
}

type keysFile struct {
	Challenge reference   `yaml:"challenge" doc:"Secret that binds challenges: at least 32 random bytes, in hexadecimal, base64 or raw. Required."`
	Previous  []reference `yaml:"previous,one" type:"list of references" doc:"Former challenge secrets, which are still accepted."`
	Receipts  reference   `yaml:"receipts" type:"file:PATH" doc:"Key file that receipts are signed with. Required."`
	Seal      reference   `yaml:"seal" else:"derived from keys.challenge" doc:"32 random bytes that pending payments are encrypted with in the store. Payments that are pending when it changes can no longer be settled or looked up."`
}

type methodsFile struct {
	Stripe      *stripeFile       `yaml:"stripe"`
	Facilitator []facilitatorFile `yaml:"facilitator,one" type:"mapping or list" doc:"Stablecoins, each on one network, that x402 facilitators settle."`
}

type stripeFile struct {
	Key                reference         `yaml:"key" doc:"Secret or restricted key. A live key is given by env: or file:. Required."`
	Profile            string            `yaml:"profile" doc:"Your network profile, which wallets name when they make a token: profile_…. Required."`
	Live               bool              `yaml:"live" default:"false" doc:"Say that real money moves. It must agree with the key."`
	PaymentMethodTypes []string          `yaml:"payment_method_types" type:"list of words" default:"card, link" doc:"What payers may use."`
	WebhookSecret      []reference       `yaml:"webhook_secret,one" type:"reference or list" doc:"Signing secrets of the webhook endpoint. Without one, disputes and refunds made elsewhere are not noticed."`
	BaseURL            string            `yaml:"base_url" type:"origin" else:"the processor's own" doc:"Another server, such as the sandbox; for test keys only."`
	APIVersion         string            `yaml:"api_version" else:"the version this release is tested with" doc:"Version of the processor's interface, as in 2026-04-22.preview."`
	SPTParam           string            `yaml:"spt_param" enum:"nested|top_level" default:"nested" doc:"Where the token is put in a charge: below payment_method_data, or at the top as older previews want it."`
	ManualCapture      bool              `yaml:"manual_capture" default:"false" doc:"Let routes with settle: hold reserve the amount first and take it when there is an answer."`
	Account            string            `yaml:"account" doc:"Connected account that is charged on where a route names none: acct_…."`
	StatementSuffix    string            `yaml:"statement_suffix" doc:"What follows the account's prefix on a card statement."`
	Metadata           map[string]string `yaml:"metadata" type:"mapping of text" doc:"Stored with every charge, at most 20 pairs."`
}

type upstreamFile struct {
	URL     string               `yaml:"url" type:"URL" doc:"Where requests go: http or https, with a base path if it has one. Required."`
	Host    string               `yaml:"host" else:"the host of url" doc:"Host header to send."`
	Headers map[string]reference `yaml:"headers" type:"mapping of references" doc:"Fields that are set on every request, such as the upstream's own key."`
	Timeout duration             `yaml:"timeout" default:"30s" min:"10ms" max:"1h" caution:"30s" doc:"How long the head of an answer may take."`
	OpenAPI string               `yaml:"openapi" type:"file:PATH, /path or URL" doc:"The upstream's own OpenAPI document, to describe the priced API from."`
	CA      string               `yaml:"ca" type:"path" else:"the system's authorities" doc:"Certificates in PEM that the upstream's is verified with."`
	Dedupes bool                 `yaml:"dedupes" default:"false" doc:"Say that a request sent twice with one Paywall-Payment-Id takes effect once."`
}

type windowFile struct {
	Read  duration `yaml:"read" default:"24h" min:"1s" max:"720h" caution:"24h" doc:"How long the payer of a GET or HEAD may come back for what was not delivered; then it is refunded."`
	Write duration `yaml:"write" default:"15m" min:"1s" max:"720h" caution:"24h" doc:"The same for other requests. A route for any method has the longer of the two."`
}

type challengeFile struct {
	TTL            duration `yaml:"ttl" default:"5m" min:"1s" max:"1h" caution:"15m" doc:"How long a price is good for."`
	SeparateHeader bool     `yaml:"separate_header" default:"false" doc:"Ask for the credential in Payment-Authorization, for an API that needs Authorization itself. Some wallets cannot do that."`
}

type receiptsFile struct {
	TTL duration `yaml:"ttl" default:"10m" min:"1s" max:"24h" doc:"How long a receipt opens what it is for. Routes with a pass have their own time."`
}

type settlementFile struct {
	Patience duration `yaml:"patience" default:"30s" min:"1s" max:"40s" caution:"30s" doc:"How long a payer waits for a settlement before being told to come back."`
	Attempt  duration `yaml:"attempt" default:"20s" min:"1s" max:"2m" caution:"25s" doc:"How long one call to the processor may take."`
}

type limitsFile struct {
	ChallengesPerSecond  count    `yaml:"challenges_per_second" default:"50" caution:"50" doc:"Unpaid requests per second of one client (an IPv4 address or IPv6 /64)."`
	Burst                count    `yaml:"burst" default:"100" caution:"100" doc:"How many of them may come at once."`
	FailedPerMinute      count    `yaml:"failed_per_minute" default:"30" caution:"30" doc:"Refused credentials per minute of one client; then 429."`
	Connections          count    `yaml:"connections" default:"4096" caution:"4096" doc:"Open connections."`
	ConnectionsPerClient count    `yaml:"connections_per_client" default:"64" caution:"64" doc:"Open connections of one client."`
	Body                 size     `yaml:"body" default:"1MiB" caution:"1MiB" doc:"Request body of a priced route. It is held in memory to bind the payment to it."`
	HeaderBytes          size     `yaml:"header_bytes" default:"32KiB" min:"8KiB" max:"1MiB" caution:"32KiB" doc:"Request header, all fields together; 4 KiB more than credential at least."`
	Credential           size     `yaml:"credential" default:"8KiB" min:"4KiB" max:"16KiB" caution:"8KiB" doc:"Payment credential."`
	InFlight             count    `yaml:"in_flight" default:"32" caution:"32" doc:"Calls to the processor at once."`
	InFlightPerClient    count    `yaml:"in_flight_per_client" default:"8" caution:"8" doc:"Of these, for one client; raise it where all clients come from one address."`
	Queue                count    `yaml:"queue" default:"256" caution:"256" doc:"Settlements that wait for a place, each for at most two seconds."`
	Dispatches           count    `yaml:"dispatches" default:"3" max:"10" caution:"3" doc:"How often one payment is handed to the upstream at most."`
	ReadHeader           duration `yaml:"read_header" default:"5s" min:"100ms" max:"1m" caution:"5s" doc:"How long a client may take to send its header."`
	ReadBody             duration `yaml:"read_body" default:"60s" min:"100ms" max:"1h" caution:"60s" doc:"How long a client may take to send its body."`
	WriteStall           duration `yaml:"write_stall" default:"30s" min:"100ms" max:"10m" caution:"30s" doc:"How long a client may not take anything of an answer."`
	Idle                 duration `yaml:"idle" default:"60s" min:"1s" max:"1h" caution:"60s" doc:"How long a connection is kept without a request."`
	Answer               size     `yaml:"answer" default:"1MiB" caution:"1MiB" doc:"Largest answer that is kept to repeat it to its payer."`
	Answers              size     `yaml:"answers" default:"32MiB" caution:"32MiB" doc:"Memory for all of them."`
	AnswerFor            duration `yaml:"answer_for" default:"15m" min:"1s" max:"24h" caution:"15m" doc:"How long they are kept."`
}

type serviceFile struct {
	Title       string   `yaml:"title" else:"the upstream's own, or the host" doc:"Name of the API in the documents made for agents."`
	Version     string   `yaml:"version" else:"the upstream's own, or 1" doc:"Version of the API."`
	Description string   `yaml:"description" doc:"What it is for, in a sentence or two."`
	Categories  []string `yaml:"categories" type:"list of words" doc:"At most five words that a directory may list it under."`
	Homepage    string   `yaml:"homepage" type:"URL" doc:"A page for people."`
	Reference   string   `yaml:"reference" type:"URL" doc:"Its documentation."`
}

type logFile struct {
	Format string `yaml:"format" enum:"text|json" default:"text" doc:"How events are written."`
	Level  string `yaml:"level" enum:"debug|info|warn|error" default:"info" doc:"From which level on."`
}

type tracesFile struct {
	Endpoint string `yaml:"endpoint" type:"URL" else:"no traces" doc:"OTLP over HTTP collector."`
	Insecure bool   `yaml:"insecure" default:"false" doc:"Allow http:// to a collector that is not on loopback."`
}
