package x402_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"paywall/payment"
	"paywall/x402"
)

// What decodes encodes again to what decodes to the same, in the one spelling that is
// written.
func FuzzDecode(f *testing.F) {
	d := compile(f, protocol(f, nil), link(100), stable(10000), upto(1))
	asked := challenge(f, d)
	for _, v := range []any{
		asked, answer(asked, 1, authorization(10000, nil)), answer(asked, 2, permission(1, nil)), answerV1(authorization(10000, nil)),
		x402.SettleResponse{Success: true, Transaction: "0x1", Network: network},
		object{},
		object{"success": "true"},
		object{"kinds": []any{object{}}},
	} {
		f.Add(must(json.Marshal(v)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		field := base64.RawURLEncoding.EncodeToString(data)
		for _, into := range []func() any{
			func() any { return &x402.PaymentRequired{} }, func() any { return &x402.PaymentPayload{} }, func() any { return &x402.SettleResponse{} },
			func() any { return &x402.PaymentRequiredV1{} }, func() any { return &x402.PayloadV1{} }, func() any { return &x402.VerifyResponse{} },
			func() any { return &x402.SupportedResponse{} }, func() any { return &x402.SettleRequest{} },
		} {
			one, two := into(), into()
			if err := x402.Decode(field, one); err != nil {
				if !errors.Is(err, x402.ErrEncoding) && !errors.Is(err, x402.ErrJSON) {
					t.Errorf("%T: error of another kind: %v", one, err)
				}
				if !reflect.DeepEqual(one, two) {
					t.Errorf("%T is filled and refused", one)
				}
				continue
			}
			if s, ok := one.(*x402.SettleResponse); ok {
				// Read as everybody else reads it.
				var loose map[string]any
				if err := json.Unmarshal(data, &loose); err != nil || loose["success"] != s.Success {
					t.Errorf("%q reads as %+v, %v", data, s, err)
				}
				for name, got := range map[string]string{"transaction": s.Transaction, "network": s.Network, "payer": s.Payer, "errorReason": s.ErrorReason} {
					if want, _ := loose[name].(string); want != got {
						t.Errorf("%s of %q is %q", name, data, got)
					}
				}
			}
			again, err := x402.Encode(one)
			if err != nil {
				t.Fatalf("%T: %v", one, err)
			}
			if len(again) > x402.MaxHeaderBytes {
				continue // characters that grow
			}
			if err := x402.Decode(again, two); err != nil {
				t.Fatalf("%T, again: %v", one, err)
			}
			last, err := x402.Encode(two)
			if err != nil || last != again {
				t.Errorf("%T: %q and %q, %v", one, again, last, err)
			}
		}
	})
}

// Whatever is read as base64 is the bytes that its one written spelling stands for.
func FuzzBase64(f *testing.F) {
	for _, s := range []string{"e30", "e31=", "e30=", "eyJzdWNjZXNzIjp0cnVlfQ==", "eyJzdWNjZXNzIjp0cnVlfQ=", "e3\n0=", "----", "++//", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		var raw map[string]json.RawMessage
		if x402.Decode(field, &raw) != nil {
			return
		}
		plain := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(field), "=")
		data, err := base64.RawStdEncoding.DecodeString(plain)
		if err != nil || base64.RawStdEncoding.EncodeToString(data) != plain || !json.Valid(data) {
			t.Errorf("%q is read, %v", field, err)
		}
	})
}

// Nothing but the payload and the copy of an entry makes a credential, and the server's
// own entry is what it is for; both readers of a payment name it alike.
func FuzzCredential(f *testing.F) {
	p := protocol(f, nil)
	d := compile(f, p, link(100), stable(10000), upto(20000))
	asked := challenge(f, d)
	for _, v := range []any{
		answer(asked, 0, object{"token": "spt_1", "paymentId": "p"}), answer(asked, 1, authorization(10000, nil)),
		answer(asked, 2, permission(20000, nil)), answerV1(authorization(10000, nil)),
		object{"x402Version": 2},
	} {
		f.Add(must(json.Marshal(v)), true)
		f.Add(must(json.Marshal(v)), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, second bool) {
		header := x402.HeaderSignature
		if !second {
			header = x402.HeaderPaymentV1
		}
		r := request(header, base64.StdEncoding.EncodeToString(data))
		c, err := d.Credential(r, scope(), began)
		if err != nil {
			e, ok := errors.AsType[*payment.Error](err)
			if !ok || e.Kind.Unsettled() {
				t.Errorf("%v", err)
			}
			if c.ChallengeID == "" {
				return
			}
		} else if !bytes.Contains(data, []byte(`ccepted`)) && !bytes.Contains(data, []byte(`\u`)) && !strings.HasPrefix(c.ChallengeID, "x402v1_") {
			t.Errorf("%q is taken without an entry", data)
		}
		if h, err := p.Fingerprint(r.Header); err != nil || h != c.Hash {
			t.Errorf("%q is %q to one and %q to the other, %v", data, c.Hash, h, err)
		}
		if err == nil && c.Offer.Amount != link(100).Amount && c.Offer.Amount != stable(10000).Amount && c.Offer.Amount != upto(20000).Amount {
			t.Errorf("offer %+v", c.Offer)
		}
		if !json.Valid(c.Payload) || len(c.Hash) != 43 || c.Scope != scope() {
			t.Errorf("%+v", c)
		}
	})
}

// A copy that says anything else of a member that counts is another entry.
func FuzzMatch(f *testing.F) {
	entry := challenge(f, compile(f, protocol(f, nil), stable(10000))).Accepts[0]
	f.Add(must(json.Marshal(entry)))
	f.Add([]byte(`{"scheme":"exact"}`))
	f.Add(bytes.Replace(must(json.Marshal(entry)), []byte("300"), []byte("3e2"), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) || !x402.Match(entry, data) {
			return
		}
		var got map[string]any
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		want := copyOf(entry)
		extra, ok := got["extra"].(map[string]any)
		if !ok {
			t.Fatalf("%s has no extra", data)
		}
		for name, v := range want["extra"].(object) {
			if !reflect.DeepEqual(extra[name], v) {
				t.Errorf("extra.%s of %s", name, data)
			}
		}
		delete(got, "extra")
		delete(want, "extra")
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s matches %v", data, want)
		}
	})
}

// All spellings of one payment are one payment, and another value is another.
func TestHash_Spellings(t *testing.T) {
	p := protocol(t, nil)
	d := compile(t, p, stable(10000))
	asked := challenge(t, d)
	plain := authorization(10000, nil)
	first, err := d.Credential(signed(answer(asked, 0, plain)), scope(), began)
	if err != nil {
		t.Fatal(err)
	}
	hexes := []string{"from", "to", "nonce"}
	rapid.Check(t, func(t *rapid.T) {
		spelled := copyOf(authorization(10000, nil))
		a := spelled["authorization"].(object)
		for _, name := range hexes {
			switch s := a[name].(string); rapid.IntRange(0, 2).Draw(t, name) {
			case 0:
				a[name] = strings.ToLower(s)
			case 1:
				a[name] = "0x" + strings.ToUpper(s[2:])
			}
		}
		if rapid.Bool().Draw(t, "v") { // 0 and 1 stand for 27 and 28
			s := spelled["signature"].(string)
			last := map[string]string{"1b": "00", "1c": "01"}[s[len(s)-2:]]
			spelled["signature"] = s[:len(s)-2] + last
		}
		if rapid.Bool().Draw(t, "more") {
			spelled["more"], a["more"] = 1, object{"x": nil}
		}
		var paid any = answer(asked, 0, spelled)
		if rapid.Bool().Draw(t, "version 1") {
			paid = answerV1(spelled)
		}
		raw := must(json.MarshalIndent(paid, "", strings.Repeat(" ", rapid.IntRange(0, 3).Draw(t, "indent"))))
		field := base64.URLEncoding.EncodeToString(raw)
		if rapid.Bool().Draw(t, "unpadded") {
			field = strings.TrimRight(field, "=")
		}
		c, err := d.Credential(request(x402.HeaderSignature, field), scope(), began)
		if err != nil || c.Hash != first.Hash || c.Payer != first.Payer ||
			strings.TrimPrefix(strings.TrimPrefix(c.ChallengeID, "x402_"), "x402v1_") != strings.TrimPrefix(first.ChallengeID, "x402_") {
			t.Fatalf("%s: %v, %s", raw, err, c.ChallengeID)
		}
	})
	for name, v := range map[string]string{"nonce": "0x" + strings.Repeat("ab", 32), "validBefore": "4102444800", "validAfter": "1"} {
		c, err := d.Credential(signed(answer(asked, 0, authorization(10000, func(a object) { a[name] = v }))), scope(), began)
		if err != nil || c.Hash == first.Hash || (name == "nonce") != (c.ChallengeID != first.ChallengeID) {
			t.Errorf("%s: %v, %q", name, err, c.ChallengeID)
		}
	}
}

func TestPresents(t *testing.T) {
	p := protocol(t, nil)
	for _, tt := range []struct {
		h    http.Header
		want bool
	}{
		{http.Header{}, false},
		{http.Header{"Authorization": {"Payment x"}}, false},
		{http.Header{"Payment-Signature": {""}}, true},
		{http.Header{"X-Payment": {"x"}}, true},
		{http.Header{"X-Payment-Response": {"x"}, "Payment-Required": {"x"}}, false},
	} {
		if got := p.Presents(tt.h); got != tt.want {
			t.Errorf("%v: %t", tt.h, got)
		}
	}
	if p.Name() != "x402" {
		t.Error(p.Name())
	}
}
