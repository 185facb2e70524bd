package gate_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paywall/gate"
	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// heldHouse is a house whose rail can hold.
func heldHouse(t *testing.T, opts ...option) *house {
	t.Helper()
	return newHouse(t, append([]option{func(_ *gate.Config, pc *payment.Config) {
		if m, ok := pc.Methods[0].(*paymenttest.Method); ok {
			m.Holds = true
		}
	}}, opts...)...)
}

// route makes a router of one route for every path and method.
func (h *house) route(r gate.Route) *gate.Router {
	h.t.Helper()
	r.ID, r.Pattern, r.Handler = "all", "/**", h.api
	if r.Pricer == nil {
		r.Pricer = usd(h.t, "1.00 USD")
	}
	router, err := h.gate.Router([]gate.Route{r})
	h.must(err)
	return router
}

// taken is what was charged by now.
func (h *house) taken() int {
	charges, _ := h.rail.Total()
	return charges
}

// only is the payment that the house has.
func (h *house) only() payment.Payment {
	h.t.Helper()
	pays, err := h.store.List(context.WithoutCancel(h.t.Context()), payment.Filter{}, "", 10)
	h.must(err)
	if len(pays) != 1 {
		h.t.Fatalf("%d payments, want 1", len(pays))
	}
	return pays[0]
}

func refusedAtRail() paymenttest.Reply {
	return paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "insufficient_funds", Kind: payment.KindPaymentInsufficient}}
}

// The money is taken when there is an answer to give for it, and not before.
func TestHeld_TakenForTheAnswer(t *testing.T) {
	for _, tt := range []struct {
		settle, method string
		before         int // charges when the handler runs
	}{
		{gate.SettleAuto, "GET", 0},
		{gate.SettleAuto, "HEAD", 0},
		{gate.SettleAuto, "POST", 1},
		{gate.SettleHold, "POST", 0},
		{gate.SettleBefore, "GET", 1},
	} {
		t.Run(tt.settle+" "+tt.method, func(t *testing.T) {
			h := heldHouse(t)
			router := h.route(gate.Route{Settle: tt.settle})
			h.api.set(func(w http.ResponseWriter, r *http.Request) {
				if h.taken() != tt.before {
					t.Errorf("%d charges when the handler runs", h.taken())
				}
				if p, ok := payment.FromContext(r.Context()); !ok || p.ID != r.Header.Get("Paywall-Payment-Id") {
					t.Error("the handler is not told of the payment")
				}
				io.WriteString(w, "goods")
				if h.taken() != tt.before {
					t.Errorf("%d charges in the middle", h.taken())
				}
			})
			r := h.paid(router, tt.method, "/a", "")
			w := do(router, r)
			want := "goods"
			if tt.method == "HEAD" {
				want = ""
			}
			if w.Code != http.StatusOK || w.Body.String() != want && tt.method != "HEAD" {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			for _, name := range []string{"Payment-Receipt", "Paywall-Receipt", "Paywall-Payment-Id"} {
				if w.Header().Get(name) == "" {
					t.Errorf("no %s", name)
				}
			}
			h.settled(1, 0)
			if p := h.only(); p.Delivery != payment.DeliveryDelivered {
				t.Errorf("%s/%s", p.State, p.Delivery)
			}
			// The same credential gets the same answer, for nothing.
			if w := do(router, r.Clone(t.Context())); w.Code != http.StatusOK || h.api.count() != 1 {
				t.Errorf("again: %d after %d executions", w.Code, h.api.count())
			}
			h.settled(1, 0)
		})
	}
}

// A handler that fails costs nothing, and the same credential works again.
func TestHeld_HandlerFails(t *testing.T) {
	for name, fail := range map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, "inside")
		},
		"402": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusPaymentRequired)
			io.WriteString(w, "inside")
		},
		"304":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"panic":        func(http.ResponseWriter, *http.Request) { panic("inside") },
		"abort midway": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "inside"); panic(http.ErrAbortHandler) },
		"abort refused": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			panic(http.ErrAbortHandler)
		},
		"too short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "inside")
		},
		"flushed 500": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			w.(http.Flusher).Flush()
		},
		"unreached": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Paywall-Unreached", "1")
			w.WriteHeader(http.StatusBadGateway)
		},
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+" "+method, func(t *testing.T) {
				h := heldHouse(t)
				router := h.route(gate.Route{Settle: gate.SettleHold})
				r := h.paid(router, method, "/a", "")
				for range 2 {
					h.api.set(fail)
					w := do(router, r.Clone(t.Context()))
					if w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "nothing was charged") || strings.Contains(w.Body.String(), "inside") ||
						w.Header().Get("Retry-After") == "" || w.Header().Get("Www-Authenticate") != "" || w.Header().Get("Payment-Receipt") != "" {
						t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
					}
					h.settled(0, 0)
				}
				h.api.set(nil)
				if w := do(router, r.Clone(t.Context())); w.Code != http.StatusOK || w.Header().Get("Payment-Receipt") == "" {
					t.Errorf("again: %d %v %s", w.Code, w.Header(), w.Body)
				}
				h.settled(1, 0)
			})
		}
	}
}

// A refusal that helps the payer is passed on, and costs nothing.
func TestHeld_HandlerRefuses(t *testing.T) {
	for _, size := range []int{0, 10, 3000} { // more than is kept, too
		h := heldHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Limits.Answer = 1000 })
		router := h.route(gate.Route{})
		h.api.set(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Payment-Receipt", "forged")
			w.WriteHeader(http.StatusUnprocessableEntity)
			io.WriteString(w, strings.Repeat("x", size))
		})
		r := h.paid(router, "GET", "/a", "")
		w := do(router, r.Clone(t.Context()))
		if w.Code != http.StatusUnprocessableEntity || w.Body.Len() != size || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		for _, name := range []string{"Payment-Receipt", "Paywall-Receipt", "Paywall-Payment-Id", "Www-Authenticate"} {
			if got := w.Header().Get(name); got != "" {
				t.Errorf("%s: %s", name, got)
			}
		}
		h.settled(0, 0)
		h.api.set(nil)
		if w := do(router, r); w.Code != http.StatusOK {
			t.Errorf("again: %d %s", w.Code, w.Body)
		}
		h.settled(1, 0)
	}
}

// What the rail refuses is not given out, whenever it does.
func TestHeld_Declined(t *testing.T) {
	for _, tt := range []struct {
		op   string
		runs int
	}{{"hold", 0}, {"capture", 1}} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(tt.op+" "+method, func(t *testing.T) {
				voice := &spoken{}
				h := heldHouse(t, speaking(voice))
				router := h.route(gate.Route{Settle: gate.SettleHold})
				h.rail.Script(tt.op, refusedAtRail())
				h.api.set(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("X-Goods", "goods")
					io.WriteString(w, "goods")
				})
				w := say(h, router, method+" /a", "one")
				if w.Code != http.StatusPaymentRequired || strings.Contains(w.Body.String(), "goods") || w.Header().Get("X-Goods") != "" {
					t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
				}
				if w.Header().Get("X-Refused") != "payment-insufficient insufficient_funds" || w.Header().Get("Www-Authenticate") == "" {
					t.Errorf("%v", w.Header())
				}
				checkDocument(t, w, nil)
				if h.api.count() != tt.runs {
					t.Errorf("%d executions", h.api.count())
				}
				h.settled(0, 0)
			})
		}
	}
}

// While it is not known whether the money was taken nothing is given out and
// nothing asked for. Then the same credential has the answer: made again, or the
// one that was made when it must not be.
func TestHeld_UnknownAtCapture(t *testing.T) {
	for _, moves := range []bool{false, true} {
		for method, runs := range map[string]int{"GET": 2, "POST": 1} {
			t.Run(fmt.Sprintf("%s moves=%t", method, moves), func(t *testing.T) {
				h := heldHouse(t, func(_ *gate.Config, pc *payment.Config) { pc.Patience = 60 * time.Millisecond })
				router := h.route(gate.Route{Settle: gate.SettleHold})
				h.rail.Script("capture", many(unknown(moves), 400)...)
				h.api.set(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Goods", "goods")
					fmt.Fprintf(w, "goods of execution %d", h.api.count())
				})
				r := h.paid(router, method, "/a", "x")
				body := func() *http.Request {
					again := r.Clone(t.Context())
					again.Body = io.NopCloser(strings.NewReader("x"))
					return again
				}
				for range 2 {
					w := do(router, body())
					if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Www-Authenticate") != "" ||
						strings.Contains(w.Body.String(), "goods") || w.Header().Get("X-Goods") != "" {
						t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
					}
				}
				h.rail.Heal()
				w := do(router, body())
				for tries := 0; w.Code == http.StatusServiceUnavailable && tries < 50; tries++ {
					w = do(router, body()) // a slow machine may run out of the payer's patience
				}
				if w.Code != http.StatusOK || w.Body.String() != fmt.Sprintf("goods of execution %d", h.api.count()) || w.Header().Get("X-Goods") != "goods" ||
					w.Header().Get("Payment-Receipt") == "" {
					t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
				}
				if h.api.count() != runs {
					t.Errorf("%d executions, want %d", h.api.count(), runs)
				}
				if p := h.only(); p.Delivery != payment.DeliveryDelivered {
					t.Errorf("%s/%s", p.State, p.Delivery)
				}
				h.settled(1, 0)
				if w := do(router, body()); w.Code != http.StatusOK || h.api.count() != runs {
					t.Errorf("again: %d after %d executions", w.Code, h.api.count())
				}
			})
		}
	}
}

// A stream is paid before its first byte is out.
func TestHeld_Streams(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter){
		"flush":             func(w http.ResponseWriter) { io.WriteString(w, "first "); w.(http.Flusher).Flush() },
		"more than is kept": func(w http.ResponseWriter) { io.WriteString(w, "first "); io.WriteString(w, strings.Repeat(" ", 1000)) },
		"events": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			io.WriteString(w, "first ")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := heldHouse(t, func(gc *gate.Config, _ *payment.Config) { gc.Limits.Answer = 1000 })
			router := h.route(gate.Route{})
			w := httptest.NewRecorder()
			h.api.set(func(hw http.ResponseWriter, _ *http.Request) {
				if w.Body.Len() != 0 || h.taken() != 0 {
					t.Errorf("%d bytes and %d charges before", w.Body.Len(), h.taken())
				}
				begin(hw)
				if !strings.HasPrefix(w.Body.String(), "first ") || h.taken() != 1 || w.Header().Get("Payment-Receipt") == "" {
					t.Errorf("%q and %d charges", w.Body, h.taken())
				}
				io.WriteString(hw, "last")
			})
			router.ServeHTTP(w, h.paid(router, "GET", "/a", ""))
			if w.Code != 200 || !strings.HasSuffix(w.Body.String(), "last") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			h.settled(1, 0)
			if p := h.only(); p.Delivery != payment.DeliveryDelivered {
				t.Errorf("%s/%s", p.State, p.Delivery)
			}
		})
	}
	t.Run("declined", func(t *testing.T) {
		h := heldHouse(t)
		router := h.route(gate.Route{})
		h.rail.Script("capture", refusedAtRail())
		h.api.set(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "first")
			w.(http.Flusher).Flush()
			for range 2 {
				if _, err := io.WriteString(w, "more"); err != nil {
					return
				}
			}
			t.Error("nobody tells the handler that it is over")
		})
		if w := do(router, h.paid(router, "GET", "/a", "")); w.Code != 402 || strings.Contains(w.Body.String(), "first") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		h.settled(0, 0)
	})
}

// An upgrade is paid before the connection is handed over.
func TestHeld_Upgrade(t *testing.T) {
	for _, declined := range []bool{false, true} {
		t.Run(fmt.Sprintf("declined=%t", declined), func(t *testing.T) {
			h := heldHouse(t)
			router := h.route(gate.Route{})
			r := h.paid(router, "GET", "/a", "")
			if declined {
				h.rail.Script("capture", refusedAtRail())
			}
			h.api.set(func(w http.ResponseWriter, _ *http.Request) {
				c, rw, err := http.NewResponseController(w).Hijack()
				if (err != nil) != declined || (h.taken() == 1) == declined {
					t.Errorf("%v with %d charges", err, h.taken())
				}
				if err != nil {
					w.WriteHeader(http.StatusInternalServerError)
					return
				}
				defer c.Close()
				fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nPaywall-Payment-Id: "+w.Header().Get("Paywall-Payment-Id")+"\r\n\r\nhello")
				rw.Flush()
			})
			server := httptest.NewServer(router)
			defer server.Close()
			c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
			h.must(err)
			defer c.Close()
			fmt.Fprintf(c, "GET /a HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\nAuthorization: %s\r\n\r\n", realm, r.Header.Get("Authorization"))
			res, err := http.ReadResponse(bufio.NewReader(c), r)
			h.must(err)
			defer res.Body.Close()
			if want := map[bool]int{false: 101, true: 402}[declined]; res.StatusCode != want || (res.Header.Get("Paywall-Payment-Id") == "") != declined {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
			h.settled(map[bool]int{false: 1, true: 0}[declined], 0)
		})
	}
}

// 500 copies of one credential are one execution and one capture.
func TestHeld_Copies(t *testing.T) {
	h := heldHouse(t)
	router := h.route(gate.Route{Settle: gate.SettleHold})
	r := h.paid(router, "POST", "/a", "")
	var wg sync.WaitGroup
	var served atomic.Int64
	for range 500 {
		wg.Go(func() {
			switch w := do(router, r.Clone(t.Context())); w.Code {
			case 200:
				served.Add(1)
			case 409:
			default:
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	if served.Load() == 0 || h.api.count() != 1 {
		t.Errorf("%d answers and %d executions", served.Load(), h.api.count())
	}
	captures := 0
	for _, c := range h.rail.Calls() {
		if c.Op == "capture" {
			captures++
		}
	}
	if captures != 1 {
		t.Errorf("%d captures", captures)
	}
	h.settled(1, 0)
}

// Nobody is charged for what it does not wait for, when it can be made again. What
// must not be made again is, and its answer waits for the payer.
func TestHeld_PayerHangsUp(t *testing.T) {
	for method, charges := range map[string]int{"GET": 0, "POST": 1} {
		t.Run(method, func(t *testing.T) {
			h := heldHouse(t)
			router := h.route(gate.Route{Settle: gate.SettleHold})
			r := h.paid(router, method, "/a", "")
			ctx, hangUp := context.WithCancel(t.Context())
			h.api.set(func(w http.ResponseWriter, r *http.Request) {
				hangUp()
				fmt.Fprintf(w, "goods of execution %d, cancelled %t", h.api.count(), r.Context().Err() != nil)
			})
			serve(t, router, gone{httptest.NewRecorder()}, r.Clone(ctx))
			h.settled(charges, 0)
			h.api.set(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "goods, again") })
			w := do(router, r.Clone(t.Context()))
			want := map[string]string{"GET": "goods, again", "POST": "goods of execution 1, cancelled false"}[method]
			if w.Code != 200 || w.Body.String() != want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			h.settled(1, 0)
		})
	}
}

// gone is a connection that takes nothing any more.
type gone struct{ *httptest.ResponseRecorder }

func (gone) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// What is taken of a ceiling is what the handler says it used, and never more.
func TestMetered(t *testing.T) {
	for _, tt := range []struct {
		name   string
		meter  gate.Meter
		field  string
		value  string
		status int
		want   int64 // cents
	}{
		{name: "less", field: "Paywall-Used", value: "0.25 USD", status: 200, want: 25},
		{name: "all", field: "Paywall-Used", value: "1.00 USD", status: 200, want: 100},
		{name: "more", field: "Paywall-Used", value: "2.00 USD", status: 200, want: 100},
		{name: "nothing", field: "Paywall-Used", value: "0 USD", status: 200, want: 0},
		{name: "not said", status: 200, want: 100},
		{name: "not said, zero", meter: gate.Meter{Missing: "zero"}, status: 200, want: 0},
		{name: "not said, fail", meter: gate.Meter{Missing: "fail"}, status: 502, want: 0},
		{name: "atomic units", meter: gate.Meter{Header: "settlement-overrides"}, field: "Settlement-Overrides", value: `{"amount":"30"}`, status: 200, want: 30},
		{name: "a field of its own", meter: gate.Meter{Header: "X-Cost"}, field: "X-Cost", value: "0.30 USD", status: 200, want: 30},
		{name: "refused", field: "Paywall-Used", value: "0.25 USD", status: 404, want: 0},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s stream=%t", tt.name, stream), func(t *testing.T) {
				h := heldHouse(t)
				router := h.route(gate.Route{Settle: gate.SettleMetered, Meter: tt.meter})
				h.api.set(func(w http.ResponseWriter, _ *http.Request) {
					if tt.field != "" {
						w.Header().Set(tt.field, tt.value)
					}
					if tt.status == 404 {
						w.WriteHeader(http.StatusNotFound)
					}
					io.WriteString(w, "goods")
					if stream {
						w.(http.Flusher).Flush()
					}
					w.Header().Set("Paywall-Used", "0.01 USD") // too late
				})
				w := do(router, h.paid(router, "POST", "/a", ""))
				res := w.Result()
				defer res.Body.Close()
				if res.StatusCode != tt.status || (w.Body.String() == "goods") != (tt.status != 502) {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				if tt.field != "" && res.Header.Get(tt.field) != "" {
					t.Errorf("%s went on to the payer", tt.field)
				}
				if has := res.Header.Get("Payment-Receipt") != ""; has != (tt.want > 0) {
					t.Errorf("a receipt: %t", has)
				}
				h.settled(map[bool]int{true: 1}[tt.want > 0], 0)
				p := h.only()
				if amount, err := money.New(tt.want, "USD", 2); tt.want > 0 && (err != nil || p.Amount != amount || p.State != payment.StateSettled) || tt.want == 0 && p.State != payment.StateVoided {
					t.Errorf("%s of %s was taken, want %d", p.State, p.Amount, tt.want)
				}
			})
		}
	}
}

// The header is that of the handler's head; what comes after it are trailers.
func TestHeld_HeadAndTrailers(t *testing.T) {
	h := heldHouse(t)
	router := h.route(gate.Route{})
	h.api.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, Payment-Response")
		w.Header().Set("X-Head", "head")
		w.WriteHeader(http.StatusPartialContent)
		w.Header().Set("X-Head", "late")
		w.Header().Set("X-Late", "late")
		io.WriteString(w, "goods")
		w.Header().Set("X-Sum", "sum")
		w.Header().Set("Payment-Response", "forged")
		w.Header().Set(http.TrailerPrefix+"Payment-Receipt", "forged")
	})
	server := httptest.NewServer(router)
	defer server.Close()
	paid := h.paid(router, "GET", "/a", "")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/a", http.NoBody)
	h.must(err)
	r.Host, r.Header = realm, paid.Header
	r.Header.Set("Range", "bytes=0-4")
	r.Header.Set("If-None-Match", `"x"`)
	res, err := server.Client().Do(r)
	h.must(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	h.must(err)
	if res.StatusCode != http.StatusPartialContent || string(body) != "goods" || res.Header.Get("X-Head") != "head" || res.Header.Get("X-Late") != "" {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
	}
	if res.Trailer.Get("X-Sum") != "sum" || len(res.Trailer) != 1 || res.Header.Get("Payment-Receipt") == "forged" {
		t.Errorf("%v %v", res.Trailer, res.Header)
	}
	if got := h.api.last.Header; got.Get("Range") == "" || got.Get("If-None-Match") != "" {
		t.Errorf("the handler got %v", got)
	}
	h.settled(1, 0)
}

// An answer that was made for a payment and is not collected is not paid for in
// the end, whatever became of the capture.
func TestHeld_NotCollected(t *testing.T) {
	for _, moves := range []bool{false, true} {
		t.Run(fmt.Sprintf("moves=%t", moves), func(t *testing.T) {
			h := heldHouse(t, func(_ *gate.Config, pc *payment.Config) { pc.Patience = 60 * time.Millisecond })
			router := h.route(gate.Route{Settle: gate.SettleHold})
			h.rail.Script("capture", many(unknown(moves), 400)...)
			if w := do(router, h.paid(router, "POST", "/a", "")); w.Code != http.StatusServiceUnavailable {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			h.rail.Heal()
			h.clock.add(5 * time.Minute) // its lease is over
			if _, err := h.processor.Recover(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if p := h.only(); p.State != payment.StateSettled || p.Delivery == payment.DeliveryDelivered {
				t.Errorf("recovered to %s/%s", p.State, p.Delivery)
			}
			h.gate.Close()
			if p := h.only(); p.State != payment.StateRefunded {
				t.Errorf("ended as %s/%s", p.State, p.Delivery)
			}
			h.settled(1, 1)
			if h.api.count() != 1 {
				t.Errorf("%d executions", h.api.count())
			}
		})
	}
}

// What recovery took is collected with the answer that was made for it, and not
// with another execution.
func TestHeld_CollectedAfterRecovery(t *testing.T) {
	h := heldHouse(t, func(_ *gate.Config, pc *payment.Config) { pc.Patience = 60 * time.Millisecond })
	router := h.route(gate.Route{Settle: gate.SettleHold})
	h.rail.Script("capture", many(unknown(true), 400)...)
	r := h.paid(router, "POST", "/a", "")
	if w := do(router, r.Clone(t.Context())); w.Code != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	h.rail.Heal()
	h.clock.add(2 * time.Minute)
	if _, err := h.processor.Recover(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	// The payer hangs up on it once more, and it is there the next time all the same.
	serve(t, router, gone{httptest.NewRecorder()}, r.Clone(t.Context()))
	w := do(router, r.Clone(t.Context()))
	if w.Code != http.StatusOK || w.Body.String() != "served POST /a" || w.Header().Get("Payment-Receipt") == "" || h.api.count() != 1 {
		t.Errorf("%d after %d executions: %s", w.Code, h.api.count(), w.Body)
	}
	h.settled(1, 0)
	if p := h.only(); p.Delivery != payment.DeliveryDelivered {
		t.Errorf("%s/%s", p.State, p.Delivery)
	}
}

// unwritten is a store that cannot write that a payment is to be taken.
type unwritten struct {
	payment.Store

	off atomic.Bool
}

func (s *unwritten) Update(ctx context.Context, p payment.Payment, es []payment.Entry, evs []payment.Event) error {
	if p.State == payment.StateAuthorized && !s.off.Load() {
		return payment.ErrState
	}
	return s.Store.Update(ctx, p, es, evs)
}

// An answer whose payment was let go meanwhile is paid for by the next promise of
// the same credential.
func TestHeld_PromisedAgain(t *testing.T) {
	s := &unwritten{}
	h := heldHouse(t, func(_ *gate.Config, pc *payment.Config) {
		s.Store, pc.Store = pc.Store, s
		pc.Patience = 60 * time.Millisecond
	})
	router := h.route(gate.Route{Settle: gate.SettleHold})
	r := h.paid(router, "POST", "/a", "")
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusConflict} { // its lease is not over
		if w := do(router, r.Clone(t.Context())); w.Code != want {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	h.clock.add(2 * time.Minute)
	if _, err := h.processor.Recover(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	// Promised again, and again it cannot be written: the answer is still kept.
	if w := do(router, r.Clone(t.Context())); w.Code != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	h.settled(0, 0)
	s.off.Store(true)
	h.clock.add(2 * time.Minute)
	if _, err := h.processor.Recover(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	w := do(router, r.Clone(t.Context()))
	if w.Code != http.StatusOK || w.Body.String() != "served POST /a" || h.api.count() != 1 {
		t.Errorf("%d after %d executions: %s", w.Code, h.api.count(), w.Body)
	}
	h.settled(1, 0)
}

// A promise that cannot be given back now is given back later; the payer is told
// what is true already.
func TestHeld_ReleaseFails(t *testing.T) {
	h := heldHouse(t, func(_ *gate.Config, pc *payment.Config) { pc.Patience = 60 * time.Millisecond })
	router := h.route(gate.Route{})
	h.rail.Script("release", unknown(false))
	h.api.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	r := h.paid(router, "GET", "/a", "")
	if w := do(router, r.Clone(t.Context())); w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "nothing was charged") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.clock.add(2 * time.Minute)
	if _, err := h.processor.Recover(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if p := h.only(); p.State != payment.StateVoided {
		t.Errorf("%s", p.State)
	}
	h.api.set(nil)
	if w := do(router, r); w.Code != http.StatusOK {
		t.Errorf("again: %d %s", w.Code, w.Body)
	}
	h.settled(1, 0)
}

// A credential that no protocol bound to its request is good for one: the others
// get neither its goods nor its stored answer.
func TestUnboundCredential(t *testing.T) {
	for _, settle := range []string{gate.SettleBefore, gate.SettleHold} {
		h := heldHouse(t, speaking(&spoken{}))
		router := h.route(gate.Route{Settle: settle})
		if w := say(h, router, "GET /a", "one"); w.Code != http.StatusOK || w.Body.String() != "served GET /a" {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for _, other := range []string{"GET /b", "POST /a", "GET /a?x=1"} {
			w := say(h, router, other, "one")
			if w.Code != http.StatusPaymentRequired || strings.Contains(w.Body.String(), "served") || w.Header().Get("X-Asks") == "" {
				t.Errorf("%s: %d %s", other, w.Code, w.Body)
			}
		}
		if w := say(h, router, "GET /a", "one"); w.Code != http.StatusOK || h.api.count() != 1 {
			t.Errorf("its own again: %d after %d executions", w.Code, h.api.count())
		}
		h.settled(1, 0)
	}
}
