package wallet

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a token that must not be printed. All verbs of fmt, slog and the
// encoders show a placeholder; only [Secret.Reveal] shows the value.
type Secret string

// Reveal is the value.
func (s Secret) Reveal() string { return string(s) }

// String is a placeholder.
func (Secret) String() string { return redacted }

// Format writes the placeholder for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is a placeholder.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is a placeholder, so that a struct with a secret in it can be
// encoded without giving it away.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
