package stripe_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/methods/stripe"
)

const testKey = "sk_test_51SecretOfTheTests"

// began is when the processor's clock stands: after every sample payment.
var began = time.Date(2026, 11, 2, 9, 1, 0, 0, time.UTC)

// object is a JSON object of the processor.
type object map[string]any

func (o object) clone() object { return maps.Clone(o) }

// A token's fate when it is charged; empty is success.
type token struct {
	currency  string
	max       int64
	expires   int64
	reason    string // why it is deactivated
	fate      string // decline code, "requires_action", "processing"
	noDetails bool   // the decline has no intent inside
}

type kept struct {
	print   [32]byte
	status  int
	body    []byte
	running bool
}

// A fault stands in for one call: it may answer, or let the processor serve
// first, or drop the connection.
type fault func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter))

type wire struct {
	Method, URI string
	Header      http.Header
	Body        string
}

// processor is the other side: keys, tokens, intents, refunds, in the way the
// real one behaves. It shares no code with the rail.
type processor struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex // guards all that follows
	keys    map[string]*kept
	tokens  map[string]*token
	intents []object
	refunds []object
	dispute object
	faults  map[string][]fault // by operation, played once each
	touch   func(object)       // changes an intent as it is made
	coins   coins
	calls   []wire
	serial  int
}

func newProcessor(t *testing.T) *processor {
	t.Helper()
	p := &processor{t: t, keys: map[string]*kept{}, tokens: map[string]*token{}, faults: map[string][]fault{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *processor) rail(t *testing.T, change ...func(*stripe.Config)) *stripe.Method {
	t.Helper()
	cfg := stripe.Config{
		Key: testKey, Profile: "profile_test_shop", BaseURL: p.URL, Now: func() time.Time { return began },
		WebhookSecrets: []stripe.Secret{webhookSecret, oldWebhookSecret},
	}
	for _, c := range change {
		c(&cfg)
	}
	m, err := stripe.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func (p *processor) mint(tok token) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serial++
	id := fmt.Sprintf("spt_1Test%d", p.serial)
	if tok.currency == "" {
		tok.currency = "usd"
	}
	if tok.max == 0 {
		tok.max = 100_000
	}
	if tok.expires == 0 {
		tok.expires = began.Add(time.Hour).Unix()
	}
	p.tokens[id] = &tok
	return id
}

func (p *processor) play(op string, fs ...fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[op] = append(p.faults[op], fs...)
}

// charged counts intents that succeeded, of a payment or, with "", of all.
func (p *processor) charged(paymentID string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, pi := range p.intents {
		meta := pi["metadata"].(map[string]string)
		if pi["status"] == "succeeded" && (paymentID == "" || meta["paywall_payment"] == paymentID) {
			n++
		}
	}
	return n
}

func (p *processor) sent(op string) []wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []wire
	for _, c := range p.calls {
		if u, _ := url.Parse(c.URI); operation(c.Method, u.Path) == op {
			out = append(out, c)
		}
	}
	return out
}

func (p *processor) edit(f func(pi object)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pi := range p.intents {
		f(pi)
	}
}

func operation(method, path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/v1/"), "/")
	switch {
	case method == http.MethodPost && path == "/v1/payment_intents":
		return "create"
	case method == http.MethodPost && strings.HasSuffix(path, "/cancel"):
		return "cancel"
	case method == http.MethodPost && strings.HasSuffix(path, "/capture"):
		return "capture"
	case path == "/v1/payment_intents/search":
		return "search"
	case path == "/v1/crypto/deposit_addresses" && method == http.MethodPost:
		return "address"
	case path == "/v1/crypto/deposit_addresses":
		return "addresses"
	case path == "/v1/payment_intents":
		return "list"
	case parts[0] == "payment_intents":
		return "get"
	case parts[0] == "refunds" && method == http.MethodPost:
		return "refund"
	case parts[0] == "refunds":
		return "refunds"
	case parts[0] == "disputes":
		return "dispute"
	case strings.HasPrefix(path, "/v1/shared_payment/granted_tokens/"):
		return "token"
	}
	return ""
}

func (p *processor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Errorf("read a request: %v", err)
	}
	op := operation(r.Method, r.URL.Path)
	p.mu.Lock()
	p.calls = append(p.calls, wire{r.Method, r.RequestURI, r.Header.Clone(), string(body)})
	var f fault
	if q := p.faults[op]; len(q) > 0 {
		f, p.faults[op] = q[0], q[1:]
	}
	p.mu.Unlock()
	serve := func(w http.ResponseWriter) { p.keyed(w, r, op, body) }
	if f != nil {
		f(w, r, serve)
		return
	}
	serve(w)
}

// keyed is the idempotency store.
func (p *processor) keyed(w http.ResponseWriter, r *http.Request, op string, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+testKey {
		problem(w, 401, object{"type": "invalid_request_error", "message": "leakme " + r.Header.Get("Authorization")})
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if r.Method != http.MethodPost || key == "" {
		status, answer := p.do(op, r, body)
		respond(w, status, answer)
		return
	}
	print := sha256.Sum256(fmt.Appendf(nil, "%q%q%q%q", r.URL.Path, r.Header.Get("Stripe-Account"), r.Header.Get("Stripe-Version"), body))
	if k := p.keys[key]; k != nil {
		switch {
		case k.print != print:
			problem(w, 400, object{"type": "idempotency_error", "message": "leakme Keys for idempotent requests"})
		case k.running:
			problem(w, 409, object{"type": "idempotency_error", "code": "idempotency_key_in_use", "message": "leakme"})
		default:
			w.Header().Set("Idempotent-Replayed", "true")
			w.Header().Set("Request-Id", "req_replay")
			w.WriteHeader(k.status)
			_, _ = w.Write(k.body)
		}
		return
	}
	status, answer := p.do(op, r, body)
	data, _ := json.Marshal(answer)
	if status != 400 && status != 404 { // refusals of parameters are not kept
		p.keys[key] = &kept{print: print, status: status, body: data}
	}
	respond(w, status, answer)
}

func respond(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Request-Id", "req_test")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func problem(w http.ResponseWriter, status int, e object) { respond(w, status, object{"error": e}) }

func invalid(status int, members object) (int, any) {
	e := object{"type": "invalid_request_error", "message": "leakme"}
	maps.Copy(e, members)
	return status, object{"error": e}
}

func (p *processor) do(op string, r *http.Request, body []byte) (int, any) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return invalid(400, nil)
	}
	last := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch op {
	case "create":
		if form.Get("payment_method_types[0]") == "crypto" {
			return p.createCoin(form)
		}
		return p.create(form)
	case "search":
		return p.search(r.URL.Query().Get("query"))
	case "address":
		return p.makeAddress(form)
	case "addresses":
		want := r.URL.Query().Get("network")
		return 200, page(p.coins.addresses, r.URL.Query(), func(o object) bool { return o["network"] == want })
	case "get":
		if pi := p.intent(last); pi != nil {
			return 200, pi
		}
		return invalid(404, object{"code": "resource_missing", "param": "intent"})
	case "cancel":
		id := strings.Split(r.URL.Path, "/")[3]
		pi := p.intent(id)
		if pi == nil || pi["status"] == "canceled" || pi["status"] == "succeeded" {
			return invalid(400, object{"code": "payment_intent_unexpected_state"})
		}
		pi["status"], pi["amount_capturable"] = "canceled", 0
		return 200, pi
	case "capture":
		pi := p.intent(strings.Split(r.URL.Path, "/")[3])
		units, err := strconv.ParseInt(form.Get("amount_to_capture"), 10, 64)
		if pi == nil || pi["status"] != "requires_capture" || err != nil || units > pi["amount"].(int64) {
			return invalid(400, object{"code": "payment_intent_unexpected_state"})
		}
		pi["status"], pi["amount_received"], pi["amount_capturable"] = "succeeded", units, 0
		pi["latest_charge"] = object{"id": "ch_" + pi["id"].(string)[3:], "paid": true, "captured": true, "amount_refunded": 0}
		return 200, pi
	case "list":
		return 200, page(p.intents, r.URL.Query(), func(object) bool { return true })
	case "token":
		t := p.tokens[last]
		if t == nil {
			return invalid(404, object{"code": "resource_missing", "param": "id"})
		}
		o := object{
			"id": last, "object": "shared_payment.granted_token", "livemode": false, "deactivated_at": nil, "deactivated_reason": nil,
			"usage_limits": object{"currency": t.currency, "max_amount": t.max, "expires_at": t.expires},
		}
		if t.reason != "" {
			o["deactivated_at"], o["deactivated_reason"] = began.Unix(), t.reason
		}
		return 200, o
	case "refund":
		return p.refund(form)
	case "refunds":
		want := r.URL.Query().Get("payment_intent")
		return 200, page(p.refunds, r.URL.Query(), func(o object) bool { return o["payment_intent"] == want })
	case "dispute":
		if p.dispute != nil && p.dispute["id"] == last {
			return 200, p.dispute
		}
		return invalid(404, object{"code": "resource_missing", "param": "dispute"})
	}
	return invalid(404, nil)
}

func page(all []object, q url.Values, take func(object) bool) object {
	limit, _ := strconv.Atoi(q.Get("limit"))
	since, _ := strconv.ParseInt(q.Get("created[gte]"), 10, 64)
	out, after, more := []object{}, q.Get("starting_after"), false
	for _, o := range slices.Backward(all) {
		if after != "" {
			if o["id"] == after {
				after = ""
			}
			continue
		}
		if !take(o) || o["created"].(int64) < since {
			continue
		}
		if len(out) == limit {
			more = true
			break
		}
		out = append(out, o)
	}
	return object{"object": "list", "data": out, "has_more": more}
}

func (p *processor) intent(id string) object {
	for _, pi := range p.intents {
		if pi["id"] == id {
			return pi
		}
	}
	return nil
}

func metadata(form url.Values) map[string]string {
	out := map[string]string{}
	for k := range form {
		if name, ok := strings.CutPrefix(k, "metadata["); ok {
			out[strings.TrimSuffix(name, "]")] = form.Get(k)
		}
	}
	return out
}

func (p *processor) create(form url.Values) (int, any) {
	amount, err := strconv.ParseInt(form.Get("amount"), 10, 64)
	if err != nil || amount < 50 {
		return invalid(400, object{"code": "amount_too_small", "param": "amount"})
	}
	spt := form.Get("payment_method_data[shared_payment_granted_token]") + form.Get("shared_payment_granted_token")
	t := p.tokens[spt]
	switch {
	case form.Get("confirm") != "true":
	case t == nil:
		return invalid(404, object{"code": "resource_missing", "param": "payment_method_data[shared_payment_granted_token]"})
	case t.reason != "", t.max < amount, t.currency != form.Get("currency"):
		return invalid(400, nil)
	}
	p.serial++
	pi := object{
		"id": fmt.Sprintf("pi_Test%d", p.serial), "object": "payment_intent", "status": "requires_payment_method",
		"amount": amount, "amount_received": 0, "currency": form.Get("currency"), "livemode": false, "created": began.Unix(),
		"metadata": metadata(form), "latest_charge": nil, "last_payment_error": nil, "client_secret": "leakme",
		"application_fee_amount": nil, "transfer_data": nil,
	}
	if fee, err := strconv.Atoi(form.Get("application_fee_amount")); err == nil {
		pi["application_fee_amount"] = fee
	}
	if d := form.Get("transfer_data[destination]"); d != "" {
		pi["transfer_data"] = object{"destination": d}
	}
	if p.touch != nil {
		defer p.touch(pi)
	}
	p.intents = append(p.intents, pi)
	switch {
	case form.Get("confirm") != "true":
		return 200, pi
	case t.fate == "requires_action", t.fate == "processing":
		pi["status"] = t.fate
		return 200, pi
	case t.fate != "":
		pi["last_payment_error"] = object{"type": "card_error", "code": "card_declined", "decline_code": t.fate}
		e := object{"type": "card_error", "code": "card_declined", "decline_code": t.fate, "message": "leakme", "payment_intent": pi}
		if t.noDetails {
			delete(e, "payment_intent")
		}
		return 402, object{"error": e}
	}
	t.reason = "consumed"
	if form.Get("capture_method") == "manual" {
		pi["status"], pi["amount_capturable"] = "requires_capture", amount
		pi["latest_charge"] = object{"id": "ch_" + pi["id"].(string)[3:], "paid": true, "captured": false, "amount_refunded": 0}
		return 200, pi
	}
	pi["status"], pi["amount_received"] = "succeeded", amount
	pi["latest_charge"] = object{"id": "ch_" + pi["id"].(string)[3:], "paid": true, "captured": true, "amount_refunded": 0}
	return 200, pi
}

func (p *processor) refund(form url.Values) (int, any) {
	pi := p.intent(form.Get("payment_intent"))
	if pi == nil {
		return invalid(404, object{"code": "resource_missing", "param": "payment_intent"})
	}
	return p.payBack(pi, metadata(form), 0)
}

// payBack refunds units of an intent, or all that is left.
func (p *processor) payBack(pi object, meta map[string]string, units int64) (int, any) {
	left := pi["amount"].(int64)
	for _, re := range p.refunds {
		if re["payment_intent"] == pi["id"] && (re["status"] == "succeeded" || re["status"] == "pending") {
			left -= re["amount"].(int64)
		}
	}
	if left == 0 {
		return invalid(400, object{"code": "charge_already_refunded"})
	}
	if units == 0 {
		units = left
	}
	p.serial++
	re := object{
		"id": fmt.Sprintf("re_Test%d", p.serial), "object": "refund", "status": "succeeded", "amount": units,
		"currency": pi["currency"], "payment_intent": pi["id"], "metadata": meta, "created": began.Unix(),
	}
	p.refunds = append(p.refunds, re)
	charge := pi["latest_charge"].(object).clone()
	charge["amount_refunded"] = pi["amount"].(int64) - left + units
	pi["latest_charge"] = charge
	return 200, re
}

// Faults.

func answer(status int, body string, header ...string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ func(http.ResponseWriter)) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// drop cuts the connection, before or after the processor has done its work.
func drop(after bool) fault {
	return func(_ http.ResponseWriter, _ *http.Request, serve func(http.ResponseWriter)) {
		if after {
			serve(httptest.NewRecorder())
		}
		panic(http.ErrAbortHandler)
	}
}

// instead does the work and answers something else.
func instead(f fault) fault {
	return func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) {
		serve(httptest.NewRecorder())
		f(w, r, nil)
	}
}

// keepFault stores a 500 under the key, with the work done or not.
func (p *processor) keepFault(done bool) fault {
	return func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) {
		if done {
			serve(httptest.NewRecorder())
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		body := p.calls[len(p.calls)-1].Body
		print := sha256.Sum256(fmt.Appendf(nil, "%q%q%q%q", r.URL.Path, r.Header.Get("Stripe-Account"), r.Header.Get("Stripe-Version"), body))
		data := []byte(`{"error":{"type":"api_error","message":"leakme"}}`)
		p.keys[r.Header.Get("Idempotency-Key")] = &kept{print: print, status: 500, body: data}
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(data)
	}
}
