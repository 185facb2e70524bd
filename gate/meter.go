package gate

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"paywall/internal/strictjson"
	"paywall/money"
	"paywall/payment"
)

// Meter says how the handler of a metered route tells what was used.
type Meter struct {
	// Header is the field of its answer, as "0.0123 USD", or as the JSON object of
	// x402 with atomic units of the asset, {"amount":"12300"}; empty is
	// Paywall-Used. It goes no further than the gate.
	Header string
	// Missing is what is taken of an answer without such a field, or with one that
	// cannot be read or is no whole number of the asset's units: the "ceiling", "zero",
	// or "fail", for which the answer is withheld and nothing taken; empty is "ceiling".
	Missing string
}

// check checks the meter and fills in what is left out.
func (m *Meter) check() error {
	if m.Header == "" {
		m.Header = usedField
	}
	if m.Missing == "" {
		m.Missing = "ceiling"
	}
	switch {
	case !token(m.Header):
		return fmt.Errorf("meter: %q is not the name of a field", m.Header)
	case m.Missing != "ceiling" && m.Missing != "fail" && m.Missing != "zero":
		return fmt.Errorf("meter: missing %q is none of ceiling, fail and zero", m.Missing)
	}
	m.Header = http.CanonicalHeaderKey(m.Header)
	return nil
}

var errUnmetered = errors.New("the answer does not say what was used")

// used is what an answer with the header costs, at most the ceiling, which the
// payer has authorized. trouble is for the log, whether or not there is an error.
func (m Meter) used(h http.Header, ceiling money.Amount, q payment.Quote) (amount money.Amount, trouble, err error) {
	lines := h[m.Header]
	if len(lines) == 1 {
		amount, trouble = read(lines[0], ceiling, q)
		if errors.Is(trouble, money.ErrOverflow) {
			return ceiling, trouble, nil // it is above the ceiling, which could be counted
		}
	} else {
		trouble = fmt.Errorf("%d fields of %s: %w", len(lines), m.Header, errUnmetered)
	}
	if trouble == nil {
		if n, err := amount.Cmp(ceiling); err == nil && n <= 0 {
			return amount, nil, nil
		}
		// Never more than was authorized, whatever the handler says.
		return ceiling, fmt.Errorf("%s is more than the ceiling of %s", amount, ceiling), nil
	}
	switch m.Missing {
	case "fail":
		return money.Amount{}, trouble, errUnmetered
	case "zero":
		amount, err = money.New(0, ceiling.Currency(), ceiling.Scale())
		return amount, trouble, err //nolint:wrapcheck // never: it is the ceiling's currency
	default:
		return ceiling, trouble, nil
	}
}

// read reads a field into the currency and scale of the ceiling, exactly.
func read(field string, ceiling money.Amount, q payment.Quote) (money.Amount, error) {
	if strings.HasPrefix(field, "{") {
		var v struct {
			Amount string `json:"amount"`
		}
		if err := strictjson.Decode([]byte(field), &v, strictjson.Limits{}); err != nil {
			return money.Amount{}, fmt.Errorf("what was used: %w", err)
		}
		units, err := money.Parse(v.Amount, ceiling.Currency(), 0)
		if err != nil {
			return money.Amount{}, fmt.Errorf("what was used: %w", err)
		}
		return money.New(units.Units(), ceiling.Currency(), ceiling.Scale()) //nolint:wrapcheck // never: it is the ceiling's currency
	}
	number, currency, _ := strings.Cut(field, " ")
	// The price and what the rail takes for it are the same number, in a currency and
	// in a token of it.
	if currency != ceiling.Currency() && (currency != q.Amount.Currency() || !sameNumber(q.Amount, ceiling)) {
		return money.Amount{}, fmt.Errorf("what was used is not in %s: %w", ceiling.Currency(), money.ErrCurrency)
	}
	_, frac, _ := strings.Cut(number, ".")
	amount, err := money.Parse(number, ceiling.Currency(), min(len(frac), money.MaxScale))
	if err == nil {
		amount, err = amount.Rescale(ceiling.Scale())
	}
	if err != nil {
		return money.Amount{}, fmt.Errorf("what was used: %w", err)
	}
	return amount, nil
}

func sameNumber(a, b money.Amount) bool {
	c, err := money.New(a.Units(), b.Currency(), a.Scale())
	if err != nil {
		return false
	}
	n, err := c.Cmp(b)
	return err == nil && n == 0
}
