package x402_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"paywall/money"
	"paywall/payment"
	"paywall/x402"
	"paywall/x402/evm"
)

const (
	origin  = "https://api.example.com"
	network = "eip155:84532"
	asset   = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
	payTo   = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
	// helper carries permits out.
	helper = "0xd407e409E34E0b9afb99EcCeb609bDbcD5e7f1bf"
)

var began = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// object is JSON to be changed.
type object = map[string]any

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func scope() payment.Scope {
	return payment.Scope{Tenant: "api.example.com", Route: "report", Method: "GET", Target: "/v1/report?a=1&b=%20x"}
}

func amount(units int64, currency string, scale int) money.Amount {
	return must(money.New(units, currency, scale))
}

// stable is an offer as the rail of stablecoins makes it.
func stable(units int64) payment.Offer {
	return payment.Offer{
		Method: "facilitator", Intent: "charge", Amount: amount(units, "USDC", 6), Recipient: payTo, Network: network, Protocol: "x402",
		Details: json.RawMessage(`{"asset":"` + asset + `","extra":{"name":"USDC","paymentFlow":"upfront","version":"2"},"maxTimeoutSeconds":300,"network":"` +
			network + `","payTo":"` + payTo + `","scheme":"exact"}`),
		Quote: payment.Quote{Route: "report", Amount: amount(1, "USD", 2), Description: `one "report"`},
	}
}

func upto(units int64) payment.Offer {
	o := stable(units)
	o.Method, o.Hold, o.Metered = "metered", true, true
	o.Details = json.RawMessage(`{"asset":"` + asset + `","extra":{"assetTransferMethod":"permit2","facilitatorAddress":"` + helper +
		`","name":"USDC","version":"2"},"maxTimeoutSeconds":300,"network":"` + network + `","payTo":"` + payTo + `","scheme":"upto"}`)
	return o
}

// link is an offer of a processor's rail.
func link(cents int64) payment.Offer {
	return payment.Offer{
		Method: "stripe", Intent: "charge", Amount: amount(cents, "USD", 2), Details: json.RawMessage(`{"networkId":"profile_1"}`),
		Quote: payment.Quote{Route: "report", Amount: amount(cents, "USD", 2), Description: `one "report"`},
	}
}

func config() x402.Config {
	return x402.Config{Origin: origin, Bindings: []x402.Binding{{Method: "stripe", Network: "stripe:test", PayTo: "acct_1"}}}
}

func protocol(t testing.TB, change func(*x402.Config)) *x402.Protocol {
	t.Helper()
	c := config()
	if change != nil {
		change(&c)
	}
	p, err := x402.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func compile(t testing.TB, p *x402.Protocol, offers ...payment.Offer) payment.Explainer {
	t.Helper()
	d, err := p.Compile("api.example.com", offers)
	if err != nil {
		t.Fatal(err)
	}
	e, ok := d.(payment.Explainer)
	if !ok {
		t.Fatal("the dialect explains nothing")
	}
	return e
}

// required reads a challenge.
func required(t testing.TB, h http.Header) x402.PaymentRequired {
	t.Helper()
	var p x402.PaymentRequired
	if err := x402.Decode(h.Get(x402.HeaderRequired), &p); err != nil {
		t.Fatalf("%v: %q", err, h.Get(x402.HeaderRequired))
	}
	return p
}

func challenge(t testing.TB, d payment.Dialect) x402.PaymentRequired {
	t.Helper()
	h := http.Header{}
	if err := d.Challenge(h, &http.Request{}, scope(), began); err != nil {
		t.Fatal(err)
	}
	return required(t, h)
}

// payerKey is of nobody.
func payerKey() evm.Key { return must(evm.ParseKey("0x" + strings.Repeat("11", 32))) }

func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// authorization is a payload that pays units, signed.
func authorization(units int64, change func(object)) object {
	a := evm.Authorization{
		From: payerKey().Address(), To: must(evm.ParseAddress(payTo)), Value: big.NewInt(units),
		ValidAfter: big.NewInt(0), ValidBefore: big.NewInt(began.Add(5 * time.Minute).Unix()), Nonce: evm.Keccak256([]byte("nonce")),
	}
	d := evm.Domain{Name: "USDC", Version: "2", ChainID: 84532, Contract: must(evm.ParseAddress(asset))}
	out := object{
		"signature": payerKey().Sign(a.Digest(d)).String(),
		"authorization": object{
			"from": a.From.Checksum(), "to": payTo, "value": strconv.FormatInt(units, 10), "validAfter": "0",
			"validBefore": a.ValidBefore.String(), "nonce": a.Nonce.String(),
		},
	}
	if change != nil {
		change(out["authorization"].(object))
	}
	return out
}

func permission(units int64, change func(object)) object {
	out := object{
		"deadline": seconds(began.Add(5 * time.Minute)), "from": payerKey().Address().Checksum(), "nonce": "7",
		"permitted": object{"amount": strconv.FormatInt(units, 10), "token": asset}, "spender": evm.PermitUpto.Spender().Checksum(),
		"witness": object{"facilitator": helper, "to": payTo, "validAfter": "0"},
	}
	if change != nil {
		change(out)
	}
	return object{"signature": payerKey().Sign(evm.Keccak256([]byte("permit"))).String(), "permit2Authorization": out}
}

// answer is a payment in version 2 of the entry.
func answer(p x402.PaymentRequired, entry int, payload any) object {
	return object{"x402Version": 2, "accepted": copyOf(p.Accepts[entry]), "payload": payload, "resource": object{"url": p.Resource.URL}}
}

func answerV1(payload any) object {
	return object{"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": payload}
}

// copyOf is the value as a client holds it.
func copyOf(v any) object {
	var out object
	if err := json.Unmarshal(must(json.Marshal(v)), &out); err != nil {
		panic(err)
	}
	return out
}

func encode(v any) string { return base64.StdEncoding.EncodeToString(must(json.Marshal(v))) }

func request(header, value string) *http.Request {
	r := &http.Request{Header: http.Header{}}
	r.Header.Set(header, value)
	return r
}

func signed(v any) *http.Request { return request(x402.HeaderSignature, encode(v)) }

// refusal is an error that must be one.
func refusal(t testing.TB, err error) *payment.Error {
	t.Helper()
	e, ok := errors.AsType[*payment.Error](err)
	if !ok {
		t.Fatalf("%v is no refusal", err)
	}
	return e
}
