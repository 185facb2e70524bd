package paymenttest

import (
	"testing"

	"paywall/money"
	"paywall/payment"
)

// holder returns the method as a [payment.Holder] with a held payment, claimed
// and not yet promised, or skips the test with a notice.
func (c MethodCase) holder(t *testing.T, metered bool, n int) (payment.Holder, payment.Payment, payment.Intent) {
	t.Helper()
	m, ok := c.New(t).(payment.Holder)
	if !ok {
		t.Skip("this rail cannot hold")
	}
	q := c.Quote
	q.Hold, q.Metered = true, metered
	o, err := m.Offer(q)
	if err != nil {
		t.Skipf("this rail does not hold for the quote: %v", err)
	}
	if !o.Hold || o.Metered != metered {
		t.Skipf("this rail offers hold %t, metered %t", o.Hold, o.Metered)
	}
	p, in := c.readyHeld(t, m, o, n)
	return m, p, in
}

func (c MethodCase) readyHeld(t *testing.T, m payment.Method, o payment.Offer, n int) (payment.Payment, payment.Intent) {
	t.Helper()
	p := Sample(t, n)
	cred := c.Credential(t, o, p.ChallengeID)
	p = c.claimed(t, m, p, cred)
	p.Held, p.Payer, p.Network = true, cred.Payer, o.Network
	in, err := m.Prepare(p, cred)
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	p.Key, p.Account = in.Key, in.Account
	return p, in
}

func (c MethodCase) hold(t *testing.T) {
	m, p, in := c.holder(t, false, 1)
	for range 2 {
		if out := m.Hold(t.Context(), p, in); out.Class != payment.OutcomeSucceeded || out.Amount != p.Amount {
			t.Fatalf("hold = %+v, want the promise of %s", out, p.Amount)
		}
	}
	c.charges(t, p, 0)
	if out := m.Release(t.Context(), p, in); out.Class != payment.OutcomeVoided {
		t.Errorf("release = %+v, want voided", out)
	}
	if out := m.Release(t.Context(), p, in); out.Class != payment.OutcomeVoided {
		t.Errorf("second release = %+v, want voided", out)
	}
	c.charges(t, p, 0)
}

func (c MethodCase) capture(t *testing.T) {
	m, p, in := c.holder(t, false, 1)
	if out := m.Hold(t.Context(), p, in); out.Class != payment.OutcomeSucceeded {
		t.Fatalf("hold = %+v", out)
	}
	p = Step(p, payment.StateAuthorized, payment.DeliveryOpen)
	c.captureTwice(t, m, p, in)
}

func (c MethodCase) captureLess(t *testing.T) {
	m, p, in := c.holder(t, true, 1)
	if out := m.Hold(t.Context(), p, in); out.Class != payment.OutcomeSucceeded {
		t.Fatalf("hold = %+v", out)
	}
	p = Step(p, payment.StateAuthorized, payment.DeliveryOpen)
	less, err := money.New((p.Amount.Units()+1)/2, p.Amount.Currency(), p.Amount.Scale())
	if err != nil {
		t.Fatal(err)
	}
	p.Amount = less
	c.captureTwice(t, m, p, in)
}

// captureTwice captures, and captures again as a second process would that does
// not know of the first.
func (c MethodCase) captureTwice(t *testing.T, m payment.Holder, p payment.Payment, in payment.Intent) {
	t.Helper()
	first := m.Capture(t.Context(), p, in)
	if first.Class != payment.OutcomeSucceeded || first.Reference == "" || first.Amount != p.Amount {
		t.Fatalf("capture = %+v, want %s", first, p.Amount)
	}
	c.charges(t, p, 1)
	p.Attempts++
	again := m.Capture(t.Context(), p, in)
	if again.Class == payment.OutcomeDeclined || again.Class == payment.OutcomeVoided {
		t.Errorf("second capture = %+v, though the money was taken", again)
	}
	if again.Class == payment.OutcomeSucceeded && again.Reference != first.Reference {
		t.Errorf("second capture = %+v, want the first's answer %+v", again, first)
	}
	c.charges(t, p, 1)
}
