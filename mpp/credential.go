package mpp

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"paywall/payment"
)

// Limits of a credential's token. The default is what [Protocol] takes.
const (
	DefaultCredentialBytes = 8 << 10
	MaxCredentialBytes     = 16 << 10
)

// Errors of credentials.
var (
	ErrMalformed           = errors.New("malformed credential")
	ErrSeveralCredentials  = errors.New("more than one payment credential")
	errNoPaymentCredential = fmt.Errorf("mpp: %w", payment.ErrNoCredential)
)

// Credential is the payer's answer: the challenge it echoes and the method's proof.
type Credential struct {
	Challenge Challenge
	// Source names the payer if it wants to; it proves nothing.
	Source string
	// Payload is a JSON object and a bearer secret.
	Payload json.RawMessage
}

// LogValue keeps the proof out of logs.
func (c Credential) LogValue() slog.Value {
	return slog.GroupValue(slog.String("challenge", c.Challenge.ID), slog.String("method", c.Challenge.Method))
}

// NewCredential answers a parsed challenge. payload is a JSON object.
func NewCredential(c Challenge, payload []byte) (Credential, error) {
	b, err := Canonical(payload)
	if err != nil {
		return Credential{}, fmt.Errorf("payload: %w", err)
	}
	return Credential{Challenge: c, Payload: b}, nil
}

// Set puts the credential into h, in the field that the challenge asks for.
func (c Credential) Set(h http.Header) error {
	v, err := c.Format()
	if err != nil {
		return err
	}
	name := c.Challenge.Header
	if name == "" {
		name = defaultHeader
	}
	h.Set(name, v)
	return nil
}

type wireCredential struct {
	Challenge wireChallenge   `json:"challenge"`
	Payload   json.RawMessage `json:"payload"`
	Source    string          `json:"source,omitempty"`
}

type wireChallenge struct {
	ID          string `json:"id"`
	Realm       string `json:"realm"`
	Method      string `json:"method"`
	Intent      string `json:"intent"`
	Request     string `json:"request"`
	Description string `json:"description,omitempty"`
	Digest      string `json:"digest,omitempty"`
	Expires     string `json:"expires,omitempty"`
	Header      string `json:"header,omitempty"`
	Opaque      string `json:"opaque,omitempty"`
}

// Format writes the field value, "Payment" and base64url JSON.
func (c Credential) Format() (string, error) {
	if err := c.Challenge.check(); err != nil {
		return "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err := checkObject(c.Payload); err != nil {
		return "", fmt.Errorf("%w: payload: %w", ErrFormat, err)
	}
	b, err := json.Marshal(wireCredential{Challenge: wireChallenge(c.Challenge), Payload: c.Payload, Source: c.Source})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return Scheme + " " + EncodeBase64(b), nil
}

// ParseCredential reads one field value, where a Payment credential may stand
// beside another scheme. It does not check the binding. Errors:
// [payment.ErrNoCredential], [ErrSeveralCredentials], [ErrMalformed].
func ParseCredential(field string) (Credential, error) {
	token, n := findToken(field)
	switch {
	case n == 0:
		return Credential{}, errNoPaymentCredential
	case n > 1:
		return Credential{}, ErrSeveralCredentials
	}
	return decodeCredential(token, MaxCredentialBytes)
}

// findToken returns the first Payment token of a field value and how many there
// are. A bare scheme name counts as none.
func findToken(field string) (token string, n int) {
	// Most fields are one short scheme and a long token of somebody else.
	if strings.IndexByte(field, ',') < 0 && strings.IndexByte(field, '"') < 0 {
		return tokenOf(field)
	}
	for len(field) > 0 {
		end, quoted := 0, false
		for ; end < len(field); end++ {
			if c := field[end]; c == '"' {
				quoted = !quoted
			} else if c == '\\' && quoted {
				end++
			} else if c == ',' && !quoted {
				break
			}
		}
		end = min(end, len(field))
		part, k := tokenOf(field[:end])
		if end < len(field) {
			end++
		}
		field = field[end:]
		if n += k; k == 1 && n == 1 {
			token = part
		}
	}
	return token, n
}

// tokenOf is the token of one element, and 1, if it is of the scheme.
func tokenOf(part string) (token string, n int) {
	part = strings.Trim(part, " \t")
	if len(part) <= len(Scheme) || !strings.EqualFold(part[:len(Scheme)], Scheme) ||
		(part[len(Scheme)] != ' ' && part[len(Scheme)] != '\t') {
		return "", 0
	}
	return strings.TrimLeft(part[len(Scheme):], " \t"), 1
}

func malformed(err error) error { return fmt.Errorf("%w: %w", ErrMalformed, err) }

func decodeCredential(token string, limit int) (Credential, error) {
	if len(token) > limit {
		return Credential{}, malformed(errors.New("too long"))
	}
	data, err := DecodeBase64(token)
	if err != nil {
		return Credential{}, malformed(err)
	}
	return readCredential(data, decodeEcho)
}

// readCredential reads the object that a credential is on every transport; they
// differ in how the challenge is written.
func readCredential(data []byte, challenge func(json.RawMessage) (Challenge, error)) (Credential, error) {
	if err := checkObject(data); err != nil {
		return Credential{}, malformed(err)
	}
	top, err := members(data, "challenge", "payload", "source")
	if err != nil {
		return Credential{}, malformed(err)
	}
	c := Credential{Payload: top["payload"]}
	if c.Source, err = text(top, "source"); err != nil {
		return Credential{}, malformed(err)
	}
	if len(c.Payload) == 0 || c.Payload[0] != '{' {
		return Credential{}, malformed(errors.New("payload is not an object"))
	}
	if c.Challenge, err = challenge(top["challenge"]); err != nil {
		return Credential{}, malformed(err)
	}
	return c, nil
}

func decodeEcho(data json.RawMessage) (Challenge, error) {
	var c Challenge
	if len(data) == 0 {
		return c, errors.New("challenge is missing")
	}
	fields := []struct {
		name string
		to   *string
	}{
		{"id", &c.ID},
		{"realm", &c.Realm},
		{"method", &c.Method},
		{"intent", &c.Intent},
		{"request", &c.Request},
		{"description", &c.Description},
		{"digest", &c.Digest},
		{"expires", &c.Expires},
		{"header", &c.Header},
		{"opaque", &c.Opaque},
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	m, err := members(data, names...)
	if err != nil {
		return c, err
	}
	// Old clients send the decoded map; our own form of it is canonical.
	if raw := m["opaque"]; len(raw) > 0 && raw[0] == '{' {
		if c.Opaque, err = EncodeRequest(raw); err != nil {
			return c, err
		}
		delete(m, "opaque")
		fields = fields[:len(fields)-1]
	}
	for _, f := range fields {
		if *f.to, err = text(m, f.name); err != nil {
			return c, err
		}
	}
	for _, f := range fields[:5] {
		if *f.to == "" {
			return c, fmt.Errorf("challenge has no %s", f.name)
		}
	}
	return c, nil
}

// Hash is the unpadded base64url SHA-256 of challenge id and canonical payload,
// which all spellings of one credential share.
func (c Credential) Hash() (string, error) {
	payload, err := Canonical(c.Payload)
	if err != nil {
		return "", malformed(err)
	}
	return hashCredential(c.Challenge.ID, payload), nil
}

func hashCredential(id string, payload []byte) string {
	b := append(append([]byte(id), 0), payload...)
	sum := sha256.Sum256(b)
	return EncodeBase64(sum[:])
}
