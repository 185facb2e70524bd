package gate

import (
	"context"
	"errors"
	"maps"
	"net/http"

	"paywall/payment"
)

// keepUnpaid keeps the answer of a request that ran, and must not run again, for a
// payment that may not have been taken yet. It goes to its payer once it is.
func (g *Gate) keepUnpaid(key, id string, a *answer) {
	a.unpaid = true
	a.owed = func(ctx context.Context, _ bool) {
		if err := g.forgo(ctx, id); err != nil {
			// Recovery takes it up when its lease or its window is over.
			g.cfg.Logger.WarnContext(ctx, "the end of a kept answer was not stored", "payment", id, "err", err)
		}
	}
	g.stash.put(key, a)
}

// forgo returns a payment whose answer is no longer there to be had. One that is not
// settled is ended by recovery.
func (g *Gate) forgo(ctx context.Context, id string) error {
	pay, err := g.cfg.Processor.Get(ctx, id)
	if err != nil {
		return err //nolint:wrapcheck // the processor names the payment
	}
	if pay.State == payment.StateSettled && pay.Delivery != payment.DeliveryDelivered {
		_, err = g.cfg.Processor.Undelivered(ctx, pay, false, "not_collected")
	}
	return err //nolint:wrapcheck // the processor names the payment
}

// serveUnpaid takes the money for an answer that was kept for it, if it was not
// taken meanwhile, and gives it out.
func (x *exchange) serveUnpaid(pay payment.Payment, d payment.Dialect, key string, a *answer) {
	var err error
	switch {
	case pay.State == payment.StatePending: // promised once more
		pay, err = x.g.cfg.Processor.Capture(x.r.Context(), pay, a.amount)
	case pay.Delivery != payment.DeliveryDispatched:
		pay, err = x.g.cfg.Processor.Dispatch(x.r.Context(), pay, true)
	default: // it is entered as one that ran, and its answer is here
	}
	if err != nil {
		if pe, ok := errors.AsType[*payment.Error](err); !ok || pe.Kind.Unsettled() {
			x.g.stash.put(key, a)
		}
		x.refuse(err)
		return
	}
	dw := &deliveryWriter{x: x, pay: pay, dialect: d, keep: x.g.cfg.Limits.Answer, declared: -1, held: true}
	maps.Copy(x.w.Header(), a.header)
	dw.WriteHeader(a.status)
	if x.c.Method != http.MethodHead {
		_, _ = dw.Write(a.body) // it remembers its error
	}
	x.conclude(dw, key, false)
}
