package evm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"paywall/x402/evm"
)

// order of the curve's group.
var order, _ = new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)

func TestSignature_KnownAnswer(t *testing.T) {
	k, err := evm.ParseKey("0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Address().Checksum(); got != "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23" {
		t.Errorf("address = %s", got)
	}
	const want = "0xb91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c"
	if got := k.Sign(evm.TextDigest([]byte("Some data"))); got.String() != want {
		t.Errorf("signature = %s", got)
	}
}

func TestParseSignature(t *testing.T) {
	a, d := sample(t)
	digest := a.Digest(d)
	good := key(t).Sign(digest)
	body := good.String()[2:130]
	twin := new(big.Int).Sub(order, new(big.Int).SetBytes(good[32:64]))
	word := func(n *big.Int) string { return fmt.Sprintf("%064x", n) }
	r := body[:64]
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"as it was made", good.String(), nil},
		{"digits in upper case", "0x" + strings.ToUpper(good.String()[2:]), nil},
		{"v of 1 for 28", "0x" + body + "01", nil},
		{"the other s, which a chain takes for the same payment", "0x" + r + word(twin) + "1b", evm.ErrSignature},
		{"the other s under v of 0", "0x" + r + word(twin) + "00", evm.ErrSignature},
		{"v of 2", "0x" + body + "02", evm.ErrSignature},
		{"v of 26", "0x" + body + "1a", evm.ErrSignature},
		{"v of 29, beyond the order", "0x" + body + "1d", evm.ErrSignature},
		{"v of 31, a compressed key's", "0x" + body + "1f", evm.ErrSignature},
		{"v of 255", "0x" + body + "ff", evm.ErrSignature},
		{"r of zero", "0x" + word(new(big.Int)) + body[64:] + "1b", evm.ErrSignature},
		{"s of zero", "0x" + r + word(new(big.Int)) + "1b", evm.ErrSignature},
		{"r of the order", "0x" + word(order) + body[64:] + "1b", evm.ErrSignature},
		{"s of the order", "0x" + r + word(order) + "1b", evm.ErrSignature},
		{"all zeros", "0x" + strings.Repeat("0", 130), evm.ErrSignature},
		{"all ones", "0x" + strings.Repeat("f", 130), evm.ErrSignature},
		{"compact, of 64 bytes", "0x" + body, evm.ErrSignature},
		{"wrapped by a smart wallet", good.String() + strings.Repeat("64", 32), evm.ErrSignature},
		{"no prefix", body + "1c", evm.ErrSignature},
		{"empty", "", evm.ErrSignature},
		{"no digits", "0x" + strings.Repeat("z", 130), evm.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sig, err := evm.ParseSignature(tt.in)
			if !errors.Is(err, tt.want) {
				t.Fatalf("ParseSignature = %v, want %v", err, tt.want)
			}
			if tt.want == nil && sig != good || tt.want != nil && sig != (evm.Signature{}) {
				t.Errorf("ParseSignature = %s", sig)
			}
		})
	}
}

// What a caller builds itself is judged like what was parsed.
func TestRecover_RefusesTheTwin(t *testing.T) {
	a, d := sample(t)
	digest := a.Digest(d)
	sig := key(t).Sign(digest)
	new(big.Int).Sub(order, new(big.Int).SetBytes(sig[32:64])).FillBytes(sig[32:64])
	sig[64] ^= 27 ^ 28
	if got, err := evm.Recover(digest, sig); !errors.Is(err, evm.ErrSignature) {
		t.Errorf("Recover = %s, %v", got, err)
	}
	if got, err := evm.Recover(digest, evm.Signature{}); !errors.Is(err, evm.ErrSignature) {
		t.Errorf("Recover of nothing = %s, %v", got, err)
	}
}

func TestRecover_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")
		seed[31] |= 1 // never zero
		k, err := evm.NewKey(bytes.NewReader(append(seed, bytes.Repeat([]byte{1}, 32)...)))
		if err != nil {
			t.Fatal(err)
		}
		digest := evm.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"))
		sig := k.Sign(digest)
		if got, err := evm.Recover(digest, sig); err != nil || got != k.Address() {
			t.Fatalf("Recover = %s, %v; want %s", got, err, k.Address())
		}
		if again, err := evm.ParseSignature(sig.String()); err != nil || again != sig {
			t.Fatalf("%s reads as %s, %v", sig, again, err)
		}
		// A flip of any bit of either, and it is somebody else's or nobody's.
		bit := rapid.IntRange(0, 65*8-1).Draw(t, "bit")
		flipped := sig
		flipped[bit/8] ^= 1 << (bit % 8)
		if got, err := evm.Recover(digest, flipped); err == nil && got == k.Address() {
			t.Fatalf("bit %d of the signature does not count", bit)
		}
		bit %= 256
		digest[bit/8] ^= 1 << (bit % 8)
		if got, err := evm.Recover(digest, sig); err == nil && got == k.Address() {
			t.Fatalf("bit %d of the digest does not count", bit)
		}
	})
}

func TestRecover_EveryBitCounts(t *testing.T) {
	a, d := sample(t)
	digest := a.Digest(d)
	sig := key(t).Sign(digest)
	for bit := range 65 * 8 {
		flipped := sig
		flipped[bit/8] ^= 1 << (bit % 8)
		if got, err := evm.Recover(digest, flipped); err == nil && got == a.From {
			t.Errorf("bit %d of the signature does not count", bit)
		}
	}
	for bit := range 256 {
		flipped := digest
		flipped[bit/8] ^= 1 << (bit % 8)
		if got, err := evm.Recover(flipped, sig); err == nil && got == a.From {
			t.Errorf("bit %d of the digest does not count", bit)
		}
	}
}

func TestParseKey(t *testing.T) {
	if got := key(t).Address().Checksum(); got != payer {
		t.Errorf("address = %s", got)
	}
	if got := key(t).Hex(); got != "0x"+keyOfOnes {
		t.Error("Hex does not return the key")
	}
	for name, s := range map[string]string{
		"empty": "", "short": keyOfOnes[:62], "long": keyOfOnes + "11", "zero": strings.Repeat("0", 64),
		"the order": order.Text(16), "no digits": strings.Repeat("x", 64), "two prefixes": "0x0x" + keyOfOnes[:60],
	} {
		if k, err := evm.ParseKey(s); !errors.Is(err, evm.ErrKey) || k.Hex() != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	var none evm.Key
	if none.Address() != (evm.Address{}) || none.Sign(evm.Hash{}).Valid() {
		t.Error("the zero key signs")
	}
	if _, err := evm.NewKey(strings.NewReader("short")); err == nil {
		t.Error("a key is drawn from too little chance")
	}
}

func TestKey_ShowsNothing(t *testing.T) {
	k := key(t)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).InfoContext(t.Context(), "x", "key", k, "in", struct{ K evm.Key }{k})
	encoded, err := json.Marshal(map[string]any{"key": k})
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(encoded) + fmt.Sprintf("%v %+v %#v %s %d %x %q", k, k, k, k, k, k, k) + fmt.Sprintf("%+v %#v", []evm.Key{k}, struct{ K evm.Key }{k})
	for _, leak := range []string{keyOfOnes[:16], "1229782938247303441", "0x11", "17 17", "{0x"} {
		if strings.Contains(all, leak) {
			t.Errorf("it shows %q in %s", leak, all)
		}
	}
	if n := strings.Count(all, "redacted"); n < 10 {
		t.Errorf("%d times redacted: %s", n, all)
	}
}

func FuzzParseSignature(f *testing.F) {
	a, d := sample(f)
	digest := a.Digest(d)
	f.Add(key(f).Sign(digest).String())
	f.Add("0x" + strings.Repeat("0", 130))
	f.Add("0x" + strings.Repeat("11", 64) + "00")
	f.Fuzz(func(t *testing.T, in string) {
		sig, err := evm.ParseSignature(in)
		if err != nil {
			return
		}
		again, err := evm.ParseSignature(sig.String())
		if err != nil || again != sig {
			t.Errorf("%s reads as %s, %v", sig, again, err)
		}
		if !strings.EqualFold(in[:130], sig.String()[:130]) {
			t.Error("r or s changed")
		}
		// The other s must not parse, under either v.
		twin := sig
		new(big.Int).Sub(order, new(big.Int).SetBytes(sig[32:64])).FillBytes(twin[32:64])
		for _, v := range []byte{0, 1, 27, 28} {
			twin[64] = v
			if _, err := evm.ParseSignature(twin.String()); err == nil {
				t.Error("both values of s parse")
			}
		}
	})
}

func FuzzParseHash(f *testing.F) {
	f.Add("0x" + strings.Repeat("ab", 32))
	f.Add("0x" + strings.Repeat("AB", 32))
	f.Fuzz(func(t *testing.T, in string) {
		h, err := evm.ParseHash(in)
		if err == nil && !strings.EqualFold(h.String(), in) {
			t.Errorf("%q reads as %s", in, h)
		}
	})
}

func BenchmarkRecover(b *testing.B) {
	a, d := sample(b)
	digest := a.Digest(d)
	sig := key(b).Sign(digest)
	b.ReportAllocs()
	for b.Loop() {
		if got, err := evm.Recover(digest, sig); err != nil || got != a.From {
			b.Fatal(got, err)
		}
	}
}

// BenchmarkAuthorization is the part of a check that is not the curve.
func BenchmarkAuthorization(b *testing.B) {
	a, d := sample(b)
	b.ReportAllocs()
	for b.Loop() {
		_ = a.Digest(d)
	}
}
