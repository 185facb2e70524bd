package e2e

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"paywall/payment"
	"paywall/sandbox"
)

// A wrongAnswer is a fault of the facilitator at one of its calls, and what must
// come of it, as docs/x402.md has it.
type wrongAnswer struct {
	name  string
	fault sandbox.Fault
	// status is what the payer is told while the fault is in force.
	status int
	// moved says that the money may be on the chain by then.
	moved bool
	// end is where the payment is when the fault is over and its payer has come back.
	end string
}

// What the payer is told.
const (
	served  = http.StatusOK                 // the chain says that it was paid, whatever the answer was
	refused = http.StatusPaymentRequired    // nothing was taken, and it may pay anew
	later   = http.StatusServiceUnavailable // nothing is known: it must not pay anew
)

func noTransfer(reason string) []byte {
	return []byte(`{"success":false,"errorReason":"` + reason + `","transaction":"","network":"` + coinNetwork + `"}`)
}

// wrongSettlements are faults of /settle.
func wrongSettlements() []wrongAnswer {
	return []wrongAnswer{
		{"an empty object", sandbox.Fault{Kind: sandbox.Answer, Body: []byte(`{}`)}, later, false, delivered},
		{"an empty object after the transfer", sandbox.Fault{Kind: sandbox.Answer, Body: []byte(`{}`), Moved: true}, later, true, delivered},
		{"an empty list", sandbox.Fault{Kind: sandbox.Answer, Body: []byte(`[]`)}, later, false, delivered},
		{"a page", sandbox.Fault{Kind: sandbox.HTML}, later, false, delivered},
		{"a page with 200 after the transfer", sandbox.Fault{Kind: sandbox.HTML, Status: 200, Moved: true}, later, true, delivered},
		{"500", sandbox.Fault{Kind: sandbox.Status, Status: 500}, later, false, delivered},
		{"500 after the transfer", sandbox.Fault{Kind: sandbox.Status, Status: 500, Moved: true}, later, true, delivered},
		{"404 after the transfer", sandbox.Fault{Kind: sandbox.Status, Status: 404, Moved: true}, later, true, delivered},
		{"429", sandbox.Fault{Kind: sandbox.RateLimit}, later, false, delivered},
		{"a redirect", sandbox.Fault{Kind: sandbox.Redirect}, later, false, delivered},
		{"megabytes", sandbox.Fault{Kind: sandbox.Garbage, Size: 8 << 20, Moved: true}, later, true, delivered},
		{"cut off before", sandbox.Fault{Kind: sandbox.DropBefore}, later, false, delivered},
		{"cut off after", sandbox.Fault{Kind: sandbox.DropAfter}, later, true, delivered},
		{"half of the answer", sandbox.Fault{Kind: sandbox.Truncate}, later, true, delivered},
		{"hangs, and settles", sandbox.Fault{Kind: sandbox.DelayAfter, DelayMS: 1500}, later, true, delivered},
		{"success as a string", sandbox.Fault{Kind: sandbox.Alter, Member: "success", Value: []byte(`"true"`)}, later, true, delivered},
		{"success as a number", sandbox.Fault{Kind: sandbox.Alter, Member: "success", Value: []byte(`1`)}, later, true, delivered},
		{"no success", sandbox.Fault{Kind: sandbox.Alter, Member: "success"}, later, true, delivered},
		{"success: null", sandbox.Fault{Kind: sandbox.Alter, Member: "success", Value: []byte(`null`)}, later, true, delivered},
		{"success: false in a 200", sandbox.Fault{Kind: sandbox.Answer, Body: noTransfer("insufficient_funds")}, refused, false, "failed/none"},
		{"success: false for no reason", sandbox.Fault{Kind: sandbox.Answer, Body: noTransfer("")}, later, false, delivered},
		{"success: false for a reason that nobody knows", sandbox.Fault{Kind: sandbox.Answer, Body: noTransfer("solar_flare")}, later, false, delivered},
		{"success: false, and broadcast", sandbox.Fault{Kind: sandbox.Answer, Body: []byte(strings.Replace(string(noTransfer("insufficient_funds")), `"transaction":""`, `"transaction":"0xfeed"`, 1))}, later, false, delivered},
		{"success: false, and unexpected", sandbox.Fault{Kind: sandbox.Answer, Body: noTransfer("unexpected_settle_error"), Moved: true}, served, true, delivered},
		{"pending, not moved", sandbox.Fault{Kind: sandbox.Pending, DelayMS: 120_000}, later, false, delivered},
		{"pending, moved", sandbox.Fault{Kind: sandbox.Pending, Moved: true, Count: 1}, later, true, delivered},
		// It contradicts what was asked for: a person looks at it.
		{"another payer", sandbox.Fault{Kind: sandbox.Alter, Member: "payer", Value: []byte(`"0x000000000000000000000000000000000000dEaD"`), Count: 1}, later, true, byHand},
		{"another network", sandbox.Fault{Kind: sandbox.Alter, Member: "network", Value: []byte(`"eip155:8453"`), Count: 1}, later, true, byHand},
		{"another amount", sandbox.Fault{Kind: sandbox.Alter, Member: "amount", Value: []byte(`"1"`), Count: 1}, later, true, byHand},
		{"no transaction", sandbox.Fault{Kind: sandbox.Alter, Member: "transaction", Count: 1}, later, true, byHand},
	}
}

// wrongVerdicts are faults of /verify, which moves nothing.
func wrongVerdicts() []wrongAnswer {
	return []wrongAnswer{
		{"an empty object", sandbox.Fault{Kind: sandbox.Answer, Body: []byte(`{}`)}, later, false, delivered},
		{"a page", sandbox.Fault{Kind: sandbox.HTML, Status: 200}, later, false, delivered},
		{"500", sandbox.Fault{Kind: sandbox.Status, Status: 500}, later, false, delivered},
		{"cut off", sandbox.Fault{Kind: sandbox.DropAfter}, later, false, delivered},
		{"hangs", sandbox.Fault{Kind: sandbox.Delay, DelayMS: 1500}, later, false, delivered},
		{"isValid as a string", sandbox.Fault{Kind: sandbox.Alter, Member: "isValid", Value: []byte(`"true"`)}, later, false, delivered},
		{"no isValid", sandbox.Fault{Kind: sandbox.Alter, Member: "isValid"}, later, false, delivered},
		{"another payer", sandbox.Fault{Kind: sandbox.Alter, Member: "payer", Value: []byte(`"0x000000000000000000000000000000000000dEaD"`)}, refused, false, "failed/none"},
		{"no payer", sandbox.Fault{Kind: sandbox.Alter, Member: "payer"}, refused, false, "failed/none"},
		{"valid with a 500", sandbox.Fault{Kind: sandbox.Answer, Status: 500, Body: []byte(`{"isValid":true}`)}, later, false, delivered},
		{"isValid: false", sandbox.Fault{Kind: sandbox.Answer, Body: []byte(`{"isValid":false,"invalidReason":"insufficient_funds"}`)}, refused, false, "failed/none"},
	}
}

// TestX402_FacilitatorFaults has every fault of the facilitator in both flows. What
// is not known is never answered with another price, nothing is given before its
// money is certain, and the same payment collects when the fault is over.
func TestX402_FacilitatorFaults(t *testing.T) {
	t.Parallel()
	for _, flow := range []struct {
		name, method, endpoint string
		faults                 []wrongAnswer
	}{
		{"settle before", http.MethodPost, "/facilitator/settle", wrongSettlements()},
		{"settle after", http.MethodGet, "/facilitator/settle", wrongSettlements()},
		{"verify", http.MethodGet, "/facilitator/verify", wrongVerdicts()},
	} {
		// What is not known is given up on when the payer's patience ends. Nobody
		// loses patience over the others, however busy the machine is.
		unknown := func(f wrongAnswer) bool { return f.status == later && f.end == delivered }
		hasty, rest := []wrongAnswer{}, []wrongAnswer{}
		for _, f := range flow.faults {
			if unknown(f) {
				hasty = append(hasty, f)
			} else {
				rest = append(rest, f)
			}
		}
		t.Run(flow.name, func(t *testing.T) {
			t.Parallel()
			suffer(t, flow.method, flow.endpoint, hasty, "settlement: {patience: 1s, attempt: 1s}")
		})
		t.Run(flow.name+", and the answer is clear", func(t *testing.T) {
			t.Parallel()
			suffer(t, flow.method, flow.endpoint, rest, "settlement: {patience: 30s, attempt: 15s}")
		})
	}
}

// suffer has each fault in a world of its own settings, one after the other.
func suffer(t *testing.T, method, endpoint string, faults []wrongAnswer, settings string) {
	t.Helper()
	w := newWorld(t, release, settings, "log: {level: warn}")
	w.takeCoins(true)
	w.serve()
	a := newCoinAgent(t)
	lost := 0 // transfers that no payment is settled by
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			w := w.within(t)
			w.fault(t, a, method, endpoint, i, f)
			if f.end == byHand {
				lost++
			}
		})
	}
	settled := 0
	for _, r := range w.payments() {
		if r.SettledAt != nil {
			settled++
		}
		if r.State == payment.StatePending || r.State == payment.StateAuthorized {
			t.Errorf("%s is left as %s (%s)", r.Resource, r.position(), r.Reason)
		}
	}
	if n := len(w.audit().Chain.Transfers); n != settled+lost {
		t.Errorf("%d transfers for %d settled payments and %d under review", n, settled, lost)
	}
	w.paywall("ledger", "verify").want(t, 0, "every invariant holds")
	w.serving.stop(t)
}

func (w *world) fault(t *testing.T, a *agent, method, endpoint string, i int, f wrongAnswer) {
	t.Helper()
	target, body := "/v1/reports/fault-"+string(rune('a'+i/26))+string(rune('a'+i%26)), ""
	if method == http.MethodPost {
		target, body = strings.Replace(target, "/v1/reports/", "/v1/complete?", 1), "{}"
	}
	resource := method + " " + target
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	p := must[purchase](t)(a.prepare(ctx, method, w.public+target, body))
	before, ran := len(w.audit().Chain.Transfers), w.api.runs()
	f.fault.Path = endpoint
	w.order(f.fault)
	got := must[answer](t)(a.present(ctx, p))
	w.heal()
	transfers := len(w.audit().Chain.Transfers) - before
	if got.status != f.status || transfers > 1 || transfers == 1 && !f.moved {
		t.Errorf("the payer is told %d %s; %d transfers", got.status, got.body, transfers)
	}
	if f.status != served {
		if strings.Contains(string(got.body), `"path"`) || got.header.Get("Payment-Response") != "" && got.settlement(t).Success {
			t.Errorf("it was served, and its payment is not certain: %d %s", got.status, got.body)
		}
		if n := w.api.runs() - ran; n != 0 && (method == http.MethodPost || strings.HasSuffix(endpoint, "/verify")) {
			t.Errorf("the API ran %d times before", n)
		}
	}
	if f.status == later && (got.asksAgain() || got.header.Get("Retry-After") == "") {
		t.Error("what is not known is answered with a price, or without a time to come back")
	}
	if f.status == refused && !got.asksAgain() {
		t.Error("a refusal does not ask again")
	}
	if f.fault.DelayMS > 60_000 { // of the chain's clock
		w.control(http.MethodPost, "/_sandbox/clock", map[string]string{"advance": "3m"}, http.StatusOK)
	}
	got = must[answer](t)(a.insist(ctx, p))
	switch {
	case f.end == delivered && got.status != http.StatusOK,
		f.end == byHand && !got.underReview(),
		f.end == "failed/none" && (got.status != http.StatusPaymentRequired || !got.asksAgain()):
		t.Errorf("when the fault is over, the same payment has %d %s", got.status, got.body)
	}
	w.until("the payment has ended", func(r row) bool {
		return r.Resource != resource || r.position() == f.end || r.State == payment.StateVoided
	})
	rows := slices.DeleteFunc(w.of(resource), func(r row) bool { return r.State == payment.StateVoided })
	if len(rows) != 1 || rows[0].position() != f.end {
		t.Errorf("the payments are %+v, want one that is %s", rows, f.end)
	}
	if n := w.api.worked(rows[0].ID); f.end == delivered && n == 0 || method == http.MethodPost && n > 1 {
		t.Errorf("the API worked %d times for it", n)
	}
}

// TestX402_B074_RepeatedSettlement loses the first answer of a settlement, or has it say
// that the transfer is on its way; the second time, a facilitator gives its stored
// answer, or says no more than that the nonce is used. The payer, who has the
// patience, sees nothing of it.
func TestX402_B074_RepeatedSettlement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, release)
	w.takeCoins(true)
	w.serve()
	a := newCoinAgent(t)
	for _, c := range []struct{ first, repeat string }{
		{sandbox.DropAfter, "stored"}, {sandbox.DropAfter, "refused"}, {sandbox.Pending, "stored"}, {sandbox.Pending, "refused"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(c.first+" "+c.repeat+" "+method, func(t *testing.T) {
				w := w.within(t)
				w.control(http.MethodPost, "/_sandbox/facilitator", map[string]string{"repeat": c.repeat}, http.StatusOK)
				w.order(sandbox.Fault{Kind: c.first, Path: "/facilitator/settle", Count: 1})
				target, body := "/v1/reports/"+c.first+c.repeat, ""
				if method == http.MethodPost {
					target, body = "/v1/complete?"+c.first+c.repeat, "{}"
				}
				before := len(w.audit().Chain.Transfers)
				p := must[purchase](t)(a.prepare(t.Context(), method, w.public+target, body))
				got := must[answer](t)(a.present(t.Context(), p))
				if got.status != http.StatusOK {
					t.Fatalf("%d %s", got.status, got.body)
				}
				s := got.settlement(t)
				if audit := w.audit(); !s.Success || transferred(audit, s.Transaction) != 1 || len(audit.Chain.Transfers) != before+1 {
					t.Errorf("the answer says %+v", s)
				}
				w.handedOver()
				w.coinRows()
				w.books()
			})
		}
	}
	w.serving.stop(t)
}

// TestX402_MoneyGoneMeanwhile spends the payer's money, and its nonce, between the
// promise and the settlement. The answer is not let out, and nothing is owed.
func TestX402_MoneyGoneMeanwhile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spend func(w *world, c *coiner, p purchase)
	}{
		{"the balance", func(w *world, c *coiner, _ purchase) {
			w.control(http.MethodPost, "/_sandbox/fund", map[string]string{"network": coinNetwork, "address": c.key.Address().String(), "balance": "999999"}, http.StatusOK)
		}},
		{"the nonce", func(w *world, c *coiner, p purchase) {
			w.control(http.MethodPost, "/_sandbox/cancel", map[string]string{"network": coinNetwork, "address": c.key.Address().String(), "nonce": p.token}, http.StatusOK)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newCoinWorld(t, release)
			w.serve()
			payer := newCoiner(t)
			a := payer.agent()
			p := must[purchase](t)(a.prepare(t.Context(), http.MethodGet, w.public+"/v1/slow?"+c.name[4:], ""))
			done := make(chan answer, 1)
			go func() {
				got, _ := a.present(t.Context(), p)
				done <- got
			}()
			<-w.api.entered
			c.spend(w, payer, p)
			w.api.release()
			got := <-done
			if got.status != http.StatusPaymentRequired || strings.Contains(string(got.body), `"path"`) || got.settlement(t).Success {
				t.Errorf("an answer whose money is gone: %d %s", got.status, got.body)
			}
			if n := len(w.audit().Chain.Transfers); n != 0 {
				t.Errorf("%d transfers", n)
			}
			w.rest()
			w.coinRows()
			w.books()
			w.serving.stop(t)
		})
	}
}

// TestX402_BrokenUpstream has the API fail for a GET: nothing is taken for it, and the
// same payment may try again, and no more often than the core allows.
func TestX402_BrokenUpstream(t *testing.T) {
	t.Parallel()
	w := newCoinWorld(t, release)
	w.serve()
	a := newCoinAgent(t)
	p := must[purchase](t)(a.prepare(t.Context(), http.MethodGet, w.public+"/v1/broken", ""))
	tries := 0
	for ; tries < 20; tries++ {
		got := must[answer](t)(a.present(t.Context(), p))
		if got.status != http.StatusBadGateway {
			if got.problem() != "invalid-challenge" {
				t.Errorf("after %d tries: %d %s", tries, got.status, got.body)
			}
			break
		}
		if got.asksAgain() || got.header.Get("Retry-After") == "" || strings.Contains(string(got.body), "on purpose") {
			t.Errorf("a failure is answered %s", got.body)
		}
	}
	w.rest()
	if n := len(w.audit().Chain.Transfers); n != 0 || tries != 8 || w.api.runs() != tries {
		t.Errorf("%d transfers, %d runs for %d tries", n, w.api.runs(), tries)
	}
	for _, r := range w.coinRows() {
		if r.position() != voided || r.Reason != "released:upstream_500" {
			t.Errorf("%s is %s (%s)", r.ID, r.position(), r.Reason)
		}
	}
	w.books()
	w.serving.stop(t)
}
