package gate

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paywall/internal/canonical"
	"paywall/internal/problem"
	"paywall/payment"
)

// Bases of problem types: those that the Payment scheme defines, and our own.
const (
	schemeProblem = "https://paymentauth.org/problems/"
	ownProblem    = "urn:paywall:problem:"
)

type row struct {
	base, title string
	status      int
}

// problems is the one table from kinds to what a payer sees.
var problems = map[payment.Kind]row{
	payment.KindInternal:            {schemeProblem, "Internal Payment Error", http.StatusInternalServerError},
	payment.KindPaymentRequired:     {schemeProblem, "Payment Required", http.StatusPaymentRequired},
	payment.KindMalformedCredential: {schemeProblem, "Malformed Credential", http.StatusPaymentRequired},
	payment.KindBadRequest:          {schemeProblem, "Bad Request", http.StatusBadRequest},
	payment.KindInvalidChallenge:    {schemeProblem, "Invalid Challenge", http.StatusPaymentRequired},
	payment.KindPaymentExpired:      {schemeProblem, "Payment Expired", http.StatusPaymentRequired},
	payment.KindInvalidPayload:      {schemeProblem, "Invalid Payload", http.StatusPaymentRequired},
	payment.KindMethodUnsupported:   {schemeProblem, "Method Unsupported", http.StatusBadRequest},
	payment.KindVerificationFailed:  {schemeProblem, "Verification Failed", http.StatusPaymentRequired},
	payment.KindPaymentInsufficient: {schemeProblem, "Payment Insufficient", http.StatusPaymentRequired},
	payment.KindActionRequired:      {schemeProblem, "Payment Action Required", http.StatusPaymentRequired},
	payment.KindInProgress:          {ownProblem, "Payment In Progress", http.StatusConflict},
	payment.KindPending:             {ownProblem, "Payment Pending", http.StatusServiceUnavailable},
	payment.KindPaused:              {ownProblem, "Settlement Paused", http.StatusServiceUnavailable},
	payment.KindBusy:                {ownProblem, "Settlement Busy", http.StatusServiceUnavailable},
}

// refuse answers a priced request that is not served. Unless the outcome of a
// payment is open, the answer carries fresh challenges; nil is the answer to a
// request that presented nothing.
func (x *exchange) refuse(err error) {
	switch {
	case errors.Is(err, errLimited):
		x.limited()
		return
	case errors.Is(err, errKeyUsed):
		x.ev.Outcome = OutcomeRefused
		x.problem(http.StatusConflict, "This Idempotency-Key belongs to another request; nothing was charged.")
		return
	}
	pe := &payment.Error{Kind: payment.KindPaymentRequired, Detail: "Payment is required."}
	if err != nil {
		var known bool
		if pe, known = errors.AsType[*payment.Error](err); !known {
			pe = &payment.Error{Kind: payment.KindInternal, Detail: "The payment could not be handled.", Err: err}
		}
		x.ev.Err = pe.Err
		x.ev.Outcome = OutcomeRefused
	}
	x.ev.Refusal = pe.Kind
	if pe.PaymentID != "" {
		x.ev.Payment = pe.PaymentID
	}
	h := x.w.Header()
	if pe.Kind.Unsettled() {
		x.ev.Outcome = OutcomePending
		h.Set("Retry-After", strconv.Itoa(max(1, int((pe.RetryAfter+time.Second-1)/time.Second))))
	} else {
		if err != nil && !x.g.limits.failure(x.g.cfg.Client(x.r)) {
			x.limited()
			return
		}
		// Bad requests carry challenges too, so that a client can start over at once.
		for _, d := range x.terms.dialectsOf() {
			if cerr := d.Challenge(h, x.r, x.scope, x.now); cerr != nil {
				x.ev.Err = errors.Join(x.ev.Err, cerr)
			}
		}
	}
	x.writeRefusal(pe)
}

func (t *terms) dialectsOf() []payment.Dialect {
	if t == nil {
		return nil
	}
	return t.offered
}

func (x *exchange) writeRefusal(pe *payment.Error) {
	r := problems[pe.Kind]
	h := x.w.Header()
	x.expose(h)
	h["Cache-Control"] = noStore
	if pe.PaymentID != "" {
		h.Set(paymentIDField, pe.PaymentID)
	}
	if r.status == http.StatusPaymentRequired && x.terms != nil && wantsPage(x.r) {
		x.page(pe)
		return
	}
	x.ev.Status = r.status
	if x.ev.Outcome == OutcomeChallenged && x.terms != nil && pe.Kind == payment.KindPaymentRequired {
		// What every unpaid request gets was written out once.
		h["Content-Type"], h["X-Content-Type-Options"] = problemType, noSniff
		h["Content-Length"] = x.terms.bodyLength
		x.w.WriteHeader(r.status)
		if x.c.Method != http.MethodHead {
			_, _ = x.w.Write(x.terms.body)
		}
		return
	}
	d := problem.Document{Type: r.base + pe.Kind.String(), Title: r.title, Status: r.status, Detail: pe.Detail}
	if pe.PaymentID != "" {
		d.Instance = "/payments/" + pe.PaymentID
	}
	if x.terms != nil && r.status == http.StatusPaymentRequired {
		d.Extra = x.terms.extra()
	}
	d.Write(x.w)
}

// Values of headers that are the same every time; net/http does not change them.
var (
	noStore     = []string{"no-store"}
	problemType = []string{"application/problem+json"}
	noSniff     = []string{"nosniff"}
)

// extra are the members that tell people and programs the price without
// decoding a challenge.
func (t *terms) extra() map[string]any {
	m := map[string]any{"price": t.quote.Amount.String()}
	if t.quote.Description != "" {
		m["description"] = t.quote.Description
	}
	return m
}

func (t *terms) prepare() {
	for _, d := range t.dialects {
		if d != nil {
			t.offered = append(t.offered, d)
		}
	}
	r := problems[payment.KindPaymentRequired]
	t.body = problem.Document{
		Type: r.base + payment.KindPaymentRequired.String(), Title: r.title, Status: r.status,
		Detail: "Payment is required.", Extra: t.extra(),
	}.JSON()
	t.bodyLength = []string{strconv.Itoa(len(t.body))}
}

// problem answers with a document that has no type of its own.
func (x *exchange) problem(status int, detail string) { x.problemWith(status, detail, "") }

func (x *exchange) problemWith(status int, detail, paymentID string) {
	x.ev.Status = status
	if x.ev.Outcome == "" {
		x.ev.Outcome = OutcomeRejected
	}
	h := x.w.Header()
	x.expose(h)
	d := problem.Document{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
	if paymentID != "" {
		d.Instance = "/payments/" + paymentID
	}
	h["Cache-Control"] = noStore
	d.Write(x.w)
}

func (x *exchange) reject(err error) {
	if ce, ok := errors.AsType[*canonical.Error](err); ok {
		if ce.Status == http.StatusMethodNotAllowed {
			x.w.Header().Set("Allow", strings.Join(patternMethods, ", "))
		}
		x.problem(ce.Status, ce.Detail)
		return
	}
	x.ev.Err = err
	x.problem(http.StatusBadRequest, "The request cannot be read in exactly one way.")
}

func (x *exchange) unmatched(r *Router) {
	evades := x.route != nil
	x.route = nil
	if methods := r.methodsOf(x.c.Path); len(methods) > 0 && !evades {
		x.w.Header().Set("Allow", strings.Join(methods, ", ")+", OPTIONS")
		x.problem(http.StatusMethodNotAllowed, "This method is not served here.")
		return
	}
	x.problem(http.StatusNotFound, "Nothing is here.")
}

func (x *exchange) limited() {
	x.ev.Outcome = OutcomeLimited
	x.w.Header().Set("Retry-After", "2")
	x.problem(http.StatusTooManyRequests, "Too many requests from this client; slow down. Nothing was charged.")
}
