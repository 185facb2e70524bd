// Package gate puts a price on HTTP requests: it quotes, challenges with 402,
// verifies, settles through a [payment.Processor], serves, and adds receipts.
//
// A [Gate] holds what all priced routes share. [Gate.Handle] wraps one handler;
// [Gate.Router] compiles a table of routes that fails closed. Every request is
// read once into a canonical form (internal/canonical) that is what routes
// match, what a payment buys and what the handler gets.
//
// Nothing of a priced answer leaves before its payment is settled, and an
// unpaid or forged request causes no write and no call. Whether the money is taken
// before the handler is asked or for the answer that it has made is said by
// [Route.Settle]; in the second case a handler that fails costs nothing.
package gate
