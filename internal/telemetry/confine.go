package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	routeAttribute   = "http.route"
	outcomeAttribute = "paywall.outcome"
)

// confined lets of a span only what this process decides leave it. The HTTP
// instrumentation puts more in: url.full with its query, url.path, which can be
// a capability, User-Agent, X-Forwarded-For, Host, and texts of errors.
type confined struct{ next sdktrace.SpanExporter }

func (c confined) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	out := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, s := range spans {
		out[i] = confinedSpan{s}
	}
	if err := c.next.ExportSpans(ctx, out); err != nil {
		// The cause may hold the collector's answer, and goes to a log that is not ours.
		return errors.New("spans were not delivered")
	}
	return nil
}

func (c confined) Shutdown(ctx context.Context) error { return c.next.Shutdown(ctx) }

type confinedSpan struct{ sdktrace.ReadOnlySpan }

func (s confinedSpan) Attributes() []attribute.KeyValue {
	var kept []attribute.KeyValue
	for _, a := range s.ReadOnlySpan.Attributes() {
		if allowed(a.Key, s.SpanKind()) {
			kept = append(kept, a)
		}
	}
	return kept
}

// allowed names what may leave. A server's own address is the Host field, so
// that only that of an upstream, which is configured, is kept.
func allowed(k attribute.Key, kind trace.SpanKind) bool {
	switch k {
	case "http.request.method", "http.response.status_code", "http.request.body.size", "http.response.body.size",
		"url.scheme", "network.protocol.name", "network.protocol.version", "error.type",
		routeAttribute, outcomeAttribute:
		return true
	case "server.address", "server.port":
		return kind == trace.SpanKindClient
	default:
		return false
	}
}

// Events are texts of errors and the like.
func (confinedSpan) Events() []sdktrace.Event { return nil }

// Status keeps the code; its description is the text of an error.
func (s confinedSpan) Status() sdktrace.Status {
	return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code}
}

// Links keep the ids of the sender's span, without its tracestate.
func (s confinedSpan) Links() []sdktrace.Link {
	var links []sdktrace.Link
	for _, l := range s.ReadOnlySpan.Links() {
		links = append(links, sdktrace.Link{SpanContext: stateless(l.SpanContext)})
	}
	return links
}

func (s confinedSpan) SpanContext() trace.SpanContext { return stateless(s.ReadOnlySpan.SpanContext()) }
func (s confinedSpan) Parent() trace.SpanContext      { return stateless(s.ReadOnlySpan.Parent()) }

func stateless(c trace.SpanContext) trace.SpanContext { return c.WithTraceState(trace.TraceState{}) }
