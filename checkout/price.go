package checkout

import (
	"context"
	"errors"
	"time"
)

// Pricing makes prices of a desired state. Shop and NewID are required.
type Pricing struct {
	Shop    *Shop
	Kind    Kind
	Desired Desired
	// Before is what was priced last: its ids of lines, methods, groups and
	// destinations are kept where the thing is the same.
	Before Priced
	// Stock is what is sold and held by others, by variant.
	Stock map[string]Level
	// Rates, if set, replaces the shop's own rules for delivery and tax.
	Rates Rates
	// NewID makes an id with a prefix, as in "li_…".
	NewID func(prefix string) string
	Now   time.Time
}

// Rates are the delivery costs and taxes of somebody else. Amounts are in the
// shop's currency. An error makes the session incomplete, never cheaper; [ErrNoRate]
// leaves the question to the shop's rules.
type Rates interface {
	Delivery(ctx context.Context, p Parcel) ([]FulfillmentOption, error)
	Tax(ctx context.Context, p Parcel, delivery int64) (int64, error)
}

// ErrNoRate is returned by [Rates] that leave a question to the shop's own rules.
var ErrNoRate = errors.New("left to the catalog")

// Parcel is what delivery costs and taxes are asked for.
type Parcel struct {
	Currency string  `json:"currency"`
	To       Address `json:"to"` // without name and phone
	// Lines are after discounts.
	Lines []ParcelLine `json:"lines"`
}

// ParcelLine is one line of a parcel.
type ParcelLine struct {
	Variant  string `json:"variant"`
	TaxClass string `json:"tax_class,omitempty"`
	Quantity int64  `json:"quantity"`
	Amount   int64  `json:"amount"`
}
