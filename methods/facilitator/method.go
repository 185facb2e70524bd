package facilitator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"paywall/payment"
	"paywall/x402/evm"
)

// version of the protocol that is spoken to facilitators, whichever the payer spoke:
// what it signed does not say, and so one that knows only this version still
// settles for payers of the first.
const version = 2

// protocol is the one that carries this rail's offers.
const protocol = "x402"

// Method is the rail. It is safe for concurrent use.
type Method struct {
	cfg      Config
	domain   evm.Domain
	asset    string // the two addresses as payers are told them
	payTo    string
	chain    *chain // nil without a node
	pending  attempts
	rendered rendered
}

var (
	_ payment.Holder = (*Method)(nil)
	_ io.Closer      = (*Method)(nil)
)

// New checks the configuration. No call is made.
func New(cfg Config) (*Method, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	domain, err := cfg.Asset.Domain()
	if err != nil {
		return nil, wrong("Asset", "%w", err)
	}
	m := &Method{cfg: cfg, domain: domain, asset: cfg.Asset.Contract.Checksum(), payTo: cfg.PayTo.Checksum()}
	if cfg.Node != "" {
		m.chain = &chain{node: newNode(cfg.Node, cfg.Transport), id: domain.ChainID, asset: cfg.Asset.Contract, payTo: cfg.PayTo}
	}
	return m, nil
}

// Name implements [payment.Method].
func (m *Method) Name() string { return m.cfg.Name }

// Format keeps what is inside, such as the node's URL, from being printed.
func (m *Method) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "facilitator.Method(%s, %s on %s)", m.cfg.Name, m.cfg.Asset.Symbol, m.cfg.Asset.Network)
}

// Close drops idle connections to the node.
func (m *Method) Close() error {
	if t, ok := m.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // the environment must not choose who is believed
		ResponseHeaderTimeout:  10 * time.Second,
		TLSHandshakeTimeout:    3 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Refund implements [payment.Method]. Nobody but the seller can send its tokens: the
// decline puts the payment before a person, who sends them and records it.
func (*Method) Refund(context.Context, payment.Payment) payment.Outcome {
	return payment.Outcome{Class: payment.OutcomeDeclined, Reason: "refund_by_hand"}
}

func marshal(v any) (json.RawMessage, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return data, nil
}
