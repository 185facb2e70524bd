package payment

import (
	"fmt"
	"slices"

	"paywall/money"
)

// State is where the money is.
type State string

// States of a payment.
const (
	StatePending    State = "pending"    // intent durable; money may or may not have moved
	StateAuthorized State = "authorized" // held, and what was used of it is being taken
	StateSettled    State = "settled"    // taken, amounts agree
	StateFailed     State = "failed"     // the rail said definitively no
	StateVoided     State = "voided"     // proved that no charge can exist
	StateReview     State = "review"     // contradiction, or no answer within the window
	StateRefunding  State = "refunding"  // to be returned, intent durable
	StateRefunded   State = "refunded"
	StateCredited   State = "credited"
)

// Delivery is where the goods are.
type Delivery string

// Deliveries of a payment.
const (
	DeliveryNone       Delivery = "none"       // nothing is owed
	DeliveryOpen       Delivery = "open"       // an entitlement to be served
	DeliveryDispatched Delivery = "dispatched" // handed to the upstream
	DeliveryDelivered  Delivery = "delivered"
)

type position struct {
	state    State
	delivery Delivery
}

func at(p Payment) position { return position{p.State, p.Delivery} }

// table is the one list of allowed changes. A change that keeps both (a lease,
// an attempt, a flag) is allowed in every position.
var table = map[position][]position{
	{StatePending, DeliveryNone}: {
		{StateSettled, DeliveryOpen},
		{StateFailed, DeliveryNone},
		{StateVoided, DeliveryNone},
		{StateReview, DeliveryNone},
		// Found charged, and paid back already by somebody at the rail: there was never
		// anything to deliver.
		{StateRefunded, DeliveryNone},
	},
	{StateSettled, DeliveryOpen}: {
		{StateSettled, DeliveryDispatched}, {StateSettled, DeliveryDelivered}, {StateRefunding, DeliveryNone},
	},
	{StateSettled, DeliveryDispatched}: {
		{StateSettled, DeliveryDelivered}, {StateSettled, DeliveryOpen}, {StateRefunding, DeliveryNone},
	},
	{StateSettled, DeliveryDelivered}: {{StateRefunding, DeliveryDelivered}},
	{StateRefunding, DeliveryNone}:    {{StateRefunded, DeliveryNone}, {StateCredited, DeliveryNone}, {StateReview, DeliveryNone}},
	{StateRefunding, DeliveryDelivered}: {
		{StateRefunded, DeliveryDelivered}, {StateCredited, DeliveryDelivered}, {StateReview, DeliveryDelivered},
	},
	// A person, or the rail's own late word, resolves a review.
	{StateReview, DeliveryNone}: {
		{StateSettled, DeliveryOpen}, {StateFailed, DeliveryNone}, {StateVoided, DeliveryNone}, {StateRefunding, DeliveryNone}, {StateRefunded, DeliveryNone},
	},
	{StateReview, DeliveryDelivered}: {{StateRefunding, DeliveryDelivered}, {StateRefunded, DeliveryDelivered}},
	// A refund that the payer's bank sent back is owed again, and a person finds the way.
	{StateRefunded, DeliveryNone}:      {{StateReview, DeliveryNone}},
	{StateRefunded, DeliveryDelivered}: {{StateReview, DeliveryDelivered}},
}

// heldTable is what held payments may do besides. Their request runs before their
// money is taken, so that they may be settled with it dispatched.
var heldTable = map[position][]position{
	{StatePending, DeliveryNone}: {{StateAuthorized, DeliveryOpen}, {StateSettled, DeliveryDispatched}},
	{StateAuthorized, DeliveryOpen}: {
		{StateSettled, DeliveryOpen},
		{StateSettled, DeliveryDispatched},
		// The rail takes back its promise: whoever has made the answer discards it.
		{StateFailed, DeliveryNone},
		{StateVoided, DeliveryNone},
		{StateReview, DeliveryNone},
		{StateRefunded, DeliveryNone},
	},
	{StateReview, DeliveryNone}: {{StateSettled, DeliveryDispatched}},
}

// Check reports whether a stored payment may change from one record to the
// other: identity fields fixed, revision one up, epoch not down, state and
// delivery as the table says. The amount is fixed too, but for a held payment's
// when its capture begins: it may take less than was promised. Every [Store]
// calls it in Update.
func Check(from, to Payment) error {
	if from.ID != to.ID || from.ChallengeID != to.ChallengeID || from.Instrument != to.Instrument ||
		from.CredentialHash != to.CredentialHash || from.Scope != to.Scope || from.Key != to.Key ||
		from.Payer != to.Payer || from.Network != to.Network || from.Held != to.Held || from.Pack != to.Pack {
		return fmt.Errorf("%s: a fixed field changed: %w", from.ID, ErrState)
	}
	if from.Amount != to.Amount && !lowers(from, to) {
		return fmt.Errorf("%s: the amount changed from %s to %s: %w", from.ID, from.Amount, to.Amount, ErrState)
	}
	if to.Revision != from.Revision+1 || to.Epoch < from.Epoch {
		return fmt.Errorf("%s: revision %d after %d, epoch %d after %d: %w", from.ID, to.Revision, from.Revision, to.Epoch, from.Epoch, ErrConflict)
	}
	a, b := at(from), at(to)
	if a == b {
		return nil
	}
	if slices.Contains(table[a], b) || from.Held && slices.Contains(heldTable[a], b) {
		return nil
	}
	return fmt.Errorf("%s: %s/%s to %s/%s: %w", from.ID, a.state, a.delivery, b.state, b.delivery, ErrState)
}

// lowers reports whether the change is the beginning of a capture of less than
// what was held.
func lowers(from, to Payment) bool {
	if !from.Held || from.State != StatePending || to.State != StateAuthorized || !to.Amount.IsPositive() {
		return false
	}
	return within(to.Amount, from.Amount)
}

// within reports whether a is at most b, in the same minor units.
func within(a, b money.Amount) bool {
	return a.Currency() == b.Currency() && a.Scale() == b.Scale() && a.Units() <= b.Units()
}

// Live reports whether the state holds its instrument: no other payment may use it.
func (s State) Live() bool { return s != StateFailed && s != StateVoided }

// Terminal reports whether nothing more happens by itself.
func (p Payment) Terminal() bool {
	switch p.State {
	case StateFailed, StateVoided, StateRefunded, StateCredited, StateReview:
		return true
	case StateSettled:
		return p.Delivery == DeliveryDelivered
	case StatePending, StateAuthorized, StateRefunding:
		return false
	}
	return false
}
