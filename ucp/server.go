package ucp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"paywall/checkout"
	"paywall/ucp/agent"
	"paywall/ucp/protocol"
)

// Service is the shop ([checkout.Service]).
type Service interface {
	Create(ctx context.Context, c checkout.Caller, d checkout.Desired) (checkout.Session, error)
	Get(ctx context.Context, c checkout.Caller, id string) (checkout.Session, error)
	Update(ctx context.Context, c checkout.Caller, id string, d checkout.Desired) (checkout.Session, error)
	Complete(ctx context.Context, c checkout.Caller, id, key string, pay checkout.Pay) (checkout.Session, error)
	Cancel(ctx context.Context, c checkout.Caller, id string) (checkout.Session, error)
	CreateCart(ctx context.Context, c checkout.Caller, d checkout.Desired) (checkout.Session, error)
	GetCart(ctx context.Context, c checkout.Caller, id string) (checkout.Session, error)
	UpdateCart(ctx context.Context, c checkout.Caller, id string, d checkout.Desired) (checkout.Session, error)
	CancelCart(ctx context.Context, c checkout.Caller, id string) (checkout.Session, error)
	Order(ctx context.Context, c checkout.Caller, id string) (checkout.Order, error)
	Due(x checkout.Session) (checkout.Due, bool)
	Left(ctx context.Context, variants []checkout.Variant) (map[string]int64, error)
}

// Receipt opens a priced route; it is a bearer secret.
type Receipt struct {
	// Line is the order's line that it was bought with.
	Line string `json:"line_item_id"`
	// Opens is the URL, or the pattern of one, that it opens.
	Opens   string    `json:"opens"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires_at"`
}

// Config is what a [Server] is made of. Service, Shop, Identify, Requests, CheckoutURL
// and OrderURL are required.
type Config struct {
	Service  Service
	Shop     func() *checkout.Shop
	Handlers []protocol.Handler
	// Identify finds out who calls ([agent.Gate.Identify]).
	Identify func(ctx context.Context, r agent.Request) (protocol.Peer, *protocol.Fault)
	// Challenge is the WWW-Authenticate of answers that want a token, or empty.
	Challenge string
	Requests  checkout.Requests
	// Sign, if set, signs the answers of completions.
	Sign func(h http.Header, status int, body []byte) error
	// Extension is the name of the receipt extension; Receipts are those of an order.
	Extension string
	Receipts  func(ctx context.Context, o checkout.Order) []Receipt
	// CheckoutURL and OrderURL are pages for people.
	CheckoutURL, OrderURL func(id string) string
	// Observe, if set, is told of every call once.
	Observe func(operation string, status int, took time.Duration)

	Now    func() time.Time
	Logger *slog.Logger
}

// Server serves a shop. It is safe for concurrent use.
type Server struct {
	cfg   Config
	ops   []operation
	tools map[string]*operation
}

// Bounds of requests.
const (
	maxBody   = 256 << 10
	maxKey    = 255
	minKey    = 8
	keepFor   = 48 * time.Hour  // answers by idempotency key
	leaseFor  = 2 * time.Minute // a request that is carried out
	waitFor   = 5 * time.Second // for one that is under way already
	waitEvery = 50 * time.Millisecond
)

// New checks the configuration.
func New(cfg Config) (*Server, error) {
	if cfg.Service == nil || cfg.Shop == nil || cfg.Identify == nil || cfg.Requests == nil || cfg.CheckoutURL == nil || cfg.OrderURL == nil {
		return nil, errors.New("ucp: Config.Service, Shop, Identify, Requests, CheckoutURL and OrderURL are required")
	}
	if cfg.Receipts == nil {
		cfg.Receipts = func(context.Context, checkout.Order) []Receipt { return nil }
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, int, time.Duration) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, tools: map[string]*operation{}}
	s.ops = s.operations()
	for i := range s.ops {
		s.tools[s.ops[i].name] = &s.ops[i]
	}
	return s, nil
}

// An operation is one of the protocol's, whatever the binding.
type operation struct {
	// name is its tool in MCP; method and path are in REST, "*" being the id.
	name, method, path string
	// capability has to be negotiated.
	capability string
	// member is the argument that holds the body in MCP.
	member string
	// changes says that it is carried out once for an idempotency key; keyed that MCP
	// wants one; signed that its answers are.
	changes, keyed, signed bool
	// proven says that the caller has to be authenticated.
	proven bool
	about  string
	run    func(ctx context.Context, c *call) (answer, error)
}

// A call is a request that was read and whose caller is known.
type call struct {
	op   *operation
	v    protocol.Version
	peer protocol.Peer
	id   string
	key  string
	body []byte
}

func (c *call) caller() checkout.Caller {
	p := checkout.Platform{Profile: c.peer.Profile, Version: string(c.v), Webhook: c.peer.Webhook}
	for name := range c.peer.Capabilities {
		if !strings.HasPrefix(name, "dev.ucp.") {
			p.Extensions = append(p.Extensions, name)
		}
	}
	return checkout.Caller{Principal: c.peer.Principal, Platform: p}
}

// An answer is a document with its status.
type answer struct {
	status int
	doc    any
}

func (s *Server) operations() []operation {
	const id = "*"
	return []operation{
		{name: "create_checkout", method: http.MethodPost, path: "checkout-sessions", capability: protocol.Checkout, member: "checkout", changes: true, run: s.create, about: "Make a checkout of items, or of a cart."},
		{name: "get_checkout", method: http.MethodGet, path: "checkout-sessions/" + id, capability: protocol.Checkout, run: s.get, about: "Read a checkout."},
		{name: "update_checkout", method: http.MethodPut, path: "checkout-sessions/" + id, capability: protocol.Checkout, member: "checkout", changes: true, run: s.update, about: "Replace what a checkout asks for."},
		{name: "complete_checkout", method: http.MethodPost, path: "checkout-sessions/" + id + "/complete", capability: protocol.Checkout, member: "checkout", changes: true, keyed: true, signed: true, run: s.complete, about: "Pay a checkout and place its order."},
		{name: "cancel_checkout", method: http.MethodPost, path: "checkout-sessions/" + id + "/cancel", capability: protocol.Checkout, changes: true, keyed: true, run: s.cancel, about: "End a checkout without paying."},
		{name: "create_cart", method: http.MethodPost, path: "carts", capability: protocol.Cart, member: "cart", changes: true, run: s.createCart, about: "Make a cart."},
		{name: "get_cart", method: http.MethodGet, path: "carts/" + id, capability: protocol.Cart, run: s.getCart, about: "Read a cart."},
		{name: "update_cart", method: http.MethodPut, path: "carts/" + id, capability: protocol.Cart, member: "cart", changes: true, run: s.updateCart, about: "Replace what a cart holds."},
		{name: "cancel_cart", method: http.MethodPost, path: "carts/" + id + "/cancel", capability: protocol.Cart, changes: true, keyed: true, run: s.cancelCart, about: "End a cart."},
		{name: "search_catalog", method: http.MethodPost, path: "catalog/search", capability: protocol.CatalogSearch, member: "catalog", run: s.search, about: "Find products by words, category and price."},
		{name: "lookup_catalog", method: http.MethodPost, path: "catalog/lookup", capability: protocol.CatalogLookup, member: "catalog", run: s.lookup, about: "Find products and variants by their ids."},
		{name: "get_product", method: http.MethodPost, path: "catalog/product", capability: protocol.CatalogLookup, member: "catalog", run: s.product, about: "Read one product with all of its variants."},
		{name: "get_order", method: http.MethodGet, path: "orders/" + id, capability: protocol.Order, proven: true, run: s.getOrder, about: "Read an order."},
	}
}

// prepare finds out who calls and whether the operation is open to it. out is set
// where the answer is given already.
func (s *Server) prepare(ctx context.Context, c *call, r agent.Request) (out *answer, fault *protocol.Fault) {
	if c.peer, fault = s.cfg.Identify(ctx, r); fault != nil {
		return nil, fault
	}
	if c.peer.Version != c.v {
		return nil, &protocol.Fault{Code: protocol.VersionUnsupported, Content: "This endpoint serves another version of UCP than the agent's profile; see /.well-known/ucp."}
	}
	if !c.peer.Has(c.op.capability) {
		return &answer{http.StatusOK, s.failure(c, nil, checkout.Message{
			Type: checkout.TypeError, Code: "capabilities_incompatible", Severity: checkout.Unrecoverable,
			Content: "The agent's profile and this shop do not have " + c.op.capability + " in common.",
		})}, nil
	}
	if c.op.proven && !c.peer.Authenticated {
		return nil, &protocol.Fault{Code: protocol.Unauthorized, Content: "Orders are shown to who has proved to be theirs: send an API key, a token or a signature."}
	}
	return nil, nil //nolint:nilnil // it goes on
}

// carry carries a call out, once for its key, and returns the answer as it is sent.
func (s *Server) carry(ctx context.Context, c *call) (status int, body []byte, fault *protocol.Fault) {
	if c.key == "" || !c.op.changes {
		return s.execute(ctx, c)
	}
	if len(c.key) < minKey || len(c.key) > maxKey || strings.ContainsFunc(c.key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return 0, nil, &protocol.Fault{Code: protocol.InvalidRequest, Content: "The idempotency key is 8 to 255 visible ASCII characters."}
	}
	sum := sha256.Sum256(c.body)
	hash := hex.EncodeToString(sum[:])
	k := checkout.RequestKey{Caller: c.peer.Principal, Operation: strings.TrimSpace(c.op.name + " " + c.id), Key: c.key}
	end := s.cfg.Now().Add(waitFor)
	for {
		now := s.cfg.Now()
		kept, state, err := s.cfg.Requests.Begin(ctx, k, hash, now, now.Add(leaseFor))
		switch {
		case err != nil:
			return 0, nil, &protocol.Fault{Code: protocol.Unavailable, Content: "This cannot be done at the moment; nothing was done.", RetryAfter: 2 * time.Second, Err: err}
		case state == checkout.RequestDone:
			return kept.Status, kept.Body, nil
		case state == checkout.RequestConflict:
			return 0, nil, &protocol.Fault{Code: protocol.IdempotencyConflict, Content: "This idempotency key was used for another request; take a new one."}
		case state == checkout.RequestNew:
			return s.first(ctx, c, k)
		}
		if !s.cfg.Now().Before(end) || !pause(ctx, waitEvery) {
			return 0, nil, &protocol.Fault{Code: protocol.Unavailable, Content: "This very request is being carried out; send it again in a moment.", RetryAfter: 2 * time.Second}
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// first carries out a call that has taken its key, and keeps the answer. It does not
// end with the caller: who has hung up asks again.
func (s *Server) first(ctx context.Context, c *call, k checkout.RequestKey) (int, []byte, *protocol.Fault) {
	ctx = context.WithoutCancel(ctx)
	kept := false
	defer func() {
		if kept {
			return
		}
		if err := s.cfg.Requests.Forget(ctx, k); err != nil {
			s.cfg.Logger.WarnContext(ctx, "an idempotency key is held until its lease ends", "operation", c.op.name, "err", err)
		}
	}()
	status, body, fault := s.execute(ctx, c)
	if fault != nil {
		return status, body, fault // nothing was done; the key may be used again
	}
	if err := s.cfg.Requests.Finish(ctx, k, checkout.Answer{Status: status, Body: body}, s.cfg.Now().Add(keepFor)); err != nil {
		// What was done stays done: a checkout answers for itself to the same key.
		s.cfg.Logger.WarnContext(ctx, "an answer was not kept", "operation", c.op.name, "err", err)
		return status, body, nil
	}
	kept = true
	return status, body, nil
}

// execute runs the operation and renders what comes of it.
func (s *Server) execute(ctx context.Context, c *call) (int, []byte, *protocol.Fault) {
	a, err := c.op.run(ctx, c)
	if err != nil {
		var fault *protocol.Fault
		if a, fault = s.outcome(c, err); fault != nil {
			return 0, nil, fault
		}
	}
	body, err := json.Marshal(a.doc)
	if err != nil {
		return 0, nil, &protocol.Fault{Code: protocol.Internal, Content: "The answer could not be written.", Err: err}
	}
	return a.status, body, nil
}

// outcome sorts refusals into outcomes of business and faults.
func (s *Server) outcome(c *call, err error) (answer, *protocol.Fault) {
	if fault, ok := errors.AsType[*protocol.Fault](err); ok {
		return answer{}, fault
	}
	e, ok := errors.AsType[*checkout.Error](err)
	if !ok {
		return answer{}, &protocol.Fault{Code: protocol.Internal, Content: "This could not be done.", Err: err}
	}
	content := "This could not be done."
	if len(e.Messages) > 0 {
		content = e.Messages[0].Content
		if e.Messages[0].Path != "" {
			content += " (" + e.Messages[0].Path + ")"
		}
	}
	switch e.Kind {
	case checkout.KindNotFound, checkout.KindUnavailable:
		return answer{http.StatusOK, s.failure(c, nil, e.Messages...)}, nil
	case checkout.KindPayment:
		return answer{http.StatusOK, s.failure(c, nil, e.Messages...)}, nil
	case checkout.KindInvalid:
		return answer{}, &protocol.Fault{Code: protocol.InvalidRequest, Content: content, Err: err}
	case checkout.KindState:
		return answer{}, &protocol.Fault{Code: protocol.InvalidState, Content: content, Err: err}
	case checkout.KindBusy:
		return answer{}, &protocol.Fault{Code: protocol.Unavailable, Content: content, RetryAfter: max(e.RetryAfter, time.Second), Err: err}
	case checkout.KindInternal:
	}
	return answer{}, &protocol.Fault{Code: protocol.Internal, Content: "This could not be done.", Err: err}
}

// note logs a fault whose cause is worth knowing.
func (s *Server) note(ctx context.Context, c *call, fault *protocol.Fault) {
	switch {
	case fault.Status() >= http.StatusInternalServerError && fault.Err != nil:
		s.cfg.Logger.ErrorContext(ctx, "ucp call failed", "operation", c.op.name, "code", fault.Code, "err", fault.Err)
	case fault.Err != nil:
		s.cfg.Logger.InfoContext(ctx, "ucp call refused", "operation", c.op.name, "code", fault.Code, "err", fault.Err)
	}
}
