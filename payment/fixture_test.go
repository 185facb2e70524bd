package payment_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// window is how long the payers of these tests may come back.
const window = 15 * time.Minute

var sealKey = []byte(strings.Repeat("k", 32))

// world is one seller: a store and a rail that outlive any process.
type world struct {
	*testing.T
	store payment.Store
	rail  *paymenttest.Method
}

// inTime runs a test in a bubble, where the clock moves only while all wait.
func inTime(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(&world{T: t, store: paymenttest.NewStore(), rail: &paymenttest.Method{}})
	})
}

// processor starts a process on the world's store.
func (w *world) processor(change func(*payment.Config)) *payment.Processor {
	w.Helper()
	cfg := payment.Config{Store: w.store, Methods: []payment.Method{w.rail}, Key: sealKey, Owner: "one", Now: time.Now}
	if change != nil {
		change(&cfg)
	}
	p, err := payment.New(w.Context(), cfg)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// failing is what a helper needs of a test or a property.
type failing interface {
	Helper()
	Fatal(args ...any)
}

func usd(tb failing, units int64) money.Amount {
	tb.Helper()
	a, err := money.New(units, "USD", 2)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func scope(target string) payment.Scope {
	return payment.Scope{Tenant: "shop", Route: "report", Method: "GET", Target: target}
}

// credential is the answer to challenge n with a token.
func credential(tb failing, n int, token string) payment.Credential {
	tb.Helper()
	challenge := fmt.Sprintf("challenge-%d", n)
	sum := sha256.Sum256([]byte(challenge + "\x00" + token))
	amount := usd(tb, 150)
	return payment.Credential{
		Protocol: "mpp", ChallengeID: challenge, Scope: scope("/v1/report"),
		Offer: payment.Offer{
			Method: "fake", Intent: "charge", Amount: amount,
			Quote: payment.Quote{Route: "report", Amount: amount, Description: "one report", Terms: payment.Terms{Account: "acct_1"}},
		},
		Payload: json.RawMessage(fmt.Sprintf(`{"token":%q}`, token)),
		Hash:    base64.RawURLEncoding.EncodeToString(sum[:]),
	}
}

// holding is a credential whose money is taken when there is something to give for it.
func holding(tb failing, n int, token string) payment.Credential {
	tb.Helper()
	c := credential(tb, n, token)
	c.Offer.Hold, c.Offer.Network = true, "eip155:84532"
	c.Payer = "0xabc" + token
	return c
}

func entitlement(redeliver bool) payment.Entitlement {
	return payment.Entitlement{Window: window, Redeliver: redeliver}
}

// charge settles the credential or ends the test.
func (w *world) charge(p *payment.Processor, c payment.Credential, redeliver bool) payment.Payment {
	w.Helper()
	pay, err := p.Charge(w.Context(), c, entitlement(redeliver))
	if err != nil {
		w.Fatalf("charge: %v", err)
	}
	return pay
}

// hold has the money of a credential promised, or ends the test.
func (w *world) hold(p *payment.Processor, c payment.Credential, redeliver bool) payment.Payment {
	w.Helper()
	pay, err := p.Hold(w.Context(), c, entitlement(redeliver))
	if err != nil {
		w.Fatalf("hold: %v", err)
	}
	if pay.State != payment.StatePending || !pay.Held {
		w.Fatalf("hold gave %s/%s, held %v", pay.State, pay.Delivery, pay.Held)
	}
	return pay
}

// capture takes an amount of it, or ends the test.
func (w *world) capture(p *payment.Processor, pay payment.Payment, units int64) payment.Payment {
	w.Helper()
	after, err := p.Capture(w.Context(), pay, usd(w, units))
	if err != nil {
		w.Fatalf("capture: %v", err)
	}
	return after
}

func (w *world) dispatch(p *payment.Processor, pay payment.Payment, durable bool) payment.Payment {
	w.Helper()
	pay, err := p.Dispatch(w.Context(), pay, durable)
	if err != nil {
		w.Fatalf("dispatch: %v", err)
	}
	return pay
}

// get reads the stored payment of a challenge.
func (w *world) get(c payment.Credential) payment.Payment {
	w.Helper()
	pay, err := w.store.ByChallenge(w.Context(), c.ChallengeID)
	if err != nil {
		w.Fatal(err)
	}
	return pay
}

func (w *world) recover(p *payment.Processor, first bool, want int) {
	w.Helper()
	if n, err := p.Recover(w.Context(), first); err != nil || n != want {
		w.Errorf("recovery moved %d, %v; want %d", n, err, want)
	}
}

// at checks where a stored payment is.
func (w *world) at(c payment.Credential, s payment.State, d payment.Delivery) payment.Payment {
	w.Helper()
	pay := w.get(c)
	if pay.State != s || pay.Delivery != d {
		w.Errorf("%s is %s/%s (%s), want %s/%s", c.ChallengeID, pay.State, pay.Delivery, pay.Reason, s, d)
	}
	return pay
}

// clean audits the books against the rail.
func (w *world) clean(charges, refunds int) payment.Report {
	w.Helper()
	report, err := payment.Audit(w.Context(), w.store, time.Now(), time.Minute)
	if err != nil {
		w.Fatal(err)
	}
	for _, b := range report.Breaks {
		w.Errorf("broken: %+v", b)
	}
	if c, r := w.rail.Total(); c != charges || r != refunds {
		w.Errorf("the rail made %d charges and %d refunds, want %d and %d", c, r, charges, refunds)
	}
	for _, c := range w.rail.Calls() {
		if n := w.rail.Charges(c.Key); n > 1 {
			w.Errorf("key %s was charged %d times", c.Key, n)
		}
	}
	return report
}

// wantKind checks a refusal.
func wantKind(tb testing.TB, err error, want payment.Kind) *payment.Error {
	tb.Helper()
	pe, ok := errors.AsType[*payment.Error](err)
	if !ok || pe.Kind != want {
		tb.Errorf("error %v, want %s", err, want)
		return &payment.Error{}
	}
	return pe
}

// unknown is an answer that says nothing.
func unknown() payment.Outcome {
	return payment.Outcome{Class: payment.OutcomeUnknown, Reason: "timeout", Err: errors.New("connection reset")}
}

// always answers an operation n times the same way.
func always(n int, r paymenttest.Reply) []paymenttest.Reply {
	out := make([]paymenttest.Reply, n)
	for i := range out {
		out[i] = r
	}
	return out
}

// tap is a store that a test can look into and break.
type tap struct {
	payment.Store
	claim  func(ctx context.Context, p payment.Payment, real func() error) error
	update func(ctx context.Context, p payment.Payment, real func() error) error
}

func (s *tap) Claim(ctx context.Context, p payment.Payment) error {
	run := func() error { return s.Store.Claim(ctx, p) }
	if s.claim == nil {
		return run()
	}
	return s.claim(ctx, p, run)
}

func (s *tap) Update(ctx context.Context, p payment.Payment, entries []payment.Entry, events []payment.Event) error {
	run := func() error { return s.Store.Update(ctx, p, entries, events) }
	if s.update == nil {
		return run()
	}
	return s.update(ctx, p, run)
}

// crash is what a process dies with at a point.
type crash struct{}

// dies runs f in a process that dies at a point, and reports whether it did.
func dies(f func()) (died bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ours := r.(crash); !ours {
				panic(r)
			}
			died = true
		}
	}()
	f()
	return false
}

// dieAt makes a process die when it reaches a point.
func dieAt(point string) func(*payment.Config) {
	return func(c *payment.Config) {
		c.Point = func(name string) {
			if name == point {
				panic(crash{})
			}
		}
	}
}
