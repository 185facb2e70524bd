package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// pattern is a parsed match of a route.
type pattern struct {
	method   string // empty is every method
	path     string
	segments []segment
}

// segmentKind is how much of a path a segment leaves open, the least first.
type segmentKind uint8

const (
	literal segmentKind = iota
	glob                // "*" among other characters
	single              // one whole segment, not empty
	rest                // any number of segments, also none; last
)

type segment struct {
	kind segmentKind
	text string // of a literal or glob
}

var routeMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func parsePattern(text string) (pattern, error) {
	p := pattern{path: text}
	if method, path, ok := strings.Cut(text, " "); ok {
		p.method, p.path = method, path
		if !slices.Contains(routeMethods, method) {
			return p, fmt.Errorf("%s is not a method; write one of %s and one space, or only the path", clip(method), strings.Join(routeMethods, ", "))
		}
	}
	if !strings.HasPrefix(p.path, "/") {
		return p, fmt.Errorf("the path %s does not begin with a slash", clip(p.path))
	}
	if err := plainPath(p.path); err != nil {
		return p, err
	}
	names := map[string]bool{}
	parts := strings.Split(p.path[1:], "/")
	for i, part := range parts {
		last := i == len(parts)-1
		s, name, err := parseSegment(part)
		switch {
		case err != nil:
			return p, err
		case s.kind == rest && !last:
			return p, fmt.Errorf("%s takes the rest of a path, so it is last", clip(part))
		case part == "" && !last:
			return p, errors.New("the path has an empty segment (//)")
		case name != "" && names[name]:
			return p, fmt.Errorf("the parameter %s is there twice", clip(name))
		}
		names[name] = true
		p.segments = append(p.segments, s)
	}
	return p, nil
}

// plainPath refuses what no accepted request has in its path.
func plainPath(path string) error {
	switch {
	case strings.Contains(path, "%"):
		return errors.New("the path has a %; write it decoded")
	case strings.ContainsAny(path, `?#;\`):
		return errors.New(`the path has one of ? # ; \, which no request for it can have; conditions on the query go under when`)
	case strings.ContainsFunc(path, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }):
		return errors.New("the path has a control character")
	}
	return nil
}

func parseSegment(part string) (s segment, name string, err error) {
	inner, opened := strings.CutPrefix(part, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	switch {
	case part == "**":
		return segment{kind: rest}, "", nil
	case part == "*":
		return segment{kind: single}, "", nil
	case part == "." || part == "..":
		return s, "", errors.New("the path has a dot segment, which no request can have")
	case opened && closed:
		name, isRest := strings.CutSuffix(inner, "...")
		if name == "" || strings.ContainsAny(name, "{}*. ") {
			return s, "", fmt.Errorf("%s is not a parameter; write {name} or {name...}", clip(part))
		}
		if isRest {
			return segment{kind: rest}, name, nil
		}
		return segment{kind: single}, name, nil
	case strings.ContainsAny(part, "{}"):
		return s, "", fmt.Errorf("%s: a parameter is a whole segment; use * within one", clip(part))
	case strings.Contains(part, "**"):
		return s, "", fmt.Errorf("%s: ** is a whole segment", clip(part))
	case strings.Contains(part, "*"):
		if strings.ContainsAny(part, "[]") {
			return s, "", fmt.Errorf("%s: only * varies", clip(part))
		}
		return segment{glob, part}, "", nil
	}
	return segment{literal, part}, "", nil
}

// relation is what two patterns have to do with each other.
type relation uint8

const (
	apart     relation = iota // no request matches both
	narrower                  // every request of the first matches the second
	wider                     // every request of the second matches the first
	ambiguous                 // some request matches both, and neither is inside the other
)

// relate decides the order of two patterns. Which of two routes takes a request
// must not depend on their order in the file, so one is inside the other, or the
// two are refused.
func relate(a, b pattern) relation {
	if !methodsMeet(a.method, b.method) || !pathsMeet(a.segments, b.segments) {
		return apart
	}
	inside, around := within(a, b), within(b, a)
	switch {
	case inside && !around:
		return narrower
	case around && !inside:
		return wider
	}
	return ambiguous
}

// methodsMeet counts a HEAD as its GET.
func methodsMeet(a, b string) bool {
	return a == b || a == "" || b == "" || a == "GET" && b == "HEAD" || a == "HEAD" && b == "GET"
}

// pathsMeet reports whether some path matches both. A rest may be empty, so that
// "/a" is one of "/a/**".
func pathsMeet(a, b []segment) bool {
	for i := 0; ; i++ {
		switch {
		case i < len(a) && a[i].kind == rest, i < len(b) && b[i].kind == rest:
			return true
		case i == len(a) || i == len(b):
			return len(a) == len(b)
		case !segmentsMeet(a[i], b[i]):
			return false
		}
	}
}

func segmentsMeet(a, b segment) bool {
	if a.kind > b.kind {
		a, b = b, a
	}
	switch {
	case b.kind == single:
		return a.kind != literal || a.text != ""
	case b.kind == literal:
		return a.text == b.text
	case a.kind == literal:
		return globMatches(b.text, a.text)
	}
	// Of two globs only the ends are compared: that they meet is the safe answer.
	return (strings.HasPrefix(head(a.text), head(b.text)) || strings.HasPrefix(head(b.text), head(a.text))) &&
		(strings.HasSuffix(tail(a.text), tail(b.text)) || strings.HasSuffix(tail(b.text), tail(a.text)))
}

func head(glob string) string { return glob[:strings.IndexByte(glob, '*')] }

func tail(glob string) string { return glob[strings.LastIndexByte(glob, '*')+1:] }

// globMatches finds the pieces between the stars, each as early as it can be.
func globMatches(glob, text string) bool {
	pieces := strings.Split(glob, "*")
	text, ok := strings.CutPrefix(text, pieces[0])
	if !ok {
		return false
	}
	last := len(pieces) - 1
	for _, piece := range pieces[1:last] {
		i := strings.Index(text, piece)
		if i < 0 {
			return false
		}
		text = text[i+len(piece):]
	}
	return strings.HasSuffix(text, pieces[last])
}

// within reports whether every request of a matches b.
func within(a, b pattern) bool {
	if b.method != "" && a.method != b.method && (b.method != "GET" || a.method != "HEAD") {
		return false
	}
	for i, s := range b.segments {
		switch {
		case s.kind == rest:
			return i <= len(a.segments)
		case i >= len(a.segments) || !segmentWithin(a.segments[i], s):
			return false
		}
	}
	return len(a.segments) == len(b.segments)
}

func segmentWithin(a, b segment) bool {
	switch {
	case a.kind == rest:
		return false
	case b.kind == single:
		return a.kind != literal || a.text != ""
	case a.kind == literal && b.kind == glob:
		return globMatches(b.text, a.text)
	}
	return a == b
}

// idOf makes a route's id from its pattern: "GET /v1/reports/{id}" is
// "get-v1-reports-id".
func idOf(p pattern) string {
	var b strings.Builder
	b.WriteString(strings.ToLower(p.method))
	for part := range strings.SplitSeq(p.path[1:], "/") {
		part = strings.Trim(part, "{}.")
		switch part {
		case "**":
			part = "all"
		case "*":
			part = "any"
		}
		b.WriteByte('-')
		for _, r := range strings.ToLower(part) {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' {
				b.WriteRune(r)
			} else {
				b.WriteByte('-')
			}
		}
	}
	id := strings.Trim(b.String(), "-")
	for strings.Contains(id, "--") {
		id = strings.ReplaceAll(id, "--", "-")
	}
	if id == "" || id == strings.ToLower(p.method) {
		id = strings.TrimPrefix(id+"-root", "-")
	}
	return id
}
