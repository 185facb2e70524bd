package sandbox_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"paywall/sandbox"
)

// Every kind of fault, seen from the client and from the audit.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fault   string
		status  int    // zero: no answer
		body    string // a part of it
		broken  bool   // the body ends too early
		charges int
		again   int // the status of the same call without the fault
	}{
		{name: "B047 lost before", fault: `{"kind":"drop_before"}`, charges: 0, again: 200},
		{name: "B047 lost after commit", fault: `{"kind":"drop_after"}`, charges: 1, again: 200},
		{name: "B055 truncated JSON", fault: `{"kind":"truncate"}`, status: 200, body: `{"amount":100`, charges: 1, again: 200},
		{name: "B055 cut in the body", fault: `{"kind":"cut"}`, status: 200, broken: true, charges: 1, again: 200},
		{name: "delay", fault: `{"kind":"delay","delay_ms":1}`, status: 200, body: `"succeeded"`, charges: 1, again: 200},
		{name: "delay after", fault: `{"kind":"delay_after","delay_ms":1}`, status: 200, body: `"succeeded"`, charges: 1, again: 200},
		{name: "status", fault: `{"kind":"status","status":503,"retry_after":2}`, status: 503, body: "api_error", charges: 0, again: 200},
		{name: "status, moved", fault: `{"kind":"status","moved":true}`, status: 500, body: "api_error", charges: 1, again: 200},
		{name: "HTML", fault: `{"kind":"html"}`, status: 502, body: "<h1>", charges: 0, again: 200},
		{name: "B050 stored, not moved", fault: `{"kind":"stored_500"}`, status: 500, body: "api_error", charges: 0, again: 500},
		{name: "B049 stored, moved", fault: `{"kind":"stored_500","moved":true}`, status: 500, body: "api_error", charges: 1, again: 500},
		{name: "B051 conflict", fault: `{"kind":"conflict"}`, status: 409, body: "idempotency_key_in_use", charges: 0, again: 200},
		{name: "B052 rate limit", fault: `{"kind":"rate_limit","retry_after":3}`, status: 429, body: `"rate_limit"`, charges: 0, again: 200},
		{name: "B052 lock", fault: `{"kind":"rate_limit","code":"lock_timeout"}`, status: 429, body: `"lock_timeout"`, charges: 0, again: 200},
		{name: "B056 redirect", fault: `{"kind":"redirect","location":"http://127.0.0.1:1/x"}`, status: 307, charges: 0, again: 200},
		{name: "B055 garbage", fault: `{"kind":"garbage","size":2000}`, status: 200, body: "<{garbage]>", charges: 0, again: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t, sandbox.Config{Seed: 5})
			spt := b.token(100)
			b.order(strings.Replace(tt.fault, "}", `,"path":"/v1/payment_*","method":"post","count":1}`, 1))
			got := b.stripe(http.MethodPost, "/v1/payment_intents", sale(spt, 100), "k")
			if tt.status == 0 && !errors.Is(got.err, io.EOF) {
				t.Errorf("want a cut connection, got %d %q %v", got.status, got.body, got.err)
			}
			if got.status != tt.status || !strings.Contains(got.body, tt.body) {
				t.Errorf("got %d %q %v", got.status, got.body, got.err)
			}
			if tt.broken != errors.Is(got.err, io.ErrUnexpectedEOF) {
				t.Errorf("body ended with %v", got.err)
			}
			if tt.name == "B055 truncated JSON" && (got.err != nil || json.Valid([]byte(got.body))) {
				t.Errorf("%q %v", got.body, got.err)
			}
			if strings.Contains(tt.fault, "retry_after") == (got.header.Get("Retry-After") == "") {
				t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
			}
			a := b.Audit()
			if a.Totals.Charges != tt.charges || len(a.Calls) != 1 || a.Calls[0].Fault == "" || a.Calls[0].Status != tt.status {
				t.Errorf("audit %+v %+v", a.Totals, a.Calls)
			}
			if (a.Calls[0].Executed != 0) != (tt.charges == 1 || tt.again == 500) {
				t.Errorf("executed %+v", a.Calls[0])
			}
			if again := b.stripe(http.MethodPost, "/v1/payment_intents", sale(spt, 100), "k"); again.status != tt.again {
				t.Errorf("again: %d %s", again.status, again.body)
			}
			want := 1
			if tt.name == "B050 stored, not moved" {
				want = 0
			}
			if n := b.Audit().Totals.Charges; n != want {
				t.Errorf("%d charges in the end, want %d", n, want)
			}
		})
	}
}

// B048: a processor that is silent for a minute has charged at once, or will,
// though nobody waits.
func TestB048_BlackHole(t *testing.T) {
	for _, kind := range []string{sandbox.Delay, sandbox.DelayAfter} {
		synctest.Test(t, func(t *testing.T) {
			s, err := sandbox.New(sandbox.Config{BaseURL: "http://127.0.0.1:4022"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Order(sandbox.Fault{Kind: kind, DelayMS: 60_000}); err != nil {
				t.Fatal(err)
			}
			spt, err := s.Stripe().Grant("pm_card_visa", "usd", 100, s.Now().Add(time.Hour), "")
			if err != nil {
				t.Fatal(err)
			}
			var answered atomic.Bool
			go func() {
				r := httptest.NewRequest(http.MethodPost, "/v1/payment_intents", strings.NewReader(sale(spt, 100)))
				r.Header.Set("Authorization", "Bearer sk_test_x")
				r.Header.Set("Stripe-Version", previewed)
				s.Handler().ServeHTTP(httptest.NewRecorder(), r)
				answered.Store(true)
			}()
			time.Sleep(59 * time.Second)
			synctest.Wait()
			want := 0
			if kind == sandbox.DelayAfter {
				want = 1
			}
			if n := s.Audit().Totals.Charges; n != want || answered.Load() {
				t.Errorf("%s: %d charges after 59 s, answered %v", kind, n, answered.Load())
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if n := s.Audit().Totals.Charges; n != 1 || !answered.Load() {
				t.Errorf("%s: %d charges after a minute, answered %v", kind, n, answered.Load())
			}
		})
	}
}

// A slow body is whole in the end.
func TestB055_SlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := sandbox.New(sandbox.Config{BaseURL: "http://127.0.0.1:4022"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Order(sandbox.Fault{Kind: sandbox.SlowBody, DelayMS: 1000}); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/v1/charges", nil)
		r.Header.Set("Authorization", "Bearer sk_test_x")
		w := httptest.NewRecorder()
		begin := time.Now()
		s.Handler().ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || time.Since(begin) != time.Duration(w.Body.Len())*time.Second {
			t.Errorf("%s after %s", w.Body, time.Since(begin))
		}
	})
}

func TestFaultMatching(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault sandbox.Fault
		hits  string // of five GETs of /v1/charges: x where it happens
	}{
		{"every call", sandbox.Fault{}, "xxxxx"},
		{"a prefix", sandbox.Fault{Path: "/v1/"}, "xxxxx"},
		{"a pattern", sandbox.Fault{Path: "/v1/*s"}, "xxxxx"},
		{"another pattern", sandbox.Fault{Path: "/v1/*x"}, "....."},
		{"another path", sandbox.Fault{Path: "/v2"}, "....."},
		{"another method", sandbox.Fault{Method: "POST"}, "....."},
		{"method in lower case", sandbox.Fault{Method: "get"}, "xxxxx"},
		{"counted", sandbox.Fault{Count: 2}, "xx..."},
		{"skipped", sandbox.Fault{Skip: 3}, "...xx"},
		{"skipped and counted", sandbox.Fault{Skip: 1, Count: 1}, ".x..."},
		{"certain", sandbox.Fault{Probability: 1}, "xxxxx"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t, sandbox.Config{})
			tt.fault.Kind = sandbox.Status
			if _, err := b.Order(tt.fault); err != nil {
				t.Fatal(err)
			}
			if got := hits(b, 5); got != tt.hits {
				t.Errorf("got %s, want %s", got, tt.hits)
			}
		})
	}
}

func hits(b *box, n int) string {
	var got strings.Builder
	for range n {
		switch b.stripe(http.MethodGet, "/v1/charges", "", "").status {
		case http.StatusOK:
			got.WriteByte('.')
		case http.StatusInternalServerError:
			got.WriteByte('x')
		}
	}
	return got.String()
}

// Chance repeats with its seed.
func TestFaultChance(t *testing.T) {
	story := func(seed uint64) string {
		b := newBox(t, sandbox.Config{Seed: 9})
		if _, err := b.Order(sandbox.Fault{Kind: sandbox.Status, Probability: 0.5, Seed: seed}); err != nil {
			t.Fatal(err)
		}
		return hits(b, 40)
	}
	first := story(1)
	if again := story(1); again != first || !strings.Contains(first, "x") || !strings.Contains(first, ".") {
		t.Errorf("%s and %s", first, again)
	}
	if other := story(2); other == first {
		t.Errorf("two seeds, one story: %s", other)
	}
}

func TestFaultOrders(t *testing.T) {
	b := newBox(t, sandbox.Config{})
	for _, bad := range []string{
		`{}`, `{"kind":"explode"}`, `{"kind":"status","path":"v1"}`, `{"kind":"status","path":"/[","count":1}`, `{"kind":"status","status":42}`,
		`{"kind":"delay"}`, `{"kind":"slow_body","delay_ms":-1}`, `{"kind":"delay","delay_ms":99999999}`, `{"kind":"status","probability":2}`,
		`{"kind":"status","count":-1}`, `{"kind":"garbage","size":999999999}`, `{"kind":"rate_limit","code":"x"}`, `{"kind":"redirect","location":"/x"}`,
		`{"kind":"status","colour":"red"}`, `[]`, `{"kind":"status"}x`, ``,
	} {
		if r := b.control(http.MethodPost, "faults", bad); r.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, r.status, r.body)
		}
	}
	if _, err := b.Order(sandbox.Fault{Kind: "explode"}); !isFaultError(err, "kind") {
		t.Errorf("got %v", err)
	}
	id, err := b.Order(sandbox.Fault{Kind: sandbox.HTML, Count: 3})
	if err != nil {
		t.Fatal(err)
	}
	b.order(`{"kind":"status"}`)
	list := b.control(http.MethodGet, "faults", "").decode(t)
	if all, _ := list["faults"].([]any); len(all) != 2 {
		t.Errorf("in force: %v", list)
	}
	if r := b.control(http.MethodDelete, "faults/"+id, ""); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := b.control(http.MethodDelete, "faults/"+id, ""); r.status != http.StatusNotFound {
		t.Errorf("%d %s", r.status, r.body)
	}
	if got := hits(b, 2); got != "xx" {
		t.Errorf("the other fault is gone: %s", got)
	}
	b.control(http.MethodDelete, "faults", "")
	if got := hits(b, 2); got != ".." {
		t.Errorf("faults remain: %s", got)
	}
}

func isFaultError(err error, member string) bool {
	e, ok := errors.AsType[*sandbox.FaultError](err)
	return ok && e.Member == member
}
