// Package link is a stand-in of the Link wallet for agents: the HTTP interface
// that link-cli speaks, and a page on which a person sees what an agent wants
// to buy and approves or denies it. No money moves: tokens come from a stand-in
// of the processor, and every page says so.
//
// An unmodified link-cli talks to it when LINK_API_BASE_URL and
// LINK_AUTH_BASE_URL both name its address. It logs in by the device flow, or
// takes LINK_ACCESS_TOKEN: besides the tokens it issued, the wallet accepts
// [StaticToken], and [DelegatedToken], which may also file requests that its
// owner approved elsewhere (scope spend_requests:approve).
//
// There is one wallet and one person. Whoever opens the page is that person, so
// the handler belongs on a loopback listener; requests that carry another host
// name, or that a page of another origin sent, do not reach the decisions.
//
// # Paths
//
//   - for agents, bearer: /spend_requests…, /payment-details,
//     /shipping_addresses, /userinfo, /approval_policy, /transactions,
//     /sources, /balances, /agent_observations, /web_bot_auth/sign
//   - for agents, without a token: /device/code, /device/token, /device/revoke,
//     /.well-known/http-message-signatures-directory
//   - for the person: /wallet, /wallet/requests/{id}, /wallet/purchases,
//     /wallet/agents, /device
//   - for scripts and tests: GET /_wallet/requests (with ?history=true for
//     all), POST /_wallet/requests/{id}/approve and …/deny. This is control of
//     the sandbox and not part of Link.
//
// # What is known and what is ours
//
// Statuses, limits, field names and the codes spend_request_rate_limited, 400,
// 404, 409 and 422 follow what link-cli and Link's documentation show. They show
// no code for an amount over a limit and no path for the approval policy; those
// are ours. A second request equal to one that still waits is the duplicate that
// spend_request_rate_limited speaks of.
package link
