package stripe

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/stripe/stripe-go/v82/form"

	"paywall/payment"
)

const pathIntents = "/v1/payment_intents"

// What makes a charge one that is only promised at first.
const (
	captureMethod = "capture_method"
	captureManual = "manual"
)

// Form names of the token.
const (
	tokenNested   = "payment_method_data[shared_payment_granted_token]"
	tokenTopLevel = "shared_payment_granted_token"
	tokenCard     = "payment_method_data[card][token]"
)

// A stored is the document kept in [payment.Intent].Request: all that decides
// whether two sendings are the same to the processor, which compares endpoint,
// account, version and parameters under one key. Its members are in order.
type stored struct {
	Account string `json:"account"`
	Body    string `json:"body"` // the exact form that is sent
	Live    bool   `json:"live"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	Version string `json:"version"`
}

// Prepare implements [payment.Method].
func (m *Method) Prepare(p payment.Payment, c payment.Credential) (payment.Intent, error) {
	token, err := parsePayload(c)
	if err != nil {
		return payment.Intent{}, fmt.Errorf("prepare %s: %w", p.ID, err)
	}
	amount, err := chargeable(p.Amount)
	switch {
	case err != nil:
		return payment.Intent{}, fmt.Errorf("prepare %s: %w", p.ID, err)
	case amount != p.Amount || amount != c.Offer.Amount:
		return payment.Intent{}, fmt.Errorf("prepare %s: it is for %s, the offer for %s: %w", p.ID, p.Amount, c.Offer.Amount, ErrIntent)
	case p.ChallengeID == "" || p.ChallengeID != c.ChallengeID || len(p.ChallengeID) > maxMetadataValue:
		return payment.Intent{}, fmt.Errorf("prepare %s: challenge of another payment: %w", p.ID, ErrIntent)
	case !word(p.ID, 64):
		return payment.Intent{}, fmt.Errorf("prepare: the payment has no usable id: %w", ErrIntent)
	case len(p.Scope.Route) > maxMetadataValue:
		return payment.Intent{}, fmt.Errorf("prepare %s: the route's id is too long: %w", p.ID, ErrIntent)
	}
	s, err := m.terms(c.Offer.Quote, amount)
	if err != nil {
		return payment.Intent{}, fmt.Errorf("prepare %s: %w", p.ID, err)
	}
	request, err := json.Marshal(stored{
		Account: s.Account, Body: m.body(p, s, token), Live: m.cfg.Live,
		Method: http.MethodPost, Path: pathIntents, Version: m.cfg.APIVersion,
	})
	if err != nil {
		return payment.Intent{}, fmt.Errorf("prepare %s: %w", p.ID, err)
	}
	return payment.Intent{Account: s.Account, Key: chargeKey(s.Account, p.ChallengeID), Request: request}, nil
}

// chargeKey makes one key of one challenge, whatever token pays for it: a payer
// that mints a second token after a lost answer must not be charged twice. It
// is not the challenge id itself, which is a secret in the payer's hands.
func chargeKey(account, challengeID string) string {
	return "pw1_" + digest("pay", account, challengeID)
}

// digest separates its parts by a byte that none of them holds.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// body is the form in order of its names, so that it is the same every time.
func (m *Method) body(p payment.Payment, s settings, token proof) string {
	pairs := map[string]string{
		"amount":   strconv.FormatInt(p.Amount.Units(), 10),
		"currency": strings.ToLower(p.Amount.Currency()),
		"confirm":  "true",
		// Ways to pay that send a person elsewhere cannot end in this request.
		"automatic_payment_methods[enabled]":         "true",
		"automatic_payment_methods[allow_redirects]": "never",
		"expand[0]": "latest_charge",
	}
	switch {
	case token.card:
		pairs["payment_method_data[type]"], pairs[tokenCard] = "card", token.token
	case m.cfg.SPTParam == ParamTopLevel:
		pairs[tokenTopLevel] = token.token
	default:
		pairs[tokenNested] = token.token
	}
	optional := func(name, value string) {
		if value != "" {
			pairs[name] = value
		}
	}
	optional("statement_descriptor_suffix", s.StatementSuffix)
	optional("on_behalf_of", s.OnBehalfOf)
	optional("transfer_data[destination]", s.Destination)
	optional("transfer_group", s.TransferGroup)
	if p.Held {
		pairs[captureMethod] = captureManual
	}
	if s.fee.IsPositive() {
		pairs["application_fee_amount"] = strconv.FormatInt(s.fee.Units(), 10)
	}
	for k, v := range s.Metadata {
		pairs["metadata["+k+"]"] = v
	}
	own := map[string]string{metaMachine: "true", metaPayment: p.ID, metaRoute: p.Scope.Route}
	if p.Protocol == "mpp" {
		own[metaMPPIntent], own[metaMPPChallenge] = "charge", p.ChallengeID
	} else {
		own[metaChallenge] = p.ChallengeID
	}
	for k, v := range own {
		optional("metadata["+k+"]", v)
	}
	return encode(pairs)
}

func encode(pairs map[string]string) string {
	var values form.Values
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		values.Add(name, pairs[name])
	}
	return values.Encode()
}

// open reads the stored request back. Anything but what Prepare writes is refused.
func (m *Method) open(in payment.Intent) (stored, error) {
	var s stored
	dec := json.NewDecoder(bytes.NewReader(in.Request))
	dec.DisallowUnknownFields()
	switch err := dec.Decode(&s); {
	case err != nil || dec.More():
		return stored{}, ErrIntent // the decoder's error may quote the token
	case s.Method != http.MethodPost || s.Path != pathIntents || s.Body == "" || !version(s.Version):
		return stored{}, ErrIntent
	case s.Account != in.Account || s.Account != "" && !identifier(s.Account, "acct_"):
		return stored{}, ErrIntent
	case in.Key == "" || len(in.Key) > 255 || !printable(in.Key) || strings.TrimSpace(in.Key) != in.Key:
		return stored{}, ErrIntent
	case s.Live != m.cfg.Live:
		// Under a key of the other mode the processor would not know token and
		// charge, and that must not pass for "never charged".
		return stored{}, fmt.Errorf("%w: it is of the other mode than the key", ErrIntent)
	}
	return s, nil
}

// manual reports whether the stored form makes a promise and takes nothing.
func (s stored) manual() bool {
	values, err := url.ParseQuery(s.Body)
	return err == nil && values.Get(captureMethod) == captureManual
}

// token is the grant inside the stored form. Of a card's token, which only its agent
// can read again, there is none.
func (s stored) token() (string, error) {
	values, err := url.ParseQuery(s.Body)
	if err != nil {
		return "", ErrIntent
	}
	token := values.Get(tokenNested)
	if token == "" {
		token = values.Get(tokenTopLevel)
	}
	if !identifier(token, tokenPrefix) {
		return "", errors.Join(ErrIntent, errPayload)
	}
	return token, nil
}
