package stripe

import (
	"fmt"
	"net/http"
	"strings"

	sdk "github.com/stripe/stripe-go/v82"

	"paywall/money"
	"paywall/payment"
)

// judge says what a PaymentIntent means for the payment. An intent that may
// still go either way is unknown, with its status as the reason.
func (m *Method) judge(p payment.Payment, pi intent) payment.Outcome {
	mismatch := func(reason string) payment.Outcome {
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: pi.ID, Reason: reason}
	}
	switch {
	case pi.Metadata[metaPayment] != p.ID:
		return mismatch("payment_differs")
	case *pi.Livemode != m.cfg.Live:
		return mismatch("livemode_differs")
	case !strings.EqualFold(pi.Currency, p.Amount.Currency()):
		return mismatch("currency_differs")
	case *pi.Amount != p.Amount.Units():
		return mismatch("amount_differs")
	}
	switch sdk.PaymentIntentStatus(pi.Status) {
	case sdk.PaymentIntentStatusSucceeded:
		c := pi.LatestCharge
		switch {
		case pi.AmountReceived == nil || *pi.AmountReceived != p.Amount.Units():
			return mismatch("received_differs")
		case c.Paid != nil && !*c.Paid, c.Captured != nil && !*c.Captured:
			return mismatch("charge_not_captured")
		}
		received, err := money.New(*pi.AmountReceived, pi.Currency, p.Amount.Scale())
		if err != nil {
			return mismatch("received_differs")
		}
		out := payment.Outcome{Class: payment.OutcomeSucceeded, Reference: pi.ID, Amount: received}
		if c.AmountRefunded != nil && *c.AmountRefunded != 0 {
			if out.Refunded, err = money.New(*c.AmountRefunded, pi.Currency, p.Amount.Scale()); err != nil || !out.Refunded.IsPositive() {
				return mismatch("refunded_differs")
			}
		}
		return out
	case sdk.PaymentIntentStatusCanceled:
		return payment.Outcome{Class: payment.OutcomeDeclined, Reference: pi.ID, Reason: "canceled"}
	case sdk.PaymentIntentStatusRequiresPaymentMethod:
		// With an error it was tried and refused; without one it may be in the
		// middle of being tried.
		if pi.LastError != nil {
			return declined(pi.ID, *pi.LastError)
		}
		return payment.Outcome{Reference: pi.ID, Reason: pi.Status}
	case sdk.PaymentIntentStatusRequiresAction, sdk.PaymentIntentStatusRequiresConfirmation, sdk.PaymentIntentStatusProcessing:
		return payment.Outcome{Reference: pi.ID, Reason: pi.Status}
	case sdk.PaymentIntentStatusRequiresCapture:
		switch {
		case !p.Held: // never asked for
		case pi.AmountCapturable == nil || *pi.AmountCapturable != p.Amount.Units():
			return mismatch("capturable_differs")
		default:
			return payment.Outcome{Reference: pi.ID, Reason: pi.Status}
		}
	}
	return mismatch("unexpected_status")
}

// cancelable reports whether an undecided intent can be ended by us.
func cancelable(pi intent) bool {
	switch sdk.PaymentIntentStatus(pi.Status) {
	case sdk.PaymentIntentStatusRequiresAction, sdk.PaymentIntentStatusRequiresConfirmation, sdk.PaymentIntentStatusRequiresPaymentMethod:
		return true
	default:
		return false
	}
}

// declined is the bank's no. It does not say what a thief would learn from: that
// a card is reported lost or stolen, or its use taken for fraud.
func declined(id string, f failure) payment.Outcome {
	reason := code(f.DeclineCode)
	if reason == "" {
		reason = code(f.Code)
	}
	kind := payment.KindVerificationFailed
	switch reason {
	case "":
		reason = string(sdk.ErrorCodeCardDeclined)
	case "lost_card", "stolen_card", "pickup_card", "fraudulent", "merchant_blacklist":
		reason = "generic_decline"
	case string(sdk.ErrorCodeAuthenticationRequired), string(sdk.ErrorCodePaymentIntentAuthenticationFailure):
		kind = payment.KindActionRequired
	}
	return payment.Outcome{Class: payment.OutcomeDeclined, Reference: id, Kind: kind, Reason: reason}
}

// refused is a decline with a reason of our own.
func refused(a answer, kind payment.Kind, reason string) payment.Outcome {
	return payment.Outcome{Class: payment.OutcomeDeclined, Kind: kind, Reason: reason, Err: a.cause()}
}

// failed classes an answer that decides nothing, whatever was asked: no answer,
// a refusal of the caller, a limit, a fault.
func (m *Method) failed(a answer) payment.Outcome {
	out := payment.Outcome{Err: a.cause(), RetryAfter: retryAfter(a.header, m.cfg.Now())}
	_, spoken := a.problem()
	switch {
	case a.unsent:
		out.Class, out.Reason = payment.OutcomeNotNow, "not_sent"
	case a.status == 0:
		out.Reason = "no_answer"
	case !a.whole:
		out.Reason = "answer_cut"
	// Only the processor itself may stop settlement: a proxy on the way answers
	// 401 and 403 too.
	case a.status == http.StatusUnauthorized && spoken:
		out.Class, out.Fatal, out.Reason = payment.OutcomeNotNow, true, "key_refused"
	case a.status == http.StatusForbidden && spoken && a.account != "":
		// One connected account took its consent back. The others have not.
		out.Class, out.Reason = payment.OutcomeNotNow, "account_refused"
	case a.status == http.StatusForbidden && spoken:
		out.Class, out.Fatal, out.Reason = payment.OutcomeNotNow, true, "key_lacks_permission"
	case a.status == http.StatusTooManyRequests:
		out.Class, out.Reason = payment.OutcomeNotNow, "rate_limited"
	case a.status == http.StatusConflict:
		out.Reason = "in_progress"
	case a.status >= 300 && a.status < 400:
		out.Reason = "redirected"
	case a.status < 300:
		out.Reason, out.Err = "odd_answer", a.odd()
	default:
		out.Reason = fmt.Sprintf("status_%d", a.status)
	}
	return out
}

// doubt turns what a read behind a money call came to into an answer to that
// call: "nothing happened" is true of the read alone.
func doubt(out payment.Outcome) payment.Outcome {
	if out.Class == payment.OutcomeNotNow && !out.Fatal {
		out.Class = payment.OutcomeUnknown
	}
	if out.Fatal {
		out.Class, out.Fatal = payment.OutcomeUnknown, false
	}
	return out
}
