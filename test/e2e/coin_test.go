package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"paywall/payment"
	"paywall/sandbox"
	"paywall/x402"
	"paywall/x402/evm"
)

// What a world takes stablecoins on, and who is paid.
const (
	coinNetwork = "eip155:84532"
	coinPayee   = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
)

// takeCoins has the world take stablecoins, too, through the sandbox's facilitator.
// With node, what was lost is looked up on the chain.
func (w *world) takeCoins(node bool) {
	w.t.Helper()
	chain := ""
	if node {
		chain = `, node: "` + w.sandbox + `/rpc/84532"`
	}
	w.edit("upstreams:\n", `  facilitator: {network: "`+coinNetwork+`", pay_to: "`+coinPayee+`", url: "`+w.sandbox+`/facilitator"`+chain+"}\nupstreams:\n")
}

// spring puts the clocks of seller and chain forward together. d is from the start
// of the world for the seller, more from now for the chain.
func (w *world) spring(d, more time.Duration) {
	w.t.Helper()
	w.control(http.MethodPost, "/_sandbox/clock", map[string]string{"advance": more.String()}, http.StatusOK)
	w.advance(d)
}

// received is what the seller has got on the chain, in the token's units.
func received(t *testing.T, r sandbox.Report) (units int64) {
	t.Helper()
	for _, sum := range r.Chain.Received {
		if sum.Network != coinNetwork || !strings.EqualFold(sum.To, coinPayee) {
			t.Errorf("the chain has moved money to a stranger: %+v", sum)
			continue
		}
		n, err := strconv.ParseInt(sum.Units, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		units += n
	}
	return units
}

// transferred is how often money moved on the chain in the transaction.
func transferred(r sandbox.Report, transaction string) (n int) {
	for _, tr := range r.Chain.Transfers {
		if transaction != "" && tr.Transaction == transaction {
			n++
		}
	}
	return n
}

// coinRows checks every payment in stablecoins against the chain: what is settled,
// or was, has one transfer of its amount; nothing else has any, and nothing was
// taken twice. It returns the rows.
func (w *world) coinRows() []row {
	w.t.Helper()
	audit := w.audit()
	paid := 0
	var rows []row
	for _, r := range w.payments() {
		if r.Method != "facilitator" {
			continue
		}
		rows = append(rows, r)
		switch n := transferred(audit, r.Reference); {
		case r.SettledAt != nil && n != 1:
			w.t.Errorf("%s %s (%s) was settled, with %d transfers under %q", r.ID, r.position(), r.Reason, n, r.Reference)
		case r.SettledAt != nil:
			paid++
		case r.State == payment.StateSettled:
			w.t.Errorf("%s is settled and has no time of it", r.ID)
		}
	}
	if len(audit.Chain.Transfers) != paid {
		w.t.Errorf("%d transfers for %d settled payments", len(audit.Chain.Transfers), paid)
	}
	return rows
}

// coiner pays with stablecoins from a key of its own.
type coiner struct {
	key evm.Key
	// v1 speaks the old version of the protocol.
	v1 bool
}

func newCoiner(t *testing.T) *coiner {
	t.Helper()
	key, err := evm.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &coiner{key: key}
}

// newCoinAgent pays over x402, from a key that nobody else has.
func newCoinAgent(t *testing.T) *agent {
	t.Helper()
	return newCoiner(t).agent()
}

func (c *coiner) agent() *agent {
	return &agent{client: plain(), prove: func(_ context.Context, asked answer) (proof, error) { return c.prove(asked) }}
}

var errNoCoins = errors.New("the 402 asks for no stablecoins")

func (c *coiner) prove(asked answer) (proof, error) {
	if c.v1 {
		return c.proveV1(asked)
	}
	var required x402.PaymentRequired
	if err := x402.Decode(asked.header.Get(x402.HeaderRequired), &required); err != nil {
		return proof{}, fmt.Errorf("%d %s: %w", asked.status, asked.body, err)
	}
	for _, need := range required.Accepts {
		if need.Network != coinNetwork {
			continue
		}
		payload, nonce, err := c.authorize(need)
		if err != nil {
			return proof{}, err
		}
		out := x402.PaymentPayload{Version: x402.V2, Accepted: need, Payload: payload, Resource: &required.Resource}
		field, err := x402.Encode(out)
		return proof{token: nonce, credential: http.Header{"Payment-Signature": {field}}}, err
	}
	return proof{}, errNoCoins
}

func (c *coiner) proveV1(asked answer) (proof, error) {
	var required x402.PaymentRequiredV1
	if err := json.Unmarshal(asked.body, &required); err != nil {
		return proof{}, fmt.Errorf("%d %s: %w", asked.status, asked.body, err)
	}
	for _, need := range required.Accepts {
		if need.Network != "base-sepolia" {
			continue
		}
		payload, nonce, err := c.authorize(x402.PaymentRequirements{
			Asset: need.Asset, PayTo: need.PayTo, Amount: need.MaxAmountRequired, MaxTimeoutSeconds: need.MaxTimeoutSeconds, Extra: need.Extra,
		})
		if err != nil {
			return proof{}, err
		}
		field, err := x402.Encode(x402.PayloadV1{Version: x402.V1, Scheme: need.Scheme, Network: need.Network, Payload: payload})
		return proof{token: nonce, credential: http.Header{"X-Payment": {field}}}, err
	}
	return proof{}, errNoCoins
}

// authorize signs a transfer as EIP-3009 has it, from what the seller asks alone.
func (c *coiner) authorize(need x402.PaymentRequirements) (payload json.RawMessage, nonce string, err error) {
	contract, err := evm.ParseAddress(need.Asset)
	if err != nil {
		return nil, "", err
	}
	to, err := evm.ParseAddress(need.PayTo)
	if err != nil {
		return nil, "", err
	}
	value, ok := new(big.Int).SetString(need.Amount, 10)
	if !ok {
		return nil, "", fmt.Errorf("amount %q", need.Amount)
	}
	valid := time.Duration(need.MaxTimeoutSeconds) * time.Second
	a := evm.Authorization{From: c.key.Address(), To: to, Value: value, ValidAfter: new(big.Int), ValidBefore: big.NewInt(time.Now().Add(valid).Unix())}
	if _, err := rand.Read(a.Nonce[:]); err != nil {
		return nil, "", err
	}
	domain := evm.Domain{Name: need.Text("name"), Version: need.Text("version"), ChainID: 84532, Contract: contract}
	payload, err = json.Marshal(map[string]any{
		"signature": c.key.Sign(a.Digest(domain)).String(),
		"authorization": map[string]string{
			"from": a.From.Checksum(), "to": a.To.Checksum(), "value": a.Value.String(),
			"validAfter": a.ValidAfter.String(), "validBefore": a.ValidBefore.String(), "nonce": a.Nonce.String(),
		},
	})
	return payload, a.Nonce.String(), err
}

// settlement reads what an answer says of its payment over x402.
func (a answer) settlement(t *testing.T) x402.SettleResponse {
	t.Helper()
	name := x402.HeaderResponse
	if a.header.Get(name) == "" {
		name = x402.HeaderResponseV1
	}
	var s x402.SettleResponse
	if err := x402.Decode(a.header.Get(name), &s); err != nil {
		t.Fatalf("%d with %s: %v", a.status, name, err)
	}
	return s
}

// asksAgain reports whether an answer asks for a payment in any protocol.
func (a answer) asksAgain() bool {
	return a.status == http.StatusPaymentRequired || a.header.Get(x402.HeaderRequired) != "" || a.header.Get("WWW-Authenticate") != ""
}
