package stripe_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

// A card's token pays over UCP, where the handler asked for it, and nowhere else.
func TestCardTokens(t *testing.T) {
	m := newProcessor(t).rail(t)
	o, err := m.Offer(quote(t, "5.00 USD"))
	if err != nil {
		t.Fatal(err)
	}
	p := paymenttest.Sample(t, 1)
	p.Amount = o.Amount
	c := credential(o, p.ChallengeID, "spt_1")
	c.Payload = json.RawMessage(`{"card_token":"tok_1"}`)
	for _, protocol := range []string{"mpp", "x402", "stripe", ""} {
		c.Protocol = protocol
		if _, err := m.Inspect(c); err == nil {
			t.Errorf("%q paid with a card's token", protocol)
		}
		if _, err := m.Prepare(p, c); err == nil {
			t.Errorf("%q: a card's token was prepared", protocol)
		}
	}
	c.Protocol = "ucp"
	card, err := m.Inspect(c)
	if err != nil {
		t.Fatal(err)
	}
	in, err := m.Prepare(p, c)
	if err != nil {
		t.Fatal(err)
	}
	var stored struct{ Body string }
	if err := json.Unmarshal(in.Request, &stored); err != nil {
		t.Fatal(err)
	}
	form, err := url.ParseQuery(stored.Body)
	if err != nil || form.Get("payment_method_data[card][token]") != "tok_1" || form.Get("payment_method_data[type]") != "card" ||
		strings.Contains(stored.Body, "shared_payment") {
		t.Errorf("%s, %v", stored.Body, err)
	}
	for payload, ok := range map[string]bool{
		`{"spt":"spt_1"}`:                             true,
		`{"card_token":"tok_1","spt":"spt_1"}`:        false,
		`{"card_token":"tok_1","card_token":"tok_2"}`: false,
		`{"Card_Token":"tok_1"}`:                      false,
		`{"card_token":"spt_1"}`:                      false,
		`{"spt":"tok_1"}`:                             false,
		`{"card_token":7}`:                            false,
		`{"card_token":"tok_1","other":1}`:            true,
	} {
		c.Payload = json.RawMessage(payload)
		switch inst, err := m.Inspect(c); {
		case (err == nil) != ok:
			t.Errorf("%s: %v", payload, err)
		case err == nil && strings.Contains(payload, "spt_1") == (inst == card):
			t.Errorf("%s has the fingerprint %v", payload, inst)
		}
	}
}

// One token is one instrument, whatever protocol it comes by.
func TestA_TokenIsOneInstrumentOverAllProtocols(t *testing.T) {
	m := newProcessor(t).rail(t)
	o, err := m.Offer(quote(t, "5.00 USD"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[payment.Instrument]bool{}
	for _, protocol := range []string{"mpp", "x402", "ucp"} {
		c := credential(o, "challenge-"+protocol, "spt_1")
		c.Protocol = protocol
		inst, err := m.Inspect(c)
		if err != nil {
			t.Fatal(err)
		}
		seen[inst] = true
	}
	if len(seen) != 1 {
		t.Errorf("one token has %d fingerprints", len(seen))
	}
}
