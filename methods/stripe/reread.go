package stripe

import (
	"context"
	"net/http"
	"slices"
	"strings"

	sdk "github.com/stripe/stripe-go/v82"

	"paywall/payment"
)

// Reasons of a dispute's outcome from [Method.Reread].
const (
	ReasonDisputeOpen = "dispute_open" // the money was taken back for now
	ReasonDisputeLost = "dispute_lost" // for good
	ReasonDisputeWon  = "dispute_won"  // it is back, or was never taken
	// ReasonDisputeInquiry is of [payment.OutcomeNone]: a question by the bank,
	// no money was taken.
	ReasonDisputeInquiry = "dispute_inquiry"
)

// Reasons of a refund's outcome from [Method.Reread], of [payment.OutcomeNone].
const (
	ReasonRefundFailed   = "refund_failed"
	ReasonRefundCanceled = "refund_canceled"
)

// Reread asks the processor what is true now about the thing that an event told
// of, so that events may come late, twice, in any order, or never have been.
// What the outcome means depends on the event's concern:
//
//   - ConcernCharge: as of Charge, and OutcomeNone while it may go either way. What is
//     promised and not taken is for its owner alone: of a held payment there is only
//     success.
//   - ConcernRefund: OutcomeSucceeded with the refund's reference when the whole
//     amount is back with the payer or on its way, OutcomeNone when it is not
//     (partly refunded). When that is because a refund came back from the payer's
//     bank, the reason is ReasonRefundFailed or ReasonRefundCanceled, and the
//     reference, the one that the books have, is for Processor.RefundFailed.
//   - ConcernDispute: OutcomeSucceeded with one of the Reason constants, or
//     OutcomeNone. The reference is the charge's.
//
// OutcomeMismatch is an event that is not of this payment; OutcomeUnknown and
// OutcomeNotNow mean that the processor could not be asked, and the event
// should come again.
func (m *Method) Reread(ctx context.Context, e Event, p payment.Payment) payment.Outcome {
	mismatch := func(reason string) payment.Outcome {
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: e.Reference, Reason: reason}
	}
	switch {
	case e.Concern == ConcernNone:
		return payment.Outcome{Class: payment.OutcomeNone}
	case p.Method != Name:
		return mismatch("method_differs")
	case e.PaymentID != "" && e.PaymentID != p.ID:
		return mismatch("payment_differs")
	case p.Reference != "" && e.Reference != p.Reference && e.Concern != ConcernCharge:
		return mismatch("reference_differs")
	case !m.sameAccount(e.Account, p.Account):
		return mismatch("account_differs")
	case !identifier(e.Reference, "pi_"):
		return mismatch("reference_unusable")
	}
	if e.Concern == ConcernDispute {
		return m.rereadDispute(ctx, e, p)
	}
	pi, failure := m.fetch(ctx, "reread", m.cfg.APIVersion, p.Account, e.Reference)
	if failure != nil {
		return m.missing(*failure, e.Reference)
	}
	if pi.Metadata[metaPayment] == p.ID && pi.void() {
		return payment.Outcome{Class: payment.OutcomeNone, Reference: pi.ID}
	}
	out := m.judge(p, pi)
	if out.Class == payment.OutcomeUnknown {
		// It was asked and has not decided; another event will tell when it has.
		out.Class = payment.OutcomeNone
	}
	if e.Concern == ConcernCharge && p.Held && out.Class == payment.OutcomeDeclined {
		// It was given up, by whoever holds it here, who is about to say so.
		return payment.Outcome{Class: payment.OutcomeNone, Reference: pi.ID, Reason: out.Reason}
	}
	if e.Concern == ConcernCharge {
		return m.since(ctx, m.cfg.APIVersion, p, pi, out)
	}
	if out.Class == payment.OutcomeMismatch {
		return out
	}
	if out.Class != payment.OutcomeSucceeded {
		return payment.Outcome{Class: payment.OutcomeNone, Reference: pi.ID, Reason: or(out.Reason, "not_charged")}
	}
	p.Reference = pi.ID
	return m.rereadRefund(ctx, e, p)
}

// rereadRefund says whether the money is with the payer, and if it is not, whether
// that is because a refund came back.
func (m *Method) rereadRefund(ctx context.Context, e Event, p payment.Payment) payment.Outcome {
	list, more, failure := m.refunds(ctx, p.Account, p.Reference)
	if failure != nil {
		return doubt(*failure)
	}
	out := added(p, list, more, "refund_incomplete")
	if out.Class != payment.OutcomeMismatch {
		return out
	}
	out.Class, out.Reason = payment.OutcomeNone, "refund_incomplete"
	if p.RefundReference != "" && !slices.ContainsFunc(list, func(re refund) bool { return re.ID == p.RefundReference }) {
		return out // a person has sent it in another way since; what came back before is of the past
	}
	for _, re := range list {
		if re.away() || re.Status != string(sdk.RefundStatusFailed) && re.Status != string(sdk.RefundStatusCanceled) {
			continue
		}
		// By a failed part the whole is not with the payer. What the books have for the
		// refund is one reference.
		if re.ID == e.Object || re.ID == p.RefundReference || p.State == payment.StateRefunded {
			out.Reference, out.Reason = or(p.RefundReference, re.ID), "refund_"+re.Status
			return out
		}
	}
	return out
}

// sameAccount compares the account of an event with a payment's. Events of the
// key's own account name none, even where the configuration spells it out.
func (m *Method) sameAccount(event, pay string) bool {
	return event == pay || event == "" && pay == m.cfg.Account
}

// missing makes a contradiction of what the API does not know: a signed event
// tells of an object that is not on the payment's account.
func (m *Method) missing(out payment.Outcome, reference string) payment.Outcome {
	if isMissing(out) {
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: reference, Reason: "charge_unknown", Err: out.Err}
	}
	return out
}

func (m *Method) rereadDispute(ctx context.Context, e Event, p payment.Payment) payment.Outcome {
	a := m.send(ctx, call{
		op: "reread", method: http.MethodGet, path: "/v1/disputes/" + e.Object, version: m.cfg.APIVersion, account: p.Account,
	}, "")
	var d dispute
	if !a.read(&d) || d.Object != "dispute" || d.ID != e.Object || d.Amount == nil || d.Livemode == nil {
		return m.missing(m.failed(a), e.Reference)
	}
	mismatch := func(reason string) payment.Outcome {
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: e.Reference, Reason: reason}
	}
	switch {
	case *d.Livemode != m.cfg.Live:
		return mismatch("livemode_differs")
	case string(d.PaymentIntent) != e.Reference || p.Reference != "" && e.Reference != p.Reference:
		return mismatch("reference_differs")
	case !strings.EqualFold(d.Currency, p.Amount.Currency()) || *d.Amount != p.Amount.Units():
		return mismatch("dispute_amount_differs")
	}
	out := payment.Outcome{Class: payment.OutcomeSucceeded, Reference: e.Reference, Amount: p.Amount}
	switch sdk.DisputeStatus(d.Status) {
	case sdk.DisputeStatusNeedsResponse, sdk.DisputeStatusUnderReview:
		out.Reason = ReasonDisputeOpen
	case sdk.DisputeStatusLost:
		out.Reason = ReasonDisputeLost
	case sdk.DisputeStatusWon, sdk.DisputeStatusWarningClosed, sdk.DisputeStatusPrevented:
		out.Reason = ReasonDisputeWon
	case sdk.DisputeStatusWarningNeedsResponse, sdk.DisputeStatusWarningUnderReview:
		out = payment.Outcome{Class: payment.OutcomeNone, Reference: e.Reference, Reason: ReasonDisputeInquiry}
	default:
		return mismatch("unexpected_status")
	}
	return out
}
