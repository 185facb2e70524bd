package stripe_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"paywall/sandbox/stripe"
)

const (
	key       = "sk_test_sandbox"
	previewed = "2026-04-22.preview"
)

var start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// clock is set by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// psp is a processor and a client with a test key.
type psp struct {
	*stripe.Server
	clock *clock
}

func newPSP(t tester, cfg stripe.Config) *psp {
	t.Helper()
	c := &clock{at: start}
	cfg.Now = c.now
	var mu sync.Mutex
	n := 0
	cfg.NewID = func(prefix string) string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprintf("%s_%06d", prefix, n)
	}
	if cfg.SearchLag == 0 {
		cfg.SearchLag = -1
	}
	s := stripe.New(cfg)
	t.Cleanup(s.Close)
	return &psp{Server: s, clock: c}
}

type reply struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// at walks the body by names joined with dots; numbers come as float64.
func (r reply) at(path string) any {
	var v any = r.body
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

func (r reply) str(path string) string {
	s, _ := r.at(path).(string)
	return s
}

func (r reply) is(t tester, path string, want any) {
	t.Helper()
	got := r.at(path)
	if n, ok := want.(int); ok {
		want = float64(n)
	}
	if got != want {
		t.Errorf("%s = %v, want %v in %d %s", path, got, want, r.status, r.raw)
	}
}

func (r reply) ok(t tester) reply {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("status %d: %s", r.status, r.raw)
	}
	return r
}

func (r reply) refused(t tester, status int, code, message string) {
	t.Helper()
	if r.status != status || r.str("error.code") != code || !strings.Contains(r.str("error.message"), message) {
		t.Errorf("got %d %s, want %d %q %q", r.status, r.raw, status, code, message)
	}
}

// do sends a call. Headers are "Name: value".
func (p *psp) do(method, path, form string, headers ...string) reply {
	target := path
	if method == http.MethodGet && form != "" {
		target += "?" + form
		form = ""
	}
	r := httptest.NewRequest(method, target, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Stripe-Version", previewed)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	out := reply{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), &out.body); err != nil {
		panic(err)
	}
	return out
}

func (p *psp) post(path, form string, headers ...string) reply {
	return p.do(http.MethodPost, path, form, headers...)
}

func (p *psp) get(path, form string, headers ...string) reply {
	return p.do(http.MethodGet, path, form, headers...)
}

// token grants the seller a token over limit US cents.
func (p *psp) token(t tester, method string, limit int) string {
	t.Helper()
	return p.post("/v1/test_helpers/shared_payment/granted_tokens", fmt.Sprintf(
		"payment_method=%s&usage_limits[currency]=usd&usage_limits[max_amount]=%d&usage_limits[expires_at]=%d",
		method, limit, p.clock.now().Add(time.Hour).Unix())).ok(t).str("id")
}

// sale is the body of a charge by token, as the product sends it.
func sale(token string, amount int) string {
	return fmt.Sprintf("payment_method_data[shared_payment_granted_token]=%s&amount=%d&automatic_payment_methods[allow_redirects]=never"+
		"&automatic_payment_methods[enabled]=true&confirm=true&currency=usd&metadata[paywall_payment]=pay_1&expand[0]=latest_charge", token, amount)
}

// charge is a body for a charge by test payment method.
func charge(method string, amount int) string {
	return fmt.Sprintf("payment_method=%s&amount=%d&currency=usd&confirm=true&payment_method_types[]=card", method, amount)
}

// tester is what the helpers need of a test; rapid's has it too.
type tester interface {
	Helper()
	Cleanup(f func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}
