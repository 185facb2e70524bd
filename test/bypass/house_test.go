package bypass

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"paywall/gate"
	"paywall/internal/proxy"
	"paywall/mpp"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/pricing/flat"
	"paywall/x402"
)

const realm = "api.example.com"

// line is one route of the table; an empty price is free.
type line struct{ id, pattern, price string }

// table has every kind of pattern, a cheaper and a free catch-all, and a path
// that is free under one method and dear under another.
var table = []line{
	{"exact", "GET /dear/report", "50.00 USD"},
	{"param", "GET /items/{id}", "20.00 USD"},
	{"glob", "/media/*.mp4", "10.00 USD"},
	{"rest", "/vault/**", "30.00 USD"},
	{"cased", "GET /Mixed/Case", "12.00 USD"},
	{"slash", "GET /folder/", "14.00 USD"},
	{"gold", "GET /shop/gold", "40.00 USD"},
	{"cheap", "/shop/**", cheapPrice},
	{"remove", "DELETE /open/doc", "15.00 USD"},
	{"read", "GET /open/doc", ""},
	{"write", "POST /open/doc", ""},
	{"free", "/**", ""},
}

const cheapPrice = "0.60 USD"

// priced are the resources of the upstreams that somebody could want for
// nothing: as strict upstreams name them, with the one route that may serve them.
var priced = map[string]string{
	"GET /dear/report": "exact", "GET /items/7": "param", "GET /media/film.mp4": "glob", "GET /vault/a/b": "rest",
	"POST /vault/a/b": "rest", "GET /vault": "rest", "GET /Mixed/Case": "cased", "GET /folder/": "slash",
	"GET /shop/gold": "gold", "DELETE /open/doc": "remove",
}

// house is a gate before one upstream.
type house struct {
	dialect dialect
	coins   *yes // the facilitator
	server  *httptest.Server
	addr    string

	mu      sync.Mutex // guards what follows
	broken  []string   // priced resources that came through another route
	reached map[string]int
	tokens  int
}

func newHouse(t *testing.T, d dialect) *house {
	t.Helper()
	h := &house{dialect: d, reached: map[string]int{}, coins: &yes{asked: map[string]int{}}}
	up := httptest.NewServer(h)
	t.Cleanup(up.Close)
	target, err := url.Parse(up.URL)
	must(t, err)
	keys, err := mpp.NewKeyRing(mpp.Key{ID: "k1", Secret: bytes.Repeat([]byte{7}, 32)})
	must(t, err)
	scheme, err := mpp.New(mpp.Config{Keys: keys})
	must(t, err)
	other, err := x402.New(x402.Config{Origin: "http://" + realm})
	must(t, err)
	rails := []payment.Method{&paymenttest.Method{Minimum: 50}, coinRail(t, h.coins)}
	processor, err := payment.New(t.Context(), payment.Config{
		Store: paymenttest.NewStore(), Methods: rails, Key: bytes.Repeat([]byte{9}, 32), Sole: true, InFlight: 1000,
	})
	must(t, err)
	g, err := gate.New(gate.Config{
		Realm: realm, Processor: processor, Methods: rails, Protocols: []payment.Protocol{scheme, other},
		Limits: gate.Limits{Challenges: -1, Failures: -1, Settling: -1},
	})
	must(t, err)
	var routes []gate.Route
	for _, l := range table {
		// The upstream learns by which route a request came; no client can say it.
		hop, err := proxy.New(proxy.Config{Name: l.id, Target: target, Header: http.Header{"Via-Route": {l.id}}})
		must(t, err)
		r := gate.Route{ID: l.id, Pattern: l.pattern, Free: l.price == "", Handler: hop}
		if l.price != "" {
			r.Pricer, err = flat.Parse(l.price)
			must(t, err)
		}
		routes = append(routes, r)
	}
	router, err := g.Router(routes)
	must(t, err)
	h.server = httptest.NewServer(router)
	t.Cleanup(h.server.Close)
	h.addr = strings.TrimPrefix(h.server.URL, "http://")
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ServeHTTP is the upstream.
func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	via := r.Header.Get("Via-Route")
	resource := h.dialect.read(r.Method, r.RequestURI, r.Header, string(body))
	h.mu.Lock()
	h.reached[via]++
	if owner, ok := h.dialect.owners()[resource]; ok && owner != via {
		h.broken = append(h.broken, via+" served "+resource+" for "+r.Method+" "+r.RequestURI)
	}
	h.mu.Unlock()
	io.WriteString(w, "goods")
}

// violations are the priced resources that were given away since the last call.
func (h *house) violations() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.broken
	h.broken = nil
	return all
}

// served counts what came to the upstream by each route.
func (h *house) served() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.reached)
}

func (h *house) token() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens++
	return h.tokens
}
