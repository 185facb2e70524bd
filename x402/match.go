package x402

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Match reports whether accepted, a payer's copy, is the offered entry: every member
// but extra has the same value, and there is no other; of extra, what was offered is
// there unchanged, and there may be more. Letters count in their case.
//
// accepted is JSON that was checked to be readable in one way only.
func Match(offered PaymentRequirements, accepted json.RawMessage) bool {
	texts := [...]struct{ name, want string }{
		{"scheme", offered.Scheme},
		{"network", offered.Network},
		{"amount", offered.Amount},
		{"asset", offered.Asset},
		{"payTo", offered.PayTo},
	}
	var extra json.RawMessage
	seen := map[string]bool{}
	err := walk(accepted, func(name string, value []byte) error {
		if seen[name] {
			return errKind
		}
		seen[name] = true
		switch name {
		case "extra":
			extra = value
			return nil
		case "maxTimeoutSeconds":
			if !sameJSON(value, []byte(strconv.FormatInt(offered.MaxTimeoutSeconds, 10))) {
				return errKind
			}
			return nil
		}
		for _, m := range texts {
			if m.name == name {
				if s, ok := unquote(value); ok && s == m.want {
					return nil
				}
				break
			}
		}
		return errKind
	})
	delete(seen, "extra")
	return err == nil && len(seen) == len(texts)+1 && contains(extra, offered.Extra, nil)
}

// contains reports whether the object has all the members with the same values,
// except those named in dynamic. Nothing and null are an object without members.
func contains(object json.RawMessage, members map[string]json.RawMessage, dynamic []string) bool {
	got := make(map[string]json.RawMessage, len(members))
	if len(object) > 0 && string(object) != "null" {
		err := walk(object, func(name string, value []byte) error {
			got[name] = value
			return nil
		})
		if err != nil {
			return false
		}
	}
	for name, want := range members {
		if raw, ok := got[name]; !slices.Contains(dynamic, name) && (!ok || !sameJSON(raw, want)) {
			return false
		}
	}
	return true
}

// sameJSON compares values. Objects are equal in any order of members, and numbers
// however they are written.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return len(a) > 0
	}
	x, ok := tree(a)
	if !ok {
		return false
	}
	y, ok := tree(b)
	return ok && sameTree(x, y)
}

func tree(data []byte) (any, bool) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil, false
	}
	return v, true
}

func sameTree(x, y any) bool {
	switch x := x.(type) {
	case map[string]any:
		y, ok := y.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for name, v := range x {
			if w, ok := y[name]; !ok || !sameTree(v, w) {
				return false
			}
		}
		return true
	case []any:
		y, ok := y.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !sameTree(x[i], y[i]) {
				return false
			}
		}
		return true
	case json.Number:
		y, ok := y.(json.Number)
		return ok && sameNumber(string(x), string(y))
	default:
		return x == y
	}
}

func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	x, ok := parseDecimal(a)
	if !ok {
		return false
	}
	y, ok := parseDecimal(b)
	return ok && x == y
}

// decimal is a number in the one way to write it: digits times ten to the power, the
// first and last of the digits not zero.
type decimal struct {
	negative bool
	digits   string
	power    int
}

// parseDecimal reads a number of JSON; ok is false when its exponent is out of all
// proportion.
func parseDecimal(s string) (d decimal, ok bool) {
	const maxPower = 1 << 20
	s, d.negative = strings.CutPrefix(s, "-")
	if at := strings.IndexAny(s, "eE"); at >= 0 {
		n, err := strconv.Atoi(s[at+1:])
		if err != nil || n > maxPower || n < -maxPower {
			return d, false
		}
		s, d.power = s[:at], n
	}
	whole, fraction, _ := strings.Cut(s, ".")
	d.digits = strings.TrimLeft(whole+fraction, "0")
	d.power -= len(fraction)
	trimmed := strings.TrimRight(d.digits, "0")
	d.power += len(d.digits) - len(trimmed)
	if d.digits = trimmed; d.digits == "" {
		return decimal{}, true
	}
	return d, true
}
