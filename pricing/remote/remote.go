// Package remote asks an HTTP hook for the price of a request.
//
// The hook gets POST with {"method","path","query","digest","headers"} and
// answers 200 with {"price":"1.00 USD","version":"…","description":"…"}; version
// and description are optional, and "headers" has the fields that Forward names.
package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"paywall/internal/strictjson"
	"paywall/money"
	"paywall/payment"
)

// Limits of what is kept and read.
const (
	cached    = 4096
	maxAnswer = 64 << 10
)

// Config is the hook. URL is required.
type Config struct {
	URL string
	// Header is sent along, such as the hook's own credentials.
	Header http.Header
	// Forward names the request's header fields that the hook is told.
	Forward []string
	// Timeout bounds one question; zero is 2 s.
	Timeout time.Duration
	// Cache is how long an answer is good for; zero is 10 s, negative not at all.
	// It must be shorter than a challenge's life, or a price may change between
	// a challenge and its payment without need.
	Cache time.Duration
	// Fallback is the price when the hook fails; without one nothing is sold then.
	Fallback money.Amount
	Client   *http.Client
	Now      func() time.Time
}

// Pricer asks the hook.
type Pricer struct {
	cfg   Config
	cache *lru.Cache[[sha256.Size]byte, priced]

	mu     sync.Mutex // guards asking
	asking map[[sha256.Size]byte]*question
}

type priced struct {
	quote payment.Quote
	until time.Time
}

// question is one call to the hook that several requests wait for.
type question struct {
	done  chan struct{}
	quote payment.Quote
	err   error
}

// New checks the configuration. It does not call the hook.
func New(cfg Config) (*Pricer, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname()))) {
		return nil, errors.New("remote price: the URL must be https, or http on loopback")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.Cache == 0 {
		cfg.Cache = 10 * time.Second
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute}}
	}
	client := *cfg.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	cfg.Client = &client
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	cfg.Now = now
	if cfg.Fallback.Valid() && !cfg.Fallback.IsPositive() {
		return nil, errors.New("remote price: the fallback must be more than nothing")
	}
	p := &Pricer{cfg: cfg, asking: map[[sha256.Size]byte]*question{}}
	if p.cache, err = lru.New[[sha256.Size]byte, priced](cached); err != nil {
		return nil, fmt.Errorf("remote price: %w", err)
	}
	return p, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

type ask struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Query   string            `json:"query"`
	Digest  string            `json:"digest,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// Quote implements gate.Pricer. Requests that look alike share one question.
func (p *Pricer) Quote(ctx context.Context, r *http.Request, body []byte) (payment.Quote, error) {
	q := ask{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery}
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		q.Digest = "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	}
	for _, name := range p.cfg.Forward {
		if v := r.Header.Get(name); v != "" {
			if q.Headers == nil {
				q.Headers = map[string]string{}
			}
			q.Headers[http.CanonicalHeaderKey(name)] = v
		}
	}
	data, err := json.Marshal(q)
	if err != nil {
		return payment.Quote{}, fmt.Errorf("remote price: %w", err)
	}
	key := sha256.Sum256(data)
	if hit, ok := p.cache.Get(key); ok && p.cfg.Now().Before(hit.until) {
		return hit.quote, nil
	}
	quote, err := p.share(ctx, key, data)
	if err != nil && p.cfg.Fallback.Valid() {
		return payment.Quote{Amount: p.cfg.Fallback}, nil
	}
	return quote, err
}

func (p *Pricer) share(ctx context.Context, key [sha256.Size]byte, data []byte) (payment.Quote, error) {
	p.mu.Lock()
	if q, ok := p.asking[key]; ok {
		p.mu.Unlock()
		select {
		case <-q.done:
			return q.quote, q.err
		case <-ctx.Done():
			return payment.Quote{}, fmt.Errorf("remote price: %w", ctx.Err())
		}
	}
	q := &question{done: make(chan struct{})}
	p.asking[key] = q
	p.mu.Unlock()
	// The first to ask may hang up; the others still want to know.
	q.quote, q.err = p.ask(context.WithoutCancel(ctx), data)
	if q.err == nil && p.cfg.Cache > 0 {
		p.cache.Add(key, priced{q.quote, p.cfg.Now().Add(p.cfg.Cache)})
	}
	p.mu.Lock()
	delete(p.asking, key)
	p.mu.Unlock()
	close(q.done)
	return q.quote, q.err
}

func (p *Pricer) ask(ctx context.Context, data []byte) (payment.Quote, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.cfg.URL, bytes.NewReader(data))
	if err != nil {
		return payment.Quote{}, fmt.Errorf("remote price: %w", err)
	}
	for name, values := range p.cfg.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := p.cfg.Client.Do(req)
	if err != nil {
		return payment.Quote{}, fmt.Errorf("remote price: the hook does not answer: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return payment.Quote{}, fmt.Errorf("remote price: read the answer: %w", err)
	case len(answer) > maxAnswer:
		return payment.Quote{}, fmt.Errorf("remote price: the answer is over %d bytes", maxAnswer)
	case resp.StatusCode != http.StatusOK:
		return payment.Quote{}, fmt.Errorf("remote price: the hook answered %d", resp.StatusCode)
	}
	return read(answer)
}

func read(answer []byte) (payment.Quote, error) {
	var a struct {
		Price       string `json:"price"`
		Version     string `json:"version"`
		Description string `json:"description"`
	}
	if err := strictjson.Decode(answer, &a, strictjson.Limits{}); err != nil {
		return payment.Quote{}, fmt.Errorf("remote price: the answer: %w", err)
	}
	amount, err := money.ParsePrice(a.Price)
	if err != nil {
		return payment.Quote{}, fmt.Errorf("remote price: the answer's price: %w", err)
	}
	if !amount.IsPositive() {
		return payment.Quote{}, errors.New("remote price: the hook's price is not more than nothing")
	}
	if !plain(a.Version, 32) || !plain(a.Description, 200) {
		return payment.Quote{}, errors.New("remote price: version or description is too long or not printable ASCII")
	}
	return payment.Quote{Amount: amount, Version: a.Version, Description: a.Description}, nil
}

func plain(s string, most int) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return len(s) <= most
}

// Prices implements gate.Pricer: only the fallback is known ahead.
func (p *Pricer) Prices() []money.Amount {
	if p.cfg.Fallback.Valid() {
		return []money.Amount{p.cfg.Fallback}
	}
	return nil
}
