package protocol

import (
	"net/http"
	"time"
)

// Fault is a refusal by the protocol itself, as opposed to an outcome of business,
// which is an answer with status 200 (overview, "error handling").
type Fault struct {
	// Code is one of the constants below.
	Code string
	// Content may be shown to the other side.
	Content string
	// RetryAfter is for rate_limited and unavailable.
	RetryAfter time.Duration
	// Err is for the log.
	Err error
}

// Error is for the log.
func (f *Fault) Error() string {
	if f.Err != nil {
		return f.Code + ": " + f.Content + ": " + f.Err.Error()
	}
	return f.Code + ": " + f.Content
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Codes of faults.
const (
	InvalidProfileURL    = "invalid_profile_url"
	ProfileUnreachable   = "profile_unreachable"
	ProfileMalformed     = "profile_malformed"
	VersionUnsupported   = "version_unsupported"
	ProfileNotTrusted    = "profile_not_trusted"
	SignatureMissing     = "signature_missing"
	SignatureInvalid     = "signature_invalid"
	KeyNotFound          = "key_not_found"
	DigestMismatch       = "digest_mismatch"
	AlgorithmUnsupported = "algorithm_unsupported"
	Unauthorized         = "unauthorized"
	Forbidden            = "forbidden"
	IdempotencyConflict  = "idempotency_conflict"
	InvalidState         = "invalid_state"
	RateLimited          = "rate_limited"
	Unavailable          = "unavailable"
	InvalidRequest       = "invalid_request"
	RequestTooLarge      = "request_too_large"
	NotFound             = "not_found"
	MethodNotAllowed     = "method_not_allowed"
	UnsupportedMediaType = "unsupported_media_type"
	Internal             = "internal_error"
)

// faults is the table of statuses; rpc are codes of JSON-RPC.
var faults = map[string]struct{ status, rpc int }{
	InvalidProfileURL:    {http.StatusBadRequest, -32001},
	ProfileUnreachable:   {http.StatusFailedDependency, -32001},
	ProfileMalformed:     {http.StatusUnprocessableEntity, -32001},
	VersionUnsupported:   {http.StatusUnprocessableEntity, -32001},
	ProfileNotTrusted:    {http.StatusForbidden, -32000},
	SignatureMissing:     {http.StatusUnauthorized, -32000},
	SignatureInvalid:     {http.StatusUnauthorized, -32000},
	KeyNotFound:          {http.StatusUnauthorized, -32000},
	DigestMismatch:       {http.StatusBadRequest, -32600},
	AlgorithmUnsupported: {http.StatusBadRequest, -32600},
	Unauthorized:         {http.StatusUnauthorized, -32000},
	Forbidden:            {http.StatusForbidden, -32000},
	IdempotencyConflict:  {http.StatusConflict, -32000},
	InvalidState:         {http.StatusConflict, -32000},
	RateLimited:          {http.StatusTooManyRequests, -32000},
	Unavailable:          {http.StatusServiceUnavailable, -32000},
	InvalidRequest:       {http.StatusBadRequest, -32602},
	RequestTooLarge:      {http.StatusBadRequest, -32602},
	NotFound:             {http.StatusNotFound, -32601},
	MethodNotAllowed:     {http.StatusMethodNotAllowed, -32600},
	UnsupportedMediaType: {http.StatusUnsupportedMediaType, -32600},
	Internal:             {http.StatusInternalServerError, -32603},
}

// Status is the HTTP status of the fault, of REST and of JSON-RPC alike.
func (f *Fault) Status() int {
	if row, ok := faults[f.Code]; ok {
		return row.status
	}
	return http.StatusInternalServerError
}

// RPC is the code of the fault in JSON-RPC.
func (f *Fault) RPC() int {
	if row, ok := faults[f.Code]; ok {
		return row.rpc
	}
	return -32603
}
