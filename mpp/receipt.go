package mpp

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxReceiptBytes bounds the Payment-Receipt field.
const MaxReceiptBytes = 4 << 10

// ErrReceipt means a receipt that cannot be read or written.
var ErrReceipt = errors.New("malformed receipt")

// Receipt is the content of Payment-Receipt. Status is "success".
type Receipt struct {
	Status, Method, Timestamp, Reference string
	// Extra holds further members by name, such as jwt, as JSON.
	Extra map[string]json.RawMessage
}

// Format writes the field value.
func (r Receipt) Format() (string, error) {
	m := make(map[string]any, 4+len(r.Extra))
	for k, v := range r.Extra {
		m[k] = v
	}
	m["status"], m["method"], m["timestamp"], m["reference"] = r.Status, r.Method, r.Timestamp, r.Reference
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	s, err := EncodeRequest(b)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	if err := r.check(); err != nil {
		return "", err
	}
	if len(s) > MaxReceiptBytes {
		return "", fmt.Errorf("%w: too long", ErrReceipt)
	}
	return s, nil
}

func (r Receipt) check() error {
	if r.Status != "success" || r.Method == "" || r.Reference == "" {
		return fmt.Errorf("%w: status, method or reference", ErrReceipt)
	}
	if _, err := time.Parse(time.RFC3339, r.Timestamp); err != nil {
		return fmt.Errorf("%w: timestamp", ErrReceipt)
	}
	return nil
}

// ParseReceipt reads a Payment-Receipt field value.
func ParseReceipt(field string) (Receipt, error) {
	var r Receipt
	if len(field) > MaxCredentialBytes {
		return r, fmt.Errorf("%w: too long", ErrReceipt)
	}
	b, err := DecodeBase64(field)
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	if err := checkObject(b); err != nil {
		return r, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	m, err := members(b, "status", "method", "timestamp", "reference")
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrReceipt, err)
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
	if len(m) > 0 {
		r.Extra = m
	}
	return r, r.check()
}
