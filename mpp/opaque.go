package mpp

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"paywall/payment"
)

// Lengths of a nonce, and of the hash of a target as it is written.
const (
	nonceBytes  = 16
	targetBytes = 43
)

var errScope = errors.New("another scope")

// appendOpaque appends our scope as a canonical flat map: k key id, m HTTP
// method, n nonce, p hash of path and query, r route, t tenant, v price version.
// Values are refused rather than escaped, so that the result is canonical as it stands.
func (s *scratch) appendOpaque(b []byte, keyID string, sc *payment.Scope, target []byte, version string) ([]byte, error) {
	for _, v := range [...]string{sc.Method, sc.Route, sc.Tenant, version} {
		for i := range len(v) {
			if v[i] < ' ' || v[i] > '~' || v[i] == '"' || v[i] == '\\' {
				return nil, fmt.Errorf("%w: scope %q", ErrFormat, v)
			}
		}
	}
	b = append(append(b, `{"k":"`...), keyID...)
	b = append(append(b, `","m":"`...), sc.Method...)
	b = base64.RawURLEncoding.AppendEncode(append(b, `","n":"`...), s.nonce[:])
	b = append(append(b, `","p":"`...), target...)
	b = append(append(b, `","r":"`...), sc.Route...)
	b = append(append(b, `","t":"`...), sc.Tenant...)
	b = append(append(b, `","v":"`...), version...)
	return append(b, `"}`...), nil
}

// openOpaque reads the map; what it says is trusted only once the binding holds.
func openOpaque(wire string) (map[string]string, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(wire)
	if err != nil {
		return nil, ErrEncoding
	}
	if err := checkObject(b); err != nil {
		return nil, err
	}
	raw, err := members(b)
	if err != nil {
		return nil, err
	}
	m := make(map[string]string, len(raw))
	for name := range raw {
		if m[name], err = text(raw, name); err != nil {
			return nil, errJSON
		}
	}
	return m, nil
}

// sameScope compares a trusted map with the live request; the price version is
// compared with the offer.
func sameScope(m map[string]string, sc *payment.Scope) error {
	sum := sha256.Sum256([]byte(sc.Target))
	if len(m) != 7 || len(m["n"]) != base64.RawURLEncoding.EncodedLen(nonceBytes) ||
		m["m"] != sc.Method || m["r"] != sc.Route || m["t"] != sc.Tenant ||
		m["p"] != EncodeBase64(sum[:]) {
		return errScope
	}
	return nil
}
