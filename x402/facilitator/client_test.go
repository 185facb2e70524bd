package facilitator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"paywall/x402/facilitator"
)

const (
	where  = "https://facilitator.example/x402"
	secret = "sk_very_secret_value"
)

// callError asserts the one type of error that calls have.
func callError(t *testing.T, err error) *facilitator.CallError {
	t.Helper()
	var e *facilitator.CallError
	if !errors.As(err, &e) {
		t.Fatalf("%v is no CallError", err)
	}
	for _, leak := range []string{"facilitator.example", secret, "proof"} {
		if strings.Contains(err.Error(), leak) {
			t.Errorf("%q says %q", err, leak)
		}
	}
	return e
}

func TestNew_Refuses(t *testing.T) {
	one := func(change func(*facilitator.Endpoint)) facilitator.Config {
		e := facilitator.Endpoint{URL: where}
		change(&e)
		return facilitator.Config{Endpoints: []facilitator.Endpoint{e}}
	}
	url := func(u string) facilitator.Config { return one(func(e *facilitator.Endpoint) { e.URL = u }) }
	field := func(name, value string) facilitator.Config {
		return one(func(e *facilitator.Endpoint) { e.Auth = facilitator.Headers(http.Header{name: {value}}) })
	}
	for name, tt := range map[string]struct {
		cfg  facilitator.Config
		want string
	}{
		"nobody":            {facilitator.Config{}, "Endpoints"},
		"no url":            {url(""), "Endpoints[0]: URL"},
		"plain http":        {url("http://facilitator.example"), "Endpoints[0]: URL"},
		"another scheme":    {url("ftp://127.0.0.1"), "Endpoints[0]: URL"},
		"a password":        {url("https://user:" + secret + "@facilitator.example"), "Endpoints[0]: URL"},
		"a broken password": {url("https://user:" + secret + "%zz@facilitator.example"), "Endpoints[0]: URL"},
		"a query":           {url(where + "?key=" + secret), "Endpoints[0]: URL"},
		"a fragment":        {url(where + "#"), "Endpoints[0]: URL"},
		"a name with space": {one(func(e *facilitator.Endpoint) { e.Name = "a b" }), "name"},
		"a network":         {one(func(e *facilitator.Endpoint) { e.Networks = []string{"base"} }), "networks"},
		"a pattern":         {one(func(e *facilitator.Endpoint) { e.Networks = []string{"eip155:8*"} }), "networks"},
		"two of one name":   {facilitator.Config{Endpoints: []facilitator.Endpoint{{URL: where}, {URL: where + "/"}}}, "Endpoints[1].Name"},
		"negative":          {facilitator.Config{Endpoints: []facilitator.Endpoint{{URL: where}}, Timeout: -1}, "Timeout"},
		"too often":         {facilitator.Config{Endpoints: []facilitator.Endpoint{{URL: where}}, Refresh: time.Millisecond}, "Refresh"},
		"too seldom":        {facilitator.Config{Endpoints: []facilitator.Endpoint{{URL: where}}, Refresh: 25 * time.Hour}, "Refresh"},
		"no field":          {field("X Key", secret), "Auth"},
		"a line break":      {field("X-Key", secret+"\r\nX-Other: 1"), "Auth"},
		"an empty field":    {field("X-Key", ""), "Auth"},
		"a field of ours":   {field("content-type", secret), "Auth"},
		"another host":      {field("Host", secret), "Auth"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := facilitator.New(tt.cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("%v, want one of %s without the secret", err, tt.want)
			}
		})
	}
}

func TestCall(t *testing.T) {
	var got *http.Request
	var sent string
	answer := func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"success":true}`) }
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, sent = r, string(data)
		answer(w)
	}))
	defer srv.Close()
	c := newClient(t, facilitator.Config{Endpoints: []facilitator.Endpoint{
		{Name: "one", URL: srv.URL + "/base/", Auth: facilitator.Headers(http.Header{"x-key": {secret}})},
	}})
	r, err := c.Settle(t.Context(), "one", []byte(`{"proof":1}`))
	if err != nil || r.Status != http.StatusOK || string(r.Body) != `{"success":true}` {
		t.Fatalf("%v %v", r, err)
	}
	if got.Method != http.MethodPost || got.URL.Path != "/base/settle" || sent != `{"proof":1}` || got.ContentLength != int64(len(sent)) ||
		got.Header.Get("Content-Type") != "application/json" || got.Header.Get("X-Key") != secret {
		t.Errorf("%s %s %v %q", got.Method, got.URL, got.Header, sent)
	}
	if _, err := c.Verify(t.Context(), "one", []byte(`{}`)); err != nil || got.URL.Path != "/base/verify" {
		t.Errorf("%s: %v", got.URL, err)
	}

	answer = func(w http.ResponseWriter) {
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
	r, err = c.Settle(t.Context(), "one", []byte(`{}`))
	if err != nil || r.Status != http.StatusTemporaryRedirect || got.URL.Path != "/base/settle" || r.RetryAfter != time.Hour {
		t.Errorf("a redirect was followed to %s, or: %v %v", got.URL, r, err)
	}

	answer = func(w http.ResponseWriter) { _, _ = io.WriteString(w, strings.Repeat(" ", 64<<10+1)) }
	_, err = c.Settle(t.Context(), "one", []byte(`{}`))
	if e := callError(t, err); !e.Sent || !errors.Is(err, facilitator.ErrAnswer) {
		t.Errorf("too large: %v", err)
	}

	answer = func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	_, err = c.Settle(t.Context(), "one", []byte(`{}`))
	if e := callError(t, err); !e.Sent || !errors.Is(err, facilitator.ErrTransport) {
		t.Errorf("cut off: %v", err)
	}
	if s := fmt.Sprintf("%v %+v %s", c, c, c); strings.Contains(s, secret) || !strings.Contains(s, "one") {
		t.Error(s)
	}
}

// TestCall_Unsent: only what certainly left nobody is called unsent.
func TestCall_Unsent(t *testing.T) {
	closed := must(net.Listen("tcp", "127.0.0.1:0"))
	nobody := closed.Addr().String()
	_ = closed.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	large := make([]byte, 64<<10+1)
	for _, tt := range []struct {
		name, endpoint string
		ctx            context.Context //nolint:containedctx // of one call
		body           []byte
		auth           facilitator.Auth
		transport      http.RoundTripper
		sent           bool
		cause          error
	}{
		{name: "nobody is there", cause: facilitator.ErrTransport},
		{name: "unknown", endpoint: "other", cause: facilitator.ErrEndpoint},
		{name: "empty", body: []byte{}, cause: facilitator.ErrBody},
		{name: "too large", body: large, cause: facilitator.ErrBody},
		{name: "given up before", ctx: over, cause: context.Canceled},
		{name: "no proof of who calls", auth: broken{}, cause: facilitator.ErrAuth},
		{name: "failed before the body", cause: facilitator.ErrTransport, transport: trip(func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("dial %s with %s", where, secret)
		})},
		{name: "failed in the body", sent: true, cause: io.ErrUnexpectedEOF, transport: trip(func(r *http.Request) (*http.Response, error) {
			_, _ = r.Body.Read(make([]byte, 1))
			return nil, io.EOF
		})},
		{name: "tried twice", sent: true, cause: facilitator.ErrTransport, transport: trip(func(r *http.Request) (*http.Response, error) {
			_, _ = io.ReadAll(r.Body)
			_, _ = r.GetBody()
			return nil, errors.New("and failed again")
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, facilitator.Config{Transport: tt.transport, Endpoints: []facilitator.Endpoint{{Name: "one", URL: "http://" + nobody, Auth: tt.auth}}})
			ctx, endpoint, body := tt.ctx, tt.endpoint, tt.body
			if ctx == nil {
				ctx = t.Context()
			}
			if endpoint == "" {
				endpoint = "one"
			}
			if body == nil {
				body = []byte(`{"proof":1}`)
			}
			_, err := c.Settle(ctx, endpoint, body)
			if e := callError(t, err); e.Sent != tt.sent || !errors.Is(err, tt.cause) {
				t.Errorf("%v, sent %v", err, e.Sent)
			}
		})
	}
}

type broken struct{}

func (broken) Authorize(*http.Request, time.Time) error { return errors.New("no key") }

// TestCall_Late: a transport that returns before its writer starts cannot send any more
// what was called unsent.
func TestCall_Late(t *testing.T) {
	var late, again io.ReadCloser
	c := newClient(t, facilitator.Config{Endpoints: []facilitator.Endpoint{{Name: "one", URL: where}}, Transport: trip(func(r *http.Request) (*http.Response, error) {
		late, again = r.Body, must(r.GetBody())
		return nil, errors.New("gone")
	})})
	_, err := c.Settle(t.Context(), "one", []byte(`{"proof":1}`))
	if callError(t, err).Sent {
		t.Fatal("nothing was sent")
	}
	for _, r := range []io.Reader{late, again} {
		if data, err := io.ReadAll(r); err == nil || len(data) > 0 {
			t.Errorf("%q could be sent still", data)
		}
	}
}

func TestCall_Hang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, facilitator.Config{Endpoints: []facilitator.Endpoint{{Name: "one", URL: where}}, Transport: trip(func(r *http.Request) (*http.Response, error) {
			_, _ = io.ReadAll(r.Body)
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		began := time.Now()
		_, err := c.Settle(t.Context(), "one", []byte(`{"proof":1}`))
		if e := callError(t, err); !e.Sent || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 30*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "3.5": 0, "1e3": 0, "999999999": time.Hour, "99999999999999999999": 0, "soon": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		c := newClient(t, facilitator.Config{
			Endpoints: []facilitator.Endpoint{{Name: "one", URL: where}}, Now: func() time.Time { return now },
			Transport: trip(func(*http.Request) (*http.Response, error) { return said(503, "", "Retry-After", value), nil }),
		})
		r, err := c.Settle(t.Context(), "one", []byte(`{}`))
		if err != nil || r.RetryAfter != want {
			t.Errorf("%q: %s, %v; want %s", value, r.RetryAfter, err, want)
		}
	}
}
