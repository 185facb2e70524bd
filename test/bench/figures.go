package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// connections of a load that is to keep one core busy.
const connections = 32

// perCore runs the load and returns requests per second of the server's own processor time.
func perCore(p *process, c *crowd) (float64, error) {
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	s, err := c.run()
	if err != nil {
		return 0, err
	}
	after, err := p.cpu()
	if err != nil {
		return 0, err
	}
	return float64(s.requests) / max(after-before, time.Microsecond).Seconds(), nil
}

// A contender is a server that takes turns with others.
type contender struct {
	process *process
	load    load
	rates   []float64
}

// short is how many turns make one round, so that what else the
// machine does meets all contenders alike.
const short = 10

// turns lets each have its samples, one after the other. The first round warms
// up and does not count.
func (b *bench) turns(cs ...*contender) error {
	crowds := make([]*crowd, len(cs))
	for i, c := range cs {
		c.load.length = b.length / short
		var err error
		if crowds[i], err = c.load.gather(); err != nil {
			return err
		}
		defer crowds[i].close()
	}
	for turn := range (b.rounds + 1) * short {
		for i, c := range cs {
			rate, err := perCore(c.process, crowds[i])
			if err != nil {
				return err
			}
			if turn >= short {
				c.rates = append(c.rates, rate)
			}
		}
	}
	return nil
}

func rate(v float64) string { return number(v) + "/s" }

// ratio is the median of the ratios of samples that were taken one after the other.
func (b *bench) ratio(name string, goal float64, ours, floor []float64) {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / floor[i]
	}
	b.add(figure{name: name, ours: rate(median(ours)), floor: rate(median(floor)), value: median(ratios), goal: goal})
}

// challenges: G1, G2.
func (b *bench) challenges(ctx context.Context) error {
	floor, err := b.role(ctx, "-role", "gin")
	if err != nil {
		return err
	}
	defer floor.stop() //nolint:errcheck // it has nothing to say
	one, _, err := b.product.start(ctx, 1, "warn")
	if err != nil {
		return err
	}
	defer one.stop() //nolint:errcheck // it has nothing to say
	three, err := b.role(ctx, "-role", "gate", "-offers", "3", "-api", b.behind.api)
	if err != nil {
		return err
	}
	defer three.stop() //nolint:errcheck // it has nothing to say
	of := func(p *process, status int) *contender {
		return &contender{process: p, load: load{addr: p.addr, connections: connections, request: same(get(target, p.addr)), status: status}}
	}
	f, o, t := of(floor, http.StatusOK), of(one, http.StatusPaymentRequired), of(three, http.StatusPaymentRequired)
	if err := b.turns(f, o, t); err != nil {
		return err
	}
	b.ratio("402 with one offer, per core; floor: bare gin hello", 0.85, o.rates, f.rates)
	b.ratio("402 with three offers, per core; floor: bare gin hello", 0.70, t.rates, f.rates)
	return nil
}

// receipts: G5.
func (b *bench) receipts(ctx context.Context) error {
	floor, err := b.role(ctx, "-role", "relay", "-api", b.behind.api)
	if err != nil {
		return err
	}
	defer floor.stop() //nolint:errcheck // it has nothing to say
	ours, _, err := b.product.start(ctx, 1, "warn")
	if err != nil {
		return err
	}
	defer ours.stop() //nolint:errcheck // it has nothing to say
	h, err := buy(ours.addr, target, "spt_receipt")
	if err != nil {
		return err
	}
	bearer := "Authorization: Bearer " + h.Get("Paywall-Receipt")
	f := &contender{process: floor, load: load{addr: floor.addr, connections: connections, request: same(get(target, floor.addr)), status: http.StatusOK}}
	o := &contender{process: ours, load: load{addr: ours.addr, connections: connections, request: same(get(target, ours.addr, bearer)), status: http.StatusOK}}
	if err := b.turns(f, o); err != nil {
		return err
	}
	b.ratio("GET with a receipt through the proxy, per core; floor: tuned ReverseProxy", 0.95, o.rates, f.rates)
	return nil
}

// streams: G15. Each is paid for.
func (b *bench) streams(ctx context.Context) error {
	p, _, err := b.product.start(ctx, 2, "warn")
	if err != nil {
		return err
	}
	defer p.stop() //nolint:errcheck // it has nothing to say
	var late []float64
	for i := range 20 * b.rounds {
		d, err := b.firstByte(p.addr, "spt_stream"+strconv.Itoa(i))
		if err != nil {
			return err
		}
		late = append(late, float64(d.Microseconds())/1000)
	}
	v := percentile(late, 95)
	b.add(figure{name: "first byte of a paid stream behind the upstream's, p95", ours: number(v) + " ms", value: v, goal: 2, most: true, unit: " ms"})
	return nil
}

func (b *bench) firstByte(addr, token string) (time.Duration, error) {
	c, err := dial(addr)
	if err != nil {
		return 0, err
	}
	defer c.Close() //nolint:errcheck // it is cut off
	field, err := credential(c, addr, "/v1/stream", token)
	if err != nil {
		return 0, err
	}
	if _, err := c.Write(get("/v1/stream", addr, "Authorization: "+field)); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return 0, fmt.Errorf("read the head: %w", err)
		}
		if line == "\r\n" {
			break
		}
	}
	b.behind.begin <- struct{}{}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return 0, fmt.Errorf("read the stream: %w", err)
		}
		if strings.HasPrefix(line, "data: first") {
			return time.Since(<-b.behind.parts), nil
		}
	}
}

// reload: G16. Requests go on beside a hundred open streams.
func (b *bench) reload(ctx context.Context) error {
	p, _, err := b.product.start(ctx, 2, "error")
	if err != nil {
		return err
	}
	defer p.stop() //nolint:errcheck // it has nothing to say
	h, err := buy(p.addr, target, "spt_reload")
	if err != nil {
		return err
	}
	for range 100 {
		c, err := dial(p.addr)
		if err != nil {
			return err
		}
		defer c.Close() //nolint:errcheck // it stays open for this measurement
		if _, err := c.Write(get("/v1/open", p.addr)); err != nil {
			return fmt.Errorf("open a stream: %w", err)
		}
		if _, err := c.r.ReadString('\n'); err != nil {
			return fmt.Errorf("open a stream: %w", err)
		}
	}
	l := load{
		addr: p.addr, connections: 4, status: http.StatusOK, length: b.length, latencies: true,
		request: same(get(target, p.addr, "Authorization: Bearer "+h.Get("Paywall-Receipt"))),
	}
	var with, without []float64
	for range b.rounds {
		for _, reloading := range []bool{false, true} {
			quit, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for reloading {
					select {
					case <-quit:
						return
					case <-tick.C:
						_ = p.cmd.Process.Signal(syscall.SIGHUP)
					}
				}
			}()
			s, err := l.run()
			close(quit)
			<-done
			if err != nil {
				return err
			}
			var ms []float64
			for _, t := range s.times {
				ms = append(ms, float64(t.Microseconds())/1000)
			}
			if v := percentile(ms, 99); reloading {
				with = append(with, v)
			} else {
				without = append(without, v)
			}
		}
	}
	w, wo := median(with), median(without)
	b.add(figure{
		name: "p99 beside 100 streams while reloading ten times a second; floor: not reloading", ours: number(w) + " ms", floor: number(wo) + " ms",
		value: w / wo, goal: 1.2, most: true,
	})
	return nil
}

// unpaid: G3.
func (b *bench) unpaid(ctx context.Context) error {
	p, _, err := b.product.start(ctx, 2, "warn")
	if err != nil {
		return err
	}
	defer p.stop() //nolint:errcheck // it has nothing to say
	count := func(n int) error {
		// Every target is another, so that anything kept by target shows.
		_, err := load{addr: p.addr, connections: connections, status: http.StatusPaymentRequired, request: func(i int) []byte {
			if i >= n {
				return nil
			}
			return get("/v1/reports/"+strconv.Itoa(i), p.addr)
		}}.run()
		return err
	}
	called := b.behind.charges.Load() + b.behind.pages.Load()
	if err := count(25 * b.many); err != nil { // the heap finds its size
		return err
	}
	// What starting up left to be written is not this load's.
	time.Sleep(time.Second)
	mem, err1 := p.memory()
	disk, err2 := p.written()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	total, began := 250*b.many, time.Now()
	if err := count(total); err != nil {
		return err
	}
	took := time.Since(began)
	after, err1 := p.memory()
	loaded, err2 := p.written()
	// The server notes the time now and then, whether anybody asks or not.
	rest := time.Duration(b.rounds) * 2 * time.Second
	time.Sleep(rest)
	idle, err3 := p.written()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	n := number(float64(total))
	grown := float64(max(0, after-mem)) / (1 << 20)
	b.add(figure{name: "memory grown by " + n + " unpaid requests", ours: number(grown) + " MiB", value: grown, goal: 2, most: true, unit: " MiB"})
	during, still := float64(loaded-disk)/took.Seconds(), float64(idle-loaded)/rest.Seconds()
	b.add(figure{
		name: "bytes written to disk per second meanwhile; floor: nobody asks", ours: number(math.Round(during)), floor: number(math.Round(still)),
		value: during / max(still, 1), goal: 2, most: true,
	})
	calls := float64(b.behind.charges.Load() + b.behind.pages.Load() - called)
	b.add(figure{name: "calls to processor and upstream by them", ours: number(calls), value: calls, most: true})
	return nil
}

// footprint: G17.
func (b *bench) footprint(ctx context.Context) error {
	var starts, rest []float64
	var p *process
	for i := range b.rounds {
		if p != nil {
			_ = p.stop()
		}
		var took time.Duration
		var err error
		if p, took, err = b.product.start(ctx, 2, "info"); err != nil {
			return err
		}
		starts = append(starts, float64(took.Microseconds())/1000)
		time.Sleep(200 * time.Millisecond)
		mem, err := p.memory()
		if err != nil {
			return err
		}
		rest = append(rest, float64(mem)/(1<<20))
		if i == b.rounds-1 {
			break
		}
	}
	defer p.stop() //nolint:errcheck // it has nothing to say
	idle, err := idleConnection(p)
	if err != nil {
		return err
	}
	info, err := os.Stat(b.product.binary)
	if err != nil {
		return fmt.Errorf("look at the binary: %w", err)
	}
	size := float64(info.Size()) / (1 << 20)
	b.add(figure{name: "memory at rest", ours: number(median(rest)) + " MiB", value: median(rest), goal: 30, most: true, unit: " MiB"})
	b.add(figure{name: "memory per idle connection, of 2,000", ours: number(idle) + " KiB", value: idle, goal: 22, most: true, unit: " KiB"})
	b.add(figure{name: "ready with SQLite after", ours: number(median(starts)) + " ms", value: median(starts), goal: 100, most: true, unit: " ms"})
	b.add(figure{name: "binary, stripped, without cgo", ours: number(size) + " MiB", value: size, goal: 30, most: true, unit: " MiB"})
	return nil
}

// idleConnection is what 2,000 connections that have asked once keep in memory, each, in KiB.
func idleConnection(p *process) (float64, error) {
	const n = 2000
	before, err := p.memory()
	if err != nil {
		return 0, err
	}
	req := get(target, p.addr)
	for range n {
		c, err := dial(p.addr)
		if err != nil {
			return 0, err
		}
		defer c.Close() //nolint:errcheck // it stays open for this measurement
		if _, _, err := c.do(req); err != nil {
			return 0, err
		}
	}
	time.Sleep(200 * time.Millisecond)
	after, err := p.memory()
	if err != nil {
		return 0, err
	}
	return float64(after-before) / n / 1024, nil
}
