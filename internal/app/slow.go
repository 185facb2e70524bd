package app

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// A client that is slow on purpose must not keep what others need: here is how
// long it may take, whichever handler serves it. What the gate says beyond that
// is stricter and stays.

// bodyPace is what a body must keep to, in bytes per second, to take longer than
// limits.read_body: a large upload to a free route may.
const bodyPace = 1 << 10

// paced gives every body its time, also one that no handler reads: net/http reads
// it to its end before it answers, and would wait without an end.
func paced(next http.Handler, within time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		b := &pacedBody{ReadCloser: r.Body, control: http.NewResponseController(w), until: time.Now().Add(within)}
		if b.control.SetReadDeadline(b.until) == nil {
			// The server goes by the body of its own request, so that one stays.
			r = r.WithContext(r.Context())
			r.Body = b
			defer b.leave()
		}
		next.ServeHTTP(w, r)
	})
}

type pacedBody struct {
	io.ReadCloser

	control *http.ResponseController
	until   time.Time // if nothing more comes

	mu   sync.Mutex // guards left and deadlines: a transport may read beside the handler
	left bool       // the handler has returned, and the connection is another request's
}

// Read implements [io.Reader].
func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.left:
	case errors.Is(err, io.EOF):
		// From here on net/http looks whether the client is still there.
		_ = b.control.SetReadDeadline(time.Time{})
	case n > 0:
		b.until = b.until.Add(time.Duration(n) * time.Second / bodyPace)
		_ = b.control.SetReadDeadline(b.until)
	}
	return n, err //nolint:wrapcheck // io.EOF and the server's own errors are compared
}

func (b *pacedBody) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = true
}

// piece is how much of an answer has the time of one write.
const piece = 32 << 10

// stalls bounds how long a client may not take anything of what is sent to it.
func stalls(l net.Listener, most time.Duration) net.Listener {
	if most <= 0 {
		return l
	}
	return &stallListener{l, most}
}

type stallListener struct {
	net.Listener

	most time.Duration
}

// Accept implements [net.Listener].
func (l *stallListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // the server classes it
	}
	return &stallConn{Conn: c, most: l.most}, nil
}

type stallConn struct {
	net.Conn

	most time.Duration
	mu   sync.Mutex // guards set and the setting of deadlines
	set  time.Time  // by the users of the connection
}

// Write implements [net.Conn].
func (c *stallConn) Write(b []byte) (n int, err error) {
	for {
		if err := c.extend(); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(b[:min(len(b), piece)])
		n += m
		if err != nil {
			return n, err //nolint:wrapcheck // the server classes it
		}
		if b = b[m:]; len(b) == 0 {
			return n, nil
		}
	}
}

func (c *stallConn) extend() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := time.Now().Add(c.most)
	if !c.set.IsZero() && c.set.Before(until) {
		until = c.set
	}
	return c.Conn.SetWriteDeadline(until) //nolint:wrapcheck // the server classes it
}

// SetWriteDeadline implements [net.Conn].
func (c *stallConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set = t
	return c.Conn.SetWriteDeadline(t) //nolint:wrapcheck // the server classes it
}

// SetDeadline implements [net.Conn].
func (c *stallConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set = t
	return c.Conn.SetDeadline(t) //nolint:wrapcheck // the server classes it
}

// steady answers as w does and gives every piece its own time. Over HTTP/2 a
// client can stop one answer without stopping its connection.
type steady struct {
	http.ResponseWriter

	most time.Duration
}

// WriteHeader implements [http.ResponseWriter].
func (s steady) WriteHeader(status int) {
	s.extend()
	s.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (s steady) Write(b []byte) (n int, err error) {
	for {
		s.extend()
		m, err := s.ResponseWriter.Write(b[:min(len(b), piece)])
		n += m
		if err != nil {
			return n, err //nolint:wrapcheck // the handler's own error
		}
		if b = b[m:]; len(b) == 0 {
			return n, nil
		}
	}
}

func (s steady) extend() {
	if s.most > 0 {
		_ = http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Now().Add(s.most))
	}
}

// Unwrap serves [http.ResponseController].
func (s steady) Unwrap() http.ResponseWriter { return s.ResponseWriter }
