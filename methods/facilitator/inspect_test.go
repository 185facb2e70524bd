package facilitator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"paywall/methods/facilitator"
	"paywall/payment"
	"paywall/x402/evm"
)

func refusal(t *testing.T, err error) *payment.Error {
	t.Helper()
	pe, ok := errors.AsType[*payment.Error](err)
	if !ok {
		t.Fatalf("not a *payment.Error: %v", err)
	}
	return pe
}

func TestA036_AuthorizationThatDiffersFromTheOffer(t *testing.T) {
	other := "0x52908400098527886E0F7030069857D2E4169EE7"
	for _, tt := range []struct {
		name   string
		change func(*evm.Authorization)
		kind   payment.Kind
		reason string
	}{
		{"to somebody else", func(a *evm.Authorization) { a.To = address(t, other) }, payment.KindVerificationFailed, "invalid_exact_evm_payload_recipient_mismatch"},
		{"less", func(a *evm.Authorization) { a.Value = big.NewInt(9999) }, payment.KindVerificationFailed, "invalid_exact_evm_payload_authorization_value_mismatch"},
		{"more", func(a *evm.Authorization) { a.Value = big.NewInt(10001) }, payment.KindVerificationFailed, "invalid_exact_evm_payload_authorization_value_mismatch"},
		{"nothing", func(a *evm.Authorization) { a.Value = new(big.Int) }, payment.KindVerificationFailed, "invalid_exact_evm_payload_authorization_value_mismatch"},
		{"more than 64 bits, with the amount in the lower ones", func(a *evm.Authorization) {
			a.Value = new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(10000))
		}, payment.KindVerificationFailed, "invalid_exact_evm_payload_authorization_value_mismatch"},
		{"over", func(a *evm.Authorization) { a.ValidBefore = big.NewInt(began.Unix() - 1) }, payment.KindPaymentExpired, "invalid_exact_evm_payload_authorization_valid_before"},
		{"over before it can be settled", func(a *evm.Authorization) { a.ValidBefore = big.NewInt(began.Unix() + 5) }, payment.KindPaymentExpired, "invalid_exact_evm_payload_authorization_valid_before"},
		{"never valid", func(a *evm.Authorization) { a.ValidBefore = new(big.Int) }, payment.KindPaymentExpired, "invalid_exact_evm_payload_authorization_valid_before"},
		{"not valid yet", func(a *evm.Authorization) { a.ValidAfter = big.NewInt(began.Unix() + 1) }, payment.KindVerificationFailed, "invalid_exact_evm_payload_authorization_valid_after"},
		{"of a payer that did not sign", func(a *evm.Authorization) { a.From = address(t, other) }, payment.KindVerificationFailed, "invalid_exact_evm_payload_signature"},
		{"of nobody", func(a *evm.Authorization) { a.From = evm.Address{} }, payment.KindVerificationFailed, "invalid_exact_evm_payload_signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			m := w.method()
			o, err := m.Offer(quote(t))
			if err != nil {
				t.Fatal(err)
			}
			a := authorization(t, o)
			tt.change(&a)
			_, err = m.Inspect(credential(o, "c", signExact(t, a)))
			if pe := refusal(t, err); pe.Kind != tt.kind || pe.Reason != tt.reason || pe.Detail == "" {
				t.Errorf("Inspect = %+v, want %s %s", pe, tt.kind, tt.reason)
			}
			if len(w.sent("settle"))+len(w.sent("verify")) != 0 {
				t.Error("the facilitator was asked")
			}
		})
	}
}

func TestInspect_TakesWhatIsJustInTime(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	o, err := m.Offer(quote(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*evm.Authorization){
		"six seconds left":        func(a *evm.Authorization) { a.ValidBefore = big.NewInt(began.Unix() + 6) },
		"valid from now on":       func(a *evm.Authorization) { a.ValidAfter = big.NewInt(began.Unix()) },
		"good for an hour":        func(a *evm.Authorization) { a.ValidBefore = big.NewInt(began.Unix() + 3600) },
		"good for ever and a day": func(a *evm.Authorization) { a.ValidBefore = new(big.Int).Lsh(big.NewInt(1), 255) },
	} {
		a := authorization(t, o)
		change(&a)
		if _, err := m.Inspect(credential(o, "c", signExact(t, a))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The domain comes from the configuration: what was signed for another chain, token
// or version is nobody's signature here.
func TestInspect_SignedForAnotherDomain(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	o, err := m.Offer(quote(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*evm.Domain){
		"chain":    func(d *evm.Domain) { d.ChainID = 8453 },
		"contract": func(d *evm.Domain) { d.Contract = address(t, payee) },
		"name":     func(d *evm.Domain) { d.Name = "USD Coin" },
		"version":  func(d *evm.Domain) { d.Version = "1" },
	} {
		a := authorization(t, o)
		d, err := asset(t).Domain()
		if err != nil {
			t.Fatal(err)
		}
		change(&d)
		_, err = m.Inspect(credential(o, "c", exactPayload(a, key(t).Sign(a.Digest(d)).String())))
		if pe := refusal(t, err); pe.Reason != "invalid_exact_evm_payload_signature" {
			t.Errorf("%s: %+v", name, pe)
		}
	}
}

func TestInspect_RefusesTheForm(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	o, err := m.Offer(quote(t))
	if err != nil {
		t.Fatal(err)
	}
	a := authorization(t, o)
	good := signExact(t, a)
	if _, err := m.Inspect(credential(o, "c", good)); err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string]string{
		"a member more":          strings.Replace(good, `"from"`, `"more":1,"from"`, 1),
		"a member twice":         strings.Replace(good, `"value":"10000"`, `"value":"10000","value":"10000"`, 1),
		"a name in another case": strings.Replace(good, `"value"`, `"Value"`, 1),
		"a number for a text":    strings.Replace(good, `"value":"10000"`, `"value":10000`, 1),
		"a leading zero":         strings.Replace(good, `"value":"10000"`, `"value":"010000"`, 1),
		"a sign":                 strings.Replace(good, `"value":"10000"`, `"value":"+10000"`, 1),
		"hexadecimal":            strings.Replace(good, `"value":"10000"`, `"value":"0x2710"`, 1),
		"version 3":              strings.Replace(good, `"x402Version":2`, `"x402Version":3`, 1),
		"version as text":        strings.Replace(good, `"x402Version":2`, `"x402Version":"2"`, 1),
		"a short nonce":          strings.Replace(good, a.Nonce.String(), a.Nonce.String()[:64], 1),
		"a short signature":      strings.Replace(good, `"},"x402Version"`, `0"},"x402Version"`, 1),
		"no signature":           exactPayload(a, ""),
		"a zero signature":       exactPayload(a, evm.Signature{}.String()),
		"a permit":               `{"payload":{"permit2Authorization":{},"signature":"0x"},"x402Version":2}`,
		"trailing":               good + "{}",
		"too long":               strings.Replace(good, `{"payload"`, `{`+strings.Repeat(" ", 9000)+`"payload"`, 1),
	} {
		_, err := m.Inspect(credential(o, "c", payload))
		pe := refusal(t, err)
		if pe.Kind != payment.KindInvalidPayload || pe.Reason != "invalid_payload" {
			t.Errorf("%s: %+v", name, pe)
		}
		if strings.Contains(pe.Error(), a.Nonce.String()[2:20]) {
			t.Errorf("%s: the error quotes the payload: %v", name, pe)
		}
	}
}

func TestInspect_AnotherOffer(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	o, err := m.Offer(quote(t))
	if err != nil {
		t.Fatal(err)
	}
	payload := signExact(t, authorization(t, o))
	for name, change := range map[string]func(*payment.Offer){
		"network":       func(o *payment.Offer) { o.Network = "eip155:8453" },
		"method":        func(o *payment.Offer) { o.Method = "other" },
		"metered":       func(o *payment.Offer) { o.Metered = true },
		"another flow":  func(o *payment.Offer) { o.Hold = true },
		"payee":         func(o *payment.Offer) { o.Details = replaced(o.Details, payee, executor) },
		"asset":         func(o *payment.Offer) { o.Details = replaced(o.Details, "0x036CbD", "0x136CbD") },
		"domain":        func(o *payment.Offer) { o.Details = replaced(o.Details, `"USDC"`, `"USD Coin"`) },
		"scheme":        func(o *payment.Offer) { o.Details = replaced(o.Details, `"exact"`, `"upto"`) },
		"no details":    func(o *payment.Offer) { o.Details = nil },
		"other details": func(o *payment.Offer) { o.Details = json.RawMessage(`{"networkId":"profile_1"}`) },
		"in cents":      func(o *payment.Offer) { o.Amount = price(t, "0.01 USD") },
	} {
		changed := o
		change(&changed)
		_, err := m.Inspect(credential(changed, "c", payload))
		if pe := refusal(t, err); pe.Kind != payment.KindMethodUnsupported && pe.Kind != payment.KindInvalidChallenge {
			t.Errorf("%s: %+v", name, pe)
		}
	}
}

func replaced(in json.RawMessage, old, with string) json.RawMessage {
	return json.RawMessage(strings.Replace(string(in), old, with, 1))
}

func TestInspect_Permit(t *testing.T) {
	w := newWorld(t)
	m := w.method(metered)
	q := quote(t)
	q.Metered = true
	o, err := m.Offer(q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Inspect(credential(o, "c", signUpto(t, permit(t, o)))); err != nil {
		t.Fatal(err)
	}
	other := address(t, "0x52908400098527886E0F7030069857D2E4169EE7")
	for _, tt := range []struct {
		name   string
		change func(*evm.Permit)
		reason string
	}{
		{"token", func(p *evm.Permit) { p.Token = other }, "permit2_token_mismatch"},
		{"spender", func(p *evm.Permit) { p.Spender = evm.PermitExact.Spender() }, "invalid_permit2_spender"},
		{"facilitator", func(p *evm.Permit) { p.Facilitator = other }, "upto_facilitator_mismatch"},
		{"payee", func(p *evm.Permit) { p.To = other }, "invalid_exact_evm_payload_recipient_mismatch"},
		{"ceiling", func(p *evm.Permit) { p.Amount = big.NewInt(9999) }, "invalid_exact_evm_payload_authorization_value_mismatch"},
		{"deadline", func(p *evm.Permit) { p.Deadline = big.NewInt(began.Unix()) }, "invalid_exact_evm_payload_authorization_valid_before"},
		{"valid after", func(p *evm.Permit) { p.ValidAfter = big.NewInt(began.Unix() + 60) }, "invalid_exact_evm_payload_authorization_valid_after"},
		{"payer", func(p *evm.Permit) { p.From = other }, "invalid_exact_evm_payload_signature"},
		{"kind", func(p *evm.Permit) { p.Kind = evm.PermitExact }, "invalid_exact_evm_payload_signature"},
	} {
		p := permit(t, o)
		tt.change(&p)
		_, err := m.Inspect(credential(o, "c", signUpto(t, p)))
		if pe := refusal(t, err); pe.Reason != tt.reason {
			t.Errorf("%s: %+v, want %s", tt.name, pe, tt.reason)
		}
	}
}

// One authorization is one instrument, however it is spelled and in whichever
// version it comes; another payer, nonce, token or network is another.
func TestI002_FingerprintIsOfPayerNonceAssetAndNetwork(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	o, err := m.Offer(quote(t))
	if err != nil {
		t.Fatal(err)
	}
	a := authorization(t, o)
	payload := signExact(t, a)
	first, err := m.Inspect(credential(o, "c", payload))
	if err != nil {
		t.Fatal(err)
	}
	for name, spelling := range map[string]string{
		"version 1":     strings.Replace(payload, `"x402Version":2`, `"x402Version":1`, 1),
		"upper case":    strings.Replace(payload, a.Nonce.String()[2:], strings.ToUpper(a.Nonce.String()[2:]), 1),
		"checksum":      strings.Replace(payload, a.From.String(), a.From.Checksum(), 1),
		"another order": fmt.Sprintf(`{"x402Version":2,"payload":%s}`, payload[len(`{"payload":`):strings.Index(payload, `,"x402Version"`)]),
	} {
		if got, err := m.Inspect(credential(o, "d", spelling)); err != nil || got != first {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	later := a
	later.ValidBefore = new(big.Int).Add(a.ValidBefore, big.NewInt(60))
	if got, err := m.Inspect(credential(o, "c", signExact(t, later))); err != nil || got != first {
		t.Errorf("the same nonce signed again: %+v, %v", got, err)
	}
	a.Nonce[0]++
	if got, err := m.Inspect(credential(o, "c", signExact(t, a))); err != nil || got == first {
		t.Errorf("another nonce: %+v, %v", got, err)
	}
}

func TestInspect_NoBitOfASignatureIsFree(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	o, err := m.Offer(quote(t))
	if err != nil {
		t.Fatal(err)
	}
	a := authorization(t, o)
	d, err := asset(t).Domain()
	if err != nil {
		t.Fatal(err)
	}
	good := key(t).Sign(a.Digest(d))
	rapid.Check(t, func(t *rapid.T) {
		sig := good
		bit := rapid.IntRange(0, 65*8-1).Draw(t, "bit")
		sig[bit/8] ^= 1 << (bit % 8)
		if got, err := m.Inspect(credential(o, "c", exactPayload(a, sig.String()))); err == nil {
			t.Fatalf("bit %d: %+v", bit, got)
		}
	})
}

// Whatever the bytes, a refusal is typed, and what is accepted is for us and for
// the amount.
func FuzzInspect(f *testing.F) {
	cfg := facilitator.Config{Asset: asset(f), PayTo: address(f, payee), Client: &world{kind: "{}"}, Now: func() time.Time { return began }}
	m, err := facilitator.New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	o, err := m.Offer(quote(f))
	if err != nil {
		f.Fatal(err)
	}
	good := signExact(f, authorization(f, o))
	f.Add([]byte(good))
	f.Add([]byte(strings.Replace(good, `"x402Version":2`, `"x402Version":1`, 1)))
	f.Add([]byte(`{"payload":{"authorization":null,"signature":null},"x402Version":2}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c := credential(o, "c", string(payload))
		inst, err := m.Inspect(c)
		if err != nil {
			if refusal(t, err).Reason == "" || inst.Fingerprint != "" {
				t.Errorf("%+v, %v", inst, err)
			}
			return
		}
		var p struct {
			Payload struct{ Authorization struct{ To, Value string } }
		}
		if err := json.Unmarshal(payload, &p); err != nil || !strings.EqualFold(p.Payload.Authorization.To, payee) || p.Payload.Authorization.Value != "10000" {
			t.Errorf("accepted: %s, %v", payload, err)
		}
		in, err := m.Prepare(payment.Payment{ID: "pay_1", ChallengeID: "c", Amount: o.Amount}, c)
		if err != nil || !json.Valid(in.Request) {
			t.Errorf("prepare: %v", err)
		}
	})
}

// BenchmarkInspect is the complete offline check of one payment.
func BenchmarkInspect(b *testing.B) {
	cfg := facilitator.Config{Asset: asset(b), PayTo: address(b, payee), Client: &world{kind: "{}"}, Now: func() time.Time { return began }}
	m, err := facilitator.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	o, err := m.Offer(quote(b))
	if err != nil {
		b.Fatal(err)
	}
	c := credential(o, "c", signExact(b, authorization(b, o)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Inspect(c); err != nil {
			b.Fatal(err)
		}
	}
}
