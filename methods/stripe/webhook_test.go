package stripe_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkwebhook "github.com/stripe/stripe-go/v82/webhook"

	"paywall/methods/stripe"
	"paywall/payment"
)

const (
	webhookSecret    = "whsec_NewSecretOfTheTests"
	oldWebhookSecret = "whsec_OldSecretOfTheTests"
)

// v1 signs like the processor; the code is the library's, not ours.
func v1(at time.Time, body []byte, secret string) string {
	return hex.EncodeToString(sdkwebhook.ComputeSignature(at, body, secret))
}

func signed(at time.Time, body []byte, secret string) http.Header {
	return http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s,v0=00", at.Unix(), v1(at, body, secret))}}
}

func event(id, eventType, members, object string) []byte {
	return fmt.Appendf(nil, `{"id":%q,"object":"event","api_version":"2026-08-26.preview","type":%q,"created":%d,"livemode":false%s,"data":{"object":%s}}`,
		id, eventType, began.Unix(), members, object)
}

func intentEvent(eventType, id, paymentID string) []byte {
	return event("evt_1", eventType, "", fmt.Sprintf(`{"id":%q,"object":"payment_intent","metadata":{"paywall_payment":%q}}`, id, paymentID))
}

func TestWebhookReads(t *testing.T) {
	m := newProcessor(t).rail(t)
	base := stripe.Event{ID: "evt_1", Created: began, Reference: "pi_1"}
	with := func(change func(*stripe.Event)) stripe.Event {
		e := base
		change(&e)
		return e
	}
	for _, tt := range []struct {
		name string
		body []byte
		want stripe.Event
	}{
		{"charge", intentEvent("payment_intent.succeeded", "pi_1", "pay_1"), with(func(e *stripe.Event) {
			e.Type, e.Concern, e.Object, e.PaymentID = "payment_intent.succeeded", stripe.ConcernCharge, "pi_1", "pay_1"
		})},
		{"on a connected account", event("evt_1", "payment_intent.payment_failed", `,"account":"acct_1"`, `{"id":"pi_1","object":"payment_intent","metadata":{}}`), with(func(e *stripe.Event) {
			e.Type, e.Concern, e.Object, e.Account = "payment_intent.payment_failed", stripe.ConcernCharge, "pi_1", "acct_1"
		})},
		{"refund of a charge", event("evt_1", "charge.refunded", "", `{"id":"ch_1","object":"charge","payment_intent":"pi_1","metadata":{"paywall_payment":"pay_1"}}`), with(func(e *stripe.Event) {
			e.Type, e.Concern, e.Object, e.PaymentID = "charge.refunded", stripe.ConcernRefund, "ch_1", "pay_1"
		})},
		{"refund, intent expanded", event("evt_1", "refund.failed", "", `{"id":"re_1","object":"refund","payment_intent":{"id":"pi_1","object":"payment_intent"}}`), with(func(e *stripe.Event) {
			e.Type, e.Concern, e.Object = "refund.failed", stripe.ConcernRefund, "re_1"
		})},
		{"dispute", event("evt_1", "charge.dispute.created", "", `{"id":"dp_1","object":"dispute","payment_intent":"pi_1"}`), with(func(e *stripe.Event) {
			e.Type, e.Concern, e.Object = "charge.dispute.created", stripe.ConcernDispute, "dp_1"
		})},
		{"charge of other software", event("evt_1", "charge.refunded", "", `{"id":"ch_1","object":"charge","payment_intent":null}`), stripe.Event{ID: "evt_1", Type: "charge.refunded", Object: "ch_1", Created: began}},
		{"what a void leaves", event("evt_1", "payment_intent.canceled", "", `{"id":"pi_1","object":"payment_intent","metadata":{"paywall_payment":"pay_1","paywall_void":"true"}}`), with(func(e *stripe.Event) {
			e.Type, e.Object, e.PaymentID = "payment_intent.canceled", "pi_1", "pay_1"
		})},
		{"metadata that is no id", intentEvent("payment_intent.succeeded", "pi_1", "pay_1 or 1=1"), with(func(e *stripe.Event) {
			e.Type, e.Concern, e.Object = "payment_intent.succeeded", stripe.ConcernCharge, "pi_1"
		})},
		{"another type", event("evt_2", "customer.created", "", `{"id":"cus_1"}`), stripe.Event{ID: "evt_2", Type: "customer.created"}},
		{"F121 thin", []byte(`{"id":"evt_3","object":"v2.core.event","type":"v2.core.event_destination.ping","created":"2026-11-02T09:00:00.000Z"}`), stripe.Event{ID: "evt_3", Type: "v2.core.event_destination.ping"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := m.Webhook(signed(began, tt.body, webhookSecret), tt.body)
			if d := cmp.Diff(tt.want, got); err != nil || d != "" {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
		})
	}
}

func TestF115_Signatures(t *testing.T) {
	m := newProcessor(t).rail(t)
	body := intentEvent("payment_intent.succeeded", "pi_1", "pay_1")
	now := began.Unix()
	good, old, bad := v1(began, body, webhookSecret), v1(began, body, oldWebhookSecret), v1(began, body, "whsec_other")
	for _, tt := range []struct {
		name   string
		header http.Header
		want   error
	}{
		{"good", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s", now, good)}}, nil},
		{"by the old secret, while it is rotated", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s", now, old)}}, nil},
		{"good after bad", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s,v1=%s", now, bad, good)}}, nil},
		{"good before bad", http.Header{"Stripe-Signature": {fmt.Sprintf("v1=%s,v1=%s,t=%d", good, bad, now)}}, nil},
		{"unsigned", http.Header{}, stripe.ErrSignature},
		{"empty", http.Header{"Stripe-Signature": {""}}, stripe.ErrSignature},
		{"wrong secret", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s", now, bad)}}, stripe.ErrSignature},
		{"v0 only", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v0=%s", now, good)}}, stripe.ErrSignature},
		{"empty v1", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=", now)}}, stripe.ErrSignature},
		{"empty v1 beside the good one", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=,v1=%s", now, good)}}, stripe.ErrSignature},
		{"short v1", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s", now, good[:62])}}, stripe.ErrSignature},
		{"no hex", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s", now, strings.Repeat("z", 64))}}, stripe.ErrSignature},
		{"100 v1 values, the last one good", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d%s,v1=%s", now, strings.Repeat(",v1="+bad, 99), good)}}, stripe.ErrSignature},
		{"11 v1 values", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d%s,v1=%s", now, strings.Repeat(",v1="+bad, 10), good)}}, stripe.ErrSignature},
		{"two headers", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s", now, good), "t=1,v1=" + bad}}, stripe.ErrSignature},
		{"header folded", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,\r\n v1=%s", now, good)}}, stripe.ErrSignature},
		{"spaces", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d, v1=%s", now, good)}}, stripe.ErrSignature},
		{"no time", http.Header{"Stripe-Signature": {"v1=" + good}}, stripe.ErrSignature},
		{"two times", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,t=%d,v1=%s", now, now, good)}}, stripe.ErrSignature},
		{"time with a plus", http.Header{"Stripe-Signature": {fmt.Sprintf("t=+%d,v1=%s", now, good)}}, stripe.ErrSignature},
		{"time with zeros", http.Header{"Stripe-Signature": {fmt.Sprintf("t=0%d,v1=%s", now, good)}}, stripe.ErrSignature},
		{"other time", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s", now+1, good)}}, stripe.ErrSignature},
		{"part without a value", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s,x", now, good)}}, stripe.ErrSignature},
		{"part with two values", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,0=t=1,v1=%s", now, good)}}, stripe.ErrSignature},
		{"huge", http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s,x=%s", now, good, strings.Repeat("x", 5000))}}, stripe.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := m.Webhook(tt.header, body)
			if !errors.Is(err, tt.want) || (err != nil && e != stripe.Event{}) {
				t.Errorf("%+v, %v; want %v", e, err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "whsec") || strings.Contains(err.Error(), good[:20])) {
				t.Errorf("the error shows too much: %v", err)
			}
		})
	}

	closed := newProcessor(t).rail(t, func(c *stripe.Config) { c.WebhookSecrets = nil })
	if _, err := closed.Webhook(signed(began, body, ""), body); !errors.Is(err, stripe.ErrSignature) {
		t.Errorf("without a secret: %v", err)
	}
}

func TestF116_TimesOfSignatures(t *testing.T) {
	m := newProcessor(t).rail(t)
	body := intentEvent("payment_intent.succeeded", "pi_1", "pay_1")
	for seconds, want := range map[int]error{
		0: nil, -300: nil, 300: nil, -301: stripe.ErrStale, 301: stripe.ErrStale, -86400: stripe.ErrStale, 86400: stripe.ErrStale,
	} {
		at := began.Add(time.Duration(seconds) * time.Second)
		if _, err := m.Webhook(signed(at, body, webhookSecret), body); !errors.Is(err, want) {
			t.Errorf("%d s: %v, want %v", seconds, err, want)
		}
	}
	// A time that is stale and a signature that is wrong: the clock is not told.
	if _, err := m.Webhook(signed(began.Add(-time.Hour), body, "whsec_other"), body); !errors.Is(err, stripe.ErrSignature) {
		t.Errorf("stale and forged: %v", err)
	}
}

func TestF117_BodiesThatWereTouched(t *testing.T) {
	m := newProcessor(t).rail(t)
	body := intentEvent("payment_intent.succeeded", "pi_1", "pay_1")
	header := signed(began, body, webhookSecret)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(body)
	_ = z.Close()
	for name, touched := range map[string][]byte{
		"spaces":  bytes.Replace(body, []byte(`":`), []byte(`": `), 1),
		"BOM":     append([]byte("\xef\xbb\xbf"), body...),
		"newline": append(bytes.Clone(body), '\n'),
		"gzip":    zipped.Bytes(),
		"empty":   nil,
		"huge":    append(bytes.Clone(body), bytes.Repeat([]byte(" "), 1<<20)...),
	} {
		if _, err := m.Webhook(header, touched); !errors.Is(err, stripe.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, odd := range map[string][]byte{
		"no JSON":            []byte(`nonsense`),
		"a list":             []byte(`[]`),
		"null":               []byte(`null`),
		"no id":              event("", "payment_intent.succeeded", "", `{"id":"pi_1","object":"payment_intent"}`),
		"an id with a space": event("evt 1", "payment_intent.succeeded", "", `{"id":"pi_1","object":"payment_intent"}`),
		"no type":            event("evt_1", "", "", `{"id":"pi_1","object":"payment_intent"}`),
		"no object":          event("evt_1", "payment_intent.succeeded", "", `{}`),
		"object with a path": event("evt_1", "payment_intent.succeeded", "", `{"id":"pi_1/cancel","object":"payment_intent"}`),
		"charge with a path": event("evt_1", "charge.refunded", "", `{"id":"ch_1","object":"charge","payment_intent":"pi_1/cancel"}`),
		"account":            event("evt_1", "payment_intent.succeeded", `,"account":"x"`, `{"id":"pi_1","object":"payment_intent"}`),
	} {
		if _, err := m.Webhook(signed(began, odd, webhookSecret), odd); !errors.Is(err, stripe.ErrEvent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// reread delivers an event and asks what is true.
func reread(t *testing.T, m *stripe.Method, p payment.Payment, body []byte) payment.Outcome {
	t.Helper()
	e, err := m.Webhook(signed(began, body, webhookSecret), body)
	if err != nil {
		t.Fatal(err)
	}
	return m.Reread(t.Context(), e, p)
}

func TestF118_OneEventManyTimes(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	charged := m.Charge(t.Context(), p, in)
	body := intentEvent("payment_intent.succeeded", charged.Reference, p.ID)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if out := reread(t, m, p, body); out.Class != payment.OutcomeSucceeded || out.Reference != charged.Reference {
				t.Errorf("outcome = %+v", out)
			}
		})
	}
	wg.Wait()
	for _, c := range pr.calls {
		if c.Method != http.MethodGet && !strings.HasSuffix(c.URI, "/payment_intents") {
			t.Errorf("an event led to %s %s", c.Method, c.URI)
		}
	}
	if pr.charged("") != 1 {
		t.Errorf("%d charges", pr.charged(""))
	}
}

func TestF119_EventsOutOfOrder(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	charged := m.Charge(t.Context(), p, in)
	// A failure that comes after the success, as told by the processor's object.
	check(t, reread(t, m, p, intentEvent("payment_intent.payment_failed", charged.Reference, p.ID)), want{class: payment.OutcomeSucceeded})
	// A refund that is told of before the success was.
	body := event("evt_2", "charge.refunded", "", `{"id":"ch_1","object":"charge","payment_intent":"`+charged.Reference+`","metadata":{"paywall_payment":"`+p.ID+`"}}`)
	check(t, reread(t, m, p, body), want{class: payment.OutcomeNone, reason: "refund_incomplete"}) // it was not made
	pr.payBack(pr.intents[0], map[string]string{}, 100)
	check(t, reread(t, m, p, body), want{class: payment.OutcomeNone, reason: "refund_incomplete"})
	pr.payBack(pr.intents[0], map[string]string{}, 50)
	out := reread(t, m, p, body)
	check(t, out, want{class: payment.OutcomeSucceeded})
	if !strings.HasPrefix(out.Reference, "re_") {
		t.Errorf("reference %s", out.Reference)
	}
	pr.refunds[1]["status"] = "failed"
	check(t, reread(t, m, p, body), want{class: payment.OutcomeNone, reason: "refund_incomplete"})
}

func TestF120_EventsOfSomethingElse(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	charged := m.Charge(t.Context(), p, in)

	live := bytes.Replace(intentEvent("payment_intent.succeeded", charged.Reference, p.ID), []byte(`"livemode":false`), []byte(`"livemode":true`), 1)
	if _, err := m.Webhook(signed(began, live, webhookSecret), live); !errors.Is(err, stripe.ErrMode) {
		t.Errorf("other mode: %v", err)
	}
	mismatch := func(reason string) want { return want{class: payment.OutcomeMismatch, reason: reason} }
	check(t, reread(t, m, p, intentEvent("payment_intent.succeeded", charged.Reference, "pay_other")), mismatch("payment_differs"))
	check(t, reread(t, m, p, intentEvent("payment_intent.succeeded", "pi_Unknown", p.ID)), mismatch("charge_unknown"))
	check(t, reread(t, m, p, event("evt_1", "payment_intent.succeeded", `,"account":"acct_other"`,
		`{"id":"`+charged.Reference+`","object":"payment_intent","metadata":{"paywall_payment":"`+p.ID+`"}}`)), mismatch("account_differs"))
	other := p
	other.Method = "credit"
	check(t, reread(t, m, other, intentEvent("payment_intent.succeeded", charged.Reference, p.ID)), mismatch("method_differs"))
	settled := p
	settled.Reference = "pi_Another"
	check(t, reread(t, m, settled, event("evt_1", "refund.created", "", `{"id":"re_1","object":"refund","payment_intent":"`+charged.Reference+`"}`)), mismatch("reference_differs"))
	dear := p
	dear.Amount = amount(t, "1.51 USD")
	check(t, reread(t, m, dear, intentEvent("payment_intent.succeeded", charged.Reference, p.ID)), mismatch("amount_differs"))
}

func TestF121_TheAPIDecides(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{fate: "expired_card"}))
	declined := m.Charge(t.Context(), p, in)
	// The event says that it succeeded; the object does not.
	body := intentEvent("payment_intent.succeeded", declined.Reference, p.ID)
	check(t, reread(t, m, p, body), want{class: payment.OutcomeDeclined, kind: verification, reason: "expired_card"})
	pr.edit(func(o object) { o["status"] = "processing" })
	check(t, reread(t, m, p, body), want{class: payment.OutcomeNone, reason: "processing"})
	refund := event("evt_2", "refund.created", "", `{"id":"re_1","object":"refund","payment_intent":"`+declined.Reference+`"}`)
	check(t, reread(t, m, p, refund), want{class: payment.OutcomeNone, reason: "processing"})
	pr.play("get", answer(503, ``, "Retry-After", "4"))
	check(t, reread(t, m, p, body), want{reason: "status_503", after: 4 * time.Second})
	pr.edit(func(o object) { o["metadata"] = map[string]string{"paywall_payment": p.ID, "paywall_void": "true"} })
	check(t, reread(t, m, p, body), want{class: payment.OutcomeNone})
}

func TestDisputes(t *testing.T) {
	succeeded, none, mismatch := payment.OutcomeSucceeded, payment.OutcomeNone, payment.OutcomeMismatch
	for _, tt := range []struct {
		status string
		change func(object)
		want   want
	}{
		{"needs_response", nil, want{class: succeeded, reason: stripe.ReasonDisputeOpen}},
		{"under_review", nil, want{class: succeeded, reason: stripe.ReasonDisputeOpen}},
		{"lost", nil, want{class: succeeded, reason: stripe.ReasonDisputeLost}},
		{"won", nil, want{class: succeeded, reason: stripe.ReasonDisputeWon}},
		{"prevented", nil, want{class: succeeded, reason: stripe.ReasonDisputeWon}},
		{"warning_closed", nil, want{class: succeeded, reason: stripe.ReasonDisputeWon}},
		{"warning_needs_response", nil, want{class: none, reason: stripe.ReasonDisputeInquiry}},
		{"a new one", nil, want{class: mismatch, reason: "unexpected_status"}},
		{"lost", func(o object) { o["amount"] = 100 }, want{class: mismatch, reason: "dispute_amount_differs"}},
		{"lost", func(o object) { o["livemode"] = true }, want{class: mismatch, reason: "livemode_differs"}},
		{"lost", func(o object) { o["payment_intent"] = "pi_Other" }, want{class: mismatch, reason: "reference_differs"}},
		{"lost", func(o object) { o["id"] = "dp_2" }, want{class: mismatch, reason: "charge_unknown"}},
		{"lost", func(o object) { delete(o, "amount") }, want{reason: "odd_answer"}},
	} {
		t.Run(tt.status+" "+tt.want.reason, func(t *testing.T) {
			pr := newProcessor(t)
			_, p := refundable(t, pr, quote(t, "1.50 USD"))
			pr.dispute = object{
				"id": "dp_1", "object": "dispute", "status": tt.status, "amount": 150, "currency": "usd", "livemode": false, "payment_intent": p.Reference,
			}
			if tt.change != nil {
				tt.change(pr.dispute)
			}
			body := event("evt_1", "charge.dispute.created", "", `{"id":"dp_1","object":"dispute","payment_intent":"`+p.Reference+`"}`)
			out := reread(t, pr.rail(t), p, body)
			check(t, out, tt.want)
			if out.Class == succeeded && out.Reference != p.Reference {
				t.Errorf("reference %s", out.Reference)
			}
		})
	}
}
