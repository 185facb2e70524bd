package page

import (
	"html"
	"strings"
	"unicode"

	"paywall/money"
)

// markup is HTML. What is not a constant of ours becomes it by [text] alone.
type markup string

// text is s as it stands between tags and in quoted attributes: escaped, and without
// characters that change how what is around them looks.
func text(s string) markup { return markup(html.EscapeString(plain(s))) }

func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != '\u200d': // directions and the invisible; joiners make emoji
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// amount is units of a currency, for people.
func amount(units int64, currency string, scale int) markup {
	sign := ""
	if units < 0 {
		sign, units = "\u2212", -units
	}
	a, err := money.New(units, currency, scale)
	if err != nil {
		return "" // not reached: it was priced
	}
	return text(sign + a.String())
}
