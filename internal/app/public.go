package app

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"paywall/internal/canonical"
	"paywall/internal/config"
	"paywall/internal/testhook"
	"paywall/methods/stripe"
	"paywall/payment"
	"paywall/receipts"
	"paywall/x402"
)

func canonicalOptions(cfg *config.Config) canonical.Options {
	return canonical.Options{FoldSlashes: cfg.FoldSlashes}
}

func readFile(name string) ([]byte, error) { return os.ReadFile(name) } //nolint:wrapcheck // it names the file

// public is what agents reach: our own endpoints by their exact paths, and the
// priced API for everything else.
func (s *server) public() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	own := gin.New()
	own.HandleMethodNotAllowed = true
	own.RedirectTrailingSlash = false
	doc := func(pick func(*snapshot) http.Handler) gin.HandlerFunc {
		return func(c *gin.Context) { pick(s.current.Load()).ServeHTTP(c.Writer, c.Request) }
	}
	pub, err := receipts.NewPublisher(receipts.PublisherConfig{Keys: s.parts.ring, Issuer: s.cfg.PublicURL, Now: testhook.Now()})
	own.Any("/openapi.json", doc(func(n *snapshot) http.Handler { return n.docs.OpenAPIHandler() }))
	own.Any("/llms.txt", doc(func(n *snapshot) http.Handler { return n.docs.LLMsHandler() }))
	if err == nil { // the issuer was made from the same settings
		own.Any("/.well-known/jwks.json", gin.WrapH(pub.JWKS()))
		own.Any("/.well-known/did.json", gin.WrapH(pub.DID()))
	}
	payments := s.gate.Payments()
	own.Any("/payments/:id", func(c *gin.Context) {
		c.Request.SetPathValue("id", c.Param("id"))
		payments.ServeHTTP(c.Writer, c.Request)
	})
	own.POST("/webhooks/:method", s.webhook)
	if s.cfg.X402.Enabled && s.cfg.X402.Bazaar {
		own.Any("/discovery/resources", gin.WrapH(x402.Discovery(func() []x402.DiscoveryItem { return s.current.Load().items })))
	}
	if s.facilitator != nil {
		own.Any("/x402/:call", gin.WrapH(http.StripPrefix("/x402", s.facilitator)))
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		own.Handle(method, "/healthz", gin.WrapF(healthz))
		own.Handle(method, "/readyz", gin.WrapF(readyz(s.ready)))
	}
	own.NoMethod(func(c *gin.Context) {
		writeProblem(c.Writer, http.StatusMethodNotAllowed, "This method is not served here.")
	})
	own.NoRoute(func(c *gin.Context) { writeProblem(c.Writer, http.StatusNotFound, "Nothing is here.") })

	exact := map[string]bool{"/openapi.json": true, "/llms.txt": true, "/.well-known/jwks.json": true, "/.well-known/did.json": true, "/healthz": true, "/readyz": true, "/discovery/resources": true}
	h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// By what was sent, so that no spelling of a priced path gets here.
		path, _, _ := strings.Cut(r.RequestURI, "?")
		if s.shop != nil && shopPath(path) {
			s.shop.mux.ServeHTTP(steady{w, s.cfg.Limits.WriteStall}, r)
			return
		}
		if exact[path] || below(path, "/payments/") || below(path, "/webhooks/") || below(path, "/x402/") {
			own.ServeHTTP(steady{w, s.cfg.Limits.WriteStall}, r)
			return
		}
		s.current.Load().router.ServeHTTP(w, r)
	}))
	h = s.telemetry.middleware(h)
	switch {
	case s.cfg.TLS != nil:
		h = sameName(h, s.cfg.TrustedProxies)
	case !s.cfg.InsecureHTTP && (strings.HasPrefix(s.cfg.PublicURL, "https:") || !loopbackHost(s.cfg.Listen)):
		h = behindProxy(h, s.cfg.TrustedProxies)
	}
	return h
}

// shopPath reports whether a path is one of a shop's.
func shopPath(path string) bool {
	return path == "/.well-known/ucp" || strings.HasPrefix(path, "/.well-known/ucp/") || strings.HasPrefix(path, "/ucp/") || strings.HasPrefix(path, "/shop/")
}

// below reports whether path is one segment under prefix.
func below(path, prefix string) bool {
	tail, ok := strings.CutPrefix(path, prefix)
	return ok && tail != "" && strings.IndexByte(tail, '/') < 0
}

// behindProxy refuses what did not come encrypted through a trusted proxy: a
// credential that crossed a network in the clear is not safe to use. What comes
// from this machine crossed none, unless a proxy on it says that it did.
func behindProxy(next http.Handler, trusted []netip.Prefix) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, said := peerAddr(r), r.Header["X-Forwarded-Proto"]
		here := peer.IsLoopback()
		switch {
		case here && len(said) == 0:
		case r.RequestURI == "/healthz", r.RequestURI == "/readyz": // probes come from anywhere and carry nothing
		// One value: of several, it is not known which the proxy has written.
		case (here || within(trusted, peer)) && len(said) == 1 && strings.EqualFold(said[0], "https"):
		default:
			writeProblem(w, http.StatusBadRequest, "Use https.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sameName refuses a request for another host than the one its connection was
// opened to: what one was checked for must not pass for the other. Proxies
// open theirs to whatever name they know us by.
func sameName(next http.Handler, trusted []netip.Prefix) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := ""
		if r.TLS != nil {
			name = r.TLS.ServerName
		}
		if name != "" && !strings.EqualFold(name, strings.TrimSuffix(hostOf(r.Host), ".")) && !within(trusted, peerAddr(r)) {
			writeProblem(w, http.StatusMisdirectedRequest, "This host is not served on this connection.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

type peerKey struct{}

// withPeer reads the address of a connection once for all of its requests.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, addrOf(c.RemoteAddr().String()))
}

func peerAddr(r *http.Request) netip.Addr {
	if a, ok := r.Context().Value(peerKey{}).(netip.Addr); ok {
		return a
	}
	return addrOf(r.RemoteAddr)
}

func addrOf(addrPort string) netip.Addr {
	ap, err := netip.ParseAddrPort(addrPort)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

func within(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// clientAddr is the address that limits count for. What a client says of
// itself is believed only as far as trusted proxies have written it: from the
// right, the first address that is not one of theirs.
func clientAddr(trusted []netip.Prefix) func(*http.Request) netip.Addr {
	return func(r *http.Request) netip.Addr {
		peer := peerAddr(r)
		if len(trusted) == 0 || !within(trusted, peer) {
			return peer
		}
		var hops []string
		for _, line := range r.Header["X-Forwarded-For"] {
			hops = append(hops, strings.Split(line, ",")...)
		}
		for _, hop := range slices.Backward(hops) {
			a, err := netip.ParseAddr(strings.TrimSpace(hop))
			if err != nil {
				return peer
			}
			peer = a.Unmap()
			if !within(trusted, peer) {
				return peer
			}
		}
		return peer
	}
}

// maxWebhook bounds a webhook's body.
const maxWebhook = 256 << 10

// webhook takes a processor's event. It is a hint to look: what is true is
// asked of the processor before anything changes.
func (s *server) webhook(c *gin.Context) {
	w, r := c.Writer, c.Request
	rail := s.parts.rails.Stripe
	if c.Param("method") != stripe.Name || rail == nil || len(s.cfg.Methods.Stripe.WebhookSecrets) == 0 {
		writeProblem(w, http.StatusNotFound, "No webhook is taken here.")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhook))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			writeProblem(w, http.StatusRequestEntityTooLarge, "The event is too large.")
			return
		}
		writeProblem(w, http.StatusBadRequest, "The event could not be read.")
		return
	}
	event, err := rail.Webhook(r.Header, body)
	if err != nil {
		s.env.logger.WarnContext(r.Context(), "webhook refused", "err", err)
		writeProblem(w, http.StatusBadRequest, "The event is not accepted.")
		return
	}
	if err := s.applyEvent(r, rail, event); err != nil {
		// It comes again later.
		if pe, ok := errors.AsType[*payment.Error](err); ok && pe.Kind == payment.KindInProgress {
			// The word of our own refund arrives before the answer to it does.
			s.env.logger.InfoContext(r.Context(), "webhook put off", "event", event.ID, "type", event.Type, "payment", pe.PaymentID)
			w.Header().Set("Retry-After", "5")
			writeProblem(w, http.StatusServiceUnavailable, "The payment is being worked on.")
			return
		}
		s.env.logger.ErrorContext(r.Context(), "webhook not applied", "event", event.ID, "type", event.Type, "err", err)
		writeProblem(w, http.StatusInternalServerError, "The event could not be applied now.")
		return
	}
	writeJSON(w, map[string]bool{"received": true})
}

func (s *server) applyEvent(r *http.Request, rail *stripe.Method, e stripe.Event) error {
	ctx := r.Context()
	if e.Concern == stripe.ConcernNone {
		return nil
	}
	pay, err := s.concerned(r, e)
	if errors.Is(err, payment.ErrNotFound) {
		if e.PaymentID != "" {
			s.env.logger.ErrorContext(ctx, "the processor tells of a payment that is not in this store", "event", e.ID, "payment", e.PaymentID, "reference", e.Reference)
		}
		return nil
	}
	if err != nil {
		return err
	}
	out := rail.Reread(ctx, e, pay)
	switch out.Class {
	case payment.OutcomeUnknown, payment.OutcomeNotNow:
		return errors.Join(errors.New("the processor could not be asked"), out.Err)
	case payment.OutcomeMismatch:
		s.env.logger.ErrorContext(ctx, "webhook contradicts the books", "event", e.ID, "payment", pay.ID, "reason", out.Reason)
		if e.Concern != stripe.ConcernCharge {
			return nil
		}
	case payment.OutcomeSucceeded, payment.OutcomeDeclined, payment.OutcomeNone, payment.OutcomeStarted, payment.OutcomeVoided:
	}
	switch e.Concern {
	case stripe.ConcernCharge:
		_, err = s.processor.Resolve(ctx, pay.ID, out)
	case stripe.ConcernRefund:
		switch out.Class { //nolint:exhaustive // the others are none of a refund that is known
		case payment.OutcomeSucceeded:
			_, err = s.processor.Returned(ctx, pay.ID, out.Reference)
		case payment.OutcomeNone:
			// The payer's bank has sent it back: it is owed again.
			_, err = s.processor.RefundFailed(ctx, pay.ID, out.Reference, out.Reason)
		}
	case stripe.ConcernDispute:
		if out.Class == payment.OutcomeSucceeded {
			_, err = s.processor.Dispute(ctx, pay.ID, out.Reason != stripe.ReasonDisputeWon)
		}
	case stripe.ConcernNone:
	}
	// A late word about what is over changes nothing; one that came too early, for
	// a payment still in doubt, must come again.
	if err != nil && (!errors.Is(err, payment.ErrState) || pay.State == payment.StatePending) {
		return err //nolint:wrapcheck // logged by the caller
	}
	_, err = s.store.Seen(ctx, stripe.Name, e.ID, s.processor.Now())
	return err //nolint:wrapcheck // logged by the caller
}

func (s *server) concerned(r *http.Request, e stripe.Event) (payment.Payment, error) {
	if e.PaymentID != "" {
		return s.store.Get(r.Context(), e.PaymentID) //nolint:wrapcheck // a sentinel decides
	}
	return s.store.ByReference(r.Context(), stripe.Name, e.Reference) //nolint:wrapcheck // a sentinel decides
}

// limitConns bounds connections in all and per client network. A trusted proxy
// carries many clients and is bounded by the total alone.
func limitConns(l net.Listener, total, perClient int, trusted []netip.Prefix) net.Listener {
	return &limited{Listener: l, total: total, each: perClient, trusted: trusted, open: map[netip.Addr]int{}}
}

type limited struct {
	net.Listener

	total, each int
	trusted     []netip.Prefix
	mu          sync.Mutex // guards open and count
	open        map[netip.Addr]int
	count       int
}

// Accept implements [net.Listener]: connections over the limit are closed at once.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // the server classes it
		}
		addr := addrOf(c.RemoteAddr().String())
		from := networkOf(addr)
		if l.enter(from, within(l.trusted, addr)) {
			return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_ = c.Close()
	}
}

func networkOf(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

func (l *limited) enter(from netip.Addr, proxy bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total > 0 && l.count >= l.total || !proxy && l.each > 0 && l.open[from] >= l.each {
		return false
	}
	l.count++
	l.open[from]++
	return true
}

func (l *limited) leave(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count--
	if l.open[from]--; l.open[from] <= 0 {
		delete(l.open, from)
	}
}

type limitedConn struct {
	net.Conn

	leave func()
}

// Close implements [net.Conn].
func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close() //nolint:wrapcheck // the server classes it
}
