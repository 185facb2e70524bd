package app

import (
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// buckets bound how often each client network does something. They are safe for
// concurrent use.
type buckets struct {
	perSecond, burst float64
	now              func() time.Time

	mu  sync.Mutex // guards known
	all *lru.Cache[netip.Addr, *bucket]
}

type bucket struct {
	left float64
	at   time.Time
}

// maxBuckets bounds how many networks are told apart; the longest unseen is forgotten.
const maxBuckets = 50_000

func newBuckets(perSecond float64, burst int, now func() time.Time) (*buckets, error) {
	all, err := lru.New[netip.Addr, *bucket](maxBuckets)
	if err != nil {
		return nil, err //nolint:wrapcheck // of a constant size
	}
	return &buckets{perSecond: perSecond, burst: float64(burst), now: now, all: all}, nil
}

// take reports whether the client may go on.
func (b *buckets) take(client netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	from, now := networkOf(client), b.now()
	one, ok := b.all.Get(from)
	if !ok {
		one = &bucket{left: b.burst, at: now}
		b.all.Add(from, one)
	}
	one.left = min(b.burst, one.left+max(0, now.Sub(one.at).Seconds())*b.perSecond) // the clock may be set back
	one.at = now
	if one.left < 1 {
		return false
	}
	one.left--
	return true
}
