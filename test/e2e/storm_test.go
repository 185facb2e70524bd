package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"paywall/payment"
	"paywall/sandbox"
)

// bought is what came of one purchase in the storm, as its payer saw it.
type bought struct {
	method, resource string
	status           int // of the last answer; zero when there was none
	problem          string
	payment          string
}

// number is a setting of the test from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestStorm kills the server at random moments while clients pay, half of them with
// tokens over MPP and half with stablecoins over both versions of x402, and one call
// in twenty to the processor or the facilitator goes wrong. STORM_KILLS says how
// often, STORM_SEED repeats the choices (not the schedule of the machine).
func TestStorm(t *testing.T) {
	t.Parallel()
	seed := number(t, "STORM_SEED", rand.Uint64())
	kills := int(number(t, "STORM_KILLS", 40))
	t.Logf("STORM_SEED=%d STORM_KILLS=%d", seed, kills)
	rng := rand.New(rand.NewPCG(seed, 1))

	w := newWorld(t, hooked, "settlement: {patience: 5s, attempt: 2s}", "log: {level: warn}")
	w.takeCoins(true)
	for i, f := range []sandbox.Fault{
		{Kind: sandbox.DropAfter, Probability: 0.01},
		{Kind: sandbox.Stored500, Probability: 0.005},
		{Kind: sandbox.Stored500, Probability: 0.005, Moved: true},
		{Kind: sandbox.RateLimit, Probability: 0.01},
		{Kind: sandbox.Conflict, Probability: 0.01},
		{Kind: sandbox.Delay, Probability: 0.01, DelayMS: 300},
	} {
		for _, path := range []string{"/v1/payment_intents", "/v1/refunds"} {
			f.Path, f.Seed = path, seed+uint64(i)+1
			w.order(f)
		}
	}
	for i, f := range []sandbox.Fault{
		{Kind: sandbox.DropAfter, Probability: 0.01},
		{Kind: sandbox.Status, Probability: 0.01},
		{Kind: sandbox.Status, Probability: 0.01, Moved: true},
		{Kind: sandbox.Alter, Probability: 0.01, Member: "success", Value: []byte(`"true"`)},
		{Kind: sandbox.Pending, Probability: 0.005},
		{Kind: sandbox.Pending, Probability: 0.005, Moved: true},
	} {
		f.Path, f.Seed = "/facilitator/settle", seed+uint64(i)+101
		w.order(f)
	}
	w.order(sandbox.Fault{Kind: sandbox.Status, Probability: 0.05, Path: "/facilitator/verify", Seed: seed + 201})
	w.serve()

	const clients = 16
	var wg sync.WaitGroup
	results := make([][]bought, clients)
	stop := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(kills)*3*time.Second)
	defer cancel()
	for i := range clients {
		payer := newAgent(t, w, "")
		if i%2 == 1 {
			coins := newCoiner(t)
			coins.v1 = i%4 == 3
			payer = coins.agent()
		}
		c := &client{id: i, agent: payer, public: w.public, rng: rand.New(rand.NewPCG(seed, uint64(i)+2))}
		c.agent.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
		wg.Go(func() { results[i] = c.shop(ctx, stop) })
	}
	for range kills {
		time.Sleep(time.Duration(rng.Int64N(int64(1200 * time.Millisecond))))
		w.serving.kill(t)
		w.serve()
	}
	close(stop) // what was begun is brought to its end
	w.heal()
	wg.Wait()

	w.serving.stop(t)
	w.serve()
	w.until("no payment is in doubt", func(r row) bool {
		return r.State != payment.StatePending && r.Delivery != payment.DeliveryDispatched
	})
	// A day later every window is over, and the processor has forgotten the keys that
	// it answers with a stored fault, so that refunds under them go through.
	w.control(http.MethodPost, "/_sandbox/clock", map[string]string{"advance": "25h"}, http.StatusOK)
	w.advance(25 * time.Hour)
	w.until("every window has ended", func(r row) bool {
		return r.Delivery != payment.DeliveryOpen && r.State != payment.StateRefunding && r.State != payment.StatePending
	})
	w.accounts(t, slices.Concat(results...))
	w.serving.stop(t)
	w.reportStarts(t)
}

// client buys one thing after the other.
type client struct {
	id     int
	agent  *agent
	public string
	rng    *rand.Rand
}

func (c *client) shop(ctx context.Context, stop <-chan struct{}) []bought {
	var all []bought
	for n := 0; ; n++ {
		select {
		case <-stop:
			return all
		case <-ctx.Done():
			return all
		case <-time.After(time.Duration(c.rng.Int64N(int64(300 * time.Millisecond)))):
		}
		method, target, body := http.MethodGet, fmt.Sprintf("/v1/reports/%d-%d", c.id, n), ""
		if c.rng.IntN(2) == 0 {
			method, target, body = http.MethodPost, fmt.Sprintf("/v1/complete?n=%d-%d", c.id, n), fmt.Sprintf(`{"n":%d}`, n)
		}
		p, err := c.agent.prepare(ctx, method, c.public+target, body)
		if err != nil {
			continue // nothing is paid; the server is down, or the offer came cut off
		}
		b := bought{method: method, resource: method + " " + target}
		if got, err := c.agent.insist(ctx, p); err == nil {
			b.status, b.problem, b.payment = got.status, got.problem(), got.payment()
		}
		all = append(all, b)
	}
}

// accounts compares what payers saw, what the seller has stored, and what the
// processor did.
func (w *world) accounts(t *testing.T, all []bought) {
	t.Helper()
	report := w.books()
	audit := w.audit()
	byKey, byToken := map[string]int{}, map[string]int{}
	for _, c := range audit.Charges {
		if c.Captured > 0 {
			byKey[c.IdempotencyKey]++
		}
	}
	for _, i := range audit.Intents {
		if i.Received > 0 {
			byToken[i.Token]++
		}
	}
	for key, n := range byKey {
		if n > 1 {
			t.Errorf("the challenge behind key %s was charged %d times", key, n)
		}
	}
	for token, n := range byToken {
		if n > 1 {
			t.Errorf("token %s was charged %d times", token, n)
		}
	}

	rows := map[string]row{}
	ends := map[string]map[string]int{"stripe": {}, "facilitator": {}}
	for _, r := range w.payments() {
		ends[r.Method][r.position()]++
		switch other, twice := rows[r.Resource]; {
		case twice && other.Method == "facilitator" && r.State == payment.StateVoided:
			continue // a promise that was given back, and made again
		case twice && (other.Method != "facilitator" || other.State != payment.StateVoided):
			t.Errorf("%s (%s) and %s (%s) are both payments for %s", r.ID, r.position(), other.ID, other.position(), r.Resource)
		}
		rows[r.Resource] = r
		if r.Method == "facilitator" {
			if r.State != payment.StateSettled && r.State != payment.StateVoided && (r.position() != byHand || r.Reason != "refund_by_hand" || r.SettledAt == nil) {
				t.Errorf("%s ended as %s (%s)", r.ID, r.position(), r.Reason)
			}
			continue // the chain is held against all of them at once
		}
		charges, refunds := charged(audit, r.ID)
		want := [2]int{}
		switch r.State {
		case payment.StateSettled:
			want = [2]int{1, 0}
		case payment.StateRefunded:
			want = [2]int{1, 1}
		case payment.StateVoided, payment.StateFailed:
		default:
			t.Errorf("%s ended as %s (%s)", r.ID, r.position(), r.Reason)
			continue
		}
		if got := [2]int{charges, refunds}; got != want {
			t.Errorf("%s is %s with %d charges and %d refunds", r.ID, r.position(), charges, refunds)
		}
	}
	coins := w.coinRows()
	served := map[string]int{}
	for _, b := range all {
		r, paid := rows[b.resource]
		switch {
		case b.status == http.StatusOK:
			served[r.Method]++
			if !paid || r.SettledAt == nil || r.ID != b.payment {
				t.Errorf("%s was served for payment %q, which is %v", b.resource, b.payment, r)
			}
		case b.status == http.StatusPaymentRequired && b.problem == "invalid-challenge":
			if paid && r.State == payment.StateSettled {
				t.Errorf("%s was not served (%s), but %s is %s", b.resource, b.problem, r.ID, r.position())
			}
		case b.status == http.StatusServiceUnavailable && r.Method == "facilitator" && b.method == http.MethodPost:
			// It may have run, must not run again, and cannot be paid back by a machine.
			if r.position() != byHand {
				t.Errorf("%s is said to be under review, but %s is %s", b.resource, r.ID, r.position())
			}
		case b.status == http.StatusPaymentRequired && b.problem == "verification-failed":
			// A fault that the processor keeps for an answer ends a payment that took nothing.
			if paid && r.State != payment.StateFailed {
				t.Errorf("%s was declined, but %s is %s", b.resource, r.ID, r.position())
			}
		case b.status == 0 && (!paid || r.State == payment.StateVoided || r.State == payment.StateFailed):
			// On a slow machine a payer may give up between two starts; it was charged nothing.
		default:
			t.Errorf("%s: the last answer is %d %s, payment %s is %s", b.resource, b.status, b.problem, r.ID, r.position())
		}
		if n := w.api.worked(r.ID); b.method == http.MethodPost && n > 1 {
			t.Errorf("the API worked %d times for %s, %s", n, r.ID, b.resource)
		}
	}
	faults := map[string]int{}
	for _, c := range audit.Calls {
		if c.Fault != "" {
			faults[c.Path+" "+c.Fault]++
		}
	}
	t.Logf("%d purchases, %v served; payments ended as %v; the processor has %d charges, %d refunds; the chain %d transfers for %d payments; %d calls, of which failed %v; %d ledger entries",
		len(all), served, ends, audit.Totals.Charges, audit.Totals.Refunds, len(audit.Chain.Transfers), len(coins), audit.TotalCalls, faults, report.Entries)
	if served["stripe"] == 0 || served["facilitator"] == 0 || len(all) < 20 {
		t.Error("too little was bought for the storm to prove anything")
	}
}
