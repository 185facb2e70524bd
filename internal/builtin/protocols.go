package builtin

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"paywall/internal/config"
	"paywall/methods/stripe"
	"paywall/mpp"
	"paywall/payment"
	"paywall/x402"
)

// Voice is what protocols say beside their offers.
type Voice struct {
	// SignOffer signs an offer of x402.
	SignOffer func(payload []byte) (string, error)
	// Directory describes routes.
	Directory *Directory
}

// Protocols makes the 402 dialects, the preferred one first.
func Protocols(c *config.Config, v Voice) ([]payment.Protocol, error) {
	keys := []mpp.Key{keyOf(c.Keys.Challenge)}
	for _, previous := range c.Keys.Previous {
		keys = append(keys, keyOf(previous))
	}
	ring, err := mpp.NewKeyRing(keys[0], keys[1:]...)
	if err != nil {
		return nil, fmt.Errorf("keys.challenge: %w", err)
	}
	scheme, err := mpp.New(mpp.Config{
		Keys: ring, SeparateHeader: c.Challenge.SeparateHeader, MaxCredential: int(c.Limits.Credential),
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the field
	}
	all := []payment.Protocol{scheme}
	if c.X402.Enabled {
		exchange, err := newX402(c, v)
		if err != nil {
			return nil, err
		}
		all = append(all, exchange)
	}
	return all, nil
}

func newX402(c *config.Config, v Voice) (*x402.Protocol, error) {
	cfg := x402.Config{
		Origin: c.PublicURL, NoV1: !c.X402.V1, ServiceName: serviceName(c.Service.Title), Receipts: true, Identifier: c.X402.Identifier,
	}
	if c.X402.SignedOffers {
		cfg.SignOffer = v.SignOffer
	}
	if c.X402.Bazaar && v.Directory != nil {
		cfg.Describe = v.Directory.Describe
	}
	if c.X402.SignIn {
		var err error
		if cfg.SignInKey, err = hkdf.Key(sha256.New, []byte(c.Keys.Challenge.Reveal()), nil, "paywall x402 sign-in", 32); err != nil {
			return nil, fmt.Errorf("derive the key of sign-ins: %w", err)
		}
	}
	if b, ok := LinkBinding(c); ok {
		cfg.Bindings = append(cfg.Bindings, b)
	}
	return x402.New(cfg) //nolint:wrapcheck // it names the field
}

// LinkBinding is how Link tokens travel over x402, if they are offered.
func LinkBinding(c *config.Config) (x402.Binding, bool) {
	l := c.X402.LinkTokens
	if l == nil {
		return x402.Binding{}, false
	}
	extra := make(map[string]any, len(l.Extra))
	for name, value := range l.Extra {
		extra[name] = value
	}
	return x402.Binding{
		Method: stripe.Name, Scheme: l.Scheme, Network: l.Network, PayTo: l.PayTo, Extra: extra,
		TokenMember: l.TokenMember, IDMember: l.IDMember,
	}, true
}

// serviceName is a title as far as challenges can carry it.
func serviceName(title string) string {
	const most = 32
	if len(title) > most || strings.ContainsFunc(title, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return title
}

// keyOf names a secret by a hash of it, so that the id survives rotation
// without being configured and tells nothing.
func keyOf(s config.Secret) mpp.Key {
	sum := sha256.Sum256([]byte("paywall challenge key id\x00" + s.Reveal()))
	return mpp.Key{ID: hex.EncodeToString(sum[:4]), Secret: []byte(s.Reveal())}
}
