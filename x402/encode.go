package x402

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"paywall/internal/strictjson"
)

// MaxHeaderBytes bounds a field that is read.
const MaxHeaderBytes = 16 << 10

// Errors of this package; test with [errors.Is]. They never quote what was read: it
// may be as good as money.
var (
	ErrEncoding = errors.New("not base64")
	ErrJSON     = errors.New("not strict json of its type")
	ErrFormat   = errors.New("cannot be written")
)

// Encode is the value of a field: padded base64 in the standard alphabet, which all
// clients read, of JSON.
func Encode(v any) (string, error) {
	b, err := marshal(v)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

// Decode reads a field's value into one of this package's types. It takes both
// alphabets, with and without padding, and then JSON that can be read in one way only.
// Errors are [ErrEncoding] and [ErrJSON].
func Decode(field string, into any) error {
	b, err := decodeBase64(field)
	if err != nil {
		return err
	}
	return Unmarshal(b, into)
}

// Unmarshal reads JSON of at most [MaxHeaderBytes] into one of this package's types.
// Unknown members are passed over; a member whose name differs from a known one in
// case, or comes twice, is [ErrJSON].
func Unmarshal(data []byte, into any) error {
	if err := check(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		if errors.Is(err, ErrJSON) {
			return err
		}
		return ErrJSON // encoding/json quotes its input
	}
	return nil
}

// check refuses what is not one JSON object that can be read in one way only.
func check(data []byte) error {
	limits := strictjson.Limits{Bytes: MaxHeaderBytes, String: MaxHeaderBytes}
	if err := strictjson.Check(data, limits); err != nil {
		return fmt.Errorf("%w: %w", ErrJSON, err)
	}
	if !isObject(data) {
		return fmt.Errorf("%w: not an object", ErrJSON)
	}
	return nil
}

func isObject(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && data[0] == '{'
}

func decodeBase64(s string) ([]byte, error) {
	if len(s) > MaxHeaderBytes {
		return nil, fmt.Errorf("%w: too long", ErrEncoding)
	}
	if strings.HasSuffix(s, "=") {
		if len(s)%4 != 0 {
			return nil, ErrEncoding
		}
		s = strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	}
	if s == "" || strings.ContainsAny(s, "\r\n") { // the library's decoder skips these
		return nil, ErrEncoding
	}
	if strings.ContainsAny(s, "-_") {
		s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, ErrEncoding
	}
	return b, nil
}

// marshal writes JSON without the escapes that are for web pages.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
