package config

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

const minKey = 32

// keys checks the server's own secrets. Each has one purpose: a key that is used
// for two lets one of them be undone through the other.
func (c *checker) keys() {
	in, out := &c.in.Keys, &c.out.Keys
	c.missing("keys.challenge", "make one with: paywall keys new")
	c.missing("keys.receipts", "make one with: paywall keys new")
	used := map[string]string{}
	take := func(path string, r reference) Secret {
		s := c.key(path, r)
		if first := used[s.Reveal()]; first != "" && !s.Empty() {
			c.fault(path, "is the same secret as %s; each has its own", first)
		}
		if used[s.Reveal()] == "" {
			used[s.Reveal()] = path
		}
		return s
	}
	out.Challenge = take("keys.challenge", in.Challenge)
	for i, r := range in.Previous {
		path := item("keys.previous", i)
		if !c.has(path) {
			path = "keys.previous"
		}
		out.Previous = append(out.Previous, take(path, r))
	}
	out.Seal = take("keys.seal", in.Seal)
	if n := len(out.Seal.Reveal()); n != 0 && n != 32 {
		c.fault("keys.seal", "has %d bytes; it is exactly 32", n)
	}
	if len(in.Previous) > 0 && in.Seal == "" {
		c.warn("keys.previous", "without keys.seal, payments that were pending under a former secret cannot be completed; set keys.seal before the next change")
	}
	if in.Receipts == "" {
		return
	}
	name, ok := strings.CutPrefix(string(in.Receipts), "file:")
	if !ok {
		c.fault("keys.receipts", "is a key file; write file:PATH")
		return
	}
	full, err := c.regular(name)
	if err != nil {
		c.fault("keys.receipts", "%v; make one with: paywall keys new", err)
		return
	}
	c.private("keys.receipts", full)
	out.Receipts = full
}

// key reads a secret of random bytes.
func (c *checker) key(path string, r reference) Secret {
	value, ok := c.resolve(path, r)
	if !ok {
		return Secret{}
	}
	if r.literal() {
		c.literal(path, c.live())
	}
	raw := keyBytes(value)
	switch {
	case len(raw) < minKey:
		c.fault(path, "has %d bytes of secret; it needs 32 or more: make one with: paywall keys new", len(raw))
		return Secret{}
	case weak(raw) || example(value):
		c.fault(path, "can be guessed; it needs 32 or more random bytes: make one with: paywall keys new")
		return Secret{}
	}
	return NewSecret(raw)
}

// literal judges a secret that stands in the file.
func (c *checker) literal(path string, live bool) {
	if live {
		c.fault(path, "stands in the file, where it is copied and logged; write env:NAME or file:PATH")
		return
	}
	c.warn(path, "stands in the file; write env:NAME or file:PATH before real money moves")
}

// live reports whether real money moves, by what the file says and by its key.
func (c *checker) live() bool {
	s := c.in.Methods.Stripe
	return s != nil && (s.Live || strings.HasPrefix(c.stripeKey, "sk_live_") || strings.HasPrefix(c.stripeKey, "rk_live_"))
}

// keyBytes decodes hexadecimal and base64 where the text is one, and holds
// enough; other text is its own bytes.
func keyBytes(text string) string {
	if b, err := hex.DecodeString(text); err == nil {
		return string(b)
	}
	trimmed := strings.TrimRight(text, "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(trimmed); err == nil && len(b) >= minKey {
			return string(b)
		}
	}
	return text
}

// weak finds bytes that nobody drew at random: few different ones, or steps of
// one size. Of 32 random bytes, fewer than 12 different ones happen in no lifetime.
func weak(raw string) bool {
	var seen [256]bool
	different := 0
	for i := range len(raw) {
		if !seen[raw[i]] {
			seen[raw[i]] = true
			different++
		}
	}
	steps := true
	for i := 2; i < len(raw); i++ {
		steps = steps && raw[i]-raw[i-1] == raw[1]-raw[0]
	}
	return different < 12 || steps
}

// example finds text that was written by hand or copied from an example: a drawn
// key holds such a word with a chance of less than one in a million.
func example(text string) bool {
	lower := strings.ToLower(text)
	for _, word := range []string{
		"change", "secret", "example", "password", "passw0rd", "paywall", "default", "replace", "insert",
		"challenge", "0123456789", "1234567890", "abcdefgh", "deadbeef", "qwertz", "qwerty", "vector",
	} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return false
}
