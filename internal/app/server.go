package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme/autocert"

	"paywall/gate"
	"paywall/internal/config"
	"paywall/internal/testhook"
	"paywall/methods/credit"
	"paywall/methods/stripe"
	"paywall/openapi"
	"paywall/payment"
	"paywall/receipts"
	"paywall/sqlstore"
	"paywall/ucp/profile"
	"paywall/ucp/protocol"
	"paywall/x402"
)

// environment is what the server's parts share.
type environment struct {
	client func(*http.Request) netip.Addr
	logger *slog.Logger
	hooks  hooks
}

// server is one running paywall.
type server struct {
	file      string
	getenv    func(string) (string, bool)
	cfg       *config.Config
	env       environment
	parts     *parts
	store     *sqlstore.Store
	processor *payment.Processor
	gate      *gate.Gate
	// transfers enters stablecoins in the processor's books; nil when none go there.
	transfers *stripe.Deliverer
	// facilitator settles for servers of others; nil when there are none.
	facilitator http.Handler
	// shop sells over UCP; nil when there is none.
	shop      *front
	desk      receipts.Desk
	revoked   receipts.RevocationList
	credits   *credit.Method
	telemetry *observers

	// current is swapped as a whole by a reload; a request sees one of them.
	current   atomic.Pointer[snapshot]
	reloading sync.Mutex
	cert      atomic.Pointer[tls.Certificate] // of files; reload reads them again
	recovered atomic.Bool
	draining  atomic.Bool
}

// snapshot is what a reload replaces.
type snapshot struct {
	router *gate.Router
	docs   openapi.Documents
	// parts it was made from, and what facilitators supported then.
	parts     *parts
	supported map[string]string
	items     []x402.DiscoveryItem
	// closed says that no priced route can be paid for.
	closed bool
}

// recoverBeforeReady bounds how long a start waits for the processor to tell
// what became of payments in doubt; the rest is found out while serving.
const recoverBeforeReady = 1500 * time.Millisecond

// askBeforeReady bounds how long a start waits for facilitators to say what they
// support.
const askBeforeReady = 3 * time.Second

// newServer opens the store and puts everything together. It listens to nothing yet.
func newServer(ctx context.Context, cfg *config.Config, file string, p *Process, t *observers) (*server, error) {
	s := &server{file: file, getenv: p.Getenv, cfg: cfg, telemetry: t}
	s.env = environment{client: clientAddr(cfg.TrustedProxies), logger: t.logger, hooks: t.hooks()}
	now := testhook.Now()
	var err error
	if s.parts, err = assemble(cfg, s.env.hooks); err != nil {
		return nil, err
	}
	s.store, err = sqlstore.Open(ctx, sqlstore.Config{DSN: cfg.Store.Engine + ":" + cfg.Store.Path, Now: now, Logger: t.logger})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	t.watchStore(s.store)
	if err := s.open(ctx, now); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	return s, nil
}

func (s *server) open(ctx context.Context, now func() time.Time) error {
	cfg := s.cfg
	var err error
	if err = s.deposits(ctx, now); err != nil {
		return err
	}
	s.credits, err = credit.New(credit.Config{Store: s.store.Credit(), Now: now})
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	s.processor, err = payment.New(ctx, payment.Config{
		Store: countedStore{s.store, s.telemetry.metrics}, Methods: append(slices.Clip(s.parts.rails.Methods), s.credits), Key: s.parts.seal, Sole: true, Now: now, Logger: s.env.logger,
		Patience: cfg.Settlement.Patience, Attempt: cfg.Settlement.Attempt,
		InFlight: cfg.Limits.InFlight, Queue: cfg.Limits.Queue, Dispatches: cfg.Limits.Dispatches,
		Observe: s.telemetry.rail, Point: testhook.Point(),
	})
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	if s.desk, err = s.parts.desk(s.store, &s.revoked, now); err != nil {
		return err
	}
	service := ""
	if cfg.Shop != nil {
		service = cfg.PublicURL + profile.Path(protocol.Current)
	}
	s.gate, err = gate.New(gate.Config{
		Service: service,
		Realm:   cfg.Realm, Origin: cfg.PublicURL, Processor: s.processor, Methods: s.parts.rails.Methods, Protocols: s.parts.protocols,
		Receipts: s.desk, Credits: s.credits, Keys: s.store, Limits: limitsOf(cfg.Limits), Client: s.env.client, Hosts: cfg.Hosts,
		Canonical: canonicalOptions(cfg), Now: now, Logger: s.env.logger, Observe: s.telemetry.request, Point: testhook.Point(),
	})
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	if s.facilitator, err = s.newFacilitator(now); err != nil {
		return err
	}
	if err = s.openShop(ctx, now, testhook.Point()); err != nil {
		return err
	}
	asked, cancel := context.WithTimeout(ctx, askBeforeReady)
	defer cancel()
	s.parts.rails.Ask(asked)
	snap, err := s.snapshot(ctx, s.parts)
	if err != nil {
		return err
	}
	s.current.Store(snap)
	return nil
}

func limitsOf(l config.Limits) gate.Limits {
	return gate.Limits{
		Challenges: l.ChallengesPerSecond, Burst: l.Burst, Failures: l.FailedPerMinute, Settling: l.InFlightPerClient, Body: l.Body,
		Answer: l.Answer, Answers: l.Answers, AnswerFor: l.AnswerFor, WriteStall: l.WriteStall,
	}
}

func (s *server) snapshot(ctx context.Context, ps *parts) (*snapshot, error) {
	routes, err := ps.routes(s.env)
	if err != nil {
		return nil, err
	}
	supported := s.parts.rails.Supported()
	closed := s.withhold(ctx, ps.cfg, routes)
	s.parts.directory.Set(ps.cfg) // the gate's protocols are those of the start
	router, err := s.gate.Router(routes)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the routes
	}
	docs, err := ps.documents(s.upstreamDocument(ctx, ps.cfg))
	if err != nil {
		return nil, err
	}
	s.telemetry.routes(ps.cfg)
	return &snapshot{router: router, docs: docs, parts: ps, supported: supported, closed: closed, items: items(router, s.processor.Now())}, nil
}

// items are the priced routes for directories.
func items(router *gate.Router, at time.Time) []x402.DiscoveryItem {
	list := []x402.DiscoveryItem{}
	for _, o := range router.Offers() {
		path, ok := x402.Template(o.Pattern)
		if !ok {
			continue
		}
		for _, d := range o.Dialects {
			if c, ok := d.(x402.Catalogue); ok {
				list = append(list, c.Item(path, at))
			}
		}
	}
	return list
}

// withhold closes the routes that cannot be paid for now, since no facilitator has
// said that it settles what they are paid by. It reports whether nothing is left to sell.
func (s *server) withhold(ctx context.Context, cfg *config.Config, routes []gate.Route) (closed bool) {
	sold := 0
	for i := range routes {
		r := &routes[i]
		if r.Free {
			continue
		}
		if len(cfg.Routes[i].Prices) == 0 || s.parts.sellable(cfg.Routes[i]) {
			sold++
			continue
		}
		closed = true
		s.env.logger.WarnContext(ctx, "route cannot be paid for now; it answers 503", "route", r.ID)
		*r = gate.Route{ID: r.ID, Pattern: r.Pattern, Free: true, Handler: http.HandlerFunc(unsellable)}
	}
	return closed && sold == 0
}

func unsellable(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "30")
	w.Header().Set("Cache-Control", "no-store")
	writeProblem(w, http.StatusServiceUnavailable, "This cannot be paid for at the moment; nothing was charged. Come back later.")
}

// watchSupport makes offers anew when facilitators say something else.
func (s *server) watchSupport(ctx context.Context) {
	if len(s.cfg.Methods.Facilitators) == 0 {
		return
	}
	s.parts.rails.Start(ctx)
	defer s.parts.rails.Close()
	tick := time.NewTicker(supportEvery)
	defer tick.Stop()
	for {
		now := s.current.Load()
		if !maps.Equal(now.supported, s.parts.rails.Supported()) {
			s.reloading.Lock()
			if next, err := s.snapshot(ctx, s.current.Load().parts); err != nil {
				s.env.logger.ErrorContext(ctx, "offers were not made anew", "err", err)
			} else {
				s.current.Store(next)
			}
			s.reloading.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// supportEvery is how often it is looked at what facilitators have said.
const supportEvery = 2 * time.Second

// upstreamDocument is the API's own description, if one is configured and can
// be had; the priced API is described without it otherwise.
func (s *server) upstreamDocument(ctx context.Context, cfg *config.Config) []byte {
	for name, u := range cfg.Upstreams {
		if u.OpenAPI == (config.Document{}) {
			continue
		}
		data, err := fetchDocument(ctx, u)
		if err != nil {
			s.env.logger.WarnContext(ctx, "upstream description not read; routes are described without it", "upstream", name, "err", err)
			continue
		}
		return data
	}
	return nil
}

// run serves until ctx ends, then drains.
func (s *server) run(ctx context.Context, ready func()) error {
	public, admin, err := s.listen(ctx)
	if err != nil {
		return errors.Join(err, s.store.Close())
	}
	// Recovery comes first: nobody is asked to pay before it is known what is owed.
	first, cancel := context.WithTimeout(ctx, recoverBeforeReady)
	if s.shop != nil {
		// Orders that are stored keep their payments from being returned as undelivered.
		s.shop.recover(first)
	}
	if n, err := s.processor.Recover(first, true); err != nil || n > 0 {
		s.env.logger.InfoContext(ctx, "recovery before start", "moved", n, "err", err)
	}
	if s.shop != nil {
		s.shop.recover(first)
	}
	cancel()
	revoked, err := s.followRevocations(ctx, 0)
	if err != nil {
		// Without them the receipts of returned payments would open doors again.
		if admin != nil {
			err = errors.Join(err, admin.Close())
		}
		return errors.Join(err, public.Close(), s.store.Close())
	}
	s.recovered.Store(true)

	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.processor.Run(background, 0) })
	wg.Go(func() { s.watchRevocations(background, revoked) })
	wg.Go(func() { s.watchSupport(background) })
	if s.shop != nil {
		wg.Go(func() { s.shop.run(background) })
	}
	if s.transfers != nil {
		wg.Go(func() { s.transfers.Run(background, 0) })
	}
	wg.Go(func() { s.telemetry.watchPending(background, s.store) })

	failed := make(chan error, 2)
	ps := s.httpServer(s.public())
	as := s.httpServer(s.operator().handler())
	wg.Go(func() { failed <- serveOn(ps, public) })
	if admin != nil {
		wg.Go(func() { failed <- serveOn(as, admin) })
	}
	ready()
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.draining.Store(true)
	s.env.logger.InfoContext(ctx, "stopping; requests under way are finished first")
	// What is paid for is finished; what is not begun is refused by the closed door.
	drain, done := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer done()
	if derr := ps.Shutdown(drain); derr != nil {
		s.env.logger.WarnContext(drain, "requests were still running", "err", derr)
		_ = ps.Close()
	}
	_ = as.Shutdown(drain)
	s.gate.Close()
	stop()
	wg.Wait()
	err = errors.Join(err, s.store.Close())
	s.env.logger.InfoContext(ctx, "stopped")
	return err
}

// drainTime is how long a stop waits for requests.
const drainTime = 10 * time.Second

func serveOn(hs *http.Server, l net.Listener) error {
	if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return nil
}

func (s *server) httpServer(h http.Handler) *http.Server {
	l := s.cfg.Limits
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler: paced(h, l.ReadBody), ConnContext: withPeer, ReadHeaderTimeout: l.ReadHeader, IdleTimeout: l.Idle, MaxHeaderBytes: int(l.HeaderBytes),
		Protocols: &protocols, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 100},
		ErrorLog: slog.NewLogLogger(s.env.logger.Handler(), slog.LevelDebug),
	}
}

func (s *server) listen(ctx context.Context) (public, admin net.Listener, err error) {
	public, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w; choose another address or stop what has it", err)
	}
	public = limitConns(stalls(public, s.cfg.Limits.WriteStall), s.cfg.Limits.Connections, s.cfg.Limits.ConnectionsPerClient, s.cfg.TrustedProxies)
	if s.cfg.TLS != nil {
		tc, err := s.tlsConfig()
		if err != nil {
			return nil, nil, errors.Join(err, public.Close())
		}
		public = tls.NewListener(public, tc)
	}
	if s.cfg.Admin.Listen != "" {
		if admin, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Admin.Listen); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("admin.listen: %w; choose another address or stop what has it", err), public.Close())
		}
		admin = stalls(admin, s.cfg.Limits.WriteStall)
	}
	return public, admin, nil
}

func (s *server) tlsConfig() (*tls.Config, error) {
	if a := s.cfg.TLS.Autocert; a != nil {
		m := &autocert.Manager{Prompt: autocert.AcceptTOS, HostPolicy: autocert.HostWhitelist(a.Hosts...), Cache: autocert.DirCache(a.Cache), Email: a.Email}
		tc := m.TLSConfig()
		tc.MinVersion = tls.VersionTLS12
		return tc, nil
	}
	if err := s.readCertificate(s.cfg.TLS); err != nil {
		return nil, err
	}
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.cert.Load(), nil },
		MinVersion:     tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	}, nil
}

// ready says whether priced requests can be sold, and what is wrong if not.
func (s *server) ready() (bool, map[string]string) {
	checks := map[string]string{"store": "ok", "recovery": "done", "settlement": "running", "clock": "ok"}
	ok := true
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err := s.store.Setting(ctx, payment.SettingPaused); err != nil {
		ok, checks["store"] = false, "cannot be read"
	}
	if why := s.processor.Paused(ctx); why != "" {
		checks["settlement"] = "paused" // free routes and what is paid are still served
	}
	if behind, yes := s.processor.ClockBehind(); yes {
		ok, checks["clock"] = false, "behind by "+behind.Round(time.Second).String()
	}
	if !s.recovered.Load() {
		ok, checks["recovery"] = false, "under way"
	}
	if s.draining.Load() {
		ok, checks["server"] = false, "stopping"
	}
	maps.Copy(checks, s.parts.rails.Supported()) // other methods may still be offered
	if s.current.Load().closed {
		ok, checks["offers"] = false, "nothing can be paid for"
	}
	if s.cfg.Methods.Stripe != nil && s.cfg.Methods.Stripe.BaseURL != "" {
		checks["processor"] = "not the real one: no money moves"
	}
	return ok, checks
}

func (s *server) operator() *operator {
	o := &operator{
		processor: s.processor, store: s.store, reload: s.reload, now: testhook.Now(),
		metrics: s.telemetry.metricsHandler(), ready: s.ready, logger: s.env.logger, listen: s.cfg.Admin.Listen, shop: s.shop, credit: s.store.Credit(),
	}
	if s.transfers != nil {
		o.transfers = s.transfers
	}
	if m := s.cfg.Methods.Stripe; m != nil && s.parts.rails.Stripe != nil {
		o.reconciler = &reconciler{rail: s.parts.rails.Stripe, account: m.Account, store: s.store, processor: s.processor}
	}
	return o
}

// revocationEvery is how often refunds and disputes of other makers are looked for.
const revocationEvery = 500 * time.Millisecond

// followRevocations catches up with the outbox from a position and returns the next.
func (s *server) followRevocations(ctx context.Context, after int64) (int64, error) {
	for {
		from := after
		page, err := s.store.Events(ctx, after, 1000)
		if err != nil {
			return after, fmt.Errorf("read the outbox: %w", err)
		}
		var ids []string
		for _, e := range page {
			after = e.Position
			switch e.Type {
			case "payment.refunding", "payment.refunded", "payment.disputed", "payment.review":
				ids = append(ids, e.Payment)
			}
		}
		if len(ids) > 0 {
			s.revoked.Add(ids...)
		}
		for _, id := range ids {
			if err := s.freeze(ctx, id); err != nil {
				return from, err
			}
		}
		if len(page) < 1000 {
			return after, nil
		}
	}
}

// freeze ends the credit that a payment has bought; of most there is none.
func (s *server) freeze(ctx context.Context, id string) error {
	c := s.store.Credit()
	a, err := c.Account(ctx, id)
	if err == nil && !a.Frozen {
		err = c.Freeze(ctx, id)
	}
	if err != nil && !errors.Is(err, payment.ErrNotFound) {
		return fmt.Errorf("freeze what is left of %s: %w", id, err)
	}
	return nil
}

func (s *server) watchRevocations(ctx context.Context, after int64) {
	tick := time.NewTicker(revocationEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		next, err := s.followRevocations(ctx, after)
		if err != nil {
			s.env.logger.WarnContext(ctx, "revocations not read", "err", err)
			continue
		}
		after = next
	}
}

// maxDescription bounds an API's own description, in bytes.
const maxDescription = 8 << 20

func fetchDocument(ctx context.Context, u config.Upstream) ([]byte, error) {
	if u.OpenAPI.File != "" {
		return readFile(u.OpenAPI.File)
	}
	where := u.OpenAPI.URL
	if where == "" {
		where = strings.TrimSuffix(u.URL.String(), "/") + u.OpenAPI.Path
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask for the description: %w", err)
	}
	// Nothing is unpacked: a description is taken at the size that it is sent in.
	resp, err := (&http.Client{Transport: &http.Transport{DisableCompression: true}}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for the description: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for the description: %s", resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDescription+1))
	if err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	if len(data) > maxDescription {
		return nil, fmt.Errorf("read the description: it is larger than %d bytes", maxDescription)
	}
	return data, nil
}
