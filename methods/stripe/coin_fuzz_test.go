package stripe_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"paywall/methods/stripe"
	"paywall/payment"
)

// answering is a rail whose processor always answers the same.
func answering(tb testing.TB, status int, body []byte) *stripe.Method {
	tb.Helper()
	m, err := stripe.New(stripe.Config{
		Key: testKey, Profile: "profile_test_shop", Now: clock,
		Transport: respondWith(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}
		}),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// FuzzDepositAddress: whatever the processor answers, what payers are shown is an
// address in its one form, and no error repeats the answer.
func FuzzDepositAddress(f *testing.F) {
	const good = `{"id":"cda_1","network":"base","livemode":false,"created":1,"address":"0xAB11111111111111111111111111111111111111"}`
	f.Add("base", []byte(`{"object":"list","has_more":false,"data":[`+good+`]}`))
	f.Add("solana", []byte(`{"object":"list","has_more":false,"data":[{"id":"cda_1","network":"solana","livemode":false,"address":"EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"}]}`))
	f.Add("base", []byte(good))
	f.Add("base", []byte(`{"object":"list","has_more":true,"data":[`+good+`]}`))
	f.Add("base", []byte(`{"error":{"message":"leakme"}}`))
	f.Fuzz(func(t *testing.T, network string, body []byte) {
		d, err := stripe.NewDeposits(stripe.CoinConfig{Rail: answering(t, http.StatusOK, body)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Address(t.Context(), network)
		switch {
		case err != nil && (got != "" || strings.Contains(err.Error(), "leakme")):
			t.Errorf("%q, %v", got, err)
		case err != nil:
		case network == "solana" && (len(got) < 32 || len(got) > 44 || strings.ContainsAny(got, "0OIl/ \n")):
			t.Errorf("%q is no address of solana", got)
		case network != "solana" && (len(got) != 42 || !strings.HasPrefix(got, "0x") || strings.Trim(got[2:], "0123456789abcdef") != ""):
			t.Errorf("%q is no address", got)
		}
	})
}

// FuzzRecordAnswer: an answer is a success only when a processor that says so has
// every word of the transfer in it, and nothing of it is repeated.
func FuzzRecordAnswer(f *testing.F) {
	good := `{"id":"pi_9","object":"payment_intent","status":"succeeded","amount":5,"amount_received":5,"currency":"usd","livemode":false,"metadata":{"paywall_transfer":"pay_0","paywall_transaction":"` + hashOf(0) + `"}}`
	f.Add(200, []byte(good))
	f.Add(200, []byte(strings.Replace(good, "succeeded", "processing", 1)))
	f.Add(402, fmt.Appendf(nil, `{"error":{"type":"card_error","payment_intent":%s}}`, good))
	f.Add(200, []byte(`{"object":"search_result","has_more":false,"data":[`+good+`]}`))
	f.Add(400, []byte(`{"error":{"type":"idempotency_error"}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 100 || status > 599 {
			t.Skip()
		}
		tr := stripe.Transfer{Network: "base", Transaction: hashOf(0), Amount: usd(t, 5), PaymentID: "pay_0", At: began}
		r, err := stripe.NewRecorder(stripe.CoinConfig{Rail: answering(t, status, body)})
		if err != nil {
			t.Fatal(err)
		}
		out := r.Record(t.Context(), tr)
		quiet(t, out)
		if out.Class != payment.OutcomeSucceeded {
			return
		}
		for _, part := range []string{"pi_", "pay_0", hashOf(0), "succeeded", "payment_intent"} {
			if !bytes.Contains(body, []byte(part)) && !bytes.Contains(body, []byte(`\u`)) {
				t.Errorf("a success without %s: %s", part, body)
			}
		}
		if out.Amount != tr.Amount || status < 200 || status > 299 {
			t.Errorf("status %d: %+v", status, out)
		}
	})
}
