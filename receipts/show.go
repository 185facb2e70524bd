package receipts

import (
	"encoding/json"
	"fmt"
)

// Unverified is what a token says of itself. Nothing of it may be believed.
type Unverified struct {
	Type, Algorithm, KeyID string
	Claims                 Claims
}

// Show reads a receipt without verifying it, for people to look at. Tokens that
// no issuer of this package could have made are [ErrMalformed].
func Show(token string) (Unverified, error) {
	if len(token) > MaxSize {
		return Unverified{}, fmt.Errorf("more than %d bytes: %w", MaxSize, ErrMalformed)
	}
	head, body, _, err := split(token)
	if err != nil {
		return Unverified{}, err
	}
	headData, ok := unb64(head)
	bodyData, ok2 := unb64(body)
	if !ok || !ok2 {
		return Unverified{}, fmt.Errorf("not base64url: %w", ErrMalformed)
	}
	if err := checkJSON(headData); err != nil {
		return Unverified{}, err
	}
	var h struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
		Type      string `json:"typ"`
	}
	if err := json.Unmarshal(headData, &h); err != nil {
		return Unverified{}, fmt.Errorf("header: %w", ErrMalformed)
	}
	if h.Type != Type {
		return Unverified{}, fmt.Errorf("not of type %s: %w", Type, ErrMalformed)
	}
	c, err := decode(bodyData)
	if err != nil {
		return Unverified{}, err
	}
	return Unverified{Type: h.Type, Algorithm: h.Algorithm, KeyID: h.KeyID, Claims: c}, nil
}
