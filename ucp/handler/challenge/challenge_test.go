package challenge_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/checkout"
	"paywall/money"
	"paywall/payment"
	"paywall/ucp/handler/challenge"
	"paywall/ucp/protocol"
)

var now = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// A dialect whose challenge names scope and amount, and whose credential repeats it.
type dialect struct {
	name  string
	offer payment.Offer
}

func (d dialect) Name() string                          { return d.name }
func (dialect) Presents(http.Header) bool               { return false }
func (dialect) Fingerprint(http.Header) (string, error) { return "", payment.ErrNoCredential }
func (d dialect) Compile(_ string, offers []payment.Offer) (payment.Dialect, error) {
	if len(offers) == 0 {
		return nil, payment.ErrNotOffered
	}
	return dialect{d.name, offers[0]}, nil
}

func (d dialect) proof(s payment.Scope) string { return s.Target + "/" + d.offer.Amount.String() }

func (d dialect) Challenge(h http.Header, _ *http.Request, s payment.Scope, _ time.Time) error {
	if d.name == "mpp" {
		h.Add("WWW-Authenticate", `Payment id="`+d.proof(s)+`"`)
		return nil
	}
	h.Set("PAYMENT-REQUIRED", base64.StdEncoding.EncodeToString([]byte(`{"x402Version":2,"for":"`+d.proof(s)+`"}`)))
	return nil
}

func (d dialect) Credential(r *http.Request, s payment.Scope, _ time.Time) (payment.Credential, error) {
	got := r.Header.Get("PAYMENT-SIGNATURE")
	if d.name == "mpp" {
		got = strings.TrimPrefix(r.Header.Get("Authorization"), "Payment ")
	}
	if got != d.proof(s) {
		return payment.Credential{}, payment.Refuse(payment.KindInvalidChallenge, "it is for another request")
	}
	return payment.Credential{Protocol: d.name, ChallengeID: got, Offer: d.offer, Scope: s}, nil
}

func (dialect) Receipt(http.Header, payment.Payment, string) error { return nil }

func due(t *testing.T, cents int64) checkout.Due {
	t.Helper()
	amount, err := money.New(cents, "USD", 2)
	if err != nil {
		t.Fatal(err)
	}
	return checkout.Due{
		Session: checkout.Session{ID: "chk_1"}, Quote: payment.Quote{Route: checkout.Route, Amount: amount, Hold: true},
		Scope: payment.Scope{Route: checkout.Route, Method: "POST", Target: "/checkout-sessions/chk_1/complete"}, Challenge: "x",
	}
}

func handler(t *testing.T, kind challenge.Kind) *challenge.Handler {
	t.Helper()
	h, err := challenge.New(challenge.Config{
		Name: "com.example.shop." + string(kind), Kind: kind, ID: "main", Spec: "https://shop.example.com/spec", Schema: "https://shop.example.com/schema",
		Protocol: dialect{name: string(kind)}, Realm: "shop.example.com", Ways: []string{"eip155:8453"},
		Offers: func(q payment.Quote) []payment.Offer {
			if q.Hold || q.Metered {
				t.Error("an offer to hold money was asked for")
			}
			if q.Amount.Units() < 50 {
				return nil
			}
			return []payment.Offer{{Method: "coin", Amount: q.Amount, Quote: q}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestDeclare(t *testing.T) {
	d := due(t, 500)
	for kind, want := range map[challenge.Kind][2]string{
		challenge.X402: {
			`{"networks":["eip155:8453"],"x402_version":2}`,
			`{"networks":["eip155:8453"],"payment_required":{"x402Version":2,"for":"/checkout-sessions/chk_1/complete/5.00 USD"},"x402_version":2}`,
		},
		challenge.MPP: {
			`{"methods":["eip155:8453"],"realm":"shop.example.com"}`,
			`{"challenges":["Payment id=\"/checkout-sessions/chk_1/complete/5.00 USD\""],"methods":["eip155:8453"],"realm":"shop.example.com"}`,
		},
	} {
		h := handler(t, kind)
		said, ok := h.Declare(protocol.Current, nil, now)
		if !ok || string(said.Config) != want[0] || said.Instruments[0].Type != string(kind)+"_payment" {
			t.Errorf("%s: %v %s", kind, ok, said.Config)
		}
		if said, ok = h.Declare(protocol.Current, &d, now); !ok || string(said.Config) != want[1] {
			t.Errorf("%s: %v %s", kind, ok, said.Config)
		}
		small := due(t, 1)
		if _, ok := h.Declare(protocol.Current, &small, now); ok {
			t.Errorf("%s is declared for a total that nobody takes", kind)
		}
	}
}

func TestCredential(t *testing.T) {
	d := due(t, 500)
	const proof = "/checkout-sessions/chk_1/complete/5.00 USD"
	for kind, c := range map[challenge.Kind]string{
		challenge.X402: `{"type":"x402_payment_payload","payload":"` + proof + `","expires_at":"2026-11-25T10:00:00Z"}`,
		challenge.MPP:  `{"type":"mpp_credential","credential":"` + proof + `"}`,
	} {
		h := handler(t, kind)
		in := protocol.Instrument{Type: string(kind) + "_payment", Credential: json.RawMessage(c)}
		got, err := h.Credential(in, d, now)
		if err != nil || got.ChallengeID != proof || got.Scope != d.Scope {
			t.Errorf("%s: %+v, %v", kind, got, err)
		}
		if kind == challenge.MPP {
			in.Credential = json.RawMessage(strings.Replace(c, `"/ch`, `"Payment /ch`, 1))
			if _, err := h.Credential(in, d, now); err != nil {
				t.Errorf("with its scheme: %v", err)
			}
		}
		for name, wrong := range map[string]protocol.Instrument{
			"another type":        {Type: "link", Credential: in.Credential},
			"another credential":  {Type: in.Type, Credential: json.RawMessage(`{"type":"stripe_payment_token","token":"spt_secret"}`)},
			"another checkout":    {Type: in.Type, Credential: json.RawMessage(strings.ReplaceAll(c, "chk_1", "chk_2"))},
			"another total":       {Type: in.Type, Credential: json.RawMessage(strings.ReplaceAll(c, "5.00", "0.50"))},
			"expired":             {Type: in.Type, Credential: json.RawMessage(strings.TrimSuffix(strings.ReplaceAll(c, `,"expires_at":"2026-11-25T10:00:00Z"`, ""), "}") + `,"expires_at":"2026-11-25T08:00:00Z"}`)},
			"a line in it":        {Type: in.Type, Credential: json.RawMessage(strings.ReplaceAll(c, "5.00", `5.00\r\nX: y`))},
			"nothing":             {Type: in.Type},
			"a proof given twice": {Type: in.Type, Credential: json.RawMessage(strings.Replace(c, "{", `{"type":"x",`, 1))},
		} {
			_, err := h.Credential(wrong, d, now)
			if e, ok := errors.AsType[*checkout.Error](err); !ok || e.Kind != checkout.KindPayment || e.Messages[0].Code != "payment_failed" || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s, %s: %v", kind, name, err)
			}
		}
	}
}

func TestDocuments(t *testing.T) {
	for _, kind := range []challenge.Kind{challenge.X402, challenge.MPP} {
		h := handler(t, kind)
		data, err := h.Schema()
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Name, Version string
			ID            string                     `json:"$id"`
			Defs          map[string]json.RawMessage `json:"$defs"`
		}
		if err := json.Unmarshal(data, &doc); err != nil || doc.Name != h.Name() || doc.ID != "https://shop.example.com/schema" || doc.Defs[h.Name()] == nil {
			t.Errorf("%s, %v", data, err)
		}
		if text := string(h.Specification()); !strings.Contains(text, h.Name()) || !strings.Contains(text, string(kind)+"_payment") {
			t.Error(text)
		}
	}
}
