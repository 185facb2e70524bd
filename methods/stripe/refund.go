package stripe

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	sdk "github.com/stripe/stripe-go/v82"

	"paywall/payment"
)

const pathRefunds = "/v1/refunds"

// Refund implements [payment.Method]. It reads the charge first, for what was
// paid back already and whether a fee or a transfer must come back with it, and
// returns what is left of it. Success means that the payer has, or is on the way
// to have, the whole amount.
func (m *Method) Refund(ctx context.Context, p payment.Payment) payment.Outcome {
	if !identifier(p.Reference, "pi_") || p.Account != "" && !identifier(p.Account, "acct_") {
		return payment.Outcome{Class: payment.OutcomeMismatch, Reason: "reference_unusable"}
	}
	pi, failure := m.fetch(ctx, "refund", m.cfg.APIVersion, p.Account, p.Reference)
	if failure != nil {
		return m.missing(*failure, p.Reference)
	}
	if out := m.judge(p, pi); out.Class != payment.OutcomeSucceeded {
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: pi.ID, Reason: or(out.Reason, "charge_differs")}
	}
	if back := pi.LatestCharge.AmountRefunded; back != nil && *back >= p.Amount.Units() {
		return m.returned(ctx, p, "refund_not_found")
	}
	a := m.ask(ctx, call{op: "refund", method: http.MethodPost, path: pathRefunds, version: m.cfg.APIVersion, account: p.Account}, refundParams(ctx, p, pi))
	var re refund
	switch pr, spoken := a.problem(); {
	case a.read(&re) && re.sound() && string(re.PaymentIntent) == p.Reference:
		return m.refunded(ctx, p, a, re)
	case a.ok(), !spoken, a.shouldRetry() == "true":
		return m.failed(a)
	case pr.Code == string(sdk.ErrorCodeChargeAlreadyRefunded), pr.Type == string(sdk.ErrorTypeIdempotency) && a.status == http.StatusBadRequest:
		// Made in the dashboard, or by us with another version: what counts is what is back.
		return m.returned(ctx, p, "refund_conflict")
	case a.status >= 500 && a.replayed():
		out := m.returned(ctx, p, "refund_fault")
		if out.Class == payment.OutcomeMismatch {
			return m.failed(a) // the key is forgotten within a day, and works again
		}
		return out
	case pr.Code == string(sdk.ErrorCodeBalanceInsufficient):
		// Nothing was moved, and the balance fills up with the next sales.
		out := m.failed(a)
		out.Class, out.Reason = payment.OutcomeNotNow, pr.Code
		return out
	case a.status == http.StatusBadRequest, a.status == http.StatusPaymentRequired, a.status == http.StatusNotFound:
		return refused(a, payment.KindVerificationFailed, or(code(pr.Code), "refund_refused"))
	}
	return m.failed(a)
}

func refundParams(ctx context.Context, p payment.Payment, pi intent) *sdk.RefundParams {
	params := &sdk.RefundParams{
		Params:        sdk.Params{Context: ctx, IdempotencyKey: sdk.String(refundKey(p))},
		PaymentIntent: sdk.String(p.Reference),
		Reason:        sdk.String(string(sdk.RefundReasonRequestedByCustomer)),
		Metadata:      map[string]string{metaPayment: p.ID},
	}
	// The seller keeps neither a fee nor its share of a sale that was undone.
	if pi.Fee != nil && *pi.Fee > 0 {
		params.RefundApplicationFee = new(true)
	}
	if bytes.HasPrefix(pi.TransferData, []byte("{")) {
		params.ReverseTransfer = new(true)
	}
	return params
}

// refundKey makes one key of one refund: after one that the payer's bank sent back
// there may be another, and it must not be answered with the first one's answer.
func refundKey(p payment.Payment) string {
	if p.RefundsFailed == 0 {
		return "pw1r_" + digest("refund", p.Account, p.ID)
	}
	return "pw1r_" + digest("refund", p.Account, p.ID, strconv.Itoa(p.RefundsFailed))
}

// refunded judges the refund that our call made, now or before.
func (m *Method) refunded(ctx context.Context, p payment.Payment, a answer, re refund) payment.Outcome {
	if a.replayed() || *re.Amount != p.Amount.Units() {
		// A stored answer tells how it was; and the rest of a charge is less than all of it.
		return m.returned(ctx, p, "refund_incomplete")
	}
	switch {
	case !strings.EqualFold(re.Currency, p.Amount.Currency()):
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: re.ID, Reason: "currency_differs"}
	case re.away():
		return payment.Outcome{Class: payment.OutcomeSucceeded, Reference: re.ID, Amount: p.Amount}
	}
	// It failed, was canceled, or waits for the payer's bank details.
	return payment.Outcome{Class: payment.OutcomeDeclined, Reference: re.ID, Reason: "refund_" + or(code(re.Status), "unclear")}
}

// returned adds up all refunds of the charge, whoever made them. When they are
// not the whole amount the outcome is a mismatch with the reason, and a person
// has to look.
func (m *Method) returned(ctx context.Context, p payment.Payment, reason string) payment.Outcome {
	list, more, failure := m.refunds(ctx, p.Account, p.Reference)
	if failure != nil {
		return doubt(*failure)
	}
	return added(p, list, more, reason)
}

func added(p payment.Payment, list []refund, more bool, reason string) payment.Outcome {
	var (
		sum int64
		id  string
	)
	for _, re := range list {
		if !re.away() {
			if re.Metadata[metaPayment] == p.ID {
				reason = "refund_" + or(code(re.Status), "unclear")
			}
			continue
		}
		sum += *re.Amount
		if id == "" || re.Metadata[metaPayment] == p.ID {
			id = re.ID
		}
	}
	switch {
	case sum == p.Amount.Units():
		return payment.Outcome{Class: payment.OutcomeSucceeded, Reference: id, Amount: p.Amount}
	case more:
		return payment.Outcome{Reason: "too_many_refunds", Err: &Error{Op: "refund"}}
	}
	return payment.Outcome{Class: payment.OutcomeMismatch, Reference: id, Reason: reason}
}

// refunds lists the refunds of a charge, the latest first, whoever made them.
func (m *Method) refunds(ctx context.Context, account, reference string) (list []refund, more bool, failure *payment.Outcome) {
	params := &sdk.RefundListParams{
		ListParams:    sdk.ListParams{Limit: sdk.Int64(pageSize)},
		PaymentIntent: sdk.String(reference),
	}
	a := m.send(ctx, call{op: "refund", method: http.MethodGet, path: pathRefunds, version: m.cfg.APIVersion, account: account, limit: maxPage}, query(params))
	var p page[refund]
	good := a.read(&p) && p.sound()
	for _, re := range p.Data {
		good = good && re.sound() && string(re.PaymentIntent) == reference && *re.Amount >= 0 && *re.Amount <= maxUnits
	}
	if !good {
		out := m.failed(a)
		return nil, false, &out
	}
	return p.Data, *p.HasMore, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// isMissing reports whether the processor answered that there is no such object.
func isMissing(out payment.Outcome) bool {
	e, ok := errors.AsType[*Error](out.Err)
	return ok && e.Status == http.StatusNotFound && e.Code == string(sdk.ErrorCodeResourceMissing)
}
