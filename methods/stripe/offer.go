package stripe

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"paywall/money"
	"paywall/payment"
)

// maxUnits is the largest amount of one charge: eight digits.
const maxUnits = 99_999_999

// minimums are the smallest charges in minor units. Currencies that are not
// here have no minimum of their own; the one of the seller's settlement
// currency binds after conversion, and only the processor knows that.
func minimum(currency string) int64 {
	switch currency {
	case "HUF":
		return 17500
	case "CZK":
		return 1500
	case "MXN", "THB":
		return 1000
	case "HKD":
		return 400
	case "NOK", "SEK":
		return 300
	case "DKK":
		return 250
	case "AED", "MYR", "PLN", "RON":
		return 200
	case "BGN":
		return 100
	case "GBP":
		return 30
	case "ARS", "AUD", "BRL", "CAD", "CHF", "COP", "EUR", "IDR", "ILS", "INR", "JPY", "KRW", "NZD", "PHP", "RUB", "SGD", "USD", "ZAR":
		return 50
	}
	return 1
}

// granularity is what an amount must be a multiple of: the last of three
// decimals is always zero, and two currencies without a divided unit are sent as
// if they had one.
func granularity(currency string, exponent int) int64 {
	switch {
	case exponent == 3:
		return 10
	case currency == "ISK", currency == "UGX":
		return 100
	}
	return 1
}

// chargeable returns the amount in the processor's minor units, or an error
// that wraps [payment.ErrNotOffered] and tells the seller what to change.
func chargeable(a money.Amount) (money.Amount, error) {
	exponent, known := money.Exponent(a.Currency())
	if !known {
		return money.Amount{}, fmt.Errorf("%.20q is no currency that cards are charged in: %w", a.Currency(), payment.ErrNotOffered)
	}
	scaled, err := a.Rescale(exponent)
	switch {
	case errors.Is(err, money.ErrInexact):
		return money.Amount{}, fmt.Errorf("%s is finer than the smallest unit of %s (%d decimal places); raise the price, or sell credit: %w: %w",
			a, a.Currency(), exponent, payment.ErrNotOffered, err)
	case err != nil:
		return money.Amount{}, fmt.Errorf("%s: %w: %w", a, payment.ErrNotOffered, err)
	}
	units, step := scaled.Units(), granularity(a.Currency(), exponent)
	switch least := minimum(a.Currency()); {
	case units < least:
		return money.Amount{}, fmt.Errorf("%s is below the card minimum of %s; raise the price, or sell credit: %w",
			scaled, sized(scaled, least), payment.ErrNotOffered)
	case units > maxUnits:
		return money.Amount{}, fmt.Errorf("%s is above the largest charge, %s: %w", scaled, sized(scaled, maxUnits), payment.ErrNotOffered)
	case units%step != 0:
		return money.Amount{}, fmt.Errorf("%s must be a multiple of %s: %w", scaled, sized(scaled, step), payment.ErrNotOffered)
	}
	return scaled, nil
}

// sized is units in the currency and scale of a.
func sized(a money.Amount, units int64) money.Amount {
	b, err := money.New(units, a.Currency(), a.Scale())
	if err != nil {
		return money.Amount{} // not reached: a was valid
	}
	return b
}

// Offer implements [payment.Method]. Terms that the processor would refuse are
// [payment.ErrNotOffered] too, so that they are found when a route is loaded
// and not when it is paid for.
//
// A metered quote is not taken: a token pays once, and of a charge that is taken in
// part the processor counts the rest as paid back, from which a refund that somebody
// made cannot be told.
func (m *Method) Offer(q payment.Quote) (payment.Offer, error) {
	if q.Metered {
		return payment.Offer{}, fmt.Errorf("a card is charged the whole price; meter prepaid credit: %w", payment.ErrNotOffered)
	}
	amount, err := chargeable(q.Amount)
	if err != nil {
		return payment.Offer{}, err
	}
	if _, err := m.terms(q, amount); err != nil {
		return payment.Offer{}, err
	}
	if len(q.Route) > maxMetadataValue {
		return payment.Offer{}, fmt.Errorf("the route's id is longer than %d bytes: %w", maxMetadataValue, payment.ErrNotOffered)
	}
	return payment.Offer{Method: Name, Intent: "charge", Amount: amount, Hold: q.Hold && m.cfg.ManualCapture, Details: m.details, Quote: q}, nil
}

// settings are a route's terms, checked, with the defaults of the rail.
type settings struct {
	payment.Terms
	fee money.Amount // in the processor's minor units
}

func (m *Method) terms(q payment.Quote, amount money.Amount) (settings, error) {
	s := settings{Terms: q.Terms}
	if s.Account == "" {
		s.Account = m.cfg.Account
	}
	if s.StatementSuffix == "" {
		s.StatementSuffix = m.cfg.StatementSuffix
	}
	refuse := func(format string, args ...any) (settings, error) {
		return settings{}, fmt.Errorf("terms: %w: %w", fmt.Errorf(format, args...), payment.ErrNotOffered)
	}
	for _, account := range []struct{ name, id string }{
		{"account", s.Account}, {"on_behalf_of", s.OnBehalfOf}, {"destination", s.Destination},
	} {
		if account.id != "" && !identifier(account.id, "acct_") {
			return refuse(`%s: want "acct_…"`, account.name)
		}
	}
	if len(s.TransferGroup) > 255 || !printable(s.TransferGroup) {
		return refuse("transfer_group: want at most 255 plain characters")
	}
	if s.StatementSuffix != "" {
		if err := checkSuffix(s.StatementSuffix); err != nil {
			return refuse("statement_suffix: %w", err)
		}
	}
	s.Metadata = merged(m.cfg.Metadata, s.Metadata)
	if err := checkMetadata(s.Metadata, maxMetadata-ownMetadata); err != nil {
		return refuse("metadata: %w", err)
	}
	fee, err := sized(q.Amount, s.FeeUnits).Rescale(amount.Scale())
	switch {
	case err != nil:
		return refuse("fee_units: %w", err)
	case fee.Units() < 0 || fee.Units() > amount.Units():
		return refuse("fee_units: the fee must lie between nothing and the price")
	case fee.IsPositive() && s.Account == "" && s.Destination == "":
		return refuse("fee_units: a fee needs a connected account or a destination")
	}
	s.fee = fee
	return s, nil
}

func merged(base, over map[string]string) map[string]string {
	out := make(map[string]string, len(base)+len(over)+ownMetadata)
	maps.Copy(out, base)
	maps.Copy(out, over)
	return out
}

// Metadata names of our own. The mpp_ ones are what other sellers of that
// protocol write too.
const (
	metaMachine      = "machine_payment"
	metaMPPIntent    = "mpp_intent"
	metaMPPChallenge = "mpp_challenge_id"
	metaChallenge    = "challenge_id"
	metaPayment      = "paywall_payment"
	metaRoute        = "paywall_route"
	metaVoid         = "paywall_void"
)

func reserved(name string) bool {
	return name == metaMachine || name == metaChallenge || strings.HasPrefix(name, "mpp_") || strings.HasPrefix(name, "paywall_")
}
