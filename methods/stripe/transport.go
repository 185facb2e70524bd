package stripe

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	dialTimeout = 3 * time.Second
	// answerTimeout is long, since card networks may be slow, and giving up
	// turns a slow payment into one in doubt.
	answerTimeout = 20 * time.Second
)

// newTransport keeps as many connections as there may be calls: with the two
// idle ones of net/http most calls would open their own. It speaks HTTP/1.1, so
// that a connection that hangs delays one payment.
//
// net/http sends a request with an Idempotency-Key again when an idle connection
// turns out to be dead. That is harmless here: key and bytes are the same.
func newTransport(inFlight int) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  nil, // the environment must not choose who sees the key
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  answerTimeout,
		MaxIdleConns:           inFlight,
		MaxIdleConnsPerHost:    inFlight,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}
