package mpp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ParseChallenges reads every Payment challenge of a 402's WWW-Authenticate
// lines, in order. Other schemes are passed over. A malformed challenge is left
// out; when none is usable the first fault is returned, wrapped in [ErrParse].
func ParseChallenges(h http.Header) ([]Challenge, error) {
	var out []Challenge
	var fault error
	for _, line := range h.Values("WWW-Authenticate") {
		got, err := parseField(line)
		out = append(out, got...)
		if fault == nil {
			fault = err
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case fault != nil:
		return nil, fault
	default:
		return nil, fmt.Errorf("%w: none present", ErrParse)
	}
}

type scanner struct {
	s string
	i int
}

func (p *scanner) skip(cut string) {
	for p.i < len(p.s) && strings.IndexByte(cut, p.s[p.i]) >= 0 {
		p.i++
	}
}

func isTokenByte(c byte) bool {
	return c > ' ' && c < 0x7f && strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) < 0
}

func (p *scanner) token() string {
	start := p.i
	for p.i < len(p.s) && isTokenByte(p.s[p.i]) {
		p.i++
	}
	return p.s[start:p.i]
}

// value reads a token or quoted-string; ok is false when a quote never closes.
func (p *scanner) value() (v string, ok bool) {
	if p.i >= len(p.s) || p.s[p.i] != '"' {
		v = p.token()
		return v, v != ""
	}
	var b strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return b.String(), true
		case c == '\\' && p.i+1 < len(p.s):
			p.i++
			b.WriteByte(p.s[p.i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// parseField reads one line. A word followed by "=" continues the challenge
// before it, any other begins a new one, so neither commas nor the word Payment
// inside quotes can split anything.
func parseField(line string) ([]Challenge, error) {
	if len(line) > maxFieldBytes {
		return nil, fmt.Errorf("%w: too long", ErrParse)
	}
	var (
		out    []Challenge
		fault  error
		params map[string]string
		bad    error
		p      = &scanner{s: line}
	)
	flush := func() {
		if params == nil {
			return
		}
		c, err := fromParams(params)
		if bad != nil {
			err = bad
		}
		if err == nil {
			out = append(out, c)
		} else if fault == nil {
			fault = fmt.Errorf("%w: %w", ErrParse, err)
		}
		params, bad = nil, nil
	}
	for {
		p.skip(" \t,")
		name := p.token()
		if name == "" {
			break // end, or text that is no list element: the rest is ignored
		}
		after := p.i
		p.skip(" \t")
		if p.i >= len(p.s) || p.s[p.i] != '=' {
			flush()
			if strings.EqualFold(name, Scheme) {
				params = map[string]string{}
			} else {
				p.i = after
				p.credentials()
			}
			continue
		}
		p.i++
		p.skip(" \t")
		v, ok := p.value()
		name = strings.ToLower(name)
		if params != nil {
			_, seen := params[name]
			switch {
			case seen:
				bad = fmt.Errorf("%s is given twice", name)
			case ok:
				params[name] = v
			case isParam(name):
				bad = fmt.Errorf("%s has no value", name)
			}
		}
		p.skip(" \t")
		if p.i < len(p.s) && p.s[p.i] != ',' {
			break
		}
	}
	flush()
	return out, fault
}

// credentials passes over the token68 of another scheme.
func (p *scanner) credentials() {
	p.skip(" \t")
	start := p.i
	for p.i < len(p.s) && (isTokenByte(p.s[p.i]) || p.s[p.i] == '/') {
		p.i++
	}
	for p.i < len(p.s) && p.s[p.i] == '=' {
		p.i++
	}
	end := p.i
	p.skip(" \t")
	if p.i < len(p.s) && p.s[p.i] != ',' || end == start {
		p.i = start // it has parameters instead
	}
}

func isParam(name string) bool {
	switch name {
	case "id", "realm", "method", "intent", "request", "description", "digest", "expires", "header", "opaque":
		return true
	}
	return false
}

func fromParams(m map[string]string) (Challenge, error) {
	c := Challenge{
		ID: m["id"], Realm: m["realm"], Method: m["method"], Intent: m["intent"], Request: m["request"],
		Description: m["description"], Digest: m["digest"], Expires: m["expires"], Header: m["header"], Opaque: m["opaque"],
	}
	if len(m) == 0 {
		return Challenge{}, errors.New("no parameters")
	}
	return c, c.check()
}
