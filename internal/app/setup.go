package app

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"paywall/gate"
	"paywall/internal/builtin"
	"paywall/internal/config"
	"paywall/internal/proxy"
	"paywall/internal/testhook"
	"paywall/money"
	"paywall/openapi"
	"paywall/payment"
	"paywall/receipts"
)

// settings are what the operating commands need of a configuration.
type settings struct{ Admin, Store string }

// loadConfig reads the file for commands that only look for the server and its store.
func loadConfig(p *Process, file string) (settings, error) {
	cfg, err := config.Load(file, p.Getenv)
	if err != nil {
		return settings{}, err //nolint:wrapcheck // it names file and line
	}
	return settings{Admin: cfg.Admin.Listen, Store: cfg.Store.Engine + ":" + cfg.Store.Path}, nil
}

// parts are made from a configuration before anything is opened: what `check`
// can find wrong is found here.
type parts struct {
	cfg       *config.Config
	rails     builtin.Rails
	protocols []payment.Protocol
	directory builtin.Directory
	ring      *receipts.KeyRing
	seal      []byte
	pricers   []gate.Pricer // by index of cfg.Routes; nil for free ones
}

// hooks go around what parts of the server do, for traces and metrics.
type hooks struct {
	wrap     func(http.RoundTripper) http.RoundTripper
	upstream func(name, class string)
	logger   *slog.Logger
}

func assemble(cfg *config.Config, h hooks) (*parts, error) {
	s := &parts{cfg: cfg}
	now := testhook.Now()
	var err error
	if s.rails, err = builtin.Methods(cfg.Methods, builtin.Surroundings{Now: now, Wrap: h.wrap, Logger: h.logger}); err != nil {
		return nil, fmt.Errorf("methods: %w", err)
	}
	if s.ring, err = receipts.LoadKeys(cfg.Keys.Receipts); err != nil {
		return nil, fmt.Errorf("keys.receipts: %w; create it with: paywall keys new", err)
	}
	if _, ok := s.ring.Signing(); !ok {
		return nil, fmt.Errorf("keys.receipts: %s has no key that signs", cfg.Keys.Receipts)
	}
	if err = s.speak(now); err != nil {
		return nil, err
	}
	if s.seal, err = sealKey(cfg.Keys); err != nil {
		return nil, err
	}
	var problems config.Errors
	for i, r := range cfg.Routes {
		if r.Free {
			s.pricers = append(s.pricers, nil)
			continue
		}
		pricer, err := builtin.Pricer(r, now)
		if err != nil {
			problems = append(problems, cfg.Problem(fmt.Sprintf("routes[%d]", i), "%v", err))
		}
		s.pricers = append(s.pricers, pricer)
		problems = append(problems, s.unpayable(i, r)...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return s, nil
}

// speak makes the protocols.
func (s *parts) speak(now func() time.Time) error {
	issuer, err := receipts.New(receipts.Config{Keys: s.ring, Issuer: s.cfg.PublicURL, Audience: s.cfg.Realm, TTL: s.cfg.ReceiptTTL, Now: now})
	if err != nil {
		return err //nolint:wrapcheck // it names the field
	}
	s.directory.Set(s.cfg)
	s.protocols, err = builtin.Protocols(s.cfg, builtin.Voice{SignOffer: issuer.SignOffer, Directory: &s.directory})
	return err //nolint:wrapcheck // it names the setting
}

// unpayable finds the prices of a route that none of its methods can take.
func (s *parts) unpayable(i int, r config.Route) config.Errors {
	var problems config.Errors
	for _, p := range r.Prices {
		q := payment.Quote{
			Route: r.ID, Amount: p.Amount, Description: r.Description, Terms: r.Terms,
			Hold: r.Settle == gate.SettleHold || r.Settle == gate.SettleMetered, Metered: r.Settle == gate.SettleMetered,
		}
		if r.Credit != nil {
			if problem := s.undrawable(i, r, p); problem != nil {
				problems = append(problems, *problem)
				continue
			}
			q.Amount, q.Pack = r.Credit.Pack, true
		}
		offered := false
		var why []string
		for _, m := range s.methodsOf(r) {
			if _, err := m.Offer(q); err != nil {
				why = append(why, m.Name()+": "+strings.TrimSuffix(err.Error(), ": "+payment.ErrNotOffered.Error()))
				continue
			}
			offered = true
		}
		if !offered {
			path := p.Path
			if path == "" {
				path = fmt.Sprintf("routes[%d].price", i)
			}
			problems = append(problems, s.cfg.Problem(path, "no payment method can take %s (%s); raise the price or add a method", q.Amount, strings.Join(why, "; ")))
		}
	}
	return problems
}

// undrawable says why a price cannot be drawn from a pack of its route, or nil.
func (s *parts) undrawable(i int, r config.Route, p config.PricePoint) *config.Problem {
	path := p.Path
	if path == "" {
		path = fmt.Sprintf("routes[%d].price", i)
	}
	scale, known := payment.CreditScale(p.Amount.Currency())
	if _, err := p.Amount.Rescale(scale); !known || err != nil {
		problem := s.cfg.Problem(path, "%s cannot be drawn from credit, which is kept in units of %d places", p.Amount, scale)
		return &problem
	}
	if more, err := p.Amount.Cmp(r.Credit.Pack); err != nil || more > 0 {
		problem := s.cfg.Problem(path, "a pack of %s does not pay for one request at %s", r.Credit.Pack, p.Amount)
		return &problem
	}
	return nil
}

// sellable reports whether some method can take a price of the route now.
func (s *parts) sellable(r config.Route) bool {
	for _, p := range r.Prices {
		for _, m := range s.methodsOf(r) {
			for _, hold := range []bool{true, false} {
				q := payment.Quote{
					Route: r.ID, Amount: p.Amount, Description: r.Description, Terms: r.Terms,
					Hold: hold || r.Settle == gate.SettleMetered, Metered: r.Settle == gate.SettleMetered,
				}
				if r.Credit != nil {
					q.Amount, q.Pack = r.Credit.Pack, true
				}
				if _, err := m.Offer(q); err == nil {
					return true
				}
			}
		}
	}
	return false
}

func (s *parts) methodsOf(r config.Route) []payment.Method {
	if len(r.Methods) == 0 {
		return s.rails.Methods
	}
	var ms []payment.Method
	for _, name := range r.Methods {
		for _, m := range s.rails.Methods {
			if m.Name() == name {
				ms = append(ms, m)
			}
		}
	}
	return ms
}

// sealKey is what stored intents are sealed with: configured, or derived from
// the challenge secret under a purpose of its own.
func sealKey(k config.Keys) ([]byte, error) {
	if !k.Seal.Empty() {
		return []byte(k.Seal.Reveal()), nil
	}
	key, err := hkdf.Key(sha256.New, []byte(k.Challenge.Reveal()), nil, "paywall sealed intents", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the sealing key: %w", err)
	}
	return key, nil
}

// upstreams makes the hop to each server behind.
func (s *parts) upstreams(env environment) (map[string]http.Handler, error) {
	hops := map[string]http.Handler{}
	for name, u := range s.cfg.Upstreams {
		pc := proxy.Config{
			Name: name, Target: u.URL, Host: u.Host, Header: u.Header(), Public: s.cfg.PublicURL, Timeout: u.Timeout,
			Client: env.client, Wrap: env.hooks.wrap, Logger: env.logger, Observe: env.hooks.upstream,
		}
		if u.CA != "" {
			pem, err := os.ReadFile(u.CA)
			if err != nil {
				return nil, fmt.Errorf("upstreams.%s.ca: %w", name, err)
			}
			pc.Roots = x509.NewCertPool()
			if !pc.Roots.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("upstreams.%s.ca: %s holds no PEM certificate", name, u.CA)
			}
		}
		hop, err := proxy.New(pc)
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the upstream
		}
		hops[name] = hop
	}
	return hops, nil
}

// routes is the price table for the gate.
func (s *parts) routes(env environment) ([]gate.Route, error) {
	hops, err := s.upstreams(env)
	if err != nil {
		return nil, err
	}
	var list []gate.Route
	for i, r := range s.cfg.Routes {
		hop, ok := hops[r.Upstream]
		if !ok {
			return nil, fmt.Errorf("route %s: no upstream %q", r.ID, r.Upstream)
		}
		one := gate.Route{
			ID: r.ID, Pattern: strings.TrimSpace(r.Method + " " + r.Path), Free: r.Free, Methods: r.Methods,
			Description: r.Description, Terms: r.Terms, Window: r.Window, Redeliver: r.Redeliver, Pass: r.Pass,
			Accept: r.Accept, Body: r.BodyLimit, Handler: hop, Settle: r.Settle,
		}
		if r.Credit != nil {
			one.Credit = gate.Credit{Pack: r.Credit.Pack, For: r.Credit.For}
		}
		if r.Meter != nil {
			one.Meter = gate.Meter{Header: r.Meter.Header, Missing: r.Meter.Missing}
		}
		if s.cfg.Upstreams[r.Upstream].Dedupes && r.Redeliver == nil {
			again := true // it drops a second request with the same payment id
			one.Redeliver = &again
		}
		if !r.Free {
			one.Pricer = s.pricers[i]
		}
		list = append(list, one)
	}
	return list, nil
}

// documents describe the priced API to agents.
func (s *parts) documents(upstream []byte) (openapi.Documents, error) {
	sv := s.cfg.Service
	oc := openapi.Config{
		PublicURL: s.cfg.PublicURL, Title: sv.Title, Version: sv.Version, Description: sv.Description,
		Categories: sv.Categories, Homepage: sv.Homepage, Reference: sv.Reference, Upstream: upstream,
		Facilitator: s.cfg.X402.LinkTokens != nil && len(s.cfg.X402.Clients) > 0, Catalogue: s.cfg.X402.Enabled && s.cfg.X402.Bazaar,
	}
	for _, r := range s.cfg.Routes {
		or := openapi.Route{Method: r.Method, Path: r.Path, Description: r.Description, Free: r.Free}
		if !r.Free {
			or.Offers = s.described(r)
		}
		oc.Routes = append(oc.Routes, or)
	}
	docs, err := openapi.Build(oc)
	if err != nil {
		return openapi.Documents{}, fmt.Errorf("describe the API: %w", err)
	}
	return docs, nil
}

// described are a route's offers as far as they are known before a request. The
// amount of a route without one fixed price is left open, and so is everything about
// one that nobody takes money for at the moment.
func (s *parts) described(r config.Route) []openapi.Offer {
	var known, unknown []openapi.Offer
	if len(r.Prices) == 0 {
		for _, m := range s.methodsOf(r) {
			unknown = append(unknown, openapi.Offer{Method: m.Name()})
		}
		return unknown
	}
	fixed := len(r.Prices) == 1 && r.Remote == nil && r.Tiers == nil
	metered := r.Settle == gate.SettleMetered
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	q := payment.Quote{
		Route: r.ID, Amount: r.Prices[0].Amount, Description: r.Description, Terms: r.Terms, Metered: metered,
		Hold: metered || r.Settle == gate.SettleHold || r.Settle != gate.SettleBefore && safe,
	}
	if r.Credit != nil {
		q.Amount, q.Pack, q.Hold, fixed = r.Credit.Pack, true, false, true
	}
	for _, m := range s.methodsOf(r) {
		unknown = append(unknown, openapi.Offer{Method: m.Name(), Currency: strings.ToLower(q.Amount.Currency())})
		o, err := m.Offer(q)
		if err != nil {
			continue
		}
		said, err := openapi.OfferOf(o)
		if err != nil {
			continue
		}
		if r.Credit != nil {
			price := money.Amount{}
			if len(r.Prices) == 1 && r.Remote == nil && r.Tiers == nil {
				price = r.Prices[0].Amount
			}
			said.Description = gate.PackDescription(r.Credit.Pack, price, r.Description)
		}
		if !fixed {
			said.Currency, said.Amount, said.Price = strings.ToLower(said.Amount.Currency()), money.Amount{}, money.Amount{}
		}
		known = append(known, said)
	}
	if len(known) > 0 {
		return known
	}
	return unknown
}

// desk issues and takes receipts for the configured origin.
func (s *parts) desk(uses receipts.Uses, revoked receipts.Revocations, now func() time.Time) (receipts.Desk, error) {
	issuer, err := receipts.New(receipts.Config{Keys: s.ring, Issuer: s.cfg.PublicURL, Audience: s.cfg.Realm, TTL: s.cfg.ReceiptTTL, Now: now})
	if err != nil {
		return receipts.Desk{}, err //nolint:wrapcheck // it names the field
	}
	verifier, err := receipts.NewVerifier(receipts.VerifierConfig{
		Keys: s.ring, Issuer: s.cfg.PublicURL, Audience: s.cfg.Realm, Revocations: revoked, Uses: uses, Now: now,
	})
	if err != nil {
		return receipts.Desk{}, err //nolint:wrapcheck // it names the field
	}
	return receipts.Desk{Issuer: issuer, Verifier: verifier}, nil
}

// configuration errors are shown without the word "paywall:" before each line.
func configErrors(err error) (config.Errors, bool) {
	var list config.Errors
	ok := errors.As(err, &list)
	return list, ok
}
