package sandbox

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// A clock runs on another and can be put forward, never back: what has expired
// stays expired.
type clock struct {
	base func() time.Time

	mu     sync.Mutex // guards offset
	offset time.Duration
}

// maxAdvance is how far in all a clock goes forward.
const maxAdvance = 20 * 365 * 24 * time.Hour

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base().Add(c.offset)
}

func (c *clock) advance(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d < 0 || d > maxAdvance-c.offset {
		return fmt.Errorf("the clock goes forward only, and by %s at most", maxAdvance)
	}
	c.offset += d
	return nil
}

func (c *clock) ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

func (c *clock) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = 0
}

// ids makes identifiers that look like the real ones.
type ids struct {
	seed uint64

	mu  sync.Mutex // guards rng
	rng *rand.Rand
}

func newIDs(seed uint64) *ids {
	n := &ids{seed: seed}
	n.reset()
	return n
}

// reset starts the series anew, unless it is by chance.
func (n *ids) reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	seed := n.seed
	if seed == 0 {
		seed = rand.Uint64() //nolint:gosec // names in a sandbox guard nothing
	}
	n.rng = rand.New(rand.NewPCG(seed, 0x5a4d)) //nolint:gosec // names in a sandbox guard nothing
}

func (n *ids) next(prefix string) string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	const length = 24
	b := make([]byte, 0, len(prefix)+1+length)
	b = append(append(b, prefix...), '_')
	n.mu.Lock()
	defer n.mu.Unlock()
	for range length {
		b = append(b, letters[n.rng.IntN(len(letters))])
	}
	return string(b)
}
