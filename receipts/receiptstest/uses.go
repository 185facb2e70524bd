// Package receiptstest holds an in-memory counter of receipt uses and the suite
// that every implementation of [receipts.Uses] passes.
package receiptstest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"paywall/receipts"
)

// Uses is [receipts.Uses] in memory, for tests and for demonstrations on one
// process. The zero value is ready.
type Uses struct {
	mu    sync.Mutex
	taken map[string]int // by receipt id, guarded by mu
}

var _ receipts.Uses = (*Uses)(nil)

// Take implements [receipts.Uses]. It never forgets, so it never needs the time.
func (u *Uses) Take(ctx context.Context, receiptID, _ string, limit int, _ time.Time) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("take use: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.taken[receiptID] >= limit {
		return 0, nil
	}
	if u.taken == nil {
		u.taken = make(map[string]int)
	}
	u.taken[receiptID]++
	return u.taken[receiptID], nil
}
