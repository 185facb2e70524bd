package openapi

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// template is a parsed path of a route or of an OpenAPI document.
type template []segment

type segment struct {
	kind segmentKind
	// text is the literal, the glob, or the parameter's name.
	text string
}

type segmentKind uint8

const (
	literal segmentKind = iota
	partial             // a literal around parameters, in documents only: "{id}.json"
	glob                // one segment with "*" among other characters, in routes only
	one                 // any one segment
	rest                // any number of segments, last, in routes only
)

// parseTemplate reads the path of a route, which is written decoded.
func parseTemplate(p string) (template, error) {
	if !strings.HasPrefix(p, "/") {
		return nil, fmt.Errorf("path %q does not begin with a slash: %w", p, ErrConfig)
	}
	parts := strings.Split(p[1:], "/")
	t := make(template, 0, len(parts))
	for i, part := range parts {
		s, err := parseSegment(i, part)
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", p, err)
		}
		if i != len(parts)-1 && (s.kind == rest || part == "") {
			return nil, fmt.Errorf("path %q: segment %q is not last: %w", p, part, ErrConfig)
		}
		t = append(t, s)
	}
	names := t.names()
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return nil, fmt.Errorf("path %q: two parameters are called %s: %w", p, names[i], ErrConfig)
		}
	}
	return t, nil
}

func parseSegment(i int, part string) (segment, error) {
	inner, opened := strings.CutPrefix(part, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	s := segment{kind: literal, text: part}
	switch {
	case part == "**":
		return segment{kind: rest, text: "path"}, nil
	case part == "*":
		return segment{kind: one, text: position(i)}, nil
	case opened && closed:
		name, more := strings.CutSuffix(inner, "...")
		s = segment{kind: one, text: name}
		if more {
			s.kind = rest
		}
		if name == "" || strings.ContainsAny(name, "{}*") {
			return segment{}, fmt.Errorf("parameter %q: %w", part, ErrConfig)
		}
	case strings.ContainsAny(part, "{}"):
		return segment{}, fmt.Errorf("%q: a parameter is a whole segment: %w", part, ErrConfig)
	case strings.Contains(part, "*"):
		if strings.ContainsAny(part, `?[]\`) {
			return segment{}, fmt.Errorf("%q: only * varies: %w", part, ErrConfig)
		}
		s.kind = glob
	}
	if !plain(part) {
		return segment{}, fmt.Errorf("segment %q can never be requested: %w", part, ErrConfig)
	}
	return s, nil
}

// position names a parameter that has no name of its own.
func position(i int) string { return fmt.Sprintf("segment%d", i+1) }

// plain reports whether a decoded segment may stand in a request that can be
// understood in one way only.
func plain(part string) bool {
	return part != "." && part != ".." && utf8.ValidString(part) && !strings.ContainsAny(part, `/\;`) &&
		!strings.ContainsFunc(part, unicode.IsControl)
}

var parameter = regexp.MustCompile(`\{[^{}]+\}`)

// parseDocumented reads a path of an OpenAPI document. Of those that it cannot
// read, or that no request can have, it says false: they are left out.
func parseDocumented(p string) (template, bool) {
	if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "?#") {
		return nil, false
	}
	parts := strings.Split(p[1:], "/")
	t := make(template, 0, len(parts))
	for i, part := range parts {
		s := segment{kind: literal, text: part}
		if found := parameter.FindString(part); found == part && part != "" {
			s = segment{kind: one, text: part[1 : len(part)-1]}
		} else if found != "" {
			s.kind = partial
		}
		if strings.ContainsAny(parameter.ReplaceAllString(part, ""), "{}") || part == "" && i != len(parts)-1 {
			return nil, false
		}
		if s.kind == literal {
			text, err := url.PathUnescape(part)
			if err != nil {
				return nil, false
			}
			s.text = text
		}
		if !plain(s.text) {
			return nil, false
		}
		t = append(t, s)
	}
	return t, true
}

// covers reports whether every path of d is one of t. A literal never covers a
// parameter: the other values would be described with a price that is not theirs.
func (t template) covers(d template) bool {
	for i, s := range t {
		if s.kind == rest {
			return true
		}
		if i >= len(d) || !s.covers(d[i]) {
			return false
		}
	}
	return len(t) == len(d)
}

func (s segment) covers(d segment) bool {
	switch {
	case d.kind == rest:
		return false
	case s.kind == one:
		return d != segment{} // "/a/{id}" is not "/a/"
	case s.kind == glob && d.kind == literal:
		ok, err := path.Match(s.text, d.text)
		return err == nil && ok
	case s.kind == glob && d.kind == partial:
		// What a parameter stands for is unknown: only the pattern's stars may meet it.
		ok, err := path.Match(s.text, parameter.ReplaceAllLiteralString(d.text, "\x00"))
		return err == nil && ok
	default:
		return s == d
	}
}

// names are those of the parameters, as String writes them.
func (t template) names() []string {
	var names []string
	for i, s := range t {
		switch s.kind {
		case one, rest:
			names = append(names, s.text)
		case glob:
			names = append(names, position(i))
		case partial:
			for _, p := range parameter.FindAllString(s.text, -1) {
				names = append(names, p[1:len(p)-1])
			}
		case literal:
		}
	}
	return names
}

// open reports whether the last parameter stands for any number of segments.
func (t template) open() bool { return len(t) > 0 && t[len(t)-1].kind == rest }

// String writes the template as OpenAPI wants it: escaped, and with nothing but
// {name} for what varies.
func (t template) String() string {
	return t.write(func(literal string) string { return (&url.URL{Path: literal}).EscapedPath() }, func(name string) string { return "{" + name + "}" })
}

// shape is equal for templates that differ in the names of parameters only, of
// which a document may hold one.
func (t template) shape() string {
	return t.write(func(literal string) string { return literal }, func(string) string { return "{}" })
}

func (t template) write(fixed, varies func(string) string) string {
	var b strings.Builder
	for i, s := range t {
		b.WriteByte('/')
		switch s.kind {
		case literal:
			b.WriteString(fixed(s.text))
		case partial:
			b.WriteString(parameter.ReplaceAllStringFunc(s.text, func(p string) string { return varies(p[1 : len(p)-1]) }))
		case glob:
			b.WriteString(varies(position(i)))
		case one, rest:
			b.WriteString(varies(s.text))
		}
	}
	return b.String()
}

// like reports whether two routes are for the very same paths as far as a
// description can tell them apart.
func (t template) like(u template) bool { return t.shape() == u.shape() && t.open() == u.open() }
