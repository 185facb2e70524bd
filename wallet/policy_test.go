package wallet

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"paywall/money"
)

func TestPolicyCheck(t *testing.T) {
	p := Policy{
		PerPayment: Limits{usd(1000), amount(500, "JPY", 0)}, PerDay: Limits{usd(2000)},
		PerHost: map[string]Limits{"shop.example": {usd(500)}, "yen.example": {amount(9, "JPY", 0)}},
		Hosts:   []string{"shop.example", "yen.example"}, Methods: []string{"stripe"},
	}
	for _, tt := range []struct {
		name, host, method string
		amount             money.Amount
		want               Limit
	}{
		{"at the limit", "shop.example", "stripe", usd(1000), ""},
		{"case and final dot", "SHOP.example.", "stripe", usd(1), ""},
		{"one above", "shop.example", "stripe", usd(1001), LimitPayment},
		{"finer scale is compared by value", "shop.example", "stripe", amount(100001, "USD", 4), LimitPayment},
		{"other host", "other.example", "stripe", usd(1), LimitHosts},
		{"host that ends like it", "evil-shop.example", "stripe", usd(1), LimitHosts},
		{"other method", "shop.example", "tempo", usd(1), LimitMethods},
		{"currency without a limit", "shop.example", "stripe", amount(1, "EUR", 2), LimitCurrency},
		{"currency without a daily limit", "shop.example", "stripe", amount(1, "JPY", 0), LimitDay},
		{"currency without a limit of the host", "yen.example", "stripe", usd(1), LimitHost},
		{"nothing", "shop.example", "stripe", usd(0), LimitCurrency},
		{"no amount", "shop.example", "stripe", money.Amount{}, LimitCurrency},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := p.Check(tt.host, tt.method, tt.amount)
			e, ok := errors.AsType[*PolicyError](err)
			if ok != (tt.want != "") || ok && (e.Limit != tt.want || !errors.Is(err, ErrPolicy)) {
				t.Errorf("error %v, want limit %q", err, tt.want)
			}
		})
	}
	if err := (&Policy{}).Check("shop.example", "stripe", usd(1)); !errors.Is(err, ErrPolicy) {
		t.Errorf("the zero policy says %v", err)
	}
}

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// ledgers are all implementations, empty.
func ledgers(t testing.TB) map[string]func() Ledger {
	t.Helper()
	n := 0
	return map[string]func() Ledger{
		"memory": func() Ledger { return &MemoryLedger{} },
		"file": func() Ledger {
			n++
			l, err := OpenLedger(filepath.Join(t.TempDir(), fmt.Sprint("ledger", n)))
			if err != nil {
				t.Fatal(err)
			}
			return l
		},
	}
}

func TestLedgers(t *testing.T) {
	daily := func(max int64) []Cap { return []Cap{{Limit: LimitDay, Since: noon.Add(-day), Max: usd(max)}} }
	at := func(id, host string, a money.Amount, when time.Time) Spend {
		return Spend{ID: id, Host: host, Amount: a, At: when}
	}
	for name, open := range ledgers(t) {
		t.Run(name, func(t *testing.T) {
			l := open()
			for _, s := range []Spend{
				at("old", "a", usd(100), noon.Add(-day-time.Nanosecond)), at("edge", "a", usd(100), noon.Add(-day)),
				at("b", "b", usd(100), noon), at("yen", "a", amount(999, "JPY", 0), noon),
				at("future", "a", usd(100), noon.Add(time.Hour)), // the clock was set back since
			} {
				if err := l.Reserve(t.Context(), s, nil); err != nil {
					t.Fatal(err)
				}
			}
			err := l.Reserve(t.Context(), at("x", "a", usd(1), noon), daily(300))
			if e, ok := errors.AsType[*PolicyError](err); !ok || e.Limit != LimitDay || e.Spent != usd(300) || e.Max != usd(300) {
				t.Errorf("over the day: %v", err)
			}
			host := []Cap{{Limit: LimitHost, Host: "b", Since: noon.Add(-day), Max: usd(150)}}
			if err := l.Reserve(t.Context(), at("y", "b", usd(51), noon), host); !errors.Is(err, ErrPolicy) {
				t.Errorf("over the host: %v", err)
			}
			if err := l.Reserve(t.Context(), at("z", "b", usd(50), noon), append(host, daily(350)...)); err != nil {
				t.Errorf("at both limits: %v", err)
			}
			if err := l.Reserve(t.Context(), at("z", "b", usd(50), noon), nil); !errors.Is(err, errSpend) {
				t.Errorf("an id twice: %v", err)
			}
			for _, id := range []string{"z", "z", "not there"} {
				if err := l.Release(t.Context(), id); err != nil {
					t.Errorf("release: %v", err)
				}
			}
			if err := l.Reserve(t.Context(), at("w", "b", usd(50), noon), daily(350)); err != nil {
				t.Errorf("after the release: %v", err)
			}
			if err := l.Reserve(t.Context(), at("big", "c", usd(math.MaxInt64), noon), daily(math.MaxInt64)); !errors.Is(err, ErrPolicy) {
				t.Errorf("a sum that overflows: %v", err)
			}
			got, err := l.Spends(t.Context(), noon)
			if err != nil || len(got) != 4 {
				t.Errorf("%v, %v", got, err)
			}
			// What no cap can look back to is dropped.
			if err := l.Reserve(t.Context(), at("later", "a", usd(1), noon.Add(keepSpends+time.Minute)), nil); err != nil {
				t.Fatal(err)
			}
			if got, err := l.Spends(t.Context(), time.Time{}); err != nil || len(got) != 2 {
				t.Errorf("kept %v, %v", got, err)
			}
		})
	}
}

// Whatever is asked for, by how many at once: no sum of any 24 hours exceeds a
// limit, and a payment that fits is not refused when it is alone.
func TestPolicyIsNeverExceeded(t *testing.T) {
	type try struct {
		host    string
		amount  int64
		minute  int
		release bool
	}
	for name, open := range ledgers(t) {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				p := Policy{
					PerPayment: Limits{usd(rapid.Int64Range(0, 60).Draw(t, "per payment"))},
					PerDay:     Limits{usd(rapid.Int64Range(0, 200).Draw(t, "per day"))},
					PerHost: map[string]Limits{
						"a": {usd(rapid.Int64Range(0, 100).Draw(t, "per host"))}, "*": {usd(rapid.Int64Range(0, 100).Draw(t, "other hosts"))},
					},
				}
				tries := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) try {
					return try{
						rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "host"), rapid.Int64Range(1, 80).Draw(t, "amount"),
						rapid.IntRange(0, 3*24*60).Draw(t, "minute"), rapid.Bool().Draw(t, "release"),
					}
				}), 1, 12).Draw(t, "tries")
				l := open()
				var wg sync.WaitGroup
				for i, x := range tries {
					wg.Go(func() {
						now := noon.Add(time.Duration(x.minute) * time.Minute)
						if p.Check(x.host, "stripe", usd(x.amount)) != nil {
							return
						}
						caps, err := p.caps(x.host, usd(x.amount), now)
						if err != nil {
							t.Errorf("caps: %v", err)
						}
						id := strconv.Itoa(i)
						err = l.Reserve(t.Context(), Spend{id, x.host, usd(x.amount), now}, caps)
						if err == nil && x.release {
							err = l.Release(t.Context(), id)
						}
						if err != nil && !errors.Is(err, ErrPolicy) {
							t.Errorf("reserve: %v", err)
						}
					})
				}
				wg.Wait()
				all, err := l.Spends(t.Context(), time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				for _, end := range all {
					var sum int64
					hosts := map[string]int64{}
					for _, s := range all {
						if !s.At.After(end.At) && !s.At.Before(end.At.Add(-day)) {
							sum += s.Amount.Units()
							hosts[s.Host] += s.Amount.Units()
						}
					}
					if sum > p.PerDay[0].Units() || end.Amount.Units() > p.PerPayment[0].Units() {
						t.Fatalf("%d in a day of %v, a payment of %v", sum, p.PerDay, end.Amount)
					}
					for h, n := range hosts {
						limit, ok := p.PerHost[h]
						if !ok {
							limit = p.PerHost["*"]
						}
						if n > limit[0].Units() {
							t.Fatalf("%d at %s of %v", n, h, limit)
						}
					}
				}
			})
		})
	}
}

// Of many purchases at once only as many leave as the day allows.
func TestTransportKeepsTheDayUnderConcurrency(t *testing.T) {
	r := newRig(t, func(_ *rig, c *Config) { c.Policy.PerDay = Limits{usd(350)} })
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			if _, _, err := r.get(t, fmt.Sprintf("https://%s/%d", shopHost, i)); err != nil && !errors.Is(err, ErrPolicy) {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	if _, _, charges := r.seller.counts(); charges != 3 || r.purse.proofs() != 3 || r.spent(t) != 300 {
		t.Errorf("%d charges, %d proofs, %d spent; want 3 of 1.00", charges, r.purse.proofs(), r.spent(t))
	}
}
