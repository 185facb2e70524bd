package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
)

// ServeHTTP implements [http.Handler]. A request without a body and without
// anything for this hop alone, as most are, is passed on here; the standard
// library's proxy copies more of it than that needs. All others are the
// library's.
func (p *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !simple(r) {
		p.full.ServeHTTP(w, r)
		return
	}
	to := *r.URL
	out := r.WithContext(r.Context())
	out.URL, out.Header, out.Body, out.ContentLength = &to, maps.Clone(r.Header), nil, 0
	out.RequestURI, out.Trailer, out.Close = "", nil, false
	p.rewrite(&httputil.ProxyRequest{In: r, Out: out})
	res, err := p.transport.RoundTrip(out)
	if err == nil && res.StatusCode == http.StatusSwitchingProtocols {
		_ = res.Body.Close() // nobody asked for that
		err = errors.New("the upstream switched protocols unasked")
	}
	if err == nil {
		dropHop(res.Header)
		if err = p.modify(res); err != nil {
			_ = res.Body.Close() // it is not passed on
		}
	}
	if err != nil {
		p.failed(w, out, err)
		return
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	p.answer(w, res)
}

// simple reports whether only the start line and fields for the upstream are to be sent.
func simple(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.ContentLength != 0 || r.Header == nil || r.Trailer != nil {
		return false
	}
	for name := range r.Header {
		if between(name) || forwarding(name) {
			return false
		}
	}
	// The library drops parameters that servers read in different ways.
	if _, err := url.ParseQuery(r.URL.RawQuery); r.URL.RawQuery != "" && err != nil {
		return false
	}
	return true
}

// between reports whether a field is for two neighbours alone (RFC 9110, section 7.6.1).
func between(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// forwarding reports whether a field says whence a request comes; those are the
// library's to clean.
func forwarding(name string) bool {
	return name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-")
}

// dropHop takes out of an answer what is for this hop alone.
func dropHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				h.Del(name)
			}
		}
	}
	for name := range h {
		if between(name) {
			delete(h, name)
		}
	}
}

// answer passes the answer on. One of unknown length is passed on as it comes;
// one that ends too early is cut off for the client too.
func (p *upstream) answer(w http.ResponseWriter, res *http.Response) {
	h := w.Header()
	for name, values := range res.Header {
		if have := h[name]; len(have) > 0 {
			values = append(slices.Clip(have), values...)
		}
		h[name] = values
	}
	announced := len(res.Trailer)
	for name := range res.Trailer {
		h.Add("Trailer", name)
	}
	w.WriteHeader(res.StatusCode)
	if err := p.pass(w, res); err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(res.Trailer) == 0 {
		return
	}
	// So that trailers follow, the body must be in chunks.
	_ = http.NewResponseController(w).Flush()
	for name, values := range res.Trailer {
		if announced != len(res.Trailer) {
			name = http.TrailerPrefix + name
		}
		for _, v := range values {
			h.Add(name, v)
		}
	}
}

func (p *upstream) pass(w http.ResponseWriter, res *http.Response) error {
	live := res.ContentLength < 0 || strings.HasPrefix(strings.ToLower(res.Header.Get("Content-Type")), "text/event-stream")
	rc := http.NewResponseController(w)
	if live {
		// The head is for the client before there is anything behind it.
		if err := rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err //nolint:wrapcheck // the answer is cut off whatever it says
		}
	}
	buf := p.buffers.Get()
	defer p.buffers.Put(buf)
	for {
		n, err := res.Body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return werr //nolint:wrapcheck // the answer is cut off whatever it says
			}
			if live {
				if ferr := rc.Flush(); ferr != nil && !errors.Is(ferr, http.ErrNotSupported) {
					return ferr //nolint:wrapcheck // the answer is cut off whatever it says
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err //nolint:wrapcheck // the answer is cut off whatever it says
		}
	}
}
