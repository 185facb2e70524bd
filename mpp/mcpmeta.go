package mpp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const meta = "_meta"

// Meta writes the credential as the value of [MetaCredential].
func (c Credential) Meta() (json.RawMessage, error) {
	if err := checkObject(c.Payload); err != nil {
		return nil, fmt.Errorf("%w: payload: %w", ErrFormat, err)
	}
	challenge, err := c.Challenge.Native()
	if err != nil {
		return nil, err
	}
	return marshalMCP(struct {
		Challenge json.RawMessage `json:"challenge"`
		Payload   json.RawMessage `json:"payload"`
		Source    string          `json:"source,omitempty"`
	}{challenge, c.Payload, c.Source})
}

// ParseMeta reads the value of [MetaCredential]. What it returns is the
// credential that the same answer is over HTTP, so that [Credential.Set] and a
// dialect take it from there. It does not check the binding. Errors wrap [ErrMalformed].
func ParseMeta(data []byte) (Credential, error) {
	if len(data) > MaxCredentialBytes {
		return Credential{}, malformed(errors.New("too long"))
	}
	return readCredential(data, decodeNative)
}

// MCPCredential finds the credential of a JSON-RPC request: in params._meta, where
// MCP has it, or in the _meta beside it, where plain JSON-RPC does. The same in
// both places is one. Errors: [payment.ErrNoCredential], [ErrSeveralCredentials],
// [ErrMalformed] and, for a message that is not an object or names a member that
// matters twice, [ErrMCP].
func MCPCredential(message []byte) (Credential, error) {
	found, err := findMeta(message, "params", MetaCredential)
	if err != nil {
		return Credential{}, err
	}
	switch len(found) {
	case 0:
		return Credential{}, errNoPaymentCredential
	case 1:
		return ParseMeta(found[0])
	}
	first, err := ParseMeta(found[0])
	if err != nil {
		return Credential{}, err
	}
	second, err := ParseMeta(found[1])
	if err != nil {
		return Credential{}, err
	}
	// Compared as parsed, so that a spelling does not make two of one.
	one, err := first.Hash()
	if err != nil {
		return Credential{}, err
	}
	two, err := second.Hash()
	if err != nil {
		return Credential{}, err
	}
	if one != two || first.Challenge != second.Challenge {
		return Credential{}, ErrSeveralCredentials
	}
	return first, nil
}

// SetMCPCredential returns the request with the credential in params._meta.
func SetMCPCredential(request []byte, c Credential) ([]byte, error) {
	v, err := c.Meta()
	if err != nil {
		return nil, err
	}
	return putMeta(request, "params", MetaCredential, v)
}

// MCPReceipt finds the receipt of a JSON-RPC response, in result._meta or the
// _meta beside it. Errors wrap [ErrReceipt], also when there is none, or [ErrMCP].
func MCPReceipt(response []byte) (Receipt, error) {
	found, err := findMeta(response, "result", MetaReceipt)
	if err != nil {
		return Receipt{}, err
	}
	if len(found) == 0 {
		return Receipt{}, fmt.Errorf("%w: none present", ErrReceipt)
	}
	return parseMetaReceipt(found[0])
}

// SetMCPReceipt returns the response with the receipt in result._meta. A receipt
// belongs on a paid success: a response without a result is [ErrMCP].
func SetMCPReceipt(response []byte, r Receipt) ([]byte, error) {
	v, err := r.Meta()
	if err != nil {
		return nil, err
	}
	top, err := shallow(response)
	if err != nil {
		return nil, err
	}
	if len(top["result"]) == 0 || len(top["error"]) > 0 {
		return nil, fmt.Errorf("%w: a receipt without a result", ErrMCP)
	}
	return putMeta(response, "result", MetaReceipt, v)
}

// Meta writes the receipt as the value of [MetaReceipt]. Unlike over HTTP the
// extra member challengeId is required, and the reference is not.
func (r Receipt) Meta() (json.RawMessage, error) {
	m := make(map[string]any, 4+len(r.Extra))
	for k, v := range r.Extra {
		m[k] = v
	}
	m["status"], m["method"], m["timestamp"] = r.Status, r.Method, r.Timestamp
	delete(m, "reference")
	if r.Reference != "" {
		m["reference"] = r.Reference
	}
	b, err := marshalMCP(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	if _, err := parseMetaReceipt(b); err != nil {
		return nil, err
	}
	return b, nil
}

func parseMetaReceipt(data []byte) (Receipt, error) {
	var r Receipt
	if len(data) > MaxCredentialBytes {
		return r, fmt.Errorf("%w: too long", ErrReceipt)
	}
	if err := checkObject(data); err != nil {
		return r, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	m, err := members(data, "status", "method", "timestamp", "reference", "challengeId")
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	challenge, err := text(m, "challengeId")
	if err != nil || challenge == "" {
		return r, fmt.Errorf("%w: challengeId", ErrReceipt)
	}
	for _, f := range []struct {
		name string
		to   *string
	}{{"status", &r.Status}, {"method", &r.Method}, {"timestamp", &r.Timestamp}, {"reference", &r.Reference}} {
		if *f.to, err = text(m, f.name); err != nil {
			return Receipt{}, fmt.Errorf("%w: %w", ErrReceipt, err)
		}
		delete(m, f.name)
	}
	r.Extra = m
	if r.Status != "success" || r.Method == "" {
		return Receipt{}, fmt.Errorf("%w: status or method", ErrReceipt)
	}
	if _, err := time.Parse(time.RFC3339, r.Timestamp); err != nil {
		return Receipt{}, fmt.Errorf("%w: timestamp", ErrReceipt)
	}
	return r, nil
}

// findMeta returns the values of a key of _meta inside a member of the message and
// beside it, in this order.
func findMeta(message []byte, member, key string) ([]json.RawMessage, error) {
	top, err := shallow(message)
	if err != nil {
		return nil, err
	}
	var found []json.RawMessage
	look := func(raw json.RawMessage) error {
		if len(raw) == 0 || raw[0] != '{' {
			return nil
		}
		m, err := shallow(raw)
		if err == nil && len(m[key]) > 0 {
			found = append(found, m[key])
		}
		return err
	}
	// Parameters by position have no place for it.
	if raw := top[member]; len(raw) > 0 && raw[0] == '{' {
		inner, err := shallow(raw)
		if err != nil {
			return nil, err
		}
		if err := look(inner[meta]); err != nil {
			return nil, err
		}
	}
	if err := look(top[meta]); err != nil {
		return nil, err
	}
	return found, nil
}

// putMeta returns the message with a key of _meta in a member set. All else stays.
func putMeta(message []byte, member, key string, value json.RawMessage) ([]byte, error) {
	top, err := shallow(message)
	if err != nil {
		return nil, err
	}
	inner, err := orEmpty(top[member])
	if err != nil {
		return nil, err
	}
	values, err := orEmpty(inner[meta])
	if err != nil {
		return nil, err
	}
	values[key] = value
	if inner[meta], err = marshalMCP(values); err != nil {
		return nil, err
	}
	if top[member], err = marshalMCP(inner); err != nil {
		return nil, err
	}
	return marshalMCP(top)
}

func orEmpty(raw json.RawMessage) (map[string]json.RawMessage, error) {
	if len(raw) == 0 {
		return map[string]json.RawMessage{}, nil
	}
	return shallow(raw)
}

// shallow splits one object and refuses a name that is given twice. What is inside
// its members is the tool's business and not looked at.
func shallow(data []byte) (map[string]json.RawMessage, error) {
	if !json.Valid(data) {
		return nil, fmt.Errorf("%w: not json", ErrMCP)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, fmt.Errorf("%w: not an object", ErrMCP)
	}
	m := map[string]json.RawMessage{}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok {
			return nil, fmt.Errorf("%w: member name", ErrMCP)
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("%w: a name is given twice", ErrMCP)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, fmt.Errorf("%w: member", ErrMCP)
		}
		m[name] = v
	}
	return m, nil
}

// marshalMCP writes JSON without the escapes that are for web pages.
func marshalMCP(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMCP, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
