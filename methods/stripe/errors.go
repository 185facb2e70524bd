package stripe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// Causes inside an [Error]; test with [errors.Is].
var (
	// ErrTransport: the connection failed, with or without an answer.
	ErrTransport = errors.New("connection to the processor failed")
	// ErrAnswer: the answer is cut off, too large, or not what the API answers with.
	ErrAnswer = errors.New("answer of the processor cannot be read")
	// ErrIntent: the stored request cannot be sent as it is.
	ErrIntent = errors.New("stored request cannot be sent")
)

var errCertificate = errors.New("certificate not accepted")

// Error says of a call what may be logged: numbers, codes and the request id,
// and nothing that the processor wrote in words.
type Error struct {
	// Op is what was asked: "charge", "lookup", …
	Op string
	// Status is the HTTP status, zero when there was no answer.
	Status int
	// Type, Code and RequestID are the processor's, where they have its form.
	Type, Code, RequestID string
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
	for _, part := range []struct{ name, value string }{{"type", e.Type}, {"code", e.Code}, {"request", e.RequestID}} {
		if part.value != "" {
			b.WriteString(", " + part.name + " " + part.value)
		}
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// transportCause keeps of an error of the transport what is safe to log. Its text
// is not: the URL of a token's read holds the token.
func transportCause(err error) error {
	var (
		errno syscall.Errno
		cert  *tls.CertificateVerificationError
		timed net.Error
	)
	cause := io.ErrUnexpectedEOF
	switch {
	case errors.Is(err, context.Canceled):
		cause = context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		cause = context.DeadlineExceeded
	case errors.As(err, &errno):
		cause = errno
	case errors.As(err, &cert):
		cause = errCertificate
	case errors.As(err, &timed) && timed.Timeout():
		cause = os.ErrDeadlineExceeded
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
	default:
		return ErrTransport
	}
	return fmt.Errorf("%w: %w", ErrTransport, cause)
}
