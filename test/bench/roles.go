package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"paywall/gate"
	"paywall/gate/gingate"
	"paywall/internal/proxy"
	"paywall/methods/facilitator"
	"paywall/methods/stripe"
	"paywall/mpp"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/pricing/flat"
	"paywall/receipts"
	"paywall/sqlstore"
	"paywall/x402"
	"paywall/x402/evm"
	calls "paywall/x402/facilitator"
)

const (
	realm   = "127.0.0.1"
	target  = "/v1/reports/2026"
	both    = "/v1/both/2026"  // paid over either protocol
	coins   = "/v1/coins/2026" // paid with stablecoins
	profile = "profile_bench"
)

// settings of a role that stands in for a part of the binary.
type settings struct {
	api, processor, facilitator string // addresses
	answer                      string // a file
	store, dir                  string
	delay                       time.Duration
	offers                      int
}

// serveRole listens, says where, and serves until ctx ends.
func serveRole(ctx context.Context, name string, s settings) error {
	h, err := roleHandler(ctx, name, s)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := announce(os.Stdout, l); err != nil {
		return err
	}
	hs := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = hs.Close() })
	if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func roleHandler(ctx context.Context, name string, s settings) (http.Handler, error) {
	switch name {
	case "gin":
		return hello(), nil
	case "relay":
		return relay(s.api)
	case "repeat":
		return repeat(s.answer)
	case "gate":
		return library(ctx, s, compose)
	case "middleware":
		return library(ctx, s, embed)
	}
	return nil, fmt.Errorf("no role %q", name)
}

// hello is the floor of everything that answers by itself.
func hello() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.GET("/v1/reports/:id", func(c *gin.Context) { c.String(http.StatusOK, "hello") })
	return e
}

// repeat is the most that a handler can reach whose answers are those of the file: a
// bare one that has them ready.
func repeat(file string) (http.Handler, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	defer f.Close()                                         //nolint:errcheck // it was only read
	resp, err := http.ReadResponse(bufio.NewReader(f), nil) //nolint:bodyclose // it is closed, and the file with it
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	delete(resp.Header, "Date") // the server's own
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.GET("/v1/both/:id", func(c *gin.Context) {
		maps.Copy(c.Writer.Header(), resp.Header)
		c.Writer.WriteHeader(resp.StatusCode)
		_, _ = c.Writer.Write(body)
	})
	return e, nil
}

// relay is the floor of everything that asks an upstream: the standard library's
// reverse proxy with the settings that matter, which does nothing else.
func relay(api string) (http.Handler, error) {
	u, err := url.Parse("http://" + api)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) },
		Transport: &http.Transport{
			MaxIdleConns: 1024, MaxIdleConnsPerHost: 256, DisableCompression: true,
		},
		BufferPool: &pool{},
	}, nil
}

type pool struct{ p sync.Pool }

// Get implements [httputil.BufferPool].
func (b *pool) Get() []byte {
	if p, ok := b.p.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

// Put implements [httputil.BufferPool].
func (b *pool) Put(p []byte) { b.p.Put(&p) }

// library is the gate as the binary wires it, over a store of choice and around
// what mount makes of it. With offers it has that many ways to pay, which settle
// nothing; with a facilitator it is paid in stablecoins, otherwise by tokens.
func library(ctx context.Context, s settings, mount func(settings, *gate.Gate) (http.Handler, error)) (http.Handler, error) {
	var methods []payment.Method
	for i := range s.offers {
		methods = append(methods, &paymenttest.Method{ID: "rail" + string(rune('a'+i))})
	}
	if s.offers == 0 {
		m, err := rail(ctx, s)
		if err != nil {
			return nil, err
		}
		methods = append(methods, m)
	}
	store, counted, err := openStore(ctx, s)
	if err != nil {
		return nil, err
	}
	g, err := newGate(ctx, methods, store)
	if err != nil {
		return nil, err
	}
	handler, err := mount(s, g)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	mux.HandleFunc("/commits", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(strconv.AppendInt(nil, counted(), 10))
	})
	return mux, nil
}

// rail is what settles.
func rail(ctx context.Context, s settings) (payment.Method, error) {
	if s.facilitator == "" {
		return stripe.New(stripe.Config{ //nolint:wrapcheck // it names the field
			Key: "sk_test_bench", Profile: profile, BaseURL: "http://" + s.processor, MaxInFlight: inFlight,
		})
	}
	c, err := calls.New(calls.Config{Endpoints: []calls.Endpoint{{URL: "http://" + s.facilitator}}})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the field
	}
	if err := c.Refresh(ctx); err != nil {
		return nil, err //nolint:wrapcheck // it says who was not heard
	}
	asset, ok := evm.FindAsset(network, "USDC")
	if !ok {
		return nil, fmt.Errorf("USDC is not known on %s", network)
	}
	to, err := evm.ParseAddress(payee)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what is wrong
	}
	return facilitator.New(facilitator.Config{Asset: asset, PayTo: to, Client: c}) //nolint:wrapcheck // it names the field
}

// inFlight bounds calls to the stand-in for the processor; it is more than the
// connections of any load.
const inFlight = 512

func openStore(ctx context.Context, s settings) (store payment.Store, commits func() int64, err error) {
	switch s.store {
	case "memory", "":
		return paymenttest.NewStore(), func() int64 { return 0 }, nil
	case "sqlite":
		sq, err := sqlstore.Open(ctx, sqlstore.Config{DSN: "sqlite:" + filepath.Join(s.dir, "bench.db"), CommitDelay: s.delay})
		if err != nil {
			return nil, nil, err //nolint:wrapcheck // it says what to do
		}
		return sq, func() int64 { return sq.Stats().Commits }, nil
	}
	return nil, nil, fmt.Errorf("no store %q", s.store)
}

func newGate(ctx context.Context, methods []payment.Method, store payment.Store) (*gate.Gate, error) {
	keys, err := mpp.NewKeyRing(mpp.Key{ID: "bench", Secret: bytes.Repeat([]byte{7}, mpp.MinKeyBytes)})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the field
	}
	scheme, err := mpp.New(mpp.Config{Keys: keys})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the field
	}
	exchange, err := x402.New(x402.Config{Origin: "http://" + realm})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the field
	}
	desk, err := newDesk()
	if err != nil {
		return nil, err
	}
	processor, err := payment.New(ctx, payment.Config{
		Store: store, Methods: methods, Key: bytes.Repeat([]byte{9}, 32), Sole: true, InFlight: inFlight, Queue: inFlight,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the field
	}
	return gate.New(gate.Config{ //nolint:wrapcheck // it names the field
		Realm: realm, Processor: processor, Methods: methods, Protocols: []payment.Protocol{scheme, exchange}, Receipts: desk,
		Limits: gate.Limits{Challenges: 1 << 29, Burst: 1 << 30, Failures: -1, Settling: -1}, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
}

// compose has the gate before the API, as the binary does.
func compose(s settings, g *gate.Gate) (http.Handler, error) {
	upstream, err := url.Parse("http://" + s.api)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	hop, err := proxy.New(proxy.Config{Name: "api", Target: upstream, Public: "http://" + realm})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the field
	}
	price, err := flat.Parse("1.00 USD")
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the price
	}
	return g.Router([]gate.Route{ //nolint:wrapcheck // it names the route
		{ID: "report", Pattern: "GET /v1/reports/{id}", Pricer: price, Description: "One market report", Handler: hop},
		{ID: "coins", Pattern: "/v1/coins/{id}", Pricer: price, Description: "One market report", Handler: hop},
	})
}

// embed has the gate as a middleware before a handler of the same program.
func embed(_ settings, g *gate.Gate) (http.Handler, error) {
	price, err := flat.Parse("1.00 USD")
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the price
	}
	paid, err := gingate.New(g, gate.Route{ID: "coins", Pricer: price, Description: "One market report"})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the route
	}
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	body := page()
	e.Match([]string{http.MethodGet, http.MethodPost}, "/v1/coins/:id", paid, func(c *gin.Context) { c.Data(http.StatusOK, "application/json", body) })
	return e, nil
}

func newDesk() (receipts.Desk, error) {
	key, err := receipts.GenerateKey(receipts.ES256, time.Now())
	if err != nil {
		return receipts.Desk{}, err //nolint:wrapcheck // it says what it did
	}
	ring, err := receipts.NewKeyRing(key)
	if err != nil {
		return receipts.Desk{}, err //nolint:wrapcheck // it says what it did
	}
	issuer, err1 := receipts.New(receipts.Config{Keys: ring, Issuer: "https://" + realm, Audience: realm})
	verifier, err2 := receipts.NewVerifier(receipts.VerifierConfig{Keys: ring, Issuer: "https://" + realm, Audience: realm})
	return receipts.Desk{Issuer: issuer, Verifier: verifier}, errors.Join(err1, err2)
}
