package facilitator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"paywall/payment"
)

// request is the body of /verify and /settle.
type request struct {
	Payload      paid         `json:"paymentPayload"`
	Requirements requirements `json:"paymentRequirements"`
	Version      int          `json:"x402Version"`
}

// paid is what a payer sends. What it accepted is our own entry, not its copy.
type paid struct {
	Accepted requirements `json:"accepted"`
	Payload  any          `json:"payload"` // a pointer to the scheme's
	Version  int          `json:"x402Version"`
}

// stored is the document kept in [payment.Intent].Request. The facilitator is part
// of it: another one knows nothing of what the first was asked, so that a repeat
// goes where the first attempt went.
type stored struct {
	Body     string `json:"body"` // exactly as it is sent
	Endpoint string `json:"endpoint"`
}

// Prepare implements [payment.Method].
func (m *Method) Prepare(p payment.Payment, c payment.Credential) (payment.Intent, error) {
	s, err := m.parse(c.Payload)
	if err != nil {
		return payment.Intent{}, fmt.Errorf("prepare %s: %w", p.ID, err)
	}
	need, err := m.required(c.Offer)
	switch {
	case err != nil:
		return payment.Intent{}, fmt.Errorf("prepare %s: %w", p.ID, err)
	case p.Amount != c.Offer.Amount:
		return payment.Intent{}, fmt.Errorf("prepare %s: it is for %s, the offer for %s: %w", p.ID, p.Amount, c.Offer.Amount, ErrIntent)
	case p.ChallengeID == "":
		return payment.Intent{}, fmt.Errorf("prepare %s: it has no challenge: %w", p.ID, ErrIntent)
	case p.Instrument != "" && p.Instrument != m.fingerprint(s):
		return payment.Intent{}, fmt.Errorf("prepare %s: it is for another authorization: %w", p.ID, ErrIntent)
	}
	endpoint, address, err := m.pick()
	if err != nil {
		return payment.Intent{}, fmt.Errorf("prepare %s: %w", p.ID, err)
	}
	if address != need.Extra.Facilitator {
		// The permit can be carried out by the one that it was signed for, alone.
		return payment.Intent{}, fmt.Errorf("prepare %s: the facilitator has changed since the offer: %w", p.ID, ErrIntent)
	}
	body, err := marshal(request{
		Payload:      paid{Accepted: need, Payload: s.payload, Version: version},
		Requirements: need, Version: version,
	})
	if err != nil {
		return payment.Intent{}, fmt.Errorf("prepare %s: %w", p.ID, err)
	}
	doc, err := marshal(stored{Body: string(body), Endpoint: endpoint})
	if err != nil {
		return payment.Intent{}, fmt.Errorf("prepare %s: %w", p.ID, err)
	}
	return payment.Intent{Key: "pwf1_" + digest("facilitator", m.cfg.Name, p.ChallengeID), Request: doc}, nil
}

// An order is a stored intent, read back.
type order struct {
	signed
	body     request
	raw      []byte // the body as it was made
	endpoint string
	key      string
}

// open reads the stored request back. It was strict with the payer when it was made,
// and the core hands out none that was changed since; so it is decoded plainly, and
// what would be sent is compared member for member with what is configured.
func (m *Method) open(in payment.Intent) (order, error) {
	var doc stored
	if !unmarshal(in.Request, &doc) {
		return order{}, ErrIntent
	}
	o := order{raw: []byte(doc.Body), endpoint: doc.Endpoint, key: in.Key}
	o.body.Payload.Payload = m.blank()
	if !unmarshal(o.raw, &o.body) {
		return order{}, ErrIntent
	}
	s, err := understand(o.body.Payload.Payload)
	need := o.body.Requirements
	switch {
	case err != nil, in.Key == "", doc.Endpoint == "":
		return order{}, ErrIntent
	case o.body.Version != version || o.body.Payload.Version != version || o.body.Payload.Accepted != need:
		return order{}, ErrIntent
	case need.Network != m.cfg.Asset.Network || need.Asset != m.asset || need.Scheme != m.cfg.Scheme:
		// Money of another configuration must not be looked for in this one.
		return order{}, fmt.Errorf("%w: it is for another network or token", ErrIntent)
	case s.value.String() != need.Amount || s.to.Checksum() != need.PayTo:
		return order{}, ErrIntent
	}
	o.signed = s
	return o, nil
}

// unmarshal decodes a document of our own. One with members that are not in this
// version's was made by another.
func unmarshal(data []byte, into any) bool {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if dec.Decode(into) != nil {
		return false
	}
	_, err := dec.Token()
	return err == io.EOF
}

// settling is the body for taking the amount: as it was stored, or of a metered
// payment with what is taken in the place of the most that may be.
func (o order) settling(amount string) ([]byte, error) {
	if amount == o.body.Requirements.Amount {
		return o.raw, nil
	}
	body := o.body
	body.Requirements.Amount = amount
	return marshal(body)
}
