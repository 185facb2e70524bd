package link

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// What [Wallet.Approve] and [Wallet.Deny] return, wrapped; compare with
// errors.Is.
var (
	ErrNotFound  = errors.New("no such spend request")
	ErrState     = errors.New("the spend request is not in a state that allows this")
	ErrExpired   = errors.New("the spend request has expired")
	ErrLimit     = errors.New("over a limit of the wallet")
	ErrInvalid   = errors.New("invalid spend request")
	ErrProcessor = errors.New("the processor did not grant a token")
)

// A refusal is an error with the shape Link answers it in.
type refusal struct {
	kind    error
	status  int
	code    string
	message string
	// retryAt and duplicate belong to spend_request_rate_limited.
	retryAt   time.Time
	duplicate *wireRequest
}

func (r *refusal) Error() string { return r.message }
func (r *refusal) Unwrap() error { return r.kind }

func invalid(message string) *refusal {
	return &refusal{kind: ErrInvalid, status: http.StatusBadRequest, code: "invalid_request", message: message}
}

func notFound() *refusal {
	return &refusal{kind: ErrNotFound, status: http.StatusNotFound, code: "not_found", message: "No such spend request"}
}

func wrongState(verb string, s Status) *refusal {
	if s == Expired {
		return &refusal{
			kind: ErrExpired, status: http.StatusUnprocessableEntity, code: "spend_request_expired",
			message: "Cannot " + verb + " a request that has expired",
		}
	}
	return &refusal{
		kind: ErrState, status: http.StatusConflict, code: "invalid_state",
		message: "Cannot " + verb + " request in " + string(s) + " status",
	}
}

func overLimit(code, message string) *refusal {
	return &refusal{kind: ErrLimit, status: http.StatusBadRequest, code: code, message: message}
}

type wireError struct {
	Message          string       `json:"message"`
	Code             string       `json:"code,omitempty"`
	RetryAfter       int64        `json:"retry_after,omitempty"` // Unix seconds
	DuplicateRequest *wireRequest `json:"duplicate_spend_request,omitempty"`
}

// fail answers err: a refusal as it says, anything else as a plain 500.
func (w *Wallet) fail(rw http.ResponseWriter, r *http.Request, err error) {
	ref, ok := errors.AsType[*refusal](err)
	if !ok {
		w.log.ErrorContext(r.Context(), "wallet request failed", "path", r.URL.Path, "err", err)
		ref = &refusal{status: http.StatusInternalServerError, code: "api_error", message: "Something went wrong in the sandbox wallet"}
		if errors.Is(err, ErrProcessor) {
			ref.message = "The sandbox processor did not grant a token"
		}
	}
	body := wireError{Message: ref.message, Code: ref.code, DuplicateRequest: ref.duplicate}
	if !ref.retryAt.IsZero() {
		body.RetryAfter = ref.retryAt.Unix()
		wait := max(1, int64(ref.retryAt.Sub(w.now())/time.Second))
		rw.Header().Set("Retry-After", strconv.FormatInt(wait, 10))
	}
	if ref.status == http.StatusUnauthorized {
		rw.Header().Set("Www-Authenticate", `Bearer realm="sandbox wallet"`)
	}
	w.answer(rw, r, ref.status, map[string]wireError{"error": body})
}

func (w *Wallet) answer(rw http.ResponseWriter, r *http.Request, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		w.log.ErrorContext(r.Context(), "wallet answer not encoded", "err", err)
		rw.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	rw.WriteHeader(status)
	_, _ = rw.Write(b) // a client that left has no use for the error
}
