package canonical_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paywall/internal/canonical"
)

func request(method, target, host string) *http.Request {
	return &http.Request{Method: method, RequestURI: target, Host: host, URL: &url.URL{Path: "/not/what/was/sent"}}
}

func TestParse(t *testing.T) {
	const host = "api.example"
	for _, tt := range []struct {
		name, method, target string
		want                 canonical.Request
		status               int
	}{
		{"origin form", "GET", "/a?b=1", canonical.Request{Method: "GET", Authority: host, Path: "/a", Query: "b=1"}, 0},
		{"only what was sent counts", "POST", "/%61", canonical.Request{Method: "POST", Authority: host, Path: "/a"}, 0},
		{"empty query", "GET", "/a?", canonical.Request{Method: "GET", Authority: host, Path: "/a"}, 0},
		{"question mark in the query", "GET", "/a??", canonical.Request{Method: "GET", Authority: host, Path: "/a", Query: "?"}, 0},
		{"absolute form", "GET", "http://api.example/a?b", canonical.Request{Method: "GET", Authority: host, Path: "/a", Query: "b"}, 0},
		{"absolute form, spelled otherwise", "GET", "HTTP://API.example.:80/a", canonical.Request{Method: "GET", Authority: host, Path: "/a"}, 0},
		{"absolute form without path", "GET", "https://api.example?b", canonical.Request{Method: "GET", Authority: host, Path: "/", Query: "b"}, 0},
		{"asterisk", "OPTIONS", "*", canonical.Request{Method: "OPTIONS", Authority: host, Path: "*"}, 0},

		{"asterisk for others", "GET", "*", canonical.Request{}, 400},
		{"asterisk and more", "OPTIONS", "*?a", canonical.Request{}, 400},
		{"authority form", "GET", "api.example:443", canonical.Request{}, 400},
		{"other scheme", "GET", "ftp://api.example/a", canonical.Request{}, 400},
		{"no host", "GET", "http:///a", canonical.Request{}, 400},
		{"opaque", "GET", "mailto:a@b", canonical.Request{}, 400},
		{"other host", "GET", "http://admin.example/a", canonical.Request{}, 421},
		{"other port", "GET", "http://api.example:8080/a", canonical.Request{}, 421},
		{"user", "GET", "http://u:p@api.example/a", canonical.Request{}, 421},
		{"fragment", "GET", "http://api.example#/a", canonical.Request{}, 400},
		{"backslash after the host", "GET", `http://api.example\a/b`, canonical.Request{}, 421},
		{"network path", "GET", "//admin.example/a", canonical.Request{}, 400},
		{"dot segment behind a host", "GET", "http://api.example/../a", canonical.Request{}, 400},
		{"too long", "GET", "/a?" + strings.Repeat("b", canonical.MaxTarget), canonical.Request{}, 414},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := canonical.Parse(request(tt.method, tt.target, host), canonical.Options{})
			if status := statusOf(t, err); status != tt.status {
				t.Fatalf("status %d (%v), want %d", status, err, tt.status)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestC084_Methods(t *testing.T) {
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		if got, err := canonical.Parse(request(m, "/a", "h"), canonical.Options{}); err != nil || got.Method != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	for _, m := range []string{"", "get", "Get", "GET\t", " GET", "CONNECT", "TRACE", "PROPFIND", "GETS", "QUERY", "*"} {
		if _, err := canonical.Parse(request(m, "/a", "h"), canonical.Options{}); statusOf(t, err) != http.StatusMethodNotAllowed {
			t.Errorf("%q: %v, want 405", m, err)
		}
	}
}

func TestC088_Hosts(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"api.example", "api.example"},
		{"API.Example", "api.example"},
		{"api.example.", "api.example"},
		{"api.example.:8080", "api.example"},
		{"localhost:1", "localhost"},
		{"my_service", "my_service"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"127.0.0.1:80", "127.0.0.1"},
		{"[::1]", "[::1]"},
		{"[0:0:0:0:0:0:0:1]:443", "[::1]"},
		{"[2001:DB8::A]", "[2001:db8::a]"},

		{"", ""},
		{".", ""},
		{"..", ""},
		{"api.example..", ""},
		{".example", ""},
		{"api..example", ""},
		{"user@api.example", ""},
		{"user:pw@api.example", ""},
		{"api.example:", ""},
		{"api.example:http", ""},
		{"api.example:65536", ""},
		{"api.example:000080", ""},
		{"api.example:80:80", ""},
		{"api.example:+80", ""},
		{"a,b", ""},
		{"a b", ""},
		{"a/b", ""},
		{"a\\b", ""},
		{"a%2eb", ""},
		{"a\x00", ""},
		{"b\u00fccher.example", ""},
		{"a\u3002b", ""},
		{"::1", ""},
		{"[::1", ""},
		{"[::1]x", ""},
		{"[::1]:", ""},
		{"[::1%25eth0]", ""},
		{"[127.0.0.1]", ""},
		{"[api.example]", ""},
		{strings.Repeat("a", 63) + ".b", strings.Repeat("a", 63) + ".b"},
		{strings.Repeat("a", 64) + ".b", ""},
		{strings.Repeat("a.", 127) + "b", ""},
	} {
		got, err := canonical.Host(tt.in)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("Host(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
		if err != nil && statusOf(t, err) != http.StatusBadRequest {
			t.Errorf("Host(%q): %v", tt.in, err)
		}
		if err == nil {
			if again, err := canonical.Host(got); again != got || err != nil {
				t.Errorf("Host(%q) = %q, %v", got, again, err)
			}
		}
	}
}

// HTTP/2 may bring a host field besides :authority.
func TestC091_AuthorityAndHost(t *testing.T) {
	r := request("GET", "/a", "api.example")
	r.Header = http.Header{"Host": {"API.example"}}
	if _, err := canonical.Parse(r, canonical.Options{}); err != nil {
		t.Errorf("the same host twice: %v", err)
	}
	for _, hosts := range [][]string{{"admin.example"}, {"api.example", "admin.example"}, {""}, {"api.example:8080"}} {
		r.Header["Host"] = hosts
		if _, err := canonical.Parse(r, canonical.Options{}); statusOf(t, err) != http.StatusBadRequest {
			t.Errorf("%q: %v, want 400", hosts, err)
		}
	}
}

// Requests that never were on a wire have a URL only.
func TestParse_URL(t *testing.T) {
	parse := func(raw string) *url.URL {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, tt := range []struct {
		name string
		url  *url.URL
		host string
		want string
	}{
		{"host of the URL", parse("http://api.example/a%2Ab?c"), "", "/a%2Ab?c"},
		{"both hosts", parse("http://api.example:80/a"), "api.example", "/a"},
		{"no path", parse("http://api.example"), "", "/"},
		{"path alone", &url.URL{Path: "/caf\u00e9"}, "api.example", "/caf%C3%A9"},
		{"decoded path", &url.URL{Path: "/a?b#c"}, "api.example", "/a%3Fb%23c"},

		{"decoded path with a slash in a segment", parse("http://api.example/a%2Fb"), "", ""},
		{"hosts differ", parse("http://api.example/a"), "admin.example", ""},
		{"no host", &url.URL{Path: "/a"}, "", ""},
		{"no URL", nil, "api.example", ""},
		{"opaque", &url.URL{Scheme: "http", Opaque: "//api.example/a"}, "api.example", ""},
		{"user", parse("http://u@api.example/a"), "", ""},
		{"fragment", parse("http://api.example/a#b"), "", ""},
		{"asterisk", &url.URL{Path: "*"}, "api.example", ""},
		{"too long", &url.URL{Path: "/a", RawQuery: strings.Repeat("b", canonical.MaxTarget)}, "api.example", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := canonical.Parse(&http.Request{Method: http.MethodGet, URL: tt.url, Host: tt.host}, canonical.Options{})
			if tt.want == "" {
				if err == nil {
					t.Fatalf("accepted as %+v", got)
				}
				statusOf(t, err)
				return
			}
			if err != nil || got.Target() != tt.want || got.Authority != "api.example" {
				t.Errorf("%+v, %v; want target %s", got, err, tt.want)
			}
		})
	}
}

// What net/http hands over for bytes on the wire, and what becomes of it.
func TestC081_OnTheWire(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := canonical.Parse(r, canonical.Options{})
		if e, ok := errors.AsType[*canonical.Error](err); ok {
			w.WriteHeader(e.Status)
			return
		}
		fmt.Fprintf(w, "%s %s %s", c.Method, c.Authority, c.Target())
	}))
	t.Cleanup(s.Close)
	for _, tt := range []struct{ name, line, host, want string }{
		{"plain", "GET /a?b=1", "api.example:80", "GET api.example /a?b=1"},
		{"escaped dots", "GET /a/%2e%2e/paid", "api.example", "400"},
		{"backslash", `GET /a\paid`, "api.example", "400"},
		{"lower-case method", "get /a", "api.example", "405"},
		{"CONNECT with a path", "CONNECT /paid", "api.example", "405"},
		{"TRACE", "TRACE /paid", "api.example", "405"},
		{"semicolon in the query", "GET /a?b=1;c=2", "api.example", "400"},
		{"absolute form replaces the field", "GET http://other.example/a", "api.example", "GET other.example /a"},
		{"absolute form with a user", "GET http://api.example@other.example/a", "api.example", "421"},
		{"network path", "GET //other.example/a", "api.example", "400"},
		{"empty host", "GET /a", "", "400"},
		{"host with a user", "GET /a", "u@api.example", "400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", tt.line, tt.host)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			got := string(body)
			if resp.StatusCode != http.StatusOK {
				got = strconv.Itoa(resp.StatusCode)
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// The same over HTTP/2, where there is no request line.
func TestC091_HTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := canonical.Parse(r, canonical.Options{})
		if e, ok := errors.AsType[*canonical.Error](err); ok {
			w.WriteHeader(e.Status)
			return
		}
		fmt.Fprintf(w, "%d %s %s", r.ProtoMajor, c.Authority, c.Target())
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		},
	}}
	t.Cleanup(client.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://API.example/%61?b", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(body); got != "2 api.example /a?b" {
		t.Errorf("status %d, %q", resp.StatusCode, got)
	}
}

// A canonical request, sent again, is read as itself.
func TestParse_Idempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"a", "Z", "/", "/b", "%41", "%2a", "%c3%a9", "+", "?", "&", "&&", "=", "[", "|", "%25", ".", "%20"})
		target := "/" + strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "target"), "")
		host := rapid.SampledFrom([]string{"h", "API.Example.", "[::1]:80", "h:8080"}).Draw(t, "host")
		o := canonical.Options{FoldSlashes: rapid.Bool().Draw(t, "fold")}
		first, err := canonical.Parse(request("GET", target, host), o)
		if err != nil {
			return
		}
		second, err := canonical.Parse(request("GET", first.Target(), first.Authority), canonical.Options{})
		if err != nil || first != second {
			t.Fatalf("%q is %+v, and that is %+v, %v", target, first, second, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("GET", "/a?b=1", "api.example")
	f.Add("GET", "http://API.example:80/a", "api.example")
	f.Add("OPTIONS", "*", "[::1]:80")
	f.Add("CONNECT", "h:443", "h:443")
	f.Add("GET", "http://u@h/", "h")
	f.Fuzz(func(t *testing.T, method, target, host string) {
		if target == "" {
			return // would be read from the URL
		}
		first, err := canonical.Parse(request(method, target, host), canonical.Options{})
		if err != nil {
			statusOf(t, err)
			return
		}
		second, err := canonical.Parse(request(first.Method, first.Target(), first.Authority), canonical.Options{})
		if err != nil || first != second {
			t.Fatalf("%q is %+v, and that is %+v, %v", target, first, second, err)
		}
		if strings.ToLower(first.Authority) != first.Authority || strings.ContainsAny(first.Authority, "@/\\% ") {
			t.Fatalf("authority %q of %q", first.Authority, host)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, bm := range []struct{ name, target string }{
		{"plain", "/v1/reports/2026"},
		{"query", "/v1/reports/2026?from=2026-01-01&to=2026-02-01"},
		{"escapes", "/v1/caf%c3%a9/%7euser?q=%5Bx%5D"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			r := request("GET", bm.target, "api.example")
			r.Header = http.Header{"Accept": {"*/*"}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := canonical.Parse(r, canonical.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The common case is on the way of every request: it must not allocate more
// than once.
func TestParse_Allocations(t *testing.T) {
	r := request("GET", "/v1/reports/2026?from=2026-01-01", "api.example:8443")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := canonical.Parse(r, canonical.Options{}); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
