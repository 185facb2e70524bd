package payment

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
)

// sealer keeps intents, which may hold a bearer token, unreadable at rest. The
// payment id is authenticated with them, so that a sealed intent cannot be
// moved to another row.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	if len(key) != 32 {
		return sealer{}, fmt.Errorf("sealing key has %d bytes, want 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("sealing key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("sealing key: %w", err)
	}
	return sealer{aead}, nil
}

func (s sealer) seal(id string, in Intent) ([]byte, error) {
	plain, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode the intent of %s: %w", id, err)
	}
	return s.aead.Seal(nil, nil, plain, []byte(id)), nil //nolint:gosec // this AEAD takes no nonce, it makes a random one
}

func (s sealer) open(p Payment) (Intent, error) {
	if len(p.Intent) == 0 {
		return Intent{}, errors.New("no intent is kept")
	}
	plain, err := s.aead.Open(nil, nil, p.Intent, []byte(p.ID))
	if err != nil {
		return Intent{}, fmt.Errorf("open the intent of %s (was the sealing key changed?): %w", p.ID, err)
	}
	var in Intent
	if err := json.Unmarshal(plain, &in); err != nil {
		return Intent{}, fmt.Errorf("decode the intent of %s: %w", p.ID, err)
	}
	return in, nil
}

// newID returns "pay_" and a version 7 UUID without dashes: sortable by time,
// with 74 random bits.
func newID(ms int64) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("pay_%x", b[:])
}
