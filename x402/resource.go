package x402

import (
	"errors"
	"net/url"
	"strings"

	"paywall/internal/canonical"
)

var errOrigin = errors.New("x402: Origin is not scheme://host with http or https")

// normalOrigin checks a public origin, which has no path, user or query. It is
// returned in lower case, without a port that is the scheme's own.
func normalOrigin(s string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	if err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery || strings.HasSuffix(s, "#") {
		return "", errOrigin
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return "", errOrigin
	}
	if _, err := canonical.Host(u.Host); err != nil {
		return "", errOrigin
	}
	return originOf(u.Scheme, u.Host), nil
}

func originOf(scheme, authority string) string {
	scheme, authority = strings.ToLower(scheme), strings.ToLower(authority)
	port := ":80"
	if scheme == "https" {
		port = ":443"
	}
	return scheme + "://" + strings.TrimSuffix(authority, port)
}

// sameResource reports whether a URL that a payer echoes is the resource at this
// origin with this canonical target.
func sameResource(echo, origin, target string) bool {
	if rest, ok := strings.CutPrefix(echo, origin); ok && rest == target {
		return true
	}
	scheme, rest, ok := strings.Cut(echo, "://")
	if !ok || strings.Contains(rest, "#") {
		return false
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if originOf(scheme, rest[:end]) != origin {
		return false
	}
	path, query, _ := strings.Cut(rest[end:], "?")
	if path == "" {
		path = "/"
	}
	path, err := canonical.Path(path, canonical.Options{})
	if err != nil {
		return false
	}
	if query, err = canonical.Query(query); err != nil {
		return false
	}
	if query != "" {
		path += "?" + query
	}
	return path == target
}
