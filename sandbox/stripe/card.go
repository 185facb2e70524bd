package stripe

import (
	"strings"
	"time"
)

// A conduct is what a test payment method does when it is charged.
type conduct struct {
	kind    string // card or link
	brand   string
	last4   string
	funding string

	code, decline string // the refusal, if it refuses
	blocked       bool   // refused before any network was asked
	elevated      bool
	action        bool   // wants a person
	dispute       string // the reason of a dispute that follows at once
	inquiry       bool   // the dispute is only an inquiry
	fraudWarning  bool
	refund        string // what becomes of a refund: failed, pending or nothing special
	settled       bool   // the balance has it at once
}

// conducts lists test payment methods without their prefix pm_card_.
var conducts = map[string]conduct{
	"visa":       {brand: "visa", last4: "4242"},
	"visa_debit": {brand: "visa", last4: "5556", funding: "debit"},
	"mastercard": {brand: "mastercard", last4: "4444"},
	"amex":       {brand: "amex", last4: "0005"},
	"discover":   {brand: "discover", last4: "1117"},
	"diners":     {brand: "diners", last4: "0004"},
	"jcb":        {brand: "jcb", last4: "0505"},
	"unionpay":   {brand: "unionpay", last4: "0005"},

	"chargeDeclined":                      {last4: "0002", code: "card_declined", decline: "generic_decline"},
	"chargeDeclinedInsufficientFunds":     {last4: "9995", code: "card_declined", decline: "insufficient_funds"},
	"chargeDeclinedLostCard":              {last4: "9987", code: "card_declined", decline: "lost_card"},
	"chargeDeclinedStolenCard":            {last4: "9979", code: "card_declined", decline: "stolen_card"},
	"chargeDeclinedExpiredCard":           {last4: "0069", code: "expired_card", decline: "expired_card"},
	"chargeDeclinedIncorrectCvc":          {last4: "0127", code: "incorrect_cvc", decline: "incorrect_cvc"},
	"chargeDeclinedProcessingError":       {last4: "0119", code: "processing_error", decline: "processing_error"},
	"chargeDeclinedVelocityLimitExceeded": {last4: "6975", code: "card_declined", decline: "card_velocity_exceeded"},
	"chargeDeclinedFraudulent":            {last4: "0019", code: "card_declined", decline: "fraudulent", blocked: true},
	"chargeCustomerFail":                  {last4: "0341", code: "card_declined", decline: "generic_decline"},
	"radarBlock":                          {last4: "0019", code: "card_declined", decline: "fraudulent", blocked: true},
	"riskLevelHighest":                    {last4: "4916", code: "card_declined", decline: "fraudulent", blocked: true},

	"authenticationRequired":                                {last4: "3184", action: true},
	"authenticationRequiredOnSetup":                         {last4: "3155", action: true},
	"authenticationRequiredChargeDeclinedInsufficientFunds": {last4: "3178", action: true},
	"threeDSecure2Required":                                 {last4: "3220", action: true},

	"riskLevelElevated":               {last4: "9235", elevated: true},
	"createDispute":                   {last4: "0259", dispute: "fraudulent"},
	"createDisputeProductNotReceived": {last4: "2685", dispute: "product_not_received"},
	"createDisputeInquiry":            {last4: "1976", dispute: "fraudulent", inquiry: true},
	"createIssuerFraudRecord":         {last4: "5423", fraudWarning: true},
	"refundFail":                      {last4: "5126", refund: statusFailed},
	"pendingRefund":                   {last4: "7726", refund: statusPending},
	"bypassPending":                   {last4: "0077", settled: true},
}

// conductOf finds a test payment method by any of its names: pm_card_visa,
// pm_card_visa_chargeDeclined, tok_visa, pm_link.
func conductOf(name string) (conduct, bool) {
	if name == "pm_link" {
		return conduct{kind: "link", last4: "4242", brand: "link"}, true
	}
	rest, ok := strings.CutPrefix(name, "pm_card_")
	if !ok {
		rest, ok = strings.CutPrefix(name, "tok_")
	}
	if !ok {
		return conduct{}, false
	}
	c, ok := conducts[rest]
	if !ok {
		c, ok = conducts[strings.TrimPrefix(rest, "visa_")]
	}
	if c.brand == "" {
		c.brand = "visa"
	}
	if c.funding == "" {
		c.funding = "credit"
	}
	c.kind = "card"
	return c, ok
}

// A method is a seller's own copy of a payment method, made for each charge.
type method struct {
	id       string
	created  time.Time
	conduct  conduct
	customer string
}

func (m *method) ident() string   { return m.id }
func (m *method) born() time.Time { return m.created }

func (m *method) render() object {
	o := object{
		"id": m.id, "object": "payment_method", "created": m.created.Unix(), "livemode": false, "type": m.conduct.kind,
		"billing_details": billing(), "customer": orNull(m.customer), "metadata": object{}, "allow_redisplay": "unspecified",
		"shared_payment_granted_token": nil,
	}
	switch m.conduct.kind {
	case "link":
		o["link"] = object{"email": "buyer@example.com"}
	case "crypto":
		o["crypto"] = object{}
	default:
		o["card"] = m.conduct.card()
	}
	return o
}

func billing() object {
	return object{
		"address": object{"city": nil, "country": nil, "line1": nil, "line2": nil, "postal_code": nil, "state": nil},
		"email":   nil, "name": nil, "phone": nil, "tax_id": nil,
	}
}

func (c conduct) card() object {
	return object{
		"brand": c.brand, "country": "US", "display_brand": c.brand, "exp_month": 12, "exp_year": 2034,
		"fingerprint": "sandbox" + c.last4, "funding": c.funding, "last4": c.last4,
		"networks": object{"available": []string{c.brand}, "preferred": nil}, "wallet": nil,
	}
}

func (c conduct) details() object {
	if c.kind == "link" {
		return object{"type": "link", "link": object{"country": "US"}}
	}
	return object{"type": "card", "card": c.card()}
}

// clone makes the seller's copy.
func (s *Server) clone(a *account, c conduct, customer string, now time.Time) *method {
	m := &method{id: s.newID("pm"), created: now, conduct: c, customer: customer}
	a.methods.add(m)
	return m
}

// methodFor finds what payment_method names: a test method, or a copy made before.
func (s *Server) methodFor(c *call, name string) (*method, error) {
	if m, ok := c.account.methods.get(name); ok {
		return m, nil
	}
	if t, ok := c.account.cards.get(name); ok {
		return s.spend(c.account, t, c.now)
	}
	if conduct, ok := conductOf(name); ok {
		return s.clone(c.account, conduct, "", c.now), nil
	}
	return nil, refused("resource_missing", "payment_method", "No such PaymentMethod: '%.100s'", name)
}

func (s *Server) retrieveMethod(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	if m, ok := c.account.methods.get(c.id); ok {
		return m.render(), nil
	}
	if conduct, ok := conductOf(c.id); ok {
		return s.clone(c.account, conduct, "", c.now).render(), nil
	}
	return nil, noSuch("PaymentMethod", "payment_method", c.id)
}
