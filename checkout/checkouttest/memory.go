// Package checkouttest has a store in memory and the suite that every store passes.
package checkouttest

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"paywall/checkout"
)

// Memory is a [checkout.Store] and [checkout.Requests] for tests. The zero value is
// empty. It is safe for concurrent use.
type Memory struct {
	// Fail, if set, is asked before every call by its name; an error is returned
	// instead of doing anything.
	Fail func(call string) error

	mu         sync.Mutex // guards what follows
	sessions   map[string]checkout.Session
	holds      map[string][]checkout.Hold // by session
	sold       map[string]int64           // by variant
	orders     []checkout.Order
	deliveries []checkout.Delivery
	requests   map[checkout.RequestKey]request
}

type request struct {
	hash   string
	answer checkout.Answer
	done   bool
	until  time.Time
}

var (
	_ checkout.Store    = (*Memory)(nil)
	_ checkout.Requests = (*Memory)(nil)
)

// enter locks, unless the call is to fail.
func (m *Memory) enter(ctx context.Context, call string) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err //nolint:wrapcheck // as a store's driver would
	}
	if m.Fail != nil {
		if err := m.Fail(call); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	if m.sessions == nil {
		m.sessions, m.holds, m.sold = map[string]checkout.Session{}, map[string][]checkout.Hold{}, map[string]int64{}
		m.requests = map[checkout.RequestKey]request{}
	}
	return m.mu.Unlock, nil
}

// copied is v through its stored form, so that nothing is shared.
func copied[T any](v T) T {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out T
	if err := json.Unmarshal(data, &out); err != nil {
		panic(err)
	}
	return out
}

// CreateSession implements [checkout.Store].
func (m *Memory) CreateSession(ctx context.Context, s checkout.Session, holds []checkout.Hold) error {
	leave, err := m.enter(ctx, "CreateSession")
	if err != nil {
		return err
	}
	defer leave()
	if _, there := m.sessions[s.ID]; there || s.Revision != 1 {
		return checkout.ErrConflict
	}
	if s.Desired.Cart != "" && s.Kind == checkout.KindCheckout {
		if _, open := m.open(s.Desired.Cart, s.CreatedAt); open {
			return checkout.ErrConflict
		}
	}
	if err := m.room(s.ID, holds, s.CreatedAt); err != nil {
		return err
	}
	m.sessions[s.ID], m.holds[s.ID] = copied(s), slices.Clone(holds)
	return nil
}

func (m *Memory) open(cart string, now time.Time) (checkout.Session, bool) {
	for _, s := range m.sessions {
		if s.Kind == checkout.KindCheckout && s.Desired.Cart == cart && !s.Status.Final() && now.Before(s.ExpiresAt) {
			return s, true
		}
	}
	return checkout.Session{}, false
}

// room reports whether holds can be had beside those of others.
func (m *Memory) room(session string, holds []checkout.Hold, now time.Time) error {
	want := map[string]int64{}
	for _, h := range holds {
		want[h.Variant] += h.Quantity
	}
	for _, h := range holds {
		left := h.Limit - m.sold[h.Variant] - m.held(h.Variant, session, now)
		if want[h.Variant] > left {
			return &checkout.StockError{Variant: h.Variant, Left: max(0, left)}
		}
	}
	return nil
}

func (m *Memory) held(variant, except string, now time.Time) (n int64) {
	for id, holds := range m.holds {
		for _, h := range holds {
			if id != except && h.Variant == variant && now.Before(h.Until) {
				n += h.Quantity
			}
		}
	}
	return n
}

// Session implements [checkout.Store].
func (m *Memory) Session(ctx context.Context, id string) (checkout.Session, error) {
	leave, err := m.enter(ctx, "Session")
	if err != nil {
		return checkout.Session{}, err
	}
	defer leave()
	s, ok := m.sessions[id]
	if !ok {
		return checkout.Session{}, checkout.ErrNotFound
	}
	return copied(s), nil
}

// SessionByCart implements [checkout.Store].
func (m *Memory) SessionByCart(ctx context.Context, cart string, now time.Time) (checkout.Session, error) {
	leave, err := m.enter(ctx, "SessionByCart")
	if err != nil {
		return checkout.Session{}, err
	}
	defer leave()
	s, ok := m.open(cart, now)
	if !ok {
		return checkout.Session{}, checkout.ErrNotFound
	}
	return copied(s), nil
}

// UpdateSession implements [checkout.Store].
func (m *Memory) UpdateSession(ctx context.Context, s checkout.Session, c checkout.Change) error {
	leave, err := m.enter(ctx, "UpdateSession")
	if err != nil {
		return err
	}
	defer leave()
	old, ok := m.sessions[s.ID]
	switch {
	case !ok:
		return checkout.ErrNotFound
	case old.Revision != s.Revision-1:
		return checkout.ErrConflict
	}
	if c.Order != nil && slices.ContainsFunc(m.orders, func(o checkout.Order) bool {
		return o.ID == c.Order.ID || o.Session == c.Order.Session || o.Payment != "" && o.Payment == c.Order.Payment
	}) {
		return checkout.ErrConflict
	}
	if c.SetHolds {
		if err := m.room(s.ID, c.Holds, s.UpdatedAt); err != nil {
			return err
		}
		m.holds[s.ID] = slices.Clone(c.Holds)
	}
	if c.Sold {
		for _, h := range m.holds[s.ID] {
			m.sold[h.Variant] += h.Quantity
		}
		delete(m.holds, s.ID)
	}
	if c.Order != nil {
		m.orders = append(m.orders, copied(*c.Order))
	}
	if c.Delivery != nil {
		m.deliveries = append(m.deliveries, copied(*c.Delivery))
	}
	m.sessions[s.ID] = copied(s)
	return nil
}

// Working implements [checkout.Store].
func (m *Memory) Working(ctx context.Context, before time.Time, limit int) ([]checkout.Session, error) {
	leave, err := m.enter(ctx, "Working")
	if err != nil {
		return nil, err
	}
	defer leave()
	var out []checkout.Session
	for _, s := range m.sessions {
		if (s.Status == checkout.InProgress || s.Closing) && s.UpdatedAt.Before(before) {
			out = append(out, copied(s))
		}
	}
	slices.SortFunc(out, func(a, b checkout.Session) int {
		return cmp.Or(a.UpdatedAt.Compare(b.UpdatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out[:min(limit, len(out))], nil
}

// Stock implements [checkout.Store].
func (m *Memory) Stock(ctx context.Context, variants []string, session string, now time.Time) (map[string]checkout.Level, error) {
	leave, err := m.enter(ctx, "Stock")
	if err != nil {
		return nil, err
	}
	defer leave()
	out := map[string]checkout.Level{}
	for _, v := range variants {
		out[v] = checkout.Level{Sold: m.sold[v], Held: m.held(v, session, now)}
	}
	return out, nil
}

// Purge implements [checkout.Store].
func (m *Memory) Purge(ctx context.Context, before time.Time) (int, error) {
	leave, err := m.enter(ctx, "Purge")
	if err != nil {
		return 0, err
	}
	defer leave()
	gone := 0
	for id, s := range m.sessions {
		over := s.Status.Final() && s.UpdatedAt.Before(before) || s.ExpiresAt.Before(before)
		if over && s.Order == "" && s.Status != checkout.InProgress {
			delete(m.sessions, id)
			delete(m.holds, id)
			gone++
		}
	}
	return gone, nil
}

// Order implements [checkout.Store].
func (m *Memory) Order(ctx context.Context, id string) (checkout.Order, error) {
	return m.find(ctx, "Order", func(o checkout.Order) bool { return o.ID == id })
}

// OrderByPayment implements [checkout.Store].
func (m *Memory) OrderByPayment(ctx context.Context, payment string) (checkout.Order, error) {
	return m.find(ctx, "OrderByPayment", func(o checkout.Order) bool { return payment != "" && o.Payment == payment })
}

func (m *Memory) find(ctx context.Context, call string, is func(checkout.Order) bool) (checkout.Order, error) {
	leave, err := m.enter(ctx, call)
	if err != nil {
		return checkout.Order{}, err
	}
	defer leave()
	if i := slices.IndexFunc(m.orders, is); i >= 0 {
		return copied(m.orders[i]), nil
	}
	return checkout.Order{}, checkout.ErrNotFound
}

// UpdateOrder implements [checkout.Store].
func (m *Memory) UpdateOrder(ctx context.Context, o checkout.Order, d *checkout.Delivery) error {
	leave, err := m.enter(ctx, "UpdateOrder")
	if err != nil {
		return err
	}
	defer leave()
	i := slices.IndexFunc(m.orders, func(old checkout.Order) bool { return old.ID == o.ID })
	switch {
	case i < 0:
		return checkout.ErrNotFound
	case m.orders[i].Revision != o.Revision-1:
		return checkout.ErrConflict
	}
	m.orders[i] = copied(o)
	if d != nil {
		m.deliveries = append(m.deliveries, copied(*d))
	}
	return nil
}

// after returns up to limit of a list, newest first, behind the one with an id.
func after[T any](list []T, id string, limit int, name func(T) string, keep func(T) bool) []T {
	var out []T
	seen := id == ""
	for _, v := range slices.Backward(list) {
		if seen && keep(v) && len(out) < limit {
			out = append(out, copied(v))
		}
		seen = seen || name(v) == id
	}
	return out
}

// Orders implements [checkout.Store].
func (m *Memory) Orders(ctx context.Context, id string, limit int) ([]checkout.Order, error) {
	leave, err := m.enter(ctx, "Orders")
	if err != nil {
		return nil, err
	}
	defer leave()
	return after(m.orders, id, limit, func(o checkout.Order) string { return o.ID }, func(checkout.Order) bool { return true }), nil
}

// DueDeliveries implements [checkout.Store].
func (m *Memory) DueDeliveries(ctx context.Context, now time.Time, limit int) ([]checkout.Delivery, error) {
	leave, err := m.enter(ctx, "DueDeliveries")
	if err != nil {
		return nil, err
	}
	defer leave()
	var out []checkout.Delivery
	waiting := map[string]bool{}
	for _, d := range m.deliveries {
		if d.State != checkout.DeliveryPending || waiting[d.Order] {
			continue
		}
		waiting[d.Order] = true
		if !d.Next.After(now) && len(out) < limit {
			out = append(out, copied(d))
		}
	}
	return out, nil
}

// Delivery implements [checkout.Store].
func (m *Memory) Delivery(ctx context.Context, id string) (checkout.Delivery, error) {
	leave, err := m.enter(ctx, "Delivery")
	if err != nil {
		return checkout.Delivery{}, err
	}
	defer leave()
	if i := slices.IndexFunc(m.deliveries, func(d checkout.Delivery) bool { return d.ID == id }); i >= 0 {
		return copied(m.deliveries[i]), nil
	}
	return checkout.Delivery{}, checkout.ErrNotFound
}

// SaveDelivery implements [checkout.Store].
func (m *Memory) SaveDelivery(ctx context.Context, d checkout.Delivery) error {
	leave, err := m.enter(ctx, "SaveDelivery")
	if err != nil {
		return err
	}
	defer leave()
	i := slices.IndexFunc(m.deliveries, func(o checkout.Delivery) bool { return o.ID == d.ID })
	if i < 0 {
		return checkout.ErrNotFound
	}
	o := &m.deliveries[i]
	o.Attempts, o.Next, o.State, o.Note = d.Attempts, d.Next, d.State, d.Note
	return nil
}

// Deliveries implements [checkout.Store].
func (m *Memory) Deliveries(ctx context.Context, state, id string, limit int) ([]checkout.Delivery, error) {
	leave, err := m.enter(ctx, "Deliveries")
	if err != nil {
		return nil, err
	}
	defer leave()
	return after(m.deliveries, id, limit, func(d checkout.Delivery) string { return d.ID }, func(d checkout.Delivery) bool { return state == "" || d.State == state }), nil
}

// DropDeliveries implements [checkout.Store].
func (m *Memory) DropDeliveries(ctx context.Context, order string) error {
	leave, err := m.enter(ctx, "DropDeliveries")
	if err != nil {
		return err
	}
	defer leave()
	for i := range m.deliveries {
		d := &m.deliveries[i]
		if d.Order != order {
			continue
		}
		d.Body = nil
		if d.State == checkout.DeliveryPending {
			d.State, d.Note = checkout.DeliveryDead, "erased"
		}
	}
	return nil
}

// Begin implements [checkout.Requests].
func (m *Memory) Begin(ctx context.Context, k checkout.RequestKey, hash string, now, lease time.Time) (checkout.Answer, checkout.RequestState, error) {
	leave, err := m.enter(ctx, "Begin")
	if err != nil {
		return checkout.Answer{}, checkout.RequestConflict, err
	}
	defer leave()
	r, there := m.requests[k]
	switch {
	case there && r.done && !now.Before(r.until): // kept long enough
	case there && r.hash != hash:
		return checkout.Answer{}, checkout.RequestConflict, nil
	case there && r.done:
		return checkout.Answer{Status: r.answer.Status, Body: slices.Clone(r.answer.Body)}, checkout.RequestDone, nil
	case there && now.Before(r.until):
		return checkout.Answer{}, checkout.RequestRunning, nil
	}
	m.requests[k] = request{hash: hash, until: lease}
	return checkout.Answer{}, checkout.RequestNew, nil
}

// Finish implements [checkout.Requests].
func (m *Memory) Finish(ctx context.Context, k checkout.RequestKey, a checkout.Answer, keep time.Time) error {
	leave, err := m.enter(ctx, "Finish")
	if err != nil {
		return err
	}
	defer leave()
	r, there := m.requests[k]
	if !there {
		return checkout.ErrNotFound
	}
	if !r.done {
		r.answer, r.done, r.until = checkout.Answer{Status: a.Status, Body: slices.Clone(a.Body)}, true, keep
		m.requests[k] = r
	}
	return nil
}

// EndLeases implements [checkout.Requests].
func (m *Memory) EndLeases(ctx context.Context, now time.Time) error {
	leave, err := m.enter(ctx, "EndLeases")
	if err != nil {
		return err
	}
	defer leave()
	for k, r := range m.requests {
		if !r.done && now.Before(r.until) {
			r.until = now
			m.requests[k] = r
		}
	}
	return nil
}

// Forget implements [checkout.Requests].
func (m *Memory) Forget(ctx context.Context, k checkout.RequestKey) error {
	leave, err := m.enter(ctx, "Forget")
	if err != nil {
		return err
	}
	defer leave()
	if r, there := m.requests[k]; there && !r.done {
		delete(m.requests, k)
	}
	return nil
}
