package gate

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Limits bound what one client may cost. Zero fields are the defaults; negative
// ones switch a limit off.
type Limits struct {
	// Challenges per second and client, 50; Burst of them, 100.
	Challenges, Burst int
	// Failures are refused credentials per minute and client, 30.
	Failures int
	// Settling is how many payments of one client are settled at a time, 8; others
	// wait for two seconds and are told to come back. One client with slow
	// declines must not hold all places.
	Settling int
	// Clients is how many are remembered, 16384. An IPv6 network /64 is one client.
	Clients int
	// Body is the largest request body in bytes that is priced, 1 MiB.
	Body int64
	// Answer is the largest answer in bytes that is kept for repeats of its
	// credential, 1 MiB; Answers what all of them may take, 32 MiB; AnswerFor how
	// long they are kept, 15 min.
	Answer, Answers int64
	AnswerFor       time.Duration
	// Join is how long a copy of a credential waits for the first, 10 s.
	Join time.Duration
	// WriteStall is how long one write to a client may take, 30 s.
	WriteStall time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Challenges, l.Burst = either(l.Challenges, 50), either(l.Burst, 100)
	l.Failures, l.Clients = either(l.Failures, 30), either(l.Clients, 16384)
	l.Settling = either(l.Settling, 8)
	l.Body = either(l.Body, 1<<20)
	l.Answer, l.Answers = max(0, either(l.Answer, 1<<20)), max(0, either(l.Answers, 32<<20))
	l.AnswerFor, l.Join = either(l.AnswerFor, 15*time.Minute), either(l.Join, 10*time.Second)
	l.WriteStall = either(l.WriteStall, 30*time.Second)
	return l
}

func either[T int | int64 | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// limiters count per client. They only ever slow down: what must not happen is
// decided elsewhere, so forgetting a client is harmless.
type limiters struct {
	cfg        Limits
	now        func() time.Time
	mu         sync.Mutex // guards making of a client's buckets, and settling
	challenges *lru.Cache[netip.Addr, *rate.Limiter]
	failures   *lru.Cache[netip.Addr, *rate.Limiter]
	settling   map[netip.Addr]*places // of clients that hold or want one
}

// places are those of one client at the processor.
type places struct {
	taken chan struct{}
	users int // holding or waiting
}

// settleWait is how long a client waits for a place of its own.
const settleWait = 2 * time.Second

// enter takes a place among the client's settlements. It reports false when none
// came free in time; otherwise the caller gives it back by leave.
func (s *limiters) enter(ctx context.Context, a netip.Addr) (leave func(), ok bool) {
	if s.cfg.Settling < 0 {
		return func() {}, true
	}
	a = network(a)
	s.mu.Lock()
	p := s.settling[a]
	if p == nil {
		p = &places{taken: make(chan struct{}, s.cfg.Settling)}
		s.settling[a] = p
	}
	p.users++
	s.mu.Unlock()
	leave = func() {
		<-p.taken
		s.gone(a, p)
	}
	select {
	case p.taken <- struct{}{}:
		return leave, true
	default:
	}
	t := time.NewTimer(settleWait)
	defer t.Stop()
	select {
	case p.taken <- struct{}{}:
		return leave, true
	case <-t.C:
	case <-ctx.Done():
	}
	s.gone(a, p)
	return nil, false
}

func (s *limiters) gone(a netip.Addr, p *places) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.users--; p.users == 0 {
		delete(s.settling, a)
	}
}

func newLimiters(l Limits, now func() time.Time) (*limiters, error) {
	s := &limiters{cfg: l, now: now, settling: map[netip.Addr]*places{}}
	var err error
	if s.challenges, err = lru.New[netip.Addr, *rate.Limiter](max(1, l.Clients)); err == nil {
		s.failures, err = lru.New[netip.Addr, *rate.Limiter](max(1, l.Clients))
	}
	if err != nil {
		return nil, fmt.Errorf("gate: limits: %w", err)
	}
	return s, nil
}

// network is what counts as one client.
func network(a netip.Addr) netip.Addr {
	if a.Is6() && !a.Is4In6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a.Unmap()
}

func (s *limiters) bucket(c *lru.Cache[netip.Addr, *rate.Limiter], a netip.Addr, every time.Duration, burst int) *rate.Limiter {
	a = network(a)
	if b, ok := c.Get(a); ok {
		return b
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := c.Get(a); ok {
		return b
	}
	b := rate.NewLimiter(rate.Every(every), burst)
	c.Add(a, b)
	return b
}

// challenge reports whether the client may have one more challenge.
func (s *limiters) challenge(a netip.Addr) bool {
	if s.cfg.Challenges < 0 {
		return true
	}
	return s.bucket(s.challenges, a, time.Second/time.Duration(s.cfg.Challenges), max(1, s.cfg.Burst)).AllowN(s.now(), 1)
}

// failure counts a refused credential and reports whether the client may go on.
func (s *limiters) failure(a netip.Addr) bool {
	if s.cfg.Failures < 0 {
		return true
	}
	return s.failing(a).AllowN(s.now(), 1)
}

// mayFail reports whether the client has a failure left, without counting one.
func (s *limiters) mayFail(a netip.Addr) bool {
	if s.cfg.Failures < 0 {
		return true
	}
	return s.failing(a).TokensAt(s.now()) >= 1
}

func (s *limiters) failing(a netip.Addr) *rate.Limiter {
	return s.bucket(s.failures, a, time.Minute/time.Duration(s.cfg.Failures), s.cfg.Failures)
}
