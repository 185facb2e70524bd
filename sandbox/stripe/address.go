package stripe

import (
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/sha3"
)

// Versions from which previews exist.
const (
	sinceTokens    = "2025" // any
	sinceDeposit   = "2026-01-28"
	sinceAddresses = "2026-05-27"
)

// coinNetworks are those that the processor names, and those of them that exist here.
var (
	coinNetworks  = []string{"base", "solana", "tempo"}
	chainNetworks = []string{"base"}
)

// usdc are the contracts of the USD Coin by network: first that of the main
// network, then that of its test network, whose play money counts in here.
var usdc = map[string][]string{
	"base": {"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "0x036CbD53842c5426634e7929541eC2318f3dCF7e"},
}

// perCent is how many of its smallest units make a cent.
const perCent = 10_000

func tokensOn(network string) []object {
	var tokens []object
	for _, contract := range usdc[network] {
		tokens = append(tokens, object{"token_currency": "usdc", "token_contract_address": contract})
	}
	return tokens
}

// A depositAddress receives stablecoins for a seller, as often as it likes.
type depositAddress struct {
	id       string
	created  time.Time
	network  string
	address  string
	customer string
	metadata map[string]string
}

func (d *depositAddress) ident() string   { return d.id }
func (d *depositAddress) born() time.Time { return d.created }

func (d *depositAddress) render() object {
	return object{
		"id": d.id, "object": "crypto.deposit_address", "address": d.address, "network": d.network, "supported_tokens": tokensOn(d.network),
		"customer": orNull(d.customer), "livemode": false, "created": d.created.Unix(), "metadata": notes(d.metadata),
	}
}

// addressFor derives an address on a chain from an identifier, written with the
// checksum of EIP-55, as the processor writes them.
func addressFor(id string) string {
	sum := sha256.Sum256([]byte(id))
	letters := []byte(hex.EncodeToString(sum[:20]))
	h := sha3.NewLegacyKeccak256()
	h.Write(letters)
	check := h.Sum(nil)
	for i, c := range letters {
		if c >= 'a' && check[i/2]>>(4*(1-i%2))&8 != 0 {
			letters[i] = c - 'a' + 'A'
		}
	}
	return "0x" + string(letters)
}

// coinNetwork reads a network that exists here.
func coinNetwork(p params, name string) string {
	v := p.one(name, coinNetworks...)
	if v != "" && !slices.Contains(chainNetworks, v) {
		p.fail(invalid("", p.name(name), "The network %s is not part of the sandbox; it has %s.", v, strings.Join(chainNetworks, ", ")))
	}
	return v
}

func (s *Server) createAddress(c *call) (object, error) {
	d := &depositAddress{created: c.now, network: coinNetwork(*c.params, "network"), customer: c.str("customer"), metadata: c.metadata("metadata", nil)}
	if !c.has("network") {
		c.missing("network")
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if d.customer != "" {
		if _, ok := c.account.customers.get(d.customer); !ok {
			return nil, refused("resource_missing", "customer", "No such customer: '%.100s'", d.customer)
		}
	}
	d.id = s.newID("cda")
	d.address = addressFor(d.id)
	c.account.addresses.add(d)
	return d.render(), nil
}

func (s *Server) retrieveAddress(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	d, ok := c.account.addresses.get(c.id)
	if !ok {
		return nil, noSuch("crypto deposit address", "id", c.id)
	}
	return d.render(), nil
}

func (s *Server) listAddresses(c *call) (object, error) {
	g, network, address, customer := c.page(), c.one("network", coinNetworks...), c.str("address"), c.str("customer")
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, more, err := cut(&c.account.addresses, g, "crypto deposit address", func(d *depositAddress) bool {
		return (network == "" || d.network == network) && (customer == "" || d.customer == customer) && (address == "" || strings.EqualFold(d.address, address))
	})
	if err != nil {
		return nil, err
	}
	return listOf(found, more, "/v1/crypto/deposit_addresses", (*depositAddress).render), nil
}

// income is what a seller's deposit addresses on a network received of the USD Coin.
func (s *Server) income(a *account, network string) []ChainTransfer {
	var all []ChainTransfer
	for _, d := range a.addresses.list {
		if d.network != network {
			continue
		}
		all = append(all, s.received(network, d.address)...)
	}
	return all
}

func (s *Server) received(network, address string) []ChainTransfer {
	return slices.DeleteFunc(s.chain.Received(network, strings.ToLower(address)), func(t ChainTransfer) bool {
		return !slices.ContainsFunc(usdc[network], func(contract string) bool { return strings.EqualFold(contract, t.Contract) })
	})
}

// cents is a sum of transfers in whole cents; what is less than one waits for more.
func cents(transfers []ChainTransfer) int64 {
	sum := new(big.Int)
	for _, t := range transfers {
		sum.Add(sum, t.Units)
	}
	if sum.Quo(sum, big.NewInt(perCent)); !sum.IsInt64() {
		return 1<<63 - 1
	}
	return sum.Int64()
}
