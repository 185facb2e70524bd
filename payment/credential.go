package payment

import (
	"encoding/json"
	"log/slog"
	"time"
)

// Credential is the payer's answer to one [Offer], after the protocol has
// checked that the offer is ours, unexpired and for the live request. Offer is
// the server's own copy, never the payer's echo.
type Credential struct {
	// Protocol is the [Protocol.Name] that read it.
	Protocol string
	// ChallengeID names the challenge; it pays at most once, ever.
	ChallengeID string
	Offer       Offer
	Scope       Scope
	// Payload is the proof for the rail as canonical JSON. It is a bearer secret.
	Payload json.RawMessage
	// Hash is the unpadded base64url SHA-256 of the parsed credential in
	// canonical form: two spellings of one credential have one hash.
	Hash string
	// Payer is the payer's public name at the offer's network, such as an address,
	// as the protocol has proved it; empty when nobody says.
	Payer string
	// Key is the payer's own name of the payment, or empty. It counts as an idempotency
	// key of this payer: a second payment under it, for the same request and terms, is
	// answered as the first, and one for another is refused.
	Key string
	// Public says that everybody who reads the network can rebuild the credential once
	// its payment has settled: it proves then that somebody has paid, and not who.
	Public bool
	// Expires is when the challenge ends. A claim made before it completes after it.
	Expires time.Time
}

// LogValue keeps the proof out of logs.
func (c Credential) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("protocol", c.Protocol),
		slog.String("method", c.Offer.Method),
		slog.String("route", c.Scope.Route),
	)
}

// Instrument is the parsed proof of a credential.
type Instrument struct {
	// Fingerprint identifies what is spent, across challenges and protocols:
	// a hash of the token, or of payer, nonce, asset and network. It is made
	// from parsed fields, so that extra members cannot evade it.
	Fingerprint string
}
