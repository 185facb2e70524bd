package app

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/payment"
	"paywall/sandbox"
	"paywall/sandbox/stripe"
)

// event is one as the processor would write it, about a payment's charge.
type event struct {
	id, kind string
	object   map[string]any
	more     map[string]any // members beside the usual ones
}

func (e event) body(t *testing.T) []byte {
	t.Helper()
	doc := map[string]any{
		"id": e.id, "object": "event", "type": e.kind, "livemode": false, "created": time.Now().Unix(),
		"api_version": stripe.DefaultVersion, "data": map[string]any{"object": e.object},
	}
	maps.Copy(doc, e.more)
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// refundOf tells that a charge was refunded, whether or not it was.
func refundOf(id string, p payment.Payment) event {
	return event{id: id, kind: "charge.refunded", object: map[string]any{
		"id": "ch_1", "object": "charge", "payment_intent": p.Reference, "metadata": map[string]string{"paywall_payment": p.ID},
	}}
}

func signed(body []byte) string { return stripe.Sign(hookSecret, body, time.Now()) }

// tell delivers bytes with signature headers to the public handler.
func tell(t *testing.T, public http.Handler, body []byte, signatures ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/stripe", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for _, s := range signatures {
		r.Header.Add("Stripe-Signature", s)
	}
	w := httptest.NewRecorder()
	public.ServeHTTP(w, r)
	return w
}

// TestWebhookRefund: a refund that a person makes at the processor is entered
// here, and what the payment's receipt opened is closed.
func TestWebhookRefund(t *testing.T) {
	h := build(t, plan{})
	s := h.buy(http.MethodGet, "/v1/archive/2026", "")
	bearer := "Authorization: Bearer " + s.receipt
	if a := h.do(http.MethodGet, "/v1/archive/2026", "", bearer); a.status != http.StatusOK {
		t.Fatalf("the pass: %d %s", a.status, a.body)
	}
	h.processorCall("/v1/refunds", "payment_intent="+h.payment(s.id).Reference)
	h.until("refunded", func() bool { return h.payment(s.id).State == payment.StateRefunded })
	h.until("revoked", func() bool {
		return h.do(http.MethodGet, "/v1/archive/2026", "", bearer).status == http.StatusPaymentRequired
	})
	if p := h.payment(s.id); p.RefundReference == "" || p.RefundedAt.IsZero() {
		t.Errorf("%+v", p)
	}
	if n := h.play.Audit().Totals.Refunds; n != 1 {
		t.Errorf("%d refunds at the processor, want the one that was made there", n)
	}
	h.whole()
}

// TestWebhookDispute: a dispute flags the payment and closes what it opened.
// TestWebhookRefundComesBack: a bank sends a confirmed refund back. It is owed
// again, in the books too, until a person finds another way.
func TestWebhookRefundComesBack(t *testing.T) {
	h := build(t, plan{})
	spt, err := h.play.Stripe().Grant("pm_card_refundFail", "usd", 1000, h.play.Now().Add(time.Hour), testProfile)
	h.must(err)
	a := h.do(http.MethodGet, "/v1/reports/7", "")
	a = h.do(http.MethodGet, "/v1/reports/7", "", h.credentialWith(a.header, spt))
	id := a.header.Get("Paywall-Payment-Id")
	h.until("delivered", func() bool { return h.active.Load() == 0 && h.payment(id).Delivery == payment.DeliveryDelivered })
	if a := h.operate("/admin/payments/"+id+"/refund", ""); a.status != http.StatusOK || h.payment(id).State != payment.StateRefunded {
		t.Fatalf("%d %s", a.status, a.body)
	}
	h.must(h.play.Advance(time.Minute))
	h.until("the refund is owed again", func() bool { return h.payment(id).State == payment.StateReview })
	if p := h.payment(id); p.RefundsFailed != 1 {
		t.Errorf("%d refunds failed", p.RefundsFailed)
	}
	if a := h.operate("/admin/payments/"+id+"/refund", `{"sent":"by transfer 7"}`); a.status != http.StatusConflict {
		t.Errorf("a reference with spaces: %d", a.status)
	}
	if a := h.operate("/admin/payments/"+id+"/refund", `{"sent":"transfer-7"}`); a.status != http.StatusOK || h.payment(id).State != payment.StateRefunded {
		t.Errorf("%d %s, %s", a.status, a.body, h.payment(id).State)
	}
	h.whole()
}

func TestWebhookDispute(t *testing.T) {
	h := build(t, plan{})
	s := h.buy(http.MethodGet, "/v1/archive/2026", "")
	bearer := "Authorization: Bearer " + s.receipt
	_, err := h.play.Stripe().OpenDispute(h.payment(s.id).Reference, "fraudulent")
	h.must(err)
	h.until("flagged", func() bool { return h.payment(s.id).Disputed })
	h.until("revoked", func() bool {
		return h.do(http.MethodGet, "/v1/archive/2026", "", bearer).status == http.StatusPaymentRequired
	})
	if r := h.whole(); r.Balances["disputed:stripe USD/2"] != 300 || r.Balances["receivable:stripe USD/2"] != 0 {
		t.Errorf("balances %v", r.Balances)
	}
}

// TestF115_Forged: an event that is not provably the processor's changes
// nothing and is not taken; nor is one of another time (F116) or with other
// bytes than were signed (F117).
func TestF115_Forged(t *testing.T) {
	h := build(t, plan{deaf: true})
	p := h.payment(h.buy(http.MethodGet, "/v1/reports/7", "").id)
	h.processorCall("/v1/refunds", "payment_intent="+p.Reference) // true, and still not proven
	public := described(t, h.server.public())
	body := refundOf("evt_1", p).body(t)
	good, now := signed(body), time.Now()
	v1 := strings.SplitN(good, "v1=", 2)[1]
	at := "t=" + strconv.FormatInt(now.Unix(), 10)
	var compressed bytes.Buffer
	zw := gzip.NewWriter(&compressed)
	_, _ = zw.Write(body)
	h.must(zw.Close())
	for _, tt := range []struct {
		name       string
		body       []byte
		signatures []string
	}{
		{"unsigned", body, nil},
		{"empty", body, []string{""}},
		{"another secret", body, []string{stripe.Sign("whsec_b3RoZXI", body, now)}},
		{"v0 only", body, []string{strings.Replace(good, "v1=", "v0=", 1)}},
		{"empty v1", body, []string{at + ",v1="}},
		{"half of v1", body, []string{good[:len(good)-32]}},
		{"no time", body, []string{"v1=" + v1}},
		{"two times", body, []string{at + "," + good}},
		{"100 signatures", body, []string{at + strings.Repeat(",v1="+strings.Repeat("0", 64), 99) + ",v1=" + v1}},
		{"two headers", body, []string{good, good}},
		{"folded", body, []string{strings.Replace(good, ",", ",\r\n ", 1)}},
		{"F116 301 s old", body, []string{stripe.Sign(hookSecret, body, now.Add(-301*time.Second))}},
		{"F116 in an hour", body, []string{stripe.Sign(hookSecret, body, now.Add(time.Hour))}},
		{"F117 a byte order mark", append([]byte("\ufeff"), body...), []string{good}},
		{"F117 a newline", append(bytes.Clone(body), '\n'), []string{good}},
		{"F117 written again", bytes.ReplaceAll(body, []byte(","), []byte(", ")), []string{good}},
		{"F117 compressed", compressed.Bytes(), []string{good}},
		{"not an event", []byte(`[]`), []string{signed([]byte(`[]`))}},
		{"nothing", nil, []string{signed(nil)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if w := tell(t, public, tt.body, tt.signatures...); w.Code != http.StatusBadRequest {
				t.Errorf("%d, want 400: %s", w.Code, w.Body)
			}
		})
	}
	if q := h.payment(p.ID); q.Revision != p.Revision {
		t.Errorf("changed to %s, revision %d", q.State, q.Revision)
	}
	// The same bytes, signed, are taken.
	if w := tell(t, public, body, good); w.Code != http.StatusOK || h.payment(p.ID).State != payment.StateRefunded {
		t.Errorf("the real one: %d %s, %s", w.Code, w.Body, h.payment(p.ID).State)
	}
	// F116: a replay of it is taken, and does nothing.
	was := h.payment(p.ID).Revision
	if w := tell(t, public, body, good); w.Code != http.StatusOK || h.payment(p.ID).Revision != was {
		t.Errorf("replayed: %d, revision %d after %d", w.Code, h.payment(p.ID).Revision, was)
	}
	h.whole()
}

// TestF118_Storm: one change that is told a hundred times at once, under one id
// and under several, has one effect. What is refused for now comes again.
func TestF118_Storm(t *testing.T) {
	h := build(t, plan{deaf: true})
	p := h.payment(h.buy(http.MethodGet, "/v1/reports/7", "").id)
	h.processorCall("/v1/refunds", "payment_intent="+p.Reference)
	public := described(t, h.server.public())
	var wg sync.WaitGroup
	for i := range 100 {
		id := "evt_same"
		if i%4 == 0 {
			id = fmt.Sprintf("evt_%d", i)
		}
		wg.Go(func() {
			body := refundOf(id, p).body(t)
			for range 500 {
				switch w := tell(t, public, body, signed(body)); w.Code {
				case http.StatusOK:
					return
				case http.StatusInternalServerError, http.StatusServiceUnavailable:
					time.Sleep(20 * time.Millisecond) // as the processor would, later
				default:
					t.Errorf("%d %s", w.Code, w.Body)
					return
				}
			}
			t.Error("never taken")
		})
	}
	wg.Wait()
	if q := h.payment(p.ID); q.State != payment.StateRefunded {
		t.Errorf("%s", q.State)
	}
	if n := h.play.Audit().Totals.Refunds; n != 1 {
		t.Errorf("%d refunds", n)
	}
	h.whole()
}

// TestF119_OutOfOrder: events in the wrong order leave the payment where the
// processor says that it is.
func TestF119_OutOfOrder(t *testing.T) {
	h := build(t, plan{deaf: true, more: "settlement: {patience: 1s, attempt: 1s}"})
	public := described(t, h.server.public())
	send := func(e event) {
		t.Helper()
		body := e.body(t)
		if w := tell(t, public, body, signed(body)); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", e.kind, w.Code, w.Body)
		}
	}
	intent := func(id, kind string, p payment.Payment, reference string) event {
		return event{id: id, kind: kind, object: map[string]any{
			"id": reference, "object": "payment_intent", "metadata": map[string]string{"paywall_payment": p.ID},
		}}
	}
	p := h.payment(h.buy(http.MethodGet, "/v1/reports/7", "").id)
	send(intent("evt_1", "payment_intent.payment_failed", p, p.Reference)) // an earlier try
	send(intent("evt_2", "payment_intent.canceled", p, p.Reference))
	send(intent("evt_3", "payment_intent.succeeded", p, p.Reference))
	if q := h.payment(p.ID); q.Revision != p.Revision {
		t.Errorf("after its delivery it became %s, revision %d", q.State, q.Revision)
	}
	h.processorCall("/v1/refunds", "payment_intent="+p.Reference)
	send(refundOf("evt_4", p))
	send(intent("evt_5", "payment_intent.succeeded", p, p.Reference))
	send(intent("evt_6", "payment_intent.payment_failed", p, p.Reference))
	if q := h.payment(p.ID); q.State != payment.StateRefunded {
		t.Errorf("after its refund it is %s", q.State)
	}

	// A payment in doubt: word of a refund does not come before that of its charge.
	q := h.doubtful("/v1/reports/8")
	reference := h.chargeOf(q.ID)
	early := refundOf("evt_7", q)
	early.object["payment_intent"] = reference
	body := early.body(t)
	if w := tell(t, public, body, signed(body)); w.Code != http.StatusInternalServerError && w.Code != http.StatusOK {
		t.Errorf("early: %d %s", w.Code, w.Body)
	}
	if now := h.payment(q.ID); now.State != payment.StatePending && now.State != payment.StateSettled {
		t.Errorf("word of a refund that is none made it %s", now.State)
	}
	send(intent("evt_8", "payment_intent.succeeded", q, reference))
	if now := h.payment(q.ID); now.State != payment.StateSettled || now.Reference != reference {
		t.Errorf("after word of its charge it is %s", now.State)
	}
	// A refund is word that comes again until the payment is not in doubt.
	q = h.doubtful("/v1/reports/9")
	h.processorCall("/v1/refunds", "payment_intent="+h.chargeOf(q.ID))
	refund := refundOf("evt_9", q)
	refund.object["payment_intent"] = h.chargeOf(q.ID)
	body = refund.body(t)
	if w := tell(t, public, body, signed(body)); w.Code == http.StatusOK && h.payment(q.ID).State != payment.StateRefunded {
		t.Errorf("it was taken while the payment is %s, and does not come again", h.payment(q.ID).State)
	}
	send(intent("evt_10", "payment_intent.succeeded", q, h.chargeOf(q.ID)))
	h.until("taken", func() bool { return tell(t, public, body, signed(body)).Code == http.StatusOK })
	if now := h.payment(q.ID); now.State != payment.StateRefunded {
		t.Errorf("taken, and it is %s", now.State)
	}
	if n := h.play.Audit().Totals.Refunds; n != 2 {
		t.Errorf("%d refunds, want the two that were made at the processor", n)
	}
	h.whole()
}

// doubtful makes a payment that is charged and whose outcome is unknown here.
// From its return on, the processor answers again.
func (h *house) doubtful(path string) payment.Payment {
	h.t.Helper()
	credential := h.quote(http.MethodGet, path, "")
	_, err := h.play.Order(sandbox.Fault{Kind: sandbox.DropAfter, Path: "/v1/payment_intents", Method: http.MethodPost, Count: 1})
	h.must(err)
	deaf, err := h.play.Order(sandbox.Fault{Kind: sandbox.Status, Path: "/v1/*", Status: http.StatusServiceUnavailable})
	h.must(err)
	a := h.do(http.MethodGet, path, "", credential)
	if a.status != http.StatusServiceUnavailable {
		h.t.Fatalf("in doubt: %d %s, want 503", a.status, a.body)
	}
	p := h.payment(a.header.Get("Paywall-Payment-Id"))
	if p.State != payment.StatePending {
		h.t.Fatalf("in doubt: %s", p.State)
	}
	h.do(http.MethodDelete, h.playAt+"/_sandbox/faults/"+deaf, "")
	return p
}

// chargeOf is the processor's reference of a payment's charge.
func (h *house) chargeOf(id string) string {
	h.t.Helper()
	for _, row := range h.play.Stripe().Audit(1000).Intents {
		if row.Metadata["paywall_payment"] == id {
			return row.ID
		}
	}
	h.t.Fatalf("no charge of %s", id)
	return ""
}

// TestF120_OtherPeoplesEvents: signed events about other accounts, modes and
// payments change nothing here.
func TestF120_OtherPeoplesEvents(t *testing.T) {
	h := build(t, plan{deaf: true})
	public := described(t, h.server.public())
	p := h.payment(h.buy(http.MethodGet, "/v1/reports/7", "").id)
	other := h.payment(h.buy(http.MethodGet, "/v1/reports/8", "").id)
	h.processorCall("/v1/refunds", "payment_intent="+other.Reference)
	// A charge of somebody else that claims to be of our payment, and is refunded.
	foreign := h.foreign(p.ID, 77)
	h.processorCall("/v1/refunds", "payment_intent="+foreign)
	with := func(e event, change func(event)) event {
		change(e)
		return e
	}
	for _, tt := range []struct {
		name  string
		event event
		codes string
	}{
		{"another account", event{id: "evt_1", kind: "charge.refunded", object: refundOf("", p).object, more: map[string]any{"account": "acct_other"}}, "200"},
		{"the other mode", event{id: "evt_2", kind: "charge.refunded", object: refundOf("", p).object, more: map[string]any{"livemode": true}}, "400"},
		{"an unknown charge", with(refundOf("evt_3", p), func(e event) { e.object["payment_intent"] = "pi_unknown" }), "200"},
		{"the charge of another payment", with(refundOf("evt_4", p), func(e event) { e.object["payment_intent"] = other.Reference }), "200"},
		{"another amount under our id", with(refundOf("evt_5", p), func(e event) { e.object["payment_intent"] = foreign }), "200"},
		{"an unknown payment", with(refundOf("evt_6", p), func(e event) {
			e.object["metadata"] = map[string]string{"paywall_payment": "pay_unknown"}
		}), "200"},
		{"no payment and an unknown charge", with(refundOf("evt_7", p), func(e event) {
			e.object["metadata"], e.object["payment_intent"] = nil, "pi_unknown"
		}), "200"},
		{"F121 a refund that is none", refundOf("evt_8", p), "200"},
		{"F121 a dispute that is none", event{id: "evt_9", kind: "charge.dispute.created", object: map[string]any{
			"id": "du_none", "object": "dispute", "payment_intent": p.Reference,
		}}, "200"},
		{"a kind that is not acted on", event{id: "evt_10", kind: "customer.created", object: map[string]any{"id": "cus_1"}}, "200"},
		{"a thin event", event{id: "evt_11", kind: "v2.core.event", more: map[string]any{"created": "2026-11-24T00:00:00Z", "object": "v2.core.event"}}, "200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := tt.event.body(t)
			if w := tell(t, public, body, signed(body)); strconv.Itoa(w.Code) != tt.codes {
				t.Errorf("%d, want %s: %s", w.Code, tt.codes, w.Body)
			}
			if q := h.payment(p.ID); q.Revision != p.Revision {
				t.Errorf("changed to %s (%s), revision %d after %d", q.State, q.Reason, q.Revision, p.Revision)
			}
		})
	}
}

// foreign makes a charge at the processor with the seller's key that says it is
// of a payment.
func (h *house) foreign(id string, amount int) string {
	h.t.Helper()
	v := h.processorCall("/v1/payment_intents", fmt.Sprintf("amount=%d&currency=usd&confirm=true&payment_method_data[shared_payment_granted_token]=%s"+
		"&automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never&metadata[paywall_payment]=%s", amount, h.token(), id))
	reference, _ := v["id"].(string)
	if v["status"] != "succeeded" || reference == "" {
		h.t.Fatalf("a charge beside: %v", v)
	}
	return reference
}

// TestWebhookComesAgain: when the processor cannot be asked or the store cannot
// be used, the event is refused, so that it is sent again.
func TestWebhookComesAgain(t *testing.T) {
	h := build(t, plan{deaf: true})
	p := h.payment(h.buy(http.MethodGet, "/v1/reports/7", "").id)
	h.processorCall("/v1/refunds", "payment_intent="+p.Reference)
	public := described(t, h.server.public())
	body := refundOf("evt_1", p).body(t)
	fault, err := h.play.Order(sandbox.Fault{Kind: sandbox.Status, Path: "/v1/*", Status: http.StatusServiceUnavailable})
	h.must(err)
	if w := tell(t, public, body, signed(body)); w.Code != http.StatusInternalServerError {
		t.Errorf("processor away: %d %s", w.Code, w.Body)
	}
	h.do(http.MethodDelete, h.playAt+"/_sandbox/faults/"+fault, "")
	if q := h.payment(p.ID); q.Revision != p.Revision {
		t.Errorf("changed to %s", q.State)
	}
	h.must(h.stop()) // closes the store
	if w := tell(t, public, body, signed(body)); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), p.ID) {
		t.Errorf("store away: %d %s", w.Code, w.Body)
	}
	h.open()
	h.run()
	if w := tell(t, described(t, h.server.public()), body, signed(body)); w.Code != http.StatusOK || h.payment(p.ID).State != payment.StateRefunded {
		t.Errorf("at last: %d, %s", w.Code, h.payment(p.ID).State)
	}
	h.whole()
}
