package payment

import (
	"context"
	"time"
)

// Store keeps payments, ledger entries and events. Implementations are
// serializable per payment, durable on return, and bound their own blocking;
// the caller passes a context that does not end with a client's connection.
// Every implementation passes paymenttest.RunStore.
type Store interface {
	// Claim inserts a payment in [StatePending] with its intent, or returns
	// [ErrChallengeUsed], [ErrInstrumentUsed] (by a payment whose state is Live;
	// the challenge is looked at first) or [ErrPaused]. The insert against
	// unique indexes decides; a query-then-insert would let two copies of one
	// credential both win.
	Claim(ctx context.Context, p Payment) error

	// Update replaces the stored payment whose revision is p.Revision-1 and
	// appends entries and events, all or nothing. It returns [ErrConflict] when
	// the stored revision differs and [ErrState] when [Check] refuses. An entry whose
	// (payment, kind) exists is ErrConflict too.
	Update(ctx context.Context, p Payment, entries []Entry, events []Event) error

	// Get and ByChallenge and ByInstrument return [ErrNotFound] when there is none.
	// ByInstrument finds the one payment that holds the instrument.
	Get(ctx context.Context, id string) (Payment, error)
	ByChallenge(ctx context.Context, challengeID string) (Payment, error)
	ByInstrument(ctx context.Context, fingerprint string) (Payment, error)
	// ByReference finds a payment by method and the rail's reference of its charge.
	ByReference(ctx context.Context, method, reference string) (Payment, error)

	// Due returns up to limit payments that need work at now, oldest first, all
	// with a lease that is over: pending, authorized and refunding ones, settled
	// ones that are dispatched, and settled open ones whose window is over.
	Due(ctx context.Context, now time.Time, limit int) ([]Payment, error)

	// List returns up to limit payments after the cursor (an id; empty is the
	// start), newest first.
	List(ctx context.Context, f Filter, after string, limit int) ([]Payment, error)

	// Entries returns the ledger in order of writing from position after (0 is
	// the start), with the position of each.
	Entries(ctx context.Context, after int64, limit int) ([]PositionedEntry, error)
	// Events returns the outbox from position after, oldest first.
	Events(ctx context.Context, after int64, limit int) ([]PositionedEvent, error)

	// Setting and SetSetting keep small named values: "" when unset. The
	// setting [SettingPaused] is read inside Claim; any value but "" pauses.
	Setting(ctx context.Context, name string) (string, error)
	SetSetting(ctx context.Context, name, value string) error

	// Seen records an inbound event id once for ever and reports whether it was
	// new. It is used to drop repeated webhooks.
	Seen(ctx context.Context, source, eventID string, at time.Time) (bool, error)
}

// Settings that the core uses.
const (
	SettingPaused = "settlement.paused" // reason; empty is running
	SettingClock  = "clock.high_water"  // RFC 3339 time that now is never behind
)

// Filter narrows [Store.List]; zero fields do not.
type Filter struct {
	State    State
	Delivery Delivery
	Route    string
	// Payer is [Payment.Payer]; a payment of nobody is found by no name.
	Payer string
}

// PositionedEntry is an entry with its place in the ledger, from 1.
type PositionedEntry struct {
	Position int64
	Entry
}

// PositionedEvent is an event with its place in the outbox, from 1.
type PositionedEvent struct {
	Position int64
	Event
}
