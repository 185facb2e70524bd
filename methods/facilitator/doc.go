// Package facilitator is the rail for stablecoins: a payer signs a transfer to the
// seller, and a facilitator of the x402 protocol carries it out on the chain.
// [Method] implements [payment.Holder], one for each token on each network.
//
// The payer's authorization is the idempotency key: the token lets it be used once,
// whoever sends it. So repeating a settlement can move no money twice, and the
// question after a lost answer is only who used it. A facilitator's word for "it
// was used before" is therefore never taken for a success; with a node of the
// chain ([Config.Node]) the transfer itself is looked up, and without one a person
// is asked once the authorization has run out.
//
// What is wrong with a credential is found out here, offline, before anybody is
// called: the signature is recovered against the domain of the configured token.
package facilitator
