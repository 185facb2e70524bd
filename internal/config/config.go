package config

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"paywall/money"
	"paywall/payment"
)

// Config is a configuration that was found good. Paths in it are joined with
// the folder of the file, and references are resolved. It holds secrets, each of
// type [Secret], and can be printed.
type Config struct {
	// Listen is host:port of the priced API.
	Listen string
	// PublicURL is an origin without a trailing slash. Realm is its host in lower
	// case, without the port. Addresses of IPv6 are in brackets, here and in Hosts.
	PublicURL, Realm string
	Hosts            []string
	InsecureHTTP     bool
	TrustedProxies   []netip.Prefix
	Store            Store
	Admin            Admin
	// TLS is nil for plain HTTP.
	TLS         *TLS
	FoldSlashes bool
	Keys        Keys
	Methods     Methods
	Upstreams   map[string]Upstream
	// Routes are in the order of the file; the order decides nothing.
	Routes []Route
	// Shop is nil when nothing is sold over UCP.
	Shop       *Shop
	Challenge  Challenge
	X402       X402
	ReceiptTTL time.Duration
	Settlement Settlement
	Limits     Limits
	Service    Service
	Log        Log
	Traces     Traces
	// Warnings are what is allowed and should not go unnoticed, in the order of lines.
	Warnings []Problem

	file  string
	lines map[string]int
}

// LineOf is the line of a key such as "routes[2].price", or of the nearest one
// around it; zero if there is none.
func (c *Config) LineOf(path string) int { return lineOf(c.lines, path) }

// Problem is a fault that the caller found in the value at path, in the form of
// those found here.
func (c *Config) Problem(path, format string, args ...any) Problem {
	return Problem{File: c.file, Line: c.LineOf(path), Path: path, Message: fmt.Sprintf(format, args...)}
}

// Store is where payments are kept.
type Store struct {
	Engine string // "sqlite"
	Path   string
}

// Admin is the listener of operations.
type Admin struct{ Listen string }

// TLS has either a certificate or Autocert.
type TLS struct {
	Cert, Key string
	Autocert  *Autocert
}

// Autocert gets certificates from a public authority.
type Autocert struct {
	Hosts []string
	Cache string
	Email string
}

// Keys are the secrets of the server itself.
type Keys struct {
	// Challenge and Previous are at least 32 bytes, decoded.
	Challenge Secret
	Previous  []Secret
	// Receipts is the path of the key file.
	Receipts string
	// Seal is 32 bytes, or empty: then the caller derives it from Challenge.
	Seal Secret
}

// Methods are the ways to pay that are set up; nil ones are not.
type Methods struct {
	Stripe       *Stripe
	Facilitators []Facilitator
}

// Names lists them in the order they are offered.
func (m Methods) Names() []string {
	var names []string
	if m.Stripe != nil {
		names = append(names, "stripe")
	}
	for _, f := range m.Facilitators {
		names = append(names, f.Name)
	}
	return names
}

// Stripe is the rail of Shared Payment Tokens.
type Stripe struct {
	Key                Secret
	Profile            string
	Live               bool
	PaymentMethodTypes []string
	WebhookSecrets     []Secret
	// BaseURL and APIVersion are empty for the method's own.
	BaseURL, APIVersion string
	SPTParam            string
	ManualCapture       bool
	Account             string
	StatementSuffix     string
	Metadata            map[string]string
}

// Upstream is a server behind.
type Upstream struct {
	Name string
	URL  *url.URL
	// Host is the authority to send, or empty for that of URL.
	Host string
	// Headers have canonical names.
	Headers map[string]Secret
	Timeout time.Duration
	OpenAPI Document
	// CA is the path of a PEM file, or empty.
	CA      string
	Dedupes bool
	Line    int
}

// Header reveals Headers, for the one client that sends them.
func (u Upstream) Header() http.Header { return reveal(u.Headers) }

func reveal(secrets map[string]Secret) http.Header {
	h := make(http.Header, len(secrets))
	for name, s := range secrets {
		h.Set(name, s.Reveal())
	}
	return h
}

// Document says where a document is; at most one field is set.
type Document struct {
	File string
	// Path is on the upstream.
	Path string
	URL  string
}

// Challenge is about offers of payment.
type Challenge struct {
	TTL            time.Duration
	SeparateHeader bool
}

// Settlement is about calls to processors.
type Settlement struct{ Patience, Attempt time.Duration }

// Limits bound what clients may cost; none is zero.
type Limits struct {
	ChallengesPerSecond, Burst, FailedPerMinute int
	Connections, ConnectionsPerClient           int
	InFlight, InFlightPerClient                 int
	Queue, Dispatches                           int
	Body, HeaderBytes, Credential               int64
	Answer, Answers                             int64
	ReadHeader, ReadBody, WriteStall, Idle      time.Duration
	AnswerFor                                   time.Duration
}

// Service describes the API to agents.
type Service struct {
	Title, Version, Description string
	Categories                  []string
	Homepage, Reference         string
}

// Log says how events are written.
type Log struct {
	Format string // "text" or "json"
	Level  slog.Level
}

// Traces are sent to Endpoint; empty is off.
type Traces struct {
	Endpoint string
	Insecure bool
}

// Route is a line of the price table: free, or priced by exactly one of Price
// (with When), Tiers and Remote.
type Route struct {
	ID string
	// Match is the pattern as written; Method is empty for every method.
	Match, Method, Path string
	Upstream            string
	Free                bool
	// Price is what a request costs where no entry of When holds.
	Price  money.Amount
	When   []Condition
	Tiers  *Tiers
	Remote *Remote
	// Methods are names of [Methods]; empty is all.
	Methods     []string
	Description string
	// Window is never zero on a priced route.
	Window    time.Duration
	Redeliver *bool
	Accept    []int
	Pass      payment.Pass
	// Credit is nil on a route whose requests are paid one by one.
	Credit *RouteCredit
	// Settle is "auto", "before", "hold" or "metered"; Meter is set with the last.
	Settle string
	Meter  *Meter
	Terms  payment.Terms
	// BodyLimit is zero for the limit of all routes.
	BodyLimit int64
	// Line is that of the route, and PriceLine that of its rule of pricing.
	Line, PriceLine int
	// Prices are the amounts it can come to, with where each is written: a
	// caller that knows the methods checks that each can be paid.
	Prices []PricePoint
}

// RouteCredit sells credit in packs.
type RouteCredit struct {
	Pack money.Amount
	For  time.Duration
}

// PricePoint is an amount that a route can come to.
type PricePoint struct {
	Amount money.Amount
	Path   string
	Line   int
}

// Condition is a price for requests that have all the values named.
type Condition struct {
	Query  map[string]string
	Header map[string]string // by canonical name
	Price  money.Amount
}

// Tiers price a quantity, by Steps or by Unit.
type Tiers struct {
	// Exactly one of Query, Header and JSON is set.
	Query, Header, JSON string
	Steps               []Step
	Unit                money.Amount
	Max, Default        int64
}

// Step is the price of quantities up to and including UpTo.
type Step struct {
	UpTo  int64
	Price money.Amount
}

// Remote is a hook that prices.
type Remote struct {
	URL     string
	Timeout time.Duration
	// Cache is zero to ask each time.
	Cache   time.Duration
	Headers map[string]Secret
	Forward []string
	// Fallback is no amount when nothing is sold while the hook fails.
	Fallback money.Amount
}

// Header reveals Headers, for the one client that sends them.
func (r Remote) Header() http.Header { return reveal(r.Headers) }
