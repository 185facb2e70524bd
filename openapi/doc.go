// Package openapi describes HTTP APIs to agents: it builds the /openapi.json
// and /llms.txt of a priced API from its routes, merged into the API's own
// document where there is one, and holds the description of this server's own
// endpoints ([Own]).
//
// The documents are hints. What a request costs is what its 402 says.
package openapi

import _ "embed" // the description of our own endpoints

//go:embed paywall.json
var own string

// Own returns the OpenAPI 3.1 description of the endpoints that this server adds
// to an API: discovery documents, keys, payments, webhooks and health, and what
// every priced resource may answer.
func Own() []byte { return []byte(own) }
