package sqlstore_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paywall/methods/credit"
	"paywall/methods/credit/credittest"
	"paywall/money"
)

func TestCredit(t *testing.T) {
	credittest.RunStore(t, func(t *testing.T) credit.Store {
		t.Helper()
		s, _ := open(t, nil)
		return s.Credit()
	})
}

// BenchmarkCreditDraw draws from one of so many accounts, 64 at a time. CREDIT_ACCOUNTS
// is another number of them, such as 1000000, which takes a while to open.
func BenchmarkCreditDraw(b *testing.B) {
	sizes := []int{1_000, 50_000}
	if n, err := strconv.Atoi(os.Getenv("CREDIT_ACCOUNTS")); err == nil {
		sizes = append(sizes, n)
	}
	for _, size := range sizes {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s, _ := open(b, nil)
			store, now := s.Credit(), time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
			bought, err1 := money.New(1<<40, "USD", 5)
			none, err2 := money.New(0, "USD", 5)
			if err := errors.Join(err1, err2); err != nil {
				b.Fatal(err)
			}
			var next atomic.Int64
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					for n := int(next.Add(1)) - 1; n < size; n = int(next.Add(1)) - 1 {
						a := credit.Account{ID: "pay_" + strconv.Itoa(n), Bought: bought, Spent: none, Opened: now, Ends: now.Add(time.Hour)}
						if err := store.OpenAccount(context.WithoutCancel(b.Context()), a); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			next.Store(0)
			b.SetParallelism(32)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := int(next.Add(1))
					d := credit.Draw{Payment: "d_" + strconv.Itoa(n), Account: "pay_" + strconv.Itoa(n*7919%size), Units: 1000}
					if _, err := store.Draw(context.WithoutCancel(b.Context()), d, now); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
