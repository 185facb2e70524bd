package credittest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paywall/methods/credit"
	"paywall/money"
	"paywall/payment"
)

var began = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// account is one of so many units of a thousandth of a cent.
func account(t testing.TB, id string, units int64) credit.Account {
	t.Helper()
	bought, err1 := money.New(units, "USD", 5)
	none, err2 := money.New(0, "USD", 5)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return credit.Account{ID: id, Bought: bought, Spent: none, Opened: began, Ends: began.Add(time.Hour)}
}

// RunStore checks the contract of [credit.Store] on a fresh store each time.
func RunStore(t *testing.T, open func(t *testing.T) credit.Store) {
	t.Helper()
	t.Run("accounts", func(t *testing.T) { accounts(t, open(t)) })
	t.Run("draws", func(t *testing.T) { draws(t, open(t)) })
	t.Run("never more than was bought", func(t *testing.T) { race(t, open(t)) })
	t.Run("as the model says", func(t *testing.T) { model(t, open(t)) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func accounts(t *testing.T, s credit.Store) {
	t.Helper()
	ctx := t.Context()
	if _, err := s.Account(ctx, "pay_1"); !errors.Is(err, payment.ErrNotFound) {
		t.Errorf("an account that is not there: %v", err)
	}
	must(t, s.Freeze(ctx, "pay_1"))
	for i := range 3 {
		must(t, s.OpenAccount(ctx, account(t, fmt.Sprintf("pay_%d", i), 1000)))
	}
	must(t, s.OpenAccount(ctx, account(t, "pay_1", 9999))) // again
	got, err := s.Account(ctx, "pay_1")
	must(t, err)
	if want := account(t, "pay_1", 1000); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	list, err := s.Accounts(ctx, "", 2)
	must(t, err)
	if len(list) != 2 || list[0].ID != "pay_2" || list[1].ID != "pay_1" {
		t.Errorf("listed %+v", list)
	}
	if list, err = s.Accounts(ctx, "pay_1", 10); err != nil || len(list) != 1 || list[0].ID != "pay_0" {
		t.Errorf("listed %+v, %v", list, err)
	}
}

func draws(t *testing.T, s credit.Store) {
	t.Helper()
	ctx := t.Context()
	must(t, s.OpenAccount(ctx, account(t, "pay_1", 1000)))
	spent := func(want int64) {
		t.Helper()
		a, err := s.Account(ctx, "pay_1")
		must(t, err)
		if a.Spent.Units() != want {
			t.Errorf("%d are spent, want %d", a.Spent.Units(), want)
		}
	}
	draw := func(id, from string, units int64, now time.Time, want error) {
		t.Helper()
		if got, err := s.Draw(ctx, credit.Draw{Payment: id, Account: from, Units: units}, now); !errors.Is(err, want) || want == nil && got.Payment != id {
			t.Errorf("%s draws %d: %+v, %v", id, units, got, err)
		}
	}
	draw("a", "pay_1", 600, began, nil)
	draw("a", "pay_1", 600, began, nil) // it is there
	spent(600)
	draw("b", "pay_1", 401, began, credit.ErrSpent)
	draw("b", "pay_1", 400, began, nil)
	draw("c", "pay_1", 1, began, credit.ErrSpent)
	draw("c", "pay_9", 1, began, payment.ErrNotFound)
	spent(1000)
	must(t, s.Return(ctx, "b"))
	must(t, s.Return(ctx, "b"))
	spent(600)
	if d, err := s.Drawn(ctx, "b"); err != nil || !d.Returned || d.Units != 400 || d.Account != "pay_1" {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := s.Drawn(ctx, "c"); !errors.Is(err, payment.ErrNotFound) {
		t.Errorf("what was refused is there: %v", err)
	}
	if err := s.Return(ctx, "c"); !errors.Is(err, payment.ErrNotFound) {
		t.Errorf("returned what was not drawn: %v", err)
	}
	draw("v", "pay_1", 0, began, nil) // a void
	if d, err := s.Draw(ctx, credit.Draw{Payment: "v", Account: "pay_1", Units: 5}, began); err != nil || d.Units != 0 {
		t.Errorf("drawn after the void: %+v, %v", d, err)
	}
	spent(600)
	draw("late", "pay_1", 1, began.Add(time.Hour), credit.ErrClosed)
	must(t, s.Freeze(ctx, "pay_1"))
	draw("frozen", "pay_1", 1, began, credit.ErrClosed)
	must(t, s.Return(ctx, "a")) // what is owed back is given back
	spent(0)
}

func race(t *testing.T, s credit.Store) {
	t.Helper()
	ctx := t.Context()
	must(t, s.OpenAccount(ctx, account(t, "pay_1", 500)))
	var won atomic.Int64
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for i := range 20 {
				_, err := s.Draw(ctx, credit.Draw{Payment: fmt.Sprintf("d_%d_%d", worker, i), Account: "pay_1", Units: 1}, began)
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, credit.ErrSpent):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if a, err := s.Account(ctx, "pay_1"); err != nil || won.Load() != 500 || a.Spent != a.Bought {
		t.Errorf("%d were drawn, and the account says %+v, %v", won.Load(), a, err)
	}
}

// model draws, returns and freezes at random, beside sums that are kept here.
func model(t *testing.T, s credit.Store) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be repeated, not a secret
	type known struct {
		units    int64
		returned bool
	}
	const accounts = 3
	var left [accounts]int64
	var frozen [accounts]bool
	drawn := map[string]known{}
	of := map[string]int{}
	for i := range accounts {
		left[i] = 10_000
		must(t, s.OpenAccount(ctx, account(t, fmt.Sprintf("pay_%d", i), left[i])))
	}
	for range 600 {
		a := r.IntN(accounts)
		id := fmt.Sprintf("d%d", r.IntN(300))
		switch r.IntN(20) {
		case 0:
			if r.IntN(20) == 0 {
				frozen[a] = true
				must(t, s.Freeze(ctx, fmt.Sprintf("pay_%d", a)))
			}
		case 1, 2, 3, 4:
			d, there := drawn[id]
			if err := s.Return(ctx, id); (err == nil) != there {
				t.Fatalf("return %s: %v", id, err)
			}
			if there && !d.returned {
				left[of[id]] += d.units
				d.returned = true
				drawn[id] = d
			}
		default:
			units := r.Int64N(200)
			d, there := drawn[id]
			got, err := s.Draw(ctx, credit.Draw{Payment: id, Account: fmt.Sprintf("pay_%d", a), Units: units}, began)
			switch {
			case there:
				if err != nil || got.Units != d.units || got.Returned != d.returned {
					t.Fatalf("draw %s again: %+v, %v; want %+v", id, got, err, d)
				}
			case units == 0 || !frozen[a] && units <= left[a]:
				if err != nil {
					t.Fatalf("draw %d of %d: %v", units, left[a], err)
				}
				left[a] -= units
				drawn[id], of[id] = known{units: units}, a
			case err == nil:
				t.Fatalf("drew %d of %d, frozen %v", units, left[a], frozen[a])
			}
		}
	}
	for i := range accounts {
		a, err := s.Account(ctx, fmt.Sprintf("pay_%d", i))
		must(t, err)
		if got := a.Bought.Units() - a.Spent.Units(); got != left[i] {
			t.Errorf("account %d has %d left, want %d", i, got, left[i])
		}
	}
}
