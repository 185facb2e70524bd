package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"paywall/money"
)

// Defaults of [MinterConfig].
const (
	DefaultProcessor  = "https://api.stripe.com"
	DefaultAPIVersion = "2026-07-29.preview"
	DefaultTestMethod = "pm_card_visa"
)

const grantPath = "/v1/test_helpers/shared_payment/granted_tokens"

// MinterConfig makes a [ProcessorMinter].
type MinterConfig struct {
	// Key is a test key of the processor; a live one is refused.
	Key Secret
	// BaseURL is the processor's API; empty is [DefaultProcessor].
	BaseURL string
	// PaymentMethod is the test card; empty is [DefaultTestMethod].
	PaymentMethod string
	// Version is the API's; empty is [DefaultAPIVersion].
	Version string
	// TTL is how long a token is good for; zero is ten minutes.
	TTL time.Duration
	// HTTP carries the calls; nil is a client of its own. Redirects are not followed.
	HTTP *http.Client
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// ProcessorMinter is a [Wallet] of play money: it makes tokens through the
// processor's test helper. It asks nobody, and is safe for concurrent use.
type ProcessorMinter struct{ cfg MinterConfig }

// NewProcessorMinter checks c and makes the wallet.
func NewProcessorMinter(c MinterConfig) (*ProcessorMinter, error) {
	if k := c.Key.Reveal(); !strings.HasPrefix(k, "sk_test_") && !strings.HasPrefix(k, "rk_test_") {
		return nil, errors.New("wallet: MinterConfig.Key is not a test key")
	}
	if c.BaseURL == "" {
		c.BaseURL = DefaultProcessor
	}
	if err := checkBase(&c.BaseURL); err != nil {
		return nil, fmt.Errorf("wallet: MinterConfig.BaseURL: %w", err)
	}
	if c.PaymentMethod == "" {
		c.PaymentMethod = DefaultTestMethod
	}
	if c.Version == "" {
		c.Version = DefaultAPIVersion
	}
	if c.TTL < 0 {
		return nil, errors.New("wallet: MinterConfig.TTL is negative")
	}
	if c.TTL == 0 {
		c.TTL = 10 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.HTTP = guarded(c.HTTP)
	return &ProcessorMinter{c}, nil
}

// ProcessorError is the processor's refusal. Its message is left out: it may
// name the token.
type ProcessorError struct {
	Status     int
	Type, Code string
}

func (e *ProcessorError) Error() string {
	return strings.TrimRight(fmt.Sprintf("the processor answered %d: %s %s", e.Status, e.Type, e.Code), " :")
}

// Pay implements [Wallet].
func (m *ProcessorMinter) Pay(ctx context.Context, r Request) (Proof, error) {
	scale, known := money.Exponent(r.Amount.Currency())
	if !known || scale != r.Amount.Scale() || !r.Amount.IsPositive() {
		return Proof{}, fmt.Errorf("token: %s is not in minor units", r.Amount)
	}
	var out struct {
		ID json.RawMessage `json:"id"`
	}
	err := m.post(ctx, grantPath, url.Values{
		"payment_method":             {m.cfg.PaymentMethod},
		"usage_limits[currency]":     {strings.ToLower(r.Amount.Currency())},
		"usage_limits[max_amount]":   {strconv.FormatInt(r.Amount.Units(), 10)},
		"usage_limits[expires_at]":   {strconv.FormatInt(m.cfg.Now().Add(m.cfg.TTL).Unix(), 10)},
		"seller_details[network_id]": {r.NetworkID},
	}, &out)
	if err != nil {
		return Proof{}, err
	}
	token, err := sharedToken(out.ID)
	if err == nil && token == "" {
		err = errToken
	}
	if err != nil {
		return Proof{}, fmt.Errorf("the processor's answer: %w", err)
	}
	payload, err := json.Marshal(map[string]string{"spt": token.Reveal()})
	if err != nil {
		return Proof{}, fmt.Errorf("proof: %w", err)
	}
	return Proof{Payload: payload, ID: token}, nil
}

// Discard implements [Discarder].
func (m *ProcessorMinter) Discard(ctx context.Context, id Secret) error {
	var out struct {
		Reason string `json:"deactivated_reason"`
	}
	if err := m.post(ctx, grantPath+"/"+url.PathEscape(id.Reveal())+"/revoke", nil, &out); err != nil {
		return err
	}
	if out.Reason != "revoked" && out.Reason != "expired" {
		return errors.New("token is not revoked and may be charged")
	}
	return nil
}

func (m *ProcessorMinter) post(ctx context.Context, path string, v url.Values, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.cfg.BaseURL+path, strings.NewReader(v.Encode()))
	if err != nil {
		return errors.New("processor: the call cannot be made") // the cause may quote the token
	}
	req.SetBasicAuth(m.cfg.Key.Reveal(), "")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Stripe-Version", m.cfg.Version)
	resp, err := m.cfg.HTTP.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // its URL may have the token in it
		}
		return fmt.Errorf("processor: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxLinkAnswer))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("processor: %w", err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		var refused struct {
			Error struct {
				Type string `json:"type"`
				Code string `json:"code"`
			} `json:"error"`
		}
		_ = json.Unmarshal(body, &refused) // the status says enough
		return &ProcessorError{resp.StatusCode, Clean(refused.Error.Type, 60), Clean(refused.Error.Code, 60)}
	}
	if json.Unmarshal(body, out) != nil {
		return errors.New("processor: the answer is not JSON")
	}
	return nil
}
