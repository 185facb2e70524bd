package payment

import (
	"net/http"
	"time"
)

// SignIn is a [Dialect] whose payers can come back without paying, by proving who
// they are.
type SignIn interface {
	Dialect

	// SignedIn reads the proof in r, made for s, touching neither store nor network.
	// Its nonce is one of ours; whether it was used is the caller's to know. Errors are
	// *[Error], and [ErrNoCredential] when there is no proof.
	SignedIn(r *http.Request, s Scope, now time.Time) (Visitor, error)
}

// Visitor is somebody who has proved a name.
type Visitor struct {
	// Payer is the name, of the form of [Payment.Payer].
	Payer string
	// Nonce makes the proof good once, until it Expires.
	Nonce   string
	Expires time.Time
}
