package protocol

import (
	"encoding/json"
	"time"

	"paywall/checkout"
	"paywall/payment"
)

// Handler makes payment instruments of one kind payable. Implementations are
// immutable and safe for concurrent use.
type Handler interface {
	// Name is the handler's reversed-domain name, "com.stripe.payments".
	Name() string
	// Declare is its entry in the business profile, and with due in the answer of a
	// checkout, where ok is false when it cannot take that checkout (currency, amount).
	// No I/O.
	Declare(v Version, due *checkout.Due, now time.Time) (d Declaration, ok bool)
	// Credential turns an instrument of this declaration into a credential for due.
	// Errors are *[checkout.Error] of KindPayment, made for the platform. They never
	// quote the credential. No I/O.
	Credential(in Instrument, due checkout.Due, now time.Time) (payment.Credential, error)
}

// Declaration is one entry below payment_handlers.
type Declaration struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Spec    string `json:"spec,omitempty"`
	Schema  string `json:"schema,omitempty"`
	// Instruments are the types that are taken.
	Instruments []InstrumentType `json:"available_instruments,omitempty"`
	Config      json.RawMessage  `json:"config,omitempty"`
}

// InstrumentType is a type of instrument with its constraints, in the grammar of
// the version asked for.
type InstrumentType struct {
	Type        string          `json:"type"`
	Constraints json.RawMessage `json:"constraints,omitempty"`
}

// Instrument is what a platform pays with. Credential is a bearer secret.
type Instrument struct {
	ID, HandlerID, Type string
	Credential          json.RawMessage
	// Billing is the billing address, or the zero value.
	Billing checkout.Address
}
