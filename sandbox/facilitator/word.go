package facilitator

import (
	"encoding/hex"
	"errors"
	"math/big"
	"strings"

	"golang.org/x/crypto/sha3"
)

// An address is an account of a chain; they are the same on all of them.
type address [20]byte

// A word is 32 bytes: a hash, a nonce, or a number with its highest byte first.
type word [32]byte

func (a address) String() string { return "0x" + hex.EncodeToString(a[:]) }
func (w word) String() string    { return "0x" + hex.EncodeToString(w[:]) }

// word is an address as an argument of a call.
func (a address) word() (w word) {
	copy(w[12:], a[:])
	return w
}

var (
	errHex    = errors.New("want 0x and hexadecimal digits of the right number")
	errNumber = errors.New("want a decimal number below 2^256 without sign and leading zeros")
)

// fillHex reads 0x and exactly as many digits as dst has room for, in either case.
func fillHex(dst []byte, s string) error {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok || len(digits) != 2*len(dst) {
		return errHex
	}
	if _, err := hex.Decode(dst, []byte(digits)); err != nil {
		return errHex
	}
	return nil
}

func parseAddress(s string) (a address, err error) { return a, fillHex(a[:], s) }
func parseWord(s string) (w word, err error)       { return w, fillHex(w[:], s) }

// parseUint reads an amount as the protocol writes them.
func parseUint(s string) (*big.Int, error) {
	if s == "" || len(s) > 78 || len(s) > 1 && s[0] == '0' {
		return nil, errNumber
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return nil, errNumber
		}
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.BitLen() > 256 {
		return nil, errNumber
	}
	return n, nil
}

// wordOf is a number below 2^256 as a word.
func wordOf(n *big.Int) (w word) {
	n.FillBytes(w[:])
	return w
}

func wordOfUint(n uint64) word { return wordOf(new(big.Int).SetUint64(n)) }

func keccak(parts ...[]byte) (w word) {
	h := sha3.NewLegacyKeccak256()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(w[:0])
	return w
}
