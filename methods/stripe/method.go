package stripe

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	sdk "github.com/stripe/stripe-go/v82"

	"paywall/payment"
)

// Name of this rail.
const Name = "stripe"

// callTimeout ends a call whose context has no earlier end.
const callTimeout = 30 * time.Second

// Method is the rail. It keeps no record of payments and is safe for concurrent use.
type Method struct {
	cfg     Config
	details json.RawMessage
	slots   chan struct{} // one per call in flight
}

var _ payment.Holder = (*Method)(nil)

// New checks the configuration. No call is made.
func New(cfg Config) (*Method, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	// Names in order and values of plain characters: this is canonical already.
	details, err := json.Marshal(struct {
		NetworkID          string   `json:"networkId"`
		PaymentMethodTypes []string `json:"paymentMethodTypes"`
	}{cfg.Profile, cfg.PaymentMethodTypes})
	if err != nil {
		return nil, fmt.Errorf("stripe: %w", err)
	}
	return &Method{cfg: cfg, details: details, slots: make(chan struct{}, cfg.MaxInFlight)}, nil
}

// Name implements [payment.Method].
func (*Method) Name() string { return Name }

// Format keeps the keys inside from being printed.
func (m *Method) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "stripe.Method(live=%t)", m.cfg.Live)
}

// backend is the library's, with nothing that acts on its own: no retries (one
// would make a first success look like a replay), no telemetry, no redirects
// (which would carry the key to another host), no log (which quotes bodies).
func (m *Method) backend(rt http.RoundTripper) sdk.Backend {
	return sdk.GetBackendWithConfig(sdk.APIBackend, &sdk.BackendConfig{
		URL: sdk.String(m.cfg.BaseURL),
		HTTPClient: &http.Client{
			Transport:     rt,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       callTimeout,
		},
		MaxNetworkRetries: sdk.Int64(0),
		EnableTelemetry:   new(false),
		LeveledLogger:     silent{},
	})
}

// silent is the library's logger.
type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Errorf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}

var _ io.Closer = (*Method)(nil)

// Close drops idle connections.
func (m *Method) Close() error {
	if t, ok := m.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}
