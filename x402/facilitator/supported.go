package facilitator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"paywall/internal/strictjson"
	"paywall/x402"
)

const (
	// maxSupported bounds an answer to /supported.
	maxSupported = 256 << 10
	// maxAge is for how long an answer counts when no newer one can be had.
	maxAge = 24 * time.Hour
	// supportedTries and maxWait bound how often a busy facilitator is asked in a
	// row, and how long it may have us wait in between.
	supportedTries = 3
	maxWait        = 30 * time.Second
	// soon is when an endpoint that could not be read is asked again at first; the
	// time doubles up to the usual one.
	soon = 5 * time.Second
	// maxText bounds what is quoted of an answer in the log.
	maxText = 200
)

// kind is what [x402.Kind] is found by.
type kind struct {
	version         int
	scheme, network string
}

// statement is what an endpoint said it supports, once. It is immutable.
type statement struct {
	at    time.Time
	kinds map[kind]json.RawMessage // extra
}

// current is the latest statement while it counts, or nil.
func (e *endpoint) current(now time.Time) *statement {
	s := e.said.Load()
	if s == nil || now.Sub(s.at) > maxAge {
		return nil
	}
	return s
}

// Start asks all endpoints what they support, which may take the time of three calls,
// and goes on asking until ctx ends or [Client.Close]. That one cannot be read is
// logged and no error: see [Client.Ready]. A second call, or one after Close, does nothing.
func (c *Client) Start(ctx context.Context) {
	var first sync.WaitGroup
	c.begin(ctx, &first)
	first.Wait()
}

func (c *Client) begin(ctx context.Context, first *sync.WaitGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.stop != nil {
		return
	}
	ctx, c.stop = context.WithCancel(ctx)
	for _, e := range c.endpoints {
		first.Add(1)
		c.running.Go(func() {
			next, again := c.ask(ctx, e, soon)
			first.Done()
			for pause(ctx, jitter(next)) {
				next, again = c.ask(ctx, e, again)
			}
		})
	}
}

// ask reads one endpoint and returns when to do it next. Of failures in a row each
// doubles the wait; again is the one after the next.
func (c *Client) ask(ctx context.Context, e *endpoint, wait time.Duration) (next, again time.Duration) {
	err := c.refresh(ctx, e)
	if err == nil {
		return c.cfg.Refresh, soon
	}
	next = min(wait, c.cfg.Refresh)
	if ctx.Err() != nil {
		return next, wait
	}
	old := "none"
	if s := e.current(c.cfg.Now()); s != nil {
		old = c.cfg.Now().Sub(s.at).Truncate(time.Second).String()
	}
	c.cfg.Logger.WarnContext(ctx, "facilitator cannot be read", "facilitator", e.Name, "err", err, "last_answer", old)
	return next, min(2*wait, c.cfg.Refresh)
}

// jitter keeps many processes from asking at once: a tenth more or less.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(rand.Int64N(int64(d)/5+1)) //nolint:gosec // not a secret
}

// pause reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Refresh asks all endpoints once, for commands that do not stay. The error joins
// those of the endpoints that could not be read.
func (c *Client) Refresh(ctx context.Context) error {
	errs := make([]error, len(c.endpoints))
	var all sync.WaitGroup
	for i, e := range c.endpoints {
		all.Go(func() {
			if err := c.refresh(ctx, e); err != nil {
				errs[i] = fmt.Errorf("facilitator %s: %w", e.Name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Ready is nil when all that [Config.Needs] names is supported by somebody or, when it
// names nothing, every endpoint was heard within a day. Otherwise it says what is missing.
func (c *Client) Ready() error {
	var missing []error
	for _, k := range c.cfg.Needs {
		if _, _, err := c.Pick(k.Version, k.Scheme, k.Network); err != nil {
			missing = append(missing, fmt.Errorf("x402 version %d, %s on %s: %w", k.Version, k.Scheme, k.Network, err))
		}
	}
	now := c.cfg.Now()
	for _, e := range c.endpoints {
		if len(c.cfg.Needs) == 0 && e.current(now) == nil {
			missing = append(missing, fmt.Errorf("facilitator %s: %w", e.Name, ErrUnknown))
		}
	}
	return errors.Join(missing...)
}

// refresh replaces what is known of an endpoint. After an error it is as before.
func (c *Client) refresh(ctx context.Context, e *endpoint) error {
	at := c.cfg.Now()
	reply, err := c.supported(ctx, e)
	if err != nil {
		return err
	}
	kinds, ok := parseSupported(reply.Body)
	if !ok || reply.Status != http.StatusOK {
		return fmt.Errorf("%w: status %d%s", ErrAnswer, reply.Status, quoted(e.Auth, reply))
	}
	e.said.Store(&statement{at: at, kinds: kinds})
	return nil
}

func (c *Client) supported(ctx context.Context, e *endpoint) (Reply, error) {
	for try := 1; ; try++ {
		reply, err := c.call(ctx, e, http.MethodGet, "/supported", nil, maxSupported)
		if err != nil || reply.Status != http.StatusTooManyRequests || try == supportedTries {
			return reply, err
		}
		if !pause(ctx, min(max(reply.RetryAfter, time.Second), maxWait)) {
			return reply, nil
		}
	}
}

// parseSupported reads an answer to /supported. A kind that cannot be read is left
// out: it is not offered then, and the others are. Of two of one name the first counts.
func parseSupported(data []byte) (map[kind]json.RawMessage, bool) {
	limits := strictjson.Limits{Bytes: maxSupported, String: maxSupported, Members: 1024}
	if strictjson.Check(data, limits) != nil {
		return nil, false
	}
	// By exact names: a struct would take "Kinds" for "kinds".
	var byName map[string]json.RawMessage
	if json.Unmarshal(data, &byName) != nil {
		return nil, false
	}
	var list []json.RawMessage
	if json.Unmarshal(byName["kinds"], &list) != nil || list == nil {
		return nil, false
	}
	kinds := make(map[kind]json.RawMessage, len(list))
	for _, raw := range list {
		var k x402.Kind
		if json.Unmarshal(raw, &k) != nil || k.Scheme == "" || k.Network == "" {
			continue
		}
		name := kind{k.Version, k.Scheme, k.Network}
		if _, twice := kinds[name]; twice {
			continue
		}
		extra := json.RawMessage("{}")
		if k.Extra != nil {
			var err error
			if extra, err = json.Marshal(k.Extra); err != nil {
				continue
			}
		}
		kinds[name] = extra
	}
	return kinds, true
}

// quoted is what a facilitator wrote, for a log: printable, short, and nothing where
// it might say our secrets back to us.
func quoted(a Auth, r Reply) string {
	switch a.(type) {
	case nil:
	case *CDP:
		if bytes.Contains(r.Body, []byte("eyJ")) { // how tokens begin
			return ""
		}
	default:
		return ""
	}
	if len(r.Body) == 0 {
		return ""
	}
	return ": " + printed(r.Body)
}

// printed are the first printable characters of ASCII, others as dots.
func printed(b []byte) string {
	out := make([]byte, 0, maxText)
	for _, c := range b[:min(len(b), maxText)] {
		if c < ' ' || c > '~' {
			c = '.'
		}
		out = append(out, c)
	}
	return string(out)
}
