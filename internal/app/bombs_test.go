package app

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"paywall/internal/config"
	"paywall/methods/stripe"
)

// A compressed event is not unpacked, whoever signed it: not the bomb, and not
// the harmless one either.
func TestD092_CompressedEvents(t *testing.T) {
	h := build(t, plan{deaf: true})
	p := h.payment(h.buy(http.MethodGet, "/v1/reports/7", "").id)
	public := h.server.public()
	harmless := refundOf("evt_1", p).body(t)
	for name, plain := range map[string]io.Reader{
		"bomb":     io.MultiReader(strings.NewReader(`{"a":"`), io.LimitReader(zeros{}, 64<<20), strings.NewReader(`"}`)),
		"harmless": bytes.NewReader(harmless),
	} {
		var packed bytes.Buffer
		zw := gzip.NewWriter(&packed)
		_, err := io.Copy(zw, plain)
		h.must(err)
		h.must(zw.Close())
		for _, coding := range []string{"gzip", "br", "zstd", "identity, gzip", ""} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/stripe", bytes.NewReader(packed.Bytes()))
			r.Header.Set("Content-Encoding", coding)
			r.Header.Set("Stripe-Signature", signed(packed.Bytes()))
			w := httptest.NewRecorder()
			if cost := allocated(func() { public.ServeHTTP(w, r) }); cost > 4<<20 {
				t.Errorf("%s as %q: %d bytes were allocated for %d", name, coding, cost, packed.Len())
			}
			if w.Code != http.StatusBadRequest {
				t.Errorf("%s as %q: %d %s", name, coding, w.Code, w.Body)
			}
		}
	}
	if q := h.payment(p.ID); q.Revision != p.Revision {
		t.Errorf("changed to %s", q.State)
	}
}

// What an upstream compresses is passed on as it is, at the size that it has.
func TestD092_CompressedAnswers(t *testing.T) {
	h := build(t, plan{deaf: true})
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	_, err := io.Copy(zw, io.LimitReader(zeros{}, 64<<20))
	h.must(err)
	h.must(zw.Close())
	h.api.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	})
	h.client.Transport = &http.Transport{DisableCompression: true}
	for _, path := range []string{"/v1/reports/7", "/health"} {
		var headers []string
		if path != "/health" {
			headers = []string{h.quote(http.MethodGet, path, "")}
		}
		a := h.do(http.MethodGet, path, "", headers...)
		if a.status != http.StatusOK || a.header.Get("Content-Encoding") != "gzip" || a.body != packed.String() {
			t.Errorf("%s: %d, coded %q, %d bytes of %d", path, a.status, a.header.Get("Content-Encoding"), len(a.body), packed.Len())
		}
	}
}

// An API's own description is not unpacked, and not cut off where it is too large.
func TestD092_Descriptions(t *testing.T) {
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"openapi":"3.1.0"}`) }
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer behind.Close()
	at, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() ([]byte, error) {
		return fetchDocument(t.Context(), config.Upstream{URL: at, OpenAPI: config.Document{Path: "/openapi.json"}})
	}
	if doc, err := ask(); err != nil || string(doc) != `{"openapi":"3.1.0"}` {
		t.Errorf("%q, %v", doc, err)
	}
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	_, _ = io.Copy(zw, io.LimitReader(zeros{}, 64<<20))
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	answer = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("%s is asked for", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}
	if doc, err := ask(); err != nil || !bytes.Equal(doc, packed.Bytes()) {
		t.Errorf("packed: %d bytes of %d, %v", len(doc), packed.Len(), err)
	}
	answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, io.LimitReader(zeros{}, 8<<20+1)) }
	if doc, err := ask(); err == nil {
		t.Errorf("%d bytes are taken", len(doc))
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// allocated is how many bytes were allocated while f ran.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Input that is made to be dear to read is refused, and twice as much of it costs
// no more than about twice as much.
func TestD095_Bombs(t *testing.T) {
	h := build(t, plan{deaf: true, asleep: true, more: "trusted_proxies: [192.0.2.0/24]\nlimits: {failed_per_minute: 100000}"})
	public := h.server.public()
	get := func(target string, headers ...string) *http.Request {
		r := h.request(http.MethodGet, "/v1/reports/7", "", headers...)
		r.RequestURI, r.RemoteAddr = target, "192.0.2.1:1"
		return r
	}
	header := func(line string) *http.Request { return get("/v1/reports/7", line) }
	event := func(body string) *http.Request {
		r := get("/webhooks/stripe", "Stripe-Signature: "+signed([]byte(body)))
		r.Method, r.Body, r.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader(body)), int64(len(body))
		return r
	}
	packed := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, bomb := range map[string]func(n int) *http.Request{
		"dots of a token":        func(n int) *http.Request { return header("Authorization: Bearer " + strings.Repeat(".", n)) },
		"a token of three parts": func(n int) *http.Request { return header("Authorization: Bearer a." + strings.Repeat("a", n) + ".a") },
		"nested JSON in a token": func(n int) *http.Request {
			return header("Authorization: Bearer " + packed(strings.Repeat("[", n)) + ".e30.AA")
		},
		"nested JSON of a payment": func(n int) *http.Request { return header("Authorization: Payment " + packed(strings.Repeat("[", n))) },
		"members of a payment": func(n int) *http.Request {
			return header("Authorization: Payment " + packed("{"+strings.Repeat(`"a":1,`, n/6)+`"b":1}`))
		},
		"parameters of a scheme": func(n int) *http.Request {
			return header("Authorization: Payment " + strings.Repeat(`a="b", `, n/7) + "c=d")
		},
		"commas":                    func(n int) *http.Request { return header("Authorization: Payment " + strings.Repeat(",", n)) },
		"quotes that are not ended": func(n int) *http.Request { return header("Authorization: Payment " + strings.Repeat(`\"`, n/2)) },
		"types that are accepted":   func(n int) *http.Request { return header("Accept: " + strings.Repeat("text/html;q=0.001,", n/18)) },
		"ways to pay": func(n int) *http.Request {
			return header("Accept-Payment: " + strings.Repeat("stripe/charge;q=0.001,", n/22))
		},
		"cookies": func(n int) *http.Request { return header("Cookie: " + strings.Repeat("a=b; ", n/5)) },
		"digests": func(n int) *http.Request { return header("Content-Digest: " + strings.Repeat("sha-256=:AA==:,", n/15)) },
		"hops": func(n int) *http.Request {
			return header("X-Forwarded-For: " + strings.Repeat("192.0.2.1,", n/10) + "192.0.2.1")
		},
		"idempotency keys":         func(n int) *http.Request { return header("Idempotency-Key: " + strings.Repeat("k", n)) },
		"pairs of a query":         func(n int) *http.Request { return get("/v1/reports/7?" + strings.Repeat("a=b&", n/4)) },
		"names of a query":         func(n int) *http.Request { return get("/v1/reports/7?" + strings.Repeat("a", n)) },
		"segments":                 func(n int) *http.Request { return get(strings.Repeat("/a", n/2)) },
		"dots of a path":           func(n int) *http.Request { return get("/v1/reports/" + strings.Repeat(".", n)) },
		"escapes of escapes":       func(n int) *http.Request { return get("/v1/reports/%" + strings.Repeat("25", n/2) + "2f") },
		"escapes to fold":          func(n int) *http.Request { return get("/v1/" + strings.Repeat("%2525%255c%3B", n/13)) },
		"nested lists of an event": func(n int) *http.Request { return event(strings.Repeat("[", n)) },
		"nested objects of an event": func(n int) *http.Request {
			return event(strings.Repeat(`{"a":`, n/5) + "1" + strings.Repeat("}", n/5))
		},
		"a number of an event": func(n int) *http.Request { return event(`{"created":` + strings.Repeat("9", n) + `}`) },
		"members of an event":  func(n int) *http.Request { return event("{" + strings.Repeat(`"id":"a",`, n/9) + `"b":1}`) },
		"signatures of an event": func(n int) *http.Request {
			r := event("{}")
			r.Header.Set("Stripe-Signature", "t=1"+strings.Repeat(",v1=00", n/6))
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Below the limits of a header, where it is read, and beyond, where it is not.
			for _, n := range []int{3500, 100_000} {
				var cost [2]uint64
				for i, n := range []int{n, 2 * n} {
					r := bomb(n)
					w := httptest.NewRecorder()
					cost[i] = allocated(func() { public.ServeHTTP(w, r) })
					if w.Code < 400 || w.Code > 499 {
						t.Errorf("%d bytes: %d %.200s", n, w.Code, w.Body)
					}
				}
				// What else runs in this process allocates a little, too.
				if cost[1] > 3*cost[0]+1<<20 || cost[1] > 8<<20 {
					t.Errorf("%d bytes were allocated for %d, and %d for twice the size", cost[0], n, cost[1])
				}
			}
		})
	}
	if n := h.play.Audit().TotalCalls; n != 0 {
		t.Errorf("the processor was asked %d times", n)
	}
	if n := len(h.api.requests()); n != 0 {
		t.Errorf("%d requests reached the API", n)
	}
}

// A flood of genuine events about nothing of ours is taken, so that it does not
// come again, and leaves nothing behind: no rows, no memory, no questions.
func TestD097_EventsOfUnknownPayments(t *testing.T) {
	h := build(t, plan{deaf: true, asleep: true})
	public := h.server.public()
	send := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			e := event{id: fmt.Sprintf("evt_%d", i), object: map[string]any{"id": fmt.Sprintf("ch_%d", i), "object": "charge", "payment_intent": fmt.Sprintf("pi_%d", i)}}
			switch e.kind = "charge.refunded"; i % 4 {
			case 1:
				e.object["metadata"] = map[string]string{"paywall_payment": fmt.Sprintf("pay_%d", i)}
			case 2:
				e.kind = "charge.dispute.created"
			case 3:
				e.kind = fmt.Sprintf("made_up.%d", i)
			}
			body := e.body(t)
			if w := tell(t, public, body, signed(body)); w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", e.kind, w.Code, w.Body)
			}
		}
	}
	inUse := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	send(0, 200)
	before := inUse()
	send(200, 3000)
	if after := inUse(); after > before+8<<20 {
		t.Errorf("the heap grew by %d bytes", after-before)
	}
	for i := range 8 {
		if fresh, err := h.server.store.Seen(t.Context(), stripe.Name, fmt.Sprintf("evt_%d", 1000+i), time.Now()); err != nil || !fresh {
			t.Errorf("event %d was written down: %v", 1000+i, err)
		}
	}
	if n := h.play.Audit().TotalCalls; n != 0 {
		t.Errorf("the processor was asked %d times", n)
	}
	if r := h.whole(); r.Payments != 0 {
		t.Errorf("%d payments are in the books", r.Payments)
	}
}
