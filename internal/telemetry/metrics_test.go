package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"paywall/internal/telemetry"
	"paywall/payment"
)

// scrape is what the handler shows, by series; those that are zero and
// histogram buckets are left out.
func scrape(t interface {
	Helper()
	Fatalf(string, ...any)
}, m *telemetry.Metrics,
) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	series := map[string]string{}
	for line := range strings.Lines(w.Body.String()) {
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		name, value := line[:i], strings.TrimSpace(line[i+1:])
		if value != "0" && !strings.Contains(name, "_bucket{") {
			series[name] = value
		}
	}
	return series
}

func TestMetrics(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*telemetry.Metrics)
		want map[string]string
	}{
		{"nothing yet", func(*telemetry.Metrics) {}, map[string]string{}},
		{"requests", func(m *telemetry.Metrics) {
			m.Routes("report", "search")
			m.Request("report", "paid", 250*time.Millisecond)
			m.Request("report", "paid", 250*time.Millisecond)
			m.Request("", "rejected", 0)
		}, map[string]string{
			`paywall_requests_total{outcome="paid",route="report"}`:   "2",
			`paywall_requests_total{outcome="rejected",route="none"}`: "1",
			`paywall_request_seconds_count{outcome="paid"}`:           "2",
			`paywall_request_seconds_sum{outcome="paid"}`:             "0.5",
			`paywall_request_seconds_count{outcome="rejected"}`:       "1",
		}},
		{"challenges", func(m *telemetry.Metrics) {
			m.Routes("report")
			m.Challenge("report")
		}, map[string]string{`paywall_challenges_total{route="report"}`: "1"}},
		{"refusals", func(m *telemetry.Metrics) {
			m.Refused(payment.KindPaymentExpired)
		}, map[string]string{`paywall_refusals_total{kind="payment-expired"}`: "1"}},
		{"transitions", func(m *telemetry.Metrics) {
			m.Transition("", payment.StatePending)
			m.Transition(payment.StatePending, payment.StateSettled)
			m.Transition("made up", "too")
		}, map[string]string{
			`paywall_payment_transitions_total{from="none",to="pending"}`:    "1",
			`paywall_payment_transitions_total{from="pending",to="settled"}`: "1",
			`paywall_payment_transitions_total{from="other",to="other"}`:     "1",
		}},
		{"rail", func(m *telemetry.Metrics) {
			m.Rail(payment.Observation{Op: "charge", Method: "stripe", Class: payment.OutcomeUnknown, Took: 2 * time.Second})
			m.Rail(payment.Observation{Op: "charge", Method: "stripe", Class: payment.OutcomeSucceeded, Took: time.Second, Retry: true})
			m.Rail(payment.Observation{Op: "dance", Method: "No-Name", Class: payment.OutcomeNone})
		}, map[string]string{
			`paywall_rail_calls_total{class="unknown",method="stripe",op="charge"}`:   "1",
			`paywall_rail_calls_total{class="succeeded",method="stripe",op="charge"}`: "1",
			`paywall_rail_calls_total{class="none",method="other",op="other"}`:        "1",
			`paywall_rail_retries_total{method="stripe",op="charge"}`:                 "1",
			`paywall_rail_seconds_sum{method="stripe",op="charge"}`:                   "3",
			`paywall_rail_seconds_count{method="stripe",op="charge"}`:                 "2",
			`paywall_rail_seconds_count{method="other",op="other"}`:                   "1",
		}},
		{"upstream", func(m *telemetry.Metrics) {
			m.Upstream(telemetry.UpstreamStatus(204))
			m.Upstream(telemetry.UpstreamStatus(503))
			m.Upstream(telemetry.UpstreamStatus(0))
			m.Upstream(telemetry.UpstreamUnreached)
			m.Upstream("made up")
		}, map[string]string{
			`paywall_upstream_results_total{class="2xx"}`:       "1",
			`paywall_upstream_results_total{class="5xx"}`:       "1",
			`paywall_upstream_results_total{class="other"}`:     "2",
			`paywall_upstream_results_total{class="unreached"}`: "1",
		}},
		{"gauges and counters", func(m *telemetry.Metrics) {
			m.PendingAge(90 * time.Second)
			m.LeaseTakeover()
			m.FencedWrite()
			m.Build("1.0.0", "old", "go1")
			m.Build("1.0.0", "abc", "go1.26")
		}, map[string]string{
			"paywall_pending_age_seconds":                                          "90",
			"paywall_lease_takeovers_total":                                        "1",
			"paywall_fenced_writes_total":                                          "1",
			`paywall_build_info{commit="abc",go_version="go1.26",version="1.0.0"}`: "1",
		}},
		{"no pending payment", func(m *telemetry.Metrics) {
			m.PendingAge(90 * time.Second)
			m.PendingAge(-time.Second)
		}, map[string]string{}},
		{"store", func(m *telemetry.Metrics) {
			commits := int64(0)
			m.Store(func() telemetry.StoreStats {
				commits++
				return telemetry.StoreStats{Commits: commits, Operations: 5, Retries: 2, Failures: 3, Queued: 4}
			})
		}, map[string]string{
			"paywall_store_commits_total":    "1",
			"paywall_store_operations_total": "5",
			"paywall_store_retries_total":    "2",
			"paywall_store_failures_total":   "3",
			"paywall_store_queued":           "4",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := telemetry.New(prometheus.NewRegistry())
			tt.do(m)
			if diff := cmp.Diff(tt.want, scrape(t, m)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A kind of refusal that has not occurred is there as zero.
func TestMetrics_KnownSeriesBegin(t *testing.T) {
	m := telemetry.New(prometheus.NewRegistry())
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, k := range payment.Kinds() {
		if want := `paywall_refusals_total{kind="` + k.String() + `"} 0`; !strings.Contains(w.Body.String(), want) {
			t.Errorf("no series %s", want)
		}
	}
}

// Whatever words come in, the number of series is bounded (invariant I12).
func TestMetrics_NoSeriesFromOutside(t *testing.T) {
	m := telemetry.New(prometheus.NewRegistry())
	m.Routes("report")
	word := rapid.StringMatching(`[A-Z0-9/_-]{0,30}`)
	rapid.Check(t, func(t *rapid.T) {
		m.Request(word.Draw(t, "route"), word.Draw(t, "outcome"), 0)
		m.Challenge(word.Draw(t, "route"))
		m.Transition(payment.State(word.Draw(t, "from")), payment.State(word.Draw(t, "to")))
		m.Rail(payment.Observation{Op: word.Draw(t, "op"), Method: word.Draw(t, "method"), Class: payment.OutcomeClass(rapid.Byte().Draw(t, "class")), Retry: true})
		m.Upstream(telemetry.UpstreamClass(word.Draw(t, "class")))
		m.Refused(payment.Kind(rapid.Byte().Draw(t, "kind")))
		if n := len(scrape(t, m)); n > 45 {
			t.Fatalf("%d series", n)
		}
	})
}

func TestMetrics_Concurrent(t *testing.T) {
	m := telemetry.New(prometheus.NewRegistry())
	m.Store(func() telemetry.StoreStats { return telemetry.StoreStats{} })
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			id := strconv.Itoa(i)
			for range 50 {
				m.Routes("report", id)
				m.Request("report", "paid", time.Millisecond)
				m.Rail(payment.Observation{Op: "charge", Method: "stripe"})
				m.Build("1", id, "go")
				scrape(t, m)
			}
		})
	}
	wg.Wait()
	if got := scrape(t, m)[`paywall_requests_total{outcome="paid",route="report"}`]; got != "200" {
		t.Errorf("%s requests counted, want 200", got)
	}
}

func TestNew_TwiceInOneRegistry(t *testing.T) {
	reg := prometheus.NewRegistry()
	telemetry.New(reg)
	defer func() {
		if recover() == nil {
			t.Error("the same metrics were registered twice")
		}
	}()
	telemetry.New(reg)
}
