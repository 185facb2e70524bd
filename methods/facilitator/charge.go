package facilitator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"paywall/money"
	"paywall/payment"
	"paywall/x402"
	client "paywall/x402/facilitator"
)

// pendingWait is when a transfer that is on its way is asked after again, where the
// facilitator does not say.
const pendingWait = 2 * time.Second

// Charge implements [payment.Method]: the stored body, to the stored facilitator.
func (m *Method) Charge(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	return m.settle(ctx, "charge", p, in)
}

// Capture implements [payment.Holder]. Of a payment that is not metered it takes all
// or refuses to begin, and never more than the payer signed, whatever it is asked.
func (m *Method) Capture(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	return m.settle(ctx, "capture", p, in)
}

func (m *Method) settle(ctx context.Context, op string, p payment.Payment, in payment.Intent) payment.Outcome {
	o, err := m.open(in)
	if err != nil {
		return payment.Outcome{Reason: "intent_unreadable", Err: &Error{Op: op, Err: err}}
	}
	if reason := m.takeable(p.Amount, o); reason != "" {
		return payment.Outcome{Class: payment.OutcomeMismatch, Reason: reason, Err: &Error{Op: op, Err: ErrIntent}}
	}
	body, err := o.settling(units(p.Amount))
	if err != nil {
		return payment.Outcome{Reason: "intent_unreadable", Err: &Error{Op: op, Err: err}}
	}
	fresh := m.pending.begin(in.Key, m.cfg.Now())
	reply, err := m.cfg.Client.Settle(ctx, o.endpoint, body)
	out := m.judge(ctx, op, p, o, fresh && p.Attempts <= 1, reply, err)
	switch out.Class {
	case payment.OutcomeSucceeded, payment.OutcomeDeclined, payment.OutcomeMismatch:
		m.pending.forget(in.Key)
	case payment.OutcomeNotNow:
		// Only what has not left for certain leaves the next refusal the first: some
		// facilitators answer 400 or 429 to what they have begun.
		if fresh && out.Reason == notSent {
			m.pending.forget(in.Key)
		}
	default:
	}
	return out
}

// takeable says why the amount must not be asked for, or "".
func (m *Method) takeable(a money.Amount, o order) string {
	switch {
	case a.Currency() != m.cfg.Asset.Symbol || a.Scale() != m.cfg.Asset.Decimals:
		return "currency_differs"
	case !a.IsPositive():
		return "nothing_to_take"
	case m.cfg.Scheme == SchemeUpto && o.value.IsInt64() && a.Units() > o.value.Int64():
		return "above_ceiling"
	case m.cfg.Scheme != SchemeUpto && units(a) != o.body.Requirements.Amount:
		return "amount_differs"
	}
	return ""
}

// judge classes the answer to a settlement. first says that none was sent before it.
func (m *Method) judge(ctx context.Context, op string, p payment.Payment, o order, first bool, reply client.Reply, err error) payment.Outcome {
	if err != nil {
		return noAnswer(op, err)
	}
	s, ok := client.ParseSettle(reply)
	cause := &Error{Op: op, Status: reply.Status, Text: plain(s.ErrorReason)}
	switch {
	case !ok:
		return failed(op, reply)
	case !s.Success:
		return m.refused(ctx, p, o, first, s, reply, cause)
	case reply.Status < 200 || reply.Status > 299:
		cause.Err = ErrAnswer
		return payment.Outcome{Reason: "odd_answer", Reference: reference(s.Transaction), RetryAfter: reply.RetryAfter, Err: cause}
	}
	out := payment.Outcome{Class: payment.OutcomeMismatch, Reference: reference(s.Transaction), Err: cause}
	switch {
	case out.Reference == "":
		out.Reason = "transaction_missing"
	case s.Network != m.cfg.Asset.Network:
		out.Reason = "network_differs"
	case !strings.EqualFold(s.Payer, o.from.String()):
		out.Reason = "payer_differs"
	case s.Amount != "" && s.Amount != units(p.Amount):
		out.Reason = "amount_differs"
	default:
		return payment.Outcome{Class: payment.OutcomeSucceeded, Reference: out.Reference, Amount: p.Amount}
	}
	return out
}

// refused reads a no. It is a definite one when it is about the message itself, or
// when nothing was sent before and nothing was broadcast. Otherwise the transfer may be
// on its way, or our own first attempt may be what the answer is about: then the
// chain has the last word, and a payer is never asked to sign another.
func (m *Method) refused(ctx context.Context, p payment.Payment, o order, first bool, s x402.SettleResponse, reply client.Reply, cause error) payment.Outcome {
	r := rule(s.ErrorReason)
	if s.Transaction != "" && r.nature != pending {
		r.nature = unclear // whatever it says, it has told the chain
	}
	no := payment.Outcome{Class: payment.OutcomeDeclined, Kind: r.kind, Reason: r.reason, Err: cause}
	maybe := payment.Outcome{Reference: reference(s.Transaction), Reason: r.reason, RetryAfter: reply.RetryAfter, Err: cause}
	switch {
	case r.nature == pending:
		maybe.RetryAfter = max(maybe.RetryAfter, pendingWait)
		return maybe
	case r.nature == unclear && m.chain == nil:
		return maybe
	case r.nature == unclear:
	case first || r.nature == final:
		return no
	case m.chain == nil:
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: maybe.Reference, Reason: r.reason, Err: cause}
	}
	switch out := m.chain.evidence(ctx, m.cfg.Now(), p, o); out.Class {
	case payment.OutcomeSucceeded, payment.OutcomeMismatch:
		return out
	case payment.OutcomeVoided:
		return no
	default:
		return maybe
	}
}

// notSent is the reason of an attempt of which nothing has left this process.
const notSent = "not_sent"

// noAnswer classes a call that failed on its way. Only the client's own word makes it
// certain that nothing was sent.
func noAnswer(op string, err error) payment.Outcome {
	if call, ok := errors.AsType[*client.CallError](err); ok && !call.Sent {
		return payment.Outcome{Class: payment.OutcomeNotNow, Reason: notSent, Err: &Error{Op: op, Err: transportCause(err)}}
	}
	return payment.Outcome{Reason: "no_answer", Err: &Error{Op: op, Err: transportCause(err)}}
}

// failed classes an answer that is not of the protocol.
func failed(op string, reply client.Reply) payment.Outcome {
	out := payment.Outcome{RetryAfter: reply.RetryAfter, Err: &Error{Op: op, Status: reply.Status, Err: ErrAnswer}}
	switch status := reply.Status; {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		// Not fatal: settlement would stop on all rails for the word of one facilitator,
		// or of a firewall before it.
		out.Class, out.Reason = payment.OutcomeNotNow, "key_refused"
	case status == http.StatusTooManyRequests:
		out.Class, out.Reason = payment.OutcomeNotNow, "rate_limited"
	case status == http.StatusRequestTimeout || status == http.StatusConflict:
		out.Reason = fmt.Sprintf("status_%d", status) // it may have been taken up
	case status >= 400 && status < 500:
		out.Class, out.Reason = payment.OutcomeNotNow, fmt.Sprintf("status_%d", status)
	case status >= 300 && status < 400:
		out.Reason = "redirected"
	case status < 300:
		out.Reason = "odd_answer"
	default:
		out.Reason = fmt.Sprintf("status_%d", status)
	}
	return out
}

// reference returns a transaction's name when it has the form of one: what passes is
// safe in a header, a receipt and a log line.
func reference(s string) string {
	if len(s) > 128 {
		return ""
	}
	for i := range len(s) {
		b := s[i]
		if (b|0x20 < 'a' || b|0x20 > 'z') && (b < '0' || b > '9') && b != '_' && b != '-' {
			return ""
		}
	}
	return s
}
