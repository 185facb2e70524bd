// Package money holds exact amounts: a count of integer units, the currency
// they are of, and the scale that says how many decimal places a unit has.
//
// There is no float and no silent rounding here. An operation that cannot be
// exact returns an error and the caller decides.
package money

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// MaxScale is the largest number of decimal places an [Amount] may have. It
// covers 18-place tokens; int64 limits their size long before.
const MaxScale = 18

// Errors of this package; test with [errors.Is].
var (
	ErrSyntax   = errors.New("not a decimal amount")
	ErrCurrency = errors.New("currency differs or is malformed")
	ErrScale    = errors.New("scale out of range")
	ErrOverflow = errors.New("amount out of range")
	ErrInexact  = errors.New("amount is not exact at this scale")
)

// Amount is Units × 10^-Scale of Currency. The zero value is no amount: it has
// no currency and equals only itself. Amounts are comparable with ==, which
// compares units, currency and scale; use [Amount.Cmp] for value.
type Amount struct {
	units    int64
	currency string
	scale    uint8
}

// New returns units of currency at scale. Currency is 1 to 64 printable ASCII
// characters without spaces: an ISO 4217 code (stored in upper case) or a
// token identifier (stored as given when it is longer than three letters).
func New(units int64, currency string, scale int) (Amount, error) {
	if scale < 0 || scale > MaxScale {
		return Amount{}, fmt.Errorf("scale %d: %w", scale, ErrScale)
	}
	c, err := normalCurrency(currency)
	if err != nil {
		return Amount{}, err
	}
	return Amount{units: units, currency: c, scale: uint8(scale)}, nil
}

func normalCurrency(c string) (string, error) {
	if c == "" || len(c) > 64 {
		return "", fmt.Errorf("currency %q: %w", c, ErrCurrency)
	}
	letters := true
	for i := range len(c) {
		b := c[i]
		if b <= ' ' || b > '~' {
			return "", fmt.Errorf("currency %q: %w", c, ErrCurrency)
		}
		if lower := b | 0x20; lower < 'a' || lower > 'z' {
			letters = false
		}
	}
	if len(c) == 3 && letters {
		return strings.ToUpper(c), nil
	}
	return c, nil
}

// Units is the count of minor units (cents for USD at scale 2).
func (a Amount) Units() int64 { return a.units }

// Currency is the ISO 4217 code in upper case, or a token identifier.
func (a Amount) Currency() string { return a.currency }

// Scale is the number of decimal places of one unit.
func (a Amount) Scale() int { return int(a.scale) }

// IsZero reports whether there are no units, whatever the currency.
func (a Amount) IsZero() bool { return a.units == 0 }

// IsPositive reports whether there is more than nothing.
func (a Amount) IsPositive() bool { return a.units > 0 }

// Valid reports whether the amount has a currency, that is, was made by this package.
func (a Amount) Valid() bool { return a.currency != "" }

// Add returns a+b. Both must have the same currency and scale.
func (a Amount) Add(b Amount) (Amount, error) {
	if err := a.same(b); err != nil {
		return Amount{}, err
	}
	sum := a.units + b.units
	if (b.units > 0 && sum < a.units) || (b.units < 0 && sum > a.units) {
		return Amount{}, fmt.Errorf("add %s and %s: %w", a, b, ErrOverflow)
	}
	a.units = sum
	return a, nil
}

// Sub returns a-b. Both must have the same currency and scale.
func (a Amount) Sub(b Amount) (Amount, error) {
	if b.units == math.MinInt64 {
		return Amount{}, fmt.Errorf("subtract %s: %w", b, ErrOverflow)
	}
	b.units = -b.units
	return a.Add(b)
}

// Mul returns a×n.
func (a Amount) Mul(n int64) (Amount, error) {
	p, ok := mul64(a.units, n)
	if !ok {
		return Amount{}, fmt.Errorf("multiply %s by %d: %w", a, n, ErrOverflow)
	}
	a.units = p
	return a, nil
}

// Rescale returns the same value counted in units of another scale, or
// [ErrInexact] when the value has more places than the new scale can hold.
func (a Amount) Rescale(scale int) (Amount, error) {
	if scale < 0 || scale > MaxScale {
		return Amount{}, fmt.Errorf("scale %d: %w", scale, ErrScale)
	}
	for int(a.scale) < scale {
		p, ok := mul64(a.units, 10)
		if !ok {
			return Amount{}, fmt.Errorf("rescale to %d places: %w", scale, ErrOverflow)
		}
		a.units, a.scale = p, a.scale+1
	}
	for int(a.scale) > scale {
		if a.units%10 != 0 {
			return Amount{}, fmt.Errorf("%s at %d places: %w", a, scale, ErrInexact)
		}
		a.units, a.scale = a.units/10, a.scale-1
	}
	return a, nil
}

// Cmp compares values across scales: -1, 0 or +1. Currencies must be equal.
func (a Amount) Cmp(b Amount) (int, error) {
	if a.currency != b.currency {
		return 0, fmt.Errorf("compare %s with %s: %w", a.currency, b.currency, ErrCurrency)
	}
	scale := max(a.Scale(), b.Scale())
	x, err := a.Rescale(scale)
	if err != nil {
		return 0, err
	}
	y, err := b.Rescale(scale)
	if err != nil {
		return 0, err
	}
	switch {
	case x.units < y.units:
		return -1, nil
	case x.units > y.units:
		return 1, nil
	default:
		return 0, nil
	}
}

func (a Amount) same(b Amount) error {
	if a.currency != b.currency || a.scale != b.scale {
		return fmt.Errorf("%s/%d and %s/%d: %w", a.currency, a.scale, b.currency, b.scale, ErrCurrency)
	}
	return nil
}

func mul64(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	p := a * b
	if p/b != a || (a == -1 && b == math.MinInt64) || (b == -1 && a == math.MinInt64) {
		return 0, false
	}
	return p, true
}
