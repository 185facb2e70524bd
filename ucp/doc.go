// Package ucp serves a shop over the Universal Commerce Protocol: catalog, carts,
// checkouts and orders, over REST and MCP, in every version of [protocol.Versions].
//
// A request is read in one order whatever its binding: who calls and what was
// negotiated, what it was answered before, and only then what it asks for. Outcomes of
// business are answers with status 200; faults of the protocol have a status and a
// short body (overview, "error handling").
package ucp
