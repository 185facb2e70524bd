package gate

import (
	"context"
	"errors"
	"time"

	"paywall/payment"
)

// visits bounds how many payments of one payer are looked at.
const visits = 20

// visit serves a payer who proves its name instead of paying, as if it had presented
// the receipt of what it paid for this route. False means that it is asked to pay.
func (x *exchange) visit() bool {
	if x.g.cfg.Receipts == nil || x.g.cfg.Keys == nil {
		return false
	}
	for _, door := range x.terms.doors {
		v, err := door.SignedIn(x.r, x.scope, x.now)
		if errors.Is(err, payment.ErrNoCredential) {
			continue
		}
		if err != nil {
			x.refuse(err)
			return true
		}
		return x.welcome(v)
	}
	return false
}

func (x *exchange) welcome(v payment.Visitor) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), 10*time.Second)
	defer cancel()
	lost := func(err error) bool {
		x.refuse(&payment.Error{Kind: payment.KindInternal, Detail: "What was paid could not be looked up.", RetryAfter: time.Second, Err: err})
		return true
	}
	paid, err := x.g.cfg.Processor.PaidBy(ctx, v.Payer, x.route.ID, visits)
	if err != nil {
		return lost(err)
	}
	if len(paid) == 0 {
		return false // and nothing is stored for a stranger
	}
	_, used, err := x.once(ctx, v)
	switch {
	case err != nil:
		return lost(err)
	case used:
		x.refuse(&payment.Error{Kind: payment.KindPaymentRequired, Detail: "This proof was used before; sign the new challenge."})
		return true
	}
	for _, pay := range paid {
		done, err := x.reopen(ctx, pay)
		if err != nil {
			return lost(err)
		}
		if done {
			return true
		}
	}
	return false
}

// once uses a nonce up. Whoever finds it there already is told so, whatever it was for.
func (x *exchange) once(ctx context.Context, v payment.Visitor) (existing string, used bool, err error) {
	existing, conflict, err := x.g.cfg.Keys.Remember(ctx, "siwx", v.Nonce, x.scope.Hash(), v.Payer)
	return existing, conflict || existing != "", err //nolint:wrapcheck // classed by the caller
}

// reopen serves the request for one payment, if its receipt opens it.
func (x *exchange) reopen(ctx context.Context, pay payment.Payment) (bool, error) {
	token, _, err := x.g.cfg.Receipts.Issue(pay, x.route.pass())
	if err != nil {
		return false, nil //nolint:nilerr // its time is over
	}
	grant, err := x.g.cfg.Receipts.Redeem(ctx, token, x.scope)
	if err != nil {
		pe, known := errors.AsType[*payment.Error](err)
		if known && pe.Kind == payment.KindPaymentRequired {
			return false, nil // it opens other requests, or no more
		}
		return false, err //nolint:wrapcheck // classed by the caller
	}
	if grant.Collect && pay.Delivery == payment.DeliveryDelivered {
		return false, nil
	}
	x.ev.Payment = grant.PaymentID
	x.granted(grant) //nolint:contextcheck // the context is the request's
	return true, nil
}
