package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// Config makes a [Client]. The zero value is the strict one.
type Config struct {
	// Loopback lets this machine be called, over plain HTTP and on any port too: for
	// development and tests, never where strangers can name URLs.
	Loopback bool
	// Ports are those that are called; empty is 443.
	Ports []int
	// Timeout bounds a whole call, zero is 5 s. MaxBytes bounds an answer, zero is 256 KiB.
	Timeout  time.Duration
	MaxBytes int64
	// Calls bounds how many are under way at once, zero is 32; others are ErrBusy.
	Calls int
	// UserAgent names the caller.
	UserAgent string
	// Roots are the authorities to trust; nil is the system's.
	Roots *x509.CertPool

	// Lookup finds the addresses of a name; nil is the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to an address that was found good; nil is the network.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// Client calls URLs that others have named. It is safe for concurrent use.
type Client struct {
	cfg   Config
	http  *http.Client
	calls chan struct{}
}

// maxTried bounds how many addresses of a name are tried.
const maxTried = 4

// New makes a client.
func New(cfg Config) *Client {
	if len(cfg.Ports) == 0 {
		cfg.Ports = []int{443}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 256 << 10
	}
	if cfg.Calls == 0 {
		cfg.Calls = 32
	}
	if cfg.Lookup == nil {
		cfg.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.Dial == nil {
		dialer := &net.Dialer{Timeout: 3 * time.Second}
		cfg.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", to.String())
		}
	}
	c := &Client{cfg: cfg, calls: make(chan struct{}, cfg.Calls)}
	c.http = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			Proxy:                  nil, // an environment variable must not lead these calls elsewhere
			DialContext:            c.dial,
			TLSClientConfig:        &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    3 * time.Second,
			ResponseHeaderTimeout:  cfg.Timeout,
			MaxResponseHeaderBytes: 32 << 10,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    2,
			MaxConnsPerHost:        4,
			IdleConnTimeout:        30 * time.Second,
		},
	}
	return c
}

// dial connects to an address of the name that is public. A name with one address
// that is not is not called at all: it was made to be called twice.
func (c *Client) dial(ctx context.Context, _, hostPort string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	local := c.cfg.Loopback && isLoopback(host)
	addrs, err := c.resolve(ctx, host, local)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if !Public(a) && (!local || !a.Unmap().IsLoopback()) {
			return nil, fmt.Errorf("an address of the host: %w", ErrAddress)
		}
	}
	var errs []error
	for _, a := range addrs[:min(len(addrs), maxTried)] {
		conn, err := c.cfg.Dial(ctx, netip.AddrPortFrom(a.Unmap(), uint16(port)))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("no address answers: %w", errors.Join(errs...))
}

func (c *Client) resolve(ctx context.Context, host string, local bool) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if local { // "localhost" is what this machine says it is
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	addrs, err := c.cfg.Lookup(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("the host is not found: %w", err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("the host has no address: %w", ErrAddress)
	}
	return addrs, nil
}

// Response is an answer, read whole. Beside an error about its body, or about where it
// leads, it has the status and the header that came.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get fetches a document. Redirects are errors.
func (c *Client) Get(ctx context.Context, rawURL string, h http.Header) (Response, error) {
	return c.do(ctx, http.MethodGet, rawURL, h, nil)
}

// Post sends a body. Redirects are errors.
func (c *Client) Post(ctx context.Context, rawURL string, h http.Header, body []byte) (Response, error) {
	return c.do(ctx, http.MethodPost, rawURL, h, body)
}

func (c *Client) do(ctx context.Context, method, rawURL string, h http.Header, body []byte) (Response, error) {
	u, err := c.Check(rawURL)
	if err != nil {
		return Response{}, err
	}
	select {
	case c.calls <- struct{}{}:
		defer func() { <-c.calls }()
	default:
		return Response{}, ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return Response{}, fmt.Errorf("%w: %w", ErrURL, err)
	}
	maps.Copy(req.Header, h)
	if c.cfg.UserAgent != "" {
		req.Header.Set("User-Agent", c.cfg.UserAgent)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Response{}, fmt.Errorf("%s %s: %w", method, u.Host, plain(err))
	}
	defer func() { _ = resp.Body.Close() }() // all that is wanted was read
	head := Response{Status: resp.StatusCode, Header: resp.Header}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return head, fmt.Errorf("%s answers %d: %w", u.Host, resp.StatusCode, ErrRedirect)
	case resp.Header.Get("Content-Encoding") != "" && resp.Header.Get("Content-Encoding") != "identity":
		return head, fmt.Errorf("%s: %w", u.Host, ErrEncoding)
	case resp.ContentLength > c.cfg.MaxBytes:
		return head, fmt.Errorf("%s: %d bytes: %w", u.Host, resp.ContentLength, ErrTooLarge)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, c.cfg.MaxBytes+1))
	if err == nil {
		err = ctx.Err() // a server that ends with our patience has not ended its answer
	}
	if err != nil {
		return head, fmt.Errorf("%s: %w", u.Host, err)
	}
	if int64(len(data)) > c.cfg.MaxBytes {
		return head, fmt.Errorf("%s: more than %d bytes: %w", u.Host, c.cfg.MaxBytes, ErrTooLarge)
	}
	head.Body = data
	return head, nil
}

// plain takes the URL out of an error: a query may hold what is nobody's business.
func plain(err error) error {
	var wrapped interface{ Unwrap() error }
	if errors.As(err, &wrapped) && wrapped.Unwrap() != nil {
		return wrapped.Unwrap()
	}
	return err
}
