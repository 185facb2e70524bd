package telemetry

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TraceConfig says where spans go, by OTLP over HTTP, in JSON.
type TraceConfig struct {
	// Endpoint is the collector: "host:port", or a URL. Empty turns tracing off.
	Endpoint string
	// Insecure sends to a "host:port" without TLS.
	Insecure bool
	// Service is the name that spans are filed under; empty is "paywall".
	Service string
}

// Tracing returns what wraps servers and transports with spans, and what sends
// the last of them. Without an endpoint all three do nothing.
//
// The sender of a request does not decide what is traced: its span is linked to,
// and ours begins a trace of its own. What leaves is [confined].
func Tracing(_ context.Context, cfg TraceConfig) (
	middleware func(http.Handler) http.Handler,
	transport func(http.RoundTripper) http.RoundTripper,
	shutdown func(context.Context) error,
	err error,
) {
	if cfg.Endpoint == "" {
		return func(h http.Handler) http.Handler { return h },
			func(rt http.RoundTripper) http.RoundTripper { return rt },
			func(context.Context) error { return nil }, nil
	}
	collector, err := collectorURL(cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	if cfg.Service == "" {
		cfg.Service = "paywall"
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(confined{newOTLPExporter(collector)}),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", cfg.Service))),
	)
	shared := []otelhttp.Option{
		otelhttp.WithTracerProvider(provider),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()), // Prometheus has the numbers
		otelhttp.WithPropagators(propagation.TraceContext{}),      // no baggage: it is the sender's text
		otelhttp.WithSpanNameFormatter(spanName),
	}
	public := append([]otelhttp.Option{otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return true })}, shared...)
	middleware = otelhttp.NewMiddleware("server", public...)
	transport = func(rt http.RoundTripper) http.RoundTripper { return otelhttp.NewTransport(rt, shared...) }
	return middleware, transport, provider.Shutdown, nil
}

// collectorURL is where spans are posted. An endpoint without a scheme is one of
// TLS, and one without a path has the path that the protocol gives.
func collectorURL(cfg TraceConfig) (string, error) {
	endpoint := cfg.Endpoint
	if !strings.Contains(endpoint, "://") {
		if strings.ContainsAny(endpoint, "/@?# ") {
			return "", errors.New("telemetry: TraceConfig.Endpoint is neither host:port nor a URL")
		}
		scheme := "https://"
		if cfg.Insecure {
			scheme = "http://"
		}
		endpoint = scheme + endpoint
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return "", errors.New("telemetry: TraceConfig.Endpoint is no http or https URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("telemetry: TraceConfig.Endpoint has a user, query or fragment")
	case cfg.Insecure && u.Scheme == "https":
		return "", errors.New("telemetry: TraceConfig.Insecure contradicts the https of Endpoint")
	case u.Scheme == "http" && !cfg.Insecure:
		return "", errors.New("telemetry: TraceConfig.Endpoint is http, and Insecure is not set")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return u.String(), nil
}

// spanName has the method and no more: paths are without number.
func spanName(_ string, r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return "HTTP " + r.Method
	default:
		return "HTTP"
	}
}

// DescribeSpan files the span of a request under a route's id and what the
// request came to. Both are words of ours or of the configuration.
func DescribeSpan(ctx context.Context, route, outcome string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.String(routeAttribute, route), attribute.String(outcomeAttribute, outcome))
	}
}
