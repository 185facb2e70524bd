package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"paywall/internal/config"
	"paywall/methods/facilitator"
	"paywall/methods/stripe"
	"paywall/x402"
	"paywall/x402/evm"
	client "paywall/x402/facilitator"
)

// calls is the client behind one rail for stablecoins. Until it is started it takes
// the configuration's word for what facilitators support, so that a file can be
// checked without asking anybody; from then on, only theirs.
type calls struct {
	*client.Client

	kind    x402.Kind
	first   string
	started atomic.Bool
}

// Pick implements the rail's client.
func (c *calls) Pick(version int, scheme, network string) (string, json.RawMessage, error) {
	if c.started.Load() {
		return c.Client.Pick(version, scheme, network) //nolint:wrapcheck // it says who has said what
	}
	return c.first, json.RawMessage(`{"facilitatorAddress":"0x0000000000000000000000000000000000000001"}`), nil
}

// Ask asks facilitators once what they support. From here on, what they have not
// said is not offered. Who cannot be read is heard later, by Start.
func (r Rails) Ask(ctx context.Context) {
	var wg sync.WaitGroup
	for _, c := range r.facilitators {
		wg.Go(func() {
			_ = c.Refresh(ctx) // Ready tells, and Start asks again
			c.started.Store(true)
		})
	}
	wg.Wait()
}

// Start goes on asking until ctx ends.
func (r Rails) Start(ctx context.Context) {
	for _, c := range r.facilitators {
		go c.Start(ctx)
	}
}

// Close ends what Start has begun.
func (r Rails) Close() {
	for _, c := range r.facilitators {
		_ = c.Close() // it only waits
	}
}

// Supported says of each rail for stablecoins, by network, what facilitators say:
// "ok", or what is missing. It changes when offers have to be made anew.
func (r Rails) Supported() map[string]string {
	m := map[string]string{}
	for _, c := range r.facilitators {
		said := "ok"
		if err := c.Ready(); err != nil {
			said = err.Error()
		}
		m[c.kind.Scheme+" on "+c.kind.Network] = said
	}
	return m
}

func newFacilitator(c config.Facilitator, rail *stripe.Method, s Surroundings) (*facilitator.Method, *calls, error) {
	asset, err := assetOf(c)
	if err != nil {
		return nil, nil, err
	}
	payTo, err := payee(c, rail, s)
	if err != nil {
		return nil, nil, fmt.Errorf("pay_to: %w", err)
	}
	out := &calls{kind: x402.Kind{Version: x402.V2, Scheme: c.Scheme, Network: c.Network}, first: c.Endpoints[0].URL}
	cfg := client.Config{Needs: []x402.Kind{out.kind}, Now: s.Now, Logger: s.Logger, Wrap: s.Wrap}
	for _, e := range c.Endpoints {
		one := client.Endpoint{URL: e.URL, Networks: []string{c.Network}}
		if one.Auth, err = authOf(e); err != nil {
			return nil, nil, fmt.Errorf("endpoints: %w", err)
		}
		cfg.Endpoints = append(cfg.Endpoints, one)
	}
	if out.Client, err = client.New(cfg); err != nil {
		return nil, nil, err //nolint:wrapcheck // it names the field
	}
	var node http.RoundTripper
	if s.Wrap != nil && c.Node != "" {
		node = s.Wrap(&http.Transport{ForceAttemptHTTP2: true, ResponseHeaderTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10})
	}
	m, err := facilitator.New(facilitator.Config{
		Name: c.Name, Asset: asset, PayTo: payTo, Scheme: c.Scheme, MaxTimeout: c.Timeout, Client: out, Node: c.Node, Transport: node, Now: s.Now,
	})
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // it names the field
	}
	return m, out, nil
}

// assetOf is a token that is known, or the one that the file describes.
func assetOf(c config.Facilitator) (evm.Asset, error) {
	if c.Asset.Contract == "" {
		asset, ok := evm.FindAsset(c.Network, c.Asset.Symbol)
		if !ok {
			return evm.Asset{}, fmt.Errorf("asset: %s is not known on %s; describe it with contract, domain_name, domain_version and decimals", c.Asset.Symbol, c.Network)
		}
		return asset, nil
	}
	contract, err := evm.ParseAddress(c.Asset.Contract)
	if err != nil {
		return evm.Asset{}, fmt.Errorf("contract: %w", err)
	}
	return evm.Asset{
		Symbol: c.Asset.Symbol, Network: c.Network, Contract: contract, Name: c.Asset.DomainName, Version: c.Asset.DomainVersion,
		Decimals: c.Asset.Decimals,
	}, nil
}

func payee(c config.Facilitator, rail *stripe.Method, s Surroundings) (evm.Address, error) {
	text := c.PayTo
	if text == "" {
		if s.Deposit == nil {
			return evm.Address{1}, nil
		}
		var err error
		if text, err = s.Deposit(rail, c.Network); err != nil {
			return evm.Address{}, err
		}
	}
	return evm.ParseAddress(text) //nolint:wrapcheck // it says what it wants
}

func authOf(e config.Endpoint) (client.Auth, error) {
	if e.CDPKeyID != "" {
		return client.NewCDP(e.CDPKeyID, e.CDPSecret.Reveal()) //nolint:wrapcheck // it says what it wants
	}
	if len(e.Headers) == 0 {
		return nil, nil //nolint:nilnil // none is the usual case
	}
	return client.Headers(e.Header()), nil
}
