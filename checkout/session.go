package checkout

import (
	"encoding/json"
	"time"
)

// MaxUnits bounds every amount and sum, and every quantity: what JSON readers
// everywhere can hold exactly. More is an error, never a wrong sum.
const MaxUnits = 1<<53 - 1

// Status of a session. The words are those of UCP.
type Status string

// Statuses. A cart is open or canceled.
const (
	Incomplete         Status = "incomplete"
	RequiresEscalation Status = "requires_escalation"
	Ready              Status = "ready_for_complete"
	InProgress         Status = "complete_in_progress"
	Completed          Status = "completed"
	Canceled           Status = "canceled"
)

// Final reports whether nothing more can happen to the session.
func (s Status) Final() bool { return s == Completed || s == Canceled }

// Desired is the state that a client asks for. It replaces what was asked for
// before. Fields that the client may not decide do not exist here.
type Desired struct {
	// Cart names a cart whose lines and codes win over those given here.
	Cart        string                     `json:"cart,omitempty"`
	Lines       []WantedLine               `json:"lines,omitempty"`
	Buyer       Buyer                      `json:"buyer,omitzero"`
	Context     Context                    `json:"context,omitzero"`
	Codes       []string                   `json:"codes,omitempty"`
	Fulfillment []WantedMethod             `json:"fulfillment,omitempty"`
	Signals     map[string]json.RawMessage `json:"signals,omitempty"`
	Attribution map[string]string          `json:"attribution,omitempty"`
}

// WantedLine asks for a quantity of a variant. ID is that of a line that exists, or empty.
type WantedLine struct {
	ID       string `json:"id,omitempty"`
	Variant  string `json:"variant"`
	Quantity int64  `json:"quantity"`
	Parent   string `json:"parent,omitempty"`
}

// WantedMethod asks for a way of delivery. Type is "shipping" or "pickup"; empty
// fields are the server's choice.
type WantedMethod struct {
	ID    string   `json:"id,omitempty"`
	Type  string   `json:"type,omitempty"`
	Lines []string `json:"lines,omitempty"`
	// Destinations are the client's, for shipping only.
	Destinations []Destination `json:"destinations,omitempty"`
	Destination  string        `json:"destination,omitempty"` // id of the selected one
	Groups       []WantedGroup `json:"groups,omitempty"`
}

// WantedGroup selects an option of a group. An empty ID is the method's only group.
type WantedGroup struct {
	ID     string `json:"id,omitempty"`
	Option string `json:"option,omitempty"`
}

// Buyer is who buys. All of it is personal data.
type Buyer struct {
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	Email     string `json:"email,omitempty"`
	Phone     string `json:"phone,omitempty"`
	// Consent is by key, as in dev.ucp.consent.marketing.
	Consent map[string]Consent `json:"consent,omitempty"`
}

// Consent is one decision of the buyer, and who says so: "platform" or "business".
type Consent struct {
	Granted bool   `json:"granted"`
	Source  string `json:"source,omitempty"`
}

// Context has hints about the buyer. They never decide about money beyond what an
// address decides too.
type Context struct {
	Country  string `json:"country,omitempty"`
	Region   string `json:"region,omitempty"`
	Postal   string `json:"postal,omitempty"`
	Language string `json:"language,omitempty"`
	Currency string `json:"currency,omitempty"`
	Intent   string `json:"intent,omitempty"`
}

// Kind tells carts from checkouts.
type Kind string

// Kinds of session.
const (
	KindCart     Kind = "cart"
	KindCheckout Kind = "checkout"
)

// A Session is a cart or a checkout as it is stored. Times are UTC, whole milliseconds.
type Session struct {
	// ID is "chk_" or "cart_" and at least 128 random bits.
	ID       string `json:"id"`
	Kind     Kind   `json:"kind"`
	Revision int64  `json:"revision"`
	Status   Status `json:"status"`
	// Owner is the principal that made it; to others it does not exist.
	Owner string `json:"owner"`
	// Platform is whom the order's events go to.
	Platform Platform `json:"platform,omitzero"`

	Desired Desired `json:"desired"`
	Priced  Priced  `json:"priced"`
	// Notice is what the last step has to say beyond what pricing says: a decline, a
	// price that has moved.
	Notice []Message `json:"notice,omitempty"`

	// Attempt numbers tries to pay, from 1. Challenge is [ChallengeID] of the
	// current one, Payment the id of the payment that settled.
	Attempt   int    `json:"attempt,omitempty"`
	Challenge string `json:"challenge,omitempty"`
	Payment   string `json:"payment,omitempty"`
	// CompleteKey is the idempotency key that the current attempt came with.
	CompleteKey string `json:"complete_key,omitempty"`
	// Order is the id of the order; Closing says that its payment is still to be
	// recorded as delivered.
	Order   string `json:"order,omitempty"`
	Closing bool   `json:"closing,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Platform is the agent's side as negotiated when the session was made.
type Platform struct {
	// Profile is the URL of its profile, Version the protocol version in use.
	Profile string `json:"profile,omitempty"`
	Version string `json:"version,omitempty"`
	// Webhook is where it wants to hear of orders, or empty.
	Webhook string `json:"webhook,omitempty"`
	// Extensions are what was negotiated for orders, such as the receipt extension.
	Extensions []string `json:"extensions,omitempty"`
}

// Priced is what the shop makes of a desired state. Discounts are positive here.
type Priced struct {
	Shop     string `json:"shop"` // [Shop.Version]
	Currency string `json:"currency"`
	Scale    int    `json:"scale"`
	Lines    []Line `json:"lines"`
	// Totals are in order: subtotal, items_discount (negative), discount (negative),
	// fulfillment, tax, total. Those that cannot apply are left out; subtotal and total never.
	Totals      []Total   `json:"totals"`
	Codes       []string  `json:"codes,omitempty"` // as asked for
	Applied     []Applied `json:"applied,omitempty"`
	Fulfillment []Method  `json:"fulfillment,omitempty"`
	// Messages say what is missing or was changed. With an error of any severity the
	// session is not ready.
	Messages []Message `json:"messages,omitempty"`
}

// Total returns the amount to pay.
func (p Priced) Total() int64 {
	for _, t := range p.Totals {
		if t.Type == TotalTotal {
			return t.Amount
		}
	}
	return 0
}

// Line is one priced line.
type Line struct {
	ID       string `json:"id"`
	Variant  string `json:"variant"`
	Title    string `json:"title"`
	Image    string `json:"image,omitempty"`
	Parent   string `json:"parent,omitempty"`
	Price    int64  `json:"price"`
	Quantity int64  `json:"quantity"`
	// Subtotal is price times quantity; Discount what comes off this line (0 or
	// more, by discounts of items); Total is Subtotal less Discount.
	Subtotal int64   `json:"subtotal"`
	Discount int64   `json:"discount,omitempty"`
	Total    int64   `json:"total"`
	Digital  bool    `json:"digital,omitempty"`
	Grants   []Grant `json:"grants,omitempty"`
}

// Types of [Total].
const (
	TotalSubtotal      = "subtotal"
	TotalItemsDiscount = "items_discount"
	TotalDiscount      = "discount"
	TotalFulfillment   = "fulfillment"
	TotalTax           = "tax"
	TotalTotal         = "total"
)

// Total is one entry; all but "total" sum up to that.
type Total struct {
	Type   string `json:"type"`
	Amount int64  `json:"amount"`
	Text   string `json:"text,omitempty"`
}

// Applied is a discount that counts. Allocations sum up to Amount, which is positive.
type Applied struct {
	Code      string `json:"code,omitempty"`
	Title     string `json:"title"`
	Amount    int64  `json:"amount"`
	Automatic bool   `json:"automatic,omitempty"`
	Each      bool   `json:"each,omitempty"`
	Priority  int    `json:"priority"` // from 1, in the order of application
	// Items says that it is among the lines' own discounts.
	Items       bool         `json:"items,omitempty"`
	Allocations []Allocation `json:"allocations"`

	alone bool // cannot be combined; of no use once priced
}

// Allocation is a share of a discount. Line is the id of a line.
type Allocation struct {
	Line   string `json:"line"`
	Amount int64  `json:"amount"`
}

// Method is a way of delivery with what can be chosen and what is.
type Method struct {
	ID           string        `json:"id"`
	Type         string        `json:"type"`
	Lines        []string      `json:"lines"`
	Destinations []Destination `json:"destinations,omitempty"`
	Destination  string        `json:"destination,omitempty"` // id of the selected one
	Groups       []Group       `json:"groups,omitempty"`
}

// Types of [Method].
const (
	MethodShipping = "shipping"
	MethodPickup   = "pickup"
)

// Destination is where goods go: an address, or a location of the shop's.
type Destination struct {
	ID      string  `json:"id"`
	Name    string  `json:"name,omitempty"` // of a location
	Address Address `json:"address"`
}

// Group is a parcel.
type Group struct {
	ID      string              `json:"id"`
	Lines   []string            `json:"lines"`
	Options []FulfillmentOption `json:"options"`
	Option  string              `json:"option,omitempty"` // id of the selected one
}

// FulfillmentOption is one way to send a parcel.
type FulfillmentOption struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	Carrier  string    `json:"carrier,omitempty"`
	Amount   int64     `json:"amount"`
	Earliest time.Time `json:"earliest,omitzero"`
	Latest   time.Time `json:"latest,omitzero"`
}

// Message tells the client, or the person behind it, something.
type Message struct {
	// Type is "error", "warning" or "info".
	Type string `json:"type"`
	// Code is stable, as out_of_stock; Content is plain text for people.
	Code    string `json:"code"`
	Content string `json:"content"`
	// Path is where, as an RFC 9535 JSONPath in the session's UCP form, or empty.
	Path string `json:"path,omitempty"`
	// Severity is of errors alone.
	Severity string `json:"severity,omitempty"`
}

// Types and severities of [Message].
const (
	TypeError   = "error"
	TypeWarning = "warning"
	TypeInfo    = "info"

	Recoverable         = "recoverable"
	RequiresBuyerInput  = "requires_buyer_input"
	RequiresBuyerReview = "requires_buyer_review"
	Unrecoverable       = "unrecoverable"
)
