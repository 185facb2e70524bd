package stripe

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// word reports whether s is 1 to limit letters, digits and underscores: the form of
// every id and code of the processor. What passes is safe in a path, a header
// and a log line.
func word(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		b := s[i]
		if (b|0x20 < 'a' || b|0x20 > 'z') && (b < '0' || b > '9') && b != '_' {
			return false
		}
	}
	return true
}

// identifier reports whether s is an id of the processor with the prefix.
func identifier(s, prefix string) bool {
	return word(s, 255) && strings.HasPrefix(s, prefix) && len(s) > len(prefix)
}

// code returns a code of the processor when it has the form of one: an answer
// that is not from the processor must not write into our logs.
func code(s string) string {
	if !word(s, 64) || s != strings.ToLower(s) {
		return ""
	}
	return s
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// maxRetryAfter bounds what an answer may ask for.
const maxRetryAfter = time.Hour

// retryAfter reads seconds or a date (RFC 9110, 10.2.3); anything else is zero.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
