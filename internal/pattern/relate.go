package pattern

import (
	"net/http"
	"strings"
)

// Relation is what two patterns have to do with each other.
type Relation uint8

// Relations of a first pattern to a second.
const (
	Apart     Relation = iota // no request matches both
	Narrower                  // every request of the first matches the second
	Wider                     // every request of the second matches the first
	Ambiguous                 // some request may match both, and neither is inside the other, or they are the same
)

// Relate decides the order of two patterns. Which of two lines takes a request
// must not depend on their order in a table, so one is inside the other, or the
// two are refused.
func Relate(a, b Pattern) Relation {
	if !methodsMeet(a.Method, b.Method) || !pathsMeet(a.Segments, b.Segments) {
		return Apart
	}
	inside, around := a.Within(b), b.Within(a)
	switch {
	case inside && !around:
		return Narrower
	case around && !inside:
		return Wider
	}
	return Ambiguous
}

// methodsMeet counts a HEAD as its GET.
func methodsMeet(a, b string) bool {
	return a == b || a == "" || b == "" || a == http.MethodGet && b == http.MethodHead || a == http.MethodHead && b == http.MethodGet
}

// pathsMeet reports whether some path matches both. A rest may be empty, so that
// "/a" is one of "/a/**".
func pathsMeet(a, b []Segment) bool {
	for i := 0; ; i++ {
		switch {
		case i < len(a) && a[i].Kind == Rest, i < len(b) && b[i].Kind == Rest:
			return true
		case i == len(a) || i == len(b):
			return len(a) == len(b)
		case !segmentsMeet(a[i], b[i]):
			return false
		}
	}
}

func segmentsMeet(a, b Segment) bool {
	if a.Kind > b.Kind {
		a, b = b, a
	}
	switch {
	case a.Kind == Literal:
		return b.Match(a.Text)
	case b.Kind == One:
		return true
	}
	// Of two globs only the ends are compared: that they meet is the safe answer.
	return (strings.HasPrefix(head(a.Text), head(b.Text)) || strings.HasPrefix(head(b.Text), head(a.Text))) &&
		(strings.HasSuffix(tail(a.Text), tail(b.Text)) || strings.HasSuffix(tail(b.Text), tail(a.Text)))
}

func head(glob string) string { return glob[:strings.IndexByte(glob, '*')] }

func tail(glob string) string { return glob[strings.LastIndexByte(glob, '*')+1:] }

// Within reports whether every request of p is one of wide. Of two globs it says
// so only when they are the same.
func (p Pattern) Within(wide Pattern) bool {
	if !wide.Takes(p.Method) {
		return false
	}
	for i, s := range wide.Segments {
		switch {
		case s.Kind == Rest:
			return i <= len(p.Segments)
		case i >= len(p.Segments) || !s.Holds(p.Segments[i]):
			return false
		}
	}
	return len(p.Segments) == len(wide.Segments)
}

// Holds reports whether every value of narrow is one of the segment's.
func (s Segment) Holds(narrow Segment) bool {
	switch {
	case narrow.Kind == Rest:
		return false
	case narrow.Kind == Literal:
		return s.Match(narrow.Text)
	case s.Kind == One:
		return true // an empty segment is a Literal, or could be a Rest
	}
	return s.Kind == narrow.Kind && s.Text == narrow.Text
}
