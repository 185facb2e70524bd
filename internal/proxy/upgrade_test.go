package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/gate"
	"paywall/internal/proxy"
	"paywall/mpp"
	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/pricing/flat"
)

const realm = "api.example.com"

// shop is a gate with a priced and a free way to one upstream, on loopback.
type shop struct {
	t     *testing.T
	addr  string
	rail  *paymenttest.Method
	store *paymenttest.Store

	mu   sync.Mutex // guards what follows
	seen []string
}

func newShop(t *testing.T, up http.HandlerFunc) *shop {
	t.Helper()
	s := &shop{t: t, rail: &paymenttest.Method{}, store: paymenttest.NewStore()}
	h := newHop(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, r.Method+" "+r.URL.Path)
		s.mu.Unlock()
		up(w, r)
	}), func(c *proxy.Config) { c.Public = "https://" + realm })
	keys, err := mpp.NewKeyRing(mpp.Key{ID: "k", Secret: bytes.Repeat([]byte{1}, 32)})
	s.must(err)
	scheme, err := mpp.New(mpp.Config{Keys: keys})
	s.must(err)
	processor, err := payment.New(t.Context(), payment.Config{Store: s.store, Methods: []payment.Method{s.rail}, Key: make([]byte, 32)})
	s.must(err)
	g, err := gate.New(gate.Config{Realm: realm, Processor: processor, Methods: []payment.Method{s.rail}, Protocols: []payment.Protocol{scheme}})
	s.must(err)
	price, err := flat.Parse("1.00 USD")
	s.must(err)
	router, err := g.Router([]gate.Route{
		{ID: "socket", Pattern: "GET /socket", Pricer: price, Handler: h}, {ID: "free", Pattern: "/free/**", Free: true, Handler: h},
	})
	s.must(err)
	server := httptest.NewServer(router)
	t.Cleanup(func() {
		server.Close()
		g.Close()
	})
	s.addr = server.Listener.Addr().String()
	return s
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) dial() (net.Conn, *bufio.Reader) {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	s.must(err)
	s.must(c.SetDeadline(time.Now().Add(30 * time.Second)))
	s.t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

// ask writes a request and reads the head of its answer.
func (s *shop) ask(c net.Conn, br *bufio.Reader, target string, lines ...string) *http.Response {
	s.t.Helper()
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target, realm, strings.Join(append(lines, ""), "\r\n"))
	s.must(err)
	resp, err := http.ReadResponse(br, nil)
	s.must(err)
	return resp
}

// credential pays the challenge of an answer.
func (s *shop) credential(resp *http.Response) string {
	s.t.Helper()
	cs, err := mpp.ParseChallenges(resp.Header)
	s.must(err)
	cred, err := mpp.NewCredential(cs[0], []byte(`{"token":"tok_1"}`))
	s.must(err)
	field, err := cred.Format()
	s.must(err)
	return "Authorization: " + field
}

func (s *shop) reached() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

var upgrade = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}

// switching answers an upgrade and echoes lines until the client is gone.
func switching(w http.ResponseWriter, _ *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Own: kept\r\n" +
		"Payment-Receipt: forged\r\nPaywall-Payment-Id: forged\r\nWWW-Authenticate: Payment id=\"forged\"\r\n\r\n")
	rw.Flush()
	for {
		line, err := rw.ReadString('\n')
		if err != nil {
			return
		}
		rw.WriteString("echo " + line)
		rw.Flush()
	}
}

func TestC093_UpgradeUnpaid(t *testing.T) {
	s := newShop(t, switching)
	c, br := s.dial()
	resp := s.ask(c, br, "/socket", upgrade...)
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusPaymentRequired || resp.Header.Get("Upgrade") != "" || len(s.reached()) != 0 {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	// The connection still speaks HTTP, and is gated.
	if again := s.ask(c, br, "/socket"); again.StatusCode != http.StatusPaymentRequired {
		t.Errorf("%d", again.StatusCode)
	}
}

func TestC093_UpgradePaid(t *testing.T) {
	s := newShop(t, switching)
	c, br := s.dial()
	unpaid := s.ask(c, br, "/socket", upgrade...)
	io.Copy(io.Discard, unpaid.Body)
	resp := s.ask(c, br, "/socket", append(slices.Clone(upgrade), s.credential(unpaid))...)
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("X-Own") != "kept" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	if _, err := mpp.ParseReceipt(resp.Header.Get("Payment-Receipt")); err != nil || len(resp.Header["Payment-Receipt"]) != 1 {
		t.Errorf("receipt %v: %v", resp.Header["Payment-Receipt"], err)
	}
	if ids := resp.Header["Paywall-Payment-Id"]; len(ids) != 1 || !strings.HasPrefix(ids[0], "pay_") || resp.Header.Get("Www-Authenticate") != "" {
		t.Errorf("headers %v", resp.Header)
	}
	for _, line := range []string{"one\n", "GET /free/x HTTP/1.1\n"} {
		io.WriteString(c, line)
		if got, err := br.ReadString('\n'); err != nil || got != "echo "+line {
			t.Errorf("%q, %v", got, err)
		}
	}
	if got := s.reached(); !slices.Equal(got, []string{"GET /socket"}) {
		t.Errorf("the upstream saw %v", got)
	}
	if charges, refunds := s.rail.Total(); charges != 1 || refunds != 0 {
		t.Errorf("%d charges, %d refunds", charges, refunds)
	}
}

// An upgrade that the upstream answers with 200 opens no tunnel: what follows on
// the connection are requests to the gate.
func TestC093_UpgradeRefused(t *testing.T) {
	s := newShop(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "no upgrade") })
	c, br := s.dial()
	unpaid := s.ask(c, br, "/socket", upgrade...)
	io.Copy(io.Discard, unpaid.Body)
	field := s.credential(unpaid)
	for _, target := range []string{"/free/socket", "/socket"} {
		resp := s.ask(c, br, target, append(slices.Clone(upgrade), field)...)
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(body) != "no upgrade" {
			t.Fatalf("%s: %d %s", target, resp.StatusCode, body)
		}
		next := s.ask(c, br, "/socket")
		io.Copy(io.Discard, next.Body)
		if next.StatusCode != http.StatusPaymentRequired {
			t.Errorf("after %s: %d", target, next.StatusCode)
		}
	}
	if got := s.reached(); !slices.Equal(got, []string{"GET /free/socket", "GET /socket"}) {
		t.Errorf("the upstream saw %v", got)
	}
}

// An upstream that switches to something else, or without being asked, is a
// failed delivery and no tunnel.
func TestC093_WrongProtocol(t *testing.T) {
	s := newShop(t, func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
		rw.Flush()
	})
	c, br := s.dial()
	unpaid := s.ask(c, br, "/socket", upgrade...)
	io.Copy(io.Discard, unpaid.Body)
	resp := s.ask(c, br, "/socket", append(slices.Clone(upgrade), s.credential(unpaid))...)
	if resp.StatusCode != http.StatusBadGateway || resp.Header.Get("Payment-Receipt") != "" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	all, err := s.store.List(t.Context(), payment.Filter{}, "", 10)
	if err != nil || len(all) != 1 || all[0].Delivery == payment.DeliveryDelivered {
		t.Errorf("%+v, %v", all, err)
	}
}

// C105: informational answers of an upstream do not reach the payer before the answer.
func TestC105_Informational(t *testing.T) {
	s := newShop(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</secret>")
		for range 4 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.Header().Del("Link")
		io.WriteString(w, "goods")
	})
	c, br := s.dial()
	for _, target := range []string{"/free/a", "/socket"} {
		resp := s.ask(c, br, target)
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode == http.StatusPaymentRequired {
			resp = s.ask(c, br, target, s.credential(resp))
			io.Copy(io.Discard, resp.Body)
		}
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Link") != "" {
			t.Errorf("%s: %d %v", target, resp.StatusCode, resp.Header)
		}
	}
}

// C106: trailers that an upstream did not announce are no way around the gate.
func TestC106_TrailersThroughTheGate(t *testing.T) {
	s := newShop(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "goods")
		http.NewResponseController(w).Flush()
		w.Header().Set(http.TrailerPrefix+"Payment-Receipt", "forged")
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
	})
	c, br := s.dial()
	unpaid := s.ask(c, br, "/socket")
	io.Copy(io.Discard, unpaid.Body)
	for target, lines := range map[string][]string{"/free/a": nil, "/socket": {s.credential(unpaid)}} {
		resp := s.ask(c, br, target, lines...)
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK || resp.Trailer.Get("Payment-Receipt") != "" || resp.Trailer.Get("X-Sum") != "1" {
			t.Errorf("%s: %d, trailers %v", target, resp.StatusCode, resp.Trailer)
		}
	}
}

// B069: what the upstream cuts off is cut off for the payer, and stays owed.
func TestB069_Truncated(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprint("chunked ", chunked), func(t *testing.T) {
			s := newShop(t, func(w http.ResponseWriter, _ *http.Request) {
				if !chunked {
					w.Header().Set("Content-Length", "100")
				}
				io.WriteString(w, "half")
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			})
			c, br := s.dial()
			unpaid := s.ask(c, br, "/socket")
			io.Copy(io.Discard, unpaid.Body)
			fmt.Fprintf(c, "GET /socket HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", realm, s.credential(unpaid))
			if resp, err := http.ReadResponse(br, nil); err == nil { // else not even the head came
				if _, err := io.ReadAll(resp.Body); err == nil {
					t.Error("the payer cannot tell that the answer is cut off")
				}
			}
			all, err := s.store.List(t.Context(), payment.Filter{}, "", 10)
			if err != nil || len(all) != 1 || all[0].Delivery == payment.DeliveryDelivered {
				t.Errorf("%+v, %v", all, err)
			}
		})
	}
}
