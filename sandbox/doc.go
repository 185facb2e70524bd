// Package sandbox is one process of stand-ins, so that the whole of paywall runs
// without an account, a network or money: the card processor ([paywall/sandbox/stripe]),
// the buyer's wallet ([paywall/sandbox/link]), a facilitator of stablecoins with its
// chains ([paywall/sandbox/facilitator]), and whatever else is mounted.
//
// Below /_sandbox/ lies a control plane: faults to order, an audit of what really
// happened, and a clock to put forward. It is the oracle of tests: what the audit
// says was charged was charged.
//
//	POST   /_sandbox/faults          order a [Fault]
//	GET    /_sandbox/faults          those that are in force
//	DELETE /_sandbox/faults[/{id}]   no more of them
//	GET    /_sandbox/audit           every call, charge, refund and token
//	GET    /_sandbox/clock           the time in here
//	POST   /_sandbox/clock           {"advance_seconds": 60} or {"advance": "24h"}
//	POST   /_sandbox/disputes        {"charge": "ch_…", "reason": "fraudulent"}
//	POST   /_sandbox/events/{id}/resend
//	POST   /_sandbox/fund            {"network": "eip155:84532", "address": "0x…", "units": "5000000"}
//	POST   /_sandbox/cancel          {"network": "eip155:84532", "address": "0x…", "nonce": "0x…"}
//	POST   /_sandbox/facilitator     {"repeat": "stored"} or {"repeat": "refused"}
//	POST   /_sandbox/reset           forget everything
//
// No money moves. It listens on loopback only and refuses live keys.
package sandbox
