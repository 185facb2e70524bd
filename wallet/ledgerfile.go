package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"paywall/money"
)

const maxLedgerFile = 16 << 20

// FileLedger is a [Ledger] in a JSON file of mode 0600, which any number of
// processes may share. Each change is on disk before it is reported.
type FileLedger struct {
	path string
	mu   sync.Mutex // held with the lock file, which does not tell goroutines apart
}

// OpenLedger names the file. It need not exist, its directory must. A file that
// is damaged or open to others is [ErrFile].
func OpenLedger(path string) (*FileLedger, error) {
	l := &FileLedger{path: path}
	if _, err := l.load(); err != nil {
		return nil, err
	}
	return l, nil
}

// Reserve implements [Ledger].
func (l *FileLedger) Reserve(_ context.Context, s Spend, caps []Cap) error {
	return l.change(func(old []Spend) ([]Spend, error) { return reserve(old, s, caps) })
}

// Release implements [Ledger].
func (l *FileLedger) Release(_ context.Context, id string) error {
	return l.change(func(old []Spend) ([]Spend, error) { return release(old, id), nil })
}

// Spends implements [Ledger].
func (l *FileLedger) Spends(_ context.Context, since time.Time) ([]Spend, error) {
	all, err := l.load()
	return sinceThen(all, since), err
}

func (l *FileLedger) change(f func([]Spend) ([]Spend, error)) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lock, err := lockFile(l.path + ".lock")
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	old, err := l.load()
	if err != nil {
		return err
	}
	next, err := f(old)
	if err != nil || slices.Equal(old, next) {
		return err
	}
	data, err := encodeLedger(next)
	if err != nil {
		return err
	}
	if err := writePrivate(l.path, data); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

func (l *FileLedger) load() ([]Spend, error) {
	data, err := readPrivate(l.path, maxLedgerFile)
	if err != nil || data == nil {
		return nil, err
	}
	spends, err := decodeLedger(data)
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", l.path, err)
	}
	return spends, nil
}

type ledgerFile struct {
	Version int         `json:"version"`
	Spends  []spendLine `json:"spends"`
}

type spendLine struct {
	ID   string `json:"id"`
	Host string `json:"host"`
	amountLine
	At time.Time `json:"at"`
}

// amountLine is an amount in integer units.
type amountLine struct {
	Units    int64  `json:"units"`
	Currency string `json:"currency"`
	Scale    int    `json:"scale"`
}

func lineOf(a money.Amount) amountLine { return amountLine{a.Units(), a.Currency(), a.Scale()} }

func (a amountLine) amount() (money.Amount, error) {
	m, err := money.New(a.Units, a.Currency, a.Scale)
	if err != nil || !m.IsPositive() {
		return money.Amount{}, fmt.Errorf("%w: an amount is no amount", ErrFile)
	}
	return m, nil
}

func encodeLedger(spends []Spend) ([]byte, error) {
	f := ledgerFile{Version: 1, Spends: make([]spendLine, 0, len(spends))}
	for _, s := range spends {
		f.Spends = append(f.Spends, spendLine{s.ID, s.Host, lineOf(s.Amount), s.At.UTC()})
	}
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return append(data, '\n'), nil
}

func decodeLedger(data []byte) ([]Spend, error) {
	var f ledgerFile
	if err := decodeFile(data, &f); err != nil {
		return nil, err
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("%w: version %d, want 1", ErrFile, f.Version)
	}
	spends := make([]Spend, 0, len(f.Spends))
	seen := make(map[string]bool, len(f.Spends))
	for _, s := range f.Spends {
		a, err := s.amount()
		if err != nil {
			return nil, err
		}
		if s.ID == "" || s.Host == "" || s.At.IsZero() || seen[s.ID] {
			return nil, fmt.Errorf("%w: a spend is incomplete or there twice", ErrFile)
		}
		seen[s.ID] = true
		spends = append(spends, Spend{ID: s.ID, Host: s.Host, Amount: a, At: s.At.UTC()})
	}
	return spends, nil
}
