package facilitator_test

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"paywall/sandbox/facilitator"
)

func TestSettle(t *testing.T) {
	told := 0
	h := newHouse(t, facilitator.Config{Transferred: func() { told++ }})
	first := h.settle(plain())
	payer := h.key.Address()
	if first.verdict() != "ok" || first.body["network"] != sepolia || first.body["payer"] != payer.Checksum() || first.body["amount"] != "10000" {
		t.Fatal(first.raw)
	}
	if n, units := h.received(); n != 1 || units != "10000" {
		t.Errorf("%d transfers of %s", n, units)
	}
	a := h.Audit(10)
	if len(a.Balances) != 2 || a.Calls[0].Transaction != first.body["transaction"] || a.Calls[0].Outcome != "settled" || a.Transfers[0].Transaction != first.body["transaction"] {
		t.Errorf("%+v", a)
	}
	for _, b := range a.Balances {
		if want := map[bool]string{true: "999990000", false: "1000010000"}[b.Address == payer.String()]; b.Units != want {
			t.Errorf("%+v, want %s", b, want)
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	// Later than its end, an executed authorization still has its answer.
	h.clock.advance(2 * time.Hour)
	if again := h.settle(plain()); again.raw != first.raw {
		t.Errorf("again: %s, first: %s", again.raw, first.raw)
	}
	if r := h.verify(plain()); r.verdict() != "invalid_exact_evm_payload_authorization_valid_before" {
		t.Error(r.raw)
	}
	if n := len(h.Audit(10).Transfers); n != 1 {
		t.Errorf("%d transfers", n)
	}
}

func TestSettle_Version1(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	o := plain()
	o.version, o.network = 1, "base-sepolia"
	r := h.settle(o)
	if _, has := r.body["amount"]; r.verdict() != "ok" || r.body["network"] != "base-sepolia" || has {
		t.Error(r.raw)
	}
	// The same authorization in the other version is the same payment.
	if again := h.settle(plain()); again.verdict() != "ok" || again.body["transaction"] != r.body["transaction"] || again.body["network"] != sepolia {
		t.Error(again.raw)
	}
}

func TestSettle_Repeated(t *testing.T) {
	for _, tt := range []struct {
		repeat, permit, authorization string
	}{
		{"", "ok", "ok"},
		{facilitator.RepeatStored, "ok", "ok"},
		{facilitator.RepeatRefused, "permit2_invalid_nonce", "invalid_exact_evm_nonce_already_used"},
	} {
		t.Run(tt.repeat, func(t *testing.T) {
			h := newHouse(t, facilitator.Config{Repeat: tt.repeat})
			for _, row := range []struct {
				o    offer
				want string
			}{{plain(), tt.authorization}, {permitted("exact", ""), tt.permit}} {
				if r := h.settle(row.o); r.verdict() != "ok" {
					t.Fatal(r.raw)
				}
				if r := h.settle(row.o); r.verdict() != row.want {
					t.Error(r.raw)
				}
				used := row.o
				used.amount = "9999" // the same nonce over another amount
				if r := h.settle(used); r.verdict() != "invalid_exact_evm_nonce_already_used" && r.verdict() != "permit2_invalid_nonce" {
					t.Error(r.raw)
				}
			}
			if n, units := h.received(); n != 2 || units != "20000" {
				t.Errorf("%d transfers of %s", n, units)
			}
		})
	}
	h := newHouse(t, facilitator.Config{})
	if err := h.SetRepeat("sometimes"); err == nil {
		t.Error("any word is taken")
	}
	if _, err := facilitator.New(facilitator.Config{Repeat: "sometimes"}); err == nil {
		t.Error("any word is taken")
	}
}

// However many ask at once, an authorization is executed once, and all get the
// same transaction.
func TestSettle_Parallel(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	body := h.body(plain())
	const copies = 200
	answers := make([]string, copies)
	var wg sync.WaitGroup
	for i := range copies {
		wg.Go(func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/facilitator/settle", strings.NewReader(body)))
			answers[i] = w.Body.String()
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a != answers[0] || !strings.Contains(a, `"success":true`) {
			t.Fatalf("%s and %s", a, answers[0])
		}
	}
	if n, units := h.received(); n != 1 || units != "10000" {
		t.Errorf("%d transfers of %s", n, units)
	}
	if a := h.Audit(500); a.TotalCalls != copies || len(a.Calls) != copies {
		t.Errorf("%d calls", a.TotalCalls)
	}
}

func TestSettle_Upto(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	o := permitted("upto", h.Address())
	if r := h.verify(o); r.verdict() != "ok" {
		t.Fatal(r.raw)
	}
	low := o
	low.asked = "3000"
	if r := h.verify(low); r.verdict() != "permit2_amount_mismatch" {
		t.Error(r.raw)
	}
	above := o
	above.asked = "10001"
	if r := h.settle(above); r.verdict() != "invalid_upto_evm_payload_settlement_exceeds_amount" {
		t.Error(r.raw)
	}
	nothing := o
	nothing.asked = "0"
	if r := h.settle(nothing); r.verdict() != "ok" || r.body["transaction"] != "" || r.body["amount"] != "0" {
		t.Error(r.raw)
	}
	if n, _ := h.received(); n != 0 {
		t.Fatalf("%d transfers", n)
	}
	r := h.settle(low)
	if r.verdict() != "ok" || r.body["amount"] != "3000" {
		t.Fatal(r.raw)
	}
	if again := h.settle(o); again.raw != r.raw { // nothing more can be had
		t.Error(again.raw)
	}
	if n, units := h.received(); n != 1 || units != "3000" {
		t.Errorf("%d transfers of %s", n, units)
	}
}

func TestAllowance_IsUsedUp(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	if _, err := h.Fund(facilitator.Wish{Network: sepolia, Address: h.key.Address().String(), Allowance: "15000"}); err != nil {
		t.Fatal(err)
	}
	o := permitted("exact", "")
	if r := h.settle(o); r.verdict() != "ok" {
		t.Fatal(r.raw)
	}
	o.nonce = "78"
	if r := h.settle(o); r.verdict() != "permit2_allowance_required" {
		t.Error(r.raw)
	}
}

// pend settles and leaves it pending.
func (h *house) pend(body string, after time.Duration, moved bool) reply {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/facilitator/settle", strings.NewReader(body))
	return h.do(r.WithContext(facilitator.LeavePending(r.Context(), after, moved)))
}

func TestPending(t *testing.T) {
	is := func(t *testing.T, r reply, verdict, transaction string) {
		t.Helper()
		if r.verdict() != verdict || r.body["transaction"] != transaction {
			t.Errorf("%s, want %s and %s", r.raw, verdict, transaction)
		}
	}
	begin := func(t *testing.T, after time.Duration, moved bool) (*house, string) {
		t.Helper()
		h := newHouse(t, facilitator.Config{})
		r := h.pend(h.body(plain()), after, moved)
		hash, _ := r.body["transaction"].(string)
		if r.verdict() != "settlement_pending" || len(hash) != 66 {
			t.Fatal(r.raw)
		}
		return h, hash
	}
	count := func(t *testing.T, h *house, want int) {
		t.Helper()
		if n, _ := h.received(); n != want {
			t.Errorf("%d transfers, want %d", n, want)
		}
	}
	t.Run("until it is asked for again", func(t *testing.T) {
		h, hash := begin(t, 0, false)
		count(t, h, 0)
		if a := h.Audit(10); len(a.Pending) != 1 || a.Pending[0] != hash {
			t.Errorf("%+v", a.Pending)
		}
		is(t, h.settle(plain()), "ok", hash)
		is(t, h.settle(plain()), "ok", hash)
		count(t, h, 1)
	})
	t.Run("for a time", func(t *testing.T) {
		h, hash := begin(t, 30*time.Second, false)
		h.clock.advance(29 * time.Second)
		is(t, h.settle(plain()), "settlement_pending", hash)
		count(t, h, 0)
		h.clock.advance(time.Second)
		count(t, h, 1)
		is(t, h.settle(plain()), "ok", hash)
		count(t, h, 1)
	})
	t.Run("moved, unconfirmed", func(t *testing.T) {
		h, hash := begin(t, 0, true)
		count(t, h, 1)
		is(t, h.settle(plain()), "ok", hash)
		count(t, h, 1)
	})
	t.Run("not before its end", func(t *testing.T) {
		h, hash := begin(t, 2*time.Hour, false)
		h.clock.advance(2 * time.Hour)
		is(t, h.settle(plain()), "invalid_transaction_state", hash)
		count(t, h, 0)
		receipt := h.rpc("eth_getTransactionReceipt", hash).body["result"].(map[string]any)
		if receipt["status"] != "0x0" || len(receipt["logs"].([]any)) != 0 {
			t.Errorf("%v", receipt)
		}
	})
	t.Run("spent meanwhile", func(t *testing.T) {
		h, hash := begin(t, 0, false)
		if _, err := h.Fund(facilitator.Wish{Network: sepolia, Address: h.key.Address().String(), Balance: "1"}); err != nil {
			t.Fatal(err)
		}
		is(t, h.settle(plain()), "invalid_transaction_state", hash)
		count(t, h, 0)
	})
	t.Run("cancelled meanwhile", func(t *testing.T) {
		h, hash := begin(t, time.Minute, false)
		if _, err := h.Cancel(sepolia, "", h.key.Address().String(), "0x"+plain().nonce); err != nil {
			t.Fatal(err)
		}
		h.clock.advance(time.Minute)
		is(t, h.settle(plain()), "invalid_transaction_state", hash)
		count(t, h, 0)
	})
	t.Run("who watches is told when it moves", func(t *testing.T) {
		told := 0
		h := newHouse(t, facilitator.Config{Transferred: func() { told++ }})
		h.pend(h.body(plain()), time.Minute, false)
		told = 0
		h.clock.advance(30 * time.Second)
		if h.Wake(); told != 0 {
			t.Error("told too early")
		}
		h.clock.advance(30 * time.Second)
		if h.Wake(); told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

func TestReset(t *testing.T) {
	h := newHouse(t, facilitator.Config{StartingUnits: -1})
	wish := facilitator.Wish{Network: sepolia, Address: h.key.Address().String(), Asset: "USDC", Units: "10000"}
	for range 2 {
		if r := h.settle(plain()); r.verdict() != "insufficient_funds" {
			t.Fatal(r.raw)
		}
		if balance, err := h.Fund(wish); err != nil || balance != "10000" {
			t.Fatal(balance, err)
		}
		if r := h.settle(plain()); r.verdict() != "ok" {
			t.Fatal(r.raw)
		}
		h.Reset()
		if a := h.Audit(10); len(a.Calls)+len(a.Transfers)+len(a.Balances) != 0 {
			t.Errorf("%+v", a)
		}
	}
}

func TestWishes(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	for _, tt := range []struct {
		name string
		wish facilitator.Wish
		want string // the member that is wrong, or the balance
	}{
		{"more", facilitator.Wish{Network: sepolia, Address: other, Units: "5"}, "1000000005"},
		{"by contract", facilitator.Wish{Network: sepolia, Address: other, Asset: strings.ToLower(coin), Balance: "7"}, "7"},
		{"no network", facilitator.Wish{Address: other, Units: "5"}, "network"},
		{"no such asset", facilitator.Wish{Network: sepolia, Asset: "EURC", Address: other, Units: "5"}, "asset"},
		{"no address", facilitator.Wish{Network: sepolia, Units: "5"}, "address"},
		{"nothing", facilitator.Wish{Network: sepolia, Address: other}, "units"},
		{"two wishes", facilitator.Wish{Network: sepolia, Address: other, Units: "5", Balance: "5"}, "balance"},
		{"no number", facilitator.Wish{Network: sepolia, Address: other, Units: "1.5"}, "units"},
		{"too much", facilitator.Wish{Network: sepolia, Address: other, Units: new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)).String()}, "units"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := h.Fund(tt.wish)
			if err != nil {
				got, _, _ = strings.Cut(err.Error(), ":")
			}
			if got != tt.want {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		name  string
		asset facilitator.Asset
	}{
		{"network", facilitator.Asset{Network: "eip155:01", Symbol: "X", Contract: coin, Name: "X", Version: "1"}},
		{"contract", facilitator.Asset{Network: sepolia, Symbol: "X", Contract: "0x1", Name: "X", Version: "1"}},
		{"version", facilitator.Asset{Network: sepolia, Symbol: "X", Contract: coin, Name: "X"}},
	} {
		if _, err := facilitator.New(facilitator.Config{Assets: []facilitator.Asset{tt.asset}}); err == nil || !strings.Contains(err.Error(), tt.name) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	good := facilitator.DefaultAssets()[0]
	if _, err := facilitator.New(facilitator.Config{Assets: []facilitator.Asset{good, good}}); err == nil {
		t.Error("a token twice")
	}
}

func TestSupported(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	r := h.get("/facilitator/supported")
	seen := make(map[string]any)
	for _, k := range r.body["kinds"].([]any) {
		kind := k.(map[string]any)
		seen[fmt.Sprint(kind["x402Version"], " ", kind["scheme"], " ", kind["network"])] = kind["extra"]
	}
	for _, want := range []string{"2 exact eip155:84532", "2 exact eip155:8453", "1 exact base", "1 exact base-sepolia"} {
		if extra, ok := seen[want]; !ok || extra != nil {
			t.Errorf("%s: %t %v", want, ok, extra)
		}
	}
	extra, _ := seen["2 upto eip155:84532"].(map[string]any)
	if extra["facilitatorAddress"] != h.Address() {
		t.Errorf("%v", seen)
	}
	if _, ok := seen["1 upto base"]; ok {
		t.Error("there is no upto in version 1")
	}
	if signers := r.body["signers"].(map[string]any); fmt.Sprint(signers["eip155:*"]) != "["+h.Address()+"]" {
		t.Errorf("%v", signers)
	}
}

func TestDiscovery(t *testing.T) {
	h := newHouse(t, facilitator.Config{})
	for i := range 3 {
		o := plain()
		o.nonce = fmt.Sprintf("%064x", i)
		o.resource = fmt.Sprintf("https://shop.example/%d", i)
		r := h.settle(o)
		told, err := base64.StdEncoding.DecodeString(r.header.Get("Extension-Responses"))
		if err != nil || string(told) != `{"bazaar":{"status":"success"}}` {
			t.Errorf("%q %v", told, err)
		}
	}
	quiet := plain()
	quiet.nonce = strings.Repeat("cd", 32)
	if r := h.settle(quiet); r.verdict() != "ok" || r.header.Get("Extension-Responses") != "" {
		t.Error(r.raw)
	}
	page := h.get("/facilitator/discovery/resources?type=http&limit=1&offset=1&network=" + sepolia)
	items := page.body["items"].([]any)
	if len(items) != 1 || items[0].(map[string]any)["resource"] != "https://shop.example/1" || page.body["pagination"].(map[string]any)["total"] != 3.0 {
		t.Errorf("%s", page.raw)
	}
	if none := h.get("/facilitator/discovery/resources?scheme=upto"); len(none.body["items"].([]any)) != 0 {
		t.Error(none.raw)
	}
	for _, q := range []string{"limit=0", "limit=101", "limit=x", "offset=-1"} {
		if r := h.get("/facilitator/discovery/resources?" + q); r.status != http.StatusBadRequest {
			t.Errorf("%s: %d", q, r.status)
		}
	}
}

// Whatever is asked for in whatever order, money is neither made nor lost, every
// nonce moves money once at most, and the audit adds up.
func TestMoneyIsKept(t *testing.T) {
	bodies := make(map[string]string) // signing takes longer than all else
	rapid.Check(t, func(rt *rapid.T) {
		h := newHouse(t, facilitator.Config{StartingUnits: 50_000})
		good := make(map[string]bool) // nonces whose settlement succeeded
		body := func(o offer) string {
			key := o.nonce + o.amount
			if bodies[key] == "" {
				bodies[key] = h.body(o)
			}
			return bodies[key]
		}
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			o := plain()
			o.nonce = fmt.Sprintf("%064x", rapid.IntRange(0, 6).Draw(rt, "nonce"))
			o.amount = rapid.SampledFrom([]string{"1", "10000", "40000"}).Draw(rt, "amount")
			var r reply
			switch rapid.IntRange(0, 3).Draw(rt, "way") {
			case 0:
				h.post("/facilitator/verify", body(o))
				continue
			case 1:
				r = h.pend(body(o), time.Duration(rapid.IntRange(0, 20).Draw(rt, "after"))*time.Second, rapid.Bool().Draw(rt, "moved"))
			case 2:
				h.clock.advance(time.Duration(rapid.IntRange(1, 10).Draw(rt, "pause")) * time.Second)
				continue
			default:
				r = h.post("/facilitator/settle", body(o))
			}
			if r.verdict() == "ok" {
				good[o.nonce] = true
			}
		}
		h.clock.advance(time.Minute)
		a := h.Audit(1000)
		sum, in := new(big.Int), new(big.Int)
		for _, b := range a.Balances {
			n := number(t, b.Units)
			if n.Sign() < 0 {
				rt.Fatalf("%+v", b)
			}
			sum.Add(sum, n)
		}
		if want := int64(len(a.Balances)) * 50_000; sum.Int64() != want {
			rt.Fatalf("%s units in all, want %d", sum, want)
		}
		seen := make(map[string]bool)
		for _, tr := range a.Transfers {
			if seen[tr.Transaction] {
				rt.Fatalf("%s is there twice", tr.Transaction)
			}
			seen[tr.Transaction] = true
			in.Add(in, tr.Amount())
		}
		if n, units := h.received(); n != len(a.Transfers) || units != in.String() || n > 7 || n < len(good) {
			rt.Fatalf("%d transfers of %s, %d listed of %s, %d good", n, units, len(a.Transfers), in, len(good))
		}
	})
}
