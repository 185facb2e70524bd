package facilitator

import (
	"encoding/json"
	"log/slog"
	"time"

	"paywall/internal/strictjson"
	"paywall/x402"
)

// maxMessage bounds a body of /verify and /settle, asked and answered.
const maxMessage = 64 << 10

// Reply is what a facilitator answered, whatever its status: refusals come with 200
// and with others.
type Reply struct {
	// Status is the HTTP status. Redirects are not followed.
	Status int
	// Body has at most 64 KiB. It is the facilitator's word, for parsing: neither
	// payers nor logs see it.
	Body []byte
	// RetryAfter is the facilitator's wish, at most an hour, or zero.
	RetryAfter time.Duration
}

// LogValue keeps the body out of logs.
func (r Reply) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("status", r.Status), slog.Int("bytes", len(r.Body)))
}

// ParseSettle reads an answer to /settle. ok is false for everything that is none: a
// document that cannot be read in one way only, or without a boolean `success`,
// decides nothing. Neither does the status, which is the caller's to judge.
func ParseSettle(r Reply) (resp x402.SettleResponse, ok bool) {
	if !read(r.Body, &resp) {
		return x402.SettleResponse{}, false
	}
	return resp, true
}

// ParseVerify reads an answer to /verify, as [ParseSettle] does one to /settle: the
// boolean is `isValid`.
func ParseVerify(r Reply) (resp x402.VerifyResponse, ok bool) {
	if !read(r.Body, &resp) {
		return x402.VerifyResponse{}, false
	}
	return resp, true
}

// read reads one of the types of package x402, which take their members by exact
// names and types.
func read(data []byte, into json.Unmarshaler) bool {
	limits := strictjson.Limits{Bytes: maxMessage, String: maxMessage, Members: 256}
	return strictjson.Check(data, limits) == nil && json.Unmarshal(data, into) == nil
}
