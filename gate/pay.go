package gate

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"paywall/payment"
)

// pay verifies the credential of a protocol, settles it and serves the request.
func (x *exchange) pay(protocol int) {
	d := x.terms.dialects[protocol]
	x.ev.Protocol, x.spoken = x.g.cfg.Protocols[protocol].Name(), protocol+1
	if d == nil {
		x.refuse(&payment.Error{Kind: payment.KindMethodUnsupported, Detail: "This protocol is not offered here."})
		return
	}
	cred, err := d.Credential(x.r, x.scope, x.now)
	late := err != nil && cred.ChallengeID != ""
	if err != nil && !late {
		x.refuse(err)
		return
	}
	// Not every protocol binds its credential to the request; an answer is for the
	// request that was paid.
	key := cred.Hash + x.scope.Hash()
	client := x.g.cfg.Client(x.r)
	if cred.Public {
		x.only = network(client)
	}
	if x.elsewhere(key) {
		x.refuse(errElsewhere())
		return
	}
	if x.repeat(key) {
		return
	}
	// Copies of one credential arrive together when a client retries in haste: one
	// goes on, the others wait for its answer and cost nothing.
	flight, first := x.g.flights.join(key)
	if !first {
		x.follow(flight, key)
		return
	}
	defer x.g.flights.land(key, flight)
	if x.repeat(key) {
		return // it landed between the two looks
	}
	var pay payment.Payment
	switch {
	case late && !x.g.limits.mayFail(client):
		err = errLimited // each costs a look into the store, whoever made it up
	case late:
		pay, err = x.resume(cred, err)
	default:
		pay, err = x.settle(cred)
	}
	if first, ok := errors.AsType[*earlier](err); ok && x.repeat(first.key) {
		return
	}
	// A payment that is still in doubt has its first client, too.
	if pe, ok := errors.AsType[*payment.Error](err); (err == nil || ok && pe.PaymentID != "") && !x.g.firsts.mine(key, cred, client) {
		x.refuse(errElsewhere())
		return
	}
	if err != nil {
		x.refuse(err)
		return
	}
	x.ev.Payment = pay.ID
	if pay.Pack {
		x.sold(pay, d, key, cred.Public)
		return
	}
	if pay.Delivery == payment.DeliveryDelivered {
		x.refuse(&payment.Error{Kind: payment.KindInvalidChallenge, Detail: "This challenge has been used; what it paid for was delivered.", PaymentID: pay.ID})
		return
	}
	a := x.g.stash.unpaid(key)
	switch {
	case a != nil:
		x.serveUnpaid(pay, d, key, a)
	case pay.State == payment.StatePending:
		x.hold(pay, d, key) // promised, and this process serves it
	default:
		x.dispatch(pay, d, key)
	}
}

// settle has the money taken, or promised when the offer says so.
func (x *exchange) settle(cred payment.Credential) (payment.Payment, error) {
	// A well-bound credential with a bad token costs a call of the rail: a client
	// that keeps failing is slowed down before the next one.
	client := x.g.cfg.Client(x.r)
	if !x.g.limits.mayFail(client) {
		return x.resume(cred, errLimited) // what was paid for is owed all the same
	}
	leave, ok := x.g.limits.enter(x.r.Context(), client)
	if !ok {
		return payment.Payment{}, &payment.Error{Kind: payment.KindBusy, Detail: "Too many payments of this client are being settled; nothing was charged.", RetryAfter: 2 * time.Second}
	}
	defer leave()
	if err := x.remember(cred); err != nil {
		return payment.Payment{}, err
	}
	begin := x.g.cfg.Processor.Charge
	if cred.Offer.Hold {
		begin = x.g.cfg.Processor.Hold
	}
	return begin(x.r.Context(), cred, payment.Entitlement{
		Window: x.route.window(x.c.Method), Redeliver: x.route.idempotent(x.c.Method) || cred.Offer.Quote.Pack,
	})
}

// resume collects what a credential paid for in time; it begins no payment.
func (x *exchange) resume(cred payment.Credential, why error) (payment.Payment, error) {
	pay, err := x.g.cfg.Processor.Resume(x.r.Context(), cred)
	if errors.Is(err, payment.ErrNotFound) {
		return payment.Payment{}, why
	}
	return pay, err //nolint:wrapcheck // *payment.Error, classed at the edge
}

var errLimited = errors.New("too many refused payments from this client")

// dispatch serves a settled payment.
func (x *exchange) dispatch(pay payment.Payment, d payment.Dialect, key string) {
	pay, err := x.g.cfg.Processor.Dispatch(x.r.Context(), pay, !x.route.idempotent(x.c.Method))
	if err != nil {
		x.refuse(err)
		return
	}
	x.ev.Payment = pay.ID
	dw := &deliveryWriter{x: x, pay: pay, dialect: d, keep: x.g.cfg.Limits.Answer, declared: -1}
	x.conclude(dw, key, dw.run(dw, x.outgoing(&pay)))
}

// conclude ends a delivery, whole or not.
func (x *exchange) conclude(dw *deliveryWriter, key string, aborted bool) {
	if !aborted && dw.wrote {
		// The payer has its answer before we write that it has: what cannot be sent any
		// more was not delivered.
		dw.finish()
	}
	x.ev.Status = dw.status
	if dw.hijacked {
		x.ev.Outcome = OutcomePaid // entered when it was upgraded
		return
	}
	if dw.nothing {
		x.unowed(dw, key, aborted)
		return
	}
	if dw.complete(aborted) {
		x.delivered(dw, key)
		return
	}
	x.failed(dw, key, aborted)
}

func (x *exchange) delivered(dw *deliveryWriter, key string) {
	x.ev.Outcome = OutcomePaid
	x.g.cfg.Point(payment.PointLastByte)
	if key != "" {
		x.g.stash.put(key, dw.answer())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), 15*time.Second)
	defer cancel()
	if err := x.g.cfg.Processor.Delivered(ctx, dw.pay, dw.receiptID); err != nil {
		x.ev.Err = err
	}
}

// failed ends a dispatch that did not come to its end, and says so when nothing
// was written yet.
func (x *exchange) failed(dw *deliveryWriter, key string, aborted bool) {
	x.ev.Outcome = OutcomeFailed
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), 30*time.Second)
	defer cancel()
	// What was drawn goes back at once: its payer pays each request anew.
	again := !x.drawn && (x.route.idempotent(x.c.Method) || dw.refusedByHandler() || !dw.reached)
	if !again && dw.accepted && !aborted && key != "" {
		// The upstream has done its work and only the payer is gone. It must not run
		// again, but its answer is here: it waits for the payer, who is refunded if
		// it does not come.
		if a := dw.answer(); a != nil {
			g, pay, id := x.g, dw.pay, dw.receiptID
			a.owed = func(ctx context.Context, collected bool) {
				var err error
				if collected {
					err = g.cfg.Processor.Delivered(ctx, pay, id)
				} else {
					_, err = g.cfg.Processor.Undelivered(ctx, pay, false, "not_collected")
				}
				if err != nil {
					// Recovery takes it up when the lease is over.
					g.cfg.Logger.WarnContext(ctx, "the end of a delivery was not stored", "payment", pay.ID, "collected", collected, "err", err)
				}
			}
			x.g.stash.put(key, a)
			return
		}
	}
	pay, err := x.g.cfg.Processor.Undelivered(ctx, dw.pay, again, dw.reason(aborted))
	if err != nil {
		x.ev.Err = err
		if pay.ID == "" {
			pay = dw.pay
		}
	}
	if dw.wrote {
		if aborted || !dw.passed {
			panic(http.ErrAbortHandler) // the payer must see that the answer is cut off
		}
		return
	}
	x.undelivered(pay)
}

// unowed ends an answer that nothing was taken for.
func (x *exchange) unowed(dw *deliveryWriter, key string, aborted bool) {
	if !dw.wrote {
		x.released()
		return
	}
	x.ev.Outcome = OutcomeFailed
	if dw.accepted && dw.complete(aborted) {
		x.ev.Outcome = OutcomePaid // as much as it cost
		x.g.stash.put(key, dw.answer())
	}
	if aborted {
		panic(http.ErrAbortHandler)
	}
}

// undelivered tells the payer what became of a payment whose request failed.
func (x *exchange) undelivered(pay payment.Payment) {
	h := x.w.Header()
	clear(h)
	if x.drawn {
		x.undrawn(h)
		return
	}
	h.Set(paymentIDField, pay.ID)
	if pay.State == payment.StateSettled {
		h.Set("Retry-After", "5")
		x.problemWith(http.StatusBadGateway, "The service behind this payment failed. The payment is kept: send the same request with the same credential again, or be refunded when its time is over.", pay.ID)
		return
	}
	x.problemWith(http.StatusBadGateway, "The service behind this payment failed. The payment is being refunded.", pay.ID)
}

// follow waits for the answer of another copy of the same credential.
func (x *exchange) follow(f *flight, key string) {
	t := time.NewTimer(x.g.cfg.Limits.Join)
	defer t.Stop()
	select {
	case <-f.done:
	case <-t.C:
	case <-x.r.Context().Done():
	}
	if x.elsewhere(key) {
		x.refuse(errElsewhere())
		return
	}
	if x.repeat(key) {
		return
	}
	x.refuse(&payment.Error{Kind: payment.KindInProgress, Detail: "This payment is being worked on; present the same credential again.", RetryAfter: time.Second})
}

// repeat writes the stored answer of a delivery, if there is one for exactly this
// credential and client.
func (x *exchange) repeat(key string) bool {
	a := x.g.stash.hold(key, network(x.g.cfg.Client(x.r)))
	if a == nil {
		return false
	}
	x.ev.Outcome, x.ev.Status = OutcomeRepeated, a.status
	sent := false
	defer func() { x.g.stash.release(a, sent) }()
	h := x.w.Header()
	maps.Copy(h, a.header)
	// A payer that has all of its answer may hang up at once: whether it is there is
	// looked at before the end goes out.
	here := x.r.Context().Err() == nil
	x.w.WriteHeader(a.status)
	if x.c.Method != http.MethodHead {
		if _, err := x.write(x.w, a.body); err != nil {
			x.ev.Err = err
			return true
		}
	}
	x.extend(x.w)
	err := http.NewResponseController(x.w).Flush()
	sent = here && (err == nil || errors.Is(err, http.ErrNotSupported))
	return true
}

// flights are the credentials that are being worked on by this process.
type flights struct {
	mu   sync.Mutex // guards open
	open map[string]*flight
}

type flight struct{ done chan struct{} }

func (f *flights) join(key string) (*flight, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one, ok := f.open[key]; ok {
		return one, false
	}
	if f.open == nil {
		f.open = map[string]*flight{}
	}
	one := &flight{done: make(chan struct{})}
	f.open[key] = one
	return one, true
}

func (f *flights) land(key string, one *flight) {
	f.mu.Lock()
	delete(f.open, key)
	f.mu.Unlock()
	close(one.done)
}
