package mpp

import (
	"errors"
	"fmt"
	"strings"
)

// Names of the fields of the scheme.
const (
	Scheme               = "Payment"
	PaymentAuthorization = "Payment-Authorization"
	PaymentReceipt       = "Payment-Receipt"
	AcceptPayment        = "Accept-Payment"
	defaultHeader        = "Authorization"
)

// MaxChallengeBytes bounds one challenge that is written.
const MaxChallengeBytes = 8 << 10

// maxFieldBytes bounds one WWW-Authenticate line, which may hold many challenges.
const maxFieldBytes = 64 << 10

// Errors of challenges.
var (
	ErrFormat = errors.New("cannot be written as a challenge")
	ErrParse  = errors.New("not a payment challenge")
)

// Challenge is one offer as it travels. Every field is the wire string; empty
// is absent. Request is base64url of a JSON object, Opaque any string.
type Challenge struct {
	ID, Realm, Method, Intent, Request   string
	Description, Digest, Expires, Header string
	Opaque                               string
}

func (c *Challenge) check() error {
	for _, p := range [...]struct{ name, value string }{
		{"id", c.ID}, {"realm", c.Realm}, {"method", c.Method}, {"intent", c.Intent}, {"request", c.Request},
	} {
		if p.value == "" {
			return fmt.Errorf("%s is missing", p.name)
		}
	}
	if !isMethod(c.Method) {
		return errors.New("method is not lower-case letters")
	}
	if !isIntent(c.Intent) {
		return errors.New("intent is not letters, digits and hyphens")
	}
	if c.Header != "" && c.Header != PaymentAuthorization && c.Header != defaultHeader {
		return errors.New("unknown header")
	}
	_, err := c.RequestObject()
	return err
}

// RequestObject is the decoded request, a JSON object.
func (c *Challenge) RequestObject() ([]byte, error) {
	b, err := DecodeBase64(c.Request)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if err := checkObject(b); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	return b, nil
}

// Format writes c as one WWW-Authenticate field value. All values are quoted.
// It is [ErrFormat] when a required value is missing or one has control or
// non-ASCII characters, or a bound one the separator "|".
func (c *Challenge) Format() (string, error) {
	if err := c.check(); err != nil {
		return "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err := checkSlots(c); err != nil {
		return "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	b := []byte(Scheme)
	sep := " "
	for _, p := range [...]struct{ name, value string }{
		{"id", c.ID},
		{"realm", c.Realm},
		{"method", c.Method},
		{"intent", c.Intent},
		{"request", c.Request},
		{"description", c.Description},
		{"digest", c.Digest},
		{"expires", c.Expires},
		{"header", c.Header},
		{"opaque", c.Opaque},
	} {
		if p.value == "" {
			continue
		}
		if !printable(p.value) {
			return "", fmt.Errorf("%w: %s is not printable ascii", ErrFormat, p.name)
		}
		b = append(append(b, sep...), p.name...)
		b = appendQuoted(append(b, '='), p.value)
		sep = ", "
	}
	if len(b) > MaxChallengeBytes {
		return "", fmt.Errorf("%w: too long", ErrFormat)
	}
	return string(b), nil
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func isMethod(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

func isIntent(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}
