// Package remote asks the seller's own services what delivery costs and what tax is
// due, instead of the rules of a catalog.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"strings"
	"time"

	"paywall/checkout"
	"paywall/internal/strictjson"
)

// Config says whom to ask. One URL at least is given; what has none stays with the catalog.
type Config struct {
	Delivery, Tax string
	// Timeout bounds one answer; zero is 3 s.
	Timeout time.Duration
	Header  http.Header
	// Transport carries the calls; nil is one of its own.
	Transport http.RoundTripper
}

// Rates implements [checkout.Rates].
type Rates struct {
	cfg    Config
	client *http.Client
}

// ErrAnswer says that an answer is not what was asked for.
var ErrAnswer = errors.New("the answer is not one of delivery or tax")

// Bounds of an answer.
const (
	maxAnswer  = 256 << 10
	maxOptions = 50
	maxText    = 200
)

// New checks the configuration.
func New(cfg Config) (*Rates, error) {
	if cfg.Delivery == "" && cfg.Tax == "" {
		return nil, errors.New("remote rates: Config.Delivery and Config.Tax are both empty")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 3 * time.Second
	}
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{MaxIdleConnsPerHost: 16, ResponseHeaderTimeout: cfg.Timeout, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true}
	}
	return &Rates{cfg, &http.Client{
		Transport: cfg.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Delivery implements [checkout.Rates]: it posts the parcel and reads
// {"currency":"USD","options":[{"id":"post","title":"Post","amount":450,"carrier":"…","earliest":"…","latest":"…"}]}.
func (r *Rates) Delivery(ctx context.Context, p checkout.Parcel) ([]checkout.FulfillmentOption, error) {
	if r.cfg.Delivery == "" {
		return nil, checkout.ErrNoRate
	}
	var answer struct {
		Currency string                       `json:"currency"`
		Options  []checkout.FulfillmentOption `json:"options"`
	}
	if err := r.ask(ctx, r.cfg.Delivery, p, &answer); err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	if answer.Currency != p.Currency || len(answer.Options) > maxOptions {
		return nil, fmt.Errorf("delivery: currency %.10q, %d options: %w", answer.Currency, len(answer.Options), ErrAnswer)
	}
	seen := map[string]bool{}
	for _, o := range answer.Options {
		if !word(o.ID) || seen[o.ID] || o.Title == "" || len(o.Title) > maxText || len(o.Carrier) > maxText || o.Amount < 0 || o.Amount > checkout.MaxUnits {
			return nil, fmt.Errorf("delivery: option %.40q: %w", o.ID, ErrAnswer)
		}
		seen[o.ID] = true
	}
	return answer.Options, nil
}

// Tax implements [checkout.Rates]: it posts the parcel with "delivery" beside it, and
// reads {"currency":"USD","tax":123}.
func (r *Rates) Tax(ctx context.Context, p checkout.Parcel, delivery int64) (int64, error) {
	if r.cfg.Tax == "" {
		return 0, checkout.ErrNoRate
	}
	question := struct {
		checkout.Parcel

		Delivery int64 `json:"delivery"`
	}{p, delivery}
	var answer struct {
		Currency string `json:"currency"`
		Tax      *int64 `json:"tax"`
	}
	if err := r.ask(ctx, r.cfg.Tax, question, &answer); err != nil {
		return 0, fmt.Errorf("tax: %w", err)
	}
	if answer.Currency != p.Currency || answer.Tax == nil || *answer.Tax < 0 || *answer.Tax > checkout.MaxUnits {
		return 0, fmt.Errorf("tax: currency %.10q: %w", answer.Currency, ErrAnswer)
	}
	return *answer.Tax, nil
}

func word(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// ask posts a question once. What takes longer than the time-out is no answer: the
// client waits.
func (r *Rates) ask(ctx context.Context, where string, question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("encode the question: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, where, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the question: %w", err)
	}
	maps.Copy(req.Header, r.cfg.Header)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || err != nil || kind != "application/json" {
		return fmt.Errorf("%d %.60s: %w", resp.StatusCode, kind, ErrAnswer)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if err := strictjson.Decode(data, answer, strictjson.Limits{Bytes: maxAnswer}); err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return nil
}
