package app

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// hang bounds what would otherwise be waited for in vain.
const hang = 20 * time.Second

// dial opens a connection from an address of this machine.
func (h *house) dial(from, to string) *net.TCPConn {
	h.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(h.t.Context(), "tcp", to)
	h.must(err)
	h.t.Cleanup(func() { _ = c.Close() })
	h.must(c.SetDeadline(time.Now().Add(hang)))
	return c.(*net.TCPConn)
}

// ended reads until the other side ends the connection, and reports whether it did.
func ended(c net.Conn) bool {
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// served says whether a connection gets an answer at all.
func served(c net.Conn, host string) bool {
	if _, err := fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
		return false
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// The head of a request has its time, however it is dragged out, and so have the
// first bytes of a connection.
func TestD089_SlowHeaders(t *testing.T) {
	h := build(t, plan{deaf: true, more: "limits: {read_header: 200ms}"})
	for _, sent := range []string{"", "GET /v1", "GET /v1/reports/7 HTTP/1.1\r\n", "GET /v1/reports/7 HTTP/1.1\r\nHost: " + h.listen + "\r\nX-A: 1\r\n"} {
		for _, at := range []string{h.listen, h.admin} {
			c := h.dial("127.0.0.1", at)
			if _, err := io.WriteString(c, sent); err != nil {
				t.Fatal(err)
			}
			if !ended(c) {
				t.Errorf("%q and no more, to %s: the connection is kept", sent, at)
			}
		}
	}
	if n := len(h.api.requests()); n != 0 {
		t.Errorf("%d requests reached the API", n)
	}
}

// The body of a request has its time wherever it goes: to the gate, past it, or
// to a handler that does not look at it.
func TestD089_SlowBodies(t *testing.T) {
	h := build(t, plan{deaf: true, more: "limits: {read_header: 10s, read_body: 200ms}", routes: usualRoutes + `
  - {match: "POST /upload", upstream: api, free: true}`})
	var waiting sync.WaitGroup
	for _, tt := range []struct{ name, at, head string }{
		{"a webhook", h.listen, "POST /webhooks/stripe HTTP/1.1\r\n"},
		{"a document", h.listen, "GET /openapi.json HTTP/1.1\r\n"},
		{"a method that is not served", h.listen, "POST /healthz HTTP/1.1\r\n"},
		{"nothing is there", h.listen, "POST /webhooks/other HTTP/1.1\r\n"},
		{"no route", h.listen, "POST /nowhere HTTP/1.1\r\n"},
		{"a priced request that says its digest", h.listen, "POST /v1/complete HTTP/1.1\r\nContent-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\r\n"},
		{"a free request", h.listen, "POST /upload HTTP/1.1\r\n"},
		{"a free request without a body of its own", h.listen, "GET /health HTTP/1.1\r\n"},
		{"an operation", h.admin, "POST /admin/refund HTTP/1.1\r\n" + adminHeader + ": 1\r\n"},
		{"no operation", h.admin, "POST /admin/nothing HTTP/1.1\r\n"},
	} {
		for _, body := range []string{"Content-Length: 1000\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", "Content-Length: 1000000000\r\n\r\nx"} {
			c := h.dial("127.0.0.1", tt.at)
			if _, err := io.WriteString(c, tt.head+"Host: "+tt.at+"\r\n"+body); err != nil {
				t.Fatal(err)
			}
			waiting.Go(func() {
				if !ended(c) {
					t.Errorf("%s, %q and no more: the connection is kept", tt.name, body)
				}
			})
		}
	}
	waiting.Wait()
}

// A body that keeps its pace may take longer, and what comes after a body has
// deadlines of its own: neither the answer nor the next request is cut off.
func TestD089_SteadyBodies(t *testing.T) {
	h := build(t, plan{deaf: true, more: "limits: {read_body: 300ms}", routes: usualRoutes + `
  - {match: "POST /upload", upstream: api, free: true}`})
	arrived, finish := make(chan int64, 2), make(chan struct{})
	h.api.set(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		arrived <- n
		<-finish
		_, _ = io.WriteString(w, "taken")
	})
	c := h.dial("127.0.0.1", h.listen)
	answers := bufio.NewReader(c)
	const pieces, each = 6, 64 << 10
	for round := range 2 {
		_, err := fmt.Fprintf(c, "POST /upload HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", h.listen, pieces*each)
		h.must(err)
		tick := time.NewTicker(100 * time.Millisecond)
		for i := range pieces {
			if i > 0 {
				<-tick.C
			}
			_, err := c.Write(make([]byte, each))
			h.must(err)
		}
		if n := <-arrived; n != pieces*each {
			t.Fatalf("round %d: %d bytes arrived", round, n)
		}
		for range 5 { // longer than a body may take
			<-tick.C
		}
		tick.Stop()
		finish <- struct{}{}
		resp, err := http.ReadResponse(answers, nil)
		h.must(err)
		body, err := io.ReadAll(resp.Body)
		h.must(err)
		if resp.StatusCode != http.StatusOK || string(body) != "taken" {
			t.Errorf("round %d: %d %q", round, resp.StatusCode, body)
		}
	}
}

// A client that asks again and again and takes no answer loses its connection,
// whoever answers. Its only place is free for its next connection then.
func TestD089_SlowReads(t *testing.T) {
	h := build(t, plan{deaf: true, more: "limits: {connections: 4, connections_per_client: 1, write_stall: 200ms}"})
	h.api.set(func(w http.ResponseWriter, _ *http.Request) {
		for range 1000 {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	})
	for _, target := range []string{"/openapi.json", "/llms.txt", "/v1/reports/7", "/nowhere", "/health", "/payments/none"} {
		c := h.dial("127.0.0.2", h.listen)
		h.must(c.SetReadBuffer(4 << 10))
		asking := make(chan struct{})
		go func() {
			defer close(asking)
			many := strings.Repeat("GET "+target+" HTTP/1.1\r\nHost: "+h.listen+"\r\n\r\n", 100)
			for range 20_000 {
				if _, err := io.WriteString(c, many); err != nil {
					return
				}
			}
		}()
		<-asking // it could not go on, or the connection was ended
		h.until("the place of one that reads nothing of "+target, func() bool {
			next := h.dial("127.0.0.2", h.listen)
			defer next.Close()
			return served(next, h.listen)
		})
		_ = c.Close()
	}
}

// The same over HTTP/2, where a client can stop one answer and keep the connection.
func TestD089_SlowStreams(t *testing.T) {
	h := build(t, plan{
		deaf: true, public: "https://localhost:%s", more: "tls: {cert: api.pem, key: api.key}\nlimits: {write_stall: 200ms}",
		prepare: func(dir string) { certificate(t, dir, 1) },
	})
	const noWindow = "\x00\x04\x00\x00\x00\x00" // SETTINGS_INITIAL_WINDOW_SIZE is nothing
	for _, target := range []string{"/openapi.json", "/llms.txt", "/health", "/payments/none"} {
		c := h.http2(noWindow)
		c.send(frameHeaders, 5, 1, c.get(target))
		if !c.sees(func(kind byte, stream uint32, _ []byte) bool {
			return kind == frameReset && stream == 1 || kind == frameGoAway
		}) {
			t.Errorf("%s: nothing of the answer is taken, and it is kept", target)
		}
		_ = c.Close()
	}
}

// Of very many connections that say nothing, as many are open as the limits say,
// and none of somebody else's places is taken.
func TestD089_ManyConnections(t *testing.T) {
	h := build(t, plan{deaf: true, more: "limits: {connections: 50, connections_per_client: 20, read_header: 1s}"})
	var silent []net.Conn
	for range 2000 {
		silent = append(silent, h.dial("127.0.0.2", h.listen))
	}
	if c := h.dial("127.0.0.3", h.listen); !served(c, h.listen) {
		t.Error("another client is not served")
	}
	for _, c := range silent {
		if !ended(c) {
			t.Fatal("one that says nothing is kept")
		}
		_ = c.Close()
	}
	h.until("a place is given back", func() bool { return served(h.dial("127.0.0.2", h.listen), h.listen) })
}

// Frames of HTTP/2 (RFC 9113, section 6).
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameGoAway, frameContinuation = 0, 1, 3, 4, 6, 7, 9
)

// rawHTTP2 is a connection on which a test writes frames as it likes.
type rawHTTP2 struct {
	*tls.Conn

	h      *house
	out    *bufio.Writer
	stream uint32 // the latest that was opened by next
	err    error  // that ended sees
}

// next is a new stream.
func (c *rawHTTP2) next() uint32 {
	if c.stream == 0 {
		c.stream = 1
	} else {
		c.stream += 2
	}
	return c.stream
}

// http2 opens one with the settings given.
func (h *house) http2(settings string) *rawHTTP2 {
	h.t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"h2"}}}
	conn, err := d.DialContext(h.t.Context(), "tcp", h.listen)
	h.must(err)
	h.t.Cleanup(func() { _ = conn.Close() })
	h.must(conn.SetDeadline(time.Now().Add(hang)))
	c := &rawHTTP2{Conn: conn.(*tls.Conn), h: h, out: bufio.NewWriterSize(conn, 64<<10)}
	if p := c.ConnectionState().NegotiatedProtocol; p != "h2" {
		h.t.Fatalf("%q is spoken", p)
	}
	_, _ = c.out.WriteString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c.send(frameSettings, 0, 0, settings)
	return c
}

// put writes a frame, which may stay in the buffer; false when the connection was ended.
func (c *rawHTTP2) put(kind, flags byte, stream uint32, payload string) bool {
	var head [9]byte
	binary.BigEndian.PutUint32(head[:4], uint32(len(payload))<<8)
	head[3], head[4] = kind, flags
	binary.BigEndian.PutUint32(head[5:], stream)
	_, _ = c.out.Write(head[:])
	_, err := c.out.WriteString(payload)
	return err == nil
}

func (c *rawHTTP2) send(kind, flags byte, stream uint32, payload string) {
	c.put(kind, flags, stream, payload)
	_ = c.out.Flush() // what became of it is read
}

// get is the header block of a request, without compression (RFC 7541).
func (c *rawHTTP2) get(path string) string {
	host := "localhost" + c.h.listen[strings.LastIndexByte(c.h.listen, ':'):]
	return "\x82\x87" + "\x04" + string(rune(len(path))) + path + "\x01" + string(rune(len(host))) + host
}

// sees reads frames until one is what is looked for or the other side ends the
// connection; false when neither comes. It is called once.
func (c *rawHTTP2) sees(wanted func(kind byte, stream uint32, payload []byte) bool) bool {
	in := bufio.NewReader(c)
	for {
		var head [9]byte
		if _, c.err = io.ReadFull(in, head[:]); c.err != nil {
			return !errors.Is(c.err, os.ErrDeadlineExceeded)
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[:4])>>8)
		if _, c.err = io.ReadFull(in, payload); c.err != nil {
			return !errors.Is(c.err, os.ErrDeadlineExceeded)
		}
		if wanted(head[3], binary.BigEndian.Uint32(head[5:])&(1<<31-1), payload) {
			return true
		}
	}
}
