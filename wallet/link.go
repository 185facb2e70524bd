package wallet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Addresses and names of the Link wallet.
const (
	DefaultLinkAPI  = "https://api.link.com"
	DefaultLinkAuth = "https://login.link.com"
	// LinkClientID is the public client that agents log in as.
	LinkClientID = "lwlpk_U7Qy7ThG69STZk"

	linkScope = "userinfo:read payment_methods.agentic"
)

const maxLinkAnswer = 1 << 20

// ErrLogin means that there is no login, or that it has ended.
var ErrLogin = errors.New("not logged in to the wallet")

// LinkConfig makes a [LinkClient].
type LinkConfig struct {
	// BaseURL and AuthURL are the API's and the login's origins; empty are those of
	// the real wallet. Plain HTTP is for loopback only.
	BaseURL, AuthURL string
	// Tokens keeps the login.
	Tokens TokenStore
	// HTTP carries the calls; nil is a client of its own. Redirects are not followed.
	HTTP *http.Client
	// ClientID is the OAuth client; empty is [LinkClientID].
	ClientID string
	// Label names this agent and machine to the owner of the wallet.
	Label string
	// UserAgent is sent with every call; empty is "paywall".
	UserAgent string
	// PaymentMethod is the one to pay with; empty is the wallet's default.
	PaymentMethod string
	// Show is told of a spend request that waits for its owner, and again when the
	// owner has something else to do. It should not block. Nil shows nothing.
	Show func(ctx context.Context, s SpendRequest)
	// Interval is between two polls, zero is two seconds; Polls is how many at
	// most, zero is 300.
	Interval time.Duration
	Polls    int

	// Now is the clock; nil is the real one. Sleep waits; nil waits in real time.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
}

// LinkClient speaks to the Link wallet and is a [Wallet]. It is safe for concurrent use.
type LinkClient struct {
	cfg        LinkConfig
	refreshing chan struct{} // holds one token: whoever has it refreshes
}

// NewLinkClient checks c and makes the client.
func NewLinkClient(c LinkConfig) (*LinkClient, error) {
	if c.BaseURL == "" {
		c.BaseURL = DefaultLinkAPI
	}
	if c.AuthURL == "" {
		c.AuthURL = DefaultLinkAuth
	}
	for name, s := range map[string]*string{"BaseURL": &c.BaseURL, "AuthURL": &c.AuthURL} {
		if err := checkBase(s); err != nil {
			return nil, fmt.Errorf("wallet: LinkConfig.%s: %w", name, err)
		}
	}
	if c.Tokens == nil {
		return nil, errors.New("wallet: LinkConfig.Tokens is missing")
	}
	if c.Interval < 0 || c.Polls < 0 {
		return nil, errors.New("wallet: LinkConfig: Interval and Polls are not negative")
	}
	if c.Interval == 0 {
		c.Interval = 2 * time.Second
	}
	if c.Polls == 0 {
		c.Polls = 300
	}
	if c.ClientID == "" {
		c.ClientID = LinkClientID
	}
	if c.UserAgent == "" {
		c.UserAgent = "paywall"
	}
	if c.Label == "" {
		c.Label = c.UserAgent
	}
	if c.Show == nil {
		c.Show = func(context.Context, SpendRequest) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	c.HTTP = guarded(c.HTTP)
	l := &LinkClient{cfg: c, refreshing: make(chan struct{}, 1)}
	l.refreshing <- struct{}{}
	return l, nil
}

// guarded is a client that takes no redirect anywhere with a token in its hand.
func guarded(c *http.Client) *http.Client {
	g := http.Client{Transport: newBase(), Timeout: 30 * time.Second}
	if c != nil {
		g = *c
	}
	g.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &g
}

// checkBase takes an absolute URL that tokens may be sent to, and cuts its last slash.
func checkBase(s *string) error {
	u, err := url.Parse(*s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("not the http(s) origin of a server")
	}
	if !secure(u) {
		return errors.New("plain http is for loopback only")
	}
	*s = strings.TrimSuffix(*s, "/")
	return nil
}

// LinkError is the wallet's refusal of a call. Its text is made safe to print.
type LinkError struct {
	// Call is method and path.
	Call    string
	Status  int
	Code    string
	Message string
	// RetryAfter is set when calls come too fast; Duplicate is then the request
	// that may be there already.
	RetryAfter time.Duration
	Duplicate  string
	// URL is where the owner can do something about it.
	URL string
}

func (e *LinkError) Error() string {
	return chain(fmt.Sprintf("%s: the wallet answered %d", e.Call, e.Status), e.Code, e.Message, e.URL)
}

// call sends JSON with the login's token and reads JSON. A 401 is answered by
// one refresh and one more try.
func (l *LinkClient) call(ctx context.Context, method, path string, in, out any) error {
	tokens, err := l.cfg.Tokens.Load(ctx)
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	if tokens.Access == "" {
		return ErrLogin
	}
	err = l.once(ctx, tokens.Access, method, path, in, out)
	if refused, ok := errors.AsType[*LinkError](err); !ok || refused.Status != http.StatusUnauthorized {
		return err
	}
	fresh, rerr := l.refresh(ctx, tokens)
	if rerr != nil {
		return rerr
	}
	err = l.once(ctx, fresh.Access, method, path, in, out)
	if refused, ok := errors.AsType[*LinkError](err); ok && refused.Status == http.StatusUnauthorized {
		return fmt.Errorf("%w: %w", ErrLogin, err)
	}
	return err
}

func (l *LinkClient) once(ctx context.Context, token Secret, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, l.cfg.BaseURL+path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set(authorization, "Bearer "+token.Reveal())
	return l.do(req, out)
}

// do sends a request and decodes a success into out. The error of a call names its
// path without the query.
func (l *LinkClient) do(req *http.Request, out any) error {
	name := req.Method + " " + req.URL.Path
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", l.cfg.UserAgent)
	resp, err := l.cfg.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxLinkAnswer+1))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(body) > maxLinkAnswer {
		return fmt.Errorf("%s: answer of more than %d bytes", name, maxLinkAnswer)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return parseLinkError(name, resp, body, l.cfg.Now())
	}
	if out == nil {
		return nil
	}
	if json.Unmarshal(body, out) != nil {
		return fmt.Errorf("%s: the answer is not the JSON that was expected", name) // the cause may quote a token
	}
	return nil
}

// parseLinkError reads both forms of error: the API's object and the login's
// code with a description.
func parseLinkError(name string, resp *http.Response, body []byte, now time.Time) *LinkError {
	e := &LinkError{Call: name, Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now)}
	var top struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
		linkDetails
	}
	if json.Unmarshal(body, &top) != nil {
		return e
	}
	var code string
	details := top.linkDetails
	if json.Unmarshal(top.Error, &code) == nil {
		e.Code, e.Message = Clean(code, 100), Clean(top.Description, 300)
	} else if json.Unmarshal(top.Error, &details) == nil {
		e.Code, e.Message = Clean(details.Code, 100), Clean(details.Message, 300)
	}
	if seconds := details.RetryAfter; seconds > 0 {
		e.RetryAfter = min(time.Duration(min(seconds, 1<<20))*time.Second, maxRetryAfter)
	}
	if isName(details.Duplicate) {
		e.Duplicate = details.Duplicate
	}
	for _, u := range []string{details.VerificationURL, details.SupportURL} {
		if e.URL == "" {
			e.URL = webAddress(u)
		}
	}
	return e
}

type linkDetails struct {
	Code            string `json:"code"`
	Message         string `json:"message"`
	RetryAfter      int64  `json:"retry_after"`
	Duplicate       string `json:"duplicate_spend_request"`
	VerificationURL string `json:"verification_url"`
	SupportURL      string `json:"support_url"`
}

// webAddress is s if a person may be sent there, and "" otherwise.
func webAddress(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || len(s) > 2000 || Clean(s, 2000) != s {
		return ""
	}
	if u.Scheme != "https" && u.Scheme != "http" || !secure(u) {
		return ""
	}
	return s
}
