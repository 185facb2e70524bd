package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"paywall/payment"
)

// body is a buffered request body that the transport cannot send twice: it has
// no GetBody and is not one of the types that net/http rewinds by itself.
type body struct{ *bytes.Reader }

func (body) Close() error { return nil }

func newBody(b []byte) io.ReadCloser { return body{bytes.NewReader(b)} }

// readBody makes the scope of the request, for which the body is read once and
// bounded. An unpaid request that says its digest (RFC 9530) is not read at
// all. False means that it was answered.
func (x *exchange) readBody(paying bool) bool {
	x.scope = payment.Scope{
		Tenant: x.g.cfg.Realm, Route: x.route.ID, Method: x.c.Method, Target: x.c.Target(),
	}
	if x.r.Body == nil || x.r.Body == http.NoBody || x.r.ContentLength == 0 {
		return true
	}
	// A price that may come from the body is not told without it.
	if !paying && x.route.fixed() && x.body == nil {
		if d, ok := statedDigest(x.r.Header); ok {
			x.scope.Digest = d
			return true
		}
	}
	if !x.buffer() {
		return false
	}
	if len(x.body) > 0 {
		sum := sha256.Sum256(x.body)
		x.scope.Digest = "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	}
	return true
}

// buffer reads the whole body, once. False means that the request was answered.
func (x *exchange) buffer() bool {
	if x.body != nil {
		return true
	}
	limit := x.g.cfg.Limits.Body
	if x.route.Body > 0 {
		limit = x.route.Body
	}
	if limit < 0 {
		limit = math.MaxInt64
	}
	if x.r.ContentLength > limit {
		x.w.Header().Set("Connection", "close")
		x.problem(http.StatusRequestEntityTooLarge, "The body is larger than this route takes.")
		return false
	}
	b, err := x.slurp(limit)
	switch {
	case errors.Is(err, errTooLarge):
		x.w.Header().Set("Connection", "close")
		x.problem(http.StatusRequestEntityTooLarge, "The body is larger than this route takes.")
		return false
	case errors.Is(err, errTooSlow):
		x.w.Header().Set("Connection", "close")
		x.problem(http.StatusRequestTimeout, "The body came too slowly.")
		return false
	case err != nil:
		x.ev.Err = err
		x.w.Header().Set("Connection", "close")
		x.problem(http.StatusBadRequest, "The body could not be read.")
		return false
	}
	if x.body = b; b == nil {
		x.body = []byte{} // read, and empty
	}
	return true
}

var (
	errTooLarge = errors.New("body too large")
	errTooSlow  = errors.New("body too slow")
)

// Progress that a body must make: this much a second after the first seconds,
// and all of it within a minute.
const (
	bodyGrace = 5 * time.Second
	bodyRate  = 1 << 10
	bodyTotal = time.Minute
)

func (x *exchange) slurp(limit int64) ([]byte, error) {
	rc := http.NewResponseController(x.w)
	start := x.g.now()
	// Readers that know no deadlines (tests, other servers) are bounded by size alone.
	timed := rc.SetReadDeadline(start.Add(bodyGrace)) == nil
	var buf bytes.Buffer
	if x.r.ContentLength > 0 {
		buf.Grow(int(min(x.r.ContentLength, 64<<10)))
	}
	chunk := make([]byte, 16<<10)
	for {
		n, err := x.r.Body.Read(chunk)
		if int64(buf.Len()+n) > limit {
			return nil, errTooLarge
		}
		buf.Write(chunk[:n])
		switch {
		case errors.Is(err, io.EOF):
			if timed {
				// The connection lives on: later requests have deadlines of their own.
				_ = rc.SetReadDeadline(time.Time{})
			}
			return buf.Bytes(), nil
		case err != nil && timed && isTimeout(err):
			return nil, errTooSlow
		case err != nil:
			return nil, err //nolint:wrapcheck // goes to the log as it is
		}
		if timed {
			allowed := min(bodyGrace+time.Duration(buf.Len()/bodyRate)*time.Second, bodyTotal)
			_ = rc.SetReadDeadline(start.Add(allowed))
		}
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// statedDigest returns a Content-Digest of one well-formed SHA-256.
func statedDigest(h http.Header) (string, bool) {
	fields := h["Content-Digest"]
	if len(fields) != 1 {
		return "", false
	}
	inner, ok := strings.CutPrefix(fields[0], "sha-256=:")
	inner, closed := strings.CutSuffix(inner, ":")
	sum, err := base64.StdEncoding.Strict().DecodeString(inner)
	// The decoder skips line ends, which would be another spelling.
	ok = ok && !strings.ContainsAny(inner, "\r\n")
	if !ok || !closed || err != nil || len(sum) != sha256.Size {
		return "", false
	}
	return fields[0], true
}
