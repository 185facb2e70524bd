package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is passed on here is passed on as by the library, both ways.
func TestHop_AsTheLibrary(t *testing.T) {
	seen := make(chan string, 8)
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding")
		var b strings.Builder
		_ = r.Header.Write(&b)
		seen <- r.Method + " " + r.RequestURI + " " + r.Host + "\n" + b.String()
		h := w.Header()
		switch r.URL.Path {
		case "/base/plain":
			h.Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, "plain")
		case "/base/hop":
			h["Connection"] = []string{"X-Once"}
			h.Set("X-Once", "1")
			h.Set("Keep-Alive", "timeout=5")
			h.Set("Paywall-Unreached", "1")
			h.Set("Location", "/base/next")
			w.WriteHeader(http.StatusFound)
		case "/base/stream":
			h.Set("Trailer", "X-Sum, Payment-Receipt")
			for range 3 {
				_, _ = io.WriteString(w, "part ")
				_ = http.NewResponseController(w).Flush()
			}
			h.Set("X-Sum", "9")
			h.Set("Payment-Receipt", "forged")
			h.Set(http.TrailerPrefix+"X-Late", "1")
		case "/base/cut":
			h.Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(back.Close)
	target, err := url.Parse(back.URL + "/base")
	if err != nil {
		t.Fatal(err)
	}
	made, err := New(Config{Name: "api", Target: target, Public: "https://api.example", Header: http.Header{"X-Key": {"k"}}})
	if err != nil {
		t.Fatal(err)
	}
	p, ok := made.(*upstream)
	if !ok {
		t.Fatalf("%T", made)
	}
	type answer struct {
		Status        int
		Header        http.Header
		Body          string
		Cut           bool
		Trailer       http.Header
		ContentLength int64
	}
	ask := func(h http.Handler, method, path string) answer {
		front := httptest.NewServer(h)
		defer front.Close()
		req, err := http.NewRequestWithContext(t.Context(), method, front.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "api.example"
		req.Header["X-Two"] = []string{"a", "b"}
		res, err := (&http.Client{
			Transport:     &http.Transport{DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		res.Header.Del("Date")
		return answer{res.StatusCode, res.Header, string(body), err != nil, res.Trailer, res.ContentLength}
	}
	for _, tt := range []struct{ method, path string }{
		{"GET", "/plain"},
		{"HEAD", "/plain"},
		{"GET", "/plain?a=1&b=%20c&a=2"},
		{"GET", "/plain?a=1;b=2"},
		{"GET", "/%70lain%2Fx"},
		{"GET", "/hop"},
		{"GET", "/stream"},
		{"GET", "/cut"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			ours, theirs := ask(p, tt.method, tt.path), ask(p.full, tt.method, tt.path)
			if d := cmp.Diff(theirs, ours); d != "" {
				t.Errorf("answers differ (-library +ours):\n%s", d)
			}
			if a, b := <-seen, <-seen; a != b {
				t.Errorf("the upstream saw %q and %q", a, b)
			}
		})
	}
}

// Requests with more than a start line and fields for the upstream are the library's.
func TestSimple(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		want   bool
	}{
		{"as it is", func(*http.Request) {}, true},
		{"HEAD", func(r *http.Request) { r.Method = http.MethodHead }, true},
		{"POST", func(r *http.Request) { r.Method = http.MethodPost }, false},
		{"a body", func(r *http.Request) { r.ContentLength = 1 }, false},
		{"a body of unknown length", func(r *http.Request) { r.ContentLength = -1 }, false},
		{"an upgrade", func(r *http.Request) { r.Header.Set("Upgrade", "websocket") }, false},
		{"a field for this hop", func(r *http.Request) { r.Header.Set("Connection", "X-A") }, false},
		{"a claim of another hop", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") }, false},
		{"trailers", func(r *http.Request) { r.Trailer = http.Header{"X-Sum": nil} }, false},
		{"a query that is read in two ways", func(r *http.Request) { r.URL.RawQuery = "a=1;b=2" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/a?b=c", http.NoBody)
			if tt.change(r); simple(r) != tt.want {
				t.Errorf("simple is %t", !tt.want)
			}
		})
	}
}
