package stripe_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paywall/methods/stripe"
	"paywall/money"
	"paywall/payment"
)

// coins are the stablecoins of the processor: addresses, and what arrived on them.
type coins struct {
	addresses []object
	seen      map[string]int64 // cents by transaction that the processor sees on the chain
	status    string           // of the next entries; empty is succeeded
}

func (p *processor) makeAddress(form url.Values) (int, any) {
	p.serial++
	a := object{
		"id": fmt.Sprintf("cda_Test%d", p.serial), "object": "crypto.deposit_address", "network": form.Get("network"), "customer": nil,
		"address": fmt.Sprintf("0xABcd%036d", p.serial), "livemode": false, "created": began.Unix(), "metadata": metadata(form),
	}
	p.coins.addresses = append(p.coins.addresses, a)
	return 200, a
}

// arrive puts a transfer where the processor sees it.
func (p *processor) arrive(hash string, cents int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.coins.seen == nil {
		p.coins.seen = map[string]int64{}
	}
	p.coins.seen[hash] = cents
}

func (p *processor) createCoin(form url.Values) (int, any) {
	const seen = "payment_method_options[crypto][transaction_verification_options]"
	hash := form.Get(seen + "[transaction_hash]")
	amount, err := strconv.ParseInt(form.Get("amount"), 10, 64)
	cents, ok := p.coins.seen[hash]
	switch {
	case form.Get("confirm") != "true" || form.Get("currency") != "usd" || form.Get("payment_method_data[type]") != "crypto",
		form.Get("payment_method_options[crypto][mode]") != "transaction_verification" || form.Get(seen+"[network]") != "base":
		return invalid(400, object{"code": "parameter_missing"})
	case err != nil || amount < 1:
		return invalid(400, object{"code": "amount_too_small", "param": "amount"})
	case !ok || amount > cents:
		return invalid(400, object{"param": seen + "[transaction_hash]"})
	}
	for _, pi := range p.intents {
		if pi["metadata"].(map[string]string)["paywall_transaction"] == hash && pi["status"] == "succeeded" {
			return invalid(400, object{"param": seen + "[transaction_hash]"})
		}
	}
	p.serial++
	pi := object{
		"id": fmt.Sprintf("pi_Test%d", p.serial), "object": "payment_intent", "status": "succeeded", "amount": amount, "amount_received": amount,
		"currency": "usd", "livemode": false, "created": began.Unix(), "metadata": metadata(form), "latest_charge": nil, "last_payment_error": nil,
	}
	if p.coins.status != "" {
		pi["status"], pi["amount_received"] = p.coins.status, 0
	}
	if p.touch != nil {
		p.touch(pi)
	}
	p.intents = append(p.intents, pi)
	return 200, pi
}

func (p *processor) search(q string) (int, any) {
	name, value, ok := strings.Cut(strings.TrimPrefix(q, "metadata['"), "']:'")
	if !ok || !strings.HasSuffix(value, "'") {
		return invalid(400, nil)
	}
	out := []object{}
	for _, pi := range p.intents {
		if pi["metadata"].(map[string]string)[name] == strings.TrimSuffix(value, "'") {
			out = append(out, pi)
		}
	}
	return 200, object{"object": "search_result", "data": out, "has_more": false}
}

// entered is what was entered for a payment, in cents, and how often.
func (p *processor) entered(paymentID string) (cents int64, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pi := range p.intents {
		if pi["status"] == "succeeded" && (paymentID == "" || pi["metadata"].(map[string]string)["paywall_transfer"] == paymentID) {
			cents += pi["amount"].(int64)
			n++
		}
	}
	return cents, n
}

func hashOf(n int) string { return fmt.Sprintf("0x%064x", n+1) }

func usd(t testing.TB, cents int64) money.Amount {
	t.Helper()
	a, err := money.New(cents, "USD", 2)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func deposits(t *testing.T, m *stripe.Method) *stripe.Deposits {
	t.Helper()
	d, err := stripe.NewDeposits(stripe.CoinConfig{Rail: m})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDepositAddressIsMadeOnce(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t, func(c *stripe.Config) { c.Account = "acct_shop" })
	d := deposits(t, m)
	const want = "0xabcd000000000000000000000000000000000001" // in lower case
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := d.Address(t.Context(), "eip155:84532"); err != nil || got != want {
				t.Errorf("address %s, %v", got, err)
			}
		})
	}
	wg.Wait()
	if got, err := d.Address(t.Context(), "base"); err != nil || got != want {
		t.Errorf("by the processor's name: %s, %v", got, err)
	}
	// Another process finds it.
	if got, err := deposits(t, m).Address(t.Context(), "base"); err != nil || got != want {
		t.Errorf("found again: %s, %v", got, err)
	}
	made, listed := pr.sent("address"), pr.sent("addresses")
	if len(made) != 1 || len(listed) != 2 {
		t.Fatalf("%d made and %d lists, want 1 and 2", len(made), len(listed))
	}
	if made[0].Body != "metadata[paywall_deposit]=true&network=base" || made[0].Header.Get("Stripe-Version") != "2026-05-27.preview" ||
		made[0].Header.Get("Stripe-Account") != "acct_shop" || !strings.HasPrefix(made[0].Header.Get("Idempotency-Key"), "pw1d_") {
		t.Errorf("sent %+v", made[0])
	}
	if listed[0].URI != "/v1/crypto/deposit_addresses?limit=100&network=base" {
		t.Errorf("listed %s", listed[0].URI)
	}
}

// A lost answer, or a second process at the same moment, must not make a second
// address: half of the payers would be shown one, and half the other.
func TestDepositAddressAfterALostAnswer(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	pr.play("address", drop(true), drop(true))
	if _, err := deposits(t, m).Address(t.Context(), "base"); !errors.Is(err, stripe.ErrTransport) {
		t.Fatalf("err = %v", err)
	}
	pr.play("addresses", answer(200, `{"object":"list","data":[],"has_more":false}`)) // the other one has looked before
	got, err := deposits(t, m).Address(t.Context(), "base")
	if err != nil || len(pr.coins.addresses) != 1 || !strings.EqualFold(got, pr.coins.addresses[0]["address"].(string)) {
		t.Errorf("%s, %v; %d addresses", got, err, len(pr.coins.addresses))
	}
}

func TestDepositAddressAmongSeveral(t *testing.T) {
	address := func(n int, change func(object)) object {
		o := object{
			"id": fmt.Sprintf("cda_%d", n), "network": "base", "address": fmt.Sprintf("0x%040d", n), "customer": nil, "livemode": false,
			"created": began.Unix() + int64(n), "metadata": map[string]string{},
		}
		if change != nil {
			change(o)
		}
		return o
	}
	ours := func(o object) { o["metadata"] = map[string]string{"paywall_deposit": "true"} }
	for _, tt := range []struct {
		name string
		have []object
		want string // empty is one that is made
	}{
		{"the oldest", []object{address(1, nil), address(2, nil)}, "0x0000000000000000000000000000000000000001"},
		{"the oldest of ours", []object{address(1, nil), address(2, ours), address(3, ours)}, "0x0000000000000000000000000000000000000002"},
		{"none of a customer", []object{address(1, func(o object) { o["customer"] = "cus_1" })}, ""},
		{"none of another network", []object{address(1, func(o object) { o["network"] = "tempo" })}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			pr.coins.addresses = tt.have
			got, err := deposits(t, pr.rail(t)).Address(t.Context(), "base")
			if err != nil || tt.want != "" && got != tt.want || tt.want == "" && len(pr.coins.addresses) != len(tt.have)+1 {
				t.Errorf("address %s, %v", got, err)
			}
		})
	}
	t.Run("on the second page", func(t *testing.T) {
		pr := newProcessor(t)
		for n := range 130 {
			pr.coins.addresses = append(pr.coins.addresses, address(n+1, nil))
		}
		got, err := deposits(t, pr.rail(t)).Address(t.Context(), "base")
		if err != nil || got != "0x0000000000000000000000000000000000000001" || len(pr.sent("addresses")) != 2 {
			t.Errorf("address %s, %v", got, err)
		}
	})
}

func TestDepositAddressThatIsNone(t *testing.T) {
	for _, tt := range []struct{ name, op, body string }{
		{"no address", "address", `{"id":"cda_1","network":"base","livemode":false}`},
		{"too short", "address", `{"id":"cda_1","network":"base","livemode":false,"address":"0x12"}`},
		{"zero", "address", `{"id":"cda_1","network":"base","livemode":false,"address":"0x0000000000000000000000000000000000000000"}`},
		{"of the other mode", "address", `{"id":"cda_1","network":"base","livemode":true,"address":"0x1111111111111111111111111111111111111111"}`},
		{"of an unknown mode", "address", `{"id":"cda_1","network":"base","address":"0x1111111111111111111111111111111111111111"}`},
		{"of another network", "address", `{"id":"cda_1","network":"tempo","livemode":false,"address":"0x1111111111111111111111111111111111111111"}`},
		{"of a customer", "address", `{"id":"cda_1","network":"base","customer":"cus_1","livemode":false,"address":"0x1111111111111111111111111111111111111111"}`},
		{"an empty object", "address", `{}`},
		{"cut off", "address", `{"id":"cda_1",`},
		{"listed of the other mode", "addresses", `{"object":"list","has_more":false,"data":[{"id":"cda_1","network":"base","livemode":true,"address":"0x1111111111111111111111111111111111111111"}]}`},
		{"no list", "addresses", `{"object":"x"}`},
		{"more of nothing", "addresses", `{"object":"list","has_more":true,"data":[]}`},
		{"the end not said", "addresses", `{"object":"list","data":[]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			pr.play(tt.op, answer(200, tt.body))
			d := deposits(t, pr.rail(t))
			if got, err := d.Address(t.Context(), "base"); !errors.Is(err, stripe.ErrAnswer) {
				t.Errorf("address %q, %v", got, err)
			}
			if _, err := d.Address(t.Context(), "base"); err != nil { // and it was not kept
				t.Errorf("the next time: %v", err)
			}
		})
	}
	pr := newProcessor(t)
	pr.play("addresses", answer(403, `{"error":{"type":"invalid_request_error","message":"leakme"}}`))
	_, err := deposits(t, pr.rail(t)).Address(t.Context(), "base")
	if e, ok := errors.AsType[*stripe.Error](err); !ok || e.Status != 403 || strings.Contains(err.Error(), "leakme") {
		t.Errorf("err = %v", err)
	}
}

// Real money sent to an address of test mode would be lost, and the reverse would be
// taken for a payment.
func TestNetworksAreOfTheKeysMode(t *testing.T) {
	test := newProcessor(t).rail(t)
	live, err := stripe.New(stripe.Config{Key: "sk_live_1", Live: true, Profile: "profile_1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		m       *stripe.Method
		network string
	}{
		{test, "eip155:8453"},
		{test, "eip155:1"},
		{test, ""},
		{test, "Base"},
		{test, "eip155:84532 "},
		{test, "base&customer=x"},
		{live, "eip155:84532"},
		{live, "eip155:42431"},
		{live, "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"},
	} {
		if _, err := deposits(t, tt.m).Address(t.Context(), tt.network); !errors.Is(err, stripe.ErrNetwork) {
			t.Errorf("%q: %v", tt.network, err)
		}
	}
}

func recorder(t *testing.T, m *stripe.Method) *stripe.Recorder {
	t.Helper()
	r, err := stripe.NewRecorder(stripe.CoinConfig{Rail: m})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func transfer(t *testing.T, n int, cents int64) stripe.Transfer {
	t.Helper()
	return stripe.Transfer{Network: "eip155:84532", Transaction: hashOf(n), Amount: usd(t, cents), PaymentID: fmt.Sprintf("pay_%d", n), At: began}
}

// TestRecordWire holds what leaves, byte for byte: the same transfer must be the same
// request to the processor in every release that may finish what another began.
func TestRecordWire(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t, func(c *stripe.Config) {
		c.Account, c.Metadata = "acct_shop", map[string]string{"team": "a"}
	})
	tr := transfer(t, 6, 123)
	tr.Transaction = strings.ToUpper(tr.Transaction[2:])
	tr.Transaction, tr.Metadata = "0x"+tr.Transaction, map[string]string{"shop": "ours"}
	pr.arrive(hashOf(6), 500)
	check(t, recorder(t, m).Record(t.Context(), tr), want{class: payment.OutcomeSucceeded})
	got := pr.sent("create")[0]
	const hash = "0x0000000000000000000000000000000000000000000000000000000000000007"
	if d := cmp.Diff([]string{
		"amount=123",
		"confirm=true",
		"currency=usd",
		"metadata[machine_payment]=true",
		"metadata[paywall_transaction]=" + hash,
		"metadata[paywall_transfer]=pay_6",
		"metadata[shop]=ours",
		"metadata[team]=a",
		"payment_method_data[type]=crypto",
		"payment_method_options[crypto][mode]=transaction_verification",
		"payment_method_options[crypto][transaction_verification_options][network]=base",
		"payment_method_options[crypto][transaction_verification_options][transaction_hash]=" + hash,
		"payment_method_types[0]=crypto",
	}, strings.Split(got.Body, "&")); d != "" {
		t.Errorf("body (-want +got):\n%s", d)
	}
	if h := got.Header; h.Get("Idempotency-Key") != hash || h.Get("Stripe-Version") != "2026-05-27.preview" || h.Get("Stripe-Account") != "acct_shop" {
		t.Errorf("header %v", h)
	}
}

func TestRecordByAnswer(t *testing.T) {
	body := func(members string) string {
		return `{"id":"pi_9","object":"payment_intent","status":"succeeded","amount":5,"amount_received":5,"currency":"usd","livemode":false,
			"metadata":{"paywall_transfer":"pay_0","paywall_transaction":"` + hashOf(0) + `"}` + members + `}`
	}
	mismatch := func(reason string) want { return want{class: payment.OutcomeMismatch, reason: reason} }
	unverified := want{class: payment.OutcomeNotNow, reason: "transaction_not_verified"}
	for _, tt := range []struct {
		name  string
		fault fault
		want  want
	}{
		{"as it should be", answer(200, body("")), want{class: payment.OutcomeSucceeded}},
		{"of another payment", answer(200, body(`,"metadata":{"paywall_transfer":"pay_1","paywall_transaction":"`+hashOf(0)+`"}`)), mismatch("recorded_as_another")},
		{"of another transaction", answer(200, body(`,"metadata":{"paywall_transfer":"pay_0","paywall_transaction":"0x1"}`)), mismatch("recorded_as_another")},
		{"other amount", answer(200, body(`,"amount":6`)), mismatch("amount_differs")},
		{"less received", answer(200, body(`,"amount_received":4`)), mismatch("received_differs")},
		{"other currency", answer(200, body(`,"currency":"eur"`)), mismatch("currency_differs")},
		{"other mode", answer(200, body(`,"livemode":true`)), mismatch("livemode_differs")},
		{"canceled", answer(200, body(`,"status":"canceled"`)), want{class: payment.OutcomeDeclined, kind: verification, reason: "verification_failed"}},
		{"refused after a look", answer(200, body(`,"status":"requires_payment_method","last_payment_error":{"code":"x"}`)), want{class: payment.OutcomeDeclined, kind: verification, reason: "verification_failed"}},
		{"empty object", answer(200, `{}`), want{reason: "odd_answer"}},
		{"cut", answer(200, `{"id":"pi_`), want{reason: "odd_answer"}},
		{"HTML", answer(502, `<html>`), want{reason: "status_502"}},
		{"fault", answer(500, `{"error":{"type":"api_error"}}`), want{reason: "status_500"}},
		{"stored fault", answer(500, `{"error":{"type":"api_error"}}`, "Idempotent-Replayed", "true"), unverified},
		{"limit", answer(429, `{"error":{"type":"invalid_request_error"}}`, "Retry-After", "3"), want{class: payment.OutcomeNotNow, reason: "rate_limited", after: 3 * time.Second}},
		{"running", answer(409, `{"error":{"type":"idempotency_error"}}`), want{reason: "in_progress"}},
		{"key", answer(401, `{"error":{"type":"invalid_request_error"}}`), want{class: payment.OutcomeNotNow, fatal: true, reason: "key_refused"}},
		{"not approved", answer(400, `{"error":{"type":"invalid_request_error","code":"parameter_unknown","param":"payment_method_options[crypto]"}}`), want{class: payment.OutcomeNotNow, fatal: true, reason: "stablecoins_refused"}},
		{"no such endpoint", answer(404, `{"error":{"type":"invalid_request_error"}}`), want{class: payment.OutcomeNotNow, fatal: true, reason: "stablecoins_refused"}},
		{"not seen", answer(400, `{"error":{"type":"invalid_request_error","message":"leakme"}}`), unverified},
		{"refused by 402", answer(402, `{"error":{"type":"card_error","code":"x"}}`), unverified},
		{"other words under the key", answer(400, `{"error":{"type":"idempotency_error"}}`), mismatch("key_conflict")},
		{"a proxy's refusal", answer(400, `bad`), want{reason: "status_400"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			pr.play("create", tt.fault)
			check(t, recorder(t, pr.rail(t)).Record(t.Context(), transfer(t, 0, 5)), tt.want)
		})
	}
}

func TestRecordRefusesWhatCannotBe(t *testing.T) {
	pr := newProcessor(t)
	r := recorder(t, pr.rail(t))
	for _, tt := range []struct {
		reason string
		change func(*stripe.Transfer)
	}{
		{"network_unusable", func(tr *stripe.Transfer) { tr.Network = "eip155:1" }},
		{"transaction_unusable", func(tr *stripe.Transfer) { tr.Transaction = "0x1" }},
		{"transaction_unusable", func(tr *stripe.Transfer) { tr.Transaction = "0x" + strings.Repeat("0", 64) }},
		{"transaction_unusable", func(tr *stripe.Transfer) { tr.Transaction = "0x" + strings.Repeat("g", 64) }},
		{"transaction_unusable", func(tr *stripe.Transfer) { tr.Transaction = tr.Transaction[:65] + "\n" }},
		{"amount_unusable", func(tr *stripe.Transfer) { tr.Amount = amount(t, "0.005 USD") }},
		{"amount_unusable", func(tr *stripe.Transfer) { tr.Amount = usd(t, 0) }},
		{"amount_unusable", func(tr *stripe.Transfer) { tr.Amount = amount(t, "1.00 EUR") }},
		{"amount_unusable", func(tr *stripe.Transfer) { tr.Amount = money.Amount{} }},
		{"payment_unusable", func(tr *stripe.Transfer) { tr.PaymentID = "" }},
		{"metadata_unusable", func(tr *stripe.Transfer) { tr.Metadata = map[string]string{"paywall_payment": "x"} }},
	} {
		tr := transfer(t, 0, 5)
		tt.change(&tr)
		check(t, r.Record(t.Context(), tr), want{class: payment.OutcomeDeclined, kind: verification, reason: tt.reason})
	}
	if len(pr.calls) != 0 {
		t.Errorf("%d calls", len(pr.calls))
	}
}

// However often and in however many processes a transfer is recorded, it is entered
// once: answers lost before or after, stored faults, keys that are forgotten.
func TestRecordOnce(t *testing.T) {
	t.Run("lost answers", func(t *testing.T) {
		pr := newProcessor(t)
		r, tr := recorder(t, pr.rail(t)), transfer(t, 0, 5)
		pr.arrive(hashOf(0), 5)
		pr.play("create", drop(false), drop(true))
		check(t, r.Record(t.Context(), tr), want{reason: "no_answer"})
		check(t, r.Record(t.Context(), tr), want{reason: "no_answer"})
		check(t, r.Record(t.Context(), tr), want{class: payment.OutcomeSucceeded})
		check(t, r.Record(t.Context(), tr), want{class: payment.OutcomeSucceeded})
		if _, n := pr.entered(""); n != 1 {
			t.Errorf("%d entries", n)
		}
	})
	t.Run("together", func(t *testing.T) {
		pr := newProcessor(t)
		r, tr := recorder(t, pr.rail(t)), transfer(t, 0, 5)
		pr.arrive(hashOf(0), 5)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { check(t, r.Record(t.Context(), tr), want{class: payment.OutcomeSucceeded}) })
		}
		wg.Wait()
		if _, n := pr.entered(""); n != 1 {
			t.Errorf("%d entries", n)
		}
	})
	t.Run("with other words", func(t *testing.T) {
		pr := newProcessor(t)
		pr.arrive(hashOf(0), 5)
		check(t, recorder(t, pr.rail(t)).Record(t.Context(), transfer(t, 0, 5)), want{class: payment.OutcomeSucceeded})
		changed := pr.rail(t, func(c *stripe.Config) { c.Metadata = map[string]string{"new": "1"} })
		check(t, recorder(t, changed).Record(t.Context(), transfer(t, 0, 5)), want{class: payment.OutcomeSucceeded})
		other := transfer(t, 0, 5)
		other.PaymentID = "pay_other"
		check(t, recorder(t, changed).Record(t.Context(), other), want{class: payment.OutcomeMismatch, reason: "recorded_as_another"})
		if _, n := pr.entered(""); n != 1 {
			t.Errorf("%d entries", n)
		}
	})
	t.Run("after the key is forgotten", func(t *testing.T) {
		pr := newProcessor(t)
		r := recorder(t, pr.rail(t))
		pr.arrive(hashOf(0), 5)
		old := transfer(t, 0, 5)
		old.At = began.Add(-24 * time.Hour)
		pr.play("search", answer(503, ``))
		check(t, r.Record(t.Context(), old), want{reason: "status_503"}) // it is not entered unlooked
		check(t, r.Record(t.Context(), old), want{class: payment.OutcomeSucceeded})
		pr.mu.Lock()
		pr.keys = map[string]*kept{}
		pr.mu.Unlock()
		check(t, r.Record(t.Context(), old), want{class: payment.OutcomeSucceeded})
		if n := len(pr.sent("create")); n != 1 {
			t.Errorf("%d requests to enter it", n)
		}
	})
	t.Run("undecided at first", func(t *testing.T) {
		pr := newProcessor(t)
		r, tr := recorder(t, pr.rail(t)), transfer(t, 0, 5)
		pr.arrive(hashOf(0), 5)
		pr.coins.status = "processing"
		check(t, r.Record(t.Context(), tr), want{reason: "processing"})
		pr.edit(func(o object) { o["status"], o["amount_received"] = "succeeded", int64(5) })
		check(t, r.Record(t.Context(), tr), want{class: payment.OutcomeSucceeded}) // the stored answer says otherwise
		pr.play("get", answer(http.StatusTooManyRequests, ``))
		check(t, r.Record(t.Context(), tr), want{reason: "rate_limited"})
	})
}

// The entry of a transfer is no charge: neither lists of charges nor events take it
// for one.
func TestRecordsAreNoCharges(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	pr.arrive(hashOf(0), 5)
	out := recorder(t, m).Record(t.Context(), transfer(t, 0, 5))
	check(t, out, want{class: payment.OutcomeSucceeded})
	for c, err := range m.Charges(t.Context(), "", began.Add(-time.Hour)) {
		t.Errorf("charge %+v, %v", c, err)
	}
	body := event("evt_1", "payment_intent.succeeded", "", `{"id":"`+out.Reference+`","object":"payment_intent","metadata":{"paywall_transfer":"pay_0"}}`)
	e, err := m.Webhook(signed(began, body, webhookSecret), body)
	if err != nil || e.PaymentID != "" {
		t.Errorf("event %+v, %v", e, err)
	}
}
