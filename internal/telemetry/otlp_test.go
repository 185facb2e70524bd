package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func someSpan() tracetest.SpanStub {
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Remote: true})
	return tracetest.SpanStub{
		Name:        "HTTP GET",
		SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled}),
		Parent:      parent, SpanKind: trace.SpanKindServer,
		StartTime: time.Unix(1, 5).UTC(), EndTime: time.Unix(2, 0).UTC(),
		Attributes: []attribute.KeyValue{
			attribute.String("s", "<é\""), attribute.Int64("i", math.MaxInt64), attribute.Bool("b", false),
			attribute.Float64("d", 0.5), attribute.Float64("nan", math.NaN()), attribute.Float64("inf", math.Inf(-1)),
			attribute.StringSlice("a", []string{"x", ""}), attribute.StringSlice("none", nil), attribute.Int64("zero", 0),
		},
		Links:             []sdktrace.Link{{SpanContext: parent, Attributes: []attribute.KeyValue{attribute.String("k", "")}}},
		Status:            sdktrace.Status{Code: codes.Error},
		DroppedAttributes: 7, DroppedEvents: 8, DroppedLinks: 9,
		Resource:             resource.NewSchemaless(attribute.String("service.name", "shop")),
		InstrumentationScope: instrumentation.Scope{Name: "lib", Version: "1", SchemaURL: "u"},
	}
}

// The encoding is fixed by the protocol, so that it is compared as a whole.
func TestOTLP_Encoding(t *testing.T) {
	other := someSpan()
	other.InstrumentationScope.Name = "other"
	other.Parent, other.Attributes, other.Links, other.Status, other.SpanKind = trace.SpanContext{}, nil, nil, sdktrace.Status{}, trace.SpanKindClient
	other.DroppedAttributes, other.DroppedEvents, other.DroppedLinks = 0, 0, 0
	other.StartTime = time.Unix(-1, 0)
	body, err := spansJSON(tracetest.SpanStubs{someSpan(), other, someSpan()}.Snapshots())
	if err != nil {
		t.Fatal(err)
	}
	const full = `{
		"traceId": "01000000000000000000000000000000", "spanId": "0300000000000000", "parentSpanId": "0200000000000000", "flags": 769,
		"name": "HTTP GET", "kind": 2, "startTimeUnixNano": "1000000005", "endTimeUnixNano": "2000000000",
		"attributes": [
			{"key": "s", "value": {"stringValue": "<é\""}}, {"key": "i", "value": {"intValue": "9223372036854775807"}},
			{"key": "b", "value": {"boolValue": false}}, {"key": "d", "value": {"doubleValue": 0.5}},
			{"key": "nan", "value": {"doubleValue": "NaN"}}, {"key": "inf", "value": {"doubleValue": "-Infinity"}},
			{"key": "a", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {"stringValue": ""}]}}},
			{"key": "none", "value": {"arrayValue": {"values": []}}}, {"key": "zero", "value": {"intValue": "0"}}],
		"droppedAttributesCount": 7, "droppedEventsCount": 8, "droppedLinksCount": 9,
		"links": [{"traceId": "01000000000000000000000000000000", "spanId": "0200000000000000", "flags": 768,
			"attributes": [{"key": "k", "value": {"stringValue": ""}}]}],
		"status": {"code": 2}}`
	const want = `{"resourceSpans": [{
		"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
		"scopeSpans": [
			{"scope": {"name": "lib", "version": "1"}, "schemaUrl": "u", "spans": [` + full + `,` + full + `]},
			{"scope": {"name": "other", "version": "1"}, "schemaUrl": "u", "spans": [{
				"traceId": "01000000000000000000000000000000", "spanId": "0300000000000000", "flags": 257,
				"name": "HTTP GET", "kind": 3, "startTimeUnixNano": "0", "endTimeUnixNano": "2000000000", "status": {}}]}]}]}`
	if diff := cmp.Diff(tree(t, want), tree(t, string(body))); diff != "" {
		t.Error(diff)
	}
}

func tree(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// answers is a collector without a network, so that time can be made up.
type answers struct {
	give []func(*http.Request) (*http.Response, error)
	seen int
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err //nolint:wrapcheck // a test
	}
	a.seen++
	return a.give[min(a.seen, len(a.give))-1](r)
}

func status(code int, body string, fields ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.WriteHeader(code)
		_, _ = w.WriteString(body)
		resp := w.Result()
		resp.Request = r
		return resp, nil
	}
}

func unreachable(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

func silent(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestOTLP_Attempts(t *testing.T) {
	ok := status(200, `{}`)
	type steps = []func(*http.Request) (*http.Response, error)
	for _, tt := range []struct {
		name  string
		give  steps
		seen  int
		took  time.Duration // without chance
		fails bool
	}{
		{"taken", steps{ok}, 1, 0, false},
		{"taken, in 202 without a body", steps{status(202, "")}, 1, 0, false},
		{"away for a moment", steps{status(503, ""), unreachable, ok}, 3, 1500 * time.Millisecond, false},
		{"away for good", steps{unreachable}, sendAttempts, 3500 * time.Millisecond, true},
		{"slow once", steps{silent, ok}, 2, sendTimeout + 500*time.Millisecond, false},
		{"silent until the batch is out of time", steps{silent}, 3, 30 * time.Second, true},
		{"asks for patience", steps{status(429, "", "Retry-After", "7"), ok}, 2, 7 * time.Second, false},
		{"asks for too much of it", steps{status(429, "", "Retry-After", "16"), ok}, 1, 0, true},
		{"asks for it by a date", steps{status(503, "", "Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT"), ok}, 2, 500 * time.Millisecond, false},
		{"asks for nonsense", steps{status(502, "", "Retry-After", "-1"), ok}, 2, 500 * time.Millisecond, false},
		{"refuses", steps{status(400, `{"message":"no"}`), ok}, 1, 0, true},
		{"breaks", steps{status(500, ""), ok}, 1, 0, true},
		{"sends elsewhere", steps{status(307, "", "Location", "http://elsewhere.example/v1/traces"), ok}, 1, 0, true},
		{"takes some", steps{status(200, `{"partialSuccess":{"rejectedSpans":"2","errorMessage":"old"}}`), ok}, 1, 0, true},
		{"takes some, in a number", steps{status(200, `{"partialSuccess":{"rejectedSpans":2}}`), ok}, 1, 0, true},
		{"warns", steps{status(200, `{"partialSuccess":{"errorMessage":"slow down"}}`)}, 1, 0, false},
		{"answers with something else", steps{status(200, `<html>`)}, 1, 0, false},
		{"answers without end", steps{status(200, strings.Repeat(" ", 4*maxAnswer))}, 1, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{give: tt.give}
				e := newOTLPExporter("http://127.0.0.1:4318/v1/traces")
				e.client.Transport = a
				e.jitter = func(time.Duration) time.Duration { return 0 }
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				begin := time.Now()
				err := e.ExportSpans(ctx, tracetest.SpanStubs{someSpan()}.Snapshots())
				if (err != nil) != tt.fails || a.seen != tt.seen || time.Since(begin) != tt.took {
					t.Errorf("%d attempts in %v: %v; want %d in %v, failing %v", a.seen, time.Since(begin), err, tt.seen, tt.took, tt.fails)
				}
			})
		})
	}
}

func TestOTLP_GivesUpWithItsContext(t *testing.T) {
	a := &answers{give: []func(*http.Request) (*http.Response, error){unreachable}}
	e := newOTLPExporter("http://127.0.0.1:4318/v1/traces")
	e.client.Transport = a
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.ExportSpans(ctx, tracetest.SpanStubs{someSpan()}.Snapshots()); err == nil || a.seen > 1 {
		t.Errorf("%d attempts, %v", a.seen, err)
	}
}

func TestOTLP_SendsNothing(t *testing.T) {
	a := &answers{give: []func(*http.Request) (*http.Response, error){status(200, "")}}
	e := newOTLPExporter("http://127.0.0.1:4318/v1/traces")
	e.client.Transport = a
	if err := e.ExportSpans(t.Context(), nil); err != nil {
		t.Errorf("of no spans: %v", err)
	}
	big := someSpan()
	big.Name = strings.Repeat("n", maxBatch)
	if err := e.ExportSpans(t.Context(), tracetest.SpanStubs{big}.Snapshots()); !errors.Is(err, errBatchSize) {
		t.Errorf("of too much: %v", err)
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := e.ExportSpans(t.Context(), tracetest.SpanStubs{someSpan()}.Snapshots()); err != nil {
		t.Errorf("after its end: %v", err)
	}
	if a.seen != 0 {
		t.Errorf("%d requests", a.seen)
	}
}

// A collector is asked directly and not by way of what the environment names.
func TestOTLP_NoProxyNoRedirect(t *testing.T) {
	var elsewhere atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(trap.Close)
	transport, ok := newOTLPExporter("").client.Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Error("asks for a proxy")
	}
	redirecting := httptest.NewServer(http.RedirectHandler(trap.URL, http.StatusTemporaryRedirect))
	t.Cleanup(redirecting.Close)
	e := newOTLPExporter(redirecting.URL)
	err := e.ExportSpans(t.Context(), tracetest.SpanStubs{someSpan()}.Snapshots())
	if status, ok := errors.AsType[collectorStatus](err); !ok || status != http.StatusTemporaryRedirect || elsewhere.Load() != 0 {
		t.Errorf("%v, %d requests elsewhere", err, elsewhere.Load())
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCollectorURL(t *testing.T) {
	for _, tt := range []struct {
		cfg  TraceConfig
		want string
	}{
		{TraceConfig{Endpoint: "127.0.0.1:4318"}, "https://127.0.0.1:4318/v1/traces"},
		{TraceConfig{Endpoint: "127.0.0.1:4318", Insecure: true}, "http://127.0.0.1:4318/v1/traces"},
		{TraceConfig{Endpoint: "https://h"}, "https://h/v1/traces"},
		{TraceConfig{Endpoint: "https://h/"}, "https://h/v1/traces"},
		{TraceConfig{Endpoint: "http://h:1/otlp", Insecure: true}, "http://h:1/otlp"},
	} {
		if got, err := collectorURL(tt.cfg); err != nil || got != tt.want {
			t.Errorf("%+v: %q, %v; want %q", tt.cfg, got, err, tt.want)
		}
	}
}

// What a collector answers decides whether spans count as lost, and nothing else.
func FuzzOTLP_Answer(f *testing.F) {
	f.Add([]byte(`{"partialSuccess":{"rejectedSpans":"2"}}`), "3")
	f.Add([]byte(`{"partialSuccess":{"rejectedSpans":-1}}`), "-1")
	f.Add([]byte(`{}`), "99999")
	f.Fuzz(func(t *testing.T, answer []byte, after string) {
		if d := retryAfter(after); d < 0 || d >= 1<<16*time.Second || d%time.Second != 0 {
			t.Errorf("Retry-After %q is %v", after, d)
		}
		if rejected(answer) && !json.Valid(answer) {
			t.Errorf("%q is no JSON, and rejects", answer)
		}
	})
}
