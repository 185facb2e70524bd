package x402

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// member says where a member of an object goes. What is needed may be neither left
// out nor null; of the others null is the same as nothing.
type member struct {
	name   string
	into   any
	needed bool
}

// readObject fills members by their exact names. A name that differs only in case is
// refused, as is one that comes twice: another reader may take it for the real one.
// data is JSON by its grammar.
func readObject(data []byte, members ...member) error {
	var seen uint64 // by the place in members
	err := walk(data, func(name string, value []byte) error {
		for i, m := range members {
			if m.name != name {
				if strings.EqualFold(name, m.name) {
					return fmt.Errorf("%w: case variant of %s", ErrJSON, m.name)
				}
				continue
			}
			if seen&(1<<i) != 0 {
				return fmt.Errorf("%w: %s is given twice", ErrJSON, name)
			}
			seen |= 1 << i
			if string(value) == "null" {
				if m.needed {
					return fmt.Errorf("%w: no %s", ErrJSON, name)
				}
				return nil
			}
			if !fill(m.into, value) {
				return fmt.Errorf("%w: %s", ErrJSON, name)
			}
			return nil
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, m := range members {
		if m.needed && seen&(1<<i) == 0 {
			return fmt.Errorf("%w: no %s", ErrJSON, m.name)
		}
	}
	return nil
}

// fill reads one value.
func fill(into any, value []byte) bool {
	switch to := into.(type) {
	case *json.RawMessage:
		*to = bytes.Clone(value)
		return true
	case *string:
		s, ok := unquote(value)
		*to = s
		return ok
	}
	return json.Unmarshal(value, into) == nil
}

// unquote reads a string; most have no escapes.
func unquote(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// needObject is for members that are kept as they came.
func needObject(raw json.RawMessage, name string) error {
	if !isObject(raw) {
		return fmt.Errorf("%w: %s is not an object", ErrJSON, name)
	}
	return nil
}

// UnmarshalJSON reads by exact names.
func (p *PaymentRequired) UnmarshalJSON(data []byte) error {
	var out PaymentRequired
	if err := readObject(data, member{"x402Version", &out.Version, true}, member{"error", &out.Error, false},
		member{"resource", &out.Resource, true}, member{"accepts", &out.Accepts, true},
		member{"extensions", &out.Extensions, false}); err != nil {
		return err
	}
	*p = out
	return nil
}

// UnmarshalJSON reads by exact names.
func (r *ResourceInfo) UnmarshalJSON(data []byte) error {
	var out ResourceInfo
	if err := readObject(data, member{"url", &out.URL, true}, member{"description", &out.Description, false},
		member{"mimeType", &out.MimeType, false}, member{"serviceName", &out.ServiceName, false},
		member{"tags", &out.Tags, false}, member{"iconUrl", &out.IconURL, false}); err != nil {
		return err
	}
	*r = out
	return nil
}

// UnmarshalJSON reads by exact names.
func (r *PaymentRequirements) UnmarshalJSON(data []byte) error {
	var out PaymentRequirements
	if err := readObject(data, member{"scheme", &out.Scheme, true}, member{"network", &out.Network, true},
		member{"amount", &out.Amount, true}, member{"asset", &out.Asset, true}, member{"payTo", &out.PayTo, true},
		member{"maxTimeoutSeconds", &out.MaxTimeoutSeconds, true}, member{"extra", &out.Extra, false}); err != nil {
		return err
	}
	*r = out
	return nil
}

// UnmarshalJSON reads by exact names.
func (p *PaymentPayload) UnmarshalJSON(data []byte) error {
	var out PaymentPayload
	if err := readObject(data, member{"x402Version", &out.Version, true}, member{"resource", &out.Resource, false},
		member{"accepted", &out.Accepted, true}, member{"payload", &out.Payload, true},
		member{"extensions", &out.Extensions, false}); err != nil {
		return err
	}
	if err := needObject(out.Payload, "payload"); err != nil {
		return err
	}
	*p = out
	return nil
}

// UnmarshalJSON reads by exact names: success is a boolean that is there.
func (r *SettleResponse) UnmarshalJSON(data []byte) error {
	var out SettleResponse
	if err := readObject(data, member{"success", &out.Success, true}, member{"errorReason", &out.ErrorReason, false},
		member{"transaction", &out.Transaction, false}, member{"network", &out.Network, false},
		member{"payer", &out.Payer, false}, member{"amount", &out.Amount, false},
		member{"extensions", &out.Extensions, false}); err != nil {
		return err
	}
	*r = out
	return nil
}

// UnmarshalJSON reads by exact names: isValid is a boolean that is there.
func (r *VerifyResponse) UnmarshalJSON(data []byte) error {
	var out VerifyResponse
	if err := readObject(data, member{"isValid", &out.IsValid, true}, member{"invalidReason", &out.InvalidReason, false},
		member{"payer", &out.Payer, false}); err != nil {
		return err
	}
	*r = out
	return nil
}

// UnmarshalJSON reads by exact names.
func (r *VerifyRequest) UnmarshalJSON(data []byte) error {
	var out VerifyRequest
	if err := readObject(data, member{"x402Version", &out.Version, true},
		member{"paymentPayload", &out.Payload, true}, member{"paymentRequirements", &out.Requirements, true}); err != nil {
		return err
	}
	if err := needObject(out.Payload, "paymentPayload"); err != nil {
		return err
	}
	if err := needObject(out.Requirements, "paymentRequirements"); err != nil {
		return err
	}
	*r = out
	return nil
}

// UnmarshalJSON reads by exact names.
func (r *SettleRequest) UnmarshalJSON(data []byte) error {
	return (*VerifyRequest)(r).UnmarshalJSON(data)
}

// UnmarshalJSON reads by exact names.
func (r *SupportedResponse) UnmarshalJSON(data []byte) error {
	var out SupportedResponse
	if err := readObject(data, member{"kinds", &out.Kinds, true}, member{"extensions", &out.Extensions, false},
		member{"signers", &out.Signers, false}); err != nil {
		return err
	}
	*r = out
	return nil
}

// UnmarshalJSON reads by exact names.
func (k *Kind) UnmarshalJSON(data []byte) error {
	var out Kind
	if err := readObject(data, member{"x402Version", &out.Version, true}, member{"scheme", &out.Scheme, true},
		member{"network", &out.Network, true}, member{"extra", &out.Extra, false}); err != nil {
		return err
	}
	*k = out
	return nil
}

// UnmarshalJSON reads by exact names.
func (p *PaymentRequiredV1) UnmarshalJSON(data []byte) error {
	var out PaymentRequiredV1
	if err := readObject(data, member{"x402Version", &out.Version, true}, member{"error", &out.Error, false},
		member{"accepts", &out.Accepts, true}); err != nil {
		return err
	}
	*p = out
	return nil
}

// UnmarshalJSON reads by exact names.
func (r *RequirementsV1) UnmarshalJSON(data []byte) error {
	var out RequirementsV1
	if err := readObject(data, member{"scheme", &out.Scheme, true}, member{"network", &out.Network, true},
		member{"maxAmountRequired", &out.MaxAmountRequired, true}, member{"resource", &out.Resource, true},
		member{"description", &out.Description, false}, member{"mimeType", &out.MimeType, false},
		member{"outputSchema", &out.OutputSchema, false}, member{"payTo", &out.PayTo, true},
		member{"maxTimeoutSeconds", &out.MaxTimeoutSeconds, true}, member{"asset", &out.Asset, true},
		member{"extra", &out.Extra, false}); err != nil {
		return err
	}
	*r = out
	return nil
}

// UnmarshalJSON reads by exact names.
func (p *PayloadV1) UnmarshalJSON(data []byte) error {
	var out PayloadV1
	if err := readObject(data, member{"x402Version", &out.Version, true}, member{"scheme", &out.Scheme, true},
		member{"network", &out.Network, true}, member{"payload", &out.Payload, true}); err != nil {
		return err
	}
	if err := needObject(out.Payload, "payload"); err != nil {
		return err
	}
	*p = out
	return nil
}
