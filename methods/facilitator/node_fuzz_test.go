package facilitator_test

import (
	"encoding/json"
	"math/big"
	"testing"

	"paywall/methods/facilitator"
	"paywall/payment"
)

// The payer used its authorization for somebody else. Whatever one answer of the node
// is replaced by, this must not pass for a payment to us, nor for one that can
// still be voided for good while the rest of the chain is honest.
func FuzzNode(f *testing.F) {
	methods := []string{"eth_chainId", "eth_getBlockByNumber", "eth_call", "eth_getLogs", "eth_getTransactionReceipt"}
	for i, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"result":"0x14a34"}`,
		`{"jsonrpc":"2.0","id":1,"result":{"number":"0x2710","timestamp":"0x6907200c"}}`,
		`{"jsonrpc":"2.0","id":1,"result":"0x0000000000000000000000000000000000000000000000000000000000000001"}`,
		`{"jsonrpc":"2.0","id":1,"result":[{"address":"0x036cbd53842c5426634e7929541ec2318f3dcf7e","topics":[],"data":"0x","blockNumber":"0x2710","removed":false}]}`,
		`{"jsonrpc":"2.0","id":1,"result":{"status":"0x1","blockNumber":"0x2710","logs":[]}}`,
	} {
		f.Add(uint8(i), []byte(seed))
		f.Add(uint8(i), []byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}`))
		f.Add(uint8(i), []byte(`<html>`))
	}
	f.Fuzz(func(t *testing.T, which uint8, answer []byte) {
		w := newWorld(t)
		m := w.method(func(c *facilitator.Config) { c.Node, c.Transport = "https://node.example", w })
		p, in := claim(t, m, quote(t))
		_, from, nonce, _ := w.read(bodyOf(t, in))
		w.use(from, executor, nonce, big.NewInt(10000))
		w.wrong[methods[int(which)%len(methods)]] = func([]json.RawMessage, any) any { return rawAnswer{200, string(answer)} }
		for _, out := range []payment.Outcome{m.Lookup(t.Context(), p, in), m.Void(t.Context(), p, in)} {
			if out.Class == payment.OutcomeSucceeded || out.Class == payment.OutcomeVoided || out.Class == payment.OutcomeDeclined {
				t.Errorf("%s answers %q: %+v", methods[int(which)%len(methods)], answer, out)
			}
		}
	})
}
