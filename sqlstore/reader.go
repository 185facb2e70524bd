package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"paywall/money"
	"paywall/payment"
)

// readTime bounds one query.
const readTime = 10 * time.Second

// Reader is the reading half of [payment.Store]. Its queries run beside the
// writer and see what is committed.
//
// A query is not ended by the caller's context once it runs: rows that are cut
// off while they are scanned must not be taken for money that is not there.
type Reader struct{ db *sql.DB }

func bounded(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("nothing was read: %w", err)
	}
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTime)
	return own, cancel, nil
}

// Get implements [payment.Store].
func (r *Reader) Get(ctx context.Context, id string) (payment.Payment, error) {
	return r.one(ctx, byID, id)
}

// ByChallenge implements [payment.Store].
func (r *Reader) ByChallenge(ctx context.Context, challengeID string) (payment.Payment, error) {
	return r.one(ctx, byChallenge, challengeID)
}

// ByInstrument implements [payment.Store].
func (r *Reader) ByInstrument(ctx context.Context, fingerprint string) (payment.Payment, error) {
	return r.one(ctx, byInstrument, fingerprint)
}

// ByReference implements [payment.Store].
func (r *Reader) ByReference(ctx context.Context, method, reference string) (payment.Payment, error) {
	return r.one(ctx, byReference, reference, method)
}

func (r *Reader) one(ctx context.Context, text string, args ...any) (payment.Payment, error) {
	ctx, cancel, err := bounded(ctx)
	if err != nil {
		return payment.Payment{}, err
	}
	defer cancel()
	return scanPayment(r.db.QueryRowContext(ctx, text, args...))
}

// Due implements [payment.Store]; what is due longest comes first.
func (r *Reader) Due(ctx context.Context, now time.Time, limit int) ([]payment.Payment, error) {
	return list(ctx, r.db, scanPayment, selectDue, millis(now), int64(limit))
}

// List implements [payment.Store].
func (r *Reader) List(ctx context.Context, f payment.Filter, after string, limit int) ([]payment.Payment, error) {
	text := selectPayment + `where ($1 = '' or state = $1) and ($2 = '' or delivery = $2) and ($3 = '' or route = $3)`
	args := []any{string(f.State), string(f.Delivery), f.Route, int64(limit)}
	if f.Payer != "" {
		args = append(args, f.Payer)
		text += ` and payer <> '' and payer = $5` // the words of the index, so that it is used
	}
	if after != "" {
		args = append(args, after)
		text += fmt.Sprintf(` and id < $%d`, len(args))
	}
	return list(ctx, r.db, scanPayment, text+` order by id desc limit $4`, args...)
}

// Entries implements [payment.Store].
func (r *Reader) Entries(ctx context.Context, after int64, limit int) ([]payment.PositionedEntry, error) {
	return list(ctx, r.db, scanEntry, selectEntries, after, int64(limit))
}

// Events implements [payment.Store].
func (r *Reader) Events(ctx context.Context, after int64, limit int) ([]payment.PositionedEvent, error) {
	return list(ctx, r.db, scanEvent, selectEvents, after, int64(limit))
}

// Setting implements [payment.Store].
func (r *Reader) Setting(ctx context.Context, name string) (string, error) {
	ctx, cancel, err := bounded(ctx)
	if err != nil {
		return "", err
	}
	defer cancel()
	var value string
	if err := r.db.QueryRowContext(ctx, selectSetting, name).Scan(&value); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read setting %s: %w", name, err)
	}
	return value, nil
}

// Close ends the reader.
func (r *Reader) Close() error {
	if err := r.db.Close(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

func list[T any](ctx context.Context, db *sql.DB, scan func(row) (T, error), text string, args ...any) ([]T, error) {
	ctx, cancel, err := bounded(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what went wrong
	var found []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	return found, nil
}

func scanEntry(r row) (payment.PositionedEntry, error) {
	var (
		e                payment.PositionedEntry
		units, scale, at int64
		currency         string
	)
	if err := r.Scan(&e.Position, &e.Payment, &e.Kind, &e.Debit, &e.Credit, &units, &currency, &scale, &at); err != nil {
		return e, fmt.Errorf("read entry: %w", err)
	}
	amount, err := money.New(units, currency, int(scale))
	if err != nil {
		return e, fmt.Errorf("read entry %d: %w", e.Position, err)
	}
	e.Amount, e.At = amount, moment(at)
	return e, nil
}

func scanEvent(r row) (payment.PositionedEvent, error) {
	var (
		e  payment.PositionedEvent
		at int64
	)
	if err := r.Scan(&e.Position, &e.ID, &e.Payment, &e.Type, &at); err != nil {
		return e, fmt.Errorf("read event: %w", err)
	}
	e.At = moment(at)
	return e, nil
}
