package app

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"paywall/internal/testhook"
	"paywall/receipts"
	"paywall/x402/evm"
)

type keysCmd struct {
	New    keysNewCmd    `cmd:"" help:"Create challenge.key, seal.key and receipts.pem in a folder. Existing files are kept."`
	List   keysListCmd   `cmd:"" help:"List the receipt keys of a file."`
	Rotate keysRotateCmd `cmd:"" help:"Sign receipts with a new key; the old one verifies for a while."`
	Revoke keysRevokeCmd `cmd:"" help:"Refuse every receipt of a key from now on."`
	Payer  keysPayerCmd  `cmd:"" help:"Make a key that an agent pays stablecoins from, and show its address."`
}

type keysNewCmd struct {
	Dir       string `help:"Where the files go." default:"." type:"path"`
	Algorithm string `help:"How receipts are signed." enum:"ES256,EdDSA" default:"ES256"`
}

// Run creates what is missing.
func (c *keysNewCmd) Run(p *Process) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("create the folder: %w", err)
	}
	for _, name := range []string{"challenge.key", "seal.key"} {
		path := filepath.Join(c.Dir, name)
		made, err := newSecretFile(path)
		if err != nil {
			return err
		}
		report(p, path, made)
	}
	path := filepath.Join(c.Dir, "receipts.pem")
	if _, err := os.Stat(path); err == nil {
		report(p, path, false)
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for the receipt keys: %w", err)
	}
	key, err := receipts.GenerateKey(receipts.Algorithm(c.Algorithm), testhook.Now()())
	if err != nil {
		return err //nolint:wrapcheck // it says what it did
	}
	ring, err := receipts.NewKeyRing(key)
	if err != nil {
		return err //nolint:wrapcheck // it says what it did
	}
	if err := receipts.SaveKeys(path, ring); err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	report(p, path, true)
	return nil
}

func report(p *Process, path string, made bool) {
	word := "kept   "
	if made {
		word = "created"
	}
	fmt.Fprintln(p.Stdout, word, path)
}

// newSecretFile writes 32 random bytes in hex, unless the file is there.
func newSecretFile(path string) (bool, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return false, fmt.Errorf("make %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("create a key file: %w", err)
	}
	_, err = f.WriteString(hex.EncodeToString(secret) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return false, fmt.Errorf("write %s: %w", path, err)
	}
	return true, nil
}

type keysPayerCmd struct {
	File string `arg:"" help:"The key file; one that is there is kept." type:"path"`
}

// Run makes the key, unless it is there, and shows the address that money for it goes to.
func (c *keysPayerCmd) Run(p *Process) error {
	made, err := newSecretFile(c.File)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return fmt.Errorf("read the key: %w", err)
	}
	key, err := evm.ParseKey(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	report(p, c.File, made)
	fmt.Fprintln(p.Stdout, "address", key.Address().Checksum())
	return nil
}

type keysListCmd struct {
	File string `short:"f" help:"The key file." default:"receipts.pem" type:"path"`
	JSON bool   `help:"Print JSON."`
}

// Run lists the keys; nothing private is shown.
func (c *keysListCmd) Run(p *Process) error {
	ring, err := receipts.LoadKeys(c.File)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	type view struct {
		ID        string             `json:"id"`
		Algorithm receipts.Algorithm `json:"algorithm"`
		Status    receipts.Status    `json:"status"`
		Created   string             `json:"created,omitempty"`
		NotAfter  string             `json:"not_after,omitempty"`
	}
	var list []view
	for _, k := range ring.Keys() {
		list = append(list, view{k.ID, k.Algorithm, k.Status, day(k.Created), day(k.NotAfter)})
	}
	if c.JSON {
		return printJSON(p, list)
	}
	t := newTable(p.Stdout, "key", "algorithm", "status", "created", "verifies until")
	for _, v := range list {
		t.row(v.ID, string(v.Algorithm), string(v.Status), v.Created, v.NotAfter)
	}
	return t.flush()
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

type keysRotateCmd struct {
	File    string        `short:"f" help:"The key file." default:"receipts.pem" type:"path"`
	Overlap time.Duration `help:"How long the old key still verifies; at least the life of the longest receipt." default:"24h"`
}

// Run rotates. A running server reads the file again on SIGHUP.
func (c *keysRotateCmd) Run(p *Process) error {
	ring, err := receipts.LoadKeys(c.File)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	old, ok := ring.Signing()
	if !ok {
		return fmt.Errorf("%s has no signing key; create one with: paywall keys new", c.File)
	}
	now := testhook.Now()()
	next, err := receipts.GenerateKey(old.Algorithm, now)
	if err == nil {
		err = ring.Rotate(next, now.Add(c.Overlap))
	}
	if err == nil {
		err = receipts.SaveKeys(c.File, ring)
	}
	if err != nil {
		return err //nolint:wrapcheck // it says what it did
	}
	fmt.Fprintf(p.Stdout, "signs now: %s\nverifies until %s: %s\nSend SIGHUP to a running server.\n", next.ID, day(now.Add(c.Overlap)), old.ID)
	return nil
}

type keysRevokeCmd struct {
	File string `short:"f" help:"The key file." default:"receipts.pem" type:"path"`
	ID   string `arg:"" help:"The key's id, as paywall keys list shows it."`
}

// Run revokes.
func (c *keysRevokeCmd) Run(p *Process) error {
	ring, err := receipts.LoadKeys(c.File)
	if err == nil {
		err = ring.Revoke(c.ID)
	}
	if err == nil {
		err = receipts.SaveKeys(c.File, ring)
	}
	if err != nil {
		return err //nolint:wrapcheck // it says what it did
	}
	fmt.Fprintf(p.Stdout, "revoked %s; send SIGHUP to a running server\n", c.ID)
	return nil
}
