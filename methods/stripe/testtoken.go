package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paywall/money"
)

// ErrLive is returned by what exists in test mode alone.
var ErrLive = errors.New("this exists in test mode alone")

const pathTestTokens = "/v1/test_helpers/shared_payment/granted_tokens"

// TestToken lets the processor make a token of a test wallet for one amount, as a
// person would at the page of a checkout. Only test keys can.
func (m *Method) TestToken(ctx context.Context, amount money.Amount, expires time.Time) (string, error) {
	if m.cfg.Live {
		return "", ErrLive
	}
	charged, err := chargeable(amount)
	if err != nil {
		return "", fmt.Errorf("test token: %w", err)
	}
	a := m.send(ctx, call{op: "test token", method: http.MethodPost, path: pathTestTokens, version: m.cfg.APIVersion}, encode(map[string]string{
		"payment_method":           "pm_card_visa",
		"usage_limits[currency]":   strings.ToLower(charged.Currency()),
		"usage_limits[max_amount]": strconv.FormatInt(charged.Units(), 10),
		"usage_limits[expires_at]": strconv.FormatInt(expires.Unix(), 10),
	}))
	var t grantedToken
	if !a.read(&t) || !t.sound() {
		return "", fmt.Errorf("test token: %w", a.odd())
	}
	return t.ID, nil
}
