package x402

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Match reports whether accepted, a payer's copy, is the offered entry: every member
// but extra has the same value, and there is no other; of extra, what was offered is
// there unchanged, and there may be more. Letters count in their case.
//
// accepted is JSON that was checked to be readable in one way only.
func Match(offered PaymentRequirements, accepted json.RawMessage) bool {
	var got map[string]json.RawMessage
	if json.Unmarshal(accepted, &got) != nil {
		return false
	}
	for _, m := range [...]struct{ name, want string }{
		{"scheme", offered.Scheme},
		{"network", offered.Network},
		{"amount", offered.Amount},
		{"asset", offered.Asset},
		{"payTo", offered.PayTo},
	} {
		var s *string
		if json.Unmarshal(got[m.name], &s) != nil || s == nil || *s != m.want {
			return false
		}
		delete(got, m.name)
	}
	if !sameJSON(got["maxTimeoutSeconds"], []byte(strconv.FormatInt(offered.MaxTimeoutSeconds, 10))) {
		return false
	}
	delete(got, "maxTimeoutSeconds")
	extra := got["extra"]
	delete(got, "extra")
	return len(got) == 0 && contains(extra, offered.Extra, nil)
}

// contains reports whether the object has all the members with the same values,
// except those named in dynamic. Nothing and null are an object without members.
func contains(object json.RawMessage, members map[string]json.RawMessage, dynamic []string) bool {
	var got map[string]json.RawMessage
	if len(object) > 0 && json.Unmarshal(object, &got) != nil {
		return false
	}
next:
	for name, want := range members {
		for _, d := range dynamic {
			if name == d {
				continue next
			}
		}
		if raw, ok := got[name]; !ok || !sameJSON(raw, want) {
			return false
		}
	}
	return true
}

// sameJSON compares values. Objects are equal in any order of members; numbers when
// they are written the same, or are the same and small enough for every reader.
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
	const exact = 1 << 53
	x, err1 := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	return err1 == nil && err2 == nil && x == y && x < exact && x > -exact
}
