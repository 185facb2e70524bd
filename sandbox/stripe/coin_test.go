package stripe_test

import (
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/sandbox/stripe"
	"paywall/x402/evm"
)

const (
	coinVersion = "Stripe-Version: 2026-05-27.preview"
	baseUSDC    = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
	buyer       = "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a"
)

// ledger is a chain that the test writes.
type ledger struct {
	mu   sync.Mutex
	rows []stripe.ChainTransfer
}

func (l *ledger) Received(network, address string) []stripe.ChainTransfer {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []stripe.ChainTransfer
	for _, r := range l.rows {
		if network == "base" && strings.EqualFold(r.To, address) {
			found = append(found, r)
		}
	}
	return found
}

// pay transfers units to an address and returns the hash.
func (l *ledger) pay(to string, units int64, contract string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	hash := fmt.Sprintf("0x%064x", len(l.rows)+1)
	l.rows = append(l.rows, stripe.ChainTransfer{Hash: hash, From: buyer, To: to, Contract: contract, Units: big.NewInt(units), At: start})
	return hash
}

func newCoins(t *testing.T) (*psp, *ledger) {
	t.Helper()
	l := new(ledger)
	return newPSP(t, stripe.Config{Chain: l}), l
}

func (p *psp) depositAddress(t *testing.T) string {
	t.Helper()
	return p.post("/v1/crypto/deposit_addresses", "network=base", coinVersion).ok(t).str("address")
}

// recorded is the body that records a transaction.
func recorded(hash string, amount int) string {
	return fmt.Sprintf("payment_method_options[crypto][mode]=transaction_verification&payment_method_options[crypto][transaction_verification_options][network]=base"+
		"&payment_method_options[crypto][transaction_verification_options][transaction_hash]=%s&amount=%d&confirm=true&currency=usd"+
		"&payment_method_data[type]=crypto&payment_method_types[0]=crypto&metadata[paywall_payment]=pay_1", hash, amount)
}

func (p *psp) record(hash string, amount int) reply {
	return p.post("/v1/payment_intents", recorded(hash, amount), coinVersion, "Idempotency-Key: "+hash)
}

func TestDepositAddresses(t *testing.T) {
	p, _ := newCoins(t)
	customer := p.post("/v1/customers", "").ok(t).str("id")
	made := p.post("/v1/crypto/deposit_addresses", "network=base&metadata[a]=1", coinVersion, "Idempotency-Key: k").ok(t)
	made.is(t, "network", "base")
	made.is(t, "metadata.a", "1")
	made.is(t, "supported_tokens.0.token_currency", "usdc")
	made.is(t, "supported_tokens.0.token_contract_address", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913")
	// It is written with the checksum that the product knows.
	if a, err := evm.ParseAddress(strings.ToLower(made.str("address"))); err != nil || a.Checksum() != made.str("address") {
		t.Errorf("%s: %v", made.raw, err)
	}
	if again := p.post("/v1/crypto/deposit_addresses", "network=base&metadata[a]=1", coinVersion, "Idempotency-Key: k"); again.raw != made.raw {
		t.Errorf("the same key made %s", again.raw)
	}
	if got := p.get("/v1/crypto/deposit_addresses/"+made.str("id"), "", coinVersion).ok(t); got.raw != made.raw {
		t.Errorf("got %s", got.raw)
	}
	own := p.post("/v1/crypto/deposit_addresses", "network=base&customer="+customer, coinVersion).ok(t)
	for _, tt := range []struct {
		filter string
		want   int
	}{
		{"", 2},
		{"network=base", 2},
		{"network=tempo", 0},
		{"customer=" + customer, 1},
		{"limit=1", 1},
		{"address=" + strings.ToLower(own.str("address")), 1},
		{"address=" + buyer, 0},
	} {
		if list, _ := p.get("/v1/crypto/deposit_addresses", tt.filter, coinVersion).ok(t).at("data").([]any); len(list) != tt.want {
			t.Errorf("%q: %d", tt.filter, len(list))
		}
	}
	for _, tt := range []struct {
		name, form, version, code, message string
		status                             int
	}{
		{"no network", "", coinVersion, "parameter_missing", "network", 400},
		{"no such network", "network=eip155:8453", coinVersion, "parameter_invalid_string", "network", 400},
		{"a network that is not here", "network=solana", coinVersion, "", "not part of the sandbox", 400},
		{"no such customer", "network=base&customer=cus_0", coinVersion, "resource_missing", "cus_0", 400},
		{"an older preview", "network=base", "Stripe-Version: 2026-04-22.preview", "", "Unrecognized request URL", 404},
		{"no preview", "network=base", "Stripe-Version: 2026-08-26.dahlia", "", "Unrecognized request URL", 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.post("/v1/crypto/deposit_addresses", tt.form, tt.version).refused(t, tt.status, tt.code, tt.message)
		})
	}
	p.get("/v1/crypto/deposit_addresses/cda_0", "", coinVersion).refused(t, http.StatusNotFound, "resource_missing", "cda_0")
}

func TestTransactionVerification(t *testing.T) {
	p, chain := newCoins(t)
	to := p.depositAddress(t)
	hash := chain.pay(to, 1_019_999, baseUSDC)
	got := p.record(hash, 101).ok(t)
	got.is(t, "status", "succeeded")
	got.is(t, "amount_received", 101)
	got.is(t, "payment_method_types.0", "crypto")
	charge := p.get("/v1/charges/"+got.str("latest_charge"), "", coinVersion).ok(t)
	charge.is(t, "payment_method_details.type", "crypto")
	charge.is(t, "payment_method_details.crypto.transaction_hash", hash)
	charge.is(t, "payment_method_details.crypto.buyer_address", buyer)
	charge.is(t, "payment_method_details.crypto.network", "base")
	// Again under its key it is the same intent; under another key it is refused.
	if again := p.record(hash, 101); again.raw != got.raw || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %s", again.raw)
	}
	p.post("/v1/payment_intents", recorded(hash, 1), coinVersion, "Idempotency-Key: other").refused(t, 400, "", "recorded already")
	a := p.Audit(10)
	if len(a.Intents) != 1 || a.Intents[0].Transaction != hash || a.Totals.Captured["usd"] != 101 || a.Totals.Charges != 1 {
		t.Errorf("%+v", a)
	}
	p.clock.advance(time.Minute)
	if fee := p.get("/v1/balance_transactions", "", coinVersion).ok(t).at("data.0.fee"); fee != 2.0 { // 1.5 percent
		t.Errorf("fee %v", fee)
	}
	refund := p.post("/v1/refunds", "payment_intent="+got.str("id"), coinVersion).ok(t)
	refund.is(t, "amount", 101)
	refund.is(t, "destination_details.type", "crypto")
}

func TestTransactionVerification_Refused(t *testing.T) {
	p, chain := newCoins(t)
	to := p.depositAddress(t)
	hash := chain.pay(to, 50_000, baseUSDC)
	elsewhere := chain.pay(buyer, 50_000, baseUSDC)
	otherToken := chain.pay(to, 50_000, "0x"+strings.Repeat("12", 20))
	for _, tt := range []struct {
		name, form, version, code, message string
	}{
		{"unknown", recorded("0x"+strings.Repeat("ee", 32), 5), coinVersion, "", "could not be verified"},
		{"to somebody else", recorded(elsewhere, 5), coinVersion, "", "could not be verified"},
		{"of another token", recorded(otherToken, 5), coinVersion, "", "could not be verified"},
		{"no hash", recorded("0x12", 5), coinVersion, "", "not valid for the network"},
		{"more than received", recorded(hash, 6), coinVersion, "", "more than was received"},
		{"nothing", recorded(hash, 0), coinVersion, "amount_too_small", "$0.01"},
		{"unconfirmed", strings.Replace(recorded(hash, 5), "confirm=true", "confirm=false", 1), coinVersion, "", "confirmed"},
		{"another currency", strings.Replace(recorded(hash, 5), "usd", "eur", 1), coinVersion, "", "usd"},
		{"captured later", recorded(hash, 5) + "&capture_method=manual", coinVersion, "", "captured later"},
		{"with a card", recorded(hash, 5) + "&payment_method=pm_card_visa", coinVersion, "parameters_exclusive", "no other payment method"},
		{"among other types", recorded(hash, 5) + "&payment_method_types[1]=card", coinVersion, "", "crypto alone"},
		{"an unknown member", "amount=5&currency=usd&payment_method_types[]=crypto&payment_method_options[crypto][x]=1", coinVersion, "parameter_unknown", "crypto][x]"},
		{"no mode", "amount=5&currency=usd&payment_method_types[]=crypto&payment_method_options[crypto][mode]=", coinVersion, "parameter_missing", "crypto][mode]"},
		{"no preview", recorded(hash, 5), "Stripe-Version: 2026-08-26.dahlia", "parameter_unknown", "payment_method_options[crypto]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.post("/v1/payment_intents", tt.form, tt.version).refused(t, http.StatusBadRequest, tt.code, tt.message)
		})
	}
	if a := p.Audit(10); len(a.Intents) != 0 {
		t.Errorf("%+v", a.Intents)
	}
	// What the chain shows later counts under the same key then.
	later := fmt.Sprintf("0x%064x", 4)
	p.record(later, 5).refused(t, http.StatusBadRequest, "", "could not be verified")
	if hash := chain.pay(to, 50_000, baseUSDC); hash != later {
		t.Fatal(hash)
	}
	p.record(later, 5).ok(t)
}

// What is less than a cent is recorded with what comes later, and never more than came.
func TestTransactionVerification_BelowACent(t *testing.T) {
	p, chain := newCoins(t)
	to := p.depositAddress(t)
	first := chain.pay(to, 4_000, baseUSDC)
	p.record(first, 1).refused(t, 400, "", "more than was received")
	chain.pay(to, 4_000, baseUSDC)
	third := chain.pay(to, 4_000, baseUSDC)
	p.record(third, 1).ok(t)
	fourth := chain.pay(to, 7_999, baseUSDC)
	p.record(fourth, 1).refused(t, 400, "", "($0.00)")
}

func deposit(amount int) string {
	return fmt.Sprintf("amount=%d&currency=usd&confirm=true&payment_method_types[]=crypto&payment_method_data[type]=crypto"+
		"&payment_method_options[crypto][mode]=deposit&payment_method_options[crypto][deposit_options][networks][]=base", amount)
}

func TestDeposit(t *testing.T) {
	p, chain := newCoins(t)
	made := p.post("/v1/payment_intents", deposit(101), coinVersion).ok(t)
	made.is(t, "status", "requires_action")
	made.is(t, "next_action.type", "crypto_display_details")
	to := made.str("next_action.crypto_display_details.deposit_addresses.base.address")
	if !regexp.MustCompile(`^0x[0-9a-fA-F]{40}$`).MatchString(to) {
		t.Fatal(made.raw)
	}
	path := "/v1/payment_intents/" + made.str("id")
	chain.pay(to, 1_010_001, baseUSDC) // not the amount
	chain.pay(to, 1_010_000, "0x"+strings.Repeat("12", 20))
	p.get(path, "", coinVersion).ok(t).is(t, "status", "requires_action")
	hash := chain.pay(to, 1_010_000, baseUSDC)
	p.Wake()
	paid := p.get(path, "expand[]=latest_charge", coinVersion).ok(t)
	paid.is(t, "status", "succeeded")
	paid.is(t, "amount_received", 101)
	paid.is(t, "latest_charge.payment_method_details.crypto.transaction_hash", hash)
	var kinds []string
	for _, e := range p.get("/v1/events", "", coinVersion).ok(t).at("data").([]any) {
		kinds = append(kinds, e.(map[string]any)["type"].(string))
	}
	if got := strings.Join(kinds, " "); got != "payment_intent.succeeded charge.succeeded payment_intent.processing payment_intent.requires_action payment_intent.created" {
		t.Error(got)
	}
	t.Run("cancelled, it waits no more", func(t *testing.T) {
		made := p.post("/v1/payment_intents", deposit(50), coinVersion).ok(t)
		p.post("/v1/payment_intents/"+made.str("id")+"/cancel", "", coinVersion).ok(t)
		chain.pay(made.str("next_action.crypto_display_details.deposit_addresses.base.address"), 500_000, baseUSDC)
		p.get("/v1/payment_intents/"+made.str("id"), "", coinVersion).ok(t).is(t, "status", "canceled")
	})
}

func TestSimulatedDeposit(t *testing.T) {
	const good = "0x00000000000000000000000000000000000000000000000000000testsuccess"
	const bad = "0x000000000000000000000000000000000000000000000000000000testfailed"
	for _, tt := range []struct{ hash, end string }{{good, "succeeded"}, {bad, "requires_payment_method"}} {
		t.Run(tt.end, func(t *testing.T) {
			p, _ := newCoins(t)
			made := p.post("/v1/payment_intents", deposit(101), coinVersion).ok(t)
			path := "/v1/payment_intents/" + made.str("id")
			simulate := func(form string) reply {
				return p.post("/v1/test_helpers/payment_intents/"+made.str("id")+"/simulate_crypto_deposit", form, coinVersion)
			}
			simulate("network=base&token_currency=usdc&transaction_hash=0x"+strings.Repeat("ab", 32)).refused(t, 400, "", "valid testmode transaction hash")
			simulate("network=tempo&transaction_hash="+tt.hash).refused(t, 400, "", "no deposit address")
			simulate("network=base&token_currency=usdc&buyer_wallet="+buyer+"&transaction_hash="+tt.hash).ok(t).is(t, "status", "processing")
			simulate("network=base&transaction_hash="+tt.hash).refused(t, 400, "payment_intent_unexpected_state", "does not wait")
			p.clock.advance(14 * time.Second)
			p.get(path, "", coinVersion).ok(t).is(t, "status", "processing")
			p.clock.advance(time.Second)
			end := p.get(path, "expand[]=latest_charge", coinVersion).ok(t)
			end.is(t, "status", tt.end)
			end.is(t, "latest_charge.payment_method_details.crypto.buyer_address", buyer)
		})
	}
}
