package stripe

import (
	"fmt"
	"maps"
	"net/http"
)

// An Error is an answer that refuses, in the processor's own shape. Its text is
// the processor's message and holds neither keys nor card data.
type Error struct {
	Status      int
	Type        string // api_error, card_error, idempotency_error, invalid_request_error
	Code        string // often empty, and then clients have to look
	DeclineCode string
	Message     string
	Param       string

	members object // what else the error carries, an intent for example
	hint    string // a header for the person at the keyboard
	stored  bool   // kept under the idempotency key: execution had begun
}

func (e *Error) Error() string { return e.Message }

func (e *Error) body() object {
	fields := object{"type": e.Type, "message": e.Message}
	for name, value := range map[string]string{"code": e.Code, "decline_code": e.DeclineCode, "param": e.Param} {
		if value != "" {
			fields[name] = value
		}
	}
	if e.Code != "" {
		fields["doc_url"] = "https://stripe.com/docs/error-codes/" + hyphens(e.Code)
	}
	maps.Copy(fields, e.members)
	return object{"error": fields}
}

func hyphens(code string) string {
	b := []byte(code)
	for i, c := range b {
		if c == '_' {
			b[i] = '-'
		}
	}
	return string(b)
}

// invalid refuses parameters before anything was executed: not kept under the key.
func invalid(code, param, format string, args ...any) error {
	return &Error{
		Status: http.StatusBadRequest, Type: "invalid_request_error", Code: code, Param: param,
		Message: fmt.Sprintf(format, args...),
	}
}

// refused is a refusal by the state of things: the call was executed, and its
// answer is kept under the key.
func refused(code, param, format string, args ...any) *Error {
	return &Error{
		Status: http.StatusBadRequest, Type: "invalid_request_error", Code: code, Param: param,
		Message: fmt.Sprintf(format, args...), stored: true,
	}
}

// noSuch names an object that is not in this account.
func noSuch(kind, param, id string) error {
	e := refused("resource_missing", param, "No such %s: '%.100s'", kind, id)
	e.Status = http.StatusNotFound
	return e
}

func unrecognized(method, path string) *Error {
	return &Error{
		Status: http.StatusNotFound, Type: "invalid_request_error",
		Message: fmt.Sprintf("Unrecognized request URL (%s: %.200s). If you are trying to list objects, remove the trailing slash. "+
			"If you are trying to retrieve an object, make sure you passed a valid (non-empty) identifier in your code.", method, path),
	}
}

func serverError() *Error {
	return &Error{
		Status: http.StatusInternalServerError, Type: "api_error", stored: true,
		Message: "An unknown error occurred.",
	}
}
