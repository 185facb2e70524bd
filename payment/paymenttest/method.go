package paymenttest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"paywall/money"
	"paywall/payment"
)

// Call is one call that a [Method] got.
type Call struct{ Op, Payment, Key string }

// Reply is what a [Method] does with one call of an operation.
type Reply struct {
	// Outcome is answered when it has a class or Err; the zero value stands for success.
	Outcome payment.Outcome
	// Moves says that the money moves whatever the answer says: a lost response.
	Moves bool
	// Delay passes before the answer, or until the context ends (then the
	// answer is unknown).
	Delay time.Duration
	// Hook, if set, is called first.
	Hook func(ctx context.Context, p payment.Payment)
}

// Method is a rail in memory: idempotent by key like a processor, and scriptable.
// A key's first definite answer is stored and repeated, as is its charge. The zero
// value is ready; set the fields before use. Its credential payload is
// {"token":"…"}.
type Method struct {
	// ID is the method's name; empty is "fake".
	ID string
	// Minimum in minor units; smaller quotes are refused.
	Minimum int64
	// Latency is added to every call without a script.
	Latency time.Duration
	// Holds lets its offers hold the money of quotes that ask for it.
	Holds bool

	mu      sync.Mutex // guards all that follows
	script  map[string][]Reply
	calls   []Call
	answers map[string]payment.Outcome // by key: what a repeat gets
	moved   map[string]int             // by key
	voided  map[string]bool            // by key
	taken   map[string]money.Amount    // by key
	refunds map[string]int             // by payment and number of the refund
}

var _ payment.Holder = (*Method)(nil)

// Script queues replies for the next calls of op: "charge", "lookup", "void",
// "refund", "hold", "capture" or "release". Without a script a call does what an
// honest rail does.
func (m *Method) Script(op string, replies ...Reply) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.script == nil {
		m.script = map[string][]Reply{}
	}
	m.script[op] = append(m.script[op], replies...)
}

// Heal drops the replies that were not played yet: the rail is honest again.
func (m *Method) Heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.script)
}

// Calls returns the calls so far, in order.
func (m *Method) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// Charges returns how often money moved under the key: more than one is a
// double charge.
func (m *Method) Charges(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.moved[key]
}

// Taken returns how much money moved under the key.
func (m *Method) Taken(key string) money.Amount {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.taken[key]
}

// Total returns how many charges and refunds were made altogether.
func (m *Method) Total() (charges, refunds int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.moved {
		charges += n
	}
	for _, n := range m.refunds {
		refunds += n
	}
	return charges, refunds
}

// Name implements [payment.Method].
func (m *Method) Name() string {
	if m.ID == "" {
		return "fake"
	}
	return m.ID
}

// Offer implements [payment.Method].
func (m *Method) Offer(q payment.Quote) (payment.Offer, error) {
	if !q.Amount.IsPositive() || q.Amount.Units() < m.Minimum {
		return payment.Offer{}, fmt.Errorf("%s is below the minimum of %d: %w", q.Amount, m.Minimum, payment.ErrNotOffered)
	}
	return payment.Offer{
		Method: m.Name(), Intent: "charge", Amount: q.Amount, Details: json.RawMessage(`{"fake":true}`), Quote: q,
		Hold: m.Holds && (q.Hold || q.Metered), Metered: m.Holds && q.Metered,
	}, nil
}

// Inspect implements [payment.Method].
func (m *Method) Inspect(c payment.Credential) (payment.Instrument, error) {
	var payload struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(c.Payload, &payload); err != nil || payload.Token == "" {
		return payment.Instrument{}, &payment.Error{Kind: payment.KindInvalidPayload, Detail: "the payload has no token", Err: err}
	}
	sum := sha256.Sum256([]byte(m.Name() + "\x00" + payload.Token))
	return payment.Instrument{Fingerprint: base64.RawURLEncoding.EncodeToString(sum[:])}, nil
}

// Prepare implements [payment.Method].
func (m *Method) Prepare(p payment.Payment, c payment.Credential) (payment.Intent, error) {
	account := c.Offer.Quote.Terms.Account
	request, err := json.Marshal(struct {
		Amount   int64           `json:"amount"`
		Currency string          `json:"currency"`
		Payment  string          `json:"payment"`
		Payload  json.RawMessage `json:"payload"`
	}{p.Amount.Units(), p.Amount.Currency(), p.ID, c.Payload})
	if err != nil {
		return payment.Intent{}, fmt.Errorf("prepare %s: %w", p.ID, err)
	}
	sum := sha256.Sum256([]byte(account + "\x00" + c.ChallengeID))
	return payment.Intent{Account: account, Key: base64.RawURLEncoding.EncodeToString(sum[:]), Request: request}, nil
}

// begin records the call and plays the script's next reply for it.
func (m *Method) begin(ctx context.Context, op string, p payment.Payment, key string) (Reply, bool) {
	m.mu.Lock()
	m.calls = append(m.calls, Call{op, p.ID, key})
	reply, scripted := Reply{Delay: m.Latency}, false
	if next := m.script[op]; len(next) > 0 {
		reply, scripted = next[0], true
		m.script[op] = next[1:]
	}
	m.mu.Unlock()
	if reply.Hook != nil {
		reply.Hook(ctx, p)
	}
	if reply.Delay > 0 {
		timer := time.NewTimer(reply.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			reply.Outcome, scripted = payment.Outcome{Class: payment.OutcomeUnknown, Reason: "timeout", Err: ctx.Err()}, true
		}
	}
	return reply, scripted && (reply.Outcome.Class != payment.OutcomeUnknown || reply.Outcome.Err != nil)
}

// move makes the charge of a key, once. m.mu is held.
func (m *Method) move(key string, amount money.Amount) payment.Outcome {
	if m.answers == nil {
		m.answers, m.moved = map[string]payment.Outcome{}, map[string]int{}
	}
	if m.taken == nil {
		m.taken = map[string]money.Amount{}
	}
	out := payment.Outcome{Class: payment.OutcomeSucceeded, Reference: "ch_" + key, Amount: amount}
	m.answers[key], m.taken[key] = out, amount
	m.moved[key]++
	return out
}

// Charge implements [payment.Method].
func (m *Method) Charge(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	return m.take(ctx, "charge", p, in)
}

// Capture implements [payment.Holder].
func (m *Method) Capture(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	return m.take(ctx, "capture", p, in)
}

// Hold implements [payment.Holder].
func (m *Method) Hold(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	reply, said := m.begin(ctx, "hold", p, in.Key)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case said:
		return reply.Outcome
	case m.voided[in.Key]:
		return payment.Outcome{Class: payment.OutcomeDeclined, Reason: "voided"}
	}
	return payment.Outcome{Class: payment.OutcomeSucceeded, Amount: p.Amount}
}

// Release implements [payment.Holder].
func (m *Method) Release(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	return m.end(ctx, "release", p, in)
}

func (m *Method) take(ctx context.Context, op string, p payment.Payment, in payment.Intent) payment.Outcome {
	reply, said := m.begin(ctx, op, p, in.Key)
	m.mu.Lock()
	defer m.mu.Unlock()
	stored, repeat := m.answers[in.Key]
	switch {
	case m.voided[in.Key]:
		return payment.Outcome{Class: payment.OutcomeDeclined, Reason: "voided"}
	case reply.Moves && !repeat:
		stored = m.move(in.Key, p.Amount)
	case said:
	case repeat:
		return stored
	default:
		return m.move(in.Key, p.Amount)
	}
	if definite := reply.Outcome.Class == payment.OutcomeSucceeded || reply.Outcome.Class == payment.OutcomeDeclined; !said || repeat && definite {
		return stored // the first definite answer, whatever the script says now
	}
	if out := reply.Outcome; !repeat && out.Class == payment.OutcomeDeclined {
		if m.answers == nil {
			m.answers, m.moved = map[string]payment.Outcome{}, map[string]int{}
		}
		m.answers[in.Key] = out
	} else if !repeat && out.Class == payment.OutcomeSucceeded && m.moved[in.Key] == 0 {
		m.move(in.Key, p.Amount)
		m.answers[in.Key] = out
	}
	return reply.Outcome
}

// Lookup implements [payment.Method].
func (m *Method) Lookup(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	reply, said := m.begin(ctx, "lookup", p, in.Key)
	if said {
		return reply.Outcome
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if out, ok := m.answers[in.Key]; ok {
		return out
	}
	return payment.Outcome{Class: payment.OutcomeNone}
}

// Void implements [payment.Method].
func (m *Method) Void(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	return m.end(ctx, "void", p, in)
}

func (m *Method) end(ctx context.Context, op string, p payment.Payment, in payment.Intent) payment.Outcome {
	reply, said := m.begin(ctx, op, p, in.Key)
	if said {
		return reply.Outcome
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.answers[in.Key]; ok {
		return payment.Outcome{Class: payment.OutcomeStarted}
	}
	if m.voided == nil {
		m.voided = map[string]bool{}
	}
	m.voided[in.Key] = true
	return payment.Outcome{Class: payment.OutcomeVoided}
}

// Refund implements [payment.Method].
func (m *Method) Refund(ctx context.Context, p payment.Payment) payment.Outcome {
	reply, said := m.begin(ctx, "refund", p, p.Key)
	m.mu.Lock()
	defer m.mu.Unlock()
	if (!said || reply.Moves) && p.Reference != "" {
		if m.refunds == nil {
			m.refunds = map[string]int{}
		}
		m.refunds[refundID(p)] = 1 // a repeat finds the refund that exists
	}
	switch {
	case said:
		return reply.Outcome
	case p.Reference == "":
		return payment.Outcome{Class: payment.OutcomeDeclined, Reason: "no_charge", Err: errors.New("nothing to refund")}
	}
	return payment.Outcome{Class: payment.OutcomeSucceeded, Reference: refundID(p), Amount: p.Amount}
}

// refundID is the reference of a payment's refund, and another's after it failed.
func refundID(p payment.Payment) string {
	if p.RefundsFailed == 0 {
		return "re_" + p.ID
	}
	return fmt.Sprintf("re_%s_%d", p.ID, p.RefundsFailed+1)
}
