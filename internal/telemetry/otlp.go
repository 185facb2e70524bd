package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// sendTimeout bounds one attempt; the batch processor bounds all of them.
	sendTimeout  = 10 * time.Second
	sendAttempts = 4
	// firstWait doubles from one attempt to the next.
	firstWait   = time.Second
	longestWait = 15 * time.Second
	// maxBatch is far above what the spans of one batch take.
	maxBatch = 4 << 20
	// maxAnswer is how much of a collector's answer is read.
	maxAnswer = 64 << 10
)

var (
	errBatchSize = errors.New("spans take more than 4 MiB")
	errRejected  = errors.New("the collector rejected spans")
)

// collectorStatus is an answer that took nothing.
type collectorStatus int

func (s collectorStatus) Error() string { return "the collector answered " + strconv.Itoa(int(s)) }

// again reports whether the protocol has the sender try later (OTLP/HTTP,
// "Retryable Response Codes").
func (s collectorStatus) again() bool {
	switch int(s) {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// otlpExporter sends spans to a collector as OTLP over HTTP in JSON. It is ours
// because the library's brings the whole of gRPC along, two megabytes of the
// binary, to send what [spansJSON] is. It follows no redirect, which would carry
// spans to where nobody configured, and asks no proxy.
//
// Calls do not overlap: the batch processor makes one after the other.
type otlpExporter struct {
	url    string
	client *http.Client
	jitter func(time.Duration) time.Duration // a random part of it
	closed atomic.Bool
}

func newOTLPExporter(url string) *otlpExporter {
	return &otlpExporter{
		url: url,
		client: &http.Client{
			Transport: &http.Transport{
				ForceAttemptHTTP2: true, MaxIdleConns: 1, IdleConnTimeout: time.Minute,
				TLSHandshakeTimeout: sendTimeout, MaxResponseHeaderBytes: maxAnswer,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       sendTimeout,
		},
		jitter: rand.N[time.Duration],
	}
}

// ExportSpans implements [sdktrace.SpanExporter].
func (e *otlpExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 || e.closed.Load() {
		return nil
	}
	body, err := spansJSON(spans)
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	if len(body) > maxBatch {
		return errBatchSize
	}
	backoff := firstWait
	for attempt := 1; ; attempt++ {
		asked, err := e.send(ctx, body)
		if err == nil || attempt == sendAttempts || !retryable(err) || asked > longestWait || e.closed.Load() {
			return err
		}
		// Half of it is chance, so that processes that failed together part.
		if wait(ctx, max(asked, backoff/2+e.jitter(backoff/2))) != nil {
			return err // what went wrong says more than that time is up
		}
		backoff *= 2
	}
}

// Shutdown implements [sdktrace.SpanExporter].
func (e *otlpExporter) Shutdown(context.Context) error {
	e.closed.Store(true)
	e.client.CloseIdleConnections()
	return nil
}

// send makes one attempt. It also returns how long the collector asks to wait.
func (e *otlpExporter) send(ctx context.Context, body []byte) (asked time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("collector's URL: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "paywall")
	resp, err := e.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("send spans: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	// Read to the end, so that the connection serves again.
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode/100 != 2:
		return retryAfter(resp.Header.Get("Retry-After")), collectorStatus(resp.StatusCode)
	case err == nil && rejected(answer):
		return 0, errRejected
	default:
		return 0, nil // taken; an answer that breaks off does not undo that
	}
}

// retryable reports whether another attempt may do better.
func retryable(err error) bool {
	if status, ok := errors.AsType[collectorStatus](err); ok {
		return status.again()
	}
	return !errors.Is(err, errRejected) && !errors.Is(err, context.Canceled)
}

// retryAfter reads the seconds of a Retry-After field. Its other form, a date,
// needs the two clocks to agree, and counts as none.
func retryAfter(field string) time.Duration {
	seconds, err := strconv.ParseUint(field, 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// rejected reports whether an answer of success says that spans were not taken
// (OTLP/HTTP, "Partial Success"). An answer that is no JSON says nothing.
func rejected(answer []byte) bool {
	var response struct {
		PartialSuccess struct {
			RejectedSpans json.Number `json:"rejectedSpans"` // of 64 bits, and so mostly in quotes
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(answer, &response) != nil {
		return false
	}
	n, err := response.PartialSuccess.RejectedSpans.Int64()
	return err == nil && n > 0
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller looks only whether there is one
	case <-t.C:
		return nil
	}
}
