package openapi

import (
	"slices"
	"strconv"

	"paywall/money"
)

// price writes what the routes cost into the operation, or takes out what was
// there when all are free.
func (b *builder) price(op object, routes []compiled) {
	delete(op, "x-payment-info")
	offers := offersOf(routes)
	if len(offers) == 0 {
		return
	}
	op["x-payment-info"] = offers.info()
	responses, _ := op["responses"].(object)
	if responses == nil {
		responses = object{}
		op["responses"] = responses
	}
	responses["402"] = offers.paymentRequired()
}

// quoted is an offer as it is described; several amounts for one way of paying
// make it dynamic.
type quoted struct {
	Offer

	dynamic bool
}

// pays reports whether o is the same way to pay, whatever it costs.
func (q quoted) pays(o Offer) bool {
	same := q.Intent == o.Intent && q.Method == o.Method && q.currency() == o.currency() && (q.X402 == nil) == (o.X402 == nil)
	return same && (q.X402 == nil || *q.X402 == *o.X402)
}

// quotes are the ways to pay for one operation.
type quotes []quoted

func offersOf(routes []compiled) quotes {
	var all quotes
	for _, r := range routes {
		for _, o := range r.Offers {
			if o.Intent == "" {
				o.Intent = "charge"
			}
			if o.Description == "" {
				o.Description = r.Credit
			}
			i := slices.IndexFunc(all, func(q quoted) bool { return q.pays(o) })
			if i < 0 {
				all = append(all, quoted{Offer: o, dynamic: !o.Amount.Valid()})
			} else if all[i].Amount != o.Amount {
				all[i].dynamic = true
			}
		}
	}
	return all
}

// split are the offers of the Payment scheme and those of x402.
func (qs quotes) split() (scheme, x402 quotes) {
	for _, q := range qs {
		if q.X402 == nil {
			scheme = append(scheme, q)
		} else {
			x402 = append(x402, q)
		}
	}
	return scheme, x402
}

// info is x-payment-info. Its draft is about the Payment scheme, whose clients could
// do nothing with an offer of x402: `offers` has none. Where there are some, the
// members are added that the directories of x402 read, which readers of the draft
// pass over: `price`, and `protocols` with the terms.
func (qs quotes) info() object {
	info := object{}
	scheme, x402 := qs.split()
	if len(scheme) > 0 {
		list := make([]any, len(scheme))
		for i, q := range scheme {
			list[i] = q.object()
		}
		info["offers"] = list
	}
	if len(x402) == 0 {
		return info
	}
	accepts := make([]any, len(x402))
	for i, q := range x402 {
		accepts[i] = q.terms()
	}
	protocols := []any{object{protocolX402: object{"accepts": accepts}}}
	for _, q := range scheme {
		one := object{"intent": q.Intent, "method": q.Method}
		if c := q.currency(); c != "" {
			one["currency"] = c
		}
		protocols = append(protocols, object{"mpp": one})
	}
	info["protocols"] = protocols
	if price := qs.told(); price != nil {
		info["price"] = price
	}
	return info
}

// told is the price in the seller's currency, or nil when there is not one for all.
func (qs quotes) told() object {
	var one money.Amount
	metered := false
	for i, q := range qs {
		price, known := q.price()
		if !known || q.dynamic || i > 0 && (price != one || q.Metered != metered) {
			return nil
		}
		one, metered = price, q.Metered
	}
	if metered {
		return object{"mode": "dynamic", "currency": one.Currency(), "min": "0", "max": one.Decimal()}
	}
	return object{"mode": "fixed", "currency": one.Currency(), "amount": one.Decimal()}
}

// amount is in minor units, and null when only the 402 tells.
func (q quoted) amount() any {
	if q.dynamic {
		return nil
	}
	return strconv.FormatInt(q.Amount.Units(), 10)
}

func (q quoted) object() object {
	o := object{"intent": q.Intent, "method": q.Method, "amount": q.amount()}
	if c := q.currency(); c != "" {
		o["currency"] = c
	}
	if q.Description != "" {
		o["description"] = q.Description
	}
	return o
}

// terms are in the words of x402, with the rail that the payment is recorded under.
func (q quoted) terms() object {
	o := object{
		"method": q.Method, "scheme": q.X402.Scheme, "network": q.X402.Network,
		"asset": q.X402.Asset, "payTo": q.X402.PayTo, "amount": q.amount(),
	}
	if q.Description != "" {
		o["description"] = q.Description
	}
	return o
}

func (qs quotes) paymentRequired() object {
	scheme, x402 := qs.split()
	description, headers := "Payment Required:", object{}
	text := object{"type": "string"}
	if len(scheme) > 0 {
		description += " each WWW-Authenticate header with the Payment scheme is one way to pay."
		headers["WWW-Authenticate"] = object{"description": "A payment challenge.", "schema": text}
	}
	members := object{"type": text, "title": text, "status": object{"type": "integer"}, "detail": text}
	if len(x402) > 0 {
		description += " PAYMENT-REQUIRED lists the ways of x402."
		headers["PAYMENT-REQUIRED"] = object{"description": "JSON of x402 version 2 in base64.", "schema": text}
		members["x402Version"] = object{"type": "integer", "description": "1: these three members are for clients of version 1."}
		members["error"] = text
		members["accepts"] = object{"type": "array", "items": object{"type": "object"}}
	}
	return object{
		"description": description,
		"headers":     headers,
		"content":     object{"application/problem+json": object{"schema": object{"type": "object", "properties": members}}},
	}
}
