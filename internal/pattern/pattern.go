// Package pattern reads and compares the patterns that say which requests a line
// of a price table is for, so that whoever checks, routes or describes them means
// the same requests.
//
// A pattern is "GET /v1/reports/{id}": an HTTP method, which may be left out, one
// space, and a path as it is without escapes. In it "*" or "{name}" stand for one
// segment that is not empty, "*" within a segment for any characters, and a last
// "**" or "{name...}" for any number of segments, also none.
package pattern

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Pattern is a set of requests.
type Pattern struct {
	Method   string // empty is every method
	Segments []Segment
}

// Kind is how much of a path a segment leaves open.
type Kind uint8

// Kinds of segment, the one that leaves the least open first.
const (
	Literal Kind = iota
	Glob         // "*" among other characters
	One          // one whole segment, not empty
	Rest         // any number of segments, also none; last
)

// Segment is what stands between two slashes.
type Segment struct {
	Kind Kind
	Text string // of a Literal or Glob
	Name string // of a One or Rest that has one
}

// Methods are those that a pattern may name.
func Methods() []string {
	return []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
	}
}

// Parse reads a pattern. Errors say what is wrong without naming the whole of it.
func Parse(text string) (Pattern, error) {
	var p Pattern
	path := text
	if method, after, ok := strings.Cut(text, " "); ok {
		if !slices.Contains(Methods(), method) {
			return p, fmt.Errorf("%s is not a method; write one of %s and one space, or only the path", quote(method), strings.Join(Methods(), ", "))
		}
		p.Method, path = method, after
	}
	var err error
	p.Segments, err = ParsePath(path)
	return p, err
}

// ParsePath reads a pattern without a method: at least one segment, of which only
// the last may be empty.
func ParsePath(path string) ([]Segment, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("the path %s does not begin with a slash", quote(path))
	}
	if err := plain(path); err != nil {
		return nil, err
	}
	parts := strings.Split(path[1:], "/")
	segments := make([]Segment, 0, len(parts))
	names := map[string]bool{}
	for i, part := range parts {
		last := i == len(parts)-1
		s, err := parseSegment(part)
		switch {
		case err != nil:
			return nil, err
		case s.Kind == Rest && !last:
			return nil, fmt.Errorf("%s takes the rest of a path, so it is last", quote(part))
		case part == "" && !last:
			return nil, errors.New("the path has an empty segment (//)")
		case s.Name != "" && names[s.Name]:
			return nil, fmt.Errorf("the parameter %s is there twice", quote(s.Name))
		}
		names[s.Name] = true
		segments = append(segments, s)
	}
	return segments, nil
}

// plain refuses what no request has in its path, and escapes: of two ways to
// write one path only one would match.
func plain(path string) error {
	switch {
	case strings.Contains(path, "%"):
		return errors.New("the path has a %; write it decoded")
	case strings.ContainsAny(path, `;\`):
		return errors.New(`the path has one of ; \, which no request for it can have`)
	case strings.ContainsFunc(path, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }):
		return errors.New("the path has a control character")
	}
	return nil
}

func parseSegment(part string) (Segment, error) {
	inner, opened := strings.CutPrefix(part, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	switch {
	case part == "**":
		return Segment{Kind: Rest}, nil
	case part == "*":
		return Segment{Kind: One}, nil
	case part == "." || part == "..":
		return Segment{}, errors.New("the path has a dot segment, which no request can have")
	case opened && closed:
		name, rest := strings.CutSuffix(inner, "...")
		if name == "" || strings.ContainsAny(name, "{}*. ") {
			return Segment{}, fmt.Errorf("%s is not a parameter; write {name} or {name...}", quote(part))
		}
		if rest {
			return Segment{Kind: Rest, Name: name}, nil
		}
		return Segment{Kind: One, Name: name}, nil
	case strings.ContainsAny(part, "{}"):
		return Segment{}, fmt.Errorf("%s: a parameter is a whole segment; use * within one", quote(part))
	case strings.Contains(part, "**"):
		return Segment{}, fmt.Errorf("%s: ** is a whole segment", quote(part))
	case strings.Contains(part, "*"):
		// Other languages of patterns have these; here they would stand for themselves.
		if strings.ContainsAny(part, "?[]") {
			return Segment{}, fmt.Errorf("%s: only * varies", quote(part))
		}
		return Segment{Kind: Glob, Text: part}, nil
	}
	return Segment{Kind: Literal, Text: part}, nil
}

// quote bounds what an error repeats.
func quote(text string) string {
	const most = 40
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return strconv.Quote(text)
}

// Path is the pattern without its method.
func (p Pattern) Path() string {
	var b strings.Builder
	for _, s := range p.Segments {
		b.WriteByte('/')
		b.WriteString(s.String())
	}
	return b.String()
}

// String is the pattern as [Parse] reads it.
func (p Pattern) String() string {
	if p.Method == "" {
		return p.Path()
	}
	return p.Method + " " + p.Path()
}

// String is the segment as [ParsePath] reads it.
func (s Segment) String() string {
	switch {
	case s.Kind == Rest && s.Name == "":
		return "**"
	case s.Kind == Rest:
		return "{" + s.Name + "...}"
	case s.Kind == One && s.Name == "":
		return "*"
	case s.Kind == One:
		return "{" + s.Name + "}"
	}
	return s.Text
}

// Map is the pattern with f applied to every text between the stars and slashes:
// to have it in the escapes of the requests, for instance. Its first error is the
// outcome.
func (p Pattern) Map(f func(text string) (string, error)) (Pattern, error) {
	p.Segments = slices.Clone(p.Segments)
	for i, s := range p.Segments {
		pieces := strings.Split(s.Text, "*")
		for j, piece := range pieces {
			mapped, err := f(piece)
			if err != nil {
				return Pattern{}, err
			}
			pieces[j] = mapped
		}
		p.Segments[i].Text = strings.Join(pieces, "*")
	}
	return p, nil
}
