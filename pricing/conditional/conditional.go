// Package conditional prices a request by its query and its header fields.
package conditional

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"paywall/money"
	"paywall/payment"
)

// Rule is a price for requests that have all of the values named.
type Rule struct {
	// Query are parameters by name, Header fields by name, with their exact value.
	Query, Header map[string]string
	Price         money.Amount
}

// Config is the rules in order: the first whose conditions hold decides.
type Config struct {
	Rules []Rule
	// Else is the price when none holds.
	Else money.Amount
}

// Pricer prices by [Config].
type Pricer struct{ cfg Config }

// New checks the rules.
func New(cfg Config) (*Pricer, error) {
	if !cfg.Else.IsPositive() {
		return nil, errors.New("conditional price: Else must be more than nothing")
	}
	for i, r := range cfg.Rules {
		switch {
		case !r.Price.IsPositive():
			return nil, fmt.Errorf("conditional price: rule %d: the price must be more than nothing", i+1)
		case len(r.Query) == 0 && len(r.Header) == 0:
			return nil, fmt.Errorf("conditional price: rule %d has no condition", i+1)
		}
	}
	return &Pricer{cfg}, nil
}

type unpriced struct{ detail string }

func (e unpriced) Error() string    { return "no price: " + e.detail }
func (e unpriced) Unpriced() string { return e.detail }

// Quote implements gate.Pricer. A parameter or field that decides the price and
// is given twice has no price: payer and upstream could each read another one.
func (p *Pricer) Quote(_ context.Context, r *http.Request, _ []byte) (payment.Quote, error) {
	query := r.URL.Query()
	price := p.cfg.Else
	decided := false
	for _, rule := range p.cfg.Rules {
		holds := true
		for name, want := range rule.Query {
			values := query[name]
			if len(values) > 1 {
				return payment.Quote{}, unpriced{fmt.Sprintf("the parameter %q is given twice", name)}
			}
			holds = holds && len(values) == 1 && values[0] == want
		}
		for name, want := range rule.Header {
			values := r.Header[http.CanonicalHeaderKey(name)]
			if len(values) > 1 {
				return payment.Quote{}, unpriced{fmt.Sprintf("the header field %q is given twice", name)}
			}
			holds = holds && len(values) == 1 && values[0] == want
		}
		if holds && !decided {
			// Later rules are still looked at, for doubled values that they read.
			price, decided = rule.Price, true
		}
	}
	return payment.Quote{Amount: price}, nil
}

// Prices implements gate.Pricer.
func (p *Pricer) Prices() []money.Amount {
	prices := []money.Amount{p.cfg.Else}
	for _, r := range p.cfg.Rules {
		prices = append(prices, r.Price)
	}
	return prices
}
