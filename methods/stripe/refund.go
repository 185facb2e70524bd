package stripe

import (
	"bytes"
	"context"
	"errors"
	"net/http"
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
		Params:        sdk.Params{Context: ctx, IdempotencyKey: sdk.String("pw1r_" + digest("refund", p.Account, p.ID))},
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
	params := &sdk.RefundListParams{
		ListParams:    sdk.ListParams{Limit: sdk.Int64(pageSize)},
		PaymentIntent: sdk.String(p.Reference),
	}
	a := m.send(ctx, call{op: "refund", method: http.MethodGet, path: pathRefunds, version: m.cfg.APIVersion, account: p.Account, limit: maxPage}, query(params))
	var list page[refund]
	if !a.read(&list) || !list.sound() {
		return doubt(m.failed(a))
	}
	var (
		sum int64
		id  string
	)
	for _, re := range list.Data {
		if !re.sound() || string(re.PaymentIntent) != p.Reference || *re.Amount < 0 || *re.Amount > maxUnits {
			return doubt(m.failed(a))
		}
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
	case *list.HasMore:
		return payment.Outcome{Reason: "too_many_refunds", Err: a.cause()}
	}
	return payment.Outcome{Class: payment.OutcomeMismatch, Reference: id, Reason: reason}
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
