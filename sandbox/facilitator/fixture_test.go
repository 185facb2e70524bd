package facilitator_test

import (
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/sandbox/facilitator"
	"paywall/x402/evm"
)

const (
	sepolia = "eip155:84532"
	coin    = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
	payee   = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
	other   = "0xd407e409E34E0b9afb99EcCeb609bDbcD5e7f1bf"
)

var start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// clock is set by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type house struct {
	*facilitator.Server

	t     testing.TB
	clock *clock
	key   evm.Key
}

func newHouse(t testing.TB, cfg facilitator.Config) *house {
	t.Helper()
	c := &clock{at: start}
	cfg.Now = c.now
	s, err := facilitator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	key, err := evm.ParseKey(strings.Repeat("11", 32))
	if err != nil {
		t.Fatal(err)
	}
	return &house{s, t, c, key}
}

// An offer is a payment before it is signed. Changes to it are made by tests.
type offer struct {
	version        int
	scheme         string
	network        string
	asset, payTo   string
	amount, asked  string // signed, and asked for
	name, domain   string // of the token
	chain          uint64
	from, to       string
	after, before  int64
	nonce          string // 64 hexadecimal digits; of permits decimal
	permit         bool
	spender, by    string
	accepted       map[string]any // replaces members of the client's copy
	extra          map[string]any // replaces members of extra
	payloadVersion int
	signature      string // replaces the signature
	resource       string
}

func plain() offer {
	return offer{
		version: 2, scheme: "exact", network: sepolia, asset: coin, payTo: payee, amount: "10000", name: "USDC", domain: "2", chain: 84532,
		to: payee, before: start.Add(time.Hour).Unix(), nonce: strings.Repeat("ab", 32),
	}
}

func permitted(scheme, by string) offer {
	o := plain()
	o.scheme, o.permit, o.nonce, o.by = scheme, true, "77", by
	o.spender = evm.PermitExact.Spender().String()
	if scheme == "upto" {
		o.spender = evm.PermitUpto.Spender().String()
	}
	return o
}

func address(t testing.TB, s string) evm.Address {
	t.Helper()
	a, err := evm.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func number(t testing.TB, s string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return n
}

// sign makes the scheme's payload.
func (h *house) sign(o offer) map[string]any {
	h.t.Helper()
	if o.from == "" {
		o.from = h.key.Address().Checksum()
	}
	text := func(n int64) string { return strconv.FormatInt(n, 10) }
	if o.permit {
		p := evm.Permit{
			From: address(h.t, o.from), Token: address(h.t, o.asset), Amount: number(h.t, o.amount), Spender: address(h.t, o.spender),
			Nonce: number(h.t, o.nonce), Deadline: big.NewInt(o.before), To: address(h.t, o.to), ValidAfter: big.NewInt(o.after),
		}
		witness := map[string]any{"to": o.to, "validAfter": text(o.after)}
		if o.scheme == "upto" {
			p.Kind, p.Facilitator = evm.PermitUpto, address(h.t, o.by)
			witness["facilitator"] = o.by
		}
		return map[string]any{"signature": h.key.Sign(p.Digest(o.chain)).String(), "permit2Authorization": map[string]any{
			"permitted": map[string]any{"token": o.asset, "amount": o.amount}, "from": o.from, "spender": o.spender, "nonce": o.nonce,
			"deadline": text(o.before), "witness": witness,
		}}
	}
	nonce, err := evm.ParseHash("0x" + o.nonce)
	if err != nil {
		h.t.Fatal(err)
	}
	a := evm.Authorization{
		From: address(h.t, o.from), To: address(h.t, o.to), Value: number(h.t, o.amount), ValidAfter: big.NewInt(o.after),
		ValidBefore: big.NewInt(o.before), Nonce: nonce,
	}
	d := evm.Domain{Name: o.name, Version: o.domain, ChainID: o.chain, Contract: address(h.t, o.asset)}
	return map[string]any{"signature": h.key.Sign(a.Digest(d)).String(), "authorization": map[string]any{
		"from": o.from, "to": o.to, "value": o.amount, "validAfter": text(o.after), "validBefore": text(o.before), "nonce": "0x" + o.nonce,
	}}
}

// body is the request for an offer.
func (h *house) body(o offer) string {
	h.t.Helper()
	payload := h.sign(o)
	if o.signature != "" {
		payload["signature"] = o.signature
	}
	asked := o.asked
	if asked == "" {
		asked = o.amount
	}
	extra := map[string]any{"name": o.name, "version": o.domain}
	if o.permit {
		extra["assetTransferMethod"] = "permit2"
	}
	if o.scheme == "upto" {
		extra["facilitatorAddress"] = o.by
	}
	for k, v := range o.extra {
		if extra[k] = v; v == nil {
			delete(extra, k)
		}
	}
	terms := func(amount string) map[string]any {
		return map[string]any{"scheme": o.scheme, "network": o.network, "amount": amount, "asset": o.asset, "payTo": o.payTo, "maxTimeoutSeconds": 300, "extra": extra}
	}
	requirements := terms(asked)
	signed := map[string]any{"x402Version": o.version, "payload": payload}
	if o.payloadVersion != 0 {
		signed["x402Version"] = o.payloadVersion
	}
	if o.version == 1 {
		delete(requirements, "amount")
		requirements["maxAmountRequired"], requirements["resource"] = asked, "https://shop.example/report"
		signed["scheme"], signed["network"] = o.scheme, o.network
	} else {
		accepted := terms(o.amount)
		maps.Copy(accepted, o.accepted)
		signed["accepted"] = accepted
		if o.resource != "" {
			signed["resource"] = map[string]any{"url": o.resource}
			signed["extensions"] = map[string]any{"bazaar": map[string]any{"info": map[string]any{"input": map[string]any{"type": "http", "method": "GET"}}}}
		}
	}
	raw, err := json.Marshal(map[string]any{"x402Version": o.version, "paymentPayload": signed, "paymentRequirements": requirements})
	if err != nil {
		h.t.Fatal(err)
	}
	return string(raw)
}

type reply struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (h *house) do(r *http.Request) reply {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	out := reply{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), &out.body); err != nil && !strings.HasPrefix(out.raw, "[") {
		h.t.Errorf("%d %q: %v", w.Code, out.raw, err)
	}
	return out
}

func (h *house) post(path, body string) reply {
	h.t.Helper()
	return h.do(httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
}

func (h *house) get(path string) reply {
	h.t.Helper()
	return h.do(httptest.NewRequest(http.MethodGet, path, http.NoBody))
}

// verdict is true, or the code of a refusal.
func (r reply) verdict() string {
	for _, name := range []string{"isValid", "success"} {
		if ok, is := r.body[name].(bool); is && ok {
			return "ok"
		}
	}
	for _, name := range []string{"invalidReason", "errorReason"} {
		if code, ok := r.body[name].(string); ok {
			return code
		}
	}
	return "neither: " + r.raw
}

func (h *house) settle(o offer) reply {
	h.t.Helper()
	return h.post("/facilitator/settle", h.body(o))
}

func (h *house) verify(o offer) reply {
	h.t.Helper()
	return h.post("/facilitator/verify", h.body(o))
}

// received is what the payee got: number of transfers, and units.
func (h *house) received() (int, string) {
	for _, s := range h.Audit(1000).Received {
		if strings.EqualFold(s.To, payee) {
			return s.Transfers, s.Units
		}
	}
	return 0, "0"
}
