package config

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

var upstreamName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

func (c *checker) upstreams() {
	c.out.Upstreams = make(map[string]Upstream, len(c.in.Upstreams))
	for _, name := range sortedKeys(c.in.Upstreams) {
		at := join("upstreams", name)
		if !upstreamName.MatchString(name) {
			c.fault(at, "a name has 1 to 64 of a-z 0-9 _ -")
			continue
		}
		c.out.Upstreams[name] = c.upstream(name, at, c.in.Upstreams[name])
		used := func(r routeFile) bool { return r.Upstream == name }
		if !slices.ContainsFunc(c.in.Routes, used) {
			c.warn(at, "no route uses it")
		}
	}
}

func (c *checker) upstream(name, at string, in upstreamFile) Upstream {
	out := Upstream{Name: name, Timeout: time.Duration(in.Timeout), Dedupes: in.Dedupes, Line: c.lines[at]}
	c.missing(at+".url", "write where requests go, as http://127.0.0.1:9000")
	if in.URL != "" {
		if u, ok := c.webURL(at+".url", in.URL); ok {
			out.URL = c.target(at+".url", u)
		}
	}
	if in.Host != "" {
		h, err := url.Parse("//" + strings.ToLower(in.Host))
		if err != nil || h.User != nil || h.Path != "" || h.RawQuery != "" || !isHost(h.Hostname()) {
			c.fault(at+".host", "%s is not a host", clip(in.Host))
		} else {
			out.Host = h.Host
		}
	}
	out.Headers = c.headers(at+".headers", in.Headers)
	if len(out.Headers) > 0 && out.URL != nil && out.URL.Scheme == "http" && !private(out.URL.Hostname()) {
		c.warn(at+".url", "the values of headers go over plain HTTP; write https://")
	}
	if in.CA != "" {
		out.CA = c.authorities(at+".ca", in.CA)
		if out.URL != nil && out.URL.Scheme != "https" {
			c.fault(at+".ca", "is for an https:// url")
		}
	}
	out.OpenAPI = c.document(at+".openapi", in.OpenAPI)
	return out
}

func (c *checker) target(path string, u *url.URL) *url.URL {
	if u.RawQuery != "" || u.ForceQuery {
		c.fault(path, "has a query; leave it out")
		return nil
	}
	if u.String() == c.out.PublicURL || u.Host == c.out.Listen {
		c.fault(path, "leads back to this server; write where the API itself listens")
		return nil
	}
	return u
}

// private reports whether the host is on this machine or a private network. A
// name without a dot is one of the local network.
func private(host string) bool {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return !strings.Contains(host, ".")
	}
	return a.Unmap().IsLoopback() || a.Unmap().IsPrivate()
}

// ownHeaders are set or removed by the proxy, or belong to one connection.
var ownHeaders = regexp.MustCompile(`^(Host|Content-Length|Transfer-Encoding|Te|Trailer|Connection|Keep-Alive|Upgrade|Expect|` +
	`Proxy-.*|Forwarded|X-Forwarded-.*|X-Original-.*|X-Rewrite-.*|X-Http-Method.*|X-Method-Override|Payment.*|X-Payment.*|Paywall-.*|Www-Authenticate|Idempotency-Key)$`)

var token = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^`|~-]{1,128}$")

// fieldName checks the name of a header field. Names with an underscore are left
// out: many servers take it for a dash, so that one name stands for two.
func (c *checker) fieldName(path, name string) (string, bool) {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !token.MatchString(name):
		c.fault(path, "%s is not the name of a header field", clip(name))
	case ownHeaders.MatchString(canonical):
		c.fault(path, "%s is a field that this server sets or removes itself", canonical)
	default:
		return canonical, true
	}
	return "", false
}

var secretName = regexp.MustCompile(`(?i)auth|key|token|secret|cookie|password|credential`)

// headers resolves fields to send, which may be secrets.
func (c *checker) headers(path string, in map[string]reference) map[string]Secret {
	out := make(map[string]Secret, len(in))
	for _, name := range sortedKeys(in) {
		at := join(path, name)
		canonical, ok := c.fieldName(at, name)
		value, known := c.resolve(at, in[name])
		if !ok || !known {
			continue
		}
		switch _, twice := out[canonical]; {
		case twice:
			c.fault(at, "is given twice; names of fields are the same in upper and lower case")
		case !printable(value) || strings.TrimSpace(value) != value:
			c.fault(at, "has a value that is not printable ASCII, or a space at an end")
		default:
			out[canonical] = NewSecret(value)
			if in[name].literal() && secretName.MatchString(name) {
				c.literal(at, c.live())
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (c *checker) authorities(path, name string) string {
	full, err := c.regular(name)
	if err != nil {
		c.fault(path, "%v", err)
		return ""
	}
	info, err := os.Stat(full)
	if err != nil || info.Size() > maxBytes {
		c.fault(path, "is larger than 1MiB")
		return ""
	}
	data, err := os.ReadFile(full)
	if err != nil {
		c.fault(path, "%v", cannot("read", name, err))
		return ""
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		c.fault(path, "%s holds no certificate in PEM", shown(name))
		return ""
	}
	return full
}

// document says where an OpenAPI document is.
func (c *checker) document(path, text string) Document {
	switch name, isFile := strings.CutPrefix(text, "file:"); {
	case text == "":
		return Document{}
	case isFile:
		full, err := c.regular(name)
		if err != nil {
			c.fault(path, "%v", err)
		}
		return Document{File: full}
	case strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//"):
		if u, err := url.ParseRequestURI(text); err != nil || u.Host != "" || strings.Contains(text, "#") {
			c.fault(path, "%s is not a path on the upstream", clip(text))
		}
		return Document{Path: text}
	case strings.HasPrefix(text, "http://"), strings.HasPrefix(text, "https://"):
		if u, ok := c.webURL(path, text); ok {
			return Document{URL: u.String()}
		}
		return Document{}
	}
	c.fault(path, "%s is not one; write file:PATH, a /path on the upstream, or a URL", clip(text))
	return Document{}
}
