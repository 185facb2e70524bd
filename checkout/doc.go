// Package checkout is a shop for agents, whatever protocol they speak: carts,
// sessions with exact totals, stock that is held while somebody buys, payment
// through the payment core, and orders.
//
// A protocol's adapter decodes a request into a [Desired] state, calls a [Service],
// and encodes the [Session] or [Order] that comes back. All money is decided here,
// from a [Shop]: a price, title or total that a client sends is not even read.
//
// Completing charges the total that was shown last, or nothing. The order is the
// delivery of its payment: it is stored before the payment is recorded as
// delivered, and a payment that finds no order in time is refunded.
package checkout
