package canonical

import (
	"net/url"
	"strings"
)

// Near reports whether two canonical paths are different and yet could be one to
// a lenient server: when unescaped, they differ at most in the case of letters,
// in slashes at the end, and in dots and spaces at the end of a segment.
func Near(a, b string) bool {
	return a != b && strings.EqualFold(lenient(a), lenient(b))
}

// lenient is a path as the most forgiving server reads it.
func lenient(path string) string {
	if strings.IndexByte(path, '%') >= 0 {
		if s, err := url.PathUnescape(path); err == nil {
			path = s
		}
	}
	path = strings.TrimRight(path, "/. ")
	if !strings.Contains(path, "./") && !strings.Contains(path, " /") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = strings.TrimRight(s, ". ")
	}
	return strings.Join(segments, "/")
}
