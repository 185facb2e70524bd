// Package receipts issues and verifies signed statements that a payment was
// settled: JWTs of type "receipt+jwt", signed with ES256 or EdDSA.
//
// A receipt says who was paid, for what, how much, through which method, and
// what it still allows its bearer to do ([Use]). Anyone can verify one offline
// from the keys that its issuer publishes ([ParsePublished], [NewVerifier]). The
// issuing server accepts it back as a bearer token, counts its uses and refuses
// it once its payment was refunded ([Verifier.Redeem]).
//
// The claims beside the registered ones include the five members of an x402
// receipt (version, network, resourceUrl, payer, issuedAt), so that one artefact
// serves both machine-payment protocols.
//
// A verifier here is stricter than RFC 7519 asks. The protected header of a
// receipt is a function of its key, so the encoded header is looked up whole in a
// map made from the key ring. No byte of a stranger's header is ever parsed, no
// algorithm is ever negotiated, and no key is ever fetched.
package receipts

// Limits and fixed values of the format.
const (
	// Type is the typ header of every receipt. Tokens of other classes differ in it.
	Type = "receipt+jwt"
	// HeaderField carries a receipt in an HTTP response.
	HeaderField = "Paywall-Receipt"
	// MaxSize is the longest token accepted or issued, in bytes.
	MaxSize = 4096
	// Version is the version claim.
	Version = 1
	// Any in a [Scope] stands for every value. It is always written, never implied.
	Any = "*"
)
