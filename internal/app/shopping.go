package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"paywall/internal/httpsig"
	"paywall/internal/shopping"
	"paywall/internal/testhook"
	"paywall/receipts"
	"paywall/ucp/protocol"
)

type shopCmd struct {
	Discover shopDiscoverCmd `cmd:"" help:"Show what a shop has and how it is paid."`
	Search   shopSearchCmd   `cmd:"" help:"Find products."`
	Cart     shopCartCmd     `cmd:"" help:"Put items into a cart, and show what they cost."`
	Buy      shopBuyCmd      `cmd:"" help:"Check out items, pay from a wallet, and show the order."`
	Status   shopStatusCmd   `cmd:"" help:"Show what became of a checkout."`
	Order    shopOrderCmd    `cmd:"" help:"Show an order."`
	Profile  shopProfileCmd  `cmd:"" help:"Print this agent's profile, to be served at its URL."`
}

// shopper is who an agent is to shops.
type shopper struct {
	Agent  string `help:"URL of this agent's profile. A shop on this machine gets one from here without it." env:"PAYWALL_AGENT_PROFILE"`
	APIKey string `name:"api-key" help:"API key that the shop has given." env:"PAYWALL_SHOP_KEY"`
}

// localProfile is where a profile is served to shops on this machine. It is always the
// same, since a shop knows its customers by it.
const localProfile = "127.0.0.1:4029"

// agentKey reads the agent's signing key, or makes it.
func agentKey(dir string) (receipts.Key, error) {
	path := filepath.Join(dir, "agent.pem")
	ring, err := receipts.LoadKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		var k receipts.Key
		if k, err = receipts.GenerateKey(receipts.ES256, testhook.Now()()); err == nil {
			if ring, err = receipts.NewKeyRing(k); err == nil {
				err = receipts.SaveKeys(path, ring)
			}
		}
	}
	if err != nil {
		return receipts.Key{}, fmt.Errorf("the agent's key: %w", err)
	}
	k, ok := ring.Signing()
	if !ok || k.Algorithm != receipts.ES256 {
		return receipts.Key{}, fmt.Errorf("the agent's key: %s has none that signs with ES256", path)
	}
	return k, nil
}

// agentProfile is what this agent says of itself.
func agentProfile(k receipts.Key, webhook string) ([]byte, error) {
	signer := k.Signer()
	if signer == nil {
		return nil, errors.New("the agent's key does not sign")
	}
	jwk, err := publicJWK(k)
	if err != nil {
		return nil, err
	}
	const v = shopping.Version
	base := "https://ucp.dev/" + v
	capabilities := map[string]any{}
	for name, file := range map[string]string{
		protocol.Checkout: "checkout", protocol.Cart: "cart", protocol.Order: "order", protocol.CatalogSearch: "catalog_search",
		protocol.CatalogLookup: "catalog_lookup", protocol.Discount: "discount", protocol.Fulfillment: "fulfillment",
	} {
		entry := map[string]any{"version": v, "spec": base + "/specification/overview", "schema": base + "/schemas/shopping/" + file + ".json"}
		if name == protocol.Order && webhook != "" {
			entry["config"] = map[string]any{"webhook_url": webhook}
		}
		capabilities[name] = []any{entry}
	}
	return json.MarshalIndent(map[string]any{ //nolint:wrapcheck // of texts
		"ucp": map[string]any{
			"version": v, "services": map[string]any{}, "capabilities": capabilities, "payment_handlers": map[string]any{},
		},
		"keys": []httpsig.JWK{jwk},
	}, "", "  ")
}

// open makes the client of a shop. stop ends what it needed.
func (c shopper) open(ctx context.Context, p *Process, w purse, shop string) (client *shopping.Client, found shopping.Shop, stop func(), err error) {
	stop = func() {}
	dir, err := w.folder(p)
	if err != nil {
		return nil, found, stop, err
	}
	k, err := agentKey(dir)
	if err != nil {
		return nil, found, stop, err
	}
	if c.Agent == "" {
		u, err := url.Parse(shop)
		if err != nil || !loopbackHost(u.Host) {
			return nil, found, stop, exitWith(exitUsage, errors.New("name this agent's profile with --agent; make one with: paywall shop profile"))
		}
		if stop, err = serveProfile(ctx, k); err != nil {
			return nil, found, func() {}, err
		}
		c.Agent = "http://" + localProfile + "/agent.json"
	}
	cfg := shopping.Config{Profile: c.Agent, Header: http.Header{}, Sign: httpsig.Signer{KeyID: k.ID, Key: k.Signer()}.SignRequest}
	if c.APIKey != "" {
		cfg.Header.Set("X-Api-Key", c.APIKey)
	}
	if client, err = shopping.New(cfg); err == nil {
		found, err = client.Discover(ctx, shop)
	}
	if err != nil {
		stop()
		return nil, found, func() {}, err //nolint:wrapcheck // it says what to do
	}
	return client, found, stop, nil
}

// serveProfile serves the agent's profile to shops on this machine for the length of a
// command. Where another command is at it already, that one's serves as well: it has
// the same key.
func serveProfile(ctx context.Context, k receipts.Key) (stop func(), err error) {
	data, err := agentProfile(k, "")
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", localProfile)
	if err != nil {
		return func() {}, nil //nolint:nilerr // somebody serves there; a foreign profile fails at the shop
	}
	hs := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=60")
		_, _ = w.Write(data)
	})}
	go func() { _ = hs.Serve(l) }()
	return func() { _ = hs.Close() }, nil
}

type shopDiscoverCmd struct {
	purse
	shopper

	Shop string `arg:"" help:"Origin of the shop, https://…"`
	JSON bool   `help:"Print JSON."`
}

// Run prints what the shop's profile says.
func (c *shopDiscoverCmd) Run(ctx context.Context, p *Process) error {
	_, s, stop, err := c.open(ctx, p, c.purse, c.Shop)
	if err != nil {
		return err
	}
	defer stop()
	if c.JSON {
		return printJSON(p, s)
	}
	t := newTable(p.Stdout, "shop", s.Origin)
	t.row("version", s.Version)
	t.row("endpoint", s.Endpoint)
	for _, name := range slices.Sorted(slices.Values(s.Capabilities)) {
		t.row("has", name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Handlers)) {
		for _, h := range s.Handlers[name] {
			t.row("paid by", name+" ("+h.ID+")")
		}
	}
	return t.flush()
}

type shopSearchCmd struct {
	purse
	shopper

	Shop  string `arg:"" help:"Origin of the shop, https://…"`
	Query string `arg:"" optional:"" help:"Words to find."`
	Limit int    `help:"How many products." default:"10"`
	JSON  bool   `help:"Print JSON."`
}

// Run prints what was found.
func (c *shopSearchCmd) Run(ctx context.Context, p *Process) error {
	client, s, stop, err := c.open(ctx, p, c.purse, c.Shop)
	if err != nil {
		return err
	}
	defer stop()
	found, err := client.Search(ctx, s, c.Query, c.Limit)
	if err != nil {
		return shopOutcome(err)
	}
	if c.JSON {
		return printJSON(p, found)
	}
	t := newTable(p.Stdout, "item", "title", "price", "")
	for _, product := range found {
		for _, v := range product.Variants {
			title := product.Title
			if v.Title != title {
				title += ", " + v.Title
			}
			note := ""
			if !v.Availability.Available {
				note = "sold out"
			}
			t.row(v.ID, title, shopping.Price(v.Price.Amount, v.Price.Currency), note)
		}
	}
	return t.flush()
}

// wantedItems reads what is to be bought: report, or shirt-m:2.
func wantedItems(list []string) ([]shopping.Item, error) {
	var out []shopping.Item
	for _, text := range list {
		id, count, named := text, "1", false
		if i := strings.LastIndexByte(text, ':'); i > 0 {
			if _, err := strconv.ParseInt(text[i+1:], 10, 64); err == nil {
				id, count, named = text[:i], text[i+1:], true
			}
		}
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil || n < 1 || named && n > 1<<53-1 {
			return nil, exitWith(exitUsage, fmt.Errorf("%q is not an item; write report, or shirt-m:2", text))
		}
		out = append(out, shopping.Item{Variant: id, Quantity: n})
	}
	return out, nil
}

type shopCartCmd struct {
	purse
	shopper

	Shop  string   `arg:"" help:"Origin of the shop, https://…"`
	Items []string `arg:"" sep:"none" help:"What to put in: report, or shirt-m:2."`
	Code  []string `help:"A discount code. May be repeated."`
	JSON  bool     `help:"Print JSON."`
}

// Run makes a cart.
func (c *shopCartCmd) Run(ctx context.Context, p *Process) error {
	list, err := wantedItems(c.Items)
	if err != nil {
		return err
	}
	client, s, stop, err := c.open(ctx, p, c.purse, c.Shop)
	if err != nil {
		return err
	}
	defer stop()
	cart, err := client.CreateCart(ctx, s, shopping.Wanted{Items: list, Codes: c.Code})
	if err != nil {
		return shopOutcome(err)
	}
	return c.show(p, cart)
}

func (c *shopCartCmd) show(p *Process, cart shopping.Checkout) error {
	if c.JSON {
		return printJSON(p, cart)
	}
	return showCheckout(p, "cart", cart)
}

func showCheckout(p *Process, what string, x shopping.Checkout) error {
	t := newTable(p.Stdout, what, x.ID)
	if x.Status != "" {
		t.row("status", x.Status)
	}
	for _, l := range x.LineItems {
		t.row(string(l.Quantity)+" x "+l.Item.Title, shopping.Price(l.Item.Price, x.Currency))
	}
	for _, total := range x.Totals {
		t.row(total.Type, shopping.Price(total.Amount, x.Currency))
	}
	for _, m := range x.Messages {
		t.row(m.Type, m.Content)
	}
	for _, m := range x.Fulfillment.Methods {
		for _, g := range m.Groups {
			for _, o := range g.Options {
				note := ""
				if o.ID == g.Option {
					note = " (chosen)"
				}
				t.row("delivery "+o.ID, o.Title+note)
			}
		}
	}
	if x.Order != nil {
		t.row("order", x.Order.ID)
		t.row("see", x.Order.Permalink)
	} else if x.ContinueURL != "" {
		t.row("see", x.ContinueURL)
	}
	return t.flush()
}

type shopBuyCmd struct {
	payCmdWallet
	shopper

	Shop     string   `arg:"" help:"Origin of the shop, https://…"`
	Items    []string `arg:"" sep:"none" help:"What to buy: report, or shirt-m:2."`
	Code     []string `help:"A discount code. May be repeated."`
	Email    string   `help:"The buyer's e-mail address; goods want one."`
	Name     string   `help:"Who gets the goods."`
	Street   string   `help:"Where the goods go."`
	City     string   `help:"Where the goods go."`
	Region   string   `help:"Where the goods go, as CA."`
	Postal   string   `help:"Where the goods go."`
	Country  string   `help:"The buyer's country, as US."`
	Delivery string   `help:"Way of delivery, by its id."`
	Receipt  string   `help:"Write the signed receipt of what the order opens to this file." type:"path"`
	DryRun   bool     `help:"Show what it would cost, and buy nothing."`
	JSON     bool     `help:"Print JSON."`
}

// Run checks out, pays and shows the order.
func (c *shopBuyCmd) Run(ctx context.Context, p *Process) error {
	list, err := wantedItems(c.Items)
	if err != nil {
		return err
	}
	client, s, stop, err := c.open(ctx, p, c.purse, c.Shop)
	if err != nil {
		return err
	}
	defer stop()
	w := shopping.Wanted{Items: list, Codes: c.Code, Email: c.Email, Country: c.Country, Region: c.Region, Postal: c.Postal, Option: c.Delivery}
	if c.Street != "" {
		first, last, _ := strings.Cut(c.Name, " ")
		w.Ship = &shopping.Address{FirstName: first, LastName: last, Street: c.Street, Locality: c.City, Region: c.Region, Postal: c.Postal, Country: c.Country}
	}
	x, err := client.Create(ctx, s, w)
	if err != nil {
		return shopOutcome(err)
	}
	if c.DryRun || x.Status != "ready_for_complete" {
		if err := c.show(p, x); err != nil {
			return err
		}
		if c.DryRun {
			_, err := client.Cancel(ctx, s, x.ID)
			return shopOutcome(err)
		}
		return exitWith(exitFailed, errors.New("the checkout cannot be paid yet; nothing was bought"))
	}
	purse, err := c.transport(p)
	if err != nil {
		return err
	}
	file, err := receiptFile(c.Receipt)
	if err != nil {
		return exitWith(exitUsage, err)
	}
	done, err := client.Pay(ctx, s, x, purse, c.Why)
	if err != nil {
		return errors.Join(shopOutcome(err), files{receipt: file}.discard())
	}
	err = c.show(p, done)
	if file != nil && done.Order != nil {
		err = errors.Join(err, keepReceipt(ctx, client, s, done.Order.Permalink, file))
	}
	return err
}

// keepReceipt writes the receipt of an order to a file.
func keepReceipt(ctx context.Context, client *shopping.Client, s shopping.Shop, permalink string, file *os.File) error {
	list, err := client.Receipts(ctx, s, permalink)
	switch {
	case err != nil:
		err = fmt.Errorf("the receipt was not read; it is on %s: %w", plainText(permalink), err)
	case len(list) == 0:
		err = errors.New("--receipt: the order opens nothing, so it has no receipt")
	case len(list) > 1:
		err = fmt.Errorf("--receipt: the order has %d receipts; they are on %s", len(list), plainText(permalink))
	default:
		return files{receipt: file}.keep(list[0].Token)
	}
	return errors.Join(err, files{receipt: file}.discard())
}

func (c *shopBuyCmd) show(p *Process, x shopping.Checkout) error {
	if c.JSON {
		return printJSON(p, x)
	}
	return showCheckout(p, "checkout", x)
}

// shopOutcome maps what buying has come to onto an exit code.
func shopOutcome(err error) error {
	switch {
	case errors.Is(err, shopping.ErrPending):
		return exitWith(exitPending, fmt.Errorf("%w; look at it with: paywall shop status", err))
	case errors.Is(err, shopping.ErrDeclined), errors.Is(err, shopping.ErrNoWay), errors.Is(err, shopping.ErrEscalated):
		return exitWith(exitRefused, err)
	}
	return outcome(err)
}

type shopStatusCmd struct {
	purse
	shopper

	Shop     string `arg:"" help:"Origin of the shop, https://…"`
	Checkout string `arg:"" help:"The checkout's id."`
	JSON     bool   `help:"Print JSON."`
}

// Run asks for a checkout.
func (c *shopStatusCmd) Run(ctx context.Context, p *Process) error {
	client, s, stop, err := c.open(ctx, p, c.purse, c.Shop)
	if err != nil {
		return err
	}
	defer stop()
	x, err := client.Get(ctx, s, c.Checkout)
	if err != nil {
		return shopOutcome(err)
	}
	if c.JSON {
		return printJSON(p, x)
	}
	return showCheckout(p, "checkout", x)
}

type shopOrderCmd struct {
	purse
	shopper

	Shop  string `arg:"" help:"Origin of the shop, https://…"`
	Order string `arg:"" help:"The order's id."`

	Receipt string `help:"Write the signed receipt of what the order opens to this file." type:"path"`
	JSON    bool   `help:"Print JSON."`
}

// Run asks for an order.
func (c *shopOrderCmd) Run(ctx context.Context, p *Process) error {
	client, s, stop, err := c.open(ctx, p, c.purse, c.Shop)
	if err != nil {
		return err
	}
	defer stop()
	o, err := client.Order(ctx, s, c.Order)
	if err != nil {
		return shopOutcome(err)
	}
	file, err := receiptFile(c.Receipt)
	if err != nil {
		return exitWith(exitUsage, err)
	}
	if file != nil {
		if err := keepReceipt(ctx, client, s, o.Permalink(), file); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(p, o.Raw())
	}
	t := newTable(p.Stdout, "order", o.ID())
	for _, l := range o.Lines() {
		t.row(l.Item.Title, l.Status)
	}
	t.row("see", o.Permalink())
	return t.flush()
}

type shopProfileCmd struct {
	purse

	Webhook string `help:"URL where this agent wants to hear of its orders."`
}

// Run prints the profile.
func (c *shopProfileCmd) Run(p *Process) error {
	dir, err := c.folder(p)
	if err != nil {
		return err
	}
	k, err := agentKey(dir)
	if err != nil {
		return err
	}
	data, err := agentProfile(k, c.Webhook)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "%s\n", data)
	return err //nolint:wrapcheck // nothing to add
}
