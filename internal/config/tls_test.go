package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"paywall/internal/config"
)

// certificate writes a self-signed one for host as NAME.pem and NAME.key.
func certificate(t *testing.T, dir, name, host string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: now, NotAfter: now.AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der},
		name + ".key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const served = `
keys: {challenge: file:challenge.key, receipts: file:receipts.pem}
methods: {stripe: {key: env:STRIPE_KEY, profile: profile_1}}
upstreams: {api: {url: "https://127.0.0.1:9000"}}
routes: [{match: GET /a, upstream: api, price: 1.00 USD}]
`

func TestTLS(t *testing.T) {
	dir := folder(t)
	certificate(t, dir, "api", "api.example.com")
	certificate(t, dir, "other", "other.example.com")
	const public = "listen: :443\npublic_url: https://api.example.com\n"
	for _, tt := range []struct {
		name, yaml, want string // want is part of the error, or empty
	}{
		{name: "certificate and key", yaml: public + "tls: {cert: api.pem, key: api.key}"},
		{name: "for another host", yaml: public + "tls: {cert: other.pem, key: other.key}", want: "tls.cert: is not good for api.example.com"},
		{name: "for another host behind a proxy", yaml: public + "trusted_proxies: [10.0.0.7]\ntls: {cert: other.pem, key: other.key}"},
		{name: "of another key", yaml: public + "tls: {cert: api.pem, key: other.key}", want: "tls.cert: cannot be used with tls.key"},
		{name: "autocert for the public host", yaml: public + "tls: {autocert: {}}"},
		{name: "autocert on loopback", yaml: "listen: 127.0.0.1:443\ntls: {autocert: {}}", want: "not a public host name"},
		{name: "autocert and a certificate", yaml: public + "tls: {cert: api.pem, key: api.key, autocert: {}}", want: "keep one of the two"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := config.Parse([]byte(tt.yaml+served), dir, lookup)
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want == "" && cfg.TLS == nil:
				t.Error("no TLS")
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
	cfg, err := config.Parse([]byte(public+"tls: {autocert: {cache: certs, email: a@example.com}}"+served), dir, lookup)
	if err != nil {
		t.Fatal(err)
	}
	if a := cfg.TLS.Autocert; a == nil || len(a.Hosts) != 1 || a.Hosts[0] != "api.example.com" || a.Cache != filepath.Join(dir, "certs") {
		t.Errorf("Autocert = %+v", a)
	}
}

func TestAuthorities(t *testing.T) {
	dir := folder(t)
	certificate(t, dir, "inner", "inner.example.com")
	yaml := strings.Replace(served, `"https://127.0.0.1:9000"`, `"https://127.0.0.1:9000", ca: inner.pem`, 1)
	cfg, err := config.Parse([]byte(yaml), dir, lookup)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Upstreams["api"].CA; got != filepath.Join(dir, "inner.pem") {
		t.Errorf("CA = %q", got)
	}
	if _, err := config.Parse([]byte(strings.Replace(yaml, "https://127", "http://127", 1)), dir, lookup); err == nil || !strings.Contains(err.Error(), "ca: is for an https:// url") {
		t.Errorf("err = %v, want one about ca", err)
	}
}
