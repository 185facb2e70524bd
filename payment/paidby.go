package payment

import (
	"context"
	"fmt"
)

// PaidBy returns the settled payments that a payer made for a route, the newest
// first, at most limit. An empty name is nobody's.
func (p *Processor) PaidBy(ctx context.Context, payer, route string, limit int) ([]Payment, error) {
	if payer == "" {
		return nil, nil
	}
	list, err := p.cfg.Store.List(ctx, Filter{State: StateSettled, Route: route, Payer: payer}, "", limit)
	if err != nil {
		return nil, fmt.Errorf("list the payments of a payer: %w", err)
	}
	return list, nil
}

// Begun returns the payment that a challenge began last, or [ErrNotFound].
func (p *Processor) Begun(ctx context.Context, challengeID string) (Payment, error) {
	pay, err := p.latest(ctx, challengeID)
	if err != nil {
		return Payment{}, fmt.Errorf("look up a challenge: %w", err)
	}
	return pay, nil
}
