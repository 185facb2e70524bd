package stripe_test

import (
	"fmt"
	"testing"

	"paywall/sandbox/stripe"
)

// A token of a card pays once, as its card does.
func TestCardToken(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	pay := func(token string) string {
		return fmt.Sprintf("payment_method_data[type]=card&payment_method_data[card][token]=%s&amount=500&currency=usd&confirm=true"+
			"&automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never", token)
	}
	token := p.post("/v1/tokens", "card[number]=4242424242424242&card[exp_month]=12&card[exp_year]=2034&card[cvc]=123").ok(t).str("id")
	if got := p.post("/v1/payment_intents", pay(token)).ok(t).str("status"); got != "succeeded" {
		t.Errorf("the charge is %s", got)
	}
	if got := p.post("/v1/payment_intents", pay(token)); got.status != 400 {
		t.Errorf("a token was taken twice: %d %s", got.status, got.raw)
	}
	declined := p.post("/v1/tokens", "card[number]=4000000000000002&card[exp_month]=12&card[exp_year]=2034").ok(t).str("id")
	if got := p.post("/v1/payment_intents", pay(declined)); got.status != 402 {
		t.Errorf("a declined card paid: %d %s", got.status, got.raw)
	}
	named := p.post("/v1/tokens", "card=tok_mastercard").ok(t).str("id")
	if got := p.get("/v1/tokens/"+named, "").ok(t).raw; got == "" {
		t.Error("the token cannot be read")
	}
	for _, form := range []string{"", "card[number]=4242", "card[number]=4242424242424241&card[exp_month]=1&card[exp_year]=2034", "card=pm_none"} {
		if got := p.post("/v1/tokens", form); got.status/100 != 4 {
			t.Errorf("%q made a token: %s", form, got.raw)
		}
	}
}
