package strictjson_test

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"paywall/internal/strictjson"
)

var seeds = []string{
	`{}`, `[]`, `null`, `{"a":"QQ==","b":1,"pair":[1,2]}`, `{"map":{"x":{"a":"\u0079"}},"list":[{"b":1},{}]}`,
	`{"any":{"A":[null,1.5,"\ud83d\ude00"]},"raw":{"z":1e5},"text":"high","yes":true}`, `{"a":1,"a":2}`, `{"\u017f":1}`,
	`{"c":255,"c":256}`, `[[[[[[]]]]]]`, `{"when":"2026-01-02T03:04:05Z","maybe":null}`, "\xef\xbb\xbf1", `"\ud800"`, `-0`, `{"amount":-0.0}`,
}

// Check accepts only what encoding/json takes for valid, and refuses nothing
// but what it has a reason for.
func FuzzCheck(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	limits := strictjson.Limits{Bytes: 1 << 20, Depth: 1 << 20, Members: 1 << 20, String: 1 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := strictjson.Check(data, limits)
		valid := json.Valid(data)
		if err == nil && (!valid || !utf8.Valid(data)) {
			t.Fatalf("accepted %q", data)
		}
		if err == nil && duplicate(data) {
			t.Fatalf("accepted twice the same name: %q", data)
		}
		if err != nil && valid && utf8.Valid(data) && !duplicate(data) && !bytes.Contains(data, []byte(`\u`)) {
			t.Fatalf("refused %q: %v", data, err)
		}
		var v any
		if derr := strictjson.Decode(data, &v, limits); derr == nil && err != nil {
			t.Fatalf("Decode accepted %q, and Check says %v", data, err)
		}
	})
}

// duplicate finds equal names in one object with the tokens of encoding/json.
func duplicate(data []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(data))
	type level struct {
		names map[string]bool
		value bool
	}
	var stack []level
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return false
		}
		if err != nil {
			return false
		}
		if d, ok := tok.(json.Delim); ok && (d == '}' || d == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if n := len(stack); n > 0 && stack[n-1].names != nil {
			top := &stack[n-1]
			if name, ok := tok.(string); ok && !top.value {
				if top.names[name] {
					return true
				}
				top.names[name], top.value = true, true
				continue
			}
			top.value = false
		}
		switch tok {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, level{})
		}
	}
}

// Whatever Decode accepts, encoding/json decodes to the same value; and written
// out again it has the same members, so that none was overlooked.
func FuzzDecode(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var ours, theirs outer
		if err := strictjson.Decode(data, &ours, strictjson.Limits{}); err == nil {
			if err := json.Unmarshal(data, &theirs); err != nil {
				t.Fatalf("encoding/json refuses %q: %v", data, err)
			}
			if diff := cmp.Diff(theirs, ours, cmp.AllowUnexported(outer{})); diff != "" {
				t.Fatalf("%q: %s", data, diff)
			}
			checkNames(t, data)
		}
		var c, d credential
		if err := strictjson.Decode(data, &c, strictjson.Limits{}); err == nil {
			if err := json.Unmarshal(data, &d); err != nil || c != d {
				t.Fatalf("%q: %+v and %+v, %v", data, c, d, err)
			}
			var m map[string]json.RawMessage
			if err := json.Unmarshal(data, &m); err != nil {
				t.Fatal(err)
			}
			for name := range m {
				switch name {
				case "payload", "amount", "k", "s", "Untagged":
				default:
					t.Fatalf("accepted member %q", name)
				}
			}
		}
		var a, b any
		if err := strictjson.Decode(data, &a, strictjson.Limits{}); err == nil {
			if err := json.Unmarshal(data, &b); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(b, a); diff != "" {
				t.Fatalf("%q: %s", data, diff)
			}
		}
	})
}

func checkNames(t *testing.T, data []byte) {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	for name := range m {
		switch name {
		case "a", "b", "c", "pair", "map", "list", "any", "raw", "when", "maybe", "text", "yes":
		default:
			t.Fatalf("accepted member %q", name)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	data := []byte(`{"payload":"spt_1N4Zv32eZvKYlo2CPhVPkJlW","amount":100,"k":"key","s":"text"}`)
	b.ReportAllocs()
	for b.Loop() {
		var c credential
		if err := strictjson.Decode(data, &c, strictjson.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
