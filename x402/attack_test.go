package x402_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/payment"
	"paywall/x402"
)

func TestA025_TwoPayments(t *testing.T) {
	d := compile(t, protocol(t, nil), link(100), stable(10000))
	asked := challenge(t, d)
	two := encode(answer(asked, 1, authorization(10000, nil)))
	other := encode(answer(asked, 0, object{"token": "spt_1"}))
	one := encode(answerV1(authorization(10000, nil)))
	for _, tt := range []struct {
		name string
		h    http.Header
		kind payment.Kind // zero is taken
		id   string
	}{
		{"two lines", http.Header{"Payment-Signature": {two, other}}, payment.KindBadRequest, ""},
		{"the same twice", http.Header{"Payment-Signature": {two, two}}, payment.KindBadRequest, ""},
		{"one merged line", http.Header{"Payment-Signature": {two + ", " + other}}, payment.KindBadRequest, ""},
		{"two lines of version 1", http.Header{"X-Payment": {one, one}}, payment.KindBadRequest, ""},
		{"one merged line of version 1", http.Header{"X-Payment": {one + "," + one}}, payment.KindBadRequest, ""},
		{"two lines of the field that does not count", http.Header{"Payment-Signature": {two}, "X-Payment": {one, one}}, payment.KindBadRequest, ""},
		{"both fields", http.Header{"Payment-Signature": {other}, "X-Payment": {one}}, 0, "x402_"},
		{"both fields, the first broken", http.Header{"Payment-Signature": {"e30"}, "X-Payment": {one}}, payment.KindBadRequest, ""},
		{"both fields, the first empty", http.Header{"Payment-Signature": {""}, "X-Payment": {one}}, payment.KindMalformedCredential, ""},
		{"both fields, the second broken", http.Header{"Payment-Signature": {two}, "X-Payment": {"****"}}, 0, "x402_"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := d.Credential(&http.Request{Header: tt.h}, scope(), began)
			if tt.kind == 0 {
				if err != nil || !strings.HasPrefix(c.ChallengeID, tt.id) {
					t.Errorf("%v, %v", c.ChallengeID, err)
				}
				return
			}
			if e := refusal(t, err); e.Kind != tt.kind || c.ChallengeID != "" {
				t.Errorf("%v, %q; want %s", e, c.ChallengeID, tt.kind)
			}
		})
	}
}

func TestA034_Versions(t *testing.T) {
	d := compile(t, protocol(t, nil), stable(10000))
	alone := compile(t, protocol(t, func(c *x402.Config) { c.NoV1 = true }), stable(10000))
	asked := challenge(t, d)
	two := func(v any) object {
		a := answer(asked, 0, authorization(10000, nil))
		a["x402Version"] = v
		return a
	}
	one := answerV1(authorization(10000, nil))
	good := payment.Kind(0)
	for _, tt := range []struct {
		name, field string
		d           payment.Dialect
		payload     any
		kind        payment.Kind
	}{
		{"2", x402.HeaderSignature, d, two(2), good},
		{"2 in the old field", x402.HeaderPaymentV1, d, two(2), good},
		{"1", x402.HeaderPaymentV1, d, one, good},
		{"1 in the new field", x402.HeaderSignature, d, one, good},
		{"1 where it is not served", x402.HeaderPaymentV1, alone, one, payment.KindBadRequest},
		{"1 that says it is 2", x402.HeaderPaymentV1, d, func() object { a := answerV1(authorization(10000, nil)); a["x402Version"] = 2; return a }(), payment.KindMalformedCredential},
		{"2 that says it is 1", x402.HeaderSignature, d, two(1), payment.KindMalformedCredential},
		{"0", x402.HeaderSignature, d, two(0), payment.KindBadRequest},
		{"3", x402.HeaderSignature, d, two(3), payment.KindBadRequest},
		{"a string", x402.HeaderSignature, d, two("2"), payment.KindBadRequest},
		{"a fraction", x402.HeaderSignature, d, two(json.RawMessage("2.0")), payment.KindBadRequest},
		{"an exponent", x402.HeaderSignature, d, two(json.RawMessage("2e0")), payment.KindBadRequest},
		{"null", x402.HeaderSignature, d, two(nil), payment.KindBadRequest},
		{"none", x402.HeaderSignature, d, func() object { a := two(2); delete(a, "x402Version"); return a }(), payment.KindBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request(tt.field, encode(tt.payload))
			_, err := tt.d.Credential(r, scope(), began)
			if tt.kind == good {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e := refusal(t, err)
			if e.Kind != tt.kind || e.Kind == payment.KindBadRequest && e.Reason != x402.CodeInvalidVersion {
				t.Errorf("%v, reason %s; want %s", e, e.Reason, tt.kind)
			}
			h := http.Header{}
			if status, err := d.Refuse(h, r, scope(), e, began); status != 400 || err != nil || len(required(t, h).Accepts) == 0 {
				t.Errorf("%d, %v", status, err)
			}
		})
	}
}

func TestA035_AcceptedIsNotTheOffer(t *testing.T) {
	d := compile(t, protocol(t, nil), link(100), stable(10000))
	asked := challenge(t, d)
	set := func(name string, v any) func(object) { return func(a object) { a[name] = v } }
	extra := func(name string, v any) func(object) {
		return func(a object) { a["extra"].(object)[name] = v }
	}
	for _, tt := range []struct {
		name   string
		change func(object)
		good   bool
	}{
		{"nothing", func(object) {}, true},
		{"more in extra", extra("memo", "x"), true},
		{"a number spelled otherwise", set("maxTimeoutSeconds", json.RawMessage("300.0")), true},
		{"payee", set("payTo", helper), false},
		{"payee in another case", set("payTo", strings.ToLower(payTo)), false},
		{"asset", set("asset", helper), false},
		{"asset in another case", set("asset", strings.ToLower(asset)), false},
		{"network", set("network", "eip155:8453"), false},
		{"scheme", set("scheme", "upto"), false},
		{"less", set("amount", "9999"), false},
		{"more", set("amount", "10001"), false},
		{"a number for the amount", set("amount", 10000), false},
		{"another spelling of the amount", set("amount", "010000"), false},
		{"null for the amount", set("amount", nil), false},
		{"more time", set("maxTimeoutSeconds", 301), false},
		{"time as text", set("maxTimeoutSeconds", "300"), false},
		{"another member", set("memo", "x"), false},
		{"a member less", func(a object) { delete(a, "payTo") }, false},
		{"another domain", extra("name", "USD Coin"), false},
		{"a domain less", func(a object) { delete(a["extra"].(object), "version") }, false},
		{"no extra", func(a object) { delete(a, "extra") }, false},
		{"null for extra", set("extra", nil), false},
		{"another flow", extra("paymentFlow", "authorization"), false},
		{"no flow", func(a object) { delete(a["extra"].(object), "paymentFlow") }, false},
		{"null for the flow", extra("paymentFlow", nil), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := answer(asked, 1, authorization(10000, nil))
			accepted := a["accepted"].(object)
			tt.change(accepted)
			if got := x402.Match(asked.Accepts[1], must(json.Marshal(accepted))); got != tt.good {
				t.Errorf("Match: %t", got)
			}
			_, err := d.Credential(signed(a), scope(), began)
			if tt.good {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := refusal(t, err); e.Kind != payment.KindInvalidChallenge && e.Kind != payment.KindMalformedCredential {
				t.Error(e)
			}
		})
	}
}

func TestA036_SignedIsNotTheOffer(t *testing.T) {
	d := compile(t, protocol(t, nil), stable(10000))
	asked := challenge(t, d)
	set := func(name string, v any) func(object) { return func(a object) { a[name] = v } }
	at := func(dur time.Duration) string { return seconds(began.Add(dur)) }
	for _, tt := range []struct {
		name, reason string
		change       func(object)
	}{
		{"another payee", x402.CodeRecipient, set("to", helper)},
		{"less", x402.CodeValue, set("value", "9999")},
		{"more", x402.CodeValue, set("value", "10001")},
		{"over", x402.CodeValidBefore, set("validBefore", at(0))},
		{"over before it could settle", x402.CodeValidBefore, set("validBefore", at(5*time.Second))},
		{"not yet", x402.CodeValidAfter, set("validAfter", at(time.Second))},
		{"a number", x402.CodeInvalidPayload, set("value", 10000)},
		{"a sign", x402.CodeInvalidPayload, set("value", "+10000")},
		{"hexadecimal", x402.CodeInvalidPayload, set("value", "0x2710")},
		{"zeros in front", x402.CodeInvalidPayload, set("value", "010000")},
		{"2^256", x402.CodeInvalidPayload, set("value", "115792089237316195423570985008687907853269984665640564039457584007913129639936")},
		{"2^256 seconds", x402.CodeInvalidPayload, set("validBefore", "115792089237316195423570985008687907853269984665640564039457584007913129639936")},
		{"NaN", x402.CodeInvalidPayload, set("value", "NaN")},
		{"a short nonce", x402.CodeInvalidPayload, set("nonce", "0xab")},
		{"an address with a wrong checksum", x402.CodeInvalidPayload, set("from", "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2a")},
		{"no payer", x402.CodeInvalidPayload, func(a object) { delete(a, "from") }},
		{"a name in another case beside", x402.CodeInvalidPayload, set("Value", "10000")},
	} {
		for _, v := range []int{1, 2} {
			t.Run(tt.name, func(t *testing.T) {
				r := signed(answer(asked, 0, authorization(10000, tt.change)))
				if v == 1 {
					r = request(x402.HeaderPaymentV1, encode(answerV1(authorization(10000, tt.change))))
				}
				_, err := d.Credential(r, scope(), began)
				if e := refusal(t, err); e.Reason != tt.reason {
					t.Errorf("version %d: %v, reason %s; want %s", v, e, e.Reason, tt.reason)
				}
			})
		}
	}
	both := authorization(10000, nil)
	both["permit2Authorization"] = permission(10000, nil)["permit2Authorization"]
	high := authorization(10000, nil)
	high["signature"] = "0x" + strings.Repeat("f", 130)
	for name, payload := range map[string]any{
		"two authorizations": both, "a signature out of range": high, "no object": object{"signature": "0x", "authorization": "x"},
		"nothing": object{}, "a signature of a contract": object{"signature": "0x" + strings.Repeat("ab", 96), "authorization": both["authorization"]},
	} {
		_, err := d.Credential(signed(answer(asked, 0, payload)), scope(), began)
		if e := refusal(t, err); e.Kind != payment.KindInvalidPayload || e.Reason != x402.CodeInvalidPayload {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestAnotherResource(t *testing.T) {
	d := compile(t, protocol(t, nil), stable(10000))
	asked := challenge(t, d)
	for _, tt := range []struct {
		url  string
		good bool
	}{
		{"https://api.example.com/v1/report?a=1&b=%20x", true},
		{"HTTPS://API.example.com:443/v1/report?a=1&b=%20x", true},
		{"https://api.example.com/v1/r%65port?a=%31&&b=%20x", true},
		{"https://api.example.com/v1/other?a=1&b=%20x", false},
		{"https://api.example.com/v1/report", false},
		{"https://api.example.com/v1/report?b=%20x&a=1", false},
		{"https://api.example.com/v1/report/?a=1&b=%20x", false},
		{"https://api.example.com/V1/report?a=1&b=%20x", false},
		{"https://api.example.com/v1/x/../report?a=1&b=%20x", false},
		{"https://api.example.com/v1/report?a=1&b=%20x#f", false},
		{"http://api.example.com/v1/report?a=1&b=%20x", false},
		{"https://api.example.com:8443/v1/report?a=1&b=%20x", false},
		{"https://api.example.com.evil.example/v1/report?a=1&b=%20x", false},
		{"https://api.example.com@evil.example/v1/report?a=1&b=%20x", false},
		{"/v1/report?a=1&b=%20x", false},
		{"", false},
	} {
		a := answer(asked, 0, authorization(10000, nil))
		a["resource"] = object{"url": tt.url, "description": "", "mimeType": ""}
		c, err := d.Credential(signed(a), scope(), began)
		if tt.good != (err == nil) {
			t.Errorf("%s: %v", tt.url, err)
		}
		if !tt.good && (refusal(t, err).Kind != payment.KindInvalidChallenge || c.ChallengeID != "") {
			t.Errorf("%s: %v, %q", tt.url, err, c.ChallengeID)
		}
	}
	a := answer(asked, 0, authorization(10000, nil))
	delete(a, "resource")
	if _, err := d.Credential(signed(a), scope(), began); err != nil {
		t.Errorf("nothing echoed: %v", err)
	}
}

func TestA016_Form(t *testing.T) {
	d := compile(t, protocol(t, nil), stable(10000))
	asked := challenge(t, d)
	raw := string(must(json.Marshal(answer(asked, 0, authorization(10000, nil)))))
	std := base64.StdEncoding
	deep := strings.Repeat("[", 100_000)
	for _, tt := range []struct {
		name, field string
		good        bool
	}{
		{"as it is written", std.EncodeToString([]byte(raw)), true},
		{"without padding", base64.RawStdEncoding.EncodeToString([]byte(raw)), true},
		{"url-safe", base64.URLEncoding.EncodeToString([]byte(raw)), true},
		{"spaces in JSON", std.EncodeToString([]byte(" " + strings.ReplaceAll(raw, `":`, "\" :\n") + " ")), true},
		{"an unknown member", std.EncodeToString([]byte(strings.Replace(raw, "{", `{"more":[1],`, 1))), true},
		{"empty", "", false},
		{"no base64", "****", false},
		{"a line end inside", std.EncodeToString([]byte(raw))[:8] + "\n" + std.EncodeToString([]byte(raw))[8:], false},
		{"surplus bits", "e31=", false},
		{"padding in the middle", "e30=e30=", false},
		{"no JSON", std.EncodeToString([]byte("x")), false},
		{"an array", std.EncodeToString([]byte("[" + raw + "]")), false},
		{"two objects", std.EncodeToString([]byte(raw + raw)), false},
		{"a member twice", std.EncodeToString([]byte(strings.Replace(raw, `"payload"`, `"payload":{},"payload"`, 1))), false},
		{"a member twice, escaped", std.EncodeToString([]byte(strings.Replace(raw, `"payload"`, `"p\u0061yload":{},"payload"`, 1))), false},
		{"a member in another case", std.EncodeToString([]byte(strings.Replace(raw, `"payload"`, `"Payload":{},"payload"`, 1))), false},
		{"a mark in front", std.EncodeToString([]byte("\xef\xbb\xbf" + raw)), false},
		{"deep", std.EncodeToString([]byte(deep)), false},
		{"deep inside", std.EncodeToString([]byte(strings.Replace(raw, "{", `{"more":`+strings.Repeat("[", 50)+strings.Repeat("]", 50)+`,`, 1))), false},
		{"large", std.EncodeToString([]byte(strings.Replace(raw, "{", `{"more":"`+strings.Repeat("x", 16<<10)+`",`, 1))), false},
		{"no accepted", std.EncodeToString([]byte(strings.Replace(raw, `"accepted"`, `"x"`, 1))), false},
		{"payload of another type", std.EncodeToString([]byte(strings.Replace(raw, `"payload":{`, `"payload":"x","x":{`, 1))), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request(x402.HeaderSignature, tt.field)
			_, err := d.Credential(r, scope(), began)
			if tt.good {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e := refusal(t, err)
			if k := e.Kind; k != payment.KindMalformedCredential && k != payment.KindBadRequest && k != payment.KindInvalidPayload {
				t.Error(e)
			}
			if len(tt.field) > 20 && strings.Contains(e.Error(), tt.field[:20]) {
				t.Errorf("the error quotes the payment: %v", e)
			}
		})
	}
	_, err := d.Credential(&http.Request{Header: http.Header{}}, scope(), began)
	if !errors.Is(err, payment.ErrNoCredential) || refusal(t, err).Kind != payment.KindPaymentRequired {
		t.Errorf("nothing: %v", err)
	}
}

// Numbers are the same whichever way they are written, and only then.
func TestMatch_Numbers(t *testing.T) {
	for _, tt := range []struct {
		offered, accepted string
		same              bool
	}{
		{"300", "300", true},
		{"300", "3e2", true},
		{"300", "0.3E+3", true},
		{"300", "30000e-2", true},
		{"300", "300.000", true},
		{"0", "-0.0e9", true},
		{"300", "-300", false},
		{"300", "301", false},
		{"300", "300.0000000000000000000000000000000001", false},
		{"9007199254740993", "9007199254740992", false},
		{"1", "1e99999999999999999999", false},
		{"300", `"300"`, false},
		{"300", "true", false},
		{"[1,{\"a\":2}]", "[1.0,{\"a\":2e0}]", true},
		{"[1,2]", "[2,1]", false},
		{"[1]", "[1,1]", false},
		{"{\"a\":1}", "{\"a\":1,\"b\":1}", false},
		{"{\"a\":null}", "{\"b\":null}", false},
	} {
		entry := x402.PaymentRequirements{MaxTimeoutSeconds: 1, Extra: map[string]json.RawMessage{"n": json.RawMessage(tt.offered)}}
		accepted := copyOf(entry)
		accepted["extra"] = object{"n": json.RawMessage(tt.accepted)}
		if got := x402.Match(entry, must(json.Marshal(accepted))); got != tt.same {
			t.Errorf("%s and %s: %t", tt.offered, tt.accepted, got)
		}
	}
}
