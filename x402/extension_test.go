package x402_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"paywall/payment"
	"paywall/x402"
)

// notes is an extension with a member of each sort.
type notes struct{ fresh bool }

func (notes) ID() string { return "notes" }

func (n notes) Declare(_ []payment.Offer, entries []x402.PaymentRequirements) (x402.Declaration, error) {
	d := x402.Declaration{
		Object: json.RawMessage(`{"info":{"entries":` + string(must(json.Marshal(len(entries)))) + `,"nonce":""},"schema":{}}`), Dynamic: []string{"nonce"},
		Check: func(echo json.RawMessage, c *payment.Credential) error {
			var e struct{ Info struct{ Bad bool } }
			if len(echo) > 0 && json.Unmarshal(echo, &e) == nil && e.Info.Bad {
				return payment.Refuse(payment.KindBadRequest, "bad note of "+c.Offer.Method)
			}
			return nil
		},
	}
	if n.fresh {
		d.Fresh = func(b []byte, _ payment.Scope, resource string, now time.Time) ([]byte, error) {
			return append(b, `{"info":{"entries":1,"nonce":"`+now.Format(time.TimeOnly)+` `+resource+`"},"schema":{}}`...), nil
		}
	}
	return d, nil
}

// plain is another, without anything to it.
type plain struct{}

func (plain) ID() string { return "plain" }

func (plain) Declare([]payment.Offer, []x402.PaymentRequirements) (x402.Declaration, error) {
	return x402.Declaration{Object: json.RawMessage(`{"info":{"a":[1,{"b":null}]}}`)}, nil
}

func TestExtensions(t *testing.T) {
	for name, list := range map[string][]x402.Extension{
		"constant": {notes{}, plain{}}, "fresh": {notes{fresh: true}, plain{}}, "fresh alone": {notes{fresh: true}},
	} {
		t.Run(name, func(t *testing.T) {
			d := compile(t, protocol(t, func(c *x402.Config) { c.Extensions = list }), stable(10000))
			p := challenge(t, d)
			if len(p.Extensions) != len(list) {
				t.Fatalf("%v", p.Extensions)
			}
			h := http.Header{}
			if _, err := d.Refuse(h, &http.Request{}, scope(), payment.Refuse(payment.KindInvalidChallenge, ""), began); err != nil || len(required(t, h).Extensions) != len(list) {
				t.Errorf("refusal: %v", err)
			}
			for _, tt := range []struct {
				name, echo, reason string
				kind               payment.Kind // zero is taken
			}{
				{name: "nothing"},
				{name: "as it came", echo: `{"notes":` + string(p.Extensions["notes"]) + `}`},
				{name: "with more", echo: `{"notes":{"info":{"entries":1.0,"id":"x","nonce":""},"other":1}}`},
				{name: "another nonce", echo: `{"notes":{"info":{"entries":1,"nonce":"mine"}}}`},
				{name: "one that nobody declared", echo: `{"unknown":{"info":1}}`},
				{name: "changed", echo: `{"notes":{"info":{"entries":2}}}`, reason: x402.CodeExtensionEcho, kind: payment.KindInvalidChallenge},
				{name: "left out", echo: `{"notes":{"info":{"nonce":""}}}`, reason: x402.CodeExtensionEcho, kind: payment.KindInvalidChallenge},
				{name: "no info", echo: `{"notes":{}}`, reason: x402.CodeExtensionEcho, kind: payment.KindInvalidChallenge},
				{name: "no object", echo: `{"notes":"x"}`, reason: x402.CodeExtensionEcho, kind: payment.KindInvalidChallenge},
				{name: "its own check", echo: `{"notes":{"info":{"entries":1,"Bad":true}}}`, kind: payment.KindBadRequest},
			} {
				t.Run(tt.name, func(t *testing.T) {
					a := answer(p, 0, authorization(10000, nil))
					if tt.echo != "" {
						a["extensions"] = json.RawMessage(tt.echo)
					}
					_, err := d.Credential(signed(a), scope(), began)
					if tt.kind == 0 {
						if err != nil {
							t.Error(err)
						}
						return
					}
					if e := refusal(t, err); e.Kind != tt.kind || e.Reason != tt.reason {
						t.Errorf("%v, reason %q", e, e.Reason)
					}
				})
			}
		})
	}
}
