package facilitator_test

import (
	"bytes"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"paywall/methods/facilitator"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// counter is the payment core over this rail, with time that does not wait.
type counter struct {
	*payment.Processor
	t     *testing.T // of the bubble that time does not wait in
	w     *world
	m     *facilitator.Method
	store *paymenttest.Store
}

// RoundTrip is the way to the chain's node.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	w.serveNode(rec, r)
	return rec.Result(), nil
}

// withCore runs f at the time of the fixtures, with or without a node.
func withCore(t *testing.T, node bool, f func(c *counter)) {
	t.Helper()
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(began))
		w.live = time.Now
		m := w.method(func(c *facilitator.Config) {
			c.Node, c.Transport = "", nil
			if node {
				c.Node, c.Transport = "https://node.example", w
			}
		})
		store := paymenttest.NewStore()
		p, err := payment.New(t.Context(), payment.Config{
			Store: store, Methods: []payment.Method{m}, Key: bytes.Repeat([]byte{7}, 32), Owner: "one", Patience: 20 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		f(&counter{p, t, w, m, store})
	})
}

func (c *counter) credential(t *testing.T, challenge string) payment.Credential {
	t.Helper()
	o, err := c.m.Offer(quote(t))
	if err != nil {
		t.Fatal(err)
	}
	a := authorization(t, o)
	a.ValidBefore = big.NewInt(time.Now().Add(5 * time.Minute).Unix())
	return credential(o, challenge, signExact(t, a))
}

func (c *counter) pay(t *testing.T, cred payment.Credential) (payment.Payment, *payment.Error) {
	t.Helper()
	p, err := c.Charge(t.Context(), cred, payment.Entitlement{})
	if err == nil {
		return p, nil
	}
	return p, refusal(t, err)
}

// recover lets recovery work for a time.
func (c *counter) recover(t *testing.T, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(30 * time.Second) {
		if _, err := c.Recover(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
}

// state is what is stored of the first credential's payment.
func (c *counter) state(t *testing.T) payment.Payment {
	t.Helper()
	p, err := c.store.ByChallenge(t.Context(), "x402_1")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCore_LostAnswerIsFoundAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		node, forgets bool
		state         payment.State
	}{
		"the facilitator answers again":                     {false, false, payment.StateSettled},
		"it only says that it was used, and nobody can say": {false, true, payment.StateReview},
		"it only says that it was used, and the chain can":  {true, true, payment.StateSettled},
	} {
		t.Run(name, func(t *testing.T) {
			withCore(t, tt.node, func(c *counter) {
				t := c.t
				c.w.forgets, c.w.settles = tt.forgets, []play{lost}
				p, refused := c.pay(t, c.credential(t, "x402_1"))
				if stored := c.state(t); stored.State != tt.state || (refused == nil) != (tt.state == payment.StateSettled) {
					t.Errorf("payment = %+v, %v", stored, refused)
				}
				if tt.state == payment.StateSettled && len(p.Reference) != 66 {
					t.Errorf("payment = %+v", p)
				}
				if n := c.w.moved(); n != 1 {
					t.Errorf("%d transfers", n)
				}
			})
		})
	}
}

func TestCore_ParallelCopiesSettleOnce(t *testing.T) {
	withCore(t, false, func(c *counter) {
		t := c.t
		cred := c.credential(t, "x402_1")
		var (
			wg      sync.WaitGroup
			mu      sync.Mutex
			settled = map[string]int{}
		)
		for range 100 {
			wg.Go(func() {
				p, err := c.Charge(t.Context(), cred, payment.Entitlement{})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					settled[p.ID]++
				} else if pe, ok := errors.AsType[*payment.Error](err); !ok || !pe.Kind.Unsettled() {
					t.Errorf("refused: %v", err)
				}
			})
		}
		wg.Wait()
		if len(settled) != 1 || c.w.moved() != 1 || len(c.w.sent("settle")) != 1 {
			t.Errorf("%d payments, %d transfers, %d calls", len(settled), c.w.moved(), len(c.w.sent("settle")))
		}
	})
}

// One authorization under two challenges pays once.
func TestI002_OneAuthorizationPaysOnce(t *testing.T) {
	withCore(t, false, func(c *counter) {
		t := c.t
		cred := c.credential(t, "x402_1")
		if _, refused := c.pay(t, cred); refused != nil {
			t.Fatal(refused)
		}
		cred.ChallengeID, cred.Scope.Target = "x402v1_1", "/v1/reports/2"
		if p, refused := c.pay(t, cred); refused == nil || refused.Kind.Unsettled() {
			t.Errorf("paid again: %+v, %v", p, refused)
		}
		if n := len(c.w.sent("settle")); n != 1 {
			t.Errorf("%d settlements", n)
		}
	})
}

func TestCore_Declined(t *testing.T) {
	withCore(t, false, func(c *counter) {
		t := c.t
		c.w.poor = true
		_, refused := c.pay(t, c.credential(t, "x402_1"))
		if refused == nil || refused.Kind != payment.KindPaymentInsufficient || c.state(t).Reason != "insufficient_funds" {
			t.Errorf("refused = %+v, payment = %+v", refused, c.state(t))
		}
		c.w.poor = false
		if _, refused := c.pay(t, c.credential(t, "x402_2")); refused != nil {
			t.Errorf("the next payment: %v", refused)
		}
	})
}

func TestCore_SettlementPending(t *testing.T) {
	withCore(t, false, func(c *counter) {
		t := c.t
		wait := say(200, object{"success": false, "errorReason": "settlement_pending", "transaction": "0xfeed", "network": network})
		for range 20 {
			c.w.settles = append(c.w.settles, wait)
		}
		cred := c.credential(t, "x402_1")
		if _, refused := c.pay(t, cred); refused == nil || refused.Kind != payment.KindPending {
			t.Fatalf("refused = %+v", refused)
		}
		c.w.settles = nil
		// The very same payment collects what it paid for.
		if p, refused := c.pay(t, cred); refused != nil || p.State != payment.StateSettled {
			t.Errorf("payment = %+v, %v", p, refused)
		}
		if n := c.w.moved(); n != 1 {
			t.Errorf("%d transfers", n)
		}
	})
}

// The payer is gone and the answers were lost: nothing is concluded before the
// authorization is over, and then only by proof.
func TestCore_RecoveryConcludesByProofAlone(t *testing.T) {
	down := []play{silent, silent, silent, silent, silent, silent, silent, silent, silent, silent, silent, silent}
	for name, tt := range map[string]struct {
		node   bool
		settle []play
		early  payment.State // within the authorization's time
		late   payment.State
		reason string
	}{
		"not settled, with a node":    {true, down, payment.StatePending, payment.StateVoided, "authorization_expired"},
		"not settled, without a node": {false, down, payment.StatePending, payment.StateReview, "no_proof"},
		"settled, with a node":        {true, append([]play{lost}, down...), payment.StateSettled, payment.StateSettled, ""},
		"settled, without a node":     {false, append([]play{lost}, down...), payment.StateSettled, payment.StateSettled, ""},
	} {
		t.Run(name, func(t *testing.T) {
			withCore(t, tt.node, func(c *counter) {
				t := c.t
				c.w.settles = append([]play(nil), tt.settle...)
				if _, refused := c.pay(t, c.credential(t, "x402_1")); refused == nil || refused.Kind != payment.KindPending {
					t.Fatalf("refused = %+v", refused)
				}
				c.w.settles = nil
				c.recover(t, 3*time.Minute)
				if p := c.state(t); p.State != tt.early {
					t.Errorf("early: %s %q", p.State, p.Reason)
				}
				if tt.early == payment.StateSettled {
					return
				}
				c.recover(t, 16*time.Minute)
				if p := c.state(t); p.State != tt.late || p.Reason != tt.reason {
					t.Errorf("late: %s %q", p.State, p.Reason)
				}
				if n := c.w.moved(); n != 0 {
					t.Errorf("%d transfers", n)
				}
			})
		})
	}
}

// hold begins a payment whose money is taken once the goods are made.
func (c *counter) hold(t *testing.T) (payment.Payment, *payment.Error) {
	t.Helper()
	o, err := c.m.Offer(held(t))
	if err != nil {
		t.Fatal(err)
	}
	a := authorization(t, o)
	a.ValidBefore = big.NewInt(time.Now().Add(5 * time.Minute).Unix())
	cred := credential(o, "x402_1", signExact(t, a))
	p, err := c.Hold(t.Context(), cred, payment.Entitlement{})
	if err != nil {
		return p, refusal(t, err)
	}
	return p, nil
}

func TestCore_HoldThenCapture(t *testing.T) {
	withCore(t, false, func(c *counter) {
		t := c.t
		p, refused := c.hold(t)
		if refused != nil || p.State != payment.StatePending || len(c.w.sent("settle")) != 0 {
			t.Fatalf("hold = %+v, %v", p, refused)
		}
		c.w.settles = []play{lost} // and the stored answer is had by the next attempt
		p, err := c.Capture(t.Context(), p, p.Amount)
		if err != nil || p.State != payment.StateSettled || len(p.Reference) != 66 {
			t.Errorf("capture = %+v, %v", p, err)
		}
		if n := c.w.moved(); n != 1 {
			t.Errorf("%d transfers", n)
		}
	})
}

func TestCore_HoldThenRelease(t *testing.T) {
	withCore(t, false, func(c *counter) {
		t := c.t
		p, refused := c.hold(t)
		if refused != nil {
			t.Fatal(refused)
		}
		if p, err := c.Release(t.Context(), p, "upstream_failed"); err != nil || p.State != payment.StateVoided {
			t.Errorf("release = %+v, %v", p, err)
		}
		if n := len(c.w.sent("settle")); n != 0 {
			t.Errorf("%d settlements", n)
		}
	})
}

func TestCore_HoldRefused(t *testing.T) {
	withCore(t, false, func(c *counter) {
		t := c.t
		c.w.poor = true
		p, refused := c.hold(t)
		if refused == nil || refused.Kind != payment.KindPaymentInsufficient {
			t.Errorf("hold = %+v, %+v", p, refused)
		}
	})
}

// The money was there when it was asked about, and is gone when it is to be taken.
func TestCore_CaptureRefused(t *testing.T) {
	withCore(t, false, func(c *counter) {
		t := c.t
		p, refused := c.hold(t)
		if refused != nil {
			t.Fatal(refused)
		}
		c.w.poor = true
		p, err := c.Capture(t.Context(), p, p.Amount)
		if err == nil || p.State.Live() {
			t.Errorf("capture = %+v, %v", p, err)
		}
	})
}

// Nobody knows whether it was taken: it is found out, and collected by the same payment.
func TestCore_CaptureUnknown(t *testing.T) {
	for name, node := range map[string]bool{"with a node": true, "without a node": false} {
		t.Run(name, func(t *testing.T) {
			withCore(t, node, func(c *counter) {
				t := c.t
				p, refused := c.hold(t)
				if refused != nil {
					t.Fatal(refused)
				}
				c.w.settles = []play{lost, silent, silent, silent, silent, silent, silent, silent, silent, silent}
				if _, err := c.Capture(t.Context(), p, p.Amount); refusal(t, err).Kind != payment.KindPending {
					t.Fatalf("capture: %v", err)
				}
				c.w.settles = nil
				c.recover(t, 2*time.Minute)
				if p := c.state(t); p.State != payment.StateSettled || len(p.Reference) != 66 || c.w.moved() != 1 {
					t.Errorf("payment = %+v, %d transfers", p, c.w.moved())
				}
			})
		})
	}
}
