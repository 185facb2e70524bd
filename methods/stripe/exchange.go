package stripe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	sdk "github.com/stripe/stripe-go/v82"
	"github.com/stripe/stripe-go/v82/form"
)

const (
	maxAnswer = 1 << 20
	maxPage   = 8 << 20 // a hundred objects with all the metadata they may have
)

// A call says where a request goes and as whom.
type call struct {
	op, method, path string
	version, account string
	key              string // idempotency key; empty lets the library make one for a write
	limit            int64  // bytes of answer; zero is maxAnswer
}

// An answer is what came back, exactly. The library's own reading of it is not
// used: it knows the shapes of another API version, its errors quote bodies, and
// it forgets status and headers of what it cannot parse.
type answer struct {
	op      string
	account string // that was asked as, when it is not the key's own
	status  int    // zero when there was no answer
	header  http.Header
	body    []byte
	whole   bool // the body arrived to its end, within the limit
	// unsent is proof that not one byte of the request left.
	unsent bool
	err    error // of the transport, safe to log
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 && a.whole }

// replayed says that this is the stored answer of an earlier request under the
// same key, which is therefore over.
func (a answer) replayed() bool { return a.header.Get("Idempotent-Replayed") == "true" }

// shouldRetry is the processor's own word: "true", "false" or "".
func (a answer) shouldRetry() string { return a.header.Get("Stripe-Should-Retry") }

// read decodes a complete answer of the wanted kind.
func (a answer) read(v any) bool { return a.ok() && json.Unmarshal(a.body, v) == nil }

// send sends body as it is and returns what came back.
func (m *Method) send(ctx context.Context, c call, body string) answer {
	return m.exchange(ctx, c, func(b sdk.Backend) error {
		params := sdk.Params{Context: ctx}
		if c.key != "" {
			params.IdempotencyKey = sdk.String(c.key)
		}
		return b.CallRaw(c.method, c.path, string(m.cfg.Key), []byte(body), &params, &ignored{})
	})
}

// ask sends typed parameters, which carry context and key themselves.
func (m *Method) ask(ctx context.Context, c call, params sdk.ParamsContainer) answer {
	return m.exchange(ctx, c, func(b sdk.Backend) error {
		return b.Call(c.method, c.path, string(m.cfg.Key), params, &ignored{})
	})
}

// query writes the typed parameters of a list, which go into the URL.
func query(params any) string {
	var values form.Values
	form.AppendTo(&values, params)
	return values.Encode()
}

func (m *Method) exchange(ctx context.Context, c call, send func(sdk.Backend) error) answer {
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return answer{op: c.op, account: c.account, unsent: true, err: transportCause(ctx.Err())}
	}
	if c.limit == 0 {
		c.limit = maxAnswer
	}
	r := &recorder{next: m.cfg.Transport, call: c}
	err := send(m.backend(r))
	if r.answer.status == 0 && r.answer.err == nil {
		// The library refused before sending, or the client gave up waiting.
		r.answer.err = ErrTransport
		if err != nil {
			r.answer.err = transportCause(err)
		}
	}
	r.answer.op, r.answer.account = c.op, c.account
	return r.answer
}

// A recorder is the transport of one call: it sets what the library does not
// let be set per call, and keeps the answer as it came.
type recorder struct {
	next   http.RoundTripper
	call   call
	answer answer
}

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	out, err := r.outgoing(ctx, req)
	if err != nil {
		r.answer = answer{unsent: true, err: ErrIntent}
		return nil, err
	}
	res, err := r.next.RoundTrip(out)
	if err != nil {
		// A connection that was never had cannot have carried anything; after one
		// was had, bytes may be on their way whatever the error says.
		r.answer = answer{unsent: !connected.Load() && dialing(err), err: transportCause(errors.Join(ctx.Err(), err))}
		return nil, err //nolint:wrapcheck // an http.RoundTripper hands its error on
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, r.call.limit+1))
	_ = res.Body.Close() // nothing more is wanted of it
	r.answer = answer{status: res.StatusCode, header: res.Header, body: body, whole: err == nil && int64(len(body)) <= r.call.limit}
	if err != nil {
		r.answer.err = transportCause(errors.Join(ctx.Err(), err))
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// outgoing is the request as it leaves. A RoundTripper may not change the one it gets.
func (r *recorder) outgoing(ctx context.Context, req *http.Request) (*http.Request, error) {
	out := req.Clone(ctx)
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		_ = req.Body.Close() // it is in memory
		if err != nil {
			return nil, fmt.Errorf("read the request's body: %w", err)
		}
	}
	// With its length, not in chunks: some proxies refuse those.
	out.Body, out.GetBody, out.ContentLength = http.NoBody, nil, int64(len(body))
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	out.Header.Set("Stripe-Version", r.call.version)
	if r.call.account != "" {
		out.Header.Set("Stripe-Account", r.call.account)
	}
	out.Header.Del("X-Stripe-Client-User-Agent") // names this machine's kernel
	return out, nil
}

// dialing reports whether err is of making a connection.
func dialing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(transportCause(err), errCertificate)
}

// ignored is the library's place for a result.
type ignored struct{}

// SetLastResponse implements the library's interface.
func (*ignored) SetLastResponse(*sdk.APIResponse) {}

// UnmarshalJSON takes anything.
func (*ignored) UnmarshalJSON([]byte) error { return nil }
