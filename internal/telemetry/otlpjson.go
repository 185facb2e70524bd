package telemetry

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// The messages of OTLP as JSON: names in lower camel case, ids in hexadecimal,
// numbers of 64 bits as text, enumerations as numbers, defaults left out
// (OTLP 1, "JSON Protobuf Encoding"). Events and tracestate are not here: they
// do not leave, see [confined].
type (
	otlpRequest struct {
		ResourceSpans []otlpResourceSpans `json:"resourceSpans"`
	}
	otlpResourceSpans struct {
		Resource   otlpResource      `json:"resource"`
		ScopeSpans []*otlpScopeSpans `json:"scopeSpans"`
		SchemaURL  string            `json:"schemaUrl,omitempty"`
	}
	otlpResource struct {
		Attributes []otlpAttribute `json:"attributes,omitempty"`
	}
	otlpScopeSpans struct {
		Scope     otlpScope  `json:"scope"`
		Spans     []otlpSpan `json:"spans"`
		SchemaURL string     `json:"schemaUrl,omitempty"`
	}
	otlpScope struct {
		Name    string `json:"name,omitempty"`
		Version string `json:"version,omitempty"`
	}
	otlpSpan struct {
		TraceID           string          `json:"traceId"`
		SpanID            string          `json:"spanId"`
		ParentSpanID      string          `json:"parentSpanId,omitempty"`
		Flags             uint32          `json:"flags"`
		Name              string          `json:"name"`
		Kind              int             `json:"kind"`
		StartTimeUnixNano string          `json:"startTimeUnixNano"`
		EndTimeUnixNano   string          `json:"endTimeUnixNano"`
		Attributes        []otlpAttribute `json:"attributes,omitempty"`
		DroppedAttributes int             `json:"droppedAttributesCount,omitempty"`
		DroppedEvents     int             `json:"droppedEventsCount,omitempty"`
		Links             []otlpLink      `json:"links,omitempty"`
		DroppedLinks      int             `json:"droppedLinksCount,omitempty"`
		Status            otlpStatus      `json:"status"`
	}
	otlpLink struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Flags      uint32          `json:"flags"`
	}
	otlpStatus struct {
		Message string `json:"message,omitempty"`
		Code    int    `json:"code,omitempty"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	// otlpValue has one member, or none for an empty value.
	otlpValue struct {
		String *string    `json:"stringValue,omitempty"`
		Bool   *bool      `json:"boolValue,omitempty"`
		Int    *string    `json:"intValue,omitempty"`
		Double any        `json:"doubleValue,omitempty"` // a number, or a word where JSON has none
		Array  *otlpArray `json:"arrayValue,omitempty"`
	}
	otlpArray struct {
		Values []otlpValue `json:"values"`
	}
)

// spansJSON is the body of an export. All spans are of one provider, and so of
// one resource.
func spansJSON(spans []sdktrace.ReadOnlySpan) ([]byte, error) {
	var all otlpResourceSpans
	if res := spans[0].Resource(); res != nil {
		all.Resource.Attributes, all.SchemaURL = otlpAttributes(res.Attributes()), res.SchemaURL()
	}
	scopes := map[instrumentation.Scope]*otlpScopeSpans{}
	for _, s := range spans {
		scope := s.InstrumentationScope()
		group := scopes[scope]
		if group == nil {
			group = &otlpScopeSpans{Scope: otlpScope{Name: scope.Name, Version: scope.Version}, SchemaURL: scope.SchemaURL}
			scopes[scope] = group
			all.ScopeSpans = append(all.ScopeSpans, group)
		}
		group.Spans = append(group.Spans, newOTLPSpan(s))
	}
	return json.Marshal(otlpRequest{ResourceSpans: []otlpResourceSpans{all}}) //nolint:wrapcheck // wrapped by the caller
}

func newOTLPSpan(s sdktrace.ReadOnlySpan) otlpSpan {
	own, parent := s.SpanContext(), s.Parent()
	out := otlpSpan{
		TraceID: own.TraceID().String(), SpanID: own.SpanID().String(),
		Flags: otlpFlags(own.TraceFlags(), parent), Name: s.Name(), Kind: otlpKind(s.SpanKind()),
		StartTimeUnixNano: unixNano(s.StartTime()), EndTimeUnixNano: unixNano(s.EndTime()),
		Attributes: otlpAttributes(s.Attributes()), DroppedAttributes: s.DroppedAttributes(),
		DroppedEvents: s.DroppedEvents(), DroppedLinks: s.DroppedLinks(),
		Status: otlpStatus{Message: s.Status().Description, Code: otlpCode(s.Status().Code)},
	}
	if parent.SpanID().IsValid() {
		out.ParentSpanID = parent.SpanID().String()
	}
	for _, l := range s.Links() {
		out.Links = append(out.Links, otlpLink{
			TraceID: l.SpanContext.TraceID().String(), SpanID: l.SpanContext.SpanID().String(),
			Attributes: otlpAttributes(l.Attributes), Flags: otlpFlags(l.SpanContext.TraceFlags(), l.SpanContext),
		})
	}
	return out
}

// otlpFlags are the trace flags of W3C, and above them whether the other end of
// the relation is in another process: that it is known, and what it is.
func otlpFlags(f trace.TraceFlags, other trace.SpanContext) uint32 {
	const known, remote = 1 << 8, 1 << 9
	flags := uint32(f) | known
	if other.IsRemote() {
		flags |= remote
	}
	return flags
}

func unixNano(t time.Time) string { return strconv.FormatInt(max(0, t.UnixNano()), 10) }

func otlpKind(k trace.SpanKind) int {
	switch k {
	case trace.SpanKindInternal:
		return 1
	case trace.SpanKindServer:
		return 2
	case trace.SpanKindClient:
		return 3
	case trace.SpanKindProducer:
		return 4
	case trace.SpanKindConsumer:
		return 5
	default:
		return 0
	}
}

// otlpCode has the numbers in another order than package codes.
func otlpCode(c codes.Code) int {
	switch c {
	case codes.Ok:
		return 1
	case codes.Error:
		return 2
	default:
		return 0
	}
}

func otlpAttributes(in []attribute.KeyValue) []otlpAttribute {
	var out []otlpAttribute
	for _, a := range in {
		out = append(out, otlpAttribute{Key: string(a.Key), Value: newOTLPValue(a.Value)})
	}
	return out
}

func newOTLPValue(v attribute.Value) otlpValue {
	switch v.Type() {
	case attribute.STRING:
		return otlpString(v.AsString())
	case attribute.BOOL:
		b := v.AsBool()
		return otlpValue{Bool: &b}
	case attribute.INT64:
		n := strconv.FormatInt(v.AsInt64(), 10)
		return otlpValue{Int: &n}
	case attribute.FLOAT64:
		return otlpValue{Double: otlpDouble(v.AsFloat64())}
	case attribute.STRINGSLICE:
		array := &otlpArray{Values: []otlpValue{}}
		for _, s := range v.AsStringSlice() {
			array.Values = append(array.Values, otlpString(s))
		}
		return otlpValue{Array: array}
	case attribute.EMPTY:
		return otlpValue{}
	default:
		return otlpString(v.String()) // no attribute that leaves has another type
	}
}

func otlpString(s string) otlpValue { return otlpValue{String: &s} }

func otlpDouble(f float64) any {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	default:
		return f
	}
}
