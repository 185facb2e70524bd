package payment

import (
	"context"
	"net/http"
	"time"
)

// Pass is what the receipt of a route opens besides the paid request itself: a
// number of further requests, or any number for a time. The zero value opens
// nothing more; its receipt can only collect what was not delivered yet.
type Pass struct {
	// Uses is how many further requests it opens; zero is none, or with For any number.
	Uses int
	// For is how long after settlement; zero, with Uses, is the receipt's own life.
	For time.Duration
	// Credit says that its payment bought a pack: it opens whatever is drawn from there,
	// for as long as For says.
	Credit bool
}

// Receipts issues signed statements of settlements and takes them back as
// bearer tokens. Implementations are safe for concurrent use.
type Receipts interface {
	// Issue signs the receipt of a settled payment. The same payment gives the
	// same receipt id each time. No I/O.
	Issue(p Payment, pass Pass) (token, id string, err error)
	// Bearer returns the receipt in an Authorization field, if it looks like
	// one of ours; other bearer tokens are the upstream's business.
	Bearer(h http.Header) (token string, ok bool)
	// Verify returns the payment that a valid receipt states, whatever request it is for.
	Verify(token string) (paymentID string, err error)
	// Redeem verifies the receipt for the live request and counts its use where
	// uses are counted. Errors are *[Error].
	Redeem(ctx context.Context, token string, live Scope) (Grant, error)
}

// Grant is what a redeemed receipt allows.
type Grant struct {
	PaymentID string
	// Collect says that it opens only what its payment still owes: the request
	// is to be served under that payment, or not at all.
	Collect bool
	// Credit says that the request is to be drawn from the account of PaymentID.
	Credit bool
}
