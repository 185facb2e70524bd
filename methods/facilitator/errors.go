package facilitator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Causes inside an [Error]; test with [errors.Is].
var (
	// ErrTransport: the connection failed, with or without an answer.
	ErrTransport = errors.New("connection failed")
	// ErrAnswer: the answer is cut off, or not what is answered with.
	ErrAnswer = errors.New("answer cannot be read")
	// ErrIntent: the stored request cannot be sent as it is.
	ErrIntent = errors.New("stored request cannot be sent")
)

var errOffer = errors.New("the offer is of another configuration")

// Error says of a call what may be logged.
type Error struct {
	// Op is what was asked: "charge", "verify", or a method of the node.
	Op string
	// Status is the HTTP status, zero when there was no answer.
	Status int
	// Text is what a facilitator gave as its reason: printable ASCII, bounded, and
	// for people only.
	Text string
	// Err is one of the causes of this package, or nil.
	Err error
}

// Error is for the log.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": status %d", e.Status)
	}
	if e.Text != "" {
		fmt.Fprintf(&b, ": said %q", e.Text)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

const maxText = 200

// plain is what may be logged of foreign text.
func plain(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, s)
}

// transportCause keeps of an error of the transport what is safe to log: its text
// has the URL in it, and that may hold a key.
func transportCause(err error) error {
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded, os.ErrDeadlineExceeded} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%w: %w", ErrTransport, cause)
		}
	}
	return ErrTransport
}
