package gate

import (
	"path"
	"strconv"
	"strings"

	"paywall/internal/pattern"
)

// mostReadings bounds the work for one path; a path with more is refused.
const mostReadings = 256

// readings are the paths that lenient upstreams may take a canonical one for,
// itself included: by unescaping it again and again, by taking a backslash for
// a slash, by cutting off parameters, by ending at an escaped question mark,
// number sign or NUL, by not seeing space at the end of a segment, and by
// resolving dot segments, in whatever order. It reports false when there are too
// many to look at.
func readings(target string) ([]string, bool) {
	all := []string{target}
	if plain(target) {
		return all, true
	}
	seen := map[string]bool{target: true}
	for i := 0; i < len(all); i++ {
		for _, read := range [...]func(string) string{unescapeOnce, backslashes, withoutParams, cutOff, withoutSpace, tidy} {
			next := read(all[i])
			if seen[next] {
				continue
			}
			if len(all) == mostReadings {
				return nil, false
			}
			seen[next] = true
			all = append(all, next)
		}
	}
	return all, true
}

// plain says that no reading differs from the path itself, as is the rule.
func plain(target string) bool {
	return !strings.ContainsAny(target, `%\;?#`+"\x00"+space) && tidy(target) == target
}

// unescapeOnce decodes what is an escape, also of the form %uXXXX for ASCII,
// and leaves everything else as it is.
func unescapeOnce(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if c, n := escape(s[i:]); n > 0 {
				b = append(b, c)
				i += n - 1
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// escape is the byte of the escape that s begins with, and its length; 0 when it is none.
func escape(s string) (c byte, n int) {
	if len(s) >= 6 && (s[1] == 'u' || s[1] == 'U') {
		if v, err := strconv.ParseUint(s[2:6], 16, 16); err == nil && v < 0x80 {
			return byte(v), 6
		}
	}
	if len(s) < 3 {
		return 0, 0
	}
	v, err := strconv.ParseUint(s[1:3], 16, 8)
	if err != nil {
		return 0, 0
	}
	return byte(v), 3
}

func backslashes(s string) string { return strings.ReplaceAll(s, `\`, "/") }

func withoutParams(s string) string {
	if strings.IndexByte(s, ';') < 0 {
		return s
	}
	segments := strings.Split(s, "/")
	for i, one := range segments {
		segments[i], _, _ = strings.Cut(one, ";")
	}
	return strings.Join(segments, "/")
}

const space = " \t\r\n\v\f"

func withoutSpace(s string) string {
	if !strings.ContainsAny(s, space) {
		return s
	}
	segments := strings.Split(s, "/")
	for i, one := range segments {
		segments[i] = strings.TrimRight(one, space)
	}
	return strings.Join(segments, "/")
}

func cutOff(s string) string {
	if i := strings.IndexAny(s, "?#\x00"); i >= 0 {
		return s[:i]
	}
	return s
}

func tidy(s string) string {
	if !strings.Contains(s, "//") && !strings.Contains(s, "/.") {
		return s
	}
	return path.Clean("/" + s)
}

// fold is a reading without letter case and without what trails a segment.
func fold(s string) string {
	var b strings.Builder
	for one := range strings.SplitSeq(foldCase(s), "/") {
		// A segment of which nothing is left is one slash too many.
		if one = trimTail(one); one != "" {
			b.WriteString("/" + one)
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// foldCase goes by upper case first: some letters have two lower ones.
func foldCase(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// trimTail takes off what some file systems do not see at the end of a name.
// Dots alone stay: they mean another folder.
func trimTail(segment string) string {
	if strings.Trim(segment, ".") == "" {
		return segment
	}
	return strings.TrimRight(segment, "."+space)
}

// foldPattern is the pattern as a lenient upstream may read it.
func foldPattern(p pattern.Pattern) pattern.Pattern {
	f := pattern.Pattern{Method: p.Method}
	for _, s := range p.Segments {
		// Names say nothing about what matches, and a One or Rest has no text.
		s = pattern.Segment{Kind: s.Kind, Text: trimTail(foldCase(unescapeOnce(s.Text)))}
		// A segment of which nothing is left is one slash too many.
		if s != (pattern.Segment{}) {
			f.Segments = append(f.Segments, s)
		}
	}
	if len(f.Segments) == 0 {
		f.Segments = []pattern.Segment{{}}
	}
	return f
}

// evades reports whether a lenient upstream could take the path for one that
// the table prices by another route than the one that was found: serving it
// would give the dear resource away. With anyMethod the request may also be
// taken for one of another HTTP method.
func (r *Router) evades(method, target string, found *route, anyMethod bool) bool {
	if !anyMethod && !r.cased && !suspicious(target) {
		return false
	}
	all, ok := readings(target)
	if !ok {
		return len(r.priced) > 0
	}
	seen := map[string]bool{}
	for _, reading := range all {
		f := fold(reading)
		if seen[f] {
			continue
		}
		seen[f] = true
		var meant []*folded
		for i := range r.folded {
			c := &r.folded[i]
			if (anyMethod || c.pattern.Takes(method)) && c.pattern.Match(f) {
				meant = append(meant, c)
			}
		}
		for _, c := range meant {
			if c.route != found && !c.route.Free && !c.outdone(meant, found) {
				return true
			}
		}
	}
	return false
}

// folded is a route as a lenient upstream reads it.
type folded struct {
	pattern pattern.Pattern
	route   *route
}

// outdone reports whether another of the routes that match is the more specific
// one, or as specific and the one that was found.
func (c *folded) outdone(meant []*folded, found *route) bool {
	for _, q := range meant {
		if q != c && q.pattern.Within(c.pattern) && (q.route == found || !c.pattern.Within(q.pattern)) {
			return true
		}
	}
	return false
}

// suspicious reports whether a canonical path could be read as another one at all.
func suspicious(target string) bool {
	if len(target) > 1 && (strings.HasSuffix(target, "/") || strings.HasSuffix(target, ".")) {
		return true
	}
	for i := range len(target) {
		switch c := target[i]; {
		case 'A' <= c && c <= 'Z', c == '%':
			return true
		case c == '.' && i+1 < len(target) && target[i+1] == '/':
			return true
		}
	}
	return false
}
