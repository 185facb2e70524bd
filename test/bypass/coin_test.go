package bypass

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/methods/facilitator"
	"paywall/x402"
	"paywall/x402/evm"
	calls "paywall/x402/facilitator"
)

const (
	coinNetwork = "eip155:84532"
	coinPayee   = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
	coinPrices  = 1_000_000 // units of a dollar
)

// yes is a facilitator that settles whatever it is asked to, and remembers it. The
// house must not believe in it: what is forged has to be refused before.
type yes struct {
	mu    sync.Mutex // guards asked
	asked map[string]int
}

// Pick implements [facilitator.Client].
func (*yes) Pick(int, string, string) (string, json.RawMessage, error) { return "yes", nil, nil }

// Verify implements [facilitator.Client].
func (y *yes) Verify(_ context.Context, _ string, body []byte) (calls.Reply, error) {
	payer, _ := y.heard(body)
	return calls.Reply{Status: http.StatusOK, Body: fmt.Appendf(nil, `{"isValid":true,"payer":%q}`, payer)}, nil
}

// Settle implements [facilitator.Client].
func (y *yes) Settle(_ context.Context, _ string, body []byte) (calls.Reply, error) {
	payer, nonce := y.heard(body)
	return calls.Reply{Status: http.StatusOK, Body: fmt.Appendf(nil, `{"success":true,"transaction":%q,"network":%q,"payer":%q}`, nonce, coinNetwork, payer)}, nil
}

func (y *yes) heard(body []byte) (payer, nonce string) {
	var in struct {
		PaymentPayload struct {
			Payload struct {
				Authorization struct{ From, Nonce string }
			}
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return "", ""
	}
	a := in.PaymentPayload.Payload.Authorization
	y.mu.Lock()
	defer y.mu.Unlock()
	y.asked[a.Nonce]++
	return a.From, a.Nonce
}

func coinRail(t *testing.T, y *yes) *facilitator.Method {
	t.Helper()
	asset, ok := evm.FindAsset(coinNetwork, "USDC")
	if !ok {
		t.Fatal("no USDC")
	}
	payTo, err := evm.ParseAddress(coinPayee)
	must(t, err)
	m, err := facilitator.New(facilitator.Config{Asset: asset, PayTo: payTo, Client: y})
	must(t, err)
	return m
}

// A credential over x402, from what a thief writes into it.
type coin struct {
	price  int64 // cents that its accepted entry says
	value  int64 // cents that are signed
	key    byte  // who signs
	from   byte  // who is said to
	to     string
	end    int64 // unix time
	before bool  // of the flow that takes the money first
	nonce  byte
}

func coinKey(n byte) evm.Key {
	k, err := evm.ParseKey("0x" + strings.Repeat(fmt.Sprintf("%02x", n), 32))
	if err != nil {
		panic(err) // a constant
	}
	return k
}

// farEnd is in the year 2100.
const farEnd = 4_102_444_800

// good pays the cheap price, rightly.
func good(nonce byte, before bool) coin {
	return coin{price: 60, value: 60, key: 1, from: 1, to: coinPayee, end: farEnd, before: before, nonce: nonce}
}

// payload is what is signed, as both versions carry it.
func (c coin) payload() json.RawMessage {
	asset, _ := evm.FindAsset(coinNetwork, "USDC")
	to, err := evm.ParseAddress(c.to)
	if err != nil {
		panic(err) // a constant
	}
	domain, err := asset.Domain()
	if err != nil {
		panic(err) // a constant
	}
	a := evm.Authorization{
		From: coinKey(c.from).Address(), To: to, Value: big.NewInt(c.value * coinPrices / 100),
		ValidAfter: new(big.Int), ValidBefore: big.NewInt(c.end), Nonce: evm.Hash{c.nonce},
	}
	return encoded(map[string]any{
		"signature": coinKey(c.key).Sign(a.Digest(domain)).String(),
		"authorization": map[string]string{
			"from": a.From.Checksum(), "to": a.To.Checksum(), "value": a.Value.String(),
			"validAfter": "0", "validBefore": a.ValidBefore.String(), "nonce": a.Nonce.String(),
		},
	})
}

func encoded(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of plain values
	}
	return b
}

func field(v any) string {
	s, err := x402.Encode(v)
	if err != nil {
		panic(err) // of plain values
	}
	return s
}

func (c coin) v2() string {
	asset, _ := evm.FindAsset(coinNetwork, "USDC")
	need := x402.PaymentRequirements{
		Scheme: x402.SchemeExact, Network: coinNetwork, Amount: strconv.FormatInt(c.price*coinPrices/100, 10), Asset: asset.Contract.Checksum(), PayTo: coinPayee,
		MaxTimeoutSeconds: 300, Extra: map[string]json.RawMessage{"name": encoded(asset.Name), "version": encoded(asset.Version)},
	}
	if c.before {
		need.Extra[x402.ExtraFlow] = encoded(x402.FlowUpfront)
	}
	return field(x402.PaymentPayload{Version: x402.V2, Accepted: need, Payload: c.payload()})
}

func (c coin) v1() string {
	return field(x402.PayloadV1{Version: x402.V1, Scheme: x402.SchemeExact, Network: "base-sepolia", Payload: c.payload()})
}

// Nonces of the credentials that are good for the cheap price, once each.
const (
	goodHeld byte = 0xc0 + iota
	goodBefore
	goodV1
	goodBeside
	badNonce
)

// coinSets are lines that say that x402 has paid: forged in every way, or good for
// the cheap price and for nothing else.
var coinSets = sync.OnceValue(func() [][]string {
	forged := func(change func(*coin)) coin {
		c := good(badNonce, false)
		c.price, c.value = 5000, 5000
		change(&c)
		return c
	}
	bad := []coin{
		forged(func(c *coin) { c.key = 2 }),                                            // somebody else's money
		forged(func(c *coin) { c.to = "0x000000000000000000000000000000000000dEaD" }),  // somebody else is paid
		forged(func(c *coin) { c.value = 60 }),                                         // less is paid than is asked
		forged(func(c *coin) { c.price, c.value = 60, 1 }),                             // less than the cheap price
		forged(func(c *coin) { c.end = 1 }),                                            // too late
		forged(func(c *coin) { c.key, c.before = 2, true }),                            // the flow of a POST
		forged(func(c *coin) { c.value, c.to = 0, coinPayee }),                         // nothing is paid
		forged(func(c *coin) { c.price, c.value, c.key, c.from = 60, 60, 3, byte(4) }), // the cheap price, with somebody else's money
		forged(func(c *coin) { c.price, c.value, c.end = 60, 60, time.Time{}.Unix() }), // the cheap price, before all times
	}
	sets := [][]string{
		{"PAYMENT-SIGNATURE: x"},
		{"PAYMENT-SIGNATURE:"},
		{"X-PAYMENT: e30="},
		{"PAYMENT-SIGNATURE: e30=", "PAYMENT-SIGNATURE: e30="},
		{"PAYMENT-RESPONSE: " + field(x402.SettleResponse{Success: true, Transaction: "0x1", Network: coinNetwork})},
		{"X-PAYMENT-RESPONSE: " + field(x402.SettleResponse{Success: true, Transaction: "0x1", Network: coinNetwork}), "PAYMENT-REQUIRED: e30="},
		{"SIGN-IN-WITH-X: e30=", "Settlement-Overrides: e30=", "EXTENSION-RESPONSES: e30="},
		{"PAYMENT-SIGNATURE: " + good(goodHeld, false).v2()},
		{"PAYMENT-SIGNATURE: " + good(goodBefore, true).v2()},
		{"X-PAYMENT: " + good(goodV1, false).v1()},
		{"PAYMENT-SIGNATURE: " + bad[0].v2(), "X-PAYMENT: " + good(goodBeside, false).v1()},
		{"PAYMENT_SIGNATURE: " + good(goodBeside, false).v2(), "X_PAYMENT: " + good(goodBeside, false).v1()},
		{"Connection: PAYMENT-SIGNATURE", "PAYMENT-SIGNATURE: " + bad[0].v2()},
	}
	for i, c := range bad {
		if sets = append(sets, []string{"PAYMENT-SIGNATURE: " + c.v2()}); i%3 == 0 {
			sets = append(sets, []string{"X-PAYMENT: " + c.v1()})
		}
	}
	return sets
})

// checkCoins demands that the facilitator was asked for what is good alone: of what
// is forged it has never heard.
func (h *house) checkCoins(t *testing.T) {
	t.Helper()
	h.coins.mu.Lock()
	defer h.coins.mu.Unlock()
	for _, nonce := range []byte{goodHeld, goodBefore, goodV1} {
		name := evm.Hash{nonce}.String()
		if h.coins.asked[name] == 0 {
			t.Errorf("the good credential %x has paid for nothing", nonce)
		}
		delete(h.coins.asked, name)
	}
	for nonce, n := range h.coins.asked {
		t.Errorf("the facilitator was asked %d times for the nonce %s, which is no good payment's", n, nonce)
	}
}
