package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// scanner walks over the text once, with a stack of its own: text from outside
// decides how deep it is.
type scanner struct {
	data   []byte
	pos    int
	limits Limits
	stack  []frame
	names  [][]byte // of all open objects, in the order of the stack
}

// frame is an open object or array.
type frame struct {
	object bool
	count  int                 // members or elements so far
	first  int                 // of the object's names
	seen   map[string]struct{} // the names, once they are many
	inside shape
}

// manyNames is when a map is faster than looking at all names.
const manyNames = 16

func scan(data []byte, l Limits, t reflect.Type) error {
	switch {
	case len(data) > l.Bytes:
		return fmt.Errorf("the text is longer than %d bytes: %w", l.Bytes, ErrLimit)
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return fmt.Errorf("byte order mark: %w", ErrEncoding)
	case !utf8.Valid(data):
		return fmt.Errorf("invalid UTF-8: %w", ErrEncoding)
	}
	s := scanner{data: data, limits: l}
	if err := s.value(t); err != nil {
		return err
	}
	for len(s.stack) > 0 {
		if err := s.step(); err != nil {
			return err
		}
	}
	if s.space(); s.pos != len(data) {
		return s.fail(ErrTrailing)
	}
	return nil
}

// step reads the next member or element of the innermost container, or its end.
func (s *scanner) step() error {
	top := &s.stack[len(s.stack)-1]
	end := byte(']')
	if top.object {
		end = '}'
	}
	s.space()
	switch c := s.peek(); {
	case c == end:
		s.pos++
		return s.pop()
	case top.count > 0 && c != ',':
		return s.fail(ErrSyntax)
	case top.count > 0:
		s.pos++
		s.space()
	}
	top.count++
	if !top.object {
		if top.inside.fixed && top.count > top.inside.length {
			return s.fail(ErrType)
		}
		return s.value(top.inside.elem)
	}
	if top.count > s.limits.Members {
		return s.fail(ErrLimit)
	}
	t, err := s.name(top)
	if err != nil {
		return err
	}
	s.space()
	if s.peek() != ':' {
		return s.fail(ErrSyntax)
	}
	s.pos++
	s.space()
	return s.value(t)
}

// name reads a member's name and returns what its value is decoded into.
func (s *scanner) name(top *frame) (reflect.Type, error) {
	start := s.pos
	if s.peek() != '"' {
		return nil, s.fail(ErrSyntax)
	}
	raw, err := s.text()
	if err != nil {
		return nil, err
	}
	name := raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') >= 0 {
		var plain string
		if err := json.Unmarshal(raw, &plain); err != nil {
			return nil, s.failAt(start, ErrSyntax)
		}
		name = []byte(plain)
	}
	if !s.remember(top, name) {
		return nil, s.failAt(start, ErrDuplicate)
	}
	t, known := top.inside.member(name)
	if !known {
		return nil, s.failAt(start, ErrUnknown)
	}
	return t, nil
}

// remember reports false for a name that the object has already.
func (s *scanner) remember(top *frame, name []byte) bool {
	if top.seen != nil {
		if _, twice := top.seen[string(name)]; twice {
			return false
		}
		top.seen[string(name)] = struct{}{}
		return true
	}
	for _, n := range s.names[top.first:] {
		if bytes.Equal(n, name) {
			return false
		}
	}
	s.names = append(s.names, name)
	if n := s.names[top.first:]; len(n) >= manyNames {
		top.seen = make(map[string]struct{}, 2*manyNames)
		for _, name := range n {
			top.seen[string(name)] = struct{}{}
		}
	}
	return true
}

// value reads a value, or the beginning of one that has others in it.
func (s *scanner) value(t reflect.Type) error {
	s.space()
	start := s.pos
	switch c := s.peek(); {
	case c == '{' || c == '[':
		inside, err := targetOf(t).container(c == '{')
		if err != nil {
			return s.fail(err)
		}
		if len(s.stack) == s.limits.Depth {
			return s.fail(ErrLimit)
		}
		s.pos++
		s.stack = append(s.stack, frame{object: c == '{', first: len(s.names), inside: inside})
		return nil
	case c == '"':
		raw, err := s.text()
		if err != nil {
			return err
		}
		if err := targetOf(t).text(raw); err != nil {
			return s.failAt(start, err)
		}
		return nil
	case c == '-' || digit(c):
		raw, err := s.number()
		if err != nil {
			return err
		}
		if err := targetOf(t).number(string(raw)); err != nil {
			return s.failAt(start, err)
		}
		return nil
	}
	for _, word := range [...]string{"null", "true", "false"} {
		if bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
			s.pos += len(word)
			if err := targetOf(t).word(word == "null"); err != nil {
				return s.failAt(start, err)
			}
			return nil
		}
	}
	return s.fail(ErrSyntax)
}

func (s *scanner) pop() error {
	top := s.stack[len(s.stack)-1]
	if top.inside.fixed && top.count != top.inside.length {
		return s.fail(ErrType)
	}
	s.names = s.names[:top.first]
	s.stack = s.stack[:len(s.stack)-1]
	return nil
}

// text reads a string with its quotes.
func (s *scanner) text() ([]byte, error) {
	start := s.pos
	for s.pos++; ; s.pos++ {
		if s.pos-start > s.limits.String+1 {
			return nil, s.failAt(start, ErrLimit)
		}
		switch c := s.peek(); {
		case c == '"':
			s.pos++
			return s.data[start:s.pos], nil
		case c < ' ': // also at the end of the data
			return nil, s.fail(ErrSyntax)
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		}
	}
}

// escape reads an escape up to its last byte.
func (s *scanner) escape() error {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
	default:
		return s.fail(ErrSyntax)
	}
	unit, ok := s.unit()
	switch {
	case !ok:
		return s.fail(ErrSyntax)
	case unit == 0 || (0xDC00 <= unit && unit < 0xE000):
		return s.fail(ErrEncoding)
	case unit < 0xD800 || unit >= 0xE000:
		return nil
	}
	// The first half of a pair: encoding/json makes U+FFFD of one alone, so that
	// different strings would become equal.
	if !bytes.HasPrefix(s.data[s.pos+1:], []byte(`\u`)) {
		return s.fail(ErrEncoding)
	}
	s.pos += 2
	low, ok := s.unit()
	switch {
	case !ok:
		return s.fail(ErrSyntax)
	case low < 0xDC00 || low >= 0xE000:
		return s.fail(ErrEncoding)
	}
	return nil
}

// unit reads the four digits behind a "u", up to the last one.
func (s *scanner) unit() (unit uint32, ok bool) {
	if len(s.data)-s.pos < 5 {
		return 0, false
	}
	for range 4 {
		s.pos++
		c := s.data[s.pos]
		switch {
		case digit(c):
			unit = unit<<4 | uint32(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			unit = unit<<4 | uint32(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}

// number reads a number (RFC 8259, section 6).
func (s *scanner) number() ([]byte, error) {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	zero := s.peek() == '0'
	n := s.digits()
	ok := n > 0 && (!zero || n == 1)
	if s.peek() == '.' {
		s.pos++
		ok = s.digits() > 0 && ok
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		ok = s.digits() > 0 && ok
	}
	switch {
	case !ok:
		return nil, s.failAt(start, ErrSyntax)
	case s.pos-start > s.limits.String:
		return nil, s.failAt(start, ErrLimit)
	}
	return s.data[start:s.pos], nil
}

func (s *scanner) digits() int {
	start := s.pos
	for digit(s.peek()) {
		s.pos++
	}
	return s.pos - start
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// peek is the next byte; at the end it is NUL, which JSON has nowhere.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) fail(err error) error { return s.failAt(s.pos, err) }

func (s *scanner) failAt(pos int, err error) error { return fmt.Errorf("at byte %d: %w", pos, err) }

func digit(c byte) bool { return '0' <= c && c <= '9' }
