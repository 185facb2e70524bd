package wallet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"paywall/money"
)

// keepSpends is how long a ledger remembers: longer than any cap looks back.
const keepSpends = 32 * day

var errSpend = errors.New("not a spend")

// Spend is money that is gone or may be.
type Spend struct {
	ID     string
	Host   string
	Amount money.Amount
	At     time.Time
}

// Cap bounds the sum of the spends at or after Since, of one host or, without
// a name, of all, in the currency of Max.
type Cap struct {
	Limit Limit
	Host  string
	Since time.Time
	Max   money.Amount
}

// Ledger counts what was spent. An amount counts from before anybody is asked
// until it is certain that no proof of it can be charged. Implementations are
// safe for concurrent use.
type Ledger interface {
	// Reserve adds s, or returns a *[PolicyError] for the first cap that the sum
	// with it would exceed. Test and insert are one step: of payments that fit
	// only one by one, one gets in. The spend is durable when Reserve returns.
	Reserve(ctx context.Context, s Spend, caps []Cap) error
	// Release takes a spend back; one that is not there is no error.
	Release(ctx context.Context, id string) error
	// Spends returns what counts since then, oldest first.
	Spends(ctx context.Context, since time.Time) ([]Spend, error)
}

// MemoryLedger is a [Ledger] that ends with the process. The zero value is empty
// and ready.
type MemoryLedger struct {
	mu     sync.Mutex // guards spends
	spends []Spend
}

// Reserve implements [Ledger].
func (l *MemoryLedger) Reserve(_ context.Context, s Spend, caps []Cap) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, err := reserve(l.spends, s, caps)
	if err == nil {
		l.spends = next
	}
	return err
}

// Release implements [Ledger].
func (l *MemoryLedger) Release(_ context.Context, id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spends = release(l.spends, id)
	return nil
}

// Spends implements [Ledger].
func (l *MemoryLedger) Spends(_ context.Context, since time.Time) ([]Spend, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return sinceThen(l.spends, since), nil
}

// reserve returns old with s in it, without what is too old to matter. It leaves
// old as it is.
func reserve(old []Spend, s Spend, caps []Cap) ([]Spend, error) {
	if s.ID == "" || s.Host == "" || s.At.IsZero() || !s.Amount.IsPositive() {
		return nil, errSpend
	}
	if slices.ContainsFunc(old, func(o Spend) bool { return o.ID == s.ID }) {
		return nil, fmt.Errorf("%w: %q is there already", errSpend, s.ID)
	}
	for _, c := range caps {
		if err := c.admit(old, s); err != nil {
			return nil, err
		}
	}
	next := make([]Spend, 0, len(old)+1)
	for _, o := range old {
		if o.At.After(s.At.Add(-keepSpends)) {
			next = append(next, o)
		}
	}
	return append(next, s), nil
}

// admit refuses when s would take the sum over the cap. A spend that seems to lie in
// the future counts: setting the clock back must not empty the ledger.
func (c *Cap) admit(old []Spend, s Spend) error {
	if s.Amount.Currency() != c.Max.Currency() {
		return fmt.Errorf("%w: %s under a cap in %s", errSpend, s.Amount, c.Max.Currency())
	}
	spent, err := money.New(0, c.Max.Currency(), c.Max.Scale())
	if err != nil {
		return fmt.Errorf("cap %s: %w", c.Limit, err)
	}
	refuse := &PolicyError{Limit: c.Limit, Host: c.Host, Amount: s.Amount, Max: c.Max}
	for _, o := range old {
		if o.At.Before(c.Since) || o.Amount.Currency() != c.Max.Currency() || c.Host != "" && o.Host != c.Host {
			continue
		}
		if spent, err = sum(spent, o.Amount); err != nil {
			return refuse // a sum that cannot be held is over any limit
		}
	}
	refuse.Spent = spent
	total, err := sum(spent, s.Amount)
	if err != nil {
		return refuse
	}
	if n, err := total.Cmp(c.Max); err != nil || n > 0 {
		return refuse
	}
	return nil
}

// sum adds at the finer of two scales.
func sum(a, b money.Amount) (money.Amount, error) {
	scale := max(a.Scale(), b.Scale())
	a, err := a.Rescale(scale)
	if err != nil {
		return a, fmt.Errorf("sum: %w", err)
	}
	if b, err = b.Rescale(scale); err != nil {
		return a, fmt.Errorf("sum: %w", err)
	}
	if a, err = a.Add(b); err != nil {
		return a, fmt.Errorf("sum: %w", err)
	}
	return a, nil
}

func release(spends []Spend, id string) []Spend {
	return slices.DeleteFunc(slices.Clone(spends), func(s Spend) bool { return s.ID == id })
}

func sinceThen(spends []Spend, since time.Time) []Spend {
	return slices.DeleteFunc(slices.Clone(spends), func(s Spend) bool { return s.At.Before(since) })
}
