package facilitator

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const dialTimeout = 5 * time.Second

// newTransport speaks HTTP/1.1, so that a connection that hangs delays one payment.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  nil, // the environment must not choose who is believed
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}
}

// outgoing is what a request sends, and knows whether any of it was taken to be sent.
// A facilitator that was sent no body was asked for nothing, so that this is the one
// place where "nothing happened" can be certain. It holds for any transport.
type outgoing struct {
	body  []byte
	state atomic.Int32
}

// States of an [outgoing].
const (
	untouched int32 = iota
	taken           // some of it was read
	sealed          // none was read, and none will be
)

var errSealed = errors.New("request was given up")

// attach makes it the body of r. Transports ask for the body once more when the first
// connection turned out to be dead before anything was written to it.
func (o *outgoing) attach(r *http.Request) {
	r.ContentLength = int64(len(o.body))
	r.GetBody = func() (io.ReadCloser, error) { return &reading{of: o, left: bytes.NewReader(o.body)}, nil }
	r.Body, _ = r.GetBody()
}

// abandon ends the sending after an error and reports whether it can have begun. A
// transport may return while its writer is about to start.
func (o *outgoing) abandon() (sent bool) { return !o.state.CompareAndSwap(untouched, sealed) }

type reading struct {
	of   *outgoing
	left *bytes.Reader
}

// Read implements [io.Reader].
func (r *reading) Read(p []byte) (int, error) {
	if !r.of.state.CompareAndSwap(untouched, taken) && r.of.state.Load() == sealed {
		return 0, errSealed
	}
	return r.left.Read(p) //nolint:wrapcheck // io.EOF, as readers return it
}

// Close implements [io.Closer].
func (*reading) Close() error { return nil }
