package receipts

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

const didWeb = "did:web:"

// checkOrigin accepts "https://host" or "https://host:port" in lower case, and
// plain http for loopback hosts only, and returns host with the port.
func checkOrigin(origin string) (string, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || origin != u.Scheme+"://"+u.Host || origin != strings.ToLower(origin) {
		return "", fmt.Errorf("issuer: want an origin such as https://api.example.com: %w", ErrClaims)
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback(u.Hostname()):
	default:
		return "", fmt.Errorf("issuer: want https: %w", ErrClaims)
	}
	return u.Host, nil
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// didOf returns the did:web identifier of a host, whose port's colon is written %3A.
func didOf(host string) (string, error) {
	name, port, hasPort := strings.Cut(host, ":")
	ok := name != "" && len(host) <= 253 && (!hasPort || port != "")
	for _, b := range []byte(name) {
		ok = ok && (b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-' || b == '.')
	}
	for _, b := range []byte(port) {
		ok = ok && b >= '0' && b <= '9'
	}
	if !ok {
		return "", fmt.Errorf("host: want a lower-case name or IPv4 address, with a port or without: %w", ErrClaims)
	}
	if hasPort {
		return didWeb + name + "%3A" + port, nil
	}
	return didWeb + name, nil
}

// hostOf is the inverse of didOf; false for any other identifier.
func hostOf(did string) (string, bool) {
	encoded, ok := strings.CutPrefix(did, didWeb)
	if !ok {
		return "", false
	}
	host := strings.Replace(encoded, "%3A", ":", 1)
	back, err := didOf(host)
	return host, err == nil && back == did
}

// identity is who issues and for whom; issuer and verifier must agree on it.
type identity struct {
	issuer, audience, did string
}

func newIdentity(issuer, audience, host string) (identity, error) {
	own, err := checkOrigin(issuer)
	if err != nil {
		return identity{}, err
	}
	if host == "" {
		host = own
	}
	did, err := didOf(host)
	if err != nil {
		return identity{}, err
	}
	if !printable(audience, maxField) {
		return identity{}, fmt.Errorf("audience: want 1 to %d printable ASCII characters: %w", maxField, ErrClaims)
	}
	return identity{issuer: issuer, audience: audience, did: did}, nil
}
