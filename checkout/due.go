package checkout

import "paywall/payment"

// Due is what a session asks to be paid now, for whoever makes a credential of an
// instrument. It is bound to the session, the attempt and the total: a proof for
// one attempt is good for no other.
type Due struct {
	Session Session
	Quote   payment.Quote
	Scope   payment.Scope
	// Challenge is the id for instruments that answer no challenge of their own.
	Challenge string
}

// Route is the route id of payments for orders, in [payment.Scope] and ledgers.
const Route = "checkout"
