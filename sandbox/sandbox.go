package sandbox

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"paywall/sandbox/facilitator"
	"paywall/sandbox/link"
	"paywall/sandbox/stripe"
)

// Notice is said at start-up, in a header of every answer and in the audit.
const Notice = "Sandbox: no money moves."

// Config is what a [Sandbox] needs. Only BaseURL is required.
type Config struct {
	// BaseURL is the origin under which Handler is reached, http://127.0.0.1:4022
	// for example. Its host must be this machine.
	BaseURL string
	// Now is the clock that the sandbox's own, which can be put forward, runs on.
	// Nil means time.Now.
	Now func() time.Time
	// Seed makes identifiers and faults repeatable. Zero takes them by chance.
	Seed uint64
	// Latency is how long a call of the processor takes.
	Latency time.Duration
	// SearchLag is how long the processor's search does not see a new object; zero
	// means a minute, negative none.
	SearchLag time.Duration
	// Profile is the seller's business profile; tokens for others do not resolve.
	// Empty takes every profile for the seller's own.
	Profile string
	// Webhooks receive the processor's events.
	Webhooks []stripe.Webhook
	// AutoApprove is the amount in US cents below which the wallet asks nobody.
	AutoApprove int64
	// WalletWebhook, if set, is told what the wallet decides; WalletSecret signs that.
	WalletWebhook, WalletSecret string
	// Facilitator says how the facilitator and its chains behave. Its clock and its
	// Transferred are the sandbox's own.
	Facilitator facilitator.Config
	// Logger gets one line at start-up, and what could not be delivered. Nil means none.
	Logger *slog.Logger
}

// A Sandbox is the stand-ins and their control plane. It is safe for concurrent use.
type Sandbox struct {
	cfg    Config
	log    *slog.Logger
	clock  *clock
	ids    *ids
	stripe *stripe.Server
	wallet *link.Wallet
	chains *facilitator.Server
	mux    *http.ServeMux
	stop   chan struct{} // closed by Close
	once   sync.Once
	faults faults
	calls  calls
}

// New returns a sandbox in which nothing has happened. Close it when done.
func New(cfg Config) (*Sandbox, error) {
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !loopbackHost(u.Host) {
		return nil, fmt.Errorf("sandbox: BaseURL: want an origin on this machine, such as http://127.0.0.1:4022: %w", ErrNotLoopback)
	}
	if cfg.Latency < 0 || cfg.Latency > maxDelay {
		return nil, fmt.Errorf("sandbox: Latency: want 0 to %s", maxDelay)
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	base := cfg.Now
	if base == nil {
		base = realClock()
	}
	s := &Sandbox{cfg: cfg, log: log, clock: &clock{base: base}, ids: newIDs(cfg.Seed), mux: http.NewServeMux(), stop: make(chan struct{})}
	s.faults.seed = cfg.Seed
	chains := cfg.Facilitator
	// The processor watches the chains for what its deposit addresses receive.
	chains.Now, chains.Transferred = s.clock.now, func() { s.stripe.Wake() }
	if s.chains, err = facilitator.New(chains); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s.stripe = stripe.New(stripe.Config{
		Chain: watched{s.chains},
		Now:   s.clock.now, Wall: base, NewID: s.ids.next, Profile: cfg.Profile, Latency: cfg.Latency,
		SearchLag: cfg.SearchLag, Webhooks: cfg.Webhooks, Logger: log,
	})
	s.wallet, err = link.New(link.Config{
		Now: s.clock.now, Wall: base, NewID: s.ids.next, Processor: s.stripe, BaseURL: cfg.BaseURL,
		Captured:    s.capturedBy,
		AutoApprove: cfg.AutoApprove, Webhook: cfg.WalletWebhook, WebhookSecret: cfg.WalletSecret, Logger: log,
	})
	if err != nil {
		s.stripe.Close()
		return nil, fmt.Errorf("sandbox: wallet: %w", err)
	}
	s.mux.Handle("/v1/", s.stripe)
	s.mux.Handle("/v2/", s.stripe)
	s.mux.Handle("/facilitator/", s.chains)
	s.mux.Handle("/rpc/", s.chains)
	s.mux.Handle("/", s.wallet.Handler())
	return s, nil
}

func realClock() (now func() time.Time) {
	now = time.Now
	return now
}

// Close ends what the sandbox does by itself and waits for it.
func (s *Sandbox) Close() {
	s.once.Do(func() { close(s.stop) })
	s.wallet.Close()
	s.stripe.Close()
}

// capturedBy tells the wallet what a seller took with a token.
func (s *Sandbox) capturedBy(tokenID string) int64 {
	state, _ := s.stripe.Token(tokenID)
	return state.Captured
}

// Stripe is the processor.
func (s *Sandbox) Stripe() *stripe.Server { return s.stripe }

// Wallet is the buyer's wallet.
func (s *Sandbox) Wallet() *link.Wallet { return s.wallet }

// Facilitator is the facilitator of stablecoins, with its chains.
func (s *Sandbox) Facilitator() *facilitator.Server { return s.chains }

// Now is the time in the sandbox.
func (s *Sandbox) Now() time.Time { return s.clock.now() }

// Mount serves another stand-in under a pattern of [http.ServeMux]. Its calls
// are audited and suffer faults like those of the others. The wallet has what
// no other pattern claims.
func (s *Sandbox) Mount(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Handler serves everything. Answers of stand-ins are short; they are held back
// until the audit has them, so that who reads the audit after an answer finds it there.
func (s *Sandbox) Handler() http.Handler {
	control := s.control()
	served := s.audited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Sandbox", Notice)
		if underControl(r.URL.Path) {
			control.ServeHTTP(w, r)
			return
		}
		served.ServeHTTP(w, r)
	})
}

// ErrNotLoopback is the answer for an address that other machines could reach.
var ErrNotLoopback = errors.New("the sandbox stays on this machine")

// Listen opens a listener on a loopback address, 127.0.0.1:4022 for example, and
// logs that no money moves.
func (s *Sandbox) Listen(addr string) (net.Listener, error) {
	if !loopbackHost(addr) {
		return nil, fmt.Errorf("listen on %q: %w", addr, ErrNotLoopback)
	}
	l, err := net.Listen("tcp", addr) //nolint:noctx // binds a local address, nothing waits
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	at, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil || !at.Addr().Unmap().IsLoopback() { // a name may mean anything
		return nil, errors.Join(fmt.Errorf("listen on %q: %w", addr, ErrNotLoopback), l.Close())
	}
	s.log.Info("sandbox listens, no money moves", "addr", l.Addr().String())
	return l, nil
}

// loopbackHost reports whether a host, with or without a port, is this machine.
func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if host == "localhost" {
		return true
	}
	if len(host) > 2 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
