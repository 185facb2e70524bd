package facilitator

import (
	"encoding/hex"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"time"
)

// A selector names a function of a contract.
type selector [4]byte

// A contractCall is a function of a contract as of a block. It gets the token it is
// of, or nil for Permit2, and reports false for what it cannot take. Nonces are
// remembered with their blocks; balances and allowances are always the latest.
type contractCall func(c *chain, t *token, in []word, at uint64) ([]byte, bool)

// contractCalls are the functions that eth_call finds.
func contractCalls() map[selector]contractCall {
	all := make(map[selector]contractCall)
	add := func(declaration string, do contractCall) {
		h := keccak([]byte(declaration))
		all[selector(h[:4])] = do
	}
	ofToken := func(declaration string, arguments int, do func(c *chain, t *token, in []word) []byte) {
		add(declaration, func(c *chain, t *token, in []word, _ uint64) ([]byte, bool) {
			if t == nil || len(in) != arguments {
				return nil, false
			}
			return do(c, t, in), true
		})
	}
	ofToken("balanceOf(address)", 1, func(c *chain, t *token, in []word) []byte {
		return number(c.balance(holding{t.contract, low(in[0])}))
	})
	ofToken("allowance(address,address)", 2, func(c *chain, t *token, in []word) []byte {
		if low(in[1]) != permit2 {
			return number(new(big.Int))
		}
		return number(c.allowance(holding{t.contract, low(in[0])}))
	})
	add("authorizationState(address,bytes32)", func(c *chain, t *token, in []word, at uint64) ([]byte, bool) {
		if t == nil || len(in) != 2 {
			return nil, false
		}
		used := c.nonces[nonceOf{t.contract, low(in[0]), in[1]}]
		return truth(used > 0 && used <= at), true
	})
	ofToken("name()", 0, func(_ *chain, t *token, _ []word) []byte { return dynamic(t.Name) })
	ofToken("symbol()", 0, func(_ *chain, t *token, _ []word) []byte { return dynamic(t.Symbol) })
	ofToken("version()", 0, func(_ *chain, t *token, _ []word) []byte { return dynamic(t.Version) })
	ofToken("decimals()", 0, func(_ *chain, t *token, _ []word) []byte { return number(big.NewInt(int64(t.Decimals))) })
	ofToken("DOMAIN_SEPARATOR()", 0, func(_ *chain, t *token, _ []word) []byte { return t.separator[:] })
	add("nonceBitmap(address,uint256)", func(c *chain, t *token, in []word, at uint64) ([]byte, bool) {
		if t != nil || len(in) != 2 {
			return nil, false
		}
		bits := new(big.Int)
		for p, used := range c.permits {
			if used <= at && p.owner == low(in[0]) && slices.Equal(p.nonce[:31], in[1][1:]) && in[1][0] == 0 {
				bits.SetBit(bits, int(p.nonce[31]), 1)
			}
		}
		return number(bits), true
	})
	return all
}

// low is an argument as an address.
func low(w word) (a address) {
	copy(a[:], w[12:])
	return a
}

func number(n *big.Int) []byte {
	w := wordOf(n)
	return w[:]
}

func truth(b bool) []byte {
	var w word
	if b {
		w[31] = 1
	}
	return w[:]
}

// dynamic is a string as a result: where it begins, its length, and its bytes.
func dynamic(s string) []byte {
	out := append(number(big.NewInt(32)), number(big.NewInt(int64(len(s))))...)
	out = append(out, s...)
	return append(out, make([]byte, (32-len(s)%32)%32)...)
}

// call is eth_call.
func (s *Server) call(c *chain, params []json.RawMessage, now time.Time) (any, error) {
	var in struct{ To, Data, Input string }
	if len(params) == 0 || json.Unmarshal(params[0], &in) != nil {
		return nil, badParams("want a call")
	}
	at := ""
	if len(params) > 1 && json.Unmarshal(params[1], &at) != nil {
		return nil, badParams("block: want a quantity or a name")
	}
	height, err := s.height(c, at, now)
	if err != nil {
		return nil, err
	}
	if height > c.head(now).number {
		return nil, &nodeError{Code: -32000, Message: "header not found"}
	}
	if in.Data == "" {
		in.Data = in.Input
	}
	to, err := parseAddress(in.To)
	if err != nil {
		return nil, badParams("to: %v", err)
	}
	digits, ok := strings.CutPrefix(in.Data, "0x")
	data, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return nil, badParams("data: %v", errHex)
	}
	of := c.token(to)
	if of == nil && to != permit2 {
		return "0x", nil // nobody is there
	}
	reverted := &nodeError{Code: 3, Message: "execution reverted", Data: "0x"}
	if len(data) < 4 || (len(data)-4)%32 != 0 {
		return nil, reverted
	}
	do := s.calls[selector(data[:4])]
	if do == nil {
		return nil, reverted
	}
	var arguments []word
	for rest := range slices.Chunk(data[4:], 32) {
		arguments = append(arguments, word(rest))
	}
	out, ok := do(c, of, arguments, height)
	if !ok {
		return nil, reverted
	}
	return "0x" + hex.EncodeToString(out), nil
}

// anyOf reads a value, an array of values, or nothing, which matches all.
func anyOf[T comparable](raw json.RawMessage, parse func(string) (T, error)) ([]T, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var list []string
	var one string
	if json.Unmarshal(raw, &one) == nil {
		list = []string{one}
	} else if err := json.Unmarshal(raw, &list); err != nil {
		return nil, badParams("want a value or an array of them")
	}
	values := make([]T, 0, len(list))
	for _, v := range list {
		parsed, err := parse(v)
		if err != nil {
			return nil, badParams("%v", err)
		}
		values = append(values, parsed)
	}
	return values, nil
}

// logs is eth_getLogs.
func (s *Server) logs(c *chain, params []json.RawMessage, now time.Time) (any, error) {
	var in struct {
		From   string            `json:"fromBlock"`
		To     string            `json:"toBlock"`
		Block  string            `json:"blockHash"`
		Of     json.RawMessage   `json:"address"`
		Topics []json.RawMessage `json:"topics"`
	}
	if len(params) == 0 || json.Unmarshal(params[0], &in) != nil {
		return nil, badParams("want a filter")
	}
	of, err := anyOf(in.Of, parseAddress)
	if err != nil {
		return nil, err
	}
	topics := make([][]word, len(in.Topics))
	for i, raw := range in.Topics {
		if topics[i], err = anyOf(raw, parseWord); err != nil {
			return nil, err
		}
	}
	wanted := func(e event) bool {
		if len(of) > 0 && !slices.Contains(of, e.contract) || len(topics) > len(e.topics) {
			return false
		}
		for i, t := range topics {
			if len(t) > 0 && !slices.Contains(t, e.topics[i]) {
				return false
			}
		}
		return true
	}
	first, last, err := s.span(c, in.From, in.To, now)
	if err != nil {
		return nil, err
	}
	if in.Block != "" && (in.From != "" || in.To != "") {
		return nil, badParams("want either blockHash or fromBlock and toBlock")
	}
	found := []object{}
	for _, b := range c.blocks {
		if b.tx == nil || in.Block == "" && (b.number < first || b.number > last) || in.Block != "" && c.blockHash(b.number).String() != in.Block {
			continue
		}
		for i, e := range b.tx.logs {
			if wanted(e) {
				found = append(found, c.renderLog(b.tx, i))
			}
		}
	}
	return found, nil
}

// span reads the range of blocks of a filter.
func (s *Server) span(c *chain, from, to string, now time.Time) (first, last uint64, err error) {
	if first, err = s.height(c, from, now); err != nil {
		return 0, 0, err
	}
	if last, err = s.height(c, to, now); err != nil {
		return 0, 0, err
	}
	switch head := c.head(now).number; {
	case first > last:
		return 0, 0, badParams("invalid block range")
	case s.cfg.LogRange > 0 && min(last, head)-min(first, head) >= s.cfg.LogRange:
		return 0, 0, badParams("eth_getLogs is limited to a %d range", s.cfg.LogRange)
	}
	return first, last, nil
}
