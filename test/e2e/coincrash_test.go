package e2e

import (
	"context"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"paywall/payment"
)

// A coinEnding says what must become of a payment in stablecoins whose server died
// at a point: of a GET, whose money is promised first and taken with the answer
// made, and of a POST, whose money is taken first. A flow that does not meet the
// point has no ends.
type coinEnding struct {
	point string
	// How many transfers there may be.
	least, most int
	// seen says how much of its answer the payer had before the crash.
	seen             string
	again, againOnce []string
	gone, goneOnce   []string
}

// byHand is where money ends that was taken for nothing on a rail without refunds.
const byHand = "review/none"

func coinEndings() []coinEnding {
	return []coinEnding{
		{point: payment.PointVerified, least: 0, most: 1, again: all(delivered), againOnce: all(delivered), gone: all(nothing), goneOnce: all(nothing)},
		{point: payment.PointIntent, least: 0, most: 1, again: all(delivered), againOnce: all(delivered), gone: never, goneOnce: never},
		{point: payment.PointHeld, least: 0, most: 1, again: all(delivered), gone: never},
		// From here on it is stored that the money is to be taken: recovery takes it.
		{point: payment.PointCapture, least: 1, most: 1, again: all(delivered), gone: all(byHand)},
		{point: payment.PointSend, least: 0, most: 1, again: all(delivered), againOnce: all(delivered), gone: all(byHand), goneOnce: never},
		{point: payment.PointAnswered, least: 1, most: 1, again: all(delivered), againOnce: all(delivered), gone: all(byHand), goneOnce: all(byHand)},
		{point: payment.PointSettled, least: 1, most: 1, again: all(delivered), againOnce: all(delivered), gone: all(byHand), goneOnce: all(byHand)},
		// An answer that was made before its money was taken is not dispatched any more;
		// the GET that dies here is one that comes back (TestCoinCrashInACollection).
		{point: payment.PointDispatched, least: 1, most: 1, againOnce: all(byHand), goneOnce: all(byHand)},
		{point: payment.PointUpstream, least: 0, most: 1, again: all(delivered), againOnce: all(byHand), gone: never, goneOnce: all(byHand)},
		{point: payment.PointHeaders, least: 1, most: 1, seen: head, again: all(delivered), againOnce: all(byHand), gone: all(byHand), goneOnce: all(byHand)},
		{point: payment.PointLastByte, least: 1, most: 1, seen: whole, again: all(delivered), againOnce: all(byHand), gone: all(byHand), goneOnce: all(byHand)},
		{point: payment.PointDelivered, least: 1, most: 1, seen: whole, again: all(delivered), againOnce: all(delivered), gone: all(delivered), goneOnce: all(delivered)},
	}
}

// ends are those of the flow that the method has.
func (e coinEnding) ends(method string, back bool) []string {
	switch {
	case method == http.MethodPost && back:
		return e.againOnce
	case method == http.MethodPost:
		return e.goneOnce
	case back:
		return e.again
	default:
		return e.gone
	}
}

// atRest reports that nothing will happen to the payment but by its payer or the
// time: a promise is given back, what was decided is taken.
func atRest(r row) bool {
	return r.State != payment.StateAuthorized && r.State != payment.StateRefunding && r.Delivery != payment.DeliveryDispatched &&
		(r.State != payment.StatePending || r.Resource[:4] == http.MethodPost)
}

// coinEnd checks that the payment of a resource has come to one of the ends.
// Promises that were given back before may lie beside it.
func (w *world) coinEnd(t *testing.T, e coinEnding, method, resource string, ends []string) {
	t.Helper()
	rows := w.of(resource)
	if len(rows) > 1 && method == http.MethodGet {
		rows = slices.DeleteFunc(rows, func(r row) bool { return r.State == payment.StateVoided })
	}
	if slices.Contains(ends, nothing) && len(rows) == 0 {
		return
	}
	if len(rows) != 1 || !slices.Contains(ends, rows[0].position()) {
		t.Fatalf("%s has come to %+v, want one of %v", resource, rows, ends)
	}
	r := rows[0]
	transfers := 0
	if r.SettledAt != nil {
		transfers = transferred(w.audit(), r.Reference)
	}
	if transfers < e.least && r.State != payment.StateVoided || transfers > e.most {
		t.Errorf("%s was taken %d times, want %d to %d", resource, transfers, e.least, e.most)
	}
	if r.position() == byHand && r.Reason != "refund_by_hand" {
		t.Errorf("%s is under review for %q, want refund_by_hand", resource, r.Reason)
	}
	if n := w.api.worked(r.ID); method == http.MethodPost && n > 1 {
		t.Errorf("the API worked %d times for %s", n, resource)
	}
}

// TestCoinCrashAndThePayerComesBack kills the server at each point of a request
// that is paid for over x402; after a restart the same payment gets what it paid
// for, or is before a person.
func TestCoinCrashAndThePayerComesBack(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, hooked)
			w.takeCoins(true)
			a := newCoinAgent(t)
			for _, e := range coinEndings() {
				ends := e.ends(method, true)
				if ends == nil {
					continue
				}
				t.Run(e.point, func(t *testing.T) {
					w := w.within(t)
					p, resource, seen := w.dies(t, a, ending{point: e.point}, method)
					if seen != e.seen {
						t.Errorf("the payer has seen %q, want %q", seen, e.seen)
					}
					w.serve()
					w.comesBack(t, a, p, resource, ends)
					w.coinEnd(t, e, method, resource, ends)
					w.coinRows()
					w.books()
					w.serving.stop(t)
				})
			}
			w.reportStarts(t)
		})
	}
}

// comesBack presents a payment again until its last answer, and checks that one
// against what became of the payment.
func (w *world) comesBack(t *testing.T, a *agent, p purchase, resource string, ends []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if slices.Contains(ends, byHand) {
		w.until(resource+" is before a person", func(r row) bool { return r.Resource != resource || r.position() == byHand })
		w.underReview(t, a, p)
		return
	}
	got, err := a.insist(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	w.until(resource+" is delivered", func(r row) bool {
		return r.Resource != resource || r.position() == delivered || r.position() == voided
	})
	// Only a payment that was delivered to its last byte before may have nothing to give.
	if got.status != http.StatusOK && got.problem() != "invalid-challenge" {
		t.Errorf("the last answer is %d %s", got.status, got.body)
	}
	if got.status == http.StatusOK {
		if s := got.settlement(t); !s.Success || transferred(w.audit(), s.Transaction) != 1 {
			t.Errorf("the answer says of its payment %+v", s)
		}
	}
}

// TestCoinCrashAndThePayerIsGone kills the server at each point and never presents
// a payment again: when all windows are over, nobody has paid for nothing unless a
// person is told to send the money back.
func TestCoinCrashAndThePayerIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hooked)
	w.takeCoins(true)
	a := newCoinAgent(t)
	type left struct {
		e                coinEnding
		method, resource string
	}
	var all []left
	for _, e := range coinEndings() {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if e.ends(method, false) == nil {
				continue
			}
			_, resource, _ := w.dies(t, a, ending{point: e.point}, method)
			all = append(all, left{e, method, resource})
			// Recovery passes points of its own, at which the next server must not die.
			w.serve()
			w.until("recovery has ended", atRest)
			w.serving.stop(t)
		}
	}
	w.serve()
	w.spring(16*time.Minute, 16*time.Minute)
	w.until("what was taken first has ended", func(r row) bool {
		return r.Resource[:4] != http.MethodPost || r.position() == voided || r.position() == byHand || r.position() == delivered
	})
	w.books()
	w.spring(25*time.Hour, 25*time.Hour-16*time.Minute)
	w.until("all has ended", func(r row) bool {
		return r.position() == voided || r.position() == byHand || r.position() == delivered
	})
	w.books()
	w.coinRows()
	for _, l := range all {
		w.coinEnd(t, l.e, l.method, l.resource, l.e.ends(l.method, false))
	}
	w.serving.stop(t)
	w.reportStarts(t)
}

// TestCoinCrashInACollection kills the server once with the money taken and the
// answer not out, and once more at each point of collecting it.
func TestCoinCrashInACollection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hooked)
	w.takeCoins(true)
	a := newCoinAgent(t)
	for _, point := range []string{payment.PointDispatched, payment.PointUpstream, payment.PointHeaders, payment.PointLastByte, payment.PointDelivered} {
		t.Run(point, func(t *testing.T) {
			w := w.within(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			server := w.serve("PAYWALL_CRASH=" + payment.PointSettled + ":1")
			target := "/v1/reports/again-" + point
			p, err := a.prepare(ctx, http.MethodGet, w.public+target, "")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = a.present(ctx, p) // it is cut off
			killed(t, server)
			server = w.serve("PAYWALL_CRASH=" + point + ":1")
			_, _ = a.present(ctx, p)
			killed(t, server)
			w.serve()
			w.comesBack(t, a, p, "GET "+target, all(delivered))
			w.coinEnd(t, coinEnding{least: 1, most: 1}, http.MethodGet, "GET "+target, all(delivered))
			w.coinRows()
			w.books()
			w.serving.stop(t)
		})
	}
}

// killed demands that a server has met its crash point.
func killed(t *testing.T, p *process) {
	t.Helper()
	if s := p.ended(t, 20*time.Second); !s.Signaled() || s.Signal() != syscall.SIGKILL {
		t.Fatalf("the server ended with %v, want SIGKILL", s)
	}
}

// TestCoinCrashInARefund kills the server at each point of a refund that an
// operator has asked for. The rail has none: it ends before a person, who sends the
// money and says so, once.
func TestCoinCrashInARefund(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hooked)
	w.takeCoins(true)
	a := newCoinAgent(t)
	for _, point := range refundPoints() {
		t.Run(point, func(t *testing.T) {
			w := w.within(t)
			server := w.serve("PAYWALL_CRASH=" + point + ":1")
			target := "/v1/reports/" + point
			got := a.buy(t, http.MethodGet, w.public+target, "")
			w.handedOver()
			asked := w.paywall("refund", got.payment())
			if point == payment.PointRefunded {
				// A refusal of the rail is no refund, and this point lies behind one.
				if server.stop(t); asked.code == 0 {
					t.Errorf("a refund on a rail without refunds succeeded: %s", asked.stdout)
				}
			} else {
				asked.want(t, 1).oneLine(t)
				killed(t, server)
			}
			w.serve()
			w.until("it is before a person", func(r row) bool { return r.Resource != "GET "+target || r.State == payment.StateReview })
			if rows := w.of("GET " + target); len(rows) != 1 || rows[0].position() != "review/delivered" || rows[0].Reason != "refund_by_hand" {
				t.Fatalf("the payments are %+v, want one to be refunded by hand", rows)
			}
			w.books() // the chain has the money still, and the ledger says so
			w.paywall("payments", "list", "--state", "review").want(t, 0, got.payment())
			for range 2 {
				w.paywall("refund", got.payment(), "--sent", "0xfeed"+point).want(t, 0, "refunded")
			}
			w.paywall("refund", got.payment(), "--sent", "0xother").want(t, 1).oneLine(t)
			w.returned += 1_000_000
			w.books()
			w.serving.stop(t)
		})
	}
}

// TestCoinCrashWithoutANode has nobody to ask but the facilitator. What it proves is
// settled; what it does not is put before a person, and nothing is lost.
func TestCoinCrashWithoutANode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hooked)
	w.takeCoins(false)
	a := newCoinAgent(t)
	repeat := func(how string) {
		w.control(http.MethodPost, "/_sandbox/facilitator", map[string]string{"repeat": how}, http.StatusOK)
	}
	// The facilitator gives its stored answer.
	repeat("stored")
	_, stored := w.again(t, a, payment.PointAnswered, "stored")
	w.until("the stored answer is found", func(r row) bool { return r.Resource != stored || r.State == payment.StateSettled })
	if r := w.of(stored)[0]; transferred(w.audit(), r.Reference) != 1 {
		t.Errorf("it is settled by %q, which moved nothing", r.Reference)
	}
	w.serving.stop(t)
	// It says no more than that the nonce is used: by whom, it does not say.
	repeat("refused")
	p, resource := w.again(t, a, payment.PointAnswered, "refused")
	w.until("it is before a person", func(r row) bool { return r.Resource != resource || r.State == payment.StateReview })
	w.underReview(t, a, p)
	w.serving.stop(t)
	// It was never asked, and cannot prove that it will not be.
	q, unsent := w.again(t, a, payment.PointSend, "unsent")
	w.spring(16*time.Minute, 16*time.Minute)
	w.until("it is before a person", func(r row) bool { return r.Resource != unsent || r.State == payment.StateReview })
	w.underReview(t, a, q)

	// A person looks at the chain, and says what is there.
	audit := w.audit()
	taken := ""
	for _, tr := range audit.Chain.Transfers {
		if !slices.ContainsFunc(w.payments(), func(r row) bool { return r.Reference == tr.Transaction }) {
			taken = tr.Transaction
		}
	}
	if len(audit.Chain.Transfers) != 2 || taken == "" {
		t.Fatalf("the chain has %+v, want two transfers, one of which the books do not name", audit.Chain.Transfers)
	}
	w.paywall("payments", "decide", w.of(resource)[0].ID, "--charged", taken).want(t, 0)
	w.paywall("payments", "decide", w.of(unsent)[0].ID, "--not-charged").want(t, 0)
	w.coinRows()
	w.books()
	w.serving.stop(t)
}

// again is a POST of its own whose server dies at the point and is started again.
func (w *world) again(t *testing.T, a *agent, point, name string) (p purchase, resource string) {
	t.Helper()
	server := w.serve("PAYWALL_CRASH=" + point + ":1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	target := "/v1/complete?without=" + name
	p, err := a.prepare(ctx, http.MethodPost, w.public+target, "{}")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = a.present(ctx, p) // it is cut off
	killed(t, server)
	w.serve()
	return p, "POST " + target
}

// underReview demands that a payer whose payment is before a person is not asked for another.
func (w *world) underReview(t *testing.T, a *agent, p purchase) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := a.present(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if got.status != http.StatusServiceUnavailable || got.problem() != "payment-pending" || got.asksAgain() || got.header.Get("Retry-After") == "" {
		t.Errorf("under review, the payer is told %d %s %v", got.status, got.body, got.header)
	}
}
