package facilitator_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"paywall/payment"
)

func TestLookup_WithoutANode(t *testing.T) {
	for _, tt := range []struct {
		name   string
		play   play
		class  payment.OutcomeClass
		reason string
	}{
		{"it would be settled", say(200, object{"isValid": true}), payment.OutcomeNone, ""},
		{"used", say(200, object{"isValid": false, "invalidReason": "invalid_exact_evm_nonce_already_used"}), payment.OutcomeStarted, "invalid_exact_evm_nonce_already_used"},
		{"over", say(200, object{"isValid": false, "invalidReason": "invalid_exact_evm_payload_authorization_valid_before"}), payment.OutcomeNone, "invalid_exact_evm_payload_authorization_valid_before"},
		{"no money, which proves nothing", say(200, object{"isValid": false, "invalidReason": "insufficient_funds"}), payment.OutcomeNone, "insufficient_funds"},
		{"HTML", say(200, "<html>"), payment.OutcomeUnknown, "odd_answer"},
		{"a fault", say(500, ""), payment.OutcomeUnknown, "status_500"},
		{"no answer", silent, payment.OutcomeUnknown, "no_answer"},
		{"refused connection", unsent, payment.OutcomeNotNow, "not_sent"},
		{"no right", say(401, ""), payment.OutcomeNotNow, "key_refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			m := w.method(alone)
			p, in := claim(t, m, quote(t))
			w.verifies = []play{tt.play}
			out := m.Lookup(t.Context(), p, in)
			check(t, out, tt.class, tt.reason)
			if out.Fatal {
				t.Error("a look-up stops settlement")
			}
		})
	}
}

func TestVoid_WithoutANode(t *testing.T) {
	w := newWorld(t)
	m := w.method(alone)
	p, in := claim(t, m, quote(t))
	// Good for five minutes, and ten more in which a transfer may still show up.
	for _, step := range []time.Duration{0, 5 * time.Minute, 10*time.Minute - time.Second} {
		w.pass(step)
		out := m.Void(t.Context(), p, in)
		check(t, out, payment.OutcomeUnknown, "waits_for_expiry")
		if out.RetryAfter <= 0 || out.RetryAfter > 15*time.Minute {
			t.Errorf("retry after %s", out.RetryAfter)
		}
		w.mu.Lock()
		w.now = began.Add(step)
		w.mu.Unlock()
	}
	w.mu.Lock()
	w.now = began.Add(15 * time.Minute)
	w.mu.Unlock()
	check(t, m.Void(t.Context(), p, in), payment.OutcomeMismatch, "no_proof")
}

func TestEvidence(t *testing.T) {
	value := big.NewInt(10000)
	for _, tt := range []struct {
		name   string
		then   func(w *world, tr func(change func(*transfer)))
		class  payment.OutcomeClass
		reason string
		void   payment.OutcomeClass // when it differs
	}{
		{name: "nothing yet", then: func(*world, func(func(*transfer))) {}, class: payment.OutcomeNone},
		{name: "paid to us", then: func(_ *world, use func(func(*transfer))) { use(nil) }, class: payment.OutcomeSucceeded, void: payment.OutcomeSucceeded},
		{name: "paid to us, a day ago", then: func(w *world, use func(func(*transfer))) { use(nil); w.now = w.now.Add(5 * time.Hour) }, class: payment.OutcomeSucceeded, void: payment.OutcomeSucceeded},
		{name: "canceled by the payer", then: func(_ *world, use func(func(*transfer))) { use(func(tr *transfer) { tr.canceled = true }) }, class: payment.OutcomeVoided, reason: "authorization_canceled"},
		{name: "paid to somebody else", then: func(_ *world, use func(func(*transfer))) {
			use(func(tr *transfer) { tr.to = strings.ToLower(executor) })
		}, class: payment.OutcomeMismatch, reason: "transfer_missing"},
		{name: "paid less", then: func(_ *world, use func(func(*transfer))) {
			use(func(tr *transfer) { tr.value = new(big.Int).Sub(value, big.NewInt(1)) })
		}, class: payment.OutcomeMismatch, reason: "transfer_missing"},
		{name: "reverted", then: func(_ *world, use func(func(*transfer))) { use(func(tr *transfer) { tr.failed = true }) }, class: payment.OutcomeMismatch, reason: "transfer_missing"},
		{name: "used before the payment was made", then: func(_ *world, use func(func(*transfer))) { use(func(tr *transfer) { tr.block -= 600 }) }, class: payment.OutcomeMismatch, reason: "used_before"},
		{name: "used long before", then: func(_ *world, use func(func(*transfer))) { use(func(tr *transfer) { tr.block = 3 }) }, class: payment.OutcomeMismatch, reason: "used_before"},
		{name: "over, not yet for certain", then: func(w *world, _ func(func(*transfer))) { w.now = w.now.Add(7 * time.Minute) }, class: payment.OutcomeNone},
		{name: "over", then: func(w *world, _ func(func(*transfer))) { w.now = w.now.Add(7*time.Minute + time.Second) }, class: payment.OutcomeVoided, reason: "authorization_expired"},
		{name: "over by the chain's clock alone", then: func(w *world, _ func(func(*transfer))) {
			w.wrong["eth_getBlockByNumber"] = func(_ []json.RawMessage, honest any) any {
				b, _ := honest.(object)
				b["timestamp"] = hexed(uint64(began.Add(time.Hour).Unix()))
				return b
			}
		}, class: payment.OutcomeNone},
		{name: "over by our clock alone", then: func(w *world, _ func(func(*transfer))) {
			w.now = w.now.Add(time.Hour)
			w.wrong["eth_getBlockByNumber"] = func(_ []json.RawMessage, honest any) any {
				b, _ := honest.(object)
				b["timestamp"] = hexed(uint64(began.Unix()))
				return b
			}
		}, class: payment.OutcomeNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			m := w.method()
			p, in := claim(t, m, quote(t))
			_, from, nonce, _ := w.read(bodyOf(t, in))
			w.mu.Lock()
			tt.then(w, func(change func(*transfer)) {
				tr := w.use(from, payee, nonce, value)
				if change != nil {
					change(tr)
				}
			})
			w.mu.Unlock()
			out := m.Lookup(t.Context(), p, in)
			check(t, out, tt.class, tt.reason)
			if out.Class == payment.OutcomeSucceeded && (out.Amount != p.Amount || len(out.Reference) != 66) {
				t.Errorf("lookup = %+v", out)
			}
			want := tt.class
			if want == payment.OutcomeNone {
				want = payment.OutcomeUnknown // it must be waited for
			}
			if out := m.Void(t.Context(), p, in); out.Class != want || want == payment.OutcomeUnknown && out.Reason != "waits_for_expiry" {
				t.Errorf("void = %+v, want %s", out, want)
			}
			if len(w.sent("settle"))+len(w.sent("verify")) != 0 {
				t.Error("the facilitator was asked")
			}
		})
	}
}

func bodyOf(t *testing.T, in payment.Intent) []byte {
	t.Helper()
	var doc struct{ Body string }
	if err := json.Unmarshal(in.Request, &doc); err != nil {
		t.Fatal(err)
	}
	return []byte(doc.Body)
}

// Whatever a node answers, it proves nothing unless it fits together.
func TestEvidence_HostileNode(t *testing.T) {
	answer := func(result string) rawAnswer {
		return rawAnswer{200, `{"jsonrpc":"2.0","id":1,"result":` + result + `}`}
	}
	always := func(a any) func([]json.RawMessage, any) any {
		return func([]json.RawMessage, any) any { return a }
	}
	changed := func(name string, v any) func([]json.RawMessage, any) any {
		return func(_ []json.RawMessage, honest any) any {
			switch h := honest.(type) {
			case object:
				h[name] = v
			case []object:
				h[0][name] = v
			}
			return honest
		}
	}
	other := "0x" + strings.Repeat("12", 32)
	for _, tt := range []struct {
		name, method string
		f            func([]json.RawMessage, any) any
		class        payment.OutcomeClass // unknown, if not said
	}{
		{name: "another chain", method: "eth_chainId", f: always("0x1")},
		{name: "no chain", method: "eth_chainId", f: always(nil)},
		{name: "HTML", method: "eth_chainId", f: always(rawAnswer{200, "<html>"})},
		{name: "a fault", method: "eth_chainId", f: always(rawAnswer{500, ""})},
		{name: "a redirect", method: "eth_chainId", f: always(rawAnswer{302, ""})},
		{name: "an error", method: "eth_chainId", f: always(rawAnswer{200, `{"jsonrpc":"2.0","id":1,"error":{"code":-32000},"result":"0x14a34"}`})},
		{name: "another call's answer", method: "eth_chainId", f: always(rawAnswer{200, `{"jsonrpc":"2.0","id":2,"result":"0x14a34"}`})},
		{name: "two results", method: "eth_chainId", f: always(rawAnswer{200, `{"jsonrpc":"2.0","id":1,"result":"0x1","result":"0x14a34"}`})},
		{name: "a number", method: "eth_chainId", f: always(answer("84532"))},
		{name: "a sign", method: "eth_chainId", f: always("0x+14a34")},
		{name: "too large", method: "eth_chainId", f: always(rawAnswer{200, `{"jsonrpc":"2.0","id":1,"result":"0x14a34","x":"` + strings.Repeat("x", 5<<20) + `"}`})},
		{name: "a block without a time", method: "eth_getBlockByNumber", f: changed("timestamp", nil)},
		{name: "a chain that is too short for it", method: "eth_getBlockByNumber", f: changed("number", "0x7"), class: payment.OutcomeMismatch},
		{name: "a state of two words", method: "eth_call", f: always("0x" + strings.Repeat("0", 128))},
		{name: "a state that is none", method: "eth_call", f: always("0x")},
		{name: "a state of two", method: "eth_call", f: always("0x" + strings.Repeat("0", 63) + "2")},
		{name: "logs of another contract", method: "eth_getLogs", f: changed("address", payee)},
		{name: "logs that were taken back", method: "eth_getLogs", f: changed("removed", true)},
		{name: "logs of another nonce", method: "eth_getLogs", f: changed("topics", []string{event("AuthorizationUsed(address,bytes32)"), padded("0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a"), other})},
		{name: "logs of another payer", method: "eth_getLogs", f: changed("topics", []string{event("AuthorizationUsed(address,bytes32)"), padded(strings.ToLower(payee)), other})},
		{name: "logs of another event", method: "eth_getLogs", f: changed("topics", []string{other})},
		{name: "logs without topics", method: "eth_getLogs", f: changed("topics", []string{})},
		{name: "logs that are no list", method: "eth_getLogs", f: always(object{})},
		{name: "no logs", method: "eth_getLogs", f: always([]object{}), class: payment.OutcomeMismatch},
		{name: "no receipt", method: "eth_getTransactionReceipt", f: always(nil)},
		{name: "another's receipt", method: "eth_getTransactionReceipt", f: changed("transactionHash", other)},
		{name: "a receipt without a status", method: "eth_getTransactionReceipt", f: changed("status", nil)},
		{name: "a receipt without logs", method: "eth_getTransactionReceipt", f: changed("logs", []object{}), class: payment.OutcomeMismatch},
		{name: "a receipt with a transfer of another token", method: "eth_getTransactionReceipt", f: func(_ []json.RawMessage, honest any) any {
			r, _ := honest.(object)
			logs, _ := r["logs"].([]object)
			logs[1]["address"] = payee
			return r
		}, class: payment.OutcomeMismatch},
		{name: "a receipt with another amount beyond 64 bits", method: "eth_getTransactionReceipt", f: func(_ []json.RawMessage, honest any) any {
			r, _ := honest.(object)
			logs, _ := r["logs"].([]object)
			logs[1]["data"] = fmt.Sprintf("0x1%063x", 10000)
			return r
		}, class: payment.OutcomeMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			m := w.method()
			p, in := claim(t, m, quote(t))
			_, from, nonce, _ := w.read(bodyOf(t, in))
			w.mu.Lock()
			w.use(from, payee, nonce, big.NewInt(10000))
			w.wrong[tt.method] = tt.f
			w.mu.Unlock()
			for op, out := range map[string]payment.Outcome{"lookup": m.Lookup(t.Context(), p, in), "void": m.Void(t.Context(), p, in)} {
				if out.Class != tt.class {
					t.Errorf("%s = %+v, want %s", op, out, tt.class)
				}
				if out.Err != nil && strings.Contains(out.Err.Error(), w.node.URL) {
					t.Errorf("the log is told the URL: %v", out.Err)
				}
			}
		})
	}
}

func TestEvidence_NoNodeThere(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	p, in := claim(t, m, quote(t))
	w.node.Close()
	out := m.Lookup(t.Context(), p, in)
	check(t, out, payment.OutcomeUnknown, "node_unclear")
	if out.Err == nil || strings.Contains(out.Err.Error(), "127.0.0.1") {
		t.Errorf("the log is told %v", out.Err)
	}
}

// Permit2 shows that a permit was used, and not what for.
func TestEvidence_Permit(t *testing.T) {
	w := newWorld(t)
	m := w.method(metered)
	q := quote(t)
	q.Metered = true
	p, in := claim(t, m, q)
	check(t, m.Lookup(t.Context(), p, in), payment.OutcomeNone, "")
	check(t, m.Capture(t.Context(), p, in), payment.OutcomeSucceeded, "")
	check(t, m.Lookup(t.Context(), p, in), payment.OutcomeStarted, "")

	p, in = claim(t, m, q)
	w.pass(8 * time.Minute)
	check(t, m.Lookup(t.Context(), p, in), payment.OutcomeVoided, "authorization_expired")
}

// A search goes back as far as the payment is old, in steps that nodes take.
func TestEvidence_SearchesInSpans(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	p, in := claim(t, m, quote(t))
	_, from, nonce, _ := w.read(bodyOf(t, in))
	var spans [][2]string
	w.mu.Lock()
	w.use(from, payee, nonce, big.NewInt(10000))
	w.now = w.now.Add(22 * time.Hour)
	w.wrong["eth_getLogs"] = func(params []json.RawMessage, honest any) any {
		var f struct{ FromBlock, ToBlock string }
		_ = json.Unmarshal(params[0], &f)
		spans = append(spans, [2]string{f.FromBlock, f.ToBlock})
		return honest
	}
	w.mu.Unlock()
	check(t, m.Lookup(t.Context(), p, in), payment.OutcomeSucceeded, "")
	if len(spans) == 0 || len(spans) > 12 {
		t.Errorf("%d spans: %v", len(spans), spans)
	}
}
