package config

import (
	"strings"
	"testing"
)

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

// FuzzPattern: what is accepted as a match has no query, and its id is made of
// what an id may have.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"GET /v1/{id}", "/**", "POST /a*b/{rest...}", "/", "GET //", "/%2e", "/{a}/{a}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePattern(text)
		if err != nil {
			return
		}
		if strings.ContainsAny(p.String(), `%?#;\`) {
			t.Errorf("%q has what belongs to no path", text)
		}
		if id := idOf(p); id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
			t.Errorf("id of %q is %q", text, id)
		}
	})
}
