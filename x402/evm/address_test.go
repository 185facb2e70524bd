package evm_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"paywall/x402/evm"
)

// Vectors of EIP-55.
var checksummed = []string{
	"0x52908400098527886E0F7030069857D2E4169EE7",
	"0x8617E340B3D01FA5F11F306F4090FD50E238070D",
	"0xde709f2102306220921060314715629080e2fb77",
	"0x27b1fdb04752bbc536007a920d24acb045561c26",
	"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
	"0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
	"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
	"0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
}

func TestAddress_Checksum(t *testing.T) {
	for _, s := range checksummed {
		a, err := evm.ParseAddress(s)
		if err != nil || a.Checksum() != s || a.String() != strings.ToLower(s) {
			t.Errorf("ParseAddress(%s) = %s, %v", s, a.Checksum(), err)
		}
		for _, spelling := range []string{strings.ToLower(s), "0x" + strings.ToUpper(s[2:])} {
			if b, err := evm.ParseAddress(spelling); err != nil || b != a {
				t.Errorf("ParseAddress(%s) = %s, %v", spelling, b, err)
			}
		}
	}
}

func TestParseAddress_Refuses(t *testing.T) {
	good := "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"empty", "", evm.ErrAddress},
		{"without a prefix", good[2:], evm.ErrAddress},
		{"prefix in upper case", "0X" + good[2:], evm.ErrAddress},
		{"a digit short", good[:41], evm.ErrAddress},
		{"a digit long", good + "0", evm.ErrAddress},
		{"no digit", good[:41] + "g", evm.ErrAddress},
		{"a space in front", " " + good, evm.ErrAddress},
		{"a case changed", "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", evm.ErrChecksum},
		{"a digit changed", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAee", evm.ErrChecksum},
		{"multi-byte digits", "0x" + strings.Repeat("１", 40), evm.ErrAddress},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := evm.ParseAddress(tt.in)
			if !errors.Is(err, tt.want) || a != (evm.Address{}) {
				t.Errorf("ParseAddress = %s, %v; want %v", a, err, tt.want)
			}
		})
	}
}

func TestText_RoundTripsThroughJSON(t *testing.T) {
	type both struct {
		A evm.Address
		H evm.Hash
	}
	in := both{A: address(t, checksummed[4]), H: evm.Keccak256([]byte("x"))}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out both
	if err := json.Unmarshal(data, &out); err != nil || out != in {
		t.Errorf("%s reads as %+v, %v", data, out, err)
	}
	if err := json.Unmarshal([]byte(`{"A":"0x12"}`), &out); !errors.Is(err, evm.ErrAddress) {
		t.Errorf("a short address: %v", err)
	}
	if err := json.Unmarshal([]byte(`{"H":"0x12"}`), &out); !errors.Is(err, evm.ErrHash) {
		t.Errorf("a short hash: %v", err)
	}
}

func TestKeccak256_KnownAnswers(t *testing.T) {
	for in, want := range map[string]string{
		"":    "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
		"abc": "0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
	} {
		if got := evm.Keccak256([]byte(in)); got.String() != want {
			t.Errorf("Keccak256(%q) = %s, want %s", in, got, want)
		}
	}
	if evm.Keccak256([]byte("a"), nil, []byte("bc")) != evm.Keccak256([]byte("abc")) {
		t.Error("parts are not hashed one after the other")
	}
}

func address(t testing.TB, s string) evm.Address {
	t.Helper()
	a, err := evm.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func hash(t testing.TB, s string) evm.Hash {
	t.Helper()
	h, err := evm.ParseHash(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range checksummed {
		f.Add(s)
		f.Add(strings.ToLower(s))
	}
	f.Add("0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
	f.Fuzz(func(t *testing.T, in string) {
		a, err := evm.ParseAddress(in)
		if err != nil {
			if a != (evm.Address{}) {
				t.Errorf("an address comes with %v", err)
			}
			return
		}
		if !strings.EqualFold(a.String(), in) {
			t.Errorf("%q reads as %s", in, a)
		}
		for _, s := range []string{a.String(), a.Checksum()} {
			if b, err := evm.ParseAddress(s); err != nil || b != a {
				t.Errorf("%s reads as %s, %v", s, b, err)
			}
		}
	})
}
