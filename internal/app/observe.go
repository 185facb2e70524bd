package app

import (
	"context"
	"log/slog"
	"net/http"

	"paywall/gate"
	"paywall/internal/config"
	"paywall/payment"
	"paywall/sqlstore"
)

// observers are logs, metrics and traces of one server.
type observers struct {
	logger *slog.Logger
}

func newObservers(_ context.Context, cfg *config.Config, p *Process) (*observers, error) {
	o := &slog.HandlerOptions{Level: cfg.Log.Level}
	var h slog.Handler = slog.NewTextHandler(p.Stderr, o)
	if cfg.Log.Format == "json" {
		h = slog.NewJSONHandler(p.Stderr, o)
	}
	return &observers{logger: slog.New(h)}, nil
}

func (t *observers) close()                                    {}
func (t *observers) hooks() hooks                              { return hooks{} }
func (t *observers) watchStore(*sqlstore.Store)                {}
func (t *observers) rail(payment.Observation)                  {}
func (t *observers) metricsHandler() http.Handler              { return http.NotFoundHandler() }
func (t *observers) middleware(next http.Handler) http.Handler { return next }

func (t *observers) request(ctx context.Context, e gate.Event) {
	level := slog.LevelInfo
	if e.Err != nil && e.Status >= 500 {
		level = slog.LevelWarn
	}
	t.logger.Log(ctx, level, "request", "route", e.Route, "outcome", e.Outcome, "status", e.Status, "payment", e.Payment, "took", e.Took, "err", e.Err)
}
