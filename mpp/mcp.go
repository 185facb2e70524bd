package mpp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"paywall/payment"
)

// Codes of JSON-RPC errors in the MCP transport (payment-transport-mcp-00).
const (
	CodePaymentRequired    = -32042
	CodeVerificationFailed = -32043
	CodeInvalidParams      = -32602
	CodeInternal           = -32603
)

// Keys of _meta in the MCP transport. [MetaPaymentRequired] is for clients whose
// library hides errors of tools: the same data inside a tool's result.
const (
	MetaCredential      = "org.paymentauth/credential" //nolint:gosec // the name of a member, not a secret
	MetaReceipt         = "org.paymentauth/receipt"
	MetaPaymentRequired = "org.paymentauth/payment-required"
)

// ErrMCP means a JSON-RPC message that cannot be read or written in this transport.
var ErrMCP = errors.New("malformed mcp message")

// Code is the JSON-RPC code of a refusal. What the payer can mend by paying is
// required or failed, what it must write differently is invalid, and what it can
// only wait for is internal.
func Code(k payment.Kind) int {
	switch k {
	case payment.KindPaymentRequired:
		return CodePaymentRequired
	case payment.KindMalformedCredential, payment.KindInvalidPayload, payment.KindBadRequest:
		return CodeInvalidParams
	case payment.KindInvalidChallenge, payment.KindPaymentExpired, payment.KindMethodUnsupported,
		payment.KindVerificationFailed, payment.KindPaymentInsufficient, payment.KindActionRequired:
		return CodeVerificationFailed
	case payment.KindInternal, payment.KindInProgress, payment.KindPending, payment.KindPaused, payment.KindBusy:
		return CodeInternal
	}
	return CodeInternal
}

// MCPError is the error member of a JSON-RPC response that asks for payment or
// refuses one.
type MCPError struct {
	Code    int
	Message string
	// HTTPStatus is what the same refusal is over HTTP; zero is 402.
	HTTPStatus int
	// Challenges are alternatives, the seller's preference first.
	Challenges []Challenge
	// Problem is an RFC 9457 document, or nil.
	Problem json.RawMessage
}

// NewMCPError is a refusal in this transport. Challenges of a refusal that must
// not be answered with a payment are left out.
func NewMCPError(e *payment.Error, status int, challenges []Challenge, problem json.RawMessage) MCPError {
	out := MCPError{Code: Code(e.Kind), Message: e.Detail, HTTPStatus: status, Problem: problem}
	if !e.Kind.Unsettled() {
		out.Challenges = challenges
	}
	if out.Message == "" {
		out.Message = e.Kind.String()
	}
	return out
}

type wireMCPError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

type wireMCPData struct {
	HTTPStatus int               `json:"httpStatus"`
	Challenges []json.RawMessage `json:"challenges,omitempty"`
	Problem    json.RawMessage   `json:"problem,omitempty"`
}

func (e MCPError) data() (json.RawMessage, error) {
	if e.Code == CodePaymentRequired && len(e.Challenges) == 0 {
		return nil, fmt.Errorf("%w: payment required without a challenge", ErrMCP)
	}
	d := wireMCPData{HTTPStatus: e.HTTPStatus, Problem: e.Problem}
	if d.HTTPStatus == 0 {
		d.HTTPStatus = http.StatusPaymentRequired
	}
	for i := range e.Challenges {
		b, err := e.Challenges[i].Native()
		if err != nil {
			return nil, err
		}
		d.Challenges = append(d.Challenges, b)
	}
	return marshalMCP(d)
}

// MarshalJSON writes the error member.
func (e MCPError) MarshalJSON() ([]byte, error) {
	d, err := e.data()
	if err != nil {
		return nil, err
	}
	return marshalMCP(wireMCPError{e.Code, e.Message, d})
}

// ToolResult writes the same as the result of a tool call that failed.
func (e MCPError) ToolResult() (json.RawMessage, error) {
	d, err := e.data()
	if err != nil {
		return nil, err
	}
	type content struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	return marshalMCP(struct {
		Content []content                  `json:"content"`
		IsError bool                       `json:"isError"`
		Meta    map[string]json.RawMessage `json:"_meta"`
	}{[]content{{"text", e.Message}}, true, map[string]json.RawMessage{MetaPaymentRequired: d}})
}

// UnmarshalJSON reads an error member. A challenge that is malformed is left out,
// as in [ParseChallenges]; unknown members are ignored.
func (e *MCPError) UnmarshalJSON(data []byte) error {
	var w wireMCPError
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("%w: error member", ErrMCP)
	}
	out := MCPError{Code: w.Code, Message: w.Message}
	if len(w.Data) > 0 {
		var d wireMCPData
		if err := json.Unmarshal(w.Data, &d); err != nil {
			return fmt.Errorf("%w: data of the error", ErrMCP)
		}
		out.HTTPStatus, out.Problem = d.HTTPStatus, d.Problem
		for _, raw := range d.Challenges {
			if c, err := ParseNative(raw); err == nil {
				out.Challenges = append(out.Challenges, c)
			}
		}
	}
	*e = out
	return nil
}

type nativeChallenge struct {
	wireChallenge
	Request json.RawMessage `json:"request"` // in the place of the encoded one
}

// Native is the challenge as an object of the MCP transport, where the request is
// not encoded. Its binding is over the canonical form, so both spellings of one
// challenge have one id.
func (c *Challenge) Native() (json.RawMessage, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	request, err := c.RequestObject()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return marshalMCP(nativeChallenge{wireChallenge(*c), request})
}

// ParseNative reads a challenge object. Errors wrap [ErrParse].
func ParseNative(data []byte) (Challenge, error) {
	if len(data) > MaxCredentialBytes {
		return Challenge{}, fmt.Errorf("%w: too long", ErrParse)
	}
	if err := checkObject(data); err != nil {
		return Challenge{}, fmt.Errorf("%w: %w", ErrParse, err)
	}
	c, err := decodeNative(data)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return Challenge{}, fmt.Errorf("%w: %w", ErrParse, err)
	}
	return c, nil
}

// decodeNative reads a strict object whose request is one too, and gives the
// challenge that it is over HTTP.
func decodeNative(data json.RawMessage) (Challenge, error) {
	m, err := members(data, "request")
	if err != nil {
		return Challenge{}, err
	}
	if raw := m["request"]; len(raw) == 0 || raw[0] != '{' {
		return Challenge{}, errors.New("request is not an object")
	}
	request, err := EncodeRequest(m["request"])
	if err != nil {
		return Challenge{}, err
	}
	if m["request"], err = json.Marshal(request); err != nil {
		return Challenge{}, fmt.Errorf("request: %w", err)
	}
	http, err := json.Marshal(m)
	if err != nil {
		return Challenge{}, fmt.Errorf("challenge: %w", err)
	}
	return decodeEcho(http)
}

// Capability says under capabilities.experimental what a server takes: the
// payment member with each method's intents.
func Capability(offers []payment.Offer) (json.RawMessage, error) {
	type method struct {
		Intents []string `json:"intents"`
	}
	methods := map[string]method{}
	for _, o := range offers {
		if !isMethod(o.Method) || !isIntent(o.Intent) {
			return nil, fmt.Errorf("%w: method %q, intent %q", ErrFormat, o.Method, o.Intent)
		}
		m := methods[o.Method]
		if !slices.Contains(m.Intents, o.Intent) {
			m.Intents = append(m.Intents, o.Intent)
		}
		methods[o.Method] = m
	}
	return marshalMCP(map[string]any{"payment": map[string]any{"methods": methods}})
}

// AcceptCapability is the Accept-Payment value that says what a client's
// capabilities.experimental says, or empty when it says nothing that can be used.
func AcceptCapability(experimental []byte) string {
	var e struct {
		Payment struct {
			Methods map[string]struct {
				Intents []string `json:"intents"`
			} `json:"methods"`
		} `json:"payment"`
	}
	if len(experimental) > maxFieldBytes || json.Unmarshal(experimental, &e) != nil {
		return ""
	}
	var ranges []string
	for name, m := range e.Payment.Methods {
		for _, intent := range m.Intents {
			if isMethod(name) && isIntent(intent) {
				ranges = append(ranges, name+"/"+intent)
			}
		}
	}
	slices.Sort(ranges)
	return strings.Join(ranges, ", ")
}
