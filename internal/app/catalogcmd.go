package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"paywall/checkout"
	"paywall/internal/catalog"
	"paywall/internal/config"
	"paywall/internal/shopping"
)

type catalogCmd struct {
	Check  catalogCheckCmd  `cmd:"" help:"Check a catalog file and show what it sells."`
	Import catalogImportCmd `cmd:"" help:"Write a YAML catalog of the products at the processor, or of a CSV file."`
}

type catalogCheckCmd struct {
	File     string `arg:"" help:"A YAML or CSV file." type:"path"`
	Currency string `help:"Currency where the file names none." default:"USD"`
	Config   string `short:"c" help:"Check it against the routes of this configuration." type:"path"`
	JSON     bool   `help:"Print JSON."`
}

// Run reads the file as serve would.
func (c *catalogCheckCmd) Run(p *Process) error {
	o := catalog.Options{Currency: c.Currency}
	if c.Config != "" {
		cfg, err := config.Load(c.Config, p.Getenv)
		if err != nil {
			return shown(p, err)
		}
		o = catalogOptions(cfg)
	}
	shop, err := catalog.Load(c.File, o)
	if err != nil {
		return shown(p, err)
	}
	if c.JSON {
		return printJSON(p, map[string]any{"ok": true, "currency": shop.Currency, "products": len(shop.Products), "version": shop.Version})
	}
	t := newTable(p.Stdout, "item", "title", "price", "stock", "opens")
	for _, product := range shop.Products {
		for _, v := range product.Variants {
			stock, opens := "", make([]string, 0, len(v.Grants))
			if v.Stock != nil {
				stock = strconv.FormatInt(*v.Stock, 10)
			}
			for _, g := range v.Grants {
				opens = append(opens, g.Route)
			}
			t.row(v.ID, v.Title, shopping.Price(v.Price, shop.Currency), stock, strings.Join(opens, " "))
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintln(p.Stdout, "the catalog is good")
	return nil
}

type catalogImportCmd struct {
	configured

	From   string `help:"A CSV file; without one, the products at the processor of the configuration." type:"path"`
	Output string `short:"o" help:"The file to write; it must not be there yet. Without one, it is printed." type:"path"`
}

// Run writes what is read as YAML.
func (c *catalogImportCmd) Run(ctx context.Context, p *Process) error {
	shop, err := c.read(ctx, p)
	if err != nil {
		return shown(p, err)
	}
	text := catalog.Write(shop)
	if c.Output == "" {
		_, err := p.Stdout.Write(text)
		return err //nolint:wrapcheck // nothing to add
	}
	f, err := os.OpenFile(c.Output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // a catalog is public
	if err != nil {
		return fmt.Errorf("write the catalog: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the catalog: %w", err)
	}
	fmt.Fprintf(p.Stdout, "%d products are in %s\n", len(shop.Products), c.Output)
	return nil
}

func (c *catalogImportCmd) read(ctx context.Context, p *Process) (*checkout.Shop, error) {
	if c.From != "" {
		return catalog.Load(c.From, catalog.Options{}) //nolint:wrapcheck // it names the lines
	}
	cfg, err := config.Load(c.Config, p.Getenv)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names file and line
	}
	ps, err := assemble(cfg, hooks{})
	if err != nil {
		return nil, err
	}
	if ps.rails.Stripe == nil {
		return nil, errors.New("the configuration has no methods.stripe to read products from")
	}
	products, err := ps.rails.Stripe.Products(ctx)
	if err != nil {
		return nil, fmt.Errorf("products: %w", err)
	}
	o := catalogOptions(cfg)
	o.RoutePrice = nil                     // routes may be written later
	return catalog.FromStripe(products, o) //nolint:wrapcheck // it names the product
}
