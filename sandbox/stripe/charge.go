package stripe

import (
	"net/http"
	"time"
)

// A charge is one try to take money, whatever came of it.
type charge struct {
	id       string
	created  time.Time
	intent   *intent
	method   *method
	status   string
	amount   int64
	captured int64
	done     bool // captured, even if in part
	refunded int64
	released bool // an authorization that was given back
	entry    *entry
	failure  *conduct
	dispute  *dispute
	coin     *coin
}

func (h *charge) ident() string   { return h.id }
func (h *charge) born() time.Time { return h.created }

func (h *charge) render() object {
	i := h.intent
	var code, message, entryID, disputeID any
	if h.failure != nil {
		code, message = h.failure.code, messageOf(*h.failure)
	}
	if h.entry != nil {
		entryID = h.entry.id
	}
	if h.dispute != nil {
		disputeID = h.dispute.id
	}
	refunded := h.refunded
	if h.released {
		refunded = h.amount
	}
	return object{
		"id": h.id, "object": "charge", "amount": h.amount, "amount_captured": h.captured, "amount_refunded": refunded,
		"application_fee_amount": i.render()["application_fee_amount"], "balance_transaction": entryID, "billing_details": billing(),
		"captured": h.done, "created": h.created.Unix(), "currency": i.currency, "customer": orNull(i.customer),
		"description": orNull(i.description), "dispute": disputeID, "disputed": h.dispute != nil, "failure_balance_transaction": nil,
		"failure_code": code, "failure_message": message, "fraud_details": object{}, "livemode": false, "metadata": notes(i.metadata),
		"on_behalf_of": orNull(i.onBehalf), "outcome": h.outcome(), "paid": h.status == statusSucceeded, "payment_intent": i.id,
		"payment_method": h.method.id, "payment_method_details": h.details(), "receipt_email": orNull(i.email), "receipt_url": nil,
		"refunded": refunded > 0 && refunded == max(h.captured, h.amount*bit(h.released)), "review": nil, "source_transfer": nil,
		"statement_descriptor": nil, "statement_descriptor_suffix": orNull(i.suffix), "status": h.status,
		"transfer_data": i.render()["transfer_data"], "transfer_group": orNull(i.group),
	}
}

func (h *charge) details() object {
	if h.coin != nil {
		return h.coin.details()
	}
	return h.method.conduct.details()
}

// fee is the list price: of cards, or 1.5 percent of stablecoins.
func (h *charge) fee(amount int64) int64 {
	if h.coin != nil {
		return (amount*15 + 500) / 1000
	}
	return feeOf(amount)
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (h *charge) outcome() object {
	o := object{
		"advice_code": nil, "network_advice_code": nil, "network_decline_code": nil, "network_status": "approved_by_network",
		"reason": nil, "risk_level": "normal", "risk_score": 12, "seller_message": "Payment complete.", "type": "authorized",
	}
	if h.method.conduct.elevated {
		o["risk_level"], o["risk_score"], o["reason"] = "elevated", 70, "elevated_risk_level"
		o["seller_message"], o["type"] = "Stripe evaluated this payment as having elevated risk.", "manual_review"
	}
	switch f := h.failure; {
	case f == nil:
	case f.blocked:
		o["network_status"], o["reason"], o["type"] = "not_sent_to_network", "highest_risk_level", "blocked"
		o["risk_level"], o["risk_score"], o["seller_message"] = "highest", 92, "Stripe blocked this payment as too risky."
	default:
		o["network_status"], o["reason"], o["type"] = "declined_by_network", f.decline, "issuer_declined"
		o["network_decline_code"], o["advice_code"] = "01", adviceOf(*f)
		o["seller_message"] = "The bank did not return any further details with this decline."
	}
	return o
}

func (s *Server) newCharge(c *call, i *intent, behave conduct) *charge {
	h := &charge{id: s.newID("ch"), created: c.now, intent: i, method: i.method, amount: i.amount, status: statusSucceeded}
	if behave.code != "" {
		h.status, h.failure = statusFailed, &behave
	}
	c.account.charges.add(h)
	return h
}

// decline ends a try. The intent waits for another way to pay; a token stays alive.
func (s *Server) decline(c *call, i *intent, h *charge, behave conduct) error {
	e := &Error{
		Status: http.StatusPaymentRequired, Type: "card_error", Code: behave.code, DeclineCode: behave.decline,
		Message: messageOf(behave), stored: true,
	}
	e.members = object{"charge": h.id, "payment_method": i.method.render(), "advice_code": adviceOf(behave)}
	if !behave.blocked {
		e.members["network_decline_code"] = "01"
	}
	failure, _ := e.body()["error"].(object)
	i.failure = failure
	i.status, i.method, i.token = statusMethod, nil, nil
	s.emit(c.account, "charge.failed", h.render(), nil)
	s.emit(c.account, "payment_intent.payment_failed", i.render(), nil)
	e.members["payment_intent"] = i.render()
	return e
}

func messageOf(behave conduct) string {
	switch behave.decline {
	case "insufficient_funds":
		return "Your card has insufficient funds."
	case "expired_card":
		return "Your card has expired."
	case "incorrect_cvc":
		return "Your card's security code is incorrect."
	case "processing_error":
		return "An error occurred while processing your card. Try again in a little bit."
	case "card_velocity_exceeded":
		return "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."
	case "authentication_required":
		return "Your card was declined. This transaction requires authentication."
	}
	return "Your card was declined."
}

func adviceOf(behave conduct) string {
	switch behave.decline {
	case "generic_decline", "insufficient_funds", "processing_error", "card_velocity_exceeded":
		return "try_again_later"
	case "expired_card", "incorrect_cvc", "authentication_required":
		return "confirm_card_data"
	}
	return "do_not_try_again"
}

// settles is how long the balance takes to hear of a charge: its entry, and with
// it the fee, comes after the answer.
const settles = time.Second

// captured books what was taken.
func (s *Server) captured(a *account, i *intent, h *charge, amount int64, now time.Time) {
	h.done, h.captured = true, amount
	if i.token != nil {
		i.token.captured += amount
	}
	if h.method.conduct.settled {
		h.entry = s.book(a, "charge", h.id, i.currency, amount, h.fee(amount), true, now)
		return
	}
	s.later(now.Add(settles), func(now time.Time) {
		h.entry = s.book(a, "charge", h.id, i.currency, amount, h.fee(amount), false, now)
		s.emit(a, "charge.updated", h.render(), object{"balance_transaction": nil})
	})
}

// released gives back an authorization that was never captured.
func (s *Server) released(a *account, h *charge) {
	h.released = true
	s.emit(a, "charge.refunded", h.render(), nil)
}

// aftermath is what some test cards do once they have paid.
func (s *Server) aftermath(a *account, h *charge, now time.Time) {
	behave := h.method.conduct
	if behave.dispute != "" {
		s.openDispute(a, h, behave.dispute, behave.inquiry, now)
	}
	if behave.fraudWarning {
		s.emit(a, "radar.early_fraud_warning.created", object{
			"id": s.newID("issfr"), "object": "radar.early_fraud_warning", "actionable": true, "charge": h.id, "created": now.Unix(),
			"fraud_type": "made_with_lost_card", "livemode": false, "payment_intent": h.intent.id,
		}, nil)
	}
}

func (s *Server) retrieveCharge(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	h, ok := c.account.charges.get(c.id)
	if !ok {
		return nil, noSuch("charge", "id", c.id)
	}
	return h.render(), nil
}

func (s *Server) listCharges(c *call) (object, error) {
	when, g := c.created(), c.page()
	customer, intentID, group := c.str("customer"), c.str("payment_intent"), c.str("transfer_group")
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, more, err := cut(&c.account.charges, g, "charge", func(h *charge) bool {
		return when.covers(h.created) && (customer == "" || h.intent.customer == customer) &&
			(intentID == "" || h.intent.id == intentID) && (group == "" || h.intent.group == group)
	})
	if err != nil {
		return nil, err
	}
	return listOf(found, more, "/v1/charges", (*charge).render), nil
}
