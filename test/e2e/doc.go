// Package e2e tests the built binary from outside, as those who run it meet it:
// its commands and exit codes, a kill at every crash point and at random ones
// under load, what may not leak, and the commands that the documentation shows.
//
// Payments are made against `paywall sandbox`, whose audit says what was really
// charged. Nothing but loopback is used.
package e2e
