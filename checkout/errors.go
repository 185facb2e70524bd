package checkout

import (
	"fmt"
	"time"
)

// ErrorKind classes what a [Service] refuses. The zero value is internal.
type ErrorKind uint8

// Kinds of refusal.
const (
	// KindInternal: a fault on this side; nothing was charged.
	KindInternal ErrorKind = iota
	// KindNotFound: no such session or order for this caller.
	KindNotFound
	// KindUnavailable: nothing of what was asked for can be sold. Messages say why.
	KindUnavailable
	// KindInvalid: the request makes no sense. Messages have the path.
	KindInvalid
	// KindState: the session has ended, or is being completed, and cannot be changed.
	KindState
	// KindBusy: come back after RetryAfter; nothing was charged.
	KindBusy
	// KindPayment: the instrument was not taken. The session stays payable.
	KindPayment
)

// Error is a refusal. Messages may be shown to the client; Err never. Session is
// set where the client is to see how the session is now.
type Error struct {
	Kind       ErrorKind
	Messages   []Message
	Session    *Session
	RetryAfter time.Duration
	Err        error
}

// Error is for the log.
func (e *Error) Error() string {
	text := fmt.Sprintf("checkout refused (%d)", e.Kind)
	if len(e.Messages) > 0 {
		text = e.Messages[0].Code + ": " + e.Messages[0].Content
	}
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", text, e.Err)
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refuse makes an *[Error] with one message of type error.
func Refuse(kind ErrorKind, code, content, path, severity string) *Error {
	return &Error{Kind: kind, Messages: []Message{{Type: TypeError, Code: code, Content: content, Path: path, Severity: severity}}}
}
