package payment

import (
	"net/http"
	"time"
)

// Protocol is one 402 dialect. Implementations are immutable and safe for concurrent use.
type Protocol interface {
	// Name labels logs, metrics and stored payments: "mpp", "x402".
	Name() string
	// Presents reports whether the header carries anything that claims to be a
	// credential of this protocol, well-formed or not. It must be cheap.
	Presents(h http.Header) bool
	// Fingerprint is the [Credential.Hash] of the one credential in h, whose
	// binding it does not check: whoever holds a credential may ask after its
	// payment. [ErrNoCredential] when there is none that can be read.
	Fingerprint(h http.Header) (string, error)
	// Compile renders what stays the same for every request that gets these
	// offers. Offers are in the seller's order of preference; those the protocol
	// cannot express are left out, and with none left it returns [ErrNotOffered].
	Compile(realm string, offers []Offer) (Dialect, error)
}

// Dialect is a [Protocol] bound to the offers of one quote. It is immutable and
// safe for concurrent use.
type Dialect interface {
	// Challenge adds the headers that ask for payment of s to h. It stores
	// nothing and reads from r only negotiation headers.
	Challenge(h http.Header, r *http.Request, s Scope, now time.Time) error
	// Credential reads the credential in r and checks it against these offers,
	// the scope and the time, touching neither store nor network. Errors are
	// *[Error]; [ErrNoCredential] when there is none. A credential that is rightly
	// bound to the request but has expired, or answers an offer of the past, is
	// returned beside its error, so that a payment it began can be collected.
	Credential(r *http.Request, s Scope, now time.Time) (Credential, error)
	// Receipt adds the protocol's receipt headers for a settled payment to the
	// header of a successful answer. token is our signed receipt, or empty.
	Receipt(h http.Header, p Payment, token string) error
}

// Explainer is a [Dialect] that says why a credential was refused, and speaks in
// bodies of answers too.
type Explainer interface {
	Dialect

	// Refuse is called instead of Challenge for a credential that this dialect
	// read and e refuses. Of a kind that is [Kind.Unsettled] it must not ask for
	// another payment. status replaces what e.Kind stands for; zero keeps that.
	Refuse(h http.Header, r *http.Request, s Scope, e *Error, now time.Time) (status int, err error)

	// Members are JSON object members, without braces, for the body of a 402:
	// `"x402Version":1,"accepts":[…]`, or nil. e is nil for a request that
	// presented nothing.
	Members(r *http.Request, s Scope, e *Error) []byte
}
