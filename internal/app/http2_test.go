package app

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// secure is a house behind its own certificate.
func secure(t *testing.T, more string) *house {
	t.Helper()
	return build(t, plan{
		deaf: true, public: "https://localhost:%s", more: "tls: {cert: api.pem, key: api.key}\n" + more,
		prepare: func(dir string) { certificate(t, dir, 1) },
	})
}

const endStream, endHeaders, endBoth = 1, 4, 5

// Each flood is one connection that misuses a frame of HTTP/2. It is ended, or
// costs no more than it sends, and meanwhile others buy.
func TestD093_Floods(t *testing.T) {
	const many = 100_000
	h := secure(t, "limits: {burst: 1000000, challenges_per_second: 1000000}")
	for _, tt := range []struct {
		name  string
		flood func(c *rawHTTP2) (more bool)
		step  int  // frames of one call
		ends  bool // the connection
	}{
		{"rapid reset", func(c *rawHTTP2) bool {
			stream := c.next()
			return c.put(frameHeaders, endBoth, stream, c.get("/v1/reports/7")) && c.put(frameReset, 0, stream, "\x00\x00\x00\x08")
		}, 2, false},
		{"rapid reset of free requests", func(c *rawHTTP2) bool {
			stream := c.next()
			return c.put(frameHeaders, endBoth, stream, c.get("/health")) && c.put(frameReset, 0, stream, "\x00\x00\x00\x08")
		}, 2, false},
		{"streams", func(c *rawHTTP2) bool { return c.put(frameHeaders, endHeaders, c.next(), c.get("/health")) }, 1, false},
		{"continuation", func(c *rawHTTP2) bool {
			if c.stream == 0 {
				return c.put(frameHeaders, 0, c.next(), c.get("/v1/reports/7"))
			}
			return c.put(frameContinuation, 0, c.stream, "\x00\x03x-a\x0a0123456789")
		}, 1, true},
		{"empty continuation", func(c *rawHTTP2) bool {
			if c.stream == 0 {
				return c.put(frameHeaders, 0, c.next(), c.get("/v1/reports/7"))
			}
			return c.put(frameContinuation, 0, c.stream, "")
		}, 1, false},
		{"settings", func(c *rawHTTP2) bool { return c.put(frameSettings, 0, 0, "\x00\x04\x00\x00\xff\xff") }, 1, false},
		{"ping", func(c *rawHTTP2) bool { return c.put(framePing, 0, 0, "12345678") }, 1, false},
		{"empty data", func(c *rawHTTP2) bool {
			if c.stream == 0 {
				return c.put(frameHeaders, endHeaders, c.next(), c.get("/health"))
			}
			return c.put(frameData, 0, c.stream, "")
		}, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := h.http2("")
			over := make(chan struct{})
			go func() {
				// Everything is read, so that nothing but the server's own judgement ends it.
				c.sees(func(kind byte, _ uint32, _ []byte) bool { return kind == frameGoAway })
				close(over)
			}()
			frames, peak, ended := 0, 0, false
			for !ended && frames < many && tt.flood(c) {
				if frames += tt.step; frames%1000 == 0 {
					peak = max(peak, runtime.NumGoroutine())
				}
				select {
				case <-over:
					ended = true
				default:
				}
			}
			_ = c.out.Flush()
			// Others are served while it is open, if it still is.
			h.client = h.trusting("localhost", true)
			if a := h.do(http.MethodGet, "/v1/reports/8", "", h.quote(http.MethodGet, "/v1/reports/8", "")); a.status != http.StatusOK {
				t.Errorf("another buys: %d %s", a.status, a.body)
			}
			if tt.ends {
				<-over // at the latest when the deadline of the connection is over
				ended = !errors.Is(c.err, os.ErrDeadlineExceeded)
			}
			_ = c.Close()
			<-over
			if tt.ends && !ended {
				t.Errorf("%d frames are taken", frames)
			}
			if peak > 1500 {
				t.Errorf("%d goroutines for one connection", peak)
			}
		})
	}
	h.until("nothing is left running", func() bool { return h.active.Load() == 0 })
	for _, r := range h.api.requests() {
		if r.URL.Path == "/v1/reports/7" {
			t.Fatal("an unpaid request reached the API")
		}
	}
	h.whole()
}

// What breaks the rules of HTTP/2 outright ends the stream or the connection, and
// reaches nobody (C091 too).
func TestD093_BrokenFrames(t *testing.T) {
	h := secure(t, "")
	length := func(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
	for _, tt := range []struct {
		name   string
		misuse func(c *rawHTTP2)
	}{
		{"a path without a slash", func(c *rawHTTP2) { c.send(frameHeaders, endBoth, 1, c.get("health")) }},
		{"an upper-case field", func(c *rawHTTP2) { c.send(frameHeaders, endBoth, 1, c.get("/health")+"\x00\x03X-A\x01b") }},
		{"a field of HTTP/1", func(c *rawHTTP2) { c.send(frameHeaders, endBoth, 1, c.get("/health")+"\x00\x0aconnection\x05close") }},
		{"a line end in a value", func(c *rawHTTP2) { c.send(frameHeaders, endBoth, 1, c.get("/health")+"\x00\x03x-a\x04a\r\nb") }},
		{"two paths", func(c *rawHTTP2) { c.send(frameHeaders, endBoth, 1, c.get("/health")+"\x04\x02/x") }},
		{"a body that is longer than it says", func(c *rawHTTP2) {
			c.send(frameHeaders, endHeaders, 1, c.get("/v1/reports/7")+"\x00\x0econtent-length\x011")
			c.send(frameData, endStream, 1, "ab")
		}},
		{"a table of 4 GiB", func(c *rawHTTP2) { c.send(frameHeaders, endBoth, 1, "\x3f\xe1\xff\xff\xff\x0f") }},
		{"an index that is not there", func(c *rawHTTP2) { c.send(frameHeaders, endBoth, 1, "\xff\xff\xff\xff\x0f") }},
		{"data before its headers", func(c *rawHTTP2) { c.send(frameData, endStream, 1, "x") }},
		{"an even stream", func(c *rawHTTP2) { c.send(frameHeaders, endBoth, 2, c.get("/health")) }},
		{"a frame beyond the largest", func(c *rawHTTP2) { c.send(frameData, 0, 1, strings.Repeat("x", 1<<20+1)) }},
		{"a window of nothing more", func(c *rawHTTP2) { c.send(8, 0, 0, length(0)) }},
		{"a window beyond the largest", func(c *rawHTTP2) { c.send(8, 0, 0, length(1<<31-1)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(h.api.requests())
			c := h.http2("")
			tt.misuse(c)
			refused := c.sees(func(kind byte, stream uint32, payload []byte) bool {
				// 0x88 is the status 200, the first byte of a header block that says so.
				if kind == frameHeaders && len(payload) > 0 && payload[0] == 0x88 {
					t.Error("it is served")
				}
				return kind == frameGoAway || kind == frameReset || kind == frameHeaders
			})
			if !refused {
				t.Error("it is not refused")
			}
			if n := len(h.api.requests()) - before; n != 0 {
				t.Errorf("%d requests reached the API", n)
			}
		})
	}
}

// Handshakes that are begun and not finished have their time, and no more places
// than other connections; what is no TLS at all is not kept.
func TestD094_Handshakes(t *testing.T) {
	h := secure(t, "limits: {connections: 40, connections_per_client: 20, read_header: 2s}")
	hello := captureHello(t)
	var begun []net.Conn
	for i := range 600 {
		c := h.dial("127.0.0.2", h.listen)
		begun = append(begun, c)
		switch i % 3 {
		case 0: // says nothing
		case 1:
			_, _ = c.Write(hello) // and no more
		case 2:
			_, _ = c.Write(hello[:len(hello)/2])
		}
	}
	// Another client buys meanwhile.
	h.client = h.trusting("localhost", false)
	h.client.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3)}}).DialContext
	h.buy(http.MethodGet, "/v1/reports/8", "")
	for _, c := range begun {
		if !ended(c) {
			t.Fatal("a handshake that is not finished is kept")
		}
	}
}

// captureHello is what a client says first.
func captureHello(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		_ = tls.Client(near, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}).HandshakeContext(t.Context())
		_ = near.Close()
	}()
	b := make([]byte, 16<<10)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// tickets keeps the sessions that a server gives out.
type tickets struct {
	mu   sync.Mutex // guards held
	held []*tls.ClientSessionState
}

func (k *tickets) Get(string) (*tls.ClientSessionState, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.held) == 0 {
		return nil, false
	}
	return k.held[len(k.held)-1], true
}

func (k *tickets) Put(_ string, s *tls.ClientSessionState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s != nil {
		k.held = append(k.held, s)
	}
}

// A session can be taken up again, and no request can be sent with its first
// bytes: they could be sent twice by anybody who saw them.
func TestD094_NoEarlyData(t *testing.T) {
	h := secure(t, "")
	kept := &tickets{}
	for round := range 2 {
		conn, err := tls.Dial("tcp", h.listen, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: kept, MinVersion: tls.VersionTLS13})
		h.must(err)
		h.must(conn.SetDeadline(time.Now().Add(hang)))
		if !served(conn, "localhost") {
			t.Fatal("not served")
		}
		if resumed := conn.ConnectionState().DidResume; resumed != (round == 1) {
			t.Errorf("round %d: resumed %t", round, resumed)
		}
		_ = conn.Close()
	}
	state, ok := kept.Get("")
	if !ok {
		t.Fatal("no session was given out")
	}
	_, s, err := state.ResumptionState()
	h.must(err)
	if s == nil || s.EarlyData {
		t.Errorf("a session that allows early data: %+v", s)
	}
}

// A client cannot have the handshake made again and again on one connection.
func TestD094_Renegotiation(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl to ask for it with")
	}
	h := secure(t, "")
	cmd := exec.CommandContext(t.Context(), openssl, "s_client", "-connect", h.listen, "-servername", "localhost", "-tls1_2", "-legacy_renegotiation")
	in, err := cmd.StdinPipe()
	h.must(err)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	h.must(cmd.Start())
	_, err = io.WriteString(in, "R\n")
	h.must(err)
	err = cmd.Wait() // it gives up by itself when it is refused
	_ = in.Close()
	if text := out.String(); !strings.Contains(text, "RENEGOTIATING") || !strings.Contains(text, "SSL alert number") || err == nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// Nobody is asked for a certificate, so that no chain of them is read.
func TestD095_NoCertificatesOfClients(t *testing.T) {
	h := secure(t, "")
	asked := false
	conn, err := tls.Dial("tcp", h.listen, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return nil, errors.New("none")
	}})
	h.must(err)
	defer conn.Close()
	h.must(conn.SetDeadline(time.Now().Add(hang)))
	if !served(conn, "localhost") || asked {
		t.Errorf("asked for a certificate: %t", asked)
	}
}
