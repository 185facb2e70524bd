package stripe_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"paywall/sandbox/stripe"
)

// What a second call under the same key gets, by how it differs from the first.
func TestIdempotency(t *testing.T) {
	const path = "/v1/payment_intents"
	for _, tt := range []struct {
		name          string
		first, second string
		path          string // of the second, if another
		headers       []string
		wait          time.Duration
		replayed      bool
		status        int
		message       string
	}{
		{name: "the same", first: charge("pm_card_visa", 100), second: charge("pm_card_visa", 100), replayed: true, status: 200},
		{name: "otherwise written", first: "amount=100&currency=usd&expand[0]=customer&metadata[a]=b", second: "metadata%5Ba%5D=b&expand[]=customer&currency=usd&amount=100", replayed: true, status: 200},
		{name: "other parameters", first: charge("pm_card_visa", 100), second: charge("pm_card_visa", 200), status: 400, message: "Keys for idempotent requests can only be used with the same parameters they were first used with."},
		{name: "other account", first: charge("pm_card_visa", 100), second: charge("pm_card_visa", 100), headers: []string{"Stripe-Account: acct_b"}, status: 400, message: "same parameters"},
		{name: "other version", first: charge("pm_card_visa", 100), second: charge("pm_card_visa", 100), headers: []string{"Stripe-Version: 2026-08-26.dahlia"}, status: 400, message: "same parameters"},
		{name: "other endpoint", first: charge("pm_card_visa", 100), second: "", path: "/v1/refunds", status: 400, message: "same endpoint"},
		{name: "a stored refusal", first: "amount=100&currency=usd&payment_method=pm_none", second: "amount=100&currency=usd&payment_method=pm_none", replayed: true, status: 400, message: "No such PaymentMethod"},
		{name: "after a bad parameter", first: "amount=x&currency=usd", second: charge("pm_card_visa", 100), status: 200},
		{name: "after an unknown parameter", first: "colour=red", second: charge("pm_card_visa", 100), status: 200},
		{name: "just before a day", first: charge("pm_card_visa", 100), second: charge("pm_card_visa", 100), wait: 24*time.Hour - time.Second, replayed: true, status: 200},
		{name: "after a day", first: charge("pm_card_visa", 100), second: charge("pm_card_visa", 100), wait: 24 * time.Hour, status: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPSP(t, stripe.Config{})
			first := p.post(path, tt.first, "Idempotency-Key: k")
			p.clock.advance(tt.wait)
			to := path
			if tt.path != "" {
				to = tt.path
			}
			got := p.post(to, tt.second, append([]string{"Idempotency-Key: k"}, tt.headers...)...)
			if got.status != tt.status || !strings.Contains(got.str("error.message"), tt.message) {
				t.Errorf("got %d %s", got.status, got.raw)
			}
			if replayed := got.header.Get("Idempotent-Replayed") == "true"; replayed != tt.replayed {
				t.Errorf("replayed %v, want %v", replayed, tt.replayed)
			}
			if got.header.Get("Idempotency-Key") != "k" || got.header.Get("Request-Id") == first.header.Get("Request-Id") {
				t.Errorf("headers %v", got.header)
			}
			if !tt.replayed {
				return
			}
			if got.raw != first.raw || got.header.Get("Original-Request") != first.header.Get("Request-Id") {
				t.Errorf("replay differs: %s and %s, %v", got.raw, first.raw, got.header)
			}
		})
	}
	p := newPSP(t, stripe.Config{})
	p.post(path, charge("pm_card_visa", 100), "Idempotency-Key: "+strings.Repeat("k", 256)).refused(t, http.StatusBadRequest, "", "255")
	p.post(path, charge("pm_card_visa", 100), "Idempotency-Key: k", "Authorization: Bearer sk_nonsense")
	p.post(path, charge("pm_card_visa", 100), "Idempotency-Key: k").ok(t) // the 401 was not kept
	p.get("/v1/payment_intents", "limit=1", "Idempotency-Key: k").ok(t)   // reads have no keys
}

// Copies that arrive together: one works, the others are told to wait, and a
// later one gets the answer.
func TestB041_ParallelCopies(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	spt := p.token(t, "pm_card_visa", 100)
	var ids sync.Map
	var bad atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch got := p.post("/v1/payment_intents", sale(spt, 100), "Idempotency-Key: k"); {
			case got.status == http.StatusOK:
				ids.Store(got.str("id"), true)
			case got.str("error.code") != "idempotency_key_in_use":
				bad.Add(1)
			}
		})
	}
	wg.Wait()
	n := 0
	ids.Range(func(any, any) bool { n++; return true })
	if a := p.Audit(10); a.Totals.Charges != 1 || n != 1 || bad.Load() != 0 {
		t.Errorf("%d charges, %d answers, %d surprises", a.Totals.Charges, n, bad.Load())
	}
}

// B043: one token under many keys pays once.
func TestB043_OneTokenManyKeys(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	spt := p.token(t, "pm_card_visa", 100)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { p.post("/v1/payment_intents", sale(spt, 100), fmt.Sprintf("Idempotency-Key: k%d", i)) })
	}
	wg.Wait()
	if a := p.Audit(10); a.Totals.Charges != 1 || a.Totals.Captured["usd"] != 100 || len(a.Intents) != 1 {
		t.Errorf("%+v", a.Totals)
	}
}

// While a call takes its time, its key is in use.
func TestB051_KeyInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stripe.New(stripe.Config{Latency: time.Second})
		defer s.Close()
		p := &psp{Server: s, clock: &clock{at: time.Now()}}
		var first reply
		go func() { first = p.post("/v1/payment_intents", charge("pm_card_visa", 100), "Idempotency-Key: k") }()
		synctest.Wait()
		busy := p.post("/v1/payment_intents", charge("pm_card_visa", 100), "Idempotency-Key: k")
		busy.refused(t, http.StatusConflict, "idempotency_key_in_use", "in-progress")
		if busy.header.Get("Stripe-Should-Retry") != "true" {
			t.Error("Stripe-Should-Retry is missing")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		first.ok(t)
		again := p.post("/v1/payment_intents", charge("pm_card_visa", 100), "Idempotency-Key: k").ok(t)
		if again.raw != first.raw || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s and %s", again.raw, first.raw)
		}
	})
}

// A 500 is kept like any answer, whether or not the money moved.
func TestStoredFailure(t *testing.T) {
	for _, moved := range []bool{false, true} {
		p := newPSP(t, stripe.Config{})
		spt := p.token(t, "pm_card_visa", 100)
		r := httptest.NewRequest(http.MethodPost, "/v1/payment_intents", strings.NewReader(sale(spt, 100)))
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("Stripe-Version", previewed)
		r.Header.Set("Idempotency-Key", "k")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r.WithContext(stripe.StoreFailure(r.Context(), moved)))
		if w.Code != http.StatusInternalServerError {
			t.Fatalf("status %d", w.Code)
		}
		again := p.post("/v1/payment_intents", sale(spt, 100), "Idempotency-Key: k")
		if again.status != 500 || again.str("error.type") != "api_error" || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("moved %v: %d %s", moved, again.status, again.raw)
		}
		want := 0
		if moved {
			want = 1
		}
		if a := p.Audit(10); a.Totals.Charges != want {
			t.Errorf("moved %v: %d charges", moved, a.Totals.Charges)
		}
	}
}

// Whatever is called in whatever order, the books agree: no token is charged
// twice or above its limit, no charge gives back more than it took, and the
// balance is what was taken less what was given back.
func TestBooksAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPSP(quiet{t}, stripe.Config{})
		methods := []string{"pm_card_visa", "pm_card_chargeDeclined", "pm_card_authenticationRequired", "pm_card_refundFail", "pm_card_pendingRefund", "pm_card_createDispute"}
		var tokens, intents []string
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			key := "Idempotency-Key: " + rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"}).Draw(t, "key")
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				tokens = append(tokens, p.token(quiet{t}, rapid.SampledFrom(methods).Draw(t, "method"), rapid.IntRange(50, 500).Draw(t, "limit")))
			case 1:
				if len(tokens) > 0 {
					got := p.post("/v1/payment_intents", sale(rapid.SampledFrom(tokens).Draw(t, "token"), rapid.IntRange(40, 600).Draw(t, "amount")), key)
					if id := got.str("id"); id != "" {
						intents = append(intents, id)
					}
				}
			case 2:
				if len(intents) > 0 {
					p.post("/v1/refunds", fmt.Sprintf("payment_intent=%s&amount=%d", rapid.SampledFrom(intents).Draw(t, "intent"), rapid.IntRange(1, 400).Draw(t, "back")), key)
				}
			case 3:
				if len(tokens) > 0 {
					p.post("/v1/test_helpers/shared_payment/granted_tokens/"+rapid.SampledFrom(tokens).Draw(t, "token")+"/revoke", "")
				}
			case 4:
				if len(intents) > 0 {
					p.post("/v1/payment_intents/"+rapid.SampledFrom(intents).Draw(t, "intent")+"/cancel", "")
				}
			case 5:
				p.clock.advance(time.Duration(rapid.IntRange(1, 4000).Draw(t, "seconds")) * time.Second)
			}
		}
		p.clock.advance(49 * time.Hour)
		a := p.Audit(1000)
		paid := map[string]int{}
		var taken, back int64
		for _, i := range a.Intents {
			if i.Status == "succeeded" && i.Token != "" {
				paid[i.Token]++
			}
		}
		for _, h := range a.Charges {
			if h.Refunded < 0 || h.Refunded > h.Captured || h.Captured > h.Amount {
				t.Fatalf("charge %+v", h)
			}
			taken, back = taken+h.Captured, back+h.Refunded
		}
		for _, s := range a.Tokens {
			if paid[s.ID] > 1 || s.Captured > s.Max || (s.Captured > 0) != (s.DeactivatedReason == "consumed") {
				t.Fatalf("token %+v paid %d times", s, paid[s.ID])
			}
		}
		if taken != a.Totals.Captured["usd"] || back != a.Totals.Refunded["usd"] {
			t.Fatalf("taken %d, back %d, totals %+v", taken, back, a.Totals)
		}
		var lines int64
		for e := range entries(p) {
			lines += e
		}
		withdrawn := int64(0)
		for _, h := range a.Charges {
			if h.Disputed {
				withdrawn += h.Captured
			}
		}
		if lines != taken-back-withdrawn {
			t.Fatalf("balance lines sum to %d, want %d - %d - %d", lines, taken, back, withdrawn)
		}
	})
}

// entries yields the amounts of all balance lines.
func entries(p *psp) func(func(int64) bool) {
	return func(yield func(int64) bool) {
		after := ""
		for {
			page := p.get("/v1/balance_transactions", "limit=100"+after)
			data, _ := page.at("data").([]any)
			for i := range data {
				amount, _ := page.at(fmt.Sprintf("data.%d.amount", i)).(float64)
				if !yield(int64(amount)) {
					return
				}
				after = "&starting_after=" + page.str(fmt.Sprintf("data.%d.id", i))
			}
			if page.at("has_more") != true {
				return
			}
		}
	}
}

// quiet lets a rapid test use helpers of the standard one.
type quiet struct{ *rapid.T }

func (quiet) Cleanup(func()) {}
func (q quiet) Helper()      { q.T.Helper() }
