package facilitator_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"paywall/payment"
	client "paywall/x402/facilitator"
)

// The facilitator has broadcast the transfer and cannot say that it is in a block.
func timedOut(code string) play {
	return func(_ []byte, serve func() client.Reply) (client.Reply, error) {
		var s map[string]any
		_ = json.Unmarshal(serve().Body, &s) // it is carried out
		return reply(200, object{"success": false, "errorReason": code, "transaction": s["transaction"], "network": network, "payer": s["payer"]}), nil
	}
}

func TestCharge_BroadcastIsNoDecline(t *testing.T) {
	for _, code := range []string{
		"settle_exact_evm_transaction_confirmation_timed_out", // CDP
		"settle_exact_node_failure",                           // CDP
		"invalid_exact_evm_failed_to_get_receipt",             // Go SDK
		"invalid_exact_evm_transaction_failed",                // Go SDK, a wait for the receipt that ended
		"an_unknown_code",
	} {
		for _, node := range []bool{true, false} {
			t.Run(code, func(t *testing.T) {
				withCore(t, node, func(c *counter) {
					t := c.t
					c.w.forgets = true
					c.w.settles = []play{timedOut(code)}
					_, refused := c.pay(t, c.credential(t, "x402_1"))
					p := c.state(t)
					if n := c.w.moved(); n != 1 {
						t.Fatalf("%d transfers", n)
					}
					if p.State == payment.StateFailed || refused != nil && !refused.Kind.Unsettled() {
						t.Errorf("node %t: state %s, payer told %s: money moved and the payer is asked to pay again", node, p.State, refused.Kind)
					}
				})
			})
		}
	}
}

// An answer of 4xx that is not of the protocol proves nothing about what was done before it.
func TestCharge_OddRefusalThenUsed(t *testing.T) {
	for _, status := range []int{400, 422, 429} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			withCore(t, true, func(c *counter) {
				t := c.t
				c.w.forgets = true
				c.w.settles = []play{func(_ []byte, serve func() client.Reply) (client.Reply, error) {
					serve()
					return reply(status, object{"errorType": "settle_error"}), nil
				}}
				_, refused := c.pay(t, c.credential(t, "x402_1"))
				if p := c.state(t); p.State == payment.StateFailed {
					t.Errorf("%d: %d transfers, state %s, payer told %s", status, c.w.moved(), p.State, refused.Kind)
				}
			})
		})
	}
}
