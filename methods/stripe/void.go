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
	a := m.burn(ctx, p, s, in.Key)
	if burned(a) {
		return m.voidAfterFault(ctx, p, s, a)
	}
	if pr, ok := a.problem(); ok && a.status == http.StatusBadRequest && pr.Type == string(sdk.ErrorTypeIdempotency) {
		return payment.Outcome{Class: payment.OutcomeStarted}
	}
	var pi intent
	if !a.read(&pi) || !pi.sound() || !pi.void() || pi.Metadata[metaPayment] != p.ID {
		return m.failed(a)
	}
	return m.voidIntent(ctx, s, pi.ID, a)
}

func (m *Method) burn(ctx context.Context, p payment.Payment, s stored, key string) answer {
	return m.send(ctx, call{op: "void", method: s.Method, path: s.Path, version: s.Version, account: s.Account, key: key}, burnBody(p))
}

// burned reports a stored fault as the answer to the harmless form. A stored
// answer is given to the form that it was stored for and to no other: the key is
// bound to the harmless one, and will say nothing else for ever.
func burned(a answer) bool { return a.status >= http.StatusInternalServerError && a.replayed() }

// voidAfterFault closes what a burn that ended in a fault may have left. The
// charge itself can never execute any more.
func (m *Method) voidAfterFault(ctx context.Context, p payment.Payment, s stored, a answer) payment.Outcome {
	f, failure := m.find(ctx, "void", p, s.Account, s.Version)
	switch {
	case failure != nil:
		return doubt(*failure)
	case f.own != nil:
		return payment.Outcome{Class: payment.OutcomeStarted}
	case f.void != nil:
		return m.voidIntent(ctx, s, f.void.ID, a)
	case !f.whole:
		return payment.Outcome{Reason: "void_unclear", Err: a.cause()}
	}
	return payment.Outcome{Class: payment.OutcomeVoided}
}

func (m *Method) voidIntent(ctx context.Context, s stored, id string, a answer) payment.Outcome {
	last, failure := m.cancel(ctx, s, id)
	switch {
	case failure != nil:
		return doubt(*failure)
	case last.Status != string(sdk.PaymentIntentStatusCanceled):
		return payment.Outcome{Reference: id, Reason: "void_not_canceled", Err: a.odd()}
	}
	return payment.Outcome{Class: payment.OutcomeVoided, Reference: id}
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
