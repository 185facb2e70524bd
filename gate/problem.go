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
// request that presented nothing. The dialect that was spoken says why in its own
// words, if it can.
func (x *exchange) refuse(err error) {
	switch {
	case errors.Is(err, errLimited):
		x.limited()
		return
	case errors.Is(err, errKeyUsed):
		x.conflicted()
		return
	}
	pe := unpaid
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
		if err != nil && !x.known && !x.g.limits.failure(x.g.cfg.Client(x.r)) {
			x.limited()
			return
		}
	}
	x.writeRefusal(pe, x.ask(h, pe))
}

// unpaid is what every request that presents nothing is told; it is never changed.
var unpaid = &payment.Error{Kind: payment.KindPaymentRequired, Detail: "Payment is required."}

// ask adds what the dialects say to a refusal and returns its status. Bad requests
// carry challenges too, so that a client can start over at once; while the outcome
// of a payment is open nothing is asked for.
func (x *exchange) ask(h http.Header, pe *payment.Error) int {
	status := problems[pe.Kind].status
	if x.terms == nil {
		return status
	}
	open := pe.Kind.Unsettled()
	for i, d := range x.terms.dialects {
		var err error
		switch {
		case d == nil:
			continue
		case i+1 == x.spoken && x.terms.explainers[i] != nil:
			var own int
			own, err = x.terms.explainers[i].Refuse(h, x.r, x.scope, pe, x.now)
			if err == nil && own >= 400 && own < 600 && (!open || own != http.StatusPaymentRequired) {
				status = own
			}
		case !open:
			err = d.Challenge(h, x.r, x.scope, x.now)
		}
		if err != nil {
			x.ev.Err = errors.Join(x.ev.Err, err)
		}
	}
	return status
}

func (x *exchange) writeRefusal(pe *payment.Error, status int) {
	r := problems[pe.Kind]
	h := x.w.Header()
	x.expose(h)
	h["Cache-Control"] = noStore
	if pe.PaymentID != "" {
		h.Set(paymentIDField, pe.PaymentID)
	}
	x.ev.Status = status
	asks := status == http.StatusPaymentRequired && x.terms != nil
	if asks && x.g.service != nil {
		h["Link"] = x.g.service
	}
	if asks && wantsPage(x.r) {
		x.page(pe)
		return
	}
	if asks && x.ev.Outcome == OutcomeChallenged && pe.Kind == payment.KindPaymentRequired {
		// What every unpaid request gets was written out once.
		x.writeAsking(x.terms.body, x.terms.bodyLength, nil)
		return
	}
	d := problem.Document{Type: r.base + pe.Kind.String(), Title: r.title, Status: status, Detail: pe.Detail}
	if pe.PaymentID != "" {
		d.Instance = "/payments/" + pe.PaymentID
	}
	if asks {
		d.Extra = x.terms.extra()
		body := d.JSON()
		x.writeAsking(body, []string{strconv.Itoa(len(body))}, pe)
		return
	}
	d.Write(x.w)
}

// writeAsking writes the document of a 402 with the members that dialects add.
// They depend on the request, so they are put before its last brace each time;
// the document itself is not encoded again.
func (x *exchange) writeAsking(document []byte, length []string, pe *payment.Error) {
	h := x.w.Header()
	var room [2][]byte
	added, size := room[:0], 0
	for _, e := range x.terms.explainers {
		if e == nil {
			continue
		}
		if m := e.Members(x.r, x.scope, pe); len(m) > 0 {
			added = append(added, m)
			size += len(m) + 1
		}
	}
	if size > 0 {
		length = []string{strconv.Itoa(len(document) + size)}
	}
	h["Content-Type"], h["X-Content-Type-Options"], h["Content-Length"] = problemType, noSniff, length
	x.w.WriteHeader(http.StatusPaymentRequired)
	switch {
	case x.c.Method == http.MethodHead:
	case size == 0:
		_, _ = x.w.Write(document)
	default:
		_, _ = x.w.Write(document[:len(document)-1])
		for _, m := range added {
			_, _ = x.w.Write(comma)
			_, _ = x.w.Write(m)
		}
		_, _ = x.w.Write(brace)
	}
}

var comma, brace = []byte{','}, []byte{'}'}

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
	if t.draw != nil {
		m["credit"] = map[string]string{
			"pack": t.offers[0].Quote.Amount.String(), "route": t.quote.Route,
			"spend": "Pay once for a pack. Send the receipt (Paywall-Receipt) as Authorization: Bearer with each further request.",
		}
	}
	return m
}

func (t *terms) prepare() {
	t.explainers = make([]payment.Explainer, len(t.dialects))
	for i, d := range t.dialects {
		t.explainers[i], _ = d.(payment.Explainer)
		if s, ok := d.(payment.SignIn); ok {
			t.doors = append(t.doors, s)
		}
	}
	r := problems[payment.KindPaymentRequired]
	t.body = problem.Document{
		Type: r.base + payment.KindPaymentRequired.String(), Title: r.title, Status: r.status,
		Detail: unpaid.Detail, Extra: t.extra(),
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
