package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"paywall/methods/credit"
	"paywall/money"
	"paywall/payment"
)

// Credit is the store of prepaid accounts: a [credit.Store] in the same file as the
// payments.
type Credit struct{ s *Store }

var _ credit.Store = Credit{}

// Credit returns the store of prepaid accounts.
func (s *Store) Credit() Credit { return Credit{s} }

const (
	openAccount = `insert into credit_accounts (id, currency, scale, bought, spent, frozen, opened_at, ends_at)
	values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing`
	selectAccounts = `select id, currency, scale, bought, spent, frozen, opened_at, ends_at from credit_accounts `
	accountByID    = selectAccounts + `where id = $1`
	accountsAfter  = selectAccounts + `where $1 = '' or id < $1 order by id desc limit $2`
	freezeAccount  = `update credit_accounts set frozen = 1 where id = $1 and frozen = 0`

	// One statement decides: what is left is looked at and taken in the same moment.
	spendCredit = `update credit_accounts set spent = spent + $2
	where id = $1 and spent + $2 <= bought and frozen = 0 and ends_at > $3`
	giveBack   = `update credit_accounts set spent = spent - $2 where id = $1`
	selectDraw = `select account, units, returned from credit_draws where payment_id = $1`
	insertDraw = `insert into credit_draws (payment_id, account, units) values ($1, $2, $3)`
	returnDraw = `update credit_draws set returned = 1 where payment_id = $1 and returned = 0`
)

// OpenAccount implements [credit.Store].
func (c Credit) OpenAccount(ctx context.Context, a credit.Account) error {
	return c.s.write(ctx, "open credit "+a.ID, func(x *session) error {
		return x.exec(openAccount, a.ID, a.Bought.Currency(), int64(a.Bought.Scale()), a.Bought.Units(), a.Spent.Units(), flag(a.Frozen), millis(a.Opened), millis(a.Ends))
	})
}

func scanAccount(r row) (credit.Account, error) {
	var a credit.Account
	var currency string
	var scale, bought, spent, frozen, opened, ends int64
	if err := r.Scan(&a.ID, &currency, &scale, &bought, &spent, &frozen, &opened, &ends); err != nil {
		return credit.Account{}, err //nolint:wrapcheck // named by the caller
	}
	var err1, err2 error
	a.Bought, err1 = money.New(bought, currency, int(scale))
	a.Spent, err2 = money.New(spent, currency, int(scale))
	a.Frozen, a.Opened, a.Ends = frozen != 0, moment(opened), moment(ends)
	return a, errors.Join(err1, err2)
}

// Account implements [credit.Store].
func (c Credit) Account(ctx context.Context, id string) (credit.Account, error) {
	found, err := list(ctx, c.s.db, scanAccount, accountByID, id)
	switch {
	case err != nil:
		return credit.Account{}, fmt.Errorf("credit %s: %w", id, err)
	case len(found) == 0:
		return credit.Account{}, fmt.Errorf("credit %s: %w", id, payment.ErrNotFound)
	}
	return found[0], nil
}

// Accounts implements [credit.Store].
func (c Credit) Accounts(ctx context.Context, after string, limit int) ([]credit.Account, error) {
	return list(ctx, c.s.db, scanAccount, accountsAfter, after, limit)
}

// Draw implements [credit.Store].
func (c Credit) Draw(ctx context.Context, d credit.Draw, now time.Time) (credit.Draw, error) {
	got := d
	err := c.s.write(ctx, "draw for "+d.Payment, func(x *session) error {
		got = d
		there, err := drawn(x.row(selectDraw, d.Payment), d.Payment)
		switch {
		case err == nil:
			got = there
			return nil
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		if d.Units > 0 {
			n, err := x.changed(spendCredit, d.Account, d.Units, millis(now))
			if err != nil {
				return err
			}
			if n == 0 {
				return refused{whyNot(x.row(accountByID, d.Account), now)}
			}
		}
		return x.exec(insertDraw, d.Payment, d.Account, d.Units)
	})
	if err != nil {
		return credit.Draw{}, err
	}
	return got, nil
}

// whyNot says why nothing could be drawn.
func whyNot(r row, now time.Time) error {
	a, err := scanAccount(r)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return payment.ErrNotFound
	case err != nil:
		return err
	case a.Frozen, !now.Before(a.Ends):
		return credit.ErrClosed
	}
	return credit.ErrSpent
}

func drawn(r row, id string) (credit.Draw, error) {
	d := credit.Draw{Payment: id}
	var returned int64
	err := r.Scan(&d.Account, &d.Units, &returned)
	d.Returned = returned != 0
	return d, err //nolint:wrapcheck // named by the caller
}

// Drawn implements [credit.Store].
func (c Credit) Drawn(ctx context.Context, paymentID string) (credit.Draw, error) {
	found, err := list(ctx, c.s.db, func(r row) (credit.Draw, error) { return drawn(r, paymentID) }, selectDraw, paymentID)
	switch {
	case err != nil:
		return credit.Draw{}, fmt.Errorf("draw for %s: %w", paymentID, err)
	case len(found) == 0:
		return credit.Draw{}, fmt.Errorf("draw for %s: %w", paymentID, payment.ErrNotFound)
	}
	return found[0], nil
}

// Return implements [credit.Store].
func (c Credit) Return(ctx context.Context, paymentID string) error {
	return c.s.write(ctx, "return the draw for "+paymentID, func(x *session) error {
		d, err := drawn(x.row(selectDraw, paymentID), paymentID)
		if errors.Is(err, sql.ErrNoRows) {
			return refused{payment.ErrNotFound}
		}
		if err != nil {
			return err
		}
		n, err := x.changed(returnDraw, paymentID)
		if err != nil || n == 0 {
			return err
		}
		return x.exec(giveBack, d.Account, d.Units)
	})
}

// Freeze implements [credit.Store].
func (c Credit) Freeze(ctx context.Context, id string) error {
	return c.s.write(ctx, "freeze credit "+id, func(x *session) error { return x.exec(freezeAccount, id) })
}
