package facilitator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"paywall/methods/facilitator"
	"paywall/payment"
	client "paywall/x402/facilitator"
)

// steady is a facilitator without a network: it says yes to everything.
type steady struct{ verdict, settled []byte }

func (steady) Pick(int, string, string) (string, json.RawMessage, error) {
	return "first", json.RawMessage(`{"facilitatorAddress":"` + executor + `"}`), nil
}

func (s steady) Verify(context.Context, string, []byte) (client.Reply, error) {
	return client.Reply{Status: 200, Body: s.verdict}, nil
}

func (s steady) Settle(context.Context, string, []byte) (client.Reply, error) {
	return client.Reply{Status: 200, Body: s.settled}, nil
}

// BenchmarkPayment is what the rail takes of each step of one payment, without the
// calls over the network. Inspect and all are mostly the curve.
func BenchmarkPayment(b *testing.B) {
	for _, scheme := range []string{facilitator.SchemeExact, facilitator.SchemeUpto} {
		from := key(b).Address()
		m, err := facilitator.New(facilitator.Config{
			Asset: asset(b), PayTo: address(b, payee), Scheme: scheme, Now: func() time.Time { return began },
			Client: steady{
				fmt.Appendf(nil, `{"isValid":true,"payer":%q}`, from),
				fmt.Appendf(nil, `{"success":true,"transaction":"0xabc123","network":%q,"payer":%q,"amount":"10000"}`, network, from),
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		q := quote(b)
		q.Hold, q.Metered = true, scheme == facilitator.SchemeUpto
		o, err := m.Offer(q)
		if err != nil {
			b.Fatal(err)
		}
		var payload string
		if o.Metered {
			payload = signUpto(b, permit(b, o))
		} else {
			payload = signExact(b, authorization(b, o))
		}
		c := credential(o, "challenge", payload)
		p := payment.Payment{ID: "pay_1", ChallengeID: "challenge", Amount: o.Amount}
		in, err := m.Prepare(p, c)
		if err != nil {
			b.Fatal(err)
		}
		steps := []struct {
			name string
			do   func() bool
		}{
			{"offer", func() bool { _, err := m.Offer(q); return err == nil }},
			{"inspect", func() bool { _, err := m.Inspect(c); return err == nil }},
			{"prepare", func() bool { _, err := m.Prepare(p, c); return err == nil }},
			{"hold", func() bool { return m.Hold(b.Context(), p, in).Class == payment.OutcomeSucceeded }},
			{"capture", func() bool { return m.Capture(b.Context(), p, in).Class == payment.OutcomeSucceeded }},
		}
		for _, s := range steps {
			b.Run(scheme+"/"+s.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if !s.do() {
						b.Fatal("refused")
					}
				}
			})
		}
	}
}
