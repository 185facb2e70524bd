package openapi

import (
	"encoding/json"
	"fmt"
	"strings"

	"paywall/money"
	"paywall/payment"
)

// Offer is one way to pay for a route.
type Offer struct {
	// Intent is "charge" when empty.
	Intent, Method string
	// Amount is in the method's own minor units. The zero Amount is a price that
	// is only known per request.
	Amount money.Amount
	// Metered says that Amount is a ceiling.
	Metered bool
	// Currency is what the method calls it on the wire. Empty is the currency of
	// Amount, an ISO 4217 code in lower case.
	Currency    string
	Description string
	// Price is what Amount stands for in the seller's currency; the zero Amount is
	// Amount itself where that is in an ISO currency, and unknown elsewhere.
	Price money.Amount
	// X402 are the terms of an offer that x402 alone carries; nil for all others.
	X402 *X402
}

// X402 says where the money of an offer moves. The smallest units of Asset are those
// of the offer's Amount.
type X402 struct {
	Scheme string
	// Network is a CAIP-2 id.
	Network string
	// Asset is a token's contract, PayTo the seller's address.
	Asset, PayTo string
}

// protocolX402 is the [payment.Offer.Protocol] of offers with terms.
const protocolX402 = "x402"

// OfferOf is an offer as a rail has stated it. It is [ErrConfig] when terms that are
// to be told are missing.
func OfferOf(o payment.Offer) (Offer, error) {
	out := Offer{Intent: o.Intent, Method: o.Method, Amount: o.Amount, Metered: o.Metered, Price: o.Quote.Amount}
	if o.Protocol != protocolX402 {
		return out, nil
	}
	var said struct {
		Scheme, Network, Asset, PayTo string
	}
	if err := json.Unmarshal(o.Details, &said); err != nil {
		return Offer{}, fmt.Errorf("offer of %s: details: %w: %w", o.Method, err, ErrConfig)
	}
	if said.Network != o.Network {
		return Offer{}, fmt.Errorf("offer of %s: network is %q and %q: %w", o.Method, o.Network, said.Network, ErrConfig)
	}
	out.X402, out.Currency = &X402{Scheme: said.Scheme, Network: said.Network, Asset: said.Asset, PayTo: said.PayTo}, said.Asset
	return out, out.check()
}

func (o Offer) check() error {
	if o.Method == "" || o.Amount.Units() < 0 {
		return fmt.Errorf("offer: method or amount: %w", ErrConfig)
	}
	// The schema of discovery knows these two (mpp "Discovery", offers).
	if o.Intent != "" && o.Intent != "charge" && o.Intent != "session" {
		return fmt.Errorf("offer: intent %q: %w", o.Intent, ErrConfig)
	}
	if x := o.X402; x != nil && (x.Scheme == "" || !strings.Contains(x.Network, ":") || x.Asset == "" || x.PayTo == "") {
		return fmt.Errorf("offer: terms of x402 are not complete: %w", ErrConfig)
	}
	return nil
}

func (o Offer) currency() string {
	switch {
	case o.Currency != "":
		return o.Currency
	case len(o.Amount.Currency()) == 3:
		return strings.ToLower(o.Amount.Currency())
	default:
		return o.Amount.Currency()
	}
}

// price is what people are told, and false when that is not known.
func (o Offer) price() (money.Amount, bool) {
	switch {
	case !o.Amount.Valid():
		return money.Amount{}, false
	case o.Price.Valid():
		return o.Price, true
	default:
		return o.Amount, o.X402 == nil && len(o.Amount.Currency()) == 3
	}
}

// way says how the offer is paid, for people.
func (o Offer) way() string {
	if o.X402 == nil {
		return o.Method
	}
	return o.Method + " (x402 on " + o.X402.Network + ")"
}
