package gate_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paywall/gate"
	"paywall/methods/credit"
	"paywall/methods/credit/credittest"
	rail "paywall/methods/facilitator"
	"paywall/money"
	"paywall/payment"
	"paywall/x402"
	"paywall/x402/evm"
)

// counter is a house that sells calls for a cent, in packs of 5.00.
func counter(t *testing.T) (*house, *gate.Router, *credittest.Memory) {
	t.Helper()
	store := &credittest.Memory{}
	h := newHouse(t, func(gc *gate.Config, pc *payment.Config) {
		gc.Limits.Failures = 30
		m, err := credit.New(credit.Config{Store: store, Now: pc.Now})
		if err != nil {
			t.Fatal(err)
		}
		gc.Credits, pc.Methods = m, append(pc.Methods, m)
	})
	router, err := h.gate.Router([]gate.Route{
		{ID: "quotes", Pattern: "GET /quote/{id}", Pricer: usd(t, "0.01 USD"), Handler: h.api, Credit: gate.Credit{Pack: amount(t, "5.00 USD")}, Description: "One quote"},
		{ID: "words", Pattern: "POST /words", Pricer: usd(t, "0.015 USD"), Handler: h.api, Credit: gate.Credit{Pack: amount(t, "5.00 USD"), For: time.Hour}},
	})
	h.must(err)
	return h, router, store
}

// pack buys one with a request for target, and returns the receipt.
func (h *house) pack(router http.Handler, target string) (receipt string, w *httptest.ResponseRecorder) {
	h.t.Helper()
	w = do(router, h.paid(router, http.MethodGet, target, ""))
	if w.Code != http.StatusOK || w.Header().Get("Paywall-Receipt") == "" {
		h.t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	return w.Header().Get("Paywall-Receipt"), w
}

func (h *house) spending(receipt, method, target string, header ...string) *http.Request {
	r := request(h.t, method, target, "")
	r.Header.Set("Authorization", "Bearer "+receipt)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// left is what the one account has, in thousandths of a cent, from both books.
func (h *house) left(store *credittest.Memory, account string) int64 {
	h.t.Helper()
	a, err := store.Account(h.t.Context(), account)
	h.must(err)
	return a.Bought.Units() - a.Spent.Units()
}

func TestCredit(t *testing.T) {
	h, router, store := counter(t)
	w := do(router, request(t, "GET", "/quote/7", ""))
	var body struct {
		Price       string
		Credit      struct{ Pack, Route string }
		Description string
	}
	h.must(json.Unmarshal(w.Body.Bytes(), &body))
	if w.Code != 402 || body.Price != "0.01 USD" || body.Credit.Pack != "5.00 USD" || body.Credit.Route != "quotes" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	person := request(t, "GET", "/quote/7", "")
	person.Header.Set("Accept", "text/html")
	if w = do(router, person); !strings.Contains(w.Body.String(), "one payment of 5.00 USD buys") || !strings.Contains(w.Body.String(), "0.01 USD") {
		t.Errorf("the page: %s", w.Body)
	}
	receipt, w := h.pack(router, "/quote/7")
	account := w.Header().Get("Paywall-Payment-Id")
	if got := w.Header().Get("Paywall-Credit"); got != `left="4.99000", currency=USD, took="0.01000"` || w.Header().Get("Payment-Receipt") == "" {
		t.Errorf("credit %q, %v", got, w.Header())
	}
	claims, err := h.desk.Verifier.Verify(receipt)
	if err != nil || claims.PaymentID != account || claims.Use.Kind != "credit" || claims.Amount.String() != "5.00 USD" {
		t.Errorf("claims %+v, %v", claims, err)
	}
	for i := range 3 {
		w = do(router, h.spending(receipt, "GET", fmt.Sprintf("/quote/%d?x=1", i)))
		if w.Code != 200 || w.Header().Get("Paywall-Receipt") != "" || w.Header().Get("Cache-Control") != "private, no-store" {
			t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	if n := h.left(store, account); n != 496_000 || h.api.count() != 4 {
		t.Errorf("%d left after %d requests", n, h.api.count())
	}
	// It opens its route and no other.
	if w = do(router, h.spending(receipt, "POST", "/words")); w.Code != 402 {
		t.Errorf("another route: %d", w.Code)
	}
	// The same key is drawn once.
	for range 3 {
		if w = do(router, h.spending(receipt, "GET", "/quote/9", "Idempotency-Key", "one")); w.Code != 200 || w.Body.String() != "served GET /quote/9" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if w = do(router, h.spending(receipt, "GET", "/quote/10", "Idempotency-Key", "one")); w.Code == 200 {
		t.Errorf("another request under the same key: %d %s", w.Code, w.Body)
	}
	if n := h.left(store, account); n != 495_000 || h.api.count() != 5 {
		t.Errorf("%d left after %d requests", n, h.api.count())
	}
	asked := func(header ...string) *httptest.ResponseRecorder {
		r := request(t, "GET", "/payments/credit", "")
		for _, one := range header {
			r.Header.Set("Authorization", one)
		}
		r.SetPathValue("id", "credit")
		return do(h.gate.Payments(), r)
	}
	if w = asked("Bearer " + receipt); w.Code != 200 || !strings.Contains(w.Body.String(), `"value":"4.95000"`) {
		t.Errorf("the balance: %d %s", w.Code, w.Body)
	}
	if w = asked(); w.Code != 401 {
		t.Errorf("nobody's balance: %d", w.Code)
	}
	if w = asked("Bearer " + receipt[:len(receipt)-4] + "AAAA"); w.Code != 404 {
		t.Errorf("a forged receipt's balance: %d %s", w.Code, w.Body)
	}
	// A forged upstream field is not ours.
	h.api.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Paywall-Credit", "left=1000000")
		w.Header().Set("Paywall-Receipt", "e.y.J")
	}
	if w = do(router, h.spending(receipt, "GET", "/quote/11")); !strings.Contains(w.Header().Get("Paywall-Credit"), "4.94") || w.Header().Get("Paywall-Receipt") != "" {
		t.Errorf("%v", w.Header())
	}
	h.settled(1, 0)
}

// TestCredit_Exact spends a pack of 500 requests from 32 clients at once.
func TestCredit_Exact(t *testing.T) {
	h, router, store := counter(t)
	receipt, w := h.pack(router, "/quote/0")
	account := w.Header().Get("Paywall-Payment-Id")
	h.api.answer = func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "7") {
			w.WriteHeader(http.StatusInternalServerError) // costs nothing
		}
	}
	var served, failed, refused, next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for refused.Load() < 32 {
				switch w := do(router, h.spending(receipt, "GET", fmt.Sprintf("/quote/%d", next.Add(1)))); w.Code {
				case 200:
					served.Add(1)
				case 502:
					failed.Add(1)
				case 402:
					refused.Add(1)
				case 503, 409, 429:
				default:
					t.Errorf("%d %s", w.Code, w.Body)
					return
				}
			}
		})
	}
	wg.Wait()
	// What went back while others were told that nothing is left is there to be spent.
	for do(router, h.spending(receipt, "GET", "/quote/0")).Code == 200 {
		served.Add(1)
	}
	if served.Load() != 499 || failed.Load() == 0 || h.left(store, account) != 0 {
		t.Errorf("%d served, %d failed, %d left", served.Load(), failed.Load(), h.left(store, account))
	}
	// What is asked for now is another pack.
	w = do(router, h.spending(receipt, "GET", "/quote/1"))
	if w.Code != 402 || w.Header().Get("Www-Authenticate") == "" || !strings.Contains(w.Body.String(), "payment-insufficient") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	h.settled(1, 0)
}

// TestCredit_SpentWritesNothing asks on with a receipt that is spent: nothing is written
// for it, and its holder may buy another pack at once.
func TestCredit_SpentWritesNothing(t *testing.T) {
	h, router, store := counter(t)
	receipt, w := h.pack(router, "/quote/0")
	account := w.Header().Get("Paywall-Payment-Id")
	for i := range 499 {
		if w := do(router, h.spending(receipt, "GET", "/quote/1", "Idempotency-Key", strconv.Itoa(i))); w.Code != 200 {
			t.Fatalf("%d: %d %s", i, w.Code, w.Body)
		}
	}
	if w := do(router, h.spending(receipt, "GET", "/quote/1", "Idempotency-Key", "498")); w.Code != 200 {
		t.Errorf("the answer to the last one again: %d %s", w.Code, w.Body)
	}
	before, err := h.store.List(t.Context(), payment.Filter{}, "", 10_000)
	h.must(err)
	for range 200 {
		w = do(router, h.spending(receipt, "GET", "/quote/1"))
		if w.Code != 402 || !strings.Contains(w.Body.String(), "payment-insufficient") || !strings.Contains(w.Body.String(), "0.00000 USD") {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	after, err := h.store.List(t.Context(), payment.Filter{}, "", 10_000)
	h.must(err)
	if len(after) != len(before) || h.left(store, account) != 0 || h.api.count() != 500 {
		t.Errorf("%d payments after %d, %d left, %d requests", len(after), len(before), h.left(store, account), h.api.count())
	}
	h.settled(1, 0)
}

// TestCredit_FirstRequestFails shows that a pack is there although its request failed.
func TestCredit_FirstRequestFails(t *testing.T) {
	for _, status := range []int{http.StatusInternalServerError, http.StatusNotFound} {
		h, router, store := counter(t)
		h.api.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
		r := h.paid(router, "GET", "/quote/7", "")
		w := do(router, r)
		receipt := w.Header().Get("Paywall-Receipt")
		if w.Code == 200 || receipt == "" {
			t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		claims, err := h.desk.Verifier.Verify(receipt)
		h.must(err)
		if n := h.left(store, claims.PaymentID); n != 500_000 {
			t.Errorf("%d left", n)
		}
		h.api.answer = nil
		if w := do(router, h.spending(receipt, "GET", "/quote/7")); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		// The credential that bought it buys nothing more. It may come back for its request,
		// which is drawn then, and for the receipt.
		w = do(router, r)
		if again, err := h.desk.Verifier.Verify(w.Header().Get("Paywall-Receipt")); w.Code != 200 || err != nil || again.PaymentID != claims.PaymentID {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		if n := h.left(store, claims.PaymentID); n != 498_000 {
			t.Errorf("%d left", n)
		}
		h.settled(1, 0)
	}
}

// TestCredit_Closed shows what ends credit.
func TestCredit_Closed(t *testing.T) {
	h, router, store := counter(t)
	receipt, w := h.pack(router, "/quote/7")
	account := w.Header().Get("Paywall-Payment-Id")
	h.must(store.Freeze(t.Context(), account))
	if w := do(router, h.spending(receipt, "GET", "/quote/8")); w.Code != 402 || h.api.count() != 1 {
		t.Errorf("frozen: %d", w.Code)
	}
	receipt, _ = h.pack(router, "/quote/7")
	h.clock.add(366 * 24 * time.Hour)
	if w := do(router, h.spending(receipt, "GET", "/quote/8")); w.Code != 402 || h.api.count() != 2 {
		t.Errorf("over: %d", w.Code)
	}
	receipt, w = h.pack(router, "/quote/7")
	h.revoked.Add(w.Header().Get("Paywall-Payment-Id"))
	if w := do(router, h.spending(receipt, "GET", "/quote/8")); w.Code != 402 || h.api.count() != 3 {
		t.Errorf("paid back: %d", w.Code)
	}
	if w := do(router, h.spending(receipt[:len(receipt)-4]+"AAAA", "GET", "/quote/8")); w.Code == 200 {
		t.Errorf("forged: %d", w.Code)
	}
	h.settled(3, 0)
}

// TestCredit_Refund pays a pack back that was not touched; its money was owed until then.
func TestCredit_Refund(t *testing.T) {
	h, router, _ := counter(t)
	_, w := h.pack(router, "/quote/7")
	if _, err := h.processor.Refund(t.Context(), w.Header().Get("Paywall-Payment-Id"), "operator"); err != nil {
		t.Fatal(err)
	}
	h.settled(1, 1)
}

// TestCredit_LostAnswer presents the credential of a pack again: in this process for the
// same answer, and after a restart for its request and the receipt.
func TestCredit_LostAnswer(t *testing.T) {
	h, router, store := counter(t)
	r := h.paid(router, "GET", "/quote/7", "")
	first := do(router, r)
	account := first.Header().Get("Paywall-Payment-Id")
	again := do(router, r)
	if again.Code != 200 || again.Body.String() != first.Body.String() || again.Header().Get("Paywall-Receipt") != first.Header().Get("Paywall-Receipt") || h.api.count() != 1 {
		t.Errorf("%d %s, after %d requests", again.Code, again.Body, h.api.count())
	}
	if n := h.left(store, account); n != 499_000 {
		t.Errorf("%d left", n)
	}
	other := request(t, "GET", "/quote/8", "")
	other.Header.Set("Authorization", r.Header.Get("Authorization"))
	if w := do(router, other); w.Code == 200 || w.Header().Get("Paywall-Receipt") != "" {
		t.Errorf("another request with it: %d %v", w.Code, w.Header())
	}
	h.settled(1, 0)
}

func TestCredit_Refusals(t *testing.T) {
	h, _, _ := counter(t)
	for name, r := range map[string]gate.Route{
		"a pack below the price":  {Credit: gate.Credit{Pack: amount(t, "0.50 USD")}, Pricer: usd(t, "1.00 USD")},
		"another currency":        {Credit: gate.Credit{Pack: amount(t, "5.00 EUR")}, Pricer: usd(t, "1.00 USD")},
		"a pack nobody can take":  {Credit: gate.Credit{Pack: amount(t, "0.40 USD")}, Pricer: usd(t, "0.01 USD")},
		"a price too fine":        {Credit: gate.Credit{Pack: amount(t, "5.00 USD")}, Pricer: usd(t, "0.000001 USD")},
		"a pass beside it":        {Credit: gate.Credit{Pack: amount(t, "5.00 USD")}, Pricer: usd(t, "0.01 USD"), Pass: payment.Pass{Uses: 2}},
		"money taken afterwards":  {Credit: gate.Credit{Pack: amount(t, "5.00 USD")}, Pricer: usd(t, "0.01 USD"), Settle: gate.SettleHold},
		"a free route with packs": {Credit: gate.Credit{Pack: amount(t, "5.00 USD")}, Free: true},
	} {
		r.ID, r.Pattern, r.Handler = "r", "GET /r", h.api
		if _, err := h.gate.Router([]gate.Route{r}); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	bare := newHouse(t)
	if _, err := bare.gate.Router([]gate.Route{{ID: "r", Pattern: "GET /r", Handler: h.api, Credit: gate.Credit{Pack: amount(t, "5.00 USD")}, Pricer: usd(t, "0.01 USD")}}); err == nil {
		t.Error("credit without a store of it")
	}
}

func amount(t *testing.T, s string) money.Amount {
	t.Helper()
	a, err := money.ParsePrice(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestCredit_ChainReader shows that whoever reads the payment of a pack on the chain does
// not get the credit, neither beside its payer nor after a restart.
func TestCredit_ChainReader(t *testing.T) {
	store := &credittest.Memory{}
	withCredit := func(gc *gate.Config, pc *payment.Config) {
		m, err := credit.New(credit.Config{Store: store, Now: pc.Now})
		if err != nil {
			t.Fatal(err)
		}
		gc.Credits, pc.Methods = m, append(pc.Methods, m)
	}
	h, c := coinHouse(t, withCredit)
	open := func() *gate.Router {
		router, err := h.gate.Router([]gate.Route{{ID: "r", Pattern: "GET /r", Pricer: usd(t, "0.01 USD"), Handler: h.api, Credit: gate.Credit{Pack: amount(t, "5.00 USD")}}})
		h.must(err)
		return router
	}
	router := open()
	field, _, _ := signed(t, h, router)
	const payer, reader = "192.0.2.1:1000", "198.51.100.1:1000"
	w := do(router, with(request(t, http.MethodGet, "/r", ""), field, payer))
	if w.Code != 200 || w.Header().Get("Paywall-Receipt") == "" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	account := w.Header().Get("Paywall-Payment-Id")
	for _, when := range []string{"beside its payer", "after a restart"} {
		if when == "after a restart" {
			h.build(func(gc *gate.Config, pc *payment.Config) {
				m, err := rail.New(rail.Config{Asset: baseUSDC(t), PayTo: payee(t), Client: c, Now: pc.Now})
				h.must(err)
				p, err := x402.New(x402.Config{Origin: "https://" + realm})
				h.must(err)
				gc.Methods, pc.Methods, gc.Protocols = []payment.Method{m}, []payment.Method{m}, []payment.Protocol{p}
			}, withCredit)
			router = open()
		}
		w := do(router, with(request(t, http.MethodGet, "/r", ""), field, reader))
		if w.Code == 200 || w.Header().Get("Paywall-Receipt") != "" || h.api.count() != 1 || h.left(store, account) != 499_000 {
			t.Errorf("%s: %d %v, %d left", when, w.Code, w.Header(), h.left(store, account))
		}
	}
}

func baseUSDC(t *testing.T) evm.Asset {
	t.Helper()
	a, ok := evm.FindAsset("eip155:84532", "USDC")
	if !ok {
		t.Fatal("no USDC")
	}
	return a
}

func payee(t *testing.T) evm.Address {
	t.Helper()
	a, err := evm.ParseAddress("0x209693Bc6afc0C5328bA36FaF03C514EF312287C")
	if err != nil {
		t.Fatal(err)
	}
	return a
}
