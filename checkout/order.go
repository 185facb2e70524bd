package checkout

import "time"

// An Order is what was bought. It is made once per session, with the payment settled.
type Order struct {
	// ID is "ord_" and at least 128 random bits.
	ID       string   `json:"id"`
	Revision int64    `json:"revision"`
	Session  string   `json:"session"`
	Owner    string   `json:"owner"`
	Platform Platform `json:"platform,omitzero"`
	// Payment is the id of the payment, empty when nothing was to be paid.
	Payment     string      `json:"payment,omitempty"`
	Method      string      `json:"method,omitempty"`
	Currency    string      `json:"currency"`
	Scale       int         `json:"scale"`
	Lines       []OrderLine `json:"lines"`
	Totals      []Total     `json:"totals"`
	Applied     []Applied   `json:"applied,omitempty"`
	Fulfillment []Method    `json:"fulfillment,omitempty"`
	Buyer       Buyer       `json:"buyer,omitzero"`

	Events      []FulfillmentEvent `json:"events,omitempty"`
	Adjustments []Adjustment       `json:"adjustments,omitempty"`
	// Erased says that personal data was removed at somebody's wish.
	Erased bool `json:"erased,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// OrderLine is a line with what became of it. Current is the quantity that is still
// wanted, which refunds of lines lower; Fulfilled is how many were delivered.
type OrderLine struct {
	Line
	Current   int64 `json:"current"`
	Fulfilled int64 `json:"fulfilled"`
}

// Status is derived: "removed", "fulfilled", "partial" or "processing".
func (l OrderLine) Status() string {
	switch {
	case l.Current == 0:
		return "removed"
	case l.Fulfilled >= l.Current:
		return "fulfilled"
	case l.Fulfilled > 0:
		return "partial"
	}
	return "processing"
}

// FulfillmentEvent is one step of a delivery. They are only ever added.
type FulfillmentEvent struct {
	ID   string    `json:"id"`
	Type string    `json:"type"` // processing, shipped, in_transit, delivered, canceled…
	At   time.Time `json:"at"`
	// Lines says how many of which line.
	Lines       []Moved `json:"lines"`
	Tracking    string  `json:"tracking,omitempty"`
	TrackingURL string  `json:"tracking_url,omitempty"`
	Carrier     string  `json:"carrier,omitempty"`
	Description string  `json:"description,omitempty"`
}

// Moved is a quantity of a line.
type Moved struct {
	Line     string `json:"line"`
	Quantity int64  `json:"quantity"`
}

// Adjustment is a change of the money side: a refund or a dispute.
type Adjustment struct {
	ID   string `json:"id"`
	Type string `json:"type"` // refund, dispute
	// Status is "pending", "completed" or "failed".
	Status string    `json:"status"`
	Amount int64     `json:"amount"` // positive
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}
