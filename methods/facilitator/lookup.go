package facilitator

import (
	"context"
	"time"

	"paywall/payment"
)

// expiryMargin is how long after the authorization's end a transfer might still show
// up that was made before it: blocks come late, and clocks differ.
const expiryMargin = 10 * time.Minute

// Lookup implements [payment.Method]. With a node the chain is asked. Without one the
// facilitator is asked whether it would settle: if so, it has not; if the
// authorization was used, its stored answer may say by whom, and anything else
// proves nothing.
func (m *Method) Lookup(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	o, err := m.open(in)
	if err != nil {
		return payment.Outcome{Reason: "intent_unreadable", Err: &Error{Op: "lookup", Err: err}}
	}
	if m.chain != nil {
		return m.chain.evidence(ctx, m.cfg.Now(), p, o)
	}
	v, out := m.verify(ctx, "lookup", o)
	switch r := rule(v.InvalidReason); {
	case out.Reason != "":
		out.Fatal = false // a look-up stops nobody's business
		return out
	case v.IsValid:
		return payment.Outcome{Class: payment.OutcomeNone}
	case r.nature == spent:
		return payment.Outcome{Class: payment.OutcomeStarted, Reason: r.reason, Err: out.Err}
	default:
		return payment.Outcome{Class: payment.OutcomeNone, Reason: r.reason, Err: out.Err}
	}
}

// Void implements [payment.Method]. Nobody can take an authorization back for the
// payer, so that it is over only when its time is, and the chain shows that it was
// not used. Without a node there is no such proof, and a person is asked.
func (m *Method) Void(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	o, err := m.open(in)
	if err != nil {
		return payment.Outcome{Reason: "intent_unreadable", Err: &Error{Op: "void", Err: err}}
	}
	if m.chain != nil {
		out := m.chain.evidence(ctx, m.cfg.Now(), p, o)
		if out.Class != payment.OutcomeNone {
			return out
		}
		return payment.Outcome{Reason: "waits_for_expiry", RetryAfter: m.untilOver(o)}
	}
	if wait := m.untilOver(o); wait > 0 {
		return payment.Outcome{Reason: "waits_for_expiry", RetryAfter: wait}
	}
	return payment.Outcome{Class: payment.OutcomeMismatch, Reason: "no_proof"}
}

// untilOver is how long the authorization may still be carried out, at most a day.
func (m *Method) untilOver(o order) time.Duration {
	const most = 24 * time.Hour
	now := m.cfg.Now()
	if !o.before.IsInt64() || o.before.Int64() > now.Add(most).Unix() {
		return most
	}
	return max(time.Unix(o.before.Int64(), 0).Add(expiryMargin).Sub(now), 0)
}
