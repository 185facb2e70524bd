package pattern_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"paywall/internal/pattern"
)

// expression is a pattern as a regular expression over "METHOD /path": another
// way to say the same, to hold the comparison against.
func expression(p pattern.Pattern) *regexp.Regexp {
	var b strings.Builder
	switch p.Method {
	case "":
		b.WriteString("^[A-Z]+ ")
	case http.MethodGet:
		b.WriteString("^(GET|HEAD) ")
	default:
		b.WriteString("^" + p.Method + " ")
	}
	for _, s := range p.Segments {
		switch s.Kind {
		case pattern.Literal:
			b.WriteString("/" + regexp.QuoteMeta(s.Text))
		case pattern.Glob:
			b.WriteString("/" + strings.ReplaceAll(regexp.QuoteMeta(s.Text), `\*`, "[^/]*"))
		case pattern.One:
			b.WriteString("/[^/]+")
		case pattern.Rest:
			b.WriteString("(/.*)?")
		}
	}
	return regexp.MustCompile(b.String() + "$")
}

var (
	drawSegment = rapid.SampledFrom([]string{"a", "b", "ab", "a.json", "b.json", "*", "{x}", "a*", "*b", "*.json", "a*b"})
	drawMethod  = rapid.SampledFrom([]string{"", "GET ", "HEAD ", "POST "})
)

func drawPattern(t *rapid.T, label string) pattern.Pattern {
	parts := rapid.SliceOfN(drawSegment, 1, 3).Draw(t, label)
	names := "uvw"
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(part, "{x}", "{"+names[i:i+1]+"}")
	}
	text := drawMethod.Draw(t, label+" method") + "/" + strings.Join(parts, "/") + rapid.SampledFrom([]string{"", "", "/", "/**", "/{rest...}"}).Draw(t, label+" end")
	p, err := pattern.Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return p
}

// TestC083_RelateAgreesWithMatching draws patterns and requests: a pattern
// matches what its expression does, requests that two patterns share are never called impossible, and what is called inside is.
func TestC083_RelateAgreesWithMatching(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPattern(t, "a"), drawPattern(t, "b")
		request := rapid.SampledFrom([]string{"GET ", "HEAD ", "POST ", "PUT "}).Draw(t, "method") +
			"/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "aab", "a.json", "b.json", "x", ""}), 1, 4).Draw(t, "path"), "/")
		method, path, _ := strings.Cut(request, " ")
		inA, inB := expression(a).MatchString(request), expression(b).MatchString(request)
		if got := a.Takes(method) && a.Match(path); got != inA {
			t.Fatalf("%v matches %q: %t", a, request, got)
		}
		switch r := pattern.Relate(a, b); {
		case r == pattern.Apart && inA && inB:
			t.Fatalf("%v and %v share %q", a, b, request)
		case r == pattern.Narrower && inA && !inB:
			t.Fatalf("%v is not within %v: %q", a, b, request)
		case r == pattern.Wider && inB && !inA:
			t.Fatalf("%v is not within %v: %q", b, a, request)
		}
	})
}

// TestC083_RelateHasNoOrder shows that the order in the file decides nothing.
func TestC083_RelateHasNoOrder(t *testing.T) {
	turned := map[pattern.Relation]pattern.Relation{
		pattern.Apart: pattern.Apart, pattern.Ambiguous: pattern.Ambiguous,
		pattern.Narrower: pattern.Wider, pattern.Wider: pattern.Narrower,
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPattern(t, "a"), drawPattern(t, "b")
		if ab, ba := pattern.Relate(a, b), pattern.Relate(b, a); ab != turned[ba] {
			t.Fatalf("relate(%v, %v) = %d, turned %d", a, b, ab, ba)
		}
		if r := pattern.Relate(a, a); r != pattern.Ambiguous {
			t.Fatalf("%v and itself: %d", a, r)
		}
	})
}

func TestC083_Relate(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want pattern.Relation
	}{
		{"GET /a", "GET /b", pattern.Apart},
		{"GET /a", "POST /a", pattern.Apart},
		{"GET /a", "GET /{x}", pattern.Narrower},
		{"GET /a", "/a", pattern.Narrower},
		{"HEAD /a", "GET /a", pattern.Narrower},
		{"/**", "GET /a", pattern.Wider},
		{"GET /a", "GET /a/**", pattern.Narrower},
		{"GET /a/", "GET /a/**", pattern.Narrower},
		{"GET /a/", "GET /a/{x}", pattern.Apart},
		{"GET /a/{x}", "GET /{y}/b", pattern.Ambiguous},
		{"/a", "GET /{x}", pattern.Ambiguous},
		{"GET /{x}", "GET /*", pattern.Ambiguous},
		{"GET /*.json", "GET /a.json", pattern.Wider},
		{"GET /*.json", "GET /a*", pattern.Ambiguous},
		{"GET /*.json", "GET /*.xml", pattern.Apart},
		{"GET /a*", "GET /b*", pattern.Apart},
		{"GET /a*", "GET /{x}", pattern.Narrower},
	} {
		a, errA := pattern.Parse(tt.a)
		b, errB := pattern.Parse(tt.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got := pattern.Relate(a, b); got != tt.want {
			t.Errorf("relate(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

// TestParse: what cannot be meant is refused with a word about it.
func TestParse(t *testing.T) {
	for _, tt := range []struct{ name, in, wrong string }{
		{"every method", "/a", ""},
		{"parameters and a rest", "GET /v1/{id}/*.json/{rest...}", ""},
		{"the root", "/", ""},
		{"spaces and letters of any kind", "DELETE /a b/ü", ""},
		{"nothing", "", "slash"},
		{"a method in lower case", "get /a", "not a method"},
		{"a method that is not priced", "TRACE /a", "not a method"},
		{"two spaces", "GET  /a", "slash"},
		{"a relative path", "a/b", "slash"},
		{"an empty segment", "/a//b", "empty segment"},
		{"a dot segment", "/a/../b", "dot segment"},
		{"an escape", "/a%20b", "decoded"},
		{"a parameter of another kind", "/a;b", "no request"},
		{"a backslash", `/a\b`, "no request"},
		{"a control character", "/a\x00", "control"},
		{"no text", "/\xff", "control"},
		{"a rest in the middle", "/**/a", "last"},
		{"a named rest in the middle", "/{a...}/b", "last"},
		{"half a parameter", "/{a", "whole segment"},
		{"part of a segment", "/{a}.json", "whole segment"},
		{"a parameter without a name", "/{}", "not a parameter"},
		{"a rest without a name", "/{...}", "not a parameter"},
		{"two stars within a segment", "/a**", "whole segment"},
		{"three stars", "/***", "whole segment"},
		{"a class", "/[ab]*", "only *"},
		{"a question mark beside a star", "/a?*", "only *"},
		{"one name twice", "/{a}/{a...}", "twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := pattern.Parse(tt.in)
			switch {
			case tt.wrong == "" && err != nil:
				t.Fatal(err)
			case tt.wrong == "" && p.String() != tt.in:
				t.Errorf("%q is written %q", tt.in, p)
			case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
				t.Errorf("%q: %v, want %q in it", tt.in, err, tt.wrong)
			}
		})
	}
}

// TestMap: the texts change, what varies does not, and an error is the outcome.
func TestMap(t *testing.T) {
	p, err := pattern.Parse("/a/b*c/{x}/**")
	if err != nil {
		t.Fatal(err)
	}
	upper, err := p.Map(func(text string) (string, error) { return strings.ToUpper(text), nil })
	if err != nil || upper.String() != "/A/B*C/{x}/**" || p.String() != "/a/b*c/{x}/**" {
		t.Errorf("%v, %v; before %v", upper, err, p)
	}
	wrong := errors.New("wrong")
	if _, err := p.Map(func(text string) (string, error) {
		if text == "c" {
			return "", wrong
		}
		return text, nil
	}); !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
}

// TestErrorsAreShort: an error does not repeat a long pattern.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, text := range []string{long, long + " /a", "/" + long + "{", "/{" + long + "}/{" + long + "}", "/" + long + "[*"} {
		if _, err := pattern.Parse(text); err == nil || len(err.Error()) > 200 {
			t.Errorf("%.20q…: an error of %d bytes", text, len(fmt.Sprint(err)))
		}
	}
}

// FuzzParse: what parses is written as it was read, matches a path of its own,
// and is inside itself; and two patterns agree with what they match.
func FuzzParse(f *testing.F) {
	for _, s := range [][3]string{
		{"GET /v1/{id}", "/v1/*", "/v1/a"},
		{"/**", "POST /a*b/{rest...}", "/axb"},
		{"/", "/a*", "/a/"},
		{"GET //", "/%2e", "/"},
		{"/{a}/{a}", "/a b", "/a b"},
		{"/?", "/a*a", "/a"},
		{"/a*b*c", "/*b*", "/abbc"},
		{"/a", "/a/**", "/a"},
		{"HEAD /x", "GET /{y...}", "/x"},
		{"/...", "/a.../*", "/..."},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, one, two, path string) {
		a, err := pattern.Parse(one)
		if err != nil {
			return
		}
		if a.String() != one {
			t.Fatalf("%q is written %q", one, a)
		}
		var text strings.Builder
		for _, s := range a.Segments {
			text.WriteString("/" + strings.ReplaceAll(s.Text, "*", "q"))
			if s.Kind == pattern.One || s.Kind == pattern.Rest {
				text.WriteString("q")
			}
		}
		own := text.String()
		if !a.Match(own) || !a.Within(a) || pattern.Relate(a, a) != pattern.Ambiguous {
			t.Errorf("%q: matches %q %t, within itself %t", one, own, a.Match(own), a.Within(a))
		}
		if only, ok := a.Fixed(); ok && (!a.Match(only) || a.Match(only+"x") || only != a.Path()) {
			t.Errorf("%q is %q only", one, only)
		}
		b, err := pattern.Parse(two)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		ab, ba := pattern.Relate(a, b), pattern.Relate(b, a)
		if (ab == pattern.Apart) != (ba == pattern.Apart) || (ab == pattern.Narrower) != (ba == pattern.Wider) {
			t.Fatalf("%q and %q: %d, turned %d", one, two, ab, ba)
		}
		for _, method := range []string{"GET", "HEAD", "POST"} {
			inA, inB := a.Takes(method) && a.Match(path), b.Takes(method) && b.Match(path)
			switch {
			case inA != expression(a).MatchString(method+" "+path):
				t.Errorf("%q and %s %q: %t", one, method, path, inA)
			case ab == pattern.Apart && inA && inB:
				t.Errorf("%q and %q share %s %q", one, two, method, path)
			case ab == pattern.Narrower && inA && !inB, ab == pattern.Wider && inB && !inA:
				t.Errorf("%q and %q: relation %d, and %s %q", one, two, ab, method, path)
			}
		}
	})
}
