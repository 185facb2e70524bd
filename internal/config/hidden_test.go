package config

import (
	"strings"
	"testing"
)

func TestHiddenRoutes(t *testing.T) {
	for _, tt := range []struct {
		match  string
		hidden bool
	}{
		{"GET /openapi.json", true},
		{"GET /payments/{id}", true},
		{"GET /payments/seven", true},
		{"POST /webhooks/stripe", true},
		{"GET /healthz", true},
		{"GET /payments/{id}/lines", false},
		{"GET /payments", false},
		{"GET /{name}", false},
		{"/**", false},
	} {
		t.Run(tt.match, func(t *testing.T) {
			p, err := parsePattern(tt.match)
			if err != nil {
				t.Fatal(err)
			}
			c := checker{report: &report{lines: map[string]int{}}}
			c.hidden("routes[0]", p)
			found := len(c.errs) > 0
			if found != tt.hidden {
				t.Fatalf("problems %v, want hidden %v", c.errs, tt.hidden)
			}
			if found && !strings.Contains(c.errs[0].Message, "serve the route under another path") {
				t.Errorf("message %q does not say what to do", c.errs[0].Message)
			}
		})
	}
}
