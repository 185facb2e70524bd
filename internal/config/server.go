package config

import (
	"crypto/tls"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// server checks where requests come in and how they are protected on the way.
func (c *checker) server() {
	in, out := &c.in, &c.out
	out.FoldSlashes, out.InsecureHTTP = in.Paths.FoldSlashes, in.InsecureHTTP
	listen, listens := c.address("listen", in.Listen)
	admin, _ := c.address("admin.listen", in.Admin.Listen)
	out.Listen, out.Admin.Listen = in.Listen, in.Admin.Listen
	if listen.port != "" && listen.port == admin.port {
		c.fault("admin.listen", "has the port of listen; give operations a port of their own")
	}
	if admin.port != "" && !loopback(admin.host) {
		if !in.Admin.Insecure {
			c.fault("admin.listen", "is beyond loopback, where anyone could refund and pause; use 127.0.0.1, or say admin.insecure: true if the network keeps others out")
		} else {
			c.warn("admin.listen", "whoever reaches %s can refund and pause", in.Admin.Listen)
		}
	}
	c.proxies()
	origin := c.publicURL(listen, listens)
	c.hosts()
	c.tls(origin)
	behind := len(in.TrustedProxies) > 0
	plain := listens && in.TLS == nil && !loopback(listen.host) && !behind && !in.InsecureHTTP
	if plain {
		c.fault("listen", "is plain HTTP beyond loopback; set tls, or name the proxy in front under trusted_proxies")
	}
	if listens && origin != nil && !plain {
		c.onTheWay(listen, origin, behind)
	}
}

// onTheWay compares what the world is told with what listens.
func (c *checker) onTheWay(listen hostPort, origin *url.URL, behind bool) {
	in := &c.in
	switch {
	case in.TLS != nil && origin.Scheme == "http":
		c.fault("public_url", "is http:// but there is tls; write https://")
	case in.TLS == nil && origin.Scheme == "https" && !behind && loopback(listen.host):
		c.warn("listen", "something must speak TLS for public_url; name it under trusted_proxies, or all clients count as one")
	case in.TLS == nil && origin.Scheme == "https" && !behind:
		c.fault("public_url", "is https:// but nothing speaks TLS; set tls, or name the proxy in front under trusted_proxies")
	}
	if !behind && loopback(origin.Hostname()) && loopback(listen.host) && portOf(origin) != listen.port {
		c.fault("public_url", "has port %s but listen has %s; they are the same unless trusted_proxies are between", portOf(origin), listen.port)
	}
	if in.InsecureHTTP {
		if in.TLS == nil && (!loopback(listen.host) || origin.Scheme == "http" && !loopback(origin.Hostname())) {
			c.warn("insecure_http", "PLAIN HTTP: everyone on the way can read and use credentials and receipts; set tls")
		} else {
			c.warn("insecure_http", "is not needed here; leave it out")
		}
	}
}

type hostPort struct{ host, port string }

// address splits host:port and checks both.
func (c *checker) address(path, text string) (hostPort, bool) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		c.fault(path, "%s is not a host and a port; write 127.0.0.1:4020", clip(text))
		return hostPort{}, false
	}
	if n, err := wholeNumber(port); err != nil || n < 1 || n > 65535 {
		c.fault(path, "the port is not a number from 1 to 65535")
		return hostPort{}, false
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !isHost(host) {
		c.fault(path, "%s is not a host; write a name, or an address such as 127.0.0.1 or [::1]", clip(host))
		return hostPort{}, false
	}
	return hostPort{strings.ToLower(host), port}, true
}

// loopback reports whether only this machine reaches the host.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

var hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

var numeric = regexp.MustCompile(`(^|\.)[0-9]+$`)

// isHost reports whether a lower-case text is a DNS name or an IP address. A
// name that ends in a number is neither: programs disagree what address it is.
func isHost(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Zone() == ""
	}
	return len(host) <= 253 && hostName.MatchString(host) && !numeric.MatchString(host)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// webURL checks an absolute http or https URL without a user.
func (c *checker) webURL(path, text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "" {
		c.fault(path, "%s is not a URL; write https://host or http://host:port", clip(withoutUser(text)))
		return nil, false
	}
	u.Host = strings.ToLower(u.Host)
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := wholeNumber(port); err != nil || n < 1 || n > 65535 {
			c.fault(path, "the port is not a number from 1 to 65535")
			return nil, false
		}
	}
	switch {
	case u.User != nil:
		c.fault(path, "has a user or password in it; give secrets as references in a field for them")
	case !isHost(u.Hostname()):
		c.fault(path, "%s is not a host name or address; write names in ASCII (punycode)", clip(u.Hostname()))
	case u.Fragment != "" || strings.Contains(text, "#"):
		c.fault(path, "has a fragment (#…); leave it out")
	default:
		return u, true
	}
	return nil, false
}

// withoutUser keeps a password out of the quote of a URL that cannot be read.
func withoutUser(text string) string {
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		return "…" + text[i:]
	}
	return text
}

// origin checks a URL that is only a scheme, a host and perhaps a port.
func (c *checker) origin(path, text string) (*url.URL, bool) {
	u, ok := c.webURL(path, text)
	if !ok {
		return nil, false
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery {
		c.fault(path, "is an origin, without a path or query; write %s://%s", u.Scheme, u.Host)
		return nil, false
	}
	if u.Scheme == "https" {
		u.Host = strings.TrimSuffix(u.Host, ":443")
	} else {
		u.Host = strings.TrimSuffix(u.Host, ":80")
	}
	u.Path = ""
	return u, true
}

// publicURL is what the world calls us. It is configured, never taken from a
// request; only on loopback it can be told from the listener.
func (c *checker) publicURL(listen hostPort, listens bool) *url.URL {
	text := c.in.PublicURL
	if text == "" && !c.has("public_url") && listens {
		if !loopback(listen.host) {
			c.fault("public_url", "is missing; write the origin that agents reach, as https://api.example.com")
			return nil
		}
		scheme := "http://"
		if c.in.TLS != nil {
			scheme = "https://"
		}
		text = scheme + net.JoinHostPort(listen.host, listen.port)
	}
	if text == "" {
		return nil
	}
	u, ok := c.origin("public_url", text)
	if !ok {
		return nil
	}
	if u.Scheme == "http" && c.in.TLS == nil && !loopback(u.Hostname()) && !c.in.InsecureHTTP {
		c.fault("public_url", "is plain HTTP beyond loopback; write https://")
	}
	c.out.PublicURL, c.out.Realm = u.String(), bracketed(u.Hostname())
	return u
}

func (c *checker) hosts() {
	for i, h := range c.in.Hosts {
		host := strings.TrimSuffix(strings.ToLower(h), ".")
		if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && a.Is6() {
			host = strings.Trim(host, "[]")
		}
		switch path := item("hosts", i); {
		case h == "": // reported when it was read
		case !isHost(host):
			c.fault(path, "%s is not a host name or address; write it without a scheme and port", clip(h))
		case slices.Contains(c.out.Hosts, bracketed(host)):
			c.fault(path, "%s is given twice", host)
		default:
			c.out.Hosts = append(c.out.Hosts, bracketed(host))
		}
	}
}

// bracketed is a host as it stands in an authority.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// proxies refuses networks so wide that clients could name their own address.
func (c *checker) proxies() {
	for i, text := range c.in.TrustedProxies {
		path := item("trusted_proxies", i)
		p, err := netip.ParsePrefix(text)
		if a, err2 := netip.ParseAddr(text); err2 == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if text == "" {
			continue // reported when it was read
		}
		if err != nil {
			c.fault(path, "%s is not an address or network; write 10.0.0.7 or 10.0.0.0/24", clip(text))
			continue
		}
		least := 7 // fc00::/7, all private addresses
		if p.Addr().Is4() || p.Addr().Is4In6() {
			least = 8
		}
		if p.Addr().Is4In6() {
			p = netip.PrefixFrom(p.Addr().Unmap(), max(0, p.Bits()-96))
		}
		switch {
		case p.Bits() < least:
			c.fault(path, "%s trusts everyone to say who they are; name the networks of your proxies", text)
		case p != p.Masked():
			c.fault(path, "%s has bits beyond its length; write %s", text, p.Masked())
		default:
			c.out.TrustedProxies = append(c.out.TrustedProxies, p)
		}
	}
}

func (c *checker) tls(origin *url.URL) {
	in := c.in.TLS
	if in == nil {
		return
	}
	out := &TLS{}
	c.out.TLS = out
	if in.Autocert != nil {
		if in.Cert != "" || in.Key != "" {
			c.fault("tls", "has a certificate and autocert; keep one of the two")
		}
		out.Autocert = c.autocert(in.Autocert, origin)
		return
	}
	if in.Cert == "" || in.Key == "" {
		if !c.has("tls.cert") || !c.has("tls.key") {
			c.fault("tls", "wants cert and key, or autocert")
		}
		return
	}
	var errCert, errKey error
	if out.Cert, errCert = c.regular(in.Cert); errCert != nil {
		c.fault("tls.cert", "%v", errCert)
	}
	if out.Key, errKey = c.regular(in.Key); errKey != nil {
		c.fault("tls.key", "%v", errKey)
	}
	if errCert != nil || errKey != nil {
		return
	}
	c.private("tls.key", out.Key)
	pair, err := tls.LoadX509KeyPair(out.Cert, out.Key)
	if err != nil {
		c.fault("tls.cert", "cannot be used with tls.key: %v", err)
		return
	}
	if origin != nil && len(c.out.TrustedProxies) == 0 && pair.Leaf != nil {
		if err := pair.Leaf.VerifyHostname(origin.Hostname()); err != nil {
			c.fault("tls.cert", "is not good for %s, the host of public_url", origin.Hostname())
		}
	}
}

func (c *checker) autocert(in *autocertFile, origin *url.URL) *Autocert {
	out := &Autocert{Cache: c.at(in.Cache), Email: in.Email}
	hosts := in.Hosts
	if len(hosts) == 0 && origin != nil {
		hosts = []string{origin.Hostname()}
	}
	for i, h := range hosts {
		host := strings.ToLower(h)
		_, err := netip.ParseAddr(host)
		if err == nil || !isHost(host) || !strings.Contains(host, ".") {
			c.fault(item("tls.autocert.hosts", i), "%s is not a public host name; no authority gives a certificate for it", clip(h))
			continue
		}
		out.Hosts = append(out.Hosts, host)
	}
	if origin != nil && len(in.Hosts) > 0 && !slices.Contains(out.Hosts, origin.Hostname()) && len(c.out.TrustedProxies) == 0 {
		c.fault("tls.autocert.hosts", "does not have %s, the host of public_url", origin.Hostname())
	}
	if in.Email != "" && (!strings.Contains(in.Email, "@") || strings.ContainsAny(in.Email, " ,<>")) {
		c.fault("tls.autocert.email", "%s is not an email address", clip(in.Email))
	}
	return out
}

func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
