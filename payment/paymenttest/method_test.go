package paymenttest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

func quote(t *testing.T, cents int64) payment.Quote {
	t.Helper()
	amount, err := money.New(cents, "USD", 2)
	if err != nil {
		t.Fatal(err)
	}
	return payment.Quote{Route: "report", Amount: amount}
}

func TestMethod(t *testing.T) {
	var m *paymenttest.Method
	tokens := 0
	paymenttest.RunMethod(t, paymenttest.MethodCase{
		New: func(*testing.T) payment.Method {
			m = &paymenttest.Method{Minimum: 50, Holds: true}
			return m
		},
		Quote: quote(t, 100), TooSmall: quote(t, 49),
		Credential: func(_ *testing.T, o payment.Offer, challengeID string) payment.Credential {
			tokens++
			return payment.Credential{
				Protocol: "mpp", ChallengeID: challengeID, Offer: o,
				Payload: json.RawMessage(fmt.Sprintf(`{"token":"tok_%d"}`, tokens)),
			}
		},
		Secret:    func(json.RawMessage) string { return fmt.Sprintf("tok_%d", tokens) },
		Malformed: []string{`{}`, `[]`, `{"token":7}`, `nonsense`},
		Charges:   func(_ *testing.T, p payment.Payment) int { return m.Charges(p.Key) },
		Voids:     true, Refunds: true,
	})
}

func TestMethodScript(t *testing.T) {
	m := &paymenttest.Method{}
	p, in := paymenttest.Sample(t, 1), payment.Intent{Key: "k"}
	unknown := payment.Outcome{Class: payment.OutcomeUnknown, Err: errors.New("connection lost")}
	m.Script("charge", paymenttest.Reply{Outcome: unknown, Moves: true})
	if out := m.Charge(t.Context(), p, in); out.Class != payment.OutcomeUnknown {
		t.Errorf("scripted charge = %+v", out)
	}
	if m.Charges("k") != 1 {
		t.Errorf("%d charges behind the lost answer, want 1", m.Charges("k"))
	}
	if out := m.Lookup(t.Context(), p, in); out.Class != payment.OutcomeSucceeded {
		t.Errorf("lookup = %+v", out)
	}
	if out := m.Charge(t.Context(), p, in); out.Class != payment.OutcomeSucceeded || m.Charges("k") != 1 {
		t.Errorf("repeat = %+v with %d charges", out, m.Charges("k"))
	}
	declined := payment.Outcome{Class: payment.OutcomeDeclined, Reason: "card_declined"}
	m.Script("charge", paymenttest.Reply{Outcome: declined})
	for range 2 { // a key's answer is stored, a decline too
		if out := m.Charge(t.Context(), p, payment.Intent{Key: "d"}); out.Class != payment.OutcomeDeclined || m.Charges("d") != 0 {
			t.Errorf("decline = %+v", out)
		}
	}
	if n := len(m.Calls()); n != 5 {
		t.Errorf("%d calls recorded, want 5", n)
	}
}

func TestMethodHolds(t *testing.T) {
	m := &paymenttest.Method{Holds: true}
	p, in := paymenttest.SampleHeld(t, 1), payment.Intent{Key: "k"}
	if out := m.Hold(t.Context(), p, in); out.Class != payment.OutcomeSucceeded || m.Charges("k") != 0 {
		t.Errorf("hold = %+v with %d charges", out, m.Charges("k"))
	}
	m.Script("capture", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeUnknown, Err: errors.New("cut")}, Moves: true})
	p.Amount = quote(t, 40).Amount
	if out := m.Capture(t.Context(), p, in); out.Class != payment.OutcomeUnknown || m.Charges("k") != 1 {
		t.Errorf("capture whose answer is lost = %+v with %d charges", out, m.Charges("k"))
	}
	if out := m.Release(t.Context(), p, in); out.Class != payment.OutcomeStarted {
		t.Errorf("release of what was taken = %+v", out)
	}
	if out := m.Capture(t.Context(), p, in); out.Class != payment.OutcomeSucceeded || m.Charges("k") != 1 || m.Taken("k") != p.Amount {
		t.Errorf("repeat = %+v with %d charges of %s", out, m.Charges("k"), m.Taken("k"))
	}
	gone := payment.Intent{Key: "gone"}
	if out := m.Release(t.Context(), p, gone); out.Class != payment.OutcomeVoided {
		t.Errorf("release = %+v", out)
	}
	if out := m.Capture(t.Context(), p, gone); out.Class != payment.OutcomeDeclined || m.Charges("gone") != 0 {
		t.Errorf("capture after it = %+v", out)
	}
	if out := m.Hold(t.Context(), p, gone); out.Class != payment.OutcomeDeclined {
		t.Errorf("hold after it = %+v", out)
	}
	if o, err := m.Offer(payment.Quote{Amount: p.Amount, Metered: true}); err != nil || !o.Hold || !o.Metered {
		t.Errorf("offer of a metered quote = %+v, %v", o, err)
	}
	m.Holds = false
	if o, err := m.Offer(payment.Quote{Amount: p.Amount, Hold: true}); err != nil || o.Hold {
		t.Errorf("offer of a rail that holds nothing = %+v, %v", o, err)
	}
}
