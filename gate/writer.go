package gate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"paywall/payment"
)

// plainWriter passes an answer on without our fields in it.
type plainWriter struct {
	http.ResponseWriter

	x      *exchange
	paid   bool // the answer is for one payer alone
	status int
}

// serve lets the route's handler answer.
func (w *plainWriter) serve(out *http.Request) {
	w.x.route.Handler.ServeHTTP(w, out)
	dropTrailers(w.Header())
	w.x.extend(w.ResponseWriter) // for what net/http still has to send
	w.x.ev.Status = w.status
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
		w.x.ev.Status = http.StatusOK
	}
}

// WriteHeader implements [http.ResponseWriter].
func (w *plainWriter) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		return // early hints may name what is to be paid for
	}
	if w.status != 0 {
		return
	}
	w.status = status
	w.head()
	w.ResponseWriter.WriteHeader(status)
}

func (w *plainWriter) head() {
	h := w.Header()
	w.x.clean(h)
	if w.paid {
		setPrivate(h)
	}
	w.x.expose(h)
}

// Write implements [http.ResponseWriter].
func (w *plainWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.x.write(w.ResponseWriter, b)
}

// Flush implements [http.Flusher].
func (w *plainWriter) Flush() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.x.extend(w.ResponseWriter)
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	w.x.rest(w.ResponseWriter)
}

// Hijack implements [http.Hijacker], for upgrades.
func (w *plainWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.status == 0 {
		w.status = http.StatusSwitchingProtocols
		w.head()
	}
	c, rw, err := hijack(w.ResponseWriter)
	if err != nil {
		w.status = 0 // an answer can still be given
	}
	return c, rw, err
}

// Unwrap serves [http.ResponseController].
func (w *plainWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func hijack(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err == nil {
		// The upgraded connection has no requests, so no deadlines of requests.
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("hijack: %w", err)
	}
	return c, rw, nil
}

// extend gives the peer time for one more write.
func (x *exchange) extend(w http.ResponseWriter) {
	if d := x.g.cfg.Limits.WriteStall; d > 0 {
		_ = http.NewResponseController(w).SetWriteDeadline(x.g.now().Add(d))
	}
}

// rest takes the deadline away while nothing is being written: over HTTP/2 it
// ends the stream when it passes, written to or not.
func (x *exchange) rest(w http.ResponseWriter) {
	if x.g.cfg.Limits.WriteStall > 0 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
}

// write gives every piece of an answer its own time.
func (x *exchange) write(w http.ResponseWriter, b []byte) (n int, err error) {
	const piece = 32 << 10
	for {
		x.extend(w)
		m, err := w.Write(b[:min(len(b), piece)])
		n += m
		if err != nil {
			return n, err //nolint:wrapcheck // the handler's own error
		}
		if b = b[m:]; len(b) == 0 {
			x.rest(w)
			return n, nil
		}
	}
}

// deliveryWriter lets through the answer that was paid for, adds its receipts,
// and knows in the end whether the payer got all of it.
type deliveryWriter struct {
	x       *exchange
	pay     payment.Payment
	dialect payment.Dialect

	status    int
	reached   bool // the handler answered something
	wrote     bool // a head went out
	accepted  bool // it is what was paid for
	passed    bool // it is a refusal of the handler that the payer may read
	hijacked  bool
	held      bool  // the handler has answered already; this is when it is let through
	nothing   bool  // nothing was taken for it
	declared  int64 // Content-Length, or -1
	written   int64
	left      bool // the payer had hung up before the last of it went out
	err       error
	receiptID string
	token     string

	keep   int64 // how much of the body is kept for repeats; 0 none
	body   bytes.Buffer
	header http.Header

	// stop ends a detached request; gone says that its payer has hung up, unkept
	// that its answer is not kept.
	stop         context.CancelFunc
	gone, unkept atomic.Bool
}

// run lets the handler answer through a writer, w or one around it. It reports
// whether the handler gave up midway.
func (w *deliveryWriter) run(through http.ResponseWriter, out *http.Request) (aborted bool) {
	defer func() {
		if v := recover(); v != nil {
			aborted = true
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				w.x.g.cfg.Logger.ErrorContext(out.Context(), "handler panicked", "payment", w.pay.ID, "route", w.pay.Scope.Route, "panic", fmt.Sprint(v))
			}
		}
	}()
	if !w.x.route.idempotent(out.Method) {
		out = w.detach(out)
		defer w.stop()
	}
	w.x.route.Handler.ServeHTTP(through, out)
	through.WriteHeader(http.StatusOK) // if it said nothing
	dropTrailers(w.Header())
	return false
}

// detach lets a request that must not run twice go on when its payer hangs up,
// for as long as its answer can be kept for it.
func (w *deliveryWriter) detach(out *http.Request) *http.Request {
	payer := out.Context()
	ctx, cancel := context.WithCancel(context.WithoutCancel(payer))
	w.stop = cancel
	context.AfterFunc(payer, func() {
		w.gone.Store(true)
		if w.unkept.Load() {
			cancel()
			return
		}
		// Nobody waits for it any more: it ends in time to be refunded.
		t := time.AfterFunc(w.x.g.cfg.Limits.AnswerFor, cancel)
		context.AfterFunc(ctx, func() { t.Stop() })
	})
	return out.WithContext(ctx)
}

// forgo stops keeping the answer: without it, a payer that is gone ends the request.
func (w *deliveryWriter) forgo() {
	w.keep, w.body = 0, bytes.Buffer{}
	w.unkept.Store(true)
	if w.gone.Load() && w.stop != nil {
		w.stop()
	}
}

// Header implements [http.ResponseWriter].
func (w *deliveryWriter) Header() http.Header { return w.x.w.Header() }

// WriteHeader implements [http.ResponseWriter].
func (w *deliveryWriter) WriteHeader(status int) {
	if w.status != 0 || (status < 200 && status != http.StatusSwitchingProtocols) {
		return
	}
	w.status, w.reached = status, w.Header().Get(unreachedField) == ""
	if w.reached && !w.held {
		w.x.g.cfg.Point(payment.PointUpstream)
	}
	switch {
	case w.x.route.accepts(status):
		w.accept()
	case readable(status):
		w.passed = true
		h := w.Header()
		w.x.clean(h)
		if !w.nothing {
			h.Set(paymentIDField, w.pay.ID)
		}
		if s := w.x.sale; s != nil {
			h.Set(receiptField, s.token) // the credit is there all the same
		}
		h.Set("Cache-Control", "no-store")
		w.x.expose(h)
	default:
		return // the gate answers in the handler's place
	}
	w.wrote = true
	w.x.w.WriteHeader(status)
	if w.accepted && w.x.g.pointed {
		w.flush() // at the point, the payer has the head
		w.x.g.cfg.Point(payment.PointHeaders)
	}
}

// readable reports whether a handler's refusal helps the payer to mend its
// request. One that asks for payment or credentials would make it pay again.
func readable(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusProxyAuthRequired:
		return false
	}
	return status >= 400 && status < 500
}

// accept writes the receipts into the head of the answer.
func (w *deliveryWriter) accept() {
	h := w.Header()
	w.x.clean(h)
	w.accepted = true
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil {
		w.declared = n
	}
	if !w.nothing {
		w.receipts(h)
	}
	setPrivate(h)
	w.x.expose(h)
	if strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") || w.declared > w.keep {
		w.forgo()
	}
	if w.keep > 0 {
		w.header = maps.Clone(h)
		delete(w.header, "Trailer") // repeats have none
	}
}

func (w *deliveryWriter) receipts(h http.Header) {
	if w.x.drawn {
		w.x.statement(h, w.pay)
		return
	}
	if rs := w.x.g.cfg.Receipts; rs != nil {
		token, id, err := rs.Issue(w.pay, w.x.route.pass())
		if err != nil {
			// The goods are paid for: they are not withheld for want of a paper.
			w.x.g.cfg.Logger.ErrorContext(w.x.r.Context(), "receipt not issued", "payment", w.pay.ID, "err", err)
		} else {
			w.token, w.receiptID = token, id
			h.Set(receiptField, token)
		}
	}
	if w.dialect != nil {
		if err := w.dialect.Receipt(h, w.pay, w.token); err != nil {
			w.x.g.cfg.Logger.ErrorContext(w.x.r.Context(), "receipt header not written", "payment", w.pay.ID, "err", err)
		}
	}
	h.Set(paymentIDField, w.pay.ID)
}

// Write implements [http.ResponseWriter].
func (w *deliveryWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.wrote {
		return len(b), nil // not for the payer
	}
	if w.keep > 0 && w.accepted {
		if int64(w.body.Len()+len(b)) > w.keep {
			w.forgo()
		} else {
			w.body.Write(b)
		}
	}
	if w.err != nil && w.keeps() {
		return len(b), nil // for the payer when it comes back
	}
	w.left = w.x.r.Context().Err() != nil
	n, err := w.x.write(w.x.w, b)
	w.written += int64(n)
	if err == nil {
		return n, nil
	}
	if w.err == nil {
		w.err = err
	}
	if w.keeps() {
		return len(b), nil
	}
	return n, err //nolint:wrapcheck // the handler's own error
}

// keeps reports whether a payer that is gone can still have this answer later.
func (w *deliveryWriter) keeps() bool { return w.stop != nil && w.keep > 0 && w.accepted }

// Flush implements [http.Flusher].
func (w *deliveryWriter) Flush() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.wrote {
		w.flush()
	}
}

// finish sends what is still held back. A payer that has all of its answer may
// hang up at once: whether it is there is looked at before the end goes out, and
// with a length that was declared that may have been the last write.
func (w *deliveryWriter) finish() {
	if w.declared <= 0 {
		w.left = w.x.r.Context().Err() != nil
	}
	w.flush()
}

func (w *deliveryWriter) flush() {
	if w.hijacked {
		return
	}
	w.x.extend(w.x.w)
	if err := http.NewResponseController(w.x.w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) && w.err == nil {
		w.err = err
	}
	w.x.rest(w.x.w)
}

// Hijack implements [http.Hijacker]: an upgrade is what was paid for.
func (w *deliveryWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.status == 0 {
		w.status, w.reached = http.StatusSwitchingProtocols, true
		w.forgo()
		w.accept()
	}
	c, rw, err := hijack(w.x.w)
	if err != nil {
		// The upgrade did not come about; nothing was written that could be the goods.
		w.err = err
		return nil, nil, err
	}
	w.wrote, w.hijacked = true, true
	if w.nothing {
		return c, rw, nil
	}
	// Nothing that comes after an upgrade changes the verdict, and a session may
	// outlive this process: it is entered now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.x.r.Context()), 15*time.Second)
	defer cancel()
	if err := w.x.g.cfg.Processor.Delivered(ctx, w.pay, w.receiptID); err != nil {
		w.x.ev.Err = err
	}
	return c, rw, nil
}

// Unwrap serves [http.ResponseController].
func (w *deliveryWriter) Unwrap() http.ResponseWriter { return w.x.w }

// complete reports whether the payer was sent all of what it paid for.
func (w *deliveryWriter) complete(aborted bool) bool {
	switch {
	case aborted || !w.accepted || w.err != nil:
		return false
	case w.hijacked || !hasBody(w.x.c.Method, w.status):
		return true
	case w.declared >= 0 && w.written != w.declared:
		return false
	}
	return !w.left
}

// refusedByHandler reports a definite answer that no work was done.
func (w *deliveryWriter) refusedByHandler() bool { return w.status >= 400 && w.status < 500 }

func (w *deliveryWriter) reason(aborted bool) string {
	switch {
	case w.accepted && w.err != nil, w.accepted && !aborted:
		return "payer_gone"
	case w.accepted:
		return "upstream_cut_off"
	case w.status != 0:
		return "upstream_" + strconv.Itoa(w.status)
	default:
		return "upstream_failed"
	}
}

// answer is what repeats of the credential get, or nil when it was not kept.
func (w *deliveryWriter) answer() *answer {
	if w.keep <= 0 || w.header == nil || (w.declared >= 0 && int64(w.body.Len()) != w.declared && w.x.c.Method != http.MethodHead) {
		return nil
	}
	return &answer{status: w.status, header: w.header, body: w.body.Bytes(), only: w.x.only}
}
