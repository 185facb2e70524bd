package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"
)

// A seller is a server that takes turns with others at being paid.
type seller struct {
	process *process
	// stock makes n requests before the clock starts: what a payer's wallet does is
	// not measured.
	stock func(addr string, n int) ([][]byte, error)

	wall, core []float64 // requests per second, of the clock and of its processor time
	paid       int
}

// sell lets each be paid by so many at a time, one after the other. The first round
// warms up and does not count; warm is called after it. Samples are short and many,
// for the reason that turns are.
func (b *bench) sell(inFlight int, warm func() error, all ...*seller) error {
	for round := range 2*b.rounds + 1 {
		for _, s := range all {
			requests, err := s.stock(s.process.addr, max(b.many/4, 8*inFlight))
			if err != nil {
				return err
			}
			if err := s.serve(requests, inFlight, round > 0); err != nil {
				return err
			}
		}
		if round == 0 {
			if err := warm(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *seller) serve(requests [][]byte, inFlight int, counts bool) error {
	before, err := s.process.cpu()
	if err != nil {
		return err
	}
	sample, err := load{addr: s.process.addr, connections: inFlight, status: http.StatusOK, request: func(n int) []byte {
		if n >= len(requests) {
			return nil
		}
		return requests[n]
	}}.run()
	if err != nil {
		return err
	}
	after, err := s.process.cpu()
	if err != nil || !counts {
		return err
	}
	s.wall = append(s.wall, sample.perSecond())
	s.core = append(s.core, float64(sample.requests)/max(after-before, time.Microsecond).Seconds())
	s.paid += sample.requests
	return nil
}

// A sale is a way to pay under measurement, with a store against without one.
type sale struct {
	name     string
	inFlight int
	delay    time.Duration
	goal     float64
	args     []string // of the role
	stock    func(addr string, n int) ([][]byte, error)
	// most payments that one commit is to serve, or zero for no figure.
	commit float64
}

// payments: G9, G11, G12.
func (b *bench) payments(ctx context.Context) error {
	args := []string{"-role", "gate", "-api", b.behind.api, "-processor", b.behind.processor}
	for _, s := range []sale{
		{inFlight: 64, goal: 0.65, commit: 12},
		{inFlight: 256, goal: 0.70, delay: 5 * time.Millisecond},
	} {
		s.name, s.args, s.stock = "paid request", args, tokenStock
		if err := b.paid(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) paid(ctx context.Context, s sale) error {
	dir, err := os.MkdirTemp(b.root, "store")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	floor, err := b.role(ctx, append(slices.Clip(s.args), "-store", "memory")...)
	if err != nil {
		return err
	}
	defer floor.stop() //nolint:errcheck // it has nothing to say
	ours, err := b.role(ctx, append(slices.Clip(s.args), "-store", "sqlite", "-dir", dir, "-delay", s.delay.String())...)
	if err != nil {
		return err
	}
	defer ours.stop() //nolint:errcheck // it has nothing to say
	f, o := &seller{process: floor, stock: s.stock}, &seller{process: ours, stock: s.stock}
	before := int64(0)
	if err := b.sell(s.inFlight, func() (err error) { before, err = commits(ours.addr); return err }, f, o); err != nil {
		return err
	}
	after, err := commits(ours.addr)
	if err != nil {
		return err
	}
	at := strconv.Itoa(s.inFlight) + " at a time"
	name := s.name + ", " + at + ", SQLite synchronous=FULL"
	if s.delay > 0 {
		name += ", " + s.delay.String() + " more per commit"
	}
	b.ratio(name+"; floor: store off", s.goal, o.wall, f.wall)
	if s.commit > 0 {
		per := float64(o.paid) / float64(after-before)
		of := "payments per commit, "
		if s.name != "paid request" {
			of += s.name + ", "
		}
		b.add(figure{name: of + at, ours: number(per), value: per, goal: s.commit})
	}
	return nil
}

// tokens are never used twice.
var tokens int //nolint:gochecknoglobals // a counter of this program

// tokenStock is paid with tokens, over MPP.
func tokenStock(addr string, n int) ([][]byte, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close() //nolint:errcheck // it was read to its end
	requests := make([][]byte, n)
	for i := range requests {
		tokens++
		field, err := credential(c, realm, target, "spt_"+strconv.Itoa(tokens))
		if err != nil {
			return nil, err
		}
		requests[i] = get(target, realm, "Authorization: "+field)
	}
	return requests, nil
}

func commits(addr string) (int64, error) {
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + addr + "/commits") //nolint:noctx // it has a timeout
	if err != nil {
		return 0, fmt.Errorf("count commits: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	var n int64
	_, err = fmt.Fscan(resp.Body, &n)
	return n, err //nolint:wrapcheck // nothing to add
}

// forged refuses credentials whose binding is wrong.
func (b *bench) forged(ctx context.Context) error {
	p, _, err := b.product.start(ctx, 2, "warn")
	if err != nil {
		return err
	}
	defer p.stop() //nolint:errcheck // it has nothing to say
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // it was read to its end
	field, err := credential(c, p.addr, target+"0", "spt_forged")
	if err != nil {
		return err
	}
	// It was made for another target and is well bound; one that is not costs less.
	f := &contender{process: p, load: load{addr: p.addr, connections: connections, request: same(get(target, p.addr, "Authorization: "+field)), status: http.StatusPaymentRequired}}
	charged := b.behind.charges.Load()
	if err := b.turns(f); err != nil {
		return err
	}
	if b.behind.charges.Load() != charged {
		return errors.New("a forged credential reached the processor")
	}
	v := 2 * median(f.rates)
	b.add(figure{name: "refused credentials, two cores' time", ours: rate(v), value: v, goal: 20_000, unit: "/s"})
	return nil
}
