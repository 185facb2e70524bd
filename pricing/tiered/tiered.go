// Package tiered prices a request by a quantity that it names: by steps, or by
// the unit.
package tiered

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"paywall/internal/strictjson"
	"paywall/money"
	"paywall/payment"
)

// Source says where the quantity is. Exactly one field is set.
type Source struct {
	// Query is a parameter, Header a field, JSON a member of the body by its
	// path, "input.pages".
	Query, Header, JSON string
}

// Step is the price of quantities up to and including UpTo.
type Step struct {
	UpTo  int64
	Price money.Amount
}

// Config is the rule: Steps or Unit.
type Config struct {
	From  Source
	Steps []Step // ascending
	// Unit is the price of one; the quote is the quantity times it.
	Unit money.Amount
	// Max is the largest quantity of a Unit price; steps end with the last.
	Max int64
	// Default is the quantity of a request that names none; zero is 1.
	Default int64
}

// Pricer prices by [Config].
type Pricer struct{ cfg Config }

// New checks the rule.
func New(cfg Config) (*Pricer, error) {
	named := 0
	for _, s := range [...]string{cfg.From.Query, cfg.From.Header, cfg.From.JSON} {
		if s != "" {
			named++
		}
	}
	if named != 1 {
		return nil, errors.New("tiered price: From names one of query, header and json")
	}
	if (len(cfg.Steps) > 0) == cfg.Unit.Valid() {
		return nil, errors.New("tiered price: want either steps or a unit price")
	}
	if cfg.Default == 0 {
		cfg.Default = 1
	}
	last := int64(0)
	for i, s := range cfg.Steps {
		switch {
		case s.UpTo <= last:
			return nil, fmt.Errorf("tiered price: step %d: up to %d does not come after %d", i+1, s.UpTo, last)
		case !s.Price.IsPositive():
			return nil, fmt.Errorf("tiered price: step %d: the price must be more than nothing", i+1)
		case s.Price.Currency() != cfg.Steps[0].Price.Currency():
			return nil, fmt.Errorf("tiered price: step %d: another currency", i+1)
		}
		last = s.UpTo
	}
	if cfg.Unit.Valid() {
		if !cfg.Unit.IsPositive() || cfg.Max < 1 {
			return nil, errors.New("tiered price: a unit price needs a price above nothing and a largest quantity")
		}
		if _, err := cfg.Unit.Mul(cfg.Max); err != nil {
			return nil, fmt.Errorf("tiered price: %d units: %w", cfg.Max, err)
		}
		last = cfg.Max
	}
	if cfg.Default < 1 || cfg.Default > last {
		return nil, fmt.Errorf("tiered price: the default quantity %d is not between 1 and %d", cfg.Default, last)
	}
	return &Pricer{cfg}, nil
}

type unpriced struct{ detail string }

func (e unpriced) Error() string    { return "no price: " + e.detail }
func (e unpriced) Unpriced() string { return e.detail }

// Quote implements gate.Pricer.
func (p *Pricer) Quote(_ context.Context, r *http.Request, body []byte) (payment.Quote, error) {
	n, err := p.quantity(r, body)
	if err != nil {
		return payment.Quote{}, err
	}
	if p.cfg.Unit.Valid() {
		if n > p.cfg.Max {
			return payment.Quote{}, unpriced{fmt.Sprintf("the quantity is above %d", p.cfg.Max)}
		}
		amount, err := p.cfg.Unit.Mul(n)
		if err != nil {
			return payment.Quote{}, fmt.Errorf("tiered price: %w", err)
		}
		return payment.Quote{Amount: amount}, nil
	}
	for _, s := range p.cfg.Steps {
		if n <= s.UpTo {
			return payment.Quote{Amount: s.Price}, nil
		}
	}
	return payment.Quote{}, unpriced{fmt.Sprintf("the quantity is above %d", p.cfg.Steps[len(p.cfg.Steps)-1].UpTo)}
}

// quantity reads a plain positive integer; absent is the default.
func (p *Pricer) quantity(r *http.Request, body []byte) (int64, error) {
	var values []string
	switch from := p.cfg.From; {
	case from.Query != "":
		values = r.URL.Query()[from.Query]
	case from.Header != "":
		values = r.Header[http.CanonicalHeaderKey(from.Header)]
	default:
		v, ok, err := member(body, from.JSON)
		if err != nil {
			return 0, err
		}
		if ok {
			values = []string{v}
		}
	}
	switch len(values) {
	case 0:
		return p.cfg.Default, nil
	case 1:
		return parse(values[0])
	}
	return 0, unpriced{"the quantity is given twice"}
}

func parse(s string) (int64, error) {
	if s == "" || len(s) > 16 || s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0, unpriced{"the quantity is not a positive whole number"}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, unpriced{"the quantity is not a positive whole number"}
	}
	return n, nil
}

// member finds a number in the whole body, which must be JSON that can be read
// in one way only: a price from a prefix or from one of two members is a bypass.
func member(body []byte, path string) (string, bool, error) {
	if len(body) == 0 {
		return "", false, nil
	}
	if err := strictjson.Check(body, strictjson.Limits{Bytes: len(body), Members: 10_000, String: len(body), Depth: 64}); err != nil {
		return "", false, unpriced{"the body is not JSON that can be read in exactly one way"}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", false, unpriced{"the body is not JSON"}
	}
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return "", false, nil
		}
		if v, ok = m[name]; !ok {
			return "", false, nil
		}
	}
	n, ok := v.(json.Number)
	if !ok {
		return "", false, unpriced{path + " is not a number"}
	}
	return n.String(), true, nil
}

// Prices implements gate.Pricer: the steps, or the ends of a unit price.
func (p *Pricer) Prices() []money.Amount {
	if !p.cfg.Unit.Valid() {
		prices := make([]money.Amount, len(p.cfg.Steps))
		for i, s := range p.cfg.Steps {
			prices[i] = s.Price
		}
		return prices
	}
	prices := []money.Amount{p.cfg.Unit}
	if most, err := p.cfg.Unit.Mul(p.cfg.Max); err == nil && p.cfg.Max > 1 {
		prices = append(prices, most)
	}
	return prices
}
