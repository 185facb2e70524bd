package stripe

import (
	"context"
	"net/http"

	sdk "github.com/stripe/stripe-go/v82"

	"paywall/payment"
)

// promised reports whether an outcome of [Method.judge] is that of a charge which is
// authorized and not taken.
func promised(out payment.Outcome) bool {
	return out.Class == payment.OutcomeUnknown && out.Reason == string(sdk.PaymentIntentStatusRequiresCapture)
}

// held reads the intent of a payment that was prepared to be held.
func (m *Method) held(op string, p payment.Payment, in payment.Intent) (stored, *payment.Outcome) {
	s, err := m.open(in)
	switch {
	case err != nil:
		return stored{}, &payment.Outcome{Reason: "intent_unreadable", Err: &Error{Op: op, Err: err}}
	case !p.Held || !s.manual():
		// Sent as it is, it would take the money.
		return stored{}, &payment.Outcome{Class: payment.OutcomeMismatch, Reason: "not_to_be_held", Err: &Error{Op: op, Err: ErrIntent}}
	}
	return s, nil
}

// Hold implements [payment.Holder]: the stored form has the bank authorize the charge
// and takes nothing. Whoever asks again is told how the authorization is now.
func (m *Method) Hold(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	s, wrong := m.held("hold", p, in)
	if wrong != nil {
		return *wrong
	}
	out := m.create(ctx, "hold", p, in, s)
	switch {
	case promised(out):
		return payment.Outcome{Class: payment.OutcomeSucceeded, Reference: out.Reference, Amount: p.Amount}
	case out.Class == payment.OutcomeSucceeded:
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: out.Reference, Reason: "captured_already"}
	}
	return out
}

// Capture implements [payment.Holder]. The stored form, sent again, names the intent,
// which is then captured: once, since the processor captures no intent twice.
func (m *Method) Capture(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	s, wrong := m.held("capture", p, in)
	if wrong != nil {
		return *wrong
	}
	out := m.create(ctx, "capture", p, in, s)
	switch {
	case !promised(out) && out.Class == payment.OutcomeNotNow:
		return doubt(out) // an earlier capture may have been answered to nobody
	case !promised(out):
		return out
	}
	params := &sdk.PaymentIntentCaptureParams{
		Params:          sdk.Params{Context: ctx},
		AmountToCapture: new(p.Amount.Units()),
	}
	params.AddExpand("latest_charge")
	a := m.ask(ctx, call{op: "capture", method: http.MethodPost, path: pathIntents + "/" + out.Reference + "/capture", version: s.Version, account: s.Account}, params)
	var pi intent
	if a.read(&pi) && pi.sound() && pi.ID == out.Reference {
		return m.since(ctx, s.Version, p, pi, m.judge(p, pi))
	}
	if _, spoken := a.problem(); !spoken || a.status != http.StatusBadRequest && a.status != http.StatusPaymentRequired {
		return m.failed(a)
	}
	// Refused: it was captured or given up meanwhile, or the bank went back on its word.
	now, failure := m.fetch(ctx, "capture", s.Version, s.Account, out.Reference)
	if failure != nil {
		return doubt(*failure)
	}
	after := m.since(ctx, s.Version, p, now, m.judge(p, now))
	if promised(after) {
		after.Reason, after.Err = "capture_refused", a.cause()
	}
	return after
}

// Release implements [payment.Holder]. An authorization that may not have happened is
// excluded as a charge is, by burning its key; one that has is canceled.
func (m *Method) Release(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	s, wrong := m.held("release", p, in)
	if wrong != nil {
		return *wrong
	}
	out := m.Void(ctx, p, in)
	if out.Class != payment.OutcomeStarted {
		return out
	}
	out = m.create(ctx, "release", p, in, s)
	switch {
	case promised(out):
	case out.Class == payment.OutcomeDeclined:
		// Nothing was authorized, or it is canceled: the key says so for ever.
		return payment.Outcome{Class: payment.OutcomeVoided, Reference: out.Reference}
	case out.Class == payment.OutcomeSucceeded:
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: out.Reference, Reason: "captured_already"}
	default:
		return doubt(out)
	}
	last, failure := m.cancel(ctx, s, out.Reference)
	switch {
	case failure != nil:
		return doubt(*failure)
	case last.Status == string(sdk.PaymentIntentStatusCanceled):
		return payment.Outcome{Class: payment.OutcomeVoided, Reference: last.ID}
	case last.Status == string(sdk.PaymentIntentStatusSucceeded):
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: last.ID, Reason: "captured_already"}
	}
	return payment.Outcome{Reference: last.ID, Reason: "not_canceled"}
}
