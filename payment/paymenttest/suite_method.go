package paymenttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"paywall/payment"
)

// MethodCase tells [RunMethod] how to make what it needs. New, Quote and
// Credential are required; without a part the tests that need it are skipped.
type MethodCase struct {
	// New returns a method whose rail is fresh.
	New func(t *testing.T) payment.Method
	// Quote is one the method can take, with the money held if it is a
	// [payment.Holder] that offers to; TooSmall one below its minimum.
	Quote, TooSmall payment.Quote
	// Credential returns a good credential for the offer, with a fresh
	// instrument each time and the given challenge.
	Credential func(t *testing.T, o payment.Offer, challengeID string) payment.Credential
	// Secret finds in a payload what must appear in no key, such as the token.
	Secret func(payload json.RawMessage) string
	// Malformed are payloads that Inspect refuses.
	Malformed []string
	// Charges counts the charges that exist at the rail under the payment.
	Charges func(t *testing.T, p payment.Payment) int
	// Voids and Refunds say that the rail can do these.
	Voids, Refunds bool
}

// RunMethod checks the contract of [payment.Method].
func RunMethod(t *testing.T, c MethodCase) {
	t.Helper()
	t.Run("offer", c.offer)
	t.Run("inspect", c.inspect)
	t.Run("prepare", c.prepare)
	t.Run("I1 a repeated charge moves money once", c.chargeTwice)
	t.Run("lookup finds what was charged and nothing else", c.lookup)
	t.Run("void excludes a charge", c.void)
	t.Run("a repeated refund pays back once", c.refund)
	t.Run("a promise takes nothing, and is given up", c.hold)
	t.Run("I1 a repeated capture moves money once", c.capture)
	t.Run("a metered capture takes what was used", c.captureLess)
}

// ready returns a payment with its intent, as the Processor would claim it.
func (c MethodCase) ready(t *testing.T, m payment.Method, n int) (payment.Payment, payment.Intent) {
	t.Helper()
	o, err := m.Offer(c.Quote)
	if err != nil {
		t.Fatalf("offer: %v", err)
	}
	p := Sample(t, n)
	cred := c.Credential(t, o, p.ChallengeID)
	p = c.claimed(t, m, p, cred)
	in, err := m.Prepare(p, cred)
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	p.Key, p.Account = in.Key, in.Account
	return p, in
}

func (c MethodCase) claimed(t *testing.T, m payment.Method, p payment.Payment, cred payment.Credential) payment.Payment {
	t.Helper()
	inst, err := m.Inspect(cred)
	if err != nil {
		t.Fatalf("inspect: %v", err)
	}
	p.Method, p.Protocol, p.Instrument = m.Name(), cred.Protocol, inst.Fingerprint
	p.Amount, p.Scope, p.Description = cred.Offer.Amount, cred.Scope, cred.Offer.Quote.Description
	p.Account, p.Key = "", ""
	return p
}

func (c MethodCase) offer(t *testing.T) {
	m := c.New(t)
	name := m.Name()
	if len(name) < 1 || len(name) > 20 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "" {
		t.Errorf("name %q is not 1 to 20 lower-case letters", name)
	}
	o, err := m.Offer(c.Quote)
	if err != nil {
		t.Fatal(err)
	}
	if o.Method != name || o.Intent == "" || o.Quote.Amount != c.Quote.Amount {
		t.Errorf("offer = %+v", o)
	}
	if cmp, err := o.Amount.Cmp(c.Quote.Amount); o.Amount.Currency() == c.Quote.Amount.Currency() && (err != nil || cmp != 0) {
		t.Errorf("offer of %s for a quote of %s", o.Amount, c.Quote.Amount)
	}
	if o.Details != nil && !json.Valid(o.Details) {
		t.Errorf("details are not JSON: %s", o.Details)
	}
	if !c.TooSmall.Amount.Valid() {
		return
	}
	if _, err := m.Offer(c.TooSmall); !errors.Is(err, payment.ErrNotOffered) {
		t.Errorf("offer below the minimum: %v, want ErrNotOffered", err)
	}
}

func (c MethodCase) inspect(t *testing.T) {
	m := c.New(t)
	o, err := m.Offer(c.Quote)
	if err != nil {
		t.Fatal(err)
	}
	cred := c.Credential(t, o, "challenge-1")
	first, err := m.Inspect(cred)
	if err != nil || first.Fingerprint == "" {
		t.Fatalf("inspect = %+v, %v", first, err)
	}
	if c.Secret != nil && strings.Contains(first.Fingerprint, c.Secret(cred.Payload)) {
		t.Error("the fingerprint shows the secret")
	}
	more := cred
	more.ChallengeID = "challenge-2"
	more.Payload = extended(t, cred.Payload)
	if got, err := m.Inspect(more); err == nil && got != first {
		t.Errorf("an extra member makes another instrument: %+v, %+v", first, got)
	}
	more.Payload = cred.Payload
	if got, err := m.Inspect(more); err != nil || got != first {
		t.Errorf("another challenge makes another instrument: %+v, %v", got, err)
	}
	if other, err := m.Inspect(c.Credential(t, o, "challenge-3")); err != nil || other == first {
		t.Errorf("two instruments have one fingerprint: %+v, %v", other, err)
	}
	for _, payload := range c.Malformed {
		bad := cred
		bad.Payload = json.RawMessage(payload)
		_, err := m.Inspect(bad)
		if pe, ok := errors.AsType[*payment.Error](err); !ok || pe.Kind != payment.KindInvalidPayload {
			t.Errorf("inspect %s: %v, want invalid-payload", payload, err)
		}
	}
}

// extended adds a member that nobody knows to a JSON object.
func extended(t *testing.T, payload json.RawMessage) json.RawMessage {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil {
		t.Fatalf("payload: %v", err)
	}
	members["zzSuite"] = json.RawMessage(`"x"`)
	out, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c MethodCase) prepare(t *testing.T) {
	m := c.New(t)
	o, err := m.Offer(c.Quote)
	if err != nil {
		t.Fatal(err)
	}
	cred := c.Credential(t, o, "challenge-1")
	p := c.claimed(t, m, Sample(t, 1), cred)
	first, err := m.Prepare(p, cred)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // the order of a map must not show
		again, err := m.Prepare(p, cred)
		if err != nil || again.Key != first.Key || again.Account != first.Account || !bytes.Equal(again.Request, first.Request) {
			t.Fatalf("equal inputs, other intent: %v\n%s\n%s", err, first.Request, again.Request)
		}
	}
	if first.Key == "" || c.Secret != nil && strings.Contains(first.Key, c.Secret(cred.Payload)) {
		t.Errorf("key %q is empty or shows the instrument", first.Key)
	}
	other := c.Credential(t, o, "challenge-1")
	if got, err := m.Prepare(c.claimed(t, m, p, other), other); err != nil || got.Key != first.Key {
		t.Errorf("another instrument for the challenge makes key %q, %v; want %q", got.Key, err, first.Key)
	}
	cred.ChallengeID = "challenge-2"
	p.ChallengeID = "challenge-2"
	if got, err := m.Prepare(p, cred); err != nil || got.Key == first.Key {
		t.Errorf("two challenges share key %q, %v", got.Key, err)
	}
}

func (c MethodCase) charges(t *testing.T, p payment.Payment, want int) {
	t.Helper()
	if c.Charges == nil {
		return
	}
	if got := c.Charges(t, p); got != want {
		t.Errorf("%d charges at the rail, want %d", got, want)
	}
}

func (c MethodCase) chargeTwice(t *testing.T) {
	m := c.New(t)
	p, in := c.ready(t, m, 1)
	first := m.Charge(t.Context(), p, in)
	if first.Class != payment.OutcomeSucceeded || first.Reference == "" || first.Amount != p.Amount {
		t.Fatalf("charge = %+v", first)
	}
	again := m.Charge(t.Context(), p, in)
	if again.Class != payment.OutcomeSucceeded || again.Reference != first.Reference || again.Amount != first.Amount {
		t.Errorf("second charge = %+v, want the first's answer %+v", again, first)
	}
	c.charges(t, p, 1)
}

func (c MethodCase) lookup(t *testing.T) {
	m := c.New(t)
	p, in := c.ready(t, m, 1)
	if out := m.Lookup(t.Context(), p, in); out.Class != payment.OutcomeNone {
		t.Errorf("lookup before = %+v, want none", out)
	}
	c.charges(t, p, 0)
	charged := m.Charge(t.Context(), p, in)
	if out := m.Lookup(t.Context(), p, in); out.Class != payment.OutcomeSucceeded || out.Reference != charged.Reference || out.Amount != p.Amount {
		t.Errorf("lookup after = %+v, want %+v", out, charged)
	}
	c.charges(t, p, 1)
}

func (c MethodCase) void(t *testing.T) {
	if !c.Voids {
		t.Skip("this rail cannot void")
	}
	m := c.New(t)
	p, in := c.ready(t, m, 1)
	if out := m.Void(t.Context(), p, in); out.Class != payment.OutcomeVoided {
		t.Errorf("void = %+v, want voided", out)
	}
	if out := m.Charge(t.Context(), p, in); out.Class == payment.OutcomeSucceeded {
		t.Errorf("charge after the void = %+v", out)
	}
	c.charges(t, p, 0)

	p, in = c.ready(t, m, 2)
	charged := m.Charge(t.Context(), p, in)
	if out := m.Void(t.Context(), p, in); out.Class == payment.OutcomeVoided {
		t.Error("a void proves the absence of a charge that exists")
	}
	if out := m.Charge(t.Context(), p, in); out.Class != payment.OutcomeSucceeded || out.Reference != charged.Reference {
		t.Errorf("stored answer after the void = %+v, want %+v", out, charged)
	}
	c.charges(t, p, 1)
}

func (c MethodCase) refund(t *testing.T) {
	if !c.Refunds {
		t.Skip("this rail cannot refund")
	}
	m := c.New(t)
	p, in := c.ready(t, m, 1)
	charged := m.Charge(t.Context(), p, in)
	p = Step(p, payment.StateSettled, payment.DeliveryOpen)
	p.Reference = charged.Reference
	first := m.Refund(t.Context(), p)
	if first.Class != payment.OutcomeSucceeded || first.Reference == "" || first.Amount != p.Amount {
		t.Fatalf("refund = %+v", first)
	}
	if again := m.Refund(t.Context(), p); again.Class != payment.OutcomeSucceeded || again.Reference != first.Reference {
		t.Errorf("second refund = %+v, want the first's answer %+v", again, first)
	}
}
