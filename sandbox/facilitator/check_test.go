package facilitator_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/sandbox/facilitator"
	"paywall/x402/evm"
)

// Every rule has a payment that breaks it and no other. Settlement refuses what
// verification refuses, and moves nothing.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, code string
		from       offer
		change     func(*offer)
		wish       facilitator.Wish
		after      time.Duration
	}{
		{name: "good", code: "ok", from: plain()},
		{name: "good, version 1", code: "ok", from: plain(), change: func(o *offer) { o.version, o.network = 1, "base-sepolia" }},
		{name: "good on the main network", code: "ok", from: plain(), change: func(o *offer) {
			o.network, o.chain, o.name, o.asset = "eip155:8453", 8453, "USD Coin", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
		}},
		{name: "spelled in other letters", code: "ok", from: plain(), change: func(o *offer) {
			o.payTo, o.from, o.accepted = strings.ToLower(o.payTo), "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a", map[string]any{"asset": strings.ToLower(o.asset)}
		}},
		{name: "a good permit", code: "ok", from: permitted("exact", "")},

		{name: "version 3", code: "invalid_x402_version", from: plain(), change: func(o *offer) { o.version = 3 }},
		{name: "two versions", code: "invalid_x402_version", from: plain(), change: func(o *offer) { o.payloadVersion = 1 }},
		{name: "an unknown scheme", code: "unsupported_scheme", from: plain(), change: func(o *offer) { o.scheme = "auth-capture" }},
		{name: "upto in version 1", code: "unsupported_scheme", from: permitted("upto", other), change: func(o *offer) { o.version, o.network = 1, "base-sepolia" }},
		{name: "another scheme accepted", code: "invalid_scheme", from: plain(), change: func(o *offer) { o.accepted = map[string]any{"scheme": "upto"} }},
		{name: "another network accepted", code: "invalid_network", from: plain(), change: func(o *offer) { o.accepted = map[string]any{"network": "eip155:8453"} }},
		{name: "a network that is not there", code: "invalid_network", from: plain(), change: func(o *offer) { o.network = "eip155:5" }},
		{name: "no EVM network", code: "invalid_network", from: plain(), change: func(o *offer) { o.network = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp" }},
		{name: "a new name in version 1", code: "invalid_network", from: plain(), change: func(o *offer) { o.version = 1 }},
		{name: "another amount accepted", code: "invalid_payment_requirements", from: plain(), change: func(o *offer) { o.accepted = map[string]any{"amount": "1"} }},
		{name: "another payee accepted", code: "invalid_payment_requirements", from: plain(), change: func(o *offer) { o.accepted = map[string]any{"payTo": other} }},
		{name: "an asset without code", code: "asset_not_deployed_contract", from: plain(), change: func(o *offer) { o.asset = other }},
		{name: "no domain", code: "invalid_exact_evm_missing_eip712_domain", from: plain(), change: func(o *offer) { o.extra = map[string]any{"name": nil} }},
		{name: "the wrong name", code: "invalid_exact_evm_token_name_mismatch", from: plain(), change: func(o *offer) { o.name = "USD Coin" }},
		{name: "the wrong domain version", code: "invalid_exact_evm_token_version_mismatch", from: plain(), change: func(o *offer) { o.domain = "1" }},
		{name: "another payee signed", code: "invalid_exact_evm_payload_recipient_mismatch", from: plain(), change: func(o *offer) { o.to = other }},
		{name: "less signed", code: "invalid_exact_evm_payload_authorization_value_mismatch", from: plain(), change: func(o *offer) { o.asked, o.accepted = "10001", map[string]any{"amount": "10001"} }},
		{name: "more signed", code: "invalid_exact_evm_payload_authorization_value_mismatch", from: plain(), change: func(o *offer) { o.asked, o.accepted = "9999", map[string]any{"amount": "9999"} }},
		{name: "signed for another chain", code: "invalid_exact_evm_payload_signature", from: plain(), change: func(o *offer) { o.chain = 8453 }},
		{name: "signed by another", code: "invalid_exact_evm_payload_signature", from: plain(), change: func(o *offer) { o.from = other }},
		{name: "no signature", code: "invalid_exact_evm_payload_signature", from: plain(), change: func(o *offer) { o.signature = "0x" + strings.Repeat("00", 65) }},
		{name: "a short signature", code: "invalid_payload", from: plain(), change: func(o *offer) { o.signature = "0x" + strings.Repeat("00", 64) }},
		{name: "over in five seconds", code: "invalid_exact_evm_payload_authorization_valid_before", from: plain(), change: func(o *offer) { o.before = start.Unix() + 5 }},
		{name: "over in six seconds", code: "ok", from: plain(), change: func(o *offer) { o.before = start.Unix() + 6 }},
		{name: "over by the sandbox's clock", code: "invalid_exact_evm_payload_authorization_valid_before", from: plain(), after: time.Hour},
		{name: "good in a second", code: "invalid_exact_evm_payload_authorization_valid_after", from: plain(), change: func(o *offer) { o.after = start.Unix() + 1 }},
		{name: "too poor", code: "insufficient_funds", from: plain(), wish: facilitator.Wish{Balance: "9999"}},
		{name: "just rich enough", code: "ok", from: plain(), wish: facilitator.Wish{Balance: "10000"}},

		{name: "permits want their method", code: "invalid_payload", from: permitted("exact", ""), change: func(o *offer) { o.extra = map[string]any{"assetTransferMethod": nil} }},
		{name: "authorizations do not", code: "invalid_payload", from: plain(), change: func(o *offer) { o.extra = map[string]any{"assetTransferMethod": "permit2"} }},
		{name: "another spender", code: "invalid_permit2_spender", from: permitted("exact", ""), change: func(o *offer) { o.spender = other }},
		{name: "another payee permitted", code: "invalid_permit2_recipient_mismatch", from: permitted("exact", ""), change: func(o *offer) { o.to = other }},
		{name: "another amount permitted", code: "permit2_amount_mismatch", from: permitted("exact", ""), change: func(o *offer) { o.asked, o.accepted = "9999", map[string]any{"amount": "9999"} }},
		{name: "a permit that is over", code: "permit2_deadline_expired", from: permitted("exact", ""), change: func(o *offer) { o.before = start.Unix() + 5 }},
		{name: "a permit that is early", code: "permit2_not_yet_valid", from: permitted("exact", ""), change: func(o *offer) { o.after = start.Unix() + 1 }},
		{name: "a permit of another chain", code: "invalid_permit2_signature", from: permitted("exact", ""), change: func(o *offer) { o.chain = 1 }},
		{name: "no allowance", code: "permit2_allowance_required", from: permitted("exact", ""), wish: facilitator.Wish{Allowance: "9999"}},
		{name: "a poor permit", code: "insufficient_funds", from: permitted("exact", ""), wish: facilitator.Wish{Balance: "0"}},
		{name: "another facilitator", code: "upto_facilitator_mismatch", from: permitted("upto", other)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, facilitator.Config{})
			if tt.wish != (facilitator.Wish{}) {
				tt.wish.Network, tt.wish.Address = sepolia, h.key.Address().String()
				if _, err := h.Fund(tt.wish); err != nil {
					t.Fatal(err)
				}
			}
			o := tt.from
			if tt.change != nil {
				tt.change(&o)
			}
			h.clock.advance(tt.after)
			for _, path := range []string{"/facilitator/verify", "/facilitator/settle"} {
				r := h.post(path, h.body(o))
				if r.verdict() != tt.code || r.status != http.StatusOK {
					t.Errorf("%s: %d %s", path, r.status, r.raw)
				}
			}
			want := 0
			if tt.code == "ok" {
				want = 1
			}
			if n := len(h.Audit(10).Transfers); n != want {
				t.Errorf("%d transfers, want %d", n, want)
			}
		})
	}
}

// A verification changes nothing.
func TestVerify_ReadsOnly(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	for range 3 {
		if r := h.verify(plain()); r.verdict() != "ok" || r.body["payer"] != h.key.Address().Checksum() {
			t.Fatal(r.raw)
		}
	}
	if a := h.Audit(10); len(a.Transfers)+len(a.Balances) != 0 || len(a.Calls) != 3 || a.Calls[0].Body != a.Calls[2].Body || a.Calls[0].Outcome != "valid" {
		t.Errorf("%+v", a)
	}
}

func TestBodies_Malformed(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	good := h.body(plain())
	change := func(old, replacement string) string {
		t.Helper()
		changed := strings.Replace(good, old, replacement, 1)
		if changed == good {
			t.Fatalf("%q is not in %s", old, good)
		}
		return changed
	}
	for _, tt := range []struct {
		name, body string
		status     int
	}{
		{"nothing", "", 400},
		{"no object", "[]", 400},
		{"empty", "{}", 400},
		{"cut", good[:len(good)/2], 400},
		{"two", good + good, 400},
		{"large", strings.Repeat(" ", 300<<10) + good, 400},
		{"a number for a string", change(`"value":"10000"`, `"value":10000`), 400},
		{"a sign", change(`"value":"10000"`, `"value":"+10000"`), 200},
		{"leading zeros", change(`"value":"10000"`, `"value":"010000"`), 200},
		{"hexadecimal", change(`"value":"10000"`, `"value":"0x2710"`), 200},
		{"2^256", change(`"value":"10000"`, `"value":"115792089237316195423570985008687907853269984665640564039457584007913129639936"`), 200},
		{"a short nonce", change(`"nonce":"0xab`, `"nonce":"0x`), 200},
		{"no address", change(`"from":"0x`, `"from":"1x`), 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"/facilitator/verify", "/facilitator/settle"} {
				if r := h.post(path, tt.body); r.status != tt.status || r.verdict() != "invalid_payload" {
					t.Errorf("%s: %d %s", path, r.status, r.raw)
				}
			}
		})
	}
}

// What is read of a body does not depend on the order and spacing of its members,
// and no number outside the chain's range gets in.
func FuzzRead(f *testing.F) {
	h := newHouse(f, facilitator.Config{})
	old := plain()
	old.version, old.network = 1, "base"
	for _, o := range []offer{plain(), old, permitted("exact", ""), permitted("upto", h.Address())} {
		f.Add([]byte(h.body(o)))
	}
	f.Add([]byte(`{"x402Version":2,"paymentPayload":{"payload":{}},"paymentRequirements":{}}`))
	limit := new(big.Int).Lsh(big.NewInt(1), 256)
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := facilitator.Read(body)
		if err != nil {
			return
		}
		if n, ok := new(big.Int).SetString(got.Amount, 10); !ok || n.Sign() < 0 || n.Cmp(limit) >= 0 {
			t.Errorf("amount %s", got.Amount)
		}
		if _, err := evm.ParseAddress(strings.ToLower(got.Payer)); err != nil {
			t.Errorf("payer %q: %v", got.Payer, err)
		}
		// Names that differ in case only, or come twice, are one for the decoder and
		// two for a map: such bodies have no order to change.
		var members any
		if dec := json.NewDecoder(bytes.NewReader(body)); dec.Decode(&members) != nil || ambiguous(json.NewDecoder(bytes.NewReader(body))) {
			return
		}
		spaced, err := json.MarshalIndent(members, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := facilitator.Read(spaced); err != nil || again != got {
			t.Errorf("%+v, then %+v, %v", got, again, err)
		}
	})
}

// ambiguous reports whether an object has two members whose names are equal but for case.
func ambiguous(dec *json.Decoder) bool {
	token, err := dec.Token()
	if err != nil {
		return true
	}
	switch token {
	case json.Delim('{'):
		seen := make(map[string]bool)
		for dec.More() {
			name, err := dec.Token()
			text, ok := name.(string)
			if err != nil || !ok || seen[strings.ToLower(text)] {
				return true
			}
			seen[strings.ToLower(text)] = true
			if ambiguous(dec) {
				return true
			}
		}
	case json.Delim('['):
		for dec.More() {
			if ambiguous(dec) {
				return true
			}
		}
	default:
		return false
	}
	_, err = dec.Token()
	return err != nil
}
