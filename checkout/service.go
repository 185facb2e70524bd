package checkout

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"paywall/payment"
)

// Payments is the part of [payment.Processor] that orders are paid by.
type Payments interface {
	Charge(ctx context.Context, c payment.Credential, e payment.Entitlement) (payment.Payment, error)
	Get(ctx context.Context, id string) (payment.Payment, error)
	ByChallenge(ctx context.Context, challengeID string) (payment.Payment, error)
	Dispatch(ctx context.Context, p payment.Payment, durable bool) (payment.Payment, error)
	Delivered(ctx context.Context, p payment.Payment, receiptID string) error
	Undelivered(ctx context.Context, p payment.Payment, reexecute bool, reason string) (payment.Payment, error)
}

// Config is what a [Service] is made of. Store, Shop, Payments and Tenant are required.
type Config struct {
	Store Store
	// Shop is the version of the catalog in force.
	Shop     func() *Shop
	Payments Payments
	// Rates, if set, are the seller's own services for delivery and tax.
	Rates Rates
	// Tenant is the realm of payments, Terms their settings for the rail.
	Tenant string
	Terms  payment.Terms
	// TTL is how long a session lives after its last change, zero is 6 h; Hold how long
	// it holds stock, zero is 15 min.
	TTL, Hold time.Duration
	// Build makes the message to an order's platform, nil when there is nobody to tell.
	Build func(Order) (*Delivery, error)

	Now    func() time.Time
	NewID  func(prefix string) string
	Logger *slog.Logger
	// OpenCredit opens the account of an order that buys credit, once however often it is
	// called; nil where none is sold.
	OpenCredit func(ctx context.Context, pack payment.Payment, ends time.Time) error
	// Point, if set, is called as each of [Points] is reached. Tests stop the process there.
	Point func(name string)
}

// Points where a process may die while an order is paid, in order.
const (
	PointInProgress = "checkout.in_progress" // the attempt is stored, nothing is sent
	PointCharged    = "checkout.charged"     // the money has moved, there is no order
	PointOrdered    = "checkout.ordered"     // the order is stored, its payment not closed
	PointClosed     = "checkout.closed"      // the payment is recorded as delivered
)

// Points lists them.
func Points() []string { return []string{PointInProgress, PointCharged, PointOrdered, PointClosed} }

// Caller is who acts on a session.
type Caller struct {
	// Principal is whose sessions and orders it may see.
	Principal string
	Platform  Platform
	// Buyer is the person at the page of a checkout: who knows its id may see it and
	// pay it, and change nothing.
	Buyer bool
}

// Limits of time.
const (
	longestLife = 24 * time.Hour   // of a session, however often it changes
	payWindow   = 15 * time.Minute // for an order to be stored, or its payment returned
	resting     = 2 * time.Second  // how old an attempt is before recovery looks at it
	longestRest = time.Minute      // between two looks at one whose outcome is not known
	maxTries    = 4                // at a change that others make at the same time
)

// Service is a shop. It is safe for concurrent use.
type Service struct {
	cfg Config

	mu   sync.Mutex     // guards what follows
	busy map[string]int // sessions that are being paid by this process
}

// New checks the configuration.
func New(cfg Config) (*Service, error) {
	switch {
	case cfg.Store == nil:
		return nil, errors.New("checkout: Config.Store is required")
	case cfg.Shop == nil:
		return nil, errors.New("checkout: Config.Shop is required")
	case cfg.Payments == nil:
		return nil, errors.New("checkout: Config.Payments is required")
	case cfg.Tenant == "":
		return nil, errors.New("checkout: Config.Tenant is required")
	}
	if cfg.TTL == 0 {
		cfg.TTL = 6 * time.Hour
	}
	if cfg.Hold == 0 {
		cfg.Hold = 15 * time.Minute
	}
	if cfg.Build == nil {
		cfg.Build = func(Order) (*Delivery, error) { return nil, nil } //nolint:nilnil // nobody to tell
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewID == nil {
		cfg.NewID = func(prefix string) string { return prefix + rand.Text() }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Point == nil {
		cfg.Point = func(string) {}
	}
	return &Service{cfg: cfg, busy: map[string]int{}}, nil
}

// atWork keeps recovery away from a session until the end of what is returned.
func (s *Service) atWork(id string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[id]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.busy[id]--; s.busy[id] == 0 {
			delete(s.busy, id)
		}
	}
}

func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }

// Create makes a checkout of what is desired. A cart that has an open checkout gets
// that one.
func (s *Service) Create(ctx context.Context, c Caller, d Desired) (Session, error) {
	if d.Cart != "" {
		cart, err := s.load(ctx, c, d.Cart, KindCart)
		if err != nil {
			return Session{}, err
		}
		if cart.Status.Final() {
			return Session{}, notFound(nil)
		}
		// What the cart holds wins over what the request says.
		d.Lines, d.Codes = wanted(cart), cart.Desired.Codes
		if d.Buyer.Email == "" && d.Buyer.FirstName == "" {
			d.Buyer = cart.Desired.Buyer
		}
		if d.Context == (Context{}) {
			d.Context = cart.Desired.Context
		}
	}
	return s.create(ctx, c, d, KindCheckout)
}

// wanted are the lines of a session as they were priced, without ids.
func wanted(s Session) []WantedLine {
	var out []WantedLine
	for _, l := range s.Priced.Lines {
		out = append(out, WantedLine{Variant: l.Variant, Quantity: l.Quantity})
	}
	return out
}

// CreateCart makes a cart.
func (s *Service) CreateCart(ctx context.Context, c Caller, d Desired) (Session, error) {
	d.Cart = ""
	return s.create(ctx, c, d, KindCart)
}

func (s *Service) create(ctx context.Context, c Caller, d Desired, kind Kind) (Session, error) {
	now := s.now()
	prefix := "chk_"
	if kind == KindCart {
		prefix = "cart_"
	}
	made := Session{
		ID: s.cfg.NewID(prefix), Kind: kind, Revision: 1, Owner: c.Principal, Platform: c.Platform, Desired: d,
		CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(s.cfg.TTL),
	}
	for try := 0; ; try++ {
		if d.Cart != "" {
			switch open, err := s.cfg.Store.SessionByCart(ctx, d.Cart, now); {
			case err == nil && open.Owner == c.Principal:
				return open, nil
			case err == nil, !errors.Is(err, ErrNotFound):
				return Session{}, unstored(err)
			}
		}
		holds, err := s.price(ctx, &made)
		if err != nil {
			return Session{}, err
		}
		err = s.cfg.Store.CreateSession(ctx, made, holds)
		switch {
		case err == nil:
			return made, nil
		case try < maxTries && (errors.Is(err, ErrStock) || errors.Is(err, ErrConflict)):
			// Somebody was faster: price what is left, or take the checkout that there is.
		default:
			return Session{}, unstored(err)
		}
	}
}

// price prices what the session desires and says what it holds.
func (s *Service) price(ctx context.Context, made *Session) ([]Hold, error) {
	shop, now := s.cfg.Shop(), s.now()
	var tracked []string
	for _, l := range made.Desired.Lines {
		if _, v, ok := shop.Variant(l.Variant); ok && v.Stock != nil && !slices.Contains(tracked, v.ID) {
			tracked = append(tracked, v.ID)
		}
	}
	var levels map[string]Level
	if len(tracked) > 0 {
		var err error
		if levels, err = s.cfg.Store.Stock(ctx, tracked, made.ID, now); err != nil {
			return nil, unstored(err)
		}
	}
	priced, err := Pricing{
		Shop: shop, Kind: made.Kind, Desired: made.Desired, Before: made.Priced, Stock: levels, Rates: s.cfg.Rates, NewID: s.cfg.NewID, Now: now,
	}.Price(ctx)
	if err != nil {
		return nil, err
	}
	made.Priced = priced
	made.Status = Ready
	if slices.ContainsFunc(priced.Messages, func(m Message) bool { return m.Type == TypeError }) || made.Kind == KindCart {
		made.Status = Incomplete
	}
	var holds []Hold
	for _, l := range priced.Lines {
		if _, v, ok := shop.Variant(l.Variant); ok && v.Stock != nil && made.Kind == KindCheckout {
			holds = append(holds, Hold{Variant: v.ID, Quantity: l.Quantity, Limit: *v.Stock, Until: now.Add(s.cfg.Hold)})
		}
	}
	return holds, nil
}

// Get returns a checkout, GetCart a cart. One whose time is over is canceled.
func (s *Service) Get(ctx context.Context, c Caller, id string) (Session, error) {
	return s.load(ctx, c, id, KindCheckout)
}

// GetCart is [Service.Get] for a cart, of which a canceled one does not exist.
func (s *Service) GetCart(ctx context.Context, c Caller, id string) (Session, error) {
	cart, err := s.load(ctx, c, id, KindCart)
	if err == nil && cart.Status.Final() {
		return Session{}, notFound(nil)
	}
	return cart, err
}

func (s *Service) load(ctx context.Context, c Caller, id string, kind Kind) (Session, error) {
	found, err := s.cfg.Store.Session(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return Session{}, notFound(err)
	case err != nil:
		return Session{}, unstored(err)
	case found.Kind != kind || found.Owner != c.Principal && !c.Buyer:
		return Session{}, notFound(nil) // in the same words: whether it exists is nobody's business
	}
	if s.expired(found) {
		found.Status = Canceled
		found.Notice = []Message{{Type: TypeInfo, Code: "expired", Content: "The time of this session is over."}}
	}
	return found, nil
}

// expired reports whether a session has run out. One that is being paid does not.
func (s *Service) expired(x Session) bool {
	return !x.Status.Final() && x.Status != InProgress && !s.now().Before(x.ExpiresAt)
}

// Update replaces what a checkout asks for.
func (s *Service) Update(ctx context.Context, c Caller, id string, d Desired) (Session, error) {
	return s.update(ctx, c, id, d, KindCheckout)
}

// UpdateCart replaces what a cart holds.
func (s *Service) UpdateCart(ctx context.Context, c Caller, id string, d Desired) (Session, error) {
	return s.update(ctx, c, id, d, KindCart)
}

func (s *Service) update(ctx context.Context, c Caller, id string, d Desired, kind Kind) (Session, error) {
	for try := 0; ; try++ {
		old, err := s.load(ctx, c, id, kind)
		switch {
		case err != nil:
			return Session{}, err
		case c.Buyer:
			return Session{}, notFound(nil)
		case old.Status == InProgress:
			old.Notice = []Message{{
				Type: TypeError, Code: "complete_in_progress", Severity: Recoverable,
				Content: "The checkout is being paid, and was not changed. Ask for it again in a moment.",
			}}
			return old, nil
		case old.Status.Final() && kind == KindCart:
			return Session{}, notFound(nil)
		case old.Status.Final():
			return Session{}, over(old)
		}
		next := old
		d.Cart = old.Desired.Cart
		next.Desired, next.Notice, next.Platform = d, nil, c.Platform
		s.touch(&next)
		holds, err := s.price(ctx, &next)
		if err != nil {
			return Session{}, err
		}
		switch err := s.cfg.Store.UpdateSession(ctx, next, Change{Holds: holds, SetHolds: kind == KindCheckout}); {
		case err == nil:
			return next, nil
		case try < maxTries && (errors.Is(err, ErrStock) || errors.Is(err, ErrConflict)):
		default:
			return Session{}, unstored(err)
		}
	}
}

// touch begins the session's next revision.
func (s *Service) touch(x *Session) {
	now := s.now()
	x.Revision++
	x.UpdatedAt = now
	x.ExpiresAt = now.Add(s.cfg.TTL)
	if last := x.CreatedAt.Add(longestLife); x.ExpiresAt.After(last) {
		x.ExpiresAt = last
	}
}

// Cancel ends a checkout that is not paid.
func (s *Service) Cancel(ctx context.Context, c Caller, id string) (Session, error) {
	return s.cancel(ctx, c, id, KindCheckout)
}

// CancelCart ends a cart.
func (s *Service) CancelCart(ctx context.Context, c Caller, id string) (Session, error) {
	return s.cancel(ctx, c, id, KindCart)
}

func (s *Service) cancel(ctx context.Context, c Caller, id string, kind Kind) (Session, error) {
	for try := 0; ; try++ {
		old, err := s.load(ctx, c, id, kind)
		switch {
		case err != nil:
			return Session{}, err
		case c.Buyer || old.Status.Final() && kind == KindCart:
			return Session{}, notFound(nil)
		case old.Status.Final():
			return Session{}, over(old)
		case old.Status == InProgress:
			return Session{}, state(old, "complete_in_progress", "The checkout is being paid and cannot be canceled.")
		}
		next := old
		s.touch(&next)
		next.Status, next.ExpiresAt, next.Notice = Canceled, old.ExpiresAt, nil
		switch err := s.cfg.Store.UpdateSession(ctx, next, Change{SetHolds: true}); {
		case err == nil:
			return next, nil
		case try < maxTries && errors.Is(err, ErrConflict):
		default:
			return Session{}, unstored(err)
		}
	}
}

func notFound(err error) error {
	e := Refuse(KindNotFound, "not_found", "There is no such thing here.", "", Unrecoverable)
	e.Err = err
	return e
}

func state(x Session, code, text string) error {
	e := Refuse(KindState, code, text, "", Recoverable)
	e.Session = &x
	return e
}

// over refuses to change what has ended.
func over(x Session) error {
	if x.Status == Completed {
		return state(x, "checkout_completed", "The checkout is completed and cannot be changed.")
	}
	return state(x, "checkout_canceled", "The checkout has ended and cannot be changed; make another one.")
}

// unstored is a fault of the store, or of too many at once. Nothing was charged.
func unstored(err error) error {
	e := Refuse(KindBusy, "unavailable", "This cannot be done at the moment; nothing was charged. Try again.", "", Recoverable)
	e.RetryAfter, e.Err = 2*time.Second, fmt.Errorf("checkout: %w", err)
	return e
}

// Left returns how many of each tracked variant can still be had; variants that are
// not there are without a bound.
func (s *Service) Left(ctx context.Context, variants []Variant) (map[string]int64, error) {
	var tracked []string
	limits := map[string]int64{}
	for _, v := range variants {
		if v.Stock != nil {
			tracked = append(tracked, v.ID)
			limits[v.ID] = *v.Stock
		}
	}
	if len(tracked) == 0 {
		return nil, nil //nolint:nilnil // none is bounded
	}
	levels, err := s.cfg.Store.Stock(ctx, tracked, "", s.now())
	if err != nil {
		return nil, unstored(err)
	}
	for id, l := range levels {
		limits[id] = max(0, limits[id]-l.Sold-l.Held)
	}
	return limits, nil
}
