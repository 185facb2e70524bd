package checkout

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Store keeps sessions, orders, held stock and what platforms are to be told.
// Implementations are serializable per session and order, durable on return and
// bound their own blocking. Every implementation passes checkouttest.RunStore.
type Store interface {
	// CreateSession inserts a session of revision 1 with its holds. [ErrStock] says
	// that a hold cannot be had; then nothing is stored. An open checkout (not
	// final, not expired at s.CreatedAt) of the same non-empty Desired.Cart is [ErrConflict].
	CreateSession(ctx context.Context, s Session, holds []Hold) error
	// Session returns [ErrNotFound] when there is none.
	Session(ctx context.Context, id string) (Session, error)
	// SessionByCart finds the checkout of a cart that is not final and not expired at now.
	SessionByCart(ctx context.Context, cart string, now time.Time) (Session, error)
	// UpdateSession replaces the session whose revision is s.Revision-1, with what
	// belongs to the change, all or nothing. [ErrConflict]: another revision is
	// stored, or the session or payment has an order already. [ErrStock].
	UpdateSession(ctx context.Context, s Session, c Change) error
	// Working returns up to limit sessions that are InProgress or Closing and were
	// last updated before, oldest first.
	Working(ctx context.Context, before time.Time, limit int) ([]Session, error)
	// Stock returns how many of each variant are sold, and held by live holds of
	// others than the session (which may be empty).
	Stock(ctx context.Context, variants []string, session string, now time.Time) (map[string]Level, error)
	// Purge removes sessions that ended or expired before, without an order and
	// not InProgress, and holds that are over. It returns how many sessions went.
	Purge(ctx context.Context, before time.Time) (int, error)

	// Order, OrderByPayment return [ErrNotFound] when there is none.
	Order(ctx context.Context, id string) (Order, error)
	OrderByPayment(ctx context.Context, payment string) (Order, error)
	// UpdateOrder replaces the order whose revision is o.Revision-1 and adds a
	// delivery, if any. [ErrConflict].
	UpdateOrder(ctx context.Context, o Order, d *Delivery) error
	// Orders lists newest first, up to limit after the id (empty is the start).
	Orders(ctx context.Context, after string, limit int) ([]Order, error)

	// DueDeliveries returns up to limit deliveries in state pending with Next not
	// after now, oldest first, no two of one order: a platform hears of an order in
	// order.
	DueDeliveries(ctx context.Context, now time.Time, limit int) ([]Delivery, error)
	// Delivery returns one by its id, or [ErrNotFound].
	Delivery(ctx context.Context, id string) (Delivery, error)
	// SaveDelivery replaces Attempts, Next, State and Note of a delivery by its id, or
	// returns ErrNotFound.
	SaveDelivery(ctx context.Context, d Delivery) error
	// Deliveries lists newest first, up to limit after the id; an empty state is all.
	Deliveries(ctx context.Context, state, after string, limit int) ([]Delivery, error)
	// DropDeliveries removes the bodies of an order's deliveries; those that are not
	// sent become dead.
	DropDeliveries(ctx context.Context, order string) error
}

// Change is what is stored together with a session.
type Change struct {
	// Holds replaces the session's holds when SetHolds is true.
	Holds    []Hold
	SetHolds bool
	// Sold turns the session's live holds into sold stock, and over-due ones too:
	// the goods are paid.
	Sold bool
	// Order is inserted, Delivery added to the outbox.
	Order    *Order
	Delivery *Delivery
}

// Hold keeps a quantity for a session until a time. Limit is [Variant.Stock]: the
// hold can be had when sold, live holds of others and Quantity are within it.
type Hold struct {
	Variant         string
	Quantity, Limit int64
	Until           time.Time
}

// Level is what became of a variant's stock.
type Level struct{ Sold, Held int64 }

// Delivery is one message to a platform about an order. ID, At and Body are the
// same however often it is sent.
type Delivery struct {
	ID, Order, URL string
	At             time.Time
	Body           []byte
	// Profile is the platform's, Version the protocol version of the body.
	Profile, Version string

	State    string // pending, sent, dead
	Attempts int
	Next     time.Time
	Note     string // of the last attempt, for operators
}

// States of a [Delivery].
const (
	DeliveryPending = "pending"
	DeliverySent    = "sent"
	DeliveryDead    = "dead"
)

// Errors of the contracts in this package; test with [errors.Is].
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("changed meanwhile")
	ErrStock    = errors.New("not enough in stock")
)

// StockError says which variant ran out and how many are left. It wraps [ErrStock].
type StockError struct {
	Variant string
	Left    int64
}

func (e *StockError) Error() string {
	return fmt.Sprintf("%s: %d left: %v", e.Variant, e.Left, ErrStock)
}

// Unwrap returns [ErrStock].
func (*StockError) Unwrap() error { return ErrStock }
