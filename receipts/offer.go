package receipts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

const (
	// OfferType is the typ header of signed offers. It and the audience tell them from
	// receipts; a verifier that looks at neither takes one for the other.
	OfferType = "offer+jwt"
	// OfferAudience is the aud claim of signed offers: whoever may pay.
	OfferAudience = "x402:payer"
)

// ErrOffer means an offer that is not signed.
var ErrOffer = errors.New("unusable offer")

// offerMembers are the claims of an offer of x402.
func offerMembers() [8]string {
	return [...]string{"amount", "asset", "network", "payTo", "resourceUrl", "scheme", "validUntil", "version"}
}

// SignOffer signs an offer of x402: a JSON object of exactly its claims, to which the
// issuer, the audience of offers and, from validUntil, the end are added. The result
// is no receipt, and this package takes it for none.
func (i *Issuer) SignOffer(payload []byte) (string, error) {
	if err := checkJSON(payload); err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(payload, &claims); err != nil {
		return "", fmt.Errorf("%w: not an object", ErrOffer)
	}
	members := offerMembers()
	for _, name := range members {
		if _, ok := claims[name]; !ok {
			return "", fmt.Errorf("%w: no %s", ErrOffer, name)
		}
	}
	var end uint32
	if len(claims) != len(members) || json.Unmarshal(claims["validUntil"], &end) != nil || end == 0 {
		return "", fmt.Errorf("%w: other claims than its own, or no time", ErrOffer)
	}
	issuer, err := json.Marshal(i.id.issuer)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	claims["iss"], claims["aud"], claims["exp"] = issuer, json.RawMessage(`"`+OfferAudience+`"`), claims["validUntil"]
	// Members come out in order, as RFC 8785 wants them.
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(claims); err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	key, ok := i.cfg.Keys.Signing()
	if !ok {
		return "", fmt.Errorf("%w: no key of the ring signs: %w", ErrOffer, ErrKey)
	}
	text := typedHeader(key, i.id.did, OfferType) + "." + b64(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	sig, err := key.sign(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	return text + "." + b64(sig), nil
}
