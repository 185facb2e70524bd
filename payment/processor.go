package payment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a [Processor] is made of. Store, Methods and Key are required.
type Config struct {
	Store   Store
	Methods []Method
	// Key seals intents at rest: 32 bytes, kept as long as payments are pending.
	Key []byte
	// Owner names this process in leases; empty makes one up.
	Owner string
	// Sole says that no other process can have the store open, so that at
	// start every lease of another owner is dead.
	Sole bool

	// Patience is how long a payer waits for a settlement; zero is 30 s.
	Patience time.Duration
	// Attempt bounds one call of a rail; zero is 20 s.
	Attempt time.Duration
	// Backoff is the first pause between two attempts; zero is 500 ms.
	Backoff time.Duration
	// InFlight bounds concurrent calls to rails, zero is 32; Queue bounds
	// those waiting for a place, zero is 256, each for at most two seconds.
	InFlight, Queue int
	// Recoveries bounds how many payments recovery works on at once; zero is 8.
	Recoveries int
	// Dispatches bounds how often one payment is handed to the upstream; zero is 3.
	Dispatches int

	Now    func() time.Time
	NewID  func() string
	Logger *slog.Logger
	// Observe, if set, is told of every call to a rail.
	Observe func(Observation)
	// Point, if set, is called as each of [CrashPoints] is reached that lies in
	// this package. Tests stop the process there.
	Point func(name string)
}

// Observation is one call to a rail.
type Observation struct {
	Op, Method string
	Class      OutcomeClass
	Took       time.Duration
	Retry      bool
}

// Entitlement is what a settlement opens.
type Entitlement struct {
	// Window is how long the payer may come back for the goods; at its end an
	// undelivered payment is refunded. Zero is 15 minutes.
	Window time.Duration
	// Redeliver says that the request may be repeated at the upstream.
	Redeliver bool
}

// Times that the state machine lives by.
const (
	leaseTime   = time.Minute
	answerLimit = 23 * time.Hour // keys at a rail may be forgotten after 24 h
	clockSlack  = 5 * time.Minute
	queueWait   = 2 * time.Second
	// storePatience bounds the retries of a write that follows money or goods.
	storePatience = 10 * time.Second
	retrySoon     = 5 * time.Second
)

// Processor claims, settles, recovers and refunds. It is safe for concurrent use.
type Processor struct {
	cfg     Config
	methods map[string]Method
	sealer  sealer
	slots   chan struct{}
	waiting atomic.Int64
	paused  atomic.Pointer[string]
	clock   atomic.Int64 // unix milliseconds that Now is never behind

	mu sync.Mutex
	// serving has the ids of payments that a goroutine of this process has taken,
	// with the stored record where there is a lease to renew; guarded by mu.
	serving map[string]*Payment
}

// New checks the configuration and reads pause and clock from the store.
func New(ctx context.Context, cfg Config) (*Processor, error) {
	switch {
	case cfg.Store == nil:
		return nil, errors.New("payment: Config.Store is required")
	case len(cfg.Methods) == 0:
		return nil, errors.New("payment: Config.Methods is empty")
	}
	s, err := newSealer(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("payment: Config.Key: %w", err)
	}
	setDefaults(&cfg)
	p := &Processor{
		cfg: cfg, sealer: s, methods: make(map[string]Method, len(cfg.Methods)),
		slots: make(chan struct{}, cfg.InFlight), serving: make(map[string]*Payment),
	}
	for _, m := range cfg.Methods {
		if _, twice := p.methods[m.Name()]; twice {
			return nil, fmt.Errorf("payment: method %q is configured twice", m.Name())
		}
		p.methods[m.Name()] = m
	}
	if err := p.refresh(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

func setDefaults(c *Config) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		now := c.Now
		c.NewID = func() string { return newID(now().UnixMilli()) }
	}
	if c.Owner == "" {
		c.Owner = newID(c.Now().UnixMilli())[4:]
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Patience = orDefault(c.Patience, 30*time.Second)
	c.Attempt = orDefault(c.Attempt, 20*time.Second)
	c.Backoff = orDefault(c.Backoff, 500*time.Millisecond)
	c.InFlight = orDefault(c.InFlight, 32)
	c.Queue = orDefault(c.Queue, 256)
	c.Recoveries = orDefault(c.Recoveries, 8)
	c.Dispatches = orDefault(c.Dispatches, 3)
	if c.Observe == nil {
		c.Observe = func(Observation) {}
	}
	if c.Point == nil {
		c.Point = func(string) {}
	}
}

func orDefault[T time.Duration | int](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// Now is the wall clock, but never behind a time that was decided by before: a
// clock that is set back must not make a used challenge fresh again.
func (p *Processor) Now() time.Time {
	wall := p.cfg.Now().UTC().Truncate(time.Millisecond)
	for {
		high := p.clock.Load()
		ms := wall.UnixMilli()
		if ms <= high {
			return time.UnixMilli(high).UTC()
		}
		if p.clock.CompareAndSwap(high, ms) {
			return wall
		}
	}
}

// ClockBehind reports by how much the wall clock is behind the persisted high
// water mark when that is more than five minutes: nothing should be sold then.
func (p *Processor) ClockBehind() (time.Duration, bool) {
	behind := time.UnixMilli(p.clock.Load()).Sub(p.cfg.Now())
	return behind, behind > clockSlack
}

// Get returns the stored payment or [ErrNotFound].
func (p *Processor) Get(ctx context.Context, id string) (Payment, error) {
	pay, err := p.cfg.Store.Get(ctx, id)
	if err != nil {
		return Payment{}, fmt.Errorf("get %s: %w", id, err)
	}
	return pay, nil
}

// Paused returns why settlement is paused, or "". It is cached for about a second.
func (p *Processor) Paused(context.Context) string { return *p.paused.Load() }

// SetPaused stops settlement with a reason, or lets it go on with "". Every
// process that shares the store refuses new claims at once.
func (p *Processor) SetPaused(ctx context.Context, reason string) error {
	if err := p.cfg.Store.SetSetting(ctx, SettingPaused, reason); err != nil {
		return fmt.Errorf("store the pause: %w", err)
	}
	p.paused.Store(&reason)
	return nil
}

// refresh reads what other processes may have changed, and stores how far time is.
func (p *Processor) refresh(ctx context.Context) error {
	reason, err := p.cfg.Store.Setting(ctx, SettingPaused)
	if err != nil {
		return fmt.Errorf("read the pause: %w", err)
	}
	p.paused.Store(&reason)
	stored, err := p.cfg.Store.Setting(ctx, SettingClock)
	if err != nil {
		return fmt.Errorf("read the clock mark: %w", err)
	}
	if t, err := time.Parse(time.RFC3339Nano, stored); err == nil {
		p.raiseClock(t.UnixMilli())
	}
	return nil
}

func (p *Processor) raiseClock(ms int64) {
	for {
		high := p.clock.Load()
		if ms <= high || p.clock.CompareAndSwap(high, ms) {
			return
		}
	}
}

func (p *Processor) storeClock(ctx context.Context) error {
	if _, behind := p.ClockBehind(); behind {
		return nil
	}
	if err := p.cfg.Store.SetSetting(ctx, SettingClock, p.Now().Format(time.RFC3339Nano)); err != nil {
		return fmt.Errorf("store the clock mark: %w", err)
	}
	return nil
}

// acquire takes a place among the calls to rails.
func (p *Processor) acquire(ctx context.Context) (release func(), err error) {
	free := func() { <-p.slots }
	select {
	case p.slots <- struct{}{}:
		return free, nil
	default:
	}
	busy := &Error{Kind: KindBusy, Detail: "too many payments are being settled; nothing was charged", RetryAfter: 2 * time.Second}
	if p.waiting.Add(1) > int64(p.cfg.Queue) {
		p.waiting.Add(-1)
		return nil, busy
	}
	defer p.waiting.Add(-1)
	t := time.NewTimer(queueWait)
	defer t.Stop()
	select {
	case p.slots <- struct{}{}:
		return free, nil
	case <-t.C:
		return nil, busy
	case <-ctx.Done():
		return nil, busy
	}
}

// pause waits between two attempts, with jitter of a quarter so that many
// payments in doubt do not ask at once. It reports false when ctx ended first.
func (p *Processor) pause(ctx context.Context, d time.Duration) bool {
	d += time.Duration(rand.Int64N(int64(d)/4 + 1)) //nolint:gosec // jitter, not a secret
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *Processor) call(ctx context.Context, op string, pay Payment, retry bool, f func(context.Context) Outcome) Outcome {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Attempt)
	defer cancel()
	start := p.cfg.Now()
	out := f(ctx)
	p.cfg.Observe(Observation{Op: op, Method: pay.Method, Class: out.Class, Took: p.cfg.Now().Sub(start), Retry: retry})
	return judged(pay, out)
}
