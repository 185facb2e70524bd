package interop

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"paywall/methods/stripe"
	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
	sandbox "paywall/sandbox/stripe"
)

// TestRail makes methods/stripe send every kind of request it has, and holds each
// to the published schema. What comes of them is said by the sandbox, so that
// one call leads to the next as with the real processor.
func TestRail(t *testing.T) {
	processor := sandbox.New(sandbox.Config{})
	defer processor.Close()
	s := newSchemaCheck(t)
	s.answers = processor
	rail, err := stripe.New(stripe.Config{
		Key: secretKey, Profile: profile, BaseURL: s.url, StatementSuffix: "REPORTS", Metadata: map[string]string{"shop": "interop"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer rail.Close()
	r := &rails{t: t, rail: rail, processor: processor}

	t.Run("charge, look-up, refund", func(t *testing.T) {
		pay, in := r.claim("pm_card_visa", payment.Terms{})
		out := rail.Charge(t.Context(), pay, in)
		r.want(out, payment.OutcomeSucceeded)
		r.want(rail.Lookup(t.Context(), pay, in), payment.OutcomeSucceeded)
		pay.State, pay.Reference = payment.StateSettled, out.Reference
		r.want(rail.Refund(t.Context(), pay), payment.OutcomeSucceeded)
		event := stripe.Event{ID: "evt_1", Concern: stripe.ConcernRefund, Reference: out.Reference, PaymentID: pay.ID}
		r.want(rail.Reread(t.Context(), event, pay), payment.OutcomeSucceeded)
	})
	t.Run("a key burned", func(t *testing.T) {
		pay, in := r.claim("pm_card_visa", payment.Terms{})
		r.want(rail.Lookup(t.Context(), pay, in), payment.OutcomeNone)
		r.want(rail.Void(t.Context(), pay, in), payment.OutcomeVoided)
	})
	t.Run("a decline, and a bank that wants its customer", func(t *testing.T) {
		for _, card := range []string{"pm_card_chargeDeclined", "pm_card_authenticationRequired"} {
			pay, in := r.claim(card, payment.Terms{})
			r.want(rail.Charge(t.Context(), pay, in), payment.OutcomeDeclined)
		}
	})
	t.Run("a dispute", func(t *testing.T) {
		pay, in := r.claim("pm_card_visa", payment.Terms{})
		out := rail.Charge(t.Context(), pay, in)
		r.want(out, payment.OutcomeSucceeded)
		id, err := processor.OpenDispute(out.Reference, "")
		if err != nil {
			t.Fatal(err)
		}
		pay.State, pay.Reference = payment.StateSettled, out.Reference
		event := stripe.Event{ID: "evt_2", Concern: stripe.ConcernDispute, Object: id, Reference: out.Reference}
		r.want(rail.Reread(t.Context(), event, pay), payment.OutcomeSucceeded)
	})
	t.Run("connected accounts", func(t *testing.T) {
		for _, terms := range []payment.Terms{
			{Account: "acct_1Interop", FeeUnits: 10},
			{Destination: "acct_1Interop", OnBehalfOf: "acct_1Interop", TransferGroup: "order-7", FeeUnits: 10, StatementSuffix: "SHOP", Metadata: map[string]string{"order": "7"}},
		} {
			pay, in := r.claim("pm_card_visa", terms)
			rail.Charge(t.Context(), pay, in) // what comes of it depends on the account
		}
	})

	refused, made := s.report()
	for _, one := range refused {
		t.Errorf("refused: %s", one)
	}
	for _, call := range []string{
		"POST /v1/payment_intents", "GET /v1/payment_intents", "GET /v1/payment_intents/{id}", "POST /v1/payment_intents/{id}/cancel",
		"POST /v1/refunds", "GET /v1/refunds", "GET /v1/disputes/{id}",
	} {
		if !slices.Contains(made, call) {
			t.Errorf("%s was not made; there were %s", call, strings.Join(made, ", "))
		}
	}
}

// rails makes payments of its own for each try.
type rails struct {
	t         *testing.T
	rail      *stripe.Method
	processor *sandbox.Server
	n         int
}

func (r *rails) claim(card string, terms payment.Terms) (payment.Payment, payment.Intent) {
	r.t.Helper()
	r.n++
	price, err := money.New(100, "USD", 2)
	if err != nil {
		r.t.Fatal(err)
	}
	offer, err := r.rail.Offer(payment.Quote{Route: "report", Amount: price, Terms: terms})
	if err != nil {
		r.t.Fatal(err)
	}
	token, err := r.processor.Grant(card, "usd", 100, time.Now().Add(time.Hour), profile)
	if err != nil {
		r.t.Fatal(err)
	}
	pay := paymenttest.Sample(r.t, r.n)
	pay.Method, pay.Amount, pay.CreatedAt = r.rail.Name(), offer.Amount, time.Now()
	in, err := r.rail.Prepare(pay, payment.Credential{
		Protocol: "mpp", ChallengeID: pay.ChallengeID, Offer: offer, Payload: json.RawMessage(fmt.Sprintf(`{"spt":%q}`, token)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	pay.Key, pay.Account = in.Key, in.Account
	return pay, in
}

func (r *rails) want(out payment.Outcome, class payment.OutcomeClass) {
	r.t.Helper()
	if out.Class != class {
		r.t.Errorf("%s %s (%v), want %s", out.Class, out.Reason, out.Err, class)
	}
}
