package x402_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paywall/payment"
	"paywall/x402"
)

func TestChallenge(t *testing.T) {
	d := compile(t, protocol(t, func(c *x402.Config) {
		c.ServiceName, c.Tags, c.IconURL = "Reports", []string{"data"}, "https://example.com/i.png"
	}),
		link(100), stable(10000), upto(20000))
	p := challenge(t, d)
	want := x402.PaymentRequired{
		Version: 2, Error: "Payment required",
		Resource: x402.ResourceInfo{
			URL: "https://api.example.com/v1/report?a=1&b=%20x", Description: `one "report"`,
			ServiceName: "Reports", Tags: []string{"data"}, IconURL: "https://example.com/i.png",
		},
		Accepts: []x402.PaymentRequirements{
			{
				Scheme: "auth-capture", Network: "stripe:test", Amount: "100", Asset: "USD", PayTo: "acct_1", MaxTimeoutSeconds: 300,
				Extra: map[string]json.RawMessage{"psp": json.RawMessage(`"stripe"`), "paymentFlow": json.RawMessage(`"upfront"`)},
			},
			{
				Scheme: "exact", Network: network, Amount: "10000", Asset: asset, PayTo: payTo, MaxTimeoutSeconds: 300,
				Extra: map[string]json.RawMessage{"name": json.RawMessage(`"USDC"`), "version": json.RawMessage(`"2"`), "paymentFlow": json.RawMessage(`"upfront"`)},
			},
			{
				Scheme: "upto", Network: network, Amount: "20000", Asset: asset, PayTo: payTo, MaxTimeoutSeconds: 300,
				Extra: map[string]json.RawMessage{
					"name": json.RawMessage(`"USDC"`), "version": json.RawMessage(`"2"`), "assetTransferMethod": json.RawMessage(`"permit2"`),
					"facilitatorAddress": json.RawMessage(`"` + helper + `"`),
				},
			},
		},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if f := p.Accepts[2].Flow(); f != x402.FlowAuthorization {
		t.Errorf("flow %s", f)
	}
}

// The URL is put between parts that were encoded before: whatever its length, what
// comes out is what encoding the whole would have given.
func TestChallenge_EveryLengthOfURL(t *testing.T) {
	d := compile(t, protocol(t, nil), stable(10000))
	for n := range 40 {
		s := scope()
		s.Target = "/" + strings.Repeat("x", n)
		h := http.Header{}
		if err := d.Challenge(h, &http.Request{}, s, began); err != nil {
			t.Fatal(err)
		}
		v := h.Get(x402.HeaderRequired)
		if len(v)%4 != 0 || strings.ContainsAny(strings.TrimRight(v, "="), "=-_") {
			t.Errorf("%d: not padded standard base64: %s", n, v)
		}
		if got := required(t, h).Resource.URL; got != origin+s.Target {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestChallenge_TextIsEscaped(t *testing.T) {
	d := compile(t, protocol(t, nil), stable(10000))
	s := scope()
	s.Target = "/\"}\\\x01</script>"
	h := http.Header{}
	if err := d.Challenge(h, &http.Request{}, s, began); err != nil {
		t.Fatal(err)
	}
	if got := required(t, h).Resource.URL; got != origin+s.Target {
		t.Errorf("%q", got)
	}
	var body x402.PaymentRequiredV1
	if err := json.Unmarshal([]byte("{"+string(d.Members(nil, s, nil))+"}"), &body); err != nil || body.Accepts[0].Resource != origin+s.Target {
		t.Errorf("%+v, %v", body, err)
	}
}

func TestCompile(t *testing.T) {
	details := func(from, to string) payment.Offer {
		o := stable(10000)
		o.Details = json.RawMessage(strings.Replace(string(o.Details), from, to, 1))
		return o
	}
	metered := link(100)
	metered.Metered = true
	token := link(100)
	token.Amount = amount(100, "USDC", 6)
	for _, tt := range []struct {
		name  string
		offer payment.Offer
	}{
		{"a rail without a binding", payment.Offer{Method: "credit", Intent: "charge", Amount: amount(1, "USD", 2)}},
		{"nothing to pay", func() payment.Offer { o := stable(10000); o.Amount = amount(0, "USDC", 6); return o }()},
		{"a binding for a token's price", token},
		{"a ceiling where all is taken", metered},
		{"another network than it says", details(network, "eip155:1")},
		{"no chain", func() payment.Offer { o := details(network, "solana:1"); o.Network = "solana:1"; return o }()},
		{"no name to sign for", details(`"name":"USDC",`, "")},
		{"no address", details(payTo, "merchant")},
		{"no time", details("300", "0")},
		{"a scheme that cannot be checked", details("exact", "batch-settlement")},
		{"a way that cannot be checked", details(`"name"`, `"assetTransferMethod":"permit2","name"`)},
		{"no details", func() payment.Offer { o := stable(1); o.Details = nil; return o }()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := protocol(t, nil)
			if _, err := p.Compile("api.example.com", []payment.Offer{tt.offer}); !errors.Is(err, payment.ErrNotOffered) {
				t.Errorf("%v, want ErrNotOffered", err)
			}
			if got := challenge(t, compile(t, p, tt.offer, stable(10000))).Accepts; len(got) != 1 {
				t.Errorf("beside a good one: %v", got)
			}
		})
	}
	t.Run("too large", func(t *testing.T) {
		p := protocol(t, func(c *x402.Config) { c.Bindings[0].Extra = map[string]any{"x": strings.Repeat("x", 3000)} })
		if _, err := p.Compile("api.example.com", []payment.Offer{link(100)}); !errors.Is(err, x402.ErrTooLarge) {
			t.Errorf("%v, want ErrTooLarge", err)
		}
	})
	t.Run("held at the processor", func(t *testing.T) {
		o := link(100)
		o.Hold = true
		if f := challenge(t, compile(t, protocol(t, nil), o)).Accepts[0].Flow(); f != x402.FlowEscrow {
			t.Errorf("flow %s", f)
		}
	})
}

func TestNew(t *testing.T) {
	for name, change := range map[string]func(*x402.Config){
		"no origin":                      func(c *x402.Config) { c.Origin = "" },
		"origin with a path":             func(c *x402.Config) { c.Origin = "https://a.example/x" },
		"origin with a user":             func(c *x402.Config) { c.Origin = "https://u@a.example" },
		"origin of another scheme":       func(c *x402.Config) { c.Origin = "ftp://a.example" },
		"MaxTimeoutSeconds":              func(c *x402.Config) { c.MaxTimeoutSeconds = -1 },
		"binding without a rail":         func(c *x402.Config) { c.Bindings[0].Method = "" },
		"binding without a payee":        func(c *x402.Config) { c.Bindings[0].PayTo = "" },
		"binding on a chain":             func(c *x402.Config) { c.Bindings[0].Network = network },
		"binding of no network":          func(c *x402.Config) { c.Bindings[0].Network = "stripe" },
		"binding of a stablecoin scheme": func(c *x402.Config) { c.Bindings[0].Scheme = "exact" },
		"binding with its own flow":      func(c *x402.Config) { c.Bindings[0].Extra = map[string]any{"paymentFlow": "upfront"} },
		"binding of one member":          func(c *x402.Config) { c.Bindings[0].IDMember = "token" },
		"one rail twice":                 func(c *x402.Config) { c.Bindings = append(c.Bindings, c.Bindings[0]) },
		"a long name":                    func(c *x402.Config) { c.ServiceName = strings.Repeat("x", 33) },
		"many tags":                      func(c *x402.Config) { c.Tags = strings.Split("a,b,c,d,e,f", ",") },
		"icon":                           func(c *x402.Config) { c.IconURL = "/icon.png" },
		"extension twice":                func(c *x402.Config) { c.Extensions = []x402.Extension{notes{}, notes{}} },
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			change(&c)
			if _, err := x402.New(c); err == nil {
				t.Error("taken")
			}
		})
	}
	for in, want := range map[string]string{
		"https://API.example.com:443/": "https://api.example.com/x", "http://127.0.0.1:8402": "http://127.0.0.1:8402/x", "http://[::1]:80": "http://[::1]/x",
	} {
		s := scope()
		s.Target = "/x"
		h := http.Header{}
		d := compile(t, protocol(t, func(c *x402.Config) { c.Origin = in }), stable(1))
		if err := d.Challenge(h, &http.Request{}, s, began); err != nil || required(t, h).Resource.URL != want {
			t.Errorf("%s: %v", in, required(t, h).Resource.URL)
		}
	}
}

func TestCredential_Transfer(t *testing.T) {
	d := compile(t, protocol(t, nil), link(100), stable(10000))
	p := challenge(t, d)
	c, err := d.Credential(signed(answer(p, 1, authorization(10000, nil))), scope(), began)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(c.ChallengeID, "x402_") || len(c.ChallengeID) != 48 || len(c.Hash) != 43 {
		t.Errorf("id %q, hash %q", c.ChallengeID, c.Hash)
	}
	payload := copyOf(authorization(10000, func(a object) { a["from"], a["to"] = strings.ToLower(a["from"].(string)), strings.ToLower(payTo) }))
	want := payment.Credential{
		Protocol: "x402", ChallengeID: c.ChallengeID, Offer: stable(10000), Scope: scope(), Hash: c.Hash,
		Payload: must(json.Marshal(object{"payload": payload, "x402Version": 2})),
		Payer:   strings.ToLower(payerKey().Address().String()), Public: true, Expires: began.Add(5*time.Minute - 6*time.Second),
	}
	if diff := cmp.Diff(want, c, cmp.Comparer(func(a, b payment.Offer) bool { return a.Method == b.Method && a.Amount == b.Amount })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	v1, err := d.Credential(request(x402.HeaderPaymentV1, encode(answerV1(authorization(10000, nil)))), scope(), began)
	if err != nil {
		t.Fatal(err)
	}
	if v1.Hash != c.Hash || v1.ChallengeID != strings.Replace(c.ChallengeID, "x402_", "x402v1_", 1) || !strings.HasSuffix(string(v1.Payload), `"x402Version":1}`) {
		t.Errorf("version 1: %q %q %s", v1.Hash, v1.ChallengeID, v1.Payload)
	}
}

func TestCredential_Permit(t *testing.T) {
	d := compile(t, protocol(t, nil), stable(10000), upto(20000))
	p := challenge(t, d)
	c, err := d.Credential(signed(answer(p, 1, permission(20000, nil))), scope(), began)
	if err != nil {
		t.Fatal(err)
	}
	if c.Offer.Method != "metered" || !c.Expires.Equal(began.Add(5*time.Minute-6*time.Second)) || c.Payer != strings.ToLower(payerKey().Address().String()) {
		t.Errorf("%s %s %s", c.Offer.Method, c.Expires, c.Payer)
	}
	inside := func(name, member string, v any) func(object) {
		return func(o object) { o[name].(object)[member] = v }
	}
	for _, tt := range []struct {
		name, reason string
		entry        int
		payload      any
	}{
		{"another token", x402.CodePermitToken, 1, permission(20000, inside("permitted", "token", helper))},
		{"another contract", x402.CodePermitSpender, 1, permission(20000, func(o object) { o["spender"] = helper })},
		{"another facilitator", x402.CodePermitFacilitator, 1, permission(20000, inside("witness", "facilitator", payTo))},
		{"another payee", x402.CodeRecipient, 1, permission(20000, inside("witness", "to", helper))},
		{"another ceiling", x402.CodeValue, 1, permission(20001, nil)},
		{"not yet", x402.CodeValidAfter, 1, permission(20000, inside("witness", "validAfter", seconds(began.Add(time.Second))))},
		{"over", x402.CodeValidBefore, 1, permission(20000, func(o object) { o["deadline"] = seconds(began.Add(5 * time.Second)) })},
		{"a transfer", x402.CodeInvalidPayload, 1, authorization(20000, nil)},
		{"a permit for a transfer", x402.CodeInvalidPayload, 0, permission(10000, nil)},
		{"no witness", x402.CodeInvalidPayload, 1, permission(20000, func(o object) { delete(o, "witness") })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := d.Credential(signed(answer(p, tt.entry, tt.payload)), scope(), began)
			if e := refusal(t, err); e.Reason != tt.reason {
				t.Errorf("%v, reason %s, want %s", e, e.Reason, tt.reason)
			}
		})
	}
}

func TestCredential_Token(t *testing.T) {
	d := compile(t, protocol(t, nil), link(100), stable(10000))
	p := challenge(t, d)
	read := func(payload object) (payment.Credential, error) {
		return d.Credential(signed(answer(p, 0, payload)), scope(), began)
	}
	one, err := read(object{"token": "spt_1", "paymentId": "p1"})
	if err != nil {
		t.Fatal(err)
	}
	if string(one.Payload) != `{"spt":"spt_1"}` || one.Payer != "" || one.Offer.Method != "stripe" || one.Expires.Year() != 9999 {
		t.Errorf("%s %+v", one.Payload, one)
	}
	other, err := read(object{"paymentId": "p1", "token": "spt_2", "more": 1})
	if err != nil || other.ChallengeID != one.ChallengeID || other.Hash == one.Hash {
		t.Errorf("another token under the id: %v, %q and %q", err, one.ChallengeID, other.ChallengeID)
	}
	bare, err := read(object{"token": "spt_1"})
	if err != nil || bare.ChallengeID == one.ChallengeID || bare.Hash == one.Hash {
		t.Errorf("without an id: %v, %q", err, bare.ChallengeID)
	}
	// Somebody who names a payment after another's token does not take its place.
	for _, id := range []string{"spt_1", "token\x00spt_1"} {
		squat, err := read(object{"token": "spt_3", "paymentId": id})
		if err == nil && squat.ChallengeID == bare.ChallengeID {
			t.Errorf("id %q is the token's", id)
		}
	}
	for name, payload := range map[string]object{
		"nothing": {}, "empty": {"token": ""}, "a number": {"token": 1}, "null": {"token": nil}, "spaces": {"token": "a b"},
		"a card": {"token": "4242424242424242"}, "a card with hyphens": {"token": "4242-4242-4242-4242"},
		"long": {"token": strings.Repeat("x", 1025)}, "an id that is none": {"token": "spt_1", "paymentId": ""},
		"a long id": {"token": "spt_1", "paymentId": strings.Repeat("x", 129)}, "case": {"token": "spt_1", "Token": "spt_2"},
	} {
		_, err := read(payload)
		if e := refusal(t, err); e.Kind != payment.KindInvalidPayload || strings.Contains(e.Error(), "4242") {
			t.Errorf("%s: %v", name, e)
		}
	}
	// Version 1 knows no such thing.
	_, err = d.Credential(request(x402.HeaderPaymentV1, encode(object{
		"x402Version": 1, "scheme": "auth-capture", "network": "stripe:test", "payload": object{"token": "spt_1"},
	})), scope(), began)
	if refusal(t, err).Kind.Unsettled() {
		t.Error(err)
	}
}

// What began a payment in time may come back for it, and is told that it begins none.
func TestCredential_Late(t *testing.T) {
	p := protocol(t, nil)
	before := compile(t, p, link(100), stable(10000))
	asked := challenge(t, before)
	after := compile(t, p, stable(20000), link(200))
	for _, tt := range []struct {
		name string
		r    *http.Request
		at   time.Duration
		d    payment.Dialect
		kind payment.Kind
	}{
		{"over", signed(answer(asked, 1, authorization(10000, nil))), 4*time.Minute + 55*time.Second, before, payment.KindPaymentExpired},
		{"an amount of the past", signed(answer(asked, 1, authorization(10000, nil))), 0, after, payment.KindInvalidChallenge},
		{"in version 1", request(x402.HeaderPaymentV1, encode(answerV1(authorization(10000, nil)))), 0, after, payment.KindVerificationFailed},
		{"of a token", signed(answer(asked, 0, object{"token": "spt_1"})), 0, after, payment.KindInvalidChallenge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first, err := before.Credential(tt.r, scope(), began)
			if err != nil {
				t.Fatal(err)
			}
			c, err := tt.d.Credential(tt.r, scope(), began.Add(tt.at))
			if e := refusal(t, err); e.Kind != tt.kind {
				t.Errorf("%v, want %s", e, tt.kind)
			}
			if c.ChallengeID != first.ChallengeID || c.Hash != first.Hash || c.Offer.Method != first.Offer.Method || c.Scope != first.Scope {
				t.Errorf("%+v, want what was begun: %+v", c, first)
			}
		})
	}
	for _, tt := range []struct {
		at   time.Duration
		good bool
	}{{5*time.Minute - 6*time.Second, true}, {5*time.Minute - 5*time.Second, false}} {
		_, err := before.Credential(signed(answer(asked, 1, authorization(10000, nil))), scope(), began.Add(tt.at))
		if (err == nil) != tt.good {
			t.Errorf("%s before its end: %v", 5*time.Minute-tt.at, err)
		}
	}
	// Good for ever, as far as the chain knows.
	forever := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)).String()
	c, err := before.Credential(signed(answer(asked, 1, authorization(10000, func(a object) { a["validBefore"] = forever }))), scope(), began)
	if err != nil || c.Expires.Year() != 9999 {
		t.Errorf("%v, %v", c.Expires, err)
	}
}

func TestFingerprint(t *testing.T) {
	p := protocol(t, nil)
	d := compile(t, p, link(100), stable(10000), upto(20000))
	asked := challenge(t, d)
	for name, r := range map[string]*http.Request{
		"transfer":  signed(answer(asked, 1, authorization(10000, nil))),
		"permit":    signed(answer(asked, 2, permission(20000, nil))),
		"token":     signed(answer(asked, 0, object{"token": "spt_1", "paymentId": "p1"})),
		"version 1": request(x402.HeaderPaymentV1, encode(answerV1(authorization(10000, nil)))),
	} {
		c, err := d.Credential(r, scope(), began)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Fingerprint(r.Header); err != nil || got != c.Hash {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.Hash)
		}
	}
	for _, h := range []http.Header{{}, {"Payment-Signature": {"e30="}}, {"Payment-Signature": {""}}, {"X-Payment": {"****"}}} {
		if _, err := p.Fingerprint(h); !errors.Is(err, payment.ErrNoCredential) {
			t.Errorf("%v: %v", h, err)
		}
	}
}

func TestReceipt(t *testing.T) {
	d := compile(t, protocol(t, nil), link(100), stable(10000))
	for _, tt := range []struct {
		name, field string
		p           payment.Payment
		token       string
		want        x402.SettleResponse
	}{
		{
			"version 2", x402.HeaderResponse,
			payment.Payment{ChallengeID: "x402_a", Method: "facilitator", Network: network, Reference: "0xabc", Payer: "0x1", Amount: amount(10000, "USDC", 6)},
			"a.b.c",
			x402.SettleResponse{Success: true, Transaction: "0xabc", Network: network, Payer: "0x1", Amount: "10000"},
		},
		{
			"version 1", x402.HeaderResponseV1,
			payment.Payment{ChallengeID: "x402v1_a", Method: "facilitator", Network: network, Reference: "0xabc", Payer: "0x1", Amount: amount(10000, "USDC", 6)},
			"",
			x402.SettleResponse{Success: true, Transaction: "0xabc", Network: "base-sepolia", Payer: "0x1", Amount: "10000"},
		},
		{
			"a processor", x402.HeaderResponse,
			payment.Payment{ChallengeID: "x402_a", Method: "stripe", Reference: "pi_1", Amount: amount(100, "USD", 2)},
			"",
			x402.SettleResponse{Success: true, Transaction: "pi_1", Network: "stripe:test", Amount: "100"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			if err := d.Receipt(h, tt.p, tt.token); err != nil {
				t.Fatal(err)
			}
			var got x402.SettleResponse
			if err := x402.Decode(h.Get(tt.field), &got); err != nil || len(h) != 1 {
				t.Fatalf("%v in %v", err, h)
			}
			if got.ReceiptToken() != tt.token {
				t.Errorf("receipt %q", got.ReceiptToken())
			}
			got.Extensions = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
