package facilitator_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"paywall/sandbox/facilitator"
	"paywall/x402/evm"
)

// rpc asks the node of the test network.
func (h *house) rpc(method string, params ...any) reply {
	h.t.Helper()
	if params == nil {
		params = []any{}
	}
	raw, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.post("/rpc/84532", string(raw))
}

// result is that of a call which must have one.
func (h *house) result(method string, params ...any) any {
	h.t.Helper()
	r := h.rpc(method, params...)
	if r.body["id"] != 7.0 || r.body["error"] != nil {
		h.t.Fatalf("%s: %s", method, r.raw)
	}
	return r.body["result"]
}

// read calls a contract; arguments are words in hexadecimal.
func (h *house) read(contract, declaration string, arguments ...string) string {
	h.t.Helper()
	selector := evm.Keccak256([]byte(declaration))
	data := "0x" + hex.EncodeToString(selector[:4]) + strings.Join(arguments, "")
	out, _ := h.result("eth_call", map[string]any{"to": contract, "data": data}, "latest").(string)
	return out
}

func pad(address string) string {
	return strings.Repeat("0", 24) + strings.ToLower(strings.TrimPrefix(address, "0x"))
}

func hexWord(n int64) string { return fmt.Sprintf("0x%064x", n) }

func TestNode(t *testing.T) {
	h := newHouse(t, facilitator.Config{Finality: 10 * time.Second})
	payer := pad(h.key.Address().String())
	state := func() string { return h.read(coin, "authorizationState(address,bytes32)", payer, plain().nonce) }
	for _, tt := range []struct{ got, want string }{
		{h.result("eth_chainId").(string), "0x14a34"},
		{state(), hexWord(0)},
		{h.read(coin, "balanceOf(address)", payer), hexWord(1_000_000_000)},
		{h.read(coin, "allowance(address,address)", payer, pad(evm.Permit2().String())), "0x" + strings.Repeat("f", 64)},
		{h.read(coin, "allowance(address,address)", payer, pad(other)), hexWord(0)},
		{h.read(coin, "decimals()"), hexWord(6)},
		{h.read(coin, "DOMAIN_SEPARATOR()"), "0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818"},
		{h.read(coin, "name()"), "0x" + hexWord(32)[2:] + hexWord(4)[2:] + hex.EncodeToString([]byte("USDC")) + strings.Repeat("00", 28)},
		{h.read(other, "balanceOf(address)", payer), "0x"},
		{h.result("eth_getCode", coin, "latest").(string), "0x60806040"},
		{h.result("eth_getCode", payee, "latest").(string), "0x"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
	h.clock.advance(20 * time.Second)
	before := h.result("eth_blockNumber")
	settled := h.settle(plain())
	selector := evm.Keccak256([]byte("authorizationState(address,bytes32)"))
	asked := map[string]any{"to": coin, "input": "0x" + hex.EncodeToString(selector[:4]) + payer + plain().nonce}
	if was := h.result("eth_call", asked, before); was != hexWord(0) {
		t.Errorf("as of the block before: %v", was)
	}
	if r := h.rpc("eth_call", asked, "0xffffffffff"); !strings.Contains(r.raw, "header not found") {
		t.Error(r.raw)
	}
	hash, _ := settled.body["transaction"].(string)
	if state() != hexWord(1) || h.read(coin, "balanceOf(address)", payer) != hexWord(999_990_000) {
		t.Errorf("state %s", state())
	}
	receipt := h.result("eth_getTransactionReceipt", hash).(map[string]any)
	logs := receipt["logs"].([]any)
	if receipt["status"] != "0x1" || receipt["transactionHash"] != hash || receipt["blockNumber"] != h.result("eth_blockNumber") || len(logs) != 2 {
		t.Fatalf("%v", receipt)
	}
	transfer := logs[1].(map[string]any)
	topics := fmt.Sprint(transfer["topics"])
	if want := fmt.Sprintf("[%s 0x%s 0x%s]", evm.Keccak256([]byte("Transfer(address,address,uint256)")), payer, pad(payee)); topics != want || transfer["data"] != hexWord(10000) {
		t.Errorf("%v", transfer)
	}
	if tx := h.result("eth_getTransactionByHash", hash).(map[string]any); tx["blockHash"] != receipt["blockHash"] || tx["from"] != h.Address() {
		t.Errorf("%v", tx)
	}
	if unknown := h.result("eth_getTransactionReceipt", hexWord(1)); unknown != nil {
		t.Errorf("%v", unknown)
	}
	block := h.result("eth_getBlockByNumber", receipt["blockNumber"], false).(map[string]any)
	if block["hash"] != receipt["blockHash"] || fmt.Sprint(block["transactions"]) != "["+hash+"]" || block["timestamp"] != fmt.Sprintf("0x%x", h.clock.now().Unix()) {
		t.Errorf("%v", block)
	}
	// Later there are newer blocks, and this one becomes final.
	final := func() string {
		return h.result("eth_getBlockByNumber", "finalized", false).(map[string]any)["number"].(string)
	}
	if final() >= receipt["blockNumber"].(string) {
		t.Errorf("%s is final at once", final())
	}
	h.clock.advance(10 * time.Second)
	if final() != receipt["blockNumber"] {
		t.Errorf("%s is final, want %s", final(), receipt["blockNumber"])
	}
	latest := h.result("eth_getBlockByNumber", "latest", false).(map[string]any)
	if latest["timestamp"] != fmt.Sprintf("0x%x", h.clock.now().Unix()) || latest["number"].(string) <= receipt["blockNumber"].(string) {
		t.Errorf("%v", latest)
	}
	// A chain is older than the sandbox.
	height, err := strconv.ParseUint(latest["number"].(string)[2:], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	old := h.result("eth_getBlockByNumber", "0x"+strconv.FormatUint(height-5000, 16), false).(map[string]any)
	if at, err := strconv.ParseInt(old["timestamp"].(string)[2:], 16, 64); err != nil || start.Unix()-at < 9000 || start.Unix()-at > 10000 {
		t.Errorf("%v %v", old["timestamp"], err)
	}
	if future := h.result("eth_getBlockByNumber", "0xffffffffff", false); future != nil {
		t.Errorf("%v", future)
	}
}

func TestNode_Logs(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	payer := h.key.Address().String()
	for i := range 3 {
		o := plain()
		o.nonce = fmt.Sprintf("%064x", i)
		if r := h.settle(o); r.verdict() != "ok" {
			t.Fatal(r.raw)
		}
		h.clock.advance(10 * time.Second)
	}
	gone := fmt.Sprintf("%064x", 9)
	cancelled, err := h.Cancel(sepolia, "USDC", payer, "0x"+gone)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Cancel(sepolia, "USDC", payer, "0x"+gone); err == nil {
		t.Error("cancelled twice")
	}
	topic := func(declaration string) string { return evm.Keccak256([]byte(declaration)).String() }
	used, cancels, moved := topic("AuthorizationUsed(address,bytes32)"), topic("AuthorizationCanceled(address,bytes32)"), topic("Transfer(address,address,uint256)")
	from := "0x" + pad(payer)
	for _, tt := range []struct {
		name   string
		filter map[string]any
		want   int
	}{
		{"all", map[string]any{}, 0},
		{"from the first", map[string]any{"fromBlock": "earliest"}, 7},
		{"one nonce", map[string]any{"fromBlock": "earliest", "address": coin, "topics": []any{used, from, "0x" + fmt.Sprintf("%064x", 1)}}, 1},
		{"used or cancelled", map[string]any{"fromBlock": "earliest", "topics": []any{[]string{used, cancels}, from}}, 4},
		{"any first topic", map[string]any{"fromBlock": "earliest", "topics": []any{nil, from}}, 7},
		{"to the payee", map[string]any{"fromBlock": "earliest", "topics": []any{moved, nil, "0x" + pad(payee)}}, 3},
		{"more topics than there are", map[string]any{"fromBlock": "earliest", "topics": []any{used, nil, nil, nil}}, 0},
		{"of another contract", map[string]any{"fromBlock": "earliest", "address": []string{other}}, 0},
		{"until the first", map[string]any{"fromBlock": "earliest", "toBlock": "earliest"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "all" { // the latest block alone, which is the cancellation's
				tt.want = 1
			}
			if got := h.result("eth_getLogs", tt.filter).([]any); len(got) != tt.want {
				t.Errorf("%d logs, want %d: %v", len(got), tt.want, got)
			}
		})
	}
	last := h.result("eth_getLogs", map[string]any{"fromBlock": "earliest", "topics": []any{cancels}}).([]any)[0].(map[string]any)
	if last["transactionHash"] != cancelled {
		t.Errorf("%v", last)
	}
	if got := h.result("eth_getLogs", map[string]any{"blockHash": last["blockHash"]}).([]any); len(got) != 1 {
		t.Errorf("%v", got)
	}
	o := plain()
	o.nonce = gone
	if r := h.settle(o); r.verdict() != "invalid_exact_evm_nonce_already_used" {
		t.Error(r.raw)
	}
	h = newHouse(t, facilitator.Config{LogRange: 100})
	if r := h.rpc("eth_getLogs", map[string]any{"fromBlock": "latest"}); !strings.Contains(r.raw, `"result":[]`) {
		t.Error(r.raw)
	}
	if r := h.rpc("eth_getLogs", map[string]any{"fromBlock": "earliest"}); !strings.Contains(r.raw, "limited to a 100 range") {
		t.Error(r.raw)
	}
}

func TestNode_Permits(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	bits := func() string {
		return h.read(evm.Permit2().String(), "nonceBitmap(address,uint256)", pad(h.key.Address().String()), hexWord(0)[2:])
	}
	if bits() != hexWord(0) {
		t.Error(bits())
	}
	if r := h.settle(permitted("exact", "")); r.verdict() != "ok" {
		t.Fatal(r.raw)
	}
	if want := "0x" + strings.Repeat("0", 64-20) + "20000000000000000000"; bits() != want { // bit 77
		t.Errorf("%s, want %s", bits(), want)
	}
}

func TestNode_Refusals(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	for _, tt := range []struct {
		name, body, want string
	}{
		{"no JSON", `{`, "-32700"},
		{"no method", `{"jsonrpc":"2.0","id":1}`, "-32600"},
		{"an older protocol", `{"id":1,"method":"eth_chainId"}`, "-32600"},
		{"no such method", `{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":[]}`, "-32601"},
		{"no such function", `{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"` + coin + `","data":"0xdeadbeef"},"latest"]}`, "reverted"},
		{"too few arguments", `{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"` + coin + `","data":"0x70a08231"},"latest"]}`, "reverted"},
		{"half a byte", `{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"` + coin + `","data":"0x7"},"latest"]}`, "-32602"},
		{"no call", `{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[]}`, "-32602"},
		{"no hash", `{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionReceipt","params":["0x1"]}`, "-32602"},
		{"no block", `{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["12"]}`, "-32602"},
		{"backwards", `{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x5","toBlock":"0x4"}]}`, "-32602"},
		{"a topic that is none", `{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"topics":["0x1"]}]}`, "-32602"},
		{"an empty batch", `[]`, "-32600"},
		{"a batch of nonsense", `[1]`, "-32700"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := h.post("/rpc/84532", tt.body); r.status != 200 || !strings.Contains(r.raw, tt.want) || strings.Contains(r.raw, `"result"`) {
				t.Errorf("%d %s", r.status, r.raw)
			}
		})
	}
	if r := h.post("/rpc/5", `{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`); r.status != 404 {
		t.Errorf("%d %s", r.status, r.raw)
	}
	batch := h.post("/rpc/8453", `[{"jsonrpc":"2.0","id":"a","method":"eth_chainId"},{"jsonrpc":"2.0","id":2,"method":"nothing"}]`)
	if !strings.HasPrefix(batch.raw, `[{"id":"a","jsonrpc":"2.0","result":"0x2105"}`) || !strings.Contains(batch.raw, "-32601") {
		t.Error(batch.raw)
	}
}

// Whatever a node is asked, it answers with JSON of the protocol: a result or an
// error, and the identifier it was asked with.
func FuzzNode(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"fromBlock":"earliest","topics":[null,["0x` + strings.Repeat("00", 32) + `"]]}]}`,
		`{"jsonrpc":"2.0","id":"x","method":"eth_call","params":[{"to":"` + coin + `","data":"0x70a08231` + strings.Repeat("00", 32) + `"}]}`,
		`[{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x989680"]}]`, `[`, `{"jsonrpc":"2.0","id":null,"method":"eth_getCode","params":{}}`,
	} {
		f.Add(seed)
	}
	h := newHouse(f, facilitator.Config{})
	h.settle(plain())
	f.Fuzz(func(t *testing.T, body string) {
		asking := *h
		asking.t = t
		r := asking.post("/rpc/84532", body)
		if !json.Valid([]byte(r.raw)) {
			t.Fatalf("%q", r.raw)
		}
		if strings.HasPrefix(r.raw, "[") {
			return
		}
		_, good := r.body["result"]
		_, bad := r.body["error"]
		if good == bad || r.body["jsonrpc"] != "2.0" {
			t.Errorf("%s", r.raw)
		}
		var asked struct{ ID any }
		if json.Unmarshal([]byte(body), &asked) == nil && good && fmt.Sprint(asked.ID) != fmt.Sprint(r.body["id"]) {
			t.Errorf("asked %v, answered %s", asked.ID, r.raw)
		}
	})
}
