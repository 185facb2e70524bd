package facilitator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// Causes inside a [CallError] and of [Client.Pick]; test with [errors.Is].
var (
	// ErrTransport: the connection failed, with or without an answer.
	ErrTransport = errors.New("connection to the facilitator failed")
	// ErrAnswer: the answer is too large, or none of the protocol's.
	ErrAnswer = errors.New("answer of the facilitator cannot be read")
	// ErrEndpoint: no facilitator of that name is configured.
	ErrEndpoint = errors.New("no such facilitator")
	// ErrBody: what was to be sent is too large or empty.
	ErrBody = errors.New("request cannot be sent")
	// ErrAuth: the proof of who is calling could not be made.
	ErrAuth = errors.New("authentication could not be made")
	// ErrUnsupported: no facilitator has said that it settles this kind of payment.
	ErrUnsupported = errors.New("no facilitator supports it")
	// ErrUnknown: those that could were not heard yet, or too long ago.
	ErrUnknown = errors.New("no facilitator has said lately what it supports")
)

var errCertificate = errors.New("certificate not accepted")

// CallError is a call that got no answer.
type CallError struct {
	// Sent says that the request may have reached the facilitator, so that what it
	// asked for may have been done. False is certain: nothing left this process.
	Sent bool
	// Err is one of this package's causes, safe to log.
	Err error
}

// Error is for the log.
func (e *CallError) Error() string {
	if e.Sent {
		return fmt.Sprintf("facilitator: no answer: %v", e.Err)
	}
	return fmt.Sprintf("facilitator: not sent: %v", e.Err)
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// transportCause keeps of an error of the transport what is safe to log. Its text
// is not: it may quote an answer, and the URL with it.
func transportCause(err error) error {
	var (
		errno syscall.Errno
		cert  *tls.CertificateVerificationError
		name  *net.DNSError
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
	case errors.As(err, &name):
		cause = errName
	case errors.As(err, &timed) && timed.Timeout():
		cause = os.ErrDeadlineExceeded
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
	default:
		return ErrTransport
	}
	return fmt.Errorf("%w: %w", ErrTransport, cause)
}

var errName = errors.New("name not found")
