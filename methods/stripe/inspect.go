package stripe

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"paywall/payment"
)

const (
	tokenPrefix = "spt_"
	maxPayload  = 8 << 10
)

var errPayload = errors.New("payload has another form")

// Inspect implements [payment.Method]. The payload is {"spt":"spt_…"} (the
// stripe charge draft), with an optional externalId that is text; members that
// nobody knows are accepted, as the protocol wants, and change nothing.
func (*Method) Inspect(c payment.Credential) (payment.Instrument, error) {
	token, err := parsePayload(c.Payload)
	if err != nil {
		return payment.Instrument{}, &payment.Error{
			Kind: payment.KindInvalidPayload, Detail: `the payload must be an object with the token as "spt"`, Err: err,
		}
	}
	sum := sha256.Sum256([]byte("spt\x00" + token))
	return payment.Instrument{Fingerprint: base64.RawURLEncoding.EncodeToString(sum[:])}, nil
}

// parsePayload returns the token. Its errors never quote the input.
func parsePayload(data []byte) (token string, err error) {
	if len(data) > maxPayload || !json.Valid(data) {
		return "", errPayload
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return "", errPayload
	}
	// Read member by member: a map would hide a second "spt", and a struct would
	// take "SPT" for it. Another reader of the credential may take the other one.
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok || seen[name] {
			return "", errPayload
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return "", errPayload
		}
		switch {
		case name == "spt":
			if err := json.Unmarshal(value, &token); err != nil || value[0] != '"' {
				return "", errPayload
			}
		case name == "externalId":
			if value[0] != '"' {
				return "", errPayload
			}
		case strings.EqualFold(name, "spt"), strings.EqualFold(name, "externalId"):
			return "", errPayload
		}
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return "", errPayload
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", errPayload
	}
	if !identifier(token, tokenPrefix) {
		return "", errPayload
	}
	return token, nil
}
