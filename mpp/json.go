package mpp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gowebpki/jcs"

	"paywall/internal/strictjson"
)

const (
	maxDepth   = 16
	maxInteger = 1<<53 - 1
)

var (
	errJSON     = errors.New("not strict json")
	errNoObject = fmt.Errorf("%w: not an object", errJSON)
)

// checkObject accepts one JSON object that can be read in one way only
// (internal/strictjson), with depth at most maxDepth and no integer that a
// float64 would round, since canonical form goes through one.
func checkObject(data []byte) error {
	if err := strictjson.Check(data, strictjson.Limits{Bytes: len(data), Depth: maxDepth, Members: len(data), String: len(data)}); err != nil {
		return fmt.Errorf("%w: %w", errJSON, err)
	}
	if t := bytes.TrimLeft(data, " \t\r\n"); t[0] != '{' {
		return errNoObject
	}
	return checkNumbers(data)
}

// checkNumbers looks at every number of text whose grammar has been checked, so
// that the kind of a part is told by its first byte.
func checkNumbers(data []byte) error {
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			i = textEnd(data, i) - 1
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(data) && strings.IndexByte("0123456789+-.eE", data[end]) >= 0 {
				end++
			}
			if !exactNumber(string(data[i:end])) {
				return fmt.Errorf("%w: number out of range", errJSON)
			}
			i = end - 1
		}
	}
	return nil
}

// textEnd is the index behind the string that begins at i, or the end of data.
func textEnd(data []byte, i int) int {
	// Most strings have no escapes, and the longest of them never do.
	if n := bytes.IndexByte(data[i+1:], '"'); n >= 0 && bytes.IndexByte(data[i+1:i+1+n], '\\') < 0 {
		return i + n + 2
	}
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// unquote reads a string of valid UTF-8.
func unquote(raw []byte) (string, error) {
	if len(raw) >= 2 && raw[0] == '"' && raw[len(raw)-1] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", errJSON
	}
	return *s, nil
}

func exactNumber(s string) bool {
	if strings.ContainsAny(s, ".eE") {
		_, err := strconv.ParseFloat(s, 64)
		return err == nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n <= maxInteger && n >= -maxInteger
}

// members splits an object that checkObject took, or a part of one. A name that
// differs from a known one only in case is refused: another reader may take it
// for the real one.
func members(data []byte, known ...string) (map[string]json.RawMessage, error) {
	m, err := split(bytes.Trim(data, " \t\r\n"))
	if err != nil {
		return nil, err
	}
	for name := range m {
		if slices.Contains(known, name) {
			continue
		}
		for _, k := range known {
			if strings.EqualFold(name, k) {
				return nil, fmt.Errorf("%w: case variant of %q", errJSON, k)
			}
		}
	}
	return m, nil
}

// split finds where members begin and end; what is inside of them was checked before.
func split(data []byte) (map[string]json.RawMessage, error) {
	if len(data) < 2 || data[0] != '{' || data[len(data)-1] != '}' {
		return nil, errNoObject
	}
	m := make(map[string]json.RawMessage, 8)
	for i := skipSpace(data, 1); data[i] != '}'; i = skipSpace(data, i) {
		if data[i] != '"' {
			return nil, errNoObject
		}
		end := textEnd(data, i)
		name, err := unquote(data[i:end])
		if err != nil {
			return nil, err
		}
		i = skipSpace(data, end)
		if data[i] != ':' {
			return nil, errNoObject
		}
		i = skipSpace(data, i+1)
		end = valueEnd(data, i)
		if end == i {
			return nil, errNoObject
		}
		m[name] = data[i:end:end]
		if i = skipSpace(data, end); data[i] == ',' {
			i++
		}
	}
	return m, nil
}

// skipSpace is the index of the next byte that is no space, at most the last one.
func skipSpace(data []byte, i int) int {
	for i < len(data)-1 && strings.IndexByte(" \t\r\n", data[i]) >= 0 {
		i++
	}
	return min(i, len(data)-1)
}

// valueEnd is the index behind the value that begins at i.
func valueEnd(data []byte, i int) int {
	depth := 0
	for i < len(data) {
		switch data[i] {
		case '"':
			i = textEnd(data, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(data)
}

// text reads an optional string member.
func text(m map[string]json.RawMessage, name string) (string, error) {
	raw, ok := m[name]
	if !ok {
		return "", nil
	}
	s, err := unquote(raw)
	if err != nil {
		return "", fmt.Errorf("%w: %s is not a string", errJSON, name)
	}
	return s, nil
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
