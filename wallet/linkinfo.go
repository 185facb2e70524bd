package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"paywall/money"
)

// PaymentMethod is one of the wallet's cards or accounts.
type PaymentMethod struct {
	ID, Type, Nickname string
	Default            bool
	// Brand and Last4 are empty for what is no card.
	Brand, Last4 string
	// Capable says by name of capability whether it can be used for that.
	Capable map[string]bool
}

// PaymentMethods lists what the wallet can pay with.
func (l *LinkClient) PaymentMethods(ctx context.Context) ([]PaymentMethod, error) {
	var out struct {
		Details []struct {
			ID       string `json:"id"`
			Type     string `json:"type"`
			Nickname string `json:"nickname"`
			Default  bool   `json:"is_default"`
			Card     *struct {
				Brand string `json:"brand"`
				Last4 string `json:"last4"`
			} `json:"card_details"`
			Capabilities map[string]json.RawMessage `json:"capabilities"`
		} `json:"payment_details"`
	}
	if err := l.call(ctx, http.MethodGet, "/payment-details", nil, &out); err != nil {
		return nil, err
	}
	methods := make([]PaymentMethod, 0, len(out.Details))
	for _, d := range out.Details {
		if !isName(d.ID) {
			return nil, errors.New("payment methods: one has no id")
		}
		m := PaymentMethod{
			ID: d.ID, Type: Clean(d.Type, 40), Nickname: Clean(d.Nickname, 100), Default: d.Default, Capable: map[string]bool{},
		}
		if d.Card != nil {
			m.Brand, m.Last4 = Clean(d.Card.Brand, 40), Clean(d.Card.Last4, 4)
		}
		for name, raw := range d.Capabilities {
			var c struct {
				Eligible bool `json:"eligible"`
			}
			if json.Unmarshal(raw, &c) == nil {
				m.Capable[Clean(name, 60)] = c.Eligible
			}
		}
		methods = append(methods, m)
	}
	return methods, nil
}

// unfit reports whether the wallet says that it cannot be used for that.
func (m *PaymentMethod) unfit(capability string) bool {
	fit, said := m.Capable[capability]
	return said && !fit
}

// defaultMethod is the wallet's default, or the first one if it has none, of those
// that are not said to be unfit for agents or for a shared payment token.
func (l *LinkClient) defaultMethod(ctx context.Context) (string, error) {
	methods, err := l.PaymentMethods(ctx)
	if err != nil {
		return "", err
	}
	id := ""
	for _, m := range methods {
		if m.unfit("agentic_payments") || m.unfit("shared_payment_token") {
			continue
		}
		if m.Default {
			return m.ID, nil
		}
		if id == "" {
			id = m.ID
		}
	}
	if id == "" {
		return "", fmt.Errorf("%w: it has no payment method that can be used", ErrAction)
	}
	return id, nil
}

// Bound is one of the wallet's own limits. Amounts are invalid where the wallet names
// none; a Max that is invalid is no limit.
type Bound struct {
	Max, Used, Remaining money.Amount
}

// Allowance is what the wallet itself lets agents spend, and what it wants from
// its owner before that.
type Allowance struct {
	PerPayment, Day, Month Bound
	// StepUp is "" or what has to be done, at StepUpURL.
	StepUp, StepUpURL string
}

type wireBound struct {
	Limit     *int64 `json:"limit"`
	Used      *int64 `json:"used"`
	Remaining *int64 `json:"remaining"`
}

// Limits reads the wallet's own limits. They are in US cents.
func (l *LinkClient) Limits(ctx context.Context) (Allowance, error) {
	var out struct {
		Limits struct {
			PerTransaction wireBound `json:"per_transaction"`
			Daily          wireBound `json:"daily"`
			ThirtyDay      wireBound `json:"thirty_day"`
		} `json:"agent_wallet_spend_limits"`
		StepUp struct {
			Status string `json:"status"`
			URL    string `json:"action_url"`
		} `json:"agent_wallet_step_up"`
	}
	if err := l.call(ctx, http.MethodGet, "/userinfo", nil, &out); err != nil {
		return Allowance{}, err
	}
	var a Allowance
	for _, b := range []struct {
		to *Bound
		in wireBound
	}{{&a.PerPayment, out.Limits.PerTransaction}, {&a.Day, out.Limits.Daily}, {&a.Month, out.Limits.ThirtyDay}} {
		for _, v := range []struct {
			to    *money.Amount
			cents *int64
		}{{&b.to.Max, b.in.Limit}, {&b.to.Used, b.in.Used}, {&b.to.Remaining, b.in.Remaining}} {
			if v.cents == nil {
				continue
			}
			var err error
			if *v.to, err = money.New(*v.cents, "USD", 2); err != nil {
				return Allowance{}, fmt.Errorf("limits: %w", err)
			}
		}
	}
	if out.StepUp.Status != "not_required" && out.StepUp.Status != "complete" {
		a.StepUp, a.StepUpURL = Clean(out.StepUp.Status, 60), webAddress(out.StepUp.URL)
	}
	return a, nil
}
