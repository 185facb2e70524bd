package receiptstest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"paywall/receipts"
)

// RunUses checks the contract of [receipts.Uses]. The factory returns a fresh
// counter in which the payments "pay_suite_1" to "pay_suite_4" may be referred
// to (a store with foreign keys creates them).
func RunUses(t *testing.T, factory func(t *testing.T) receipts.Uses) {
	t.Helper()
	expires := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) // after any clock's now
	take := func(t *testing.T, u receipts.Uses, receipt, payment string, limit int) int {
		t.Helper()
		n, err := u.Take(t.Context(), receipt, payment, limit, expires)
		if err != nil {
			t.Fatalf("take %s: %v", receipt, err)
		}
		return n
	}
	t.Run("counts up to the limit and no further", func(t *testing.T) {
		u := factory(t)
		var got []int
		for range 5 {
			got = append(got, take(t, u, "rcp_count", "pay_suite_1", 3))
		}
		if want := []int{1, 2, 3, 0, 0}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("receipts of one payment are counted apart", func(t *testing.T) {
		u := factory(t)
		for _, id := range []string{"rcp_a", "rcp_b"} {
			if n := take(t, u, id, "pay_suite_2", 1); n != 1 {
				t.Errorf("%s: first use is number %d", id, n)
			}
			if n := take(t, u, id, "pay_suite_2", 1); n != 0 {
				t.Errorf("%s: second use of one is number %d", id, n)
			}
		}
	})
	t.Run("a canceled call takes nothing", func(t *testing.T) {
		u := factory(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if n, err := u.Take(ctx, "rcp_cancel", "pay_suite_3", 1, expires); err == nil {
			t.Errorf("got %d without an error", n)
		}
		if n := take(t, u, "rcp_cancel", "pay_suite_3", 1); n != 1 {
			t.Errorf("the use is gone: got %d", n)
		}
	})
	for _, limit := range []int{1, 7} {
		t.Run(fmt.Sprintf("E109 50 at once, %d allowed", limit), func(t *testing.T) {
			got := race(t, factory(t), limit, expires)
			var want []int
			for n := range limit {
				want = append(want, n+1)
			}
			if !slices.Equal(got, want) {
				t.Errorf("numbers of the successful uses are %v, want %v", got, want)
			}
		})
	}
}

// race lets 50 callers loose at once and returns the numbers they got, in order.
func race(t *testing.T, u receipts.Uses, limit int, expires time.Time) []int {
	t.Helper()
	var (
		mu    sync.Mutex
		got   []int
		wg    sync.WaitGroup
		start = make(chan struct{})
	)
	for range 50 {
		wg.Go(func() {
			<-start
			n, err := u.Take(t.Context(), "rcp_race", "pay_suite_4", limit, expires)
			if err != nil {
				t.Errorf("take: %v", err)
			}
			if n != 0 {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, n)
			}
		})
	}
	close(start)
	wg.Wait()
	slices.Sort(got)
	return got
}
