package checkout

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"paywall/money"
	"paywall/payment"
)

// Pay makes the credential of an instrument for what is due. Errors are *[Error].
type Pay func(Due) (payment.Credential, error)

// Complete pays a checkout and makes its order. key is the request's idempotency key,
// or empty: the same one is answered with what came of it.
//
// What is charged is the total that was shown last. If it is another one now, nothing
// is charged and the new one is returned with a warning. A decline leaves the checkout
// payable; while it is not known whether the money has moved, it is [InProgress] and
// nothing more is charged.
func (s *Service) Complete(ctx context.Context, c Caller, id, key string, pay Pay) (Session, error) {
	x, err := s.load(ctx, c, id, KindCheckout)
	if err != nil {
		return Session{}, err
	}
	switch {
	case key != "" && key == x.CompleteKey && (x.Status == InProgress || x.Status == Completed):
		return x, nil // the answer to it was lost
	case x.Status.Final():
		return Session{}, over(x)
	case x.Status == InProgress:
		return Session{}, state(x, "complete_in_progress", "The checkout is being paid already; ask for it again in a moment.")
	}
	fresh, holds, moved, err := s.again(ctx, x)
	if err != nil || moved {
		return fresh, err
	}
	if fresh.Status != Ready {
		return s.notReady(fresh), nil
	}
	var cred payment.Credential
	due, owed := s.Due(fresh)
	if owed {
		if cred, err = pay(due); err != nil {
			return s.unpaid(x, err)
		}
	}
	next := fresh
	s.touch(&next)
	next.Status, next.Attempt, next.Challenge, next.CompleteKey, next.Notice = InProgress, x.Attempt+1, cred.ChallengeID, key, nil
	for i := range holds {
		holds[i].Until = next.UpdatedAt.Add(s.cfg.Hold + payWindow)
	}
	defer s.atWork(id)()
	// Of any number of completions at once this lets one through.
	switch err := s.cfg.Store.UpdateSession(ctx, next, Change{Holds: holds, SetHolds: true}); {
	case errors.Is(err, ErrConflict):
		now, lerr := s.load(ctx, c, id, KindCheckout)
		if lerr != nil {
			return Session{}, lerr
		}
		return Session{}, state(now, "complete_in_progress", "The checkout was changed or is being paid by another request; ask for it again.")
	case errors.Is(err, ErrStock):
		_, _, _, err = s.again(ctx, x) // it says what is left
		if err != nil {
			return Session{}, err
		}
		return s.Get(ctx, c, id)
	case err != nil:
		return Session{}, unstored(err)
	}
	s.cfg.Point(PointInProgress)
	if !owed {
		return s.order(context.WithoutCancel(ctx), next, payment.Payment{})
	}
	return s.charge(context.WithoutCancel(ctx), next, cred)
}

// again prices the checkout once more, as it was shown last. moved says that something
// is not as it was shown; then that is stored.
func (s *Service) again(ctx context.Context, x Session) (fresh Session, holds []Hold, moved bool, err error) {
	fresh = x
	fresh.Notice = nil
	if holds, err = s.price(ctx, &fresh); err != nil {
		return Session{}, nil, false, err
	}
	if same(x.Priced, fresh.Priced) {
		// What was shown stays, with the options' times that were promised.
		fresh.Priced = x.Priced
		return fresh, holds, false, nil
	}
	s.touch(&fresh)
	fresh.Notice = []Message{{
		Type: TypeWarning, Code: "price_changed", Path: "$.totals",
		Content: "The price or what can be had has changed since it was shown; nothing was charged. Look at the new total, and complete again to agree.",
	}}
	switch err := s.cfg.Store.UpdateSession(ctx, fresh, Change{Holds: holds, SetHolds: true}); {
	case errors.Is(err, ErrConflict):
		return Session{}, nil, false, state(x, "conflict", "The checkout was changed by another request; ask for it again.")
	case err != nil:
		return Session{}, nil, false, unstored(err)
	}
	return fresh, nil, true, nil
}

// same reports whether two prices are the same to a buyer: the lines, what each costs,
// how it comes, and the totals.
func same(a, b Priced) bool {
	strip := func(p Priced) any {
		type choice struct{ method, destination, option string }
		var choices []choice
		for _, m := range p.Fulfillment {
			for _, g := range m.Groups {
				choices = append(choices, choice{m.Type, m.Destination, g.Option})
			}
		}
		lines := make([]Line, len(p.Lines))
		for i, l := range p.Lines {
			l.Image = ""
			lines[i] = l
		}
		return []any{p.Currency, lines, p.Totals, choices}
	}
	return reflect.DeepEqual(strip(a), strip(b))
}

// notReady says that a checkout was asked to be completed and cannot be.
func (*Service) notReady(x Session) Session {
	x.Notice = append(x.Notice, Message{
		Type: TypeError, Code: "not_ready", Severity: Recoverable, Content: "The checkout cannot be completed yet; nothing was charged.",
	})
	return x
}

// unpaid answers an instrument that was not taken. The checkout is as it was.
func (*Service) unpaid(x Session, err error) (Session, error) {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == KindPayment {
		x.Notice = e.Messages
		return x, nil
	}
	return Session{}, err
}

// Due is what a checkout asks to be paid; false when it is nothing, or cannot be paid.
func (s *Service) Due(x Session) (Due, bool) {
	total := x.Priced.Total()
	if total <= 0 || x.Kind != KindCheckout || x.Status != Ready && x.Status != RequiresEscalation {
		return Due{}, false
	}
	amount, err := money.New(total, x.Priced.Currency, x.Priced.Scale)
	if err != nil {
		return Due{}, false
	}
	digest := x.digest()
	_, pack := x.Priced.Credit()
	return Due{
		Session:   x,
		Quote:     payment.Quote{Route: Route, Amount: amount, Description: description(x), Version: digest, Terms: s.cfg.Terms, Pack: pack},
		Scope:     payment.Scope{Tenant: s.cfg.Tenant, Route: Route, Method: http.MethodPost, Target: "/checkout-sessions/" + x.ID + "/complete", Digest: digest},
		Challenge: "ucp:" + x.ID + ":" + strconv.Itoa(x.Attempt+1),
	}, true
}

// digest binds a payment to what is bought, at what price, and to one attempt.
func (x Session) digest() string {
	type line struct {
		Variant         string
		Quantity, Price int64
	}
	bound := struct {
		Session  string
		Attempt  int
		Currency string
		Lines    []line
		Totals   []Total
	}{x.ID, x.Attempt + 1, x.Priced.Currency, nil, x.Priced.Totals}
	for _, l := range x.Priced.Lines {
		bound.Lines = append(bound.Lines, line{l.Variant, l.Quantity, l.Price})
	}
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(bound) //nolint:errchkjson // text and numbers, into a hash
	sum := h.Sum(nil)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
}

// description is what the payer's wallet shows: plain ASCII, at most 200 bytes.
func description(x Session) string {
	names := make([]string, len(x.Priced.Lines))
	for i, l := range x.Priced.Lines {
		names[i] = l.Title
		if l.Quantity > 1 {
			names[i] = strconv.FormatInt(l.Quantity, 10) + " x " + l.Title
		}
	}
	text := strings.Join(names, ", ")
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if r < ' ' || r > '~' {
			r = '?'
		}
		out = append(out, byte(r))
	}
	if len(out) > 200 {
		out = append(out[:197], "..."...)
	}
	return string(out)
}

// charge takes the money of an attempt that is stored. It does not end with the caller.
func (s *Service) charge(ctx context.Context, x Session, cred payment.Credential) (Session, error) {
	paid, err := s.cfg.Payments.Charge(ctx, cred, payment.Entitlement{Window: payWindow, Redeliver: true})
	if err == nil {
		s.cfg.Point(PointCharged)
		return s.order(ctx, x, paid)
	}
	pe, ok := errors.AsType[*payment.Error](err)
	switch {
	case !ok, pe.Kind.Unsettled() && pe.PaymentID != "":
		s.cfg.Logger.InfoContext(ctx, "the payment of a checkout is in doubt", "checkout", x.ID, "err", err)
		return x, nil // recovery finds out
	case pe.Kind.Unsettled():
		// Nothing was claimed: it is as if it had not been tried.
		if _, err := s.reopen(ctx, x, nil); err != nil {
			return x, nil //nolint:nilerr // recovery opens it again
		}
		e := Refuse(KindBusy, "unavailable", "Payments cannot be taken at the moment; nothing was charged. Try again.", "", Recoverable)
		e.RetryAfter, e.Err = max(pe.RetryAfter, time.Second), err
		return Session{}, e
	}
	next, rerr := s.reopen(ctx, x, declined(pe))
	if rerr != nil {
		s.cfg.Logger.WarnContext(ctx, "a decline was not stored", "checkout", x.ID, "err", rerr)
		return x, nil // recovery finds the failed payment
	}
	return next, nil
}

// declined is what the platform is told of a payment that was not taken.
func declined(pe *payment.Error) []Message {
	if pe.Kind == payment.KindActionRequired {
		return []Message{{
			Type: TypeError, Code: "requires_3ds", Severity: RequiresBuyerReview, Path: "$.payment.instruments[0]",
			Content: "The buyer's bank asks for an approval; nothing was charged. Send the buyer to continue_url, or complete with another instrument.",
		}}
	}
	return []Message{{
		Type: TypeError, Code: "payment_failed", Severity: Recoverable, Path: "$.payment.instruments[0]",
		Content: "The payment was not taken: " + pe.Detail + ". Nothing was charged.",
	}}
}

// reopen makes an attempt that has failed payable again.
func (s *Service) reopen(ctx context.Context, x Session, notice []Message) (Session, error) {
	next := x
	s.touch(&next)
	next.Status, next.Challenge, next.Notice = Ready, "", notice
	for _, m := range notice {
		if m.Severity == RequiresBuyerReview || m.Severity == RequiresBuyerInput {
			next.Status = RequiresEscalation
		}
	}
	if err := s.cfg.Store.UpdateSession(ctx, next, Change{}); err != nil {
		return Session{}, err //nolint:wrapcheck // the caller says what was not stored
	}
	return next, nil
}
