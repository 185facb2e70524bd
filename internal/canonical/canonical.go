// Package canonical reads a request once: its method, authority, path and query
// in the one form that routes match, that a payment buys and that an upstream is
// sent. A request that another reader could take for a different one is refused
// instead of guessed at.
//
// Letters of a path keep their case, and a trailing slash counts: [Near] tells
// which paths differ by no more than that.
package canonical

import (
	"net/http"
	"strings"
)

// Limits of a target.
const (
	MaxTarget = 8 << 10 // bytes
	MaxPairs  = 100     // of the query
)

// Options are what may be decided differently for each host. The zero value
// refuses the most.
type Options struct {
	// FoldSlashes makes one slash of several instead of refusing them, and
	// changes nothing else.
	FoldSlashes bool
}

// Request is a request in canonical form. Parsing it again gives the same.
type Request struct {
	Method string
	// Authority is the host in lower case, without port and trailing dot; an
	// IPv6 address is in brackets.
	Authority string
	// Path begins with a slash and is escaped: unreserved characters are never
	// escaped, all others that are escapes have upper-case digits. It is "*" for
	// "OPTIONS *" alone.
	Path string
	// Query is the raw query without its question mark, escaped in the same way,
	// its pairs in the order in which they came, without empty ones.
	Query string
}

// Target is the path, and the query if there is one.
func (r Request) Target() string {
	if r.Query == "" {
		return r.Path
	}
	return r.Path + "?" + r.Query
}

// Error says why a request is refused; it never quotes the request.
type Error struct {
	// Status is 400, 405, 414 or 421.
	Status int
	// Detail is fit to be shown to the client.
	Detail string
}

// Error is the detail.
func (e *Error) Error() string { return e.Detail }

func bad(detail string) *Error { return &Error{http.StatusBadRequest, detail} }

// Parse reads a request. Of a server's request it judges RequestURI, which is
// what was sent, whatever others have made of the URL since; otherwise the URL.
// Errors are *[Error].
func Parse(r *http.Request, o Options) (Request, error) {
	if !known(r.Method) {
		return Request{}, &Error{http.StatusMethodNotAllowed, "This method is not served."}
	}
	target, named, err := target(r)
	if err != nil {
		return Request{}, err
	}
	c := Request{Method: r.Method}
	if c.Authority, err = authority(r, named); err != nil {
		return Request{}, err
	}
	if target == "*" {
		if r.Method != http.MethodOptions {
			return Request{}, bad("The target * is for OPTIONS alone.")
		}
		c.Path = target
		return c, nil
	}
	path, query, _ := strings.Cut(target, "?")
	if c.Path, err = Path(path, o); err != nil {
		return Request{}, err
	}
	if c.Query, err = Query(query); err != nil {
		return Request{}, err
	}
	return c, nil
}

// known holds the methods that can be priced. They are case-sensitive (RFC 9110,
// section 9.1), and net/http hands over any other token: "get" would pass a rule
// for GET at the gate and be served as GET by a lenient upstream.
func known(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	default:
		return false
	}
}

// origin is the authority that a target names itself, with its scheme.
type origin struct{ scheme, authority string }

// target is the request's path and query as they were sent, or "*".
func target(r *http.Request) (string, origin, error) {
	if r.RequestURI == "" {
		return targetOfURL(r)
	}
	raw := r.RequestURI
	switch {
	case len(raw) > MaxTarget:
		return "", origin{}, errTooLong()
	case raw[0] == '/' || raw == "*":
		return raw, origin{}, nil
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if scheme = strings.ToLower(scheme); !ok || (scheme != "http" && scheme != "https") {
		return "", origin{}, bad("The target is neither a path nor an http URL.")
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	named := origin{scheme, rest[:end]}
	if named.authority == "" {
		return "", origin{}, bad("The target names no host.")
	}
	if rest = rest[end:]; rest == "" || rest[0] != '/' {
		rest = "/" + rest
	}
	return rest, named, nil
}

func targetOfURL(r *http.Request) (string, origin, error) {
	u := r.URL
	switch {
	case u == nil:
		return "", origin{}, bad("The request has no target.")
	case u.Opaque != "":
		return "", origin{}, bad("The target is neither a path nor an http URL.")
	case u.User != nil:
		return "", origin{}, bad("The target names a user.")
	case u.Fragment != "" || u.RawFragment != "":
		return "", origin{}, bad("The target has a fragment.")
	}
	t := u.EscapedPath()
	if t == "" {
		t = "/"
	}
	if strings.Contains(t, "?") {
		return "", origin{}, bad("The path has a character that must be escaped.")
	}
	if u.RawQuery != "" {
		t += "?" + u.RawQuery
	}
	if len(t) > MaxTarget {
		return "", origin{}, errTooLong()
	}
	return t, origin{u.Scheme, u.Host}, nil
}

func errTooLong() *Error {
	return &Error{http.StatusRequestURITooLong, "The target is longer than 8 KiB."}
}
