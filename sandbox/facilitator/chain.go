package facilitator

import (
	"cmp"
	"math/big"
	"slices"
	"time"
)

// secondsPerBlock is how often a block comes when nothing happens.
const secondsPerBlock = 2

// firstBlock is the height at which anything can happen. The blocks before it are
// there, as those of a chain that is in use, and empty.
const firstBlock = 10_000_000

// A chain is one network's ledger. Its owner's mutex guards it.
type chain struct {
	id     uint64
	name   string // CAIP-2
	tokens []*token
	start  *big.Int // what an address has before anything happened to it

	blocks      []block // those that hold a transaction, and the first
	byHash      map[word]*transaction
	balances    map[holding]*big.Int
	allowances  map[holding]*big.Int // of Permit2
	nonces      map[nonceOf]uint64   // of EIP-3009, used or cancelled: the block
	permits     map[permitOf]uint64  // of Permit2: the block
	transfers   []*Transfer
	settlements map[word]*settlement // by digest
}

type holding struct{ token, owner address }

type nonceOf struct {
	token, owner address
	nonce        word
}

type permitOf struct {
	owner address
	nonce word
}

type block struct {
	number uint64
	at     int64 // seconds
	tx     *transaction
}

// A transaction is alone in its block.
type transaction struct {
	hash     word
	block    uint64
	at       time.Time
	from, to address
	ok       bool
	logs     []event
}

// An event is what a contract tells the world.
type event struct {
	contract address
	topics   []word
	data     []byte
}

// A Transfer is money that moved.
type Transfer struct {
	At          time.Time `json:"at"`
	Network     string    `json:"network"`
	Asset       string    `json:"asset"` // the contract
	From        string    `json:"from"`
	To          string    `json:"to"`
	Units       string    `json:"units"` // decimal, of the smallest unit
	Transaction string    `json:"transaction"`
	Block       uint64    `json:"block"`

	units *big.Int
}

// Amount is Units as a number of the caller's own.
func (t Transfer) Amount() *big.Int { return new(big.Int).Set(t.units) }

func newChain(id uint64, tokens []*token, start *big.Int, now time.Time) *chain {
	return &chain{
		id: id, name: tokens[0].Network, tokens: tokens, start: start,
		blocks:      []block{{number: firstBlock, at: now.Unix()}},
		byHash:      make(map[word]*transaction),
		balances:    make(map[holding]*big.Int),
		allowances:  make(map[holding]*big.Int),
		nonces:      make(map[nonceOf]uint64),
		permits:     make(map[permitOf]uint64),
		settlements: make(map[word]*settlement),
	}
}

func (c *chain) token(contract address) *token {
	for _, t := range c.tokens {
		if t.contract == contract {
			return t
		}
	}
	return nil
}

func (c *chain) balance(h holding) *big.Int {
	if b := c.balances[h]; b != nil {
		return b
	}
	return c.start
}

// unlimited is an allowance that is never used up.
var unlimited = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))

func (c *chain) allowance(h holding) *big.Int {
	if a := c.allowances[h]; a != nil {
		return a
	}
	return unlimited
}

// spend lowers the allowance of Permit2.
func (c *chain) spend(h holding, units *big.Int) {
	if a := c.allowance(h); a.Cmp(unlimited) != 0 {
		c.allowances[h] = new(big.Int).Sub(a, units)
	}
}

// head is the newest block that there is at a time.
func (c *chain) head(at time.Time) block {
	i, found := slices.BinarySearchFunc(c.blocks, at.Unix(), func(b block, at int64) int { return cmp.Compare(b.at, at) })
	if found { // the last of those of one second
		for i+1 < len(c.blocks) && c.blocks[i+1].at == at.Unix() {
			i++
		}
		return c.blocks[i]
	}
	if i == 0 {
		first := c.blocks[0]
		back := (first.at - at.Unix() + secondsPerBlock - 1) / secondsPerBlock
		return c.before(uint64(max(int64(first.number)-back, 0)))
	}
	last := c.blocks[i-1]
	empty := (at.Unix() - last.at) / secondsPerBlock
	if i < len(c.blocks) {
		empty = min(empty, int64(c.blocks[i].number-last.number)-1)
	}
	return block{number: last.number + uint64(empty), at: last.at + empty*secondsPerBlock}
}

// before is a block from before the first.
func (c *chain) before(number uint64) block {
	first := c.blocks[0]
	return block{number: number, at: max(first.at-int64(first.number-number)*secondsPerBlock, 0)}
}

// find is the block of a number, if it is not newer than the head.
func (c *chain) find(number uint64, now time.Time) (block, bool) {
	switch {
	case number > c.head(now).number:
		return block{}, false
	case number < firstBlock:
		return c.before(number), true
	}
	i, found := slices.BinarySearchFunc(c.blocks, number, func(b block, n uint64) int { return cmp.Compare(b.number, n) })
	if found {
		return c.blocks[i], true
	}
	last := c.blocks[i-1]
	return block{number: number, at: last.at + int64(number-last.number)*secondsPerBlock}, true
}

func (c *chain) blockHash(number uint64) word {
	id, n := wordOfUint(c.id), wordOfUint(number)
	return keccak([]byte("sandbox block"), id[:], n[:])
}

// mine puts a transaction into the next block.
func (c *chain) mine(tx *transaction, at time.Time) {
	if last := c.blocks[len(c.blocks)-1]; at.Unix() < last.at {
		at = time.Unix(last.at, 0) // time on a chain does not run back
	}
	tx.block, tx.at = c.head(at).number+1, at.UTC()
	c.blocks = append(c.blocks, block{number: tx.block, at: at.Unix(), tx: tx})
	c.byHash[tx.hash] = tx
}

// Topics of the events.
var (
	topicTransfer  = keccak([]byte("Transfer(address,address,uint256)"))
	topicUsed      = keccak([]byte("AuthorizationUsed(address,bytes32)"))
	topicCancelled = keccak([]byte("AuthorizationCanceled(address,bytes32)"))
)

// move moves units in a transaction that is then mined. The caller has seen that
// the payer has them.
func (c *chain) move(tx *transaction, of *token, from, to address, units *big.Int, at time.Time) {
	payer, payee := holding{of.contract, from}, holding{of.contract, to}
	c.balances[payer] = new(big.Int).Sub(c.balance(payer), units)
	c.balances[payee] = new(big.Int).Add(c.balance(payee), units) // may be the payer
	value := wordOf(units)
	tx.logs = append(tx.logs, event{contract: of.contract, topics: []word{topicTransfer, from.word(), to.word()}, data: value[:]})
	tx.ok = true
	c.mine(tx, at)
	c.transfers = append(c.transfers, &Transfer{
		At: tx.at, Network: c.name, Asset: of.contract.String(), From: from.String(), To: to.String(),
		Units: units.String(), Transaction: tx.hash.String(), Block: tx.block, units: units,
	})
}
