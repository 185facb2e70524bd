package facilitator

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"paywall/money"
	"paywall/payment"
	"paywall/x402"
)

func (s *Server) serveSettle(w http.ResponseWriter, r *http.Request, c *client) {
	select {
	case c.settling <- struct{}{}:
		defer func() { <-c.settling }()
	default:
		w.Header().Set("Retry-After", "1")
		tell(w, http.StatusTooManyRequests, "Too many settlements of this client are under way.")
		return
	}
	data, ok := body(w, r)
	if !ok {
		return
	}
	o, err := s.parse(c, data, s.cfg.Now())
	if no, refused := errors.AsType[*refusal](err); refused {
		s.respond(w, r, http.StatusOK, x402.SettleResponse{ErrorReason: no.code})
		return
	}
	if err != nil {
		s.respond(w, r, http.StatusBadRequest, x402.SettleResponse{ErrorReason: x402.CodeInvalidPayload})
		return
	}
	// Copies of one request come one after the other, so that all have the one answer.
	leave, ok := s.turns.enter(r.Context(), o.credential.ChallengeID)
	if !ok {
		return // the client has left
	}
	defer leave()
	s.settle(w, r, c, o)
}

func (s *Server) settle(w http.ResponseWriter, r *http.Request, c *client, o order) {
	// A settlement is not half made for a client that hangs up.
	ctx := context.WithoutCancel(r.Context())
	pay, err := s.cfg.Processor.Charge(ctx, o.credential, payment.Entitlement{Window: s.cfg.Window, Redeliver: true})
	if err == nil && !same(pay, o.credential) {
		err = payment.Refuse(payment.KindInvalidChallenge, "the payment is of another request")
	}
	// The right to answer is taken before the answer, or a settlement whose window has
	// just ended would be answered and refunded.
	open := err == nil && pay.Delivery != payment.DeliveryDelivered
	switch {
	case open:
		pay, err = s.cfg.Processor.Dispatch(ctx, pay, false)
	case err == nil && !s.repeats.again(pay.ID, pay.DeliveredAt, s.cfg.Now()):
		s.respond(w, r, http.StatusOK, x402.SettleResponse{ErrorReason: codeDuplicate, Transaction: pay.Reference, Network: o.network})
		return
	}
	if err != nil {
		s.refuse(w, r, c, o, err)
		return
	}
	err = s.succeed(w, r, pay, o.network)
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "settlement not answered", "client", c.Name, "payment", pay.ID, "err", err)
	}
	switch {
	case !open:
	case err == nil:
		s.repeats.first(pay.ID)
		if err := s.cfg.Processor.Delivered(ctx, pay, ""); err != nil {
			s.cfg.Logger.ErrorContext(ctx, "delivery not recorded", "client", c.Name, "payment", pay.ID, "err", err)
		}
	default:
		if _, err := s.cfg.Processor.Undelivered(ctx, pay, true, "answer_lost"); err != nil {
			s.cfg.Logger.ErrorContext(ctx, "lost answer not recorded", "client", c.Name, "payment", pay.ID, "err", err)
		}
	}
}

func (*Server) succeed(w http.ResponseWriter, r *http.Request, pay payment.Payment, network string) error {
	resp, err := x402.NewSettlement(pay, network, "")
	if err != nil {
		return err //nolint:wrapcheck // it says what failed
	}
	data, err := json.Marshal(resp)
	if err != nil {
		return err //nolint:wrapcheck // it says what failed
	}
	return answer(w, r, http.StatusOK, data)
}

// refuse answers a settlement that was not made, or not yet. While it is not known
// which, the answer is "settlement_pending" with a transaction, for which stock servers
// ask again with the same payload, and never one for which a payer would pay again.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, c *client, o order, err error) {
	e, ok := errors.AsType[*payment.Error](err)
	if !ok {
		e = &payment.Error{Err: err} // internal
	}
	status, resp := http.StatusOK, x402.SettleResponse{Network: o.network}
	if e.Kind.Unsettled() {
		resp.ErrorReason, resp.Transaction = x402.CodePending, e.PaymentID
		if resp.Transaction == "" {
			resp.Transaction = o.credential.ChallengeID
		}
		if e.Kind != payment.KindPending && e.Kind != payment.KindInProgress {
			status = http.StatusServiceUnavailable
		}
		w.Header().Set("Retry-After", seconds(max(e.RetryAfter, time.Second)))
		s.cfg.Logger.WarnContext(r.Context(), "settlement is open", "client", c.Name, "payment", e.PaymentID, "kind", e.Kind.String(), "err", e.Err)
	} else {
		resp.ErrorReason = reason(e)
	}
	s.respond(w, r, status, resp)
}

// reason is the code of a definite no: the rail's own where it has the form of one.
func reason(e *payment.Error) string {
	if e.Reason != "" && len(e.Reason) <= 64 && strings.Trim(e.Reason, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" {
		return e.Reason
	}
	switch e.Kind {
	case payment.KindInvalidPayload, payment.KindMalformedCredential, payment.KindBadRequest:
		return x402.CodeInvalidPayload
	case payment.KindMethodUnsupported:
		return x402.CodeInvalidRequirements
	case payment.KindPaymentInsufficient:
		return x402.CodeInsufficientFunds
	case payment.KindActionRequired:
		return codeAuthentication
	default:
		return x402.CodeInvalidState
	}
}

// codeAuthentication is what the draft for cards says of a payer who has to act.
const codeAuthentication = "card_authentication_required"

// turns lets the requests of one key pass one by one.
type turns struct {
	mu      sync.Mutex       // guards waiting
	waiting map[string]*turn // of keys that somebody has or waits for
}

type turn struct {
	taken chan struct{}
	users int
}

// enter waits for the turn, and reports false when ctx ended first. Otherwise the
// caller ends it by leave.
func (t *turns) enter(ctx context.Context, key string) (leave func(), ok bool) {
	t.mu.Lock()
	one := t.waiting[key]
	if one == nil {
		one = &turn{taken: make(chan struct{}, 1)}
		t.waiting[key] = one
	}
	one.users++
	t.mu.Unlock()
	gone := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(t.waiting, key)
		}
	}
	select {
	case one.taken <- struct{}{}:
		return func() { <-one.taken; gone() }, true
	case <-ctx.Done():
		gone()
		return nil, false
	}
}

// sample is an amount that any binding can state.
func sample() money.Amount {
	a, err := money.New(100, "USD", 2)
	if err != nil {
		return money.Amount{} // not reached
	}
	return a
}
