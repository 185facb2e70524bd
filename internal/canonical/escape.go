package canonical

import (
	"net/url"
	"unicode"
	"unicode/utf8"
)

// class says what may be done with a byte of a target.
type class uint8

const (
	unreserved class = 1 << iota // RFC 3986, section 2.3: never escaped
	inPath                       // may stand in a path as it is
	inQuery                      // may stand in a query as it is
	escapable                    // is sent raw by lenient clients, and has one escaped spelling
)

// classes are those of the 256 bytes; a byte without one is refused. A
// semicolon begins parameters that some servers cut off and others do not, and
// separates pairs for some: it has no class.
var classes = func() (t [256]class) {
	add := func(bytes string, c class) {
		for i := range len(bytes) {
			t[bytes[i]] |= c
		}
	}
	add("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", unreserved|inPath|inQuery)
	add("!$&'()*+,=:@/", inPath|inQuery)
	add("?", inQuery)
	add("\"<>[]^`{|}", escapable)
	for c := utf8.RuneSelf; c < 256; c++ {
		t[c] |= escapable
	}
	return t
}()

const upperHex = "0123456789ABCDEF"

func appendEscaped(b []byte, c byte) []byte {
	return append(b, '%', upperHex[c>>4], upperHex[c&15])
}

// unescape is the byte of the escape that s begins with.
func unescape(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	high, ok1 := unhex(s[1])
	low, ok2 := unhex(s[2])
	return high<<4 | low, ok1 && ok2
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func control(c byte) bool { return c < ' ' || c == 0x7f }

// checkText refuses canonical bytes that are not text when unescaped: overlong
// and broken UTF-8 reads differently from server to server.
func checkText(escaped string) error {
	s, err := url.PathUnescape(escaped)
	if err != nil || !utf8.ValidString(s) {
		return bad("The target is not UTF-8.")
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return errControl()
		}
	}
	return nil
}

func errEscape() *Error  { return bad("The target has an escape that is none.") }
func errControl() *Error { return bad("The target has a control character.") }
