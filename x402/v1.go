package x402

import "encoding/json"

// PaymentRequiredV1 is the body of a 402 in version 1.
type PaymentRequiredV1 struct {
	Version int              `json:"x402Version"`
	Error   string           `json:"error"`
	Accepts []RequirementsV1 `json:"accepts"`
}

// RequirementsV1 is one way to pay in version 1. Its clients want every member here
// but OutputSchema and Extra, and fail on a null.
type RequirementsV1 struct {
	Scheme string `json:"scheme"`
	// Network is a name of version 1, such as "base"; see [NetworkV1].
	Network           string                     `json:"network"`
	MaxAmountRequired string                     `json:"maxAmountRequired"`
	Resource          string                     `json:"resource"`
	Description       string                     `json:"description"`
	MimeType          string                     `json:"mimeType"`
	OutputSchema      json.RawMessage            `json:"outputSchema,omitempty"`
	PayTo             string                     `json:"payTo"`
	MaxTimeoutSeconds int64                      `json:"maxTimeoutSeconds"`
	Asset             string                     `json:"asset"`
	Extra             map[string]json.RawMessage `json:"extra,omitempty"`
}

// PayloadV1 is what X-PAYMENT holds.
type PayloadV1 struct {
	Version int    `json:"x402Version"`
	Scheme  string `json:"scheme"`
	Network string `json:"network"`
	// Payload is the scheme's, a JSON object. It is as good as money.
	Payload json.RawMessage `json:"payload"`
}
