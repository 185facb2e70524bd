// Package telemetry is what an operator sees: logs, metrics and traces. Nothing
// that a client or a processor sent can forge a line, mint a time series, or put
// a secret where many can read it.
package telemetry
