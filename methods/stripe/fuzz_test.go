package stripe_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	sdk "github.com/stripe/stripe-go/v82"
	sdkwebhook "github.com/stripe/stripe-go/v82/webhook"

	"paywall/methods/stripe"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// FuzzWebhook: what is accepted the processor's own library accepts under one of
// the secrets, and no error shows a secret. forge leaves the bytes as they are;
// otherwise a good signature is added, so that the event's reader is reached.
func FuzzWebhook(f *testing.F) {
	m, err := stripe.New(stripe.Config{Key: testKey, Profile: "internal", WebhookSecrets: []stripe.Secret{webhookSecret, oldWebhookSecret}, Now: clock})
	if err != nil {
		f.Fatal(err)
	}
	body := intentEvent("payment_intent.succeeded", "pi_1", "pay_1")
	f.Add(signed(began, body, webhookSecret).Get("Stripe-Signature"), body, true)
	f.Add("", body, false)
	f.Add("v0=1,", event("evt_1", "refund.created", "", `{"id":"re_1","object":"refund","payment_intent":{"id":"pi_1"}}`), false)
	f.Add("t=1,v1=zz", []byte(`{"id":"evt_1","type":"x"}`), true)
	f.Add("t=1793610060,0=", body, false) // the library refuses a part with two values
	f.Add("x=y,", []byte(`{"id":"evt_1","type":"charge.refunded","created":1e3,"livemode":null}`), false)
	f.Fuzz(func(t *testing.T, field string, body []byte, forge bool) {
		if !forge {
			field += fmt.Sprintf("t=%d,v1=%s", began.Unix(), v1(began, body, webhookSecret))
		}
		e, err := m.Webhook(http.Header{"Stripe-Signature": {field}}, body)
		if err != nil {
			if (e != stripe.Event{}) || strings.Contains(err.Error(), "whsec_") {
				t.Errorf("%+v, %v", e, err)
			}
			return
		}
		if sdkwebhook.ValidatePayloadIgnoringTolerance(body, field, webhookSecret) != nil &&
			sdkwebhook.ValidatePayloadIgnoringTolerance(body, field, oldWebhookSecret) != nil {
			t.Errorf("accepted %q, which the processor's library does not", field)
		}
		if e.ID == "" || e.Concern != stripe.ConcernNone && (e.Object == "" || !strings.HasPrefix(e.Reference, "pi_")) {
			t.Errorf("event = %+v", e)
		}
		for _, s := range []string{e.ID, e.Object, e.Reference, e.PaymentID, e.Account} {
			if strings.ContainsAny(s, "/?#%&\r\n ") {
				t.Errorf("%q would change the path it is put in", s)
			}
		}
	})
}

// FuzzInspect: a payload that is accepted has one token, the one that a plain
// reader finds, and the instrument is of that token alone.
func FuzzInspect(f *testing.F) {
	m, err := stripe.New(stripe.Config{Key: testKey, Profile: "internal"})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{`{"spt":"spt_1"}`, `{"spt":"spt_1","externalId":"x"}`, `{"a":[{}],"spt":"\u0073pt_1"}`, `{"spt":"spt_1","SPT":"spt_2"}`, `[]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		inst, err := m.Inspect(payment.Credential{Payload: payload})
		if err != nil {
			if pe, ok := errors.AsType[*payment.Error](err); !ok || pe.Kind != payment.KindInvalidPayload {
				t.Errorf("err = %v", err)
			}
			return
		}
		var members map[string]json.RawMessage
		var token string
		if err := json.Unmarshal(payload, &members); err != nil {
			t.Fatalf("accepted %q: %v", payload, err)
		}
		if err := json.Unmarshal(members["spt"], &token); err != nil {
			t.Fatalf("accepted %q: %v", payload, err)
		}
		plain, err := m.Inspect(payment.Credential{Payload: fmt.Appendf(nil, `{"spt":%q}`, token)})
		if err != nil || plain != inst || len(token) > 12 && strings.Contains(inst.Fingerprint, token) {
			t.Errorf("%q: %+v, plain %+v, %v", payload, inst, plain, err)
		}
	})
}

// FuzzAnswer: whatever comes back, a charge is a success only when the
// processor's library reads the same bytes as one, with every field right; and
// neither key nor token comes out.
func FuzzAnswer(f *testing.F) {
	const good = `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":150,"amount_received":150,"currency":"usd","livemode":false,` +
		`"latest_charge":{"id":"ch_1","paid":true,"captured":true},"metadata":{"paywall_payment":"pay_00000000000000000000000000000001"}}`
	f.Add(200, []byte(good), false)
	f.Add(200, []byte(strings.Replace(good, "150", "149", 1)), false)
	f.Add(200, []byte(strings.Replace(good, "succeeded", "requires_action", 1)), true)
	f.Add(402, []byte(`{"error":{"type":"card_error","code":"card_declined","message":"leakme","payment_intent":`+strings.Replace(good, "succeeded", "requires_payment_method", 1)+`}}`), false)
	f.Add(402, []byte(`{"error":{"type":"card_error","payment_intent":`+good+`}}`), true)
	f.Add(400, []byte(`{"error":{"type":"invalid_request_error","message":"leakme"}}`), false)
	f.Add(400, []byte(`{"error":{"type":"idempotency_error"}}`), false)
	f.Add(500, []byte(`{"error":{"type":"api_error"}}`), true)
	f.Fuzz(func(t *testing.T, status int, body []byte, replayed bool) {
		if status < 200 || status > 599 {
			return
		}
		m, err := stripe.New(stripe.Config{Key: testKey, Profile: "internal", Now: clock, Transport: canned{status, body, replayed}})
		if err != nil {
			t.Fatal(err)
		}
		o, err := m.Offer(quote(t, "1.50 USD"))
		if err != nil {
			t.Fatal(err)
		}
		p := paymenttest.Sample(t, 1)
		p.Amount = o.Amount
		in, err := m.Prepare(p, credential(o, p.ChallengeID, fuzzToken))
		if err != nil {
			t.Fatal(err)
		}
		out := m.Charge(t.Context(), p, in)
		if s := fmt.Sprintf("%+v", out); strings.Contains(s, fuzzToken) || strings.Contains(s, testKey) {
			t.Errorf("the outcome says %s", s)
		}
		if out.Class != payment.OutcomeSucceeded {
			return
		}
		var pi sdk.PaymentIntent
		if err := json.Unmarshal(body, &pi); err != nil {
			return // a shape that the library of this version does not know
		}
		if status >= 300 || out.Amount != p.Amount || pi.Status != sdk.PaymentIntentStatusSucceeded || pi.Amount != 150 || pi.AmountReceived != 150 ||
			!strings.EqualFold(string(pi.Currency), "usd") || pi.Livemode || pi.Metadata["paywall_payment"] != p.ID {
			t.Errorf("status %d and %s pass for a charge", status, body)
		}
	})
}

const fuzzToken = "spt_FuzzTokenThatNobodyGuesses"

// canned answers the charge with the same bytes every time, and everything else
// with nothing found.
type canned struct {
	status   int
	body     []byte
	replayed bool
}

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	res := &http.Response{StatusCode: c.status, Header: http.Header{}, Request: r}
	body := string(c.body)
	if c.replayed {
		res.Header.Set("Idempotent-Replayed", "true")
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/payment_intents" {
		res.StatusCode, res.Header, body = 200, http.Header{}, `{"object":"list","data":[],"has_more":false}`
	}
	res.Body = readCloser{strings.NewReader(body)}
	return res, nil
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
