package stripe

import (
	"math/big"
	"time"
)

// A Chain is what the processor sees of the networks that stablecoins move on. It
// is asked under the processor's mutex, so it must not call the processor back
// before it has answered.
type Chain interface {
	// Received lists the transfers to an address on a network, oldest first, by the
	// processor's name for it: base.
	Received(network, address string) []ChainTransfer
}

// A ChainTransfer is a transfer of one token to an address.
type ChainTransfer struct {
	Hash, From, To string
	Contract       string   // of the token
	Units          *big.Int // of its smallest unit
	At             time.Time
}

// noChain is one on which nothing happens.
type noChain struct{}

func (noChain) Received(string, string) []ChainTransfer { return nil }
