package checkout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"paywall/payment"
)

// order delivers what was paid: it stores the order and then closes the payment. paid
// is the zero value when nothing was to be paid.
func (s *Service) order(ctx context.Context, x Session, paid payment.Payment) (Session, error) {
	if paid.ID != "" {
		served, err := s.cfg.Payments.Dispatch(ctx, paid, true)
		if err != nil {
			// Somebody else is at it, or it was returned; recovery sees what came of it.
			s.cfg.Logger.InfoContext(ctx, "an order is put off", "checkout", x.ID, "payment", paid.ID, "err", err)
			return x, nil
		}
		paid = served
	}
	next, err := s.store(ctx, x, paid)
	if err != nil {
		s.cfg.Logger.ErrorContext(ctx, "an order that is paid was not stored", "checkout", x.ID, "payment", paid.ID, "err", err)
		if paid.ID != "" {
			// It is tried again, and returned if its time ends before.
			if _, uerr := s.cfg.Payments.Undelivered(ctx, paid, true, "order_not_stored"); uerr != nil {
				s.cfg.Logger.WarnContext(ctx, "payment not given back", "payment", paid.ID, "err", uerr)
			}
		}
		return x, nil
	}
	s.cfg.Point(PointOrdered)
	if paid.ID == "" {
		return next, nil
	}
	return s.close(ctx, next, paid), nil
}

// store makes the order and ends the checkout, in one.
func (s *Service) store(ctx context.Context, x Session, paid payment.Payment) (Session, error) {
	next := x
	s.touch(&next)
	o := s.made(next, paid)
	next.Status, next.Order, next.Payment, next.Notice = Completed, o.ID, paid.ID, nil
	next.Closing = paid.ID != ""
	d, err := s.cfg.Build(o)
	if err != nil {
		// The goods are owed whether or not the platform can be told.
		s.cfg.Logger.ErrorContext(ctx, "order event not made", "order", o.ID, "err", err)
	}
	if err := s.cfg.Store.UpdateSession(ctx, next, Change{Sold: true, Order: &o, Delivery: d}); err != nil {
		return Session{}, fmt.Errorf("store the order: %w", err)
	}
	return next, nil
}

func (s *Service) made(x Session, paid payment.Payment) Order {
	o := Order{
		ID: s.cfg.NewID("ord_"), Revision: 1, Session: x.ID, Owner: x.Owner, Platform: x.Platform, Payment: paid.ID, Method: paid.Method,
		Currency: x.Priced.Currency, Scale: x.Priced.Scale, Totals: x.Priced.Totals, Applied: x.Priced.Applied,
		Fulfillment: x.Priced.Fulfillment, Buyer: x.Desired.Buyer, CreatedAt: x.UpdatedAt, UpdatedAt: x.UpdatedAt,
	}
	var digital []Moved
	for _, l := range x.Priced.Lines {
		line := OrderLine{Line: l, Current: l.Quantity}
		if l.Digital {
			line.Fulfilled = l.Quantity
			digital = append(digital, Moved{Line: l.ID, Quantity: l.Quantity})
		}
		o.Lines = append(o.Lines, line)
	}
	if len(digital) > 0 {
		o.Events = []FulfillmentEvent{{
			ID: s.cfg.NewID("evt_"), Type: "delivered", At: x.UpdatedAt, Lines: digital, Description: "Ready on the page of the order",
		}}
	}
	return o
}

// close records the payment of a stored order as delivered. What fails here is tried
// again by recovery.
func (s *Service) close(ctx context.Context, x Session, paid payment.Payment) Session {
	if s.isCredit(paid) {
		grant, _ := x.Priced.Credit()
		if err := s.cfg.OpenCredit(ctx, paid, paid.SettledAt.Add(grant.Pass.For)); err != nil {
			// It is tried again, and returned if its time ends before.
			_, lost := s.cfg.Payments.Undelivered(ctx, paid, true, "credit_not_opened")
			s.cfg.Logger.WarnContext(ctx, "credit of an order not opened yet", "checkout", x.ID, "payment", paid.ID, "err", errors.Join(err, lost))
			return x
		}
	}
	if err := s.cfg.Payments.Delivered(ctx, paid, ""); err != nil {
		s.cfg.Logger.WarnContext(ctx, "delivery of an order not recorded yet", "checkout", x.ID, "payment", paid.ID, "err", err)
		return x
	}
	s.cfg.Point(PointClosed)
	return s.closed(ctx, x)
}

func (s *Service) closed(ctx context.Context, x Session) Session {
	next := x
	next.Closing = false
	next.Revision++
	next.UpdatedAt = s.now()
	if err := s.cfg.Store.UpdateSession(ctx, next, Change{}); err != nil {
		s.cfg.Logger.WarnContext(ctx, "a checkout is still marked as closing", "checkout", x.ID, "err", err)
		return x
	}
	return next
}

// Recover finishes what a process has left: attempts whose outcome is known by now, and
// orders whose payment is not closed. It returns how many sessions it moved.
func (s *Service) Recover(ctx context.Context) (int, error) {
	return s.recover(ctx, s.now().Add(-resting))
}

// RecoverNow is [Service.Recover] at the start of the only process of a store: whoever
// was at work is gone.
func (s *Service) RecoverNow(ctx context.Context) (int, error) {
	return s.recover(ctx, s.now().Add(time.Second))
}

// recovered bounds one look at the store.
const recovered = 100

func (s *Service) recover(ctx context.Context, before time.Time) (int, error) {
	// Looked at first: an attempt that ends while the store is read is in the list still.
	s.mu.Lock()
	busy := maps.Clone(s.busy)
	s.mu.Unlock()
	list, err := s.cfg.Store.Working(ctx, before, recovered)
	if err != nil {
		return 0, fmt.Errorf("checkouts at work: %w", err)
	}
	moved := 0
	var errs []error
	for _, x := range list {
		if ctx.Err() != nil {
			break
		}
		if busy[x.ID] > 0 {
			continue
		}
		changed, err := s.resume(ctx, x)
		switch {
		case err != nil && !errors.Is(err, ErrConflict):
			errs = append(errs, fmt.Errorf("%s: %w", x.ID, err))
		case changed:
			moved++
		case err == nil:
			s.rest(ctx, x)
		}
	}
	return moved, errors.Join(errs...)
}

// rest leaves a session alone for a while, the longer the longer it has been in doubt,
// so that those that nothing can be done about yet do not stand before the others.
func (s *Service) rest(ctx context.Context, x Session) {
	now := s.now()
	since := now.Sub(x.ExpiresAt.Add(-s.cfg.TTL)) // the attempt has put off its end
	x.Revision++
	x.UpdatedAt = now.Add(min(max(since/4, 0), longestRest))
	if err := s.cfg.Store.UpdateSession(ctx, x, Change{}); err != nil && !errors.Is(err, ErrConflict) {
		s.cfg.Logger.WarnContext(ctx, "a checkout in doubt is looked at again at once", "checkout", x.ID, "err", err)
	}
}

// resume takes up one session, and reports whether it moved.
func (s *Service) resume(ctx context.Context, x Session) (bool, error) {
	if x.Closing {
		return s.resumeClosing(ctx, x)
	}
	if x.Challenge == "" { // nothing was to be paid
		next, err := s.order(ctx, x, payment.Payment{})
		return err == nil && next.Status == Completed, err
	}
	paid, err := s.cfg.Payments.ByChallenge(ctx, x.Challenge)
	switch {
	case errors.Is(err, payment.ErrNotFound):
		// The process died between the attempt and its claim: nothing was charged.
		_, err := s.reopen(ctx, x, []Message{{
			Type: TypeError, Code: "payment_failed", Severity: Recoverable, Path: "$.payment.instruments[0]",
			Content: "The payment was interrupted before it began. Nothing was charged; complete again.",
		}})
		return err == nil, err
	case err != nil:
		return false, fmt.Errorf("payment: %w", err)
	}
	switch paid.State {
	case payment.StatePending, payment.StateAuthorized, payment.StateReview:
		return false, nil // the core is at it, or a person
	case payment.StateSettled:
		if paid.Delivery == payment.DeliveryDelivered {
			return false, s.mend(ctx, x, paid)
		}
		next, err := s.order(ctx, x, paid)
		return err == nil && next.Status == Completed, err
	case payment.StateFailed, payment.StateVoided:
		_, err := s.reopen(ctx, x, declined(&payment.Error{Kind: payment.KindVerificationFailed, Detail: "it was declined or could not be made"}))
		return err == nil, err
	case payment.StateRefunding, payment.StateRefunded, payment.StateCredited:
		_, err := s.reopen(ctx, x, []Message{{
			Type: TypeError, Code: "payment_failed", Severity: Recoverable, Path: "$.payment.instruments[0]",
			Content: "The payment was taken too late for the order and is returned. Complete again to buy.",
		}})
		return err == nil, err
	}
	return false, nil
}

// mend is for what must not be: a payment that counts as delivered without an order.
func (s *Service) mend(ctx context.Context, x Session, paid payment.Payment) error {
	s.cfg.Logger.ErrorContext(ctx, "a payment is recorded as delivered and has no order; the order is made now", "checkout", x.ID, "payment", paid.ID)
	next, err := s.store(ctx, x, paid)
	if err == nil {
		s.closed(ctx, next)
	}
	return err
}

func (s *Service) resumeClosing(ctx context.Context, x Session) (bool, error) {
	paid, err := s.cfg.Payments.Get(ctx, x.Payment)
	if err != nil {
		return false, fmt.Errorf("payment: %w", err)
	}
	if paid.State == payment.StateSettled && paid.Delivery != payment.DeliveryDelivered {
		served, err := s.cfg.Payments.Dispatch(ctx, paid, true)
		if err != nil {
			return false, nil //nolint:nilerr // somebody has it, or it is being returned; it is looked at again
		}
		return !s.close(ctx, x, served).Closing, nil
	}
	// Delivered already, or returned: then the order says so by its adjustments.
	return !s.closed(ctx, x).Closing, nil
}

// Run recovers and purges until ctx ends.
func (s *Service) Run(ctx context.Context) {
	recovering, purging := time.NewTicker(5*time.Second), time.NewTicker(time.Hour)
	defer recovering.Stop()
	defer purging.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-recovering.C:
			if n, err := s.Recover(ctx); err != nil || n > 0 {
				s.cfg.Logger.InfoContext(ctx, "checkouts recovered", "moved", n, "err", err)
			}
		case <-purging.C:
			if _, err := s.cfg.Store.Purge(ctx, s.now().Add(-keepEnded)); err != nil && ctx.Err() == nil {
				s.cfg.Logger.WarnContext(ctx, "ended checkouts not removed", "err", err)
			}
		}
	}
}

// keepEnded is how long a session that has ended can still be asked for.
const keepEnded = 48 * time.Hour

// lineOf finds a line of an order.
func (o *Order) lineOf(id string) (*OrderLine, bool) {
	i := slices.IndexFunc(o.Lines, func(l OrderLine) bool { return l.ID == id })
	if i < 0 {
		return nil, false
	}
	return &o.Lines[i], true
}
