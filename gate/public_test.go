package gate_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"paywall/gate"
	rail "paywall/methods/facilitator"
	"paywall/payment"
	"paywall/x402"
	"paywall/x402/evm"
	client "paywall/x402/facilitator"
)

// coins is a facilitator that says yes to everything.
type coins struct{ verifies, settles atomic.Int64 }

func (c *coins) Pick(int, string, string) (string, json.RawMessage, error) {
	return "first", json.RawMessage(`{}`), nil
}

func payerOf(body []byte) string {
	var b struct {
		P struct {
			P struct {
				A struct {
					From string `json:"from"`
				} `json:"authorization"`
			} `json:"payload"`
		} `json:"paymentPayload"`
	}
	_ = json.Unmarshal(body, &b)
	return b.P.P.A.From
}

func (c *coins) Verify(_ context.Context, _ string, body []byte) (client.Reply, error) {
	c.verifies.Add(1)
	b, _ := json.Marshal(map[string]any{"isValid": true, "payer": payerOf(body)})
	return client.Reply{Status: 200, Body: b}, nil
}

func (c *coins) Settle(_ context.Context, _ string, body []byte) (client.Reply, error) {
	c.settles.Add(1)
	b, _ := json.Marshal(map[string]any{"success": true, "payer": payerOf(body), "transaction": "0xabc", "network": "eip155:84532"})
	return client.Reply{Status: 200, Body: b}, nil
}

func coinHouse(t *testing.T, opts ...option) (*house, *coins) {
	t.Helper()
	c := &coins{}
	var cl rail.Client = c
	if wrapCoins != nil {
		cl = wrapCoins(c)
	}
	asset, _ := evm.FindAsset("eip155:84532", "USDC")
	payTo, err := evm.ParseAddress("0x209693Bc6afc0C5328bA36FaF03C514EF312287C")
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, append([]option{func(gc *gate.Config, pc *payment.Config) {
		m, err := rail.New(rail.Config{Asset: asset, PayTo: payTo, Client: cl, Now: pc.Now})
		if err != nil {
			t.Fatal(err)
		}
		p, err := x402.New(x402.Config{Origin: "https://" + realm})
		if err != nil {
			t.Fatal(err)
		}
		gc.Methods, pc.Methods, gc.Protocols = []payment.Method{m}, []payment.Method{m}, []payment.Protocol{p}
	}}, opts...)...)
	return h, c
}

// signed is a PAYMENT-SIGNATURE for a challenge, and the calldata it will be on the chain.
func signed(t *testing.T, h *house, router http.Handler) (string, evm.Authorization, evm.Signature) {
	t.Helper()
	w := do(router, request(t, http.MethodGet, "/r", ""))
	var need x402.PaymentRequired
	if err := x402.Decode(w.Header().Get(x402.HeaderRequired), &need); err != nil {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	key, err := evm.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	asset, _ := evm.FindAsset("eip155:84532", "USDC")
	domain, _ := asset.Domain()
	value, _ := evm.ParseUint(need.Accepts[0].Amount)
	to, _ := evm.ParseAddress(need.Accepts[0].PayTo)
	a := evm.Authorization{From: key.Address(), To: to, Value: value, ValidAfter: new(big.Int), ValidBefore: big.NewInt(h.clock.Now().Add(5 * time.Minute).Unix())}
	_, _ = rand.Read(a.Nonce[:])
	sig := key.Sign(a.Digest(domain))
	return fieldOf(t, need.Accepts[0], a, sig), a, sig
}

// present makes the field from what the chain shows to everybody.
func fieldOf(t *testing.T, need x402.PaymentRequirements, a evm.Authorization, sig evm.Signature) string {
	t.Helper()
	payload, _ := json.Marshal(map[string]any{"signature": sig.String(), "authorization": map[string]string{
		"from": a.From.String(), "to": a.To.String(), "value": a.Value.String(), "validAfter": a.ValidAfter.String(), "validBefore": a.ValidBefore.String(), "nonce": a.Nonce.String(),
	}})
	f, err := x402.Encode(x402.PaymentPayload{Version: 2, Accepted: need, Payload: payload})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func with(r *http.Request, field, addr string) *http.Request {
	r.Header.Set("PAYMENT-SIGNATURE", field)
	if addr != "" {
		r.RemoteAddr = addr
	}
	return r
}

// What is settled is on the chain, signature and all: whoever reads it there must not get
// what the payer got.
func TestStablecoin_ChainReaderCollects(t *testing.T) {
	for _, settle := range []string{gate.SettleHold, gate.SettleBefore} {
		t.Run(settle, func(t *testing.T) {
			h, _ := coinHouse(t)
			h.api.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the secret report")) })
			router := h.route(gate.Route{Settle: settle})
			field, a, sig := signed(t, h, router)
			if w := do(router, with(request(t, "GET", "/r", ""), field, "192.0.2.1:1")); w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			h.clock.add(10 * time.Minute) // long after it was mined, and after validBefore
			// A stranger: the 402 is public, and the rest is the calldata of the transfer.
			w := do(router, request(t, "GET", "/r", ""))
			var need x402.PaymentRequired
			if err := x402.Decode(w.Header().Get(x402.HeaderRequired), &need); err != nil {
				t.Fatal(err)
			}
			w = do(router, with(request(t, "GET", "/r", ""), fieldOf(t, need.Accepts[0], a, sig), "203.0.113.9:9"))
			if w.Code == 200 {
				t.Errorf("a reader of the chain has %q, receipt %t, payment %s", w.Body, w.Header().Get("Paywall-Receipt") != "", w.Header().Get("Paywall-Payment-Id"))
			}
		})
	}
}

// The goods that were paid for and not delivered yet.
func TestStablecoin_ChainReaderTakesWhatIsOwed(t *testing.T) {
	h, _ := coinHouse(t)
	h.api.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	router := h.route(gate.Route{Settle: gate.SettleBefore})
	field, a, sig := signed(t, h, router)
	if w := do(router, with(request(t, "GET", "/r", ""), field, "192.0.2.1:1")); w.Code != 502 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	h.api.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the goods")) })
	h.clock.add(time.Hour)
	w := do(router, request(t, "GET", "/r", ""))
	var need x402.PaymentRequired
	_ = x402.Decode(w.Header().Get(x402.HeaderRequired), &need)
	w = do(router, with(request(t, "GET", "/r", ""), fieldOf(t, need.Accepts[0], a, sig), "203.0.113.9:9"))
	if w.Code == 200 {
		t.Errorf("stranger has %q; payment is %s", w.Body, h.only().Delivery)
	}
}

// One payer without a cent moved makes the upstream work as often as it likes.
func TestStablecoin_HeldWorkForNothing(t *testing.T) {
	h, c := coinHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Limits = gate.Limits{} }) // the defaults
	router := h.route(gate.Route{})
	var ran atomic.Int64
	limited := 0
	for range 300 {
		field, _, _ := signed(t, h, router)
		ctx, cancel := context.WithCancel(t.Context())
		h.api.set(func(w http.ResponseWriter, _ *http.Request) {
			ran.Add(1)
			cancel()
			_, _ = w.Write([]byte("dear work"))
		})
		w := httptest.NewRecorder()
		router.ServeHTTP(w, with(request(t, "GET", "/r", ""), field, "203.0.113.9:9").WithContext(ctx))
		if w.Code == 429 {
			limited++
		}
		h.clock.add(100 * time.Millisecond) // ten a second
	}
	if ran.Load() > 60 {
		t.Errorf("%d runs of the upstream in 30 s by one client, %d settlements, %d limited", ran.Load(), c.settles.Load(), limited)
	}
}

var wrapCoins func(*coins) rail.Client

// One answer of a third party stops everything that is sold, until a person comes.
func TestStablecoin_OneForbiddenStopsTheShop(t *testing.T) {
	wrapCoins = func(c *coins) rail.Client { return forbidding{c} }
	defer func() { wrapCoins = nil }()
	h, _ := coinHouse(t)
	router := h.route(gate.Route{})
	field, _, _ := signed(t, h, router)
	w := do(router, with(request(t, "GET", "/r", ""), field, ""))
	if why := h.processor.Paused(t.Context()); why != "" {
		t.Errorf("answered %d; settlement of every rail is paused: %s", w.Code, why)
	}
}
