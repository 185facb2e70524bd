package gate

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paywall/internal/problem"
	"paywall/payment"
)

// Payments answers GET /payments/{id} for whoever holds the payment's
// credential or receipt. To everybody else no payment exists.
func (g *Gate) Payments() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Access-Control-Allow-Origin", "*")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		id := r.PathValue("id")
		if id == "" {
			id = strings.TrimPrefix(r.URL.Path, "/payments/")
		}
		if id == "credit" && g.cfg.Credits != nil {
			g.account(w, r)
			return
		}
		if !g.holds(r.Header) {
			h.Set("Www-Authenticate", `Bearer realm="`+g.cfg.Realm+`"`)
			problem.Document{
				Type: "about:blank", Title: "Unauthorized", Status: http.StatusUnauthorized,
				Detail: "Present the payment's credential or its receipt.",
			}.Write(w)
			return
		}
		pay, err := g.held(r, id)
		switch {
		case errors.Is(err, payment.ErrNotFound):
			if !g.limits.failure(g.cfg.Client(r)) {
				h.Set("Retry-After", "2")
				problem.Document{Type: "about:blank", Title: "Too Many Requests", Status: http.StatusTooManyRequests, Detail: "Slow down."}.Write(w)
				return
			}
			problem.Document{Type: "about:blank", Title: "Not Found", Status: http.StatusNotFound, Detail: "There is no such payment of yours."}.Write(w)
		case err != nil:
			g.cfg.Logger.ErrorContext(r.Context(), "payment not read", "err", err)
			h.Set("Retry-After", "5")
			problem.Document{Type: "about:blank", Title: "Service Unavailable", Status: http.StatusServiceUnavailable, Detail: "The payment cannot be read right now."}.Write(w)
		default:
			writePayment(w, pay)
		}
	})
}

// holds reports whether the request presents anything that could prove a payment.
func (g *Gate) holds(h http.Header) bool {
	for _, p := range g.cfg.Protocols {
		if p.Presents(h) {
			return true
		}
	}
	if g.cfg.Receipts == nil {
		return false
	}
	_, ok := g.cfg.Receipts.Bearer(h)
	return ok
}

func (g *Gate) held(r *http.Request, id string) (payment.Payment, error) {
	var proven func(payment.Payment) bool
	if g.cfg.Receipts != nil {
		if token, ok := g.cfg.Receipts.Bearer(r.Header); ok {
			of, err := g.cfg.Receipts.Verify(token)
			if err != nil || of != id {
				return payment.Payment{}, payment.ErrNotFound
			}
			proven = func(payment.Payment) bool { return true }
		}
	}
	if proven == nil {
		hash := ""
		for _, p := range g.cfg.Protocols {
			if h, err := p.Fingerprint(r.Header); err == nil {
				hash = h
			}
		}
		if hash == "" {
			return payment.Payment{}, payment.ErrNotFound
		}
		// What the network shows to everybody proves nobody; who presented it first is
		// known from where it came.
		client := g.cfg.Client(r)
		proven = func(p payment.Payment) bool {
			return p.CredentialHash == hash && !g.firsts.elsewhere(p.CredentialHash+p.Scope.Hash(), client)
		}
	}
	pay, err := g.cfg.Processor.Get(r.Context(), id)
	if err != nil {
		return payment.Payment{}, err //nolint:wrapcheck // the processor names the payment
	}
	if !proven(pay) {
		return payment.Payment{}, payment.ErrNotFound
	}
	return pay, nil
}

// Status is the public document of a payment.
type Status struct {
	ID       string           `json:"id"`
	State    payment.State    `json:"state"`
	Delivery payment.Delivery `json:"delivery"`
	Amount   struct {
		Value    string `json:"value"`
		Currency string `json:"currency"`
	} `json:"amount"`
	Method      string     `json:"method"`
	Route       string     `json:"route"`
	Resource    string     `json:"resource"`
	SettledAt   *time.Time `json:"settled_at,omitempty"`
	DeliveredAt *time.Time `json:"delivered_at,omitempty"`
	RefundedAt  *time.Time `json:"refunded_at,omitempty"`
}

func writePayment(w http.ResponseWriter, p payment.Payment) {
	s := Status{ID: p.ID, State: p.State, Delivery: p.Delivery, Method: p.Method, Route: p.Scope.Route, Resource: p.Scope.Method + " " + p.Scope.Target}
	s.Amount.Value, s.Amount.Currency = strconv.FormatInt(p.Amount.Units(), 10), strings.ToLower(p.Amount.Currency())
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	s.SettledAt, s.DeliveredAt, s.RefundedAt = at(p.SettledAt), at(p.DeliveredAt), at(p.RefundedAt)
	b, err := json.Marshal(s)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := w.Header()
	if p.State == payment.StatePending || p.State == payment.StateRefunding {
		h.Set("Retry-After", "5")
	}
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(b, '\n'))
}
