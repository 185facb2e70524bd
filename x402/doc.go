// Package x402 speaks the x402 payment protocol in its versions 2 and 1: the types
// on the wire and their encodings, the transports for MCP and A2A, and [Protocol],
// which plugs the protocol into the gate.
//
// Version 2 lives in headers, version 1 in the body of a 402, so that one answer
// serves clients of both. What leaves the package is strict. What enters may be
// spelled in the ways that deployed clients spell it, and is otherwise held to the
// server's own entry, letter for letter: nothing is ever charged by what a payer
// says the price was.
package x402
