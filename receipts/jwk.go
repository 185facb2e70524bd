package receipts

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// jwk has the public members of RFC 7517 and 8037, and no others: there is no
// field that a private one could be written from.
type jwk struct {
	Algorithm string `json:"alg,omitempty"`
	Curve     string `json:"crv"`
	KeyID     string `json:"kid,omitempty"`
	KeyType   string `json:"kty"`
	Use       string `json:"use,omitempty"`
	X         string `json:"x"`
	Y         string `json:"y,omitempty"`
}

const coordinate = 32 // bytes, for both curves

// bare returns the members that RFC 7638 hashes.
func (k Key) bare() (jwk, error) {
	switch pub := k.public.(type) {
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			return jwk{}, fmt.Errorf("public key: %w", ErrKey)
		}
		return jwk{KeyType: "EC", Curve: "P-256", X: b64(point[1 : 1+coordinate]), Y: b64(point[1+coordinate:])}, nil
	case ed25519.PublicKey:
		return jwk{KeyType: "OKP", Curve: "Ed25519", X: b64(pub)}, nil
	default:
		return jwk{}, fmt.Errorf("public key of an unsupported kind: %w", ErrKey)
	}
}

func (k Key) jwk(did string) (jwk, error) {
	j, err := k.bare()
	j.KeyID, j.Algorithm, j.Use = did+"#"+k.ID, string(k.Algorithm), "sig"
	return j, err
}

// thumbprintID is the first half of the RFC 7638 thumbprint, in hexadecimal so
// that it never starts with a dash on a command line.
func (k Key) thumbprintID() (string, error) {
	j, err := k.bare()
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(j) // names are in order, values need no escape
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:len(sum)/2]), nil
}

// parse returns the key under id. Kinds of key that receipts do not use are
// skipped (ok is false, no error), as readers of key sets must.
func (j jwk) parse(id string) (k Key, ok bool, err error) {
	alg := map[string]Algorithm{"EC P-256": ES256, "OKP Ed25519": EdDSA}[j.KeyType+" "+j.Curve]
	if alg == "" || (j.Use != "" && j.Use != "sig") {
		return Key{}, false, nil
	}
	if j.Algorithm != "" && j.Algorithm != string(alg) {
		return Key{}, false, fmt.Errorf("key %q: alg does not fit the curve: %w", id, ErrKey)
	}
	x, okX := unb64(j.X)
	if !okX || len(x) != coordinate {
		return Key{}, false, fmt.Errorf("key %q: x: %w", id, ErrKey)
	}
	if alg == EdDSA {
		k, err = publicKey(ed25519.PublicKey(x), id)
		return k, err == nil, err
	}
	y, okY := unb64(j.Y)
	if !okY || len(y) != coordinate {
		return Key{}, false, fmt.Errorf("key %q: y: %w", id, ErrKey)
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		return Key{}, false, fmt.Errorf("key %q: not a point of the curve: %w", id, ErrKey)
	}
	k, err = publicKey(pub, id)
	return k, err == nil, err
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// unb64 decodes unpadded base64url and accepts one spelling of each value. The
// library alone would skip line breaks.
func unb64(s string) ([]byte, bool) {
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' {
			return nil, false
		}
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return data, err == nil
}
