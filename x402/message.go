package x402

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"paywall/payment"
)

// Causes of refusals, for the log.
var (
	// errOffline is wrapped by every refusal that was found without asking anybody.
	errOffline    = errors.New("x402")
	errSeveral    = errors.New("more than one payment")
	errVersion    = errors.New("version")
	errResource   = errors.New("resource")
	errKind       = errors.New("payload of another scheme")
	errRecipient  = errors.New("recipient")
	errValue      = errors.New("value")
	errTime       = errors.New("time")
	errIdentifier = errors.New("payment identifier")
	errSignIn     = errors.New("sign in")
)

// message is a payment as it was sent, of either version.
type message struct {
	version int
	scheme  string
	// network is a CAIP-2 id.
	network string
	payload json.RawMessage

	// Of version 2 alone.
	accepted     json.RawMessage
	asset, payTo string
	resource     *ResourceInfo
	extensions   map[string]json.RawMessage
}

// read reads the one payment in h. That of version 2 goes first, and what is wrong
// with it is never made up for by the other: a proxy may have looked at one of them.
// Errors are *[payment.Error], wrapping [payment.ErrNoCredential] when there is none.
func read(h http.Header) (message, error) {
	two, one := h[fieldSignature], h[fieldPaymentV1]
	if len(two) == 0 && len(one) == 0 {
		return message{}, &payment.Error{Kind: payment.KindPaymentRequired, Detail: "Payment is required.", Err: payment.ErrNoCredential}
	}
	lines := two
	if len(lines) == 0 {
		lines = one
	}
	// A comma is how some servers join lines that they were sent.
	if len(two) > 1 || len(one) > 1 || strings.Contains(lines[0], ",") {
		return message{}, refuse(payment.KindBadRequest, CodeInvalidPayload, "More than one payment.", errSeveral)
	}
	return parseMessage(lines[0])
}

func parseMessage(field string) (message, error) {
	const detail = "The payment cannot be read."
	data, err := decodeBase64(field)
	if err == nil {
		err = check(data)
	}
	if err != nil {
		return message{}, refuse(payment.KindMalformedCredential, CodeInvalidPayload, detail, err)
	}
	m, err := decodeMessage(data)
	switch {
	case errors.Is(err, errVersion):
		return message{}, refuse(payment.KindBadRequest, CodeInvalidVersion, "The payment is of no version that is served.", err)
	case err != nil:
		return message{}, refuse(payment.KindMalformedCredential, CodeInvalidPayload, detail, err)
	}
	return m, nil
}

// decodeMessage reads checked JSON. The version that counts is the one inside: people
// put payments of one version into the field of the other.
func decodeMessage(data []byte) (message, error) {
	var version json.RawMessage
	if err := readObject(data, member{"x402Version", &version, false}); err != nil {
		return message{}, err
	}
	switch string(version) {
	case "2":
		return decodeV2(data)
	case "1":
		return decodeV1(data)
	}
	return message{}, errVersion
}

func decodeV2(data []byte) (message, error) {
	m := message{version: V2}
	if err := readObject(data, member{"x402Version", new(int), true}, member{"accepted", &m.accepted, true},
		member{"payload", &m.payload, true}, member{"resource", &m.resource, false},
		member{"extensions", &m.extensions, false}); err != nil {
		return m, err
	}
	// The rest of it only counts in comparison with an offer; see [Match].
	if err := readObject(m.accepted, member{"scheme", &m.scheme, true}, member{"network", &m.network, true},
		member{"asset", &m.asset, true}, member{"payTo", &m.payTo, true}); err != nil {
		return m, err
	}
	return m, needObject(m.payload, "payload")
}

func decodeV1(data []byte) (message, error) {
	m := message{version: V1}
	var name string
	if err := readObject(data, member{"x402Version", new(int), true}, member{"scheme", &m.scheme, true},
		member{"network", &name, true}, member{"payload", &m.payload, true}); err != nil {
		return m, err
	}
	m.network, _ = NetworkFromV1(name) // what is unknown is offered by nobody
	return m, needObject(m.payload, "payload")
}
