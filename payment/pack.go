package payment

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"paywall/money"
)

// Credits keep what packs have bought, and are the rail by which it is spent: each
// request that draws on an account is a payment of its own, whose [Payment.Payer] is the
// account. Accounts are named by the payment that bought them.
type Credits interface {
	Method

	// Open opens the account of a settled pack, once, however often it is called.
	Open(ctx context.Context, pack Payment, ends time.Time) error
	// Left is what is left in an account, zero when it is frozen or over, or [ErrNotFound].
	Left(ctx context.Context, account string) (money.Amount, error)
	// Draw is the payload of a credential that spends from an account. The same name
	// spends once.
	Draw(account, name string) json.RawMessage
}

// CreditScale is that of the units that credit in a currency is kept in: three places
// more than the currency has, so that a US cent can be divided by a thousand.
func CreditScale(currency string) (int, bool) {
	places, known := money.Exponent(currency)
	return places + 3, known
}

// CreditFor is what the price of a pack buys. A stablecoin buys the currency that it
// stands for.
func CreditFor(paid money.Amount) (money.Amount, error) {
	currency := paid.Currency()
	switch currency {
	case "USDC":
		currency = "USD"
	case "EURC":
		currency = "EUR"
	}
	scale, known := CreditScale(currency)
	if !known {
		return money.Amount{}, fmt.Errorf("credit is not kept in %s", currency)
	}
	same, err := money.Parse(paid.Decimal(), currency, max(scale, paid.Scale()))
	if err == nil {
		same, err = same.Rescale(scale)
	}
	if err != nil {
		return money.Amount{}, fmt.Errorf("credit for %s: %w", paid, err)
	}
	return same, nil
}

// MethodCredit is the name of the rail that spends credit.
const MethodCredit = "credit"

// earned is the ledger account that the money of a delivered payment is on: revenue,
// or, of a pack, what is still owed for it.
func (p Payment) earned() string {
	if p.Pack {
		return AccountCredits
	}
	return AccountRevenue
}
