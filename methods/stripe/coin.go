package stripe

import (
	"errors"
	"fmt"
	"strings"
)

// DefaultCoinVersion is the API version whose deposit addresses and recorded
// transfers of stablecoins this package speaks.
const DefaultCoinVersion = "2026-05-27.preview"

// ErrNetwork is of a network on which the processor takes no stablecoins, or whose
// money is of another mode than the key.
var ErrNetwork = errors.New("no network for stablecoins at the processor")

// CoinConfig is what [Deposits] and a [Recorder] are made of. Rail is required.
type CoinConfig struct {
	// Rail makes the calls, with its key, and on its account.
	Rail *Method
	// APIVersion is sent with them; empty is [DefaultCoinVersion].
	APIVersion string
}

func (c *CoinConfig) check() error {
	if c.APIVersion == "" {
		c.APIVersion = DefaultCoinVersion
	}
	switch {
	case c.Rail == nil:
		return errors.New("stripe: CoinConfig.Rail: it is required")
	case !version(c.APIVersion):
		return fmt.Errorf("stripe: CoinConfig.APIVersion: want a date and a release, like %s", DefaultCoinVersion)
	}
	return nil
}

// The processor's names of networks.
const (
	networkBase   = "base"
	networkTempo  = "tempo"
	networkSolana = "solana"
)

// A chain is a network by the name that everybody else gives it.
type chain struct {
	network string
	live    bool // whether its money is real
}

// chainOf knows the CAIP-2 ids of the processor's networks.
func chainOf(id string) (chain, bool) {
	switch id {
	case "eip155:8453":
		return chain{networkBase, true}, true
	case "eip155:84532":
		return chain{networkBase, false}, true
	case "eip155:4217":
		return chain{networkTempo, true}, true
	case "eip155:42431":
		return chain{networkTempo, false}, true
	case "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp":
		return chain{networkSolana, true}, true
	case "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1":
		return chain{networkSolana, false}, true
	}
	return chain{}, false
}

// network returns the processor's name of a network that is given by that name or
// by its CAIP-2 id. Real money sent to an address of test mode would be lost, and
// play money at a real one would be taken for a payment, so that an id must be of
// the key's mode.
func (m *Method) network(name string) (string, error) {
	switch name {
	case networkBase, networkTempo, networkSolana:
		return name, nil
	}
	c, ok := chainOf(name)
	switch {
	case !ok:
		return "", fmt.Errorf("%.60q: %w; it has base, solana and tempo", name, ErrNetwork)
	case c.live && !m.cfg.Live:
		return "", fmt.Errorf("%s moves real money, and the key is a test key: %w", name, ErrNetwork)
	case !c.live && m.cfg.Live:
		return "", fmt.Errorf("%s is a test network, and the key is live: %w", name, ErrNetwork)
	}
	return c.network, nil
}

const hexDigits = "0123456789abcdef"

// coinAddress returns an address in its one form: in lower case where its letters
// are a checksum only.
func coinAddress(network, s string) (string, bool) {
	if network == networkSolana {
		return s, base58(s, 32, 44)
	}
	s = strings.ToLower(s)
	ok := hexNumber(s, 40)
	return s, ok
}

// transactionID returns the name of a transaction in its one form.
func transactionID(network, s string) (string, bool) {
	if network == networkSolana {
		return s, base58(s, 64, 90)
	}
	s = strings.ToLower(s)
	return s, hexNumber(s, 64)
}

// hexNumber reports whether s is 0x and so many lower-case digits, not all zero.
func hexNumber(s string, digits int) bool {
	rest, ok := strings.CutPrefix(s, "0x")
	return ok && len(rest) == digits && strings.Trim(rest, hexDigits) == "" && strings.Trim(rest, "0") != ""
}

func base58(s string, least, most int) bool {
	const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	return len(s) >= least && len(s) <= most && strings.Trim(s, alphabet) == ""
}
