package telemetry_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"paywall/internal/telemetry"
)

// sink is a collector on loopback that keeps what it is sent.
type sink struct {
	*httptest.Server

	mu    sync.Mutex
	raw   bytes.Buffer // guarded by mu
	spans []*tracepb.Span
	names []string // of services
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req tracepb.TracesData // of the same form as the request of the protocol
		if err == nil {
			err = protojson.Unmarshal(protoIDs(t, body), &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s, %s: %v", r.Method, r.URL.Path, r.Header.Get("Content-Type"), err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.raw.Write(body)
		for _, rs := range req.GetResourceSpans() {
			for _, a := range rs.GetResource().GetAttributes() {
				s.names = append(s.names, a.GetKey()+"="+a.GetValue().GetStringValue())
			}
			for _, ss := range rs.GetScopeSpans() {
				s.spans = append(s.spans, ss.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"partialSuccess":{}}`)
	}))
	t.Cleanup(s.Close)
	return s
}

// ids in the JSON of OTLP are hexadecimal, in that of its schema base64.
var ids = regexp.MustCompile(`("(?:trace|span|parentSpan)Id":)"([0-9a-f]*)"`)

// protoIDs makes a body what the schema's own decoder reads. That refuses names
// and forms which the schema does not have.
func protoIDs(t *testing.T, body []byte) []byte {
	t.Helper()
	return ids.ReplaceAllFunc(body, func(member []byte) []byte {
		part := ids.FindSubmatch(member)
		id, err := hex.DecodeString(string(part[2]))
		if err != nil {
			t.Errorf("%s: %v", member, err)
		}
		return append(part[1], `"`+base64.StdEncoding.EncodeToString(id)+`"`...)
	})
}

func attributes(s *tracepb.Span) map[string]string {
	m := map[string]string{}
	for _, a := range s.GetAttributes() {
		v := a.GetValue().GetStringValue()
		if v == "" {
			v = a.GetValue().String()
		}
		m[a.GetKey()] = v
	}
	return m
}

func TestTracing_SpansHoldNothingOfTheRequest(t *testing.T) {
	c := newSink(t)
	middleware, transport, shutdown, err := telemetry.Tracing(t.Context(), telemetry.TraceConfig{Endpoint: c.URL, Insecure: true, Service: "shop"})
	if err != nil {
		t.Fatal(err)
	}

	var upstreamSaw http.Header
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { upstreamSaw = r.Header.Clone() }))
	t.Cleanup(upstream.Close)
	client := &http.Client{Transport: transport(&http.Transport{})}
	failing := &http.Client{Transport: transport(roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("refused: secretE")
	}))}
	server := httptest.NewServer(middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		telemetry.DescribeSpan(r.Context(), "report", "paid")
		for _, cl := range []*http.Client{client, failing} {
			req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, upstream.URL+"/secretP?x=secretQ", strings.NewReader("secretB"))
			if err != nil {
				t.Error(err)
			}
			req.Header.Set("Authorization", "Bearer secretH")
			req.Header.Set("User-Agent", "secretU")
			resp, err := cl.Do(req)
			if (err != nil) != (cl == failing) {
				t.Error(err)
			}
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
		w.WriteHeader(http.StatusBadGateway)
	})))
	t.Cleanup(server.Close)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/secretP?token=secretQ", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Payment secretH", "User-Agent": "secretU", "X-Forwarded-For": "secretX", "Cookie": "secretC=1",
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"Tracestate":  "v=secretT", "Baggage": "k=secretG",
	} {
		req.Header.Set(name, value)
	}
	req.Host = "secretN.example"
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if i := bytes.Index(bytes.ToLower(c.raw.Bytes()), []byte("secret")); i >= 0 {
		t.Errorf("sent to the collector: %q", c.raw.Bytes()[max(0, i-40):min(c.raw.Len(), i+20)])
	}
	if diff := cmp.Diff([]string{"service.name=shop"}, c.names); diff != "" {
		t.Error(diff)
	}
	if len(c.spans) != 3 {
		t.Fatalf("%d spans, want that of the server and two of the client", len(c.spans))
	}
	var own *tracepb.Span
	for _, s := range c.spans {
		a := attributes(s)
		switch s.GetKind() {
		case tracepb.Span_SPAN_KIND_SERVER:
			own = s
			if s.GetName() != "HTTP GET" || a["http.route"] != "report" || a["paywall.outcome"] != "paid" || a["http.request.method"] != "GET" || !strings.Contains(a["http.response.status_code"], "502") {
				t.Errorf("%s: %v", s.GetName(), a)
			}
			if _, ok := a["server.address"]; ok {
				t.Errorf("the Host field: %v", a)
			}
		case tracepb.Span_SPAN_KIND_CLIENT:
			if s.GetName() != "HTTP POST" || a["server.address"] != "127.0.0.1" || len(s.GetEvents()) > 0 || s.GetStatus().GetMessage() != "" {
				t.Errorf("%v", s)
			}
		default:
			t.Errorf("a span of kind %v", s.GetKind())
		}
	}
	for _, s := range c.spans {
		if own == nil || !bytes.Equal(s.GetTraceId(), own.GetTraceId()) {
			t.Error("spans of one request are in different traces")
		}
	}
	// The sender's trace is linked, not joined.
	const theirs = "\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c"
	if own != nil && (string(own.GetTraceId()) == theirs || len(own.GetLinks()) != 1 || string(own.GetLinks()[0].GetTraceId()) != theirs) {
		t.Errorf("trace %x, links %v", own.GetTraceId(), own.GetLinks())
	}
	if upstreamSaw.Get("Traceparent") == "" || upstreamSaw.Get("Tracestate") != "" || upstreamSaw.Get("Baggage") != "" {
		t.Errorf("the upstream saw %v", upstreamSaw)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTracing_Off(t *testing.T) {
	middleware, transport, shutdown, err := telemetry.Tracing(t.Context(), telemetry.TraceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	h := http.NewServeMux()
	if got, ok := middleware(h).(*http.ServeMux); !ok || got != h {
		t.Error("the handler was wrapped")
	}
	rt := &http.Transport{}
	if got, ok := transport(rt).(*http.Transport); !ok || got != rt {
		t.Error("the transport was wrapped")
	}
	telemetry.DescribeSpan(t.Context(), "report", "paid") // finds no span, and that is fine
	if err := shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTracing_Endpoints(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  telemetry.TraceConfig
		ok   bool
	}{
		{"host and port", telemetry.TraceConfig{Endpoint: "127.0.0.1:4318"}, true},
		{"host and port, insecure", telemetry.TraceConfig{Endpoint: "127.0.0.1:4318", Insecure: true}, true},
		{"https", telemetry.TraceConfig{Endpoint: "https://127.0.0.1:4318/otlp"}, true},
		{"http", telemetry.TraceConfig{Endpoint: "http://127.0.0.1:4318", Insecure: true}, true},
		{"http by accident", telemetry.TraceConfig{Endpoint: "http://127.0.0.1:4318"}, false},
		{"https and insecure", telemetry.TraceConfig{Endpoint: "https://127.0.0.1:4318", Insecure: true}, false},
		{"user", telemetry.TraceConfig{Endpoint: "https://u:spt_secret@h"}, false},
		{"query", telemetry.TraceConfig{Endpoint: "https://h?key=spt_secret"}, false},
		{"path without scheme", telemetry.TraceConfig{Endpoint: "h:1/spt_secret"}, false},
		{"user without scheme", telemetry.TraceConfig{Endpoint: "spt_secret@h:1"}, false},
		{"other scheme", telemetry.TraceConfig{Endpoint: "grpc://h:4317"}, false},
		{"no URL", telemetry.TraceConfig{Endpoint: "https://spt_secret\x7f"}, false},
		{"no host", telemetry.TraceConfig{Endpoint: "https:///v1/traces"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, shutdown, err := telemetry.Tracing(t.Context(), tt.cfg)
			if (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				if strings.Contains(err.Error(), "spt_") {
					t.Errorf("quotes the endpoint: %v", err)
				}
				return
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()          // nothing was traced: there is nothing to wait for
			_ = shutdown(ctx) // and nobody at the other end
		})
	}
}
