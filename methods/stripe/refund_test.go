package stripe_test

import (
	"fmt"
	"sync"
	"testing"

	"paywall/methods/stripe"
	"paywall/payment"
)

// byHand has a person pay back a part of the first charge at the processor.
func (p *processor) byHand(units int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.payBack(p.intents[0], map[string]string{}, units)
}

// A charge that was paid back at the processor while our record of it is still in
// doubt is a success that opens nothing: whoever asks learns of both.
func TestChargePaidBackWhileInDoubt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		units int64 // that a person pays back
		ask   func(pr *processor, m payment.Method, p payment.Payment, in payment.Intent) payment.Outcome
	}{
		{"in whole, charged again", 150, func(_ *processor, m payment.Method, p payment.Payment, in payment.Intent) payment.Outcome {
			return m.Charge(t.Context(), p, in) // the stored answer does not know
		}},
		{"in part, charged again", 50, func(_ *processor, m payment.Method, p payment.Payment, in payment.Intent) payment.Outcome {
			return m.Charge(t.Context(), p, in)
		}},
		{"in whole, looked up", 150, func(_ *processor, m payment.Method, p payment.Payment, in payment.Intent) payment.Outcome {
			return m.Lookup(t.Context(), p, in)
		}},
		{"in whole, looked up in a list that does not say", 150, func(pr *processor, m payment.Method, p payment.Payment, in payment.Intent) payment.Outcome {
			pr.play("list", answer(200, fmt.Sprintf(`{"object":"list","has_more":false,"data":[{"id":%q,"object":"payment_intent","status":"succeeded","amount":150,"amount_received":150,
				"currency":"usd","livemode":false,"metadata":{"paywall_payment":%q},"latest_charge":"ch_1"}]}`, pr.intents[0]["id"], p.ID)))
			return m.Lookup(t.Context(), p, in)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			m := pr.rail(t)
			p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
			pr.play("create", drop(true))
			check(t, m.Charge(t.Context(), p, in), want{reason: "no_answer"})
			pr.byHand(tt.units)
			out := tt.ask(pr, m, p, in)
			check(t, out, want{class: payment.OutcomeSucceeded})
			if out.Refunded.Units() != tt.units || out.Refunded.Currency() != "USD" || out.RefundReference != pr.refunds[0]["id"] {
				t.Errorf("refunded %s by %q, want %d by %s", out.Refunded, out.RefundReference, tt.units, pr.refunds[0]["id"])
			}
		})
	}
	t.Run("and cannot be asked", func(t *testing.T) {
		pr := newProcessor(t)
		m := pr.rail(t)
		p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
		pr.play("create", drop(true))
		check(t, m.Charge(t.Context(), p, in), want{reason: "no_answer"})
		pr.byHand(150)
		pr.play("get", answer(503, ``))
		check(t, m.Charge(t.Context(), p, in), want{reason: "status_503"}) // no success without a look
		pr.play("refunds", answer(429, ``))
		check(t, m.Charge(t.Context(), p, in), want{reason: "rate_limited"})
	})
	t.Run("told by an event", func(t *testing.T) {
		pr := newProcessor(t)
		m := pr.rail(t)
		p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
		charged := m.Charge(t.Context(), p, in)
		pr.byHand(150)
		out := reread(t, m, p, intentEvent("payment_intent.succeeded", charged.Reference, p.ID))
		check(t, out, want{class: payment.OutcomeSucceeded})
		if out.Refunded != p.Amount || out.RefundReference != pr.refunds[0]["id"] {
			t.Errorf("refunded %s by %q", out.Refunded, out.RefundReference)
		}
	})
	t.Run("by more than there was", func(t *testing.T) {
		pr := newProcessor(t)
		m := pr.rail(t)
		p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
		pr.touch = func(o object) { o["latest_charge"].(object)["amount_refunded"] = -1 }
		check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeMismatch, reason: "refunded_differs"})
	})
}

// However many ask for it, and whatever a person does at the processor meanwhile, no
// more comes back than was paid.
func TestB071_RefundsTogether(t *testing.T) {
	for _, byHand := range []int64{0, 50, 150} {
		t.Run(fmt.Sprintf("%d by hand", byHand), func(t *testing.T) {
			pr := newProcessor(t)
			m, p := refundable(t, pr, quote(t, "1.50 USD"))
			var wg sync.WaitGroup
			for n := range 12 {
				wg.Go(func() {
					if n == 6 && byHand > 0 {
						pr.byHand(byHand)
						return
					}
					out := m.Refund(t.Context(), p)
					if out.Class == payment.OutcomeSucceeded && out.Amount != p.Amount {
						t.Errorf("outcome %+v", out)
					}
				})
			}
			wg.Wait()
			check(t, m.Refund(t.Context(), p), want{class: payment.OutcomeSucceeded})
			sum := int64(0)
			for _, re := range pr.refunds {
				sum += re["amount"].(int64)
			}
			if sum != 150 {
				t.Errorf("%d came back in %d refunds", sum, len(pr.refunds))
			}
		})
	}
}

// A part that a person paid back is not the whole, and what is left is returned by us.
func TestB071_RefundAfterAPart(t *testing.T) {
	pr := newProcessor(t)
	m, p := refundable(t, pr, quote(t, "1.50 USD"))
	pr.byHand(60)
	body := event("evt_1", "charge.refunded", "", `{"id":"ch_1","object":"charge","payment_intent":"`+p.Reference+`"}`)
	check(t, reread(t, pr.rail(t), p, body), want{class: payment.OutcomeNone, reason: "refund_incomplete"})
	check(t, m.Refund(t.Context(), p), want{class: payment.OutcomeSucceeded})
	if len(pr.refunds) != 2 || pr.refunds[1]["amount"] != int64(90) {
		t.Errorf("refunds %v", pr.refunds)
	}
	check(t, reread(t, pr.rail(t), p, body), want{class: payment.OutcomeSucceeded})
}

// A refund that came back from the payer's bank is told to the books by its
// reference; the one that follows has a key of its own.
func TestRefundThatCameBack(t *testing.T) {
	pr := newProcessor(t)
	m, p := refundable(t, pr, quote(t, "1.50 USD"))
	first := m.Refund(t.Context(), p)
	check(t, first, want{class: payment.OutcomeSucceeded})
	p.State, p.RefundReference = payment.StateRefunded, first.Reference

	rail := pr.rail(t)
	failed := event("evt_1", "refund.failed", "", `{"id":"`+first.Reference+`","object":"refund","payment_intent":"`+p.Reference+`"}`)
	updated := event("evt_2", "refund.updated", "", `{"id":"`+first.Reference+`","object":"refund","payment_intent":"`+p.Reference+`"}`)
	ofCharge := event("evt_3", "charge.refunded", "", `{"id":"ch_1","object":"charge","payment_intent":"`+p.Reference+`"}`)
	// The event may be forged by nobody, but it may be wrong: the object decides.
	check(t, reread(t, rail, p, failed), want{class: payment.OutcomeSucceeded})
	pr.refunds[0]["status"] = "failed"
	pr.intents[0]["latest_charge"].(object)["amount_refunded"] = 0
	for _, body := range [][]byte{failed, updated, ofCharge} {
		out := reread(t, rail, p, body)
		check(t, out, want{class: payment.OutcomeNone, reason: stripe.ReasonRefundFailed})
		if out.Reference != first.Reference {
			t.Errorf("reference %s, want %s", out.Reference, first.Reference)
		}
	}
	// What a person has sent in another way since did not come back.
	byHand := p
	byHand.RefundReference, byHand.RefundsFailed = "transfer-7", 1
	for _, body := range [][]byte{failed, updated, ofCharge} {
		check(t, reread(t, rail, byHand, body), want{class: payment.OutcomeNone, reason: "refund_incomplete"})
	}
	// Of a payment whose refund is not confirmed here yet, only its own word counts.
	early := p
	early.State, early.RefundReference = payment.StateRefunding, ""
	check(t, reread(t, rail, early, failed), want{class: payment.OutcomeNone, reason: stripe.ReasonRefundFailed})
	check(t, reread(t, rail, early, ofCharge), want{class: payment.OutcomeNone, reason: "refund_incomplete"})

	p.State, p.RefundsFailed = payment.StateRefunding, 1
	second := m.Refund(t.Context(), p)
	check(t, second, want{class: payment.OutcomeSucceeded})
	check(t, m.Refund(t.Context(), p), want{class: payment.OutcomeSucceeded}) // repeated, it refunds once
	sent := pr.sent("refund")
	if second.Reference == first.Reference || len(pr.refunds) != 2 || sent[0].Header.Get("Idempotency-Key") == sent[1].Header.Get("Idempotency-Key") {
		t.Errorf("%s after %s; %d refunds", second.Reference, first.Reference, len(pr.refunds))
	}
	// Late word of the first one changes nothing any more.
	p.State, p.RefundReference = payment.StateRefunded, second.Reference
	late := reread(t, rail, p, failed)
	check(t, late, want{class: payment.OutcomeSucceeded})
	if late.Reference != second.Reference {
		t.Errorf("reference %s", late.Reference)
	}
}

// The key of a first refund is that of releases before there were second ones.
func TestKeyOfTheFirstRefund(t *testing.T) {
	pr := newProcessor(t)
	m, p := refundable(t, pr, quote(t, "1.50 USD"))
	check(t, m.Refund(t.Context(), p), want{class: payment.OutcomeSucceeded})
	const key = "pw1r_W4UPux_wkMn56DDQr0MfCoYeJSq7w6ryMVyX9FCHnhk"
	if got := pr.sent("refund")[0].Header.Get("Idempotency-Key"); got != key {
		t.Errorf("key %s, want %s", got, key)
	}
}
