package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"paywall/internal/httpsig"
	"paywall/internal/shopping"
	"paywall/receipts"
	"paywall/wallet"
)

// demoCatalog sells a day in the archive for what the route costs.
const demoCatalog = `currency: USD
products:
  - id: archive-day
    title: A day in the archive
    description: All of it, for as many requests as you like
    digital: true
    opens: {route: archive, for: 24h}
  - {id: atlas, title: Atlas of markets, price: 39.00, stock: 12, description: 400 pages in linen}
discounts: [{code: WELCOME, title: Ten percent off, percent: 10}]
shipping: [{id: post, title: Post, price: 4.50}]
`

// agentProfile is where the agent says who it is.
func (d *demo) agentProfile() (receipts.Key, http.Handler, error) {
	k, err := receipts.GenerateKey(receipts.ES256, d.server.processor.Now())
	if err != nil {
		return receipts.Key{}, nil, fmt.Errorf("the agent's key: %w", err)
	}
	data, err := agentProfile(k, "")
	if err != nil {
		return receipts.Key{}, nil, err
	}
	return k, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(data)
	}), nil
}

// shop buys a day in the archive from the shop, and reads there with what it got.
func (d *demo) shop(ctx context.Context, agent *http.Client) error {
	purse, ok := agent.Transport.(*wallet.Transport)
	if !ok {
		return errors.New("the agent has no wallet")
	}
	k, profile, err := d.agentProfile()
	if err != nil {
		return err
	}
	d.host(d.person, profile)
	d.shopping = true
	client, err := shopping.New(shopping.Config{
		Profile: "http://" + d.person.Addr().String() + "/agent.json", Sign: httpsig.Signer{KeyID: k.ID, Key: k.Signer()}.SignRequest,
		HTTP: &http.Client{Transport: &narrator{d: d, next: &http.Transport{}}},
	})
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	s, err := client.Discover(ctx, d.public)
	if err != nil {
		return fmt.Errorf("discover the shop: %w", err)
	}
	found, err := client.Search(ctx, s, "archive", 1)
	if err != nil || len(found) != 1 || len(found[0].Variants) != 1 {
		return fmt.Errorf("search the shop: %d products found: %w", len(found), errors.Join(err))
	}
	item := found[0].Variants[0]
	d.say("   agent:  finds %q for %s", found[0].Title, shopping.Price(item.Price.Amount, item.Price.Currency))
	checkout, err := client.Create(ctx, s, shopping.Wanted{Items: []shopping.Item{{Variant: item.ID, Quantity: 1}}, Email: "ada@example.com", Country: "US"})
	if err != nil {
		return fmt.Errorf("check out: %w", err)
	}
	done, err := client.Pay(ctx, s, checkout, purse, "")
	if err != nil || done.Order == nil {
		return fmt.Errorf("pay at the shop: the checkout is %s: %w", done.Status, errors.Join(err))
	}
	d.say("   agent:  has paid %s and has order %s", done.Amount(), shorten(done.Order.ID, 16))
	list, err := client.Receipts(ctx, s, done.Order.Permalink)
	if err != nil || len(list) != 1 {
		return fmt.Errorf("the order has %d receipts: %w", len(list), errors.Join(err))
	}
	return d.enter(ctx, list[0])
}

// enter reads in the archive with the receipt of an order.
func (d *demo) enter(ctx context.Context, receipt shopping.Receipt) error {
	path := "/v1/archive/1987/10/19"
	if !strings.HasPrefix(receipt.Opens, d.public+"/v1/archive/") {
		return fmt.Errorf("the receipt opens %s", receipt.Opens)
	}
	before := d.served.Load()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.public+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+receipt.Token)
	resp, err := (&http.Client{Transport: &narrator{d: d, next: &http.Transport{}}}).Do(req)
	if err != nil {
		return fmt.Errorf("read in the archive: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK || d.served.Load() != before+1 {
		return fmt.Errorf("the archive answered %s to the order's receipt: %w", resp.Status, errors.Join(err))
	}
	d.more(strings.TrimSpace(string(answer)))
	return nil
}
