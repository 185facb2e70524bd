package receipts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const maxDepth = 8

// checkJSON refuses what encoding/json would let pass: names that occur twice
// (also when they differ only in case, since struct fields match without it),
// invalid UTF-8, deep nesting, and anything after the object.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("JSON: not UTF-8: %w", ErrMalformed)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return fmt.Errorf("JSON: not an object: %w", ErrMalformed)
	}
	if err := checkMembers(dec, 1); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("JSON: trailing data: %w", ErrMalformed)
	}
	return nil
}

func checkMembers(dec *json.Decoder, depth int) error {
	seen := make(map[string]struct{}, 16)
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return fmt.Errorf("JSON: %w", ErrMalformed)
		}
		name, _ := tok.(string)
		name = strings.ToLower(name)
		if _, dup := seen[name]; dup {
			return fmt.Errorf("JSON: a name occurs twice: %w", ErrMalformed)
		}
		seen[name] = struct{}{}
		if err := checkValue(dec, depth); err != nil {
			return err
		}
	}
	return closing(dec)
}

func checkValue(dec *json.Decoder, depth int) error {
	tok, err := dec.Token()
	if err != nil {
		return fmt.Errorf("JSON: %w", ErrMalformed)
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if depth++; depth > maxDepth {
		return fmt.Errorf("JSON: nested too deep: %w", ErrMalformed)
	}
	if delim == '{' {
		return checkMembers(dec, depth)
	}
	for dec.More() {
		if err := checkValue(dec, depth); err != nil {
			return err
		}
	}
	return closing(dec)
}

func closing(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("JSON: %w", ErrMalformed)
	}
	return nil
}
