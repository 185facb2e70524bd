package canonical

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Query brings a raw query, without its question mark, to canonical form: as
// [Path] does, with pairs in their order and empty ones left out. A plus sign
// stays one, since not every reader takes it for a space. It refuses semicolons,
// controls, spaces and number signs, escapes that are none, what is not UTF-8,
// and more than [MaxPairs] pairs. Errors are *[Error].
func Query(raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	if len(raw) > MaxTarget {
		return "", errTooLong()
	}
	if pairs, ok := plainQuery(raw); ok {
		if pairs > MaxPairs {
			return "", errPairs()
		}
		return raw, nil
	}
	b := make([]byte, 0, len(raw)+16)
	wide, pairs := false, 0
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		if pairs++; pairs > MaxPairs {
			return "", errPairs()
		}
		if len(b) > 0 {
			b = append(b, '&')
		}
		for i := 0; i < len(pair); i++ {
			c := pair[i]
			switch {
			case classes[c]&inQuery != 0:
				b = append(b, c)
			case c == '%':
				d, ok := unescape(pair[i:])
				switch {
				case !ok:
					return "", errEscape()
				case control(d):
					return "", errControl()
				case classes[d]&unreserved != 0:
					b = append(b, d)
				default:
					wide = wide || d >= utf8.RuneSelf
					b = appendEscaped(b, d)
				}
				i += 2
			case classes[c]&escapable != 0 || c == '\\':
				wide = wide || c >= utf8.RuneSelf
				b = appendEscaped(b, c)
			default:
				return "", refusedInQuery(c)
			}
		}
	}
	query := string(b)
	if wide {
		if err := checkText(query); err != nil {
			return "", err
		}
	}
	return query, nil
}

// plainQuery reports whether a query is canonical at first sight, and its pairs.
func plainQuery(s string) (pairs int, ok bool) {
	pairs = 1
	before := byte('&')
	for i := range len(s) {
		c := s[i]
		if classes[c]&inQuery == 0 {
			return 0, false
		}
		if c == '&' {
			if before == '&' {
				return 0, false
			}
			pairs++
		}
		before = c
	}
	return pairs, before != '&'
}

func refusedInQuery(c byte) error {
	switch {
	case c == ';':
		return bad("The query has a semicolon.")
	case c == '#':
		return bad("The target has a fragment.")
	case control(c):
		return errControl()
	}
	return bad("The query has a character that must be escaped.")
}

func errPairs() *Error {
	return &Error{http.StatusBadRequest, "The query has more than 100 pairs."}
}

// Params reads the pairs of a query, canonical or not, as HTML forms mean them:
// a plus sign is a space, and a pair without an equals sign has an empty value.
// Values of one name are in the order in which they came; that there are two is
// for the caller to judge. Errors are those of [Query].
func Params(query string) (map[string][]string, error) {
	canonical, err := Query(query)
	if err != nil {
		return nil, err
	}
	params := make(map[string][]string)
	if canonical == "" {
		return params, nil
	}
	for pair := range strings.SplitSeq(canonical, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, err = url.QueryUnescape(name); err != nil {
			return nil, errEscape()
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return nil, errEscape()
		}
		params[name] = append(params[name], value)
	}
	return params, nil
}
