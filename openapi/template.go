package openapi

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"paywall/internal/pattern"
)

// template is a parsed path of a route or of an OpenAPI document. Every segment
// that varies has a name; what has none in a route is called by its position.
type template []pattern.Segment

// partial is a kind that only documents have: a literal around parameters, as in
// "{id}.json".
const partial = pattern.Rest + 1

// parseTemplate reads the path of a route, which is written decoded.
func parseTemplate(p string) (template, error) {
	segments, err := pattern.ParsePath(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrConfig)
	}
	t := template(segments)
	// OpenAPI knows no parameter without a name, nor two of one.
	for i, s := range t {
		switch {
		case s.Name != "" || s.Kind == pattern.Literal:
		case s.Kind == pattern.Rest:
			t[i].Name = t.unused("path")
		default:
			t[i].Name = t.unused(fmt.Sprintf("segment%d", i+1))
		}
	}
	return t, nil
}

// unused is the name, changed as often as a parameter has it already.
func (t template) unused(name string) string {
	for slices.ContainsFunc(t, func(s pattern.Segment) bool { return s.Name == name }) {
		name += "_"
	}
	return name
}

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
		s := pattern.Segment{Text: part}
		if found := parameter.FindString(part); found == part && part != "" {
			s = pattern.Segment{Kind: pattern.One, Name: part[1 : len(part)-1]}
		} else if found != "" {
			s.Kind = partial
		}
		if strings.ContainsAny(parameter.ReplaceAllString(part, ""), "{}") || part == "" && i != len(parts)-1 {
			return nil, false
		}
		if s.Kind == pattern.Literal {
			text, err := url.PathUnescape(part)
			if err != nil {
				return nil, false
			}
			s.Text = text
		}
		if !plain(s.Text + s.Name) {
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
		if s.Kind == pattern.Rest {
			return true
		}
		if i >= len(d) || !covers(s, d[i]) {
			return false
		}
	}
	return len(t) == len(d)
}

func covers(s, d pattern.Segment) bool {
	if d.Kind != partial {
		return s.Holds(d)
	}
	// What a parameter stands for is unknown: only the pattern's stars may meet it.
	return s.Kind != pattern.Literal && s.Match(parameter.ReplaceAllLiteralString(d.Text, "\x00"))
}

// names are those of the parameters, as String writes them.
func (t template) names() []string {
	var names []string
	for _, s := range t {
		if s.Name != "" {
			names = append(names, s.Name)
		}
		if s.Kind == partial {
			for _, p := range parameter.FindAllString(s.Text, -1) {
				names = append(names, p[1:len(p)-1])
			}
		}
	}
	return names
}

// open reports whether the last parameter stands for any number of segments.
func (t template) open() bool { return len(t) > 0 && t[len(t)-1].Kind == pattern.Rest }

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
	for _, s := range t {
		b.WriteByte('/')
		switch {
		case s.Name != "":
			b.WriteString(varies(s.Name))
		case s.Kind == partial:
			b.WriteString(parameter.ReplaceAllStringFunc(s.Text, func(p string) string { return varies(p[1 : len(p)-1]) }))
		default:
			b.WriteString(fixed(s.Text))
		}
	}
	return b.String()
}

// like reports whether two routes are for the very same paths as far as a
// description can tell them apart.
func (t template) like(u template) bool { return t.shape() == u.shape() && t.open() == u.open() }
