package x402_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"paywall/payment"
	"paywall/x402"
)

func TestRefuse(t *testing.T) {
	d := compile(t, protocol(t, nil), link(100), stable(10000))
	asked := challenge(t, d)
	two := signed(answer(asked, 1, authorization(10000, nil)))
	one := request(x402.HeaderPaymentV1, encode(answerV1(authorization(10000, nil))))
	_, mismatch := d.Credential(signed(answer(asked, 1, authorization(9999, nil))), scope(), began)
	_, unmatched := compile(t, protocol(t, nil), stable(1)).Credential(two, scope(), began)
	for _, tt := range []struct {
		name   string
		r      *http.Request
		e      *payment.Error
		status int
		text   string
		// settled is the reason in the settlement that did not happen.
		settled string
	}{
		{"malformed", two, payment.Refuse(payment.KindMalformedCredential, ""), 400, "invalid_payload", ""},
		{"two payments", two, payment.Refuse(payment.KindBadRequest, ""), 400, "invalid_payload", ""},
		{"no match", two, refusal(t, unmatched), 402, "No matching payment requirements", ""},
		{"found here", two, refusal(t, mismatch), 402, x402.CodeValue, ""},
		{"no longer offered", two, payment.Refuse(payment.KindMethodUnsupported, ""), 402, "invalid_payment_requirements", ""},
		{"expired", two, payment.Refuse(payment.KindPaymentExpired, ""), 402, x402.CodeValidBefore, ""},
		{"expired at the rail", two, &payment.Error{Kind: payment.KindPaymentExpired, Reason: x402.CodeValidBefore, Err: errors.New("x")}, 402, x402.CodeValidBefore, x402.CodeValidBefore},
		{"refused by the rail", two, &payment.Error{Kind: payment.KindVerificationFailed, Reason: "card_declined", Err: errors.New("x")}, 402, "card_declined", "card_declined"},
		{"no funds", one, &payment.Error{Kind: payment.KindPaymentInsufficient, PaymentID: "pay_1"}, 402, "insufficient_funds", "insufficient_funds"},
		{"no allowance", two, &payment.Error{Kind: payment.KindPaymentInsufficient, Reason: x402.CodeAllowance}, 412, x402.CodeAllowance, x402.CodeAllowance},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			status, err := d.Refuse(h, tt.r, scope(), tt.e, began)
			if status != tt.status || err != nil {
				t.Errorf("%d, %v; want %d", status, err, tt.status)
			}
			p := required(t, h)
			if p.Error != tt.text || len(p.Accepts) != 2 || p.Resource.URL != asked.Resource.URL {
				t.Errorf("%+v", p)
			}
			field, other, network := x402.HeaderResponse, x402.HeaderResponseV1, network
			if tt.r == one {
				field, other, network = other, field, "base-sepolia"
			}
			if h.Get(other) != "" || (h.Get(field) != "") != (tt.settled != "") {
				t.Fatalf("%v", h)
			}
			if tt.settled == "" {
				return
			}
			var s x402.SettleResponse
			if err := x402.Decode(h.Get(field), &s); err != nil || s.Success || s.ErrorReason != tt.settled || s.Transaction != "" || s.Network != network {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

// No refusal whose outcome is open may ask for another payment.
func TestRefuse_EveryKind(t *testing.T) {
	d := compile(t, protocol(t, nil), stable(10000))
	for _, k := range payment.Kinds() {
		h := http.Header{}
		status, err := d.Refuse(h, &http.Request{}, scope(), &payment.Error{Kind: k, RetryAfter: time.Second, Reason: x402.CodePending}, began)
		if err != nil {
			t.Fatal(err)
		}
		if k.Unsettled() != (len(h) == 0) || k.Unsettled() != (status == 0) {
			t.Errorf("%s: %d %v", k, status, h)
		}
	}
}

// legacy reads a body of version 1 as its clients do, where one bad entry makes the
// whole answer unusable.
func legacy(t *testing.T, body []byte) []map[string]json.RawMessage {
	t.Helper()
	var b struct {
		Version int                          `json:"x402Version"`
		Error   *string                      `json:"error"`
		Accepts []map[string]json.RawMessage `json:"accepts"`
	}
	if err := json.Unmarshal(append(append([]byte{'{'}, body...), '}'), &b); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if b.Version != 1 || b.Error == nil {
		t.Errorf("version %d, error %v", b.Version, b.Error)
	}
	for _, a := range b.Accepts {
		for _, name := range []string{"scheme", "network", "maxAmountRequired", "resource", "description", "mimeType", "payTo", "asset"} {
			var s *string
			if json.Unmarshal(a[name], &s) != nil || s == nil {
				t.Errorf("%s is %s", name, a[name])
			}
		}
		for name, v := range a {
			if string(v) == "null" {
				t.Errorf("%s is null", name)
			}
		}
		if _, ok := a["outputSchema"]; ok {
			t.Error("outputSchema is there")
		}
		if string(a["scheme"]) != `"exact"` || string(a["maxTimeoutSeconds"]) != "300" {
			t.Errorf("%s for %s", a["scheme"], a["maxTimeoutSeconds"])
		}
	}
	return b.Accepts
}

func TestMembers(t *testing.T) {
	avalanche := stable(5)
	avalanche.Network = "eip155:43114"
	avalanche.Details = json.RawMessage(`{"asset":"` + asset + `","extra":{"name":"USD Coin","version":"2"},"maxTimeoutSeconds":300,"network":"eip155:43114","payTo":"` + payTo + `","scheme":"exact"}`)
	ethereum := stable(5)
	ethereum.Network = "eip155:1"
	ethereum.Details = json.RawMessage(`{"asset":"` + asset + `","extra":{"name":"USD Coin","version":"2"},"maxTimeoutSeconds":300,"network":"eip155:1","payTo":"` + payTo + `","scheme":"exact"}`)

	d := compile(t, protocol(t, nil), link(100), stable(10000), upto(20000), ethereum, avalanche)
	got := legacy(t, d.Members(nil, scope(), nil))
	if len(got) != 2 || string(got[0]["network"]) != `"base-sepolia"` || string(got[1]["network"]) != `"avalanche"` {
		t.Fatalf("%s", got)
	}
	for name, want := range map[string]string{
		"resource": `"https://api.example.com/v1/report?a=1&b=%20x"`, "maxAmountRequired": `"10000"`, "description": `"one \"report\""`,
		"mimeType": `""`, "payTo": `"` + payTo + `"`, "asset": `"` + asset + `"`, "extra": `{"name":"USDC","version":"2"}`,
	} {
		if string(got[0][name]) != want {
			t.Errorf("%s is %s, want %s", name, got[0][name], want)
		}
	}
	var full x402.PaymentRequiredV1
	if err := json.Unmarshal([]byte("{"+string(d.Members(nil, scope(), &payment.Error{Kind: payment.KindVerificationFailed, Reason: x402.CodeValue}))+"}"), &full); err != nil || full.Error != x402.CodeValue {
		t.Errorf("%+v, %v", full, err)
	}
	for name, d := range map[string]payment.Explainer{
		"nothing for it": compile(t, protocol(t, nil), link(100), upto(1), ethereum),
		"switched off":   compile(t, protocol(t, func(c *x402.Config) { c.NoV1 = true }), stable(10000)),
	} {
		if b := d.Members(nil, scope(), nil); b != nil {
			t.Errorf("%s: %s", name, b)
		}
	}
}

func TestNetworks(t *testing.T) {
	for caip2, name := range map[string]string{"eip155:8453": "base", "eip155:84532": "base-sepolia", "eip155:43114": "avalanche", "eip155:43113": "avalanche-fuji", "eip155:137": "polygon"} {
		if got, ok := x402.NetworkV1(caip2); !ok || got != name {
			t.Errorf("%s is %q", caip2, got)
		}
		if got, ok := x402.NetworkFromV1(name); !ok || got != caip2 {
			t.Errorf("%s is %q", name, got)
		}
	}
	for _, s := range []string{"", "eip155:1", "base", "Base"} {
		if got, ok := x402.NetworkV1(s); ok {
			t.Errorf("%q is %q", s, got)
		}
	}
}
