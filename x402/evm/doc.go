// Package evm holds what a payment on an Ethereum-like chain is made of: addresses,
// hashes, the typed messages that payers sign (EIP-712), and the signatures over
// them on the curve secp256k1. It is pure: nothing here talks to a chain, reads a
// clock or draws chance by itself.
//
// What it proves is that one key signed exactly one message. Whether that key has
// the money, or has spent it already, only the chain knows.
package evm
