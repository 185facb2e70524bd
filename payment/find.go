package payment

import (
	"context"
	"fmt"
)

// ByChallenge returns the payment that a challenge began last, or [ErrNotFound].
// It is for who has kept the challenge's id and not the credential.
func (p *Processor) ByChallenge(ctx context.Context, challengeID string) (Payment, error) {
	pay, err := p.latest(ctx, challengeID)
	if err != nil {
		return Payment{}, fmt.Errorf("payment of a challenge: %w", err)
	}
	return pay, nil
}
