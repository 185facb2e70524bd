package gate

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"paywall/internal/canonical"
	"paywall/internal/pattern"
)

// instance is a path of the pattern, with fill where something varies.
func instance(p pattern.Pattern, fill string) string {
	var b strings.Builder
	for _, s := range p.Segments {
		switch s.Kind {
		case pattern.Literal:
			b.WriteString("/" + s.Text)
		case pattern.Glob:
			b.WriteString("/" + strings.ReplaceAll(s.Text, "*", fill))
		case pattern.One:
			b.WriteString("/" + fill + "x")
		case pattern.Rest:
			b.WriteString("/" + fill + "/y")
		}
	}
	return b.String()
}

// FuzzPattern: what parses can be requested and matches what it says.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"/", "GET /a/{id}", "/a/**", "/a*b/{x...}", "/é/ü*", "/a b", "/?", "/[x]", "POST /a/", "/*", "/***", "/..", "/a;b", "/é*!0.", "GET / /0", "/{", "/%41", "/a//b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePattern(s)
		if err != nil {
			return
		}
		for _, fill := range []string{"q", "q-r"} {
			target := instance(p, fill)
			if len(target) > canonical.MaxTarget {
				return
			}
			if got, err := canonical.Path(target, canonical.Options{}); err != nil || got != target {
				t.Fatalf("%q: %q cannot be requested as it is: %q, %v", s, target, got, err)
			}
			if !p.Match(target) {
				t.Errorf("%q does not match its own %q", s, target)
			}
			if only, ok := p.Fixed(); ok && (only != target || p.Match(target+"x")) {
				t.Errorf("%q is %q only and matches %q", s, only, target)
			}
			if all, ok := readings(target); ok && !slices.ContainsFunc(all, func(one string) bool { return foldPattern(p).Match(fold(one)) }) {
				t.Errorf("%q, folded, matches no reading of %q", s, target)
			}
		}
	})
}

// world is every path over the segments that patterns speak of and a few more.
func world(patterns ...pattern.Pattern) []string {
	segments := []string{"", "a", "b", "ab"}
	for _, p := range patterns {
		for _, s := range p.Segments {
			switch s.Kind {
			case pattern.Literal:
				segments = append(segments, s.Text)
			case pattern.Glob:
				for _, fill := range []string{"", "a", "b"} {
					segments = append(segments, strings.ReplaceAll(s.Text, "*", fill))
				}
			case pattern.One, pattern.Rest:
			}
		}
	}
	slices.Sort(segments)
	segments = slices.Compact(segments)
	if len(segments) > 8 {
		segments = segments[:8]
	}
	var all []string
	level := []string{""}
	for range 3 {
		var next []string
		for _, before := range level {
			for _, s := range segments {
				one := before + "/" + s
				all = append(all, one)
				if s != "" {
					next = append(next, one)
				}
			}
		}
		level = next
	}
	return all
}

// FuzzTable holds the comparison of two patterns to what they match, tried out:
// no pair that shares a request without one holding the other is taken, and the
// router finds the narrower one.
func FuzzTable(f *testing.F) {
	for _, s := range [][2]string{
		{"/a/**", "/a/b"},
		{"GET /a", "/a"},
		{"/a*", "/*b"},
		{"/{x}/b", "/a/{y}"},
		{"/**", "/{x}"},
		{"HEAD /a", "GET /a"},
		{"/a/", "/a"},
		{"/a/**", "/a"},
		{"/a/{x}", "/a/**"},
		{"GET /**", "POST /a"},
		{"/a*b", "/ab*"},
		{"/*a*", "/a*"},
		{"/", "/**"},
		{"/a*", "/a**"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		if len(one) > 40 || len(two) > 40 {
			return
		}
		a, err := parsePattern(one)
		if err != nil {
			return
		}
		b, err := parsePattern(two)
		if err != nil {
			return
		}
		n, err := compare(a, b)
		if back, berr := compare(b, a); (err == nil) != (berr == nil) || err == nil && back != -n {
			t.Fatalf("%q and %q: %d, %v; the other way %d, %v", one, two, n, err, back, berr)
		}
		if err != nil {
			return // refused: more than need be is no harm
		}
		routes := []*route{{Route: Route{ID: "a"}, pattern: a}, {Route: Route{ID: "b"}, pattern: b}}
		r := &Router{exact: map[string][]*route{}}
		for _, c := range routes {
			r.add(c)
		}
		for _, list := range r.exact {
			slices.SortStableFunc(list, bySpecificity)
		}
		r.others = inOrder(r.others)
		shared, onlyA, onlyB := "", "", ""
		for _, target := range world(a, b) {
			for _, method := range []string{"GET", "HEAD", "POST"} {
				inA, inB := a.Takes(method) && a.Match(target), b.Takes(method) && b.Match(target)
				found := r.find(method, target)
				switch {
				case inA && inB:
					shared = method + " " + target
					if want := routes[map[bool]int{true: 0, false: 1}[n < 0]]; found != want {
						t.Errorf("%q and %q: %s goes to %s", one, two, shared, found.ID)
					}
				case inA:
					onlyA = method + " " + target
				case inB:
					onlyB = method + " " + target
				}
				if (found != nil) != (inA || inB) {
					t.Errorf("%q and %q: %s %s found: %t", one, two, method, target, found != nil)
				}
			}
		}
		if shared != "" && onlyA != "" && onlyB != "" {
			t.Errorf("%q and %q share %s, and each has its own: %s, %s", one, two, shared, onlyA, onlyB)
		}
		if shared != "" && (n < 0 && onlyA != "" || n > 0 && onlyB != "") {
			t.Errorf("%q and %q share %s, and the wider one comes first (%d): %s, %s", one, two, shared, n, onlyA, onlyB)
		}
	})
}

// FuzzContentDigest: what is taken is the one spelling of a SHA-256.
func FuzzContentDigest(f *testing.F) {
	sum := sha256.Sum256(nil)
	good := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	for _, s := range []string{good, good + " ", good + "," + good, strings.ToUpper(good), "sha-256=:AAAA:", strings.Replace(good, "=:", "=::", 1), good[:len(good)-2] + "\n=:", "sha-512=:x:", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		got, ok := statedDigest(http.Header{"Content-Digest": {field}})
		if ok != (got != "") || ok && got != field {
			t.Fatalf("%q gives %q, %t", field, got, ok)
		}
		if ok {
			inner := strings.TrimSuffix(strings.TrimPrefix(field, "sha-256=:"), ":")
			raw, err := base64.StdEncoding.DecodeString(inner)
			if err != nil || len(raw) != sha256.Size || "sha-256=:"+base64.StdEncoding.EncodeToString(raw)+":" != field {
				t.Errorf("%q is taken and has another spelling", field)
			}
		}
		if _, twice := statedDigest(http.Header{"Content-Digest": {field, field}}); twice {
			t.Errorf("two lines of %q are taken", field)
		}
	})
}

// FuzzEvades: a canonical path that a lenient reader takes for a priced one is
// never left to a free catch-all.
func FuzzEvades(f *testing.F) {
	for _, s := range []string{"/dear/x", "/DEAR/x", "/dear/x/", "/dear%2520/x", "/%2564ear/x", "/a/%252e%252e/dear/x", "/dear%253Ba/x", "/dear%255cx", "/dear/x%3Fa", "/%20/dear/x", "/dear./x.", "/dear/x%2500"} {
		f.Add(s)
	}
	dear, err := parsePattern("GET /dear/x")
	if err != nil {
		f.Fatal(err)
	}
	all, err := parsePattern("/**")
	if err != nil {
		f.Fatal(err)
	}
	r := &Router{exact: map[string][]*route{}}
	free := &route{Route: Route{ID: "free", Free: true}, pattern: all}
	r.add(&route{Route: Route{ID: "dear"}, pattern: dear})
	r.add(free)
	readers := map[string]func(string) string{
		"web server": func(p string) string {
			segments := strings.Split(path.Clean("/"+lenientDecode(p)), "/")
			for i := range segments {
				segments[i] = strings.TrimRight(segments[i], " ")
			}
			return strings.ToLower(path.Clean(strings.Join(segments, "/")))
		},
		"framework": func(p string) string {
			for range 2 {
				p = withoutParams(strings.ReplaceAll(lenientDecode(p), `\`, "/"))
			}
			p, _, _ = strings.Cut(p, "?")
			return path.Clean("/" + p)
		},
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := canonical.Path(raw, canonical.Options{})
		if err != nil || r.find("GET", target) != free {
			return
		}
		for name, read := range readers {
			if read(target) == "/dear/x" && !r.evades("GET", target, free, false) {
				t.Errorf("%q is free, and a %s takes it for the dear one", target, name)
			}
		}
		if again, ok := readings(target); ok && again[0] != target {
			t.Errorf("%q is not its own first reading", target)
		}
	})
}

// lenientDecode unescapes what can be, and leaves the rest.
func lenientDecode(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	i := strings.IndexByte(s, '%')
	if i+2 < len(s) {
		if u, err := url.PathUnescape(s[:i+3]); err == nil {
			return u + lenientDecode(s[i+3:])
		}
	}
	return s[:i+1] + lenientDecode(s[i+1:])
}

// FuzzForm: a form in which a plain reader finds the method field is refused.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"_method=DELETE", "a=b&_method=PUT", "%5fmethod=x", "payment_method=card", "a;_method=b", "", "_METHOD=x", "+_method=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		named := formNames("application/x-www-form-urlencoded", []byte(body))
		values, _ := url.ParseQuery(body)
		if values.Has(methodField) && !named {
			t.Errorf("%q names a method", body)
		}
		if named && !strings.Contains(strings.ToLower(unescapeOnce(body)), methodField) {
			t.Errorf("%q names no method", body)
		}
	})
}
