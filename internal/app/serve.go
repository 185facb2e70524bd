package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"paywall/internal/config"
)

type serveCmd struct {
	configured
}

// Run serves until SIGTERM or SIGINT; SIGHUP reloads.
func (c *serveCmd) Run(ctx context.Context, p *Process) error {
	cfg, err := config.Load(c.Config, p.Getenv)
	if err != nil {
		return shown(p, err)
	}
	t, err := newObservers(ctx, cfg, p)
	if err != nil {
		return err
	}
	defer t.close() //nolint:contextcheck // the last spans leave after the context has ended
	s, err := newServer(ctx, cfg, c.Config, p, t)
	if err != nil {
		return shown(p, err)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
			}
			if err := s.reload(ctx); err != nil {
				t.logger.ErrorContext(ctx, "configuration not reloaded; the old one is in force", "err", err)
				continue
			}
			t.logger.InfoContext(ctx, "configuration reloaded", "file", c.Config)
		}
	}()
	return s.run(ctx, func() { banner(ctx, p, cfg, s) })
}

// shown prints configuration problems as they are, a line each, and leaves the
// exit code.
func shown(p *Process, err error) error {
	list, ok := configErrors(err)
	if !ok {
		return err
	}
	for _, problem := range list {
		fmt.Fprintln(p.Stderr, problem)
	}
	return exitWith(exitFailed, nil)
}

// banner says in a few lines what is on, what is not real, and what is missing.
func banner(ctx context.Context, p *Process, cfg *config.Config, s *server) {
	out := p.Stderr
	priced, free := 0, 0
	for _, r := range cfg.Routes {
		if r.Free {
			free++
		} else {
			priced++
		}
	}
	fmt.Fprintf(out, "paywall %s serves %s on %s; routes: %d priced, %d free\n", p.Version, cfg.PublicURL, cfg.Listen, priced, free)
	if m := cfg.Methods.Stripe; m != nil {
		mode := "test mode"
		if m.Live {
			mode = "LIVE"
		}
		if m.BaseURL != "" {
			mode = "sandbox at " + m.BaseURL + ", no money moves"
		}
		fmt.Fprintf(out, "paid by stripe (%s) to %s\n", mode, m.Profile)
		if len(m.WebhookSecrets) == 0 {
			fmt.Fprintln(out, "without methods.stripe.webhook_secret, refunds and disputes made at the processor are not heard of")
		}
	}
	supported := s.parts.rails.Supported()
	for _, f := range cfg.Methods.Facilitators {
		to := f.PayTo
		if to == "" {
			to = "the deposit address at the processor"
		}
		fmt.Fprintf(out, "paid by %s (%s on %s, over x402) to %s\n", f.Name, f.Asset.Symbol, f.Network, to)
		if said := supported[f.Scheme+" on "+f.Network]; said != "ok" {
			fmt.Fprintf(out, "NOT OFFERED yet: %s\n", plainText(said))
		}
		if f.Node == "" {
			fmt.Fprintf(out, "without methods.facilitator.node, a settlement of %s whose answer is lost for good is left to a person\n", f.Name)
		}
	}
	if f := s.shop; f != nil {
		goods := f.live.Current()
		fmt.Fprintf(out, "shop: %d products in %s at %s/.well-known/ucp, for agents of UCP\n", len(goods.Products), goods.Currency, cfg.PublicURL)
		if f.cfg.Authority == "" {
			fmt.Fprintln(out, "without shop.authority, orders are paid with tokens alone, and their receipts are on their pages: our own handlers and extension have no name")
		}
	}
	if s.transfers != nil {
		fmt.Fprintln(out, "stablecoins are entered in the processor's books (paywall transfers list)")
	}
	if n := len(cfg.X402.Clients); n > 0 {
		fmt.Fprintf(out, "facilitator of Link tokens for %d other servers at %s/x402\n", n, cfg.PublicURL)
	}
	if cfg.Admin.Listen != "" {
		fmt.Fprintf(out, "operations on http://%s (metrics, paywall refund, paywall settle pause)\n", cfg.Admin.Listen)
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(out, "warning:", w)
	}
	if why := s.processor.Paused(ctx); why != "" {
		fmt.Fprintf(out, "settlement is PAUSED (%s); go on with: paywall settle resume\n", plainText(why))
	}
}

type checkCmd struct {
	configured

	JSON bool `help:"Print JSON."`
}

// Run compiles the file as serve would, and opens nothing.
func (c *checkCmd) Run(ctx context.Context, p *Process) error {
	cfg, err := config.Load(c.Config, p.Getenv)
	if err != nil {
		return c.failed(p, err)
	}
	ps, err := assemble(cfg, hooks{})
	if err == nil {
		_, err = ps.upstreams(environment{})
	}
	if err == nil && cfg.Shop != nil && cfg.Shop.Catalog != "" {
		_, err = loadCatalog(ps)(ctx)
	}
	if err != nil {
		return c.failed(p, err)
	}
	type row struct {
		ID       string   `json:"id"`
		Match    string   `json:"match"`
		Upstream string   `json:"upstream"`
		Free     bool     `json:"free"`
		Prices   []string `json:"prices,omitempty"`
		Methods  []string `json:"methods,omitempty"`
		Line     int      `json:"line"`
	}
	rows := []row{}
	for _, r := range cfg.Routes {
		one := row{ID: r.ID, Match: r.Match, Upstream: r.Upstream, Free: r.Free, Line: r.Line}
		for _, price := range r.Prices {
			one.Prices = append(one.Prices, price.Amount.String())
		}
		if r.Remote != nil {
			one.Prices = append(one.Prices, "asked of the pricing hook")
		}
		if !r.Free {
			for _, m := range ps.methodsOf(r) {
				one.Methods = append(one.Methods, m.Name())
			}
		}
		rows = append(rows, one)
	}
	warnings := []string{}
	for _, w := range cfg.Warnings {
		warnings = append(warnings, w.String())
	}
	if c.JSON {
		return printJSON(p, map[string]any{"ok": true, "public_url": cfg.PublicURL, "routes": rows, "warnings": warnings})
	}
	t := newTable(p.Stdout, "route", "match", "upstream", "price", "paid by")
	for _, r := range rows {
		price, by := strings.Join(r.Prices, ", "), strings.Join(r.Methods, ", ")
		if r.Free {
			price, by = "free", ""
		}
		t.row(r.ID, r.Match, r.Upstream, price, by)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintln(p.Stdout, "warning:", w)
	}
	fmt.Fprintln(p.Stdout, "the configuration is good")
	return nil
}

func (c *checkCmd) failed(p *Process, err error) error {
	if !c.JSON {
		return shown(p, err)
	}
	type view struct {
		Line    int    `json:"line,omitempty"`
		Path    string `json:"path,omitempty"`
		Message string `json:"message"`
	}
	list, ok := configErrors(err)
	views := []view{}
	for _, one := range list {
		views = append(views, view{one.Line, one.Path, one.Message})
	}
	if !ok {
		views = append(views, view{Message: err.Error()})
	}
	return errors.Join(printJSON(p, map[string]any{"ok": false, "problems": views}), exitWith(exitFailed, nil))
}
