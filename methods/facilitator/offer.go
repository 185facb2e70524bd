package facilitator

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"paywall/internal/strictjson"
	"paywall/money"
	"paywall/payment"
	"paywall/x402/evm"
)

const flowUpfront = "upfront"

// terms are the payment requirements of x402 without their amount. Members are in
// the order of their names, which with these values makes it canonical JSON.
type terms struct {
	Asset   string `json:"asset"`
	Extra   extra  `json:"extra"`
	Timeout int64  `json:"maxTimeoutSeconds"`
	Network string `json:"network"`
	PayTo   string `json:"payTo"`
	Scheme  string `json:"scheme"`
}

type extra struct {
	TransferMethod string `json:"assetTransferMethod,omitempty"`
	Facilitator    string `json:"facilitatorAddress,omitempty"`
	Name           string `json:"name"`
	// Flow is left out where it is the protocol's default, verify first and settle
	// with the goods made.
	Flow    string `json:"paymentFlow,omitempty"`
	Version string `json:"version"`
}

// requirements are terms with the amount in the token's smallest units.
type requirements struct {
	Amount string `json:"amount"`
	terms
}

func (m *Method) terms(hold bool, facilitator string) terms {
	t := terms{
		Asset: m.asset, Timeout: int64(m.cfg.MaxTimeout / time.Second), Network: m.cfg.Asset.Network,
		PayTo: m.payTo, Scheme: m.cfg.Scheme,
		Extra: extra{Name: m.cfg.Asset.Name, Version: m.cfg.Asset.Version, Facilitator: facilitator},
	}
	if m.cfg.Scheme == SchemeUpto {
		t.Extra.TransferMethod = "permit2"
	}
	if !hold {
		t.Extra.Flow = flowUpfront
	}
	return t
}

// Offer implements [payment.Method]. The price must be a whole number of the token's
// smallest units. Nothing is offered that no facilitator has said to settle.
func (m *Method) Offer(q payment.Quote) (payment.Offer, error) {
	amount, err := m.amount(q.Amount)
	if err != nil {
		return payment.Offer{}, err
	}
	hold := q.Hold || q.Metered
	if upto := m.cfg.Scheme == SchemeUpto; upto != q.Metered {
		return payment.Offer{}, fmt.Errorf("%s takes a metered price and nothing else, and %s the opposite: %w", SchemeUpto, SchemeExact, payment.ErrNotOffered)
	}
	_, facilitator, err := m.pick()
	if err != nil {
		return payment.Offer{}, err
	}
	t := m.terms(hold, facilitator)
	details, err := m.rendered.write(hold, t)
	if err != nil {
		return payment.Offer{}, err
	}
	return payment.Offer{
		Method: m.cfg.Name, Intent: "charge", Amount: amount, Recipient: t.PayTo, Network: t.Network, Protocol: protocol,
		Hold: hold, Metered: q.Metered, Details: details, Quote: q,
	}, nil
}

// amount is the price in the token. One token stands for one of the currency.
func (m *Method) amount(price money.Amount) (money.Amount, error) {
	a := m.cfg.Asset
	if price.Currency() != m.cfg.Currency && price.Currency() != a.Symbol {
		return money.Amount{}, fmt.Errorf("%s is for prices in %s, not %s: %w", a.Symbol, m.cfg.Currency, price.Currency(), payment.ErrNotOffered)
	}
	exact, err := price.Rescale(a.Decimals)
	if err != nil || !exact.IsPositive() {
		return money.Amount{}, fmt.Errorf("%s is not a whole number of 10^-%d %s: %w", price, a.Decimals, a.Symbol, payment.ErrNotOffered)
	}
	out, err := money.New(exact.Units(), a.Symbol, a.Decimals)
	if err != nil {
		return money.Amount{}, fmt.Errorf("%s in %s: %w", price, a.Symbol, payment.ErrNotOffered)
	}
	return out, nil
}

// pick chooses the facilitator, and for the scheme upto the address that alone may
// carry permits out.
func (m *Method) pick() (endpoint, address string, err error) {
	endpoint, kind, err := m.cfg.Client.Pick(version, m.cfg.Scheme, m.cfg.Asset.Network)
	if err != nil {
		return "", "", fmt.Errorf("%s on %s: %w: %w", m.cfg.Scheme, m.cfg.Asset.Network, err, payment.ErrNotOffered)
	}
	if m.cfg.Scheme != SchemeUpto {
		return endpoint, "", nil
	}
	var said struct {
		Address string `json:"facilitatorAddress"`
	}
	if strictjson.Check(kind, strictjson.Limits{}) != nil || json.Unmarshal(kind, &said) != nil {
		return "", "", fmt.Errorf("%s on %s: the facilitator's extra cannot be read: %w", m.cfg.Scheme, m.cfg.Asset.Network, payment.ErrNotOffered)
	}
	a, err := evm.ParseAddress(said.Address)
	if err != nil || a.IsZero() {
		return "", "", fmt.Errorf("%s on %s: the facilitator does not say its address: %w", m.cfg.Scheme, m.cfg.Asset.Network, payment.ErrNotOffered)
	}
	return endpoint, a.Checksum(), nil
}

// required reads the requirements back that an offer of this method stood for, and
// refuses those of another configuration.
func (m *Method) required(o payment.Offer) (requirements, error) {
	t, ours := m.rendered.read(o.Hold, o.Details)
	if !ours {
		var err error
		if t, err = m.reread(o); err != nil {
			return requirements{}, err
		}
	}
	a := o.Amount
	switch {
	case o.Method != m.cfg.Name || o.Metered != (m.cfg.Scheme == SchemeUpto):
		return requirements{}, errOffer
	case a.Currency() != m.cfg.Asset.Symbol || a.Scale() != m.cfg.Asset.Decimals || !a.IsPositive():
		return requirements{}, errOffer
	}
	return requirements{Amount: units(a), terms: t}, nil
}

// reread reads the terms of an offer that was made before this process, or for
// another facilitator than the last.
func (m *Method) reread(o payment.Offer) (terms, error) {
	var t terms
	if err := strictjson.Decode(o.Details, &t, strictjson.Limits{}); err != nil {
		return terms{}, fmt.Errorf("the offer's details: %w", err)
	}
	if t != m.terms(o.Hold, t.Extra.Facilitator) {
		return terms{}, errOffer
	}
	if _, err := evm.ParseAddress(t.Extra.Facilitator); m.cfg.Scheme == SchemeUpto && err != nil {
		return terms{}, errOffer
	}
	return t, nil
}

func units(a money.Amount) string { return strconv.FormatInt(a.Units(), 10) }
