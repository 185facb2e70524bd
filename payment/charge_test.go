package payment_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

func TestNew(t *testing.T) {
	good := payment.Config{Store: paymenttest.NewStore(), Methods: []payment.Method{&paymenttest.Method{}}, Key: sealKey}
	for field, edit := range map[string]func(*payment.Config){
		"Config.Store":   func(c *payment.Config) { c.Store = nil },
		"Config.Methods": func(c *payment.Config) { c.Methods = nil },
		"Config.Key":     func(c *payment.Config) { c.Key = sealKey[:31] },
		`"fake" is configured twice`: func(c *payment.Config) {
			c.Methods = []payment.Method{&paymenttest.Method{}, &paymenttest.Method{}}
		},
	} {
		cfg := good
		edit(&cfg)
		if _, err := payment.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := payment.New(t.Context(), good); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	good.Store = closedStore{good.Store}
	if _, err := payment.New(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("a store that cannot be read: %v", err)
	}
}

// closedStore reads no settings.
type closedStore struct{ payment.Store }

func (closedStore) Setting(ctx context.Context, _ string) (string, error) { return "", ctx.Err() }

func TestCharge(t *testing.T) {
	inTime(t, func(w *world) {
		var seen []payment.Observation
		p := w.processor(func(c *payment.Config) { c.Observe = func(o payment.Observation) { seen = append(seen, o) } })
		w.rail.Latency = 200 * time.Millisecond
		c := credential(w, 1, "tok_secret")
		pay := w.charge(p, c, true)
		if !regexp.MustCompile(`^pay_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$`).MatchString(pay.ID) {
			w.Errorf("id %q is not a version 7 uuid", pay.ID)
		}
		stored := w.at(c, payment.StateSettled, payment.DeliveryOpen)
		if stored.Reference == "" || stored.Amount != c.Offer.Amount || stored.Account != "acct_1" || stored.Intent != nil ||
			stored.Owner != "" || !stored.LeaseUntil.IsZero() || !stored.WindowEnds.Equal(stored.SettledAt.Add(window)) ||
			!stored.Redeliver || stored.Description != "one report" || stored.Method != "fake" || stored.Protocol != "mpp" {
			w.Errorf("stored %+v", stored)
		}
		if len(seen) != 1 || seen[0] != (payment.Observation{Op: "charge", Method: "fake", Class: payment.OutcomeSucceeded, Took: 200 * time.Millisecond}) {
			w.Errorf("observed %+v", seen)
		}
		pay = w.dispatch(p, pay, false)
		if err := p.Delivered(w.Context(), pay, "rcpt_1"); err != nil {
			w.Fatal(err)
		}
		if done := w.at(c, payment.StateSettled, payment.DeliveryDelivered); done.ReceiptID != "rcpt_1" || done.DeliveredAt.IsZero() || done.Dispatches != 1 {
			w.Errorf("stored %+v", done)
		}
		report := w.clean(1, 0)
		if report.Balances["revenue USD/2"] != -150 || report.Balances["receivable:fake USD/2"] != 150 || report.Balances["liability:undelivered USD/2"] != 0 {
			w.Errorf("balances %v", report.Balances)
		}
		events, err := w.store.Events(w.Context(), 0, 10)
		if err != nil || len(events) != 2 || events[0].Type != "payment.settled" || events[1].Type != "payment.delivered" ||
			events[0].ID == events[1].ID || events[0].Payment != pay.ID {
			w.Errorf("events %+v, %v", events, err)
		}
	})
}

func TestIDsAreOrderedByTime(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		last := ""
		for n := range 50 {
			pay := w.charge(p, credential(w, n, fmt.Sprintf("tok_%d", n)), true)
			if pay.ID <= last {
				w.Errorf("%s after %s", pay.ID, last)
			}
			last = pay.ID
			time.Sleep(time.Millisecond)
		}
	})
}

// TestOutcomes walks every class of answer to a first charge.
func TestOutcomes(t *testing.T) {
	insufficient := payment.Outcome{Class: payment.OutcomeDeclined, Kind: payment.KindPaymentInsufficient, Reason: "limit"}
	for name, tt := range map[string]struct {
		out   payment.Outcome
		moves bool
		kind  payment.Kind
		state payment.State
		// calls of the rail within the payer's patience; 0 is more than one
		calls int
	}{
		"declined":            {out: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "card_declined"}, kind: payment.KindVerificationFailed, state: payment.StateFailed, calls: 1},
		"declined, limit":     {out: insufficient, kind: payment.KindPaymentInsufficient, state: payment.StateFailed, calls: 1},
		"declined, action":    {out: payment.Outcome{Class: payment.OutcomeDeclined, Kind: payment.KindActionRequired, Reason: "3ds"}, kind: payment.KindActionRequired, state: payment.StateFailed, calls: 1},
		"B054 mismatch":       {out: payment.Outcome{Class: payment.OutcomeMismatch, Reason: "currency"}, moves: true, kind: payment.KindPending, state: payment.StateReview, calls: 1},
		"B048 unknown":        {out: unknown(), kind: payment.KindPending, state: payment.StatePending},
		"B047 answer lost":    {out: unknown(), moves: true, kind: payment.KindPending, state: payment.StatePending},
		"B052 not now":        {out: payment.Outcome{Class: payment.OutcomeNotNow, Reason: "rate_limited"}, kind: payment.KindPending, state: payment.StatePending},
		"none is no answer":   {out: payment.Outcome{Class: payment.OutcomeNone}, kind: payment.KindPending, state: payment.StatePending},
		"started is none":     {out: payment.Outcome{Class: payment.OutcomeStarted}, kind: payment.KindPending, state: payment.StatePending},
		"voided proves none":  {out: payment.Outcome{Class: payment.OutcomeVoided}, kind: payment.KindPending, state: payment.StatePending},
		"a class of tomorrow": {out: payment.Outcome{Class: 99}, kind: payment.KindPending, state: payment.StatePending},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				p := w.processor(nil)
				w.rail.Script("charge", always(100, paymenttest.Reply{Outcome: tt.out, Moves: tt.moves})...)
				c := credential(w, 1, "tok_1")
				began := time.Now()
				_, err := p.Charge(w.Context(), c, entitlement(true))
				pe := wantKind(w, err, tt.kind)
				if took := time.Since(began); took > 30*time.Second {
					w.Errorf("the payer waited %s", took)
				}
				if tt.calls > 0 && len(w.rail.Calls()) != tt.calls || tt.calls == 0 && len(w.rail.Calls()) < 5 {
					w.Errorf("%d calls of the rail", len(w.rail.Calls()))
				}
				stored := w.at(c, tt.state, payment.DeliveryNone)
				if tt.state.Live() != (pe.PaymentID == stored.ID) || pe.Kind.Unsettled() && pe.RetryAfter <= 0 {
					w.Errorf("refusal %+v of payment %s", pe, stored.ID)
				}
				for _, call := range w.rail.Calls() {
					if call.Op != "charge" || call.Key != stored.Key {
						w.Errorf("call %+v under another key than %s", call, stored.Key)
					}
				}
				if strings.Contains(pe.Detail, tt.out.Reason) && tt.out.Reason != "" && tt.out.Reason != "limit" {
					w.Errorf("the payer sees the rail's word: %s", pe.Detail)
				}
				w.clean(map[bool]int{true: 1}[tt.moves], 0)
			})
		})
	}
}

func TestB054_AmountDiffers(t *testing.T) {
	euro, err := money.New(150, "EUR", 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, amount := range map[string]money.Amount{"less": usd(t, 149), "more": usd(t, 151), "another currency": euro, "none": {}} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				var log bytes.Buffer
				p := w.processor(func(c *payment.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
				w.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeSucceeded, Reference: "ch_1", Amount: amount}})
				c := credential(w, 1, "tok_1")
				_, err := p.Charge(w.Context(), c, entitlement(true))
				wantKind(w, err, payment.KindPending)
				if pay := w.at(c, payment.StateReview, payment.DeliveryNone); pay.Reason != "amount_differs" || pay.Reference != "ch_1" {
					w.Errorf("stored %+v", pay)
				}
				if !strings.Contains(log.String(), "payment needs review") {
					w.Errorf("nobody is told: %s", log.String())
				}
				time.Sleep(24 * time.Hour)
				w.recover(p, false, 0)
				if entries, err := w.store.Entries(w.Context(), 0, 9); err != nil || len(entries) != 0 {
					w.Errorf("entries %v, %v", entries, err)
				}
			})
		})
	}
}

func TestB047_AnswerLostOnceIsHealedWithinPatience(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		w.rail.Script("charge", paymenttest.Reply{Outcome: unknown(), Moves: true}, paymenttest.Reply{Outcome: unknown()})
		w.charge(p, credential(w, 1, "tok_1"), true)
		w.clean(1, 0)
	})
}

// TestB048_UnknownIsRejoined: whoever was told "pending" gets the goods with the
// same credential, and another challenge for the same request is no way around it.
func TestB048_UnknownIsRejoined(t *testing.T) {
	for name, moves := range map[string]bool{"money moved": true, "it did not": false} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				p := w.processor(nil)
				c := credential(w, 1, "tok_1")
				w.rail.Script("charge", always(100, paymenttest.Reply{Outcome: unknown(), Moves: moves})...)
				_, err := p.Charge(w.Context(), c, entitlement(true))
				wantKind(w, err, payment.KindPending)
				first := w.get(c)
				if first.Owner != "" || first.LeaseUntil.After(time.Now()) || first.Reason != "timeout" {
					w.Errorf("not handed over: %+v", first)
				}
				for n, target := range map[int]string{2: c.Scope.Target, 3: "/v1/other"} {
					other := credential(w, n, "tok_1")
					other.Scope.Target = target
					want := payment.KindPending
					if target != c.Scope.Target {
						want = payment.KindVerificationFailed
					}
					_, err = p.Charge(w.Context(), other, entitlement(true))
					wantKind(w, err, want)
				}
				w.rail.Heal()
				if pay := w.charge(p, c, true); pay.ID != first.ID || pay.Epoch != first.Epoch+1 {
					w.Errorf("rejoined as %s epoch %d, was %s epoch %d", pay.ID, pay.Epoch, first.ID, first.Epoch)
				}
				w.clean(1, 0)
			})
		})
	}
}

// TestI13_DoubtWhileRecoveryAsks: a lease of recovery does not make an outcome known.
func TestI13_DoubtWhileRecoveryAsks(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(func(c *payment.Config) { c.Patience = time.Second })
		w.rail.Script("charge", always(9, paymenttest.Reply{Outcome: unknown(), Moves: true})...)
		c := credential(w, 1, "tok_1")
		_, err := p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindPending)
		w.rail.Script("lookup", paymenttest.Reply{Delay: 10 * time.Second})
		var wg sync.WaitGroup
		wg.Go(func() { w.recover(p, false, 1) })
		time.Sleep(time.Second)
		if pay := w.get(c); pay.Owner == "" {
			w.Fatal("recovery has no lease")
		}
		_, err = p.Charge(w.Context(), credential(w, 2, "tok_1"), entitlement(true))
		wantKind(w, err, payment.KindPending)
		wg.Wait()
		w.clean(1, 0)
	})
}

// TestB053_RevokedKeyPauses: a rail that refuses the seller stops settlement, and
// no payer is told to pay again.
func TestB053_RevokedKeyPauses(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		w.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeNotNow, Fatal: true, Reason: "key_revoked"}})
		c := credential(w, 1, "tok_1")
		_, err := p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindPending)
		if got := p.Paused(w.Context()); got != "fake: key_revoked" {
			w.Errorf("paused for %q", got)
		}
		_, err = p.Charge(w.Context(), credential(w, 2, "tok_2"), entitlement(true))
		if pe := wantKind(w, err, payment.KindPaused); pe.RetryAfter == 0 {
			w.Error("no word on when to come back")
		}
		// The same credential meets the pause too: nothing is sent while it lasts.
		_, err = p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindPending)
		if n := len(w.rail.Calls()); n != 1 {
			w.Errorf("%d calls of a rail that refuses us", n)
		}
		w.clean(0, 0)
	})
}

func TestPaused(t *testing.T) {
	inTime(t, func(w *world) {
		one, two := w.processor(nil), w.processor(func(c *payment.Config) { c.Owner = "two" })
		c := credential(w, 1, "tok_1")
		pay := w.charge(one, c, true)
		if err := one.SetPaused(w.Context(), "stock-taking"); err != nil {
			w.Fatal(err)
		}
		for _, p := range []*payment.Processor{one, two} {
			_, err := p.Charge(w.Context(), credential(w, 2, "tok_2"), entitlement(true))
			wantKind(w, err, payment.KindPaused)
		}
		// What was paid before is served.
		if again := w.charge(two, c, true); again.ID != pay.ID {
			w.Errorf("payment %s, want %s", again.ID, pay.ID)
		}
		if w.processor(nil).Paused(w.Context()) != "stock-taking" {
			w.Error("the pause does not outlive a restart")
		}
		if err := two.SetPaused(w.Context(), ""); err != nil {
			w.Fatal(err)
		}
		w.charge(one, credential(w, 2, "tok_2"), true)
		w.clean(2, 0)
	})
}

func TestRejoin(t *testing.T) {
	type step func(w *world, p *payment.Processor, c payment.Credential)
	deliver := step(func(w *world, p *payment.Processor, c payment.Credential) {
		if err := p.Delivered(w.Context(), w.dispatch(p, w.get(c), true), "r"); err != nil {
			w.Fatal(err)
		}
	})
	refund := step(func(w *world, p *payment.Processor, c payment.Credential) {
		if _, err := p.Refund(w.Context(), w.get(c).ID, "test"); err != nil {
			w.Fatal(err)
		}
	})
	for name, tt := range map[string]struct {
		between  step
		edit     func(*payment.Credential)
		kind     payment.Kind
		settled  bool
		delivery payment.Delivery
	}{
		"settled, not delivered": {settled: true, delivery: payment.DeliveryOpen},
		"delivered":              {between: deliver, settled: true, delivery: payment.DeliveryDelivered},
		"refunded":               {between: refund, kind: payment.KindInvalidChallenge},
		"B044 another token": {edit: func(c *payment.Credential) {
			c.Payload, c.Hash = []byte(`{"token":"tok_2"}`), "another"
		}, kind: payment.KindInvalidChallenge},
		"another hash":         {edit: func(c *payment.Credential) { c.Hash = "another" }, kind: payment.KindInvalidChallenge},
		"A001 another target":  {edit: func(c *payment.Credential) { c.Scope.Target = "/v1/other" }, kind: payment.KindInvalidChallenge},
		"A002 another method":  {edit: func(c *payment.Credential) { c.Scope.Method = "POST" }, kind: payment.KindInvalidChallenge},
		"A028 another body":    {edit: func(c *payment.Credential) { c.Scope.Digest = "sha-256=:BB==:" }, kind: payment.KindInvalidChallenge},
		"A004 another tenant":  {edit: func(c *payment.Credential) { c.Scope.Tenant = "other" }, kind: payment.KindInvalidChallenge},
		"a rail that is gone":  {edit: func(c *payment.Credential) { c.Offer.Method = "gone" }, kind: payment.KindMethodUnsupported},
		"a payload of nothing": {edit: func(c *payment.Credential) { c.Payload = []byte(`{}`) }, kind: payment.KindInvalidPayload},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s restart %v", name, restart), func(t *testing.T) {
				inTime(t, func(w *world) {
					p := w.processor(nil)
					c := credential(w, 1, "tok_1")
					first := w.charge(p, c, true)
					if tt.between != nil {
						tt.between(w, p, c)
					}
					if restart {
						p = w.processor(nil)
					}
					before := w.get(c)
					if tt.edit != nil {
						tt.edit(&c)
					}
					pay, err := p.Charge(w.Context(), c, entitlement(true))
					if !tt.settled {
						wantKind(w, err, tt.kind)
						c.ChallengeID = "challenge-1"
						if after := w.get(c); after.Revision != before.Revision {
							w.Errorf("the refusal wrote revision %d", after.Revision)
						}
					} else if err != nil || pay.ID != first.ID || pay.Delivery != tt.delivery {
						w.Errorf("rejoined %s/%s, %v", pay.State, pay.Delivery, err)
					}
					if charges, _ := w.rail.Total(); charges != 1 {
						w.Errorf("%d charges", charges)
					}
				})
			})
		}
	}
}

func TestB046_DeclineBurnsTheChallenge(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		w.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "card_declined"}})
		c := credential(w, 1, "tok_1")
		_, err := p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindVerificationFailed)
		_, err = p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindVerificationFailed)
		_, err = p.Charge(w.Context(), credential(w, 1, "tok_2"), entitlement(true))
		wantKind(w, err, payment.KindInvalidChallenge)
		// The token is free again, under a fresh challenge.
		w.charge(p, credential(w, 2, "tok_1"), true)
		w.clean(1, 0)
	})
}

func TestB043_OneTokenManyChallenges(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(func(c *payment.Config) { c.InFlight = 100 })
		w.rail.Latency = time.Second
		var wg sync.WaitGroup
		var mu sync.Mutex
		won, refused := 0, 0
		for n := range 50 {
			wg.Go(func() {
				_, err := p.Charge(w.Context(), credential(w, n, "tok_1"), entitlement(true))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
					return
				}
				// It may be the payer's own purchase, asked for again in haste: a new
				// challenge would invite it to pay twice (I13).
				wantKind(w, err, payment.KindInProgress)
				refused++
			})
		}
		wg.Wait()
		if won != 1 || refused != 49 {
			w.Errorf("%d won, %d were refused", won, refused)
		}
		w.clean(1, 0)
	})
}

func TestB044_OneChallengeManyTokens(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(func(c *payment.Config) { c.InFlight = 100 })
		w.rail.Latency = time.Second
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for n := range 50 {
			wg.Go(func() {
				_, err := p.Charge(w.Context(), credential(w, 1, fmt.Sprintf("tok_%d", n)), entitlement(true))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else {
					wantKind(w, err, payment.KindInvalidChallenge)
				}
			})
		}
		wg.Wait()
		if calls := w.rail.Calls(); won != 1 || len(calls) != 1 {
			w.Errorf("%d won, %d calls", won, len(calls))
		}
		w.clean(1, 0)
	})
}

// TestB041_ParallelCopies: 500 copies of one credential are one charge, and one
// delivery at a time.
func TestB041_ParallelCopies(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(func(c *payment.Config) { c.InFlight, c.Queue = 64, 500 })
		w.rail.Latency = 300 * time.Millisecond
		c := credential(w, 1, "tok_1")
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[string]int{}
		executions := 0
		for range 500 {
			wg.Go(func() {
				pay, err := p.Charge(w.Context(), c, entitlement(false))
				if err == nil && pay.Delivery == payment.DeliveryOpen {
					if pay, err = p.Dispatch(w.Context(), pay, true); err == nil {
						mu.Lock()
						executions++
						mu.Unlock()
						time.Sleep(time.Second)
						err = p.Delivered(w.Context(), pay, "r")
					}
				}
				mu.Lock()
				defer mu.Unlock()
				if pe, ok := errors.AsType[*payment.Error](err); ok {
					got[pe.Kind.String()]++
				} else if err != nil {
					w.Errorf("error %v", err)
				} else {
					got["served"]++
				}
			})
		}
		wg.Wait()
		if executions != 1 || got["served"] < 1 || got["served"]+got["payment-in-progress"]+got["settlement-busy"] != 500 {
			w.Errorf("%d executions; answers %v", executions, got)
		}
		w.at(c, payment.StateSettled, payment.DeliveryDelivered)
		w.clean(1, 0)
	})
}

func TestB041_InProgressWhileItIsSettled(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		w.rail.Latency = 5 * time.Second
		c := credential(w, 1, "tok_1")
		var wg sync.WaitGroup
		wg.Go(func() { w.charge(p, c, true) })
		time.Sleep(time.Second)
		_, err := p.Charge(w.Context(), c, entitlement(true))
		pe := wantKind(w, err, payment.KindInProgress)
		if pe.PaymentID != w.get(c).ID || pe.RetryAfter != time.Second {
			w.Errorf("refusal %+v", pe)
		}
		wg.Wait()
		w.charge(p, c, true)
		w.clean(1, 0)
	})
}

// TestB076_Flood: beyond places and queue a payment is refused before it is claimed.
func TestB076_Flood(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(func(c *payment.Config) { c.InFlight, c.Queue = 4, 8 })
		w.rail.Latency = 1500 * time.Millisecond
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[payment.Kind]int{}
		settled := 0
		for n := range 40 {
			wg.Go(func() {
				_, err := p.Charge(w.Context(), credential(w, n, fmt.Sprintf("tok_%d", n)), entitlement(true))
				mu.Lock()
				defer mu.Unlock()
				if pe, ok := errors.AsType[*payment.Error](err); ok {
					got[pe.Kind]++
					if _, err := w.store.ByChallenge(w.Context(), fmt.Sprintf("challenge-%d", n)); !errors.Is(err, payment.ErrNotFound) {
						w.Errorf("a refused payment was claimed: %v", err)
					}
				} else {
					settled++
				}
			})
		}
		wg.Wait()
		// Four have places; four more get one within the two seconds of the queue.
		if settled != 8 || got[payment.KindBusy] != 32 || len(got) != 1 {
			w.Errorf("%d settled, refused %v", settled, got)
		}
		w.clean(8, 0)
		w.charge(p, credential(w, 99, "tok_99"), true) // the places are free again
	})
}

// TestB065_HangUp: the payer's connection does not decide over its payment.
func TestB065_HangUp(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		ctx, cancel := context.WithCancel(w.Context())
		w.rail.Script("charge", paymenttest.Reply{Delay: 2 * time.Second, Hook: func(context.Context, payment.Payment) { cancel() }})
		c := credential(w, 1, "tok_1")
		pay, err := p.Charge(ctx, c, entitlement(true))
		if err != nil {
			w.Fatal(err)
		}
		if pay, err = p.Dispatch(w.Context(), pay, true); err != nil {
			w.Fatal(err)
		}
		if err := p.Delivered(ctx, pay, "r"); err != nil {
			w.Errorf("a delivery is lost to a hang-up: %v", err)
		}
		w.at(c, payment.StateSettled, payment.DeliveryDelivered)
		w.clean(1, 0)
	})
}

func TestPatience(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(func(c *payment.Config) { c.Patience, c.Attempt = 10*time.Second, 4*time.Second })
		w.rail.Latency = time.Hour
		began := time.Now()
		c := credential(w, 1, "tok_1")
		_, err := p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindPending)
		if took := time.Since(began); took > 10*time.Second || took < 4*time.Second {
			w.Errorf("patience of 10 s ended after %s", took)
		}
		if n := len(w.rail.Calls()); n < 2 || n > 3 {
			w.Errorf("%d attempts of 4 s", n)
		}
		// A rail that wants to be left alone for longer ends it at once.
		w.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeNotNow, RetryAfter: time.Minute}})
		w.rail.Latency = 0
		began = time.Now()
		_, err = p.Charge(w.Context(), credential(w, 2, "tok_2"), entitlement(true))
		wantKind(w, err, payment.KindPending)
		if took := time.Since(began); took > time.Second {
			w.Errorf("waited %s for nothing", took)
		}
		w.clean(0, 0)
	})
}

func TestB059_ClaimFails(t *testing.T) {
	broken := errors.New("disk full")
	for name, stored := range map[string]bool{"nothing stored": false, "stored, answer lost": true} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				real := w.store
				store := &tap{Store: real, claim: func(_ context.Context, _ payment.Payment, run func() error) error {
					if stored {
						if err := run(); err != nil {
							return err
						}
					}
					return broken
				}}
				w.store = store
				p := w.processor(nil)
				c := credential(w, 1, "tok_1")
				_, err := p.Charge(w.Context(), c, entitlement(true))
				pe := wantKind(w, err, payment.KindInternal)
				if !errors.Is(err, broken) || strings.Contains(pe.Detail, "disk") || pe.RetryAfter == 0 {
					w.Errorf("refusal %+v", pe)
				}
				if n := len(w.rail.Calls()); n != 0 {
					w.Errorf("I4: %d calls without a durable intent", n)
				}
				store.claim = nil
				if stored {
					time.Sleep(2 * time.Minute)
				}
				w.charge(p, c, true) // the same credential may come back
				w.clean(1, 0)
			})
		})
	}
}

// TestSettlementNotStored: money has moved and the store does not take it; the
// payer is told to come back and gets the goods.
func TestSettlementNotStored(t *testing.T) {
	inTime(t, func(w *world) {
		down := true
		w.store = &tap{Store: w.store, update: func(_ context.Context, p payment.Payment, run func() error) error {
			if down && p.State == payment.StateSettled {
				return errors.New("disk full")
			}
			return run()
		}}
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		_, err := p.Charge(w.Context(), c, entitlement(true))
		wantKind(w, err, payment.KindPending)
		w.at(c, payment.StatePending, payment.DeliveryNone)
		down = false
		time.Sleep(time.Minute)
		w.recover(p, false, 1)
		w.charge(p, c, true)
		w.clean(1, 0)
	})
}

// TestUpdateAnswerLost: a change that was stored, and whose answer was lost, is
// made once.
func TestUpdateAnswerLost(t *testing.T) {
	inTime(t, func(w *world) {
		lost := map[payment.Delivery]bool{}
		w.store = &tap{Store: w.store, update: func(_ context.Context, p payment.Payment, run func() error) error {
			err := run()
			if err == nil && p.State == payment.StateSettled && p.Delivery != payment.DeliveryDispatched && !lost[p.Delivery] {
				lost[p.Delivery] = true
				return errors.New("connection reset")
			}
			return err
		}}
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		if err := p.Delivered(w.Context(), w.dispatch(p, w.charge(p, c, true), false), "r"); err != nil {
			w.Fatal(err)
		}
		if len(lost) != 2 {
			w.Errorf("lost %v", lost)
		}
		w.clean(1, 0)
		if events, err := w.store.Events(w.Context(), 0, 9); err != nil || len(events) != 2 {
			w.Errorf("events %v, %v", events, err)
		}
	})
}

// TestIntentIsSealed: a token at rest is unreadable, and a sealed intent
// that was altered, moved or sealed under another key is never sent.
func TestIntentIsSealed(t *testing.T) {
	crashed := func(w *world, n int, token string) payment.Credential {
		c := credential(w, n, token)
		p := w.processor(dieAt(payment.PointIntent))
		if !dies(func() { w.charge(p, c, true) }) {
			w.Fatal("did not crash")
		}
		return c
	}
	inTime(t, func(w *world) {
		c := crashed(w, 1, "tok_very_secret")
		if intent := w.get(c).Intent; len(intent) < 32 || bytes.Contains(intent, []byte("tok_very_secret")) || bytes.Contains(intent, []byte("150")) {
			w.Errorf("intent %q", intent)
		}
		if d := crashed(w, 2, "tok_2"); bytes.Equal(w.get(c).Intent[:12], w.get(d).Intent[:12]) {
			w.Error("two intents share a nonce")
		}
		time.Sleep(2 * time.Minute)
		w.charge(w.processor(nil), c, true) // the round trip
	})
	for name, edit := range map[string]func(w *world, p *payment.Payment, cfg *payment.Config){
		"a bit is flipped": func(_ *world, p *payment.Payment, _ *payment.Config) { p.Intent[len(p.Intent)/2] ^= 1 },
		"cut short":        func(_ *world, p *payment.Payment, _ *payment.Config) { p.Intent = p.Intent[:5] },
		"gone":             func(_ *world, p *payment.Payment, _ *payment.Config) { p.Intent = nil },
		"of another payment": func(w *world, p *payment.Payment, _ *payment.Config) {
			p.Intent = w.get(crashed(w, 2, "tok_2")).Intent
		},
		"another key": func(_ *world, _ *payment.Payment, cfg *payment.Config) { cfg.Key = bytes.Repeat([]byte("x"), 32) },
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(w *world) {
				c := crashed(w, 1, "tok_1")
				pay := w.get(c)
				var cfg payment.Config
				cfg.Key = sealKey
				edit(w, &pay, &cfg)
				pay.Revision++
				if err := w.store.Update(w.Context(), pay, nil, nil); err != nil {
					w.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
				p := w.processor(func(c *payment.Config) { c.Key = cfg.Key })
				_, err := p.Charge(w.Context(), c, entitlement(true))
				wantKind(w, err, payment.KindPending)
				for _, call := range w.rail.Calls() {
					if call.Payment == pay.ID {
						w.Errorf("sent %+v", call)
					}
				}
				if _, err := p.Recover(w.Context(), false); err != nil {
					w.Fatal(err)
				}
				if got := w.get(c); got.State != payment.StateReview || got.Reason != "intent_unreadable" {
					w.Errorf("%s, %s", got.State, got.Reason)
				}
			})
		})
	}
}

func TestCredentialDoesNotShowInLogs(t *testing.T) {
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).InfoContext(t.Context(), "seen", "credential", credential(t, 1, "tok_secret"))
	if strings.Contains(log.String(), "tok_secret") || !strings.Contains(log.String(), `"method":"fake"`) {
		t.Errorf("log %s", log.String())
	}
}

func TestResume(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		c := credential(w, 1, "tok_1")
		if _, err := p.Resume(w.Context(), c); !errors.Is(err, payment.ErrNotFound) {
			w.Errorf("nothing begun: %v", err)
		}
		first := w.charge(p, c, true)
		if pay, err := p.Resume(w.Context(), c); err != nil || pay.ID != first.ID {
			w.Errorf("resumed %s, %v", pay.ID, err)
		}
		other := c
		other.Hash = "another"
		_, err := p.Resume(w.Context(), other)
		wantKind(w, err, payment.KindInvalidChallenge)
		other = c
		other.Offer.Method = "gone"
		if _, err := p.Resume(w.Context(), other); !errors.Is(err, payment.ErrNotFound) {
			w.Errorf("a method that is gone: %v", err)
		}
		w.clean(1, 0)
	})
}

// TestTooOldToSendAgain: after 23 hours the rail may have forgotten the key, and
// the same bytes would be a second charge.
func TestTooOldToSendAgain(t *testing.T) {
	inTime(t, func(w *world) {
		c := credential(w, 1, "tok_1")
		w.rail.Script("charge", paymenttest.Reply{Outcome: unknown(), Moves: true})
		if p := w.processor(dieAt(payment.PointAnswered)); !dies(func() { w.charge(p, c, true) }) {
			w.Fatal("did not crash")
		}
		time.Sleep(23*time.Hour + time.Minute)
		p := w.processor(nil)
		_, err := p.Resume(w.Context(), c)
		wantKind(w, err, payment.KindPending)
		if n := len(w.rail.Calls()); n != 1 {
			w.Errorf("%d calls of the rail", n)
		}
		w.recover(p, true, 1)
		if pay := w.at(c, payment.StateReview, payment.DeliveryNone); pay.Reason != "no_answer" {
			w.Errorf("reason %q", pay.Reason)
		}
	})
}

func TestClosed(t *testing.T) {
	inTime(t, func(w *world) {
		p := w.processor(nil)
		end := time.Now().Add(5 * time.Minute)
		c := credential(w, 1, "tok_1")
		closed := func(want bool) {
			w.Helper()
			if got, err := p.Closed(w.Context(), c.ChallengeID, end); err != nil || got != want {
				w.Errorf("closed: %v, %v; want %v", got, err, want)
			}
		}
		closed(false)
		time.Sleep(6*time.Minute + time.Second) // no claim can be on its way any more
		closed(true)
		pay := w.charge(p, c, true)
		closed(false)
		if _, err := p.Refund(w.Context(), pay.ID, "test"); err != nil {
			w.Fatal(err)
		}
		closed(true)
	})
}
