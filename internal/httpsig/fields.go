package httpsig

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// A parser reads structured fields (RFC 8941) as far as signatures use them.
type parser struct {
	in string
	at int
}

// maxField bounds a field that is parsed.
const maxField = 8 << 10

func (p *parser) end() bool { return p.at >= len(p.in) }

func (p *parser) peek() byte {
	if p.end() {
		return 0
	}
	return p.in[p.at]
}

func (p *parser) take(c byte) bool {
	if p.end() || p.in[p.at] != c {
		return false
	}
	p.at++
	return true
}

func (p *parser) spaces() {
	for p.peek() == ' ' || p.peek() == '\t' {
		p.at++
	}
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' }
func digit(c byte) bool { return c >= '0' && c <= '9' }

// key reads a member's or parameter's name.
func (p *parser) key() (string, bool) {
	from := p.at
	if c := p.peek(); !lower(c) && c != '*' {
		return "", false
	}
	for c := p.peek(); !p.end() && (lower(c) || digit(c) || c == '_' || c == '-' || c == '.' || c == '*'); c = p.peek() {
		p.at++
	}
	return p.in[from:p.at], true
}

// text reads a quoted string.
func (p *parser) text() (string, bool) {
	if !p.take('"') {
		return "", false
	}
	var b strings.Builder
	for !p.end() {
		c := p.in[p.at]
		p.at++
		switch {
		case c == '"':
			return b.String(), true
		case c == '\\':
			if n := p.peek(); n != '"' && n != '\\' {
				return "", false
			}
			b.WriteByte(p.in[p.at])
			p.at++
		case c < ' ' || c > '~':
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// bytes reads a byte sequence.
func (p *parser) bytes() ([]byte, bool) {
	if !p.take(':') {
		return nil, false
	}
	n := strings.IndexByte(p.in[p.at:], ':')
	if n < 0 {
		return nil, false
	}
	data, err := base64.StdEncoding.Strict().DecodeString(p.in[p.at : p.at+n])
	p.at += n + 1
	return data, err == nil
}

// integer reads a whole number of up to 15 digits.
func (p *parser) integer() (int64, bool) {
	from := p.at
	p.take('-')
	for digit(p.peek()) {
		p.at++
	}
	if p.at-from > 15 || p.peek() == '.' {
		return 0, false
	}
	n, err := strconv.ParseInt(p.in[from:p.at], 10, 64)
	return n, err == nil
}

// A param is a parameter of a signature. Text is of strings, Number of integers.
type param struct {
	name   string
	text   string
	number int64
	isText bool
}

// params reads parameters; each name at most once.
func (p *parser) params() ([]param, bool) {
	var out []param
	for p.take(';') {
		p.spaces()
		name, ok := p.key()
		if !ok {
			return nil, false
		}
		for _, o := range out {
			if o.name == name {
				return nil, false
			}
		}
		one := param{name: name}
		if p.take('=') {
			switch c := p.peek(); {
			case c == '"':
				one.text, ok = p.text()
				one.isText = true
			case digit(c) || c == '-':
				one.number, ok = p.integer()
			default:
				ok = false
			}
			if !ok {
				return nil, false
			}
		} else {
			return nil, false // flags are not used here
		}
		out = append(out, one)
	}
	return out, true
}

// An input is one member of Signature-Input.
type input struct {
	label      string
	components []string
	params     []param
	// raw is the inner list with its parameters as it was written: the last line of
	// what is signed is made of it.
	raw string
}

// Bounds of what one message may carry.
const (
	maxSignatures = 8
	maxComponents = 32
)

// parseInputs reads Signature-Input. A component with parameters of its own is kept
// with them, so that nothing takes it for the plain one.
func parseInputs(field string) ([]input, bool) {
	if len(field) > maxField {
		return nil, false
	}
	p := &parser{in: field}
	var out []input
	p.spaces()
	for !p.end() {
		label, ok := p.key()
		if !ok || !p.take('=') || len(out) == maxSignatures {
			return nil, false
		}
		from := p.at
		one := input{label: label}
		if one.components, ok = p.list(); !ok {
			return nil, false
		}
		if one.params, ok = p.params(); !ok {
			return nil, false
		}
		one.raw = p.in[from:p.at]
		for _, o := range out {
			if o.label == label {
				return nil, false
			}
		}
		out = append(out, one)
		if ok = p.next(); !ok {
			return nil, false
		}
	}
	return out, len(out) > 0
}

// list reads an inner list of strings.
func (p *parser) list() ([]string, bool) {
	if !p.take('(') {
		return nil, false
	}
	out := []string{}
	for {
		p.spaces()
		if p.take(')') {
			return out, true
		}
		name, ok := p.text()
		if !ok || len(out) == maxComponents {
			return nil, false
		}
		if p.peek() == ';' {
			return nil, false // its value would be another one than it seems
		}
		if c := p.peek(); c != ' ' && c != ')' {
			return nil, false
		}
		if slices.Contains(out, name) {
			return nil, false
		}
		out = append(out, name)
	}
}

// next goes to the next member; false when what follows is none.
func (p *parser) next() bool {
	p.spaces()
	if p.end() {
		return true
	}
	if !p.take(',') {
		return false
	}
	p.spaces()
	return !p.end()
}

// parseBytes reads a dictionary of byte sequences: Signature and Content-Digest.
func parseBytes(field string) (map[string][]byte, bool) {
	if len(field) > maxField {
		return nil, false
	}
	p := &parser{in: field}
	out := map[string][]byte{}
	p.spaces()
	for !p.end() {
		name, ok := p.key()
		if !ok || !p.take('=') || len(out) == maxSignatures {
			return nil, false
		}
		data, ok := p.bytes()
		if !ok {
			return nil, false
		}
		if _, twice := out[name]; twice {
			return nil, false
		}
		out[name] = data
		if ok = p.next(); !ok {
			return nil, false
		}
	}
	return out, len(out) > 0
}
