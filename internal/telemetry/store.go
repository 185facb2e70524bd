package telemetry

import "github.com/prometheus/client_golang/prometheus"

// StoreStats is what a store's writer has done since it was opened. The Stats of
// package sqlstore convert to it.
type StoreStats struct {
	// Commits are durable transactions, Operations what they held.
	Commits, Operations int64
	// Retries are transactions run again, Failures those that were refused.
	Retries, Failures int64
	// Queued is how many operations wait now.
	Queued int
}

// Store reads the statistics of the store when the metrics are asked for, once
// for each answer so that they belong together. It panics when called twice.
func (m *Metrics) Store(stats func() StoreStats) {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	m.reg.MustRegister(&storeCollector{
		stats:      stats,
		commits:    desc("paywall_store_commits_total", "Transactions made durable."),
		operations: desc("paywall_store_operations_total", "Operations in durable transactions."),
		retries:    desc("paywall_store_retries_total", "Transactions run again without an operation that was refused."),
		failures:   desc("paywall_store_failures_total", "Transactions that the database refused."),
		queued:     desc("paywall_store_queued", "Operations that wait for the writer."),
	})
}

type storeCollector struct {
	stats                                          func() StoreStats
	commits, operations, retries, failures, queued *prometheus.Desc
}

func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.commits, c.operations, c.retries, c.failures, c.queued} {
		ch <- d
	}
}

func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	counter := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	counter(c.commits, s.Commits)
	counter(c.operations, s.Operations)
	counter(c.retries, s.Retries)
	counter(c.failures, s.Failures)
	ch <- prometheus.MustNewConstMetric(c.queued, prometheus.GaugeValue, float64(s.Queued))
}
