package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"paywall/money"
)

// scalar is a value that is written as one word. Its errors say what to write.
type scalar interface {
	set(text string) error
	// kind is what the reference calls it.
	kind() string
}

// count is a plain whole number.
type count int

func (*count) kind() string { return "number" }

func (c *count) set(text string) error {
	n, err := wholeNumber(text)
	if err != nil || n > math.MaxInt32 {
		return fmt.Errorf("%s is not a whole number below 2147483648", clip(text))
	}
	*c = count(n)
	return nil
}

func (c count) String() string { return strconv.Itoa(int(c)) }

func wholeNumber(text string) (int64, error) {
	if text == "" || strings.Trim(text, "0123456789") != "" || len(text) > 1 && text[0] == '0' {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(text, 10, 64) //nolint:wrapcheck // callers only ask whether
}

// size is a number of bytes, written with a unit or without.
type size int64

func (*size) kind() string { return "size" }

func (s *size) set(text string) error {
	digits, shift := text, 0
	for unit, by := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if d, ok := strings.CutSuffix(text, unit); ok {
			digits, shift = strings.TrimSuffix(d, " "), by
		}
	}
	n, err := wholeNumber(digits)
	if err != nil || n > math.MaxInt64>>shift {
		return fmt.Errorf("%s is not a size; write a number of bytes, or 64KiB, 1MiB, 1GiB", clip(text))
	}
	*s = size(n << shift)
	return nil
}

func (s size) String() string {
	for _, u := range []struct {
		shift int
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n := int64(s); n > 0 && n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + " bytes"
}

// duration is a length of time in Go's notation.
type duration time.Duration

func (*duration) kind() string { return "duration" }

func (d *duration) set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return fmt.Errorf("%s is not a duration; write 500ms, 30s, 15m or 24h", clip(text))
	}
	*d = duration(v)
	return nil
}

func (d duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// amount is a price: more than nothing, in a known currency. It is kept in the
// currency's own minor unit where that is exact, so that "1.000 USD" is one dollar.
type amount struct{ money.Amount }

func (*amount) kind() string { return "price" }

func (a *amount) set(text string) error {
	v, err := money.ParsePrice(text)
	switch {
	case errors.Is(err, money.ErrCurrency):
		return fmt.Errorf("%s has no known currency; write an ISO 4217 code in upper case, as in 1.00 USD", clip(text))
	case errors.Is(err, money.ErrOverflow):
		return fmt.Errorf("%s is more than can be counted", clip(text))
	case err != nil:
		return fmt.Errorf("%s is not a price; write an amount, one space and a currency, as in 1.00 USD", clip(text))
	case !v.IsPositive():
		return errors.New("a price is more than nothing; a route that costs nothing says free: true instead")
	}
	if exponent, ok := money.Exponent(v.Currency()); ok {
		if exact, err := v.Rescale(exponent); err == nil {
			v = exact
		}
	}
	a.Amount = v
	return nil
}

// clip quotes what was written, short and without control characters.
func clip(text string) string {
	if r := []rune(text); len(r) > 40 {
		text = string(r[:40]) + "…"
	}
	return strconv.Quote(text)
}
