package payment

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"

	"paywall/money"
)

// Quote is the price of one request, before a way of paying is chosen.
type Quote struct {
	// Route is the id of the route that was priced.
	Route string
	// Amount is positive.
	Amount money.Amount
	// Description is shown to the payer: printable ASCII, at most 200 bytes.
	Description string
	// Version tells two quotes of one amount apart, for instance after a
	// change of terms. It is bound into challenges.
	Version string
	// Hold asks for offers whose money is taken only once the goods are made, from
	// the rails that can (see [Holder]). Metered asks for offers with Amount as a
	// ceiling, of which what was used is taken; it implies Hold.
	Hold, Metered bool
	// Pack says that credit is bought, which is spent later ([Credits]).
	Pack bool
	// Terms are the seller's side of the settlement. They never appear in an offer on the wire.
	Terms Terms
}

// Terms are a route's settings for the rail. All are optional and private.
type Terms struct {
	// Account is the processor account that is charged on (a connected account).
	Account string `json:"account,omitempty"`
	// OnBehalfOf is the account of record for a destination charge.
	OnBehalfOf string `json:"on_behalf_of,omitempty"`
	// Destination receives the transfer of a destination charge.
	Destination string `json:"destination,omitempty"`
	// TransferGroup ties a later transfer to the charge.
	TransferGroup string `json:"transfer_group,omitempty"`
	// FeeUnits is the application fee in the quote's minor units; zero is none.
	FeeUnits int64 `json:"fee_units,omitempty"`
	// StatementSuffix is what follows the account's prefix on a card statement.
	StatementSuffix string `json:"statement_suffix,omitempty"`
	// Metadata is stored with the charge, at most 20 pairs.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Offer is one way to pay a [Quote], as a rail states it and before a protocol
// encodes it. Everything but Terms may be shown to the payer.
type Offer struct {
	// Method is the rail, [Method.Name]; Intent what it does, "charge".
	Method, Intent string
	// Amount is in the rail's own minor units.
	Amount money.Amount
	// Recipient is the rail's public name for the seller, if it has one.
	Recipient string
	// Network names where the money moves: a CAIP-2 id for a chain; empty is the rail.
	Network string
	// Protocol is the one [Protocol] that can carry the offer; empty is any.
	Protocol string
	// Hold says that the money is taken once the goods are made: the credential goes
	// to [Processor.Hold] and not to Charge. Metered says that Amount is a ceiling.
	Hold, Metered bool
	// Details is a JSON object in canonical form (RFC 8785) of what the rail
	// tells payers, such as {"networkId":…,"paymentMethodTypes":[…]}; nil for none.
	Details json.RawMessage
	Quote   Quote
}

// Scope is what a payment buys: exactly one request, or with a receipt that
// allows more, one resource.
type Scope struct {
	// Tenant is the realm the request is for.
	Tenant string
	// Route is the id of the matching route.
	Route string
	// Method is the HTTP method.
	Method string
	// Target is the canonical path with its canonical query, if any.
	Target string
	// Digest is the RFC 9530 value of the body, "sha-256=:…:", or empty when there is no body.
	Digest string
}

// Hash is the unpadded base64url SHA-256 over the length-prefixed fields, so
// that no two scopes share their input.
func (s Scope) Hash() string {
	buf := make([]byte, 0, 256)
	for _, f := range [...]string{s.Tenant, s.Route, s.Method, s.Target, s.Digest} {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(f)))
		buf = append(buf, f...)
	}
	sum := sha256.Sum256(buf)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
