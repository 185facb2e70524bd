package telemetry

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"paywall/payment"
)

// Metrics are the numbers of a running server. Labels are words of this file, of
// package payment, or ids of [Metrics.Routes]; any other word becomes "other", so
// that no client can mint a time series. All methods are safe for concurrent use.
type Metrics struct {
	reg    *prometheus.Registry
	routes routes
	// series is replaced as a whole; finding guards the replacing.
	series  atomic.Pointer[map[seriesKey]*series]
	finding sync.Mutex

	requests    *prometheus.CounterVec
	took        *prometheus.HistogramVec
	challenges  *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	transitions *prometheus.CounterVec
	calls       *prometheus.CounterVec
	callsTook   *prometheus.HistogramVec
	retries     *prometheus.CounterVec
	upstream    *prometheus.CounterVec
	pendingAge  prometheus.Gauge
	takeovers   prometheus.Counter
	fenced      prometheus.Counter
	build       *prometheus.GaugeVec
}

// New registers the metrics, and panics if the registry has them already.
func New(reg *prometheus.Registry) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		reg.MustRegister(h)
		return h
	}
	m := &Metrics{
		reg: reg,
		requests: counter("paywall_requests_total",
			"Requests by route and what they came to.", "route", "outcome"),
		took: histogram("paywall_request_seconds", "Time to answer a request, with payment and upstream.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "outcome"),
		challenges: counter("paywall_challenges_total", "Requests that were answered with fresh challenges, by route.", "route"),
		refusals:   counter("paywall_refusals_total", "Payments refused or put off, by kind.", "kind"),
		transitions: counter("paywall_payment_transitions_total",
			"Changes of a payment's state; a new payment comes from \"none\".", "from", "to"),
		calls: counter("paywall_rail_calls_total", "Calls to rails by operation, method and class of the outcome.", "op", "method", "class"),
		callsTook: histogram("paywall_rail_seconds", "Time of one call to a rail.",
			[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30}, "op", "method"),
		retries:  counter("paywall_rail_retries_total", "Calls to rails that repeat an earlier one.", "op", "method"),
		upstream: counter("paywall_upstream_results_total", "What became of requests to the upstream.", "class"),
		build:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "paywall_build_info", Help: "What is running; always 1."}, []string{"version", "commit", "go_version"}),
		pendingAge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "paywall_pending_age_seconds", Help: "Age of the oldest payment whose outcome is unknown; 0 without one.",
		}),
		takeovers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "paywall_lease_takeovers_total", Help: "Payments taken over from a process that let its lease run out.",
		}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "paywall_fenced_writes_total", Help: "Writes refused because another process had taken the payment over.",
		}),
	}
	reg.MustRegister(m.build, m.pendingAge, m.takeovers, m.fenced)
	m.begin()
	return m
}

// begin makes the series whose labels are known, so that the first refusal is
// seen as a change from zero, and not as a series that was never there.
func (m *Metrics) begin() {
	for _, k := range payment.Kinds() {
		m.refusals.WithLabelValues(k.String())
	}
	for _, c := range upstreamClasses() {
		m.upstream.WithLabelValues(string(c))
	}
}

// Handler serves what the registry holds, for the operator's listener.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Build says what is running.
func (m *Metrics) Build(version, commit, goVersion string) {
	m.build.Reset()
	m.build.WithLabelValues(version, commit, goVersion).Set(1)
}

// Routes replaces the ids that requests are counted under. What an id that is
// gone had counted stays.
func (m *Metrics) Routes(ids ...string) { m.routes.replace(ids) }

// Request counts a request that is over: the id of its route, empty for none,
// and one of the gate's outcomes.
func (m *Metrics) Request(route, outcome string, took time.Duration) {
	s := m.find(seriesKey{m.routes.label(route), knownOutcome(outcome)})
	s.requests.Inc()
	s.took.Observe(took.Seconds())
}

// Challenge counts an answer with fresh challenges.
func (m *Metrics) Challenge(route string) {
	m.find(seriesKey{m.routes.label(route), ""}).challenges.Inc()
}

type seriesKey struct{ route, outcome string }

// series are the counters of one route and outcome, or, without an outcome, that
// of its challenges. To look them up by their labels costs more than all else
// that a cheap answer takes here.
type series struct {
	requests, challenges prometheus.Counter
	took                 prometheus.Observer
}

// find returns the counters of known labels; there are few, and they stay.
func (m *Metrics) find(k seriesKey) *series {
	if known := m.series.Load(); known != nil {
		if s, ok := (*known)[k]; ok {
			return s
		}
	}
	m.finding.Lock()
	defer m.finding.Unlock()
	next := map[seriesKey]*series{}
	if known := m.series.Load(); known != nil {
		maps.Copy(next, *known)
	}
	s, ok := next[k]
	if !ok {
		s = &series{}
		if k.outcome == "" {
			s.challenges = m.challenges.WithLabelValues(k.route)
		} else {
			s.requests, s.took = m.requests.WithLabelValues(k.route, k.outcome), m.took.WithLabelValues(k.outcome)
		}
		next[k] = s
		m.series.Store(&next)
	}
	return s
}

// Refused counts a payment that was refused or put off.
func (m *Metrics) Refused(k payment.Kind) { m.refusals.WithLabelValues(k.String()).Inc() }

// Transition counts a stored change of state. An empty from is a new payment.
func (m *Metrics) Transition(from, to payment.State) {
	m.transitions.WithLabelValues(knownState(from), knownState(to)).Inc()
}

// Rail counts a call to a rail; it fits [payment.Config.Observe].
func (m *Metrics) Rail(o payment.Observation) {
	op, method := knownOp(o.Op), knownMethod(o.Method)
	m.calls.WithLabelValues(op, method, o.Class.String()).Inc()
	m.callsTook.WithLabelValues(op, method).Observe(o.Took.Seconds())
	if o.Retry {
		m.retries.WithLabelValues(op, method).Inc()
	}
}

// Upstream counts a request to the upstream.
func (m *Metrics) Upstream(c UpstreamClass) { m.upstream.WithLabelValues(string(c.known())).Inc() }

// PendingAge sets the age of the oldest payment whose outcome is unknown; zero
// says that there is none.
func (m *Metrics) PendingAge(d time.Duration) { m.pendingAge.Set(max(0, d.Seconds())) }

// LeaseTakeover counts a payment taken over from a process that is gone.
func (m *Metrics) LeaseTakeover() { m.takeovers.Inc() }

// FencedWrite counts a write that came too late.
func (m *Metrics) FencedWrite() { m.fenced.Inc() }
