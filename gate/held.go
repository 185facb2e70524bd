package gate

import (
	"bufio"
	"bytes"
	"errors"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"

	"paywall/money"
	"paywall/payment"
)

// errNotTaken tells a handler that its answer is for nobody.
var errNotTaken = errors.New("the payment for this answer was not taken")

// heldWriter keeps the answer to a request back whose money is promised, until it
// is taken: at the end of the answer, or as soon as it is one that cannot be kept
// back. From then on it is a deliveryWriter. Until then the payer has seen
// nothing, and the payment can be let go as if nothing had been.
type heldWriter struct {
	*deliveryWriter

	key      string // of the answer, if it is kept
	stage    stage
	said     int         // the handler's status, once it said one
	head     http.Header // as it was then
	buffer   bytes.Buffer
	overflow bool         // some of the answer is lost
	ran      bool         // an upstream has seen the request
	amount   money.Amount // what it costs, once that is known
	why      error        // with shut: why the money was not taken
}

type stage uint8

const (
	kept   stage = iota // nothing is decided
	opened              // paid, or passed on for nothing: it goes to the payer
	shut                // it does not
)

// hold serves a request whose money is promised.
func (x *exchange) hold(pay payment.Payment, d payment.Dialect, key string) {
	dw := &deliveryWriter{x: x, pay: pay, dialect: d, keep: x.g.cfg.Limits.Answer, declared: -1, held: true}
	w := &heldWriter{deliveryWriter: dw, key: key}
	aborted := dw.run(w, x.outgoing(&pay))
	if w.stage == kept {
		w.end(aborted)
	}
	switch {
	case w.stage == opened:
		x.conclude(dw, key, aborted)
	case w.why != nil:
		x.notTaken(w, key, aborted)
	default:
		x.released()
	}
}

// end decides about an answer that was kept back to its end.
func (w *heldWriter) end(aborted bool) {
	switch {
	case w.said == 0, !w.ran:
		w.release("upstream_failed")
	case !w.x.route.accepts(w.said) && !readable(w.said):
		w.release("upstream_" + strconv.Itoa(w.said))
	case aborted, !w.whole():
		w.release("upstream_cut_off")
	default:
		w.open()
	}
}

// whole reports whether an answer that was kept back is as long as it says.
func (w *heldWriter) whole() bool {
	n, err := strconv.ParseInt(w.head.Get("Content-Length"), 10, 64)
	return err != nil || n == int64(w.buffer.Len()) || !hasBody(w.x.c.Method, w.said)
}

func hasBody(method string, status int) bool {
	return method != http.MethodHead && status != http.StatusNoContent && status != http.StatusNotModified
}

// release lets the payment go and shuts the answer away.
func (w *heldWriter) release(reason string) {
	w.stage = shut
	w.letGo(reason)
}

// letGo gives the promise back. Nothing was taken and nothing will be, whether or
// not that could be stored now: recovery takes up what is left.
func (w *heldWriter) letGo(reason string) {
	w.nothing = true
	pay, err := w.x.g.cfg.Processor.Release(w.x.r.Context(), w.pay, reason)
	if err != nil {
		w.x.ev.Err = err
		w.x.g.cfg.Logger.WarnContext(w.x.r.Context(), "a promise of money was not given back yet", "payment", w.pay.ID, "err", err)
		return
	}
	w.pay = pay
	w.x.g.firsts.forget(w.key)
}

// open takes the money, or for a refusal of the handler's lets it go, and then
// lets the answer through as far as it is there. It reports whether it did.
func (w *heldWriter) open() bool {
	if w.stage != kept {
		return w.stage == opened
	}
	if w.x.route.accepts(w.said) {
		if !w.take() {
			return false
		}
	} else {
		w.letGo("upstream_" + strconv.Itoa(w.said))
	}
	w.stage = opened
	// What the handler changed in the header after its head is in no head. Trailers
	// are among it, and may still come.
	h := w.Header()
	late := maps.Clone(h)
	clear(h)
	maps.Copy(h, w.head)
	w.deliveryWriter.WriteHeader(w.said)
	for name, values := range late {
		if _, ok := w.head[name]; !ok {
			h[name] = values
		}
	}
	dropTrailers(h)
	if w.buffer.Len() > 0 {
		_, _ = w.deliveryWriter.Write(w.buffer.Bytes()) // it remembers its error
	}
	w.buffer = bytes.Buffer{}
	return true
}

// take captures what the answer costs.
func (w *heldWriter) take() bool {
	x := w.x
	if safe(x.c.Method) && x.r.Context().Err() != nil {
		// Nobody is there to be served, and it can be made again. Work that nobody pays for
		// counts as a failure, or a payer who always leaves would have as much as it likes.
		x.g.limits.failure(x.g.cfg.Client(x.r))
		w.release("payer_gone")
		return false
	}
	if err := w.measure(); err != nil {
		x.ev.Err = err
		w.release("unmetered")
		return false
	}
	pay, err := x.g.cfg.Processor.Capture(x.r.Context(), w.pay, w.amount)
	if err != nil {
		w.stage, w.why = shut, err
		return false
	}
	w.pay, w.nothing = pay, w.amount.IsZero()
	return true
}

// measure finds out what the answer costs.
func (w *heldWriter) measure() error {
	w.amount = w.pay.Amount
	if w.x.route.Settle != SettleMetered {
		return nil
	}
	amount, trouble, err := w.x.route.Meter.used(w.head, w.pay.Amount, w.x.terms.quote)
	if trouble != nil {
		w.x.g.cfg.Logger.ErrorContext(w.x.r.Context(), "what was used is not told rightly", "route", w.x.route.ID, "payment", w.pay.ID, "err", trouble)
	}
	w.amount = amount
	return err
}

// WriteHeader implements [http.ResponseWriter].
func (w *heldWriter) WriteHeader(status int) {
	if w.said != 0 || status < 200 {
		return
	}
	w.said, w.head = status, w.Header().Clone()
	if w.ran = w.head.Get(unreachedField) == ""; w.ran {
		w.x.g.cfg.Point(payment.PointUpstream)
	}
	if strings.HasPrefix(w.head.Get("Content-Type"), "text/event-stream") {
		w.flow()
	}
}

// flow opens an answer that does not wait for its end.
func (w *heldWriter) flow() bool {
	if w.ran && (w.x.route.accepts(w.said) || readable(w.said)) {
		return w.open()
	}
	return false
}

// Write implements [http.ResponseWriter].
func (w *heldWriter) Write(b []byte) (int, error) {
	if w.said == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.stage == opened:
		return w.deliveryWriter.Write(b)
	case w.stage == shut && !w.wanted():
		return 0, errNotTaken
	case w.x.c.Method == http.MethodHead:
		return len(b), nil
	case int64(w.buffer.Len()+len(b)) <= w.x.g.cfg.Limits.Answer && !w.overflow:
		w.buffer.Write(b)
		return len(b), nil
	case w.stage == kept && w.flow():
		return w.deliveryWriter.Write(b)
	}
	w.overflow, w.buffer = true, bytes.Buffer{}
	return len(b), nil // the gate answers in the handler's place
}

// wanted reports whether an answer that was not paid for may still be: it may not
// be known what became of the money, and the request must not run again.
func (w *heldWriter) wanted() bool {
	if w.why == nil || w.overflow || w.x.route.idempotent(w.x.c.Method) {
		return false
	}
	pe, ok := errors.AsType[*payment.Error](w.why)
	return !ok || pe.Kind.Unsettled()
}

// Flush implements [http.Flusher]: what is flushed is meant to be seen now.
func (w *heldWriter) Flush() {
	if w.said == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.flow() {
		w.deliveryWriter.Flush()
	}
}

// Hijack implements [http.Hijacker]: an upgrade is what was paid for.
func (w *heldWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	switch {
	case w.stage == opened:
	case w.stage == shut || w.said != 0:
		return nil, nil, errNotTaken
	default:
		w.said, w.head, w.ran, w.overflow = http.StatusSwitchingProtocols, w.Header().Clone(), true, true
		if !w.take() {
			return nil, nil, errNotTaken
		}
		w.stage = opened
	}
	return w.deliveryWriter.Hijack()
}

// released says that the handler failed and nothing was taken.
func (x *exchange) released() {
	x.ev.Outcome = OutcomeFailed
	h := x.w.Header()
	clear(h)
	h.Set("Retry-After", "5")
	x.problem(http.StatusBadGateway, "The service behind this payment failed; nothing was charged. Send the same request with the same credential again.")
}

// notTaken answers for a payment that was promised but could not be taken. If it
// may still be, the answer of a request that must not run twice is kept for it.
func (x *exchange) notTaken(w *heldWriter, key string, aborted bool) {
	clear(x.w.Header())
	if w.wanted() && !aborted && w.whole() {
		x.g.keepUnpaid(key, w.pay.ID, &answer{status: w.said, header: w.head, body: w.buffer.Bytes(), amount: w.amount, only: x.only})
	}
	x.refuse(w.why)
}
