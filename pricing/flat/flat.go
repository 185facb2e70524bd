// Package flat prices every request of a route alike.
package flat

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"paywall/money"
	"paywall/payment"
)

// Pricer is one price.
type Pricer struct{ amount money.Amount }

// New makes the rule; the amount is positive.
func New(amount money.Amount) (Pricer, error) {
	if !amount.IsPositive() {
		return Pricer{}, errors.New("flat price: the amount must be more than nothing")
	}
	return Pricer{amount}, nil
}

// Parse makes the rule from text, such as "1.00 USD".
func Parse(price string) (Pricer, error) {
	amount, err := money.ParsePrice(price)
	if err != nil {
		return Pricer{}, fmt.Errorf("flat price %q: %w", price, err)
	}
	return New(amount)
}

// Quote implements gate.Pricer.
func (p Pricer) Quote(context.Context, *http.Request, []byte) (payment.Quote, error) {
	return payment.Quote{Amount: p.amount}, nil
}

// Prices implements gate.Pricer.
func (p Pricer) Prices() []money.Amount { return []money.Amount{p.amount} }

// Fixed says that the price never depends on the request.
func (Pricer) Fixed() {}
