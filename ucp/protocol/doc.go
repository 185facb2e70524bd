// Package protocol has the words that all packages of UCP share: versions, names of
// capabilities, faults of the protocol with their statuses, and the contract of a
// payment handler.
package protocol
