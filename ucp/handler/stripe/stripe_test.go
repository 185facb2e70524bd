package stripe_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"paywall/checkout"
	"paywall/money"
	"paywall/payment"
	"paywall/ucp/handler/stripe"
	"paywall/ucp/protocol"
)

var now = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

func due(t *testing.T, cents int64) checkout.Due {
	t.Helper()
	amount, err := money.New(cents, "USD", 2)
	if err != nil {
		t.Fatal(err)
	}
	q := payment.Quote{Route: checkout.Route, Amount: amount}
	return checkout.Due{
		Session: checkout.Session{ID: "chk_1", ExpiresAt: now.Add(time.Hour)}, Quote: q,
		Scope: payment.Scope{Route: checkout.Route, Method: "POST", Target: "/checkout-sessions/chk_1/complete"}, Challenge: "ucp:chk_1:1",
	}
}

// offer has a minimum, as the rail does.
func offer(q payment.Quote) (payment.Offer, error) {
	if q.Amount.Units() < 50 {
		return payment.Offer{}, payment.ErrNotOffered
	}
	return payment.Offer{Method: "stripe", Amount: q.Amount, Quote: q}, nil
}

func handler(t *testing.T, change ...func(*stripe.Config)) *stripe.Handler {
	t.Helper()
	cfg := stripe.Config{ID: "stripe_main", Version: "2026-06-25", Link: true, Card: true, Brands: []string{"visa"}, Members: map[string]string{"environment": "sandbox"}, Offer: offer}
	for _, f := range change {
		f(&cfg)
	}
	h, err := stripe.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestDeclare(t *testing.T) {
	h := handler(t)
	for v, want := range map[protocol.Version]string{
		protocol.August2026: `{"properties":{"brand":{"enum":["visa"]}}}`,
		protocol.April2026:  `{"brands":["visa"]}`,
	} {
		d, ok := h.Declare(v, nil, now)
		text, err := json.Marshal(d)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		if want := `{"id":"stripe_main","version":"2026-06-25","spec":"` + stripe.Spec + `","available_instruments":[{"type":"link"},{"type":"card","constraints":` +
			want + `}],"config":{"environment":"sandbox"}}`; string(text) != want {
			t.Errorf("%s: %s", v, text)
		}
	}
	for cents, want := range map[int64]bool{49: false, 50: true} {
		d := due(t, cents)
		if _, ok := h.Declare(protocol.Current, &d, now); ok != want {
			t.Errorf("a total of %d cents is declared: %v", cents, ok)
		}
	}
}

func TestCredential(t *testing.T) {
	h, d := handler(t), due(t, 500)
	const link = `{"type":"stripe_payment_token","token":"spt_secret","expires_at":"2026-11-25T10:00:00Z","more":1}`
	c, err := h.Credential(protocol.Instrument{Type: "link", Credential: json.RawMessage(link)}, d, now)
	if err != nil {
		t.Fatal(err)
	}
	if c.Protocol != "ucp" || c.ChallengeID != d.Challenge || c.Scope != d.Scope || string(c.Payload) != `{"spt":"spt_secret"}` || c.Offer.Amount != d.Quote.Amount || c.Hash == "" {
		t.Errorf("%+v", c)
	}
	card, err := h.Credential(protocol.Instrument{Type: "card", Credential: json.RawMessage(`{"type":"stripe_payment_token","token":"tok_1"}`)}, d, now)
	if err != nil || string(card.Payload) != `{"card_token":"tok_1"}` || card.Hash == c.Hash {
		t.Errorf("%+v, %v", card, err)
	}
	next := d
	next.Challenge = "ucp:chk_1:2"
	if again, err := h.Credential(protocol.Instrument{Type: "link", Credential: json.RawMessage(link)}, next, now); err != nil || again.Hash == c.Hash {
		t.Errorf("one token for two attempts has one hash, or none: %v", err)
	}
}

func TestCredential_Refusals(t *testing.T) {
	d := due(t, 500)
	for name, tt := range map[string]struct {
		kind, credential string
		cents            int64
		change           func(*stripe.Config)
	}{
		"another type of instrument":     {kind: "wallet", credential: `{"type":"stripe_payment_token","token":"spt_secret"}`},
		"cards are not taken":            {kind: "card", credential: `{"type":"stripe_payment_token","token":"tok_secret"}`, change: func(c *stripe.Config) { c.Card, c.Brands = false, nil }},
		"link is not taken":              {kind: "link", credential: `{"type":"stripe_payment_token","token":"spt_secret"}`, change: func(c *stripe.Config) { c.Link = false }},
		"another type of credential":     {kind: "link", credential: `{"type":"card","token":"spt_secret"}`},
		"a card's token as link":         {kind: "link", credential: `{"type":"stripe_payment_token","token":"tok_secret"}`},
		"a grant as card":                {kind: "card", credential: `{"type":"stripe_payment_token","token":"spt_secret"}`},
		"expired":                        {kind: "link", credential: `{"type":"stripe_payment_token","token":"spt_secret","expires_at":"2026-11-25T09:00:00Z"}`},
		"a time that is none":            {kind: "link", credential: `{"type":"stripe_payment_token","token":"spt_secret","expires_at":"tomorrow"}`},
		"a token twice":                  {kind: "link", credential: `{"type":"stripe_payment_token","token":"spt_secret","token":"spt_secret"}`},
		"by another case":                {kind: "link", credential: `{"type":"stripe_payment_token","Token":"spt_secret"}`},
		"no object":                      {kind: "link", credential: `"spt_secret"`},
		"nothing":                        {kind: "link"},
		"a total below the card minimum": {kind: "link", credential: `{"type":"stripe_payment_token","token":"spt_secret"}`, cents: 49},
	} {
		t.Run(name, func(t *testing.T) {
			h, d := handler(t), d
			if tt.change != nil {
				h = handler(t, tt.change)
			}
			if tt.cents > 0 {
				d = due(t, tt.cents)
			}
			_, err := h.Credential(protocol.Instrument{Type: tt.kind, Credential: json.RawMessage(tt.credential)}, d, now)
			var e *checkout.Error
			if !errors.As(err, &e) || e.Kind != checkout.KindPayment || len(e.Messages) != 1 || e.Messages[0].Code != "payment_failed" || e.Messages[0].Severity != checkout.Recoverable {
				t.Fatalf("%v", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the refusal quotes the token: %v", err)
			}
		})
	}
}

func TestNew_Refusals(t *testing.T) {
	for name, cfg := range map[string]stripe.Config{
		"no id":    {Version: "2026-06-25", Link: true, Offer: offer},
		"no offer": {ID: "a", Version: "2026-06-25", Link: true},
		"nothing":  {ID: "a", Version: "2026-06-25", Offer: offer},
	} {
		if _, err := stripe.New(cfg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzCredential(f *testing.F) {
	f.Add([]byte(`{"type":"stripe_payment_token","token":"spt_secret"}`))
	f.Add([]byte(`{"type":"stripe_payment_token","token":"spt_\u0000"}`))
	h, err := stripe.New(stripe.Config{ID: "a", Version: "2026-06-25", Link: true, Offer: offer})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := h.Credential(protocol.Instrument{Type: "link", Credential: data}, due(t, 500), now)
		if err != nil {
			return
		}
		// What is taken holds exactly one token, which decides the fingerprint later.
		var payload map[string]string
		if json.Unmarshal(c.Payload, &payload) != nil || len(payload) != 1 || !strings.HasPrefix(payload["spt"], "spt_") || !strings.Contains(string(data), "spt_") {
			t.Errorf("%q became %s", data, c.Payload)
		}
	})
}
