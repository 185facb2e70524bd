package wallet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"paywall/money"
)

// Errors of a purchase; test with [errors.Is]. Most come as one of the types
// below, which say more. An http.Client wraps them in a *url.Error.
var (
	// ErrPolicy: the spending policy forbids it. See [PolicyError].
	ErrPolicy = errors.New("forbidden by the spending policy")
	// ErrDenied: a person said no, or withdrew the request.
	ErrDenied = errors.New("denied")
	// ErrExpired: nobody approved in time.
	ErrExpired = errors.New("not approved in time")
	// ErrAction: the wallet wants something from its owner first. See [ActionError].
	ErrAction = errors.New("the wallet needs its owner")
	// ErrNoOffer: nothing on the 402 can be paid from here. See [NoOfferError].
	ErrNoOffer = errors.New("no offer that can be paid")
	// ErrPriceChanged: the second offer was not the first. See [PriceChangedError].
	ErrPriceChanged = errors.New("the offer changed before it was paid")
	// ErrPending: a credential was presented and what became of it is unknown.
	// The same request sent again presents it again. See [PendingError].
	ErrPending = errors.New("the outcome of the payment is unknown")
	// ErrDeclined: the seller refused the credential. See [DeclinedError].
	ErrDeclined = errors.New("payment declined")
	// ErrRedirect: the seller answered a step of a payment with a redirect, which
	// is not followed.
	ErrRedirect = errors.New("redirected during payment")
	// ErrBody: the request body is too large to be sent more than once.
	ErrBody = errors.New("request body is too large to be paid for")
)

// Limit names the part of a policy that was in the way.
type Limit string

// Limits of a policy.
const (
	LimitPayment  Limit = "per payment"
	LimitDay      Limit = "per day"
	LimitHost     Limit = "per host"
	LimitHosts    Limit = "allowed hosts"
	LimitMethods  Limit = "allowed methods"
	LimitCurrency Limit = "currency"
	LimitApproval Limit = "approval"
	LimitPlain    Limit = "plain http"
)

// PolicyError says which limit forbids a payment.
type PolicyError struct {
	Limit Limit
	// Host is set for limits that belong to one.
	Host string
	// Amount is what was asked, Max what is allowed, Spent what counts already;
	// the latter two are invalid where the limit has no number.
	Amount, Max, Spent money.Amount
}

func (e *PolicyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %s", ErrPolicy, e.Limit)
	if e.Host != "" {
		fmt.Fprintf(&b, " for %s", Clean(e.Host, 100))
	}
	if e.Amount.Valid() {
		fmt.Fprintf(&b, ": %s asked", e.Amount)
	}
	if e.Max.Valid() {
		fmt.Fprintf(&b, ", %s allowed", e.Max)
	}
	if e.Spent.Valid() {
		fmt.Fprintf(&b, ", %s spent", e.Spent)
	}
	return b.String()
}

// Unwrap is [ErrPolicy].
func (*PolicyError) Unwrap() error { return ErrPolicy }

// NoOfferError lists what the seller offered and why none of it can be paid.
type NoOfferError struct {
	Offers []Offer
	// Err is why the 402 could not be read; nil when it could.
	Err error
}

func (e *NoOfferError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%v: %v", ErrNoOffer, Clean(e.Err.Error(), 200))
	}
	why := make([]string, 0, 3)
	for i, o := range e.Offers {
		if i == 3 {
			why = append(why, fmt.Sprintf("%d more", len(e.Offers)-i))
			break
		}
		why = append(why, o.Method+"/"+o.Intent+": "+o.Why)
	}
	return fmt.Sprintf("%v: %s", ErrNoOffer, strings.Join(why, "; "))
}

// Unwrap is [ErrNoOffer], and the cause if there is one.
func (e *NoOfferError) Unwrap() []error { return withCause(ErrNoOffer, e.Err) }

// PriceChangedError shows the offer that was agreed to and what came instead.
// Nothing was presented.
type PriceChangedError struct {
	Was Offer
	Now []Offer
}

func (e *PriceChangedError) Error() string {
	for _, o := range e.Now {
		if o.Why == "" {
			return fmt.Sprintf("%v: was %s, now %s", ErrPriceChanged, e.Was.Amount, o.Amount)
		}
	}
	return fmt.Sprintf("%v: was %s, now nothing that can be paid", ErrPriceChanged, e.Was.Amount)
}

// Unwrap is [ErrPriceChanged].
func (*PriceChangedError) Unwrap() error { return ErrPriceChanged }

// PendingError means: come back with the same request, do not pay again.
type PendingError struct {
	// Status is the last answer's, zero when there was none.
	Status int
	// Problem is what the seller said about it.
	Problem Problem
	// RetryAfter is what the seller asked for; zero when it did not.
	RetryAfter time.Duration
	// Amount is what may have been paid.
	Amount money.Amount
	// Err is the last failure to get an answer.
	Err error
}

func (e *PendingError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v (%s)", ErrPending, e.Amount)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": the seller answered %d", e.Status)
	}
	if s := e.Problem.String(); s != "" {
		fmt.Fprintf(&b, ", %s", s)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap is [ErrPending], and the cause if there is one.
func (e *PendingError) Unwrap() []error { return withCause(ErrPending, e.Err) }

// DeclinedError is the seller's refusal of a credential.
type DeclinedError struct {
	Status  int
	Problem Problem
	Amount  money.Amount
	// MaybeCharged is set when an earlier copy of the credential met an unknown
	// outcome and the wallet cannot rule out that it was charged. The journal keeps it
	// then, and the request is not paid a second time before [Transport.Forget].
	MaybeCharged bool
}

func (e *DeclinedError) Error() string {
	s := fmt.Sprintf("%v (%s): the seller answered %d", ErrDeclined, e.Amount, e.Status)
	if p := e.Problem.String(); p != "" {
		s += ", " + p
	}
	if e.MaybeCharged {
		s += "; an earlier copy may have been charged"
	}
	return s
}

// Unwrap is [ErrDeclined].
func (*DeclinedError) Unwrap() error { return ErrDeclined }

func withCause(err, cause error) []error {
	if cause == nil {
		return []error{err}
	}
	return []error{err, cause}
}

// chain joins the parts that say something.
func chain(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}
