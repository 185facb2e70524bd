package facilitator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"paywall/money"
	"paywall/x402/evm"
	client "paywall/x402/facilitator"
)

// DefaultName is the rail's name where none is configured.
const DefaultName = "facilitator"

// Schemes of x402 that this rail settles.
const (
	SchemeExact = "exact" // EIP-3009: all of the amount
	SchemeUpto  = "upto"  // Permit2: at most the amount, once the goods are made
)

// A Client calls facilitators. It makes one attempt per call and does not judge
// answers. An error is a *[client.CallError], whose Sent says whether the request
// may have reached the facilitator; any other error is taken as if it had.
type Client interface {
	// Pick chooses the facilitator for a kind of payment and returns what it says
	// about the kind ("extra"), or an error when none supports it. No I/O.
	Pick(version int, scheme, network string) (endpoint string, extra json.RawMessage, err error)
	// Verify asks the endpoint whether a payment would be settled. It moves nothing.
	Verify(ctx context.Context, endpoint string, body []byte) (client.Reply, error)
	// Settle has the endpoint carry the payment out.
	Settle(ctx context.Context, endpoint string, body []byte) (client.Reply, error)
}

// Config is what a [Method] is made of. Asset, PayTo and Client are required.
type Config struct {
	// Name is the rail's; empty is [DefaultName].
	Name string
	// Asset is the token, on the network where it moves. All its fields are required.
	Asset evm.Asset
	// Currency is what one token stands for in prices; empty is USD. A price in the
	// token's own symbol is taken too.
	Currency string
	// PayTo is the address that is paid.
	PayTo evm.Address
	// Scheme is [SchemeExact] (the default), or [SchemeUpto] for metered prices.
	Scheme string
	// MaxTimeout is for how long payers are asked to sign, in whole seconds; zero is
	// five minutes.
	MaxTimeout time.Duration
	// Client calls the facilitators.
	Client Client

	// Node is the URL of a JSON-RPC node of the chain, on which payments whose
	// outcome was lost are looked up; empty is none. It may hold a secret.
	Node string
	// Transport sends requests to the node; nil is one made for this use, which
	// ignores proxies named in the environment.
	Transport http.RoundTripper
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
}

func wrong(field, format string, args ...any) error {
	return fmt.Errorf("facilitator: Config.%s: %w", field, fmt.Errorf(format, args...))
}

// check fills in defaults and returns an error that names the field that is wrong.
func (c *Config) check() error {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.Currency == "" {
		c.Currency = "USD"
	}
	if c.Scheme == "" {
		c.Scheme = SchemeExact
	}
	if c.MaxTimeout == 0 {
		c.MaxTimeout = 5 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	return errors.Join(c.checkAsset(), c.checkRest())
}

func (c *Config) checkAsset() error {
	a := c.Asset
	if _, err := evm.ChainID(a.Network); err != nil {
		return wrong("Asset.Network", "%w", err)
	}
	if _, err := money.New(1, a.Symbol, a.Decimals); err != nil {
		return wrong("Asset", "symbol and decimals: %w", err)
	}
	switch {
	case a.Contract.IsZero():
		return wrong("Asset.Contract", "it is required")
	case a.Name == "" || len(a.Name) > 64 || a.Version == "" || len(a.Version) > 16:
		return wrong("Asset", "want the name and the version of the token's signing domain")
	}
	return nil
}

func (c *Config) checkRest() error {
	switch {
	case len(c.Name) > 20 || strings.Trim(c.Name, "abcdefghijklmnopqrstuvwxyz") != "":
		return wrong("Name", "want 1 to 20 lower-case letters")
	case c.PayTo.IsZero():
		return wrong("PayTo", "it is required")
	case c.PayTo == c.Asset.Contract:
		return wrong("PayTo", "it is the token's own contract, which keeps what it is sent")
	case c.Scheme != SchemeExact && c.Scheme != SchemeUpto:
		return wrong("Scheme", "want %s or %s", SchemeExact, SchemeUpto)
	case c.MaxTimeout < 10*time.Second || c.MaxTimeout > time.Hour || c.MaxTimeout%time.Second != 0:
		return wrong("MaxTimeout", "want whole seconds, from ten to an hour")
	case c.Client == nil:
		return wrong("Client", "it is required")
	case c.Node == "":
		return nil
	}
	u, err := url.Parse(c.Node)
	if err != nil { // the error quotes the value, which may hold a key
		return wrong("Node", "it is no URL")
	}
	if u.Host == "" || u.Fragment != "" || u.Scheme == "http" && !loopback(u.Hostname()) || u.Scheme != "http" && u.Scheme != "https" {
		return wrong("Node", "want https, or http to a loopback address")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
