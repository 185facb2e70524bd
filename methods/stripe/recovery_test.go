package stripe_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"paywall/payment"
)

// cut serves nothing and drops the connection however often it is tried.
func (p *processor) cut(op string) { p.play(op, drop(false), drop(false)) }

func TestVoidIsTakenUpWhereItWasCutOff(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	pr.cut("cancel")
	if out := m.Void(t.Context(), p, in); out.Class != payment.OutcomeUnknown {
		t.Fatalf("void without an answer to the cancel = %+v", out)
	}
	// The payer comes back meanwhile: the burned key charges nothing.
	check(t, m.Charge(t.Context(), p, in), want{reason: "void_begun"})
	check(t, m.Lookup(t.Context(), p, in), want{class: payment.OutcomeNone, reason: "void_begun"})
	first := m.Void(t.Context(), p, in)
	check(t, first, want{class: payment.OutcomeVoided})
	again := m.Void(t.Context(), p, in) // the crash came before it was stored
	check(t, again, want{class: payment.OutcomeVoided})
	found := m.Lookup(t.Context(), p, in)
	check(t, found, want{class: payment.OutcomeVoided})
	if first.Reference != again.Reference || first.Reference != found.Reference || pr.charged("") != 0 {
		t.Errorf("voids %s, %s, %s and %d charges", first.Reference, again.Reference, found.Reference, pr.charged(""))
	}
}

// A burn that ends in a stored fault holds the key all the same, whether or not
// its intent was made: the charge can never execute, and nothing stays in doubt.
func TestB050_StoredFaultOfAVoid(t *testing.T) {
	for _, moved := range []bool{false, true} {
		t.Run(fmt.Sprintf("moved=%t", moved), func(t *testing.T) {
			pr := newProcessor(t)
			m := pr.rail(t)
			p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
			pr.play("create", pr.keepFault(moved))
			check(t, m.Void(t.Context(), p, in), want{reason: "status_500"})
			// The payer comes back meanwhile: it is not charged, and it is nobody's contradiction.
			check(t, m.Charge(t.Context(), p, in), want{reason: "void_begun"})
			check(t, m.Void(t.Context(), p, in), want{class: payment.OutcomeVoided})
			check(t, m.Void(t.Context(), p, in), want{class: payment.OutcomeVoided}) // the crash came before it was stored
			if n := pr.charged(""); n != 0 {
				t.Errorf("%d charges", n)
			}
		})
	}
}

func TestVoidMeetsAnythingElse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault fault
		want  want
	}{
		{"running", answer(409, `{"error":{"type":"idempotency_error","code":"idempotency_key_in_use"}}`), want{reason: "in_progress"}},
		{"limited", answer(429, ``), want{class: payment.OutcomeNotNow, reason: "rate_limited"}},
		{"fault", answer(500, `{"error":{"type":"api_error"}}`), want{reason: "status_500"}},
		{"refused", answer(400, `{"error":{"type":"invalid_request_error"}}`), want{reason: "status_400"}},
		{"cut", answer(200, `{"id":"pi_1","object":"pay`), want{reason: "odd_answer"}},
		{"not what was sent", answer(200, `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":150,"currency":"usd","livemode":false,"metadata":{}}`), want{reason: "odd_answer"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			m := pr.rail(t)
			p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
			pr.play("create", tt.fault)
			check(t, m.Void(t.Context(), p, in), tt.want)
		})
	}
}

func TestLookupOfWhatWasBegun(t *testing.T) {
	for _, tt := range []struct {
		name, fate string
		edit       func(object)
		lookup     want
	}{
		{"declined", "expired_card", nil, want{class: payment.OutcomeDeclined, kind: verification, reason: "expired_card"}},
		{"waits for a person", "requires_action", nil, want{class: payment.OutcomeStarted, reason: "requires_action"}},
		{"processing", "processing", nil, want{reason: "processing"}},
		{"being tried", "processing", func(o object) { o["status"] = "requires_payment_method" }, want{class: payment.OutcomeStarted, reason: "requires_payment_method"}},
		{"canceled by hand", "processing", func(o object) { o["status"] = "canceled" }, want{class: payment.OutcomeDeclined, reason: "canceled"}},
		{"paid, other amount", "", func(o object) { o["amount_received"] = int64(1) }, want{class: payment.OutcomeMismatch, reason: "received_differs"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			m := pr.rail(t)
			p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{fate: tt.fate}))
			pr.play("create", drop(true), drop(true))
			_ = m.Charge(t.Context(), p, in)
			if tt.edit != nil {
				pr.edit(tt.edit)
			}
			check(t, m.Lookup(t.Context(), p, in), tt.lookup)
			if n := len(pr.sent("cancel")); n != 0 {
				t.Error("a look-up acted")
			}
		})
	}
}

func TestLookupReadsEveryPage(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	charged := m.Charge(t.Context(), p, in)
	check(t, charged, want{class: payment.OutcomeSucceeded})
	for n := range 250 { // newer ones of others
		q, qi := claim(t, m, quote(t, "1.50 USD"), 100+n, pr.mint(token{}))
		if out := m.Charge(t.Context(), q, qi); out.Class != payment.OutcomeSucceeded {
			t.Fatalf("%+v", out)
		}
	}
	out := m.Lookup(t.Context(), p, in)
	check(t, out, want{class: payment.OutcomeSucceeded})
	if out.Reference != charged.Reference || len(pr.sent("list")) != 3 {
		t.Errorf("found %s in %d pages, want %s in 3", out.Reference, len(pr.sent("list")), charged.Reference)
	}
}

// On an account too busy to be listed to the end the token still tells that
// something happened, and the stored answer what.
func TestLookupOnABusyAccount(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	busy := answer(200, `{"object":"list","has_more":true,"data":[{"id":"pi_other","object":"payment_intent","status":"succeeded","amount":1,"currency":"usd","livemode":false}]}`)
	for range 50 {
		pr.play("list", busy)
	}
	check(t, m.Lookup(t.Context(), p, in), want{class: payment.OutcomeNone})
	check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
	for range 50 {
		pr.play("list", busy)
	}
	check(t, m.Lookup(t.Context(), p, in), want{class: payment.OutcomeStarted, reason: "token_consumed"})
	check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
}

func TestLookupThatCannotLook(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault fault
		want  want
	}{
		{"key", answer(401, `{"error":{"type":"invalid_request_error"}}`), want{class: payment.OutcomeNotNow, fatal: true, reason: "key_refused"}},
		{"limit", answer(429, ``, "Retry-After", "2"), want{class: payment.OutcomeNotNow, reason: "rate_limited", after: 2e9}},
		{"fault", answer(502, `<html>`), want{reason: "status_502"}},
		{"no list", answer(200, `{"object":"payment_intent"}`), want{reason: "odd_answer"}},
		{"end of the list not said", answer(200, `{"object":"list","data":[]}`), want{reason: "odd_answer"}},
		{"more of nothing", answer(200, `{"object":"list","data":[],"has_more":true}`), want{reason: "odd_answer"}},
		{"an odd item", answer(200, `{"object":"list","data":[{"id":"x"}],"has_more":false}`), want{reason: "odd_answer"}},
		{"cut", answer(200, `{"object":"list","data":[`, "Content-Length", "900"), want{reason: "answer_cut"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			m := pr.rail(t)
			p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
			pr.play("list", tt.fault)
			check(t, m.Lookup(t.Context(), p, in), tt.want)
		})
	}
}

// A restored backup may have forgotten a payment: the challenge comes again under
// a new payment id, and the key with other bytes.
func TestB080_ChallengePaidInAnEarlierLife(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	old, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	check(t, m.Charge(t.Context(), old, in), want{class: payment.OutcomeSucceeded})

	p := old
	p.ID = "pay_again"
	o, err := m.Offer(quote(t, "1.50 USD"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := m.Prepare(p, credential(o, p.ChallengeID, pr.mint(token{})))
	if err != nil {
		t.Fatal(err)
	}
	check(t, m.Charge(t.Context(), p, again), want{class: payment.OutcomeMismatch, reason: "challenge_charged_before"})
	check(t, m.Lookup(t.Context(), p, again), want{class: payment.OutcomeMismatch, reason: "challenge_charged_before"})
	if pr.charged("") != 1 {
		t.Errorf("%d charges", pr.charged(""))
	}
}

func TestKeyConflictOutOfNowhere(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	conflict := answer(400, `{"error":{"type":"idempotency_error","message":"leakme"}}`)
	pr.play("create", conflict)
	check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeMismatch, reason: "key_conflict"})
	pr.play("create", conflict)
	pr.play("list", answer(503, ``))
	check(t, m.Charge(t.Context(), p, in), want{reason: "status_503"})
}

func TestTwoChargesOfOnePayment(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
	pr.keys = map[string]*kept{} // the processor has forgotten the key
	for _, tok := range pr.tokens {
		tok.reason = ""
	}
	check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
	check(t, m.Lookup(t.Context(), p, in), want{class: payment.OutcomeMismatch, reason: "two_charges"})
}

func TestCancelThatComesTooLate(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{fate: "requires_action"}))
	pr.play("cancel", func(w http.ResponseWriter, _ *http.Request, serve func(http.ResponseWriter)) {
		pr.edit(func(o object) { o["status"], o["amount_received"] = "succeeded", int64(150) })
		serve(w) // which refuses to cancel it
	})
	check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeSucceeded})

	p, in = claim(t, m, quote(t, "1.50 USD"), 2, pr.mint(token{fate: "requires_action"}))
	pr.play("cancel", answer(429, ``))
	check(t, m.Charge(t.Context(), p, in), want{reason: "rate_limited"})
}

func refundable(t *testing.T, pr *processor, q payment.Quote) (payment.Method, payment.Payment) {
	t.Helper()
	m := pr.rail(t)
	p, in := claim(t, m, q, 1, pr.mint(token{}))
	out := m.Charge(t.Context(), p, in)
	if out.Class != payment.OutcomeSucceeded {
		t.Fatalf("charge = %+v", out)
	}
	p.Reference = out.Reference
	return m, p
}

func TestRefund(t *testing.T) {
	status := func(s string) func(*processor) {
		return func(pr *processor) {
			pr.play("refund", func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) {
				rec := httptest.NewRecorder()
				serve(rec)
				pr.mu.Lock()
				defer pr.mu.Unlock()
				pr.refunds[0]["status"] = s
				respond(w, 200, pr.refunds[0])
			})
		}
	}
	byHand := func(units int64) func(*processor) {
		return func(pr *processor) { pr.payBack(pr.intents[0], map[string]string{}, units) }
	}
	refuse := func(status int, code string) func(*processor) {
		return func(pr *processor) {
			pr.play("refund", answer(status, `{"error":{"type":"invalid_request_error","code":"`+code+`","message":"leakme"}}`))
		}
	}
	for _, tt := range []struct {
		name    string
		arrange func(*processor)
		want    want
		made    int // refunds at the processor afterwards
	}{
		{"plain", func(*processor) {}, want{class: payment.OutcomeSucceeded}, 1},
		{"pending is away", status("pending"), want{class: payment.OutcomeSucceeded}, 1},
		{"failed", status("failed"), want{class: payment.OutcomeDeclined, reason: "refund_failed"}, 1},
		{"waits for bank details", status("requires_action"), want{class: payment.OutcomeDeclined, reason: "refund_requires_action"}, 1},
		{"made by hand before", byHand(150), want{class: payment.OutcomeSucceeded}, 1},
		{"B071 partly made by hand before", byHand(100), want{class: payment.OutcomeSucceeded}, 2},
		{"B071 made by hand at this moment", func(pr *processor) {
			pr.play("refund", func(w http.ResponseWriter, _ *http.Request, serve func(http.ResponseWriter)) {
				byHand(150)(pr)
				serve(w)
			})
		}, want{class: payment.OutcomeSucceeded}, 1},
		{"disputed", refuse(400, "charge_disputed"), want{class: payment.OutcomeDeclined, kind: verification, reason: "charge_disputed"}, 0},
		{"said to be refunded, but is not", refuse(400, "charge_already_refunded"), want{class: payment.OutcomeMismatch, reason: "refund_conflict"}, 0},
		{"no balance", refuse(400, "balance_insufficient"), want{class: payment.OutcomeNotNow, reason: "balance_insufficient"}, 0},
		{"other refusal", refuse(400, ""), want{class: payment.OutcomeDeclined, kind: verification, reason: "refund_refused"}, 0},
		{"key revoked", refuse(401, ""), want{class: payment.OutcomeNotNow, fatal: true, reason: "key_refused"}, 0},
		{"limit", refuse(429, "rate_limit"), want{class: payment.OutcomeNotNow, reason: "rate_limited"}, 0},
		{"fault", refuse(500, ""), want{reason: "status_500"}, 0},
		{"charge gone", func(pr *processor) { pr.intents = nil }, want{class: payment.OutcomeMismatch, reason: "charge_unknown"}, 0},
		{"charge of another payment", func(pr *processor) { pr.intents[0]["metadata"] = map[string]string{} }, want{class: payment.OutcomeMismatch, reason: "payment_differs"}, 0},
		{"other currency", func(pr *processor) { pr.intents[0]["currency"] = "eur" }, want{class: payment.OutcomeMismatch, reason: "currency_differs"}, 0},
		{"charge not readable", func(pr *processor) { pr.play("get", answer(200, `{`)) }, want{reason: "odd_answer"}, 0},
		{"odd answer", func(pr *processor) { pr.play("refund", instead(answer(200, `{"object":"refund"}`))) }, want{reason: "odd_answer"}, 1},
		{"refunds not readable", func(pr *processor) {
			byHand(150)(pr)
			pr.play("refunds", answer(200, `{"object":"list","has_more":false,"data":[{"id":"re_1"}]}`))
		}, want{reason: "odd_answer"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			m, p := refundable(t, pr, quote(t, "1.50 USD"))
			tt.arrange(pr)
			check(t, m.Refund(t.Context(), p), tt.want)
			if n := len(pr.refunds); n != tt.made {
				t.Errorf("%d refunds, want %d", n, tt.made)
			}
		})
	}
}

func TestB064_RefundWithoutAnAnswer(t *testing.T) {
	pr := newProcessor(t)
	m, p := refundable(t, pr, quote(t, "1.50 USD"))
	pr.play("refund", instead(answer(200, `{"id":"re_`)))
	check(t, m.Refund(t.Context(), p), want{reason: "odd_answer"})
	check(t, m.Refund(t.Context(), p), want{class: payment.OutcomeSucceeded})
	pr.mu.Lock()
	pr.keys = map[string]*kept{} // a day later
	pr.mu.Unlock()
	check(t, m.Refund(t.Context(), p), want{class: payment.OutcomeSucceeded})
	if len(pr.refunds) != 1 {
		t.Errorf("%d refunds", len(pr.refunds))
	}
}

func TestRefundThatFailsLater(t *testing.T) {
	pr := newProcessor(t)
	m, p := refundable(t, pr, quote(t, "1.50 USD"))
	check(t, m.Refund(t.Context(), p), want{class: payment.OutcomeSucceeded})
	pr.refunds[0]["status"] = "failed"
	pr.intents[0]["latest_charge"].(object)["amount_refunded"] = 0
	// The stored answer still says that it succeeded.
	check(t, m.Refund(t.Context(), p), want{class: payment.OutcomeMismatch, reason: "refund_failed"})
}

func TestRefundStoredFault(t *testing.T) {
	for _, done := range []bool{false, true} {
		pr := newProcessor(t)
		m, p := refundable(t, pr, quote(t, "1.50 USD"))
		pr.play("refund", func(w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) {
			if done {
				pr.mu.Lock()
				pr.payBack(pr.intents[0], map[string]string{"paywall_payment": p.ID}, 0)
				pr.intents[0]["latest_charge"].(object)["amount_refunded"] = 0 // the charge is read from behind
				pr.mu.Unlock()
			}
			pr.keepFault(false)(w, r, nil)
		})
		check(t, m.Refund(t.Context(), p), want{reason: "status_500"})
		w := want{reason: "status_500"}
		if done {
			w = want{class: payment.OutcomeSucceeded}
		}
		check(t, m.Refund(t.Context(), p), w)
	}
}

func TestRefundTakesBackFeeAndTransfer(t *testing.T) {
	pr := newProcessor(t)
	q := quote(t, "1.50 USD")
	q.Terms = payment.Terms{Account: "acct_shop", FeeUnits: 15, Destination: "acct_maker"}
	m, p := refundable(t, pr, q)
	check(t, m.Refund(t.Context(), p), want{class: payment.OutcomeSucceeded})
	sent := pr.sent("refund")
	if len(sent) != 1 || sent[0].Header.Get("Stripe-Account") != "acct_shop" {
		t.Fatalf("sent %+v", sent)
	}
	const body = "metadata[paywall_payment]=pay_00000000000000000000000000000001&payment_intent=pi_Test2&reason=requested_by_customer" +
		"&refund_application_fee=true&reverse_transfer=true"
	if sent[0].Body != body {
		t.Errorf("sent %s\nwant %s", sent[0].Body, body)
	}
}

func TestRefundOfAReferenceThatIsNone(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, _ := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	for _, reference := range []string{"", "ch_1", "pi_", "pi_1/cancel", "pi_1?x"} {
		p.Reference = reference
		check(t, m.Refund(t.Context(), p), want{class: payment.OutcomeMismatch, reason: "reference_unusable"})
	}
	if len(pr.calls) != 0 {
		t.Error("it was asked for")
	}
}

func TestCharges(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	for n := range 130 {
		fate := ""
		if n == 3 {
			fate = "expired_card"
		}
		p, in := claim(t, m, quote(t, "1.50 USD"), n, pr.mint(token{fate: fate}))
		_ = m.Charge(t.Context(), p, in)
	}
	p, in := claim(t, m, quote(t, "1.50 USD"), 500, pr.mint(token{}))
	check(t, m.Void(t.Context(), p, in), want{class: payment.OutcomeVoided})
	pr.intents = append(pr.intents, object{ // a charge of other software
		"id": "pi_other", "object": "payment_intent", "status": "succeeded", "amount": 5, "currency": "usd", "livemode": false,
		"metadata": map[string]string{}, "created": began.Unix(),
	})
	var succeeded, declined int
	for c, err := range m.Charges(t.Context(), "", began) {
		switch {
		case err != nil:
			t.Fatal(err)
		case c.Outcome == payment.OutcomeSucceeded:
			succeeded++
		case c.Outcome == payment.OutcomeDeclined:
			declined++
		}
		if c.Route != "report" || c.Amount.String() != "1.50 USD" || !c.Created.Equal(began) {
			t.Errorf("charge = %+v", c)
		}
	}
	if succeeded != 129 || declined != 1 {
		t.Errorf("%d succeeded and %d declined, want 129 and 1", succeeded, declined)
	}
	pr.play("list", answer(500, `{"error":{"type":"api_error","message":"leakme"}}`))
	var failure error
	for _, err := range m.Charges(t.Context(), "", began) {
		failure = err
	}
	if failure == nil || errors.Unwrap(failure) == nil {
		t.Errorf("err = %v", failure)
	}
}
