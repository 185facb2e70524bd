package checkout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"paywall/payment"
)

// Order returns an order to its owner.
func (s *Service) Order(ctx context.Context, c Caller, id string) (Order, error) {
	o, err := s.cfg.Store.Order(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return Order{}, notFound(err)
	case err != nil:
		return Order{}, unstored(err)
	case o.Owner != c.Principal && !c.Buyer:
		return Order{}, notFound(nil)
	}
	return o, nil
}

// Ship adds a step of delivery to an order, for the seller. A step of type "delivered"
// or "shipped" counts its lines as fulfilled; without lines it is for all that is left.
func (s *Service) Ship(ctx context.Context, id string, e FulfillmentEvent) (Order, error) {
	return s.change(ctx, id, func(o *Order) (bool, error) {
		e := e
		if e.Type == "" {
			e.Type = "shipped"
		}
		counts := e.Type == "shipped" || e.Type == "delivered"
		if len(e.Lines) == 0 {
			for _, l := range o.Lines {
				if left := l.Current - l.Fulfilled; left > 0 || !counts && !l.Digital && l.Current > 0 {
					e.Lines = append(e.Lines, Moved{Line: l.ID, Quantity: max(left, 1)})
				}
			}
			if len(e.Lines) == 0 {
				return false, invalid("$.line_items", "There is nothing left to deliver.")
			}
		} else {
			e.Lines = slices.Clone(e.Lines)
		}
		for i, m := range e.Lines {
			l, ok := o.lineOf(m.Line)
			switch {
			case !ok:
				return false, invalid(fmt.Sprintf("$.line_items[%d]", i), "The order has no line %.64q.", m.Line)
			case m.Quantity < 1 || counts && m.Quantity > l.Current-l.Fulfilled:
				return false, invalid(fmt.Sprintf("$.line_items[%d]", i), "Of %s, %d are left to deliver.", m.Line, l.Current-l.Fulfilled)
			}
			if counts {
				l.Fulfilled += m.Quantity
			}
		}
		e.ID, e.At = s.cfg.NewID("evt_"), s.now()
		o.Events = append(o.Events, e)
		return true, nil
	})
}

// Erase takes personal data out of an order and out of what is still to be sent about it.
func (s *Service) Erase(ctx context.Context, id string) (Order, error) {
	erased, err := s.cfg.Store.Order(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return Order{}, notFound(err)
	}
	if err == nil {
		erased.Revision++
		erased.Erased, erased.UpdatedAt, erased.Buyer = true, s.now(), Buyer{}
		for i := range erased.Fulfillment {
			if erased.Fulfillment[i].Type == MethodShipping {
				erased.Fulfillment[i].Destinations, erased.Fulfillment[i].Destination = nil, ""
			}
		}
		err = s.cfg.Store.UpdateOrder(ctx, erased, nil) // there is nobody to tell about it
	}
	if err == nil {
		err = s.cfg.Store.DropDeliveries(ctx, id)
	}
	if err == nil {
		err = s.eraseSession(ctx, erased.Session)
	}
	if err != nil {
		return Order{}, unstored(err)
	}
	return erased, nil
}

func (s *Service) eraseSession(ctx context.Context, id string) error {
	x, err := s.cfg.Store.Session(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err //nolint:wrapcheck // named by the caller
	}
	x.Revision++
	x.UpdatedAt = s.now()
	x.Desired.Buyer, x.Desired.Fulfillment, x.Desired.Signals, x.Desired.Context = Buyer{}, nil, nil, Context{}
	for i := range x.Priced.Fulfillment {
		if x.Priced.Fulfillment[i].Type == MethodShipping {
			x.Priced.Fulfillment[i].Destinations, x.Priced.Fulfillment[i].Destination = nil, ""
		}
	}
	return s.cfg.Store.UpdateSession(ctx, x, Change{}) //nolint:wrapcheck // named by the caller
}

// PaymentChanged looks at a payment again: a refund or a dispute of an order's payment
// becomes an adjustment of the order, once. Of other payments it does nothing.
func (s *Service) PaymentChanged(ctx context.Context, id string) error {
	found, err := s.cfg.Store.OrderByPayment(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("order of %s: %w", id, err)
	}
	paid, err := s.cfg.Payments.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("payment %s: %w", id, err)
	}
	_, err = s.change(ctx, found.ID, func(o *Order) (bool, error) { return s.adjust(o, paid), nil })
	return err
}

// adjust brings the adjustments up to date with the payment, and reports whether
// anything was new.
func (s *Service) adjust(o *Order, paid payment.Payment) bool {
	refund := ""
	switch paid.State {
	case payment.StateRefunding:
		refund = "pending"
	case payment.StateRefunded, payment.StateCredited:
		refund = "completed"
	case payment.StateReview:
		if !paid.SettledAt.IsZero() {
			refund = "failed"
		}
	case payment.StatePending, payment.StateAuthorized, payment.StateSettled, payment.StateFailed, payment.StateVoided:
	}
	changed := false
	if refund != "" {
		changed = s.set(o, "adj_refund_"+strconv.Itoa(paid.RefundsFailed), "refund", refund, paid)
		if refund == "completed" {
			for i := range o.Lines {
				if l := &o.Lines[i]; l.Current > l.Fulfilled {
					l.Current, changed = l.Fulfilled, true // what is paid back is not delivered any more
				}
			}
		}
	}
	if paid.Disputed {
		return s.set(o, "adj_dispute", "dispute", "pending", paid) || changed
	}
	if slices.ContainsFunc(o.Adjustments, func(a Adjustment) bool { return a.ID == "adj_dispute" }) {
		return s.set(o, "adj_dispute", "dispute", "completed", paid) || changed
	}
	return changed
}

func (s *Service) set(o *Order, id, kind, status string, paid payment.Payment) bool {
	i := slices.IndexFunc(o.Adjustments, func(a Adjustment) bool { return a.ID == id })
	switch {
	case i < 0:
		o.Adjustments = append(o.Adjustments, Adjustment{ID: id, Type: kind, Status: status, Amount: paid.Amount.Units(), At: s.now()})
	case o.Adjustments[i].Status == status:
		return false
	default:
		o.Adjustments[i].Status, o.Adjustments[i].At = status, s.now()
	}
	return true
}

// change makes a change of an order, and the message about it. Without one nothing is stored.
func (s *Service) change(ctx context.Context, id string, edit func(*Order) (bool, error)) (Order, error) {
	for try := 0; ; try++ {
		o, err := s.cfg.Store.Order(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			return Order{}, notFound(err)
		case err != nil:
			return Order{}, unstored(err)
		}
		changed, err := edit(&o)
		if err != nil || !changed {
			return o, err
		}
		o.Revision++
		o.UpdatedAt = s.now()
		d, err := s.cfg.Build(o)
		if err != nil {
			s.cfg.Logger.ErrorContext(ctx, "order event not made", "order", o.ID, "err", err)
		}
		switch err := s.cfg.Store.UpdateOrder(ctx, o, d); {
		case err == nil:
			return o, nil
		case try < maxTries && errors.Is(err, ErrConflict):
		default:
			return Order{}, unstored(err)
		}
	}
}
