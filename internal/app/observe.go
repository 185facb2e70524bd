package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/time/rate"

	"paywall/gate"
	"paywall/internal/config"
	"paywall/internal/telemetry"
	"paywall/internal/testhook"
	"paywall/payment"
	"paywall/sqlstore"
)

// observers are logs, metrics and traces of one server.
type observers struct {
	logger   *slog.Logger
	metrics  *telemetry.Metrics
	spans    func(http.Handler) http.Handler
	outgoing func(http.RoundTripper) http.RoundTripper
	shutdown func(context.Context) error
	refusals *rate.Limiter
}

// refusalsLogged is how many refusals a second are worth a line: more of them
// say nothing new and fill a disk.
const refusalsLogged = 20

func newObservers(ctx context.Context, cfg *config.Config, p *Process) (*observers, error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	t := &observers{
		logger:   telemetry.NewLogger(p.Stderr, telemetry.Options{Format: cfg.Log.Format, Level: cfg.Log.Level}),
		metrics:  telemetry.New(reg),
		refusals: rate.NewLimiter(refusalsLogged, refusalsLogged),
	}
	t.metrics.Build(p.Version, "", runtime.Version())
	var err error
	t.spans, t.outgoing, t.shutdown, err = telemetry.Tracing(ctx, telemetry.TraceConfig{Endpoint: cfg.Traces.Endpoint, Insecure: cfg.Traces.Insecure})
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return t, nil
}

// close sends the last spans.
func (t *observers) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := t.shutdown(ctx); err != nil {
		t.logger.WarnContext(ctx, "last spans not sent", "err", err)
	}
}

func (t *observers) hooks() hooks {
	return hooks{wrap: t.outgoing, logger: t.logger, upstream: func(_, class string) { t.metrics.Upstream(telemetry.UpstreamClass(class)) }}
}

func (t *observers) watchStore(s *sqlstore.Store) {
	t.metrics.Store(func() telemetry.StoreStats { return telemetry.StoreStats(s.Stats()) })
}

func (t *observers) routes(cfg *config.Config) {
	ids := make([]string, len(cfg.Routes))
	for i, r := range cfg.Routes {
		ids[i] = r.ID
	}
	t.metrics.Routes(ids...)
}

func (t *observers) rail(o payment.Observation) { t.metrics.Rail(o) }

func (t *observers) metricsHandler() http.Handler { return t.metrics.Handler() }

func (t *observers) middleware(next http.Handler) http.Handler { return t.spans(next) }

// request files one request: in the metrics always, in the log as it is worth.
// What costs nothing and moves nothing is below the default level.
func (t *observers) request(ctx context.Context, e gate.Event) {
	t.metrics.Request(e.Route, e.Outcome, e.Took)
	telemetry.DescribeSpan(ctx, e.Route, e.Outcome)
	level := slog.LevelInfo
	switch e.Outcome {
	case gate.OutcomeChallenged:
		t.metrics.Challenge(e.Route)
		level = slog.LevelDebug
	case gate.OutcomeFree, gate.OutcomeReceipt, gate.OutcomeRejected, gate.OutcomeLimited:
		level = slog.LevelDebug
	case gate.OutcomeRefused:
		t.metrics.Refused(e.Refusal)
		if !t.refusals.Allow() {
			level = slog.LevelDebug
		}
	case gate.OutcomePending:
		t.metrics.Refused(e.Refusal)
	case gate.OutcomeFailed:
		level = slog.LevelWarn
	}
	if !t.logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("route", e.Route), slog.String("outcome", e.Outcome), slog.Int("status", e.Status),
		slog.Duration("took", e.Took),
	}
	if e.Outcome == gate.OutcomeRefused || e.Outcome == gate.OutcomePending {
		attrs = append(attrs, slog.String("refusal", e.Refusal.String()))
	}
	if e.Payment != "" {
		attrs = append(attrs, slog.String("payment", e.Payment), slog.String("protocol", e.Protocol))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("err", e.Err))
	}
	t.logger.LogAttrs(ctx, level, "request", attrs...)
}

// watchPending keeps the age of the oldest payment in doubt.
func (t *observers) watchPending(ctx context.Context, s payment.Store) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pending, err := s.List(ctx, payment.Filter{State: payment.StatePending}, "", 1000)
		if err != nil {
			continue // the next look will tell
		}
		if len(pending) == 0 {
			t.metrics.PendingAge(0)
			continue
		}
		t.metrics.PendingAge(testhook.Now()().Sub(pending[len(pending)-1].CreatedAt))
	}
}

// countedStore counts what happens to payments.
type countedStore struct {
	payment.Store

	metrics *telemetry.Metrics
}

// Claim implements [payment.Store].
func (s countedStore) Claim(ctx context.Context, p payment.Payment) error {
	err := s.Store.Claim(ctx, p)
	if err == nil {
		s.metrics.Transition("", payment.StatePending)
	}
	return err //nolint:wrapcheck // the contract's own errors
}

// origins are the states that events lead from, where there is one.
var origins = map[string]payment.State{
	"payment.settled": payment.StatePending, "payment.failed": payment.StatePending, "payment.voided": payment.StatePending,
	"payment.refunding": payment.StateSettled, "payment.refunded": payment.StateRefunding,
}

// Update implements [payment.Store].
func (s countedStore) Update(ctx context.Context, p payment.Payment, entries []payment.Entry, events []payment.Event) error {
	err := s.Store.Update(ctx, p, entries, events)
	switch {
	case errors.Is(err, payment.ErrConflict):
		s.metrics.FencedWrite()
	case err != nil:
	case len(events) > 0:
		for _, e := range events {
			if from, ok := origins[e.Type]; ok {
				s.metrics.Transition(from, p.State)
			} else if p.State == payment.StateReview {
				s.metrics.Transition(payment.StatePending, p.State)
			}
		}
	case p.Owner != "" && p.Attempts > 1 && p.State != payment.StateSettled:
		s.metrics.LeaseTakeover()
	}
	return err //nolint:wrapcheck // the contract's own errors
}
