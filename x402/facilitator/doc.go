// Package facilitator is both sides of the x402 facilitator API: GET /supported,
// POST /verify and POST /settle. [Client] calls the facilitators of others for a rail
// that needs them; [Server] lets servers of others settle through this one.
//
// The client makes one attempt per call and judges nothing but form: whether money
// moved is for the rail to say, which knows what it asked for. What the client does
// say is whether a request can have reached anybody, since only then is it certain
// that nothing happened.
package facilitator
