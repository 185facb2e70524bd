package catalog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"paywall/checkout"
)

// Live is a catalog that can be read again. A new version that is wrong is told, and
// the old one stays.
type Live struct {
	load    func(context.Context) (*checkout.Shop, error)
	current atomic.Pointer[checkout.Shop]
	reading sync.Mutex
}

// NewLive reads the catalog for the first time.
func NewLive(ctx context.Context, load func(context.Context) (*checkout.Shop, error)) (*Live, error) {
	l := &Live{load: load}
	return l, l.Reload(ctx)
}

// Current is the version in force.
func (l *Live) Current() *checkout.Shop { return l.current.Load() }

// Reload reads the catalog again.
func (l *Live) Reload(ctx context.Context) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	next, err := l.load(ctx)
	if err != nil {
		return err
	}
	l.current.Store(next)
	return nil
}

// Use replaces how the catalog is read, if that reads it well.
func (l *Live) Use(ctx context.Context, load func(context.Context) (*checkout.Shop, error)) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	next, err := load(ctx)
	if err != nil {
		return err
	}
	l.load = load
	l.current.Store(next)
	return nil
}

// Run reads it again and again until ctx ends.
func (l *Live) Run(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := l.Reload(ctx); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "the catalog was not read again; the old one is in force", "err", err)
		}
	}
}
