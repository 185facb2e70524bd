package receipts_test

import (
	"testing"

	"paywall/receipts"
)

func BenchmarkIssue(b *testing.B) {
	for _, alg := range []receipts.Algorithm{receipts.ES256, receipts.EdDSA} {
		b.Run(string(alg), func(b *testing.B) {
			iss, in := newIssuer(b, newRing(b, newKey(b, alg)), newClock()), claims(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := iss.Issue(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []receipts.Algorithm{receipts.ES256, receipts.EdDSA} {
		for name, size := range map[string]int{"cold": -1, "cached": 0} {
			b.Run(string(alg)+"/"+name, func(b *testing.B) {
				c, ring := newClock(), newRing(b, newKey(b, alg))
				token := issue(b, newIssuer(b, ring, c), claims(b))
				v := newVerifier(b, receipts.VerifierConfig{Keys: ring, Now: c.now, CacheSize: size, Revocations: &receipts.RevocationList{}})
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.VerifyRequest(token, live()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkRefuseForged(b *testing.B) {
	f := newForge(b)
	token, _ := f.good(b)
	forged := token[:len(token)-8] + "AAAAAAAA"
	for b.Loop() {
		if _, err := f.verifier.Verify(forged); err == nil {
			b.Fatal("accepted")
		}
	}
}
