package stripe

import (
	"bytes"
	"encoding/json"

	sdk "github.com/stripe/stripe-go/v82"
)

// An intent is what is read of a PaymentIntent. What must be there is a
// pointer, so that a missing member does not pass for zero.
type intent struct {
	ID             string `json:"id"`
	Object         string `json:"object"`
	Status         string `json:"status"`
	Amount         *int64 `json:"amount"`
	AmountReceived *int64 `json:"amount_received"`
	// AmountCapturable is what is promised and not taken.
	AmountCapturable *int64            `json:"amount_capturable"`
	Currency         string            `json:"currency"`
	Livemode         *bool             `json:"livemode"`
	Created          int64             `json:"created"`
	Metadata         map[string]string `json:"metadata"`
	LatestCharge     charge            `json:"latest_charge"`
	LastError        *failure          `json:"last_payment_error"`
	Fee              *int64            `json:"application_fee_amount"`
	TransferData     json.RawMessage   `json:"transfer_data"`
}

// sound reports whether it is a PaymentIntent at all.
func (i intent) sound() bool {
	return i.Object == "payment_intent" && identifier(i.ID, "pi_") && i.Status != "" &&
		i.Amount != nil && i.Currency != "" && i.Livemode != nil
}

func (i intent) void() bool { return i.Metadata[metaVoid] == "true" }

// failure is why the last try of an intent failed.
type failure struct {
	Code        string `json:"code"`
	DeclineCode string `json:"decline_code"`
}

// A charge is expanded in some answers and a bare id, or null, in others.
type charge struct {
	ID             string `json:"id"`
	Paid           *bool  `json:"paid"`
	Captured       *bool  `json:"captured"`
	AmountRefunded *int64 `json:"amount_refunded"`
}

// UnmarshalJSON takes all three forms.
func (c *charge) UnmarshalJSON(data []byte) error {
	*c = charge{}
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &c.ID) //nolint:wrapcheck // inside a decoder
	}
	type plain charge
	return json.Unmarshal(data, (*plain)(c)) //nolint:wrapcheck // inside a decoder
}

// A reference is an object or its id.
type reference string

// UnmarshalJSON takes both forms, and null.
func (r *reference) UnmarshalJSON(data []byte) error {
	var object struct {
		ID string `json:"id"`
	}
	if bytes.HasPrefix(data, []byte("{")) {
		if err := json.Unmarshal(data, &object); err != nil {
			return err //nolint:wrapcheck // inside a decoder
		}
		*r = reference(object.ID)
		return nil
	}
	return json.Unmarshal(data, (*string)(r)) //nolint:wrapcheck // inside a decoder
}

type refund struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Status        string            `json:"status"`
	Amount        *int64            `json:"amount"`
	Currency      string            `json:"currency"`
	PaymentIntent reference         `json:"payment_intent"`
	Metadata      map[string]string `json:"metadata"`
}

func (r refund) sound() bool {
	// The second prefix is of payments that are not by card.
	return r.Object == "refund" && (identifier(r.ID, "re_") || identifier(r.ID, "pyr_")) && r.Amount != nil && r.Status != ""
}

// away reports whether the money has left the seller. A pending refund has: it
// was taken from the balance and only the bank is still to book it. Should it
// fail later, an event says so, as it may for one that succeeded.
func (r refund) away() bool {
	return r.Status == string(sdk.RefundStatusSucceeded) || r.Status == string(sdk.RefundStatusPending)
}

type dispute struct {
	ID            string    `json:"id"`
	Object        string    `json:"object"`
	Status        string    `json:"status"`
	Amount        *int64    `json:"amount"`
	Currency      string    `json:"currency"`
	Livemode      *bool     `json:"livemode"`
	PaymentIntent reference `json:"payment_intent"`
}

// A grantedToken is the seller's view of the payer's token.
type grantedToken struct {
	ID                string `json:"id"`
	Object            string `json:"object"`
	Livemode          *bool  `json:"livemode"`
	DeactivatedAt     *int64 `json:"deactivated_at"`
	DeactivatedReason string `json:"deactivated_reason"`
	UsageLimits       struct {
		Currency  string `json:"currency"`
		MaxAmount *int64 `json:"max_amount"`
		ExpiresAt *int64 `json:"expires_at"`
	} `json:"usage_limits"`
}

func (t grantedToken) sound() bool {
	return t.Object == "shared_payment.granted_token" && identifier(t.ID, tokenPrefix)
}

// consumed is the processor's word that the token has paid.
const consumed = "consumed"

type page[T any] struct {
	Object  string `json:"object"`
	Data    []T    `json:"data"`
	HasMore *bool  `json:"has_more"`
}

func (p page[T]) sound() bool { return p.Object == "list" && p.HasMore != nil }

// A problem is the processor's error, without its words.
type problem struct {
	Type        string  `json:"type"`
	Code        string  `json:"code"`
	DeclineCode string  `json:"decline_code"`
	Param       string  `json:"param"`
	Intent      *intent `json:"payment_intent"`
}

// problem reads an error answer; false when it is not one of the API.
func (a answer) problem() (problem, bool) {
	var doc struct {
		Error *problem `json:"error"`
	}
	if !a.whole || a.status < 400 || json.Unmarshal(a.body, &doc) != nil || doc.Error == nil {
		return problem{}, false
	}
	switch sdk.ErrorType(doc.Error.Type) {
	case sdk.ErrorTypeAPI, sdk.ErrorTypeCard, sdk.ErrorTypeIdempotency, sdk.ErrorTypeInvalidRequest:
		return *doc.Error, true
	default:
		return problem{}, false
	}
}

// cause is what the log is told of the answer.
func (a answer) cause() *Error {
	e := &Error{Op: a.op, Status: a.status, Err: a.err}
	if id := a.header.Get("Request-Id"); word(id, 64) {
		e.RequestID = id
	}
	if p, ok := a.problem(); ok {
		e.Type, e.Code = code(p.Type), code(p.Code)
	} else if e.Err == nil && a.status != 0 && (a.status < 200 || a.status > 299 || !a.whole) {
		e.Err = ErrAnswer
	}
	return e
}

// odd is the cause for an answer that is complete and makes no sense.
func (a answer) odd() *Error {
	e := a.cause()
	e.Err = ErrAnswer
	return e
}
