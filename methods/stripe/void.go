package stripe

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	sdk "github.com/stripe/stripe-go/v82"

	"paywall/payment"
)

// Void implements [payment.Method] by burning the key: the same key is sent with
// a form that moves nothing. The processor tells which came first. When it says
// that the key was used with other parameters, the charge had begun; when it
// makes the harmless intent, the key is bound to that for longer than a payment
// may be in doubt, and once the intent is canceled the charge can never execute.
//
// The form depends on the payment alone, so that a void that was cut off is
// taken up where it stopped.
func (m *Method) Void(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	s, err := m.open(in)
	if err != nil {
		return payment.Outcome{Reason: "intent_unreadable", Err: &Error{Op: "void", Err: err}}
	}
	a := m.send(ctx, call{op: "void", method: s.Method, path: s.Path, version: s.Version, account: s.Account, key: in.Key}, burnBody(p))
	if pr, ok := a.problem(); ok && a.status == http.StatusBadRequest && pr.Type == string(sdk.ErrorTypeIdempotency) {
		return payment.Outcome{Class: payment.OutcomeStarted}
	}
	var pi intent
	if !a.read(&pi) || !pi.sound() || !pi.void() || pi.Metadata[metaPayment] != p.ID {
		return m.failed(a)
	}
	last, failure := m.cancel(ctx, s, pi.ID)
	switch {
	case failure != nil:
		return doubt(*failure)
	case last.Status != string(sdk.PaymentIntentStatusCanceled):
		return payment.Outcome{Reference: pi.ID, Reason: "void_not_canceled", Err: a.odd()}
	}
	return payment.Outcome{Class: payment.OutcomeVoided, Reference: pi.ID}
}

func burnBody(p payment.Payment) string {
	return encode(map[string]string{
		"amount":                        strconv.FormatInt(p.Amount.Units(), 10),
		"currency":                      strings.ToLower(p.Amount.Currency()),
		"confirm":                       "false",
		"metadata[" + metaPayment + "]": p.ID,
		"metadata[" + metaVoid + "]":    "true",
	})
}
