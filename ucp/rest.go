package ucp

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paywall/ucp/agent"
	"paywall/ucp/protocol"
)

// Handler serves the REST binding of a version below base, and MCP at base + "/mcp".
func (s *Server) Handler(v protocol.Version, base string) http.Handler {
	tools := s.mcp(v)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.Path, base+"/")
		if ok && path == "mcp" {
			tools.ServeHTTP(w, r)
			return
		}
		if !ok {
			path = ""
		}
		s.rest(w, r, v, path)
	})
}

// rest answers one request.
func (s *Server) rest(w http.ResponseWriter, r *http.Request, v protocol.Version, path string) {
	start := s.cfg.Now()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if id := r.Header.Get("Request-Id"); id != "" && len(id) <= 128 && !strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
		h.Set("Request-Id", id)
	}
	c := &call{v: v, op: &operation{name: "unknown"}}
	status, body, fault := s.restCall(w, r, c, path)
	if fault != nil {
		s.note(r.Context(), c, fault)
		status = fault.Status()
		body = s.short(h, fault)
	} else if c.op.signed && s.cfg.Sign != nil {
		if err := s.cfg.Sign(h, status, body); err != nil {
			s.cfg.Logger.ErrorContext(r.Context(), "answer not signed", "err", err)
		}
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
	s.cfg.Observe(c.op.name, status, s.cfg.Now().Sub(start))
}

// short is the body of a fault.
func (s *Server) short(h http.Header, fault *protocol.Fault) []byte {
	if fault.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((fault.RetryAfter+time.Second-1)/time.Second)))
	}
	if fault.Status() == http.StatusUnauthorized && s.cfg.Challenge != "" {
		h.Set("WWW-Authenticate", s.cfg.Challenge)
	}
	body, _ := json.Marshal(map[string]string{"code": fault.Code, "content": fault.Content}) //nolint:errchkjson // two texts
	return body
}

func (s *Server) restCall(w http.ResponseWriter, r *http.Request, c *call, path string) (int, []byte, *protocol.Fault) {
	op, id, fault := s.route(r.Method, path)
	if fault != nil {
		if fault.Code == protocol.MethodNotAllowed {
			w.Header().Set("Allow", s.allowed(path))
		}
		return 0, nil, fault
	}
	c.op, c.id = op, id
	body, fault := read(w, r)
	if fault != nil {
		return 0, nil, fault
	}
	c.body = body
	profile, fault := agent.ParseHeader(r.Header.Values("Ucp-Agent"))
	if fault != nil {
		return 0, nil, fault
	}
	out, fault := s.prepare(r.Context(), c, agent.Request{Parts: agent.PartsOf(r), Body: body, Profile: profile})
	if fault != nil {
		return 0, nil, fault
	}
	if out != nil {
		data, err := json.Marshal(out.doc)
		if err != nil {
			return 0, nil, &protocol.Fault{Code: protocol.Internal, Content: "The answer could not be written.", Err: err}
		}
		return out.status, data, nil
	}
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) > 1 {
		return 0, nil, &protocol.Fault{Code: protocol.InvalidRequest, Content: "There are two idempotency keys."}
	}
	if len(keys) == 1 {
		c.key = keys[0]
	}
	return s.carry(r.Context(), c)
}

// route finds the operation of a method and path.
func (s *Server) route(method, path string) (*operation, string, *protocol.Fault) {
	known := false
	for i := range s.ops {
		op := &s.ops[i]
		id, ok := match(op.path, path)
		if !ok {
			continue
		}
		if op.method == method || op.method == http.MethodGet && method == http.MethodHead {
			return op, id, nil
		}
		known = true
	}
	if known {
		return nil, "", &protocol.Fault{Code: protocol.MethodNotAllowed, Content: "This method is not served here."}
	}
	return nil, "", &protocol.Fault{Code: protocol.NotFound, Content: "Nothing is here."}
}

func (s *Server) allowed(path string) string {
	var methods []string
	for _, op := range s.ops {
		if _, ok := match(op.path, path); ok {
			methods = append(methods, op.method)
		}
	}
	return strings.Join(methods, ", ")
}

// maxID bounds an id in a path.
const maxID = 128

// match holds a path against a pattern whose one "*" is an id.
func match(pattern, path string) (id string, ok bool) {
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return "", pattern == path
	}
	rest, ok := strings.CutPrefix(path, before)
	if !ok {
		return "", false
	}
	if id, ok = strings.CutSuffix(rest, after); !ok {
		return "", false
	}
	return id, id != "" && len(id) <= maxID && !strings.Contains(id, "/")
}

// read reads a body of JSON, or none.
func read(w http.ResponseWriter, r *http.Request) ([]byte, *protocol.Fault) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, &protocol.Fault{Code: protocol.RequestTooLarge, Content: "The body is larger than 256 KiB."}
	}
	if err != nil {
		return nil, &protocol.Fault{Code: protocol.InvalidRequest, Content: "The body could not be read.", Err: err}
	}
	if len(body) == 0 {
		return nil, nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &protocol.Fault{Code: protocol.UnsupportedMediaType, Content: "The body is application/json."}
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, &protocol.Fault{Code: protocol.UnsupportedMediaType, Content: "The body is not compressed."}
	}
	return body, nil
}
