package remote_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"paywall/money"
	"paywall/pricing/remote"
)

func usd(t testing.TB, s string) money.Amount {
	t.Helper()
	a, err := money.ParsePrice(s + " USD")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// hook is a price server that counts questions.
type hook struct {
	*httptest.Server

	asked atomic.Int64
	last  atomic.Pointer[string]
}

func newHook(t *testing.T, answer http.HandlerFunc) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		said := string(body)
		h.last.Store(&said)
		answer(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

func says(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, s) }
}

func pricer(t testing.TB, cfg remote.Config) *remote.Pricer {
	t.Helper()
	p, err := remote.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ask(t testing.TB, method, target string) *http.Request {
	t.Helper()
	return httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody)
}

func TestQuestion(t *testing.T) {
	h := newHook(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer hook" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v", r.Method, r.Header)
		}
		io.WriteString(w, `{"price":"2.50 USD","version":"v7","description":"A report"}`)
	})
	p := pricer(t, remote.Config{URL: h.URL, Header: http.Header{"authorization": {"Bearer hook"}}, Forward: []string{"x-tier"}})
	r := ask(t, "POST", "/a%2Bb?x=1&y=%20")
	r.Header.Set("X-Tier", "pro")
	r.Header.Set("Cookie", "secret")
	q, err := p.Quote(t.Context(), r, []byte("body"))
	if err != nil || q.Amount.String() != "2.50 USD" || q.Version != "v7" || q.Description != "A report" {
		t.Fatalf("%+v, %v", q, err)
	}
	var asked map[string]any
	if err := json.Unmarshal([]byte(*h.last.Load()), &asked); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("body"))
	for name, want := range map[string]string{"method": "POST", "path": "/a%2Bb", "query": "x=1&y=%20", "digest": "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"} {
		if got, _ := asked[name].(string); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if fmt.Sprint(asked["headers"]) != "map[X-Tier:pro]" || strings.Contains(*h.last.Load(), "secret") {
		t.Errorf("headers %v", asked["headers"])
	}
}

// Hostile and broken answers are no price; with a fallback, that is it.
func TestAnswers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"nothing":            says(``),
		"not JSON":           says(`1.00 USD`),
		"no price":           says(`{"version":"1"}`),
		"a number":           says(`{"price":1.00}`),
		"zero":               says(`{"price":"0.00 USD"}`),
		"negative":           says(`{"price":"-1.00 USD"}`),
		"no currency":        says(`{"price":"1.00"}`),
		"price twice":        says(`{"price":"9.00 USD","price":"1.00 USD"}`),
		"another case":       says(`{"Price":"1.00 USD"}`),
		"unknown member":     says(`{"price":"1.00 USD","free":true}`),
		"behind it":          says(`{"price":"1.00 USD"}{"price":"9.00 USD"}`),
		"null":               says(`null`),
		"line breaks":        says(`{"price":"1.00 USD","description":"a\r\nX: y"}`),
		"quotes":             says(`{"price":"1.00 USD","description":"a\"b"}`),
		"a long version":     says(`{"price":"1.00 USD","version":"` + strings.Repeat("v", 33) + `"}`),
		"a long description": says(`{"price":"1.00 USD","description":"` + strings.Repeat("v", 201) + `"}`),
		"not ASCII":          says(`{"price":"1.00 USD","description":"é"}`),
		"too long":           says(`{"price":"1.00 USD"}` + strings.Repeat(" ", 70<<10)),
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		},
		"404": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"price":"1.00 USD"}`)
		},
		"201": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, `{"price":"1.00 USD"}`)
		},
		"500": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "secret cause", http.StatusInternalServerError)
		},
		"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHook(t, answer)
			q, err := pricer(t, remote.Config{URL: h.URL}).Quote(t.Context(), ask(t, "GET", "/"), nil)
			if err == nil {
				t.Errorf("priced %s", q.Amount)
			}
			if _, ok := errors.AsType[interface {
				error
				Unpriced() string
			}](err); ok || err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is the client's fault, or shows the answer: %v", err)
			}
			q, err = pricer(t, remote.Config{URL: h.URL, Fallback: usd(t, "3.00")}).Quote(t.Context(), ask(t, "GET", "/"), nil)
			if err != nil || q.Amount.String() != "3.00 USD" || q.Version != "" {
				t.Errorf("fallback: %+v, %v", q, err)
			}
		})
	}
}

func TestRedirect(t *testing.T) {
	elsewhere := newHook(t, says(`{"price":"0.01 USD"}`))
	for _, status := range []int{301, 302, 303, 307, 308} {
		h := newHook(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) })
		if q, err := pricer(t, remote.Config{URL: h.URL}).Quote(t.Context(), ask(t, "GET", "/"), nil); err == nil {
			t.Errorf("%d: priced %s", status, q.Amount)
		}
	}
	if n := elsewhere.asked.Load(); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
}

func TestCache(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	h := newHook(t, says(`{"price":"1.00 USD"}`))
	p := pricer(t, remote.Config{URL: h.URL, Cache: 10 * time.Second, Forward: []string{"X-Tier"}, Now: func() time.Time { return now }})
	quote := func(target, tier, body string) {
		t.Helper()
		r := ask(t, "GET", target)
		if tier != "" {
			r.Header.Set("X-Tier", tier)
		}
		if _, err := p.Quote(t.Context(), r, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name               string
		add                time.Duration
		target, tier, body string
		asked              int64
	}{
		{"first", 0, "/a", "", "", 1},
		{"again", 9 * time.Second, "/a", "", "", 1},
		{"at the end of its time", time.Second, "/a", "", "", 2},
		{"another path", 0, "/b", "", "", 3},
		{"another query", 0, "/a?x", "", "", 4},
		{"another field", 0, "/a", "pro", "", 5},
		{"another body", 0, "/a", "", "x", 6},
		{"the same body", 0, "/a", "", "x", 6},
	} {
		now = now.Add(tt.add)
		quote(tt.target, tt.tier, tt.body)
		if got := h.asked.Load(); got != tt.asked {
			t.Errorf("%s: asked %d times, want %d", tt.name, got, tt.asked)
		}
	}
	never := pricer(t, remote.Config{URL: h.URL, Cache: -1})
	before := h.asked.Load()
	for range 2 {
		if _, err := never.Quote(t.Context(), ask(t, "GET", "/a"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.asked.Load() - before; got != 2 {
		t.Errorf("without a cache: asked %d times", got)
	}
}

// A failure is not kept: the next request asks again.
func TestFailureIsNotKept(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	h := newHook(t, func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		io.WriteString(w, `{"price":"1.00 USD"}`)
	})
	p := pricer(t, remote.Config{URL: h.URL, Fallback: usd(t, "7.00")})
	for _, want := range []string{"7.00 USD", "1.00 USD"} {
		q, err := p.Quote(t.Context(), ask(t, "GET", "/"), nil)
		if err != nil || q.Amount.String() != want {
			t.Errorf("%s, %v; want %s", q.Amount, err, want)
		}
		broken.Store(false)
	}
}

// Requests that look alike and come together are one question.
func TestSingleFlight(t *testing.T) {
	arrived, goOn := make(chan struct{}, 100), make(chan struct{})
	h := newHook(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-goOn
		io.WriteString(w, `{"price":"1.00 USD"}`)
	})
	p := pricer(t, remote.Config{URL: h.URL, Cache: -1, Timeout: time.Minute})
	var wg sync.WaitGroup
	var priced atomic.Int64
	started := make(chan struct{}, 20)
	for range 20 {
		wg.Go(func() {
			started <- struct{}{}
			if q, err := p.Quote(t.Context(), ask(t, "GET", "/"), nil); err == nil && q.Amount.String() == "1.00 USD" {
				priced.Add(1)
			}
		})
	}
	for range 20 {
		<-started
	}
	<-arrived
	close(goOn)
	wg.Wait()
	if priced.Load() != 20 {
		t.Errorf("%d of 20 were priced", priced.Load())
	}
	if n := h.asked.Load(); n > 20 {
		t.Errorf("asked %d times", n)
	}
}

// transport answers in the test's own time.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A hook that hangs costs its timeout and no more; whoever waits for another's
// question can hang up.
func TestTimeoutAndSharing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		p := pricer(t, remote.Config{URL: "https://hook.example", Timeout: 3 * time.Second, Cache: time.Second, Client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			asked.Add(1)
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}})
		start := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if q, err := p.Quote(t.Context(), ask(t, "GET", "/"), nil); err == nil {
					t.Errorf("priced %s", q.Amount)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 3*time.Second || asked.Load() != 1 {
			t.Errorf("took %s and asked %d times, want 3s and once", took, asked.Load())
		}
	})
}

func TestConfig(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://hook.example/price": true, "http://127.0.0.1:1/x": true, "http://localhost/x": true, "http://[::1]/x": true,
		"": false, "hook.example": false, "http://hook.example": false, "http://10.0.0.1": false, "ftp://127.0.0.1": false, "https://u:p@hook.example": false, "https://": false, "http://localhost.evil.example": false,
	} {
		if _, err := remote.New(remote.Config{URL: url}); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
	if all := pricer(t, remote.Config{URL: "https://h.example"}).Prices(); len(all) != 0 {
		t.Errorf("lists %v", all)
	}
	if all := pricer(t, remote.Config{URL: "https://h.example", Fallback: usd(t, "1.00")}).Prices(); len(all) != 1 {
		t.Errorf("lists %v", all)
	}
}

// FuzzAnswer holds answers to one reading: what is priced names a positive price
// that prints as it was written.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{`{"price":"1.00 USD"}`, `{"price":"1.00 USD","version":"1"}`, `{"price":"0 USD"}`, `{"price":"1.00 USD","price":"2.00 USD"}`, `[]`, `{"price":"1 JPY"} `} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		p := pricer(t, remote.Config{URL: "https://hook.example", Cache: -1, Client: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}, nil
		})}})
		q, err := p.Quote(t.Context(), ask(t, "GET", "/"), nil)
		if err != nil {
			return
		}
		var plain struct{ Price string }
		if err := json.Unmarshal([]byte(answer), &plain); err != nil || !q.Amount.IsPositive() {
			t.Fatalf("%q is priced %s: %v", answer, q.Amount, err)
		}
		again, err := money.ParsePrice(plain.Price)
		if err != nil || again != q.Amount {
			t.Errorf("%q is priced %s, and says %s", answer, q.Amount, plain.Price)
		}
	})
}
