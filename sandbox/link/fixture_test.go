package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testBase = "http://127.0.0.1:4022"
	why      = "The user asked for the market report of this quarter; this seller has it, and its price is within the budget of the task."
)

// processor keeps account of the tokens it granted.
type processor struct {
	mu      sync.Mutex
	grants  []grant
	revoked []string
	took    map[string]int64
	err     error
	before  func() // runs in Grant without the lock
}

type grant struct {
	id, method, currency, network string
	amount                        int64
	expires                       time.Time
}

func (p *processor) Grant(method, currency string, amount int64, expires time.Time, network string) (string, error) {
	if p.before != nil {
		p.before()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return "", p.err
	}
	id := fmt.Sprintf("spt_%d", len(p.grants)+1)
	p.grants = append(p.grants, grant{id, method, currency, network, amount, expires})
	return id, nil
}

func (p *processor) Revoke(token string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked = append(p.revoked, token)
	return nil
}

func (p *processor) capture(token string, amount int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took[token] = amount
}

func (p *processor) captured(token string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.took[token]
}

// clock stands until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

type fixture struct {
	*Wallet

	t     testing.TB
	proc  *processor
	clock *clock
	http  http.Handler
}

func newFixture(t testing.TB, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{
		t: t, proc: &processor{took: map[string]int64{}},
		clock: &clock{t: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)},
	}
	cfg := Config{Processor: f.proc, BaseURL: testBase, Now: f.clock.now, Captured: f.proc.captured}
	if change != nil {
		change(&cfg)
	}
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	f.Wallet, f.http = w, w.Handler()
	return f
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (f *fixture) do(r *http.Request) answer {
	f.t.Helper()
	rec := httptest.NewRecorder()
	f.http.ServeHTTP(rec, r)
	body, err := io.ReadAll(rec.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer{rec.Code, rec.Header(), string(body)}
}

// call makes an API call as link-cli does.
func (f *fixture) call(token, method, path, body string) answer {
	f.t.Helper()
	r := httptest.NewRequest(method, testBase+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return f.do(r)
}

// postForm posts a form; browser also sets what a browser sends from our page.
func (f *fixture) postForm(path string, browser bool, form url.Values) answer {
	f.t.Helper()
	r := httptest.NewRequest(http.MethodPost, testBase+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if browser {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", testBase)
	}
	return f.do(r)
}

func (f *fixture) page(path string) answer {
	f.t.Helper()
	return f.do(httptest.NewRequest(http.MethodGet, testBase+path, nil))
}

func (a answer) into(t testing.TB, status int, v any) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}

type problem struct {
	Error struct {
		Message    string       `json:"message"`
		Code       string       `json:"code"`
		RetryAfter int64        `json:"retry_after"`
		Duplicate  *wireRequest `json:"duplicate_spend_request"`
	} `json:"error"`
}

func (a answer) refused(t testing.TB, status int, code string) problem {
	t.Helper()
	var p problem
	a.into(t, status, &p)
	if p.Error.Code != code || p.Error.Message == "" {
		t.Fatalf("code %q, want %q: %s", p.Error.Code, code, a.body)
	}
	return p
}

// body is a valid creation for a token with the changes applied; nil takes a
// field away.
func body(changes map[string]any) string {
	m := map[string]any{
		"credential_type": "shared_payment_token", "network_id": "profile_test_1", "amount": 1500, "currency": "usd",
		"context": why, "request_approval": true,
	}
	for k, v := range changes {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (f *fixture) create(changes map[string]any) wireRequest {
	f.t.Helper()
	var v wireRequest
	f.call(StaticToken, http.MethodPost, "/spend_requests", body(changes)).into(f.t, http.StatusOK, &v)
	return v
}

func (f *fixture) get(id, query string) wireRequest {
	f.t.Helper()
	var v wireRequest
	f.call(StaticToken, http.MethodGet, "/spend_requests/"+id+query, "").into(f.t, http.StatusOK, &v)
	return v
}

func (f *fixture) wantStatus(id string, want Status) {
	f.t.Helper()
	if got := f.get(id, "").Status; got != want {
		f.t.Fatalf("status %s, want %s", got, want)
	}
}

var tokenInput = regexp.MustCompile(`name="token" value="([^"]*)"`)

// formTokenOf reads the token out of the first form of a page.
func (f *fixture) formTokenOf(path string) string {
	f.t.Helper()
	m := tokenInput.FindStringSubmatch(f.page(path).body)
	if m == nil {
		f.t.Fatalf("no form on %s", path)
	}
	return html.UnescapeString(m[1])
}

// click presses approve, deny or cancel on the page of a request.
func (f *fixture) click(id, what string) answer {
	f.t.Helper()
	path := "/wallet/requests/" + id
	return f.postForm(path+"/"+what, true, url.Values{"token": {f.formTokenOf(path)}})
}

var errOut = errors.New("out of order")
