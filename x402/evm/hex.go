package evm

import (
	"encoding/hex"
	"strings"
)

// unhex fills dst from "0x" and exactly as many digits as it takes, in any case.
func unhex(dst []byte, s string) bool {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok || len(digits) != 2*len(dst) {
		return false
	}
	_, err := hex.Decode(dst, []byte(digits))
	return err == nil
}
