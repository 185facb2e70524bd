package gate

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"paywall/internal/canonical"
)

// pattern is a parsed [Route.Pattern].
type pattern struct {
	method   string // empty is every method
	segments []segment
	literal  string // the canonical path, when nothing in it varies
}

type segmentKind uint8

// Kinds of segment, the most specific first.
const (
	literal segmentKind = iota
	glob                // "*" among other characters
	single              // one whole segment
	rest                // any number of segments, at least none; last
)

type segment struct {
	kind segmentKind
	text string // literal or glob, canonically escaped; name of a parameter
}

var patternMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func parsePattern(s string) (pattern, error) {
	var p pattern
	rawPath := s
	if method, after, ok := strings.Cut(s, " "); ok {
		if !slices.Contains(patternMethods, method) {
			return p, fmt.Errorf("pattern %q: %q is not a method that can be priced", s, method)
		}
		p.method, rawPath = method, after
	}
	if !strings.HasPrefix(rawPath, "/") {
		return p, fmt.Errorf("pattern %q: the path does not begin with a slash", s)
	}
	parts := strings.Split(rawPath[1:], "/")
	varies := false
	for i, part := range parts {
		seg, err := parseSegment(part)
		if err != nil {
			return p, fmt.Errorf("pattern %q: %w", s, err)
		}
		if seg.kind == rest && i != len(parts)-1 {
			return p, fmt.Errorf("pattern %q: %s is not last", s, part)
		}
		if part == "" && i != len(parts)-1 {
			return p, fmt.Errorf("pattern %q: empty segment", s)
		}
		varies = varies || seg.kind != literal
		p.segments = append(p.segments, seg)
	}
	if !varies {
		p.literal = p.path()
	}
	return p, nil
}

func parseSegment(part string) (segment, error) {
	inner, opened := strings.CutPrefix(part, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	switch {
	case part == "**":
		return segment{kind: rest}, nil
	case part == "*":
		return segment{kind: single}, nil
	case part != "" && strings.Trim(part, "*") == "":
		return segment{}, fmt.Errorf("%q: one star is a segment, two are the rest", part)
	case opened && closed:
		name, isRest := strings.CutSuffix(inner, "...")
		if name == "" || strings.ContainsAny(name, "{}*/") {
			return segment{}, fmt.Errorf("parameter %q has no name", part)
		}
		if isRest {
			return segment{kind: rest, text: name}, nil
		}
		return segment{kind: single, text: name}, nil
	case strings.ContainsAny(part, "{}"):
		return segment{}, fmt.Errorf("%q: a parameter is a whole segment", part)
	}
	if part == "." || part == ".." {
		return segment{}, fmt.Errorf("%q can never be requested", part)
	}
	kind := literal
	if strings.Contains(part, "*") {
		kind = glob
	}
	text, err := escapeLiteral(part)
	if err != nil {
		return segment{}, err
	}
	return segment{kind: kind, text: text}, nil
}

// escapeLiteral writes a segment as canonical requests have it.
func escapeLiteral(part string) (string, error) {
	if strings.Contains(part, "%") {
		return "", fmt.Errorf("%q: write the path decoded", part)
	}
	if strings.ContainsAny(part, "?[]\\") && strings.Contains(part, "*") {
		return "", fmt.Errorf("%q: only * varies", part)
	}
	pieces := strings.Split(part, "*")
	for i := range pieces {
		escaped, err := canonical.Path("/x"+(&url.URL{Path: pieces[i]}).EscapedPath(), canonical.Options{})
		if err != nil {
			return "", fmt.Errorf("%q can never be requested: %w", part, err)
		}
		pieces[i] = strings.TrimPrefix(escaped, "/x")
	}
	return strings.Join(pieces, "*"), nil
}

func (p pattern) path() string {
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteByte('/')
		b.WriteString(s.text)
	}
	return b.String()
}

// takes reports whether the pattern is for the HTTP method. GET covers HEAD, so
// that a HEAD never reaches a priced resource by another door.
func (p pattern) takes(method string) bool {
	return p.method == "" || p.method == method || (p.method == "GET" && method == "HEAD")
}

// match reports whether the canonical path is one of the pattern's.
func (p pattern) match(target string) bool {
	if p.literal != "" {
		return p.literal == target
	}
	tail := target[1:]
	for i, s := range p.segments {
		if s.kind == rest {
			return true
		}
		part, after, more := strings.Cut(tail, "/")
		if !s.match(part) {
			return false
		}
		if !more {
			// "/a" is also matched by "/a/**" and "/a/{x...}".
			return i == len(p.segments)-1 || i == len(p.segments)-2 && p.segments[i+1].kind == rest
		}
		tail = after
	}
	return false
}

func (s segment) match(part string) bool {
	switch s.kind {
	case literal:
		return s.text == part
	case glob:
		ok, err := path.Match(s.text, part)
		return err == nil && ok
	case single:
		return part != ""
	case rest:
		return true
	}
	return false
}

var errAmbiguous = errors.New("both match some requests and neither is the more specific")

// compare orders patterns: negative when a is matched before b. It is an error
// when some request matches both and neither set of requests holds the other.
func compare(a, b pattern) (int, error) {
	if !methodsMeet(a.method, b.method) || !overlap(a.segments, b.segments) {
		return order(a, b), nil
	}
	ab, ba := within(a, b), within(b, a)
	switch {
	case ab && ba:
		return 0, errAmbiguous
	case ab:
		return -1, nil
	case ba:
		return 1, nil
	}
	return 0, errAmbiguous
}

// order is any fixed order for patterns that share no request.
func order(a, b pattern) int {
	return strings.Compare(a.method+" "+a.path(), b.method+" "+b.path())
}

func methodsMeet(a, b string) bool {
	return a == b || a == "" || b == "" || (a == "GET" && b == "HEAD") || (a == "HEAD" && b == "GET")
}

// overlap reports whether some path matches both.
func overlap(a, b []segment) bool {
	for i := 0; ; i++ {
		switch {
		case i < len(a) && a[i].kind == rest, i < len(b) && b[i].kind == rest:
			return true
		case i == len(a) || i == len(b):
			// One more segment meets an end only when it may be empty: a rest.
			return len(a) == len(b)
		case !meet(a[i], b[i]):
			return false
		}
	}
}

func meet(a, b segment) bool {
	if a.kind > b.kind {
		a, b = b, a
	}
	switch {
	case a.kind == literal && b.kind == literal:
		return a.text == b.text
	case b.kind == single:
		return a.kind != literal || a.text != ""
	case a.kind == literal:
		return b.match(a.text)
	default: // two globs: assume that they meet unless their ends differ
		ap, _, _ := strings.Cut(a.text, "*")
		bp, _, _ := strings.Cut(b.text, "*")
		as, bs := a.text[strings.LastIndexByte(a.text, '*')+1:], b.text[strings.LastIndexByte(b.text, '*')+1:]
		return (strings.HasPrefix(ap, bp) || strings.HasPrefix(bp, ap)) && (strings.HasSuffix(as, bs) || strings.HasSuffix(bs, as))
	}
}

// within reports whether every request of a is one of b.
func within(a, b pattern) bool {
	if b.method != "" && a.method != b.method && (b.method != "GET" || a.method != "HEAD") {
		return false
	}
	for i, s := range b.segments {
		if s.kind == rest {
			return i <= len(a.segments)
		}
		if i >= len(a.segments) || !holds(s, a.segments[i]) {
			return false
		}
	}
	return len(a.segments) == len(b.segments)
}

// holds reports whether every value of narrow is one of wide.
func holds(wide, narrow segment) bool {
	switch {
	case narrow.kind == rest:
		return false
	case wide.kind == single:
		return narrow.kind != literal || narrow.text != ""
	case narrow.kind == literal:
		return wide.match(narrow.text)
	}
	return wide.kind == narrow.kind && wide.text == narrow.text
}
