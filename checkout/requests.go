package checkout

import (
	"context"
	"time"
)

// Requests remembers what requests with an idempotency key were answered, for all
// protocols and bindings together. Implementations are durable and atomic per key.
type Requests interface {
	// Begin takes the key for a request with this body hash. [RequestNew]: the
	// caller is to carry it out, and then calls Finish or Forget; until lease nobody
	// else gets it. [RequestRunning]: somebody is at it. [RequestDone]: the answer is
	// returned. [RequestConflict]: the key was used for another body. A record whose
	// keep time is over at now is none.
	Begin(ctx context.Context, k RequestKey, hash string, now, lease time.Time) (Answer, RequestState, error)
	// Finish stores the answer until keep.
	Finish(ctx context.Context, k RequestKey, a Answer, keep time.Time) error
	// Forget gives the key back: the request was not carried out.
	Forget(ctx context.Context, k RequestKey) error
	// EndLeases ends those of all requests that are under way: for the start of the only
	// process of a store, when whoever was at them is gone. Their keys stay taken for
	// their bodies.
	EndLeases(ctx context.Context, now time.Time) error
}

// RequestKey names one request of one caller.
type RequestKey struct{ Caller, Operation, Key string }

// Answer is what is repeated, byte for byte.
type Answer struct {
	Status int
	Body   []byte
}

// RequestState is what [Requests.Begin] found.
type RequestState uint8

// States of a key. The zero value is no success.
const (
	RequestConflict RequestState = iota
	RequestNew
	RequestRunning
	RequestDone
)
