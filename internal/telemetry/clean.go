package telemetry

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	redacted = "[redacted]"
	// maxText is the longest text in bytes, as it is written.
	maxText = 512
	// maxSearched is how much of a text is looked at; more is never shown.
	maxSearched = 4 * maxText
)

// secretName reports whether an attribute of this name may have a secret for
// its value: one of its words says so. A key is one only at the end, so that
// what is said about a key can be read.
func secretName(name string) bool {
	last := ""
	for word := range strings.FieldsFuncSeq(strings.ToLower(name), func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		switch word {
		case "authorization", "cookie", "cookies", "token", "tokens", "secret", "secrets", "password", "credential", "credentials":
			return true
		}
		last = word
	}
	return last == "key" || last == "keys"
}

// secretPrefixes begin values that are secrets as a whole: processor keys,
// webhook secrets, payment tokens, credentials and JWTs.
var secretPrefixes = []string{"sk_", "rk_", "whsec_", "spt_", "Bearer ", "bearer ", "Basic ", "Payment ", "eyJ"}

// secretsWithin finds the same within other text, by what follows: a "Payment"
// in a sentence is no credential. Credentials of the scheme are JSON in
// base64url, which begins with the code of a brace.
var secretsWithin = regexp.MustCompile(strings.Join([]string{
	`\b(?:sk|rk|whsec|spt)_[A-Za-z0-9_]{4,}`,
	`\beyJ[A-Za-z0-9_=.-]{8,}`,
	`(?i:\b(?:bearer|basic) +)[A-Za-z0-9._~+/=-]{8,}`,
	`(?i:\bpayment +)e[0-3w-z][A-Za-z0-9_=+/.-]{16,}`,
	`\b[A-Za-z0-9]+_[A-Za-z0-9]+_secret_[A-Za-z0-9]+`,
}, "|"))

// In a URL, a user and a query are for the server alone.
var (
	urlUser  = regexp.MustCompile(`://[^/\s"'<>@]*@`)
	urlQuery = regexp.MustCompile(`(://[^\s"'<>?#]*)[?#][^\s"'<>]*`)
)

// cleanText is a value as it may be shown.
func cleanText(s string) string {
	for _, prefix := range secretPrefixes {
		if strings.HasPrefix(s, prefix) {
			return redacted
		}
	}
	return cleanMessage(s)
}

// cleanMessage is a text in which the beginning is no value: messages are
// constants of ours, and one may begin with "Payment".
func cleanMessage(s string) string {
	cut := len(s) > maxSearched
	if cut {
		s = strings.ToValidUTF8(s[:maxSearched], "")
	}
	if suspicious(s) {
		s = secretsWithin.ReplaceAllString(s, redacted)
		s = urlUser.ReplaceAllString(s, "://")
		s = urlQuery.ReplaceAllString(s, "$1?"+redacted)
	}
	if cut {
		s += more
	}
	return printable(s, maxText)
}

// suspicious is a quick look that saves most texts from the slow one: each
// pattern has an underscore, "eyJ", "://", or a scheme's last letter and a space.
func suspicious(s string) bool {
	for i := range len(s) {
		switch s[i] {
		case '_':
			return true
		case ' ':
			if i > 0 && strings.IndexByte("rRcCtT", s[i-1]) >= 0 {
				return true
			}
		case ':':
			if strings.HasPrefix(s[i:], "://") {
				return true
			}
		case 'e':
			if strings.HasPrefix(s[i:], "eyJ") {
				return true
			}
		}
	}
	return false
}

const more = "\u2026" // an ellipsis

// printable leaves nothing that moves a cursor or turns the direction of
// writing, and at most limit bytes once the handler has escaped it.
func printable(s string, limit int) string {
	if plainASCII(s) && len(s) <= limit {
		return s
	}
	var b strings.Builder
	written := 0 // with the escapes of the handler
	end := 0     // of what fits with an ellipsis behind it
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		text, cost := s[i:i+size], size
		switch {
		case r == '"' || r == '\\' || r == '\n' || r == '\r' || r == '\t':
			cost = 2
		case r < ' ':
			cost = 6
		case r == utf8.RuneError && size == 1:
			text, cost = `\x`+hexByte(s[i]), 5 // the backslash is escaped again
		case !strconv.IsPrint(r):
			text = strings.Trim(strconv.QuoteRuneToASCII(r), "'")
			cost = len(text) + 1
		}
		if written += cost; written > limit {
			return b.String()[:end] + more
		}
		b.WriteString(text)
		if written <= limit-len(more) {
			end = b.Len()
		}
		i += size
	}
	return b.String()
}

func hexByte(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// cleanAny makes text of a value that slog would print by reflection.
func cleanAny(v any) (out slog.Value) {
	defer func() {
		// An Error or MarshalJSON method on a nil pointer must not cost the event.
		if recover() != nil {
			out = slog.StringValue("!PANIC")
		}
	}()
	switch v := v.(type) {
	case nil:
		return slog.AnyValue(nil)
	case *url.URL:
		return slog.StringValue(cleanURL(v))
	case url.URL:
		return slog.StringValue(cleanURL(&v))
	case error:
		return slog.StringValue(cleanText(v.Error()))
	case fmt.Stringer:
		return slog.StringValue(cleanText(v.String()))
	case []byte:
		return slog.StringValue(strconv.Itoa(len(v)) + " bytes")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return slog.StringValue(fmt.Sprintf("!%T", v))
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		return slog.StringValue(fmt.Sprintf("!%T", v))
	}
	if s, ok := tree.(string); ok {
		return slog.StringValue(cleanText(s))
	}
	if b, err = json.Marshal(cleanTree(tree)); err != nil {
		return slog.StringValue(fmt.Sprintf("!%T", v))
	}
	return slog.StringValue(printable(string(b), maxText))
}

func cleanURL(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return cleanText(shown.String())
}

// cleanTree does for the members of JSON what is done for attributes.
func cleanTree(v any) any {
	switch v := v.(type) {
	case string:
		return cleanText(v)
	case []any:
		for i := range v {
			v[i] = cleanTree(v[i])
		}
	case map[string]any:
		for name, member := range v {
			if secretName(name) {
				v[name] = redacted
			} else {
				v[name] = cleanTree(member)
			}
		}
	}
	return v
}
