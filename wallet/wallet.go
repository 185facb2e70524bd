package wallet

import (
	"context"
	"encoding/json"
	"log/slog"

	"paywall/money"
)

// Request asks a wallet for the proof of one payment.
type Request struct {
	// Amount and NetworkID are what the proof must be limited to.
	Amount    money.Amount
	NetworkID string
	// Transfer is set for a payment in a stablecoin; NetworkID is empty then.
	Transfer *Transfer
	// Host is who asks; Description and Context are for the person who approves.
	Host, Description, Context string
	// Approved says that the person was asked here already. A wallet with an
	// approval of its own may still ask.
	Approved bool
	// Test asks for play money.
	Test bool
}

// Proof is what pays, once. Both fields are bearer secrets.
type Proof struct {
	// Payload is the credential's payload, a JSON object.
	Payload json.RawMessage
	// ID is the wallet's own name of it.
	ID Secret
}

// LogValue keeps the proof out of logs.
func (Proof) LogValue() slog.Value { return slog.StringValue(redacted) }

// Wallet makes proofs.
type Wallet interface {
	// Pay returns a proof that can be charged once, by the seller NetworkID, for at
	// most Amount. It blocks until the person has approved. It makes one proof per
	// call and none when it returns an error; a caller that gives up on a proof
	// tells a [Discarder].
	Pay(ctx context.Context, r Request) (Proof, error)
}

// Discarder is a [Wallet] that can make a proof worthless.
type Discarder interface {
	// Discard returns nil only when it is certain that the proof was not charged
	// and cannot be any more.
	Discard(ctx context.Context, id Secret) error
}

// Asker is a [Wallet] that may ask its owner itself. While Asks is true, a payment that
// the policy wants approved can be left to it.
type Asker interface {
	Asks() bool
}

type purposeKey struct{}

// WithPurpose puts into ctx why the payer wants what a request buys, in plain
// words for the person who approves.
func WithPurpose(ctx context.Context, why string) context.Context {
	return context.WithValue(ctx, purposeKey{}, Clean(why, 300))
}

func purpose(ctx context.Context) string {
	s, _ := ctx.Value(purposeKey{}).(string)
	return s
}
