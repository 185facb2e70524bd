// Package shopping is the buying side of UCP: an agent that reads a shop's profile,
// searches, fills carts, checks out and follows orders over REST, paying from a wallet.
package shopping

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Version is the release that this side speaks.
const Version = "2026-08-25"

// Bounds of what a shop may answer.
const (
	maxProfile = 256 << 10
	maxAnswer  = 4 << 20
)

// Errors of this package; test with [errors.Is].
var (
	// ErrShop says that the other side is no shop that can be bought from.
	ErrShop = errors.New("not a shop that this side can buy from")
	// ErrRefused is a refusal by the shop; a [*RefusedError] says why.
	ErrRefused = errors.New("the shop refused")
	// ErrUnclear says that it is not known whether a call was carried out.
	ErrUnclear = errors.New("no answer")
)

// Config makes a [Client]. Profile is required.
type Config struct {
	// HTTP carries the calls; nil is a client of its own. Redirects are not followed.
	HTTP *http.Client
	// Profile is the URL of this agent's own profile.
	Profile string
	// Sign, if set, signs every call with the key of the profile.
	Sign func(r *http.Request, body []byte) error
	// Header is sent with every call, such as an X-API-Key.
	Header http.Header
	// NewKey makes idempotency keys; nil makes random ones.
	NewKey func() string
}

// Client buys. It is safe for concurrent use.
type Client struct{ cfg Config }

// New checks the configuration.
func New(cfg Config) (*Client, error) {
	if u, err := url.Parse(cfg.Profile); err != nil || u.Host == "" || strings.ContainsAny(cfg.Profile, "\"\\ ") {
		return nil, errors.New("shopping: Config.Profile is the URL of the agent's profile")
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: time.Minute}
	}
	bare := *cfg.HTTP
	bare.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	cfg.HTTP = &bare
	if cfg.NewKey == nil {
		cfg.NewKey = rand.Text
	}
	return &Client{cfg}, nil
}

// Shop is what a shop's profile says.
type Shop struct {
	// Origin is where it was asked for, Endpoint that of its REST binding.
	Origin, Endpoint string
	Version          string
	Capabilities     []string
	Handlers         map[string][]Handler
}

// Handler is a way to pay that a shop declares.
type Handler struct {
	ID          string                     `json:"id"`
	Version     string                     `json:"version"`
	Config      map[string]json.RawMessage `json:"config"`
	Instruments []struct {
		Type string `json:"type"`
	} `json:"available_instruments"`
}

// Text is a member of the handler's config that is text, or empty.
func (h Handler) Text(name string) string {
	var s string
	_ = json.Unmarshal(h.Config[name], &s) // another type is no text
	return s
}

// Takes reports whether a type of instrument is taken; a handler that lists none takes all.
func (h Handler) Takes(kind string) bool {
	for _, i := range h.Instruments {
		if i.Type == kind {
			return true
		}
	}
	return len(h.Instruments) == 0
}

// Discover reads the profile of the shop at an origin.
func (c *Client) Discover(ctx context.Context, origin string) (Shop, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return Shop{}, fmt.Errorf("%q: write https://host: %w", origin, ErrShop)
	}
	origin = u.Scheme + "://" + u.Host
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, origin+"/.well-known/ucp", http.NoBody)
	if err != nil {
		return Shop{}, fmt.Errorf("ask for the shop's profile: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return Shop{}, fmt.Errorf("ask for the shop's profile: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProfile+1))
	if err != nil || len(data) > maxProfile {
		return Shop{}, fmt.Errorf("read the shop's profile: %w", errors.Join(ErrShop, err))
	}
	if resp.StatusCode != http.StatusOK {
		return Shop{}, fmt.Errorf("the shop's profile: %s: %w", resp.Status, ErrShop)
	}
	return readProfile(origin, data)
}

func readProfile(origin string, data []byte) (Shop, error) {
	var doc struct {
		UCP *struct {
			Version  string `json:"version"`
			Services map[string][]struct {
				Version, Transport, Endpoint string
			} `json:"services"`
			Capabilities map[string]json.RawMessage `json:"capabilities"`
			Handlers     map[string][]Handler       `json:"payment_handlers"`
		} `json:"ucp"`
	}
	if err := json.Unmarshal(data, &doc); err != nil || doc.UCP == nil {
		return Shop{}, fmt.Errorf("the shop's profile cannot be read: %w", ErrShop)
	}
	s := Shop{Origin: origin, Version: doc.UCP.Version, Handlers: doc.UCP.Handlers}
	if s.Version != Version {
		return Shop{}, fmt.Errorf("the shop speaks version %.20q, and this side %s: %w", s.Version, Version, ErrShop)
	}
	for name := range doc.UCP.Capabilities {
		s.Capabilities = append(s.Capabilities, name)
	}
	for _, service := range doc.UCP.Services["dev.ucp.shopping"] {
		if service.Transport == "rest" && service.Version == Version {
			s.Endpoint = service.Endpoint
		}
	}
	// What is paid goes to whom the profile is of.
	at, err := url.Parse(s.Endpoint)
	if err != nil || at.Host == "" || at.Scheme != "https" && !loopback(at.Hostname()) {
		return Shop{}, fmt.Errorf("the shop has no REST endpoint: %w", ErrShop)
	}
	s.Endpoint = strings.TrimSuffix(s.Endpoint, "/")
	return s, nil
}

func loopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}

// RefusedError is the shop's refusal. The texts are the shop's own.
type RefusedError struct {
	Status        int
	Code, Content string
	// Continue is a page for a person, or empty.
	Continue string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the shop refused (%d %s): %s", e.Status, e.Code, e.Content)
}

// Unwrap returns [ErrRefused].
func (*RefusedError) Unwrap() error { return ErrRefused }

// call sends one call and decodes its answer. With a key it may be repeated; a call
// whose answer was lost is, under the same key.
func (c *Client) call(ctx context.Context, s Shop, method, path, key string, body, into any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode the call: %w", err)
		}
	}
	var err error
	for try := range 3 {
		if try > 0 {
			if key == "" && method != http.MethodGet {
				break
			}
			timer := time.NewTimer(time.Duration(try) * 500 * time.Millisecond)
			select {
			case <-ctx.Done():
				timer.Stop()
				return fmt.Errorf("%w: %w", ErrUnclear, ctx.Err())
			case <-timer.C:
			}
		}
		var again bool
		if again, err = c.once(ctx, s, method, path, key, data, into); !again {
			return err
		}
	}
	return err
}

// once reports whether the call may be tried again.
func (c *Client) once(ctx context.Context, s Shop, method, path, key string, body []byte, into any) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, s.Endpoint+path, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("the call: %w", err)
	}
	maps.Copy(req.Header, c.cfg.Header)
	req.Header.Set("Ucp-Agent", `profile="`+c.cfg.Profile+`"`)
	req.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if c.cfg.Sign != nil {
		if err := c.cfg.Sign(req, body); err != nil {
			return false, fmt.Errorf("sign the call: %w", err)
		}
	}
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return true, fmt.Errorf("%w: %w", ErrUnclear, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil || len(data) > maxAnswer {
		return true, fmt.Errorf("%w: the shop's answer has no end: %w", ErrUnclear, errors.Join(err))
	}
	switch {
	case resp.StatusCode >= http.StatusInternalServerError:
		// Whether it was carried out is not said by this.
		return true, fmt.Errorf("%w: %w", ErrUnclear, refusal(resp.StatusCode, data))
	case resp.StatusCode >= http.StatusMultipleChoices:
		return resp.StatusCode == http.StatusTooManyRequests, refusal(resp.StatusCode, data)
	}
	if e, ok := envelope(data); ok {
		e.Status = resp.StatusCode
		return false, e
	}
	if err := json.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("the shop's answer cannot be read: %w", err)
	}
	return false, nil
}

func refusal(status int, data []byte) error {
	e := &RefusedError{Status: status}
	var short struct {
		Code     string `json:"code"`
		Content  string `json:"content"`
		Continue string `json:"continue_url"`
	}
	if json.Unmarshal(data, &short) == nil {
		e.Code, e.Content, e.Continue = short.Code, short.Content, short.Continue
	}
	if e.Code == "" {
		e.Code = http.StatusText(status)
	}
	return e
}

// envelope reads an answer that is an outcome without a thing.
func envelope(data []byte) (*RefusedError, bool) {
	var doc struct {
		UCP struct {
			Status string `json:"status"`
		} `json:"ucp"`
		Messages []Message `json:"messages"`
		Continue string    `json:"continue_url"`
	}
	if err := json.Unmarshal(data, &doc); err != nil || doc.UCP.Status != "error" {
		return nil, false //nolint:nilerr // what cannot be read is none
	}
	e := &RefusedError{Continue: doc.Continue}
	if len(doc.Messages) > 0 {
		e.Code, e.Content = doc.Messages[0].Code, doc.Messages[0].Content
	}
	return e, true
}
