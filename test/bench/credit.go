package main

import (
	"context"
	"net/http"
)

const drawnFrom = "/v1/calls/2026" // drawn from credit

// credit draws requests from a pack, beside the same with a receipt that draws nothing.
func (b *bench) credit(ctx context.Context) error {
	p, _, err := b.product.start(ctx, 2, "warn")
	if err != nil {
		return err
	}
	defer p.stop() //nolint:errcheck // it has nothing to say
	pass, err := buy(p.addr, target, "spt_pass")
	if err != nil {
		return err
	}
	pack, err := buy(p.addr, drawnFrom, "spt_pack")
	if err != nil {
		return err
	}
	const inFlight = 64
	of := func(path string, h http.Header) load {
		return load{
			addr: p.addr, connections: inFlight, length: b.length, status: http.StatusOK,
			request: same(get(path, p.addr, "Authorization: Bearer "+h.Get("Paywall-Receipt"))),
		}
	}
	var floor, ours []float64
	drawn, commits := 0, 0.0
	for round := range b.rounds + 1 {
		f, err := of(target, pass).run()
		if err != nil {
			return err
		}
		before, err := storeCommits(p)
		if err != nil {
			return err
		}
		o, err := of(drawnFrom, pack).run()
		if err != nil {
			return err
		}
		after, err := storeCommits(p)
		if err != nil {
			return err
		}
		if round == 0 {
			continue // it warms up
		}
		floor, ours = append(floor, f.perSecond()), append(ours, o.perSecond())
		drawn += o.requests
		commits += after - before
	}
	b.ratio("GET drawn from credit, 64 at a time, SQLite synchronous=FULL; floor: with a receipt that draws nothing", 0.80, ours, floor)
	per := float64(drawn) / commits
	b.add(figure{name: "requests per commit, drawn from credit, 64 at a time", ours: number(per), value: per, goal: 12})
	return nil
}
