package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"

	"paywall/x402"
)

// exchangeChallenges: 402 in both protocols, in x402 alone, and what a handler can
// reach that has the bytes of the first ready.
func (b *bench) exchangeChallenges(ctx context.Context) error {
	floor, err := b.role(ctx, "-role", "gin")
	if err != nil {
		return err
	}
	defer floor.stop() //nolint:errcheck // it has nothing to say
	dual, _, err := b.product.start(ctx, 1, "warn")
	if err != nil {
		return err
	}
	defer dual.stop() //nolint:errcheck // it has nothing to say
	second := *b.product
	second.v1 = false
	alone, _, err := second.start(ctx, 1, "warn")
	if err != nil {
		return err
	}
	defer alone.stop() //nolint:errcheck // it has nothing to say
	file := filepath.Join(b.root, "answer")
	size, err := record(dual.addr, both, file)
	if err != nil {
		return err
	}
	most, err := b.role(ctx, "-role", "repeat", "-answer", file)
	if err != nil {
		return err
	}
	defer most.stop() //nolint:errcheck // it has nothing to say
	of := func(p *process, target string, status int) *contender {
		return &contender{process: p, load: load{addr: p.addr, connections: connections, request: same(get(target, p.addr)), status: status}}
	}
	f, m := of(floor, target, http.StatusOK), of(most, both, http.StatusPaymentRequired)
	d, a := of(dual, both, http.StatusPaymentRequired), of(alone, coins, http.StatusPaymentRequired)
	if err := b.turns(f, d, m, a); err != nil {
		return err
	}
	b.ratio("402 of MPP and x402 (v2 field, v1 body), per core; floor: bare gin hello", 0.80, d.rates, f.rates)
	b.ratio("the most it can be: bare gin writing the same "+number(float64(size))+" bytes; floor: bare gin hello", 0, m.rates, f.rates)
	b.ratio("402 of x402 alone (v2 field), per core; floor: bare gin hello", 0.80, a.rates, f.rates)
	return nil
}

// record keeps an answer as it came and returns its length.
func record(addr, target, file string) (int, error) {
	c, err := dial(addr)
	if err != nil {
		return 0, err
	}
	defer c.Close() //nolint:errcheck // it was read to its end
	c.keep = true
	status, head, err := c.do(get(target, addr))
	if err != nil {
		return 0, err
	}
	if status != http.StatusPaymentRequired {
		return 0, fmt.Errorf("unpaid: %d, want 402", status)
	}
	answer := append(head, c.body...)
	if err := os.WriteFile(file, answer, 0o600); err != nil {
		return 0, fmt.Errorf("keep the answer: %w", err)
	}
	return len(answer), nil
}

// exchangePayments: stablecoins, taken before the answer is made and after it.
func (b *bench) exchangePayments(ctx context.Context) error {
	p, err := newPurse(false)
	if err != nil {
		return err
	}
	stock := func(method string) func(string, int) ([][]byte, error) {
		return func(addr string, n int) ([][]byte, error) { return p.stock(addr, method, realm, n) }
	}
	args := []string{"-role", "gate", "-api", b.behind.api, "-facilitator", b.behind.facilitator}
	for _, s := range []sale{
		{name: "stablecoin, settled before (POST)", stock: stock(http.MethodPost)},
		{name: "stablecoin, settled after (GET)", stock: stock(http.MethodGet)},
	} {
		s.inFlight, s.goal, s.args, s.commit = 64, 0.65, args, 12
		if err := b.paid(ctx, s); err != nil {
			return err
		}
	}
	if err := b.embedded(ctx, stock); err != nil {
		return err
	}
	return b.exchangeForged(ctx)
}

// goalOfPeers is twice what the official middleware of x402 for gin reaches of a
// bare handler, with its transport tuned, as docs/benchmarks.md says.
const goalOfPeers = 2 * 0.045

// embedded is the middleware in the place of the official one.
func (b *bench) embedded(ctx context.Context, stock func(method string) func(string, int) ([][]byte, error)) error {
	dir, err := os.MkdirTemp(b.root, "store")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	floor, err := b.role(ctx, "-role", "gin")
	if err != nil {
		return err
	}
	defer floor.stop() //nolint:errcheck // it has nothing to say
	ours, err := b.role(ctx, "-role", "middleware", "-facilitator", b.behind.facilitator, "-store", "sqlite", "-dir", dir)
	if err != nil {
		return err
	}
	defer ours.stop() //nolint:errcheck // it has nothing to say
	f := &seller{process: floor, stock: func(addr string, n int) ([][]byte, error) {
		requests := make([][]byte, n)
		for i := range requests {
			requests[i] = get(target, addr)
		}
		return requests, nil
	}}
	after, before := &seller{process: ours, stock: stock(http.MethodGet)}, &seller{process: ours, stock: stock(http.MethodPost)}
	if err := b.sell(64, func() error { return nil }, f, after, before); err != nil {
		return err
	}
	b.ratio("stablecoin in gin, settled after (GET), SQLite, per core; floor: bare gin hello", goalOfPeers, after.core, f.core)
	b.ratio("stablecoin in gin, settled before (POST), SQLite, per core; floor: bare gin hello", goalOfPeers, before.core, f.core)
	return nil
}

// exchangeForged refuses payments whose signature is another's. None may reach the
// facilitator.
func (b *bench) exchangeForged(ctx context.Context) error {
	p, _, err := b.product.start(ctx, 2, "warn")
	if err != nil {
		return err
	}
	defer p.stop() //nolint:errcheck // it has nothing to say
	forger, err := newPurse(true)
	if err != nil {
		return err
	}
	const many = 1024
	requests, err := forger.stock(p.addr, http.MethodGet, p.addr, many)
	if err != nil {
		return err
	}
	if err := refusedFor(p.addr, requests[0], x402.CodeSignature); err != nil {
		return err
	}
	var next atomic.Uint64
	f := &contender{process: p, load: load{
		addr: p.addr, connections: connections, status: http.StatusPaymentRequired,
		request: func(int) []byte { return requests[next.Add(1)%many] },
	}}
	asked := b.behind.verified.Load() + b.behind.settled.Load()
	if err := b.turns(f); err != nil {
		return err
	}
	if b.behind.verified.Load()+b.behind.settled.Load() != asked {
		return errors.New("a forged payment reached the facilitator")
	}
	v := 2 * median(f.rates)
	b.add(figure{name: "refused stablecoin signatures, two cores' time", ours: rate(v), value: v})
	return nil
}

// refusedFor checks that a refusal is the one that is meant.
func refusedFor(addr string, req []byte, code string) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // it was read to its end
	_, head, err := c.do(req)
	if err != nil {
		return err
	}
	var again x402.PaymentRequired
	if err := x402.Decode(fields(head).Get(x402.HeaderRequired), &again); err != nil {
		return err //nolint:wrapcheck // it says what is wrong
	}
	if again.Error != code {
		return fmt.Errorf("refused with %q, want %q", again.Error, code)
	}
	return nil
}
