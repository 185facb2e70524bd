package facilitator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"paywall/methods/facilitator"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/x402/evm"
)

// The rail cannot void at once and cannot refund; lookups need the chain.
func TestMethod_Contract(t *testing.T) {
	var w *world
	tiny := quote(t)
	tiny.Amount = price(t, "0.0000001 USD")
	paymenttest.RunMethod(t, paymenttest.MethodCase{
		New: func(t *testing.T) payment.Method {
			t.Helper()
			w = newWorld(t)
			return w.method()
		},
		Quote: quote(t), TooSmall: tiny,
		Credential: func(t *testing.T, o payment.Offer, challenge string) payment.Credential {
			t.Helper()
			return credential(o, challenge, signExact(t, authorization(t, o)))
		},
		Secret: func(payload json.RawMessage) string {
			var p struct{ Payload struct{ Signature string } }
			if err := json.Unmarshal(payload, &p); err != nil {
				t.Fatal(err)
			}
			return p.Payload.Signature
		},
		Malformed: []string{
			``, `null`, `[]`, `"x"`, `{}`, `{"payload":{},"x402Version":2}`, `{"payload":null,"x402Version":2}`, `{"spt":"spt_1"}`,
			`{"payload":{"authorization":{},"signature":""},"x402Version":2}`,
		},
		Charges: func(*testing.T, payment.Payment) int { return w.moved() },
	})
}

func TestOffer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*facilitator.Config)
		quote   func(*payment.Quote)
		want    payment.Offer
		details string
	}{
		{
			name:    "settled first",
			details: `{"asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","extra":{"name":"USDC","paymentFlow":"upfront","version":"2"},"maxTimeoutSeconds":300,"network":"eip155:84532","payTo":"0x209693Bc6afc0C5328bA36FaF03C514EF312287C","scheme":"exact"}`,
		},
		{
			name: "settled once the goods are made", quote: func(q *payment.Quote) { q.Hold = true }, want: payment.Offer{Hold: true},
			details: `{"asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","extra":{"name":"USDC","version":"2"},"maxTimeoutSeconds":300,"network":"eip155:84532","payTo":"0x209693Bc6afc0C5328bA36FaF03C514EF312287C","scheme":"exact"}`,
		},
		{
			name: "metered", change: metered, quote: func(q *payment.Quote) { q.Metered = true }, want: payment.Offer{Hold: true, Metered: true},
			details: `{"asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","extra":{"assetTransferMethod":"permit2","facilitatorAddress":"0xd407e409E34E0b9afb99EcCeb609bDbcD5e7f1bf","name":"USDC","version":"2"},"maxTimeoutSeconds":300,"network":"eip155:84532","payTo":"0x209693Bc6afc0C5328bA36FaF03C514EF312287C","scheme":"upto"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, q := newWorld(t), quote(t)
			if tt.quote != nil {
				tt.quote(&q)
			}
			var change []func(*facilitator.Config)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			o, err := w.method(change...).Offer(q)
			if err != nil {
				t.Fatal(err)
			}
			if string(o.Details) != tt.details {
				t.Errorf("details = %s\nwant      %s", o.Details, tt.details)
			}
			if o.Amount.String() != "0.010000 USDC" || o.Amount.Units() != 10000 || o.Method != "facilitator" || o.Intent != "charge" ||
				o.Protocol != "x402" || o.Network != network || o.Recipient != payee || o.Hold != tt.want.Hold || o.Metered != tt.want.Metered {
				t.Errorf("offer = %+v", o)
			}
		})
	}
}

func TestOffer_Refuses(t *testing.T) {
	for name, tt := range map[string]struct {
		world  func(*world)
		change func(*facilitator.Config)
		quote  func(*payment.Quote)
	}{
		"another currency":            {quote: func(q *payment.Quote) { q.Amount = price(t, "0.01 EUR") }},
		"less than the smallest unit": {quote: func(q *payment.Quote) { q.Amount = price(t, "0.0100001 USD") }},
		"nothing":                     {quote: func(q *payment.Quote) { q.Amount = price(t, "0.00 USD") }},
		"no facilitator":              {world: func(w *world) { w.pickErr = errors.New("none") }},
		"a metered price, exactly":    {quote: func(q *payment.Quote) { q.Metered = true }},
		"an exact price, metered":     {change: metered},
		"a facilitator without an address": {
			world: func(w *world) { w.kind = `{}` }, change: metered, quote: func(q *payment.Quote) { q.Metered = true },
		},
		"a facilitator with two": {
			world: func(w *world) {
				w.kind = `{"facilitatorAddress":"` + executor + `","facilitatorAddress":"` + payee + `"}`
			},
			change: metered, quote: func(q *payment.Quote) { q.Metered = true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, q := newWorld(t), quote(t)
			if tt.world != nil {
				tt.world(w)
			}
			if tt.quote != nil {
				tt.quote(&q)
			}
			var change []func(*facilitator.Config)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			if o, err := w.method(change...).Offer(q); !errors.Is(err, payment.ErrNotOffered) {
				t.Errorf("Offer = %+v, %v", o, err)
			}
		})
	}
}

func TestNew_NamesTheField(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		field  string
		change func(*facilitator.Config)
	}{
		{"Name", func(c *facilitator.Config) { c.Name = "Facilitator" }},
		{"Name", func(c *facilitator.Config) { c.Name = strings.Repeat("a", 21) }},
		{"Asset.Network", func(c *facilitator.Config) { c.Asset.Network = "base" }},
		{"Asset.Contract", func(c *facilitator.Config) { c.Asset.Contract = evm.Address{} }},
		{"Asset.Name", func(c *facilitator.Config) { c.Asset.Name = "" }},
		{"Asset", func(c *facilitator.Config) { c.Asset.Decimals = 19 }},
		{"Asset", func(c *facilitator.Config) { c.Asset.Symbol = "" }},
		{"PayTo", func(c *facilitator.Config) { c.PayTo = evm.Address{} }},
		{"PayTo", func(c *facilitator.Config) { c.PayTo = c.Asset.Contract }},
		{"Scheme", func(c *facilitator.Config) { c.Scheme = "escrow" }},
		{"MaxTimeout", func(c *facilitator.Config) { c.MaxTimeout = time.Second }},
		{"MaxTimeout", func(c *facilitator.Config) { c.MaxTimeout = 90*time.Second + 1 }},
		{"MaxTimeout", func(c *facilitator.Config) { c.MaxTimeout = 2 * time.Hour }},
		{"Client", func(c *facilitator.Config) { c.Client = nil }},
		{"Node", func(c *facilitator.Config) { c.Node = "http://node.example" }},
		{"Node", func(c *facilitator.Config) { c.Node = "http://secret@%zz" }},
		{"Node", func(c *facilitator.Config) { c.Node = "file:///etc/passwd" }},
	} {
		cfg := w.config()
		tt.change(&cfg)
		_, err := facilitator.New(cfg)
		if err == nil || !strings.Contains(err.Error(), "Config."+strings.TrimSuffix(tt.field, ".Name")) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", tt.field, err)
		}
	}
}

func TestMethod_ShowsNoURL(t *testing.T) {
	w := newWorld(t)
	m := w.method(func(c *facilitator.Config) { c.Node = "https://node.example/v3/topsecret" })
	if s := fmt.Sprintf("%v %+v %#v", m, m, m); strings.Contains(s, "topsecret") {
		t.Errorf("it shows %s", s)
	}
}

func TestRefund_IsByHand(t *testing.T) {
	w := newWorld(t)
	p, _ := claim(t, w.method(), quote(t))
	if out := w.method().Refund(t.Context(), p); out.Class != payment.OutcomeDeclined || out.Reason != "refund_by_hand" {
		t.Errorf("refund = %+v", out)
	}
}
