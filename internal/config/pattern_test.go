package config

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// expression is a pattern as a regular expression over "METHOD /path": another
// way to say the same, to hold the comparison against.
func expression(p pattern) *regexp.Regexp {
	var b strings.Builder
	switch p.method {
	case "":
		b.WriteString("^[A-Z]+ ")
	case "GET":
		b.WriteString("^(GET|HEAD) ")
	default:
		b.WriteString("^" + p.method + " ")
	}
	for _, s := range p.segments {
		switch s.kind {
		case literal:
			b.WriteString("/" + regexp.QuoteMeta(s.text))
		case glob:
			b.WriteString("/" + strings.ReplaceAll(regexp.QuoteMeta(s.text), `\*`, "[^/]*"))
		case single:
			b.WriteString("/[^/]+")
		case rest:
			b.WriteString("(/.*)?")
		}
	}
	return regexp.MustCompile(b.String() + "$")
}

var (
	drawSegment = rapid.SampledFrom([]string{"a", "b", "ab", "a.json", "b.json", "*", "{x}", "a*", "*b", "*.json", "a*b"})
	drawMethod  = rapid.SampledFrom([]string{"", "GET ", "HEAD ", "POST "})
)

func drawPattern(t *rapid.T, label string) pattern {
	parts := rapid.SliceOfN(drawSegment, 1, 3).Draw(t, label)
	names := "uvw"
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(part, "{x}", "{"+names[i:i+1]+"}")
	}
	text := drawMethod.Draw(t, label+" method") + "/" + strings.Join(parts, "/") + rapid.SampledFrom([]string{"", "", "/", "/**", "/{rest...}"}).Draw(t, label+" end")
	p, err := parsePattern(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return p
}

// TestC083_RelateAgreesWithMatching draws patterns and requests: requests that
// two patterns share are never called impossible, and what is called inside is.
func TestC083_RelateAgreesWithMatching(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPattern(t, "a"), drawPattern(t, "b")
		request := rapid.SampledFrom([]string{"GET ", "HEAD ", "POST ", "PUT "}).Draw(t, "method") +
			"/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "aab", "a.json", "b.json", "x", ""}), 1, 4).Draw(t, "path"), "/")
		inA, inB := expression(a).MatchString(request), expression(b).MatchString(request)
		switch r := relate(a, b); {
		case r == apart && inA && inB:
			t.Fatalf("%v and %v share %q", a, b, request)
		case r == narrower && inA && !inB:
			t.Fatalf("%v is not within %v: %q", a, b, request)
		case r == wider && inB && !inA:
			t.Fatalf("%v is not within %v: %q", b, a, request)
		}
	})
}

// TestC083_RelateHasNoOrder shows that the order in the file decides nothing.
func TestC083_RelateHasNoOrder(t *testing.T) {
	turned := map[relation]relation{apart: apart, ambiguous: ambiguous, narrower: wider, wider: narrower}
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPattern(t, "a"), drawPattern(t, "b")
		if ab, ba := relate(a, b), relate(b, a); ab != turned[ba] {
			t.Fatalf("relate(%v, %v) = %d, turned %d", a, b, ab, ba)
		}
		if r := relate(a, a); r != ambiguous {
			t.Fatalf("%v and itself: %d", a, r)
		}
	})
}

func TestC083_Relate(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want relation
	}{
		{"GET /a", "GET /b", apart},
		{"GET /a", "POST /a", apart},
		{"GET /a", "GET /{x}", narrower},
		{"GET /a", "/a", narrower},
		{"HEAD /a", "GET /a", narrower},
		{"/**", "GET /a", wider},
		{"GET /a", "GET /a/**", narrower},
		{"GET /a/", "GET /a/**", narrower},
		{"GET /a/", "GET /a/{x}", apart},
		{"GET /a/{x}", "GET /{y}/b", ambiguous},
		{"/a", "GET /{x}", ambiguous},
		{"GET /{x}", "GET /*", ambiguous},
		{"GET /*.json", "GET /a.json", wider},
		{"GET /*.json", "GET /a*", ambiguous},
		{"GET /*.json", "GET /*.xml", apart},
		{"GET /a*", "GET /b*", apart},
		{"GET /a*", "GET /{x}", narrower},
	} {
		a, errA := parsePattern(tt.a)
		b, errB := parsePattern(tt.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got := relate(a, b); got != tt.want {
			t.Errorf("relate(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestIDOf(t *testing.T) {
	for match, want := range map[string]string{
		"GET /v1/reports/{id}":   "get-v1-reports-id",
		"/v1/**":                 "v1-all",
		"POST /v1/*/x":           "post-v1-any-x",
		"GET /":                  "get-root",
		"/":                      "root",
		"/files/{path...}":       "files-path",
		"GET /a/*.json":          "get-a-.json",
		"DELETE /Größe/Of_It":    "delete-gr-e-of_it",
		"PUT /v1/{id}/trailing/": "put-v1-id-trailing",
	} {
		p, err := parsePattern(match)
		if err != nil {
			t.Fatal(err)
		}
		if got := idOf(p); got != want {
			t.Errorf("idOf(%q) = %q, want %q", match, got, want)
		}
	}
}

// FuzzPattern: what is accepted as a pattern is the same pattern when written
// again, and its id is one or empty of what an id may have.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"GET /v1/{id}", "/**", "POST /a*b/{rest...}", "/", "GET //", "/%2e", "/{a}/{a}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePattern(text)
		if err != nil {
			return
		}
		again, err := parsePattern(strings.TrimPrefix(p.method+" "+p.path, " "))
		if err != nil || again.method != p.method || relate(p, again) != ambiguous {
			t.Errorf("%q is not itself: %v", text, err)
		}
		if id := idOf(p); id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
			t.Errorf("id of %q is %q", text, id)
		}
	})
}
