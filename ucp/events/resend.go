package events

import (
	"context"
	"errors"
	"fmt"

	"paywall/checkout"
)

// ErrErased says that there is nothing left to send.
var ErrErased = errors.New("what was to be sent was erased")

// Resend has an event sent again from its beginning: one that was given up, or one
// that its platform says it never got. It is the same event.
func (s *Sender) Resend(ctx context.Context, d checkout.Delivery) error {
	if len(d.Body) == 0 {
		return ErrErased
	}
	d.State, d.Attempts, d.Next, d.Note = checkout.DeliveryPending, 0, s.cfg.Now(), "sent again by hand"
	if err := s.cfg.Store.SaveDelivery(ctx, d); err != nil {
		return fmt.Errorf("send %s again: %w", d.ID, err)
	}
	return nil
}
