package gate_test

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"paywall/gate"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/pricing/flat"
)

// heap is what is in use after everything unused is gone.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// D086: 200,000 unpaid requests with paths, hosts, addresses and fields that
// never repeat leave nothing behind.
func TestD086_UnpaidFlood(t *testing.T) {
	store, opt := watch()
	h := newHouse(t, opt, func(gc *gate.Config, _ *payment.Config) { gc.Limits, gc.Observe = gate.Limits{}, nil })
	one := price(t, "1.00 USD")
	moving := &moving{quote: payment.Quote{Amount: one}}
	router, err := h.gate.Router([]gate.Route{
		{ID: "one", Pattern: "GET /a/{x}", Pricer: usd(t, "1.00 USD"), Handler: h.api}, {ID: "moving", Pattern: "/m/**", Pricer: moving, Handler: h.api},
	})
	h.must(err)
	n := 200_000
	if testing.Short() {
		n = 20_000
	}
	random := rand.New(rand.NewPCG(1, 2))
	statuses := map[int]int{}
	r := request(t, "GET", "/", "")
	ask := func(i int) {
		r.Method, r.Host = "GET", realm
		r.RequestURI = fmt.Sprintf("/a/%x", random.Uint64())
		switch i % 4 {
		case 1:
			r.RequestURI = fmt.Sprintf("/m/%x?%x=%x", random.Uint64(), random.Uint32(), random.Uint32())
			if i%32 == 1 { // thousands of versions, of which few may be kept
				moving.set(payment.Quote{Amount: one, Version: strconv.Itoa(i)})
			}
		case 2:
			r.RequestURI = fmt.Sprintf("/%x/%x", random.Uint64(), random.Uint64())
		case 3:
			r.Host = fmt.Sprintf("h%x.example", random.Uint32())
		}
		r.RemoteAddr = fmt.Sprintf("%d.%d.%d.%d:1", random.IntN(256), random.IntN(256), random.IntN(256), random.IntN(256))
		r.Header = http.Header{"User-Agent": {fmt.Sprintf("agent/%x", random.Uint64())}, fmt.Sprintf("X-%x", random.Uint32()): {"x"}}
		w := nowhere{h: http.Header{}}
		router.ServeHTTP(&w, r)
		statuses[w.status]++
	}
	for i := range n / 10 {
		ask(i)
	}
	before := heap()
	for i := range n {
		ask(i)
	}
	if after := heap(); after > before+64<<20 {
		t.Errorf("the heap grew by %d MiB", (after-before)>>20)
	}
	if got := store.writes.Load() + store.reads.Load(); got != 0 {
		t.Errorf("%d calls of the store", got)
	}
	h.untouched(t)
	if statuses[402] == 0 || statuses[404] == 0 || statuses[421] == 0 {
		t.Errorf("answers by status %v", statuses)
	}
}

// forge returns credentials that look well and are not ours.
func forge(field string, i int) string {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(field, "Payment "))
	if err != nil {
		panic(err) // of our own making
	}
	s := string(raw)
	at := strings.Index(s, `"id":"`) + 6
	id := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf("%032d", i)))
	return encoded(s[:at] + id + s[at+43:])
}

func TestD087_ForgedCredentials(t *testing.T) {
	store, opt := watch()
	h := newHouse(t, opt)
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	field := h.credential(h.challenge(router, "GET", "/a", ""), h.token())
	for i := range 5000 {
		w := present(t, router, "GET", "/a", "", forge(field, i))
		if w.Code != 402 || !strings.Contains(w.Body.String(), "invalid-challenge") {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if got := store.writes.Load() + store.reads.Load(); got != 0 {
		t.Errorf("%d calls of the store", got)
	}
	h.untouched(t)
}

// BenchmarkD087_ForgedCredentials reports refusals per second of one core, of
// credentials that differ from each other.
func BenchmarkD087_ForgedCredentials(b *testing.B) {
	router := benched(b, 1)
	w := do(router, benchRequest(b, ""))
	field := answer(b, w.Header(), "tok_forged")
	fields := make([]string, 1024)
	for i := range fields {
		fields[i] = forge(field, i)
	}
	answered := &nowhere{h: http.Header{}}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		clear(answered.h)
		router.ServeHTTP(answered, benchRequest(b, fields[i%len(fields)]))
		if i++; answered.status != http.StatusPaymentRequired {
			b.Fatalf("%d", answered.status)
		}
	}
	b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "refusals/s")
}

// D088: well-bound credentials with bad tokens cost a client its failures, and
// the rail no more calls than that.
func TestD088_BadTokens(t *testing.T) {
	h := newHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Limits = gate.Limits{Challenges: -1, Failures: 10} })
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	h.rail.Script("charge", many(paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "no"}}, 10_000)...)
	counts := map[int]int{}
	for range 200 {
		w := do(router, from(h.paid(router, "GET", "/a", ""), "198.51.100.7:1"))
		counts[w.Code]++
		if w.Code == http.StatusTooManyRequests && (w.Header().Get("Retry-After") == "" || w.Header().Get("Www-Authenticate") != "") {
			t.Fatalf("429 with %v", w.Header())
		}
	}
	if calls := len(h.rail.Calls()); calls > 10 || counts[429] < 180 {
		t.Errorf("%d calls of the rail, answers %v", calls, counts)
	}
	before := len(h.rail.Calls())
	if w := do(router, from(h.paid(router, "GET", "/a", ""), "198.51.100.8:1")); w.Code != 402 || len(h.rail.Calls()) != before+1 {
		t.Errorf("another client: %d", w.Code)
	}
	h.rail.Heal()
	h.clock.add(time.Minute)
	if w := do(router, from(h.paid(router, "GET", "/a", ""), "198.51.100.7:1")); w.Code != 200 {
		t.Errorf("a minute later: %d %s", w.Code, w.Body)
	}
}

// Clients are told apart by network: one IPv6 /64 is one client.
func TestChallengeLimit(t *testing.T) {
	h := newHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Limits = gate.Limits{Challenges: 1, Burst: 3} })
	router := h.router(map[string]string{"GET /a": "1.00 USD", "GET /free": ""})
	ask := func(addr, target string) int { return do(router, from(request(t, "GET", target, ""), addr)).Code }
	for i := range 4 {
		if got, want := ask(fmt.Sprintf("[2001:db8::%d]:1", i), "/a"), map[bool]int{true: 402, false: 429}[i < 3]; got != want {
			t.Errorf("request %d: %d, want %d", i+1, got, want)
		}
	}
	if got := ask("[2001:db8:0:1::1]:1", "/a"); got != 402 {
		t.Errorf("another network: %d", got)
	}
	if got := ask("[2001:db8::9]:1", "/free"); got != 200 {
		t.Errorf("a free route: %d", got)
	}
	h.clock.add(time.Second)
	if got := ask("[2001:db8::9]:1", "/a"); got != 402 {
		t.Errorf("a second later: %d", got)
	}
}

// pipe is a listener of connections in memory, so that time can be a test's own.
type pipe struct{ conns chan net.Conn }

func (p *pipe) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, errors.New("closed")
	}
	return c, nil
}

func (p *pipe) Close() error   { return nil }
func (p *pipe) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// D089: a body that drips is cut off, one that keeps its pace is not.
func TestD089_SlowBody(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bytes int // of each piece
		every time.Duration
		want  int
	}{
		{"nothing comes", 0, time.Second, 408},
		{"a byte a second", 1, time.Second, 408},
		{"2 KiB a second", 2048, time.Second, 402},
		{"bytes at the end of a minute", 700, 6 * time.Second, 408},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				l := &pipe{conns: make(chan net.Conn, 1)}
				server := &http.Server{Handler: hosted(h.router(map[string]string{"POST /a": "1.00 USD"})), ReadHeaderTimeout: 5 * time.Second}
				go server.Serve(l)
				near, far := net.Pipe()
				l.conns <- far
				const total = 20 * 2048
				start := time.Now()
				var sending sync.WaitGroup
				sending.Go(func() {
					fmt.Fprintf(near, "POST /a HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", realm, total)
					for sent := 0; tt.bytes > 0 && sent < total; sent += tt.bytes {
						time.Sleep(tt.every)
						if _, err := near.Write(make([]byte, tt.bytes)); err != nil {
							return
						}
					}
				})
				resp, err := http.ReadResponse(bufio.NewReader(near), nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != tt.want || tt.want == 408 && (time.Since(start) > 65*time.Second || !resp.Close) {
					t.Errorf("%d after %s, closing %t; want %d", resp.StatusCode, time.Since(start), resp.Close, tt.want)
				}
				resp.Body.Close()
				near.Close()
				sending.Wait()
				close(l.conns)
				server.Close()
				h.gate.Close()
			})
		})
	}
}

// endless is a body of any length; it counts what was taken.
type endless struct{ taken int64 }

func (e *endless) Read(b []byte) (int, error) {
	e.taken += int64(len(b))
	return len(b), nil
}

func (*endless) Close() error { return nil }

// D091: large unpaid bodies are refused without reading beyond the bound.
func TestD091_LargeBodies(t *testing.T) {
	for name, length := range map[string]int64{"stated": 1 << 30, "stated just above": 1<<20 + 1, "chunked": -1, "stated falsely": 100} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			router := h.router(map[string]string{"POST /a": "1.00 USD"})
			body := &endless{}
			r := request(t, "POST", "/a", "")
			r.Body, r.ContentLength = body, length
			w := do(router, r)
			if w.Code != http.StatusRequestEntityTooLarge || w.Header().Get("Connection") != "close" || w.Header().Get("Www-Authenticate") != "" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			if bound := int64(1<<20 + 64<<10); body.taken > bound || length > 1<<20 && body.taken > 0 {
				t.Errorf("%d bytes were read", body.taken)
			}
			h.untouched(t)
		})
	}
}

// A route may take more, or less; a negative limit of the gate is none.
func TestBodyLimits(t *testing.T) {
	h := newHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Limits.Body = -1 })
	p, err := flat.Parse("1.00 USD")
	h.must(err)
	router, err := h.gate.Router([]gate.Route{
		{ID: "any", Pattern: "POST /any", Pricer: p, Handler: h.api}, {ID: "few", Pattern: "POST /few", Pricer: p, Handler: h.api, Body: 10},
	})
	h.must(err)
	big := strings.Repeat("x", 3<<20)
	if w := do(router, request(t, "POST", "/any", big)); w.Code != 402 {
		t.Errorf("any: %d", w.Code)
	}
	if w := do(router, request(t, "POST", "/few", "12345678901")); w.Code != 413 {
		t.Errorf("few: %d", w.Code)
	}
	if w := do(router, request(t, "POST", "/few", "1234567890")); w.Code != 402 {
		t.Errorf("few, at the limit: %d", w.Code)
	}
	broken := request(t, "POST", "/any", "")
	broken.Body, broken.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("x"), failing{})), 10
	if w := do(router, broken); w.Code != 400 {
		t.Errorf("a body that breaks off: %d", w.Code)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
