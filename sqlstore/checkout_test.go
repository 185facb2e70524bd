package sqlstore_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"paywall/checkout"
	"paywall/checkout/checkouttest"
	"paywall/sqlstore"
)

func openCheckout(t testing.TB, path string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + path})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCheckout(t *testing.T) {
	checkouttest.RunStore(t, func(t *testing.T) checkouttest.Both {
		t.Helper()
		s := openCheckout(t, filepath.Join(t.TempDir(), "paywall.db"))
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s.Checkout()
	})
}

// What was answered is there after a restart: sessions, holds, orders, answers.
func TestG133_CheckoutSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "paywall.db")
	s := openCheckout(t, path)
	c := s.Checkout()
	x := checkouttest.Session("chk_1")
	soon := x.CreatedAt.Add(time.Minute)
	if err := c.CreateSession(t.Context(), x, []checkout.Hold{{Variant: "shirt", Quantity: 2, Limit: 5, Until: soon}}); err != nil {
		t.Fatal(err)
	}
	k := checkout.RequestKey{Caller: "a", Operation: "b", Key: "c"}
	if _, state, err := c.Begin(t.Context(), k, "h", x.CreatedAt, soon); err != nil || state != checkout.RequestNew {
		t.Fatal(state, err)
	}
	if err := c.Finish(t.Context(), k, checkout.Answer{Status: 201, Body: []byte("{}")}, soon); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openCheckout(t, path)
	defer s.Close()
	c = s.Checkout()
	if got, err := c.Session(t.Context(), "chk_1"); err != nil || got.Owner != x.Owner || len(got.Priced.Lines) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if level, err := c.Stock(t.Context(), []string{"shirt"}, "", x.CreatedAt); err != nil || level["shirt"].Held != 2 {
		t.Errorf("%+v, %v", level, err)
	}
	if a, state, err := c.Begin(t.Context(), k, "h", x.CreatedAt, soon); err != nil || state != checkout.RequestDone || a.Status != 201 {
		t.Errorf("%+v, %d, %v", a, state, err)
	}
	if _, state, err := c.Begin(t.Context(), k, "other", x.CreatedAt, soon); err != nil || state != checkout.RequestConflict {
		t.Errorf("%d, %v", state, err)
	}
}

// Changes of many checkouts share commits.
func BenchmarkCheckoutUpdate(b *testing.B) {
	s := openCheckout(b, filepath.Join(b.TempDir(), "paywall.db"))
	defer s.Close()
	c := s.Checkout()
	n := make(chan int, 1)
	n <- 0
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		i := <-n
		n <- i + 1
		x := checkouttest.Session(fmt.Sprintf("chk_%d", i))
		if err := c.CreateSession(b.Context(), x, nil); err != nil {
			b.Error(err)
		}
		for pb.Next() {
			x.Revision++
			if err := c.UpdateSession(b.Context(), x, checkout.Change{}); err != nil {
				b.Error(err)
			}
		}
	})
	st := s.Stats()
	b.ReportMetric(float64(st.Operations)/float64(st.Commits), "updates/commit")
}
