package fetch_test

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"paywall/internal/fetch"
)

// A net is a public network of one host, agent.example, that a test server plays.
type world struct {
	server *httptest.Server
	addrs  []netip.Addr
	dialed atomic.Int32
	last   atomic.Value
}

func newWorld(t *testing.T, h http.HandlerFunc, addrs ...string) *world {
	t.Helper()
	w := &world{server: httptest.NewTLSServer(h)}
	t.Cleanup(w.server.Close)
	if len(addrs) == 0 {
		addrs = []string{"93.184.216.34"}
	}
	for _, a := range addrs {
		w.addrs = append(w.addrs, netip.MustParseAddr(a))
	}
	return w
}

func (w *world) client(cfg fetch.Config) *fetch.Client {
	cfg.Roots = x509.NewCertPool()
	cfg.Roots.AddCert(w.server.Certificate())
	cfg.Lookup = func(context.Context, string) ([]netip.Addr, error) { return w.addrs, nil }
	cfg.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		w.dialed.Add(1)
		w.last.Store(to)
		return new(net.Dialer).DialContext(ctx, "tcp", w.server.Listener.Addr().String())
	}
	return fetch.New(cfg)
}

// The certificate of httptest is for example.com.
const good = "https://www.example.com/profile.json"

func TestGet(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, r.Header.Get("Accept-Encoding"))
	})
	resp, err := w.client(fetch.Config{}).Get(t.Context(), good, http.Header{"Accept": {"application/json"}})
	if err != nil || resp.Status != 200 || strings.TrimSpace(string(resp.Body)) != "GET /profile.json" {
		t.Fatalf("%v %d %q", err, resp.Status, resp.Body)
	}
	if to := w.last.Load(); to != netip.MustParseAddrPort("93.184.216.34:443") {
		t.Errorf("dialled %v", to)
	}
}

func TestF122_AddressesAndNames(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	c := w.client(fetch.Config{})
	for _, u := range []string{
		"https://127.0.0.1/", "https://10.0.0.1/", "https://100.64.0.1/", "https://169.254.169.254/latest/meta-data", "https://0/", "https://0.0.0.0/",
		"https://2130706433/", "https://0177.0.0.1/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://127.1/", "https://127.0.0.1./",
		"https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[2002:7f00:1::]/", "https://[64:ff9b::7f00:1]/", "https://[fd00::1]/", "https://[fec0::1]/", "https://[fe80::1%25eth0]/",
		"https://localhost/", "https://agent.localhost/", "https://metadata.google.internal/", "https://printer.local/", "https://intranet/", "https://agent.example./",
		"https://user@agent.example/", "https://user:pass@agent.example/", "https://agent.example:22/", "https://agent.example:6379/", "https://agent.example:/", "https://agent.example:0443/",
		"http://agent.example/", "ftp://agent.example/", "file:///etc/passwd", "gopher://agent.example/", "//agent.example/", "agent.example", "https:agent.example", "https:///x",
		"https://agent.example/#x", "https://agent.example\\@127.0.0.1/", "https://ägent.example/", "https://agent.example/ x", "https://agent.example/\r\nHost: x", "https://-a.example/", "https://a..example/",
		"https://" + strings.Repeat("a", 64) + ".example/", "https://agent.example/" + strings.Repeat("a", 3000), "",
	} {
		if _, err := c.Get(t.Context(), u, nil); !errors.Is(err, fetch.ErrURL) && !errors.Is(err, fetch.ErrAddress) {
			t.Errorf("%q: %v", u, err)
		}
	}
	if n := w.dialed.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestF123_Rebinding(t *testing.T) {
	for name, addrs := range map[string][]string{
		"private":              {"10.1.2.3"},
		"one private":          {"93.184.216.34", "192.168.1.1"},
		"mapped":               {"::ffff:10.0.0.1"},
		"metadata":             {"169.254.169.254"},
		"6to4":                 {"2002:a00:1::1"},
		"NAT64":                {"64:ff9b::a00:1"},
		"unique local":         {"fd12::1"},
		"documentation":        {"2001:db8::1"},
		"carrier grade":        {"100.127.255.254"},
		"loopback":             {"127.0.0.1"},
		"unspecified":          {"::"},
		"multicast":            {"ff02::1"},
		"site local":           {"fec0::1"},
		"benchmarking":         {"198.18.0.1"},
		"mapped link local":    {"::ffff:169.254.169.254"},
		"public and its own 0": {"2606:2800:220:1::1", "0.0.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(http.ResponseWriter, *http.Request) {}, addrs...)
			if _, err := w.client(fetch.Config{}).Get(t.Context(), good, nil); !errors.Is(err, fetch.ErrAddress) {
				t.Errorf("%v", err)
			}
			if n := w.dialed.Load(); n != 0 {
				t.Errorf("%d connections", n)
			}
		})
	}
	t.Run("a hundred addresses", func(t *testing.T) {
		var addrs []string
		for i := range 100 {
			addrs = append(addrs, fmt.Sprintf("93.184.216.%d", i))
		}
		w := newWorld(t, func(http.ResponseWriter, *http.Request) {}, addrs...)
		w.server.Close()
		if _, err := w.client(fetch.Config{}).Get(t.Context(), good, nil); err == nil {
			t.Error("no error")
		}
		if n := w.dialed.Load(); n == 0 || n > 4 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestF124_Redirects(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308, 300, 304} {
		var hits atomic.Int32
		w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) {
			hits.Add(1)
			w.Header().Set("Location", "https://www.example.com/next")
			w.WriteHeader(status)
		})
		if _, err := w.client(fetch.Config{}).Get(t.Context(), good, nil); !errors.Is(err, fetch.ErrRedirect) {
			t.Errorf("%d: %v", status, err)
		}
		if hits.Load() != 1 {
			t.Errorf("%d: followed", status)
		}
	}
}

func TestF125_Answers(t *testing.T) {
	large := strings.Repeat("a", 300<<10)
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"declared too large": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "307200")
			_, _ = w.Write([]byte(large))
		}, fetch.ErrTooLarge},
		"too large": {func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte(large))
		}, fetch.ErrTooLarge},
		"compressed": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write([]byte(large))
			_ = z.Close()
		}, fetch.ErrEncoding},
		"never ends": {func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tt.answer)
			if _, err := w.client(fetch.Config{Timeout: 300 * time.Millisecond}).Get(t.Context(), good, nil); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	t.Run("certificate of another", func(t *testing.T) {
		w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
		_, err := w.client(fetch.Config{}).Get(t.Context(), "https://agent.example.org/", nil)
		if _, ok := errors.AsType[x509.HostnameError](err); !ok {
			t.Errorf("%v", err)
		}
	})
}

func TestF126_ProxyVariables(t *testing.T) {
	var proxied atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied.Add(1) }))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("ALL_PROXY", proxy.URL)
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	if _, err := w.client(fetch.Config{}).Get(t.Context(), good, nil); err != nil || proxied.Load() != 0 {
		t.Errorf("%v, %d through the proxy", err, proxied.Load())
	}
}

func TestLoopback(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{server.URL, "http://localhost:" + u.Port()} {
		if resp, err := fetch.New(fetch.Config{Loopback: true}).Get(t.Context(), raw, nil); err != nil || string(resp.Body) != "ok" {
			t.Errorf("%s: %v", raw, err)
		}
		if _, err := fetch.New(fetch.Config{}).Get(t.Context(), raw, nil); !errors.Is(err, fetch.ErrURL) && !errors.Is(err, fetch.ErrAddress) {
			t.Errorf("%s, strict: %v", raw, err)
		}
	}
	if _, err := fetch.New(fetch.Config{Loopback: true}).Check("http://10.0.0.1/"); err == nil {
		t.Error("loopback opens the private network")
	}
}

func TestCallsAreBounded(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	w := newWorld(t, func(http.ResponseWriter, *http.Request) { in <- struct{}{}; <-out })
	c := w.client(fetch.Config{Calls: 1})
	done := make(chan error)
	go func() {
		_, err := c.Get(t.Context(), good, nil)
		done <- err
	}()
	<-in
	if _, err := c.Get(t.Context(), good, nil); !errors.Is(err, fetch.ErrBusy) {
		t.Errorf("%v", err)
	}
	close(out)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// FuzzCheck holds every URL that is let through to what a URL parser of its own
// would make of it: https, a name with a letter in its last label, no user.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{good, "https://127.0.0.1", "https://a.b:443/?x=y", "https://[::1]/", "https://a.b@c.d/", "https://1.2.3.4.5/"} {
		f.Add(s)
	}
	c := fetch.New(fetch.Config{})
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := c.Check(raw)
		if err != nil {
			if !errors.Is(err, fetch.ErrURL) && !errors.Is(err, fetch.ErrAddress) {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host || again.Scheme != "https" || again.User != nil {
			t.Fatalf("%q is read as %q and again as %v: %v", raw, u, again, err)
		}
		if _, err := netip.ParseAddr(u.Hostname()); err == nil || !strings.Contains(u.Hostname(), ".") {
			t.Fatalf("%q names %q", raw, u.Hostname())
		}
	})
}
