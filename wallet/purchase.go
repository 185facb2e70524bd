package wallet

import (
	"context"
	"fmt"
)

// Purchase is a payment that is made elsewhere than in answer to a 402: at a checkout.
type Purchase struct {
	// Request is what the wallet is asked for; its Host is who is paid. Its Context is
	// written here, of its Description and [WithPurpose].
	Request
	// URL is what the person who approves is shown.
	URL string
	// Method is the payment method, for [Policy.Methods].
	Method string
}

// Spend gets a proof for a purchase, under the same policy and ledger as requests are
// paid by. What it costs counts from then on. forget is for a proof that was declined
// or not used: it makes the proof worthless, and where that is certain, the cost counts
// no more.
func (t *Transport) Spend(ctx context.Context, p Purchase) (proof Proof, forget func(context.Context) error, err error) {
	if t.cfg.Wallet == nil {
		return Proof{}, nil, &NoOfferError{Offers: []Offer{{Protocol: "ucp", Method: p.Method, Amount: p.Amount, Why: "no wallet for it"}}}
	}
	p.Host, p.Test, p.Description = normalHost(p.Host), t.cfg.Test, Clean(p.Description, 300)
	p.Context = explained(p.Amount, p.Host, "a purchase from its shop", purpose(ctx), p.Description)
	if err := t.cfg.Policy.Check(p.Host, p.Method, p.Amount); err != nil {
		return Proof{}, nil, err
	}
	spend := Spend{ID: t.cfg.NewID(), Host: p.Host, Amount: p.Amount, At: t.cfg.Now()}
	caps, err := t.cfg.Policy.caps(p.Host, p.Amount, spend.At)
	if err != nil {
		return Proof{}, nil, err
	}
	if err := t.cfg.Ledger.Reserve(ctx, spend, caps); err != nil {
		return Proof{}, nil, fmt.Errorf("reserve %s: %w", p.Amount, err)
	}
	if p.Approved, err = t.agreed(ctx, p, spend); err != nil {
		return Proof{}, nil, t.release(ctx, spend.ID, err)
	}
	if proof, err = t.cfg.Wallet.Pay(ctx, p.Request); err != nil {
		return Proof{}, nil, t.release(ctx, spend.ID, fmt.Errorf("wallet: %w", err))
	}
	return proof, func(ctx context.Context) error {
		if !t.discard(ctx, t.cfg.Wallet, proof.ID) {
			return nil // it may still be charged
		}
		return t.release(ctx, spend.ID, nil)
	}, nil
}

// agreed asks whoever has to be asked, and reports whether a person said yes here.
func (t *Transport) agreed(ctx context.Context, p Purchase, s Spend) (bool, error) {
	if !t.cfg.Policy.Asks(p.Amount) {
		return false, nil
	}
	if t.cfg.Ask == nil {
		if a, ok := t.cfg.Wallet.(Asker); ok && a.Asks() {
			return false, nil
		}
		limit, _ := t.cfg.Policy.AskAbove.For(p.Amount.Currency())
		return false, &PolicyError{Limit: LimitApproval, Amount: p.Amount, Max: limit}
	}
	spent, err := t.spent(ctx, s)
	if err != nil {
		return false, err
	}
	yes, err := t.cfg.Ask(ctx, Ask{
		Method: "BUY", URL: Clean(p.URL, 500), Host: p.Host, Amount: p.Amount, NetworkID: p.NetworkID,
		Description: p.Description, Purpose: purpose(ctx), Spent: spent,
	})
	if err != nil {
		return false, fmt.Errorf("ask: %w", err)
	}
	if !yes {
		return false, fmt.Errorf("payment of %s to %s: %w", p.Amount, p.Host, ErrDenied)
	}
	return true, nil
}
