package receipts_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"paywall/receipts"
)

func TestKeyFileKeepsEverything(t *testing.T) {
	c := newClock()
	ring := newRing(t, newKey(t, receipts.ES256))
	first, _ := ring.Signing()
	for _, alg := range []receipts.Algorithm{receipts.EdDSA, receipts.ES256} {
		if err := ring.Rotate(newKey(t, alg), c.now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := ring.Revoke(first.ID); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "receipts.pem")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := receipts.SaveKeys(path, ring); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
	loaded, err := receipts.LoadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	want, got := ring.Keys(), loaded.Keys()
	if len(got) != 3 {
		t.Fatalf("%d keys", len(got))
	}
	for i := range want {
		if got[i].ID != want[i].ID || got[i].Status != want[i].Status || got[i].Algorithm != want[i].Algorithm ||
			!got[i].NotAfter.Equal(want[i].NotAfter) || !got[i].Created.Equal(want[i].Created) {
			t.Errorf("key %d: got %s %s, want %s %s", i, got[i], got[i].Status, want[i], want[i].Status)
		}
	}
	token := issue(t, newIssuer(t, loaded, c), claims(t))
	if _, err := newVerifier(t, receipts.VerifierConfig{Keys: ring, Now: c.now}).Verify(token); err != nil {
		t.Errorf("receipt of the loaded ring: %v", err)
	}
	one, err := receipts.MarshalKeys(ring)
	if err != nil {
		t.Fatal(err)
	}
	two, err := receipts.MarshalKeys(loaded)
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("a round trip changes the file: %v", err)
	}
	if n := strings.Count(string(one), "PRIVATE KEY-----"); n != 2 {
		t.Errorf("%d private key lines; only the signing key may have its begin and end", n)
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	data, err := receipts.MarshalKeys(newRing(t, newKey(t, receipts.ES256)))
	if err != nil {
		t.Fatal(err)
	}
	file := string(data)
	other, err := receipts.MarshalKeys(newRing(t, newKey(t, receipts.EdDSA)))
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(weak)
	if err != nil {
		t.Fatal(err)
	}
	rsaFile := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for name, bad := range map[string]string{
		"empty":               "",
		"text":                "no key here\n",
		"text before":         "hello\n" + file,
		"text after":          file + "hello\n",
		"a broken key first":  strings.Replace(file, "-----END PRIVATE KEY-----", "", 1) + string(other),
		"two that sign":       file + string(other),
		"twice the same":      file + file,
		"unknown header":      strings.Replace(file, "kid:", "name:", 1),
		"unknown status":      strings.Replace(file, "status: signing", "status: asleep", 1),
		"time":                strings.Replace(file, "created: 2026", "created: year 2026", 1),
		"key id":              strings.Replace(file, "kid: ", "kid: #", 1),
		"signing with an end": strings.Replace(file, "status: signing", "not-after: 2027-01-01T00:00:00Z\nstatus: signing", 1),
		"RSA":                 rsaFile,
		"another block":       strings.ReplaceAll(file, "PRIVATE KEY", "EC PRIVATE KEY"),
		"garbage inside":      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"large":               strings.Repeat("\n", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := receipts.ParseKeys([]byte(bad)); !errors.Is(err, receipts.ErrKey) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := receipts.LoadKeys(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// A bare PKCS #8 key, as other tools write it, signs under its thumbprint.
func TestBareKey(t *testing.T) {
	k := newKey(t, receipts.EdDSA)
	data, err := receipts.MarshalKeys(newRing(t, k))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	block.Headers = nil
	ring, err := receipts.ParseKeys(pem.EncodeToMemory(block))
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := ring.Signing(); !ok || got.ID != k.ID {
		t.Errorf("got %s, want %s", got, k)
	}
}

func TestKeysDoNotPrintThemselves(t *testing.T) {
	k := newKey(t, receipts.ES256)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		if got := fmt.Sprintf(verb, k); got != "receipt key "+k.ID {
			t.Errorf("%s: %s", verb, got)
		}
	}
	if got := k.LogValue().String(); got != k.ID {
		t.Errorf("logged as %s", got)
	}
}

func FuzzParseKeys(f *testing.F) {
	data, err := receipts.MarshalKeys(newRing(f, newKey(f, receipts.ES256)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nstatus: revoked\n\nAAAA\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ring, err := receipts.ParseKeys(data)
		if err != nil {
			return
		}
		one, err := receipts.MarshalKeys(ring)
		if err != nil {
			t.Fatal(err)
		}
		again, err := receipts.ParseKeys(one)
		if err != nil {
			t.Fatalf("what was rendered does not parse: %v\n%s", err, one)
		}
		if two, err := receipts.MarshalKeys(again); err != nil || !bytes.Equal(one, two) {
			t.Errorf("%v: %s became %s", err, one, two)
		}
	})
}
