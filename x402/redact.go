package x402

import "log/slog"

// LogValue keeps the proof out of logs.
func (p PaymentPayload) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("version", p.Version), slog.String("scheme", p.Accepted.Scheme), slog.String("network", p.Accepted.Network))
}

// LogValue keeps the proof out of logs.
func (p PayloadV1) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("version", p.Version), slog.String("scheme", p.Scheme), slog.String("network", p.Network))
}

// LogValue keeps the proof out of logs.
func (r VerifyRequest) LogValue() slog.Value { return slog.GroupValue(slog.Int("version", r.Version)) }

// LogValue keeps the proof out of logs.
func (r SettleRequest) LogValue() slog.Value { return VerifyRequest(r).LogValue() }
