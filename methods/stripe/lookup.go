package stripe

import (
	"context"
	"net/http"
	"time"

	sdk "github.com/stripe/stripe-go/v82"

	"paywall/payment"
)

const (
	pageSize = 100
	maxPages = 50
	// listSlack is by how much the processor's clock may be behind ours.
	listSlack = 5 * time.Minute
)

// Lookup implements [payment.Method]: it lists the account's intents since the
// payment was made (the list, unlike the search, is never behind) and finds the
// payment's own.
//
// An intent that was begun and waits for something is [payment.OutcomeStarted]:
// its stored answer says more, and sending the same bytes again cannot charge a
// second time. So is a token that was consumed while no intent was found, which
// happens on accounts too busy to be listed to the end: a spent token cannot be
// charged once more, and the stored answer tells who spent it.
func (m *Method) Lookup(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	s, err := m.open(in)
	if err != nil {
		return payment.Outcome{Reason: "intent_unreadable", Err: &Error{Op: "lookup", Err: err}}
	}
	f, failure := m.find(ctx, "lookup", p, s.Account, s.Version)
	switch {
	case failure != nil:
		return *failure
	case f.twice:
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: f.own.ID, Reason: "two_charges"}
	case f.own != nil:
		out := m.judge(p, *f.own)
		if out.Class == payment.OutcomeUnknown && (cancelable(*f.own) || promised(out)) {
			out.Class = payment.OutcomeStarted
		}
		return m.since(ctx, s.Version, p, *f.own, out)
	case f.void != nil && f.void.Status == string(sdk.PaymentIntentStatusCanceled):
		// The key is bound to an intent that is closed: Void got this far once.
		return payment.Outcome{Class: payment.OutcomeVoided, Reference: f.void.ID}
	case f.void != nil:
		return payment.Outcome{Class: payment.OutcomeNone, Reason: "void_begun"}
	case f.other != nil:
		return payment.Outcome{Class: payment.OutcomeMismatch, Reference: f.other.ID, Reason: "challenge_charged_before"}
	}
	if t, state := m.token(ctx, s); state == tokenRead && t.DeactivatedReason == consumed {
		return payment.Outcome{Class: payment.OutcomeStarted, Reason: "token_consumed"}
	}
	return payment.Outcome{Class: payment.OutcomeNone}
}

// found is what a list holds of one payment.
type found struct {
	own   *intent // made by Charge
	void  *intent // made by Void, to burn the key
	other *intent // of the same challenge, succeeded, under another payment's id
	twice bool    // own is one of two that succeeded
	whole bool    // the list was read to its end
}

// find goes through the intents made since the payment was, newest first.
func (m *Method) find(ctx context.Context, op string, p payment.Payment, account, version string) (found, *payment.Outcome) {
	var f found
	after := ""
	for range maxPages {
		items, more, failure := m.listIntents(ctx, op, account, version, p.CreatedAt.Add(-listSlack), after)
		if failure != nil {
			return found{}, failure
		}
		for i := range items {
			f.take(p, &items[i])
		}
		if f.own != nil || !more {
			f.whole = !more
			return f, nil
		}
		after = items[len(items)-1].ID
	}
	return f, nil
}

func (f *found) take(p payment.Payment, pi *intent) {
	succeeded := pi.Status == string(sdk.PaymentIntentStatusSucceeded)
	switch {
	case pi.Metadata[metaPayment] == p.ID && pi.void():
		f.void = pi
	case pi.Metadata[metaPayment] == p.ID:
		if f.own != nil && succeeded && f.own.Status == pi.Status {
			f.twice = true
		}
		if f.own == nil || succeeded {
			f.own = pi
		}
	case succeeded && (pi.Metadata[metaMPPChallenge] == p.ChallengeID || pi.Metadata[metaChallenge] == p.ChallengeID):
		f.other = pi
	}
}

// listIntents reads one page. After the last of a page comes the next one.
func (m *Method) listIntents(ctx context.Context, op, account, version string, since time.Time, after string) ([]intent, bool, *payment.Outcome) {
	params := &sdk.PaymentIntentListParams{
		ListParams:   sdk.ListParams{Limit: sdk.Int64(pageSize)},
		CreatedRange: &sdk.RangeQueryParams{GreaterThanOrEqual: max(since.Unix(), 0)},
	}
	if after != "" {
		params.StartingAfter = sdk.String(after)
	}
	a := m.send(ctx, call{op: op, method: http.MethodGet, path: pathIntents, version: version, account: account, limit: maxPage}, query(params))
	var list page[intent]
	if !a.read(&list) || !list.sound() || *list.HasMore && len(list.Data) == 0 {
		out := m.failed(a)
		return nil, false, &out
	}
	for _, pi := range list.Data {
		if !pi.sound() {
			out := m.failed(a)
			return nil, false, &out
		}
	}
	return list.Data, *list.HasMore, nil
}
