package builtin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"paywall/internal/config"
	"paywall/mpp"
	"paywall/payment"
)

// Protocols makes the 402 dialects, the preferred one first.
func Protocols(c *config.Config) ([]payment.Protocol, error) {
	keys := []mpp.Key{keyOf(c.Keys.Challenge)}
	for _, previous := range c.Keys.Previous {
		keys = append(keys, keyOf(previous))
	}
	ring, err := mpp.NewKeyRing(keys[0], keys[1:]...)
	if err != nil {
		return nil, fmt.Errorf("keys.challenge: %w", err)
	}
	scheme, err := mpp.New(mpp.Config{
		Keys: ring, TTL: c.Challenge.TTL, SeparateHeader: c.Challenge.SeparateHeader, MaxCredential: int(c.Limits.Credential),
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the field
	}
	return []payment.Protocol{scheme}, nil
}

// keyOf names a secret by a hash of it, so that the id survives rotation
// without being configured and tells nothing.
func keyOf(s config.Secret) mpp.Key {
	sum := sha256.Sum256([]byte("paywall challenge key id\x00" + s.Reveal()))
	return mpp.Key{ID: hex.EncodeToString(sum[:4]), Secret: []byte(s.Reveal())}
}
