package sandbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"paywall/sandbox"
)

const previewed = "2026-04-22.preview"

// A box is a sandbox behind a real socket.
type box struct {
	*sandbox.Sandbox
	t      testing.TB
	url    string
	client *http.Client
}

func newBox(t testing.TB, cfg sandbox.Config) *box {
	t.Helper()
	if cfg.BaseURL == "" {
		cfg.BaseURL = "http://127.0.0.1:4022"
	}
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		s.Close() // before the server: it ends the waits of ordered faults
		srv.Close()
	})
	// Without kept connections, so that net/http does not send again by itself.
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &box{Sandbox: s, t: t, url: srv.URL, client: client}
}

type reply struct {
	status int
	header http.Header
	body   string
	err    error // of the connection or of reading the body
}

func (r reply) decode(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%d %q: %v", r.status, r.body, err)
	}
	return v
}

func (b *box) do(method, path, contentType, body string, headers ...string) reply {
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	req.Header.Set("Content-Type", contentType)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: string(raw), err: err}
}

// stripe calls the processor.
func (b *box) stripe(method, path, form, key string) reply {
	return b.do(method, path, "application/x-www-form-urlencoded", form,
		"Authorization: Bearer sk_test_sandbox", "Stripe-Version: "+previewed, "Idempotency-Key: "+key)
}

// control calls the control plane.
func (b *box) control(method, path, body string, headers ...string) reply {
	return b.do(method, "/_sandbox/"+path, "application/json", body, headers...)
}

func (b *box) order(fault string) {
	b.t.Helper()
	if r := b.control(http.MethodPost, "faults", fault); r.status != http.StatusCreated {
		b.t.Fatalf("fault %s: %d %s", fault, r.status, r.body)
	}
}

func (b *box) token(limit int) string {
	b.t.Helper()
	spt, err := b.Stripe().Grant("pm_card_visa", "usd", int64(limit), b.Now().Add(time.Hour), "internal")
	if err != nil {
		b.t.Fatal(err)
	}
	return spt
}

func sale(token string, amount int) string {
	return fmt.Sprintf("payment_method_data[shared_payment_granted_token]=%s&amount=%d&currency=usd&confirm=true"+
		"&automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never", token, amount)
}
