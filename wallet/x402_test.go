package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"paywall/x402"
	"paywall/x402/evm"
)

const (
	testToken = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
	testPayee = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
)

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func usdcEntry() x402.PaymentRequirements {
	return x402.PaymentRequirements{
		Scheme: "exact", Network: "eip155:84532", Amount: "10000", Asset: testToken, PayTo: testPayee, MaxTimeoutSeconds: 300,
		Extra: map[string]json.RawMessage{"name": raw("USDC"), "version": raw("2")},
	}
}

func linkEntry() x402.PaymentRequirements {
	return x402.PaymentRequirements{
		Scheme: "auth-capture", Network: "stripe:test", Amount: "100", Asset: "USD", PayTo: "profile_shop", MaxTimeoutSeconds: 300,
		Extra: map[string]json.RawMessage{"psp": raw("stripe"), "paymentFlow": raw("upfront")},
	}
}

// till is a seller that speaks x402 alone and checks signatures by itself.
type till struct {
	t       *testing.T
	entries []x402.PaymentRequirements
	edit    func(n int, r *x402.PaymentRequired)
	// paid may answer the nth payment instead.
	paid func(n int, w http.ResponseWriter) bool

	bares, paids int
	payloads     []x402.PaymentPayload
	nonces       map[string]bool
}

func (s *till) required(n int) x402.PaymentRequired {
	r := x402.PaymentRequired{
		Version: 2, Error: "Payment required", Accepts: s.entries,
		Resource:   x402.ResourceInfo{URL: shopURL, Description: "One report", MimeType: "application/json"},
		Extensions: map[string]json.RawMessage{"payment-identifier": raw(map[string]any{"info": map[string]any{"required": true}})},
	}
	if s.edit != nil {
		s.edit(n, &r)
	}
	return r
}

func (s *till) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	s.serve(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (s *till) serve(w http.ResponseWriter, r *http.Request) {
	field := r.Header.Get(x402.HeaderSignature)
	if field == "" {
		s.bares++
		v, err := x402.Encode(s.required(s.bares))
		if err != nil {
			s.t.Fatal(err)
		}
		w.Header().Set(x402.HeaderRequired, v)
		w.WriteHeader(http.StatusPaymentRequired)
		return
	}
	s.paids++
	var p x402.PaymentPayload
	if err := x402.Decode(field, &p); err != nil {
		s.t.Fatalf("payload: %v", err)
	}
	s.payloads = append(s.payloads, p)
	if s.paid != nil && s.paid(s.paids, w) {
		return
	}
	if p.Accepted.Scheme == "exact" {
		s.check(p)
	}
	v, err := x402.Encode(x402.SettleResponse{Success: true, Transaction: "0xabc", Network: p.Accepted.Network, Payer: "0xpayer"})
	if err != nil {
		s.t.Fatal(err)
	}
	w.Header().Set(x402.HeaderResponse, v)
	w.Header().Set("Paywall-Receipt", "aaaa.bbbb.cccc")
	fmt.Fprint(w, "the goods")
}

// check recovers who signed, as a chain would.
func (s *till) check(p x402.PaymentPayload) {
	s.t.Helper()
	var in struct {
		Signature     string
		Authorization struct{ From, To, Value, ValidAfter, ValidBefore, Nonce string }
	}
	if err := json.Unmarshal(p.Payload, &in); err != nil {
		s.t.Fatal(err)
	}
	number := func(text string) *big.Int {
		n, err := evm.ParseUint(text)
		if err != nil {
			s.t.Fatal(err)
		}
		return n
	}
	address := func(text string) evm.Address {
		a, err := evm.ParseAddress(text)
		if err != nil {
			s.t.Fatal(err)
		}
		return a
	}
	nonce, err := evm.ParseHash(in.Authorization.Nonce)
	if err != nil {
		s.t.Fatal(err)
	}
	a := in.Authorization
	digest := evm.Authorization{
		From: address(a.From), To: address(a.To), Value: number(a.Value),
		ValidAfter: number(a.ValidAfter), ValidBefore: number(a.ValidBefore), Nonce: nonce,
	}.Digest(evm.Domain{Name: "USDC", Version: "2", ChainID: 84532, Contract: address(testToken)})
	sig, err := evm.ParseSignature(in.Signature)
	if err != nil {
		s.t.Fatal(err)
	}
	if who, err := evm.Recover(digest, sig); err != nil || who != address(a.From) || a.Value != p.Accepted.Amount || address(a.To) != address(p.Accepted.PayTo) {
		s.t.Errorf("signed by %v for %v: %v", who, a, err)
	}
	if s.nonces[a.Nonce] {
		s.t.Error("a nonce twice")
	}
	if s.nonces == nil {
		s.nonces = map[string]bool{}
	}
	s.nonces[a.Nonce] = true
}

func testKey(t testing.TB) evm.Key {
	t.Helper()
	k, err := evm.ParseKey(strings.Repeat("11", 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newTill(t *testing.T, edit func(*till, *Config)) (*till, *Transport, *MemoryLedger) {
	t.Helper()
	keys, err := NewKeyWallet(KeyConfig{Key: testKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	s, ledger := &till{t: t, entries: []x402.PaymentRequirements{usdcEntry()}}, &MemoryLedger{}
	cfg := Config{Base: s, Stablecoins: keys, Policy: freely(), Ledger: ledger}
	if edit != nil {
		edit(s, &cfg)
	}
	tr, err := NewTransport(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, tr, ledger
}

func buyOne(t *testing.T, tr *Transport) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, shopURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	_, err = io.Copy(&b, resp.Body)
	return resp, b.String(), errors.Join(err, resp.Body.Close())
}

func TestStablecoinIsPaid(t *testing.T) {
	s, tr, ledger := newTill(t, nil)
	resp, body, err := buyOne(t, tr)
	if err != nil || body != "the goods" || s.bares != 2 || s.paids != 1 {
		t.Fatalf("%q, %v after %d bare requests and %d paid", body, err, s.bares, s.paids)
	}
	res, ok := ResultOf(resp)
	if !ok || res.Reference() != "0xabc" || res.Amount != amount(10000, "USD", 6) || res.ReceiptToken.Reveal() != "aaaa.bbbb.cccc" {
		t.Errorf("%+v", res)
	}
	p := s.payloads[0]
	if p.Version != 2 || p.Resource == nil || p.Resource.URL != shopURL || p.Accepted.Text("name") != "USDC" {
		t.Errorf("%+v", p)
	}
	var echo struct{ Info struct{ ID string } }
	if err := json.Unmarshal(p.Extensions["payment-identifier"], &echo); err != nil || len(echo.Info.ID) < 16 {
		t.Errorf("payment-identifier %s: %v", p.Extensions["payment-identifier"], err)
	}
	if all, err := ledger.Spends(t.Context(), time.Time{}); err != nil || len(all) != 1 || all[0].Amount != amount(10000, "USD", 6) {
		t.Errorf("ledger %v, %v", all, err)
	}
}

// One policy rules tokens and stablecoins: a dollar is a dollar.
func TestStablecoinsCountAgainstThePolicy(t *testing.T) {
	_, tr, _ := newTill(t, func(s *till, c *Config) {
		c.Policy = Policy{PerPayment: Limits{usd(2)}, PerDay: Limits{usd(2)}, AskAbove: Limits{usd(2)}}
	})
	for i := range 3 {
		_, _, err := buyOne(t, tr)
		if over, ok := errors.AsType[*PolicyError](err); ok != (i == 2) {
			t.Errorf("payment %d: %v, %v", i, over, err)
		}
	}
}

func TestX402EntriesThatAreNotPaid(t *testing.T) {
	for name, edit := range map[string]func(*x402.PaymentRequired){
		"unknown token":            func(r *x402.PaymentRequired) { r.Accepts[0].Asset = testPayee },
		"no address":               func(r *x402.PaymentRequired) { r.Accepts[0].Asset = "USDC" },
		"real money":               func(r *x402.PaymentRequired) { r.Accepts[0].Network = "eip155:8453" },
		"another chain":            func(r *x402.PaymentRequired) { r.Accepts[0].Network = "solana:mainnet" },
		"another scheme":           func(r *x402.PaymentRequired) { r.Accepts[0].Scheme = "upto" },
		"permit2":                  func(r *x402.PaymentRequired) { r.Accepts[0].Extra["assetTransferMethod"] = raw("permit2") },
		"another name":             func(r *x402.PaymentRequired) { r.Accepts[0].Extra["name"] = raw("USD Coin") },
		"payee is the token":       func(r *x402.PaymentRequired) { r.Accepts[0].PayTo = testToken },
		"payee is nobody":          func(r *x402.PaymentRequired) { r.Accepts[0].PayTo = "0x0000000000000000000000000000000000000000" },
		"payee mistyped":           func(r *x402.PaymentRequired) { r.Accepts[0].PayTo = strings.Replace(testPayee, "B", "b", 1) },
		"amount with a sign":       func(r *x402.PaymentRequired) { r.Accepts[0].Amount = "-1" },
		"amount with a point":      func(r *x402.PaymentRequired) { r.Accepts[0].Amount = "0.01" },
		"amount in another base":   func(r *x402.PaymentRequired) { r.Accepts[0].Amount = "0x2710" },
		"amount of nothing":        func(r *x402.PaymentRequired) { r.Accepts[0].Amount = "0" },
		"more than the policy":     func(r *x402.PaymentRequired) { r.Accepts[0].Amount = "10000001" },
		"another host":             func(r *x402.PaymentRequired) { r.Resource.URL = "https://evil.example/v1/report?day=1" },
		"another resource":         func(r *x402.PaymentRequired) { r.Resource.URL = "https://" + shopHost + "/v1/other" },
		"no resource":              func(r *x402.PaymentRequired) { r.Resource.URL = "" },
		"a token without a wallet": func(r *x402.PaymentRequired) { r.Accepts[0] = linkEntry() },
	} {
		t.Run(name, func(t *testing.T) {
			s, tr, ledger := newTill(t, func(s *till, _ *Config) {
				s.edit = func(_ int, r *x402.PaymentRequired) {
					r.Accepts = []x402.PaymentRequirements{usdcEntry()}
					edit(r)
				}
			})
			_, _, err := buyOne(t, tr)
			_, none := errors.AsType[*NoOfferError](err)
			_, forbidden := errors.AsType[*PolicyError](err)
			if s.paids != 0 || !none && !forbidden {
				t.Errorf("%d payments, %v", s.paids, err)
			}
			if all, _ := ledger.Spends(t.Context(), time.Time{}); len(all) != 0 {
				t.Errorf("the ledger counts %v", all)
			}
		})
	}
}

func TestX402PriceChangesAtTheSecondLook(t *testing.T) {
	s, tr, _ := newTill(t, func(s *till, _ *Config) {
		s.edit = func(n int, r *x402.PaymentRequired) {
			r.Accepts = []x402.PaymentRequirements{usdcEntry()}
			if n > 1 {
				r.Accepts[0].Amount = "10001"
			}
		}
	})
	_, _, err := buyOne(t, tr)
	if _, ok := errors.AsType[*PriceChangedError](err); !ok || s.paids != 0 {
		t.Errorf("%v, %d payments", err, s.paids)
	}
}

func TestLinkTokenOverX402(t *testing.T) {
	p := &purse{}
	s, tr, _ := newTill(t, func(s *till, c *Config) {
		s.entries = []x402.PaymentRequirements{linkEntry(), usdcEntry()}
		c.Wallet, c.Stablecoins = p, nil
	})
	_, body, err := buyOne(t, tr)
	if err != nil || body != "the goods" {
		t.Fatalf("%q, %v", body, err)
	}
	if r := p.requests[0]; r.NetworkID != "profile_shop" || r.Amount != usd(100) || r.Transfer != nil {
		t.Errorf("the wallet was asked %+v", r)
	}
	var payload map[string]string
	if err := json.Unmarshal(s.payloads[0].Payload, &payload); err != nil || payload["token"] != "spt_1" || payload["paymentId"] == "" {
		t.Errorf("payload %v, %v", payload, err)
	}
}

// A settlement that is pending is presented again, never signed again, whatever
// status it comes with.
func TestX402PendingIsPresentedAgain(t *testing.T) {
	for name, pending := range map[string]func(w http.ResponseWriter){
		"503": func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"402 with the code": func(w http.ResponseWriter) {
			v, _ := x402.Encode(x402.SettleResponse{ErrorReason: x402.CodePending, Transaction: "0xabc", Network: "eip155:84532"})
			w.Header().Set(x402.HeaderResponse, v)
			w.WriteHeader(http.StatusPaymentRequired)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, tr, _ := newTill(t, func(s *till, _ *Config) {
					s.paid = func(n int, w http.ResponseWriter) bool {
						if n < 3 {
							pending(w)
						}
						return n < 3
					}
				})
				_, body, err := buyOne(t, tr)
				if err != nil || body != "the goods" || s.paids != 3 {
					t.Fatalf("%q, %v after %d", body, err, s.paids)
				}
				for _, p := range s.payloads[1:] {
					if !bytes.Equal(p.Payload, s.payloads[0].Payload) {
						t.Error("another signature")
					}
				}
			})
		})
	}
}

// A refusal takes no signature back: until it expires, no other one is made for the
// request, however often it is asked for.
func TestX402DeclinedTransferIsStillGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, tr, _ := newTill(t, func(s *till, _ *Config) {
			s.paid = func(_ int, w http.ResponseWriter) bool { w.WriteHeader(http.StatusPaymentRequired); return true }
		})
		signed := func() int {
			nonces := map[string]bool{}
			for _, p := range s.payloads {
				nonces[string(p.Payload)] = true
			}
			return len(nonces)
		}
		for range 3 {
			_, _, err := buyOne(t, tr)
			if e, ok := errors.AsType[*DeclinedError](err); !ok || !e.MaybeCharged {
				t.Errorf("told that nothing can be charged: %v", err)
			}
		}
		if signed() != 1 {
			t.Errorf("%d transfers were signed for one request", signed())
		}
		time.Sleep(10 * time.Minute) // the transfer has expired, and the chain knows
		for range 2 {
			_, _, _ = buyOne(t, tr)
		}
		if signed() != 2 {
			t.Errorf("%d transfers were signed in the end, want a second one", signed())
		}
	})
}

// What was signed cannot be taken back: a refusal leaves it counted.
func TestX402DeclineCounts(t *testing.T) {
	_, tr, ledger := newTill(t, func(s *till, _ *Config) {
		s.paid = func(_ int, w http.ResponseWriter) bool { w.WriteHeader(http.StatusPaymentRequired); return true }
	})
	_, _, err := buyOne(t, tr)
	if _, ok := errors.AsType[*DeclinedError](err); !ok {
		t.Errorf("%v", err)
	}
	if all, _ := ledger.Spends(t.Context(), time.Time{}); len(all) != 1 {
		t.Errorf("the ledger counts %v", all)
	}
}

func TestPreferredProtocol(t *testing.T) {
	for _, prefer := range []string{"", "mpp", "x402"} {
		r := newRig(t, nil)
		both := &till{t: t, entries: []x402.PaymentRequirements{usdcEntry()}}
		keys, err := NewKeyWallet(KeyConfig{Key: testKey(t)})
		if err != nil {
			t.Fatal(err)
		}
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Header.Get(x402.HeaderSignature) != "" {
				return both.RoundTrip(req)
			}
			resp, err := r.seller.RoundTrip(req)
			if err == nil && resp.StatusCode == http.StatusPaymentRequired {
				v, _ := x402.Encode(both.required(1))
				resp.Header.Set(x402.HeaderRequired, v)
			}
			return resp, err
		})
		tr, err := NewTransport(Config{Base: base, Wallet: r.purse, Stablecoins: keys, Prefer: prefer, Policy: freely()})
		if err != nil {
			t.Fatal(err)
		}
		if _, body, err := buyOne(t, tr); err != nil || body != "the goods" {
			t.Fatalf("%q, %v", body, err)
		}
		if want := prefer == "x402"; (both.paids == 1) != want || (r.purse.proofs() == 0) != want {
			t.Errorf("prefer %q: %d by x402, %d tokens", prefer, both.paids, r.purse.proofs())
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestKeyWalletNamesWhatIsWrong(t *testing.T) {
	if _, err := NewKeyWallet(KeyConfig{}); err == nil {
		t.Error("no key")
	}
	if _, err := NewKeyWallet(KeyConfig{Key: testKey(t), Networks: []string{"base"}}); err == nil {
		t.Error("no network")
	}
	w, err := NewKeyWallet(KeyConfig{Key: testKey(t), Networks: []string{"eip155:8453"}})
	if err != nil || w.Pays("eip155:84532") || !w.Pays("eip155:8453") {
		t.Errorf("%v", err)
	}
	if _, err := w.Pay(t.Context(), Request{Amount: usd(1)}); err == nil {
		t.Error("a payment that is no transfer")
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", w, w, w), "1111") {
		t.Error("the key is printed")
	}
}
