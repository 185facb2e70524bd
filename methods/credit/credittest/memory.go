// Package credittest has a store of credit in memory and the suite that every store passes.
package credittest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"paywall/methods/credit"
	"paywall/money"
	"paywall/payment"
)

// Memory is a [credit.Store] for tests. The zero value is empty.
type Memory struct {
	mu       sync.Mutex // guards what follows
	accounts map[string]credit.Account
	draws    map[string]credit.Draw
}

var _ credit.Store = (*Memory)(nil)

// OpenAccount implements [credit.Store].
func (m *Memory) OpenAccount(_ context.Context, a credit.Account) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.accounts == nil {
		m.accounts, m.draws = map[string]credit.Account{}, map[string]credit.Draw{}
	}
	if _, there := m.accounts[a.ID]; !there {
		m.accounts[a.ID] = a
	}
	return nil
}

// Account implements [credit.Store].
func (m *Memory) Account(_ context.Context, id string) (credit.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.accounts[id]
	if !ok {
		return credit.Account{}, fmt.Errorf("credit %s: %w", id, payment.ErrNotFound)
	}
	return a, nil
}

// Accounts implements [credit.Store].
func (m *Memory) Accounts(_ context.Context, after string, limit int) ([]credit.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.SortedFunc(maps.Values(m.accounts), func(a, b credit.Account) int { return cmp.Compare(b.ID, a.ID) })
	all = slices.DeleteFunc(all, func(a credit.Account) bool { return after != "" && a.ID >= after })
	return all[:min(limit, len(all))], nil
}

// Draw implements [credit.Store].
func (m *Memory) Draw(_ context.Context, d credit.Draw, now time.Time) (credit.Draw, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there, ok := m.draws[d.Payment]; ok {
		return there, nil
	}
	if d.Units > 0 {
		a, ok := m.accounts[d.Account]
		switch {
		case !ok:
			return credit.Draw{}, payment.ErrNotFound
		case a.Frozen, !now.Before(a.Ends):
			return credit.Draw{}, credit.ErrClosed
		case a.Spent.Units()+d.Units > a.Bought.Units():
			return credit.Draw{}, credit.ErrSpent
		}
		m.spend(a, d.Units)
	}
	if m.draws == nil {
		m.draws = map[string]credit.Draw{}
	}
	m.draws[d.Payment] = d
	return d, nil
}

func (m *Memory) spend(a credit.Account, units int64) {
	a.Spent, _ = money.New(a.Spent.Units()+units, a.Spent.Currency(), a.Spent.Scale())
	m.accounts[a.ID] = a
}

// Drawn implements [credit.Store].
func (m *Memory) Drawn(_ context.Context, paymentID string) (credit.Draw, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.draws[paymentID]
	if !ok {
		return credit.Draw{}, payment.ErrNotFound
	}
	return d, nil
}

// Return implements [credit.Store].
func (m *Memory) Return(_ context.Context, paymentID string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.draws[paymentID]
	if !ok {
		return payment.ErrNotFound
	}
	if !d.Returned {
		d.Returned = true
		m.draws[paymentID] = d
		if d.Units > 0 {
			m.spend(m.accounts[d.Account], -d.Units)
		}
	}
	return nil
}

// Freeze implements [credit.Store].
func (m *Memory) Freeze(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a, ok := m.accounts[id]; ok {
		a.Frozen = true
		m.accounts[id] = a
	}
	return nil
}
