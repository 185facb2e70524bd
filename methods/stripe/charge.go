package stripe

import (
	"context"
	"net/http"
	"strings"

	sdk "github.com/stripe/stripe-go/v82"

	"paywall/payment"
)

// Charge implements [payment.Method]: the stored form, byte for byte, under the
// stored key and version. An answer that is marked as replayed is our own charge
// and counts like the first one.
func (m *Method) Charge(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	s, err := m.open(in)
	if err != nil {
		return payment.Outcome{Reason: "intent_unreadable", Err: &Error{Op: "charge", Err: err}}
	}
	return m.create(ctx, "charge", p, in, s)
}

// create sends the stored form and says what became of its intent.
func (m *Method) create(ctx context.Context, op string, p payment.Payment, in payment.Intent, s stored) payment.Outcome {
	a := m.send(ctx, call{op: op, method: s.Method, path: s.Path, version: s.Version, account: s.Account, key: in.Key}, s.Body)
	switch {
	case a.ok():
		var pi intent
		if !a.read(&pi) || !pi.sound() {
			return m.failed(a)
		}
		if was := m.judge(p, pi); a.replayed() && (was.Class == payment.OutcomeSucceeded || promised(was)) {
			// It tells how it was. Somebody may have paid it back since, or given it up.
			now, failure := m.fetch(ctx, op, s.Version, s.Account, pi.ID)
			if failure != nil {
				return doubt(*failure)
			}
			pi = now
		}
		return m.end(ctx, p, s, pi)
	case a.status >= 400 && a.shouldRetry() == "true":
		return m.failed(a) // its own word that this is not the last one
	case a.status == http.StatusPaymentRequired:
		return m.bankSaidNo(ctx, p, s, a)
	case a.status == http.StatusBadRequest, a.status == http.StatusNotFound:
		return m.requestRefused(ctx, p, s, a)
	case a.status >= 500 && (a.replayed() || a.shouldRetry() == "false"):
		// The key will answer with this fault for ever, so asking it again is useless.
		return m.over(ctx, p, s, a, "processor_fault")
	}
	return m.failed(a)
}

// end judges an intent that a finished request left, and ends one that waits for
// what will never come: nobody is there to confirm it.
func (m *Method) end(ctx context.Context, p payment.Payment, s stored, pi intent) payment.Outcome {
	out := m.judge(p, pi)
	if out.Class != payment.OutcomeUnknown || !cancelable(pi) {
		return m.since(ctx, s.Version, p, pi, out)
	}
	last, failure := m.cancel(ctx, s, pi.ID)
	if failure != nil {
		return doubt(*failure)
	}
	final := m.since(ctx, s.Version, p, last, m.judge(p, last))
	if final.Class == payment.OutcomeDeclined && pi.Status == string(sdk.PaymentIntentStatusRequiresAction) {
		final.Kind, final.Reason = payment.KindActionRequired, pi.Status
	}
	return final
}

// since completes the word of a charge's success: whether it was paid back since,
// and by which refund. Lists do not say.
func (m *Method) since(ctx context.Context, version string, p payment.Payment, pi intent, out payment.Outcome) payment.Outcome {
	if out.Class == payment.OutcomeSucceeded && pi.LatestCharge.ID != "" && pi.LatestCharge.AmountRefunded == nil {
		now, failure := m.fetch(ctx, "charge", version, p.Account, pi.ID)
		if failure != nil {
			return doubt(*failure)
		}
		out = m.judge(p, now)
	}
	if out.Class != payment.OutcomeSucceeded || !out.Refunded.IsPositive() {
		return out
	}
	list, _, failure := m.refunds(ctx, p.Account, out.Reference)
	if failure != nil {
		return doubt(*failure)
	}
	for _, re := range list { // the latest comes first
		if re.away() {
			out.RefundReference = re.ID
			break
		}
	}
	return out
}

// cancel ends an intent and returns what it is in the end, which may be that
// somebody else decided first. It takes no key of ours: canceling twice is
// harmless, while a stored fault would stay for ever.
func (m *Method) cancel(ctx context.Context, s stored, id string) (intent, *payment.Outcome) {
	params := &sdk.PaymentIntentCancelParams{
		Params:             sdk.Params{Context: ctx},
		CancellationReason: sdk.String(string(sdk.PaymentIntentCancellationReasonAbandoned)),
	}
	a := m.ask(ctx, call{op: "cancel", method: http.MethodPost, path: pathIntents + "/" + id + "/cancel", version: s.Version, account: s.Account}, params)
	var pi intent
	switch {
	case a.read(&pi) && pi.sound() && pi.ID == id:
		return pi, nil
	case a.status == http.StatusBadRequest:
		return m.fetch(ctx, "cancel", s.Version, s.Account, id)
	}
	out := m.failed(a)
	return intent{}, &out
}

// fetch reads an intent with its charge.
func (m *Method) fetch(ctx context.Context, op, version, account, id string) (intent, *payment.Outcome) {
	a := m.send(ctx, call{op: op, method: http.MethodGet, path: pathIntents + "/" + id, version: version, account: account}, "expand[0]=latest_charge")
	var pi intent
	if a.read(&pi) && pi.sound() && pi.ID == id {
		return pi, nil
	}
	out := m.failed(a)
	return intent{}, &out
}

// bankSaidNo reads a 402. The intent inside decides, not the status: it is a
// definite no only when that intent has not succeeded.
func (m *Method) bankSaidNo(ctx context.Context, p payment.Payment, s stored, a answer) payment.Outcome {
	pr, ok := a.problem()
	if !ok {
		return m.failed(a)
	}
	if pr.Type == string(sdk.ErrorTypeCard) && pr.Intent != nil && pr.Intent.sound() {
		switch sdk.PaymentIntentStatus(pr.Intent.Status) {
		case sdk.PaymentIntentStatusRequiresPaymentMethod, sdk.PaymentIntentStatusCanceled:
			out := declined(pr.Intent.ID, failure{Code: pr.Code, DeclineCode: pr.DeclineCode})
			out.Err = a.cause()
			return out
		case sdk.PaymentIntentStatusRequiresAction, sdk.PaymentIntentStatusRequiresConfirmation:
			return m.end(ctx, p, s, *pr.Intent)
		default:
		}
	}
	reason := declined("", failure{Code: pr.Code, DeclineCode: pr.DeclineCode}).Reason
	return m.over(ctx, p, s, a, reason)
}

// requestRefused reads a 400 or 404. Refusals of a token have no code, so that
// the token itself must say what is wrong with it; the text is not looked at.
func (m *Method) requestRefused(ctx context.Context, p payment.Payment, s stored, a answer) payment.Outcome {
	pr, ok := a.problem()
	if !ok {
		return m.failed(a)
	}
	fatal := func(reason string) payment.Outcome {
		return payment.Outcome{Class: payment.OutcomeNotNow, Fatal: !ofRoute(s, pr.Param), Reason: reason, Err: a.cause()}
	}
	if pr.Type == string(sdk.ErrorTypeIdempotency) {
		return m.conflict(ctx, p, s, a)
	}
	if pr.Type != string(sdk.ErrorTypeInvalidRequest) {
		return m.failed(a)
	}
	// A refusal that the payer's choice of token can bring about must not stop
	// the seller's business, nor may one of one route; one of the key's settings must.
	aboutToken := pr.Param == "" || strings.Contains(pr.Param, tokenTopLevel) || strings.HasPrefix(pr.Param, "payment_method")
	switch c := code(pr.Code); {
	case c == string(sdk.ErrorCodeResourceMissing) && aboutToken:
		return refused(a, payment.KindVerificationFailed, "token_unknown")
	case c == string(sdk.ErrorCodeResourceMissing):
		return fatal("account_unknown")
	case a.status == http.StatusNotFound:
		return fatal("endpoint_unknown")
	case c == "" && pr.Code != "":
		return m.failed(a)
	case c == "":
		return m.autopsy(ctx, p, s, a)
	case strings.HasPrefix(c, "parameter_") && aboutToken && pr.Param != "":
		return refused(a, payment.KindVerificationFailed, "token_refused")
	case strings.HasPrefix(c, "parameter"), c == string(sdk.ErrorCodeAccountInvalid):
		return fatal(c)
	default:
		return refused(a, payment.KindVerificationFailed, c)
	}
}

// ofRoute reports whether a refusal is about what one route says of itself: the
// others go on.
func ofRoute(s stored, param string) bool {
	if s.Account != "" {
		return true
	}
	name, _, _ := strings.Cut(param, "[")
	switch name {
	case "on_behalf_of", "transfer_data", "transfer_group", "application_fee_amount", "statement_descriptor_suffix", "metadata":
		return true
	}
	return false
}

// conflict reads "this key was used with other parameters": it was burned by a
// void, or an earlier life of the store paid this challenge under another id.
func (m *Method) conflict(ctx context.Context, p payment.Payment, s stored, a answer) payment.Outcome {
	f, failure := m.find(ctx, "charge", p, s.Account, s.Version)
	switch {
	case failure != nil:
		return doubt(*failure)
	case f.own != nil:
		return m.end(ctx, p, s, *f.own)
	case f.void != nil:
		return payment.Outcome{Reference: f.void.ID, Reason: "void_begun", Err: a.cause()}
	case f.other != nil:
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: f.other.ID, Reason: "challenge_charged_before", Err: a.cause()}
	case !f.whole:
		return payment.Outcome{Reason: "key_conflict", Err: a.cause()}
	case burned(m.burn(ctx, p, s, p.Key)):
		// The void ended in a fault and has left no intent; it holds the key all the same.
		return payment.Outcome{Reason: "void_begun", Err: a.cause()}
	}
	return payment.Outcome{Class: payment.OutcomeMismatch, Reason: "key_conflict", Err: a.cause()}
}

// over looks for what a request left that has ended in a stored fault or an odd
// refusal. Nothing is concluded from absence alone: the request must be over
// (its answer is a stored one), the list complete, and the token unspent.
func (m *Method) over(ctx context.Context, p payment.Payment, s stored, a answer, reason string) payment.Outcome {
	unknown := payment.Outcome{Reason: reason, Err: a.cause()}
	f, failure := m.find(ctx, "charge", p, s.Account, s.Version)
	switch {
	case failure != nil:
		return unknown
	case f.own != nil:
		return m.end(ctx, p, s, *f.own)
	case !f.whole || !a.replayed():
		return unknown
	}
	t, state := m.token(ctx, s)
	if state != tokenRead || t.DeactivatedAt != nil {
		return unknown
	}
	return refused(a, payment.KindVerificationFailed, reason)
}

// autopsy asks the token why it was refused. The refusal stands whatever it
// says: a token is spent at once with its charge, under its own answer.
func (m *Method) autopsy(ctx context.Context, p payment.Payment, s stored, a answer) payment.Outcome {
	no := func(reason string) payment.Outcome { return refused(a, payment.KindVerificationFailed, reason) }
	t, state := m.token(ctx, s)
	switch {
	case state == tokenMissing:
		return no("token_unknown")
	case state == tokenUnread:
		return no("token_refused")
	case t.Livemode != nil && *t.Livemode != m.cfg.Live:
		return no("token_other_mode")
	case t.DeactivatedReason == consumed:
		// By whom? If by this payment, under whatever key, it is paid.
		f, failure := m.find(ctx, "charge", p, s.Account, s.Version)
		switch {
		case failure != nil:
			return doubt(*failure)
		case f.own != nil:
			return m.end(ctx, p, s, *f.own)
		}
		return no("token_consumed")
	case t.DeactivatedAt != nil || t.DeactivatedReason != "":
		switch t.DeactivatedReason {
		case "expired", "revoked", "resolved":
			return no("token_" + t.DeactivatedReason)
		}
		return no("token_inactive")
	case t.UsageLimits.ExpiresAt != nil && *t.UsageLimits.ExpiresAt <= m.cfg.Now().Unix():
		return no("token_expired")
	case t.UsageLimits.Currency != "" && !strings.EqualFold(t.UsageLimits.Currency, p.Amount.Currency()):
		return refused(a, payment.KindPaymentInsufficient, "token_currency")
	case t.UsageLimits.MaxAmount != nil && *t.UsageLimits.MaxAmount < p.Amount.Units():
		return refused(a, payment.KindPaymentInsufficient, "token_limit")
	}
	return no("token_refused")
}

// What a read of a token came to.
type tokenState uint8

const (
	tokenUnread tokenState = iota
	tokenRead
	tokenMissing
)

func (m *Method) token(ctx context.Context, s stored) (grantedToken, tokenState) {
	id, err := s.token()
	if err != nil {
		return grantedToken{}, tokenUnread
	}
	a := m.send(ctx, call{
		op: "token", method: http.MethodGet, path: "/v1/shared_payment/granted_tokens/" + id, version: s.Version, account: s.Account,
	}, "")
	var t grantedToken
	if a.read(&t) && t.sound() && t.ID == id {
		return t, tokenRead
	}
	if pr, ok := a.problem(); ok && a.status == http.StatusNotFound && pr.Code == string(sdk.ErrorCodeResourceMissing) {
		return grantedToken{}, tokenMissing
	}
	return grantedToken{}, tokenUnread
}
