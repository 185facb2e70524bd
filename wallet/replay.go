package wallet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"paywall/mpp"
)

// authorization is the field that a credential travels in unless the challenge
// asks for another.
const authorization = "Authorization"

// paymentSignature is the field of a credential of x402.
const paymentSignature = "Payment-Signature"

// replay is a request that can be sent any number of times.
type replay struct {
	req    *http.Request // as the caller made it, its body read and closed
	body   []byte
	digest string
	key    string
}

// newReplay reads the body into memory and closes it, also on errors.
func newReplay(req *http.Request, limit int64) (*replay, error) {
	r := &replay{req: req}
	if req.Body != nil {
		err := r.read(limit)
		if err = errors.Join(err, req.Body.Close()); err != nil {
			return nil, err
		}
	}
	if len(r.body) > 0 {
		r.digest = mpp.Digest(r.body)
	}
	u := *req.URL
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	r.key = requestKey(method, strings.ToLower(req.Host), u.String(), r.digest)
	return r, nil
}

func (r *replay) read(limit int64) error {
	if r.req.ContentLength > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrBody, r.req.ContentLength, limit)
	}
	body, err := io.ReadAll(io.LimitReader(r.req.Body, limit+1))
	if err != nil {
		return fmt.Errorf("request body: %w", err)
	}
	if int64(len(body)) > limit {
		return fmt.Errorf("%w: more than %d bytes", ErrBody, limit)
	}
	r.body = body
	return nil
}

// copy is the request once more, with headers of its own.
func (r *replay) copy(ctx context.Context) *http.Request {
	c := r.req.Clone(ctx)
	switch {
	case len(r.body) > 0:
		c.Body = io.NopCloser(bytes.NewReader(r.body))
		c.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.body)), nil }
		c.ContentLength, c.TransferEncoding = int64(len(r.body)), nil
	case r.req.Body != nil:
		c.Body, c.GetBody = http.NoBody, nil
		c.ContentLength, c.TransferEncoding = 0, nil
	}
	return c
}

// carriesPayment reports whether the caller brought a credential of the scheme.
func carriesPayment(h http.Header) bool {
	if len(h.Values(mpp.PaymentAuthorization))+len(h.Values(paymentSignature))+len(h.Values("X-Payment")) > 0 {
		return true
	}
	for _, v := range h.Values(authorization) {
		scheme, _, _ := strings.Cut(strings.TrimSpace(v), " ")
		if strings.EqualFold(scheme, mpp.Scheme) {
			return true
		}
	}
	return false
}

// maxProblem bounds what is read of an answer to learn what it means.
const maxProblem = 64 << 10

// problemTime bounds for how long: a seller that lets its words drip must not
// hold a payer for ever.
const problemTime = 5 * time.Second

// peek reads the problem at the beginning of an answer and puts it back.
func peek(resp *http.Response) Problem {
	body := resp.Body
	late := time.AfterFunc(problemTime, func() { _ = body.Close() }) // makes the read fail
	defer late.Stop()
	head, err := io.ReadAll(io.LimitReader(body, maxProblem))
	rest := io.Reader(body)
	if err != nil {
		rest = failing{err}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), body}
	return parseProblem(head)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// drain gives the connection of an answer back, if it is short.
func drain(resp *http.Response) {
	peek(resp)
	closeBody(resp)
}

func closeBody(resp *http.Response) {
	if resp != nil {
		_ = resp.Body.Close() // it is not handed on
	}
}
