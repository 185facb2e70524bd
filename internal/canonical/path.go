package canonical

import (
	"strings"
	"unicode/utf8"
)

// Path brings a raw path to canonical form. It refuses, raw and escaped: dot
// segments, backslashes, controls and what is not UTF-8; escaped slashes; raw
// semicolons, spaces, question marks and number signs; escapes that are none;
// and empty segments but the last, unless they are folded. Characters that a URI
// does not allow and that can mean only themselves are escaped. Errors are
// *[Error].
func Path(raw string, o Options) (string, error) {
	switch {
	case len(raw) > MaxTarget:
		return "", errTooLong()
	case raw == "" || raw[0] != '/':
		return "", bad("The path does not begin with a slash.")
	}
	if plainPath(raw) {
		return raw, nil
	}
	b := make([]byte, 0, len(raw)+16)
	wide := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '/' && len(b) > 0 && b[len(b)-1] == '/':
			if !o.FoldSlashes {
				return "", bad("The path has an empty segment.")
			}
		case classes[c]&inPath != 0:
			b = append(b, c)
		case c == '%':
			d, ok := unescape(raw[i:])
			switch {
			case !ok:
				return "", errEscape()
			case d == '/' || d == '\\':
				return "", bad("The path has an escaped slash.")
			case control(d):
				return "", errControl()
			case classes[d]&unreserved != 0:
				b = append(b, d)
			default:
				wide = wide || d >= utf8.RuneSelf
				b = appendEscaped(b, d)
			}
			i += 2
		case classes[c]&escapable != 0:
			wide = wide || c >= utf8.RuneSelf
			b = appendEscaped(b, c)
		default:
			return "", refusedInPath(c)
		}
	}
	path := string(b)
	if dotted(path) {
		return "", bad("The path has a dot segment.")
	}
	if wide {
		if err := checkText(path); err != nil {
			return "", err
		}
	}
	return path, nil
}

// plainPath reports whether a path is canonical at first sight, as almost all are.
func plainPath(s string) bool {
	for i := range len(s) {
		if classes[s[i]]&inPath == 0 {
			return false
		}
		if s[i] == '/' && i+1 < len(s) && (s[i+1] == '/' || s[i+1] == '.') {
			return false
		}
	}
	return true
}

func refusedInPath(c byte) error {
	switch {
	case c == '\\':
		return bad("The path has a backslash.")
	case c == ';':
		return bad("The path has a semicolon.")
	case c == '#':
		return bad("The target has a fragment.")
	case control(c):
		return errControl()
	}
	return bad("The path has a character that must be escaped.")
}

// dotted looks at the canonical path, in which dots are never escaped.
func dotted(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
