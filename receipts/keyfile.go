package receipts

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// The key file is a list of PEM blocks with headers: the signing key as PRIVATE
// KEY (PKCS #8), all others as PUBLIC KEY (PKIX), since what no longer signs
// need not be kept secret. A single PRIVATE KEY without headers, as other tools
// write it, is a signing key with the id of its thumbprint.
const (
	blockPrivate = "PRIVATE KEY"
	blockPublic  = "PUBLIC KEY"

	headerKeyID    = "kid"
	headerCreated  = "created"
	headerNotAfter = "not-after"
	headerStatus   = "status"

	maxKeyFile = 256 << 10
)

// LoadKeys reads a key file.
func LoadKeys(path string) (*KeyRing, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("receipt keys: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("receipt keys: %w", err)
	}
	ring, err := ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("receipt keys in %s: %w", path, err)
	}
	return ring, nil
}

// ParseKeys reads the content of a key file. Anything that is not a whole PEM
// block of a known kind with known headers is [ErrKey]: a key that was skipped
// in silence would be missed only when a receipt is refused.
func ParseKeys(data []byte) (*KeyRing, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("more than %d bytes: %w", maxKeyFile, ErrKey)
	}
	var keys []Key
	for len(bytes.TrimSpace(data)) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("after %d keys: not a PEM block: %w", len(keys), ErrKey)
		}
		// pem.Decode skips what it cannot read until something fits.
		read := bytes.TrimSpace(data[:len(data)-len(rest)])
		if !bytes.HasPrefix(read, []byte("-----BEGIN ")) || bytes.Count(read, []byte("-----BEGIN ")) != 1 {
			return nil, fmt.Errorf("after %d keys: text or a broken PEM block: %w", len(keys), ErrKey)
		}
		k, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", len(keys)+1, err)
		}
		keys, data = append(keys, k), rest
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no keys: %w", ErrKey)
	}
	return NewKeyRing(keys...)
}

func parseBlock(block *pem.Block) (Key, error) {
	for name := range block.Headers {
		switch name {
		case headerKeyID, headerCreated, headerNotAfter, headerStatus:
		default:
			return Key{}, fmt.Errorf("unknown header %q: %w", name, ErrKey)
		}
	}
	created, err := headerTime(block, headerCreated)
	if err != nil {
		return Key{}, err
	}
	notAfter, err := headerTime(block, headerNotAfter)
	if err != nil {
		return Key{}, err
	}
	status, id := Status(block.Headers[headerStatus]), block.Headers[headerKeyID]
	var k Key
	switch block.Type {
	case blockPrivate:
		if status != "" && status != Signing {
			return Key{}, fmt.Errorf("a private key with status %q: %w", status, ErrKey)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("not PKCS #8: %w", ErrKey) // the cause may quote the key
		}
		signer, ok := parsed.(crypto.Signer)
		if !ok {
			return Key{}, fmt.Errorf("cannot sign: %w", ErrKey)
		}
		if k, err = NewKey(signer, id, created); err != nil {
			return Key{}, err
		}
	case blockPublic:
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("not a PKIX public key: %w", ErrKey)
		}
		if k, err = publicKey(parsed, id); err != nil {
			return Key{}, err
		}
		if status == Verifying && notAfter.IsZero() {
			return Key{}, fmt.Errorf("key %q verifies without %s: %w", k.ID, headerNotAfter, ErrKey)
		}
		k.Status, k.Created = status, created
	default:
		return Key{}, fmt.Errorf("PEM block of type %q: want %s (PKCS #8) or %s: %w", block.Type, blockPrivate, blockPublic, ErrKey)
	}
	k.NotAfter = notAfter
	return k, nil
}

func headerTime(block *pem.Block, name string) (time.Time, error) {
	text, ok := block.Headers[name]
	if !ok {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("header %s is not an RFC 3339 time: %w", name, ErrKey)
	}
	return t.UTC(), nil
}

// MarshalKeys renders the ring as a key file. It holds the private signing key.
func MarshalKeys(r *KeyRing) ([]byte, error) {
	var buf bytes.Buffer
	for _, k := range r.Keys() {
		block := &pem.Block{Type: blockPublic, Headers: map[string]string{headerKeyID: k.ID, headerStatus: string(k.Status)}}
		if !k.Created.IsZero() {
			block.Headers[headerCreated] = k.Created.Format(time.RFC3339)
		}
		if !k.NotAfter.IsZero() {
			block.Headers[headerNotAfter] = k.NotAfter.Format(time.RFC3339)
		}
		var err error
		if k.private != nil {
			block.Type = blockPrivate
			block.Bytes, err = x509.MarshalPKCS8PrivateKey(k.private)
		} else {
			block.Bytes, err = x509.MarshalPKIXPublicKey(k.public)
		}
		if err != nil {
			return nil, fmt.Errorf("render key %q: %w", k.ID, err)
		}
		if err := pem.Encode(&buf, block); err != nil {
			return nil, fmt.Errorf("render key %q: %w", k.ID, err)
		}
	}
	return buf.Bytes(), nil
}

// SaveKeys writes the ring to path, readable by the owner only. A reader, or a
// crash, finds the old file or the new one and never a part.
func SaveKeys(path string, r *KeyRing) error {
	data, err := MarshalKeys(r)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".receipts-*") // mode 0600
	if err != nil {
		return fmt.Errorf("save receipt keys: %w", err)
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("save receipt keys: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("save receipt keys: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("save receipt keys: %w", err)
	}
	return nil
}
