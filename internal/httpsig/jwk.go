package httpsig

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"

	"paywall/internal/strictjson"
)

// JWK is one public key as it is published.
type JWK struct {
	ID        string `json:"kid"`
	Type      string `json:"kty"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	Algorithm string `json:"alg,omitempty"`
	Use       string `json:"use,omitempty"`
}

// Key verifies. The zero value verifies nothing.
type Key struct {
	ID      string
	ec      *ecdsa.PublicKey
	ed      ed25519.PublicKey
	unknown bool // of a type that is not known here
}

// Set is the keys of one party that can verify, in their order.
type Set []Key

// ByID returns the keys with an id. There may be several.
func (s Set) ByID(id string) []Key {
	var out []Key
	for _, k := range s {
		if k.ID == id {
			out = append(out, k)
		}
	}
	return out
}

// maxKeys bounds a set.
const maxKeys = 64

// private are the members of keys that nobody publishes.
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// ParseKeys reads the members of a list of JWKs. Keys of unknown types, or for other
// uses, are left out; one with a private member makes the whole list [ErrKeys].
func ParseKeys(list []json.RawMessage) (Set, error) {
	if len(list) > maxKeys {
		return nil, fmt.Errorf("%d keys: %w", len(list), ErrKeys)
	}
	var set Set
	for i, data := range list {
		k, ok, err := parseKey(data)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		if ok {
			set = append(set, k)
		}
	}
	return set, nil
}

func parseKey(data json.RawMessage) (k Key, usable bool, err error) {
	var members map[string]json.RawMessage
	if err := strictjson.Check(data, strictjson.Limits{}); err != nil {
		return k, false, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if err := json.Unmarshal(data, &members); err != nil {
		return k, false, fmt.Errorf("%w: not an object", ErrKeys)
	}
	for _, name := range private {
		if _, there := members[name]; there {
			return k, false, fmt.Errorf("%w: a private key is published", ErrKeys)
		}
	}
	text := func(name string) string {
		var s string
		_ = json.Unmarshal(members[name], &s) // another type is no text
		return s
	}
	k.ID = text("kid")
	if k.ID == "" || len(k.ID) > 256 || text("use") == "enc" {
		return k, false, nil
	}
	if ops, there := members["key_ops"]; there {
		var list []string
		if json.Unmarshal(ops, &list) != nil || !slices.Contains(list, "verify") {
			return k, false, nil //nolint:nilerr // a list of something else does not name verifying
		}
	}
	alg, curve := text("alg"), text("crv")
	switch text("kty") {
	case "EC":
		return ecKey(k, alg, curve, text("x"), text("y"))
	case "OKP":
		if curve != "Ed25519" {
			break
		}
		x, err := base64.RawURLEncoding.Strict().DecodeString(text("x"))
		if err != nil || len(x) != ed25519.PublicKeySize || alg != "" && alg != "EdDSA" && alg != "Ed25519" {
			return k, false, fmt.Errorf("%w: not an Ed25519 key", ErrKeys)
		}
		k.ed = x
		return k, true, nil
	}
	k.unknown = true
	return k, true, nil
}

func ecKey(k Key, alg, curve, xText, yText string) (Key, bool, error) {
	known := map[string]struct {
		curve elliptic.Curve
		alg   string
	}{"P-256": {elliptic.P256(), "ES256"}, "P-384": {elliptic.P384(), "ES384"}}
	c, ok := known[curve]
	if !ok {
		k.unknown = true
		return k, true, nil
	}
	x, errX := base64.RawURLEncoding.Strict().DecodeString(xText)
	y, errY := base64.RawURLEncoding.Strict().DecodeString(yText)
	size := (c.curve.Params().BitSize + 7) / 8
	if errX != nil || errY != nil || len(x) != size || len(y) != size || alg != "" && alg != c.alg {
		return k, false, fmt.Errorf("%w: not a key on %s", ErrKeys, curve)
	}
	point := append(append([]byte{4}, x...), y...)
	pub, err := ecdsa.ParseUncompressedPublicKey(c.curve, point)
	if err != nil {
		return k, false, fmt.Errorf("%w: not a point on %s", ErrKeys, curve)
	}
	k.ec = pub
	return k, true, nil
}

// Public is the JWK of a P-256 key, for signing.
func Public(id string, pub *ecdsa.PublicKey) (JWK, error) {
	if pub.Curve != elliptic.P256() {
		return JWK{}, fmt.Errorf("%w: not on P-256", ErrKeys)
	}
	raw, err := pub.Bytes()
	if err != nil {
		return JWK{}, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	return JWK{ID: id, Type: "EC", Curve: "P-256", X: enc(raw[1:33]), Y: enc(raw[33:]), Algorithm: "ES256", Use: "sig"}, nil
}

// Thumbprint is the key's RFC 7638 name.
func (j JWK) Thumbprint() string {
	sum := sha256.Sum256([]byte(`{"crv":"` + j.Curve + `","kty":"` + j.Type + `","x":"` + j.X + `","y":"` + j.Y + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// algorithm is the key's name in the registry of RFC 9421.
func (k Key) algorithm() string {
	switch {
	case k.ed != nil:
		return "ed25519"
	case k.ec != nil && k.ec.Curve == elliptic.P384():
		return "ecdsa-p384-sha384"
	}
	return "ecdsa-p256-sha256"
}

// verify reports whether sig, in the fixed-length form of RFC 9421, is the key's over base.
func (k Key) verify(base string, sig []byte) bool {
	switch {
	case k.ed != nil:
		return len(sig) == ed25519.SignatureSize && ed25519.Verify(k.ed, []byte(base), sig)
	case k.ec != nil:
		size := (k.ec.Curve.Params().BitSize + 7) / 8
		if len(sig) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])
		return ecdsa.Verify(k.ec, hashed(k.ec.Curve, base), r, s)
	}
	return false
}
