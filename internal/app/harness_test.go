package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paywall/internal/config"
	"paywall/mpp"
	"paywall/payment"
	"paywall/sandbox"
	"paywall/sandbox/stripe"
)

const (
	testProfile = "profile_test_app"
	hookSecret  = "whsec_dGVzdHMgb2YgdGhlIGFwcCBvbmx5"
)

// plan says how a house is built; the zero value is the usual one.
type plan struct {
	// routes are lines below "routes:"; empty is the usual table.
	routes string
	// more are further top-level settings.
	more string
	// methods are further lines below "methods:"; %s is the sandbox's origin.
	methods string
	// public replaces public_url; %s is the port.
	public string
	// prepare may write files into the folder before the start.
	prepare func(dir string)
	// deaf has the processor send no events; a test sends its own.
	deaf bool
	// asleep leaves the server built and not running: nothing happens by itself.
	asleep bool
}

const usualRoutes = `
  - {match: "GET /v1/reports/{id}", upstream: api, price: 1.00 USD, description: One report}
  - {match: "POST /v1/complete", upstream: api, price: 0.75 USD}
  - {match: "GET /v1/archive/{path...}", upstream: api, price: 3.00 USD, pass: {for: 24h}}
  - {match: "GET /health", upstream: api, free: true}`

// house is a whole server on loopback: its API behind, the processor beside it.
type house struct {
	t      *testing.T
	dir    string
	file   string
	listen string
	admin  string
	origin string
	play   *sandbox.Sandbox
	playAt string
	api    *api
	logs   *lines
	client *http.Client

	server *server
	stop   func() error
	active atomic.Int64 // requests that the public handler is at
}

// api is what is sold. It counts, and does as it is told.
type api struct {
	mu     sync.Mutex // guards what follows
	seen   []*http.Request
	answer http.HandlerFunc
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.seen = append(a.seen, r)
	answer := a.answer
	a.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	fmt.Fprintf(w, "served %s %s", r.Method, r.URL.RequestURI())
}

func (a *api) set(answer http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func (a *api) requests() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*http.Request(nil), a.seen...)
}

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func port(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func build(t *testing.T, pl plan) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), listen: port(t), admin: port(t), api: &api{}, logs: &lines{}, stop: func() error { return nil }}
	h.file = filepath.Join(h.dir, "paywall.yaml")
	h.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(h.client.CloseIdleConnections)

	behind := httptest.NewServer(h.api)
	t.Cleanup(behind.Close)
	_, at, _ := net.SplitHostPort(h.listen)
	public := pl.public
	if public == "" {
		public = "http://127.0.0.1:%s"
	}
	h.origin = strings.ReplaceAll(public, "%s", at)
	var err error
	playAt := port(t)
	h.playAt = "http://" + playAt
	hooks := []stripe.Webhook{{URL: "http://" + h.listen + "/webhooks/stripe", Secret: hookSecret}}
	if pl.deaf {
		hooks = nil
	}
	h.play, err = sandbox.New(sandbox.Config{BaseURL: h.playAt, Profile: testProfile, SearchLag: -1, Webhooks: hooks})
	h.must(err)
	l, err := h.play.Listen(playAt)
	h.must(err)
	play := &http.Server{Handler: h.play.Handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = play.Serve(l) }()
	t.Cleanup(func() { h.play.Close(); _ = play.Close() })

	h.must((&keysNewCmd{Dir: h.dir, Algorithm: "ES256"}).Run(h.process()))
	if pl.prepare != nil {
		pl.prepare(h.dir)
	}
	if pl.routes == "" {
		pl.routes = usualRoutes
	}
	h.write(fmt.Sprintf(`listen: %s
public_url: %s
admin: {listen: %s}
store: sqlite:paywall.db
keys: {challenge: "file:challenge.key", receipts: "file:receipts.pem", seal: "file:seal.key"}
methods:
  stripe: {key: sk_test_app, profile: %s, webhook_secret: "env:HOOK_SECRET", base_url: "%s"}
%s
upstreams:
  api: {url: "%s"}
%s
routes:%s
`, h.listen, h.origin, h.admin, testProfile, h.playAt, strings.ReplaceAll(pl.methods, "%s", h.playAt), behind.URL, pl.more, pl.routes))
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	h.open()
	if pl.asleep {
		h.stop = h.server.store.Close
	} else {
		h.run()
	}
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) process(args ...string) *Process {
	return &Process{Args: args, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: h.logs, Getenv: func(name string) (string, bool) {
		return hookSecret, name == "HOOK_SECRET"
	}, Version: "test"}
}

func (h *house) write(yaml string) { h.must(os.WriteFile(h.file, []byte(yaml), 0o600)) }

// edit changes the configuration file.
func (h *house) edit(from, to string) {
	h.t.Helper()
	data, err := os.ReadFile(h.file)
	h.must(err)
	if !bytes.Contains(data, []byte(from)) {
		h.t.Fatalf("the file has no %q", from)
	}
	h.write(strings.ReplaceAll(string(data), from, to))
}

// open builds the server from the file.
func (h *house) open() {
	h.t.Helper()
	p := h.process()
	cfg, err := config.Load(h.file, p.Getenv)
	h.must(err)
	o, err := newObservers(h.t.Context(), cfg, p)
	h.must(err)
	h.t.Cleanup(o.close)
	spans := o.spans
	o.spans = func(next http.Handler) http.Handler {
		next = spans(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.active.Add(1)
			defer h.active.Add(-1)
			next.ServeHTTP(w, r)
		})
	}
	h.server, err = newServer(context.WithoutCancel(h.t.Context()), cfg, h.file, p, o)
	h.must(err)
}

// run starts what was opened and waits until it serves.
func (h *house) run() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	ready, ended := make(chan struct{}), make(chan error, 1)
	s := h.server
	go func() { ended <- s.run(ctx, func() { close(ready) }) }()
	h.stop = func() error {
		h.stop = func() error { return nil }
		cancel()
		h.client.CloseIdleConnections()
		return <-ended
	}
	select {
	case <-ready:
	case err := <-ended:
		h.stop = func() error { return nil }
		cancel()
		h.t.Fatalf("the server did not start: %v", err)
	}
}

// restart stops and starts again from the file.
func (h *house) restart() {
	h.t.Helper()
	h.must(h.stop())
	h.open()
	h.run()
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%d %q: %v", a.status, a.body, err)
	}
}

// request makes one for a path of the public listener, or for a whole URL.
// Headers are "Name: value".
func (h *house) request(method, target, body string, headers ...string) *http.Request {
	h.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = h.origin + target
	}
	r, err := http.NewRequestWithContext(h.t.Context(), method, target, strings.NewReader(body))
	h.must(err)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	return r
}

func (h *house) try(r *http.Request) (answer, error) {
	resp, err := h.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(data)}, err
}

func (h *house) do(method, target, body string, headers ...string) answer {
	h.t.Helper()
	a, err := h.try(h.request(method, target, body, headers...))
	h.must(err)
	return a
}

// operate has the admin listener do something.
func (h *house) operate(path, body string) answer {
	h.t.Helper()
	return h.do(http.MethodPost, "http://"+h.admin+path, body, adminHeader+": 1")
}

// token is one that pays, of a new card each time.
func (h *house) token() string {
	h.t.Helper()
	spt, err := h.play.Stripe().Grant("pm_card_visa", "usd", 1000, h.play.Now().Add(time.Hour), testProfile)
	h.must(err)
	return spt
}

// credential pays a 402 answer's first challenge.
func (h *house) credential(header http.Header) string { return h.credentialWith(header, h.token()) }

func (h *house) credentialWith(header http.Header, spt string) string {
	h.t.Helper()
	cs, err := mpp.ParseChallenges(header)
	h.must(err)
	if len(cs) == 0 {
		h.t.Fatal("no challenge")
	}
	c, err := mpp.NewCredential(cs[0], []byte(`{"spt":"`+spt+`"}`))
	h.must(err)
	field, err := c.Format()
	h.must(err)
	return "Authorization: " + field
}

// quote asks unpaid and returns what pays for it.
func (h *house) quote(method, path, body string) string {
	h.t.Helper()
	a := h.do(method, path, body)
	if a.status != http.StatusPaymentRequired {
		h.t.Fatalf("%s %s: %d %s, want 402", method, path, a.status, a.body)
	}
	return h.credential(a.header)
}

// sale is a payment that was made and served.
type sale struct{ id, receipt, credential string }

func (h *house) buy(method, path, body string) sale {
	h.t.Helper()
	credential := h.quote(method, path, body)
	a := h.do(method, path, body, credential)
	s := sale{a.header.Get("Paywall-Payment-Id"), a.header.Get("Paywall-Receipt"), credential}
	if a.status != http.StatusOK || s.id == "" || s.receipt == "" {
		h.t.Fatalf("%s %s, paid: %d %s %v", method, path, a.status, a.body, a.header)
	}
	// The payer has its answer a moment before the books say so, and before others
	// may take the payment up.
	h.until("delivered", func() bool { return h.active.Load() == 0 && h.payment(s.id).Delivery == payment.DeliveryDelivered })
	return s
}

func (h *house) payment(id string) payment.Payment {
	h.t.Helper()
	p, err := h.server.store.Get(h.t.Context(), id)
	h.must(err)
	return p
}

// until waits for something that others do.
func (h *house) until(what string, done func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 15*time.Second)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			h.t.Fatalf("waited in vain: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// processorCall is a call to the processor by somebody else with the seller's key.
func (h *house) processorCall(path, form string) map[string]any {
	h.t.Helper()
	a := h.do(http.MethodPost, h.playAt+path, form, "Content-Type: application/x-www-form-urlencoded",
		"Authorization: Bearer sk_test_app", "Stripe-Version: 2026-04-22.preview")
	var v map[string]any
	a.into(h.t, &v)
	if a.status != http.StatusOK {
		h.t.Fatalf("%s %s: %d %s", path, form, a.status, a.body)
	}
	return v
}

// whole checks that every invariant of the books holds.
func (h *house) whole() payment.Report {
	h.t.Helper()
	r, err := payment.Audit(h.t.Context(), h.server.store, h.server.processor.Now(), auditGrace)
	h.must(err)
	for _, b := range r.Breaks {
		h.t.Errorf("broken %s %s: %s", b.Invariant, b.Payment, b.What)
	}
	return r
}

// command runs one as the command line would, with what it printed.
func (h *house) command(args ...string) (code int, out string) {
	h.t.Helper()
	p := h.process(append(args, "-c", h.file)...)
	var b lines
	p.Stdout, p.Stderr = &b, &b
	code = Main(*p)
	return code, b.String()
}
