package stripe

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "redacted"

// Secret is an API key or a webhook's signing secret. However it is printed,
// logged or encoded, it shows as "redacted".
type Secret string

var (
	_ fmt.Formatter  = Secret("")
	_ slog.LogValuer = Secret("")
)

// String is "redacted".
func (Secret) String() string { return redacted }

// GoString is "redacted".
func (Secret) GoString() string { return redacted }

// Format writes "redacted" for every verb: with a verb that does not fit a
// string, fmt would otherwise print the value with its complaint.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is "redacted".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON is "redacted".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText is "redacted", for encoders of other formats.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
