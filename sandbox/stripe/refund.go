package stripe

import (
	"time"
)

// A refund gives back what a charge took, or a part of it.
type refund struct {
	id       string
	created  time.Time
	key      string
	charge   *charge
	amount   int64
	status   string
	reason   string
	failure  string
	metadata map[string]string
	entry    *entry
}

func (r *refund) ident() string   { return r.id }
func (r *refund) born() time.Time { return r.created }

func (r *refund) render() object {
	var entryID any
	if r.entry != nil {
		entryID = r.entry.id
	}
	destination := object{"type": "card", "card": object{"reference_status": statusPending, "reference_type": "acquirer_reference_number", "type": "refund"}}
	if r.charge.coin != nil {
		destination = object{"type": "crypto", "crypto": object{"reference_status": statusPending}}
	}
	o := object{
		"id": r.id, "object": "refund", "amount": r.amount, "balance_transaction": entryID, "charge": r.charge.id,
		"created": r.created.Unix(), "currency": r.charge.intent.currency, "metadata": notes(r.metadata),
		"destination_details": destination, "payment_intent": r.charge.intent.id, "reason": orNull(r.reason), "receipt_number": nil, "source_transfer_reversal": nil,
		"status": r.status, "transfer_reversal": nil,
	}
	if r.failure != "" {
		o["failure_reason"] = r.failure
	}
	return o
}

func (s *Server) createRefund(c *call) (object, error) {
	chargeID, intentID := c.str("charge"), c.str("payment_intent")
	amount, given := c.integer("amount", 1)
	r := &refund{
		created: c.now, key: c.key, status: statusSucceeded,
		reason:   c.one("reason", "duplicate", "fraudulent", "requested_by_customer"),
		metadata: c.metadata("metadata", nil),
	}
	feeToo, reverse := c.flag("refund_application_fee"), c.flag("reverse_transfer")
	c.ignore("instructions_email", "currency")
	if err := c.finish(); err != nil {
		return nil, err
	}
	if (chargeID == "") == (intentID == "") {
		return nil, invalid("parameter_missing", "", "One of the following params should be provided for this request: payment_intent or charge.")
	}
	h, err := s.refundable(c, chargeID, intentID)
	if err != nil {
		return nil, err
	}
	left := h.captured - h.refunded
	switch {
	case h.dispute != nil && !h.dispute.inquiry():
		return nil, refused("charge_disputed", "", "Charge %s has been charged back; cannot issue a refund.", h.id)
	case left == 0:
		return nil, refused("charge_already_refunded", "", "Charge %s has already been refunded.", h.id)
	case !given:
		amount = left
	case amount > left:
		currency := h.intent.currency
		return nil, refused("", "amount", "Refund amount (%s) is greater than unrefunded amount on charge (%s)", display(amount, currency), display(left, currency))
	}
	if feeToo && h.intent.fee == 0 {
		return nil, refused("", "refund_application_fee", "The charge has no application fee to refund.")
	}
	if reverse && h.intent.destination == "" {
		return nil, refused("", "reverse_transfer", "The charge has no transfer to reverse.")
	}
	r.id, r.charge, r.amount = s.newID("re"), h, amount
	h.refunded += amount
	c.account.refunds.add(r)
	s.refundMoves(c.account, r, c.now)
	s.emit(c.account, "refund.created", r.render(), nil)
	s.emit(c.account, "charge.refunded", h.render(), nil)
	return r.render(), nil
}

// refundable finds the charge that a refund is for.
func (s *Server) refundable(c *call, chargeID, intentID string) (*charge, error) {
	if chargeID != "" {
		h, ok := c.account.charges.get(chargeID)
		if !ok {
			return nil, noSuch("charge", "charge", chargeID)
		}
		if !h.done {
			return nil, refused("", "charge", "Charge %s was not captured; cannot issue a refund.", h.id)
		}
		return h, nil
	}
	i, ok := c.account.intents.get(intentID)
	if !ok {
		return nil, noSuch("payment_intent", "payment_intent", intentID)
	}
	if i.latest == nil || !i.latest.done {
		return nil, refused("", "payment_intent", "This PaymentIntent (%s) does not have a successful charge to refund.", i.id)
	}
	return i.latest, nil
}

// bankTakes is how long a bank needs to complete or return a refund.
const bankTakes = 5 * time.Second

// refundMoves books a refund, at once or later as the test card has it. Fees
// are not returned.
func (s *Server) refundMoves(a *account, r *refund, now time.Time) {
	currency := r.charge.intent.currency
	if r.charge.method.conduct.refund == statusPending {
		r.status = statusPending
		s.later(now.Add(bankTakes), func(now time.Time) {
			r.status = statusSucceeded
			r.entry = s.book(a, "refund", r.id, currency, -r.amount, 0, true, now)
			s.emit(a, "refund.updated", r.render(), object{"status": statusPending})
			s.emit(a, "charge.refund.updated", r.render(), object{"status": statusPending})
		})
		return
	}
	r.entry = s.book(a, "refund", r.id, currency, -r.amount, 0, true, now)
	if r.charge.method.conduct.refund == statusFailed {
		s.later(now.Add(bankTakes), func(now time.Time) {
			r.status, r.failure = statusFailed, "expired_or_canceled_card"
			r.charge.refunded -= r.amount
			s.book(a, "refund_failure", r.id, currency, r.amount, 0, true, now)
			s.emit(a, "refund.failed", r.render(), object{"status": statusSucceeded})
			s.emit(a, "charge.refund.updated", r.render(), object{"status": statusSucceeded})
		})
	}
}

func (s *Server) refundFor(c *call) (*refund, error) {
	if r, ok := c.account.refunds.get(c.id); ok {
		return r, nil
	}
	return nil, noSuch("refund", "id", c.id)
}

func (s *Server) retrieveRefund(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	r, err := s.refundFor(c)
	if err != nil {
		return nil, err
	}
	return r.render(), nil
}

func (s *Server) updateRefund(c *call) (object, error) {
	r, err := s.refundFor(c)
	if err != nil {
		return nil, err
	}
	changed := c.metadata("metadata", r.metadata)
	if err := c.finish(); err != nil {
		return nil, err
	}
	r.metadata = changed
	s.emit(c.account, "refund.updated", r.render(), nil)
	return r.render(), nil
}

func (s *Server) cancelRefund(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	r, err := s.refundFor(c)
	if err != nil {
		return nil, err
	}
	return nil, refused("", "", "Refund %s cannot be canceled: refunds of card payments do not support it.", r.id)
}

func (s *Server) listRefunds(c *call) (object, error) {
	when, g, chargeID, intentID := c.created(), c.page(), c.str("charge"), c.str("payment_intent")
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, more, err := cut(&c.account.refunds, g, "refund", func(r *refund) bool {
		return when.covers(r.created) && (chargeID == "" || r.charge.id == chargeID) && (intentID == "" || r.charge.intent.id == intentID)
	})
	if err != nil {
		return nil, err
	}
	return listOf(found, more, "/v1/refunds", (*refund).render), nil
}
