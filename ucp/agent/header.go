// Package agent finds out who calls: the profile that a request names, what it and the
// shop have in common, and whether the caller is who it says (overview, "negotiation"
// and "message signatures").
package agent

import (
	"strings"

	"paywall/ucp/protocol"
)

// maxHeader bounds UCP-Agent, maxURL the profile's address.
const (
	maxHeader = 4 << 10
	maxURL    = 2 << 10
)

// ParseHeader reads the profile's URL from the values of UCP-Agent, a dictionary of
// RFC 8941. Members and parameters that are not known are left out.
func ParseHeader(values []string) (profile string, fault *protocol.Fault) {
	if len(values) == 0 {
		return "", noProfile("Name the agent's profile: UCP-Agent: profile=\"https://…\".")
	}
	field := strings.Join(values, ", ")
	if len(field) > maxHeader {
		return "", noProfile("UCP-Agent is too long.")
	}
	found := 0
	d := dictionary{rest: strings.Trim(field, " \t")}
	for d.rest != "" {
		name, value, ok := d.member()
		if !ok {
			return "", noProfile("UCP-Agent cannot be read; write profile=\"https://…\".")
		}
		if name == "profile" {
			profile = value
			found++
		}
	}
	if found != 1 || profile == "" {
		return "", noProfile("UCP-Agent names no profile, or two; write profile=\"https://…\".")
	}
	return profile, nil
}

// CheckURL refuses what cannot be a profile's address, wherever it was written.
func CheckURL(profile string) *protocol.Fault {
	if profile == "" || len(profile) > maxURL || strings.ContainsFunc(profile, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return noProfile("The agent's profile is not a URL.")
	}
	return nil
}

func noProfile(text string) *protocol.Fault {
	return &protocol.Fault{Code: protocol.InvalidProfileURL, Content: text}
}

// A dictionary is what is left to read of one.
type dictionary struct{ rest string }

// member reads one member. The value of one that is no string is empty.
func (d *dictionary) member() (name, value string, ok bool) {
	n := strings.IndexFunc(d.rest, func(r rune) bool { return !nameRune(r) })
	if n < 0 {
		n = len(d.rest)
	}
	name, d.rest = d.rest[:n], d.rest[n:]
	if name == "" || name[0] >= '0' && name[0] <= '9' || name[0] == '-' || name[0] == '.' || name[0] == '_' {
		return "", "", false
	}
	if strings.HasPrefix(d.rest, "=") {
		d.rest = d.rest[1:]
		if value, ok = d.item(); !ok {
			return "", "", false
		}
	}
	for strings.HasPrefix(d.rest, ";") {
		d.rest = strings.TrimLeft(d.rest[1:], " ")
		n := strings.IndexFunc(d.rest, func(r rune) bool { return !nameRune(r) })
		if n < 0 {
			n = len(d.rest)
		}
		if n == 0 {
			return "", "", false
		}
		d.rest = d.rest[n:]
		if strings.HasPrefix(d.rest, "=") {
			d.rest = d.rest[1:]
			if _, ok := d.item(); !ok {
				return "", "", false
			}
		}
	}
	d.rest = strings.TrimLeft(d.rest, " \t")
	if d.rest == "" {
		return name, value, true
	}
	if d.rest[0] != ',' {
		return "", "", false
	}
	d.rest = strings.TrimLeft(d.rest[1:], " \t")
	return name, value, d.rest != ""
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.' || r == '*'
}

// item reads a value: a string, or anything else up to where it ends.
func (d *dictionary) item() (text string, ok bool) {
	switch {
	case strings.HasPrefix(d.rest, `"`):
		return d.text()
	case strings.HasPrefix(d.rest, "("):
		n := strings.IndexByte(d.rest, ')')
		if n < 0 {
			return "", false
		}
		d.rest = d.rest[n+1:]
		return "", true
	}
	n := strings.IndexAny(d.rest, ",; \t\"")
	if n < 0 {
		n = len(d.rest)
	}
	if n == 0 {
		return "", false
	}
	d.rest = d.rest[n:]
	return "", true
}

func (d *dictionary) text() (string, bool) {
	var b strings.Builder
	for i := 1; i < len(d.rest); i++ {
		switch c := d.rest[i]; {
		case c == '"':
			d.rest = d.rest[i+1:]
			return b.String(), true
		case c == '\\':
			if i++; i >= len(d.rest) || d.rest[i] != '"' && d.rest[i] != '\\' {
				return "", false
			}
			b.WriteByte(d.rest[i])
		case c < ' ' || c > '~':
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
