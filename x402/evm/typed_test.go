package evm_test

import (
	"math/big"
	"strings"
	"testing"

	"paywall/x402/evm"
)

const (
	keyOfOnes = "1111111111111111111111111111111111111111111111111111111111111111"
	payer     = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
	payee     = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
)

// sample is the authorization of the known answer, on Base Sepolia.
func sample(t testing.TB) (evm.Authorization, evm.Domain) {
	t.Helper()
	asset, ok := evm.FindAsset("eip155:84532", "USDC")
	if !ok {
		t.Fatal("USDC on Base Sepolia is not known")
	}
	d, err := asset.Domain()
	if err != nil {
		t.Fatal(err)
	}
	return evm.Authorization{
		From: address(t, payer), To: address(t, payee), Value: big.NewInt(10000),
		ValidAfter: new(big.Int), ValidBefore: big.NewInt(4102444800),
		Nonce: hash(t, "0x"+strings.Repeat("ab", 32)),
	}, d
}

func key(t testing.TB) evm.Key {
	t.Helper()
	k, err := evm.ParseKey(keyOfOnes)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAuthorization_KnownAnswer(t *testing.T) {
	a, d := sample(t)
	if got := d.Separator().String(); got != "0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818" {
		t.Errorf("separator = %s", got)
	}
	digest := a.Digest(d)
	if digest.String() != "0xa990092936b926baf5c0309d4e66c31b45d547161355fafc16be6becf7ae4d49" {
		t.Errorf("digest = %s", digest)
	}
	const want = "0x0271527cba2d0e77dcf88bf8e65211faefbc2eae4d33ae0a68532f2a8b94be3c6e21f82b5d4568308576420fa6faa92621d528f7813b31108b4e44e5d8e9ae041c"
	if got := key(t).Sign(digest).String(); got != want {
		t.Errorf("signature = %s", got)
	}
	sig, err := evm.ParseSignature(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := evm.Recover(digest, sig); err != nil || got.Checksum() != payer {
		t.Errorf("Recover = %s, %v", got.Checksum(), err)
	}
}

// Each member of message and domain counts: none may be changed under a signature.
func TestAuthorization_EveryMemberIsSigned(t *testing.T) {
	a, d := sample(t)
	digest := a.Digest(d)
	other := address(t, checksummed[0])
	for name, change := range map[string]func(*evm.Authorization, *evm.Domain){
		"from":         func(a *evm.Authorization, _ *evm.Domain) { a.From = other },
		"to":           func(a *evm.Authorization, _ *evm.Domain) { a.To = other },
		"value":        func(a *evm.Authorization, _ *evm.Domain) { a.Value = big.NewInt(10001) },
		"valid after":  func(a *evm.Authorization, _ *evm.Domain) { a.ValidAfter = big.NewInt(1) },
		"valid before": func(a *evm.Authorization, _ *evm.Domain) { a.ValidBefore = big.NewInt(4102444801) },
		"nonce":        func(a *evm.Authorization, _ *evm.Domain) { a.Nonce[31]++ },
		"name":         func(_ *evm.Authorization, d *evm.Domain) { d.Name = "USD Coin" },
		"version":      func(_ *evm.Authorization, d *evm.Domain) { d.Version = "1" },
		"no version":   func(_ *evm.Authorization, d *evm.Domain) { d.Version = "" },
		"chain":        func(_ *evm.Authorization, d *evm.Domain) { d.ChainID = 8453 },
		"contract":     func(_ *evm.Authorization, d *evm.Domain) { d.Contract = other },
		"no contract":  func(_ *evm.Authorization, d *evm.Domain) { d.Contract = evm.Address{} },
	} {
		changed, domain := a, d
		change(&changed, &domain)
		if changed.Digest(domain) == digest {
			t.Errorf("%s can be changed", name)
		}
	}
}

// permit returns the permit that the answers below are for. They were made with viem.
func permit(t testing.TB, kind evm.PermitKind) evm.Permit {
	t.Helper()
	nonce := new(big.Int).Lsh(big.NewInt(1), 200)
	p := evm.Permit{
		Kind: kind, From: address(t, payer), Token: address(t, "0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
		Amount: big.NewInt(10000), Spender: kind.Spender(), Nonce: nonce.Add(nonce, big.NewInt(7)),
		Deadline: big.NewInt(4102444800), To: address(t, payee), ValidAfter: big.NewInt(5),
	}
	if kind == evm.PermitUpto {
		p.Facilitator = address(t, "0xd407e409E34E0b9afb99EcCeb609bDbcD5e7f1bf")
	}
	return p
}

func TestPermit_KnownAnswers(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		kind                    evm.PermitKind
		spender, digest, signed string
	}{
		{
			"exact", evm.PermitExact, "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
			"0xece542722b3e7db728aa61c8be3eb4b88ed622c06014f9de9cb5f062bf69b9c6",
			"0x75d05fc98e003de4b91c9ffcdf7a0bbdac4643a64435b3cad9031a620c6b727a21dd9527ad72ec1aa07b0dd03a1af149241494b8af5c6d83dc62b92cc794c09d1b",
		},
		{
			"upto", evm.PermitUpto, "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
			"0x5826cd94c6330964c1ccd541bc25a1eac7ada76bb771d79f2da4a16014a6a926",
			"0xee3fca77cbc0f4ee68cdef7a5ae77ba1b4f85b22d48062350d28e089d9729c5713336ff99c72065e2a2d5961f35cc43b8d32e18efac9b07bbd797fa3050a65d51b",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := permit(t, tt.kind)
			digest := p.Digest(84532)
			if digest.String() != tt.digest || p.Spender.Checksum() != tt.spender {
				t.Errorf("digest = %s, spender = %s", digest, p.Spender.Checksum())
			}
			if got := key(t).Sign(digest).String(); got != tt.signed {
				t.Errorf("signature = %s", got)
			}
		})
	}
}

func TestPermit_EveryMemberIsSigned(t *testing.T) {
	p := permit(t, evm.PermitUpto)
	digest := p.Digest(84532)
	other := address(t, checksummed[0])
	for name, change := range map[string]func(*evm.Permit){
		"kind":        func(p *evm.Permit) { p.Kind = evm.PermitExact },
		"token":       func(p *evm.Permit) { p.Token = other },
		"amount":      func(p *evm.Permit) { p.Amount = big.NewInt(10001) },
		"spender":     func(p *evm.Permit) { p.Spender = other },
		"nonce":       func(p *evm.Permit) { p.Nonce = big.NewInt(7) },
		"deadline":    func(p *evm.Permit) { p.Deadline = big.NewInt(1) },
		"to":          func(p *evm.Permit) { p.To = other },
		"facilitator": func(p *evm.Permit) { p.Facilitator = other },
		"valid after": func(p *evm.Permit) { p.ValidAfter = nil },
	} {
		changed := p
		change(&changed)
		if changed.Digest(84532) == digest {
			t.Errorf("%s can be changed", name)
		}
	}
	if p.Digest(8453) == digest {
		t.Error("it is good on another chain")
	}
	p.From = other
	if p.Digest(84532) != digest {
		t.Error("the payer is no member of the message")
	}
}

func TestTextDigest_KnownAnswers(t *testing.T) {
	for text, want := range map[string]string{
		"Hello World": "0xa1de988600a42c4b4ab089b619297c17d53cffae5d5120d82d8a92d0bb3b78f2",
		"Some data":   "0x1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655",
	} {
		if got := evm.TextDigest([]byte(text)); got.String() != want {
			t.Errorf("TextDigest(%q) = %s, want %s", text, got, want)
		}
	}
}

// Names and contracts as the token's own name() and Circle's lists have them.
func TestAssets(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range evm.Assets() {
		id := a.Network + "/" + a.Symbol
		if seen[id] || a.Decimals != 6 || a.Version != "2" || a.Contract.IsZero() {
			t.Errorf("%s: %+v", id, a)
		}
		seen[id] = true
		d, err := a.Domain()
		if err != nil || d.Name != a.Name || d.Contract != a.Contract || d.Version != a.Version {
			t.Errorf("%s: domain %+v, %v", id, d, err)
		}
		if got, ok := evm.FindAsset(a.Network, a.Symbol); !ok || got != a {
			t.Errorf("FindAsset(%s) = %+v, %t", id, got, ok)
		}
	}
	for network, name := range map[string]string{
		"eip155:1": "USD Coin", "eip155:8453": "USD Coin", "eip155:84532": "USDC", "eip155:43113": "USD Coin", "eip155:11155111": "USDC", "eip155:80002": "USDC",
	} {
		if a, _ := evm.FindAsset(network, "USDC"); a.Name != name {
			t.Errorf("USDC on %s is %q, want %q", network, a.Name, name)
		}
	}
	for _, miss := range [][2]string{{"eip155:84532", "usdc"}, {"eip155:2", "USDC"}, {"base", "USDC"}} {
		if a, ok := evm.FindAsset(miss[0], miss[1]); ok {
			t.Errorf("FindAsset(%v) = %+v", miss, a)
		}
	}
}

// The main network's separator as the token's DOMAIN_SEPARATOR() answers it.
func TestAssets_SeparatorOfTheChain(t *testing.T) {
	a, _ := evm.FindAsset("eip155:1", "USDC")
	d, err := a.Domain()
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Separator().String(); got != "0x06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335" {
		t.Errorf("separator = %s", got)
	}
}

func TestChainID(t *testing.T) {
	for network, want := range map[string]uint64{"eip155:1": 1, "eip155:84532": 84532, "eip155:18446744073709551615": 1<<64 - 1} {
		if id, err := evm.ChainID(network); err != nil || id != want {
			t.Errorf("ChainID(%s) = %d, %v", network, id, err)
		}
	}
	for _, network := range []string{"", "base", "eip155", "eip155:", "eip155:0", "eip155:01", "eip155:+1", "eip155:-1", "eip155:1 ", "EIP155:1", "eip155:0x1", "eip155:18446744073709551616", "eip155:1:2"} {
		if id, err := evm.ChainID(network); err == nil || id != 0 {
			t.Errorf("ChainID(%q) = %d, %v", network, id, err)
		}
	}
}
