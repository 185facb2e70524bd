package facilitator

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Auth proves to a facilitator who calls. Implementations are safe for concurrent
// use and redact themselves.
type Auth interface {
	// Authorize sets fields of the request, which is complete but for its body. It
	// does no I/O. Its errors hold nothing secret.
	Authorize(r *http.Request, now time.Time) error
}

// checker is an [Auth] that can be wrong from the start.
type checker interface{ check() error }

const redacted = "redacted"

// headers is an [Auth] by fields that stay the same.
type headers struct{ fields http.Header }

var (
	_ fmt.Formatter  = headers{}
	_ slog.LogValuer = headers{}
)

// Headers sends the same fields with every call, such as Authorization. [New] refuses
// those that are none, or that net/http or the protocol sets itself.
func Headers(h http.Header) Auth { return headers{h.Clone()} }

// Authorize implements [Auth].
func (a headers) Authorize(r *http.Request, _ time.Time) error {
	for name, values := range a.fields {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	return nil
}

// Format writes "redacted" for every verb.
func (headers) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is "redacted".
func (headers) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON is "redacted".
func (headers) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

func (a headers) check() error {
	for name, values := range a.fields {
		if !token(name) {
			return errors.New("a field's name has characters that none has")
		}
		switch http.CanonicalHeaderKey(name) {
		case "Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection", "Trailer", "Te",
			"Upgrade", "Expect", "Accept", "Accept-Encoding":
			return fmt.Errorf("%s is set by the call itself", http.CanonicalHeaderKey(name))
		}
		for _, v := range values {
			if v == "" || len(v) > 4096 || strings.TrimSpace(v) != v || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
				return fmt.Errorf("the value of %s is empty, too long or has unprintable characters", http.CanonicalHeaderKey(name))
			}
		}
	}
	return nil
}

// token reports whether s is one of RFC 9110, section 5.6.2.
func token(s string) bool {
	const set = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return s != "" && strings.Trim(s, set) == ""
}
