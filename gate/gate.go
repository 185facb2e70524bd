package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"paywall/internal/canonical"
	"paywall/payment"
)

// Config is what a [Gate] is made of. Realm, Processor, Methods and Protocols are required.
type Config struct {
	// Realm is the host that challenges are for, and the tenant of every
	// payment. It is configured, never taken from a request.
	Realm string
	// Origin is the public origin for people to copy; empty is https and the realm.
	Origin    string
	Processor *payment.Processor
	// Methods in the seller's order of preference: the first is offered first.
	Methods   []payment.Method
	Protocols []payment.Protocol
	// Receipts, if set, issues a signed receipt with every payment and accepts it back.
	Receipts payment.Receipts
	// Credits, if set, keep what routes with [Route.Credit] have sold. Processor has them
	// among its methods, and Methods does not.
	Credits payment.Credits
	// Keys, if set, keeps Idempotency-Key values across restarts.
	Keys Keys
	// Service, if set, is the URL of a document on what else is for sale here. Every 402
	// names it in a Link field of the relation service-desc (RFC 8631).
	Service string

	Limits Limits
	// Client is the address that limits count for; nil is the connection's.
	Client func(r *http.Request) netip.Addr
	// Hosts are the authorities that are answered, besides Realm; others are
	// 421. Loopback names are always answered when Realm is one.
	Hosts []string
	// Canonical are the options of request canonicalisation.
	Canonical canonical.Options

	Now    func() time.Time
	Logger *slog.Logger
	// Observe, if set, is told of every request once, when it is over.
	Observe func(context.Context, Event)
	// Point, if set, is called at the crash points of delivery (package payment).
	Point func(name string)
}

// Keys remembers idempotency keys: it stores value under a principal's key once
// for ever. If the key is there already it returns the stored value, and
// conflict when it was for another fingerprint.
type Keys interface {
	Remember(ctx context.Context, principal, key, fingerprint, value string) (existing string, conflict bool, err error)
}

// Event is what one request came to.
type Event struct {
	// Route is the id of the route, or empty when none matched.
	Route string
	// Outcome is one of the constants Outcome….
	Outcome string
	// Refusal is the kind of a refusal; meaningful for OutcomeChallenged, OutcomeRefused and OutcomePending.
	Refusal payment.Kind
	Status  int
	// Protocol and Payment are set once a credential was accepted.
	Protocol, Payment string
	Took              time.Duration
	Err               error
}

// Outcomes of a request.
const (
	OutcomeFree       = "free"       // a free route
	OutcomeChallenged = "challenged" // 402, nothing presented
	OutcomeRefused    = "refused"    // presented and not accepted
	OutcomePending    = "pending"    // accepted, come back later
	OutcomePaid       = "paid"       // settled and delivered
	OutcomeReceipt    = "receipt"    // served for a receipt
	OutcomeRepeated   = "repeated"   // the stored answer of an earlier delivery
	OutcomeFailed     = "failed"     // settled or promised, not delivered
	OutcomeRejected   = "rejected"   // not a request for a route
	OutcomeLimited    = "limited"    // too many from one client
)

// Gate prices requests. It is safe for concurrent use.
type Gate struct {
	cfg Config
	// now is the clock of connections, whatever that of payments says.
	now     func() time.Time
	hosts   map[string]bool
	local   bool
	limits  *limiters
	stash   *stash
	flights flights
	firsts  firsts
	service []string  // of Config.Service
	pointed bool      // a test stops the process at points
	spare   sync.Pool // of *exchange
}

// New checks the configuration.
func New(cfg Config) (*Gate, error) {
	switch {
	case cfg.Realm == "" || strings.ContainsAny(cfg.Realm, "|\"\\ /"):
		return nil, errors.New("gate: Config.Realm is not a host")
	case cfg.Processor == nil:
		return nil, errors.New("gate: Config.Processor is required")
	case len(cfg.Methods) == 0:
		return nil, errors.New("gate: Config.Methods is empty")
	case len(cfg.Protocols) == 0:
		return nil, errors.New("gate: Config.Protocols is empty")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Client == nil {
		cfg.Client = connectionAddr
	}
	if cfg.Observe == nil {
		cfg.Observe = func(context.Context, Event) {}
	}
	pointed := cfg.Point != nil
	if !pointed {
		cfg.Point = func(string) {}
	}
	cfg.Limits = cfg.Limits.withDefaults()
	g := &Gate{cfg: cfg, hosts: map[string]bool{}, pointed: pointed}
	for _, h := range append([]string{cfg.Realm}, cfg.Hosts...) {
		host, err := canonical.Host(h)
		if err != nil {
			return nil, fmt.Errorf("gate: host %q: %w", h, err)
		}
		g.hosts[host] = true
		g.local = g.local || loopbackName(host)
	}
	g.now = time.Now
	if cfg.Service != "" {
		if strings.ContainsAny(cfg.Service, "<>\" \r\n") {
			return nil, fmt.Errorf("gate: Config.Service %q is not a URL", cfg.Service)
		}
		g.service = []string{"<" + cfg.Service + `>; rel="service-desc"`}
	}
	var err error
	if g.limits, err = newLimiters(cfg.Limits, cfg.Now); err != nil {
		return nil, err
	}
	if g.firsts, err = newFirsts(); err != nil {
		return nil, err
	}
	g.stash = newStash(cfg.Limits, cfg.Now)
	return g, nil
}

func connectionAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

func loopbackName(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsLoopback()
}

// known reports whether the authority is one of ours.
func (g *Gate) known(host string) bool {
	return g.hosts[host] || (g.local && loopbackName(host))
}
