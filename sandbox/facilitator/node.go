package facilitator

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Errors of JSON-RPC, with the numbers that nodes use.
type nodeError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

func (e *nodeError) Error() string { return e.Message }

func badParams(format string, args ...any) error {
	return &nodeError{Code: -32602, Message: fmt.Sprintf(format, args...)}
}

type nodeCall struct {
	Version string            `json:"jsonrpc"`
	ID      json.RawMessage   `json:"id"`
	Method  string            `json:"method"`
	Params  []json.RawMessage `json:"params"`
}

const maxBatch = 100

// serveNode answers one call, or several in an array.
func (s *Server) serveNode(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.PathValue("chain"), 10, 63)
	if err != nil || s.tokens[id] == nil {
		answer(w, http.StatusNotFound, object{"error": "there is no such chain here"})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answer(w, http.StatusRequestEntityTooLarge, failed(nil, &nodeError{Code: -32600, Message: "request too large"}))
		return
	}
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 || trimmed[0] != '[' {
		answer(w, http.StatusOK, s.node(id, body))
		return
	}
	var batch []json.RawMessage
	if err := json.Unmarshal(body, &batch); err != nil {
		answer(w, http.StatusOK, failed(nil, &nodeError{Code: -32700, Message: "parse error"}))
		return
	}
	if len(batch) == 0 || len(batch) > maxBatch {
		answer(w, http.StatusOK, failed(nil, &nodeError{Code: -32600, Message: "want 1 to " + strconv.Itoa(maxBatch) + " calls in a batch"}))
		return
	}
	all := make([]object, len(batch))
	for i, one := range batch {
		all[i] = s.node(id, one)
	}
	answer(w, http.StatusOK, all)
}

func failed(id json.RawMessage, err error) object {
	e, ok := errors.AsType[*nodeError](err)
	if !ok {
		e = &nodeError{Code: -32603, Message: "internal error"}
	}
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	return object{"jsonrpc": "2.0", "id": id, "error": e}
}

func (s *Server) node(chain uint64, body []byte) object {
	var in nodeCall
	if err := json.Unmarshal(body, &in); err != nil {
		return failed(nil, &nodeError{Code: -32700, Message: "parse error"})
	}
	if in.Version != "2.0" || in.Method == "" || len(in.ID) == 0 {
		return failed(in.ID, &nodeError{Code: -32600, Message: "invalid request"})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	result, err := s.look(s.chains[chain], in.Method, in.Params)
	if err != nil {
		return failed(in.ID, err)
	}
	return object{"jsonrpc": "2.0", "id": in.ID, "result": result}
}

// look answers one question under the mutex.
func (s *Server) look(c *chain, method string, params []json.RawMessage) (any, error) {
	now := s.now()
	first := "" // what most of them are about
	if len(params) > 0 && json.Unmarshal(params[0], &first) != nil {
		first = ""
	}
	switch method {
	case "eth_chainId":
		return quantity(c.id), nil
	case "net_version":
		return strconv.FormatUint(c.id, 10), nil
	case "web3_clientVersion":
		return "sandbox", nil
	case "eth_blockNumber":
		return quantity(c.head(now).number), nil
	case "eth_gasPrice", "eth_maxPriorityFeePerGas":
		return quantity(1_000_000), nil
	case "eth_getBalance", "eth_getTransactionCount":
		if _, err := parseAddress(first); err != nil {
			return nil, badParams("address: %v", err)
		}
		return quantity(0), nil
	case "eth_getBlockByNumber":
		number, err := s.height(c, first, now)
		if err != nil {
			return nil, err
		}
		if b, ok := c.find(number, now); ok {
			return c.renderBlock(b), nil
		}
		return nil, nil
	case "eth_getCode":
		a, err := parseAddress(first)
		if err != nil {
			return nil, badParams("address: %v", err)
		}
		if c.token(a) != nil || a == permit2 || a == exactProxy || a == uptoProxy {
			return "0x60806040", nil // not empty is all that anybody asks
		}
		return "0x", nil
	case "eth_getTransactionReceipt", "eth_getTransactionByHash":
		hash, err := parseWord(first)
		if err != nil {
			return nil, badParams("hash: %v", err)
		}
		tx := c.byHash[hash]
		switch {
		case tx == nil:
			return nil, nil
		case method == "eth_getTransactionByHash":
			return c.renderTransaction(tx), nil
		}
		return c.renderReceipt(tx), nil
	case "eth_call":
		return s.call(c, params, now)
	case "eth_getLogs":
		return s.logs(c, params, now)
	}
	return nil, &nodeError{Code: -32601, Message: "the method " + strconv.Quote(method[:min(len(method), 60)]) + " does not exist/is not available"}
}

func quantity(n uint64) string { return "0x" + strconv.FormatUint(n, 16) }

// height is the number that a name or a quantity stands for.
func (s *Server) height(c *chain, at string, now time.Time) (uint64, error) {
	switch at {
	case "latest", "pending", "":
		return c.head(now).number, nil
	case "safe", "finalized":
		return c.head(now.Add(-s.cfg.Finality)).number, nil
	case "earliest":
		return 0, nil
	}
	digits, ok := strings.CutPrefix(at, "0x")
	n, err := strconv.ParseUint(digits, 16, 63)
	if !ok || err != nil {
		return 0, badParams("block: want a quantity or a name")
	}
	return n, nil
}

func (c *chain) renderBlock(b block) object {
	transactions := []string{}
	if b.tx != nil {
		transactions = append(transactions, b.tx.hash.String())
	}
	empty := "0x" + strings.Repeat("00", 32)
	return object{
		"number": quantity(b.number), "hash": c.blockHash(b.number).String(), "parentHash": c.blockHash(b.number - 1).String(),
		"timestamp": quantity(uint64(b.at)), "transactions": transactions, "gasLimit": "0x1c9c380", "gasUsed": "0x0", "baseFeePerGas": "0x1",
		"miner": address{}.String(), "difficulty": "0x0", "totalDifficulty": "0x0", "extraData": "0x", "size": "0x220", "nonce": "0x0000000000000000",
		"mixHash": empty, "sha3Uncles": empty, "stateRoot": empty, "receiptsRoot": empty, "transactionsRoot": empty, "uncles": []string{},
		"logsBloom": "0x" + strings.Repeat("00", 256),
	}
}

func (c *chain) renderTransaction(tx *transaction) object {
	return object{
		"hash": tx.hash.String(), "blockHash": c.blockHash(tx.block).String(), "blockNumber": quantity(tx.block), "transactionIndex": "0x0",
		"from": tx.from.String(), "to": tx.to.String(), "value": "0x0", "input": "0x", "nonce": "0x0", "gas": "0x186a0", "gasPrice": "0x1",
		"type": "0x2", "chainId": quantity(c.id), "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x1", "accessList": []string{},
		"v": "0x0", "r": "0x1", "s": "0x1",
	}
}

func (c *chain) renderReceipt(tx *transaction) object {
	status := "0x0"
	if tx.ok {
		status = "0x1"
	}
	logs := make([]object, len(tx.logs))
	for i := range tx.logs {
		logs[i] = c.renderLog(tx, i)
	}
	return object{
		"transactionHash": tx.hash.String(), "transactionIndex": "0x0", "blockHash": c.blockHash(tx.block).String(), "blockNumber": quantity(tx.block),
		"from": tx.from.String(), "to": tx.to.String(), "contractAddress": nil, "status": status, "logs": logs, "type": "0x2",
		"gasUsed": "0x15f90", "cumulativeGasUsed": "0x15f90", "effectiveGasPrice": "0x1", "logsBloom": "0x" + strings.Repeat("00", 256),
	}
}

func (c *chain) renderLog(tx *transaction, i int) object {
	e := tx.logs[i]
	topics := make([]string, len(e.topics))
	for j, t := range e.topics {
		topics[j] = t.String()
	}
	return object{
		"address": e.contract.String(), "topics": topics, "data": "0x" + hex.EncodeToString(e.data), "blockNumber": quantity(tx.block),
		"blockHash": c.blockHash(tx.block).String(), "transactionHash": tx.hash.String(), "transactionIndex": "0x0",
		"logIndex": quantity(uint64(i)), "removed": false,
	}
}
