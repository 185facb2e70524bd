package mpp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

const (
	maxDepth   = 16
	maxInteger = 1<<53 - 1
)

var errJSON = errors.New("not strict json")

// checkObject accepts one JSON object and nothing after it: valid UTF-8, no
// lone surrogates, no duplicate names, depth at most maxDepth, and no integer
// that a float64 would round, since canonical form goes through one.
func checkObject(data []byte) error {
	if !utf8.Valid(data) || !json.Valid(data) || loneSurrogate(data) {
		return errJSON
	}
	if t := bytes.TrimLeft(data, " \t\r\n"); t[0] != '{' {
		return fmt.Errorf("%w: not an object", errJSON)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	type level struct {
		names map[string]bool // nil for an array
		value bool            // the next token is a member's value
	}
	var stack []level
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errJSON
		}
		if d, ok := tok.(json.Delim); ok && (d == '}' || d == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if n := len(stack); n > 0 && stack[n-1].names != nil {
			top := &stack[n-1]
			if name, ok := tok.(string); ok && !top.value {
				if top.names[name] {
					return fmt.Errorf("%w: duplicate name", errJSON)
				}
				top.names[name], top.value = true, true
				continue
			}
			top.value = false
		}
		switch v := tok.(type) {
		case json.Delim:
			if len(stack) == maxDepth {
				return fmt.Errorf("%w: too deep", errJSON)
			}
			l := level{}
			if v == '{' {
				l.names = map[string]bool{}
			}
			stack = append(stack, l)
		case json.Number:
			if !exactNumber(v.String()) {
				return fmt.Errorf("%w: number out of range", errJSON)
			}
		}
	}
}

func exactNumber(s string) bool {
	if strings.ContainsAny(s, ".eE") {
		_, err := strconv.ParseFloat(s, 64)
		return err == nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n <= maxInteger && n >= -maxInteger
}

// loneSurrogate finds \u escapes that are half a pair; the library replaces
// them with U+FFFD, so that different names would become one.
func loneSurrogate(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		if i+1 < len(b) && b[i+1] != 'u' {
			i++
			continue
		}
		switch u := unit(b, i); {
		case u >= 0xDC00 && u <= 0xDFFF:
			return true
		case u >= 0xD800 && u <= 0xDBFF:
			if low := unit(b, i+6); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 11
		default:
			i += 5
		}
	}
	return false
}

// unit is the UTF-16 unit of the escape at b[i:], or -1.
func unit(b []byte, i int) int64 {
	if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
	u, err := strconv.ParseInt(string(b[i+2:i+6]), 16, 32)
	if err != nil {
		return -1
	}
	return u
}

// members splits a strict object. A name that differs from a known one only in
// case is refused: another reader may take it for the real one.
func members(data []byte, known ...string) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil || m == nil {
		return nil, fmt.Errorf("%w: not an object", errJSON)
	}
	for name := range m {
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return nil, fmt.Errorf("%w: case variant of %q", errJSON, k)
			}
		}
	}
	return m, nil
}

// text reads an optional string member.
func text(m map[string]json.RawMessage, name string) (string, error) {
	raw, ok := m[name]
	if !ok {
		return "", nil
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", fmt.Errorf("%w: %s is not a string", errJSON, name)
	}
	return *s, nil
}

// Canonical is the RFC 8785 form of a strict JSON object.
func Canonical(data []byte) ([]byte, error) {
	if err := checkObject(data); err != nil {
		return nil, err
	}
	out, err := jcs.Transform(data)
	if err != nil {
		return nil, fmt.Errorf("canonical form: %w", err)
	}
	return out, nil
}

// EncodeRequest is the wire string of a JSON object: base64url of its canonical form.
func EncodeRequest(object []byte) (string, error) {
	b, err := Canonical(object)
	if err != nil {
		return "", err
	}
	return EncodeBase64(b), nil
}
