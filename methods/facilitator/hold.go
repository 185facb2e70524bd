package facilitator

import (
	"context"
	"strings"

	"paywall/payment"
	"paywall/x402"
	client "paywall/x402/facilitator"
)

// Hold implements [payment.Holder]: the facilitator is asked whether it would settle,
// which looks at the payer's balance and the chain's state. It moves and blocks
// nothing: the payer can still spend the money elsewhere before it is taken.
func (m *Method) Hold(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	o, err := m.open(in)
	if err != nil {
		return payment.Outcome{Class: payment.OutcomeNotNow, Reason: "intent_unreadable", Err: &Error{Op: "hold", Err: err}}
	}
	v, out := m.verify(ctx, "hold", o)
	if out.Reason != "" {
		// Whatever became of the question, asking moves nothing.
		out.Class = payment.OutcomeNotNow
		return out
	}
	r := rule(v.InvalidReason)
	switch {
	case v.IsValid && strings.EqualFold(v.Payer, o.from.String()):
		return payment.Outcome{Class: payment.OutcomeSucceeded, Amount: p.Amount}
	case v.IsValid:
		// It speaks of another payment. Nothing is served on that.
		return payment.Outcome{Class: payment.OutcomeDeclined, Kind: payment.KindVerificationFailed, Reason: "payer_differs", Err: out.Err}
	case r.nature == unclear || r.nature == pending:
		return payment.Outcome{Class: payment.OutcomeNotNow, Reason: r.reason, Err: out.Err}
	}
	return payment.Outcome{Class: payment.OutcomeDeclined, Kind: r.kind, Reason: r.reason, Err: out.Err}
}

// Release implements [payment.Holder]. A facilitator is only ever given a payment to
// settle, or to say whether it would: before the first settlement there is nothing
// to take back.
func (m *Method) Release(_ context.Context, _ payment.Payment, in payment.Intent) payment.Outcome {
	m.pending.forget(in.Key)
	return payment.Outcome{Class: payment.OutcomeVoided}
}

// verify asks without acting. Without a verdict the outcome has the reason; with one
// it has only the cause for the log.
func (m *Method) verify(ctx context.Context, op string, o order) (x402.VerifyResponse, payment.Outcome) {
	reply, err := m.cfg.Client.Verify(ctx, o.endpoint, o.raw)
	if err != nil {
		return x402.VerifyResponse{}, noAnswer(op, err)
	}
	v, ok := client.ParseVerify(reply)
	if !ok || v.IsValid && (reply.Status < 200 || reply.Status > 299) {
		return x402.VerifyResponse{}, failed(op, reply)
	}
	return v, payment.Outcome{Err: &Error{Op: op, Status: reply.Status, Text: plain(v.InvalidReason)}}
}
