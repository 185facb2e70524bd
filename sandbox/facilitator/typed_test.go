package facilitator_test

import (
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"paywall/sandbox/facilitator"
	"paywall/x402/evm"
)

// The answers that other implementations give for one authorization.
func TestKnownAnswer(t *testing.T) {
	const declaration = "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
	is := func(what string, got [32]byte, want string) {
		t.Helper()
		if hex.EncodeToString(got[:]) != want {
			t.Errorf("%s = %x, want %s", what, got, want)
		}
	}
	is("type", facilitator.TypeHash(declaration), "7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267")
	nonce := [32]byte(unhex(t, strings.Repeat("ab", 32)))
	payer := [20]byte(unhex(t, "19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"))
	separator, structure, digest := facilitator.AuthorizationDigest("USDC", "2", 84532,
		[20]byte(unhex(t, "036CbD53842c5426634e7929541eC2318f3dCF7e")), payer, [20]byte(unhex(t, "209693Bc6afc0C5328bA36FaF03C514EF312287C")),
		big.NewInt(10000), new(big.Int), big.NewInt(4102444800), nonce)
	is("separator", separator, "71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818")
	is("structure", structure, "9d378e0004aaac89c1f6dbd33bfb8461cf7b5030eac56cd39680c1b27dfcb17b")
	is("digest", digest, "a990092936b926baf5c0309d4e66c31b45d547161355fafc16be6becf7ae4d49")

	signature := [65]byte(unhex(t, "0271527cba2d0e77dcf88bf8e65211faefbc2eae4d33ae0a68532f2a8b94be3c6e21f82b5d4568308576420fa6faa92621d528f7813b31108b4e44e5d8e9ae041c"))
	if by, ok := facilitator.Signer(digest, signature); !ok || by != payer {
		t.Errorf("signer %x, %t", by, ok)
	}
	t.Run("the twin with the high s is refused", func(t *testing.T) {
		order, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
		twin := signature
		new(big.Int).Sub(order, new(big.Int).SetBytes(signature[32:64])).FillBytes(twin[32:64])
		twin[64] ^= 7 // 27 and 28
		if by, ok := facilitator.Signer(digest, twin); ok {
			t.Errorf("it is %x's", by)
		}
	})
	for _, v := range []byte{2, 26, 29, 31, 255} {
		other := signature
		if other[64] = v; v == 255 {
			other = [65]byte{64: 27}
		}
		if by, ok := facilitator.Signer(digest, other); ok && by == payer {
			t.Errorf("v %d is taken", v)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The stand-in and the product hash alike what both are given, though neither has
// a line of the other.
func FuzzTyped(f *testing.F) {
	f.Add("USDC", "2", uint64(84532), []byte{1}, []byte{2}, uint64(10000), uint64(0), uint64(4102444800), false)
	f.Add("", "", uint64(0), []byte{}, []byte{255}, uint64(0), uint64(1)<<63, uint64(1), true)
	f.Add("Ünïcode\x00", "1", uint64(1), []byte(strings.Repeat("x", 90)), []byte("y"), uint64(7), uint64(8), uint64(9), false)
	f.Fuzz(func(t *testing.T, name, version string, chain uint64, left, right []byte, value, after, before uint64, upto bool) {
		if version == "" {
			version = "1" // the product leaves out what is empty
		}
		// Everything is cut from two hashes, so that all bits vary.
		h, g := evm.Keccak256(left), evm.Keccak256(right)
		from, to, contract := evm.Address(h[:20]), evm.Address(g[:20]), evm.Address(g[12:])
		large := new(big.Int).Mul(new(big.Int).SetBytes(h[:24]), new(big.Int).SetUint64(value))
		number := func(n uint64) *big.Int { return new(big.Int).SetUint64(n) }
		d := evm.Domain{Name: name, Version: version, ChainID: chain, Contract: contract}
		a := evm.Authorization{From: from, To: to, Value: large, ValidAfter: number(after), ValidBefore: number(before), Nonce: g}
		_, _, got := facilitator.AuthorizationDigest(name, version, chain, contract, from, to, large, number(after), number(before), g)
		if got != [32]byte(a.Digest(d)) {
			t.Errorf("authorization: %x, %s", got, a.Digest(d))
		}
		p := evm.Permit{Token: contract, Spender: from, To: to, Amount: large, Nonce: number(value), Deadline: number(before), ValidAfter: number(after)}
		if upto {
			p.Kind, p.Facilitator = evm.PermitUpto, evm.Address(h[12:])
		}
		permit := facilitator.PermitDigest(chain, upto, contract, from, to, p.Facilitator, large, number(value), number(before), number(after))
		if permit != [32]byte(p.Digest(chain)) {
			t.Errorf("permit: %x, %s", permit, p.Digest(chain))
		}
	})
}
