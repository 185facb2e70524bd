package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"paywall/internal/config"
	"paywall/ucp/agent"
)

// introspector asks an authorization server about bearer tokens (RFC 7662).
type introspector struct {
	cfg    config.ShopOAuth
	client *http.Client
	now    func() time.Time
}

func newIntrospector(cfg config.ShopOAuth, wrap func(http.RoundTripper) http.RoundTripper, now func() time.Time) *introspector {
	var t http.RoundTripper = &http.Transport{MaxIdleConnsPerHost: 16, ForceAttemptHTTP2: true, ResponseHeaderTimeout: 5 * time.Second}
	if wrap != nil {
		t = wrap(t)
	}
	return &introspector{cfg, &http.Client{
		Transport: t, Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, now}
}

const maxIntrospection = 64 << 10

var errIntrospection = errors.New("the authorization server could not be asked")

// Verify implements [agent.Tokens]. Every token is asked about each time: one that was
// revoked is good for nothing from then on.
func (i *introspector) Verify(ctx context.Context, token string) (client string, profiles []string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.cfg.Introspection, strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", errIntrospection, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(i.cfg.ClientID), url.QueryEscape(i.cfg.ClientSecret.Reveal()))
	resp, err := i.client.Do(req)
	if err != nil {
		return "", nil, errIntrospection // the cause may name the token's form
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxIntrospection))
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("%w: %s", errIntrospection, resp.Status)
	}
	var said struct {
		Active  bool   `json:"active"`
		Client  string `json:"client_id"`
		Expires int64  `json:"exp"`
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &said) != nil || json.Unmarshal(data, &members) != nil {
		return "", nil, fmt.Errorf("%w: its answer is no JSON", errIntrospection)
	}
	if !said.Active || said.Client == "" || said.Expires != 0 && !i.now().Before(time.Unix(said.Expires, 0)) {
		return "", nil, agent.ErrToken
	}
	var one string
	if json.Unmarshal(members[i.cfg.ProfileMember], &one) == nil && one != "" {
		profiles = []string{one}
	} else if json.Unmarshal(members[i.cfg.ProfileMember], &profiles) != nil {
		profiles = nil // it names none
	}
	return said.Client, profiles, nil
}
