package facilitator_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/methods/facilitator"
	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/x402/evm"
	client "paywall/x402/facilitator"
)

// began is when the clocks stand: after every sample payment.
var began = time.Date(2026, 11, 2, 9, 1, 0, 0, time.UTC)

const (
	payerKey = "1111111111111111111111111111111111111111111111111111111111111111"
	payee    = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
	executor = "0xd407e409E34E0b9afb99EcCeb609bDbcD5e7f1bf" // of permits
	network  = "eip155:84532"
	blocks   = 10_000 // height of the chain at began; a block each two seconds
)

type object = map[string]any

// A transfer is what used an authorization at the token.
type transfer struct {
	tx       evm.Hash
	from, to string // in lower case
	value    *big.Int
	nonce    string
	block    uint64
	canceled bool
	failed   bool // the transaction was reverted
}

// play stands in for one call: serve is what an honest facilitator does.
type play func(body []byte, serve func() client.Reply) (client.Reply, error)

// world is a facilitator and its chain, in the way real ones behave. It shares with
// the rail only the curve.
type world struct {
	t    *testing.T
	node *httptest.Server

	mu        sync.Mutex // guards all that follows
	now       time.Time
	live      func() time.Time     // moves now, if set
	transfers map[string]*transfer // by payer and nonce
	answers   map[string]client.Reply
	poor      bool // the payer has no money
	forgets   bool // a repeat gets "used" and not the stored answer
	settles   []play
	verifies  []play
	bodies    map[string][][]byte // by operation
	pickErr   error
	kind      string
	wrong     map[string]func(params []json.RawMessage, honest any) any // by method of the node
	asked     []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, now: began, transfers: map[string]*transfer{}, answers: map[string]client.Reply{}, bodies: map[string][][]byte{},
		kind: `{"facilitatorAddress":"` + executor + `"}`, wrong: map[string]func([]json.RawMessage, any) any{},
	}
	w.node = httptest.NewServer(http.HandlerFunc(w.serveNode))
	t.Cleanup(w.node.Close)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tick()
	return w.now
}

func (w *world) tick() {
	if w.live != nil {
		w.now = w.live()
	}
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func asset(t testing.TB) evm.Asset {
	t.Helper()
	a, ok := evm.FindAsset(network, "USDC")
	if !ok {
		t.Fatal("USDC on Base Sepolia is not known")
	}
	return a
}

func address(t testing.TB, s string) evm.Address {
	t.Helper()
	a, err := evm.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func key(t testing.TB) evm.Key {
	t.Helper()
	k, err := evm.ParseKey(payerKey)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// config of a method with a node; change what differs.
func (w *world) config() facilitator.Config {
	return facilitator.Config{Asset: asset(w.t), PayTo: address(w.t, payee), Client: w, Node: w.node.URL, Now: w.clock}
}

func (w *world) method(change ...func(*facilitator.Config)) *facilitator.Method {
	w.t.Helper()
	cfg := w.config()
	for _, f := range change {
		f(&cfg)
	}
	m, err := facilitator.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = m.Close() })
	return m
}

func alone(c *facilitator.Config)   { c.Node = "" }
func metered(c *facilitator.Config) { c.Scheme = facilitator.SchemeUpto }

// Pick implements [facilitator.Client].
func (w *world) Pick(version int, scheme, network string) (string, json.RawMessage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if version != 2 || network != "eip155:84532" || scheme != "exact" && scheme != "upto" {
		return "", nil, errors.New("no such kind")
	}
	return "first", json.RawMessage(w.kind), w.pickErr
}

// Verify implements [facilitator.Client].
func (w *world) Verify(ctx context.Context, endpoint string, body []byte) (client.Reply, error) {
	return w.call(ctx, "verify", &w.verifies, endpoint, body, w.verify)
}

// Settle implements [facilitator.Client].
func (w *world) Settle(ctx context.Context, endpoint string, body []byte) (client.Reply, error) {
	return w.call(ctx, "settle", &w.settles, endpoint, body, w.settle)
}

func (w *world) call(ctx context.Context, op string, script *[]play, endpoint string, body []byte, serve func([]byte) client.Reply) (client.Reply, error) {
	if endpoint != "first" {
		w.t.Errorf("%s goes to %q", op, endpoint)
	}
	if err := ctx.Err(); err != nil {
		return client.Reply{}, &client.CallError{Err: err}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tick()
	w.bodies[op] = append(w.bodies[op], append([]byte(nil), body...))
	if len(*script) > 0 {
		next := (*script)[0]
		*script = (*script)[1:]
		return next(body, func() client.Reply { return serve(body) })
	}
	return serve(body), nil
}

// sent is what a body says, read loosely.
type sent struct {
	Payload struct {
		Accepted object `json:"accepted"`
		Payload  struct {
			Authorization map[string]string `json:"authorization"`
			Permit        struct {
				From, Nonce, Deadline string
				Permitted             struct{ Amount string }
				Witness               struct{ To string }
			} `json:"permit2Authorization"`
		} `json:"payload"`
	} `json:"paymentPayload"`
	Requirements struct {
		Amount, Network, Scheme string
		PayTo                   string `json:"payTo"`
	} `json:"paymentRequirements"`
}

func (w *world) read(body []byte) (s sent, from, nonce string, before int64) {
	if err := json.Unmarshal(body, &s); err != nil {
		w.t.Errorf("body: %v", err)
	}
	a, p := s.Payload.Payload.Authorization, s.Payload.Payload.Permit
	from, nonce = a["from"], a["nonce"]
	end := a["validBefore"]
	if s.Requirements.Scheme == "upto" {
		from, nonce, end = p.From, p.Nonce, p.Deadline
	}
	before, _ = strconv.ParseInt(end, 10, 64)
	return s, strings.ToLower(from), nonce, before
}

func (w *world) objection(from, nonce string, before int64) string {
	switch {
	case w.transfers[from+nonce] != nil:
		return "invalid_exact_evm_nonce_already_used"
	case before <= w.now.Unix():
		return "invalid_exact_evm_payload_authorization_valid_before"
	case w.poor:
		return "insufficient_funds"
	}
	return ""
}

func (w *world) verify(body []byte) client.Reply {
	_, from, nonce, before := w.read(body)
	if no := w.objection(from, nonce, before); no != "" {
		return reply(200, object{"isValid": false, "invalidReason": no, "payer": from})
	}
	return reply(200, object{"isValid": true, "payer": checksum(from)})
}

func checksum(s string) string {
	a, err := evm.ParseAddress(s)
	if err != nil {
		return s
	}
	return a.Checksum()
}

func (w *world) settle(body []byte) client.Reply {
	s, from, nonce, before := w.read(body)
	if stored, ok := w.answers[from+nonce]; ok && !w.forgets {
		return stored
	}
	if no := w.objection(from, nonce, before); no != "" {
		return reply(200, object{"success": false, "errorReason": no, "transaction": "", "network": network, "payer": from})
	}
	value, _ := new(big.Int).SetString(s.Requirements.Amount, 10)
	tr := w.use(from, s.Requirements.PayTo, nonce, value)
	answer := reply(200, object{"success": true, "transaction": tr.tx.String(), "network": network, "payer": checksum(from), "amount": s.Requirements.Amount})
	w.answers[from+nonce] = answer
	return answer
}

// use carries an authorization out. w.mu is held.
func (w *world) use(from, to, nonce string, value *big.Int) *transfer {
	tr := &transfer{tx: evm.Keccak256([]byte(from + nonce)), from: from, to: strings.ToLower(to), value: value, nonce: nonce, block: w.height()}
	w.transfers[from+nonce] = tr
	return tr
}

func (w *world) height() uint64 { return blocks + uint64(w.now.Sub(began)/(2*time.Second)) }

func (w *world) moved() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, tr := range w.transfers {
		if !tr.canceled && !tr.failed {
			n++
		}
	}
	return n
}

func (w *world) sent(op string) [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bodies[op]
}

func reply(status int, body any) client.Reply {
	data, err := json.Marshal(body)
	if s, ok := body.(string); ok {
		data, err = []byte(s), nil
	}
	if err != nil {
		panic(err)
	}
	return client.Reply{Status: status, Body: data}
}

// say answers without doing anything.
func say(status int, body any) play {
	return func([]byte, func() client.Reply) (client.Reply, error) { return reply(status, body), nil }
}

// lost settles and loses the answer; silent does neither, and may have been heard;
// unsent was not heard.
func lost(_ []byte, serve func() client.Reply) (client.Reply, error) {
	serve()
	return client.Reply{}, &client.CallError{Sent: true, Err: context.DeadlineExceeded}
}

func silent([]byte, func() client.Reply) (client.Reply, error) {
	return client.Reply{}, &client.CallError{Sent: true, Err: io.ErrUnexpectedEOF}
}

func unsent([]byte, func() client.Reply) (client.Reply, error) {
	return client.Reply{}, &client.CallError{Err: errors.New("connection refused")}
}

func price(t testing.TB, decimal string) money.Amount {
	t.Helper()
	a, err := money.ParsePrice(decimal)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func quote(t testing.TB) payment.Quote {
	t.Helper()
	return payment.Quote{Route: "report", Amount: price(t, "0.01 USD"), Description: "one report", Version: "1"}
}

// nonces makes each credential's instrument its own.
var nonces struct {
	sync.Mutex
	n uint64
}

func nonce() evm.Hash {
	nonces.Lock()
	defer nonces.Unlock()
	nonces.n++
	return evm.Keccak256(strconv.AppendUint(nil, nonces.n, 10))
}

// authorization that a good payer signs for the offer.
func authorization(t testing.TB, o payment.Offer) evm.Authorization {
	t.Helper()
	return evm.Authorization{
		From: key(t).Address(), To: address(t, payee), Value: big.NewInt(o.Amount.Units()),
		ValidAfter: new(big.Int), ValidBefore: big.NewInt(began.Add(5 * time.Minute).Unix()), Nonce: nonce(),
	}
}

func signExact(t testing.TB, a evm.Authorization) string {
	t.Helper()
	d, err := asset(t).Domain()
	if err != nil {
		t.Fatal(err)
	}
	return exactPayload(a, key(t).Sign(a.Digest(d)).String())
}

func exactPayload(a evm.Authorization, signature string) string {
	return fmt.Sprintf(`{"payload":{"authorization":{"from":%q,"nonce":%q,"to":%q,"validAfter":"%d","validBefore":"%d","value":"%d"},"signature":%q},"x402Version":2}`,
		a.From, a.Nonce, a.To, a.ValidAfter, a.ValidBefore, a.Value, signature)
}

func permit(t testing.TB, o payment.Offer) evm.Permit {
	t.Helper()
	n := nonce()
	return evm.Permit{
		Kind: evm.PermitUpto, From: key(t).Address(), Token: asset(t).Contract, Amount: big.NewInt(o.Amount.Units()),
		Spender: evm.PermitUpto.Spender(), Nonce: new(big.Int).SetBytes(n[:]), Deadline: big.NewInt(began.Add(5 * time.Minute).Unix()),
		To: address(t, payee), Facilitator: address(t, executor), ValidAfter: new(big.Int),
	}
}

func signUpto(t testing.TB, p evm.Permit) string {
	t.Helper()
	return fmt.Sprintf(`{"payload":{"permit2Authorization":{"deadline":"%d","from":%q,"nonce":"%d","permitted":{"amount":"%d","token":%q},"spender":%q,"witness":{"facilitator":%q,"to":%q,"validAfter":"%d"}},"signature":%q},"x402Version":2}`,
		p.Deadline, p.From, p.Nonce, p.Amount, p.Token, p.Spender, p.Facilitator, p.To, p.ValidAfter, key(t).Sign(p.Digest(84532)))
}

func credential(o payment.Offer, challenge, payload string) payment.Credential {
	return payment.Credential{
		Protocol: "x402", ChallengeID: challenge, Offer: o, Payload: json.RawMessage(payload), Hash: "hash-" + payload,
		Scope: payment.Scope{Tenant: "shop", Route: "report", Method: "GET", Target: "/v1/reports/1"}, Expires: began.Add(5 * time.Minute),
	}
}

// claim makes the payment of a fresh credential for the quote, as the core would.
func claim(t *testing.T, m *facilitator.Method, q payment.Quote) (payment.Payment, payment.Intent) {
	t.Helper()
	o, err := m.Offer(q)
	if err != nil {
		t.Fatal(err)
	}
	var payload string
	if o.Metered {
		payload = signUpto(t, permit(t, o))
	} else {
		payload = signExact(t, authorization(t, o))
	}
	p := paymenttest.Sample(t, 1)
	c := credential(o, p.ChallengeID, payload)
	inst, err := m.Inspect(c)
	if err != nil {
		t.Fatalf("inspect: %v", err)
	}
	p.Method, p.Protocol, p.Instrument, p.Amount, p.Held = m.Name(), "x402", inst.Fingerprint, o.Amount, o.Hold
	in, err := m.Prepare(p, c)
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	p.Key, p.Account = in.Key, in.Account
	return p, in
}

// serveNode is the chain's node. Blocks are two seconds apart.
func (w *world) serveNode(rw http.ResponseWriter, r *http.Request) {
	var call struct {
		Method string
		Params []json.RawMessage
	}
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		w.t.Errorf("node: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tick()
	w.asked = append(w.asked, call.Method)
	result := w.chain(call.Method, call.Params)
	if f := w.wrong[call.Method]; f != nil {
		result = f(call.Params, result)
	}
	if raw, ok := result.(rawAnswer); ok {
		rw.WriteHeader(raw.status)
		_, _ = io.WriteString(rw, raw.body)
		return
	}
	_ = json.NewEncoder(rw).Encode(object{"jsonrpc": "2.0", "id": 1, "result": result})
}

type rawAnswer struct {
	status int
	body   string
}

func hexed(n uint64) string { return "0x" + strconv.FormatUint(n, 16) }

func padded(a string) string { return "0x" + strings.Repeat("0", 24) + strings.TrimPrefix(a, "0x") }

func (w *world) block(n uint64) object {
	at := w.now.Add(-time.Duration(w.height()-n) * 2 * time.Second)
	return object{"number": hexed(n), "timestamp": hexed(uint64(at.Unix())), "transactions": []string{}}
}

func (w *world) chain(method string, params []json.RawMessage) any {
	switch method {
	case "eth_chainId":
		return hexed(84532)
	case "eth_getBlockByNumber":
		var which string
		_ = json.Unmarshal(params[0], &which)
		if which == "latest" {
			return w.block(w.height())
		}
		n, _ := strconv.ParseUint(which[2:], 16, 64)
		return w.block(n)
	case "eth_call":
		var call struct{ To, Data string }
		_ = json.Unmarshal(params[0], &call)
		return w.view(call.To, call.Data)
	case "eth_getLogs":
		var filter struct {
			FromBlock, ToBlock string
			Topics             []json.RawMessage
		}
		_ = json.Unmarshal(params[0], &filter)
		from, _ := strconv.ParseUint(filter.FromBlock[2:], 16, 64)
		to, _ := strconv.ParseUint(filter.ToBlock[2:], 16, 64)
		out := []object{}
		for _, tr := range w.transfers {
			if tr.block >= from && tr.block <= to && strings.Contains(string(filter.Topics[2]), tr.nonce) {
				out = append(out, w.usedLog(tr))
			}
		}
		return out
	case "eth_getTransactionReceipt":
		var tx string
		_ = json.Unmarshal(params[0], &tx)
		for _, tr := range w.transfers {
			if tr.tx.String() == tx {
				return w.receipt(tr)
			}
		}
		return nil
	}
	w.t.Errorf("node: %s is not known", method)
	return nil
}

func (w *world) view(to, data string) any {
	from, arg := "0x"+data[34:74], "0x"+data[74:]
	selector := func(s string) string { h := evm.Keccak256([]byte(s)); return "0x" + hex.EncodeToString(h[:4]) }
	switch data[:10] {
	case selector("authorizationState(address,bytes32)"):
		if to != asset(w.t).Contract.String() {
			w.t.Errorf("%s is asked for its authorizations", to)
		}
		if w.transfers[from+arg] != nil {
			return "0x" + strings.Repeat("0", 63) + "1"
		}
		return "0x" + strings.Repeat("0", 64)
	case selector("nonceBitmap(address,uint256)"):
		position, _ := new(big.Int).SetString(arg[2:], 16)
		bits := new(big.Int)
		for _, tr := range w.transfers {
			n, ok := new(big.Int).SetString(tr.nonce, 10)
			if ok && tr.from == from && new(big.Int).Rsh(n, 8).Cmp(position) == 0 {
				bits.SetBit(bits, int(n.Uint64()&0xff), 1)
			}
		}
		return fmt.Sprintf("0x%064x", bits)
	}
	w.t.Errorf("node: call of %s", data[:10])
	return nil
}

func event(name string) string { return evm.Keccak256([]byte(name)).String() }

func (w *world) usedLog(tr *transfer) object {
	kind := event("AuthorizationUsed(address,bytes32)")
	if tr.canceled {
		kind = event("AuthorizationCanceled(address,bytes32)")
	}
	return object{
		"address": asset(w.t).Contract.Checksum(), "topics": []string{kind, padded(tr.from), tr.nonce}, "data": "0x",
		"transactionHash": tr.tx.String(), "blockNumber": hexed(tr.block), "removed": false, "logIndex": "0x0",
	}
}

func (w *world) receipt(tr *transfer) object {
	status := "0x1"
	if tr.failed {
		status = "0x0"
	}
	paid := object{
		"address": asset(w.t).Contract.Checksum(), "topics": []string{event("Transfer(address,address,uint256)"), padded(tr.from), padded(tr.to)},
		"data": fmt.Sprintf("0x%064x", tr.value), "transactionHash": tr.tx.String(), "blockNumber": hexed(tr.block),
	}
	return object{
		"transactionHash": tr.tx.String(), "status": status, "blockNumber": hexed(tr.block), "logsBloom": "0x" + strings.Repeat("0", 512),
		"logs": []object{w.usedLog(tr), paid},
	}
}
