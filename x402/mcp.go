package x402

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"paywall/payment"
)

// Keys of _meta in MCP.
const (
	MetaPayment         = "x402/payment"
	MetaPaymentResponse = "x402/payment-response"
)

const (
	memberMeta = "_meta"
	params     = "params"
	result     = "result"
)

// ErrMessage means a message of MCP or A2A that cannot be read or written.
var ErrMessage = errors.New("malformed message")

type toolResult struct {
	Content           []toolText      `json:"content"`
	IsError           bool            `json:"isError"`
	StructuredContent json.RawMessage `json:"structuredContent,omitempty"`
}

type toolText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// ToolResult is the result of a tool call that must be paid first, or whose payment was
// refused after the tool ran: in MCP the challenge is a result and not an error. The
// resource is named as mcp://tool/<name>.
func (p PaymentRequired) ToolResult() (json.RawMessage, error) {
	if len(p.Accepts) == 0 {
		return nil, fmt.Errorf("%w: nothing to accept", ErrMessage)
	}
	b, err := marshal(p)
	if err != nil {
		return nil, err
	}
	return marshal(toolResult{Content: []toolText{{"text", string(b)}}, IsError: true, StructuredContent: b})
}

// MCPRequired reads the challenge out of the result of a tool call: where it is
// structured, or else out of its first text. ok is false for any other result.
func MCPRequired(data []byte) (p PaymentRequired, ok bool) {
	var r toolResult
	top, err := shallow(data)
	if err != nil || json.Unmarshal(top["isError"], &r.IsError) != nil || !r.IsError {
		return p, false
	}
	from := top["structuredContent"]
	if len(from) == 0 {
		if json.Unmarshal(top["content"], &r.Content) != nil || len(r.Content) == 0 || r.Content[0].Type != "text" {
			return p, false
		}
		from = json.RawMessage(r.Content[0].Text)
	}
	if Unmarshal(from, &p) != nil || len(p.Accepts) == 0 {
		return PaymentRequired{}, false
	}
	return p, true
}

// SetMCPPayment returns the JSON-RPC request with the payment in params._meta.
func SetMCPPayment(request []byte, p PaymentPayload) ([]byte, error) {
	v, err := marshal(p)
	if err != nil {
		return nil, err
	}
	return putMeta(request, params, MetaPayment, v)
}

// MCPPayment is the field's value that the payment in a JSON-RPC request would be over
// HTTP, so that [Protocol] takes it from there. Errors: [payment.ErrNoCredential],
// [ErrMessage], and [ErrJSON] for a payment that is none.
func MCPPayment(request []byte) (string, error) {
	raw, err := meta(request, params, MetaPayment)
	if err != nil {
		return "", err
	}
	if len(raw) == 0 {
		return "", fmt.Errorf("x402: %w", payment.ErrNoCredential)
	}
	if err := check(raw); err != nil {
		return "", err
	}
	return Encode(raw)
}

// SetMCPSettlement returns the JSON-RPC response with the settlement in result._meta.
// A response without a result is [ErrMessage].
func SetMCPSettlement(response []byte, s SettleResponse) ([]byte, error) {
	v, err := marshal(s)
	if err != nil {
		return nil, err
	}
	top, err := shallow(response)
	if err != nil {
		return nil, err
	}
	if len(top[result]) == 0 || len(top["error"]) > 0 {
		return nil, fmt.Errorf("%w: a settlement without a result", ErrMessage)
	}
	return putMeta(response, result, MetaPaymentResponse, v)
}

// MCPSettlement reads the settlement out of a JSON-RPC response; ok is false when there
// is none. Errors are [ErrMessage] and [ErrJSON].
func MCPSettlement(response []byte) (s SettleResponse, ok bool, err error) {
	raw, err := meta(response, result, MetaPaymentResponse)
	if err != nil || len(raw) == 0 {
		return s, false, err
	}
	err = Unmarshal(raw, &s)
	return s, err == nil, err
}

// meta is a value of _meta inside a member of the message, or nothing.
func meta(message []byte, member, key string) (json.RawMessage, error) {
	for _, name := range [...]string{member, memberMeta} {
		top, err := shallow(message)
		if err != nil {
			return nil, err
		}
		if message = top[name]; len(message) == 0 || message[0] != '{' {
			return nil, nil // parameters by position have no place for it
		}
	}
	values, err := shallow(message)
	return values[key], err
}

// putMeta returns the message with a value of _meta in a member set. All else stays.
func putMeta(message []byte, member, key string, value json.RawMessage) ([]byte, error) {
	top, err := shallow(message)
	if err != nil {
		return nil, err
	}
	inner, err := orEmpty(top[member])
	if err != nil {
		return nil, err
	}
	values, err := orEmpty(inner[memberMeta])
	if err != nil {
		return nil, err
	}
	values[key] = value
	if inner[memberMeta], err = marshal(values); err != nil {
		return nil, err
	}
	if top[member], err = marshal(inner); err != nil {
		return nil, err
	}
	return marshal(top)
}

func orEmpty(raw json.RawMessage) (map[string]json.RawMessage, error) {
	if len(raw) == 0 {
		return map[string]json.RawMessage{}, nil
	}
	return shallow(raw)
}

// shallow splits one object and refuses a name that is given twice. What is inside its
// members is the tool's business and not looked at.
func shallow(data []byte) (map[string]json.RawMessage, error) {
	if !json.Valid(data) {
		return nil, fmt.Errorf("%w: not json", ErrMessage)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, fmt.Errorf("%w: not an object", ErrMessage)
	}
	m := map[string]json.RawMessage{}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok {
			return nil, fmt.Errorf("%w: member name", ErrMessage)
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("%w: a name is given twice", ErrMessage)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, fmt.Errorf("%w: member", ErrMessage)
		}
		m[name] = v
	}
	return m, nil
}
