package mpp

import (
	"encoding/base64"
	"errors"
	"strings"
)

// ErrEncoding means that a string is not base64url.
var ErrEncoding = errors.New("not base64url")

// EncodeBase64 is unpadded base64url (RFC 4648 section 5).
func EncodeBase64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// DecodeBase64 reads base64url with or without padding and also takes the
// standard alphabet. Anything else is [ErrEncoding]: white space, misplaced
// padding and trailing bits that are not zero, which would give one value two spellings.
func DecodeBase64(s string) ([]byte, error) {
	if strings.HasSuffix(s, "=") {
		if len(s)%4 != 0 {
			return nil, ErrEncoding
		}
		s = strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	}
	if strings.ContainsAny(s, "\r\n") { // the library's decoder skips these
		return nil, ErrEncoding
	}
	if strings.ContainsAny(s, "+/") {
		s = strings.NewReplacer("+", "-", "/", "_").Replace(s)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, ErrEncoding
	}
	return b, nil
}
