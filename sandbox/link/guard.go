package link

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// lowerHost is the authority of a URL: lower case, without a default port.
func lowerHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "http" {
		return strings.TrimSuffix(host, ":80")
	}
	return strings.TrimSuffix(host, ":443")
}

// knownHost reports whether a request was meant for this wallet. A page of a
// stranger can point its own name at the loopback address; such a request
// carries that name.
func (w *Wallet) knownHost(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == strings.ToLower(w.host) || host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// ownOrigin reports whether the request comes from this wallet's own pages, or
// from a program that is no browser.
func (w *Wallet) ownOrigin(r *http.Request) bool {
	return w.knownHost(r) && w.cross.Check(r) == nil
}

// formToken belongs into a form that changes subject, and changes with what the
// person saw: parts holds the identifier and the state on the page.
func (w *Wallet) formToken(parts ...string) string {
	mac := hmac.New(sha256.New, w.seal[:])
	for _, p := range parts {
		mac.Write([]byte(p))
		mac.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// formTokenGood compares in constant time.
func (w *Wallet) formTokenGood(got string, parts ...string) bool {
	return hmac.Equal([]byte(got), []byte(w.formToken(parts...)))
}
