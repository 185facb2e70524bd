package facilitator

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// cdpLife is how long one token of a request is good for.
const cdpLife = 2 * time.Minute

// CDP is the [Auth] of the Coinbase Developer Platform: a bearer JWT made for each
// request, which names its method, host and path.
type CDP struct {
	id  string
	key crypto.Signer // ed25519.PrivateKey, or *ecdsa.PrivateKey on P-256
}

var (
	_ Auth           = (*CDP)(nil)
	_ fmt.Formatter  = (*CDP)(nil)
	_ slog.LogValuer = (*CDP)(nil)
)

// NewCDP takes the id and the secret of an API key as the platform gives them out: base64
// of an Ed25519 key (its seed, or seed and public key), or a P-256 key in PEM, whose
// line ends may be written as \n.
func NewCDP(id, secret string) (*CDP, error) {
	if id == "" || len(id) > 256 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("facilitator: the key's id is empty, too long or not printable")
	}
	key, err := parseCDPKey(strings.TrimSpace(secret))
	if err != nil {
		return nil, fmt.Errorf("facilitator: the key's secret: %w", err)
	}
	return &CDP{id: id, key: key}, nil
}

var (
	errKeyForm = errors.New("neither base64 of an Ed25519 key nor a P-256 key in PEM")
	errKeyPair = errors.New("its two halves do not belong together")
)

// parseCDPKey never quotes its input.
func parseCDPKey(secret string) (crypto.Signer, error) {
	if strings.HasPrefix(secret, "-----BEGIN ") {
		return parsePEM(strings.ReplaceAll(secret, `\n`, "\n"))
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(secret)
	if err != nil {
		return nil, errKeyForm
	}
	switch len(raw) {
	case ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(raw), nil
	case ed25519.PrivateKeySize:
		key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
		if !key.Equal(ed25519.PrivateKey(raw)) { // signing with a foreign public half leaks the key
			return nil, errKeyPair
		}
		return key, nil
	}
	return nil, errKeyForm
}

func parsePEM(secret string) (crypto.Signer, error) {
	block, rest := pem.Decode([]byte(secret))
	if block == nil || strings.TrimSpace(string(rest)) != "" {
		return nil, errKeyForm
	}
	var key any
	var err error
	switch block.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, errKeyForm
	}
	if err != nil {
		return nil, errKeyForm
	}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P256() {
			return key, nil
		}
	}
	return nil, errKeyForm
}

// Authorize implements [Auth].
func (c *CDP) Authorize(r *http.Request, now time.Time) error {
	jwt, err := c.jwt(r.Method+" "+r.URL.Host+r.URL.EscapedPath(), now)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+jwt)
	return nil
}

type cdpHeader struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Nonce     string `json:"nonce"`
	Type      string `json:"typ"`
}

type cdpClaims struct {
	Subject   string   `json:"sub"`
	Issuer    string   `json:"iss"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"`
	URIs      []string `json:"uris"`
}

// jwt signs for one request, which uri names.
func (c *CDP) jwt(uri string, now time.Time) (string, error) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	h := cdpHeader{Algorithm: "ES256", KeyID: c.id, Nonce: hex.EncodeToString(nonce[:]), Type: "JWT"}
	if _, ok := c.key.(ed25519.PrivateKey); ok {
		h.Algorithm = "EdDSA"
	}
	head, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("encode the token: %w", err)
	}
	at := now.Unix()
	claims, err := json.Marshal(cdpClaims{c.id, "cdp", at, at + int64(cdpLife/time.Second), []string{uri}})
	if err != nil {
		return "", fmt.Errorf("encode the token: %w", err)
	}
	input := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sig, err := sign(c.key, []byte(input))
	if err != nil {
		return "", err
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// sign makes the signature of a JWS: for ES256 both numbers at their full length
// (RFC 7518, section 3.4).
func sign(key crypto.Signer, input []byte) ([]byte, error) {
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, input), nil
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			return nil, fmt.Errorf("sign the token: %w", err)
		}
		sig := make([]byte, 64)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		return sig, nil
	}
	return nil, errKeyForm
}

// Format writes "redacted" for every verb.
func (*CDP) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is "redacted".
func (*CDP) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON is "redacted".
func (*CDP) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
