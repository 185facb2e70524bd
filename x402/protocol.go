package x402

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"

	"paywall/payment"
)

const protocolName = "x402"

// Fields as net/http keeps them.
const (
	fieldSignature  = "Payment-Signature"
	fieldPaymentV1  = "X-Payment"
	fieldRequired   = "Payment-Required"
	fieldResponse   = "Payment-Response"
	fieldResponseV1 = "X-Payment-Response"
)

// Protocol is x402 as a [payment.Protocol], both versions of it. Its dialects are
// [payment.Explainer]s.
type Protocol struct{ cfg Config }

// New checks c and makes the protocol.
func New(c Config) (*Protocol, error) {
	c, err := c.filled()
	if err != nil {
		return nil, err
	}
	return &Protocol{cfg: c}, nil
}

// Name is "x402".
func (*Protocol) Name() string { return protocolName }

// Presents looks at the fields of both versions.
func (*Protocol) Presents(h http.Header) bool {
	return len(h[fieldSignature]) > 0 || len(h[fieldPaymentV1]) > 0
}

// Fingerprint implements [payment.Protocol].
func (p *Protocol) Fingerprint(h http.Header) (string, error) {
	m, err := read(h)
	if err != nil {
		return "", fmt.Errorf("%w: %w", payment.ErrNoCredential, err)
	}
	proof, err := p.cfg.proof(&m)
	if err != nil {
		return "", fmt.Errorf("%w: %w", payment.ErrNoCredential, err)
	}
	return proof.hash(m.network, p.cfg.name(&m)), nil
}

// name is the payer's own name of its payment, where names are taken; one that cannot
// be read is none, and refused elsewhere.
func (c *Config) name(m *message) string {
	if c.Identifier != IdentifierOptional && c.Identifier != IdentifierRequired {
		return ""
	}
	name, err := readIdentifier(m.extensions[ExtensionIdentifier])
	if err != nil {
		return ""
	}
	return name
}

// proof reads a payload by what its own requirements say it is.
func (c *Config) proof(m *message) (proof, error) {
	if m.version == V2 {
		for i := range c.Bindings {
			if b := &c.Bindings[i]; b.Scheme == m.scheme && b.Network == m.network {
				return parseToken(b, m.payload)
			}
		}
	}
	return parseChain(m.payload)
}

// refuse is a refusal that was found here, before anybody was asked.
func refuse(k payment.Kind, reason, detail string, err error) error {
	return &payment.Error{Kind: k, Reason: reason, Detail: detail, Err: fmt.Errorf("%w: %w", errOffline, err)}
}

// Credential checks in the order form, offer, resource, proof, time and extensions.
// Signatures are the rail's to check.
func (d *dialect) Credential(r *http.Request, sc payment.Scope, now time.Time) (payment.Credential, error) {
	var none payment.Credential
	m, err := read(r.Header)
	if err != nil {
		return none, err
	}
	if m.version == V1 && d.cfg.NoV1 {
		return none, refuse(payment.KindBadRequest, CodeInvalidVersion, "Version 1 of x402 is not served.", errVersion)
	}
	if m.resource != nil && !sameResource(m.resource.URL, d.cfg.Origin, sc.Target) {
		return none, refuse(payment.KindInvalidChallenge, CodeInvalidRequirements, "The payment is for another resource.", errResource)
	}
	pr, err := d.cfg.proof(&m)
	if err != nil {
		return none, refuse(payment.KindInvalidPayload, CodeInvalidPayload, "The payment does not have the form of its scheme.", err)
	}
	e := d.find(&m)
	if e == nil {
		return d.past(&m, &pr, sc), refuse(payment.KindInvalidChallenge, CodeInvalidRequirements, "This way of paying is not offered for this request.", payment.ErrNotOffered)
	}
	if pr.kind != e.kind {
		return none, refuse(payment.KindInvalidPayload, CodeInvalidPayload, "The payment does not have the form of its scheme.", errKind)
	}
	name := d.cfg.name(&m)
	c := payment.Credential{
		Protocol: protocolName, ChallengeID: pr.challengeID(m.version, e.need.Network, e.need.Asset, e.need.PayTo),
		Offer: e.offer, Scope: sc, Hash: pr.hash(e.need.Network, name), Expires: pr.expires(),
		Public: pr.kind != token && name == "",
	}
	if c.Payload, err = d.payload(&m, &pr); err != nil {
		return none, refuse(payment.KindInvalidPayload, CodeInvalidPayload, "The payment does not have the form of its scheme.", err)
	}
	if pr.kind != token {
		c.Payer = pr.from.String()
		if err := e.agree(&pr); err != nil {
			if m.version == V1 {
				// It says nothing of what it answers, so that it may be of a price of the past.
				return c, err
			}
			return none, err
		}
		if !pr.begun(now) {
			return none, refuse(payment.KindVerificationFailed, CodeValidAfter, "The payment is not valid yet.", errTime)
		}
	}
	for i := range d.extensions {
		x := &d.extensions[i]
		if err := x.checkEcho(m.extensions[x.id], &c); err != nil {
			return none, err
		}
	}
	if pr.kind != token && pr.over(now) {
		return c, refuse(payment.KindPaymentExpired, CodeValidBefore, "The payment's time is over, or ends before it could be settled.", errTime)
	}
	return c, nil
}

// payload is what the rail reads.
func (*dialect) payload(m *message, pr *proof) ([]byte, error) {
	if pr.kind == token {
		return pr.payload, nil
	}
	return marshal(struct {
		Payload any `json:"payload"`
		Version int `json:"x402Version"`
	}{pr.payload, m.version})
}

// find returns the entry that a message answers: in version 2 by all of its members,
// in version 1 by scheme and network, which is all that it says.
func (d *dialect) find(m *message) *entry {
	for i := range d.entries {
		e := &d.entries[i]
		switch {
		case m.version == V2 && (bytes.Equal(e.raw, m.accepted) || Match(e.need, m.accepted)):
			return e
		case m.version == V1 && e.v1 != "" && e.need.Scheme == m.scheme && e.need.Network == m.network:
			return e
		}
	}
	return nil
}

// past is the credential of a payment that may have been begun when another price was
// asked: good for collecting it, never for beginning one. It is the zero value when
// nothing here was ever offered in its way.
func (d *dialect) past(m *message, pr *proof, sc payment.Scope) payment.Credential {
	for i := range d.entries {
		e := &d.entries[i]
		if m.version != V2 || pr.kind != e.kind || e.need.Network != m.network || e.need.Scheme != m.scheme ||
			!strings.EqualFold(e.need.PayTo, m.payTo) || pr.kind != token && !strings.EqualFold(e.need.Asset, m.asset) {
			continue
		}
		payload, err := d.payload(m, pr)
		if err != nil {
			break
		}
		c := payment.Credential{
			Protocol: protocolName, ChallengeID: pr.challengeID(m.version, m.network, m.asset, e.need.PayTo),
			Offer: payment.Offer{Method: e.offer.Method, Intent: e.offer.Intent}, Scope: sc,
			Payload: payload, Hash: pr.hash(m.network, d.cfg.name(m)), Expires: pr.expires(),
			Public: pr.kind != token && d.cfg.name(m) == "",
		}
		if pr.kind != token {
			c.Payer = pr.from.String()
		}
		return c
	}
	return payment.Credential{}
}
