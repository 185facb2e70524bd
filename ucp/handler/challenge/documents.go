package challenge

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

const published = "https://ucp.dev/2026-08-25/schemas/"

type object map[string]any

// Schema is the JSON Schema of the handler: its entries in profiles and answers, and
// its instrument with the credential.
func (h *Handler) Schema() ([]byte, error) {
	by := carriers[h.cfg.Kind]
	text := func(about string) object { return object{"type": "string", "description": about} }
	config := object{
		"x402_version": object{"const": 2},
		"networks":     object{"type": "array", "items": text("CAIP-2 id of a network.")},
	}
	asked := object{"payment_required": object{"type": "object", "description": "PaymentRequired of x402 version 2, for the total of this checkout."}}
	target := object{"network": text("CAIP-2 id."), "scheme": text("Scheme of x402."), "asset": text("Contract of the token.")}
	if h.cfg.Kind == MPP {
		config = object{"realm": text("Host that challenges are for."), "methods": object{"type": "array", "items": text("Payment method of MPP.")}}
		asked = object{"challenges": object{"type": "array", "minItems": 1, "items": text("Value of WWW-Authenticate with one challenge of the Payment scheme, for the total of this checkout.")}}
		target = object{"method": text("Payment method of MPP.")}
	}
	entry := func(base string, more object, required ...string) object {
		members := object{}
		maps.Copy(members, config)
		maps.Copy(members, more)
		about := object{"type": "object", "properties": members}
		if len(required) > 0 {
			about["required"] = required
		}
		return object{"allOf": []any{
			object{"$ref": published + "payment_handler.json#/$defs/" + base},
			object{"type": "object", "properties": object{"config": about}},
		}}
	}
	var needed []string
	for name := range asked {
		needed = append(needed, name)
	}
	credential := object{"allOf": []any{
		object{"$ref": published + "common/types/payment_credential.json"},
		object{
			"type": "object", "required": []string{"type", by.member, "expires_at"},
			"properties": object{
				"type":       object{"const": by.kind},
				by.member:    object{"type": "string", "description": "The proof, as the header of the protocol carries it.", "ucp_response": "omit"},
				"expires_at": object{"type": "string", "format": "date-time"},
			},
		},
	}}
	instrument := object{
		"allOf": []any{
			object{"$ref": published + "common/types/payment_instrument.json"},
			object{"type": "object", "properties": object{"type": object{"const": h.cfg.Kind.instrument()}, "credential": credential}},
		},
		"$defs": object{"constraint_target": object{"type": "object", "properties": target}},
	}
	doc := object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "name": h.cfg.Name, "version": Version,
		"title": "Payment handler " + h.cfg.Name,
		"$defs": object{
			"instrument": instrument,
			h.cfg.Name: object{
				"payment_instrument": object{"oneOf": []any{object{"$ref": "#/$defs/instrument"}}},
				"platform_schema":    entry("platform_schema", nil), "business_schema": entry("business_schema", nil),
				"response_schema": entry("response_schema", asked, needed...),
			},
		},
	}
	if h.cfg.Schema != "" {
		doc["$id"] = h.cfg.Schema
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", h.cfg.Name, err)
	}
	return append(data, '\n'), nil
}

// Specification is the handler's contract in words, as Markdown.
func (h *Handler) Specification() []byte {
	by := carriers[h.cfg.Kind]
	what, where := "x402 version 2", "`config.payment_required` is a PaymentRequired object for the total of the checkout"
	get := "Give the object to an x402 client and take the payload that it would send as `PAYMENT-SIGNATURE`."
	if h.cfg.Kind == MPP {
		what, where = "the Payment scheme of MPP", "`config.challenges` lists values of `WWW-Authenticate` for the total of the checkout"
		get = "Give one of them to an MPP client and take the credential that it would send as `Authorization`."
	}
	return []byte(strings.Join([]string{
		"# Payment handler " + h.cfg.Name, "",
		"Version " + Version + ". An agent that can pay requests by " + what + " pays a checkout with the same client.", "",
		"## Participants", "",
		"The business makes the challenge and settles the payment. The platform pays it with its own wallet; no other party keeps or makes credentials.", "",
		"## Business configuration", "",
		"In the profile, `config` names what can be paid with. In an answer of a checkout that can be completed, " + where + ". The challenge is good for this checkout, " +
			"this total and this attempt. After a decline the next answer has another one.", "",
		"## Paying", "",
		"1. Read the handler's entry in the latest answer of the checkout. Without a challenge in it, this checkout cannot be paid in this way.",
		"2. " + get,
		"3. Complete the checkout with one instrument: `type` is `" + h.cfg.Kind.instrument() + "`, `credential.type` is `" + by.kind + "`, `credential." + by.member +
			"` is what step 2 gave, and `credential.expires_at` says until when it is good.", "",
		"## Errors", "",
		"A credential that is expired, used, or for something else is `payment_failed` (recoverable) and nothing is taken. While it is not known whether a payment " +
			"has settled, the checkout is `complete_in_progress`: do not pay again, ask for it later.", "",
		"## Security", "",
		"A credential is a bearer secret. It is never shown again, stored or logged by the business, and it pays once, whatever protocol it is presented in.", "",
	}, "\n"))
}
