package x402

import (
	"errors"
	"slices"
)

// Names of the extensions that this package speaks itself.
const (
	ExtensionReceipt    = "offer-receipt"
	ExtensionIdentifier = "payment-identifier"
	ExtensionSignIn     = "sign-in-with-x"
	ExtensionBazaar     = "bazaar"
)

// Values of [Config.Identifier].
const (
	IdentifierOff      = ""
	IdentifierOptional = "optional"
	IdentifierRequired = "required"
)

// signInKeySize is that of [Config.SignInKey] in bytes.
const signInKeySize = 32

// extend puts the extensions that are switched on before those that were given. The
// order is of use: the last that can be spared is the first to go.
func (c *Config) extend() error {
	var own []Extension
	switch c.Identifier {
	case IdentifierOff, "off":
	case IdentifierOptional, IdentifierRequired:
		required := c.Identifier == IdentifierRequired
		own = append(own, identifier{required})
		c.NoV1 = c.NoV1 || required
	default:
		return errors.New("x402: Identifier is none of off, optional and required")
	}
	if c.SignInKey != nil {
		if len(c.SignInKey) != signInKeySize {
			return errors.New("x402: SignInKey is not of 32 bytes")
		}
		c.SignInKey = slices.Clone(c.SignInKey)
		own = append(own, newSignIn(c.Origin, c.SignInKey))
	}
	if c.Receipts || c.SignOffer != nil {
		own = append(own, offerReceipt{c.SignOffer})
	}
	if c.Describe != nil {
		own = append(own, bazaar{c.Describe})
	}
	c.Extensions = append(own, c.Extensions...)
	return nil
}
