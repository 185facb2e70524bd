package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"paywall/sandbox"
	"paywall/x402/evm"
)

const (
	sepolia = "eip155:84532"
	usdc    = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
	payee   = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
)

// payment is the body of a settlement of units to an address, with its own nonce.
func payment(t testing.TB, to string, units int64, nonce int) string {
	t.Helper()
	key, err := evm.ParseKey(strings.Repeat("11", 32))
	if err != nil {
		t.Fatal(err)
	}
	asset, _ := evm.FindAsset(sepolia, "USDC")
	domain, err := asset.Domain()
	if err != nil {
		t.Fatal(err)
	}
	payTo, err := evm.ParseAddress(strings.ToLower(to))
	if err != nil {
		t.Fatal(err)
	}
	a := evm.Authorization{From: key.Address(), To: payTo, Value: big.NewInt(units), ValidAfter: new(big.Int), ValidBefore: big.NewInt(4102444800), Nonce: evm.Hash{31: byte(nonce)}}
	terms := map[string]any{
		"scheme": "exact", "network": sepolia, "amount": strconv.FormatInt(units, 10), "asset": usdc, "payTo": to, "maxTimeoutSeconds": 60,
		"extra": map[string]any{"name": "USDC", "version": "2"},
	}
	raw, err := json.Marshal(map[string]any{
		"x402Version": 2, "paymentRequirements": terms, "paymentPayload": map[string]any{"x402Version": 2, "accepted": terms, "payload": map[string]any{
			"signature": key.Sign(a.Digest(domain)).String(),
			"authorization": map[string]any{
				"from": a.From.Checksum(), "to": to, "value": strconv.FormatInt(units, 10), "validAfter": "0", "validBefore": "4102444800", "nonce": a.Nonce.String(),
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func (b *box) settle(body string) reply {
	return b.do(http.MethodPost, "/facilitator/settle", "application/json", body)
}

// received is what the audit says the payee got.
func (b *box) received() (n int, units string) {
	for _, s := range b.Audit().Chain.Received {
		if strings.EqualFold(s.To, payee) {
			return s.Transfers, s.Units
		}
	}
	return 0, "0"
}

// Faults of a facilitator: what the client sees, what moved, and what it gets when
// it asks again.
func TestFacilitatorFaults(t *testing.T) {
	for _, tt := range []struct {
		name, fault string
		status      int
		body        string // a part of it
		moved       int
		again       string // a part of the next answer
	}{
		{"lost before", `{"kind":"drop_before"}`, 0, "", 0, `"success":true`},
		{"lost after commit", `{"kind":"drop_after"}`, 0, "", 1, `"success":true`},
		{"truncated", `{"kind":"truncate"}`, 200, `{"amount":"10000"`, 1, `"success":true`},
		{"HTML", `{"kind":"html"}`, 502, "<h1>", 0, `"success":true`},
		{"HTML, moved", `{"kind":"html","moved":true}`, 502, "<h1>", 1, `"success":true`},
		{"unavailable", `{"kind":"status","status":503,"retry_after":2}`, 503, "error", 0, `"success":true`},
		{"too many", `{"kind":"rate_limit","retry_after":2}`, 429, "error", 0, `"success":true`},
		{"an empty object", `{"kind":"answer","body":{}}`, 200, "{}", 0, `"success":true`},
		{"an empty object, moved", `{"kind":"answer","body":{},"moved":true}`, 200, "{}", 1, `"success":true`},
		{"a refusal", `{"kind":"answer","body":{"success":false,"errorReason":"x","transaction":"","network":"n"}}`, 200, `"success":false`, 0, `"success":true`},
		{"a refusal with a status", `{"kind":"answer","status":400,"body":{"success":false,"errorReason":"x","transaction":"","network":"n"}}`, 400, `"success":false`, 0, `"success":true`},
		{"a refusal, moved", `{"kind":"alter","member":"success","value":false}`, 200, `"success":false`, 1, `"success":true`},
		{"success in letters", `{"kind":"alter","member":"success","value":"true"}`, 200, `"success":"true"`, 1, `"success":true`},
		{"another network", `{"kind":"alter","member":"network","value":"eip155:1"}`, 200, `"network":"eip155:1"`, 1, `"network":"` + sepolia},
		{"another payer", `{"kind":"alter","member":"payer","value":"` + payee + `"}`, 200, `"payer":"` + payee, 1, `"success":true`},
		{"another amount", `{"kind":"alter","member":"amount","value":"1"}`, 200, `"amount":"1"`, 1, `"amount":"10000"`},
		{"no transaction", `{"kind":"alter","member":"transaction","value":""}`, 200, `"transaction":""`, 1, `"transaction":"0x`},
		{"a member gone", `{"kind":"alter","member":"success"}`, 200, `"transaction":"0x`, 1, `"success":true`},
		{"pending", `{"kind":"pending"}`, 200, "settlement_pending", 0, `"success":true`},
		{"pending for an hour", `{"kind":"pending","delay_ms":600000}`, 200, "settlement_pending", 0, "settlement_pending"},
		{"pending, moved", `{"kind":"pending","moved":true}`, 200, "settlement_pending", 1, `"success":true`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t, sandbox.Config{Seed: 3})
			b.order(tt.fault[:len(tt.fault)-1] + `,"path":"/facilitator/settle","count":1}`)
			body := payment(t, payee, 10000, 1)
			got := b.settle(body)
			if got.status != tt.status || !strings.Contains(got.body, tt.body) || tt.status == 0 && !errors.Is(got.err, io.EOF) {
				t.Errorf("%d %q %v", got.status, got.body, got.err)
			}
			if tt.name == "a member gone" && strings.Contains(got.body, "success") {
				t.Error(got.body)
			}
			if n, _ := b.received(); n != tt.moved {
				t.Errorf("%d transfers, want %d", n, tt.moved)
			}
			if again := b.settle(body); again.status != 200 || !strings.Contains(again.body, tt.again) {
				t.Errorf("again: %d %s", again.status, again.body)
			}
			if n, _ := b.received(); n != 1 && !strings.Contains(tt.again, "pending") {
				t.Errorf("%d transfers in the end", n)
			}
		})
	}
}

func TestFaults_OfAnswers(t *testing.T) {
	b := newBox(t, sandbox.Config{})
	for _, tt := range []struct{ fault, member string }{
		{`{"kind":"answer"}`, "body"},
		{`{"kind":"alter","value":1}`, "member"},
	} {
		if r := b.control(http.MethodPost, "faults", tt.fault); r.status != http.StatusBadRequest || !strings.Contains(r.body, tt.member) {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	// Members further down, and answers that are no objects.
	b.order(`{"kind":"alter","path":"/facilitator/supported","member":"signers.eip155:*","value":[]}`)
	b.order(`{"kind":"alter","path":"/wallet","member":"x","value":1}`)
	b.order(`{"kind":"alter","path":"/rpc/","member":"result.x.y","value":1}`)
	if r := b.do(http.MethodGet, "/facilitator/supported", "", ""); !strings.Contains(r.body, `"eip155:*":[]`) {
		t.Error(r.body)
	}
	if r := b.do(http.MethodGet, "/wallet", "", ""); !strings.Contains(r.body, "<html") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := b.do(http.MethodPost, "/rpc/84532", "application/json", `{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`); !strings.Contains(r.body, `"result":"0x14a34"`) {
		t.Error(r.body)
	}
}

// The control plane of the chains, and that the clock is one.
func TestChainControl(t *testing.T) {
	b := newBox(t, sandbox.Config{})
	key, _ := evm.ParseKey(strings.Repeat("11", 32))
	payer := key.Address().String()
	for _, tt := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"fund", "fund", `{"network":"eip155:84532","address":"` + payer + `","units":5}`, 200, `"balance": "1000000005"`},
		{"fund in letters", "fund", `{"network":"eip155:84532","address":"` + payer + `","units":"5"}`, 200, `"balance": "1000000010"`},
		{"an exact balance", "fund", `{"network":"eip155:84532","address":"` + payer + `","asset":"USDC","balance":"10000"}`, 200, `"balance": "10000"`},
		{"a fraction", "fund", `{"network":"eip155:84532","address":"` + payer + `","units":0.5}`, 400, "units"},
		{"no network", "fund", `{"address":"` + payer + `","units":5}`, 400, "network"},
		{"an unknown member", "fund", `{"unit":5}`, 400, "unit"},
		{"cancel", "cancel", `{"network":"eip155:84532","address":"` + payer + `","nonce":"0x` + fmt.Sprintf("%064x", 2) + `"}`, 200, `"transaction": "0x`},
		{"cancelled again", "cancel", `{"network":"eip155:84532","address":"` + payer + `","nonce":"0x` + fmt.Sprintf("%064x", 2) + `"}`, 400, "nonce"},
		{"repeat", "facilitator", `{"repeat":"refused"}`, 200, "refused"},
		{"no such repeat", "facilitator", `{"repeat":"never"}`, 400, "repeat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := b.control(http.MethodPost, tt.path, tt.body); r.status != tt.status || !strings.Contains(r.body, tt.want) {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	if r := b.settle(payment(t, payee, 10000, 2)); !strings.Contains(r.body, "nonce_already_used") {
		t.Error(r.body)
	}
	b.order(`{"kind":"pending","path":"/facilitator/settle","delay_ms":60000,"count":1}`)
	if r := b.settle(payment(t, payee, 10000, 1)); !strings.Contains(r.body, "settlement_pending") {
		t.Error(r.body)
	}
	if r := b.control(http.MethodPost, "clock", `{"advance":"1m"}`); r.status != 200 {
		t.Fatal(r.body)
	}
	if n, units := b.received(); n != 1 || units != "10000" {
		t.Errorf("%d transfers of %s", n, units)
	}
	if r := b.settle(payment(t, payee, 10000, 1)); !strings.Contains(r.body, "nonce_already_used") {
		t.Error(r.body)
	}
	audit := b.control(http.MethodGet, "audit", "").decode(t)
	chain, _ := audit["chain"].(map[string]any)
	if chain["total_calls"] != 3.0 || len(chain["transfers"].([]any)) != 1 || len(chain["received"].([]any)) != 1 {
		t.Errorf("%v", chain)
	}
	b.control(http.MethodPost, "reset", "")
	if n, _ := b.received(); n != 0 {
		t.Errorf("%d transfers after a reset", n)
	}
}

// What the facilitator settles to a deposit address of the processor, the
// processor sees: recorded by its hash, or by itself for a waiting intent.
func TestDepositsOnChain(t *testing.T) {
	b := newBox(t, sandbox.Config{SearchLag: -time.Second})
	call := func(method, path, form, key string) reply {
		return b.do(method, path, "application/x-www-form-urlencoded", form,
			"Authorization: Bearer sk_test_sandbox", "Stripe-Version: 2026-05-27.preview", "Idempotency-Key: "+key)
	}
	to, _ := call(http.MethodPost, "/v1/crypto/deposit_addresses", "network=base", "a").decode(t)["address"].(string)
	hash, _ := b.settle(payment(t, to, 12345, 1)).decode(t)["transaction"].(string)
	recorded := call(http.MethodPost, "/v1/payment_intents", "amount=1&currency=usd&confirm=true&payment_method_types[]=crypto&payment_method_data[type]=crypto"+
		"&payment_method_options[crypto][mode]=transaction_verification&payment_method_options[crypto][transaction_verification_options][network]=base"+
		"&payment_method_options[crypto][transaction_verification_options][transaction_hash]="+hash, hash)
	if recorded.status != 200 || recorded.decode(t)["status"] != "succeeded" {
		t.Errorf("%d %s", recorded.status, recorded.body)
	}
	waiting := call(http.MethodPost, "/v1/payment_intents", "amount=50&currency=usd&confirm=true&payment_method_types[]=crypto"+
		"&payment_method_options[crypto][mode]=deposit&payment_method_options[crypto][deposit_options][networks][]=base", "b").decode(t)
	address := waiting["next_action"].(map[string]any)["crypto_display_details"].(map[string]any)["deposit_addresses"].(map[string]any)["base"].(map[string]any)["address"].(string)
	if r := b.settle(payment(t, address, 500_000, 2)); r.status != 200 {
		t.Fatal(r.body)
	}
	a := b.Audit()
	if len(a.Intents) != 2 || a.Intents[0].Transaction != hash || a.Intents[1].Status != "succeeded" || a.Totals.Captured["usd"] != 51 {
		t.Errorf("%+v", a.Intents)
	}
}
