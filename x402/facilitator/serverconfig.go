package facilitator

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"paywall/payment"
	"paywall/x402"
)

// Payments finds what a proof was spent on. A [payment.Store] does.
type Payments interface {
	// Both return [payment.ErrNotFound] when there is none.
	ByChallenge(ctx context.Context, challengeID string) (payment.Payment, error)
	ByInstrument(ctx context.Context, fingerprint string) (payment.Payment, error)
}

// ServerConfig makes a [Server]. Processor, Payments, Methods, Bindings, Clients and
// Realm are required.
type ServerConfig struct {
	// Processor settles, by Methods among its own; Payments is what it stores into.
	Processor *payment.Processor
	Payments  Payments
	Methods   []payment.Method
	// Bindings are the kinds of payment that are settled: one for each.
	Bindings []x402.Binding
	// Clients may ask.
	Clients []ServerClient
	// Limits are for each client.
	Limits ServerLimits
	// Realm is the tenant of payments, and named where a token is asked for.
	Realm string
	// Window is how long a settlement waits for its client to take the answer; one
	// that nobody has had by then is refunded. Zero is 15 minutes.
	Window time.Duration
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
	// Logger is for what clients are not told; nil is nobody.
	Logger *slog.Logger
}

// ServerClient is another server that settles through this one.
type ServerClient struct {
	// Name is kept with payments: 1 to 64 of a-z, 0-9, ".", "_" and "-".
	Name string
	// TokenHash is the [HashToken] of the bearer token that it sends.
	TokenHash [sha256.Size]byte
	// Terms are what its payments are settled under, such as a connected account.
	Terms payment.Terms
}

// HashToken is what is kept of a client's token. It is for tokens that are long and
// random: there is no salt.
func HashToken(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

// ServerLimits bound what one client may ask for. Zero fields are the defaults.
type ServerLimits struct {
	// Requests per second, 50, and Burst of them, 100.
	Requests, Burst int
	// Settling is how many of its settlements run or wait at a time, 32.
	Settling int
}

func wrongServer(field, format string, args ...any) error {
	return fmt.Errorf("facilitator: ServerConfig.%s: %w", field, fmt.Errorf(format, args...))
}

// check fills in defaults and returns an error that names the field that is wrong.
func (c *ServerConfig) check() error {
	c.Clients, c.Bindings = slices.Clone(c.Clients), slices.Clone(c.Bindings)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, l := range []struct {
		to   *int
		zero int
	}{{&c.Limits.Requests, 50}, {&c.Limits.Burst, 100}, {&c.Limits.Settling, 32}} {
		if *l.to == 0 {
			*l.to = l.zero
		}
		if *l.to < 0 {
			return wrongServer("Limits", "one is negative")
		}
	}
	switch {
	case c.Processor == nil:
		return wrongServer("Processor", "it is required")
	case c.Payments == nil:
		return wrongServer("Payments", "it is required")
	case len(c.Methods) == 0:
		return wrongServer("Methods", "it is empty")
	case len(c.Bindings) == 0:
		return wrongServer("Bindings", "it is empty")
	case c.Realm == "" || strings.ContainsFunc(c.Realm, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }):
		return wrongServer("Realm", "want printable characters without quotes")
	case c.Window < 0:
		return wrongServer("Window", "it is negative")
	}
	return c.checkClients()
}

func (c *ServerConfig) checkClients() error {
	if len(c.Clients) == 0 {
		return wrongServer("Clients", "it is empty")
	}
	for i, one := range c.Clients {
		if err := one.check(c.Clients[:i]); err != nil {
			return wrongServer(fmt.Sprintf("Clients[%d]", i), "%w", err)
		}
	}
	return nil
}

func (c *ServerClient) check(before []ServerClient) error {
	const set = "abcdefghijklmnopqrstuvwxyz0123456789._-"
	switch {
	case c.Name == "" || len(c.Name) > 64 || strings.Trim(c.Name, set) != "":
		return errors.New("name: want 1 to 64 of a-z, 0-9, \".\", \"_\" and \"-\"")
	case c.TokenHash == [sha256.Size]byte{} || c.TokenHash == HashToken(""):
		return errors.New("token hash: it is required")
	}
	for _, o := range before {
		if o.Name == c.Name || o.TokenHash == c.TokenHash {
			return errors.New("it has the name or the token of another")
		}
	}
	return nil
}
