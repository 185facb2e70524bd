package facilitator

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// What a settlement whose client has had the answer is said again for: an answer that
// was lost beyond our sight. More would let one token pay for deliveries without end,
// since servers deliver for every success.
const (
	repeatFor    = time.Minute
	repeatsMost  = 2
	repeatsNoted = 16384
)

// codeDuplicate is the no to whoever asks more often.
const codeDuplicate = "duplicate_settlement"

// repeats counts how often a success was said again, by payment. What is forgotten, by
// a restart among others, is not said again.
type repeats struct {
	mu    sync.Mutex // guards counting; the cache has a lock of its own
	given *lru.Cache[string, int]
}

func newRepeats() (*repeats, error) {
	c, err := lru.New[string, int](repeatsNoted)
	return &repeats{given: c}, err //nolint:wrapcheck // never: the size is a constant
}

// first notes that a payment's success is said for the first time.
func (r *repeats) first(payment string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given.Add(payment, 0)
}

// again reports whether it may be said once more.
func (r *repeats) again(payment string, delivered, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, known := r.given.Get(payment)
	if !known || n >= repeatsMost || now.Sub(delivered) > repeatFor {
		return false
	}
	r.given.Add(payment, n+1)
	return true
}
