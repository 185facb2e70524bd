package mpp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paywall/mpp"
	"paywall/payment"
)

// nativeRequest is what travels inside a challenge of offer(…, "stripe", 100).
const nativeRequest = `{"amount":"100","currency":"usd","methodDetails":{"networkId":"profile_1","paymentMethodTypes":["card","link"]}}`

// fixed is a challenge of which every byte is known.
func fixed(t *testing.T) (payment.Dialect, mpp.Challenge) {
	t.Helper()
	d := compile(t, mpp.Config{Rand: zero{}}, offer(t, "stripe", 100))
	return d, challenges(t, d, bodyScope())[0]
}

// fill puts the values of a challenge into a template of what must come out.
func fill(c mpp.Challenge, s string) string {
	s = strings.ReplaceAll(s, "$CHALLENGE", `{"id":"$ID","realm":"api.example.com","method":"stripe","intent":"charge","description":"one report",`+
		`"digest":"$DIGEST","expires":"2026-11-01T12:05:00Z","opaque":"$OPAQUE","request":`+nativeRequest+`}`)
	return strings.NewReplacer("$ID", c.ID, "$DIGEST", c.Digest, "$OPAQUE", c.Opaque).Replace(s)
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestMCPGolden is one purchase over JSON-RPC, message by message.
func TestMCPGolden(t *testing.T) {
	d, c := fixed(t)
	problem := json.RawMessage(`{"type":"https://paymentauth.org/problems/payment-required","status":402}`)
	required := mpp.NewMCPError(&payment.Error{Kind: payment.KindPaymentRequired, Detail: "Payment is required."}, 402, []mpp.Challenge{c}, problem)
	const data = `{"httpStatus":402,"challenges":[$CHALLENGE],"problem":{"type":"https://paymentauth.org/problems/payment-required","status":402}}`
	if got, want := marshal(t, required), fill(c, `{"code":-32042,"message":"Payment is required.","data":`+data+`}`); got != want {
		t.Errorf("error\n%s\nwant\n%s", got, want)
	}
	result, err := required.ToolResult()
	if want := fill(c, `{"content":[{"type":"text","text":"Payment is required."}],"isError":true,"_meta":{"org.paymentauth/payment-required":`+data+`}}`); err != nil || string(result) != want {
		t.Errorf("tool result\n%s, %v\nwant\n%s", result, err, want)
	}

	// The client reads it and answers.
	var read mpp.MCPError
	if err := json.Unmarshal([]byte(marshal(t, required)), &read); err != nil || !cmp.Equal(read, required) {
		t.Errorf("read %+v, %v", read, err)
	}
	cred, err := mpp.NewCredential(read.Challenges[0], []byte(spt))
	if err != nil {
		t.Fatal(err)
	}
	const call = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"report","arguments":{"n":12345678901234567890,"html":"<a&b>"},"_meta":{"progressToken":1}}}`
	request, err := mpp.SetMCPCredential([]byte(call), cred)
	if err != nil {
		t.Fatal(err)
	}
	want := fill(c, `{"id":7,"jsonrpc":"2.0","method":"tools/call","params":{"_meta":{"org.paymentauth/credential":{"challenge":$CHALLENGE,"payload":{"spt":"spt_secret"}},"progressToken":1},"arguments":{"n":12345678901234567890,"html":"<a&b>"},"name":"report"}}`)
	if string(request) != want {
		t.Errorf("request\n%s\nwant\n%s", request, want)
	}

	// The server takes it to the dialect that issued it, which finds its binding whole.
	got, err := mpp.MCPCredential(request)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(cred, got); d != "" {
		t.Errorf("credential (-want +got)\n%s", d)
	}
	r := &http.Request{Header: http.Header{}}
	if err := got.Set(r.Header); err != nil {
		t.Fatal(err)
	}
	over, err := d.Credential(r, bodyScope(), began)
	if err != nil || over.ChallengeID != c.ID {
		t.Fatalf("%+v, %v", over, err)
	}

	// And the receipt goes back.
	h := http.Header{}
	if err := d.Receipt(h, payment.Payment{Method: "stripe", Reference: "pi_1", ChallengeID: "ch", SettledAt: began}, ""); err != nil {
		t.Fatal(err)
	}
	receipt, err := mpp.ParseReceipt(h.Get(mpp.PaymentReceipt))
	if err != nil {
		t.Fatal(err)
	}
	response, err := mpp.SetMCPReceipt([]byte(`{"jsonrpc":"2.0","id":7,"result":{"content":[]}}`), receipt)
	if want := `{"id":7,"jsonrpc":"2.0","result":{"_meta":{"org.paymentauth/receipt":{"challengeId":"ch","method":"stripe","reference":"pi_1","status":"success","timestamp":"2026-11-01T12:00:00Z"}},"content":[]}}`; err != nil || string(response) != want {
		t.Errorf("response\n%s, %v\nwant\n%s", response, err, want)
	}
	if back, err := mpp.MCPReceipt(response); err != nil || !cmp.Equal(back, receipt) {
		t.Errorf("receipt %+v, %v", back, err)
	}
}

func TestMCPCodes(t *testing.T) {
	_, c := fixed(t)
	codes := map[payment.Kind]int{
		payment.KindPaymentRequired:  -32042,
		payment.KindInvalidChallenge: -32043, payment.KindPaymentExpired: -32043, payment.KindVerificationFailed: -32043,
		payment.KindPaymentInsufficient: -32043, payment.KindActionRequired: -32043, payment.KindMethodUnsupported: -32043,
		payment.KindMalformedCredential: -32602, payment.KindInvalidPayload: -32602, payment.KindBadRequest: -32602,
		payment.KindInternal: -32603, payment.KindPending: -32603, payment.KindInProgress: -32603, payment.KindPaused: -32603, payment.KindBusy: -32603,
	}
	for _, k := range payment.Kinds() {
		want, ok := codes[k]
		if got := mpp.Code(k); !ok || got != want {
			t.Errorf("%s: code %d, want %d", k, got, want)
		}
		e := mpp.NewMCPError(&payment.Error{Kind: k, Err: errors.New("spt_secret")}, 0, []mpp.Challenge{c}, nil)
		wire := marshal(t, e)
		// I13: an outcome that is not known never asks for another payment.
		if asks := strings.Contains(wire, `"challenges"`); asks == k.Unsettled() {
			t.Errorf("%s asks for a payment: %v", k, asks)
		}
		if strings.Contains(wire, "spt_secret") || e.Message != k.String() {
			t.Errorf("%s: %s", k, wire)
		}
	}
	if got := mpp.Code(payment.Kind(99)); got != mpp.CodeInternal {
		t.Errorf("a kind of tomorrow is %d", got)
	}
	if _, err := json.Marshal(mpp.MCPError{Code: mpp.CodePaymentRequired}); !errors.Is(err, mpp.ErrMCP) {
		t.Errorf("payment required with nothing to pay: %v", err)
	}
	if _, err := (mpp.MCPError{Code: mpp.CodePaymentRequired, Challenges: []mpp.Challenge{{}}}).ToolResult(); !errors.Is(err, mpp.ErrFormat) {
		t.Errorf("a challenge of nothing: %v", err)
	}
}

// TestMCPPlaces: both places of _meta, and everything that may be there instead.
func TestMCPPlaces(t *testing.T) {
	_, c := fixed(t)
	cred, err := mpp.NewCredential(c, []byte(spt))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := cred.Meta()
	if err != nil {
		t.Fatal(err)
	}
	v := string(raw)
	spaced := strings.Replace(v, `"payload":{`, `"payload": { `, 1)
	other := strings.Replace(v, "spt_secret", "spt_b", 1)
	meta := func(v string) string { return `"_meta":{"org.paymentauth/credential":` + v + `}` }
	for name, tt := range map[string]struct {
		in   string
		want error
	}{
		"in params":            {`{"id":1,"params":{` + meta(v) + `}}`, nil},
		"beside, root":         {`{"id":1,"params":{"a":1},` + meta(v) + `}`, nil},
		"root, no params":      {`{"id":1,` + meta(v) + `}`, nil},
		"root, list of params": {`{"id":1,"params":[1,2],` + meta(v) + `}`, nil},
		"the same in both":     {`{"params":{` + meta(v) + `},` + meta(v) + `}`, nil},
		"one, spelt twice":     {`{"params":{` + meta(v) + `},` + meta(spaced) + `}`, nil},
		"hostile arguments": {
			`{"params":{"arguments":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `,"n":1e999,` + meta(v) + `}}`, nil,
		},
		"two in two places":          {`{"params":{` + meta(v) + `},` + meta(other) + `}`, mpp.ErrSeveralCredentials},
		"A016 key twice":             {`{"params":{"_meta":{"org.paymentauth/credential":` + v + `,"org.paymentauth/credential":` + other + `}}}`, mpp.ErrMCP},
		"A016 _meta twice":           {`{"params":{` + meta(v) + `,` + meta(other) + `}}`, mpp.ErrMCP},
		"A016 params twice":          {`{"params":{},"params":{` + meta(v) + `}}`, mpp.ErrMCP},
		"A016 _meta in escapes":      {`{"params":{` + meta(v) + `,"\u005fmeta":{}}}`, mpp.ErrMCP},
		"A016 token twice":           {`{"params":{` + meta(strings.Replace(v, `"payload":{`, `"payload":{"spt":"spt_b",`, 1)) + `}}`, mpp.ErrMalformed},
		"none":                       {`{"params":{"_meta":{"progressToken":1}}}`, payment.ErrNoCredential},
		"no _meta":                   {`{"params":{}}`, payment.ErrNoCredential},
		"_meta is a list":            {`{"params":{"_meta":[]}}`, payment.ErrNoCredential},
		"in a tool's arguments":      {`{"params":{"arguments":{` + meta(v) + `}}}`, payment.ErrNoCredential},
		"a batch":                    {`[{"params":{` + meta(v) + `}}]`, mpp.ErrMCP},
		"not json":                   {`{`, mpp.ErrMCP},
		"nothing":                    {``, mpp.ErrMCP},
		"trailing data":              {`{"params":{` + meta(v) + `}}{}`, mpp.ErrMCP},
		"null":                       {`{"params":{` + meta("null") + `}}`, mpp.ErrMalformed},
		"a string":                   {`{"params":{` + meta(`"Payment x"`) + `}}`, mpp.ErrMalformed},
		"garbage in the other":       {`{"params":{` + meta(v) + `},` + meta(`{}`) + `}`, mpp.ErrMalformed},
		"request encoded":            {`{"params":{` + meta(strings.Replace(v, nativeRequest, `"`+c.Request+`"`, 1)) + `}}`, mpp.ErrMalformed},
		"no request":                 {`{"params":{` + meta(strings.Replace(v, `"request":`, `"r":`, 1)) + `}}`, mpp.ErrMalformed},
		"A017 REQUEST beside":        {`{"params":{` + meta(strings.Replace(v, `"request":`, `"REQUEST":{},"request":`, 1)) + `}}`, mpp.ErrMalformed},
		"A018 inexact number":        {`{"params":{` + meta(strings.Replace(v, `"amount":"100"`, `"amount":9007199254740993`, 1)) + `}}`, mpp.ErrMalformed},
		"no payload":                 {`{"params":{` + meta(strings.Replace(v, `"payload"`, `"p"`, 1)) + `}}`, mpp.ErrMalformed},
		"source is a number":         {`{"params":{` + meta(strings.Replace(v, `"payload"`, `"source":1,"payload"`, 1)) + `}}`, mpp.ErrMalformed},
		"A024 longer than it may be": {`{"params":{` + meta(strings.Replace(v, `"payload":{`, `"payload":{"x":"`+strings.Repeat("x", 17<<10)+`",`, 1)) + `}}`, mpp.ErrMalformed},
	} {
		got, err := mpp.MCPCredential([]byte(tt.in))
		if !errors.Is(err, tt.want) || tt.want == nil && !cmp.Equal(got, cred) {
			t.Errorf("%s: %+v, %v; want %v", name, got.Challenge, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "spt_") {
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
	}
}

// TestMCPBinding: whatever spelling a client gives the request, the binding is over
// its canonical form; any other value does not verify.
func TestMCPBinding(t *testing.T) {
	d, c := fixed(t)
	cred, err := mpp.NewCredential(c, []byte(spt))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := cred.Meta()
	if err != nil {
		t.Fatal(err)
	}
	var opaque map[string]any
	if err := json.Unmarshal(decode(t, c.Opaque), &opaque); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		old, now string
		ok       bool
	}{
		"as it was":        {"{", "{", true},
		"order of members": {`"amount":"100","currency":"usd"`, `"currency":"usd", "amount":"100"`, true},
		"escapes":          {`"amount":"100"`, `"amount":"\u0031\u0030\u0030"`, true},
		"opaque as object": {`"` + c.Opaque + `"`, marshal(t, opaque), true},
		"A007 amount":      {`"amount":"100"`, `"amount":"1"`, false},
		"A007 one more":    {`"amount":"100"`, `"amount":"100","x":""`, false},
		"A018 number":      {`"amount":"100"`, `"amount":100`, false},
		"A005 realm":       {`api.example.com`, `api.example.org`, false},
		"A012 expires":     {`12:05:00Z`, `13:05:00Z`, false},
	} {
		in := strings.Replace(string(raw), tt.old, tt.now, 1)
		if in == string(raw) && tt.old != tt.now {
			t.Fatalf("%s changes nothing", name)
		}
		got, err := mpp.ParseMeta([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := &http.Request{Header: http.Header{}}
		if err := got.Set(r.Header); err != nil {
			t.Fatal(err)
		}
		_, err = d.Credential(r, bodyScope(), began)
		if tt.ok != (err == nil) || err != nil && kindOf(t, err) != payment.KindInvalidChallenge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMCPReceiptPlaces(t *testing.T) {
	const v = `{"status":"success","method":"stripe","timestamp":"2026-11-01T12:00:00Z","challengeId":"ch"}`
	meta := func(v string) string { return `"_meta":{"org.paymentauth/receipt":` + v + `}` }
	for name, tt := range map[string]struct {
		in string
		ok bool
	}{
		"in the result": {`{"result":{` + meta(v) + `}}`, true}, "beside it": {`{"result":7,` + meta(v) + `}`, true},
		"no receipt": {`{"result":{}}`, false}, "no challenge id": {`{"result":{` + meta(strings.Replace(v, "challengeId", "c", 1)) + `}}`, false},
		"a failure": {`{"result":{` + meta(strings.Replace(v, "success", "failed", 1)) + `}}`, false}, "no time": {`{"result":{` + meta(strings.Replace(v, "2026", "x", 1)) + `}}`, false},
		"a list": {`{"result":{` + meta("[]") + `}}`, false}, "twice": {`{"result":{` + meta(v) + `,` + meta(v) + `}}`, false},
		"reference is a number": {`{"result":{` + meta(strings.Replace(v, "{", `{"reference":1,`, 1)) + `}}`, false},
		"too long":              {`{"result":{` + meta(strings.Replace(v, "{", `{"x":"`+strings.Repeat("x", 17<<10)+`",`, 1)) + `}}`, false},
	} {
		r, err := mpp.MCPReceipt([]byte(tt.in))
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, mpp.ErrReceipt) && !errors.Is(err, mpp.ErrMCP) || tt.ok && r.Method != "stripe" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	good := mpp.Receipt{Status: "success", Method: "stripe", Timestamp: "2026-11-01T12:00:00Z", Extra: map[string]json.RawMessage{"challengeId": json.RawMessage(`"ch"`)}}
	for _, response := range []string{`{"error":{"code":1}}`, `{"id":1}`, `{"result":{},"error":{}}`, `[]`, `{"result":[]}`, `{"result":{"_meta":7}}`} {
		if out, err := mpp.SetMCPReceipt([]byte(response), good); !errors.Is(err, mpp.ErrMCP) {
			t.Errorf("%s: %s, %v", response, out, err)
		}
	}
	if out, err := good.Meta(); err != nil || bytes.Contains(out, []byte("reference")) {
		t.Errorf("a receipt without a reference: %s, %v", out, err)
	}
	good.Extra = nil
	if _, err := good.Meta(); !errors.Is(err, mpp.ErrReceipt) {
		t.Errorf("a receipt without its challenge: %v", err)
	}
}

func TestMCPCapability(t *testing.T) {
	session := offer(t, "tempo", 5)
	session.Intent = "session"
	got, err := mpp.Capability([]payment.Offer{offer(t, "stripe", 100), offer(t, "tempo", 100), session, offer(t, "stripe", 200)})
	if want := `{"payment":{"methods":{"stripe":{"intents":["charge"]},"tempo":{"intents":["charge","session"]}}}}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if _, err := mpp.Capability([]payment.Offer{{Method: "Stripe", Intent: "charge"}}); !errors.Is(err, mpp.ErrFormat) {
		t.Errorf("a method that cannot be written: %v", err)
	}
	if accept := mpp.AcceptCapability(got); accept != "stripe/charge, tempo/charge, tempo/session" {
		t.Errorf("accept %q", accept)
	}
	for _, in := range []string{``, `[]`, `{}`, `{"payment":{"methods":[]}}`, `{"payment":{"methods":{"a/b, c":{"intents":["charge"]},"stripe":{"intents":["x\r\ny"]}}}}`} {
		if accept := mpp.AcceptCapability([]byte(in)); accept != "" {
			t.Errorf("%s: %q", in, accept)
		}
	}
	// It chooses as the field does.
	d := compile(t, mpp.Config{}, offer(t, "stripe", 100), offer(t, "tempo", 5))
	cs := challenges(t, d, bodyScope(), mpp.AcceptCapability([]byte(`{"payment":{"methods":{"tempo":{"intents":["charge"]}}}}`)))
	if len(cs) != 1 || cs[0].Method != "tempo" {
		t.Errorf("offered %v", cs)
	}
}

func TestNativeRefusals(t *testing.T) {
	for name, in := range map[string]string{
		"list": `[]`, "nothing": ``, "no id": `{"realm":"r","method":"stripe","intent":"charge","request":{}}`,
		"encoded request": `{"id":"i","realm":"r","method":"stripe","intent":"charge","request":"e30"}`,
		"method":          `{"id":"i","realm":"r","method":"Stripe","intent":"charge","request":{}}`,
		"twice":           `{"id":"i","id":"j","realm":"r","method":"stripe","intent":"charge","request":{}}`,
		"too long":        `{"id":"i","realm":"r","method":"stripe","intent":"charge","request":{"x":"` + strings.Repeat("x", 17<<10) + `"}}`,
	} {
		if c, err := mpp.ParseNative([]byte(in)); !errors.Is(err, mpp.ErrParse) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	var e mpp.MCPError
	if err := json.Unmarshal([]byte(`{"code":-32042,"message":"m","data":{"httpStatus":402,"challenges":[{"id":1},{"id":"i","realm":"r","method":"stripe","intent":"charge","request":{}}]}}`), &e); err != nil || len(e.Challenges) != 1 || e.Challenges[0].Request != "e30" {
		t.Errorf("a malformed challenge beside a good one: %+v, %v", e, err)
	}
	for _, in := range []string{`{"code":"x"}`, `{"code":1,"message":"m","data":[]}`, `7`} {
		if err := json.Unmarshal([]byte(in), &e); err == nil {
			t.Errorf("%s is an error member", in)
		}
	}
}

func FuzzMCPCredential(f *testing.F) {
	const challenge = `{"id":"i","realm":"r","method":"stripe","intent":"charge","request":{"amount":"1"}}`
	f.Add([]byte(`{"params":{"_meta":{"org.paymentauth/credential":{"challenge":` + challenge + `,"payload":{"spt":"a"}}}}}`))
	f.Add([]byte(`{"_meta":{"org.paymentauth/credential":{"challenge":` + challenge + `,"payload":{}, "source":"s"}}, "params":[]}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		c, err := mpp.MCPCredential(message)
		if err != nil {
			return
		}
		// What is read can be written over both transports, and is the same there.
		hash, err := c.Hash()
		if err != nil {
			t.Fatalf("%q has no hash: %v", message, err)
		}
		if meta, err := c.Meta(); err == nil {
			again, err := mpp.ParseMeta(meta)
			if h, herr := again.Hash(); err != nil && len(meta) <= mpp.MaxCredentialBytes || err == nil && (herr != nil || h != hash || again.Challenge != c.Challenge) {
				t.Errorf("%q over mcp: %+v, %v", message, again, err)
			}
		}
		if field, err := c.Format(); err == nil {
			again, err := mpp.ParseCredential(field)
			if h, herr := again.Hash(); err != nil && len(field) <= mpp.MaxCredentialBytes || err == nil && (herr != nil || h != hash || again.Challenge != c.Challenge) {
				t.Errorf("%q over http: %+v, %v", message, again, err)
			}
		}
	})
}

func FuzzMCPMeta(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"params":{"a":[1,2],"_meta":{"x":1}}}`))
	f.Add([]byte(`{"result":{}}`))
	c := mpp.Challenge{ID: "i", Realm: "r", Method: "stripe", Intent: "charge", Request: "e30"}
	f.Fuzz(func(t *testing.T, message []byte) {
		out, err := mpp.SetMCPCredential(message, mpp.Credential{Challenge: c, Payload: json.RawMessage(`{"spt":"a"}`)})
		if err != nil {
			return
		}
		// What was put in is found, alone or beside another that was there already,
		// and nothing else changed.
		got, err := mpp.MCPCredential(out)
		if err == nil && got.Challenge != c {
			t.Errorf("%q: found %+v", message, got)
		}
		if err != nil && !bytes.Contains(message, []byte("_meta")) && !bytes.Contains(message, []byte(`\u`)) {
			t.Errorf("%q: %v", message, err)
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal(message, &before) != nil || json.Unmarshal(out, &after) != nil {
			t.Fatalf("%q became %q", message, out)
		}
		for name, v := range before {
			if name != "params" && !equal(t, v, after[name]) {
				t.Errorf("%s was %s and is %s", name, v, after[name])
			}
		}
	})
}

func equal(t *testing.T, a, b json.RawMessage) bool {
	t.Helper()
	var x, y bytes.Buffer
	if json.Compact(&x, a) != nil || json.Compact(&y, b) != nil {
		t.Fatalf("%q or %q is not json", a, b)
	}
	return bytes.Equal(x.Bytes(), y.Bytes())
}
