package gate

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"paywall/internal/canonical"
	"paywall/internal/pattern"
)

var patternMethods = pattern.Methods()

// parsePattern reads a [Route.Pattern] and escapes it as canonical requests are.
func parsePattern(s string) (pattern.Pattern, error) {
	p, err := pattern.Parse(s)
	if err == nil {
		p, err = p.Map(escapeLiteral)
	}
	if err != nil {
		return pattern.Pattern{}, fmt.Errorf("pattern %q: %w", s, err)
	}
	return p, nil
}

// escapeLiteral writes a piece of a segment as canonical requests have it.
func escapeLiteral(piece string) (string, error) {
	// A segment begins before the piece, so that dots are not taken for all of it.
	escaped, err := canonical.Path("/x"+(&url.URL{Path: piece}).EscapedPath(), canonical.Options{})
	if err != nil {
		return "", fmt.Errorf("%q can never be requested: %w", piece, err)
	}
	return strings.TrimPrefix(escaped, "/x"), nil
}

var errAmbiguous = errors.New("both match some requests and neither is the more specific")

// compare orders patterns: negative when a is matched before b. It is an error
// when some request matches both and neither set of requests holds the other.
func compare(a, b pattern.Pattern) (int, error) {
	switch pattern.Relate(a, b) {
	case pattern.Narrower:
		return -1, nil
	case pattern.Wider:
		return 1, nil
	case pattern.Apart:
		// Any fixed order.
		return strings.Compare(a.String(), b.String()), nil
	case pattern.Ambiguous:
	}
	return 0, errAmbiguous
}
