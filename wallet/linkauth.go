package wallet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// Login is a device login that waits for the owner of the wallet.
type Login struct {
	// URL is where the owner types Code; CompleteURL has it filled in and may be empty.
	URL, CompleteURL, Code string
	// Expires is when it ends.
	Expires time.Time

	device   Secret
	interval time.Duration
}

// StartLogin begins a device login (RFC 8628). Show the owner URL and Code and
// then call [LinkClient.FinishLogin].
func (l *LinkClient) StartLogin(ctx context.Context) (*Login, error) {
	var out struct {
		DeviceCode  string `json:"device_code"`
		UserCode    string `json:"user_code"`
		URI         string `json:"verification_uri"`
		URIComplete string `json:"verification_uri_complete"`
		ExpiresIn   int64  `json:"expires_in"`
		Interval    int64  `json:"interval"`
	}
	err := l.form(ctx, "/device/code", url.Values{
		"scope": {linkScope}, "connection_label": {l.cfg.Label}, "client_hint": {l.cfg.UserAgent},
	}, &out)
	if err != nil {
		return nil, err
	}
	in := &Login{
		URL: webAddress(out.URI), CompleteURL: webAddress(out.URIComplete), Code: Clean(out.UserCode, 40), device: Secret(out.DeviceCode),
		Expires:  l.cfg.Now().Add(time.Duration(min(max(out.ExpiresIn, 60), 3600)) * time.Second),
		interval: time.Duration(min(max(out.Interval, 1), 60)) * time.Second,
	}
	if out.Interval <= 0 {
		in.interval = 5 * time.Second
	}
	if in.URL == "" || in.Code == "" || in.device == "" {
		return nil, errors.New("login: the wallet named no address and code")
	}
	return in, nil
}

// FinishLogin polls until the owner has decided and keeps the tokens. Errors are
// [ErrDenied] and [ErrExpired] besides those of the calls.
func (l *LinkClient) FinishLogin(ctx context.Context, in *Login) error {
	interval, failures := in.interval, 0
	for {
		if err := l.cfg.Sleep(ctx, interval); err != nil {
			return err
		}
		if !l.cfg.Now().Before(in.Expires) {
			return fmt.Errorf("login: %w", ErrExpired)
		}
		tokens, err := l.token(ctx, url.Values{"grant_type": {deviceGrant}, "device_code": {in.device.Reveal()}})
		if err == nil {
			return l.keep(ctx, tokens)
		}
		refused, ok := errors.AsType[*LinkError](err)
		switch {
		case !ok || refused.Status >= 500:
			if failures++; failures > tolerated {
				return err
			}
			continue
		case refused.Code == "authorization_pending":
		case refused.Code == "slow_down":
			interval += 5 * time.Second
		case refused.Code == "access_denied":
			return fmt.Errorf("login: %w", ErrDenied)
		case refused.Code == "expired_token":
			return fmt.Errorf("login: %w", ErrExpired)
		default:
			return fmt.Errorf("login: %w", err)
		}
		failures = 0
	}
}

// Logout revokes the login and forgets it, the latter in any case.
func (l *LinkClient) Logout(ctx context.Context) error {
	tokens, err := l.cfg.Tokens.Load(ctx)
	if err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	token := tokens.Refresh
	if token == "" {
		token = tokens.Access
	}
	if token != "" {
		err = l.form(ctx, "/device/revoke", url.Values{"token": {token.Reveal()}}, nil)
	}
	if err = errors.Join(err, l.cfg.Tokens.Delete(ctx)); err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	return nil
}

// refresh replaces a login whose access token was refused. Of calls that find out
// together one refreshes: a refresh token may be good only once.
func (l *LinkClient) refresh(ctx context.Context, refused Tokens) (Tokens, error) {
	select {
	case <-l.refreshing:
	case <-ctx.Done():
		return Tokens{}, fmt.Errorf("refresh the login: %w", ctx.Err())
	}
	defer func() { l.refreshing <- struct{}{} }()
	tokens, err := l.cfg.Tokens.Load(ctx)
	if err != nil {
		return Tokens{}, fmt.Errorf("login: %w", err)
	}
	if tokens.Access != "" && tokens.Access != refused.Access {
		return tokens, nil // somebody did it meanwhile
	}
	if tokens.Refresh == "" {
		return Tokens{}, ErrLogin
	}
	fresh, err := l.token(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh.Reveal()}})
	if err != nil {
		// Another process that shares the store may have been first.
		if now, lerr := l.cfg.Tokens.Load(ctx); lerr == nil && now.Access != "" && now.Access != refused.Access {
			return now, nil
		}
		if e, ok := errors.AsType[*LinkError](err); ok && e.Status < 500 && e.Status != http.StatusTooManyRequests {
			return Tokens{}, fmt.Errorf("%w: %w", ErrLogin, err)
		}
		return Tokens{}, fmt.Errorf("refresh the login: %w", err)
	}
	if fresh.Refresh == "" {
		fresh.Refresh = tokens.Refresh
	}
	return fresh, l.keep(ctx, fresh)
}

// keep stores tokens even when the caller has gone: those before may be dead.
func (l *LinkClient) keep(ctx context.Context, t Tokens) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCare)
	defer cancel()
	if err := l.cfg.Tokens.Save(ctx, t); err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	return nil
}

func (l *LinkClient) token(ctx context.Context, v url.Values) (Tokens, error) {
	var out struct {
		Access    string `json:"access_token"`
		Refresh   string `json:"refresh_token"`
		ExpiresIn int64  `json:"expires_in"`
	}
	if err := l.form(ctx, "/device/token", v, &out); err != nil {
		return Tokens{}, err
	}
	if out.Access == "" || strings.ContainsAny(out.Access, " \r\n\t") {
		return Tokens{}, errors.New("login: the wallet sent no access token")
	}
	t := Tokens{Access: Secret(out.Access), Refresh: Secret(out.Refresh)}
	if out.ExpiresIn > 0 {
		t.Expires = l.cfg.Now().Add(time.Duration(min(out.ExpiresIn, 1<<30)) * time.Second)
	}
	return t, nil
}

func (l *LinkClient) form(ctx context.Context, path string, v url.Values, out any) error {
	v.Set("client_id", l.cfg.ClientID)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.cfg.AuthURL+path, strings.NewReader(v.Encode()))
	if err != nil {
		return fmt.Errorf("POST %s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return l.do(req, out)
}
