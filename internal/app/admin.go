package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"paywall/internal/problem"
	"paywall/methods/credit"
	"paywall/methods/stripe"
	"paywall/payment"
)

// adminHeader must be on every admin request that changes something: a page in
// a browser cannot send it without a preflight, which is never granted.
const adminHeader = "Paywall-Admin"

// operator is what the admin listener can do.
type operator struct {
	processor *payment.Processor
	store     payment.Store
	reload    func(context.Context) error
	now       func() time.Time
	metrics   http.Handler
	ready     func() (bool, map[string]string)
	pprof     bool
	logger    *slog.Logger
	// reconciler is nil when there is no processor to compare with.
	reconciler *reconciler
	// transfers is nil when no stablecoins are paid to the processor.
	transfers *stripe.Deliverer
	credit    credit.Store
	// shop is nil when nothing is sold over UCP.
	shop *front
	// listen is where the listener is, for the names it answers to.
	listen string
}

// handler serves operations on their own listener.
func (o *operator) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/payments", o.list)
	mux.HandleFunc("GET /admin/payments/{id}", o.show)
	mux.HandleFunc("POST /admin/payments/{id}/refund", o.refund)
	mux.HandleFunc("POST /admin/payments/{id}/decide", o.decide)
	mux.HandleFunc("GET /admin/transfers", o.listTransfers)
	mux.HandleFunc("POST /admin/transfers/{id}/{act}", o.moveTransfer)
	mux.HandleFunc("GET /admin/credit", o.listCredit)
	mux.HandleFunc("GET /admin/credit/{id}", o.showCredit)
	mux.HandleFunc("POST /admin/credit/{id}/freeze", o.freezeCredit)
	mux.HandleFunc("GET /admin/orders", o.listOrders)
	mux.HandleFunc("GET /admin/orders/{id}", o.showOrder)
	mux.HandleFunc("POST /admin/orders/{id}/{act}", o.changeOrder)
	mux.HandleFunc("GET /admin/deliveries", o.listDeliveries)
	mux.HandleFunc("POST /admin/deliveries/{id}/resend", o.resendDelivery)
	mux.HandleFunc("GET /admin/ledger/verify", o.verify)
	mux.HandleFunc("POST /admin/settlement/pause", o.pause)
	mux.HandleFunc("POST /admin/settlement/resume", o.resume)
	mux.HandleFunc("POST /admin/reload", o.reloadNow)
	mux.HandleFunc("POST /admin/reconcile", o.reconcile)
	mux.Handle("GET /metrics", o.metrics)
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", readyz(o.ready))
	if o.pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch {
		case !o.answersTo(r.Host):
			writeProblem(w, http.StatusMisdirectedRequest, "The admin listener does not answer to this name.")
		case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get(adminHeader) == "":
			writeProblem(w, http.StatusForbidden, "Set the header "+adminHeader+": 1 on requests that change something.")
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// answersTo reports whether a Host is one that the admin listener has. A name
// that somebody else points here must not be: a page under it would be of the
// same origin. Addresses cannot be pointed anywhere.
func (o *operator) answersTo(hostport string) bool {
	if loopbackHost(hostport) {
		return true
	}
	if o.listen == "" || loopbackHost(o.listen) {
		return false
	}
	host := hostOf(hostport)
	return net.ParseIP(host) != nil || host != "" && strings.EqualFold(host, hostOf(o.listen))
}

func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return strings.Trim(hostport, "[]")
	}
	return host
}

func loopbackHost(hostport string) bool {
	host := hostOf(hostport)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	problem.Document{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}.Write(w)
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, "The answer could not be written.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n'))
}

var (
	states = []payment.State{
		payment.StatePending, payment.StateAuthorized, payment.StateSettled, payment.StateFailed, payment.StateVoided,
		payment.StateReview, payment.StateRefunding, payment.StateRefunded, payment.StateCredited,
	}
	deliveries = []payment.Delivery{payment.DeliveryNone, payment.DeliveryOpen, payment.DeliveryDispatched, payment.DeliveryDelivered}
)

func (o *operator) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit := 50
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 1000 {
			writeProblem(w, http.StatusBadRequest, "limit must be 1 to 1000.")
			return
		}
		limit = n
	}
	f := payment.Filter{State: payment.State(q.Get("state")), Delivery: payment.Delivery(q.Get("delivery")), Route: q.Get("route")}
	if f.State != "" && !slices.Contains(states, f.State) || f.Delivery != "" && !slices.Contains(deliveries, f.Delivery) {
		// An empty page would say that there are none.
		writeProblem(w, http.StatusBadRequest, "There is no such state or delivery.")
		return
	}
	list, err := o.store.List(r.Context(), f, q.Get("after"), limit)
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "The store cannot be read.")
		return
	}
	page := paymentPage{Payments: make([]paymentView, 0, len(list))}
	for _, p := range list {
		page.Payments = append(page.Payments, viewOf(p))
	}
	if len(list) == limit {
		page.Next = list[len(list)-1].ID
	}
	writeJSON(w, page)
}

func (o *operator) show(w http.ResponseWriter, r *http.Request) {
	p, err := o.store.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		o.fail(w, err)
		return
	}
	writeJSON(w, viewOf(p))
}

func (o *operator) fail(w http.ResponseWriter, err error) {
	var pe *payment.Error
	switch {
	case errors.Is(err, payment.ErrNotFound):
		writeProblem(w, http.StatusNotFound, "There is no such payment.")
	case errors.Is(err, payment.ErrState):
		writeProblem(w, http.StatusConflict, "The payment's state does not allow that. A settled payment can be refunded; one under review can be closed by what a person has done or found out.")
	case errors.As(err, &pe):
		w.Header().Set("Retry-After", "5")
		writeProblem(w, http.StatusConflict, pe.Detail)
	default:
		writeProblem(w, http.StatusServiceUnavailable, "The store or the processor did not answer; nothing is known to have changed.")
	}
}

type reasonBody struct {
	Reason string `json:"reason"`
	// Sent is the reference of a refund that a person has made by hand.
	Sent string `json:"sent,omitempty"`
}

// decideBody is what a person has found out: the rail's reference of the charge,
// or that there is none.
type decideBody struct {
	Charged    string `json:"charged,omitempty"`
	NotCharged bool   `json:"not_charged,omitempty"`
}

// reason reads an optional {"reason":"…"}.
func reason(w http.ResponseWriter, r *http.Request, fallback string) (string, bool) {
	body, ok := reasonOf(w, r, fallback)
	return body.Reason, ok
}

func reasonOf(w http.ResponseWriter, r *http.Request, fallback string) (reasonBody, bool) {
	none := reasonBody{Reason: fallback}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<10))
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "The body cannot be read.")
		return none, false
	}
	if len(b) == 0 {
		return none, true
	}
	var body reasonBody
	if err := json.Unmarshal(b, &body); err != nil || len(body.Reason) > 200 {
		writeProblem(w, http.StatusBadRequest, `Send {"reason":"…"} of at most 200 bytes, or nothing.`)
		return none, false
	}
	if body.Reason == "" {
		body.Reason = fallback
	}
	return body, true
}

func (o *operator) refund(w http.ResponseWriter, r *http.Request) {
	body, ok := reasonOf(w, r, "operator")
	if !ok {
		return
	}
	if body.Sent != "" {
		p, err := o.processor.RefundSent(r.Context(), r.PathValue("id"), body.Sent)
		if err != nil {
			o.fail(w, err)
			return
		}
		writeJSON(w, viewOf(p))
		return
	}
	if !o.untouched(w, r, r.PathValue("id")) {
		return
	}
	p, err := o.processor.Refund(r.Context(), r.PathValue("id"), body.Reason)
	if err != nil && p.State != payment.StateRefunding {
		o.fail(w, err)
		return
	}
	writeJSON(w, viewOf(p))
}

// decide closes a review whose outcome nobody but a person could find out.
func (o *operator) decide(w http.ResponseWriter, r *http.Request) {
	var body decideBody
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<10))
	if err != nil || json.Unmarshal(b, &body) != nil || (body.Charged != "") == body.NotCharged {
		writeProblem(w, http.StatusBadRequest, `Send {"charged":"reference of the charge"} or {"not_charged":true}.`)
		return
	}
	p, err := o.processor.Decide(r.Context(), r.PathValue("id"), body.Charged)
	if err != nil {
		o.fail(w, err)
		return
	}
	writeJSON(w, viewOf(p))
}

func (o *operator) verify(w http.ResponseWriter, r *http.Request) {
	report, err := payment.Audit(r.Context(), o.store, o.now(), auditGrace)
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "The store cannot be read.")
		return
	}
	writeJSON(w, report)
}

func (o *operator) pause(w http.ResponseWriter, r *http.Request) {
	why, ok := reason(w, r, "paused by the operator")
	if !ok {
		return
	}
	o.setPaused(w, r, why)
}

func (o *operator) resume(w http.ResponseWriter, r *http.Request) { o.setPaused(w, r, "") }

func (o *operator) setPaused(w http.ResponseWriter, r *http.Request, why string) {
	if err := o.processor.SetPaused(r.Context(), why); err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "The store cannot be written; nothing changed.")
		return
	}
	writeJSON(w, map[string]string{"paused": why})
}

func (o *operator) reloadNow(w http.ResponseWriter, r *http.Request) {
	if err := o.reload(r.Context()); err != nil {
		writeProblem(w, http.StatusUnprocessableEntity, "The configuration has faults; nothing changed: "+err.Error())
		return
	}
	writeJSON(w, map[string]bool{"reloaded": true})
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, map[string]string{"status": "ok"})
}

func readyz(ready func() (bool, map[string]string)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		ok, checks := ready()
		status := "ready"
		w.Header().Set("Cache-Control", "no-store")
		if !ok {
			status = "not ready"
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		writeJSON(w, map[string]any{"status": status, "checks": checks})
	}
}
