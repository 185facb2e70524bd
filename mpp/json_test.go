package mpp

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// strict is what checkObject must decide, told by the library's own tokens.
func strict(data []byte) bool {
	if !utf8.Valid(data) || !json.Valid(data) || loneSurrogate(data) || !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	type frame struct {
		names map[string]bool
		value bool
	}
	var stack []frame
	for {
		tok, err := dec.Token()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		if text, ok := tok.(string); ok && strings.ContainsRune(text, 0) {
			return false // some readers end a text there
		}
		if d, ok := tok.(json.Delim); ok && (d == '}' || d == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if n := len(stack); n > 0 && stack[n-1].names != nil {
			top := &stack[n-1]
			if name, ok := tok.(string); ok && !top.value {
				if top.names[name] {
					return false
				}
				top.names[name], top.value = true, true
				continue
			}
			top.value = false
		}
		switch v := tok.(type) {
		case json.Delim:
			if len(stack) == maxDepth {
				return false
			}
			f := frame{}
			if v == '{' {
				f.names = map[string]bool{}
			}
			stack = append(stack, f)
		case json.Number:
			if !exactNumber(v.String()) {
				return false
			}
		}
	}
}

// FuzzCheckObject holds the scanner to the library's tokens, and what is split
// to what the library decodes.
func FuzzCheckObject(f *testing.F) {
	many := `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":0,"k":1,"l":2,"m":3,"n":4,"o":5,"p":6,"q":7`
	for _, s := range []string{
		`{}`, ` { "a" : [ 1 , {"b":null} , "x\"y" ] , "c" : -1.5e3 } `, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":{"a":1}}`,
		`{"a":[{"b":1},{"b":1}],"b":1}`, `{"a":9007199254740993}`, `{"a":1e999}`, `[]`, `null`, `{"a":"\ud800"}`, `{"a":"\\"}`,
		many + `}`, many + `,"a":1}`, many + `,"q":{"q":[]}}`, strings.Repeat(`{"a":`, 17) + `1` + strings.Repeat(`}`, 17),
		strings.Repeat(`{"a":`, 16) + `1` + strings.Repeat(`}`, 16), `{"a":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}`, `{"":"","\n":{}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := checkObject(data)
		if want := strict(data); want != (err == nil) {
			t.Fatalf("%q: %v, want strict to be %t", data, err, want)
		}
		if err != nil {
			if !errors.Is(err, errJSON) {
				t.Fatalf("%q: %v is not of this package", data, err)
			}
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		got, err := members(data)
		if err != nil || !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Fatalf("%q: %q, %v; want %q", data, got, err, want)
		}
		for name, raw := range want {
			var s *string
			readable := json.Unmarshal(raw, &s) == nil && s != nil
			v, err := text(got, name)
			if readable != (err == nil) || readable && v != *s {
				t.Fatalf("%q: member %q is %q, %v", data, name, v, err)
			}
		}
	})
}

// Parts of what was checked need not be objects.
func TestMembers_Broken(t *testing.T) {
	for _, s := range []string{``, `{`, `}`, `[]`, `"a"`, `17`, `null`, `{a}`, `{"a"}`, `{"a":}`, `{"a" 1}`, `{"a`} {
		if m, err := members([]byte(s)); !errors.Is(err, errJSON) {
			t.Errorf("%q: %q, %v", s, m, err)
		}
	}
}

// An end is remembered for a second and never shown in another one.
func TestExpires(t *testing.T) {
	d := &dialect{cfg: Config{TTL: time.Minute}}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(rapid.Int64Range(0, 5).Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanosecond"))
		if got, want := string(d.expires(now).text[:]), now.Add(time.Minute).UTC().Format(expiresLayout); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	})
}

// Nonces that are drawn in portions are all different, across portions too.
func TestDraw(t *testing.T) {
	var s scratch
	seen := map[[nonceBytes]byte]bool{}
	for range 100 {
		if err := s.draw(rand.Reader); err != nil {
			t.Fatal(err)
		}
		if seen[s.nonce] {
			t.Fatal("a nonce came twice")
		}
		seen[s.nonce] = true
	}
}

// loneSurrogate finds \u escapes that are half a pair; the library replaces
// them with U+FFFD, so that different names would become one.
func loneSurrogate(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		if i+1 < len(b) && b[i+1] != 'u' {
			i++
			continue
		}
		switch u := unit(b, i); {
		case u >= 0xDC00 && u <= 0xDFFF:
			return true
		case u >= 0xD800 && u <= 0xDBFF:
			if low := unit(b, i+6); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 11
		default:
			i += 5
		}
	}
	return false
}

// unit is the UTF-16 unit of the escape at b[i:], or -1.
func unit(b []byte, i int) int64 {
	if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
	u, err := strconv.ParseInt(string(b[i+2:i+6]), 16, 32)
	if err != nil {
		return -1
	}
	return u
}
