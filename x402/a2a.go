package x402

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"paywall/payment"
)

// A2AExtension names the extension in an agent's card; clients activate it by
// [HeaderA2AExtensions].
const (
	A2AExtension        = "https://github.com/google-a2a/a2a-x402/v0.1"
	HeaderA2AExtensions = "X-A2A-Extensions"
)

// Keys of a message's metadata in A2A.
const (
	a2aStatus   = "x402.payment.status"
	a2aRequired = "x402.payment.required"
	a2aPayload  = "x402.payment.payload"
	a2aReceipts = "x402.payment.receipts"
	a2aError    = "x402.payment.error"
)

// A2AStatus is how far the payment of a task is.
type A2AStatus string

// Statuses of a payment in A2A. A task that waits for its payment is "input-required".
const (
	A2ARequired  A2AStatus = "payment-required"
	A2ASubmitted A2AStatus = "payment-submitted"
	A2AVerified  A2AStatus = "payment-verified"
	A2ACompleted A2AStatus = "payment-completed"
	A2ARejected  A2AStatus = "payment-rejected"
	A2AFailed    A2AStatus = "payment-failed"
)

// A2A is what the metadata of one message says about payment. Required and Payload are
// JSON of either version: many agents still speak version 1.
type A2A struct {
	Status   A2AStatus
	Required json.RawMessage
	// Payload is as good as money.
	Payload  json.RawMessage
	Receipts []SettleResponse
	// Error is a code of A2A's own; see [A2AError].
	Error string
}

// LogValue keeps the proof out of logs.
func (a A2A) LogValue() slog.Value { return slog.StringValue(string(a.Status)) }

// NewA2ARequired is the metadata of a message that asks for payment.
func NewA2ARequired(p PaymentRequired) (A2A, error) {
	b, err := marshal(p)
	return A2A{Status: A2ARequired, Required: b}, err
}

// NewA2APayment is the metadata of a message that pays.
func NewA2APayment(p PaymentPayload) (A2A, error) {
	b, err := marshal(p)
	return A2A{Status: A2ASubmitted, Payload: b}, err
}

// A2AError is the code of a refusal.
func A2AError(e *payment.Error) string {
	switch e.Reason {
	case CodeSignature:
		return "INVALID_SIGNATURE"
	case CodeValue:
		return "INVALID_AMOUNT"
	case CodeNonceUsed, CodeDuplicate:
		return "DUPLICATE_NONCE"
	case CodeInvalidNetwork:
		return "NETWORK_MISMATCH"
	}
	switch e.Kind {
	case payment.KindPaymentInsufficient:
		return "INSUFFICIENT_FUNDS"
	case payment.KindPaymentExpired:
		return "EXPIRED_PAYMENT"
	default:
		return "SETTLEMENT_FAILED"
	}
}

// Field is the field's value that the payment would be over HTTP, so that [Protocol]
// takes it from there; without one it is [payment.ErrNoCredential].
func (a A2A) Field() (string, error) {
	if len(a.Payload) == 0 {
		return "", fmt.Errorf("x402: %w", payment.ErrNoCredential)
	}
	if err := check(a.Payload); err != nil {
		return "", err
	}
	return Encode(a.Payload)
}

// Set returns the message with this metadata. Metadata of others stays; what an earlier
// message said about payment does not.
func (a A2A) Set(message []byte) ([]byte, error) {
	if !a.Status.known() {
		return nil, fmt.Errorf("%w: status", ErrMessage)
	}
	top, err := shallow(message)
	if err != nil {
		return nil, err
	}
	m, err := orEmpty(top["metadata"])
	if err != nil {
		return nil, err
	}
	for _, v := range []struct {
		key   string
		value any
		given bool
	}{
		{a2aStatus, a.Status, true},
		{a2aRequired, a.Required, len(a.Required) > 0},
		{a2aPayload, a.Payload, len(a.Payload) > 0},
		{a2aReceipts, a.Receipts, len(a.Receipts) > 0},
		{a2aError, a.Error, a.Error != ""},
	} {
		delete(m, v.key)
		if !v.given {
			continue
		}
		if m[v.key], err = marshal(v.value); err != nil {
			return nil, err
		}
	}
	if top["metadata"], err = marshal(m); err != nil {
		return nil, err
	}
	return marshal(top)
}

// ParseA2A reads the metadata of a message; ok is false when it says nothing about
// payment. Errors are [ErrMessage] and [ErrJSON].
func ParseA2A(message []byte) (a A2A, ok bool, err error) {
	top, err := shallow(message)
	if err != nil || len(top["metadata"]) == 0 {
		return A2A{}, false, err
	}
	m, err := shallow(top["metadata"])
	if err != nil || len(m[a2aStatus]) == 0 {
		return A2A{}, false, err
	}
	if json.Unmarshal(m[a2aStatus], &a.Status) != nil || !a.Status.known() {
		return A2A{}, false, fmt.Errorf("%w: status", ErrMessage)
	}
	a.Required, a.Payload = m[a2aRequired], m[a2aPayload]
	for _, raw := range []json.RawMessage{a.Required, a.Payload} {
		if len(raw) == 0 {
			continue
		}
		if err := check(raw); err != nil {
			return A2A{}, false, err
		}
	}
	if raw := m[a2aReceipts]; len(raw) > 0 && json.Unmarshal(raw, &a.Receipts) != nil {
		return A2A{}, false, fmt.Errorf("%w: receipts", ErrMessage)
	}
	if raw := m[a2aError]; len(raw) > 0 && json.Unmarshal(raw, &a.Error) != nil {
		return A2A{}, false, fmt.Errorf("%w: error", ErrMessage)
	}
	return a, true, nil
}

func (s A2AStatus) known() bool {
	switch s {
	case A2ARequired, A2ASubmitted, A2AVerified, A2ACompleted, A2ARejected, A2AFailed:
		return true
	}
	return false
}
