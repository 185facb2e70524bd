package stripe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says how a [Server] behaves. Its zero value is good.
type Config struct {
	// Now is the processor's clock: creation times, expiry, the life of
	// idempotency keys. Nil means time.Now.
	Now func() time.Time
	// Wall is the clock that webhook signatures are dated by, as their receivers
	// compare it with their own. Nil means Now.
	Wall func() time.Time
	// NewID makes an identifier of a kind, "pi" for example: the prefix, an
	// underscore, and characters that no earlier one had. Nil takes them by chance.
	NewID func(prefix string) string
	// Profile is the business profile of the platform account. Tokens granted to
	// another profile do not resolve. Empty takes every profile that is not a
	// connected account's for the platform's own.
	Profile string
	// Latency is how long a call takes. Its idempotency key is in use meanwhile.
	Latency time.Duration
	// SearchLag is how long search does not see a new object. Zero means a
	// minute, as the processor documents; negative means none.
	SearchLag time.Duration
	// Webhooks are endpoints that exist from the start and survive [Server.Reset].
	Webhooks []Webhook
	// Retries are the pauses before a delivery is tried again. Nil means five,
	// from a second to ten minutes.
	Retries []time.Duration
	// Transport carries deliveries. Nil means one that reaches this machine only.
	Transport http.RoundTripper
	// Chain is where deposits of stablecoins are seen. Nil means that there are none.
	Chain Chain
	// Logger gets undeliverable webhooks and panics. Nil means none.
	Logger *slog.Logger
}

// A Server is the processor. It is safe for concurrent use. Call [Server.Close]
// when it has webhooks.
type Server struct {
	cfg    Config
	now    func() time.Time
	wall   func() time.Time
	log    *slog.Logger
	routes []route
	client *http.Client
	chain  Chain

	stop   context.CancelFunc // ends deliveries
	ctx    context.Context    //nolint:containedctx // the life of deliveries, which outlive the call that caused them
	wakeUp chan struct{}      // closed and replaced when time may have jumped
	work   sync.WaitGroup     // deliveries under way

	mu    sync.Mutex // guards everything below
	newID func(prefix string) string
	state *state
}

// New returns a processor without charges.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, now: cfg.Now, wall: cfg.Wall, log: cfg.Logger, newID: cfg.NewID, wakeUp: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	if s.chain = cfg.Chain; s.chain == nil {
		s.chain = noChain{}
	}
	if s.wall == nil {
		s.wall = s.now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.newID == nil {
		s.newID = func(prefix string) string { return prefix + "_" + rand.Text() }
	}
	if s.cfg.Retries == nil {
		s.cfg.Retries = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}
	}
	switch {
	case s.cfg.SearchLag == 0:
		s.cfg.SearchLag = time.Minute
	case s.cfg.SearchLag < 0:
		s.cfg.SearchLag = 0
	}
	transport := cfg.Transport
	if transport == nil {
		transport = loopbackTransport()
	}
	s.client = &http.Client{
		Transport:     transport,
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.routes = s.table()
	s.state = newState()
	s.configuredWebhooks()
	return s
}

// Close stops deliveries and waits for those under way.
func (s *Server) Close() {
	s.mu.Lock()
	s.stop() // under the mutex, so that no worker starts afterwards
	s.mu.Unlock()
	s.work.Wait()
	s.client.CloseIdleConnections()
}

// Reset forgets every object, idempotency key and event. The identifiers go on
// unless NewID starts anew itself.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.abandon()
	s.state = newState()
	s.configuredWebhooks()
}

// Wake does what has become due. Call it after Now has jumped.
func (s *Server) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	close(s.wakeUp)
	s.wakeUp = make(chan struct{})
}

// A call is one request being executed, under the server's mutex.
type call struct {
	*params
	account   *account
	id        string // from the path
	now       time.Time
	requestID string
	key       string
}

// object is a JSON object on its way out.
type object = map[string]any

type failureKey struct{}

// StoreFailure marks a request to end in a 500 that is kept under its
// idempotency key, with its effects if moved says so. It is how a processor
// fails after execution began.
func StoreFailure(ctx context.Context, moved bool) context.Context {
	return context.WithValue(ctx, failureKey{}, moved)
}

// ServeHTTP answers /v1/… and /v2/….
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	requestID := s.newID("req")
	s.mu.Unlock()
	w.Header().Set("Request-Id", requestID)
	status, body, err := s.answer(w, r, requestID)
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			s.log.ErrorContext(r.Context(), "processor stand-in failed", "err", err)
			e = serverError()
		}
		s.explain(w, e)
		status, body = e.Status, encode(e.body())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck,gosec // the client left; JSON, not a page
}

// explain sets the headers that go with a refusal.
func (s *Server) explain(w http.ResponseWriter, e *Error) {
	switch {
	case e.Status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="Stripe"`)
	case e.Status == http.StatusConflict:
		w.Header().Set("Stripe-Should-Retry", "true")
	case e.Status < 500 && e.Status != http.StatusTooManyRequests:
		w.Header().Set("Stripe-Should-Retry", "false")
	}
	if e.hint != "" {
		w.Header().Set("Sandbox-Hint", e.hint)
	}
}

// answer executes one request, or finds the answer that its key already has.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, requestID string) (int, []byte, error) {
	accountID, err := accountOf(r.Header)
	if err != nil {
		return 0, nil, err
	}
	if err := authenticate(r, accountID); err != nil {
		return 0, nil, err
	}
	v, err := version(r.Header, DefaultVersion)
	if err != nil {
		return 0, nil, err
	}
	w.Header().Set("Stripe-Version", v)
	rt, id, err := s.route(r, v)
	if err != nil {
		return 0, nil, err
	}
	form, err := readForm(r)
	if err != nil {
		return 0, nil, err
	}
	if err := gate(form, v); err != nil {
		return 0, nil, err
	}
	p := newParams(form)
	expand := p.list("expand")
	if err := checkExpand(expand); err != nil {
		return 0, nil, err
	}
	job := job{route: rt, params: &p, expand: expand, account: accountID, id: id, requestID: requestID}
	if r.Method != http.MethodPost {
		s.pause(s.cfg.Latency)
		return s.execute(job)
	}
	job.key = strings.TrimSpace(r.Header.Get("Idempotency-Key"))
	moved, fails := r.Context().Value(failureKey{}).(bool)
	job.fails, job.moved = fails, moved
	if job.key == "" {
		s.pause(s.cfg.Latency)
		return s.execute(job)
	}
	if len(job.key) > maxKey {
		return 0, nil, invalid("", "", "Idempotency keys can be at most %d characters.", maxKey)
	}
	w.Header().Set("Idempotency-Key", job.key)
	earlier, status, body, err := s.once(job, r.URL.Path, fingerprint(r.URL.Path, accountID, v, form.encode()))
	if earlier != nil {
		w.Header().Set("Idempotent-Replayed", "true")
		w.Header().Set("Original-Request", earlier.requestID)
		if earlier.status >= 400 && earlier.status < 500 {
			w.Header().Set("Stripe-Should-Retry", "false")
		}
		return earlier.status, earlier.body, nil
	}
	w.Header().Set("Original-Request", requestID)
	return status, body, err
}

// once executes a job unless its key has an answer already. The key is reserved
// before any work, so that of copies that arrive together one works and the
// others are told so.
func (s *Server) once(job job, endpoint string, form [32]byte) (earlier *saved, status int, body []byte, err error) {
	s.mu.Lock()
	store := &s.state.keys
	earlier, fresh, err := store.begin(job.key, endpoint, form, s.now())
	s.mu.Unlock()
	if err != nil || earlier != nil {
		return earlier, 0, nil, err
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		store.release(job.key, fresh)
	}()
	job.fresh, job.store = fresh, store
	s.pause(s.cfg.Latency)
	status, body, err = s.execute(job)
	return nil, status, body, err
}

// pause waits, unless the server is closed.
func (s *Server) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// A job is a call that has been read and may be executed.
type job struct {
	route     *route
	params    *params
	expand    []string
	account   string
	id        string
	requestID string
	key       string
	fresh     *saved // the reservation of the key, if any
	store     *keys
	fails     bool // ends in a stored 500
	moved     bool // but has its effects
}

// execute runs a job under the mutex and keeps its answer under its key in the
// same critical section: no one can see the effect without the answer.
func (s *Server) execute(job job) (int, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	var answer object
	var err error
	if job.fails && !job.moved {
		err = serverError()
	} else {
		answer, err = s.run(job)
		if job.fails {
			err = serverError()
		}
	}
	status := http.StatusOK
	var body []byte
	e, refusal := errors.AsType[*Error](err)
	switch {
	case err == nil:
		body = encode(answer)
	case refusal:
		status, body = e.Status, encode(e.body())
	default:
		return 0, nil, err
	}
	if job.fresh != nil && (err == nil || e.stored) {
		job.store.store(job.fresh, status, body, job.requestID)
	}
	return status, body, err
}

func (s *Server) run(job job) (object, error) {
	c := &call{
		params: job.params, account: s.state.account(job.account), id: job.id,
		now: s.now(), requestID: job.requestID, key: job.key,
	}
	s.state.cause = cause{requestID: job.requestID, key: job.key}
	defer func() { s.state.cause = cause{} }()
	answer, err := job.route.do(c)
	if err != nil {
		return nil, err
	}
	for _, path := range job.expand {
		s.expand(c.account, answer, path)
	}
	return answer, nil
}

// readForm takes the query and the body together.
func readForm(r *http.Request) (*node, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return nil, invalid("", "", "The request body could not be read, or is larger than %d bytes.", maxBody)
	}
	if t := r.Header.Get("Content-Type"); len(body) > 0 && strings.HasPrefix(t, "application/json") {
		return nil, invalid("", "", "Invalid request (check that your POST content type is application/x-www-form-urlencoded). "+
			"If you have questions, we can help at https://support.stripe.com/.")
	}
	return parseForm(r.URL.RawQuery, string(body))
}

// encode renders JSON with sorted names. What it is given always renders.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return []byte(`{"error":{"type":"api_error","message":"An unknown error occurred."}}`)
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// A route is one endpoint. In its path, a segment in braces is an identifier.
type route struct {
	method string
	path   []string
	since  string // the first date of the preview versions that it exists for, if only those
	do     func(*call) (object, error)
}

func (s *Server) route(r *http.Request, version string) (*route, string, error) {
	segments := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	for i := range s.routes {
		rt := &s.routes[i]
		if rt.method != r.Method || len(rt.path) != len(segments) {
			continue
		}
		id, ok := "", true
		for j, want := range rt.path {
			if want == "{id}" {
				id = segments[j]
				ok = ok && id != ""
			} else {
				ok = ok && want == segments[j]
			}
		}
		if !ok {
			continue
		}
		if rt.since != "" && (!preview(version) || version < rt.since) {
			e := unrecognized(r.Method, r.URL.Path)
			e.hint = "this needs a Stripe-Version that ends in .preview"
			if rt.since > sinceTokens {
				e.hint += " and is not older than " + rt.since
			}
			return nil, "", e
		}
		return rt, id, nil
	}
	return nil, "", unrecognized(r.Method, r.URL.Path)
}

// gate refuses token parameters of a version that does not know them, in the
// words for any unknown parameter.
func gate(form *node, version string) error {
	if preview(version) {
		return nil
	}
	for _, path := range [][]string{
		{"shared_payment_granted_token"},
		{"payment_method_data", "shared_payment_granted_token"},
		{"payment_method_options", "crypto"},
	} {
		at := form
		for _, name := range path {
			if at != nil {
				at = at.members[name]
			}
		}
		if at != nil {
			e, _ := errors.AsType[*Error](unknownParameter(joinName(path)))
			e.hint = "this needs a Stripe-Version that ends in .preview"
			return e
		}
	}
	return nil
}

// table lists the endpoints. Fixed paths come before those with an identifier.
func (s *Server) table() []route {
	const (
		get  = http.MethodGet
		post = http.MethodPost
		del  = http.MethodDelete
	)
	var all []route
	add := func(method, path string, do func(*call) (object, error)) {
		rt := route{method: method, path: strings.Split(path, "/"), do: do}
		switch {
		case strings.Contains(path, "shared_payment"):
			rt.since = sinceTokens
		case strings.HasPrefix(path, "v1/crypto/"):
			rt.since = sinceAddresses
		case strings.Contains(path, "crypto"):
			rt.since = sinceDeposit
		}
		all = append(all, rt)
	}
	add(post, "v1/payment_intents", s.createIntent)
	add(get, "v1/payment_intents", s.listIntents)
	add(get, "v1/payment_intents/search", s.searchIntents)
	add(get, "v1/payment_intents/{id}", s.retrieveIntent)
	add(post, "v1/payment_intents/{id}", s.updateIntent)
	add(post, "v1/payment_intents/{id}/confirm", s.confirmIntent)
	add(post, "v1/payment_intents/{id}/cancel", s.cancelIntent)
	add(post, "v1/payment_intents/{id}/capture", s.captureIntent)
	add(get, "v1/charges", s.listCharges)
	add(get, "v1/charges/search", s.searchCharges)
	add(get, "v1/charges/{id}", s.retrieveCharge)
	add(post, "v1/refunds", s.createRefund)
	add(get, "v1/refunds", s.listRefunds)
	add(get, "v1/refunds/{id}", s.retrieveRefund)
	add(post, "v1/refunds/{id}", s.updateRefund)
	add(post, "v1/refunds/{id}/cancel", s.cancelRefund)
	add(post, "v1/test_helpers/shared_payment/granted_tokens", s.createGranted)
	add(post, "v1/test_helpers/shared_payment/granted_tokens/{id}/revoke", s.revokeGranted)
	add(get, "v1/shared_payment/granted_tokens/{id}", s.retrieveGranted)
	add(post, "v1/shared_payment/issued_tokens", s.createIssued)
	add(get, "v1/shared_payment/issued_tokens/{id}", s.retrieveIssued)
	add(post, "v1/shared_payment/issued_tokens/{id}/revoke", s.revokeIssued)
	add(post, "v1/crypto/deposit_addresses", s.createAddress)
	add(get, "v1/crypto/deposit_addresses", s.listAddresses)
	add(get, "v1/crypto/deposit_addresses/{id}", s.retrieveAddress)
	add(post, "v1/test_helpers/payment_intents/{id}/simulate_crypto_deposit", s.simulateDeposit)
	add(get, "v1/events", s.listEvents)
	add(get, "v1/events/{id}", s.retrieveEvent)
	add(post, "v1/events/{id}/retry", s.retryEvent)
	add(post, "v1/webhook_endpoints", s.createEndpoint)
	add(get, "v1/webhook_endpoints", s.listEndpoints)
	add(get, "v1/webhook_endpoints/{id}", s.retrieveEndpoint)
	add(del, "v1/webhook_endpoints/{id}", s.deleteEndpoint)
	add(get, "v1/disputes", s.listDisputes)
	add(get, "v1/disputes/{id}", s.retrieveDispute)
	add(post, "v1/disputes/{id}", s.updateDispute)
	add(post, "v1/disputes/{id}/close", s.closeDispute)
	add(get, "v1/balance", s.balance)
	add(get, "v1/balance_transactions", s.listBalance)
	add(get, "v1/balance_transactions/{id}", s.retrieveBalance)
	add(get, "v1/payment_methods/{id}", s.retrieveMethod)
	add(post, "v1/tokens", s.createCardToken)
	add(get, "v1/tokens/{id}", s.retrieveCardToken)
	add(post, "v1/customers", s.createCustomer)
	add(get, "v1/customers", s.listCustomers)
	add(get, "v1/customers/{id}", s.retrieveCustomer)
	add(post, "v1/customers/{id}", s.updateCustomer)
	add(post, "v1/products", s.createProduct)
	add(get, "v1/products", s.listProducts)
	add(get, "v1/products/{id}", s.retrieveProduct)
	add(post, "v1/products/{id}", s.updateProduct)
	add(post, "v1/prices", s.createPrice)
	add(get, "v1/prices", s.listPrices)
	add(get, "v1/prices/{id}", s.retrievePrice)
	add(post, "v1/prices/{id}", s.updatePrice)
	add(get, "v1/account", s.retrieveAccount)
	add(get, "v2/network/business_profiles/me", s.businessProfile)
	return all
}

// expandable names the members that hold identifiers.
var expandable = []string{"balance_transaction", "charge", "customer", "dispute", "latest_charge", "payment_intent", "payment_method", "source"}

func checkExpand(paths []string) error {
	if len(paths) > 20 {
		return invalid("", "expand", "You cannot expand more than 20 properties.")
	}
	for _, path := range paths {
		parts := strings.Split(path, ".")
		if parts[0] == "data" {
			parts = parts[1:]
		}
		if len(parts) == 0 || len(parts) > 4 {
			return invalid("property_expansion_max_depth", "expand", "You cannot expand more than 4 levels of a property.")
		}
		for _, part := range parts {
			if !slices.Contains(expandable, part) {
				return invalid("", "expand", "This property cannot be expanded (%.60s).", path)
			}
		}
	}
	return nil
}

// expand puts the objects that a path names in the place of their identifiers.
func (s *Server) expand(a *account, at object, path string) {
	head, rest, more := strings.Cut(path, ".")
	if head == "data" {
		list, _ := at["data"].([]object)
		for _, item := range list {
			s.expand(a, item, rest)
		}
		return
	}
	if id, ok := at[head].(string); ok {
		if found := s.lookUp(a, id); found != nil {
			at[head] = found
		}
	}
	if inner, ok := at[head].(object); ok && more {
		s.expand(a, inner, rest)
	}
}
