package paymenttest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"paywall/payment"
)

// Store is a [payment.Store] in memory: fast, complete, and gone with the
// process. Make one with [NewStore].
type Store struct {
	mu          sync.Mutex         // guards all that follows
	payments    map[string]*record // by id
	challenges  map[string]*record
	instruments map[string]*record // those that are live
	references  map[reference]*record
	working     map[string]*record // those that Due may find, so that it need not see all
	entries     []payment.PositionedEntry
	events      []payment.PositionedEvent
	settings    map[string]string
	seen        map[reference]struct{}
}

type record struct {
	pay   payment.Payment
	kinds []string // of its entries
}

type reference struct{ of, id string }

var _ payment.Store = (*Store)(nil)

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{
		payments: map[string]*record{}, challenges: map[string]*record{}, instruments: map[string]*record{},
		references: map[reference]*record{}, working: map[string]*record{},
		settings: map[string]string{}, seen: map[reference]struct{}{},
	}
}

// Claim implements [payment.Store].
func (s *Store) Claim(ctx context.Context, p payment.Payment) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("claim %s: %w", p.ID, err)
	}
	if p.State != payment.StatePending || p.Revision != 1 || !p.Amount.IsPositive() {
		return fmt.Errorf("claim %s in state %s, revision %d: %w", p.ID, p.State, p.Revision, payment.ErrState)
	}
	p.Intent = slices.Clone(p.Intent)
	r := &record{pay: p}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.challenges[p.ChallengeID] != nil:
		return fmt.Errorf("claim %s: %w", p.ID, payment.ErrChallengeUsed)
	case s.instruments[p.Instrument] != nil:
		return fmt.Errorf("claim %s: %w", p.ID, payment.ErrInstrumentUsed)
	case s.settings[payment.SettingPaused] != "":
		return fmt.Errorf("claim %s: %w", p.ID, payment.ErrPaused)
	case s.payments[p.ID] != nil:
		return fmt.Errorf("claim %s again: %w", p.ID, payment.ErrConflict)
	}
	s.payments[p.ID], s.challenges[p.ChallengeID] = r, r
	s.index(r)
	return nil
}

// index puts the record where its new state belongs. s.mu is held.
func (s *Store) index(r *record) {
	p := &r.pay
	if p.State.Live() {
		s.instruments[p.Instrument] = r
	} else if s.instruments[p.Instrument] == r {
		delete(s.instruments, p.Instrument)
	}
	if p.Reference != "" {
		s.references[reference{p.Method, p.Reference}] = r
	}
	if _, works := due(p); works {
		s.working[p.ID] = r
	} else {
		delete(s.working, p.ID)
	}
}

// due is when a payment needs work, and whether it ever does.
func due(p *payment.Payment) (time.Time, bool) {
	switch {
	case p.State == payment.StatePending, p.State == payment.StateAuthorized, p.State == payment.StateRefunding,
		p.State == payment.StateSettled && p.Delivery == payment.DeliveryDispatched:
		return p.LeaseUntil, true
	case p.State == payment.StateSettled && p.Delivery == payment.DeliveryOpen:
		if p.LeaseUntil.After(p.WindowEnds) {
			return p.LeaseUntil, true
		}
		return p.WindowEnds, true
	}
	return time.Time{}, false
}

// Update implements [payment.Store].
func (s *Store) Update(ctx context.Context, p payment.Payment, entries []payment.Entry, events []payment.Event) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("update %s: %w", p.ID, err)
	}
	p.Intent = slices.Clone(p.Intent)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.payments[p.ID]
	if r == nil {
		return fmt.Errorf("update %s: %w", p.ID, payment.ErrNotFound)
	}
	if err := payment.Check(r.pay, p); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	kinds := slices.Clone(r.kinds)
	for _, e := range entries {
		if e.Payment != p.ID || e.Debit == e.Credit || !e.Amount.IsPositive() {
			return fmt.Errorf("update %s: entry %s of %s from %q to %q: %w", p.ID, e.Kind, e.Payment, e.Credit, e.Debit, payment.ErrState)
		}
		if slices.Contains(kinds, e.Kind) {
			return fmt.Errorf("update %s: a second entry %s: %w", p.ID, e.Kind, payment.ErrConflict)
		}
		kinds = append(kinds, e.Kind)
	}
	r.pay, r.kinds = p, kinds
	s.index(r)
	for _, e := range entries {
		s.entries = append(s.entries, payment.PositionedEntry{Position: int64(len(s.entries)) + 1, Entry: e})
	}
	for _, e := range events {
		s.events = append(s.events, payment.PositionedEvent{Position: int64(len(s.events)) + 1, Event: e})
	}
	return nil
}

func (s *Store) find(look func() *record) (payment.Payment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := look()
	if r == nil {
		return payment.Payment{}, payment.ErrNotFound
	}
	return r.copy(), nil
}

func (r *record) copy() payment.Payment {
	p := r.pay
	p.Intent = slices.Clone(p.Intent)
	return p
}

// Get implements [payment.Store].
func (s *Store) Get(_ context.Context, id string) (payment.Payment, error) {
	return s.find(func() *record { return s.payments[id] })
}

// ByChallenge implements [payment.Store].
func (s *Store) ByChallenge(_ context.Context, challengeID string) (payment.Payment, error) {
	return s.find(func() *record { return s.challenges[challengeID] })
}

// ByInstrument implements [payment.Store].
func (s *Store) ByInstrument(_ context.Context, fingerprint string) (payment.Payment, error) {
	return s.find(func() *record { return s.instruments[fingerprint] })
}

// ByReference implements [payment.Store].
func (s *Store) ByReference(_ context.Context, method, ref string) (payment.Payment, error) {
	return s.find(func() *record { return s.references[reference{method, ref}] })
}

// Due implements [payment.Store].
func (s *Store) Due(_ context.Context, now time.Time, limit int) ([]payment.Payment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []payment.Payment
	for _, r := range s.working {
		if at, _ := due(&r.pay); !at.After(now) {
			found = append(found, r.copy())
		}
	}
	slices.SortFunc(found, func(a, b payment.Payment) int {
		at, _ := due(&a)
		bt, _ := due(&b)
		if c := at.Compare(bt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return found[:min(limit, len(found))], nil
}

// List implements [payment.Store].
func (s *Store) List(_ context.Context, f payment.Filter, after string, limit int) ([]payment.Payment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id, r := range s.payments {
		p := &r.pay
		if (after == "" || id < after) && (f.State == "" || f.State == p.State) &&
			(f.Delivery == "" || f.Delivery == p.Delivery) && (f.Route == "" || f.Route == p.Scope.Route) &&
			(f.Payer == "" || f.Payer == p.Payer) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return strings.Compare(b, a) })
	var found []payment.Payment
	for _, id := range ids[:min(limit, len(ids))] {
		found = append(found, s.payments[id].copy())
	}
	return found, nil
}

// Entries implements [payment.Store].
func (s *Store) Entries(_ context.Context, after int64, limit int) ([]payment.PositionedEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return page(s.entries, after, limit), nil
}

// Events implements [payment.Store].
func (s *Store) Events(_ context.Context, after int64, limit int) ([]payment.PositionedEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return page(s.events, after, limit), nil
}

// page cuts a list in which the element at index i has position i+1.
func page[T any](all []T, after int64, limit int) []T {
	from := min(max(after, 0), int64(len(all)))
	return slices.Clone(all[from:min(from+int64(limit), int64(len(all)))])
}

// Setting implements [payment.Store].
func (s *Store) Setting(_ context.Context, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings[name], nil
}

// SetSetting implements [payment.Store].
func (s *Store) SetSetting(_ context.Context, name, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings[name] = value
	return nil
}

// Seen implements [payment.Store].
func (s *Store) Seen(_ context.Context, source, eventID string, _ time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := reference{source, eventID}
	_, known := s.seen[key]
	s.seen[key] = struct{}{}
	return !known, nil
}
