package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"paywall/payment"
)

// An ending says what must become of a payment whose server died at a point.
type ending struct {
	point string
	// How often the processor may have charged.
	least, most int
	// seen says how much of its answer the payer had before the crash.
	seen string
	// What must have become of it when the payer presents its credential again,
	// and when it never comes back: for requests that may run twice, and for others.
	again, againOnce []string
	gone, goneOnce   []string
}

const (
	nothing   = "" // there is no payment
	delivered = "settled/delivered"
	refunded  = "refunded/none"
	voided    = "voided/none"
)

// What a payer may have seen; nothing is the third.
const (
	head  = "the head of its answer"
	whole = "its whole answer"
)

// Recovery at start voids what was never sent, unless it is so slow that the
// payer comes first, whose consent is live then.
var (
	never  = []string{voided}
	either = []string{voided, delivered}
	all    = func(end string) []string { return []string{end} }
)

func endings() []ending {
	return []ending{
		{point: payment.PointVerified, least: 0, most: 1, again: all(delivered), againOnce: all(delivered), gone: all(nothing), goneOnce: all(nothing)},
		{point: payment.PointIntent, least: 0, most: 1, again: either, againOnce: either, gone: never, goneOnce: never},
		{point: payment.PointSend, least: 0, most: 1, again: either, againOnce: either, gone: never, goneOnce: never},
		{point: payment.PointAnswered, least: 1, most: 1, again: all(delivered), againOnce: all(delivered), gone: all(refunded), goneOnce: all(refunded)},
		{point: payment.PointSettled, least: 1, most: 1, again: all(delivered), againOnce: all(delivered), gone: all(refunded), goneOnce: all(refunded)},
		// A request that may have run and must not run twice is paid back at once.
		{point: payment.PointDispatched, least: 1, most: 1, again: all(delivered), againOnce: all(refunded), gone: all(refunded), goneOnce: all(refunded)},
		{point: payment.PointUpstream, least: 1, most: 1, again: all(delivered), againOnce: all(refunded), gone: all(refunded), goneOnce: all(refunded)},
		{point: payment.PointHeaders, least: 1, most: 1, seen: head, again: all(delivered), againOnce: all(refunded), gone: all(refunded), goneOnce: all(refunded)},
		{point: payment.PointLastByte, least: 1, most: 1, seen: whole, again: all(delivered), againOnce: all(refunded), gone: all(refunded), goneOnce: all(refunded)},
		{point: payment.PointDelivered, least: 1, most: 1, seen: whole, again: all(delivered), againOnce: all(delivered), gone: all(delivered), goneOnce: all(delivered)},
	}
}

// refundPoints lie on the way of a refund.
func refundPoints() []string {
	return []string{payment.PointRefunding, payment.PointRefundSend, payment.PointRefundAnswer, payment.PointRefunded}
}

// TestCrashPointsAreCovered fails when a crash point is added without its row. Held
// money is the stablecoins' here, whose rows are of every point.
func TestCrashPointsAreCovered(t *testing.T) {
	t.Parallel()
	held := []string{payment.PointHeld, payment.PointCapture}
	var cards, coins []string
	for _, e := range endings() {
		cards = append(cards, e.point)
	}
	for _, e := range coinEndings() {
		coins = append(coins, e.point)
	}
	points := payment.CrashPoints()
	if coins = append(coins, refundPoints()...); !slices.Equal(coins, points) {
		t.Errorf("the tests with stablecoins cover %v, the payment core has %v", coins, points)
	}
	points = slices.DeleteFunc(points, func(p string) bool { return slices.Contains(held, p) })
	if cards = append(cards, refundPoints()...); !slices.Equal(cards, points) {
		t.Errorf("the tests with tokens cover %v, the payment core has %v", cards, points)
	}
}

// dies buys something while the server is killed at the point, and checks that
// it was. It returns what was bought and how much of the answer arrived.
func (w *world) dies(t *testing.T, a *agent, e ending, method string) (p purchase, resource, seen string) {
	t.Helper()
	target, body := "/v1/reports/"+e.point, ""
	if method == http.MethodPost {
		target, body = "/v1/complete?at="+e.point, `{"prompt":"`+e.point+`"}`
	}
	server := w.serve("PAYWALL_CRASH=" + e.point + ":1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := a.prepare(ctx, method, w.public+target, body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.present(ctx, p)
	if s := server.ended(t, 20*time.Second); !s.Signaled() || s.Signal() != syscall.SIGKILL {
		t.Fatalf("the server ended with %v, want SIGKILL", s)
	}
	switch {
	case err == nil && got.status == http.StatusOK:
		seen = whole
	case got.status == http.StatusOK:
		seen = head
	}
	return p, method + " " + target, seen
}

// settle checks that the payment of a resource has come to one of the ends.
func (w *world) settle(t *testing.T, e ending, method, resource string, ends []string) {
	t.Helper()
	// A payer has its answer a moment before the books say so.
	w.until(resource+" has come to an end", func(r row) bool {
		return r.Resource != resource || slices.Contains(ends, r.position())
	})
	rows := w.of(resource)
	if slices.Contains(ends, nothing) && len(rows) == 0 {
		return
	}
	if len(rows) != 1 {
		t.Fatalf("%d payments for %s, want 1: %v", len(rows), resource, rows)
	}
	r := rows[0]
	charges, refunds := charged(w.audit(), r.ID)
	if charges < e.least || charges > e.most {
		t.Errorf("%s was charged %d times, want %d to %d", resource, charges, e.least, e.most)
	}
	switch {
	case r.State == payment.StateVoided && charges != 0:
		t.Errorf("%s is voided and was charged", resource)
	case r.State == payment.StateSettled && (charges != 1 || refunds != 0):
		t.Errorf("%s is settled with %d charges and %d refunds", resource, charges, refunds)
	case r.State == payment.StateRefunded && (charges != 1 || refunds != 1):
		t.Errorf("%s is refunded with %d charges and %d refunds", resource, charges, refunds)
	}
	if n := w.api.worked(r.ID); method == http.MethodPost && n > 1 {
		t.Errorf("the API worked %d times for %s", n, resource)
	}
}

func (w *world) reportStarts(t *testing.T) {
	t.Helper()
	slices.Sort(w.starts)
	t.Logf("ready after a start: median %s, worst %s of %d", w.starts[len(w.starts)/2].Round(time.Millisecond),
		w.starts[len(w.starts)-1].Round(time.Millisecond), len(w.starts))
}

// TestB062_CrashAndThePayerComesBack kills the server at each point of a paid request;
// after a restart the same credential gets what it paid for, or its money back.
func TestB062_CrashAndThePayerComesBack(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, hooked)
			a := newAgent(t, w, "")
			for _, e := range endings() {
				t.Run(e.point, func(t *testing.T) {
					ends := e.again
					if method == http.MethodPost {
						ends = e.againOnce
					}
					w := w.within(t)
					p, resource, seen := w.dies(t, a, e, method)
					if seen != e.seen {
						t.Errorf("the payer has seen %q, want %q", seen, e.seen)
					}
					w.serve()
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					got, err := a.insist(ctx, p)
					if err != nil {
						t.Fatal(err)
					}
					if got.status != http.StatusOK && got.problem() != "invalid-challenge" {
						t.Errorf("the last answer is %d %s, want the goods or invalid-challenge", got.status, got.body)
					}
					w.rest()
					w.settle(t, e, method, resource, ends)
					if r := w.of(resource); seen != whole && len(r) == 1 && r[0].position() == delivered && got.status != http.StatusOK {
						t.Errorf("entered as delivered, but the payer has only %d %s", got.status, got.body)
					}
					w.books()
					w.serving.stop(t)
				})
			}
			w.reportStarts(t)
		})
	}
}

// TestB061_CrashAndThePayerIsGone kills the server at each point and never presents a
// credential again: when the windows are over, nobody has paid for nothing.
func TestB061_CrashAndThePayerIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hooked)
	a := newAgent(t, w, "")
	type left struct {
		e                ending
		method, resource string
		ends             []string
	}
	var all []left
	for _, e := range endings() {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			_, resource, _ := w.dies(t, a, e, method)
			ends := e.gone
			if method == http.MethodPost {
				ends = e.goneOnce
			}
			all = append(all, left{e, method, resource, ends})
		}
	}
	w.serve()
	w.rest()
	w.books()
	for _, window := range []time.Duration{16 * time.Minute, 25 * time.Hour} {
		w.advance(window)
		await(t, fmt.Sprintf("refunds %s later", window), 40*time.Second, func() bool {
			return !slices.ContainsFunc(all, func(l left) bool {
				late := window > time.Hour || l.method == http.MethodPost
				return late && slices.ContainsFunc(w.of(l.resource), func(r row) bool { return !slices.Contains(l.ends, r.position()) })
			})
		})
		w.books()
	}
	for _, l := range all {
		w.settle(t, l.e, l.method, l.resource, l.ends)
	}
	w.serving.stop(t)
	w.reportStarts(t)
}

// rest waits until nothing is under way: no payment in doubt, no refund begun, no
// delivery whose end is not in the books yet.
func (w *world) rest() {
	w.t.Helper()
	w.until("nothing is under way", func(r row) bool {
		return r.State != payment.StatePending && r.State != payment.StateRefunding && r.Delivery != payment.DeliveryDispatched
	})
}

// handedOver waits until all that was bought is in the books as delivered.
func (w *world) handedOver() {
	w.t.Helper()
	w.until("all is delivered", func(r row) bool {
		return r.State != payment.StatePending && (r.State != payment.StateSettled || r.Delivery == payment.DeliveryDelivered)
	})
}

// until waits for every payment to be as it should, for at most 40 seconds.
func (w *world) until(what string, good func(row) bool) {
	w.t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for {
		var left []row
		for _, r := range w.payments() {
			if !good(r) {
				left = append(left, r)
			}
		}
		switch {
		case len(left) == 0:
			return
		case time.Now().After(deadline):
			w.t.Fatalf("%s: not within 40 s; %d payments are left, the first: %+v", what, len(left), left[0])
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// within is the world in a subtest.
func (w *world) within(t *testing.T) *world {
	t.Helper()
	parent := w.t
	w.t = t
	t.Cleanup(func() { w.t = parent })
	return w
}

// TestCrashInARefund kills the server at each point of a refund that an operator
// has asked for. It is refunded once, however often it is asked for.
func TestCrashInARefund(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hooked)
	a := newAgent(t, w, "")
	for _, point := range refundPoints() {
		t.Run(point, func(t *testing.T) {
			w := w.within(t)
			server := w.serve("PAYWALL_CRASH=" + point + ":1")
			target := "/v1/reports/" + point
			got := a.buy(t, http.MethodGet, w.public+target, "")
			w.handedOver()
			w.paywall("refund", got.payment()).want(t, 1).oneLine(t)
			if s := server.ended(t, 10*time.Second); !s.Signaled() || s.Signal() != syscall.SIGKILL {
				t.Fatalf("the server ended with %v, want SIGKILL", s)
			}
			w.serve()
			w.rest()
			w.paywall("refund", got.payment()).want(t, 0, "refunded")
			rows := w.of("GET " + target)
			if len(rows) != 1 || rows[0].position() != "refunded/delivered" {
				t.Errorf("the payments are %v, want one that is refunded", rows)
			}
			if charges, refunds := charged(w.audit(), got.payment()); charges != 1 || refunds != 1 {
				t.Errorf("%d charges and %d refunds, want one of each", charges, refunds)
			}
			w.books()
			w.serving.stop(t)
		})
	}
	w.reportStarts(t)
}
