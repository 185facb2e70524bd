package receipts

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Published are the keys of one issuer as anyone may read them.
type Published struct {
	// DID is the issuer, Host the host it stands for. Both are only what the
	// document says: they are worth what the place it was taken from is worth.
	DID, Host string
	// Keys verify and have no end.
	Keys *KeyRing
}

const maxPublished = 256 << 10

// ParsePublished reads a JWK Set (RFC 7517) or a did:web document and takes the
// P-256 and Ed25519 keys whose ids have the form did:web:<host>#<key>; other kinds
// of key are skipped. Ids of several hosts, an id that occurs twice, a private
// or symmetric member, or no usable key at all are [ErrKey].
func ParsePublished(data []byte) (Published, error) {
	if len(data) > maxPublished {
		return Published{}, fmt.Errorf("more than %d bytes: %w", maxPublished, ErrKey)
	}
	if err := checkJSON(data); err != nil {
		return Published{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	var doc struct {
		ID      string            `json:"id"`
		Keys    []json.RawMessage `json:"keys"`
		Methods []struct {
			ID  string          `json:"id"`
			JWK json.RawMessage `json:"publicKeyJwk"`
		} `json:"verificationMethod"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return Published{}, fmt.Errorf("not a key set or DID document: %w", ErrKey)
	}
	b := publishedBuilder{did: doc.ID}
	for _, raw := range doc.Keys {
		if err := b.add("", raw); err != nil {
			return Published{}, err
		}
	}
	for _, m := range doc.Methods {
		if len(m.JWK) == 0 {
			continue
		}
		if err := b.add(m.ID, m.JWK); err != nil {
			return Published{}, err
		}
	}
	return b.build()
}

type publishedBuilder struct {
	did  string
	keys []Key
}

func (b *publishedBuilder) add(id string, raw json.RawMessage) error {
	var members map[string]json.RawMessage
	var j jwk
	if json.Unmarshal(raw, &members) != nil || json.Unmarshal(raw, &j) != nil {
		return fmt.Errorf("not a JWK: %w", ErrKey)
	}
	for _, private := range [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, found := members[private]; found {
			return fmt.Errorf("a published key holds the private member %q: %w", private, ErrKey)
		}
	}
	if id == "" {
		id = j.KeyID
	}
	did, fragment, _ := strings.Cut(id, "#")
	if _, ok := hostOf(did); !ok || !validKeyID(fragment) {
		return nil
	}
	k, ok, err := j.parse(fragment)
	if err != nil || !ok {
		return err
	}
	if b.did == "" {
		b.did = did
	}
	if did != b.did {
		return fmt.Errorf("keys of more than one issuer: %w", ErrKey)
	}
	b.keys = append(b.keys, k)
	return nil
}

func (b *publishedBuilder) build() (Published, error) {
	host, ok := hostOf(b.did)
	if !ok || len(b.keys) == 0 {
		return Published{}, fmt.Errorf("no key for receipts: %w", ErrKey)
	}
	ring, err := NewKeyRing(b.keys...)
	if err != nil {
		return Published{}, err
	}
	return Published{DID: b.did, Host: host, Keys: ring}, nil
}
