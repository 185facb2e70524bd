// Package proxy is the hop to an upstream: a reverse proxy that sends each
// request at most once and lets nothing of the inside out.
package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"paywall/internal/problem"
	"paywall/payment"
)

// unreached marks an answer of this package to a request that no upstream has
// seen; the gate takes it out again.
const unreached = "Paywall-Unreached"

// Config describes one upstream. Target is required.
type Config struct {
	// Name is what logs call it.
	Name string
	// Target is its origin, with a base path if it has one.
	Target *url.URL
	// Host is sent as the authority; empty is the target's.
	Host string
	// Header is set on every request: the upstream's own credentials.
	Header http.Header
	// Public is the origin that agents see; the upstream's own is replaced by it
	// in what leads elsewhere (Location, Content-Location, Link, Refresh).
	Public string
	// Timeout is how long the head of an answer may take; zero is 30 s.
	Timeout time.Duration
	// Roots verify its certificate; nil is the system's.
	Roots *x509.CertPool
	// Client is the address to tell the upstream; nil is the connection's.
	Client func(r *http.Request) netip.Addr
	// Transport replaces the tuned transport, for tests and traces.
	Wrap   func(http.RoundTripper) http.RoundTripper
	Logger *slog.Logger
	// Observe, if set, is told the class of every answer: "2xx" to "5xx", "unreached", "failed".
	Observe func(upstream, class string)
}

// New checks the configuration and makes the handler.
func New(cfg Config) (http.Handler, error) {
	if cfg.Target == nil || cfg.Target.Host == "" || (cfg.Target.Scheme != "http" && cfg.Target.Scheme != "https") {
		return nil, fmt.Errorf("upstream %s: the URL must be http:// or https:// and a host", cfg.Name)
	}
	if cfg.Target.RawQuery != "" || cfg.Target.Fragment != "" || cfg.Target.User != nil {
		return nil, fmt.Errorf("upstream %s: the URL may have a path, but no query, fragment or user", cfg.Name)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, string) {}
	}
	var rt http.RoundTripper = &once{transport(cfg)}
	if cfg.Wrap != nil {
		rt = cfg.Wrap(rt)
	}
	p := &upstream{cfg: cfg, inside: insideURL(cfg), transport: rt}
	if u, err := url.Parse(cfg.Public); err == nil {
		p.public = u
	}
	p.full = &httputil.ReverseProxy{
		Rewrite: p.rewrite, Transport: rt, ModifyResponse: p.modify, ErrorHandler: p.failed,
		BufferPool: &p.buffers, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	return p, nil
}

func transport(cfg Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		// No Proxy: the environment must not turn paid requests into something else.
		DialContext:         dialer.DialContext,
		MaxIdleConns:        1024,
		MaxIdleConnsPerHost: 256, // the default of 2 costs more than half the throughput
		IdleConnTimeout:     60 * time.Second,
		TLSHandshakeTimeout: 5 * time.Second,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots},
		ForceAttemptHTTP2:   cfg.Target.Scheme == "https",
		// What the upstream encodes goes through as it is.
		DisableCompression:     true,
		ResponseHeaderTimeout:  cfg.Timeout,
		MaxResponseHeaderBytes: 64 << 10,
		ExpectContinueTimeout:  time.Second,
	}
}

type upstream struct {
	cfg       Config
	inside    *regexp.Regexp
	public    *url.URL // Config.Public, or nil
	transport http.RoundTripper
	buffers   buffers
	full      *httputil.ReverseProxy // for what is not simple
}

func (p *upstream) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(p.cfg.Target)
	if p.cfg.Host != "" {
		r.Out.Host = p.cfg.Host
	}
	// Set, never add: what the client said of itself was taken out before.
	host, proto := r.In.Host, "http"
	if p.public != nil && p.public.Host != "" {
		host, proto = p.public.Host, p.public.Scheme
	}
	h := r.Out.Header
	if addr := p.client(r.In); addr.IsValid() {
		h.Set("X-Forwarded-For", addr.String())
	}
	h.Set("X-Forwarded-Host", host)
	h.Set("X-Forwarded-Proto", proto)
	maps.Copy(h, p.cfg.Header)
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // net/http would name itself
	}
}

func (p *upstream) client(r *http.Request) netip.Addr {
	if p.cfg.Client != nil {
		return p.cfg.Client(r)
	}
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// modify keeps the inside inside.
func (p *upstream) modify(res *http.Response) error {
	p.cfg.Observe(p.cfg.Name, class(res.StatusCode))
	// The gate cleans the heads that it writes; that of an upgrade is written past it.
	maps.DeleteFunc(res.Header, func(name string, _ []string) bool { return ours(name) })
	if res.StatusCode == http.StatusSwitchingProtocols {
		delete(res.Header, "Www-Authenticate")
	}
	maps.DeleteFunc(res.Trailer, func(name string, _ []string) bool {
		return ours(name) || name == "Authorization" || name == "Www-Authenticate"
	})
	for _, name := range [...]string{"Location", "Content-Location"} {
		if v := res.Header.Get(name); v != "" {
			res.Header.Set(name, p.outward(v))
		}
	}
	for _, name := range [...]string{"Link", "Refresh"} {
		for i, v := range res.Header[name] {
			res.Header[name][i] = p.inside.ReplaceAllString(v, escapeDollar(p.cfg.Public)+"$1")
		}
	}
	return nil
}

// used is the one field of ours that an upstream says itself: what a metered
// request has used. It goes no further than the gate.
const used = "Paywall-Used"

// ours reports whether only a paywall may send the field.
func ours(name string) bool {
	if name == used {
		return false
	}
	for _, prefix := range [...]string{"Payment-", "Paywall-", "X-Payment"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// insideURL matches the beginning of every URL of the upstream, however the
// letters of its host are written, with its base path if that is there. Its one
// group is what follows and is kept.
func insideURL(cfg Config) *regexp.Regexp {
	hosts := regexp.QuoteMeta(cfg.Target.Host)
	if cfg.Host != "" {
		hosts += "|" + regexp.QuoteMeta(cfg.Host)
	}
	base := regexp.QuoteMeta(strings.TrimSuffix(cfg.Target.EscapedPath(), "/"))
	return regexp.MustCompile(`(?i:(?:https?:)?//(?:[^/@\s<>"';,]*@)?(?:` + hosts + `))(?:` + base + `)?($|[/?#<>"';,\s])`)
}

func escapeDollar(s string) string { return strings.ReplaceAll(s, "$", "$$") }

// outward is a URL of the upstream as the public reaches it.
func (p *upstream) outward(v string) string {
	u, err := url.Parse(v)
	if err != nil {
		return v
	}
	if u.Host != "" && !strings.EqualFold(u.Host, p.cfg.Target.Host) && !strings.EqualFold(u.Host, p.cfg.Host) {
		return v
	}
	base := strings.TrimSuffix(p.cfg.Target.EscapedPath(), "/")
	if escaped := u.EscapedPath(); base != "" && (escaped == base || strings.HasPrefix(escaped, base+"/")) {
		rest := strings.TrimPrefix(escaped, base)
		if rest == "" || strings.HasPrefix(rest, "//") {
			rest = "/" + strings.TrimLeft(rest, "/") // a path of two slashes would name a host
		}
		if u.Path, err = url.PathUnescape(rest); err != nil {
			return v
		}
		u.RawPath = rest
	}
	u.User = nil
	if u.Host == "" {
		return u.String()
	}
	u.Scheme, u.Host = "", ""
	return p.cfg.Public + u.String()
}

func class(status int) string {
	switch {
	case status < 300:
		return "2xx"
	case status < 400:
		return "3xx"
	case status < 500:
		return "4xx"
	default:
		return "5xx"
	}
}

// failed answers for an upstream that did not.
func (p *upstream) failed(w http.ResponseWriter, r *http.Request, err error) {
	status, detail := http.StatusBadGateway, "The service behind this address does not answer."
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		w.Header().Set(unreached, "1")
		p.cfg.Observe(p.cfg.Name, "unreached")
	case isTimeout(err):
		status = http.StatusGatewayTimeout
		p.cfg.Observe(p.cfg.Name, "failed")
	default:
		p.cfg.Observe(p.cfg.Name, "failed")
	}
	if !errors.Is(err, context.Canceled) {
		p.cfg.Logger.WarnContext(r.Context(), "upstream failed", "upstream", p.cfg.Name, "err", err)
	}
	problem.Document{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}.Write(w)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// once keeps net/http from sending a paid request again by itself when a kept
// connection dies without an answer: the upstream may have done its work.
// Requests without a payment are left to its judgement.
type once struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (o *once) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, paid := payment.FromContext(r.Context()); paid {
		// Under these spellings they travel all the same, but do not license a replay.
		for name, plain := range map[string]string{"Idempotency-Key": "idempotency-key", "X-Idempotency-Key": "x-idempotency-key"} {
			if v, ok := r.Header[name]; ok {
				delete(r.Header, name)
				r.Header[plain] = v
			}
		}
		if safe := r.Method == http.MethodGet || r.Method == http.MethodHead; safe && (r.Body == nil || r.Body == http.NoBody) {
			r.Body = empty{} // a body that cannot be rewound cannot be replayed
		}
	}
	return o.RoundTripper.RoundTrip(r) //nolint:wrapcheck // the proxy classes it
}

type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
func (empty) Close() error             { return nil }

// buffers are what answers are copied through.
type buffers struct{ pool sync.Pool }

// Get implements [httputil.BufferPool].
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

// Put implements [httputil.BufferPool].
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
