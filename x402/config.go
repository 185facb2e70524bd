package x402

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Config makes a [Protocol].
type Config struct {
	// Origin is the public origin of the resources, "https://api.example.com". The
	// Host that a client sends is never used in its place.
	Origin string
	// MaxTimeoutSeconds is what offers of a [Binding] say; zero is 300.
	MaxTimeoutSeconds int64
	// Bindings let rails be paid over x402 that are none of the protocol's own.
	Bindings []Binding
	// NoV1 leaves version 1 out: its body, and its payments.
	NoV1 bool
	// ServiceName, Tags and IconURL describe the seller in challenges; all optional.
	ServiceName string
	Tags        []string
	IconURL     string
	// Receipts says that settlements carry signed receipts (offer-receipt), so that
	// challenges announce them.
	Receipts bool
	// SignOffer, if set, signs every offer of a challenge: payload is a JSON object, and
	// the result a JWS in compact form that holds it. It is called for each offer.
	SignOffer func(payload []byte) (jws string, err error)
	// Identifier is whether payers may or must name their payments
	// (payment-identifier): [IdentifierOff], [IdentifierOptional] or [IdentifierRequired],
	// with which version 1 is left out: its payers cannot.
	Identifier string
	// SignInKey, of 32 bytes, lets payers come back by a signature (sign-in-with-x);
	// nil does not. Challenges of one key are taken back by all processes that have it.
	SignInKey []byte
	// Describe, if set, is the declaration of a route for directories (bazaar), as
	// [BazaarRoute.Declaration] makes it.
	Describe func(route string) (json.RawMessage, bool)
	// Extensions are declared in challenges behind those, in this order.
	Extensions []Extension
}

// Binding says how the proofs of a processor's rail travel: no published scheme does.
// Where the funds are taken before the goods are made, its offers say so.
type Binding struct {
	// Method is the rail, [payment.Method.Name].
	Method string
	// Scheme is empty for "auth-capture". Network has the form of CAIP-2, such as
	// "stripe:test", and PayTo is who is paid, in the processor's words.
	Scheme, Network, PayTo string
	// Extra are further members of extra; nil is psp: Method. paymentFlow is not among them.
	Extra map[string]any
	// TokenMember and IDMember are the members of a payload with the token and the
	// payer's own id of the payment; empty are "token" and "paymentId".
	TokenMember, IDMember string
	// ProofMember is the member that the rail reads the token from; empty is "spt".
	ProofMember string
}

func (c Config) filled() (Config, error) {
	var err error
	if c.Origin, err = normalOrigin(c.Origin); err != nil {
		return c, err
	}
	if c.MaxTimeoutSeconds == 0 {
		c.MaxTimeoutSeconds = 300
	}
	if c.MaxTimeoutSeconds < 1 || c.MaxTimeoutSeconds > 24*60*60 {
		return c, errors.New("x402: MaxTimeoutSeconds is not between a second and a day")
	}
	if c.Bindings, err = filledBindings(c.Bindings); err != nil {
		return c, err
	}
	if err = c.extend(); err != nil {
		return c, err
	}
	return c, c.checkService()
}

func filledBindings(in []Binding) ([]Binding, error) {
	out := slices.Clone(in)
	for i := range out {
		b := &out[i]
		for _, f := range [...]struct {
			to   *string
			zero string
		}{{&b.Scheme, SchemeAuthCapture}, {&b.TokenMember, "token"}, {&b.IDMember, "paymentId"}, {&b.ProofMember, "spt"}} {
			if *f.to == "" {
				*f.to = f.zero
			}
		}
		if b.Extra == nil {
			b.Extra = map[string]any{"psp": b.Method}
		}
		if err := b.check(out[:i]); err != nil {
			return nil, fmt.Errorf("x402: Bindings[%d]: %w", i, err)
		}
	}
	return out, nil
}

func (b *Binding) check(before []Binding) error {
	switch {
	case b.Method == "" || strings.Trim(b.Method, "abcdefghijklmnopqrstuvwxyz") != "":
		return errors.New("method is not lower-case letters")
	case !printable(b.Scheme, 32) || b.Scheme == SchemeExact || b.Scheme == SchemeUpto:
		return errors.New("scheme is no name, or one of stablecoins")
	case !isNetwork(b.Network) || strings.HasPrefix(b.Network, "eip155:"):
		return errors.New("network has not the form of CAIP-2, or is a chain")
	case !printable(b.PayTo, 128):
		return errors.New("payTo is missing or not printable")
	case b.TokenMember == b.IDMember:
		return errors.New("token and id have one member")
	}
	if _, reserved := b.Extra[ExtraFlow]; reserved {
		return errors.New("paymentFlow follows the offer")
	}
	for _, o := range before {
		if o.Method == b.Method || o.Scheme == b.Scheme && o.Network == b.Network {
			return errors.New("method, or scheme and network, of another")
		}
	}
	return nil
}

// extra is the member of an offer with this flow.
func (b *Binding) extra(flow string) (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage, len(b.Extra)+1)
	for name, v := range b.Extra {
		raw, err := marshal(v)
		if err != nil {
			return nil, err
		}
		out[name] = raw
	}
	raw, err := marshal(flow)
	out[ExtraFlow] = raw
	return out, err
}

func (c Config) checkService() error {
	const maxName, maxTags, maxURL = 32, 5, 2048
	for _, s := range append([]string{c.ServiceName}, c.Tags...) {
		if len(s) > maxName || strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			return errors.New("x402: ServiceName or Tags are not at most 32 printable characters")
		}
	}
	if len(c.Tags) > maxTags || slices.Contains(c.Tags, "") {
		return errors.New("x402: Tags are more than five, or empty")
	}
	if c.IconURL != "" {
		u, err := url.Parse(c.IconURL)
		if err != nil || len(c.IconURL) > maxURL || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return errors.New("x402: IconURL is not an absolute http URL")
		}
	}
	seen := map[string]bool{}
	for _, e := range c.Extensions {
		if !printable(e.ID(), 64) || seen[e.ID()] {
			return errors.New("x402: Extensions have no id, or one twice")
		}
		seen[e.ID()] = true
	}
	return nil
}
