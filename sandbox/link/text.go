package link

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escapes matches what a terminal would obey: control sequences, operating
// system commands with their end, and the two-byte escapes.
var escapes = regexp.MustCompile(`(?:\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]?|(?:\x1b\]|\x{9d})[^\x07\x1b\x{9c}]*(?:\x07|\x1b\\|\x{9c})?|\x1b.?`)

// clean makes text of strangers fit to be shown to a person: no escape
// sequences, no control or format characters (so none that reverse or hide what
// follows), single spaces, at most one empty line, and at most limit characters
// with an ellipsis as the last when something is missing.
func clean(s string, limit int) string {
	s = escapes.ReplaceAllString(strings.ToValidUTF8(s, "\uFFFD"), "")
	var b strings.Builder
	n, newlines, space := 0, 0, false
	for _, r := range s {
		switch {
		case r == '\n' || r == '\u2028' || r == '\u2029':
			newlines++
			continue
		case unicode.IsSpace(r):
			space = true
			continue
		case !unicode.IsPrint(r):
			continue
		}
		gap := ""
		if n > 0 { // nothing before the first character
			switch {
			case newlines > 0:
				gap = "\n\n"[:min(newlines, 2)]
			case space:
				gap = " "
			}
		}
		if n+len(gap)+1 > limit {
			return shorten(b.String(), limit)
		}
		b.WriteString(gap)
		b.WriteRune(r)
		n += len(gap) + 1
		newlines, space = 0, false
	}
	return b.String()
}

// shorten ends s in an ellipsis within limit characters.
func shorten(s string, limit int) string {
	if utf8.RuneCountInString(s) >= limit {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return strings.TrimRightFunc(s, unicode.IsSpace) + "…"
}

// line is clean on one line.
func line(s string, limit int) string {
	return clean(strings.ReplaceAll(clean(s, limit), "\n", " "), limit)
}

// exponents holds the currencies whose minor unit is not a hundredth.
var exponents = map[string]int{
	"bif": 0, "clp": 0, "djf": 0, "gnf": 0, "jpy": 0, "kmf": 0, "krw": 0, "mga": 0, "pyg": 0, "rwf": 0, "ugx": 0,
	"vnd": 0, "vuv": 0, "xaf": 0, "xof": 0, "xpf": 0,
	"bhd": 3, "jod": 3, "kwd": 3, "omr": 3, "tnd": 3,
}

var signs = map[string]string{"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}

// price writes an amount of minor units for a person, as in "$1,234.50 USD".
func price(amount int64, currency string) string {
	return figure(amount, currency) + " " + strings.ToUpper(currency)
}

// short leaves the code out where the sign tells the currency, for rows below a
// price that has it.
func short(amount int64, currency string) string {
	if signs[currency] == "" {
		return price(amount, currency)
	}
	return figure(amount, currency)
}

func figure(amount int64, currency string) string {
	digits := strconv.FormatInt(amount, 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "−", digits[1:]
	}
	places, ok := exponents[currency]
	if !ok {
		places = 2
	}
	if pad := places + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	whole, rest := digits[:len(digits)-places], digits[len(digits)-places:]
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if places > 0 {
		rest = "." + rest
	}
	return sign + signs[currency] + whole + rest
}
