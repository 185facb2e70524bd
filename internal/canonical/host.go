package canonical

import (
	"net/http"
	"net/netip"
	"strings"
)

// authority is the one host that the request is for. A target, a Host field and
// an :authority that differ are a request for two.
func authority(r *http.Request, named origin) (string, error) {
	sent := r.Host
	if sent == "" && r.RequestURI == "" {
		sent = named.authority // an outgoing request names its host in the URL alone
	}
	host, err := Host(sent)
	if err != nil {
		return "", err
	}
	if named.authority != "" && named.authority != sent && !same(named, sent, host) {
		return "", &Error{http.StatusMisdirectedRequest, "The target and the Host field name different hosts."}
	}
	// net/http takes the Host field out of the header, except when HTTP/2 sent it besides :authority.
	for _, also := range r.Header["Host"] {
		if also != sent && !same(origin{named.scheme, also}, sent, host) {
			return "", bad("The request names two hosts.")
		}
	}
	return host, nil
}

// same reports whether an authority means the host that was sent, and its port.
func same(named origin, sent, host string) bool {
	other, err := Host(named.authority)
	return err == nil && other == host && port(named.authority, named.scheme) == port(sent, named.scheme)
}

// port is empty for the scheme's own.
func port(authority, scheme string) string {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.HasSuffix(authority, "]") {
		return ""
	}
	p := authority[i+1:]
	if (scheme == "http" && p == "80") || (scheme == "https" && p == "443") {
		return ""
	}
	return p
}

// Host brings an authority (RFC 3986, section 3.2) to lower case, without its
// port and one trailing dot. A name consists of letters, digits, hyphens and
// underscores; names of other scripts come in their ASCII form. An IPv6 address
// is in brackets, there and here. User information, zones, empty labels and an
// empty port are refused. Errors are *[Error] of status 400.
func Host(s string) (string, error) {
	if s == "" {
		return "", bad("The request names no host.")
	}
	if s[0] == '[' {
		return host6(s)
	}
	name, after, hasPort := strings.Cut(s, ":")
	if hasPort && !validPort(after) {
		return "", bad("The host has no valid port.")
	}
	name = strings.TrimSuffix(name, ".")
	if len(name) == 0 || len(name) > 253 {
		return "", errHost()
	}
	upper, label := false, 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return "", errHost()
			}
			label = -1
		case 'A' <= c && c <= 'Z':
			upper = true
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return "", errHost()
		}
		if label++; label > 63 {
			return "", errHost()
		}
	}
	if label == 0 {
		return "", errHost()
	}
	if upper {
		return strings.ToLower(name), nil
	}
	return name, nil
}

func host6(s string) (string, error) {
	inside, after, ok := strings.Cut(s[1:], "]")
	if !ok || (after != "" && (after[0] != ':' || !validPort(after[1:]))) {
		return "", errHost()
	}
	a, err := netip.ParseAddr(inside)
	if err != nil || !a.Is6() || a.Zone() != "" {
		return "", errHost()
	}
	return "[" + a.String() + "]", nil
}

func validPort(s string) bool {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		if n = n*10 + int(s[i]-'0'); n > 65535 {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 5
}

func errHost() *Error { return bad("The host is not a name or an address.") }
