package gate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"paywall/gate"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

func TestB044_OneChallengeManyTokens(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	c := h.challenge(router, "GET", "/a", "")
	var wg sync.WaitGroup
	var served atomic.Int64
	for range 60 {
		field := h.credential(c, h.token())
		wg.Go(func() {
			switch w := present(t, router, "GET", "/a", "", field); w.Code {
			case 200:
				served.Add(1)
			case 402, 409, 503:
			default:
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	if served.Load() != 1 || h.api.count() != 1 {
		t.Errorf("%d answers and %d executions, want one", served.Load(), h.api.count())
	}
	h.settled(1, 0)
}

func TestB046_NewTokenAfterDecline(t *testing.T) {
	h := newHouse(t)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	h.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "card_declined"}})
	c := h.challenge(router, "GET", "/a", "")
	for i, problem := range []string{"verification-failed", "invalid-challenge"} {
		w := present(t, router, "GET", "/a", "", h.credential(c, h.token()))
		if w.Code != 402 || !strings.Contains(w.Body.String(), problem) || w.Header().Get("Www-Authenticate") == "" {
			t.Errorf("token %d: %d %s", i+1, w.Code, w.Body)
		}
	}
	if h.api.count() != 0 {
		t.Error("the handler was reached")
	}
	h.settled(0, 0)
}

func unknown(moves bool) paymenttest.Reply {
	return paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeUnknown, Err: errors.New("connection reset")}, Moves: moves}
}

// What a rail may answer, and what the payer is told each time it comes back
// with the same credential: never to pay again while the outcome is open.
func TestRailAnswers(t *testing.T) {
	declined := func(kind payment.Kind, reason string) paymenttest.Reply {
		return paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Kind: kind, Reason: reason}}
	}
	notNow := paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeNotNow, Reason: "rate_limit"}}
	later := notNow
	later.Outcome.RetryAfter = time.Hour
	fatal := paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeNotNow, Reason: "api_key_expired", Fatal: true}}
	mismatch := paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeMismatch, Reason: "amount_differs"}, Moves: true}
	for _, tt := range []struct {
		name    string
		replies []paymenttest.Reply
		// want is each answer in turn, of one credential presented again and again.
		want    []int
		problem string
		charges int
		// paused says that settlement stops until a person acts.
		paused bool
	}{
		{name: "B047_LostAfterCommit", replies: []paymenttest.Reply{unknown(true)}, want: []int{200}, charges: 1},
		{name: "B048_BlackHole", replies: many(unknown(false), 400), want: []int{503, 503}, problem: "payment-pending"},
		{name: "B049_ServerErrorWithCharge", replies: []paymenttest.Reply{unknown(true), unknown(false)}, want: []int{200}, charges: 1},
		{name: "B050_ServerErrorWithoutCharge", replies: []paymenttest.Reply{unknown(false), declined(0, "failed")}, want: []int{402}, problem: "verification-failed"},
		{name: "B051_KeyInUse", replies: []paymenttest.Reply{notNow, notNow}, want: []int{200}, charges: 1},
		{name: "B052_RateLimited", replies: []paymenttest.Reply{notNow, notNow, notNow}, want: []int{200}, charges: 1},
		{name: "B052_RateLimitedForLong", replies: []paymenttest.Reply{later}, want: []int{503}, problem: "payment-pending"},
		{name: "B053_KeyRevoked", replies: []paymenttest.Reply{fatal}, want: []int{503, 503}, problem: "do not pay again", paused: true},
		{name: "B054_WrongAmount", replies: []paymenttest.Reply{mismatch}, want: []int{503, 503}, problem: "do not pay again", charges: 1},
		{name: "B054_RequiresAction", replies: []paymenttest.Reply{declined(payment.KindActionRequired, "requires_action")}, want: []int{402}, problem: "payment-action-required"},
		{name: "B057_Declined", replies: []paymenttest.Reply{declined(payment.KindVerificationFailed, "card_declined")}, want: []int{402}, problem: "verification-failed"},
		{name: "B058_LimitBelowPrice", replies: []paymenttest.Reply{declined(payment.KindPaymentInsufficient, "limit")}, want: []int{402}, problem: "payment-insufficient"},
		{name: "B058_Revoked", replies: []paymenttest.Reply{declined(payment.KindInvalidPayload, "token_revoked")}, want: []int{402}, problem: "invalid-payload"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, func(_ *gate.Config, pc *payment.Config) { pc.Patience = 60 * time.Millisecond })
			router := h.router(map[string]string{"POST /a": "1.00 USD"})
			h.rail.Script("charge", tt.replies...)
			field := h.credential(h.challenge(router, "POST", "/a", "x"), h.token())
			for i, want := range tt.want {
				w := present(t, router, "POST", "/a", "x", field)
				// A slow machine may run out of the payer's patience; then it is told to come back.
				for tries := 0; want != 503 && w.Code == 503 && tries < 50; tries++ {
					w = present(t, router, "POST", "/a", "x", field)
				}
				if w.Code != want || !strings.Contains(w.Body.String(), tt.problem) {
					t.Fatalf("presentation %d: %d, want %d: %s", i+1, w.Code, want, w.Body)
				}
				if challenged := w.Header().Get("Www-Authenticate") != ""; challenged != (want == 402) {
					t.Errorf("presentation %d: %v", i+1, w.Header())
				}
				if want == 503 && w.Header().Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
				if strings.Contains(w.Body.String(), "connection reset") || strings.Contains(w.Body.String(), "api_key") {
					t.Errorf("the cause is shown: %s", w.Body)
				}
			}
			if served := h.api.count(); served != 0 && tt.want[len(tt.want)-1] != 200 || served > 1 {
				t.Errorf("%d executions", served)
			}
			if c, r := h.rail.Total(); c != tt.charges || r != 0 {
				t.Errorf("%d charges and %d refunds, want %d and 0", c, r, tt.charges)
			}
			keys := map[string]bool{}
			for _, c := range h.rail.Calls() {
				keys[c.Key] = true
			}
			if len(keys) != 1 {
				t.Errorf("%d keys at the rail, want one", len(keys))
			}
			if paused := h.processor.Paused(t.Context()) != ""; paused != tt.paused {
				t.Errorf("paused %t, want %t", paused, tt.paused)
			}
		})
	}
}

func many(r paymenttest.Reply, n int) []paymenttest.Reply {
	all := make([]paymenttest.Reply, n)
	for i := range all {
		all[i] = r
	}
	return all
}

// B048: when the rail heals, recovery settles without the payer, or the payer
// gets its goods by coming back, and one charge was made.
func TestB048_Heals(t *testing.T) {
	for _, recovered := range []bool{false, true} {
		t.Run(fmt.Sprint("recovered ", recovered), func(t *testing.T) {
			h := newHouse(t, func(_ *gate.Config, pc *payment.Config) { pc.Patience = 30 * time.Millisecond })
			router := h.router(map[string]string{"GET /a": "1.00 USD"})
			h.rail.Script("charge", append([]paymenttest.Reply{unknown(true)}, many(unknown(false), 400)...)...)
			h.rail.Script("lookup", many(unknown(false), 400)...)
			r := h.paid(router, "GET", "/a", "")
			if w := do(router, r); w.Code != 503 {
				t.Fatalf("%d, want 503: the rail does not answer", w.Code)
			}
			h.rail.Heal()
			h.clock.add(2 * time.Minute)
			if recovered {
				if _, err := h.processor.Recover(t.Context(), false); err != nil {
					t.Fatal(err)
				}
			}
			if w := do(router, r); w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			h.settled(1, 0)
		})
	}
}

// B071, B072: refunds by two hands at once, and a refund at the moment at which
// the payer comes back: one refund or one delivery.
func TestB071_B072_RefundRaces(t *testing.T) {
	for round := range 30 {
		h := newHouse(t)
		router := h.router(map[string]string{"GET /a": "1.00 USD"})
		h.api.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })
		r := h.paid(router, "GET", "/a", "")
		id := do(router, r).Header().Get("Paywall-Payment-Id")
		h.api.set(nil)
		h.clock.add(25 * time.Hour) // the window is over
		var wg sync.WaitGroup
		var w *httptest.ResponseRecorder
		wg.Go(func() { w = do(router, r) })
		wg.Go(func() { _, _ = h.processor.Recover(t.Context(), false) })
		if round%2 == 0 {
			wg.Go(func() { _, _ = h.processor.Refund(t.Context(), id, "asked") })
			wg.Go(func() { _, _ = h.processor.Refund(t.Context(), id, "asked") })
		}
		wg.Wait()
		_, _ = h.processor.Recover(t.Context(), false)
		_, refunds := h.rail.Total()
		if w.Code == 200 && refunds != 0 || w.Code != 200 && refunds != 1 {
			t.Fatalf("round %d: answer %d and %d refunds", round, w.Code, refunds)
		}
		h.settled(1, refunds)
	}
}

// B072: an answer that waits for its payer is collected or refunded, never both,
// whatever ends its time.
func TestB072_CollectedOrRefunded(t *testing.T) {
	for range 40 {
		h := newHouse(t)
		router := h.router(map[string]string{"/a": "1.00 USD"})
		r := h.paid(router, "POST", "/a", "x")
		router.ServeHTTP(&broken{ResponseRecorder: httptest.NewRecorder()}, r)
		var wg sync.WaitGroup
		codes := make([]int, 3)
		for i := range codes {
			again := request(t, "POST", "/a", "x")
			again.Header = r.Header.Clone()
			wg.Go(func() { codes[i] = do(router, again).Code })
		}
		wg.Go(h.gate.Close)
		wg.Wait()
		h.gate.Close()
		collected := codes[0] == 200 || codes[1] == 200 || codes[2] == 200
		if _, refunds := h.rail.Total(); collected == (refunds != 0) || h.api.count() != 1 {
			t.Fatalf("answers %v, %d refunds, %d executions", codes, refunds, h.api.count())
		}
	}
}

// from is the request of a client at that address.
func from(r *http.Request, addr string) *http.Request {
	r.RemoteAddr = addr
	return r
}

// B076: a flood of valid payments is settled as fast as the places allow; beyond
// the queue payers are told to come back, and nobody is half paid.
func TestB076_SettlementFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const payers = 2000
		h := newHouse(t, func(_ *gate.Config, pc *payment.Config) {
			pc.InFlight, pc.Queue, pc.Now = 32, 256, nil
			pc.Patience = 30 * time.Second
		}, func(gc *gate.Config, _ *payment.Config) { gc.Now = nil })
		h.rail.Latency = 500 * time.Millisecond
		router := h.router(map[string]string{"GET /a": "1.00 USD"})
		requests := make([]*http.Request, payers)
		for i := range requests {
			requests[i] = from(h.paid(router, "GET", "/a", ""), netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String()+":1")
		}
		var wg sync.WaitGroup
		var paid, busy atomic.Int64
		for _, r := range requests {
			wg.Go(func() {
				switch w := do(router, r); {
				case w.Code == 200:
					paid.Add(1)
				case w.Code == 503 && w.Header().Get("Retry-After") != "" && w.Header().Get("Www-Authenticate") == "":
					busy.Add(1)
				default:
					t.Errorf("%d %s", w.Code, w.Body)
				}
			})
		}
		wg.Wait()
		charges, refunds := h.rail.Total()
		if int64(charges) != paid.Load() || refunds != 0 || paid.Load() < 32 || paid.Load()+busy.Load() != payers {
			t.Errorf("%d paid, %d told to come back, %d charges, %d refunds", paid.Load(), busy.Load(), charges, refunds)
		}
		// Whoever was turned away pays with the same credential later, once.
		for _, r := range requests[:200] {
			if w := do(router, r); w.Code != 200 {
				t.Fatalf("later: %d %s", w.Code, w.Body)
			}
		}
		report, err := payment.Audit(t.Context(), h.store, time.Now(), time.Hour)
		if err != nil || len(report.Breaks) > 0 {
			t.Errorf("%v %v", report.Breaks, err)
		}
		h.gate.Close()
	})
}

// B077: one client with slow declines holds its own places, not everybody's.
func TestB077_OnePayerHoldsPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(gc *gate.Config, pc *payment.Config) {
			pc.InFlight, pc.Queue, pc.Patience, pc.Now, gc.Now = 32, 256, 30*time.Second, nil, nil
		})
		router := h.router(map[string]string{"GET /a": "1.00 USD"})
		slow := paymenttest.Reply{Delay: 15 * time.Second, Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "slow"}}
		hog := make([]*http.Request, 100)
		for i := range hog {
			hog[i] = from(h.paid(router, "GET", "/a", ""), "192.0.2.1:99")
		}
		other := from(h.paid(router, "GET", "/a", ""), "192.0.2.2:99")
		h.rail.Script("charge", many(slow, 8)...)
		var wg sync.WaitGroup
		var held, refused atomic.Int64
		for _, r := range hog {
			wg.Go(func() {
				switch w := do(router, r); w.Code {
				case 402:
					held.Add(1)
				case 503:
					refused.Add(1)
				default:
					t.Errorf("%d %s", w.Code, w.Body)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if w := do(router, other); w.Code != 200 || time.Since(start) > time.Second {
			t.Errorf("another payer: %d after %s", w.Code, time.Since(start))
		}
		wg.Wait()
		if held.Load() != 8 || refused.Load() != 92 {
			t.Errorf("%d held a place and %d were told to come back, want 8 and 92", held.Load(), refused.Load())
		}
		h.gate.Close()
	})
}

// B067 at the gate: whatever a handler of a request that must not run twice
// fails with, it is not run again.
func TestB066_NotRunTwice(t *testing.T) {
	for _, status := range []int{500, 502, 503, 504} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			h := newHouse(t)
			router := h.router(map[string]string{"POST /a": "1.00 USD"})
			h.api.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			r := h.paid(router, "POST", "/a", "x")
			for i := range 3 {
				again := request(t, "POST", "/a", "x").WithContext(context.WithoutCancel(t.Context()))
				again.Header = r.Header.Clone()
				w := do(router, again)
				if i == 0 && w.Code != http.StatusBadGateway || i > 0 && w.Code != http.StatusPaymentRequired {
					t.Errorf("presentation %d: %d %s", i+1, w.Code, w.Body)
				}
			}
			if h.api.count() != 1 {
				t.Errorf("%d executions, want 1", h.api.count())
			}
			h.settled(1, 1)
		})
	}
}
