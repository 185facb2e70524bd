package payment

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Closed reports whether the challenge's payment came to nothing: it failed, was
// voided or returned, or was not begun before the challenge's end.
func (p *Processor) Closed(ctx context.Context, challengeID string, end time.Time) (bool, error) {
	now := p.Now()
	pay, err := p.latest(ctx, challengeID)
	if errors.Is(err, ErrNotFound) {
		// A claim that was on its way at the end has arrived by a lease later.
		return now.After(end.Add(leaseTime)), nil
	}
	if err != nil {
		return false, fmt.Errorf("look up a challenge: %w", err)
	}
	switch pay.State {
	case StateFailed, StateVoided, StateRefunded, StateCredited:
		return true, nil
	case StatePending, StateAuthorized, StateSettled, StateReview, StateRefunding:
	}
	return false, nil
}
