package stripe

import (
	"context"
	"fmt"
	"iter"
	"time"

	sdk "github.com/stripe/stripe-go/v82"

	"paywall/money"
	"paywall/payment"
)

// Charge is one of this product's charges as the processor has it.
type Charge struct {
	// Reference is the processor's id, PaymentID ours, Route the route's.
	Reference, PaymentID, Route string
	// Outcome classes it as far as it can be without the payment's record:
	// succeeded, declined, or unknown while it may go either way.
	Outcome payment.OutcomeClass
	Amount  money.Amount
	Created time.Time
}

// Charges lists the charges with our metadata since a time, newest first, on an
// account ("" is the seller's own). It is for reconciling the books against the
// processor's. An error ends it.
func (m *Method) Charges(ctx context.Context, account string, since time.Time) iter.Seq2[Charge, error] {
	return func(yield func(Charge, error) bool) {
		if account != "" && !identifier(account, "acct_") {
			yield(Charge{}, fmt.Errorf(`list charges: account: want "acct_…": %w`, ErrIntent))
			return
		}
		for after := ""; ; {
			items, more, failure := m.listIntents(ctx, "list", account, m.cfg.APIVersion, since, after)
			if failure != nil {
				yield(Charge{}, fmt.Errorf("list charges: %s: %w", failure.Reason, failure.Err))
				return
			}
			for _, pi := range items {
				after = pi.ID
				if pi.Metadata[metaPayment] == "" || pi.void() {
					continue
				}
				if !yield(m.listed(pi)) {
					return
				}
			}
			if !more {
				return
			}
		}
	}
}

func (m *Method) listed(pi intent) (Charge, error) {
	exponent, _ := money.Exponent(pi.Currency)
	amount, err := money.New(*pi.Amount, pi.Currency, exponent)
	if err != nil {
		return Charge{}, fmt.Errorf("list charges: %s: %w", pi.ID, err)
	}
	// Judged as the payment that it says it is, so that success means here what
	// it means everywhere.
	held := pi.Status == string(sdk.PaymentIntentStatusRequiresCapture)
	p := payment.Payment{ID: pi.Metadata[metaPayment], Amount: amount, Held: held}
	return Charge{
		Reference: pi.ID, PaymentID: p.ID, Route: pi.Metadata[metaRoute],
		Outcome: m.judge(p, pi).Class, Amount: amount, Created: time.Unix(pi.Created, 0).UTC(),
	}, nil
}
