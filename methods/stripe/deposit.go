package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	sdk "github.com/stripe/stripe-go/v82"
)

const pathDeposits = "/v1/crypto/deposit_addresses"

// metaDeposit marks the addresses that were made here.
const metaDeposit = "paywall_deposit"

// Deposits are the seller's addresses for stablecoins at the processor: one for each
// network, made once and the same for ever after, so that asking for payment needs
// no call. It is safe for concurrent use.
type Deposits struct {
	cfg  CoinConfig
	turn chan struct{} // one asks the processor at a time

	mu    sync.Mutex        // guards known
	known map[string]string // addresses by the processor's name of the network
}

// NewDeposits checks the configuration. No call is made.
func NewDeposits(cfg CoinConfig) (*Deposits, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Deposits{cfg: cfg, turn: make(chan struct{}, 1), known: map[string]string{}}, nil
}

// Address returns the address that is paid on a network, which is named as the
// processor does ("base") or by its CAIP-2 id, whose money must then be of the key's
// mode. The first call looks for an address that exists, and makes one if there is
// none; later calls ask nobody. On networks of the EVM it is in lower case. Errors
// wrap [ErrNetwork] or are *[Error].
func (d *Deposits) Address(ctx context.Context, network string) (string, error) {
	name, err := d.cfg.Rail.network(network)
	if err != nil {
		return "", fmt.Errorf("deposit address: %w", err)
	}
	if address, ok := d.cached(name); ok {
		return address, nil
	}
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return "", &Error{Op: opDeposit, Err: transportCause(ctx.Err())}
	}
	if address, ok := d.cached(name); ok {
		return address, nil // somebody else had the turn before
	}
	address, err := d.find(ctx, name)
	if err == nil && address == "" {
		address, err = d.create(ctx, name)
	}
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known[name] = address
	return address, nil
}

const opDeposit = "deposit address"

func (d *Deposits) cached(network string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	address, ok := d.known[network]
	return address, ok
}

// find returns the address that exists, or "". Of several it takes the oldest that
// was made here, else the oldest: whoever looks, and whenever, finds the same one.
func (d *Deposits) find(ctx context.Context, network string) (string, error) {
	var best depositAddress
	after := ""
	for range maxPages {
		params := &sdk.ListParams{Limit: sdk.Int64(pageSize)}
		if after != "" {
			params.StartingAfter = sdk.String(after)
		}
		a := d.cfg.Rail.send(ctx, d.call(http.MethodGet, ""), query(params)+"&network="+network)
		var list page[depositAddress]
		if !a.read(&list) || !list.sound() || *list.HasMore && len(list.Data) == 0 {
			return "", refusal(a)
		}
		for _, one := range list.Data {
			after = one.ID
			if one.Network != network || one.Customer != "" {
				continue // a customer's own address names the payer, who is not ours to name
			}
			if !d.good(one, network) {
				return "", a.odd()
			}
			if one.before(best) {
				best = one
			}
		}
		if !*list.HasMore {
			address, _ := coinAddress(network, best.Address)
			return address, nil
		}
	}
	return "", &Error{Op: opDeposit, Err: errTooMany}
}

var errTooMany = errors.New("the account has too many addresses to look through")

// create makes the address. The key depends on account and network alone, so that
// two processes at once, or one twice, make the same.
func (d *Deposits) create(ctx context.Context, network string) (string, error) {
	key := "pw1d_" + digest("deposit", d.cfg.Rail.cfg.Account, network)
	a := d.cfg.Rail.send(ctx, d.call(http.MethodPost, key), encode(map[string]string{
		"network": network, "metadata[" + metaDeposit + "]": "true",
	}))
	var one depositAddress
	switch {
	case !a.read(&one):
		return "", refusal(a)
	case one.Network != network || one.Customer != "" || !d.good(one, network):
		return "", a.odd()
	}
	address, _ := coinAddress(network, one.Address)
	return address, nil
}

func (d *Deposits) call(method, key string) call {
	return call{op: opDeposit, method: method, path: pathDeposits, version: d.cfg.APIVersion, account: d.cfg.Rail.cfg.Account, key: key, limit: maxPage}
}

// good reports whether money may be sent there. An answer of the other mode, or with
// something that is no address, must not become one that payers see.
func (d *Deposits) good(one depositAddress, network string) bool {
	_, ok := coinAddress(network, one.Address)
	return ok && word(one.ID, 255) && one.Livemode != nil && *one.Livemode == d.cfg.Rail.cfg.Live
}

// refusal is the cause of an answer that is not the one asked for.
func refusal(a answer) *Error {
	if a.ok() {
		return a.odd()
	}
	return a.cause()
}

type depositAddress struct {
	ID       string            `json:"id"`
	Address  string            `json:"address"`
	Network  string            `json:"network"`
	Customer reference         `json:"customer"`
	Livemode *bool             `json:"livemode"`
	Created  int64             `json:"created"`
	Metadata map[string]string `json:"metadata"`
}

func (a depositAddress) before(b depositAddress) bool {
	ours, theirs := a.Metadata[metaDeposit] == "true", b.Metadata[metaDeposit] == "true"
	switch {
	case b.ID == "":
		return true
	case ours != theirs:
		return ours
	case a.Created != b.Created:
		return a.Created < b.Created
	}
	return a.ID < b.ID
}
