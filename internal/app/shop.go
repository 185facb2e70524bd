package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"paywall/checkout"
	"paywall/checkout/remote"
	"paywall/internal/builtin"
	"paywall/internal/catalog"
	"paywall/internal/config"
	"paywall/internal/fetch"
	"paywall/internal/httpsig"
	"paywall/money"
	"paywall/payment"
	"paywall/receipts"
	"paywall/sqlstore"
	"paywall/ucp"
	"paywall/ucp/agent"
	"paywall/ucp/events"
	"paywall/ucp/page"
	"paywall/ucp/permalink"
	"paywall/ucp/profile"
	"paywall/ucp/protocol"
)

// Paths of a shop.
const (
	shopBase   = "/shop"
	buyBase    = "/shop/buy"
	receiptDoc = "/ucp/receipt"
)

// front is a shop over UCP: what is sold, to whom, and the pages for people.
type front struct {
	cfg     *config.Shop
	server  *server
	now     func() time.Time
	live    *catalog.Live
	ring    *receipts.KeyRing
	store   sqlstore.Checkout
	service *checkout.Service
	events  *events.Sender
	ucp     *ucp.Server
	page    *page.Handler
	till    builtin.Till
	buckets *buckets
	// documents are the profiles, made anew by a reload; routes what passes open.
	documents atomic.Pointer[map[string]http.Handler]
	routes    atomic.Pointer[[]config.Route]
	mux       http.Handler
}

// openShop puts the shop together. There is none where none is configured.
func (s *server) openShop(ctx context.Context, now func() time.Time, point func(string)) error {
	c := s.cfg.Shop
	if c == nil {
		return nil
	}
	f := &front{cfg: c, server: s, now: now, store: s.store.Checkout(), ring: s.parts.ring}
	f.routes.Store(&s.cfg.Routes)
	var err error
	if f.live, err = catalog.NewLive(ctx, loadCatalog(s.parts)); err != nil {
		return err //nolint:wrapcheck // it names file and line
	}
	if err = f.keys(); err != nil {
		return err
	}
	if f.till, err = builtin.Handlers(s.cfg, s.parts.rails, s.parts.protocols); err != nil {
		return err //nolint:wrapcheck // it names the handler
	}
	if f.buckets, err = newBuckets(float64(s.cfg.Limits.ChallengesPerSecond), s.cfg.Limits.Burst, now); err != nil {
		return err
	}
	if err = f.openService(point); err != nil { //nolint:contextcheck // what it makes is called with contexts of their own
		return err
	}
	if err = f.openWire(); err != nil {
		return err
	}
	if err = f.publish(); err != nil {
		return err
	}
	s.shop = f
	return nil
}

// loadCatalog is how the catalog of a configuration is read.
func loadCatalog(ps *parts) func(context.Context) (*checkout.Shop, error) {
	cfg := ps.cfg
	o := catalogOptions(cfg)
	return func(ctx context.Context) (*checkout.Shop, error) {
		o := o
		if cfg.Shop.Settings != "" {
			base, err := catalog.LoadTerms(cfg.Shop.Settings, o)
			if err != nil {
				return nil, err //nolint:wrapcheck // it names file and line
			}
			o.Base = base
		}
		if cfg.Shop.Catalog != "" {
			return catalog.Load(cfg.Shop.Catalog, o) //nolint:wrapcheck // it names file and line
		}
		products, err := ps.rails.Stripe.Products(ctx)
		if err != nil {
			return nil, fmt.Errorf("shop.catalog: %w", err)
		}
		return catalog.FromStripe(products, o) //nolint:wrapcheck // it names the product
	}
}

// catalogOptions are what a catalog can refer to.
func catalogOptions(cfg *config.Config) catalog.Options {
	o := catalog.Options{RoutePrice: func(route string) (money.Amount, bool) { return routePrice(cfg, route) }}
	if cfg.Shop != nil {
		o.Currency = cfg.Shop.Currency
	}
	for _, r := range cfg.Routes {
		if !r.Free {
			o.Routes = append(o.Routes, r.ID)
			if r.Credit != nil {
				o.CreditRoutes = append(o.CreditRoutes, r.ID)
			}
		}
	}
	return o
}

// routePrice is the one price of a route.
func routePrice(cfg *config.Config, route string) (money.Amount, bool) {
	for _, r := range cfg.Routes {
		if r.ID == route && !r.Free && len(r.Prices) == 1 && r.Remote == nil && r.Tiers == nil {
			return r.Prices[0].Amount, true
		}
	}
	return money.Amount{}, false
}

// keys finds the keys that are signed with.
func (f *front) keys() error {
	if f.cfg.Keys != "" {
		var err error
		if f.ring, err = receipts.LoadKeys(f.cfg.Keys); err != nil {
			return fmt.Errorf("shop.keys: %w; create it with: paywall keys new", err)
		}
	}
	if k, ok := f.ring.Signing(); !ok || k.Algorithm != receipts.ES256 {
		return errors.New("shop.keys: the signing key must be ES256; create one with: paywall keys new --algorithm ES256")
	}
	return nil
}

func (f *front) signer() (httpsig.Signer, error) {
	k, ok := f.ring.Signing()
	if !ok || k.Algorithm != receipts.ES256 {
		return httpsig.Signer{}, errors.New("no ES256 key signs")
	}
	return httpsig.Signer{KeyID: k.ID, Key: k.Signer()}, nil
}

// published are the keys that others verify with; a former one stays as long as it is
// in the file.
func (f *front) published() ([]httpsig.JWK, error) {
	var list []httpsig.JWK
	for _, k := range f.ring.Keys() {
		if k.Algorithm != receipts.ES256 || k.Status == receipts.Revoked || !k.NotAfter.IsZero() && !f.now().Before(k.NotAfter) {
			continue
		}
		jwk, err := publicJWK(k)
		if err != nil {
			return nil, err
		}
		list = append(list, jwk)
	}
	return list, nil
}

func publicJWK(k receipts.Key) (httpsig.JWK, error) {
	pub, ok := k.Public().(*ecdsa.PublicKey)
	if !ok {
		return httpsig.JWK{}, errors.New("the key is not on P-256")
	}
	return httpsig.Public(k.ID, pub) //nolint:wrapcheck // it says what it wants
}

func (f *front) openService(point func(string)) error {
	s := f.server
	var rates checkout.Rates
	if r := f.cfg.Rates; r != nil {
		var err error
		if rates, err = remote.New(remote.Config{Delivery: r.Delivery, Tax: r.Tax, Timeout: r.Timeout, Header: r.Header()}); err != nil {
			return err //nolint:wrapcheck // it names the field
		}
	}
	sign := func(r *http.Request, body []byte) error {
		signer, err := f.signer()
		if err != nil {
			return err
		}
		return signer.SignRequest(r, body) //nolint:wrapcheck // it says what is wrong
	}
	var err error
	f.events, err = events.New(events.Config{
		Store: f.store, Sign: sign, Profile: s.cfg.PublicURL + profile.Path(protocol.Current), Now: f.now, Logger: s.env.logger,
		Client: fetch.New(fetch.Config{Loopback: f.cfg.Platforms.Loopback, MaxBytes: 4 << 10, Timeout: 10 * time.Second, UserAgent: "paywall"}),
		Encode: func(v protocol.Version, o checkout.Order) ([]byte, error) { return f.ucp.EncodeOrder(v, o) }, //nolint:wrapcheck // it names the order
	})
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	f.service, err = checkout.New(checkout.Config{
		Store: f.store, Shop: f.live.Current, Payments: s.processor, Rates: rates, Tenant: s.cfg.Realm, TTL: f.cfg.Session, Hold: f.cfg.Hold,
		Build: f.events.Build, OpenCredit: s.credits.Open, Now: f.now, Logger: s.env.logger, Point: point,
	})
	return err //nolint:wrapcheck // it names the field
}

// extension is the name of the receipt extension; empty where it has none.
func (f *front) extension() string {
	if f.cfg.Authority == "" {
		return ""
	}
	return builtin.Reversed(f.cfg.Authority) + ".receipt"
}

// about is what the profiles say.
func (f *front) about() (profile.Config, error) {
	c := f.server.cfg
	keys, err := f.published()
	if err != nil {
		return profile.Config{}, err
	}
	p := profile.Config{Origin: c.PublicURL, Handlers: f.till.Handlers, Keys: keys, Receipt: f.extension(), ReceiptSpec: c.PublicURL + receiptDoc + ".md"}
	if f.pay() != nil {
		p.Permalink = c.PublicURL + buyBase
	}
	if f.cfg.Authority == c.Realm && strings.HasPrefix(c.PublicURL, "https://") {
		p.ReceiptSchema = c.PublicURL + receiptDoc + ".json"
	}
	return p, nil
}

func (f *front) openWire() error {
	s, c := f.server, f.cfg
	about, err := f.about()
	if err != nil {
		return err
	}
	pinned := map[string][]byte{}
	for url, path := range c.Platforms.Pinned {
		if pinned[url], err = os.ReadFile(path); err != nil {
			return fmt.Errorf("shop.platforms.pinned: %w", err)
		}
	}
	dir, err := agent.NewDirectory(agent.DirectoryConfig{
		Client: fetch.New(fetch.Config{Loopback: c.Platforms.Loopback, UserAgent: "paywall"}),
		Pinned: pinned, OnlyPinned: c.Platforms.Only, PerSecond: c.Platforms.PerSecond, Now: f.now, Logger: s.env.logger,
	})
	if err != nil {
		return err //nolint:wrapcheck // it names the profile
	}
	gc := agent.Config{Directory: dir, Offer: about.Offer(), Authenticated: c.Require == "authenticated", Signature: c.Require == "signature", Now: f.now}
	for _, k := range c.Clients {
		gc.Keys = append(gc.Keys, agent.APIKey{Name: k.Name, Hash: sha256.Sum256([]byte(k.Key.Reveal())), Profiles: k.Profiles})
	}
	if c.OAuth != nil {
		gc.Tokens, gc.Issuer = newIntrospector(*c.OAuth, s.env.hooks.wrap, f.now), c.OAuth.Issuer
	}
	who, err := agent.New(gc)
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	origin := s.cfg.PublicURL
	f.page, err = page.New(page.Config{
		Base: shopBase, Origin: origin, Shop: s.cfg.Service.Title, Now: f.now, Logger: s.env.logger, Pay: f.pay(),
		Session: func(ctx context.Context, id string) (checkout.Session, error) {
			return f.service.Get(ctx, checkout.Caller{Buyer: true}, id)
		}, //nolint:wrapcheck // sorted there
		Order: func(ctx context.Context, id string) (checkout.Order, error) {
			return f.service.Order(ctx, checkout.Caller{Buyer: true}, id)
		}, //nolint:wrapcheck // sorted there
		Receipts: f.shown, Links: func() []checkout.Link { return f.live.Current().Links },
	})
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	f.ucp, err = ucp.New(ucp.Config{
		Service: f.service, Shop: f.live.Current, Handlers: f.till.Handlers, Identify: who.Identify, Challenge: who.Challenge(), Requests: f.store,
		Sign: func(h http.Header, status int, body []byte) error {
			signer, err := f.signer()
			if err != nil {
				return err
			}
			return signer.SignResponse(h, status, body) //nolint:wrapcheck // it says what is wrong
		},
		Extension: f.extension(), Receipts: f.receipts, Now: f.now, Logger: s.env.logger,
		CheckoutURL: func(id string) string { return origin + f.page.Checkout(id) }, OrderURL: func(id string) string { return origin + f.page.Order(id) },
	})
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	return f.route()
}

// route puts the shop's paths together.
func (f *front) route() error {
	mux := http.NewServeMux()
	for _, v := range protocol.Versions() {
		mux.Handle(profile.Endpoint(v)+"/", f.limited(f.ucp.Handler(v, profile.Endpoint(v))))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { writeProblem(w, http.StatusNotFound, "Nothing is here.") })
	mux.Handle(shopBase+"/", f.limited(f.page))
	if f.pay() != nil {
		links, err := permalink.New(permalink.Config{
			Base: buyBase, Fallback: shopBase + "/", Logger: f.server.env.logger,
			Create: func(ctx context.Context, d checkout.Desired) (string, error) {
				x, err := f.service.Create(ctx, checkout.Caller{Principal: "permalink"}, d)
				return f.page.Checkout(x.ID), err //nolint:wrapcheck // logged there
			},
		})
		if err != nil {
			return err //nolint:wrapcheck // it names the field
		}
		mux.Handle(buyBase+"/", f.limited(links))
	}
	// What every agent asks for first is looked up first.
	f.mux = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := (*f.documents.Load())[r.URL.Path]; ok {
			h.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
	return nil
}

// limited bounds how often one client calls.
func (f *front) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.buckets.take(f.server.env.client(r)) {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Retry-After", "1")
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"code":"rate_limited","content":"Too many requests came from here; wait a moment."}`))
	})
}

// publish makes the documents that are served as they are.
func (f *front) publish() error {
	about, err := f.about()
	if err != nil {
		return err
	}
	docs := map[string]http.Handler{}
	for _, v := range protocol.Versions() {
		data, err := about.Document(v)
		if err != nil {
			return err //nolint:wrapcheck // it names the version
		}
		docs[profile.Path(v)] = profile.Serve(data)
	}
	for path, d := range f.till.Documents {
		docs[path] = static(d)
	}
	if name := f.extension(); name != "" {
		schema, err := receiptSchema(name, about.ReceiptSchema)
		if err != nil {
			return err
		}
		docs[receiptDoc+".json"] = static(builtin.Document{Type: "application/schema+json", Data: schema})
		docs[receiptDoc+".md"] = static(builtin.Document{Type: "text/markdown; charset=utf-8", Data: receiptSpec(name)})
	}
	f.documents.Store(&docs)
	return nil
}

func static(d builtin.Document) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", d.Type)
		h.Set("Cache-Control", "public, max-age=3600")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			_, _ = w.Write(d.Data)
			return
		}
		h.Set("Allow", "GET, HEAD")
		writeProblem(w, http.StatusMethodNotAllowed, "This can only be read.")
	})
}

// pay pays a checkout from its page with a token of a test wallet; nil where money is real.
func (f *front) pay() func(ctx context.Context, id string) error {
	c := f.server.cfg.Methods.Stripe
	rail := f.server.parts.rails.Stripe
	if c == nil || c.Live || rail == nil || f.cfg.Handlers.Stripe == nil || !f.cfg.Handlers.Stripe.Link {
		return nil
	}
	return func(ctx context.Context, id string) error {
		_, err := f.service.Complete(ctx, checkout.Caller{Buyer: true}, id, "", func(due checkout.Due) (payment.Credential, error) {
			now := f.now()
			token, err := rail.TestToken(ctx, due.Quote.Amount, now.Add(10*time.Minute))
			if err != nil {
				return payment.Credential{}, err //nolint:wrapcheck // logged by the page
			}
			proof, err := json.Marshal(map[string]string{"type": "stripe_payment_token", "token": token})
			if err != nil {
				return payment.Credential{}, fmt.Errorf("proof: %w", err)
			}
			return f.till.Handlers[0].Credential(protocol.Instrument{Type: "link", Credential: proof}, due, now) //nolint:wrapcheck // sorted there
		})
		return err //nolint:wrapcheck // sorted by the page
	}
}

// receipts are the passes that an order has bought. Of one that was paid back there are none.
func (f *front) receipts(ctx context.Context, o checkout.Order) []ucp.Receipt {
	var out []ucp.Receipt
	for _, b := range f.bought(ctx, o) {
		token, expires, err := f.server.desk.IssueBought(b.Bought)
		if err != nil {
			f.server.env.logger.InfoContext(ctx, "no receipt of an order", "order", o.ID, "line", b.line, "err", err)
			continue
		}
		out = append(out, ucp.Receipt{Line: b.line, Opens: b.opens, Token: token, Expires: expires})
	}
	return out
}

type boughtPass struct {
	receipts.Bought

	line, title, opens string
}

func (f *front) bought(ctx context.Context, o checkout.Order) []boughtPass {
	for _, a := range o.Adjustments {
		if a.Type == "refund" {
			return nil
		}
	}
	var out []boughtPass
	paid := payment.Payment{ID: o.ID, Method: "free", Reference: o.ID}
	for _, l := range o.Lines {
		for i, g := range l.Grants {
			if paid.ID == o.ID && o.Payment != "" {
				var err error
				if paid, err = f.server.processor.Get(ctx, o.Payment); err != nil {
					f.server.env.logger.WarnContext(ctx, "payment of an order not read", "order", o.ID, "err", err)
					return nil
				}
			}
			amount, err := money.New(l.Total, o.Currency, o.Scale)
			if err != nil {
				continue
			}
			pass := g.Pass
			if pass.Credit && !paid.Pack {
				continue // it was given away, and bought nothing
			}
			if pass.Credit && i+len(out) > 0 {
				continue // all lines have bought one account
			}
			switch {
			case pass.Credit:
				amount = paid.Amount
			case pass.Uses > 0:
				pass.Uses = int(min(int64(pass.Uses)*l.Quantity, 1_000_000))
			default:
				pass.For *= time.Duration(min(l.Quantity, 1000))
			}
			out = append(out, boughtPass{line: l.ID, title: l.Title, opens: f.opens(g.Route), Bought: receipts.Bought{
				ID:        fmt.Sprintf("rcp_%s_%s_%d", strings.TrimPrefix(o.ID, "ord_"), strings.TrimPrefix(l.ID, "li_"), i),
				PaymentID: paid.ID, Route: g.Route, Pass: pass, At: o.CreatedAt, Amount: amount, Method: paid.Method, Reference: paid.Reference,
				Payer: paid.Payer, Network: paid.Network, Resource: f.server.cfg.PublicURL + f.page.Order(o.ID),
			}})
		}
	}
	return out
}

// opens is the URL of a route, with the names of its parts.
func (f *front) opens(route string) string {
	for _, r := range *f.routes.Load() {
		if r.ID == route {
			return f.server.cfg.PublicURL + r.Path
		}
	}
	return f.server.cfg.PublicURL + "/"
}

// shown are the same, for a person.
func (f *front) shown(ctx context.Context, o checkout.Order) []page.Receipt {
	var out []page.Receipt
	for _, b := range f.bought(ctx, o) {
		if token, expires, err := f.server.desk.IssueBought(b.Bought); err == nil {
			out = append(out, page.Receipt{Line: b.line, Title: b.title, Opens: b.opens, Token: token, Expires: expires})
		}
	}
	return out
}

// recover finishes what an earlier process has left.
func (f *front) recover(ctx context.Context) {
	if err := f.store.EndLeases(ctx, f.now()); err != nil {
		f.server.env.logger.WarnContext(ctx, "requests of an earlier process are held until their leases end", "err", err)
	}
	if n, err := f.service.RecoverNow(ctx); err != nil || n > 0 {
		f.server.env.logger.InfoContext(ctx, "checkouts recovered before start", "moved", n, "err", err)
	}
}

// run does what goes on beside requests until ctx ends.
func (f *front) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { f.service.Run(ctx) })
	wg.Go(func() { f.events.Run(ctx) })
	wg.Go(func() { f.follow(ctx) })
	if f.cfg.Catalog == "" {
		wg.Go(func() { f.live.Run(ctx, f.cfg.Refresh, f.server.env.logger) })
	}
	wg.Wait()
}

// outboxPosition is the setting that keeps how far orders follow their payments.
const outboxPosition = "shop.outbox"

// follow brings orders up to date with their payments: refunds and disputes.
func (f *front) follow(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := f.catchUp(ctx); err != nil && ctx.Err() == nil {
			f.server.env.logger.WarnContext(ctx, "orders do not follow their payments yet", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *front) catchUp(ctx context.Context) error {
	s := f.server.store
	text, err := s.Setting(ctx, outboxPosition)
	if err != nil {
		return err //nolint:wrapcheck // the store says what it did
	}
	var after int64
	if text != "" {
		if _, err := fmt.Sscan(text, &after); err != nil {
			return fmt.Errorf("setting %s: %w", outboxPosition, err)
		}
	}
	for {
		list, err := s.Events(ctx, after, 500)
		if err != nil || len(list) == 0 {
			return err //nolint:wrapcheck // the store says what it did
		}
		for _, e := range list {
			switch e.Type {
			case "payment.refunding", "payment.refunded", "payment.disputed", "payment.dispute_won", "payment.review":
				if err := f.service.PaymentChanged(ctx, e.Payment); err != nil {
					return err //nolint:wrapcheck // it names the payment
				}
			}
			after = e.Position
		}
		if err := s.SetSetting(ctx, outboxPosition, fmt.Sprint(after)); err != nil { //nolint:perfsprint // as it is read
			return err //nolint:wrapcheck // the store says what it did
		}
	}
}

// reload reads the catalog and the keys again.
func (f *front) reload(ctx context.Context, ps *parts) error {
	if ps.cfg.Shop == nil {
		return nil
	}
	ring := ps.ring
	if ps.cfg.Shop.Keys != "" {
		var err error
		if ring, err = receipts.LoadKeys(ps.cfg.Shop.Keys); err != nil {
			return fmt.Errorf("shop.keys: %w", err)
		}
	}
	if err := f.live.Use(ctx, loadCatalog(ps)); err != nil {
		return err //nolint:wrapcheck // it names file and line
	}
	f.routes.Store(&ps.cfg.Routes)
	if f.ring != f.server.parts.ring {
		f.ring.Replace(ring)
	}
	return f.publish()
}
