package receipts_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"net/http"
	"os"
	"testing"

	"paywall/receipts"
)

var update = flag.Bool("update", false, "rewrite the published samples")

// The samples in testdata are what other verifiers may test against. They are
// made here, from a key whose seed is public and which signs nothing else.
func TestPublishedSamples(t *testing.T) {
	seed := sha256.Sum256([]byte("paywall receipt sample key"))
	key, err := receipts.NewKey(ed25519.NewKeyFromSeed(seed[:]), "sample", newClock().now())
	if err != nil {
		t.Fatal(err)
	}
	c, ring := newClock(), newRing(t, key)
	p, err := receipts.NewPublisher(receipts.PublisherConfig{Keys: ring, Issuer: origin, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"testdata/receipt.jwt": issue(t, newIssuer(t, ring, c), claims(t)),
		"testdata/jwks.json":   get(t, p.JWKS(), http.MethodGet, "").Body.String(),
		"testdata/did.json":    get(t, p.DID(), http.MethodGet, "").Body.String(),
	} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s is stale (%v): run go test with -update and read the difference", path, err)
		}
	}
}
