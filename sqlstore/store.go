package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"paywall/payment"
)

var _ payment.Store = (*Store)(nil)

// Claim implements [payment.Store].
func (s *Store) Claim(ctx context.Context, p payment.Payment) error {
	if p.State != payment.StatePending || p.Revision != 1 || !p.Amount.IsPositive() {
		return fmt.Errorf("claim %s in state %s, revision %d: %w", p.ID, p.State, p.Revision, payment.ErrState)
	}
	args := all(&p)
	return s.write(ctx, "claim "+p.ID, func(x *session) error {
		n, err := x.changed(x.claim, args...)
		if err != nil || n == 1 {
			return err
		}
		return x.whyNot(&p)
	})
}

// whyNot finds the reason of a claim that inserted nothing. It only explains:
// the insert has decided.
func (s *session) whyNot(p *payment.Payment) error {
	for _, look := range []struct {
		text, arg string
		found     error
	}{
		{"select 1 from payments where challenge_id = $1", p.ChallengeID, payment.ErrChallengeUsed},
		{"select 1 from payments where instrument = $1 and state not in ('failed', 'voided')", p.Instrument, payment.ErrInstrumentUsed},
		{"select 1 from settings where value <> '' and name = $1", payment.SettingPaused, payment.ErrPaused},
		{"select 1 from payments where id = $1", p.ID, payment.ErrConflict},
	} {
		var one int
		err := s.row(look.text, look.arg).Scan(&one)
		switch {
		case err == nil:
			return refused{look.found}
		case !errors.Is(err, sql.ErrNoRows):
			return err //nolint:wrapcheck // named by the operation
		}
	}
	return errors.New("nothing was inserted, and nothing stands in the way")
}

// Update implements [payment.Store]. Protocol, Method, Description and CreatedAt
// keep what the claim stored.
func (s *Store) Update(ctx context.Context, p payment.Payment, entries []payment.Entry, events []payment.Event) error {
	for _, e := range entries {
		if e.Payment != p.ID || e.Debit == e.Credit || !e.Amount.IsPositive() {
			return fmt.Errorf("update %s: entry %s of %s from %q to %q: %w", p.ID, e.Kind, e.Payment, e.Credit, e.Debit, payment.ErrState)
		}
	}
	if !p.Amount.IsPositive() {
		return fmt.Errorf("update %s to an amount of %s: %w", p.ID, p.Amount, payment.ErrState)
	}
	args := append(changing(&p), dueAt(&p), p.ID, p.Revision-1, p.Epoch, fixed(&p))
	return s.write(ctx, "update "+p.ID, func(x *session) error {
		text, ok := x.texts[position{p.State, p.Delivery}]
		if !ok {
			return refused{fmt.Errorf("%s/%s: %w", p.State, p.Delivery, payment.ErrState)}
		}
		n, err := x.changed(text, args...)
		switch {
		case err != nil:
			return err
		case n == 0:
			return x.whyNotUpdated(p)
		}
		return x.post(entries, events)
	})
}

func (s *session) whyNotUpdated(p payment.Payment) error {
	stored, err := scanPayment(s.row(byID, p.ID))
	switch {
	case errors.Is(err, payment.ErrNotFound):
		return refused{err}
	case err != nil:
		return err
	}
	if err := payment.Check(stored, p); err != nil {
		return refused{err}
	}
	// The guard is made from Check; that they differ is a fault of this package.
	return refused{fmt.Errorf("the guard refused what the table allows: %w", payment.ErrConflict)}
}

// post writes entries and events after the state. What is found wrong here must
// take the state back too.
func (s *session) post(entries []payment.Entry, events []payment.Event) error {
	for _, e := range entries {
		n, err := s.changed(insertEntry, e.Payment, e.Kind, e.Debit, e.Credit, e.Amount.Units(), e.Amount.Currency(), int64(e.Amount.Scale()), millis(e.At))
		if err != nil {
			return err
		}
		if n == 0 {
			return undo{fmt.Errorf("a second entry %s of %s: %w", e.Kind, e.Payment, payment.ErrConflict)}
		}
	}
	for _, e := range events {
		if err := s.exec(insertEvent, e.ID, e.Payment, e.Type, millis(e.At)); err != nil {
			return err
		}
	}
	return nil
}

// SetSetting implements [payment.Store].
func (s *Store) SetSetting(ctx context.Context, name, value string) error {
	return s.write(ctx, "set "+name, func(x *session) error { return x.exec(putSetting, name, value) })
}

// Seen implements [payment.Store].
func (s *Store) Seen(ctx context.Context, source, eventID string, at time.Time) (bool, error) {
	var n int64
	err := s.write(ctx, "see event", func(x *session) (err error) {
		n, err = x.changed(insertInbound, source, eventID, millis(at))
		return err
	})
	return n == 1, err
}

// Take counts one more use of a receipt, up to limit, and returns its number; 0
// is none left (receipts.Uses).
func (s *Store) Take(ctx context.Context, receiptID, paymentID string, limit int, expires time.Time) (int, error) {
	if limit < 1 {
		return 0, nil
	}
	var used int
	err := s.write(ctx, "take use", func(x *session) error {
		used = 0
		err := x.row(takeUse, receiptID, paymentID, millis(expires), int64(limit)).Scan(&used)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return used, nil
}

// Remember stores value under an idempotency key of a principal, once for ever.
// When the key is there already it returns the stored value, and conflict when
// it was for another request (fingerprint). existing is empty the first time.
func (s *Store) Remember(ctx context.Context, principal, key, fingerprint, value string) (existing string, conflict bool, err error) {
	at := millis(s.now())
	err = s.write(ctx, "remember key", func(x *session) error {
		existing, conflict = "", false
		n, err := x.changed(insertKey, principal, key, fingerprint, value, at)
		if err != nil || n == 1 {
			return err
		}
		var first string
		if err := x.row(selectKey, principal, key).Scan(&first, &existing); err != nil {
			return err //nolint:wrapcheck // named by write
		}
		conflict = first != fingerprint
		return nil
	})
	return existing, conflict, err
}

func (s *Store) write(ctx context.Context, what string, run func(*session) error) error {
	if err := s.w.do(ctx, run); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
