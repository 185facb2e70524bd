package gingate_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gin-gonic/gin"

	"paywall/gate"
	"paywall/gate/gingate"
	"paywall/mpp"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/pricing/flat"
)

const realm = "api.example.com"

// shop is a gin engine with a gate.
type shop struct {
	t      *testing.T
	gate   *gate.Gate
	engine *gin.Engine
	store  *paymenttest.Store
	rail   *paymenttest.Method
	tokens atomic.Int64
	log    bytes.Buffer
}

func newShop(t *testing.T) *shop {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	s := &shop{t: t, store: paymenttest.NewStore(), rail: &paymenttest.Method{Minimum: 50}, engine: gin.New()}
	s.engine.Use(gin.RecoveryWithWriter(&s.log))
	keys, err := mpp.NewKeyRing(mpp.Key{ID: "k", Secret: bytes.Repeat([]byte{1}, 32)})
	s.must(err)
	scheme, err := mpp.New(mpp.Config{Keys: keys})
	s.must(err)
	processor, err := payment.New(t.Context(), payment.Config{Store: s.store, Methods: []payment.Method{s.rail}, Key: make([]byte, 32)})
	s.must(err)
	s.gate, err = gate.New(gate.Config{
		Realm: realm, Processor: processor, Methods: []payment.Method{s.rail}, Protocols: []payment.Protocol{scheme}, Limits: gate.Limits{Challenges: -1, Failures: -1},
	})
	s.must(err)
	t.Cleanup(s.gate.Close)
	return s
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// priced mounts the handlers behind a dollar.
func (s *shop) priced(method, path string, handlers ...gin.HandlerFunc) {
	s.t.Helper()
	price, err := flat.Parse("1.00 USD")
	s.must(err)
	pay, err := gingate.New(s.gate, gate.Route{ID: "priced", Pricer: price})
	s.must(err)
	s.engine.Handle(method, path, append([]gin.HandlerFunc{pay}, handlers...)...)
}

func (s *shop) request(method, target, auth string) *http.Request {
	r := httptest.NewRequestWithContext(s.t.Context(), method, target, http.NoBody)
	r.Host = realm
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	return r
}

func (s *shop) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.engine.ServeHTTP(w, r)
	return w
}

// pay asks, and answers the challenge.
func (s *shop) pay(method, target string) string {
	s.t.Helper()
	w := s.do(s.request(method, target, ""))
	if w.Code != http.StatusPaymentRequired {
		s.t.Fatalf("unpaid: %d %s", w.Code, w.Body)
	}
	cs, err := mpp.ParseChallenges(w.Result().Header)
	s.must(err)
	cred, err := mpp.NewCredential(cs[0], fmt.Appendf(nil, `{"token":"tok_%d"}`, s.tokens.Add(1)))
	s.must(err)
	field, err := cred.Format()
	s.must(err)
	return field
}

func (s *shop) delivery() payment.Delivery {
	s.t.Helper()
	all, err := s.store.List(s.t.Context(), payment.Filter{}, "", 1)
	s.must(err)
	if len(all) != 1 {
		return ""
	}
	return all[0].Delivery
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		handlers     []gin.HandlerFunc
		want         int
		body         string
		delivery     payment.Delivery
	}{
		{"JSON", "GET", []gin.HandlerFunc{func(c *gin.Context) { c.JSON(200, gin.H{"id": c.Param("id")}) }}, 200, `{"id":"7"}`, payment.DeliveryDelivered},
		{"string", "GET", []gin.HandlerFunc{func(c *gin.Context) { c.String(201, "made %s", c.Request.URL.Path) }}, 201, "made /x/7", payment.DeliveryDelivered},
		{"status alone", "GET", []gin.HandlerFunc{func(c *gin.Context) { c.Status(204) }}, 204, "", payment.DeliveryDelivered},
		{"nothing at all", "GET", []gin.HandlerFunc{func(*gin.Context) {}}, 200, "", payment.DeliveryDelivered},
		{"two handlers", "GET", []gin.HandlerFunc{func(c *gin.Context) { c.Set("k", "v") }, func(c *gin.Context) { c.String(200, c.GetString("k")) }}, 200, "v", payment.DeliveryDelivered},
		{"HEAD", "HEAD", []gin.HandlerFunc{func(c *gin.Context) { c.Status(200) }}, 200, "", payment.DeliveryDelivered},
		{"aborted with a refusal", "GET", []gin.HandlerFunc{func(c *gin.Context) { c.AbortWithStatusJSON(422, gin.H{"error": "no"}) }, func(c *gin.Context) { c.String(200, "ran on") }}, 422, `{"error":"no"}`, payment.DeliveryOpen},
		{"failed", "GET", []gin.HandlerFunc{func(c *gin.Context) { c.AbortWithStatus(500) }}, 502, "The payment is kept", payment.DeliveryOpen},
		{"status of failure alone", "GET", []gin.HandlerFunc{func(c *gin.Context) { c.Status(503) }}, 502, "The payment is kept", payment.DeliveryOpen},
		{"402 of its own", "GET", []gin.HandlerFunc{func(c *gin.Context) { c.String(402, "pay me") }}, 502, "The payment is kept", payment.DeliveryOpen},
		{"panic", "GET", []gin.HandlerFunc{func(*gin.Context) { panic("bug") }}, 502, "The payment is kept", payment.DeliveryOpen},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			var ran atomic.Int64
			count := func(c *gin.Context) { ran.Add(1); c.Next() }
			s.priced(tt.method, "/x/:id", append([]gin.HandlerFunc{count}, tt.handlers...)...)
			field := s.pay(tt.method, "/x/7")
			if ran.Load() != 0 {
				t.Fatal("the handlers ran unpaid")
			}
			w := s.do(s.request(tt.method, "/x/7", field))
			if w.Code != tt.want || !strings.Contains(w.Body.String(), tt.body) || tt.body == "" && w.Body.Len() > 0 {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, tt.want, tt.body)
			}
			if got := s.delivery(); got != tt.delivery {
				t.Errorf("delivery %q, want %q", got, tt.delivery)
			}
			if (w.Header().Get("Payment-Receipt") != "") != (tt.delivery == payment.DeliveryDelivered) {
				t.Errorf("headers %v", w.Header())
			}
			if ran.Load() != 1 {
				t.Errorf("the handlers ran %d times", ran.Load())
			}
		})
	}
}

// The handlers see the canonical request with its payment, and no credential.
func TestHandlersSeeThePayment(t *testing.T) {
	s := newShop(t)
	s.priced("GET", "/x/:id", func(c *gin.Context) {
		pay, ok := payment.FromContext(c.Request.Context())
		if !ok || pay.Amount.String() != "1.00 USD" || c.Request.Header.Get("Authorization") != "" || c.Query("q") != "1" {
			t.Errorf("%v %v %s", ok, c.Request.Header, c.Request.URL)
		}
		c.String(200, pay.ID)
	})
	field := s.pay("GET", "/x/7?q=1")
	if w := s.do(s.request("GET", "/x/7?q=1", field)); w.Code != 200 || w.Body.String() != w.Header().Get("Paywall-Payment-Id") {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if w := s.do(s.request("GET", "/x/8?q=1", field)); w.Code != 402 {
		t.Errorf("another id: %d", w.Code)
	}
}

func TestConfig(t *testing.T) {
	s := newShop(t)
	if _, err := gingate.New(s.gate, gate.Route{ID: "x"}); err == nil {
		t.Error("a route without a price was taken")
	}
}

// A stream goes out piece by piece, and one that breaks off is seen to.
func TestStream(t *testing.T) {
	for _, breaks := range []bool{false, true} {
		t.Run(fmt.Sprint("breaks ", breaks), func(t *testing.T) {
			s := newShop(t)
			more := make(chan struct{})
			s.priced("GET", "/stream", func(c *gin.Context) {
				c.Header("Content-Type", "text/event-stream")
				io.WriteString(c.Writer, "data: one\n")
				c.Writer.Flush()
				if !c.Writer.Written() || c.Writer.Status() != 200 || c.Writer.Size() != 10 {
					t.Errorf("written %t, status %d, size %d", c.Writer.Written(), c.Writer.Status(), c.Writer.Size())
				}
				<-more
				if breaks {
					panic(http.ErrAbortHandler)
				}
				c.Writer.WriteString("data: two\n")
			})
			field := s.pay("GET", "/stream")
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Host = realm
				s.engine.ServeHTTP(w, r)
			}))
			defer server.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/stream", http.NoBody)
			s.must(err)
			req.Header.Set("Authorization", field)
			resp, err := server.Client().Do(req)
			s.must(err)
			defer resp.Body.Close()
			br := bufio.NewReader(resp.Body)
			if line, err := br.ReadString('\n'); err != nil || line != "data: one\n" {
				t.Fatalf("%q %v", line, err)
			}
			close(more)
			rest, err := io.ReadAll(br)
			if breaks != (err != nil) || !breaks && string(rest) != "data: two\n" {
				t.Errorf("%q, %v", rest, err)
			}
			server.Close()
			if got := s.delivery(); (got == payment.DeliveryDelivered) == breaks {
				t.Errorf("delivery %q", got)
			}
			if strings.Contains(s.log.String(), field[20:60]) {
				t.Error("the credential is in gin's log")
			}
		})
	}
}

// Many payers at once: each gets its own, under the race detector.
func TestConcurrent(t *testing.T) {
	s := newShop(t)
	s.priced("GET", "/x/:id", func(c *gin.Context) { c.String(200, c.Param("id")) })
	var wg sync.WaitGroup
	for i := range 64 {
		target := fmt.Sprint("/x/", i)
		field := s.pay("GET", target)
		for range 3 { // copies
			wg.Go(func() {
				w := s.do(s.request("GET", target, field))
				if w.Code != 409 && w.Code != 503 && (w.Code != 200 || w.Body.String() != strconv.Itoa(i)) {
					t.Errorf("%s: %d %s", target, w.Code, w.Body)
				}
			})
		}
	}
	wg.Wait()
	if charges, refunds := s.rail.Total(); charges > 64 || charges == 0 || refunds != 0 {
		t.Errorf("%d charges, %d refunds", charges, refunds)
	}
}

// A writer that fails is a payer that is gone: nothing counts as delivered.
func TestPayerGone(t *testing.T) {
	s := newShop(t)
	s.priced("GET", "/x", func(c *gin.Context) { c.String(200, "goods") })
	field := s.pay("GET", "/x")
	func() {
		defer func() {
			if v := recover(); v != nil {
				if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					panic(v)
				}
			}
		}()
		s.engine.ServeHTTP(&gone{httptest.NewRecorder()}, s.request("GET", "/x", field))
	}()
	if got := s.delivery(); got == payment.DeliveryDelivered {
		t.Errorf("delivery %q", got)
	}
	if w := s.do(s.request("GET", "/x", field)); w.Code != 200 || w.Body.String() != "goods" {
		t.Errorf("back: %d %s", w.Code, w.Body)
	}
}

// gone is a connection on which nothing arrives: only a flush tells.
type gone struct{ *httptest.ResponseRecorder }

func (*gone) FlushError() error { return io.ErrClosedPipe }

// With money that is held a gin handler is paid for its answer, and for nothing else.
func TestHeld(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler func(s *shop) gin.HandlerFunc
		want    int
		body    string
		charges int
	}{
		{"JSON", func(*shop) gin.HandlerFunc { return func(c *gin.Context) { c.JSON(200, gin.H{"a": 1}) } }, 200, `{"a":1}`, 1},
		{"status alone", func(*shop) gin.HandlerFunc { return func(c *gin.Context) { c.Status(204) } }, 204, "", 1},
		{"refusal", func(*shop) gin.HandlerFunc {
			return func(c *gin.Context) { c.AbortWithStatusJSON(422, gin.H{"error": "no"}) }
		}, 422, `{"error":"no"}`, 0},
		{"failure", func(*shop) gin.HandlerFunc { return func(c *gin.Context) { c.String(500, "inside") } }, 502, "nothing was charged", 0},
		{"panic", func(*shop) gin.HandlerFunc { return func(*gin.Context) { panic("bug") } }, 502, "nothing was charged", 0},
		{"stream", func(s *shop) gin.HandlerFunc {
			return func(c *gin.Context) {
				c.String(200, "first")
				if n, _ := s.rail.Total(); n != 0 {
					t.Errorf("%d charges before it is flushed", n)
				}
				c.Writer.Flush()
				if n, _ := s.rail.Total(); n != 1 {
					t.Errorf("%d charges when it was flushed", n)
				}
			}
		}, 200, "first", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			s.rail.Holds = true
			s.priced("GET", "/x/:id", tt.handler(s))
			w := s.do(s.request("GET", "/x/7", s.pay("GET", "/x/7")))
			if w.Code != tt.want || !strings.Contains(w.Body.String(), tt.body) || strings.Contains(w.Body.String(), "inside") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if has := w.Header().Get("Payment-Receipt") != ""; has != (tt.charges > 0) {
				t.Errorf("a receipt: %t", has)
			}
			if n, _ := s.rail.Total(); n != tt.charges {
				t.Errorf("%d charges, want %d", n, tt.charges)
			}
		})
	}
}
