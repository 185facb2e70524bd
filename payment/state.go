package payment

import (
	"fmt"
	"slices"
)

// State is where the money is.
type State string

// States of a payment.
const (
	StatePending    State = "pending"    // intent durable; money may or may not have moved
	StateAuthorized State = "authorized" // held, not taken (rails that can)
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
		{StateAuthorized, DeliveryOpen},
		{StateFailed, DeliveryNone},
		{StateVoided, DeliveryNone},
		{StateReview, DeliveryNone},
	},
	{StateAuthorized, DeliveryOpen}: {
		{StateSettled, DeliveryOpen}, {StateSettled, DeliveryDelivered}, {StateVoided, DeliveryNone}, {StateReview, DeliveryNone},
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
}

// Check reports whether a stored payment may change from one record to the
// other: identity fields fixed, revision one up, epoch not down, state and
// delivery as the table says. Every [Store] calls it in Update.
func Check(from, to Payment) error {
	if from.ID != to.ID || from.ChallengeID != to.ChallengeID || from.Instrument != to.Instrument ||
		from.CredentialHash != to.CredentialHash || from.Scope != to.Scope || from.Amount != to.Amount || from.Key != to.Key {
		return fmt.Errorf("%s: a fixed field changed: %w", from.ID, ErrState)
	}
	if to.Revision != from.Revision+1 || to.Epoch < from.Epoch {
		return fmt.Errorf("%s: revision %d after %d, epoch %d after %d: %w", from.ID, to.Revision, from.Revision, to.Epoch, from.Epoch, ErrConflict)
	}
	a, b := at(from), at(to)
	if a == b {
		return nil
	}
	if slices.Contains(table[a], b) {
		return nil
	}
	return fmt.Errorf("%s: %s/%s to %s/%s: %w", from.ID, a.state, a.delivery, b.state, b.delivery, ErrState)
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
