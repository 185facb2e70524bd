package config

import (
	"errors"
	"strings"

	"paywall/internal/pattern"
)

// parsePattern reads the match of a route. An address copied with its query is
// refused with the place where conditions belong.
func parsePattern(text string) (pattern.Pattern, error) {
	if strings.ContainsAny(text, `?#;\`) {
		return pattern.Pattern{}, errors.New(`the path has one of ? # ; \, which no request for it can have; conditions on the query go under when`)
	}
	return pattern.Parse(text) //nolint:wrapcheck // its texts are written for this place
}

// idOf makes a route's id from its pattern: "GET /v1/reports/{id}" is
// "get-v1-reports-id".
func idOf(p pattern.Pattern) string {
	var b strings.Builder
	b.WriteString(strings.ToLower(p.Method))
	for part := range strings.SplitSeq(p.Path()[1:], "/") {
		part = strings.Trim(part, "{}.")
		switch part {
		case "**":
			part = "all"
		case "*":
			part = "any"
		}
		b.WriteByte('-')
		for _, r := range strings.ToLower(part) {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' {
				b.WriteRune(r)
			} else {
				b.WriteByte('-')
			}
		}
	}
	id := strings.Trim(b.String(), "-")
	for strings.Contains(id, "--") {
		id = strings.ReplaceAll(id, "--", "-")
	}
	if id == "" || id == strings.ToLower(p.Method) {
		id = strings.TrimPrefix(id+"-root", "-")
	}
	return id
}
