package facilitator

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"paywall/x402"
)

// Config makes a [Client]. Endpoints is required.
type Config struct {
	// Endpoints are the facilitators. For each kind of payment the first that
	// supports it is picked.
	Endpoints []Endpoint
	// Needs are the kinds that [Client.Ready] waits for. Without any it waits until
	// every endpoint has been heard.
	Needs []x402.Kind

	// Transport sends requests; nil is one made for this use, which ignores proxies
	// named in the environment. It must not retry what it has begun to send.
	Transport http.RoundTripper
	// Wrap, if set, goes around the transport, for traces.
	Wrap func(http.RoundTripper) http.RoundTripper
	// Timeout bounds one call, zero is 30 s; Refresh is the time between two readings
	// of what facilitators support, zero is 10 min.
	Timeout, Refresh time.Duration
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
	// Logger hears of facilitators that cannot be read; nil is nobody.
	Logger *slog.Logger
}

// Endpoint is one facilitator.
type Endpoint struct {
	// Name is kept with payments, which are settled where their settlement began: it
	// has to stay the same. Empty is the URL.
	Name string
	// URL is the base of /supported, /verify and /settle: https, or http on loopback.
	URL string
	// Auth proves who calls; nil is nothing.
	Auth Auth
	// Networks limits what it is picked for: CAIP-2 ids, or all of a namespace, as
	// "eip155:*". Empty is everything that it supports.
	Networks []string
}

// maxEndpoints bounds a list that is walked for each pick.
const maxEndpoints = 64

func wrong(field, format string, args ...any) error {
	return fmt.Errorf("facilitator: Config.%s: %w", field, fmt.Errorf(format, args...))
}

// check fills in defaults and returns an error that names the field that is wrong.
func (c *Config) check() error {
	c.Endpoints, c.Needs = slices.Clone(c.Endpoints), slices.Clone(c.Needs)
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Refresh == 0 {
		c.Refresh = 10 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	switch {
	case len(c.Endpoints) == 0 || len(c.Endpoints) > maxEndpoints:
		return wrong("Endpoints", "want 1 to %d", maxEndpoints)
	case c.Timeout < 0:
		return wrong("Timeout", "it is negative")
	case c.Refresh < time.Second || c.Refresh >= maxAge:
		return wrong("Refresh", "want a second or more, and less than the %s after which an answer is forgotten", maxAge)
	}
	seen := map[string]bool{}
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		if err := e.check(); err != nil {
			return wrong(fmt.Sprintf("Endpoints[%d]", i), "%w", err)
		}
		if seen[e.Name] {
			return wrong(fmt.Sprintf("Endpoints[%d].Name", i), "it is the name of another")
		}
		seen[e.Name] = true
	}
	return nil
}

func (e *Endpoint) check() error {
	u, err := url.Parse(e.URL)
	if err != nil { // the error quotes the value, which may hold a password
		return errors.New("URL: it is none")
	}
	switch {
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(e.URL, "#"):
		return errors.New("URL: want a scheme, a host, perhaps a path, and no more")
	case u.Scheme == "http" && !loopback(u.Hostname()), u.Scheme != "http" && u.Scheme != "https":
		return errors.New("URL: want https, or http to a loopback address")
	}
	e.URL = strings.TrimRight(u.String(), "/")
	if e.Name == "" {
		e.Name = e.URL
	}
	if len(e.Name) > 512 || strings.ContainsFunc(e.Name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("name: want at most 512 printable characters")
	}
	e.Networks = slices.Clone(e.Networks)
	for _, n := range e.Networks {
		if namespace, id, ok := strings.Cut(n, ":"); !ok || namespace == "" || id == "" || strings.Contains(n, "*") && id != "*" {
			return errors.New("networks: want CAIP-2 ids, or all of a namespace, as eip155:*")
		}
	}
	if a, ok := e.Auth.(checker); ok {
		if err := a.check(); err != nil {
			return fmt.Errorf("Auth: %w", err)
		}
	}
	return nil
}

// serves reports whether the endpoint may be picked for the network.
func (e *Endpoint) serves(network string) bool {
	if len(e.Networks) == 0 {
		return true
	}
	for _, n := range e.Networks {
		if n == network || strings.HasSuffix(n, ":*") && strings.HasPrefix(network, n[:len(n)-1]) {
			return true
		}
	}
	return false
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
