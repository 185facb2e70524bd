package x402

import "encoding/json"

// Versions of the protocol.
const (
	V1 = 1
	V2 = 2
)

// Fields of HTTP. Those with an X are of version 1.
const (
	HeaderRequired           = "PAYMENT-REQUIRED"
	HeaderSignature          = "PAYMENT-SIGNATURE"
	HeaderResponse           = "PAYMENT-RESPONSE"
	HeaderPaymentV1          = "X-PAYMENT"
	HeaderResponseV1         = "X-PAYMENT-RESPONSE"
	HeaderSignIn             = "SIGN-IN-WITH-X"
	HeaderExtensionResponses = "EXTENSION-RESPONSES"
)

// Schemes that have a name in the specification.
const (
	SchemeExact       = "exact"
	SchemeUpto        = "upto"
	SchemeAuthCapture = "auth-capture"
)

// Names of members of [PaymentRequirements.Extra] that are reserved for all schemes,
// and what they say. A missing flow is [FlowAuthorization].
const (
	ExtraFlow           = "paymentFlow"
	ExtraTransferMethod = "assetTransferMethod"

	// FlowAuthorization is verify, serve, settle; FlowUpfront settle, serve;
	// FlowEscrow hold, serve, settle.
	FlowAuthorization = "authorization"
	FlowUpfront       = "upfront"
	FlowEscrow        = "escrow"

	TransferEIP3009 = "eip3009"
	TransferPermit2 = "permit2"
)

// PaymentRequired is what PAYMENT-REQUIRED holds: the ways to pay for a resource.
type PaymentRequired struct {
	Version  int          `json:"x402Version"`
	Error    string       `json:"error,omitempty"`
	Resource ResourceInfo `json:"resource"`
	// Accepts are alternatives, the seller's preference first.
	Accepts    []PaymentRequirements      `json:"accepts"`
	Extensions map[string]json.RawMessage `json:"extensions,omitempty"`
}

// ResourceInfo describes what is paid for. URL is absolute.
type ResourceInfo struct {
	URL         string   `json:"url"`
	Description string   `json:"description"`
	MimeType    string   `json:"mimeType"`
	ServiceName string   `json:"serviceName,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	IconURL     string   `json:"iconUrl,omitempty"`
}

// PaymentRequirements is one way to pay.
type PaymentRequirements struct {
	Scheme string `json:"scheme"`
	// Network is a CAIP-2 id.
	Network string `json:"network"`
	// Amount is in the asset's smallest units, decimal digits below 2^256.
	Amount string `json:"amount"`
	// Asset is a token's contract, or an ISO 4217 code.
	Asset             string                     `json:"asset"`
	PayTo             string                     `json:"payTo"`
	MaxTimeoutSeconds int64                      `json:"maxTimeoutSeconds"`
	Extra             map[string]json.RawMessage `json:"extra,omitempty"`
}

// Text is a member of Extra that is a string, or empty.
func (r PaymentRequirements) Text(name string) string {
	var s string
	if json.Unmarshal(r.Extra[name], &s) != nil {
		return ""
	}
	return s
}

// Flow is when the money is taken.
func (r PaymentRequirements) Flow() string {
	if f := r.Text(ExtraFlow); f != "" {
		return f
	}
	return FlowAuthorization
}

// PaymentPayload is what PAYMENT-SIGNATURE holds: the payer's answer to one way.
type PaymentPayload struct {
	Version int `json:"x402Version"`
	// Resource and Extensions echo the challenge, as far as the client cares to.
	Resource *ResourceInfo `json:"resource,omitempty"`
	// Accepted is a copy of the entry that was chosen.
	Accepted PaymentRequirements `json:"accepted"`
	// Payload is the scheme's, a JSON object. It is as good as money.
	Payload    json.RawMessage            `json:"payload"`
	Extensions map[string]json.RawMessage `json:"extensions,omitempty"`
}

// SettleResponse is what PAYMENT-RESPONSE holds, and a facilitator's answer to /settle.
type SettleResponse struct {
	Success     bool   `json:"success"`
	ErrorReason string `json:"errorReason,omitempty"`
	// Transaction is empty when nothing was sent to the network.
	Transaction string `json:"transaction"`
	Network     string `json:"network"`
	Payer       string `json:"payer,omitempty"`
	// Amount is what was taken, when it is said.
	Amount     string                     `json:"amount,omitempty"`
	Extensions map[string]json.RawMessage `json:"extensions,omitempty"`
}

// VerifyResponse is a facilitator's answer to /verify.
type VerifyResponse struct {
	IsValid       bool   `json:"isValid"`
	InvalidReason string `json:"invalidReason,omitempty"`
	Payer         string `json:"payer,omitempty"`
}

// VerifyRequest is the body of a call to /verify. Requirements are the server's own.
type VerifyRequest struct {
	Version      int             `json:"x402Version"`
	Payload      json.RawMessage `json:"paymentPayload"`
	Requirements json.RawMessage `json:"paymentRequirements"`
}

// SettleRequest is the body of a call to /settle.
type SettleRequest VerifyRequest

// SupportedResponse is a facilitator's answer to /supported.
type SupportedResponse struct {
	Kinds      []Kind   `json:"kinds"`
	Extensions []string `json:"extensions"`
	// Signers are public addresses by CAIP-2 pattern, such as "eip155:*".
	Signers map[string][]string `json:"signers"`
}

// Kind is one sort of payment that a facilitator settles.
type Kind struct {
	Version int                        `json:"x402Version"`
	Scheme  string                     `json:"scheme"`
	Network string                     `json:"network"`
	Extra   map[string]json.RawMessage `json:"extra,omitempty"`
}
