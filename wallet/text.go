package wallet

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes text from a stranger safe to show on a terminal and to quote in a
// message: escape sequences are removed whole, control and invisible characters
// and those that turn the writing direction are dropped, white space becomes one
// space, and the result has at most limit characters.
func Clean(s string, limit int) string {
	var b strings.Builder
	n, space := 0, false
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == 0x1b || r == 0x9b || r == 0x9d || r == 0x90 {
			i += escape(s[i:], r, size)
			continue
		}
		i += size
		switch {
		case r == utf8.RuneError && size == 1:
			continue
		case unicode.IsSpace(r):
			space = n > 0
			continue
		case !unicode.IsPrint(r) || r == utf8.RuneError || unicode.Is(unicode.Variation_Selector, r):
			continue // C0, C1, zero width, bidirectional controls, tags
		}
		if space && n < limit {
			b.WriteByte(' ')
			n++
		}
		if space = false; n >= limit {
			break
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimRight(b.String(), " ")
}

// escape is the length of the escape sequence that s begins with: CSI up to its
// final byte, OSC and its kin up to BEL or ST, any other the byte after ESC. One
// that does not end takes the rest of the line with it.
func escape(s string, r rune, size int) int {
	var kind byte
	i := size
	switch r {
	case 0x9b:
		kind = '['
	case 0x9d, 0x90:
		kind = ']'
	default:
		if i == len(s) {
			return i
		}
		kind = s[i]
		if kind >= utf8.RuneSelf {
			return i
		}
		i++
	}
	switch kind {
	case '[':
		for ; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
			if s[i] < 0x20 || s[i] > 0x7e {
				return i
			}
		}
	case ']', 'P', '^', '_', 'X':
		for ; i < len(s) && s[i] != '\n'; i++ {
			if s[i] == 0x07 {
				return i + 1
			}
			if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
		}
	}
	return i
}
