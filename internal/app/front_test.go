package app

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"paywall/internal/config"
)

// certificate writes a self-signed one for localhost as api.pem and api.key.
func certificate(t *testing.T, dir string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"api.pem": {Type: "CERTIFICATE", Bytes: der}, "api.key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// trusting is a client that knows the house's present certificate and opens its
// connections to a name.
func (h *house) trusting(sni string, h2 bool) *http.Client {
	h.t.Helper()
	data, err := os.ReadFile(filepath.Join(h.dir, "api.pem"))
	h.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(data)
	tc := &tls.Config{RootCAs: roots, ServerName: sni}
	if sni != "localhost" { // the certificate is not good for it, which is the attacker's own business
		tc.InsecureSkipVerify = true
	}
	tr := &http.Transport{TLSClientConfig: tc, ForceAttemptHTTP2: h2}
	h.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// TestTLS: a paid request over both versions of HTTP with a certificate from
// files, which a reload reads again; plain HTTP on that port gets nothing.
func TestTLS(t *testing.T) {
	h := build(t, plan{
		deaf: true, public: "https://localhost:%s", more: "tls: {cert: api.pem, key: api.key}",
		prepare: func(dir string) { certificate(t, dir, 1) },
	})
	for _, h2 := range []bool{false, true} {
		h.client = h.trusting("localhost", h2)
		h.buy(http.MethodGet, "/v1/reports/7", "")
		resp, err := h.client.Do(h.request(http.MethodGet, "/v1/reports/7", ""))
		h.must(err)
		resp.Body.Close()
		if resp.ProtoMajor == 2 != h2 || resp.StatusCode != http.StatusPaymentRequired {
			t.Errorf("HTTP/2 %t: %s %d", h2, resp.Proto, resp.StatusCode)
		}
	}
	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := plain.Do(h.request(http.MethodGet, "http://"+h.listen+"/v1/reports/7", "", "Host: localhost"))
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Www-Authenticate") != "" {
			t.Errorf("plain HTTP: %d %v", resp.StatusCode, resp.Header)
		}
	}
	old, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", h.listen, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11})
	if err == nil {
		old.Close()
		t.Error("TLS 1.1 is spoken")
	}

	certificate(t, h.dir, 2)
	if a := h.operate("/admin/reload", ""); a.status != http.StatusOK {
		t.Fatalf("reload: %d %s", a.status, a.body)
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", h.listen, &tls.Config{InsecureSkipVerify: true})
	h.must(err)
	defer conn.Close()
	if n := conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); n != 2 {
		t.Errorf("certificate %d after the reload, want 2", n)
	}
	h.must(os.WriteFile(filepath.Join(h.dir, "api.pem"), []byte("not a certificate"), 0o600))
	if a := h.operate("/admin/reload", ""); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a bad certificate: %d %s", a.status, a.body)
	}
}

// TestC107_NameOfTheConnection: a request for another host than its connection
// was opened to is misdirected, and so is one for a host that is not ours.
func TestC107_NameOfTheConnection(t *testing.T) {
	h := build(t, plan{
		deaf: true, public: "https://localhost:%s", more: "tls: {cert: api.pem, key: api.key}\nhosts: [www.example.com]",
		prepare: func(dir string) { certificate(t, dir, 1) },
	})
	for _, tt := range []struct {
		sni, host string
		status    int
	}{
		{"localhost", "localhost", 402},
		{"localhost", "LOCALHOST:443", 402},
		{"www.example.com", "www.example.com", 402},
		{"localhost", "www.example.com", 421},
		{"www.example.com", "localhost", 421},
		{"other.example.com", "localhost", 421},
		{"other.example.com", "other.example.com", 421},
	} {
		for _, h2 := range []bool{false, true} {
			client := h.trusting(tt.sni, h2)
			resp, err := client.Do(h.request(http.MethodGet, "https://"+h.listen+"/v1/reports/7", "", "Host: "+tt.host))
			h.must(err)
			resp.Body.Close()
			if resp.StatusCode != tt.status {
				t.Errorf("connection to %s, request for %s, HTTP/2 %t: %d, want %d", tt.sni, tt.host, h2, resp.StatusCode, tt.status)
			}
			if resp.StatusCode == http.StatusMisdirectedRequest && resp.Header.Get("Www-Authenticate") != "" {
				t.Errorf("%s for %s: misdirected with a challenge", tt.sni, tt.host)
			}
		}
	}
	// A proxy of ours opens its connections to whatever name it has for us.
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	r.Host, r.RemoteAddr, r.TLS = "localhost", "10.0.0.7:4000", &tls.ConnectionState{ServerName: "backend.internal"}
	for _, trusted := range []bool{false, true} {
		var proxies []netip.Prefix
		if trusted {
			proxies = prefixes("10.0.0.0/24")
		}
		w := httptest.NewRecorder()
		sameName(http.HandlerFunc(healthz), proxies).ServeHTTP(w, r)
		if w.Code == http.StatusOK != trusted {
			t.Errorf("through a proxy, trusted %t: %d", trusted, w.Code)
		}
	}
}

func prefixes(list ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// TestA027_PlainHTTP: where https is promised, what did not come that way, or
// does not prove it, is neither challenged nor charged.
func TestA027_PlainHTTP(t *testing.T) {
	h := build(t, plan{deaf: true, public: "https://api.example.com", more: "trusted_proxies: [10.0.0.0/24, 127.0.0.2]"})
	public := h.server.public()
	quoted := ""
	for _, tt := range []struct {
		name, peer string
		proto      []string
		ok         bool
	}{
		{"this machine", "127.0.0.1:4000", nil, true},
		{"this machine, encrypted on the way", "127.0.0.1:4000", []string{"https"}, true},
		{"this machine, in the clear on the way", "127.0.0.1:4000", []string{"http"}, false},
		{"a proxy", "10.0.0.7:4000", []string{"https"}, true},
		{"a proxy that shouts", "10.0.0.7:4000", []string{"HTTPS"}, true},
		{"a proxy, mapped", "[::ffff:10.0.0.7]:4000", []string{"https"}, true},
		{"a proxy, in the clear", "10.0.0.7:4000", []string{"http"}, false},
		{"a proxy that does not say", "10.0.0.7:4000", nil, false},
		{"a proxy that added to the client's word", "10.0.0.7:4000", []string{"https", "http"}, false},
		{"a proxy that appended to it", "10.0.0.7:4000", []string{"https, http"}, false},
		{"a stranger", "192.0.2.1:4000", []string{"https"}, false},
		{"a stranger that does not say", "192.0.2.1:4000", nil, false},
		{"a stranger beside the proxies", "10.0.1.7:4000", []string{"https"}, false},
		{"nobody", "", []string{"https"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, credential := range []string{"", quoted} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/reports/7", http.NoBody)
				r.Host, r.RemoteAddr = "api.example.com", tt.peer
				r.Header["X-Forwarded-Proto"] = tt.proto
				if credential != "" {
					r.Header.Set("Authorization", strings.TrimPrefix(credential, "Authorization: "))
				}
				w := httptest.NewRecorder()
				public.ServeHTTP(w, r)
				if tt.ok {
					if w.Code != http.StatusPaymentRequired && w.Code != http.StatusOK {
						t.Errorf("%d %s", w.Code, w.Body)
					}
					continue
				}
				if w.Code != http.StatusBadRequest || w.Header().Get("Www-Authenticate") != "" {
					t.Errorf("%d %v", w.Code, w.Header())
				}
			}
		})
		if quoted == "" {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/reports/7", http.NoBody)
			r.Host, r.RemoteAddr = "api.example.com", "127.0.0.1:4000"
			w := httptest.NewRecorder()
			public.ServeHTTP(w, r)
			quoted = h.credential(w.Result().Header)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/healthz?x=1", "/payments/pay_1", "/openapi.json"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		w := httptest.NewRecorder()
		public.ServeHTTP(w, r) // from a stranger
		if probe := path == "/healthz" || path == "/readyz"; (w.Code == http.StatusOK) != probe {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	// The same credential was served once, from where it may come.
	if n := h.play.Audit().Totals.Charges; n != 1 {
		t.Errorf("%d charges, want 1", n)
	}
}

// TestC087_ClientAddr: what a client says of itself is believed as far as our
// proxies have written it, and no further.
func TestC087_ClientAddr(t *testing.T) {
	trusted := prefixes("10.0.0.0/24", "192.168.1.1/32", "fd00::/64")
	for _, tt := range []struct {
		name, peer string
		trusted    []netip.Prefix
		forwarded  []string
		want       string
	}{
		{"no proxies", "192.0.2.1:1", nil, []string{"203.0.113.9"}, "192.0.2.1"},
		{"a stranger", "192.0.2.1:1", trusted, []string{"203.0.113.9"}, "192.0.2.1"},
		{"a stranger who names a proxy", "192.0.2.1:1", trusted, []string{"203.0.113.9, 10.0.0.1"}, "192.0.2.1"},
		{"a proxy", "10.0.0.1:1", trusted, []string{"203.0.113.9"}, "203.0.113.9"},
		{"a proxy without the header", "10.0.0.1:1", trusted, nil, "10.0.0.1"},
		{"a proxy with an empty one", "10.0.0.1:1", trusted, []string{""}, "10.0.0.1"},
		{"two proxies", "10.0.0.1:1", trusted, []string{"203.0.113.9, 192.168.1.1"}, "203.0.113.9"},
		{"a lie before the truth", "10.0.0.1:1", trusted, []string{"198.51.100.1, 203.0.113.9, 192.168.1.1"}, "203.0.113.9"},
		{"a lie in a line before", "10.0.0.1:1", trusted, []string{"198.51.100.1", "203.0.113.9"}, "203.0.113.9"},
		{"a lie that names a proxy", "10.0.0.1:1", trusted, []string{"10.0.0.2, 203.0.113.9"}, "203.0.113.9"},
		{"proxies all the way", "10.0.0.1:1", trusted, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"not an address", "10.0.0.1:1", trusted, []string{"unknown"}, "10.0.0.1"},
		{"not an address behind a proxy", "10.0.0.1:1", trusted, []string{"203.0.113.9, _hidden, 10.0.0.2"}, "10.0.0.2"},
		{"with a port", "10.0.0.1:1", trusted, []string{"203.0.113.9:4711"}, "10.0.0.1"},
		{"IPv6", "[fd00::1]:1", trusted, []string{"2001:db8::9"}, "2001:db8::9"},
		{"IPv6 from elsewhere", "[fd00:0:0:1::1]:1", trusted, []string{"2001:db8::9"}, "fd00:0:0:1::1"},
		{"IPv4 mapped", "[::ffff:10.0.0.1]:1", trusted, []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"no peer", "@", trusted, []string{"203.0.113.9"}, "invalid IP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{
				"X-Forwarded-For": tt.forwarded, "X_forwarded_for": {"198.51.100.7"}, "Forwarded": {"for=198.51.100.7"},
				"X-Real-Ip": {"198.51.100.7"}, "True-Client-Ip": {"198.51.100.7"},
			}}
			if got := clientAddr(tt.trusted)(r).String(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// FuzzC087_ClientAddr: a header never makes a client of what is not written in
// it, and what a stranger writes is not looked at.
func FuzzC087_ClientAddr(f *testing.F) {
	for _, s := range []string{"", "203.0.113.9", "203.0.113.9, 10.0.0.1", ",,", "::1%x", "[::1]:1", "10.0.0.1,10.0.0.1"} {
		f.Add(s)
	}
	trusted := prefixes("10.0.0.0/24")
	f.Fuzz(func(t *testing.T, field string) {
		header := http.Header{"X-Forwarded-For": {field}}
		stranger := clientAddr(trusted)(&http.Request{RemoteAddr: "192.0.2.1:1", Header: header})
		if stranger != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("a stranger passes for %s", stranger)
		}
		proxied := clientAddr(trusted)(&http.Request{RemoteAddr: "10.0.0.1:1", Header: header})
		if proxied == netip.MustParseAddr("10.0.0.1") {
			return
		}
		for part := range strings.SplitSeq(field, ",") {
			if a, err := netip.ParseAddr(strings.TrimSpace(part)); err == nil && a.Unmap() == proxied {
				return
			}
		}
		t.Errorf("%q makes %s", field, proxied)
	})
}

// TestC087_Upstream: what a client says about itself does not get behind, in
// whatever spelling; what gets there is ours.
func TestC087_Upstream(t *testing.T) {
	h := build(t, plan{deaf: true})
	a := h.do(http.MethodGet, "/health", "", "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Host: evil.example",
		"X-Forwarded-Proto: gopher", "Forwarded: for=198.51.100.7", "X_Forwarded_For: 198.51.100.7", "X-Forwarded-Prefix: /evil", "X_Forwarded_Host: evil.example")
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	seen := h.api.requests()[0]
	for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": h.listen, "X-Forwarded-Proto": "http"} {
		if got := seen.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, values := range seen.Header {
		for _, v := range values {
			if strings.Contains(v, "198.51.100.7") || strings.Contains(v, "evil") {
				t.Errorf("%s: %s got behind", name, v)
			}
		}
	}
}

// TestConnectionLimits: connections over the limit are closed, one client does
// not take the places of others, and one that ends gives its place back.
func TestConnectionLimits(t *testing.T) {
	h := build(t, plan{deaf: true, more: "limits: {connections: 8, connections_per_client: 3}"})
	dial := func() net.Conn {
		t.Helper()
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", h.listen)
		h.must(err)
		return c
	}
	served := func(c net.Conn) bool {
		t.Helper()
		h.must(c.SetDeadline(time.Now().Add(10 * time.Second)))
		if _, err := fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", h.listen); err != nil {
			return false
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode == http.StatusOK
	}
	var kept []net.Conn
	for range 3 {
		c := dial()
		defer c.Close()
		if !served(c) {
			t.Fatal("a connection within the limit is not served")
		}
		kept = append(kept, c)
	}
	over := dial()
	defer over.Close()
	if served(over) {
		t.Error("a connection over the limit is served")
	}
	kept[0].Close()
	h.until("a place is given back", func() bool {
		c := dial()
		defer c.Close()
		return served(c)
	})
}

// arrivals is a listener whose connections come from where a test says.
type arrivals struct {
	net.Listener

	from chan string
}

type arrival struct {
	net.Conn

	addr   net.Addr
	closed *bool
}

func (a arrival) RemoteAddr() net.Addr        { return a.addr }
func (a arrival) Close() error                { *a.closed = true; return nil }
func (a arrival) SetDeadline(time.Time) error { return nil }

var errOver = errors.New("no more arrivals")

func (a *arrivals) Accept() (net.Conn, error) {
	from, ok := <-a.from
	if !ok {
		return nil, errOver
	}
	addr, err := net.ResolveTCPAddr("tcp", from)
	return arrival{addr: addr, closed: new(bool)}, err
}

// TestLimitedListener: whatever comes and goes, no more are open in all and per
// network than the limits say; proxies of ours have no limit of their own; a
// close counts once.
func TestLimitedListener(t *testing.T) {
	hosts := []string{"192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1", "[2001:db8::ffff]:1", "[2001:db8:0:1::1]:1", "10.0.0.1:1", "[::ffff:192.0.2.1]:1"}
	network := map[string]string{
		hosts[0]: "a", hosts[1]: "b", hosts[2]: "c", hosts[3]: "c", hosts[4]: "d", hosts[5]: "", hosts[6]: "a", // "" is trusted
	}
	rapid.Check(t, func(t *rapid.T) {
		in := &arrivals{from: make(chan string, 1)}
		l := limitConns(in, 5, 2, prefixes("10.0.0.0/8"))
		type open struct {
			conn net.Conn
			host string
		}
		var opened []open
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if len(opened) > 0 && rapid.Bool().Draw(t, "close") {
				i := rapid.IntRange(0, len(opened)-1).Draw(t, "which")
				_ = opened[i].conn.Close()
				_ = opened[i].conn.Close()
				opened = append(opened[:i], opened[i+1:]...)
				continue
			}
			host := rapid.SampledFrom(hosts).Draw(t, "host")
			same := 0
			for _, o := range opened {
				if network[o.host] == network[host] {
					same++
				}
			}
			room := len(opened) < 5 && (same < 2 || network[host] == "")
			in.from <- host
			if !room {
				// It is closed at once, and the next arrival is looked at: there is none.
				close(in.from)
			}
			c, err := l.Accept()
			if room != (err == nil) {
				t.Fatalf("%s with %d of its network and %d in all: %v", host, same, len(opened), err)
			}
			if !room {
				in.from = make(chan string, 1)
				continue
			}
			opened = append(opened, open{c, host})
		}
	})
}

// TestListenTaken: an address that somebody has is an error that says what to
// do, and leaves nothing open behind.
func TestListenTaken(t *testing.T) {
	for _, which := range []string{"listen", "admin.listen"} {
		h := build(t, plan{deaf: true, asleep: true})
		addr := h.listen
		if which != "listen" {
			addr = h.admin
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
		h.must(err)
		err = h.server.run(context.WithoutCancel(t.Context()), func() { t.Error("ready") })
		if err == nil || !strings.Contains(err.Error(), which) || !strings.Contains(err.Error(), "choose another address") {
			t.Errorf("%s: %v", which, err)
		}
		h.must(l.Close())
		h.stop = func() error { return nil }
		h.open() // the store was closed, or this would wait for it
		h.run()
	}
}

// TestPlainBeyondLoopback: a configuration that would take credentials in the
// clear from a network is refused at the start.
func TestPlainBeyondLoopback(t *testing.T) {
	h := build(t, plan{deaf: true, asleep: true})
	h.edit("listen: "+h.listen, "listen: 0.0.0.0:4020")
	_, err := config.Load(h.file, h.process().Getenv)
	if err == nil || !strings.Contains(err.Error(), "is plain HTTP beyond loopback") {
		t.Errorf("err = %v", err)
	}
}
