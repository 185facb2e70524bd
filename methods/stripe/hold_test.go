package stripe_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/methods/stripe"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

func manual(c *stripe.Config) { c.ManualCapture = true }

func TestMethodThatHolds(t *testing.T) {
	var pr *processor
	paymenttest.RunMethod(t, paymenttest.MethodCase{
		New: func(t *testing.T) payment.Method {
			t.Helper()
			pr = newProcessor(t)
			return pr.rail(t, manual)
		},
		Quote: quote(t, "1.50 USD"), TooSmall: quote(t, "0.49 USD"),
		Credential: func(_ *testing.T, o payment.Offer, challengeID string) payment.Credential {
			return credential(o, challengeID, pr.mint(token{}))
		},
		Secret: func(payload json.RawMessage) string {
			return strings.TrimSuffix(strings.TrimPrefix(string(payload), `{"spt":"`), `"}`)
		},
		Malformed: []string{`{}`},
		Charges:   func(_ *testing.T, p payment.Payment) int { return pr.charged(p.ID) },
		Voids:     true, Refunds: true,
	})
}

func TestHoldsAreOfferedWhenSwitchedOn(t *testing.T) {
	pr := newProcessor(t)
	q := quote(t, "1.50 USD")
	q.Hold = true
	if o, err := pr.rail(t).Offer(q); err != nil || o.Hold {
		t.Errorf("switched off: hold %t, %v", o.Hold, err)
	}
	m := pr.rail(t, manual)
	if o, err := m.Offer(q); err != nil || !o.Hold || o.Metered {
		t.Errorf("switched on: hold %t, metered %t, %v", o.Hold, o.Metered, err)
	}
	if o, err := m.Offer(quote(t, "1.50 USD")); err != nil || o.Hold {
		t.Errorf("not asked for: hold %t, %v", o.Hold, err)
	}
	q.Metered = true
	_, err := m.Offer(q)
	wantNotOffered(t, err, "meter prepaid credit")
}

// hold is a payment that is claimed to be held, with its intent.
func hold(t *testing.T, pr *processor, tok token) (*stripe.Method, payment.Payment, payment.Intent) {
	t.Helper()
	m := pr.rail(t, manual)
	q := quote(t, "1.50 USD")
	q.Hold = true
	o, err := m.Offer(q)
	if err != nil {
		t.Fatal(err)
	}
	p := paymenttest.Sample(t, 1)
	p.Method, p.Amount, p.Account, p.Held = m.Name(), o.Amount, "", true
	in, err := m.Prepare(p, credential(o, p.ChallengeID, pr.mint(tok)))
	if err != nil {
		t.Fatal(err)
	}
	p.Key = in.Key
	return m, p, in
}

func authorized(p payment.Payment) payment.Payment {
	p.State, p.Delivery = payment.StateAuthorized, payment.DeliveryOpen
	return p
}

func (p *processor) status() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.intents) != 1 {
		return "none, or several"
	}
	return p.intents[0]["status"].(string)
}

// taken makes a capture of an intent.
func taken(pi object, units int64) {
	charge := pi["latest_charge"].(object).clone()
	charge["captured"] = true
	pi["status"], pi["amount_received"], pi["latest_charge"] = "succeeded", units, charge
}

func TestHoldWire(t *testing.T) {
	pr := newProcessor(t)
	m, p, in := hold(t, pr, token{})
	check(t, m.Hold(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
	check(t, m.Capture(t.Context(), authorized(p), in), want{class: payment.OutcomeSucceeded})
	made, taken := pr.sent("create"), pr.sent("capture")
	if len(made) != 2 || !strings.Contains(made[0].Body, "&capture_method=manual&") || made[0].Body != made[1].Body {
		t.Errorf("created by %+v", made)
	}
	if len(taken) != 1 || taken[0].Body != "amount_to_capture=150&expand[0]=latest_charge" || !strings.HasSuffix(taken[0].URI, "/capture") {
		t.Errorf("captured by %+v", taken)
	}
}

func TestHold(t *testing.T) {
	mismatch := payment.OutcomeMismatch
	for _, tt := range []struct {
		name    string
		token   token
		arrange func(*processor)
		want    want
	}{
		{"promised", token{}, nil, want{class: payment.OutcomeSucceeded}},
		{"declined", token{fate: "insufficient_funds"}, nil, want{class: payment.OutcomeDeclined, kind: verification, reason: "insufficient_funds"}},
		{"the bank wants a person", token{fate: "requires_action"}, nil, want{class: payment.OutcomeDeclined, kind: action, reason: "requires_action"}},
		{"token spent", token{reason: "consumed"}, nil, want{class: payment.OutcomeDeclined, kind: verification, reason: "token_consumed"}},
		{"promised less", token{}, func(pr *processor) { pr.touch = func(o object) { o["amount_capturable"] = 149 } }, want{class: mismatch, reason: "capturable_differs"}},
		{"does not say what is promised", token{}, func(pr *processor) { pr.touch = func(o object) { delete(o, "amount_capturable") } }, want{class: mismatch, reason: "capturable_differs"}},
		{"taken at once", token{}, func(pr *processor) {
			pr.touch = func(o object) { taken(o, 150) }
		}, want{class: mismatch, reason: "captured_already"}},
		{"no answer", token{}, func(pr *processor) { pr.play("create", drop(true)) }, want{reason: "no_answer"}},
		{"limit", token{}, func(pr *processor) { pr.play("create", answer(429, ``)) }, want{class: payment.OutcomeNotNow, reason: "rate_limited"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			m, p, in := hold(t, pr, tt.token)
			if tt.arrange != nil {
				tt.arrange(pr)
			}
			check(t, m.Hold(t.Context(), p, in), tt.want)
		})
	}
}

// Nobody serves on a promise that was given up since.
func TestHoldAgainTellsHowItIsNow(t *testing.T) {
	pr := newProcessor(t)
	m, p, in := hold(t, pr, token{})
	check(t, m.Hold(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
	pr.play("get", answer(503, ``))
	check(t, m.Hold(t.Context(), p, in), want{reason: "status_503"})
	pr.edit(func(o object) { o["status"] = "canceled" }) // by hand, or by time
	check(t, m.Hold(t.Context(), p, in), want{class: payment.OutcomeDeclined, reason: "canceled"})
	check(t, m.Capture(t.Context(), authorized(p), in), want{class: payment.OutcomeDeclined, reason: "canceled"})
}

func TestCapture(t *testing.T) {
	refusal := `{"error":{"type":"invalid_request_error","code":"payment_intent_unexpected_state","message":"leakme"}}`
	for _, tt := range []struct {
		name    string
		arrange func(*processor)
		want    want
		then    want // of the next attempt
	}{
		{"taken", nil, want{class: payment.OutcomeSucceeded}, want{class: payment.OutcomeSucceeded}},
		{"lost before", func(pr *processor) { pr.play("capture", answer(503, ``)) }, want{reason: "status_503"}, want{class: payment.OutcomeSucceeded}},
		{"lost after", func(pr *processor) { pr.play("capture", instead(answer(200, `{"id":"pi_`))) }, want{reason: "odd_answer"}, want{class: payment.OutcomeSucceeded}},
		{"limit", func(pr *processor) { pr.play("capture", answer(429, ``)) }, want{class: payment.OutcomeNotNow, reason: "rate_limited"}, want{class: payment.OutcomeSucceeded}},
		{"the hold cannot be read", func(pr *processor) { pr.play("create", answer(429, ``)) }, want{reason: "rate_limited"}, want{class: payment.OutcomeSucceeded}},
		{"refused, and not taken", func(pr *processor) { pr.play("capture", answer(400, refusal)) }, want{reason: "capture_refused"}, want{class: payment.OutcomeSucceeded}},
		{"taken by somebody else at this moment", func(pr *processor) {
			pr.play("capture", func(w http.ResponseWriter, _ *http.Request, serve func(http.ResponseWriter)) {
				pr.edit(func(o object) { taken(o, 150) })
				serve(w)
			})
		}, want{class: payment.OutcomeSucceeded}, want{class: payment.OutcomeSucceeded}},
		{"given up at this moment", func(pr *processor) {
			pr.play("capture", func(w http.ResponseWriter, _ *http.Request, serve func(http.ResponseWriter)) {
				pr.edit(func(o object) { o["status"] = "canceled" })
				serve(w)
			})
		}, want{class: payment.OutcomeDeclined, reason: "canceled"}, want{class: payment.OutcomeDeclined, reason: "canceled"}},
		{"the bank goes back on its word", func(pr *processor) {
			pr.play("capture", func(w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) {
				pr.edit(func(o object) {
					o["status"], o["last_payment_error"] = "requires_payment_method", object{"code": "card_declined", "decline_code": "insufficient_funds"}
				})
				answer(402, `{"error":{"type":"card_error","code":"card_declined"}}`)(w, r, nil)
			})
		}, want{class: payment.OutcomeDeclined, kind: verification, reason: "insufficient_funds"}, want{class: payment.OutcomeDeclined, kind: verification, reason: "insufficient_funds"}},
		{"less was taken", func(pr *processor) {
			pr.play("capture", func(w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) {
				pr.edit(func(o object) { taken(o, 149) })
				respond(w, 200, pr.intents[0])
			})
		}, want{class: payment.OutcomeMismatch, reason: "received_differs"}, want{class: payment.OutcomeMismatch, reason: "received_differs"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			m, p, in := hold(t, pr, token{})
			check(t, m.Hold(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
			p = authorized(p)
			if tt.arrange != nil {
				tt.arrange(pr)
			}
			check(t, m.Capture(t.Context(), p, in), tt.want)
			check(t, m.Capture(t.Context(), p, in), tt.then)
			if n := pr.charged(""); n > 1 {
				t.Errorf("%d charges", n)
			}
		})
	}
}

func TestLookupOfWhatIsHeld(t *testing.T) {
	pr := newProcessor(t)
	m, p, in := hold(t, pr, token{})
	check(t, m.Hold(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
	for c, err := range m.Charges(t.Context(), "", began.Add(-time.Hour)) {
		if err != nil || c.PaymentID != p.ID || c.Outcome != payment.OutcomeUnknown {
			t.Errorf("listed as %+v, %v", c, err)
		}
	}
	p = authorized(p)
	check(t, m.Lookup(t.Context(), p, in), want{class: payment.OutcomeStarted, reason: "requires_capture"})
	check(t, m.Capture(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
	check(t, m.Lookup(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
}

func TestRelease(t *testing.T) {
	voided := want{class: payment.OutcomeVoided}
	t.Run("before anything was sent", func(t *testing.T) {
		pr := newProcessor(t)
		m, p, in := hold(t, pr, token{})
		check(t, m.Release(t.Context(), p, in), voided)
		check(t, m.Release(t.Context(), p, in), voided)
		check(t, m.Hold(t.Context(), p, in), want{reason: "void_begun"}) // the key is burned
		if pr.status() != "canceled" || pr.charged("") != 0 {
			t.Errorf("intent %s, %d charges", pr.status(), pr.charged(""))
		}
	})
	t.Run("what was promised to nobody", func(t *testing.T) {
		pr := newProcessor(t)
		m, p, in := hold(t, pr, token{})
		pr.play("create", drop(true))
		check(t, m.Hold(t.Context(), p, in), want{reason: "no_answer"})
		check(t, m.Release(t.Context(), p, in), voided)
		if pr.status() != "canceled" {
			t.Errorf("intent %s", pr.status())
		}
	})
	t.Run("after an interruption", func(t *testing.T) {
		pr := newProcessor(t)
		m, p, in := hold(t, pr, token{})
		check(t, m.Hold(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
		pr.play("cancel", answer(503, ``))
		check(t, m.Release(t.Context(), p, in), want{reason: "status_503"})
		pr.play("get", answer(429, ``))
		check(t, m.Release(t.Context(), p, in), want{reason: "rate_limited"})
		check(t, m.Release(t.Context(), p, in), voided)
		if pr.status() != "canceled" {
			t.Errorf("intent %s", pr.status())
		}
	})
	t.Run("of what the bank refused", func(t *testing.T) {
		pr := newProcessor(t)
		m, p, in := hold(t, pr, token{fate: "insufficient_funds"})
		check(t, m.Hold(t.Context(), p, in), want{class: payment.OutcomeDeclined, kind: verification, reason: "insufficient_funds"})
		check(t, m.Release(t.Context(), p, in), voided)
	})
	t.Run("of what was taken", func(t *testing.T) {
		pr := newProcessor(t)
		m, p, in := hold(t, pr, token{})
		check(t, m.Hold(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
		pr.play("cancel", func(w http.ResponseWriter, _ *http.Request, serve func(http.ResponseWriter)) {
			pr.edit(func(o object) { taken(o, 150) })
			serve(w)
		})
		taken := want{class: payment.OutcomeMismatch, reason: "captured_already"}
		check(t, m.Release(t.Context(), p, in), taken)
		check(t, m.Release(t.Context(), p, in), taken)
	})
}

// The calls of a hold never send a form that takes the money at once, and a charge
// that was prepared to be held is not taken by one that is not.
func TestHoldsAndChargesAreNotMixed(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t, manual)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	for _, held := range []bool{false, true} {
		p.Held = held
		for op, f := range map[string]func() payment.Outcome{
			"hold":    func() payment.Outcome { return m.Hold(t.Context(), p, in) },
			"capture": func() payment.Outcome { return m.Capture(t.Context(), p, in) },
			"release": func() payment.Outcome { return m.Release(t.Context(), p, in) },
		} {
			if out := f(); out.Class != payment.OutcomeMismatch || out.Reason != "not_to_be_held" {
				t.Errorf("%s: %+v", op, out)
			}
		}
	}
	in.Request = []byte(`{"account":""}`)
	check(t, m.Hold(t.Context(), p, in), want{reason: "intent_unreadable"})
	if len(pr.calls) != 0 {
		t.Errorf("%d calls", len(pr.calls))
	}
}

// Word of an authorization that was given up is for its owner alone.
func TestEventsOfWhatIsHeld(t *testing.T) {
	pr := newProcessor(t)
	m, p, in := hold(t, pr, token{})
	out := m.Hold(t.Context(), p, in)
	check(t, out, want{class: payment.OutcomeSucceeded})
	body := intentEvent("payment_intent.canceled", out.Reference, p.ID)
	check(t, reread(t, m, p, body), want{class: payment.OutcomeNone, reason: "requires_capture"})
	check(t, m.Release(t.Context(), p, in), want{class: payment.OutcomeVoided})
	check(t, reread(t, m, p, body), want{class: payment.OutcomeNone, reason: "canceled"})
}
