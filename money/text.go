package money

import (
	"fmt"
	"strconv"
	"strings"
)

// Parse reads a plain decimal such as "1.50" as an amount of currency at
// scale. Signs, exponents, leading zeros ("01"), bare points (".5", "5."),
// spaces and group separators are [ErrSyntax]; so is a place more than scale.
func Parse(s, currency string, scale int) (Amount, error) {
	zero, err := New(0, currency, scale)
	if err != nil {
		return Amount{}, err
	}
	whole, frac, point := strings.Cut(s, ".")
	if !digits(whole) || (point && !digits(frac)) || len(frac) > scale || (len(whole) > 1 && whole[0] == '0') {
		return Amount{}, fmt.Errorf("%q with %d places: %w", clip(s), scale, ErrSyntax)
	}
	units, err := strconv.ParseInt(whole+frac+strings.Repeat("0", scale-len(frac)), 10, 64)
	if err != nil {
		return Amount{}, fmt.Errorf("%q: %w", clip(s), ErrOverflow)
	}
	zero.units = units
	return zero, nil
}

// ParsePrice reads "1.00 USD": a decimal, one space, a known ISO 4217 code. The
// scale is the larger of the currency's exponent and the places written, so
// "0.0005 USD" keeps its four places.
func ParsePrice(s string) (Amount, error) {
	num, cur, ok := strings.Cut(s, " ")
	if !ok {
		return Amount{}, fmt.Errorf("%q: want an amount and a currency, like \"1.00 USD\": %w", clip(s), ErrSyntax)
	}
	exp, known := Exponent(cur)
	if !known || cur != strings.ToUpper(cur) {
		return Amount{}, fmt.Errorf("%q is not a known upper-case currency code: %w", clip(cur), ErrCurrency)
	}
	_, frac, _ := strings.Cut(num, ".")
	return Parse(num, cur, max(exp, min(len(frac), MaxScale)))
}

// Decimal renders the value without its currency: "1.50", "-0.05", "100".
func (a Amount) Decimal() string {
	s := strconv.FormatInt(a.units, 10)
	if a.scale == 0 {
		return s
	}
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if pad := int(a.scale) + 1 - len(s); pad > 0 {
		s = strings.Repeat("0", pad) + s
	}
	cut := len(s) - int(a.scale)
	return sign + s[:cut] + "." + s[cut:]
}

// String renders "1.50 USD".
func (a Amount) String() string {
	if !a.Valid() {
		return "no amount"
	}
	return a.Decimal() + " " + a.currency
}

func digits(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
