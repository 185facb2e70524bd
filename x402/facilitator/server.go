package facilitator

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"paywall/internal/problem"
	"paywall/payment"
	"paywall/x402"
)

// Server is a facilitator for servers of others: GET /supported, POST /verify and POST
// /settle in version 2 of x402, for the kinds of payment that have a binding. Mount it
// with [http.StripPrefix]. It is safe for concurrent use.
//
// What is bought here is the settlement itself: a payment is delivered once its client
// has the answer. Until then the same request has the same answer, and afterwards twice
// more within a minute, for an answer that was lost beyond our sight. Any other request
// for the same proof is refused: servers deliver for every success that they hear.
type Server struct {
	cfg       ServerConfig
	protocol  *x402.Protocol
	bindings  []binding
	clients   []*client
	supported []byte
	turns     turns
	repeats   *repeats
}

// client is a [ServerClient] with what it has used.
type client struct {
	ServerClient

	rate     *rate.Limiter
	settling chan struct{} // one per settlement
}

// NewServer checks the configuration.
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, turns: turns{waiting: map[string]*turn{}}}
	var err error
	if s.repeats, err = newRepeats(); err != nil {
		return nil, err
	}
	if s.protocol, err = x402.New(x402.Config{Origin: origin, Bindings: cfg.Bindings, NoV1: true}); err != nil {
		return nil, fmt.Errorf("facilitator: ServerConfig.Bindings: %w", err)
	}
	said := x402.SupportedResponse{Kinds: []x402.Kind{}, Extensions: []string{}, Signers: map[string][]string{}}
	for i, b := range cfg.Bindings {
		one, err := s.bind(b)
		if err != nil {
			return nil, wrongServer(fmt.Sprintf("Bindings[%d]", i), "%w", err)
		}
		extra := map[string]json.RawMessage{x402.ExtraFlow: json.RawMessage(`"` + x402.FlowUpfront + `"`)}
		maps.Copy(extra, one.need.Extra)
		said.Kinds = append(said.Kinds, x402.Kind{Version: x402.V2, Scheme: one.need.Scheme, Network: one.need.Network, Extra: extra})
		s.bindings = append(s.bindings, one)
	}
	if s.supported, err = json.Marshal(said); err != nil {
		return nil, fmt.Errorf("facilitator: encode what is supported: %w", err)
	}
	for _, c := range cfg.Clients {
		s.clients = append(s.clients, &client{
			ServerClient: c, rate: rate.NewLimiter(rate.Limit(cfg.Limits.Requests), cfg.Limits.Burst),
			settling: make(chan struct{}, cfg.Limits.Settling),
		})
	}
	return s, nil
}

// bind asks the protocol for the entry of a binding, which fills in its defaults.
func (s *Server) bind(b x402.Binding) (binding, error) {
	var out binding
	for _, m := range s.cfg.Methods {
		if m.Name() == b.Method {
			out.method = m
		}
	}
	if out.method == nil {
		return out, fmt.Errorf("there is no method %q", b.Method)
	}
	d, err := s.protocol.Compile(s.cfg.Realm, []payment.Offer{{Method: b.Method, Amount: sample()}})
	if err != nil {
		return out, err //nolint:wrapcheck // it says what cannot be offered
	}
	if out.need, err = stated(d, payment.Scope{}, s.cfg.Now()); err != nil {
		return out, err
	}
	delete(out.need.Extra, x402.ExtraFlow)
	return out, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	var serve func(http.ResponseWriter, *http.Request, *client)
	methods := []string{http.MethodPost}
	switch r.URL.Path {
	case "/supported":
		serve, methods = s.serveSupported, []string{http.MethodGet, http.MethodHead}
	case "/verify":
		serve = s.serveVerify
	case "/settle":
		serve = s.serveSettle
	default:
		tell(w, http.StatusNotFound, "There is nothing here.")
		return
	}
	if !slices.Contains(methods, r.Method) {
		h.Set("Allow", strings.Join(methods, ", "))
		tell(w, http.StatusMethodNotAllowed, "Use "+methods[0]+".")
		return
	}
	c := s.client(r.Header)
	if c == nil {
		h.Set("Www-Authenticate", `Bearer realm="`+s.cfg.Realm+`"`)
		tell(w, http.StatusUnauthorized, "Present the token of a client.")
		return
	}
	if !c.rate.AllowN(s.cfg.Now(), 1) {
		h.Set("Retry-After", "1")
		tell(w, http.StatusTooManyRequests, "Slow down.")
		return
	}
	serve(w, r, c)
}

// maxToken bounds what is hashed of a stranger's request.
const maxToken = 1024

// client is whose token the request has, or nil. All are compared, whoever it is.
func (s *Server) client(h http.Header) *client {
	lines := h["Authorization"]
	if len(lines) != 1 || len(lines[0]) > maxToken {
		return nil
	}
	scheme, token, ok := strings.Cut(lines[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	hash := HashToken(token)
	var found *client
	for _, c := range s.clients {
		if subtle.ConstantTimeCompare(hash[:], c.TokenHash[:]) == 1 {
			found = c
		}
	}
	return found
}

func (s *Server) serveSupported(w http.ResponseWriter, r *http.Request, _ *client) {
	if err := answer(w, r, http.StatusOK, s.supported); err != nil {
		s.cfg.Logger.DebugContext(r.Context(), "answer not written", "err", err)
	}
}

// body reads a request and says itself what is wrong with it. Of these answers none
// has a member `success`: they are not about the payment, which may be settled.
func body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	if !readable(r.Header) {
		tell(w, http.StatusUnsupportedMediaType, "The body must be JSON, without an encoding.")
		return nil, false
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		tell(w, http.StatusRequestEntityTooLarge, "The body is larger than 64 KiB.")
		return nil, false
	}
	if err != nil {
		tell(w, http.StatusBadRequest, "The body is cut off.")
		return nil, false
	}
	return data, true
}

func (s *Server) serveVerify(w http.ResponseWriter, r *http.Request, c *client) {
	data, ok := body(w, r)
	if !ok {
		return
	}
	status, resp := http.StatusOK, x402.VerifyResponse{}
	err := s.verify(r.Context(), c, data)
	switch no, refused := errors.AsType[*refusal](err); {
	case err == nil:
		resp.IsValid = true
	case refused:
		resp.InvalidReason = no.code
	case errors.Is(err, errMalformed):
		status, resp.InvalidReason = http.StatusBadRequest, x402.CodeInvalidPayload
	default:
		s.cfg.Logger.WarnContext(r.Context(), "payment not verified", "client", c.Name, "err", err)
		w.Header().Set("Retry-After", "5")
		tell(w, http.StatusServiceUnavailable, "Payments cannot be verified right now.")
		return
	}
	s.respond(w, r, status, resp)
}

var errPaused = errors.New("settlement is paused")

// verify finds out whether a payment would be settled, as far as that can be told
// without spending it: its form, that it fits, and that it was not used for something
// else. Whether the processor takes it is known when it is settled. Nothing is written,
// and nobody is called.
func (s *Server) verify(ctx context.Context, c *client, data []byte) error {
	o, err := s.parse(c, data, s.cfg.Now())
	if err != nil {
		return err
	}
	inst, err := o.method.Inspect(o.credential)
	if err != nil {
		return &refusal{x402.CodeInvalidPayload}
	}
	if s.cfg.Processor.Paused(ctx) != "" {
		return errPaused
	}
	for _, find := range []func() (payment.Payment, error){
		func() (payment.Payment, error) { return s.cfg.Payments.ByChallenge(ctx, o.credential.ChallengeID) },
		func() (payment.Payment, error) { return s.cfg.Payments.ByInstrument(ctx, inst.Fingerprint) },
	} {
		pay, err := find()
		switch {
		case errors.Is(err, payment.ErrNotFound):
		case err != nil:
			return fmt.Errorf("look for the payment: %w", err)
		case !same(pay, o.credential) || !good(pay.State):
			return &refusal{x402.CodeInvalidState}
		case pay.Delivery == payment.DeliveryDelivered:
			return &refusal{codeDuplicate} // its server has delivered for it
		}
	}
	return nil
}

// same reports whether the payment was begun by the credential, for the same thing.
func same(p payment.Payment, c payment.Credential) bool {
	return p.CredentialHash == c.Hash && p.Scope == c.Scope && p.Amount == c.Offer.Amount
}

// good reports whether a payment is settled, or may come to be.
func good(s payment.State) bool {
	return s == payment.StatePending || s == payment.StateAuthorized || s == payment.StateSettled
}

// respond writes a document of x402 that nothing depends on being read.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, status int, v any) {
	data, err := json.Marshal(v)
	if err == nil {
		err = answer(w, r, status, data)
	}
	if err != nil {
		s.cfg.Logger.DebugContext(r.Context(), "answer not written", "err", err)
	}
}

// answer writes JSON, and reports an error when the client cannot have all of it.
func answer(w http.ResponseWriter, r *http.Request, status int, data []byte) error {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("write the answer: %w", err)
	}
	return r.Context().Err() //nolint:wrapcheck // the client left
}

// tell answers what is not about a payment.
func tell(w http.ResponseWriter, status int, detail string) {
	problem.Document{Status: status, Detail: detail}.Write(w)
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
