package pattern

import (
	"net/http"
	"strings"
)

// Fixed is the only path that the pattern matches; false when it has others.
func (p Pattern) Fixed() (string, bool) {
	for _, s := range p.Segments {
		if s.Kind != Literal {
			return "", false
		}
	}
	return p.Path(), true
}

// Takes reports whether the pattern is for the HTTP method. GET covers HEAD, so
// that a HEAD never reaches a priced resource by another door.
func (p Pattern) Takes(method string) bool {
	return p.Method == "" || p.Method == method || (p.Method == http.MethodGet && method == http.MethodHead)
}

// Match reports whether the path, which begins with a slash, is one of the
// pattern's. Both are in the same escapes, or have none.
func (p Pattern) Match(path string) bool {
	tail := path[1:]
	for i, s := range p.Segments {
		if s.Kind == Rest {
			return true
		}
		part, after, more := strings.Cut(tail, "/")
		if !s.Match(part) {
			return false
		}
		if !more {
			// "/a" is also matched by "/a/**" and "/a/{x...}".
			return i == len(p.Segments)-1 || i == len(p.Segments)-2 && p.Segments[i+1].Kind == Rest
		}
		tail = after
	}
	return false
}

// Match reports whether a part of a path, without slashes, is one of the segment's.
func (s Segment) Match(part string) bool {
	switch s.Kind {
	case Literal:
		return s.Text == part
	case Glob:
		return globMatches(s.Text, part)
	case One:
		return part != ""
	case Rest:
		return true
	}
	return false
}

// globMatches finds the pieces between the stars, each as early as it can be.
func globMatches(glob, text string) bool {
	piece, glob, _ := strings.Cut(glob, "*")
	text, ok := strings.CutPrefix(text, piece)
	for ok {
		piece, after, more := strings.Cut(glob, "*")
		if !more {
			return strings.HasSuffix(text, piece)
		}
		_, text, ok = strings.Cut(text, piece)
		glob = after
	}
	return false
}
