package receipts

import (
	"time"

	"paywall/money"
	"paywall/payment"
)

// Bought is a pass for a route that was bought away from it: as an item of an
// order. All fields but Payer, Network and Resource are required.
type Bought struct {
	// ID is the jti. The same purchase has the same one each time, so that its uses
	// are counted once.
	ID string
	// PaymentID is the payment that it hangs on; its refund or dispute closes the pass.
	PaymentID string
	// Route is what the pass opens, with whatever method, path and body the route takes.
	Route string
	// Pass says how often and, from At, for how long. Both are positive, or one is;
	// uses without a time are good for [BoughtFor].
	Pass   payment.Pass
	At     time.Time
	Amount money.Amount
	// Method is the rail and Reference its id of the charge, or the order's id when
	// there was nothing to charge.
	Method, Reference string
	Payer, Network    string
	// Resource is where a person can read about the purchase.
	Resource string
}

// BoughtFor is the life of a pass that is bought by number of uses alone.
const BoughtFor = 365 * 24 * time.Hour

// IssueBought signs the receipt of a pass. It may be issued again at any time, and
// is then no other.
func (d Desk) IssueBought(b Bought) (token string, expires time.Time, err error) {
	life := b.Pass.For
	if life <= 0 {
		life = BoughtFor
	}
	expires = b.At.Add(life).UTC().Truncate(time.Second)
	c := Claims{
		PaymentID: b.PaymentID, ID: b.ID,
		Scope:  Scope{Route: b.Route, Method: Any, Target: Any, Digest: Any},
		Amount: b.Amount, Method: b.Method, Reference: b.Reference, Network: b.Network, Payer: b.Payer, ResourceURL: b.Resource,
		Use: Use{Kind: Until, Until: expires}, Expires: expires,
	}
	if b.Pass.Credit {
		c.Use = Use{Kind: Credit}
	}
	if b.Pass.Uses > 0 {
		c.Use = Use{Kind: Times, N: b.Pass.Uses}
	}
	token, err = d.Issuer.Issue(c)
	return token, expires, err
}
