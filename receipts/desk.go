package receipts

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"paywall/payment"
)

// Desk issues and redeems for a gate: it is the [payment.Receipts] of one
// issuer. Issuer and Verifier share keys, origin and realm.
type Desk struct {
	Issuer   *Issuer
	Verifier *Verifier
}

var _ payment.Receipts = Desk{}

// Issue implements [payment.Receipts]. The receipt id follows from the payment,
// so that uses are counted once however often a receipt is written again.
func (d Desk) Issue(p payment.Payment, pass payment.Pass) (token, id string, err error) {
	c := Claims{
		PaymentID: p.ID, ID: "rcp_" + strings.TrimPrefix(p.ID, "pay_"),
		Scope: ScopeOf(p.Scope), Amount: p.Amount, Method: p.Method, Reference: p.Reference,
		Network: p.Network, Payer: p.Payer,
	}
	if c.Scope.Method == http.MethodHead {
		c.Scope.Method = http.MethodGet // a HEAD is priced, and opened, as its GET
	}
	switch {
	case pass.Credit:
		c.Use, c.Scope.Method, c.Scope.Target, c.Scope.Digest = Use{Kind: Credit}, Any, Any, Any
		c.Expires = p.SettledAt.Add(pass.For).Truncate(time.Second)
	case pass.Uses > 0:
		c.Use, c.Scope.Digest = Use{Kind: Times, N: pass.Uses}, Any
		switch {
		case pass.For > 0:
			c.Expires = p.SettledAt.Add(pass.For).Truncate(time.Second)
		case !p.DeliveredAt.IsZero():
			// One was issued before. What it counts may be forgotten at its end, which
			// this one must not outlive.
			c.Expires = p.SettledAt.Add(d.Issuer.cfg.TTL).Truncate(time.Second)
		}
	case pass.For > 0:
		c.Use, c.Scope.Digest = Use{Kind: Until, Until: p.SettledAt.Add(pass.For).Truncate(time.Second)}, Any
	default:
		c.Use = Use{Kind: Once}
	}
	token, err = d.Issuer.Issue(c)
	return token, c.ID, err
}

// Bearer implements [payment.Receipts].
func (d Desk) Bearer(h http.Header) (string, bool) { return d.Verifier.Bearer(h) }

// Verify implements [payment.Receipts].
func (d Desk) Verify(token string) (string, error) {
	c, err := d.Verifier.Verify(token)
	return c.PaymentID, err
}

// Redeem implements [payment.Receipts]. A receipt of one use is not counted
// here: the entitlement of its payment is its use.
func (d Desk) Redeem(ctx context.Context, token string, live payment.Scope) (payment.Grant, error) {
	if live.Method == http.MethodHead {
		live.Method = http.MethodGet
	}
	c, err := d.Verifier.VerifyRequest(token, live)
	if err == nil && c.Use.Kind == Once {
		return payment.Grant{PaymentID: c.PaymentID, Collect: true}, nil
	}
	if err == nil && c.Use.Kind == Until {
		return payment.Grant{PaymentID: c.PaymentID}, nil // nothing is counted
	}
	if err == nil && c.Use.Kind == Credit {
		return payment.Grant{PaymentID: c.PaymentID, Credit: true}, nil // what is left decides
	}
	if err == nil {
		c, err = d.Verifier.Redeem(ctx, token, live)
	}
	if err != nil {
		return payment.Grant{}, refusal(err)
	}
	return payment.Grant{PaymentID: c.PaymentID}, nil
}

// refusal is what the bearer of a receipt that opens nothing is told.
func refusal(err error) error {
	for _, known := range []struct {
		err    error
		detail string
	}{
		{ErrExpired, "The receipt has expired."},
		{ErrNotYetValid, "The receipt is not valid yet."},
		{ErrUsedUp, "The receipt is used up."},
		{ErrRevoked, "The payment of this receipt was returned."},
		{ErrScope, "The receipt is for another request."},
		{ErrAudience, "The receipt is for another service."},
	} {
		if errors.Is(err, known.err) {
			return &payment.Error{Kind: payment.KindPaymentRequired, Detail: known.detail, Err: err}
		}
	}
	for _, ours := range []error{ErrMalformed, ErrUnknownKey, ErrSignature, ErrIssuer} {
		if errors.Is(err, ours) {
			return &payment.Error{Kind: payment.KindPaymentRequired, Detail: "The receipt cannot be verified.", Err: err}
		}
	}
	return &payment.Error{Kind: payment.KindInternal, Detail: "The receipt could not be looked up.", RetryAfter: time.Second, Err: err}
}
