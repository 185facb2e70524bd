package stripe

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"paywall/payment"
)

const (
	tokenPrefix = "spt_"
	cardPrefix  = "tok_"
	maxPayload  = 8 << 10
)

var errPayload = errors.New("payload has another form")

// Protocol whose credentials may hold a card's token: the agent made it with our
// publishable key, for the handler that asked for it.
const cardProtocol = "ucp"

// A proof is what a payload pays with.
type proof struct {
	token string
	// card says that the token stands for a card, and not for a grant of the wallet's.
	card bool
}

// Inspect implements [payment.Method]. The payload is {"spt":"spt_…"} (the
// stripe charge draft), with an optional externalId that is text; members that
// nobody knows are accepted, as the protocol wants, and change nothing. Over UCP it
// may be {"card_token":"tok_…"} instead.
func (*Method) Inspect(c payment.Credential) (payment.Instrument, error) {
	p, err := parsePayload(c)
	if err != nil {
		return payment.Instrument{}, &payment.Error{
			Kind: payment.KindInvalidPayload, Detail: `the payload must be an object with the token as "spt"`, Err: err,
		}
	}
	kind := "spt\x00"
	if p.card {
		kind = "tok\x00"
	}
	sum := sha256.Sum256([]byte(kind + p.token))
	return payment.Instrument{Fingerprint: base64.RawURLEncoding.EncodeToString(sum[:])}, nil
}

// parsePayload returns the token. Its errors never quote the input.
func parsePayload(c payment.Credential) (proof, error) {
	data := c.Payload
	if len(data) > maxPayload || !json.Valid(data) {
		return proof{}, errPayload
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return proof{}, errPayload
	}
	names := []string{"spt", "externalId"}
	if c.Protocol == cardProtocol {
		names = append(names, "card_token")
	}
	// Read member by member: a map would hide a second "spt", and a struct would
	// take "SPT" for it. Another reader of the credential may take the other one.
	seen, known := map[string]bool{}, map[string]string{}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok || seen[name] {
			return proof{}, errPayload
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return proof{}, errPayload
		}
		meant := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
		if meant < 0 {
			continue
		}
		var text string
		if names[meant] != name || value[0] != '"' || json.Unmarshal(value, &text) != nil {
			return proof{}, errPayload
		}
		known[name] = text
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return proof{}, errPayload
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return proof{}, errPayload
	}
	spt, card := known["spt"], known["card_token"]
	switch {
	case card == "" && identifier(spt, tokenPrefix):
		return proof{token: spt}, nil
	case spt == "" && identifier(card, cardPrefix):
		return proof{token: card, card: true}, nil
	}
	return proof{}, errPayload
}
