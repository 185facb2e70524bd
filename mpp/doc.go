// Package mpp speaks the Payment HTTP authentication scheme (httpauth-payment-01):
// challenges, credentials and receipts on the wire, the binding that makes a
// challenge ours without storing it, and [Protocol], which plugs the scheme into the gate.
//
// What leaves the package is strict; what enters is tolerated exactly where
// deployed clients differ from the draft, and refused everywhere else.
package mpp
