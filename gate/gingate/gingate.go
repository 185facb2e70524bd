// Package gingate puts gin routes behind a [gate.Gate].
package gingate

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"paywall/gate"
)

// New returns a middleware that prices the handlers behind it by route, whose
// Pattern may be empty: gin has matched already. Configuration errors come back
// at once, so that a route without a price never starts.
//
// Mount it on a route or a group, behind what refuses requests for other
// reasons: nobody should pay for a 403.
func New(g *gate.Gate, route gate.Route) (gin.HandlerFunc, error) {
	h, err := g.Handle(route, http.HandlerFunc(serve))
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the route
	}
	return func(c *gin.Context) {
		r := c.Request.WithContext(context.WithValue(c.Request.Context(), contextKey{}, &call{c: c, w: c.Writer}))
		defer cutOff(c)
		h.ServeHTTP(outer{c.Writer}, r)
		// Paid or not, the gate has answered.
		c.Abort()
	}, nil
}

// cutOff makes sure that an answer that the gate breaks off is seen to be broken
// off. gin's Recovery takes the panic that says so for a dead connection and
// would end the answer as if it were whole; it also logs the request's fields.
func cutOff(c *gin.Context) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Unix(1, 0))
	}
	r := c.Request.WithContext(c.Request.Context())
	r.Header = r.Header.Clone()
	for _, name := range [...]string{"Authorization", "Payment-Authorization", "Payment-Signature", "X-Payment", "Sign-In-With-X"} {
		r.Header.Del(name)
	}
	c.Request = r
	panic(v)
}

// outer is gin's writer for the gate, which wants to know what became of a flush.
type outer struct{ gin.ResponseWriter }

// FlushError serves [http.ResponseController].
func (o outer) FlushError() error {
	o.WriteHeaderNow()
	inner, ok := o.ResponseWriter.(interface{ Unwrap() http.ResponseWriter })
	if !ok {
		o.Flush()
		return nil
	}
	return http.NewResponseController(inner.Unwrap()).Flush() //nolint:wrapcheck // the gate's own error
}

// Unwrap serves [http.ResponseController].
func (o outer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

type contextKey struct{}

// call is a gin request on its way through the gate.
type call struct {
	c *gin.Context
	w gin.ResponseWriter
}

// serve runs the rest of the gin chain once the request is paid.
func serve(w http.ResponseWriter, r *http.Request) {
	in, ok := r.Context().Value(contextKey{}).(*call)
	if !ok {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	c := in.c
	outer := c.Request
	c.Request = r
	c.Writer = &writer{ResponseWriter: in.w, w: w}
	defer func() { c.Request, c.Writer = outer, in.w }()
	c.Next()
	// gin keeps a bare status until the chain is over; the gate must see it.
	c.Writer.WriteHeaderNow()
}

// writer lets gin write through the gate.
type writer struct {
	gin.ResponseWriter

	w      http.ResponseWriter
	status int
	wrote  bool
	size   int
}

// Header implements [http.ResponseWriter].
func (w *writer) Header() http.Header { return w.w.Header() }

// WriteHeader keeps the status until something is written, as gin does.
func (w *writer) WriteHeader(code int) {
	if code > 0 && !w.wrote {
		w.status = code
	}
}

// WriteHeaderNow implements [gin.ResponseWriter].
func (w *writer) WriteHeaderNow() {
	if !w.wrote {
		w.wrote = true
		w.w.WriteHeader(w.Status())
	}
}

// Write implements [http.ResponseWriter].
func (w *writer) Write(b []byte) (int, error) {
	w.WriteHeaderNow()
	n, err := w.w.Write(b)
	w.size += n
	return n, err //nolint:wrapcheck // the handler's own error
}

// WriteString implements [gin.ResponseWriter].
func (w *writer) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// Status implements [gin.ResponseWriter].
func (w *writer) Status() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// Size implements [gin.ResponseWriter].
func (w *writer) Size() int {
	if !w.wrote {
		return -1
	}
	return w.size
}

// Written implements [gin.ResponseWriter].
func (w *writer) Written() bool { return w.wrote }

// Flush implements [http.Flusher].
func (w *writer) Flush() {
	w.WriteHeaderNow()
	_ = http.NewResponseController(w.w).Flush()
}

// Hijack implements [http.Hijacker].
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.wrote = true
	return http.NewResponseController(w.w).Hijack() //nolint:wrapcheck // the gate's own error
}

// Unwrap serves [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.w }
