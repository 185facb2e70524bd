package evm

import (
	"math/big"
	"testing"
)

// The receipt of the extension offer-receipt is signed under a domain without a
// contract. Its answer is a known one and checks that form of a domain.
func TestDomain_WithoutContract(t *testing.T) {
	text := func(s string) []byte { h := Keccak256([]byte(s)); return h[:] }
	buf := text("Receipt(uint256 version,string network,string resourceUrl,string payer,uint256 issuedAt,string transaction)")
	buf = appendUint(buf, big.NewInt(1))
	buf = append(buf, text("eip155:84532")...)
	buf = append(buf, text("https://api.example.com/premium-data")...)
	buf = append(buf, text("0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A")...)
	buf = appendUint(buf, big.NewInt(1700000000))
	buf = append(buf, text("")...)
	got := Domain{Name: "x402 receipt", Version: "1", ChainID: 1}.digest(Keccak256(buf))
	if got.String() != "0x10b8c5b4cdbfefab67046390180477cb81f4543ae0042024e8b08236f6bd2a71" {
		t.Errorf("digest = %s", got)
	}
}
