package gatetest_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"paywall/gate/gatetest"
	"paywall/money"
	"paywall/payment"
	"paywall/x402"
	"paywall/x402/evm"
)

const (
	x402Network     = "eip155:84532"
	x402PayTo       = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
	x402Facilitator = "0xd407e409E34E0b9afb99EcCeb609bDbcD5e7f1bf"
)

// stablecoins puts a rail of stablecoins in the place of the suite's own: to the
// protocol every offer is one of a token on a chain, and what the protocol reads is
// checked as that rail does it, signature and all, before the suite's rail has it.
type stablecoins struct {
	*x402.Protocol

	version int
	clock   *atomic.Int64 // when a challenge was made last
}

func (s stablecoins) Compile(realm string, offers []payment.Offer) (payment.Dialect, error) {
	shaped := make([]payment.Offer, len(offers))
	for i, o := range offers {
		shaped[i] = o
		if o.Metered && s.version == x402.V1 {
			return nil, fmt.Errorf("no ceilings in version 1: %w", payment.ErrNotOffered)
		}
		a, err := money.New(o.Amount.Units()*10_000, "USDC", 6)
		if err != nil {
			return nil, err
		}
		need := map[string]any{
			"scheme": x402.SchemeExact, "network": x402Network, "asset": usdc().Contract, "payTo": x402PayTo, "maxTimeoutSeconds": 300,
			"extra": map[string]any{"name": usdc().Name, "version": usdc().Version},
		}
		if o.Metered {
			need["scheme"] = x402.SchemeUpto
			need["extra"] = map[string]any{
				"name": usdc().Name, "version": usdc().Version, "assetTransferMethod": x402.TransferPermit2, "facilitatorAddress": x402Facilitator,
			}
		}
		if shaped[i].Details, err = json.Marshal(need); err != nil {
			return nil, err
		}
		shaped[i].Amount, shaped[i].Network, shaped[i].Protocol = a, x402Network, "x402"
	}
	d, err := s.Protocol.Compile(realm, shaped)
	if err != nil {
		return nil, err
	}
	e, ok := d.(payment.Explainer)
	if !ok {
		return nil, errors.New("the dialect explains nothing")
	}
	return stablecoin{e, offers[0], s.clock}, nil
}

func usdc() evm.Asset {
	a, _ := evm.FindAsset(x402Network, "USDC")
	return a
}

type stablecoin struct {
	payment.Explainer

	offer payment.Offer
	clock *atomic.Int64
}

func (s stablecoin) Challenge(h http.Header, r *http.Request, sc payment.Scope, now time.Time) error {
	s.clock.Store(now.Unix())
	return s.Explainer.Challenge(h, r, sc, now)
}

func (s stablecoin) Refuse(h http.Header, r *http.Request, sc payment.Scope, e *payment.Error, now time.Time) (int, error) {
	s.clock.Store(now.Unix())
	return s.Explainer.Refuse(h, r, sc, e, now)
}

func (s stablecoin) Credential(r *http.Request, sc payment.Scope, now time.Time) (payment.Credential, error) {
	c, err := s.Explainer.Credential(r, sc, now)
	if c.ChallengeID == "" {
		return c, err
	}
	var p struct {
		Payload struct {
			Signature     string
			Authorization *authorization
			Permit        *permission `json:"permit2Authorization"`
		}
	}
	if err := json.Unmarshal(c.Payload, &p); err != nil {
		return c, err
	}
	var (
		digest evm.Hash
		nonce  string
	)
	if p.Payload.Permit != nil {
		digest, nonce = p.Payload.Permit.digest(), p.Payload.Permit.Nonce
	} else {
		digest, nonce = p.Payload.Authorization.digest(), p.Payload.Authorization.Nonce
	}
	signature, bad := evm.ParseSignature(p.Payload.Signature)
	if bad != nil {
		return c, bad
	}
	if who, bad := evm.Recover(digest, signature); bad != nil || who.String() != c.Payer {
		return payment.Credential{}, &payment.Error{Kind: payment.KindVerificationFailed, Reason: x402.CodeSignature, Err: bad}
	}
	c.Offer = s.offer
	var broken error
	if c.Payload, broken = json.Marshal(map[string]string{"token": nonce}); broken != nil {
		return c, broken
	}
	return c, err
}

func number(s string) *big.Int {
	n, err := evm.ParseUint(s)
	if err != nil {
		panic(err)
	}
	return n
}

type authorization struct {
	From        evm.Address `json:"from"`
	To          evm.Address `json:"to"`
	Value       string      `json:"value"`
	ValidAfter  string      `json:"validAfter"`
	ValidBefore string      `json:"validBefore"`
	Nonce       string      `json:"nonce"`
}

func (a *authorization) digest() evm.Hash {
	nonce, err := evm.ParseHash(a.Nonce)
	if err != nil {
		panic(err)
	}
	domain, err := usdc().Domain()
	if err != nil {
		panic(err)
	}
	return evm.Authorization{
		From: a.From, To: a.To, Value: number(a.Value), ValidAfter: number(a.ValidAfter), ValidBefore: number(a.ValidBefore), Nonce: nonce,
	}.Digest(domain)
}

type permission struct {
	From      evm.Address `json:"from"`
	Spender   evm.Address `json:"spender"`
	Nonce     string      `json:"nonce"`
	Deadline  string      `json:"deadline"`
	Permitted struct {
		Token  evm.Address `json:"token"`
		Amount string      `json:"amount"`
	} `json:"permitted"`
	Witness struct {
		To          evm.Address `json:"to"`
		Facilitator evm.Address `json:"facilitator"`
		ValidAfter  string      `json:"validAfter"`
	} `json:"witness"`
}

func (p *permission) digest() evm.Hash {
	return evm.Permit{
		Kind: evm.PermitUpto, From: p.From, Token: p.Permitted.Token, Amount: number(p.Permitted.Amount), Spender: p.Spender,
		Nonce: number(p.Nonce), Deadline: number(p.Deadline), To: p.Witness.To, Facilitator: p.Witness.Facilitator, ValidAfter: number(p.Witness.ValidAfter),
	}.Digest(84532)
}

// sign answers an entry with a payment that is named by seed.
func sign(t *testing.T, need x402.PaymentRequirements, seed []byte, now int64) json.RawMessage {
	t.Helper()
	key, err := evm.ParseKey("0x" + strings.Repeat("11", 32))
	if err != nil {
		t.Fatal(err)
	}
	to, err := evm.ParseAddress(need.PayTo)
	if err != nil {
		t.Fatal(err)
	}
	nonce, end := evm.Keccak256(seed), strconv.FormatInt(now+300, 10)
	out := map[string]any{}
	if need.Scheme == x402.SchemeUpto {
		p := permission{From: key.Address(), Spender: evm.PermitUpto.Spender(), Nonce: new(big.Int).SetBytes(nonce[:]).String(), Deadline: end}
		p.Permitted.Token, p.Permitted.Amount = usdc().Contract, need.Amount
		p.Witness.To, p.Witness.ValidAfter = to, "0"
		if p.Witness.Facilitator, err = evm.ParseAddress(need.Text("facilitatorAddress")); err != nil {
			t.Fatal(err)
		}
		out["permit2Authorization"], out["signature"] = p, key.Sign(p.digest()).String()
	} else {
		a := authorization{From: key.Address(), To: to, Value: need.Amount, ValidAfter: "0", ValidBefore: end, Nonce: nonce.String()}
		out["authorization"], out["signature"] = a, key.Sign(a.digest()).String()
	}
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestX402(t *testing.T) {
	for version, field := range map[int]string{x402.V2: x402.HeaderSignature, x402.V1: x402.HeaderPaymentV1} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			clock := &atomic.Int64{}
			// wire rewrites the payment's JSON.
			wire := func(from, to string) func(http.Header) {
				return func(h http.Header) {
					raw, err := base64.StdEncoding.DecodeString(h.Get(field))
					if err != nil || !strings.Contains(string(raw), from) {
						t.Fatalf("no %s in %s: %v", from, raw, err)
					}
					h.Set(field, base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(raw), from, to, 1))))
				}
			}
			spoil := map[string]func(http.Header){
				"another network":      wire("base-sepolia", "base"),
				"another scheme":       wire(`"scheme":"exact"`, `"scheme":"upto"`),
				"another version":      wire(`"x402Version":`, `"x402Version":3`),
				"a version in quotes":  wire(fmt.Sprintf(`"x402Version":%d`, version), fmt.Sprintf(`"x402Version":"%d"`, version)),
				"no payload":           wire(`"payload"`, `"x"`),
				"payload twice":        wire(`"payload"`, `"payload":{},"payload"`),
				"not an object":        wire("{", "["),
				"a nonce that is none": wire(`"nonce":"0x`, `"nonce":"0y`),
				"another signature":    wire(`"signature":"0x`, `"signature":"0x00`),
				"empty":                func(h http.Header) { h.Set(field, "") },
				"not base64":           func(h http.Header) { h.Set(field, "****") },
				"an empty object":      func(h http.Header) { h.Set(field, "e30=") },
				"trailing bytes":       func(h http.Header) { h.Set(field, h.Get(field)+"x") },
			}
			if version == x402.V2 {
				spoil["another network"] = wire(x402Network, "eip155:8453")
				spoil["another payee"] = wire(`"payTo":"`+x402PayTo, `"payTo":"`+x402Facilitator)
				spoil["signed for another payee"] = wire(`"to":"`+strings.ToLower(x402PayTo), `"to":"`+strings.ToLower(x402Facilitator))
				spoil["signed for less"] = wire(`"value":"1000000"`, `"value":"1"`)
				spoil["another resource"] = wire("https://api.example.com/a", "https://api.example.com/b")
				spoil["another origin"] = wire("https://api.example.com/a", "https://example.com/a")
			}
			gatetest.RunProtocol(t, gatetest.Subject{
				Unbound: true,
				New: func(t *testing.T) payment.Protocol {
					t.Helper()
					p, err := x402.New(x402.Config{
						Origin: "https://api.example.com", Receipts: true, Identifier: x402.IdentifierOptional, SignInKey: make([]byte, 32),
					})
					if err != nil {
						t.Fatal(err)
					}
					return stablecoins{p, version, clock}
				},
				TTL:        5*time.Minute - 6*time.Second,
				Challenged: func(h http.Header) bool { return len(h["Payment-Required"]) > 0 },
				Pay: func(t *testing.T, challenge http.Header, payload []byte, out http.Header) {
					t.Helper()
					var p x402.PaymentRequired
					if err := x402.Decode(challenge.Get(x402.HeaderRequired), &p); err != nil {
						t.Fatal(err)
					}
					signed := sign(t, p.Accepts[0], payload, clock.Load())
					var paid any = x402.PaymentPayload{Version: x402.V2, Resource: &p.Resource, Accepted: p.Accepts[0], Payload: signed}
					if version == x402.V1 {
						paid = x402.PayloadV1{Version: x402.V1, Scheme: p.Accepts[0].Scheme, Network: "base-sepolia", Payload: signed}
					}
					v, err := x402.Encode(paid)
					if err != nil {
						t.Fatal(err)
					}
					out.Set(field, v)
				},
				Receipt: func(h http.Header) error {
					name, network := x402.HeaderResponse, x402Network
					if version == x402.V1 {
						name, network = x402.HeaderResponseV1, "base-sepolia"
					}
					var s x402.SettleResponse
					if err := x402.Decode(h.Get(name), &s); err != nil {
						return err
					}
					if !s.Success || s.Transaction == "" || s.Network != network {
						return fmt.Errorf("settlement %+v", s)
					}
					return nil
				},
				Spoil: spoil,
			})
		})
	}
}

// TestX402_Tokens is the rail of a processor over x402: the suite's own, by a binding.
func TestX402_Tokens(t *testing.T) {
	const network = "fake:test"
	wire := func(from, to string) func(http.Header) {
		return func(h http.Header) {
			raw, err := base64.StdEncoding.DecodeString(h.Get(x402.HeaderSignature))
			if err != nil || !strings.Contains(string(raw), from) {
				t.Fatalf("no %s in %s: %v", from, raw, err)
			}
			h.Set(x402.HeaderSignature, base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(raw), from, to, 1))))
		}
	}
	gatetest.RunProtocol(t, gatetest.Subject{
		Unbound: true, Lasting: true,
		New: func(t *testing.T) payment.Protocol {
			t.Helper()
			p, err := x402.New(x402.Config{
				Origin:   "https://api.example.com",
				Bindings: []x402.Binding{{Method: "fake", Network: network, PayTo: "acct_1", ProofMember: "token"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
		TTL:        5 * time.Minute,
		Challenged: func(h http.Header) bool { return len(h["Payment-Required"]) > 0 },
		Pay: func(t *testing.T, challenge http.Header, payload []byte, out http.Header) {
			t.Helper()
			var p x402.PaymentRequired
			if err := x402.Decode(challenge.Get(x402.HeaderRequired), &p); err != nil {
				t.Fatal(err)
			}
			v, err := x402.Encode(x402.PaymentPayload{Version: x402.V2, Resource: &p.Resource, Accepted: p.Accepts[0], Payload: payload})
			if err != nil {
				t.Fatal(err)
			}
			out.Set(x402.HeaderSignature, v)
		},
		Receipt: func(h http.Header) error {
			var s x402.SettleResponse
			if err := x402.Decode(h.Get(x402.HeaderResponse), &s); err != nil {
				return err
			}
			if !s.Success || s.Transaction == "" || s.Network != network {
				return fmt.Errorf("settlement %+v", s)
			}
			return nil
		},
		Spoil: map[string]func(http.Header){
			"another payee":    wire("acct_1", "acct_2"),
			"another network":  wire(network, "fake:live"),
			"another scheme":   wire("auth-capture", "exact"),
			"another resource": wire("https://api.example.com/a", "https://api.example.com/b"),
			"no token":         wire(`"token"`, `"tokens"`),
			"a card":           wire("tok_", "4242424242424242\",\"x\":\""),
			"token twice":      wire(`"token"`, `"token":"x","token"`),
			"version 1":        wire(`"x402Version":2`, `"x402Version":1`),
			"not base64":       func(h http.Header) { h.Set(x402.HeaderSignature, "****") },
		},
	})
}
