// Package stripe is a stateful offline stand-in for the card processor's HTTP
// API, as far as machine payments use it: shared payment tokens, payment
// intents, charges, refunds, disputes, events and signed webhooks, and stablecoins
// at deposit addresses on a [Chain] that somebody else keeps.
//
// It is somebody else's server: it shares no code with the product, or both
// would agree on the same mistake. Everything lives in memory behind one mutex,
// so that a call either happened or did not, and what happened can be counted.
// No money moves. Live keys are refused before a body is read.
//
// Time passes only when the server is looked at: what is due (late balance
// entries, pending refunds, expiring tokens) happens at the beginning of the
// next call, or in [Server.Wake].
package stripe
