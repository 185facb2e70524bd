package sqlstore_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/sqlstore"
)

// BenchmarkPayment claims, settles and delivers: three durable steps and two
// ledger entries per payment.
func BenchmarkPayment(b *testing.B) {
	for _, delay := range []time.Duration{0, 5 * time.Millisecond} {
		for _, waiters := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("delay=%s/waiters=%d", delay, waiters), func(b *testing.B) {
				s, _ := open(b, func(c *sqlstore.Config) { c.CommitDelay = delay })
				spread(b, waiters, func(n int) error { return buy(b, s, n) })
				st := s.Stats()
				b.ReportMetric(float64(st.Commits)/float64(b.N), "commits/op")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
			})
		}
	}
}

// BenchmarkClaim is one durable row.
func BenchmarkClaim(b *testing.B) {
	for _, waiters := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("waiters=%d", waiters), func(b *testing.B) {
			s, _ := open(b, nil)
			spread(b, waiters, func(n int) error { return s.Claim(b.Context(), paymenttest.Sample(b, n)) })
			b.ReportMetric(float64(s.Stats().Commits)/float64(b.N), "commits/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func spread(b *testing.B, waiters int, run func(n int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range waiters {
		wg.Go(func() {
			for {
				n := int(next.Add(1))
				if n > b.N {
					return
				}
				if err := run(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

func buy(b *testing.B, s payment.Store, n int) error {
	b.Helper()
	p := paymenttest.Sample(b, n)
	if err := s.Claim(b.Context(), p); err != nil {
		return err
	}
	p = paymenttest.Step(p, payment.StateSettled, payment.DeliveryOpen)
	event := payment.Event{ID: "evt_" + p.ID, Payment: p.ID, Type: "payment.settled", At: p.UpdatedAt}
	if err := s.Update(b.Context(), p, []payment.Entry{paymenttest.SettleEntry(p)}, []payment.Event{event}); err != nil {
		return err
	}
	p = paymenttest.Step(p, payment.StateSettled, payment.DeliveryDelivered)
	entry := payment.Entry{Payment: p.ID, Kind: "deliver", Debit: payment.AccountUndelivered, Credit: payment.AccountRevenue, Amount: p.Amount, At: p.UpdatedAt}
	return s.Update(b.Context(), p, []payment.Entry{entry}, nil)
}
