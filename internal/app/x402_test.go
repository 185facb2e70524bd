package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"paywall/money"
	"paywall/wallet"
	"paywall/x402/evm"
)

// payer is an agent with a key, and money to play with on the sandbox's chain.
func (h *house) payer() *http.Client {
	h.t.Helper()
	key, err := evm.ParseKey(strings.Repeat("22", 32))
	h.must(err)
	keys, err := wallet.NewKeyWallet(wallet.KeyConfig{Key: key})
	h.must(err)
	limit, err := money.ParsePrice("5.00 USD")
	h.must(err)
	t, err := wallet.NewTransport(wallet.Config{
		Stablecoins: keys, Policy: wallet.Policy{PerPayment: wallet.Limits{limit}, AskAbove: wallet.Limits{limit}},
	})
	h.must(err)
	return &http.Client{Transport: t}
}

func (h *house) collect(client *http.Client, path string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.origin+path, http.NoBody)
	h.must(err)
	resp, err := client.Do(req)
	h.must(err)
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		h.t.Fatalf("%s: %d %s, %v", path, resp.StatusCode, body, err)
	}
}

const coins = `  facilitator: {network: "eip155:84532", pay_to: stripe, url: "%s/facilitator", node: "%s/rpc/84532"}`

// TestStablecoinsInTheProcessorsBooks: paid to the processor's own address, each
// payment is entered there, to the cent, and what is less waits for the next.
func TestStablecoinsInTheProcessorsBooks(t *testing.T) {
	h := build(t, plan{methods: coins, routes: `
  - {match: "GET /v1/word/{id}", upstream: api, price: 0.004 USD}
  - {match: "GET /v1/page/{id}", upstream: api, price: 0.25 USD}`})
	agent := h.payer()
	for _, path := range []string{"/v1/word/1", "/v1/word/2", "/v1/word/3", "/v1/page/1"} {
		h.collect(agent, path)
	}
	entered := func() (n int, cents int64) {
		for _, i := range h.play.Audit().Intents {
			if i.Transaction != "" && i.Status == "succeeded" {
				n, cents = n+1, cents+i.Amount
			}
		}
		return n, cents
	}
	// 0.4 + 0.4 + 0.4 is a cent and a fifth, which the page's 25 cents leave as it is.
	h.until("the processor's books follow", func() bool { n, cents := entered(); return n == 2 && cents == 26 })
	h.must(h.play.Advance(time.Second))
	var v transfersView
	h.must(adminCall(t.Context(), h.admin, http.MethodGet, "/admin/transfers", nil, &v))
	if v.Carry["eip155:84532"] != "0.002000 USD" && len(v.Carry) != 1 || len(v.Waiting)+len(v.Dead) != 0 || v.Position == 0 {
		t.Errorf("%+v", v)
	}
	h.whole()
	// A start asks nobody for the address: the store knows it.
	h.must(h.stop())
	h.stop = func() error { return nil }
	before := len(h.play.Audit().Calls)
	h.open()
	for _, c := range h.play.Audit().Calls[before:] {
		if strings.Contains(c.Path, "deposit_addresses") {
			t.Errorf("the processor was asked again: %s %s", c.Method, c.Path)
		}
	}
	h.run()
}

// TestDescriptionAfterReload: the rails of a reload are for checks alone; what agents
// are told are those that take the money.
func TestDescriptionAfterReload(t *testing.T) {
	h := build(t, plan{methods: coins, routes: `
  - {match: "GET /v1/page/{id}", upstream: api, price: 0.25 USD}`})
	payee := func() string {
		t.Helper()
		a := h.do(http.MethodGet, "/openapi.json", "")
		_, rest, ok := strings.Cut(a.body, `"payTo":"`)
		if a.status != http.StatusOK || !ok {
			t.Fatalf("%d, nobody is paid", a.status)
		}
		return rest[:42]
	}
	before := payee()
	h.must(adminCall(t.Context(), h.admin, http.MethodPost, "/admin/reload", nil, &struct{}{}))
	if after := payee(); after != before || strings.Contains(before, "000000000000") {
		t.Errorf("%s is paid, and %s after a reload", before, after)
	}
}
