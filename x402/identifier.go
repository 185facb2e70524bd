package x402

import (
	"encoding/json"

	"paywall/payment"
)

// Bounds of a payer's name for its payment.
const (
	minIdentifier = 16
	maxIdentifier = 128
)

// identifier is the extension payment-identifier: payers name their payments, so that
// what was lost on its way can be asked for again without being paid again.
type identifier struct{ required bool }

func (identifier) ID() string { return ExtensionIdentifier }

const identifierSchema = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"required":{"type":"boolean"},` +
	`"id":{"type":"string","minLength":16,"maxLength":128,"pattern":"^[a-zA-Z0-9_-]+$"}},"required":["required"]}`

// Declare implements [Extension]. `id` is the payer's to add.
func (x identifier) Declare([]payment.Offer, []PaymentRequirements) (Declaration, error) {
	required := "false"
	if x.required {
		required = "true"
	}
	return Declaration{
		Object: json.RawMessage(`{"info":{"required":` + required + `},"schema":` + identifierSchema + `}`),
		Check: func(echo json.RawMessage, c *payment.Credential) (err error) {
			c.Key, err = readIdentifier(echo)
			if err == nil && c.Key == "" && x.required {
				err = refuse(payment.KindBadRequest, CodeInvalidPayload, "This service wants a payment-identifier with every payment.", errIdentifier)
			}
			return err
		},
	}, nil
}

// readIdentifier returns the payer's name in an echo, or empty when it gives none.
func readIdentifier(echo json.RawMessage) (string, error) {
	if len(echo) == 0 {
		return "", nil
	}
	var info, id json.RawMessage
	err := readObject(echo, member{"info", &info, true})
	if err == nil {
		err = readObject(info, member{"id", &id, false})
	}
	if err == nil && id == nil {
		return "", nil
	}
	if s, ok := unquote(id); err == nil && ok && isIdentifier(s) {
		return s, nil
	}
	return "", refuse(payment.KindBadRequest, CodeInvalidPayload, "The payment-identifier is not 16 to 128 letters, digits, - and _.", errIdentifier)
}

func isIdentifier(s string) bool {
	if len(s) < minIdentifier || len(s) > maxIdentifier {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
