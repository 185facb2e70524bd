package stripe

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// A Webhook is an endpoint that is there from the start. It gets the events of
// the platform account and of connected ones.
type Webhook struct {
	URL    string   // on this machine
	Secret string   // whsec_…; empty has one made, which an API client cannot learn
	Events []string // nil means all
}

// maxQueue is how many deliveries wait for one endpoint.
const maxQueue = 10_000

// An endpoint receives events. Each has a queue of its own, so that one that
// hangs holds up no other.
type endpoint struct {
	id          string
	created     time.Time
	account     string
	connect     bool // events of connected accounts
	own         bool // events of its own account
	url         string
	secret      string
	events      []string
	version     string
	description string
	metadata    map[string]string
	gone        bool
	running     bool
	queue       []delivery
}

type delivery struct {
	event *event
	tries int
	due   time.Time
}

func (p *endpoint) wants(e *event) bool {
	mine := p.account == e.account.id
	return (mine && p.own || !mine && p.connect) && (slices.Contains(p.events, "*") || slices.Contains(p.events, e.kind))
}

func (p *endpoint) render() object {
	return object{
		"id": p.id, "object": "webhook_endpoint", "api_version": orNull(p.version), "application": nil, "created": p.created.Unix(),
		"description": orNull(p.description), "enabled_events": p.events, "livemode": false, "metadata": notes(p.metadata),
		"status": "enabled", "url": p.url,
	}
}

func (s *Server) configuredWebhooks() {
	if s.cfg.Profile != "" {
		s.state.account(platformAccount).profile = s.cfg.Profile
	}
	for _, w := range s.cfg.Webhooks {
		p := &endpoint{
			id: s.newID("we"), created: s.now(), account: platformAccount, own: true, connect: true,
			url: w.URL, secret: w.Secret, events: w.Events,
		}
		if p.secret == "" {
			p.secret = s.newID("whsec")
		}
		if p.events == nil {
			p.events = []string{"*"}
		}
		s.state.endpoints = append(s.state.endpoints, p)
	}
}

// abandon ends the queues of a state that is thrown away.
func (st *state) abandon() {
	for _, p := range st.endpoints {
		p.gone, p.queue = true, nil
	}
}

// queue hands an event to the endpoint's worker and starts it if it rests.
func (s *Server) queue(p *endpoint, e *event) {
	if len(p.queue) >= maxQueue {
		s.log.Warn("webhook queue is full", "endpoint", p.id, "event", e.id)
		return
	}
	e.pending++
	p.queue = append(p.queue, delivery{event: e, due: s.now()})
	if p.running || s.ctx.Err() != nil {
		return
	}
	p.running = true
	s.work.Go(func() { s.deliver(p) })
}

// deliver delivers until nothing is left for the endpoint.
func (s *Server) deliver(p *endpoint) {
	for {
		d, wait, wake, ok := s.next(p)
		if !ok {
			return
		}
		if wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-wake:
			case <-s.ctx.Done():
			}
			t.Stop()
			continue
		}
		err := s.post(p, d.event)
		s.delivered(p, d, err)
	}
}

// next takes what is due, or says how long to wait for it. It is not ok when the
// worker may rest.
func (s *Server) next(p *endpoint) (d delivery, wait time.Duration, wake <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p.queue) == 0 || p.gone || s.ctx.Err() != nil {
		p.running = false
		return delivery{}, 0, nil, false
	}
	first := 0
	for i := range p.queue {
		if p.queue[i].due.Before(p.queue[first].due) {
			first = i
		}
	}
	d = p.queue[first]
	if wait = d.due.Sub(s.now()); wait <= 0 {
		p.queue = slices.Delete(p.queue, first, first+1)
	}
	return d, wait, s.wakeUp, true
}

func (s *Server) delivered(p *endpoint, d delivery, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		d.event.pending--
		return
	}
	if d.tries >= len(s.cfg.Retries) || p.gone {
		s.log.Warn("webhook not delivered", "endpoint", p.id, "event", d.event.id, "err", err)
		return
	}
	d.due = s.now().Add(s.cfg.Retries[d.tries])
	d.tries++
	p.queue = append(p.queue, d)
}

var errNotAccepted = errors.New("not accepted")

func (s *Server) post(p *endpoint, e *event) error {
	s.mu.Lock()
	version := p.version
	if version == "" {
		version = DefaultVersion
	}
	body := encode(e.as(version))
	at := s.wall()
	s.mu.Unlock()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Stripe/1.0 (sandbox)")
	req.Header.Set("Stripe-Signature", Sign(p.secret, body, at))
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.CopyN(io.Discard, resp.Body, 64<<10); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("%w: status %d", errNotAccepted, resp.StatusCode)
	}
	return nil
}

// Sign is the value of the Stripe-Signature header of a delivery: the time in
// seconds, and the HMAC of time, dot and body.
func Sign(secret string, body []byte, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

var errNotLoopback = errors.New("the sandbox delivers to this machine only")

// loopbackTransport refuses every address that is not this machine, after names
// were resolved.
func loopbackTransport() *http.Transport {
	d := net.Dialer{Timeout: 3 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !to.Addr().Unmap().IsLoopback() {
			return errNotLoopback
		}
		return nil
	}}
	return &http.Transport{
		DialContext:           d.DialContext,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: 10 * time.Second,
	}
}

func (s *Server) createEndpoint(c *call) (object, error) {
	p := &endpoint{
		created: c.now, account: c.account.id, url: c.need("url"), events: c.list("enabled_events"),
		version: c.str("api_version"), description: c.str("description"), connect: c.flag("connect"), metadata: c.metadata("metadata", nil),
	}
	p.own = !p.connect
	if len(p.events) == 0 {
		c.missing("enabled_events")
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if p.version != "" && !versionForm.MatchString(p.version) {
		return nil, invalid("", "api_version", "Invalid API version: %.40s", p.version)
	}
	u, err := url.Parse(p.url)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, invalid("url_invalid", "url", "Invalid URL: an explicit scheme (such as https) must be provided.")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !ip.Unmap().IsLoopback()) {
		return nil, invalid("url_invalid", "url", "Invalid URL: the sandbox delivers to this machine only, to 127.0.0.1 for example.")
	}
	p.id, p.secret = s.newID("we"), s.newID("whsec")
	s.state.endpoints = append(s.state.endpoints, p)
	o := p.render()
	o["secret"] = p.secret
	return o, nil
}

// endpointFor returns the index of an endpoint of the calling account.
func (s *Server) endpointFor(c *call) (int, error) {
	for i, p := range s.state.endpoints {
		if p.id == c.id && p.account == c.account.id {
			return i, nil
		}
	}
	return 0, noSuch("webhook endpoint", "webhook_endpoint", c.id)
}

func (s *Server) retrieveEndpoint(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	i, err := s.endpointFor(c)
	if err != nil {
		return nil, err
	}
	return s.state.endpoints[i].render(), nil
}

func (s *Server) deleteEndpoint(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	i, err := s.endpointFor(c)
	if err != nil {
		return nil, err
	}
	p := s.state.endpoints[i]
	p.gone, p.queue = true, nil
	s.state.endpoints = slices.Delete(s.state.endpoints, i, i+1)
	return object{"id": p.id, "object": "webhook_endpoint", "deleted": true}, nil
}

func (s *Server) listEndpoints(c *call) (object, error) {
	g := c.page()
	if err := c.finish(); err != nil {
		return nil, err
	}
	var mine shelf[*endpoint]
	for _, p := range s.state.endpoints {
		if p.account == c.account.id {
			mine.add(p)
		}
	}
	found, more, err := cut(&mine, g, "webhook endpoint", func(*endpoint) bool { return true })
	if err != nil {
		return nil, err
	}
	return listOf(found, more, "/v1/webhook_endpoints", (*endpoint).render), nil
}

func (p *endpoint) ident() string   { return p.id }
func (p *endpoint) born() time.Time { return p.created }
