package wallet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	"paywall/money"
	"paywall/x402/evm"
)

// Transfer is a stablecoin payment, as a wallet that holds a key signs it.
type Transfer struct {
	// Asset is one that this package knows: its contract, name and decimals are
	// never the seller's word.
	Asset evm.Asset
	PayTo evm.Address
	// ValidFor is how long the seller may carry it out.
	ValidFor time.Duration
}

// value is what is transferred for an amount, in the token's own units.
func (t *Transfer) value(a money.Amount) (*big.Int, error) {
	exact, err := a.Rescale(t.Asset.Decimals)
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", a, t.Asset.Symbol, err)
	}
	return big.NewInt(exact.Units()), nil
}

// Longest life of an authorization, whatever the seller asks for, and the
// shortest that a seller can work with.
const (
	maxValid = 15 * time.Minute
	minValid = 30 * time.Second
)

// KeyConfig makes a [KeyWallet].
type KeyConfig struct {
	Key evm.Key
	// Networks are the only ones that it pays on (CAIP-2); empty is test networks
	// alone, since a key that may spend real money is said to.
	Networks []string
	// Rand draws nonces; nil is crypto/rand.
	Rand io.Reader
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// KeyWallet is a [Wallet] of stablecoins: it signs transfers (EIP-3009) with a key
// that it holds. It asks nobody; the [Policy] in front of it decides. It is safe
// for concurrent use.
type KeyWallet struct{ cfg KeyConfig }

// Test networks of the assets that are known.
var testNetworks = map[string]bool{
	"eip155:84532": true, "eip155:11155111": true, "eip155:80002": true, "eip155:43113": true,
}

// NewKeyWallet checks c and makes the wallet.
func NewKeyWallet(c KeyConfig) (*KeyWallet, error) {
	if c.Key.Address().IsZero() {
		return nil, errors.New("wallet: KeyConfig.Key is missing")
	}
	for _, n := range c.Networks {
		if _, err := evm.ChainID(n); err != nil {
			return nil, fmt.Errorf("wallet: KeyConfig.Networks: %w", err)
		}
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &KeyWallet{c}, nil
}

// Address is who pays.
func (w *KeyWallet) Address() evm.Address { return w.cfg.Key.Address() }

// Pays reports whether the wallet pays on a network.
func (w *KeyWallet) Pays(network string) bool {
	if len(w.cfg.Networks) == 0 {
		return testNetworks[network]
	}
	return slices.Contains(w.cfg.Networks, network)
}

// Pay implements [Wallet]. What it signed cannot be taken back: until it expires
// the seller may carry it out, so it is no [Discarder].
func (w *KeyWallet) Pay(_ context.Context, r Request) (Proof, error) {
	t := r.Transfer
	if t == nil {
		return Proof{}, errors.New("key: not a payment in a stablecoin")
	}
	if !w.Pays(t.Asset.Network) {
		return Proof{}, fmt.Errorf("key: it does not pay on %s", Clean(t.Asset.Network, 64))
	}
	value, err := t.value(r.Amount)
	if err != nil {
		return Proof{}, err
	}
	if value.Sign() <= 0 || t.PayTo.IsZero() {
		return Proof{}, errors.New("key: nothing to pay, or nobody")
	}
	domain, err := t.Asset.Domain()
	if err != nil {
		return Proof{}, fmt.Errorf("key: %w", err)
	}
	auth := evm.Authorization{
		From: w.Address(), To: t.PayTo, Value: value, ValidAfter: new(big.Int),
		ValidBefore: big.NewInt(w.cfg.Now().Add(min(max(t.ValidFor, minValid), maxValid)).Unix()),
	}
	if _, err := io.ReadFull(w.cfg.Rand, auth.Nonce[:]); err != nil {
		return Proof{}, fmt.Errorf("nonce: %w", err)
	}
	payload, err := json.Marshal(map[string]any{
		"signature": w.cfg.Key.Sign(auth.Digest(domain)).String(),
		"authorization": map[string]string{
			"from": auth.From.Checksum(), "to": auth.To.Checksum(), "value": auth.Value.String(),
			"validAfter": auth.ValidAfter.String(), "validBefore": auth.ValidBefore.String(), "nonce": auth.Nonce.String(),
		},
	})
	if err != nil {
		return Proof{}, fmt.Errorf("proof: %w", err)
	}
	return Proof{Payload: payload, ID: Secret(auth.Nonce.String())}, nil
}
