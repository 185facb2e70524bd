// Package facilitator is a stateful offline stand-in for an x402 facilitator and
// for the chains it settles on, as far as stablecoin payments need them: exact
// (EIP-3009 and Permit2) and upto (Permit2) on EVM networks, in both versions of
// the protocol.
//
// It is somebody else's server: it has its own EIP-712 and its own tables, or it
// would agree with the product's mistakes. Signatures, recipients, amounts,
// windows, nonces and balances are really checked, and what moved is really
// moved, in memory, behind one mutex: an authorization is executed once or not at
// all, and what happened can be counted. No money moves.
//
//	GET  /facilitator/supported
//	POST /facilitator/verify
//	POST /facilitator/settle
//	GET  /facilitator/discovery/resources
//	POST /rpc/{chainId}                     JSON-RPC of the chain's node
//
// Business refusals are status 200 with isValid or success false and a code of
// the protocol; a body that cannot be read is 400 with the same members.
//
// Every address starts with the same balance and has approved Permit2, so that
// stock clients pay without further ado; see [Server.Fund] for other wishes.
// Blocks come every two seconds of the clock, and at once for a transaction.
package facilitator
