package app

import (
	"net/http"
	"time"

	"paywall/internal/builtin"
	"paywall/payment"
	"paywall/x402"
	"paywall/x402/facilitator"
)

// newFacilitator lets the configured servers of others settle Link tokens through
// this one; it is nil when there are none.
func (s *server) newFacilitator(now func() time.Time) (http.Handler, error) {
	binding, ok := builtin.LinkBinding(s.cfg)
	if !ok || len(s.cfg.X402.Clients) == 0 {
		return nil, nil //nolint:nilnil // most servers are none
	}
	cfg := facilitator.ServerConfig{
		Processor: s.processor, Payments: s.store, Methods: s.parts.rails.Methods, Bindings: []x402.Binding{binding},
		Realm: s.cfg.Realm, Now: now, Logger: s.env.logger,
	}
	for _, c := range s.cfg.X402.Clients {
		cfg.Clients = append(cfg.Clients, facilitator.ServerClient{
			Name: c.Name, TokenHash: facilitator.HashToken(c.Token.Reveal()), Terms: payment.Terms{Account: c.Account},
		})
	}
	return facilitator.NewServer(cfg) //nolint:wrapcheck // it names the field
}
