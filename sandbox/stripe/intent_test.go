package stripe_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/sandbox/stripe"
)

// B057: a decline is a 402 with the intent inside; the token stays alive and
// the answer is the key's for good.
func TestB057_Declines(t *testing.T) {
	for method, want := range map[string]struct{ code, decline, message string }{
		"pm_card_chargeDeclined":                      {"card_declined", "generic_decline", "Your card was declined."},
		"pm_card_visa_chargeDeclined":                 {"card_declined", "generic_decline", "Your card was declined."},
		"pm_card_chargeDeclinedInsufficientFunds":     {"card_declined", "insufficient_funds", "insufficient funds"},
		"pm_card_visa_chargeDeclinedLostCard":         {"card_declined", "lost_card", "Your card was declined."},
		"pm_card_chargeDeclinedStolenCard":            {"card_declined", "stolen_card", "Your card was declined."},
		"pm_card_chargeDeclinedExpiredCard":           {"expired_card", "expired_card", "expired"},
		"pm_card_chargeDeclinedIncorrectCvc":          {"incorrect_cvc", "incorrect_cvc", "security code"},
		"pm_card_chargeDeclinedProcessingError":       {"processing_error", "processing_error", "error occurred"},
		"pm_card_chargeDeclinedVelocityLimitExceeded": {"card_declined", "card_velocity_exceeded", "declined"},
		"pm_card_radarBlock":                          {"card_declined", "fraudulent", "declined"},
	} {
		t.Run(method, func(t *testing.T) {
			p := newPSP(t, stripe.Config{})
			spt := p.token(t, method, 500)
			got := p.post("/v1/payment_intents", sale(spt, 500), "Idempotency-Key: k")
			got.refused(t, http.StatusPaymentRequired, want.code, want.message)
			got.is(t, "error.type", "card_error")
			got.is(t, "error.decline_code", want.decline)
			got.is(t, "error.payment_intent.status", "requires_payment_method")
			got.is(t, "error.payment_intent.latest_charge", got.at("error.charge"))
			got.is(t, "error.payment_intent.last_payment_error.decline_code", want.decline)
			ch := p.get("/v1/charges/"+got.str("error.charge"), "").ok(t)
			ch.is(t, "status", "failed")
			ch.is(t, "captured", false)
			ch.is(t, "failure_code", want.code)
			if state, _ := p.Token(spt); state.DeactivatedReason != "" {
				t.Errorf("the decline ended the token: %+v", state)
			}
			again := p.post("/v1/payment_intents", sale(spt, 500), "Idempotency-Key: k")
			if again.status != got.status || again.raw != got.raw || again.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("not replayed: %d %s", again.status, again.raw)
			}
			p.post("/v1/payment_intents", sale(spt, 500), "Idempotency-Key: k2").refused(t, http.StatusPaymentRequired, want.code, want.message)
			if a := p.Audit(10); a.Totals.Charges != 0 || a.Totals.Declined != 2 || len(a.Totals.Captured) != 0 {
				t.Errorf("totals %+v", a.Totals)
			}
		})
	}
}

// A person would have to act: nothing is taken, the token stays, canceling ends it.
func TestB054_RequiresAction(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	spt := p.token(t, "pm_card_authenticationRequired", 500)
	got := p.post("/v1/payment_intents", sale(spt, 500)).ok(t)
	got.is(t, "status", "requires_action")
	got.is(t, "amount_received", 0)
	got.is(t, "latest_charge", nil)
	if state, _ := p.Token(spt); state.DeactivatedReason != "" {
		t.Errorf("consumed: %+v", state)
	}
	path := "/v1/payment_intents/" + got.str("id")
	p.post(path+"/cancel", "cancellation_reason=abandoned").ok(t).is(t, "status", "canceled")
	p.post(path+"/cancel", "").refused(t, http.StatusBadRequest, "payment_intent_unexpected_state", "You cannot cancel")
	p.post(path+"/confirm", "").refused(t, http.StatusBadRequest, "payment_intent_unexpected_state", "You cannot confirm")
	off := p.post("/v1/payment_intents", sale(spt, 500)+"&error_on_requires_action=true")
	off.refused(t, http.StatusPaymentRequired, "authentication_required", "requires authentication")
}

func TestAmounts(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	for _, tt := range []struct{ amount, currency, code, message string }{
		{"50", "usd", "", ""},
		{"50", "USD", "", ""},
		{"49", "usd", "amount_too_small", "Amount must be at least $0.50."},
		{"0", "usd", "amount_too_small", "at least $0.50"},
		{"99999999", "usd", "", ""},
		{"100000000", "usd", "amount_too_large", "Amount must be no more than $999,999.99."},
		{"-1", "usd", "parameter_invalid_integer", "greater than or equal"},
		{"1.5", "usd", "parameter_invalid_integer", "Invalid integer: 1.5"},
		{"+100", "usd", "parameter_invalid_integer", "Invalid integer"},
		{"", "usd", "parameter_missing", "amount"},
		{"50", "jpy", "", ""},
		{"29", "gbp", "amount_too_small", "£0.30"},
		{"1001", "kwd", "parameter_invalid_integer", "last digit"},
		{"1010", "kwd", "", ""},
		{"100", "xyz", "", "Invalid currency: xyz"},
		{"100", "", "parameter_missing", "currency"},
	} {
		t.Run(tt.amount+tt.currency, func(t *testing.T) {
			got := p.post("/v1/payment_intents", "amount="+tt.amount+"&currency="+tt.currency)
			if tt.message == "" {
				got.ok(t).is(t, "status", "requires_payment_method")
				return
			}
			got.refused(t, http.StatusBadRequest, tt.code, tt.message)
		})
	}
}

func TestParameters(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	long := strings.Repeat("x", 501)
	var many strings.Builder
	for i := range 51 {
		fmt.Fprintf(&many, "&metadata[k%d]=v", i)
	}
	for _, tt := range []struct{ name, more, code, message string }{
		{"unknown", "&colour=red", "parameter_unknown", "Received unknown parameter: colour"},
		{"unknown below", "&automatic_payment_methods[colour]=red", "parameter_unknown", "automatic_payment_methods[colour]"},
		{"twice", "&amount=200", "parameter_invalid", "more than once"},
		{"value and group", "&amount[x]=200", "parameter_invalid", "both as a value and as a group"},
		{"group for a value", "&description[x]=1", "parameter_invalid_string", "Invalid string"},
		{"no boolean", "&confirm=yes", "parameter_invalid_string", "confirm"},
		{"long value", "&metadata[k]=" + long, "parameter_invalid", "500 characters"},
		{"long key", "&metadata[" + long[:41] + "]=v", "parameter_invalid", "40 characters"},
		{"many keys", many.String(), "parameter_invalid", "50 keys"},
		{"bad escape", "&description=%zz", "", "percent-encoded"},
		{"no UTF-8", "&description=%ff", "", "UTF-8"},
		{"descriptor of a card", "&statement_descriptor=SHOP", "", "statement_descriptor_suffix"},
		{"suffix without a letter", "&statement_descriptor_suffix=123", "", "at least one letter"},
		{"expanding what cannot be", "&expand[]=metadata", "", "cannot be expanded"},
		{"fee without a connected account", "&application_fee_amount=10", "", "application_fee_amount"},
		{"fee above the amount", "&application_fee_amount=101&transfer_data[destination]=acct_1", "", "larger"},
		{"crypto without a network", "&payment_method_options[crypto][mode]=deposit", "parameter_missing", "payment_method_options[crypto][deposit_options][networks]"},
		{"card numbers", "&payment_method_data[type]=card&payment_method_data[card][number]=4242424242424242", "", "pm_card_visa"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.post("/v1/payment_intents", "amount=100&currency=usd"+tt.more).refused(t, http.StatusBadRequest, tt.code, tt.message)
		})
	}
	if a := p.Audit(10); len(a.Intents) != 0 {
		t.Errorf("refused calls left %d intents", len(a.Intents))
	}
}

func TestConfirmLater(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	made := p.post("/v1/payment_intents", "amount=700&currency=usd&payment_method_types[0]=card&metadata[a]=1&metadata[b]=2").ok(t)
	path := "/v1/payment_intents/" + made.str("id")
	p.post(path+"/confirm", "").refused(t, http.StatusBadRequest, "payment_intent_unexpected_state", "missing a payment method")
	updated := p.post(path, "amount=800&metadata[a]=&metadata[c]=3").ok(t)
	updated.is(t, "amount", 800)
	updated.is(t, "metadata.a", nil)
	updated.is(t, "metadata.c", "3")
	paid := p.post(path+"/confirm", "payment_method=pm_card_visa").ok(t)
	paid.is(t, "status", "succeeded")
	paid.is(t, "amount_received", 800)
	p.post(path, "amount=900").refused(t, http.StatusBadRequest, "payment_intent_unexpected_state", "succeeded")
	p.post(path+"/cancel", "").refused(t, http.StatusBadRequest, "payment_intent_unexpected_state", "status of succeeded")
	p.post("/v1/payment_intents", "amount=100&currency=usd&payment_method=pm_card_visa&confirm=true").refused(t, http.StatusBadRequest, "", "return_url")
}

func TestManualCapture(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	spt := p.token(t, "pm_card_visa", 1000)
	held := p.post("/v1/payment_intents", sale(spt, 1000)+"&capture_method=manual").ok(t)
	held.is(t, "status", "requires_capture")
	held.is(t, "amount_received", 0)
	path := "/v1/payment_intents/" + held.str("id")
	p.post("/v1/refunds", "payment_intent="+held.str("id")).refused(t, http.StatusBadRequest, "", "does not have a successful charge")
	p.post(path+"/capture", "amount_to_capture=1001").refused(t, http.StatusBadRequest, "amount_too_large", "$10.00")
	p.post(path+"/capture", "amount_to_capture=400").ok(t).is(t, "amount_received", 400)
	p.post(path+"/capture", "").refused(t, http.StatusBadRequest, "payment_intent_unexpected_state", "captured")
	if state, _ := p.Token(spt); state.Captured != 400 || state.DeactivatedReason != "consumed" {
		t.Errorf("%+v", state)
	}

	freed := p.post("/v1/payment_intents", charge("pm_card_visa", 500)+"&capture_method=manual").ok(t)
	p.post("/v1/payment_intents/"+freed.str("id")+"/cancel", "").ok(t).is(t, "status", "canceled")
	p.get("/v1/charges/"+freed.str("latest_charge"), "").ok(t).is(t, "refunded", true)
	if a := p.Audit(10); a.Totals.Charges != 1 || a.Totals.Captured["usd"] != 400 || a.Totals.Refunds != 0 {
		t.Errorf("totals %+v", a.Totals)
	}
}

// Lists are newest first, cut by creation time and by cursors.
func TestList(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	var ids []string
	for range 25 {
		ids = append(ids, p.post("/v1/payment_intents", charge("pm_card_visa", 100)).ok(t).str("id"))
		p.clock.advance(time.Second)
	}
	var seen []string
	after := ""
	for {
		page := p.get("/v1/payment_intents", fmt.Sprintf("limit=10&created[gte]=%d%s", start.Unix()+2, after)).ok(t)
		data, _ := page.at("data").([]any)
		for i := range data {
			seen = append(seen, page.str(fmt.Sprintf("data.%d.id", i)))
		}
		if page.at("has_more") != true {
			break
		}
		after = "&starting_after=" + seen[len(seen)-1]
	}
	if len(seen) != 23 || seen[0] != ids[24] || seen[22] != ids[2] {
		t.Errorf("saw %d: %v", len(seen), seen)
	}
	back := p.get("/v1/payment_intents", "limit=2&ending_before="+ids[20]).ok(t)
	back.is(t, "data.0.id", ids[22])
	back.is(t, "data.1.id", ids[21])
	back.is(t, "has_more", true)
	p.get("/v1/payment_intents", "limit=101").refused(t, http.StatusBadRequest, "parameter_invalid_integer", "100")
	p.get("/v1/payment_intents", "starting_after=pi_none").refused(t, http.StatusBadRequest, "resource_missing", "No such")
	of := p.get("/v1/charges", "payment_intent="+ids[3]+"&expand[]=data.payment_intent").ok(t)
	of.is(t, "data.0.payment_intent.id", ids[3])
	of.is(t, "data.1", nil)
}

// Search lags: what it does not find may be there.
func TestSearch(t *testing.T) {
	p := newPSP(t, stripe.Config{SearchLag: time.Minute})
	id := p.post("/v1/payment_intents", charge("pm_card_visa", 150)+"&metadata[paywall_payment]=pay_7").ok(t).str("id")
	find := func(query string) reply {
		return p.get("/v1/payment_intents/search", "query="+strings.NewReplacer(" ", "+", "'", "%27", `"`, "%22", ">", "%3E", "<", "%3C").Replace(query))
	}
	find("metadata['paywall_payment']:'pay_7'").ok(t).is(t, "data.0", nil)
	p.clock.advance(time.Minute)
	for query, want := range map[string]any{
		"metadata['paywall_payment']:'pay_7'":                                  id,
		`metadata["paywall_payment"]:"pay_7" AND status:"succeeded"`:           id,
		`status:"canceled" OR amount>149`:                                      id,
		"-metadata['paywall_payment']:'pay_7'":                                 nil,
		"metadata['paywall_payment']:'pay_8'":                                  nil,
		"metadata['nothing']:null":                                             id,
		"amount<150":                                                           nil,
		`currency:"usd" status:"succeeded"`:                                    id,
		fmt.Sprintf("created>=%d AND created<=%d", start.Unix(), start.Unix()): id,
	} {
		find(query).ok(t).is(t, "data.0.id", want)
	}
	find("colour:'red'").refused(t, http.StatusBadRequest, "", "unsupported search field")
	find("status:'a' AND status:'b' OR status:'c'").refused(t, http.StatusBadRequest, "", "unable to parse")
	find("").refused(t, http.StatusBadRequest, "parameter_missing", "query")
}

// The fee comes later, with an event of its own, and the balance adds up.
func TestBalance(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	id := p.post("/v1/payment_intents", charge("pm_card_visa", 1000)).ok(t).str("id")
	p.get("/v1/payment_intents/"+id, "expand[]=latest_charge.balance_transaction").ok(t).is(t, "latest_charge.balance_transaction", nil)
	p.clock.advance(time.Second)
	got := p.get("/v1/payment_intents/"+id, "expand[]=latest_charge.balance_transaction").ok(t)
	got.is(t, "latest_charge.balance_transaction.fee", 59)
	got.is(t, "latest_charge.balance_transaction.net", 941)
	p.get("/v1/events", "type=charge.updated").ok(t).is(t, "data.0.data.previous_attributes.balance_transaction", nil)
	p.get("/v1/balance", "").ok(t).is(t, "pending.0.amount", 941)
	p.post("/v1/refunds", "payment_intent="+id+"&amount=300").ok(t)
	p.clock.advance(48 * time.Hour)
	p.get("/v1/balance", "").ok(t).is(t, "available.0.amount", 641)
	p.get("/v1/balance_transactions", "type=refund").ok(t).is(t, "data.0.amount", -300)
}

// Connected accounts see nothing of each other.
func TestAccounts(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	const a, b = "Stripe-Account: acct_a", "Stripe-Account: acct_b"
	id := p.post("/v1/payment_intents", charge("pm_card_visa", 100)+"&application_fee_amount=10", a).ok(t).str("id")
	p.get("/v1/payment_intents/"+id, "", a).ok(t).is(t, "application_fee_amount", 10)
	for _, other := range []string{b, "Stripe-Account: "} {
		p.get("/v1/payment_intents/"+id, "", other).refused(t, http.StatusNotFound, "resource_missing", "No such payment_intent: '"+id+"'")
		p.get("/v1/payment_intents", "", other).ok(t).is(t, "data.0", nil)
		p.post("/v1/refunds", "payment_intent="+id, other).refused(t, http.StatusNotFound, "resource_missing", "No such payment_intent")
	}
	p.get("/v1/charges", "", "Stripe-Account: nonsense").refused(t, http.StatusForbidden, "account_invalid", "does not have access")
	if row := p.Audit(10).Charges[0]; row.Account != "acct_a" {
		t.Errorf("%+v", row)
	}
}

func TestCustomers(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	id := p.post("/v1/customers", "email=buyer@example.com&metadata[a]=1").ok(t).str("id")
	p.post("/v1/customers/"+id, "name=Buyer").ok(t).is(t, "email", "buyer@example.com")
	p.get("/v1/customers", "email=buyer@example.com").ok(t).is(t, "data.0.name", "Buyer")
	p.get("/v1/customers/cus_none", "").refused(t, http.StatusNotFound, "resource_missing", "No such customer: 'cus_none'")
	p.post("/v1/payment_intents", charge("pm_card_visa", 100)+"&customer="+id+"&expand[]=customer").ok(t).is(t, "customer.name", "Buyer")
	p.post("/v1/payment_intents", charge("pm_card_visa", 100)+"&customer=cus_none").refused(t, http.StatusBadRequest, "resource_missing", "No such customer")
}
