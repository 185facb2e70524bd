package x402_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paywall/payment"
	"paywall/x402"
)

//nolint:gochecknoglobals // how the flag package is used
var update = flag.Bool("update", false, "write what comes out into testdata")

// golden compares a conversation, one message a line, with the one that a person has read.
func golden(t *testing.T, name string, messages ...[]byte) {
	t.Helper()
	got := append(bytes.Join(messages, []byte("\n")), '\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got)\n%s", name, diff)
	}
}

func tool(t *testing.T) (payment.Explainer, payment.Scope, x402.PaymentRequired) {
	t.Helper()
	d := compile(t, protocol(t, func(c *x402.Config) { c.Bindings = nil }), stable(10000))
	p := challenge(t, d)
	p.Resource.URL = "mcp://tool/report"
	return d, scope(), p
}

func pay(p x402.PaymentRequired) x402.PaymentPayload {
	return x402.PaymentPayload{Version: 2, Accepted: p.Accepts[0], Payload: must(json.Marshal(authorization(10000, nil)))}
}

// TestMCPGolden is one purchase over MCP, message by message.
func TestMCPGolden(t *testing.T) {
	d, s, p := tool(t)
	const call = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"report","arguments":{"n":12345678901234567890,"html":"<a&b>"},"_meta":{"progressToken":1}}}`
	asked := must(p.ToolResult())
	read, ok := x402.MCPRequired(asked)
	if diff := cmp.Diff(p, read); diff != "" || !ok {
		t.Errorf("%t (-want +got)\n%s", ok, diff)
	}
	paid := must(x402.SetMCPPayment([]byte(call), pay(read)))

	// The server takes it to the dialect that asked, as if it had come over HTTP.
	field, err := x402.MCPPayment(paid)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := d.Credential(request(x402.HeaderSignature, field), s, began); err != nil || c.Offer.Method != "facilitator" {
		t.Errorf("%+v, %v", c, err)
	}
	settled := x402.SettleResponse{Success: true, Transaction: "0xabc", Network: network, Payer: "0x1", Amount: "10000"}
	answer := must(x402.SetMCPSettlement([]byte(`{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"<goods>"}]}}`), settled))
	got, ok, err := x402.MCPSettlement(answer)
	if diff := cmp.Diff(settled, got); diff != "" || !ok || err != nil {
		t.Errorf("%t, %v (-want +got)\n%s", ok, err, diff)
	}
	p.Error = "insufficient_funds"
	golden(t, "mcp.jsonl", []byte(call), asked, paid, answer, must(p.ToolResult()))
}

func TestMCP_Malformed(t *testing.T) {
	for name, message := range map[string]string{
		"no JSON": `{`, "no object": `[]`, "params twice": `{"params":{},"params":{}}`, "_meta twice": `{"params":{"_meta":{},"_meta":{}}}`,
		"the payment twice": `{"params":{"_meta":{"x402/payment":{},"x402/payment":{}}}}`,
	} {
		if _, err := x402.MCPPayment([]byte(message)); !errors.Is(err, x402.ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, message := range []string{`{}`, `{"params":[1]}`, `{"params":{}}`, `{"params":{"_meta":{}}}`, `{"params":{"_meta":null}}`, `{"_meta":{"x402/payment":{}}}`} {
		if _, err := x402.MCPPayment([]byte(message)); !errors.Is(err, payment.ErrNoCredential) {
			t.Errorf("%s: %v", message, err)
		}
	}
	for _, payload := range []string{`"x"`, `[]`, `null`, `{"a":1,"a":2}`} {
		if _, err := x402.MCPPayment([]byte(`{"params":{"_meta":{"x402/payment":` + payload + `}}}`)); !errors.Is(err, x402.ErrJSON) {
			t.Errorf("%s: %v", payload, err)
		}
	}
	if _, err := x402.SetMCPSettlement([]byte(`{"error":{}}`), x402.SettleResponse{}); !errors.Is(err, x402.ErrMessage) {
		t.Errorf("a settlement without a result: %v", err)
	}
	if _, err := (x402.PaymentRequired{}).ToolResult(); !errors.Is(err, x402.ErrMessage) {
		t.Errorf("nothing to accept: %v", err)
	}
	for _, result := range []string{`{`, `{}`, `{"isError":false,"structuredContent":{}}`, `{"isError":true}`, `{"isError":true,"content":[]}`, `{"isError":true,"content":[{"type":"text","text":"failed"}]}`, `{"isError":true,"structuredContent":{"accepts":[]}}`} {
		if p, ok := x402.MCPRequired([]byte(result)); ok {
			t.Errorf("%s asks for %+v", result, p)
		}
	}
	_, _, p := tool(t)
	text := must(json.Marshal(object{"isError": true, "content": []any{object{"type": "text", "text": string(must(json.Marshal(p)))}}}))
	if read, ok := x402.MCPRequired(text); !ok || len(read.Accepts) != 1 {
		t.Errorf("as text alone: %t %+v", ok, read)
	}
}

// TestA2AGolden is one purchase over A2A, message by message.
func TestA2AGolden(t *testing.T) {
	d, s, p := tool(t)
	asked := must(must(x402.NewA2ARequired(p)).Set([]byte(`{"role":"agent","parts":[{"kind":"text","text":"Payment is required."}],"metadata":{"trace":"t1"}}`)))
	read, ok, err := x402.ParseA2A(asked)
	if err != nil || !ok || read.Status != x402.A2ARequired {
		t.Fatalf("%+v, %t, %v", read, ok, err)
	}
	var required x402.PaymentRequired
	if err := x402.Unmarshal(read.Required, &required); err != nil {
		t.Fatal(err)
	}
	paid := must(must(x402.NewA2APayment(pay(required))).Set([]byte(`{"role":"user","taskId":"task-1","parts":[]}`)))
	read, _, err = x402.ParseA2A(paid)
	if err != nil {
		t.Fatal(err)
	}
	field, err := read.Field()
	if err != nil {
		t.Fatal(err)
	}
	if c, err := d.Credential(request(x402.HeaderSignature, field), s, began); err != nil || c.Offer.Method != "facilitator" {
		t.Errorf("%+v, %v", c, err)
	}
	receipt := x402.SettleResponse{Success: true, Transaction: "0xabc", Network: network, Payer: "0x1"}
	done := must(x402.A2A{Status: x402.A2ACompleted, Receipts: []x402.SettleResponse{receipt}}.Set(paid))
	refused := must(x402.A2A{
		Status: x402.A2AFailed, Error: x402.A2AError(&payment.Error{Kind: payment.KindPaymentInsufficient}),
		Receipts: []x402.SettleResponse{{ErrorReason: "insufficient_funds", Network: network}},
	}.Set([]byte(`{"role":"agent","parts":[]}`)))
	for _, m := range [][]byte{done, refused} {
		if got, ok, err := x402.ParseA2A(m); err != nil || !ok || len(got.Receipts) != 1 || len(got.Payload) != 0 {
			t.Errorf("%+v, %t, %v", got, ok, err)
		}
	}
	golden(t, "a2a.jsonl", asked, paid, done, refused)
}

func TestA2A_Malformed(t *testing.T) {
	for _, m := range []string{
		`[]`, `{"metadata":[]}`, `{"metadata":{"x402.payment.status":"paid"}}`, `{"metadata":{"x402.payment.status":1}}`,
		`{"metadata":{"x402.payment.status":"payment-failed","x402.payment.receipts":{}}}`, `{"metadata":{"x402.payment.status":"payment-failed","x402.payment.error":1}}`,
		`{"metadata":{"x402.payment.status":"payment-submitted","x402.payment.payload":"x"}}`, `{"metadata":{},"metadata":{}}`,
	} {
		if a, ok, err := x402.ParseA2A([]byte(m)); err == nil || ok {
			t.Errorf("%s: %+v", m, a)
		}
	}
	for _, m := range []string{`{}`, `{"metadata":{}}`} {
		if a, ok, err := x402.ParseA2A([]byte(m)); err != nil || ok {
			t.Errorf("%s: %+v, %v", m, a, err)
		}
	}
	if _, err := (x402.A2A{}).Set([]byte(`{}`)); !errors.Is(err, x402.ErrMessage) {
		t.Errorf("no status: %v", err)
	}
	if _, err := (x402.A2A{}).Field(); !errors.Is(err, payment.ErrNoCredential) {
		t.Errorf("no payment: %v", err)
	}
	for reason, want := range map[string]string{
		x402.CodeSignature: "INVALID_SIGNATURE", x402.CodeValue: "INVALID_AMOUNT", x402.CodeNonceUsed: "DUPLICATE_NONCE", x402.CodeInvalidNetwork: "NETWORK_MISMATCH", "x": "SETTLEMENT_FAILED",
	} {
		if got := x402.A2AError(&payment.Error{Kind: payment.KindVerificationFailed, Reason: reason}); got != want {
			t.Errorf("%s is %s", reason, got)
		}
	}
	if got := x402.A2AError(payment.Refuse(payment.KindPaymentExpired, "")); got != "EXPIRED_PAYMENT" {
		t.Error(got)
	}
}

// What is said about payment in a message is read as it was said.
func FuzzA2A(f *testing.F) {
	for _, name := range []string{"a2a.jsonl", "mcp.jsonl"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if a, ok, err := x402.ParseA2A(message); ok && err == nil {
			set, err := a.Set([]byte(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			again, ok, err := x402.ParseA2A(set)
			if err != nil || !ok || again.Status != a.Status || again.Error != a.Error || len(again.Receipts) != len(a.Receipts) || (len(again.Payload) > 0) != (len(a.Payload) > 0) {
				t.Errorf("%+v, then %+v, %v", a, again, err)
			}
		}
		field, err := x402.MCPPayment(message)
		if err != nil {
			return
		}
		var p map[string]json.RawMessage
		if err := x402.Decode(field, &p); err != nil && len(field) <= x402.MaxHeaderBytes {
			t.Errorf("%q: %v", message, err)
		}
	})
}

func TestSecretsStayOutOfLogs(t *testing.T) {
	const secret = "leakme"
	raw := json.RawMessage(`{"signature":"` + secret + `"}`)
	var b bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&b, nil))
	for _, v := range []any{
		x402.PaymentPayload{Payload: raw}, x402.PayloadV1{Payload: raw}, x402.VerifyRequest{Payload: raw}, x402.SettleRequest{Payload: raw}, x402.A2A{Payload: raw},
	} {
		log.InfoContext(t.Context(), "paid", "payment", v)
	}
	if strings.Contains(b.String(), secret) || !strings.Contains(b.String(), `"version"`) {
		t.Error(b.String())
	}
}
