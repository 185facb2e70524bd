package facilitator

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paywall/internal/strictjson"
	"paywall/x402/evm"
)

const (
	nodeTimeout   = 10 * time.Second
	maxNodeAnswer = 4 << 20 // a block has the names of all its transactions
)

// A node answers questions about the chain (JSON-RPC 2.0 over HTTP). What it says is
// read strictly, and what does not fit together is no answer.
type node struct {
	url  string // may hold a key: never in an error
	http *http.Client
}

func newNode(url string, rt http.RoundTripper) *node {
	return &node{url: url, http: &http.Client{
		Transport: rt, Timeout: nodeTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ask makes one call and decodes its result, which must not be null.
func (n *node) ask(ctx context.Context, method string, result any, params ...any) error {
	fail := func(status int, err error) error { return &Error{Op: method, Status: status, Err: err} }
	call, err := marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return fail(0, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(call))
	if err != nil {
		return fail(0, ErrTransport)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := n.http.Do(req)
	if err != nil {
		return fail(0, transportCause(err))
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxNodeAnswer+1))
	if err != nil {
		return fail(res.StatusCode, transportCause(err))
	}
	limits := strictjson.Limits{Bytes: maxNodeAnswer, String: maxNodeAnswer}
	var answer struct {
		Version string          `json:"jsonrpc"`
		ID      json.Number     `json:"id"`
		Result  json.RawMessage `json:"result"`
		Error   json.RawMessage `json:"error"`
	}
	switch {
	case res.StatusCode != http.StatusOK, strictjson.Check(body, limits) != nil, json.Unmarshal(body, &answer) != nil,
		answer.Version != "2.0", answer.ID != "1", len(answer.Error) > 0 && string(answer.Error) != "null",
		len(answer.Result) == 0, string(answer.Result) == "null", json.Unmarshal(answer.Result, result) != nil:
		return fail(res.StatusCode, ErrAnswer)
	}
	return nil
}

// quantity is a number as the protocol writes it, "0x1f", of at most 63 bits.
type quantity uint64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (q *quantity) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), "0x")
	v, err := strconv.ParseUint(digits, 16, 63)
	if !ok || err != nil || digits[0] == '+' {
		return ErrAnswer
	}
	*q = quantity(v)
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (q quantity) MarshalText() ([]byte, error) {
	return []byte("0x" + strconv.FormatUint(uint64(q), 16)), nil
}

// word is one of 32 bytes, as data and topics are made of.
type word = evm.Hash

func addressWord(a evm.Address) (w word) {
	copy(w[12:], a[:])
	return w
}

type block struct {
	Number *quantity `json:"number"`
	Time   *quantity `json:"timestamp"`
}

// block reads one by its number, or the newest.
func (n *node) block(ctx context.Context, number *quantity) (height, seconds uint64, err error) {
	var which any = "latest"
	if number != nil {
		which = *number
	}
	const method = "eth_getBlockByNumber"
	var b block
	if err := n.ask(ctx, method, &b, which, false); err != nil {
		return 0, 0, err
	}
	if b.Number == nil || b.Time == nil || number != nil && *b.Number != *number {
		return 0, 0, &Error{Op: method, Err: ErrAnswer}
	}
	return uint64(*b.Number), uint64(*b.Time), nil
}

func (n *node) chainID(ctx context.Context) (uint64, error) {
	var id quantity
	err := n.ask(ctx, "eth_chainId", &id)
	return uint64(id), err
}

// view calls a function that changes nothing and returns one word, as of a block.
func (n *node) view(ctx context.Context, at uint64, contract evm.Address, signature string, args ...word) (word, error) {
	selector := evm.Keccak256([]byte(signature))
	data := selector[:4]
	for _, a := range args {
		data = append(data, a[:]...)
	}
	var out word
	err := n.ask(ctx, "eth_call", &out, map[string]string{"to": contract.String(), "data": "0x" + hex.EncodeToString(data)}, quantity(at))
	return out, err
}

// A logged event, as it is in lists of logs and in receipts.
type logged struct {
	Address evm.Address `json:"address"`
	Topics  []word      `json:"topics"`
	Data    string      `json:"data"`
	Tx      word        `json:"transactionHash"`
	Block   *quantity   `json:"blockNumber"`
	Removed bool        `json:"removed"`
}

// logs lists the contract's events between two blocks, both included. The first topic
// is one of kinds, the others are as given.
func (n *node) logs(ctx context.Context, from, to uint64, contract evm.Address, kinds []word, rest ...word) ([]logged, error) {
	topics := []any{kinds}
	for _, t := range rest {
		topics = append(topics, t)
	}
	filter := struct {
		Address evm.Address `json:"address"`
		From    quantity    `json:"fromBlock"`
		To      quantity    `json:"toBlock"`
		Topics  []any       `json:"topics"`
	}{contract, quantity(from), quantity(to), topics}
	var out []logged
	err := n.ask(ctx, "eth_getLogs", &out, filter)
	return out, err
}

type receipt struct {
	Tx     word      `json:"transactionHash"`
	Status *quantity `json:"status"`
	Block  *quantity `json:"blockNumber"`
	Logs   []logged  `json:"logs"`
}

func (n *node) receipt(ctx context.Context, tx word) (receipt, error) {
	const method = "eth_getTransactionReceipt"
	var r receipt
	if err := n.ask(ctx, method, &r, tx); err != nil {
		return receipt{}, err
	}
	if r.Tx != tx || r.Status == nil || r.Block == nil {
		return receipt{}, &Error{Op: method, Err: ErrAnswer}
	}
	return r, nil
}
