package x402_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"paywall/payment"
	"paywall/x402"
)

func BenchmarkChallenge(b *testing.B) {
	d := compile(b, protocol(b, nil), link(100), stable(10000))
	s, r := scope(), &http.Request{}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Challenge(http.Header{}, r, s, began); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMembers(b *testing.B) {
	d := compile(b, protocol(b, nil), link(100), stable(10000))
	s := scope()
	b.ReportAllocs()
	for b.Loop() {
		if len(d.Members(nil, s, nil)) == 0 {
			b.Fatal("nothing")
		}
	}
}

func BenchmarkCredential(b *testing.B) {
	d := compile(b, protocol(b, nil), link(100), stable(10000))
	asked := challenge(b, d)
	for name, r := range map[string]*http.Request{
		"v2": signed(x402.PaymentPayload{
			Version: 2, Resource: &asked.Resource, Accepted: asked.Accepts[1], Payload: must(json.Marshal(authorization(10000, nil))),
		}),
		"v2, members in another order": signed(answer(asked, 1, authorization(10000, nil))),
		"v1":                           request(x402.HeaderPaymentV1, encode(answerV1(authorization(10000, nil)))),
	} {
		b.Run(name, func(b *testing.B) {
			s := scope()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Credential(r, s, began); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReceipt(b *testing.B) {
	d := compile(b, protocol(b, nil), stable(10000))
	p := payment.Payment{ChallengeID: "x402_a", Method: "facilitator", Network: network, Reference: "0xabc", Payer: "0x1", Amount: amount(10000, "USDC", 6)}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Receipt(http.Header{}, p, "a.b.c"); err != nil {
			b.Fatal(err)
		}
	}
}

// A challenge is one string, the slice that holds it, and the caller's header.
func TestChallenge_Allocations(t *testing.T) {
	d := compile(t, protocol(t, nil), link(100), stable(10000))
	s, r, h := scope(), &http.Request{}, http.Header{}
	if n := testing.AllocsPerRun(100, func() {
		if err := d.Challenge(h, r, s, began); err != nil {
			t.Fatal(err)
		}
	}); n > 3 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { d.Members(nil, s, nil) }); n > 1 {
		t.Errorf("%v allocations for the body", n)
	}
}
