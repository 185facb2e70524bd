package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"paywall/internal/proxy"
	"paywall/payment"
)

// hop is a proxy before the handler, and what it was observed to do.
type hop struct {
	http.Handler

	target  *url.URL
	mu      sync.Mutex // guards classes
	classes []string
}

func newHop(t *testing.T, up http.Handler, change func(*proxy.Config)) *hop {
	t.Helper()
	server := httptest.NewServer(up)
	t.Cleanup(server.Close)
	return hopTo(t, server.URL, change)
}

func hopTo(t *testing.T, target string, change func(*proxy.Config)) *hop {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	h := &hop{target: u}
	cfg := proxy.Config{Name: "up", Target: u, Public: "https://api.example.com", Observe: func(_, class string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.classes = append(h.classes, class)
	}}
	if change != nil {
		change(&cfg)
	}
	if h.Handler, err = proxy.New(cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *hop) seen() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.classes)
}

// paid is a request with a payment in its context, as the gate sends it.
func paid(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(payment.NewContext(t.Context(), payment.Payment{ID: "pay_1"}), method, target, http.NoBody)
	if body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// deaf is an upstream that answers the first request of a connection, and closes
// it without a word after having worked on the second.
func deaf(t *testing.T) (addr string, worked *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	worked = &atomic.Int64{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				br := bufio.NewReader(c)
				for range 2 {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					io.Copy(io.Discard, r.Body)
					if r.URL.Path == "/warm" {
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
						continue
					}
					worked.Add(1)
					return
				}
			}()
		}
	}()
	return l.Addr().String(), worked
}

// B067: an upstream that works and then closes its kept connection is asked
// once, whatever would license a repeat to net/http.
func TestB067_AtMostOnce(t *testing.T) {
	for _, tt := range []struct {
		name, method, body string
		header             http.Header
	}{
		{name: "GET", method: "GET"},
		{name: "HEAD", method: "HEAD"},
		{name: "POST", method: "POST", body: "x"},
		{name: "POST with a key", method: "POST", body: "x", header: http.Header{"Idempotency-Key": {"k"}}},
		{name: "POST with a key and no body", method: "POST", header: http.Header{"Idempotency-Key": {"k"}}},
		{name: "POST with the other key and no body", method: "POST", header: http.Header{"X-Idempotency-Key": {"k"}}},
		{name: "PUT", method: "PUT"},
		{name: "DELETE", method: "DELETE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr, worked := deaf(t)
			h := hopTo(t, "http://"+addr, nil)
			if w := do(h, httptest.NewRequestWithContext(t.Context(), "GET", "/warm", http.NoBody)); w.Code != 200 {
				t.Fatal(w.Code)
			}
			r := paid(t, tt.method, "/work", tt.body)
			maps.Copy(r.Header, tt.header)
			w := do(h, r)
			if w.Code != http.StatusBadGateway || w.Header().Get("Paywall-Unreached") != "" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			if n := worked.Load(); n != 1 {
				t.Errorf("the upstream worked %d times, want once", n)
			}
		})
	}
}

// The keys go on to the upstream all the same.
func TestKeysTravel(t *testing.T) {
	var got http.Header
	h := newHop(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }), nil)
	r := paid(t, "POST", "/", "x")
	r.Header.Set("Idempotency-Key", "pay_1")
	r.Header.Set("X-Idempotency-Key", "theirs")
	do(h, r)
	if got.Get("Idempotency-Key") != "pay_1" || got.Get("X-Idempotency-Key") != "theirs" {
		t.Errorf("the upstream got %v", got)
	}
}

func TestUnreachedAndFailed(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()
	broken, _ := deaf(t)
	for _, tt := range []struct {
		name, target string
		unreached    bool
		class        string
	}{
		{"nobody listens", "http://" + nobody, true, "unreached"},
		{"closes without an answer", "http://" + broken, false, "failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := hopTo(t, tt.target, nil)
			w := do(h, paid(t, "GET", "/x", ""))
			if w.Code != http.StatusBadGateway || (w.Header().Get("Paywall-Unreached") == "1") != tt.unreached {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			if got := h.seen(); !slices.Equal(got, []string{tt.class}) {
				t.Errorf("observed %v, want %s", got, tt.class)
			}
			if strings.Contains(w.Body.String(), h.target.Host) {
				t.Errorf("the inside is shown: %s", w.Body)
			}
		})
	}
}

// An upstream cannot say that it was not reached.
func TestUnreachedIsOurs(t *testing.T) {
	h := newHop(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"Paywall-Unreached", "Payment-Receipt", "X-Payment-Response", "Paywall-Receipt"} {
			w.Header().Set(name, "1")
		}
		w.WriteHeader(http.StatusBadGateway)
	}), nil)
	w := do(h, paid(t, "GET", "/", ""))
	for name := range w.Header() {
		if strings.HasPrefix(name, "Pay") || strings.HasPrefix(name, "X-Pay") {
			t.Errorf("%s came through", name)
		}
	}
}

func TestC087_OutgoingHead(t *testing.T) {
	var got *http.Request
	h := newHop(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }), func(c *proxy.Config) {
		c.Host = "inside.example"
		c.Header = http.Header{"Authorization": {"Bearer upstream"}}
	})
	r := paid(t, "GET", "/a%2Bb?x=1&y=%20&z", "")
	r.Header.Set("Authorization", "Basic client")
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		r.Header.Set(name, "forged")
	}
	do(h, r)
	if got.RequestURI != "/a%2Bb?x=1&y=%20&z" || got.Host != "inside.example" {
		t.Errorf("asked for %s at %s", got.RequestURI, got.Host)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer upstream", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "api.example.com", "X-Forwarded-Proto": "https", "User-Agent": "", "Accept-Encoding": "",
	} {
		if v := got.Header[name]; strings.Join(v, ",") != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
}

func TestC100_OutwardURLs(t *testing.T) {
	const pub = "https://api.example.com"
	for _, tt := range []struct{ base, name, sent, want string }{
		{"", "Location", "http://{host}/x?q=1#f", pub + "/x?q=1#f"},
		{"", "Location", "//{host}/x", pub + "/x"},
		{"", "Location", "HTTP://{HOST}/x", pub + "/x"},
		{"", "Location", "http://user:secret@{host}/x", pub + "/x"},
		{"", "Location", "/x", "/x"},
		{"", "Location", "x/y", "x/y"},
		{"", "Location", "https://elsewhere.example/x", "https://elsewhere.example/x"},
		{"/base", "Location", "http://{host}/base/x", pub + "/x"},
		{"/base", "Location", "/base/x%2Fy", "/x%2Fy"},
		{"/base", "Location", "/base", "/"},
		{"/base", "Location", "/base//evil.example", "/evil.example"},
		{"/base", "Location", "/basement", "/basement"},
		{"", "Location", "http://inside.example/x", pub + "/x"},
		{"", "Content-Location", "http://{host}/x", pub + "/x"},
		{"", "Link", `<http://{host}/x>; rel=next, <http://{host}/y>; rel=prev`, `<` + pub + `/x>; rel=next, <` + pub + `/y>; rel=prev`},
		{"", "Link", `<http://{HOST}/x>; rel=next`, `<` + pub + `/x>; rel=next`},
		{"/base", "Link", `<http://{host}/base/x>; rel=next`, `<` + pub + `/x>; rel=next`},
		{"", "Link", `<http://{host}.evil.example/x>`, `<http://{host}.evil.example/x>`},
		{"", "Refresh", `5; url=http://{host}/x`, `5; url=` + pub + `/x`},
	} {
		t.Run(tt.name+" "+tt.sent, func(t *testing.T) {
			var h *hop
			fill := func(s string) string {
				return strings.NewReplacer("{host}", h.target.Host, "{HOST}", strings.ToUpper(h.target.Host)).Replace(s)
			}
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(tt.name, fill(tt.sent))
				w.WriteHeader(http.StatusCreated)
			}))
			defer up.Close()
			h = hopTo(t, up.URL+tt.base, func(c *proxy.Config) { c.Host = "inside.example" })
			w := do(h, paid(t, "GET", "/", ""))
			if got := w.Header().Get(tt.name); got != fill(tt.want) {
				t.Errorf("got %s, want %s", got, fill(tt.want))
			}
		})
	}
}

func TestC106_Trailers(t *testing.T) {
	h := newHop(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, Payment-Receipt, Authorization")
		io.WriteString(w, "goods")
		w.Header().Set("X-Sum", "1")
		w.Header().Set("Payment-Receipt", "forged")
		w.Header().Set("Authorization", "forged")
	}), nil)
	front := httptest.NewServer(h)
	defer front.Close()
	resp, err := front.Client().Get(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.Trailer.Get("X-Sum") != "1" {
		t.Errorf("trailers %v", resp.Trailer)
	}
}

// A stream of any length goes through without being kept, its first bytes at once.
func TestStream(t *testing.T) {
	more := make(chan struct{})
	h := newHop(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: first\n\n")
		http.NewResponseController(w).Flush()
		select { // nothing more until the reader has had the first
		case <-more:
		case <-r.Context().Done():
		}
		io.WriteString(w, "data: last\n\n")
	}), nil)
	front := httptest.NewServer(h)
	defer front.Close()
	resp, err := front.Client().Get(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	if line, err := br.ReadString('\n'); err != nil || line != "data: first\n" {
		t.Fatalf("%q, %v", line, err)
	}
	close(more)
	if rest, err := io.ReadAll(br); err != nil || string(rest) != "\ndata: last\n\n" {
		t.Errorf("%q, %v", rest, err)
	}
}

// 100 MB each way are never in memory.
func TestLargeBodies(t *testing.T) {
	const size = 100 << 20
	h := newHop(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Got", strconv.FormatInt(n, 10))
		io.CopyN(w, zeros{}, size)
	}), nil)
	front := httptest.NewServer(h)
	defer front.Close()
	var before, most runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL, io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var total, peak int64
	buf := make([]byte, 1<<20)
	for {
		n, err := resp.Body.Read(buf)
		if total += int64(n); total>>24 != (total-int64(n))>>24 {
			runtime.GC()
			runtime.ReadMemStats(&most)
			peak = max(peak, int64(most.HeapAlloc)-int64(before.HeapAlloc))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if total != size || resp.Header.Get("X-Got") != strconv.Itoa(size) {
		t.Errorf("%d bytes back, %s there", total, resp.Header.Get("X-Got"))
	}
	if peak > 16<<20 {
		t.Errorf("the heap grew by %d MiB", peak>>20)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// A client that is gone ends its request at the upstream, and is nobody's failure to reach.
func TestCancelled(t *testing.T) {
	arrived, ended := make(chan struct{}), make(chan struct{})
	h := newHop(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(ended)
	}), nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- do(h, httptest.NewRequestWithContext(ctx, "GET", "/", http.NoBody)) }()
	<-arrived
	cancel()
	if w := <-done; w.Code != http.StatusBadGateway || w.Header().Get("Paywall-Unreached") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	<-ended
}

// The environment's proxy settings and an upstream's redirects lead nowhere.
func TestNoDetours(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	h := newHop(t, http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect), nil)
	if w := do(h, paid(t, "GET", "/", "")); w.Code != http.StatusTemporaryRedirect || w.Header().Get("Location") != elsewhere.URL {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestConfig(t *testing.T) {
	for _, target := range []string{"", "ftp://h", "http://", "/x", "http://h?q=1", "http://h#f", "http://u:p@h"} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proxy.New(proxy.Config{Target: u}); err == nil {
			t.Errorf("%q was taken", target)
		}
	}
	if _, err := proxy.New(proxy.Config{}); err == nil {
		t.Error("no target was taken")
	}
}
