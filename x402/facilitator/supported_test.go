package facilitator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"paywall/x402"
	"paywall/x402/facilitator"
)

// world is what facilitators say, by host.
type world struct {
	mu     sync.Mutex // guards what follows
	says   map[string]func() (*http.Response, error)
	asked  map[string]int
	method string
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[r.URL.Host]++
	w.method = r.Method + " " + r.URL.Path
	return w.says[r.URL.Host]()
}

func (w *world) set(host string, say func() (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.says == nil {
		w.says, w.asked = map[string]func() (*http.Response, error){}, map[string]int{}
	}
	w.says[host] = say
}

func (w *world) count(host string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[host]
}

func ok(body string) func() (*http.Response, error) {
	return func() (*http.Response, error) { return said(200, body), nil }
}

func down() (*http.Response, error) { return nil, errors.New("down") }

func picked(t *testing.T, c *facilitator.Client, scheme, network, want string, cause error) {
	t.Helper()
	got, extra, err := c.Pick(2, scheme, network)
	if got != want || !errors.Is(err, cause) || err == nil && !json.Valid(extra) {
		t.Errorf("%s on %s: %q, %s, %v; want %q, %v", scheme, network, got, extra, err, want, cause)
	}
}

func TestPick(t *testing.T) {
	w := &world{}
	w.set("one", ok(kinds(t, "exact eip155:8453", "exact eip155:1", "exact solana:x")))
	w.set("two", ok(`{"kinds":[{"x402Version":2,"scheme":"upto","network":"eip155:8453","extra":{"z":1,"facilitatorAddress":"0x1"}},
		{"x402Version":2,"scheme":"exact","network":"eip155:8453"},{"x402Version":1,"scheme":"exact","network":"base"},{"x402Version":2,"scheme":"exact","network":"eip155:1"}]}`))
	c := newClient(t, facilitator.Config{Transport: w, Endpoints: []facilitator.Endpoint{
		{Name: "first", URL: "https://one", Networks: []string{"eip155:8453", "solana:*"}}, {Name: "second", URL: "https://two/"},
	}})
	picked(t, c, "exact", "eip155:8453", "", facilitator.ErrUnknown)
	if err := c.Ready(); !errors.Is(err, facilitator.ErrUnknown) {
		t.Errorf("ready: %v", err)
	}
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.method != "GET /supported" {
		t.Error(w.method)
	}
	picked(t, c, "exact", "eip155:8453", "first", nil) // both do
	picked(t, c, "exact", "eip155:1", "second", nil)   // the first is not to be used for it
	picked(t, c, "exact", "solana:x", "first", nil)
	picked(t, c, "upto", "eip155:8453", "second", nil)
	picked(t, c, "upto", "eip155:1", "", facilitator.ErrUnsupported)
	picked(t, c, "exact", "base", "", facilitator.ErrUnsupported)
	if name, _, err := c.Pick(1, "exact", "base"); err != nil || name != "second" {
		t.Errorf("version 1: %s %v", name, err)
	}
	if _, extra, _ := c.Pick(2, "upto", "eip155:8453"); string(extra) != `{"facilitatorAddress":"0x1","z":1}` {
		t.Errorf("extra %s", extra)
	}
	if err := c.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
}

// TestPick_FailsClosed: of an answer that is none, nothing is offered; what was said
// before counts for a day.
func TestPick_FailsClosed(t *testing.T) {
	good := kinds(t, "exact eip155:8453")
	for name, say := range map[string]func() (*http.Response, error){
		"down":           down,
		"redirected":     func() (*http.Response, error) { return said(302, good, "Location", "https://elsewhere/"), nil },
		"refused":        func() (*http.Response, error) { return said(401, good), nil },
		"failing":        func() (*http.Response, error) { return said(500, good), nil },
		"empty":          ok(""),
		"an object":      ok("{}"),
		"null":           ok(`{"kinds":null}`),
		"another type":   ok(`{"kinds":{"0":{}}}`),
		"another case":   ok(strings.Replace(good, "kinds", "Kinds", 1)),
		"twice":          ok(`{"kinds":[],"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:8453"}]}`),
		"a page":         ok("<html>"),
		"and more":       ok(good + good),
		"too large":      ok(good + strings.Repeat(" ", 256<<10)),
		"no such kind":   ok(kinds(t, "exact eip155:1")),
		"an odd kind":    ok(`{"kinds":[{"x402Version":"2","scheme":"exact","network":"eip155:8453"}]}`),
		"a kind of case": ok(`{"kinds":[{"x402version":2,"scheme":"exact","network":"eip155:8453"}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1_800_000_000, 0)
			w := &world{}
			w.set("one", say)
			c := newClient(t, facilitator.Config{Transport: w, Now: func() time.Time { return now }, Endpoints: []facilitator.Endpoint{{URL: "https://one"}}})
			err := c.Refresh(t.Context())
			if name, _, perr := c.Pick(2, "exact", "eip155:8453"); perr == nil {
				t.Fatalf("picked %s", name)
			}
			if err == nil {
				return // an answer, of other kinds
			}
			w.set("one", ok(good))
			if err := c.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.set("one", say)
			now = now.Add(24 * time.Hour)
			if err := c.Refresh(t.Context()); err == nil {
				t.Fatal("it is no answer")
			}
			picked(t, c, "exact", "eip155:8453", "https://one", nil)
			now = now.Add(time.Second)
			picked(t, c, "exact", "eip155:8453", "", facilitator.ErrUnknown)
			if !errors.Is(c.Ready(), facilitator.ErrUnknown) {
				t.Error("it is ready")
			}
		})
	}
}

// TestStart: reading goes on in the background, sooner after a failure, and ends.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.set("one", down)
		w.set("two", ok(kinds(t, "exact eip155:1")))
		var log journal
		c := newClient(t, facilitator.Config{
			Transport: w, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Endpoints: []facilitator.Endpoint{{Name: "first", URL: "https://one"}, {Name: "second", URL: "https://two"}},
			Needs:     []x402.Kind{{Version: 2, Scheme: "exact", Network: "eip155:8453"}, {Version: 2, Scheme: "exact", Network: "eip155:1"}},
		})
		c.Start(t.Context())
		c.Start(t.Context()) // once is enough
		picked(t, c, "exact", "eip155:1", "second", nil)
		if err := c.Ready(); err == nil || !strings.Contains(err.Error(), "eip155:8453") || strings.Contains(err.Error(), "eip155:1:") {
			t.Errorf("ready: %v", err)
		}
		time.Sleep(20 * time.Second) // 5 and 10, each a tenth more or less
		synctest.Wait()
		if n := w.count("one"); n != 3 {
			t.Errorf("%d tries", n)
		}
		w.set("one", ok(kinds(t, "exact eip155:8453")))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		picked(t, c, "exact", "eip155:8453", "first", nil)
		if err := c.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
		if n := strings.Count(log.String(), "facilitator cannot be read"); n != 3 || !strings.Contains(log.String(), "first") {
			t.Errorf("%d warnings: %s", n, log.String())
		}
		before := w.count("two")
		w.set("two", ok(kinds(t, "exact eip155:2")))
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if w.count("two") == before {
			t.Error("not refreshed")
		}
		picked(t, c, "exact", "eip155:2", "second", nil)
		picked(t, c, "exact", "eip155:1", "", facilitator.ErrUnsupported)

		if err := c.Close(); err != nil {
			t.Error(err)
		}
		before = w.count("one")
		time.Sleep(time.Hour)
		c.Start(t.Context()) // too late
		time.Sleep(time.Hour)
		if w.count("one") != before {
			t.Error("still asking")
		}
	})
}

func TestSupported_Busy(t *testing.T) {
	for _, tt := range []struct {
		after string
		fails int // how often it is busy first
		took  time.Duration
		tries int
		good  bool
	}{
		{after: "7", fails: 2, took: 14 * time.Second, tries: 3, good: true},
		{after: "7", fails: 3, took: 14 * time.Second, tries: 3},
		{after: "3600", fails: 1, took: 30 * time.Second, tries: 2, good: true},
		{after: "", fails: 1, took: time.Second, tries: 2, good: true},
	} {
		t.Run(fmt.Sprintf("%d times %s", tt.fails, tt.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, left := &world{}, tt.fails
				w.set("one", func() (*http.Response, error) {
					if left--; left >= 0 {
						return said(429, "busy", "Retry-After", tt.after), nil
					}
					return said(200, kinds(t, "exact eip155:1")), nil
				})
				c := newClient(t, facilitator.Config{Transport: w, Endpoints: []facilitator.Endpoint{{URL: "https://one"}}})
				began := time.Now()
				err := c.Refresh(t.Context())
				if (err == nil) != tt.good || time.Since(began) != tt.took || w.count("one") != tt.tries {
					t.Errorf("%v after %s and %d tries", err, time.Since(began), w.count("one"))
				}
			})
		})
	}
}

// TestSupported_Log: what a facilitator writes reaches the log short and printable, and
// not at all where it may repeat what it was sent.
func TestSupported_Log(t *testing.T) {
	text := "no\x1b[31m key\n" + strings.Repeat("x", 500)
	for name, tt := range map[string]struct {
		auth  facilitator.Auth
		quote bool
	}{
		"nothing was sent": {quote: true},
		"a key was sent":   {auth: facilitator.Headers(http.Header{"X-Key": {secret}})},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{}
			w.set("one", func() (*http.Response, error) { return said(403, text+secret), nil })
			c := newClient(t, facilitator.Config{Transport: w, Endpoints: []facilitator.Endpoint{{URL: "https://one", Auth: tt.auth}}})
			err := c.Refresh(t.Context())
			if !errors.Is(err, facilitator.ErrAnswer) {
				t.Fatal(err)
			}
			said := err.Error()
			if strings.ContainsAny(said, "\x1b\n") || strings.Contains(said, "no.[31m key.") != tt.quote || strings.Contains(said, strings.Repeat("x", 201)) || strings.Contains(said, secret) {
				t.Errorf("%q", said)
			}
		})
	}
}

// FuzzSupported: whatever is picked was said so, letter for letter.
func FuzzSupported(f *testing.F) {
	f.Add(`{"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:1","extra":{"a":null}}]}`)
	f.Add(`{"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:1"},7,null]}`)
	f.Add(`{"kinds":[]}`)
	f.Fuzz(func(t *testing.T, body string) {
		c := newClient(t, facilitator.Config{Transport: trip(func(*http.Request) (*http.Response, error) { return said(200, body), nil }), Endpoints: []facilitator.Endpoint{{URL: where}}})
		if c.Refresh(t.Context()) != nil {
			return
		}
		var read map[string]any
		if err := json.Unmarshal([]byte(body), &read); err != nil {
			t.Fatalf("taken, and no JSON: %v", err)
		}
		list, ok := read["kinds"].([]any)
		if !ok {
			t.Fatal("taken without a list of kinds")
		}
		expected := false
		for _, one := range list {
			k, _ := one.(map[string]any)
			expected = expected || k["x402Version"] == 2.0 && k["scheme"] == "exact" && k["network"] == "eip155:1"
		}
		if _, extra, err := c.Pick(2, "exact", "eip155:1"); err == nil && (!expected || !json.Valid(extra)) {
			t.Errorf("picked with extra %q, though it was never said", extra)
		}
	})
}
