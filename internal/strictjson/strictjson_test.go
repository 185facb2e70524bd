package strictjson_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paywall/internal/strictjson"
)

func TestA016_DuplicateKeys(t *testing.T) {
	var many strings.Builder
	for i := range 40 {
		many.WriteString(`"` + strconv.Itoa(i) + `":0,`)
	}
	for _, in := range []string{
		`{"token":"good","token":"forged"}`,
		`{"a":1,"b":2,"a":1}`,
		`{"a":1,"\u0061":2}`,
		`{"x":{"y":[{"a":1,"a":2}]}}`,
		`{"":1,"":2}`,
		`{` + many.String() + `"last":1,"last":2}`,
	} {
		if err := strictjson.Check([]byte(in), strictjson.Limits{}); !errors.Is(err, strictjson.ErrDuplicate) {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, in := range []string{
		`{"a":{"a":1},"b":{"a":1}}`,
		`[{"a":1},{"a":1}]`,
		`{"a":1,"A":2}`,
		`{` + many.String() + `"last":1}`,
	} {
		if err := strictjson.Check([]byte(in), strictjson.Limits{}); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
}

type credential struct {
	Payload  string `json:"payload"`
	Amount   int64  `json:"amount"`
	K        string `json:"k"`
	S        string `json:"s"`
	Untagged string
	Hidden   string `json:"-"`
	hidden   string
}

func TestA017_CaseVariants(t *testing.T) {
	for _, in := range []string{
		`{"PAYLOAD":"x"}`,
		`{"Payload":"x"}`,
		`{"payload":"x","PAYLOAD":"y"}`,
		`{"\u017f":"x"}`, // the long s, which folds to s
		`{"\u212a":"x"}`, // the Kelvin sign, which folds to k
		`{"untagged":"x"}`,
		`{"Hidden":"x"}`,
		`{"hidden":"x"}`,
		`{"-":"x"}`,
		`{"other":null}`,
		`{"":1}`,
	} {
		c := credential{hidden: "kept"}
		if err := strictjson.Decode([]byte(in), &c, strictjson.Limits{}); !errors.Is(err, strictjson.ErrUnknown) {
			t.Errorf("%s: %v", in, err)
		}
		if diff := cmp.Diff(credential{hidden: "kept"}, c, cmp.AllowUnexported(credential{})); diff != "" {
			t.Errorf("%s changed the target: %s", in, diff)
		}
	}
	var c credential
	if err := strictjson.Decode([]byte(`{"\u0070ayload":"x","Untagged":"y"}`), &c, strictjson.Limits{}); err != nil || c.Payload != "x" || c.Untagged != "y" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestA018_Numbers(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want error
	}{
		{`0`, nil},
		{`100`, nil},
		{`-5`, nil},
		{`9007199254740991`, nil},
		{`-9007199254740991`, nil},
		{`9007199254740992`, strictjson.ErrNumber},
		{`9007199254740993`, strictjson.ErrNumber},
		{`-9007199254740992`, strictjson.ErrNumber},
		{`1` + strings.Repeat("0", 400), strictjson.ErrNumber},
		{`1e2`, strictjson.ErrNumber},
		{`1E2`, strictjson.ErrNumber},
		{`1.0`, strictjson.ErrNumber},
		{`-0`, strictjson.ErrNumber},
		{`0x64`, strictjson.ErrSyntax},
		{`0100`, strictjson.ErrSyntax},
		{`-01`, strictjson.ErrSyntax},
		{`+1`, strictjson.ErrSyntax},
		{`1.`, strictjson.ErrSyntax},
		{`.5`, strictjson.ErrSyntax},
		{`1e`, strictjson.ErrSyntax},
		{`--1`, strictjson.ErrSyntax},
		{`-`, strictjson.ErrSyntax},
		{`NaN`, strictjson.ErrSyntax},
		{`1_000`, strictjson.ErrSyntax},
		{"\uff11", strictjson.ErrSyntax}, // a full-width digit
		{`"100"`, strictjson.ErrType},
		{`true`, strictjson.ErrType},
		{`null`, strictjson.ErrType},
		{`[1]`, strictjson.ErrType},
		{`{}`, strictjson.ErrType},
	} {
		var c credential
		err := strictjson.Decode([]byte(`{"amount":`+tt.in+`}`), &c, strictjson.Limits{})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.in, err, tt.want)
		}
	}
}

func TestDecode_NumberTargets(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		into     any
		want     error
	}{
		{"int8", `127`, new(int8), nil},
		{"int8 overflow", `128`, new(int8), strictjson.ErrNumber},
		{"uint", `9007199254740991`, new(uint), nil},
		{"uint64 above what is exact", `9007199254740992`, new(uint64), strictjson.ErrNumber},
		{"negative uint", `-1`, new(uint), strictjson.ErrNumber},
		{"minus zero as uint", `-0`, new(uint), strictjson.ErrNumber},
		{"uint16 overflow", `65536`, new(uint16), strictjson.ErrNumber},
		{"float", `1.5e3`, new(float64), nil},
		{"float overflow", `1e999`, new(float64), strictjson.ErrNumber},
		{"float32 overflow", `1e39`, new(float32), strictjson.ErrNumber},
		{"any", `1.5`, new(any), nil},
		{"any, rounded", `9007199254740993`, new(any), strictjson.ErrNumber},
		{"any, infinite", `1e999`, new(any), strictjson.ErrNumber},
		{"any, deeper", `[{"a":9007199254740993}]`, new(any), strictjson.ErrNumber},
		{"json.Number keeps what was written", `9007199254740993.10`, new(json.Number), nil},
		{"json.Number in quotes", `"1"`, new(json.Number), strictjson.ErrType},
		{"raw keeps what was written", `9007199254740993`, new(json.RawMessage), nil},
		{"pointer", `5`, new(*int), nil},
		{"pointer to null", `null`, new(*int), nil},
		{"pointer, not exact", `5e0`, new(*int), strictjson.ErrNumber},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := strictjson.Decode([]byte(tt.in), tt.into, strictjson.Limits{}); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestA019_Encoding(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"text beyond ASCII", "{\"a\":\"caf\u00e9 \u2028 \U0001F600\"}", nil},
		{"escaped pair", `{"a":"\ud83d\ude00"}`, nil},
		{"replacement character itself", `{"a":"\ufffd"}`, nil},
		{"byte order mark", "\xef\xbb\xbf{}", strictjson.ErrEncoding},
		{"byte order mark inside", "{\ufeff}", strictjson.ErrSyntax},
		{"invalid byte", "{\"a\":\"\xff\"}", strictjson.ErrEncoding},
		{"overlong", "{\"a\":\"\xc0\xaf\"}", strictjson.ErrEncoding},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", strictjson.ErrEncoding},
		{"lone high surrogate", `{"a":"\ud83d"}`, strictjson.ErrEncoding},
		{"lone high surrogate before text", `{"a":"\ud83dx"}`, strictjson.ErrEncoding},
		{"high surrogate twice", `{"a":"\ud83d\ud83d"}`, strictjson.ErrEncoding},
		{"lone low surrogate", `{"a":"\ude00"}`, strictjson.ErrEncoding},
		{"surrogate in a name", `{"\udc00":1}`, strictjson.ErrEncoding},
		{"high surrogate before another escape", `{"a":"\ud83d\n"}`, strictjson.ErrEncoding},
		{"escaped NUL", `{"a":"\u0000"}`, strictjson.ErrEncoding},
		{"raw NUL", "{\"a\":\"\x00\"}", strictjson.ErrSyntax},
		{"raw newline", "{\"a\":\"\n\"}", strictjson.ErrSyntax},
		{"digits cut off", `{"a":"\u00`, strictjson.ErrSyntax},
		{"second half cut off", `{"a":"\ud83d\u`, strictjson.ErrSyntax},
		{"digits that are none", `{"a":"\u00g0"}`, strictjson.ErrSyntax},
		{"escape that is none", `{"a":"\x41"}`, strictjson.ErrSyntax},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := strictjson.Check([]byte(tt.in), strictjson.Limits{}); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestA022_TrailingData(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want error
	}{
		{" {} \t\r\n", nil},
		{`{}{}`, strictjson.ErrTrailing},
		{`{} x`, strictjson.ErrTrailing},
		{`{}]`, strictjson.ErrTrailing},
		{`1 2`, strictjson.ErrTrailing},
		{"{}\x00", strictjson.ErrTrailing},
		{`null//`, strictjson.ErrTrailing},
		{"\xff\xfe{\x00}\x00", strictjson.ErrEncoding}, // UTF-16
		{"{\x00}\x00", strictjson.ErrSyntax},
	} {
		if err := strictjson.Check([]byte(tt.in), strictjson.Limits{}); !errors.Is(err, tt.want) {
			t.Errorf("%q: %v, want %v", tt.in, err, tt.want)
		}
	}
}

func TestA023_Sizes(t *testing.T) {
	huge := strictjson.Limits{Bytes: 64 << 20, Depth: 1 << 20, Members: 1 << 21, String: 32 << 20}
	member := func(n int) string {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`"` + strconv.Itoa(i) + `":0`)
		}
		return b.String() + "}"
	}
	for _, tt := range []struct {
		name, in string
		limits   strictjson.Limits
		want     error
	}{
		{"depth allowed", strings.Repeat("[", 16) + strings.Repeat("]", 16), strictjson.Limits{}, nil},
		{"one too deep", strings.Repeat("[", 17) + strings.Repeat("]", 17), strictjson.Limits{}, strictjson.ErrLimit},
		{"objects are as deep", strings.Repeat(`{"a":`, 17) + "1" + strings.Repeat("}", 17), strictjson.Limits{}, strictjson.ErrLimit},
		{"siblings are not deep", "[" + strings.Repeat("[],", 100) + "[]]", strictjson.Limits{}, nil},
		{"100,000 deep", strings.Repeat("[", 100_000), strictjson.Limits{Bytes: 1 << 20}, strictjson.ErrLimit},
		{"100,000 deep without a limit", strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), huge, nil},
		{"members allowed", member(64), strictjson.Limits{}, nil},
		{"one member too many", member(65), strictjson.Limits{}, strictjson.ErrLimit},
		{"many members", member(20_000), strictjson.Limits{Bytes: 16 << 20}, strictjson.ErrLimit},
		{"many members without a limit", member(20_000), huge, nil},
		{"string allowed", `"` + strings.Repeat("a", 4096) + `"`, strictjson.Limits{}, nil},
		{"string too long", `"` + strings.Repeat("a", 4097) + `"`, strictjson.Limits{}, strictjson.ErrLimit},
		{"string of escapes too long", `"` + strings.Repeat(`\n`, 2049) + `"`, strictjson.Limits{}, strictjson.ErrLimit},
		{"name too long", `{"` + strings.Repeat("a", 4097) + `":1}`, strictjson.Limits{}, strictjson.ErrLimit},
		{"1 MiB string", `"` + strings.Repeat("a", 1<<20) + `"`, strictjson.Limits{Bytes: 2 << 20}, strictjson.ErrLimit},
		{"number too long", strings.Repeat("1", 4097), strictjson.Limits{}, strictjson.ErrLimit},
		{"bytes allowed", "[]" + strings.Repeat(" ", 64<<10-2), strictjson.Limits{}, nil},
		{"one byte too many", "[]" + strings.Repeat(" ", 64<<10-1), strictjson.Limits{}, strictjson.ErrLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := strictjson.Check([]byte(tt.in), tt.limits); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	var v any
	if err := strictjson.Decode([]byte(strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)), &v, huge); err == nil {
		t.Error("encoding/json took 100,000 levels")
	}
}

func TestCheck_Syntax(t *testing.T) {
	for _, in := range []string{
		``, ` `, `{`, `[`, `"`, `"\`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `[,]`, `[1,]`, `[1 2]`, `{"a" 1}`, `{"a":1 "b":2}`,
		`{1:2}`, `{a:1}`, `{'a':1}`, `[}`, `{]`, `]`, `tru`, `True`, `nul`, `undefined`, `/**/1`, `[1]]x`, "[1\v]",
	} {
		err := strictjson.Check([]byte(in), strictjson.Limits{})
		if !errors.Is(err, strictjson.ErrSyntax) && !errors.Is(err, strictjson.ErrTrailing) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

type inner struct {
	A   string `json:"a"`
	Two string
}

type other struct {
	Two string
	B   int `json:"b"`
}

type outer struct {
	inner
	*Deeper
	other

	A     []byte            `json:"a"` // shadows inner.A
	Pair  [2]int            `json:"pair"`
	Map   map[string]*inner `json:"map"`
	List  []other           `json:"list"`
	Any   any               `json:"any"`
	Raw   json.RawMessage   `json:"raw"`
	When  time.Time         `json:"when"`
	Maybe *time.Time        `json:"maybe"`
	Text  level             `json:"text"`
	Yes   bool              `json:"yes"`
}

// Deeper is embedded by pointer.
type Deeper struct {
	C uint8 `json:"c"`
}

// level has a text form of its own.
type level int

func (l *level) UnmarshalText(b []byte) error {
	if string(b) != "high" {
		return errors.New("no such level: " + string(b))
	}
	*l = 3
	return nil
}

func TestDecode_Targets(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"everything", `{"a":"QQ==","b":1,"c":2,"pair":[1,2],"map":{"x":{"a":"y"},"n":null},"list":[{"b":1},{}],"any":{"A":[null,1.5]},` +
			`"raw":{"z":9007199254740993},"when":"2026-01-02T03:04:05Z","maybe":null,"text":"high","yes":true}`, nil},
		{"nothing", `{}`, nil},
		{"null for all that can be", `{"a":null,"map":null,"list":null,"any":null,"raw":null,"maybe":null}`, nil},

		{"null for a string", `{"map":{"x":{"a":null}}}`, strictjson.ErrType},
		{"null for a number", `{"b":null}`, strictjson.ErrType},
		{"null for a truth", `{"yes":null}`, strictjson.ErrType},
		{"null for an array", `{"pair":null}`, strictjson.ErrType},
		{"null for a text", `{"text":null}`, strictjson.ErrType},
		{"null for a whole", `null`, strictjson.ErrType},
		{"the name of two", `{"Two":"x"}`, strictjson.ErrUnknown},
		{"an embedded struct's name", `{"Deeper":{"c":1}}`, strictjson.ErrUnknown},
		{"unknown in a map", `{"map":{"x":{"z":1}}}`, strictjson.ErrUnknown},
		{"case in a list", `{"list":[{"b":1},{"B":2}]}`, strictjson.ErrUnknown},
		{"array too short", `{"pair":[1]}`, strictjson.ErrType},
		{"array too long", `{"pair":[1,2,3]}`, strictjson.ErrType},
		{"object for a list", `{"list":{}}`, strictjson.ErrType},
		{"list for an object", `[]`, strictjson.ErrType},
		{"list for a map", `{"map":[]}`, strictjson.ErrType},
		{"object for an array", `{"pair":{}}`, strictjson.ErrType},
		{"object for a text", `{"text":{}}`, strictjson.ErrType},
		{"number for a text", `{"text":1}`, strictjson.ErrType},
		{"string for a truth", `{"yes":"true"}`, strictjson.ErrType},
		{"truth for a number", `{"b":true}`, strictjson.ErrType},
		{"truth for a text", `{"text":true}`, strictjson.ErrType},
		{"string for an object", `{"map":"x"}`, strictjson.ErrType},
		{"numbers for bytes", `{"a":[65]}`, strictjson.ErrType},
		{"bytes with a line end", `{"a":"QQ\n=="}`, strictjson.ErrEncoding},
		{"bytes with surplus bits", `{"a":"QR=="}`, strictjson.ErrEncoding},
		{"bytes without padding", `{"a":"QQ"}`, strictjson.ErrEncoding},
		{"refused by its own type", `{"text":"low"}`, strictjson.ErrType},
		{"refused by time", `{"when":"yesterday"}`, strictjson.ErrType},
		{"duplicate where anything goes", `{"any":{"a":1,"a":2}}`, strictjson.ErrDuplicate},
		{"duplicate in raw", `{"raw":[{"a":1,"a":2}]}`, strictjson.ErrDuplicate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got, want outer
			err := strictjson.Decode([]byte(tt.in), &got, strictjson.Limits{})
			if !errors.Is(err, tt.want) {
				t.Fatalf("%v, want %v", err, tt.want)
			}
			if err == nil {
				if err := json.Unmarshal([]byte(tt.in), &want); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(outer{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecode_Mistakes(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		into     any
	}{
		{"nil", `1`, nil},
		{"not a pointer", `1`, 5},
		{"nil pointer", `1`, (*int)(nil)},
		{"channel", `1`, new(chan int)},
		{"interface with methods", `{}`, new(error)},
		{"map with numbers for keys", `{"1":1}`, new(map[int]string)},
		{"map with parsed keys", `{"high":1}`, new(map[level]string)},
		{"quoted numbers", `{"a":"1"}`, new(struct {
			A int `json:"a,string"`
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := strictjson.Decode([]byte(tt.in), tt.into, strictjson.Limits{}); !errors.Is(err, strictjson.ErrTarget) {
				t.Errorf("%v, want ErrTarget", err)
			}
		})
	}
}

// The target is replaced: what it had before is not mixed with what came.
func TestDecode_Replaces(t *testing.T) {
	c := credential{Payload: "old", Amount: 5}
	if err := strictjson.Decode([]byte(`{"amount":7}`), &c, strictjson.Limits{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(credential{Amount: 7}, c, cmp.AllowUnexported(credential{})); diff != "" {
		t.Error(diff)
	}
	c = credential{Payload: "old"}
	if err := strictjson.Decode([]byte(`{"payload":"new","amount":"x"}`), &c, strictjson.Limits{}); err == nil || c.Payload != "old" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestErrorsDoNotQuote(t *testing.T) {
	for _, in := range []string{
		`{"spt_secret":1}`, `{"payload":spt_secret}`, `{"amount":"spt_secret"}`, `{"k":1,"k":"spt_secret"}`, `"spt_secret`, `{"text":"spt_secret"}`, `{"when":"spt_secret"}`,
	} {
		for _, into := range []any{new(credential), new(outer)} {
			err := strictjson.Decode([]byte(in), into, strictjson.Limits{})
			if err == nil || strings.Contains(err.Error(), "spt_") {
				t.Errorf("%s: %v", in, err)
			}
		}
	}
}

// Whatever encoding/json writes, and nothing that has been damaged in its syntax, is
// read back to the same.
func TestDecode_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 }))
		want := outer{
			A:    rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "a"),
			Pair: [2]int{rapid.IntRange(-1<<53+1, 1<<53-1).Draw(t, "0"), rapid.IntRange(0, 9).Draw(t, "1")},
			Map:  map[string]*inner{text.Draw(t, "key"): {A: text.Draw(t, "value")}, "n": nil},
			List: []other{{B: rapid.IntRange(0, 1<<53-1).Draw(t, "b")}},
			Any:  text.Draw(t, "any"),
			Raw:  json.RawMessage(`[1]`),
			Text: 3,
			Yes:  rapid.Bool().Draw(t, "yes"),
		}
		data, err := json.Marshal(struct {
			outer

			Two  *string `json:"Two,omitempty"`
			Text string  `json:"text"`
		}{outer: want, Text: "high"})
		if err != nil {
			t.Fatal(err)
		}
		var got outer
		if err := strictjson.Decode(data, &got, strictjson.Limits{}); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(outer{})); diff != "" {
			t.Fatal(diff)
		}
	})
}
