package evm

import (
	"encoding/hex"
	"strings"
)

// Address names an account or a contract. It is compared with ==, so that the
// spelling of what was parsed does not count.
type Address [20]byte

// ParseAddress reads "0x" and 40 hexadecimal digits. Digits of one case are taken
// as they are; in mixed case the case is a checksum (EIP-55), and a wrong one is
// [ErrChecksum]: somebody mistyped an address that money goes to.
func ParseAddress(s string) (Address, error) {
	var a Address
	if !unhex(a[:], s) {
		return Address{}, ErrAddress
	}
	digits := s[2:]
	if digits != strings.ToLower(digits) && digits != strings.ToUpper(digits) && s != a.Checksum() {
		return Address{}, ErrChecksum
	}
	return a, nil
}

// known is for the addresses that are written down in this package.
func known(s string) Address {
	var a Address
	if !unhex(a[:], s) {
		panic("evm: " + s + " is no address")
	}
	return a
}

// String is the address in lower case.
func (a Address) String() string { return "0x" + hex.EncodeToString(a[:]) }

// Checksum is the address in mixed case (EIP-55), as wallets show it.
func (a Address) Checksum() string {
	out := []byte(a.String())
	sum := Keccak256(out[2:])
	for i, c := range out[2:] {
		half := sum[i/2] >> 4
		if i%2 == 1 {
			half = sum[i/2] & 0x0f
		}
		if c >= 'a' && half >= 8 {
			out[2+i] = c - 'a' + 'A'
		}
	}
	return string(out)
}

// IsZero reports whether it is the zero address, which nobody has the key of.
func (a Address) IsZero() bool { return a == Address{} }

// MarshalText is [Address.String].
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is [ParseAddress].
func (a *Address) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAddress(string(text))
	return err
}
