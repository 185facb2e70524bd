package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	"paywall/internal/proxy"
	"paywall/methods/stripe"
	"paywall/mpp"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/pricing/flat"
	"paywall/receipts"
	"paywall/sqlstore"
)

const (
	realm   = "127.0.0.1"
	target  = "/v1/reports/2026"
	profile = "profile_bench"
)

// settings of a role that stands in for a part of the binary.
type settings struct {
	api, processor string // addresses
	store, dir     string
	delay          time.Duration
	offers         int
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
	case "gate":
		return library(ctx, s)
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

// library is the gate as the binary wires it, over a store of choice. With
// offers it has that many ways to pay, which settle nothing.
func library(ctx context.Context, s settings) (http.Handler, error) {
	var methods []payment.Method
	for i := range s.offers {
		methods = append(methods, &paymenttest.Method{ID: "rail" + string(rune('a'+i))})
	}
	if s.offers == 0 {
		m, err := stripe.New(stripe.Config{
			Key: "sk_test_bench", Profile: profile, BaseURL: "http://" + s.processor, MaxInFlight: inFlight,
		})
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the field
		}
		methods = append(methods, m)
	}
	store, counted, err := openStore(ctx, s)
	if err != nil {
		return nil, err
	}
	router, err := compose(ctx, s, methods, store)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", router)
	mux.HandleFunc("/commits", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(strconv.AppendInt(nil, counted(), 10))
	})
	return mux, nil
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

func compose(ctx context.Context, s settings, methods []payment.Method, store payment.Store) (http.Handler, error) {
	keys, err := mpp.NewKeyRing(mpp.Key{ID: "bench", Secret: bytes.Repeat([]byte{7}, mpp.MinKeyBytes)})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the field
	}
	scheme, err := mpp.New(mpp.Config{Keys: keys})
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
	g, err := gate.New(gate.Config{
		Realm: realm, Processor: processor, Methods: methods, Protocols: []payment.Protocol{scheme}, Receipts: desk,
		Limits: gate.Limits{Challenges: 1 << 29, Burst: 1 << 30, Failures: -1, Settling: -1}, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the field
	}
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
	})
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
