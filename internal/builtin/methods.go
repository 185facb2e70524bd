package builtin

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"paywall/internal/config"
	"paywall/methods/stripe"
	"paywall/payment"
)

// Rails are the payment methods of a configuration.
type Rails struct {
	Methods []payment.Method
	// Stripe is set when it is among them, for its webhooks.
	Stripe *stripe.Method

	facilitators []*calls
}

// Surroundings are what methods get from the process.
type Surroundings struct {
	Now func() time.Time
	// Wrap, if set, goes around the transports of outgoing calls, for traces.
	Wrap func(http.RoundTripper) http.RoundTripper
	// Deposit is the address at the processor that stablecoins of a network are paid
	// to; nil stands for any, for checks that ask nobody.
	Deposit func(rail *stripe.Method, network string) (string, error)
	Logger  *slog.Logger
}

// Methods makes the configured rails, the preferred one first.
func Methods(c config.Methods, s Surroundings) (Rails, error) {
	var r Rails
	if c.Stripe != nil {
		m, err := newStripe(*c.Stripe, s)
		if err != nil {
			return Rails{}, err
		}
		r.Stripe = m
		r.Methods = append(r.Methods, m)
	}
	for _, f := range c.Facilitators {
		m, c, err := newFacilitator(f, r.Stripe, s)
		if err != nil {
			return Rails{}, fmt.Errorf("%s: %w", strings.TrimPrefix(f.Path, "methods."), err)
		}
		r.Methods, r.facilitators = append(r.Methods, m), append(r.facilitators, c)
	}
	return r, nil
}

func newStripe(c config.Stripe, s Surroundings) (*stripe.Method, error) {
	cfg := stripe.Config{
		Key: stripe.Secret(c.Key.Reveal()), Profile: c.Profile, PaymentMethodTypes: c.PaymentMethodTypes, Live: c.Live,
		BaseURL: c.BaseURL, APIVersion: c.APIVersion, SPTParam: c.SPTParam, Account: c.Account, ManualCapture: c.ManualCapture,
		StatementSuffix: c.StatementSuffix, Metadata: c.Metadata, Now: s.Now,
	}
	for _, secret := range c.WebhookSecrets {
		cfg.WebhookSecrets = append(cfg.WebhookSecrets, stripe.Secret(secret.Reveal()))
	}
	return stripe.New(cfg) //nolint:wrapcheck // it names the wrong setting
}
