package evm_test

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"paywall/x402/evm"
)

const maxUint = "115792089237316195423570985008687907853269984665640564039457584007913129639935"

func TestParseUint(t *testing.T) {
	for _, s := range []string{"0", "1", "10000", maxUint} {
		if n, err := evm.ParseUint(s); err != nil || n.String() != s {
			t.Errorf("ParseUint(%s) = %v, %v", s, n, err)
		}
	}
	for name, s := range map[string]string{
		"empty": "", "signed": "+1", "negative": "-1", "a leading zero": "01", "two zeros": "00", "hexadecimal": "0x10",
		"a point": "1.0", "an exponent": "1e4", "a space": " 1", "an underscore": "1_000", "other digits": "１",
		"2^256":             "115792089237316195423570985008687907853269984665640564039457584007913129639936",
		"78 nines":          strings.Repeat("9", 78),
		"a thousand digits": strings.Repeat("9", 1000),
	} {
		if n, err := evm.ParseUint(s); !errors.Is(err, evm.ErrNumber) || n != nil {
			t.Errorf("%s: ParseUint = %v, %v", name, n, err)
		}
	}
}

// A number that does not fit must never be signed for as the number that its
// lower 256 bits are.
func TestDigest_NumbersOutOfRangeAreNotReduced(t *testing.T) {
	two256 := new(big.Int).Lsh(big.NewInt(1), 256)
	domain := evm.Domain{Name: "USDC", Version: "2", ChainID: 84532}
	for _, value := range []*big.Int{big.NewInt(0), big.NewInt(10000), new(big.Int).Sub(two256, big.NewInt(1))} {
		honest := evm.Authorization{Value: value}
		for _, other := range []*big.Int{new(big.Int).Add(value, two256), new(big.Int).Sub(value, two256)} {
			if (evm.Authorization{Value: other}).Digest(domain) == honest.Digest(domain) {
				t.Errorf("%s and %s have one digest", value, other)
			}
		}
	}
	if (evm.Authorization{}).Digest(domain) != (evm.Authorization{Value: big.NewInt(0)}).Digest(domain) {
		t.Error("nil is not zero")
	}
}

func FuzzParseUint(f *testing.F) {
	for _, s := range []string{"0", "01", "10000", maxUint, "-1", "1e3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		n, err := evm.ParseUint(in)
		if err != nil {
			return
		}
		if n.String() != in || n.Sign() < 0 || n.BitLen() > 256 {
			t.Errorf("%q reads as %s", in, n)
		}
	})
}
