package facilitator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/methods/facilitator"
	"paywall/money"
	"paywall/payment"
	client "paywall/x402/facilitator"
)

// good is a settlement's answer, with members changed.
func good(change object) object {
	o := object{"success": true, "transaction": "0xabc123", "network": network, "payer": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A", "amount": "10000"}
	for k, v := range change {
		if v == nil {
			delete(o, k)
			continue
		}
		o[k] = v
	}
	return o
}

func check(t *testing.T, got payment.Outcome, class payment.OutcomeClass, reason string) {
	t.Helper()
	if got.Class != class || got.Reason != reason {
		t.Errorf("outcome = %s %q (%v), want %s %q", got.Class, got.Reason, got.Err, class, reason)
	}
}

func TestCharge_B073_Answers(t *testing.T) {
	refused := func(code any) object {
		return object{"success": false, "errorReason": code, "transaction": "", "network": network}
	}
	for _, tt := range []struct {
		name   string
		status int
		body   any
		class  payment.OutcomeClass
		reason string
		kind   payment.Kind
	}{
		{name: "success", status: 200, body: good(nil), class: payment.OutcomeSucceeded},
		{name: "success without an amount", status: 200, body: good(object{"amount": nil}), class: payment.OutcomeSucceeded},
		{name: "success, the payer in lower case", status: 201, body: good(object{"payer": "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a"}), class: payment.OutcomeSucceeded},
		{name: "success with more members", status: 200, body: good(object{"errorReason": "", "extensions": object{"a": []int{1}}, "zz": 1}), class: payment.OutcomeSucceeded},

		{name: "another network", status: 200, body: good(object{"network": "eip155:8453"}), class: payment.OutcomeMismatch, reason: "network_differs"},
		{name: "no network", status: 200, body: good(object{"network": nil}), class: payment.OutcomeMismatch, reason: "network_differs"},
		{name: "another payer", status: 200, body: good(object{"payer": payee}), class: payment.OutcomeMismatch, reason: "payer_differs"},
		{name: "no payer", status: 200, body: good(object{"payer": nil}), class: payment.OutcomeMismatch, reason: "payer_differs"},
		{name: "another amount", status: 200, body: good(object{"amount": "9999"}), class: payment.OutcomeMismatch, reason: "amount_differs"},
		{name: "no transaction", status: 200, body: good(object{"transaction": ""}), class: payment.OutcomeMismatch, reason: "transaction_missing"},
		{name: "a transaction that would write into headers", status: 200, body: good(object{"transaction": "0x1\r\nX: y"}), class: payment.OutcomeMismatch, reason: "transaction_missing"},
		{name: "an endless transaction", status: 200, body: good(object{"transaction": "0x" + strings.Repeat("1", 127)}), class: payment.OutcomeMismatch, reason: "transaction_missing"},

		{name: "success as text", status: 200, body: good(object{"success": "true"}), reason: "odd_answer"},
		{name: "success as a number", status: 200, body: good(object{"success": 1}), reason: "odd_answer"},
		{name: "Success in another case", status: 200, body: good(object{"success": nil, "Success": true}), reason: "odd_answer"},
		{name: "an amount as a number", status: 200, body: good(object{"amount": 10000}), reason: "odd_answer"},
		{name: "success twice", status: 200, body: `{"success":false,"success":true,"transaction":"0x1","network":"eip155:84532"}`, reason: "odd_answer"},
		{name: "success under a 500", status: 500, body: good(nil), reason: "odd_answer"},
		{name: "an empty object", status: 200, body: `{}`, reason: "odd_answer"},
		{name: "nothing", status: 200, body: ``, reason: "odd_answer"},
		{name: "null", status: 200, body: `null`, reason: "odd_answer"},
		{name: "a list", status: 200, body: `[{"success":true}]`, reason: "odd_answer"},
		{name: "HTML", status: 200, body: `<html>welcome</html>`, reason: "odd_answer"},
		{name: "cut off", status: 200, body: `{"success":true,"transaction":"0x1"`, reason: "odd_answer"},
		{name: "two documents", status: 200, body: `{"success":true}{"success":true}`, reason: "odd_answer"},
		{name: "a verdict", status: 200, body: `{"isValid":true}`, reason: "odd_answer"},
		{name: "too much", status: 200, body: `{"success":true,"x":"` + strings.Repeat("x", 70<<10) + `"}`, reason: "odd_answer"},
		{name: "too deep", status: 200, body: `{"success":true,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, reason: "odd_answer"},
		{name: "a redirect", status: 307, body: ``, reason: "redirected"},
		{name: "HTML under a 502", status: 502, body: `<html>bad gateway</html>`, reason: "status_502"},
		{name: "JSON of another kind under a 500", status: 500, body: `{"error":"boom"}`, reason: "status_500"},
		{name: "a conflict", status: 409, body: `{}`, reason: "status_409"},
		{name: "a request that timed out", status: 408, body: ``, reason: "status_408"},

		{name: "a 400 of another kind", status: 400, body: `{"error":"bad"}`, class: payment.OutcomeNotNow, reason: "status_400"},
		{name: "a 404", status: 404, body: `not found`, class: payment.OutcomeNotNow, reason: "status_404"},
		{name: "too many", status: 429, body: ``, class: payment.OutcomeNotNow, reason: "rate_limited"},
		{name: "no right", status: 401, body: ``, class: payment.OutcomeNotNow, reason: "key_refused"},
		{name: "forbidden", status: 403, body: `{}`, class: payment.OutcomeNotNow, reason: "key_refused"},

		{name: "no money", status: 200, body: refused("insufficient_funds"), class: payment.OutcomeDeclined, reason: "insufficient_funds", kind: payment.KindPaymentInsufficient},
		{name: "no money, in other words", status: 200, body: refused("invalid_exact_evm_insufficient_balance"), class: payment.OutcomeDeclined, reason: "insufficient_funds", kind: payment.KindPaymentInsufficient},
		{name: "no money under a 402", status: 402, body: refused("insufficient_funds"), class: payment.OutcomeDeclined, reason: "insufficient_funds", kind: payment.KindPaymentInsufficient},
		{name: "a signature under a 400", status: 400, body: refused("invalid_exact_evm_signature"), class: payment.OutcomeDeclined, reason: "invalid_exact_evm_payload_signature", kind: payment.KindVerificationFailed},
		{name: "too late", status: 200, body: refused("invalid_exact_evm_payload_authorization_valid_before"), class: payment.OutcomeDeclined, reason: "invalid_exact_evm_payload_authorization_valid_before", kind: payment.KindPaymentExpired},
		{name: "used before us", status: 200, body: refused("invalid_exact_evm_nonce_already_used"), class: payment.OutcomeDeclined, reason: "invalid_exact_evm_nonce_already_used", kind: payment.KindVerificationFailed},
		{name: "reverted, with words", status: 200, body: refused("invalid_exact_evm_transaction_failed: out of gas"), reason: "invalid_transaction_state"},
		{name: "a simulation that failed", status: 200, body: refused("invalid_exact_evm_transaction_simulation_failed"), class: payment.OutcomeDeclined, reason: "invalid_transaction_state", kind: payment.KindVerificationFailed},
		{name: "a reason of its own", status: 200, body: refused("<script>alert(1)</script>"), reason: "settle_refused"},
		{name: "another word about the message", status: 200, body: refused("invalid_exact_evm_payload_odd"), class: payment.OutcomeDeclined, reason: "settle_refused", kind: payment.KindVerificationFailed},
		{name: "a definite no about what was broadcast", status: 200, body: object{"success": false, "errorReason": "insufficient_funds", "transaction": "0xfeed", "network": network}, reason: "insufficient_funds"},
		{name: "no reason", status: 200, body: refused(nil), reason: "settle_refused"},
		{name: "refused under a 500", status: 500, body: refused("invalid_scheme"), class: payment.OutcomeDeclined, reason: "invalid_scheme", kind: payment.KindVerificationFailed},
		{name: "a fault that does not exclude a transfer", status: 200, body: refused("unexpected_settle_error"), reason: "unexpected_settle_error"},
		{name: "on its way", status: 200, body: object{"success": false, "errorReason": "settlement_pending", "transaction": "0xfeed", "network": network}, reason: "settlement_pending"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			m := w.method(alone)
			p, in := claim(t, m, quote(t))
			w.settles = []play{say(tt.status, tt.body)}
			out := m.Charge(t.Context(), p, in)
			check(t, out, tt.class, tt.reason)
			if out.Kind != tt.kind && tt.class == payment.OutcomeDeclined {
				t.Errorf("kind = %s, want %s", out.Kind, tt.kind)
			}
			if tt.class == payment.OutcomeSucceeded && (out.Reference != "0xabc123" || out.Amount != p.Amount) {
				t.Errorf("outcome = %+v", out)
			}
			if out.Fatal {
				t.Error("one facilitator would stop all rails")
			}
			if out.Class != payment.OutcomeSucceeded && out.Err == nil {
				t.Error("nothing for the log")
			}
		})
	}
}

func TestCharge_PendingTellsTheTransaction(t *testing.T) {
	w := newWorld(t)
	m := w.method(alone)
	p, in := claim(t, m, quote(t))
	w.settles = []play{say(200, object{"success": false, "errorReason": "settlement_pending", "transaction": "0xfeed", "network": network})}
	out := m.Charge(t.Context(), p, in)
	if out.Class != payment.OutcomeUnknown || out.Reference != "0xfeed" || out.RetryAfter < time.Second {
		t.Errorf("outcome = %+v", out)
	}
	// The identical payload again, and now it is there.
	if out := m.Charge(t.Context(), p, in); out.Class != payment.OutcomeSucceeded {
		t.Errorf("outcome = %+v", out)
	}
	if b := w.sent("settle"); len(b) != 2 || string(b[0]) != string(b[1]) {
		t.Errorf("the bodies differ: %s", b)
	}
}

func TestCharge_NoAnswer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		play   play
		class  payment.OutcomeClass
		reason string
	}{
		{"refused connection", unsent, payment.OutcomeNotNow, "not_sent"},
		{"cut off", silent, payment.OutcomeUnknown, "no_answer"},
		{"settled and lost", lost, payment.OutcomeUnknown, "no_answer"},
		{"an error of another type", func([]byte, func() client.Reply) (client.Reply, error) {
			return client.Reply{}, errors.New("https://user:secret@facilitator.example: boom")
		}, payment.OutcomeUnknown, "no_answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			m := w.method(alone)
			p, in := claim(t, m, quote(t))
			w.settles = []play{tt.play}
			out := m.Charge(t.Context(), p, in)
			check(t, out, tt.class, tt.reason)
			if strings.Contains(fmt.Sprint(out.Err), "secret") {
				t.Errorf("the log is told %v", out.Err)
			}
		})
	}
	t.Run("no time left", func(t *testing.T) {
		w := newWorld(t)
		m := w.method(alone)
		p, in := claim(t, m, quote(t))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		check(t, m.Charge(ctx, p, in), payment.OutcomeNotNow, "not_sent")
	})
}

// What a facilitator writes goes to the log in a form that cannot forge one, and
// nowhere else.
func TestCharge_ForeignTextIsCleaned(t *testing.T) {
	w := newWorld(t)
	m := w.method(alone)
	p, in := claim(t, m, quote(t))
	w.settles = []play{say(200, object{"success": false, "errorReason": "no\r\nlevel=INFO paid\x1b[2J" + strings.Repeat("é", 500)})}
	out := m.Charge(t.Context(), p, in)
	check(t, out, payment.OutcomeUnknown, "settle_refused")
	if s := out.Err.Error(); strings.ContainsAny(s, "\r\n\x1b") || len(s) > 400 {
		t.Errorf("the log is told %q", s)
	}
}

// After an answer was lost, a refusal may be the consequence of our own success.
func TestCharge_B075_RefusedTheSecondTime(t *testing.T) {
	refusals := map[string]bool{ // whether it would have been refused the first time as well
		"invalid_exact_evm_nonce_already_used":                   false,
		"duplicate_settlement":                                   false,
		"insufficient_funds":                                     false,
		"invalid_exact_evm_payload_authorization_valid_before":   false,
		"invalid_exact_evm_payload_signature":                    true,
		"invalid_exact_evm_payload_recipient_mismatch":           true,
		"invalid_exact_evm_payload_authorization_value_mismatch": true,
	}
	for code, final := range refusals {
		for name, before := range map[string]func(w *world, m *facilitator.Method, p *payment.Payment, in payment.Intent){
			"in one run of attempts": func(w *world, m *facilitator.Method, p *payment.Payment, in payment.Intent) {
				w.settles = []play{silent}
				check(t, m.Charge(t.Context(), *p, in), payment.OutcomeUnknown, "no_answer")
			},
			"by another process": func(_ *world, _ *facilitator.Method, p *payment.Payment, _ payment.Intent) { p.Attempts = 2 },
		} {
			t.Run(code+" "+name, func(t *testing.T) {
				w := newWorld(t)
				m := w.method(alone)
				p, in := claim(t, m, quote(t))
				before(w, m, &p, in)
				w.settles = []play{say(200, object{"success": false, "errorReason": code, "transaction": "", "network": network})}
				want := payment.OutcomeMismatch
				if final {
					want = payment.OutcomeDeclined
				}
				if out := m.Charge(t.Context(), p, in); out.Class != want {
					t.Errorf("outcome = %s %q, want %s", out.Class, out.Reason, want)
				}
			})
		}
	}
}

// What was certainly not sent is no first attempt.
func TestCharge_RefusedAfterARefusedConnection(t *testing.T) {
	w := newWorld(t)
	m := w.method(alone)
	p, in := claim(t, m, quote(t))
	w.settles = []play{unsent, unsent, say(200, object{"success": false, "errorReason": "insufficient_funds"})}
	for range 2 {
		if out := m.Charge(t.Context(), p, in); out.Class != payment.OutcomeNotNow {
			t.Fatalf("outcome = %+v", out)
		}
	}
	check(t, m.Charge(t.Context(), p, in), payment.OutcomeDeclined, "insufficient_funds")

	// Nor when somebody has answered, whatever that was: it may have begun.
	for _, status := range []int{400, 404, 422, 429} {
		p, in = claim(t, m, quote(t))
		w.settles = []play{say(status, ""), say(200, object{"success": false, "errorReason": "insufficient_funds"})}
		if out := m.Charge(t.Context(), p, in); out.Class != payment.OutcomeNotNow {
			t.Fatalf("outcome = %+v", out)
		}
		check(t, m.Charge(t.Context(), p, in), payment.OutcomeMismatch, "insufficient_funds")
	}

	// But not when something was sent before.
	p, in = claim(t, m, quote(t))
	w.settles = []play{silent, unsent, say(200, object{"success": false, "errorReason": "insufficient_funds"})}
	m.Charge(t.Context(), p, in)
	m.Charge(t.Context(), p, in)
	check(t, m.Charge(t.Context(), p, in), payment.OutcomeMismatch, "insufficient_funds")
}

// With a node the chain has the last word on a refusal after a lost answer.
func TestCharge_RefusedTheSecondTimeWithANode(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first play
		then  func(w *world)
		class payment.OutcomeClass
	}{
		{"our own transfer", lost, func(*world) {}, payment.OutcomeSucceeded},
		{"nothing was transferred, and may still be", silent, func(w *world) { w.poor = true }, payment.OutcomeUnknown},
		{"nothing was transferred, and nothing can be", silent, func(w *world) { w.now = w.now.Add(time.Hour) }, payment.OutcomeDeclined},
		{"the node is down", lost, func(w *world) {
			w.wrong["eth_chainId"] = func([]json.RawMessage, any) any { return rawAnswer{503, ""} }
		}, payment.OutcomeUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.forgets = true
			m := w.method()
			p, in := claim(t, m, quote(t))
			w.settles = []play{tt.first}
			check(t, m.Charge(t.Context(), p, in), payment.OutcomeUnknown, "no_answer")
			w.mu.Lock()
			tt.then(w)
			w.mu.Unlock()
			out := m.Charge(t.Context(), p, in)
			if out.Class != tt.class {
				t.Errorf("outcome = %+v, want %s", out, tt.class)
			}
			if tt.class == payment.OutcomeSucceeded && (out.Amount != p.Amount || len(out.Reference) != 66) {
				t.Errorf("outcome = %+v", out)
			}
		})
	}
}

// A used authorization that we never sent was used for something else, whatever
// the chain shows: it is not asked.
func TestCharge_UsedAuthorizationBuysNothing(t *testing.T) {
	w := newWorld(t)
	w.forgets = true
	m := w.method()
	p, in := claim(t, m, quote(t))
	if out := m.Charge(t.Context(), p, in); out.Class != payment.OutcomeSucceeded {
		t.Fatalf("outcome = %+v", out)
	}
	again := p
	again.ID, again.ChallengeID = "pay_2", "challenge-2"
	other := in
	other.Key += "2"
	check(t, m.Charge(t.Context(), again, other), payment.OutcomeDeclined, "invalid_exact_evm_nonce_already_used")
	if len(w.asked) != 0 {
		t.Errorf("the node was asked %v", w.asked)
	}
}

func TestCharge_SendsOurOwnRequirements(t *testing.T) {
	w := newWorld(t)
	m := w.method(alone)
	p, in := claim(t, m, quote(t))
	if out := m.Charge(t.Context(), p, in); out.Class != payment.OutcomeSucceeded {
		t.Fatalf("outcome = %+v", out)
	}
	var body struct {
		Version      int                        `json:"x402Version"`
		Requirements map[string]json.RawMessage `json:"paymentRequirements"`
		Payload      struct {
			Version  int                        `json:"x402Version"`
			Accepted map[string]json.RawMessage `json:"accepted"`
			Payload  map[string]json.RawMessage `json:"payload"`
		} `json:"paymentPayload"`
	}
	if err := json.Unmarshal(w.sent("settle")[0], &body); err != nil {
		t.Fatal(err)
	}
	want := map[string]json.RawMessage{
		"amount": json.RawMessage(`"10000"`), "asset": json.RawMessage(`"0x036CbD53842c5426634e7929541eC2318f3dCF7e"`),
		"extra":             json.RawMessage(`{"name":"USDC","paymentFlow":"upfront","version":"2"}`),
		"maxTimeoutSeconds": json.RawMessage(`300`), "network": json.RawMessage(`"eip155:84532"`),
		"payTo": json.RawMessage(`"` + payee + `"`), "scheme": json.RawMessage(`"exact"`),
	}
	if body.Version != 2 || body.Payload.Version != 2 || !reflect.DeepEqual(body.Requirements, want) || !reflect.DeepEqual(body.Payload.Accepted, want) {
		t.Errorf("body = %s", w.sent("settle")[0])
	}
	if len(body.Payload.Payload) != 2 || body.Payload.Payload["signature"] == nil {
		t.Errorf("payload = %s", w.sent("settle")[0])
	}
}

func TestCharge_RefusesAnotherIntent(t *testing.T) {
	w := newWorld(t)
	m := w.method(alone)
	p, in := claim(t, m, quote(t))
	text := string(in.Request)
	for name, request := range map[string]string{
		"nothing":                 ``,
		"another form":            `{"body":"{}"}`,
		"no endpoint":             strings.Replace(text, `"endpoint":"first"`, `"endpoint":""`, 1),
		"another payee":           strings.ReplaceAll(text, payee, executor),
		"another amount":          strings.Replace(text, `\"amount\":\"10000\"`, `\"amount\":\"1\"`, 1),
		"another chain":           strings.ReplaceAll(text, "84532", "8453"),
		"another token":           strings.ReplaceAll(text, "0x036CbD", "0x136CbD"),
		"a member more":           strings.Replace(text, `{"body"`, `{"more":1,"body"`, 1),
		"more inside":             strings.Replace(text, `{\"paymentPayload\"`, `{\"more\":1,\"paymentPayload\"`, 1),
		"more in what was signed": strings.Replace(text, `{\"authorization\"`, `{\"more\":1,\"authorization\"`, 1),
		"null signed":             regexp.MustCompile(`\\"payload\\":\{.*?\},\\"signature\\":\\"0x[0-9a-f]*\\"\}`).ReplaceAllString(text, `\"payload\":null`),
		"another after it":        text + text,
	} {
		if request == text {
			t.Errorf("%s: nothing was changed", name)
		}
		for op, call := range map[string]func(context.Context, payment.Payment, payment.Intent) payment.Outcome{
			"charge": m.Charge, "capture": m.Capture, "hold": m.Hold, "lookup": m.Lookup, "void": m.Void,
		} {
			out := call(t.Context(), p, payment.Intent{Key: in.Key, Request: []byte(request)})
			if out.Reason != "intent_unreadable" || out.Class == payment.OutcomeSucceeded || !errors.Is(out.Err, facilitator.ErrIntent) {
				t.Errorf("%s, %s: %+v", name, op, out)
			}
		}
	}
	if len(w.sent("settle"))+len(w.sent("verify")) != 0 {
		t.Error("something was sent")
	}
}

func TestCharge_ParallelCopiesMoveOnce(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	p, in := claim(t, m, quote(t))
	var wg sync.WaitGroup
	outcomes := make([]payment.Outcome, 50)
	for i := range outcomes {
		wg.Go(func() { outcomes[i] = m.Charge(t.Context(), p, in) })
	}
	wg.Wait()
	for _, out := range outcomes {
		if out.Class != payment.OutcomeSucceeded || out.Reference != outcomes[0].Reference {
			t.Errorf("outcome = %+v", out)
		}
	}
	if n := w.moved(); n != 1 {
		t.Errorf("%d transfers", n)
	}
}

func held(t *testing.T) payment.Quote {
	t.Helper()
	q := quote(t)
	q.Hold = true
	return q
}

func TestHold_Answers(t *testing.T) {
	valid := func(change object) object {
		o := object{"isValid": true, "payer": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"}
		maps.Copy(o, change)
		return o
	}
	for _, tt := range []struct {
		name   string
		play   play
		class  payment.OutcomeClass
		reason string
	}{
		{"valid", say(200, valid(nil)), payment.OutcomeSucceeded, ""},
		{"another payer", say(200, valid(object{"payer": payee})), payment.OutcomeDeclined, "payer_differs"},
		{"no payer", say(200, valid(object{"payer": nil})), payment.OutcomeDeclined, "payer_differs"},
		{"valid as text", say(200, valid(object{"isValid": "true"})), payment.OutcomeNotNow, "odd_answer"},
		{"valid under a 500", say(500, valid(nil)), payment.OutcomeNotNow, "status_500"},
		{"valid twice", say(200, `{"isValid":false,"isValid":true,"payer":"0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"}`), payment.OutcomeNotNow, "odd_answer"},
		{"a settlement", say(200, good(nil)), payment.OutcomeNotNow, "odd_answer"},
		{"an empty object", say(200, `{}`), payment.OutcomeNotNow, "odd_answer"},
		{"HTML", say(200, `<html>`), payment.OutcomeNotNow, "odd_answer"},
		{"no money", say(200, object{"isValid": false, "invalidReason": "insufficient_funds"}), payment.OutcomeDeclined, "insufficient_funds"},
		{"used", say(200, object{"isValid": false, "invalidReason": "invalid_exact_evm_nonce_already_used"}), payment.OutcomeDeclined, "invalid_exact_evm_nonce_already_used"},
		{"no, under a 400", say(400, object{"isValid": false, "invalidReason": "invalid_payload"}), payment.OutcomeDeclined, "invalid_payload"},
		{"a fault of its own", say(200, object{"isValid": false, "invalidReason": "unexpected_verify_error"}), payment.OutcomeNotNow, "unexpected_verify_error"},
		{"refused connection", unsent, payment.OutcomeNotNow, "not_sent"},
		{"no answer", silent, payment.OutcomeNotNow, "no_answer"},
		{"too many", say(http.StatusTooManyRequests, ""), payment.OutcomeNotNow, "rate_limited"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			m := w.method(alone)
			p, in := claim(t, m, held(t))
			w.verifies = []play{tt.play}
			out := m.Hold(t.Context(), p, in)
			check(t, out, tt.class, tt.reason)
			if out.Class == payment.OutcomeSucceeded && out.Amount != p.Amount {
				t.Errorf("outcome = %+v", out)
			}
			if w.moved() != 0 || len(w.sent("settle")) != 0 {
				t.Error("a hold moves money")
			}
		})
	}
}

func TestHold_CaptureAndRelease(t *testing.T) {
	w := newWorld(t)
	m := w.method(alone)
	p, in := claim(t, m, held(t))
	for range 2 {
		check(t, m.Hold(t.Context(), p, in), payment.OutcomeSucceeded, "")
	}
	for range 2 {
		out := m.Capture(t.Context(), p, in)
		if out.Class != payment.OutcomeSucceeded || out.Amount != p.Amount || len(out.Reference) != 66 {
			t.Errorf("capture = %+v", out)
		}
	}
	if n := w.moved(); n != 1 {
		t.Errorf("%d transfers", n)
	}
	if strings.Contains(string(w.sent("settle")[0]), "upfront") {
		t.Error("a held payment says that it is settled first")
	}

	p, in = claim(t, m, held(t))
	check(t, m.Hold(t.Context(), p, in), payment.OutcomeSucceeded, "")
	check(t, m.Release(t.Context(), p, in), payment.OutcomeVoided, "")
	if n := w.moved(); n != 1 {
		t.Errorf("%d transfers", n)
	}
}

func TestCapture_TakesNoOtherAmount(t *testing.T) {
	w := newWorld(t)
	m := w.method(alone)
	p, in := claim(t, m, held(t))
	for _, n := range []int64{1, 9999, 10001} {
		p.Amount = usdc(t, n)
		check(t, m.Capture(t.Context(), p, in), payment.OutcomeMismatch, "amount_differs")
	}
	p.Amount = usdc(t, 0)
	check(t, m.Capture(t.Context(), p, in), payment.OutcomeMismatch, "nothing_to_take")
	p.Amount = price(t, "0.01 USD")
	check(t, m.Capture(t.Context(), p, in), payment.OutcomeMismatch, "currency_differs")
	if len(w.sent("settle")) != 0 {
		t.Error("something was sent")
	}
}

func usdc(t testing.TB, units int64) money.Amount {
	t.Helper()
	a, err := money.New(units, "USDC", 6)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCapture_Metered(t *testing.T) {
	q := quote(t)
	q.Metered = true
	for _, tt := range []struct {
		units  int64
		class  payment.OutcomeClass
		reason string
		sent   string
	}{
		{10000, payment.OutcomeSucceeded, "", "10000"},
		{4321, payment.OutcomeSucceeded, "", "4321"},
		{1, payment.OutcomeSucceeded, "", "1"},
		{0, payment.OutcomeMismatch, "nothing_to_take", ""},
		{10001, payment.OutcomeMismatch, "above_ceiling", ""},
		{-1, payment.OutcomeMismatch, "nothing_to_take", ""},
	} {
		t.Run(strconv.FormatInt(tt.units, 10), func(t *testing.T) {
			w := newWorld(t)
			m := w.method(metered)
			p, in := claim(t, m, q)
			check(t, m.Hold(t.Context(), p, in), payment.OutcomeSucceeded, "")
			p.Amount = usdc(t, tt.units)
			out := m.Capture(t.Context(), p, in)
			check(t, out, tt.class, tt.reason)
			if out.Class == payment.OutcomeSucceeded && out.Amount != p.Amount {
				t.Errorf("capture = %+v", out)
			}
			again := m.Capture(t.Context(), p, in)
			if again.Class != out.Class || again.Reference != out.Reference {
				t.Errorf("capture again = %+v", again)
			}
			bodies := w.sent("settle")
			if tt.sent == "" {
				if len(bodies) != 0 {
					t.Errorf("%s was sent", bodies)
				}
				return
			}
			s, _, _, _ := w.read(bodies[0])
			if s.Requirements.Amount != tt.sent || s.Payload.Accepted["amount"] != "10000" || string(bodies[0]) != string(bodies[1]) {
				t.Errorf("body = %s", bodies[0])
			}
		})
	}
}

// A facilitator that takes more than it was told to is caught by its own answer.
func TestCapture_MoreThanAsked(t *testing.T) {
	w := newWorld(t)
	m := w.method(metered)
	q := quote(t)
	q.Metered = true
	p, in := claim(t, m, q)
	p.Amount = usdc(t, 4321)
	w.settles = []play{say(200, good(object{"amount": "10000"}))}
	check(t, m.Capture(t.Context(), p, in), payment.OutcomeMismatch, "amount_differs")
}

func TestPrepare_Refuses(t *testing.T) {
	w := newWorld(t)
	m := w.method(alone)
	o, err := m.Offer(quote(t))
	if err != nil {
		t.Fatal(err)
	}
	c := credential(o, "challenge-1", signExact(t, authorization(t, o)))
	whole := payment.Payment{ID: "pay_1", ChallengeID: "challenge-1", Amount: o.Amount}
	if _, err := m.Prepare(whole, c); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*payment.Payment, *payment.Credential){
		"another amount":     func(p *payment.Payment, _ *payment.Credential) { p.Amount = usdc(t, 1) },
		"no challenge":       func(p *payment.Payment, _ *payment.Credential) { p.ChallengeID = "" },
		"another instrument": func(p *payment.Payment, _ *payment.Credential) { p.Instrument = "other" },
		"another payload":    func(_ *payment.Payment, c *payment.Credential) { c.Payload = json.RawMessage(`{}`) },
		"another offer":      func(_ *payment.Payment, c *payment.Credential) { c.Offer.Details = nil },
		"no facilitator":     func(*payment.Payment, *payment.Credential) { w.pickErr = errors.New("none") },
	} {
		p, changed := whole, c
		change(&p, &changed)
		if in, err := m.Prepare(p, changed); err == nil || in.Request != nil {
			t.Errorf("%s: %s", name, in.Request)
		}
	}
}

// The permit of a metered payment names who may carry it out.
func TestPrepare_TheFacilitatorHasChanged(t *testing.T) {
	w := newWorld(t)
	m := w.method(metered)
	q := quote(t)
	q.Metered = true
	o, err := m.Offer(q)
	if err != nil {
		t.Fatal(err)
	}
	c := credential(o, "challenge-1", signUpto(t, permit(t, o)))
	w.kind = `{"facilitatorAddress":"` + payee + `"}`
	if _, err := m.Prepare(payment.Payment{ID: "pay_1", ChallengeID: "challenge-1", Amount: o.Amount}, c); !errors.Is(err, facilitator.ErrIntent) {
		t.Errorf("prepare: %v", err)
	}
}

// Whatever a facilitator answers, it passes for a settlement only with the very
// members that say so, and what it wrote gets no further than the log.
func FuzzCharge(f *testing.F) {
	for _, s := range []string{
		`{"success":true,"transaction":"0xabc123","network":"eip155:84532","payer":"0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A","amount":"10000"}`,
		`{"success":true,"transaction":"0x1","network":"eip155:8453","payer":"0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"}`,
		`{"success":false,"errorReason":"insufficient_funds"}`, `{"success":false,"errorReason":"settlement_pending","transaction":"0x1"}`,
		`{}`, `{"success":"true"}`, `{"Success":true}`, `{"success":true,"success":false}`, `<html>`, "\ufeff{}", ``,
	} {
		f.Add(uint16(200), []byte(s))
		f.Add(uint16(502), []byte(s))
		f.Add(uint16(400), []byte(s))
	}
	f.Fuzz(func(t *testing.T, status uint16, body []byte) {
		w := newWorld(t)
		m := w.method(alone)
		p, in := claim(t, m, quote(t))
		w.settles = []play{say(int(status), string(body))}
		out := m.Charge(t.Context(), p, in)
		if out.Class == payment.OutcomeSucceeded {
			var said object
			if err := json.Unmarshal(body, &said); err != nil || said["success"] != true || said["network"] != network ||
				said["transaction"] != out.Reference || out.Reference == "" || out.Amount != p.Amount || status < 200 || status > 299 {
				t.Errorf("%d %q: %+v", status, body, out)
			}
			return
		}
		if out.Reason == "" || strings.Trim(out.Reason, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" || strings.ContainsAny(out.Reference, " \r\n\",") {
			t.Errorf("%d %q: %+v", status, body, out)
		}
		if out.Err == nil || strings.ContainsFunc(out.Err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%d %q: the log is told %v", status, body, out.Err)
		}
	})
}
