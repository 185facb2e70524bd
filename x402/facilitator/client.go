package facilitator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxRetryAfter bounds what an answer may ask for.
const maxRetryAfter = time.Hour

// Client calls facilitators. It is safe for concurrent use. Nothing is picked before
// [Client.Start] or [Client.Refresh] has heard what they support.
type Client struct {
	cfg       Config
	transport http.RoundTripper
	endpoints []*endpoint
	byName    map[string]*endpoint

	mu      sync.Mutex // guards stop and closed, and the first use of running
	stop    context.CancelFunc
	closed  bool
	running sync.WaitGroup
}

// endpoint is an [Endpoint] with what it has said.
type endpoint struct {
	Endpoint

	said atomic.Pointer[statement] // nil before it was first heard
}

// New checks the configuration. No call is made.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, transport: cfg.Transport, byName: map[string]*endpoint{}}
	if cfg.Wrap != nil {
		c.transport = cfg.Wrap(c.transport)
	}
	for _, one := range cfg.Endpoints {
		e := &endpoint{Endpoint: one}
		c.endpoints, c.byName[one.Name] = append(c.endpoints, e), e
	}
	return c, nil
}

// Pick returns the first endpoint that has said it settles such payments, and what it
// says about them ("extra", an object). There is no I/O and no guess: otherwise the
// error is [ErrUnsupported], or [ErrUnknown] while somebody who could was not heard.
func (c *Client) Pick(version int, scheme, network string) (name string, extra json.RawMessage, err error) {
	now, unheard := c.cfg.Now(), false
	for _, e := range c.endpoints {
		if !e.serves(network) {
			continue
		}
		s := e.current(now)
		if s == nil {
			unheard = true
			continue
		}
		if extra, ok := s.kinds[kind{version, scheme, network}]; ok {
			return e.Name, extra, nil
		}
	}
	if unheard {
		return "", nil, ErrUnknown
	}
	return "", nil, ErrUnsupported
}

// Verify asks the endpoint whether a payment would be settled; it moves nothing. The
// body is a VerifyRequest of x402. An error is a *[CallError]; an answer of any status
// is none.
func (c *Client) Verify(ctx context.Context, endpoint string, body []byte) (Reply, error) {
	return c.post(ctx, endpoint, "/verify", body)
}

// Settle has the endpoint carry a payment out: one attempt, at the endpoint where the
// first was made. The body is a SettleRequest of x402. Errors are as of [Client.Verify].
func (c *Client) Settle(ctx context.Context, endpoint string, body []byte) (Reply, error) {
	return c.post(ctx, endpoint, "/settle", body)
}

func (c *Client) post(ctx context.Context, name, path string, body []byte) (Reply, error) {
	e, ok := c.byName[name]
	switch {
	case !ok:
		return Reply{}, &CallError{Err: ErrEndpoint}
	case len(body) == 0 || len(body) > maxMessage:
		return Reply{}, &CallError{Err: ErrBody}
	}
	return c.call(ctx, e, http.MethodPost, path, body, maxMessage)
}

// call makes one attempt. It goes to the transport directly: no redirect is followed,
// no cookie kept, and nothing is sent twice.
func (c *Client) call(ctx context.Context, e *endpoint, method, path string, body []byte, limit int) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, e.URL+path, nil)
	if err != nil {
		return Reply{}, &CallError{Err: ErrBody} // the error quotes the URL
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "paywall")
	if e.Auth != nil {
		if err := e.Auth.Authorize(r, c.cfg.Now()); err != nil {
			return Reply{}, &CallError{Err: fmt.Errorf("%w: %w", ErrAuth, err)}
		}
	}
	out := &outgoing{body: body}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
		out.attach(r)
	}
	resp, err := c.transport.RoundTrip(r)
	if err != nil {
		return Reply{}, &CallError{Sent: out.abandon(), Err: transportCause(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	switch {
	case err != nil:
		return Reply{}, &CallError{Sent: true, Err: transportCause(err)}
	case len(data) > limit:
		return Reply{}, &CallError{Sent: true, Err: ErrAnswer}
	}
	return Reply{Status: resp.StatusCode, Body: data, RetryAfter: retryAfter(resp.Header, c.cfg.Now())}, nil
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3); anything else is zero.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// Close ends the refreshing, waits for it, and drops idle connections. Calls that are
// under way go on.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	if c.stop != nil {
		c.stop()
	}
	c.mu.Unlock()
	c.running.Wait()
	if t, ok := c.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// Format keeps what is inside from being printed.
func (c *Client) Format(f fmt.State, _ rune) {
	names := make([]string, 0, len(c.endpoints))
	for _, e := range c.endpoints {
		names = append(names, e.Name)
	}
	_, _ = fmt.Fprintf(f, "facilitator.Client(%s)", strings.Join(names, ", "))
}
