package evm

import "math/big"

// maxDigits is how many decimal digits 2^256-1 has.
const maxDigits = 78

// ParseUint reads a number of the type uint256 in decimal digits: no sign, no
// leading zeros, less than 2^256.
func ParseUint(s string) (*big.Int, error) {
	if s == "" || len(s) > maxDigits || len(s) > 1 && s[0] == '0' {
		return nil, ErrNumber
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return nil, ErrNumber
		}
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.BitLen() > 256 {
		return nil, ErrNumber
	}
	return n, nil
}

// appendUint appends n as a word of 32 bytes; nil is zero. What is no uint256 has no
// such word, and must not pass for the number that its lower bits are: it is
// appended in a form that is no word, so that no wallet ever signs the result.
func appendUint(buf []byte, n *big.Int) []byte {
	var word [32]byte
	switch {
	case n == nil:
	case n.Sign() < 0 || n.BitLen() > 256:
		return append(append(buf, "not a uint256: "...), n.String()...)
	default:
		n.FillBytes(word[:])
	}
	return append(buf, word[:]...)
}

func appendAddress(buf []byte, a Address) []byte {
	buf = append(buf, make([]byte, 32-len(a))...)
	return append(buf, a[:]...)
}
