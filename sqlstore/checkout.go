package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"paywall/checkout"
)

// Checkout is the store of shops: a [checkout.Store] and [checkout.Requests] in the
// same file as the payments, written by the same writer.
type Checkout struct{ s *Store }

var (
	_ checkout.Store    = Checkout{}
	_ checkout.Requests = Checkout{}
)

// Checkout returns the part of the store that shops use.
func (s *Store) Checkout() Checkout { return Checkout{s} }

const (
	selectSession = `select data from checkout_sessions where id = $1`
	selectByCart  = `select data from checkout_sessions where cart = $1 and cart <> '' and expires_at > $2 limit 1`
	selectWorking = `select data from checkout_sessions where working = 1 and updated_at < $1 order by updated_at, id limit $2`

	insertSession = `insert into checkout_sessions (id, revision, kind, cart, working, ended, kept, updated_at, expires_at, data)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing`
	updateSession = `update checkout_sessions set revision = $2, kind = $3, cart = $4, working = $5, ended = $6, kept = $7,
	updated_at = $8, expires_at = $9, data = $10 where id = $1 and revision = $2 - 1`
	sessionExists = `select 1 from checkout_sessions where id = $1`

	dropHolds  = `delete from checkout_holds where session = $1`
	insertHold = `insert into checkout_holds (session, variant, quantity, until) values ($1, $2, $3, $4)`
	sellHolds  = `insert into checkout_sold (variant, quantity) select variant, quantity from checkout_holds where session = $1
	on conflict (variant) do update set quantity = checkout_sold.quantity + excluded.quantity`
	selectLevel = `select (select coalesce(sum(quantity), 0) from checkout_sold where variant = $1),
	(select coalesce(sum(quantity), 0) from checkout_holds where variant = $1 and session <> $2 and until > $3)`

	insertOrder = `insert into orders (id, revision, session, payment_id, data) values ($1, $2, $3, $4, $5) on conflict do nothing`
	updateOrder = `update orders set revision = $2, data = $3 where id = $1 and revision = $2 - 1`
	orderExists = `select 1 from orders where id = $1`
	selectOrder = `select data from orders where id = $1`
	orderByPay  = `select data from orders where payment_id = $1 and payment_id <> ''`
	selectPage  = `select data from orders where $1 = '' or position < (select position from orders where id = $1) order by position desc limit $2`

	deliveryColumns = `id, order_id, url, at, body, profile, version, state, attempts, next_at, note`
	insertDelivery  = `insert into order_deliveries (` + deliveryColumns + `) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	saveDelivery    = `update order_deliveries set state = $2, attempts = $3, next_at = $4, note = $5 where id = $1`
	selectNext      = `select ` + deliveryColumns + ` from order_deliveries d where state = 'pending' and next_at <= $1
	and not exists (select 1 from order_deliveries e where e.order_id = d.order_id and e.state = 'pending' and e.position < d.position)
	order by position limit $2`
	selectDeliveries = `select ` + deliveryColumns + ` from order_deliveries where ($1 = '' or state = $1)
	and ($2 = '' or position < (select position from order_deliveries where id = $2)) order by position desc limit $3`
	selectDelivery = `select ` + deliveryColumns + ` from order_deliveries where id = $1`
	dropDeliveries = `update order_deliveries set body = x'', note = case state when 'pending' then 'erased' else note end,
	state = case state when 'pending' then 'dead' else state end where order_id = $1`

	purgeSessions = `delete from checkout_sessions where id in (
	select id from checkout_sessions where kept = 0 and expires_at < $1
	union select id from checkout_sessions where kept = 0 and ended = 1 and updated_at < $1 limit $2)`
	purgeHolds    = `delete from checkout_holds where not exists (select 1 from checkout_sessions where id = session)`
	purgeRequests = `delete from requests where until < $1`

	selectRequest = `select hash, done, until, status, body from requests where caller = $1 and operation = $2 and key = $3`
	putRequest    = `insert into requests (caller, operation, key, hash, done, until, status, body) values ($1, $2, $3, $4, 0, $5, 0, x'')
	on conflict (caller, operation, key) do update set hash = excluded.hash, done = 0, until = excluded.until, status = 0, body = x''`
	finishRequest = `update requests set done = 1, status = $4, body = $5, until = $6 where caller = $1 and operation = $2 and key = $3 and done = 0`
	forgetRequest = `delete from requests where caller = $1 and operation = $2 and key = $3 and done = 0`
	endLeases     = `update requests set until = $1 where done = 0 and until > $1`
	requestExists = `select 1 from requests where caller = $1 and operation = $2 and key = $3`
)

// sessionRow is what is stored of a session.
func sessionRow(s checkout.Session) ([]any, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", s.ID, err)
	}
	paying := s.Status == checkout.InProgress
	cart := ""
	if s.Kind == checkout.KindCheckout && !s.Status.Final() {
		cart = s.Desired.Cart
	}
	return []any{
		s.ID, s.Revision, string(s.Kind), cart, bit(paying || s.Closing), bit(s.Status.Final()), bit(paying || s.Order != ""),
		millis(s.UpdatedAt), millis(s.ExpiresAt), data,
	}, nil
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// CreateSession implements [checkout.Store].
func (c Checkout) CreateSession(ctx context.Context, s checkout.Session, holds []checkout.Hold) error {
	row, err := sessionRow(s)
	if err != nil {
		return err
	}
	if s.Revision != 1 {
		return fmt.Errorf("create %s at revision %d: %w", s.ID, s.Revision, checkout.ErrConflict)
	}
	return c.s.write(ctx, "create "+s.ID, func(x *session) error {
		if s.Kind == checkout.KindCheckout && s.Desired.Cart != "" {
			switch there, err := x.there(selectByCart, s.Desired.Cart, millis(s.CreatedAt)); {
			case err != nil:
				return err
			case there:
				return refused{checkout.ErrConflict}
			}
		}
		if err := x.room(s.ID, holds, s.CreatedAt); err != nil {
			return err
		}
		n, err := x.changed(insertSession, row...)
		if err != nil {
			return err
		}
		if n == 0 {
			return refused{checkout.ErrConflict}
		}
		return x.hold(s.ID, holds)
	})
}

// there reports whether a query finds anything.
func (s *session) there(text string, args ...any) (bool, error) {
	var one any
	err := s.row(text, args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err //nolint:wrapcheck // named by the operation
}

// together adds up what is held of each variant, in the order of the first.
func together(holds []checkout.Hold) []checkout.Hold {
	var out []checkout.Hold
	at := map[string]int{}
	for _, h := range holds {
		if i, seen := at[h.Variant]; seen {
			out[i].Quantity += h.Quantity
			continue
		}
		at[h.Variant] = len(out)
		out = append(out, h)
	}
	return out
}

// room refuses holds that cannot be had.
func (s *session) room(id string, holds []checkout.Hold, now time.Time) error {
	for _, h := range together(holds) {
		var sold, held int64
		if err := s.row(selectLevel, h.Variant, id, millis(now)).Scan(&sold, &held); err != nil {
			return err //nolint:wrapcheck // named by the operation
		}
		if left := h.Limit - sold - held; h.Quantity > left {
			return refused{&checkout.StockError{Variant: h.Variant, Left: max(0, left)}}
		}
	}
	return nil
}

func (s *session) hold(id string, holds []checkout.Hold) error {
	for _, h := range together(holds) {
		if err := s.exec(insertHold, id, h.Variant, h.Quantity, millis(h.Until)); err != nil {
			return err
		}
	}
	return nil
}

// UpdateSession implements [checkout.Store].
func (c Checkout) UpdateSession(ctx context.Context, s checkout.Session, ch checkout.Change) error {
	row, err := sessionRow(s)
	if err != nil {
		return err
	}
	var order []any
	if o := ch.Order; o != nil {
		data, err := json.Marshal(o)
		if err != nil {
			return fmt.Errorf("encode %s: %w", o.ID, err)
		}
		order = []any{o.ID, o.Revision, o.Session, o.Payment, data}
	}
	return c.s.write(ctx, "update "+s.ID, func(x *session) error {
		if ch.SetHolds {
			if err := x.room(s.ID, ch.Holds, s.UpdatedAt); err != nil {
				return err
			}
		}
		n, err := x.changed(updateSession, row...)
		switch {
		case err != nil:
			return err
		case n == 0:
			return x.notUpdated(sessionExists, s.ID)
		}
		if ch.SetHolds {
			if err := x.exec(dropHolds, s.ID); err != nil {
				return err
			}
			if err := x.hold(s.ID, ch.Holds); err != nil {
				return err
			}
		}
		if ch.Sold {
			if err := errors.Join(x.exec(sellHolds, s.ID), x.exec(dropHolds, s.ID)); err != nil {
				return err
			}
		}
		if order != nil {
			if n, err = x.changed(insertOrder, order...); err != nil {
				return err
			}
			if n == 0 {
				return undo{fmt.Errorf("a second order of %s: %w", s.ID, checkout.ErrConflict)}
			}
		}
		return x.deliver(ch.Delivery)
	})
}

func (s *session) notUpdated(exists, id string) error {
	there, err := s.there(exists, id)
	switch {
	case err != nil:
		return err
	case there:
		return refused{checkout.ErrConflict}
	}
	return refused{checkout.ErrNotFound}
}

func (s *session) deliver(d *checkout.Delivery) error {
	if d == nil {
		return nil
	}
	return s.exec(insertDelivery, d.ID, d.Order, d.URL, millis(d.At), nonNil(d.Body), d.Profile, d.Version, d.State, int64(d.Attempts), millis(d.Next), d.Note)
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Session implements [checkout.Store].
func (c Checkout) Session(ctx context.Context, id string) (checkout.Session, error) {
	return document[checkout.Session](ctx, c.s.db, selectSession, id)
}

// SessionByCart implements [checkout.Store].
func (c Checkout) SessionByCart(ctx context.Context, cart string, now time.Time) (checkout.Session, error) {
	return document[checkout.Session](ctx, c.s.db, selectByCart, cart, millis(now))
}

// Working implements [checkout.Store].
func (c Checkout) Working(ctx context.Context, before time.Time, limit int) ([]checkout.Session, error) {
	return list(ctx, c.s.db, decoded[checkout.Session], selectWorking, millis(before), int64(limit))
}

// Stock implements [checkout.Store].
func (c Checkout) Stock(ctx context.Context, variants []string, id string, now time.Time) (map[string]checkout.Level, error) {
	out := make(map[string]checkout.Level, len(variants))
	for _, v := range variants {
		levels, err := list(ctx, c.s.db, func(r row) (l checkout.Level, err error) { return l, r.Scan(&l.Sold, &l.Held) }, selectLevel, v, id, millis(now))
		if err != nil {
			return nil, err
		}
		for _, l := range levels {
			out[v] = l
		}
	}
	return out, nil
}

// purgeBatch bounds one transaction of a purge, so that nobody waits for it.
const purgeBatch = 500

// Purge implements [checkout.Store]. It forgets answers whose time is over, too.
func (c Checkout) Purge(ctx context.Context, before time.Time) (int, error) {
	gone := 0
	for {
		var n int64
		err := c.s.write(ctx, "purge sessions", func(x *session) (err error) {
			if n, err = x.changed(purgeSessions, millis(before), int64(purgeBatch)); err != nil {
				return err
			}
			return errors.Join(x.exec(purgeHolds), x.exec(purgeRequests, millis(before)))
		})
		gone += int(n)
		if err != nil || n < purgeBatch {
			return gone, err
		}
	}
}

// Order implements [checkout.Store].
func (c Checkout) Order(ctx context.Context, id string) (checkout.Order, error) {
	return document[checkout.Order](ctx, c.s.db, selectOrder, id)
}

// OrderByPayment implements [checkout.Store].
func (c Checkout) OrderByPayment(ctx context.Context, payment string) (checkout.Order, error) {
	return document[checkout.Order](ctx, c.s.db, orderByPay, payment)
}

// UpdateOrder implements [checkout.Store].
func (c Checkout) UpdateOrder(ctx context.Context, o checkout.Order, d *checkout.Delivery) error {
	data, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode %s: %w", o.ID, err)
	}
	return c.s.write(ctx, "update "+o.ID, func(x *session) error {
		n, err := x.changed(updateOrder, o.ID, o.Revision, data)
		switch {
		case err != nil:
			return err
		case n == 0:
			return x.notUpdated(orderExists, o.ID)
		}
		return x.deliver(d)
	})
}

// Orders implements [checkout.Store].
func (c Checkout) Orders(ctx context.Context, after string, limit int) ([]checkout.Order, error) {
	return list(ctx, c.s.db, decoded[checkout.Order], selectPage, after, int64(limit))
}

// DueDeliveries implements [checkout.Store].
func (c Checkout) DueDeliveries(ctx context.Context, now time.Time, limit int) ([]checkout.Delivery, error) {
	return list(ctx, c.s.db, scanDelivery, selectNext, millis(now), int64(limit))
}

// Delivery implements [checkout.Store].
func (c Checkout) Delivery(ctx context.Context, id string) (checkout.Delivery, error) {
	found, err := list(ctx, c.s.db, scanDelivery, selectDelivery, id)
	if err == nil && len(found) == 0 {
		err = checkout.ErrNotFound
	}
	if err != nil {
		return checkout.Delivery{}, err
	}
	return found[0], nil
}

// SaveDelivery implements [checkout.Store].
func (c Checkout) SaveDelivery(ctx context.Context, d checkout.Delivery) error {
	return c.s.write(ctx, "save "+d.ID, func(x *session) error {
		n, err := x.changed(saveDelivery, d.ID, d.State, int64(d.Attempts), millis(d.Next), d.Note)
		if err == nil && n == 0 {
			return refused{checkout.ErrNotFound}
		}
		return err
	})
}

// Deliveries implements [checkout.Store].
func (c Checkout) Deliveries(ctx context.Context, state, after string, limit int) ([]checkout.Delivery, error) {
	return list(ctx, c.s.db, scanDelivery, selectDeliveries, state, after, int64(limit))
}

// DropDeliveries implements [checkout.Store].
func (c Checkout) DropDeliveries(ctx context.Context, order string) error {
	return c.s.write(ctx, "drop deliveries", func(x *session) error { return x.exec(dropDeliveries, order) })
}

// Begin implements [checkout.Requests].
func (c Checkout) Begin(ctx context.Context, k checkout.RequestKey, hash string, now, lease time.Time) (a checkout.Answer, state checkout.RequestState, err error) {
	err = c.s.write(ctx, "begin request", func(x *session) error {
		a, state = checkout.Answer{}, checkout.RequestConflict
		var first string
		var done, until, status int64
		var body []byte
		err := x.row(selectRequest, k.Caller, k.Operation, k.Key).Scan(&first, &done, &until, &status, &body)
		over := until <= millis(now)
		switch {
		case errors.Is(err, sql.ErrNoRows), err == nil && done == 1 && over:
		case err != nil:
			return err //nolint:wrapcheck // named by the operation
		case first != hash:
			return nil
		case done == 1:
			a, state = checkout.Answer{Status: int(status), Body: body}, checkout.RequestDone
			return nil
		case !over:
			state = checkout.RequestRunning
			return nil
		}
		state = checkout.RequestNew
		return x.exec(putRequest, k.Caller, k.Operation, k.Key, hash, millis(lease))
	})
	if err != nil {
		return checkout.Answer{}, checkout.RequestConflict, err
	}
	return a, state, nil
}

// Finish implements [checkout.Requests].
func (c Checkout) Finish(ctx context.Context, k checkout.RequestKey, a checkout.Answer, keep time.Time) error {
	return c.s.write(ctx, "finish request", func(x *session) error {
		n, err := x.changed(finishRequest, k.Caller, k.Operation, k.Key, int64(a.Status), nonNil(a.Body), millis(keep))
		if err != nil || n == 1 {
			return err
		}
		if there, err := x.there(requestExists, k.Caller, k.Operation, k.Key); err != nil || there {
			return err
		}
		return refused{checkout.ErrNotFound}
	})
}

// EndLeases implements [checkout.Requests].
func (c Checkout) EndLeases(ctx context.Context, now time.Time) error {
	return c.s.write(ctx, "end leases", func(x *session) error { return x.exec(endLeases, millis(now)) })
}

// Forget implements [checkout.Requests].
func (c Checkout) Forget(ctx context.Context, k checkout.RequestKey) error {
	return c.s.write(ctx, "forget request", func(x *session) error { return x.exec(forgetRequest, k.Caller, k.Operation, k.Key) })
}

// document reads the one document that a query finds.
func document[T any](ctx context.Context, db *sql.DB, text string, args ...any) (T, error) {
	found, err := list(ctx, db, decoded[T], text, args...)
	if err == nil && len(found) == 0 {
		err = checkout.ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return found[0], nil
}

func decoded[T any](r row) (v T, err error) {
	var data []byte
	if err := r.Scan(&data); err != nil {
		return v, fmt.Errorf("scan: %w", err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("decode what is stored: %w", err)
	}
	return v, nil
}

func scanDelivery(r row) (d checkout.Delivery, err error) {
	var at, next int64
	if err := r.Scan(&d.ID, &d.Order, &d.URL, &at, &d.Body, &d.Profile, &d.Version, &d.State, &d.Attempts, &next, &d.Note); err != nil {
		return d, fmt.Errorf("scan: %w", err)
	}
	d.At, d.Next = moment(at), moment(next)
	return d, nil
}
