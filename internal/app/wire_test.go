package app

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw sends bytes as they are and returns everything that comes back until the
// server closes or has been silent for a while.
func (h *house) raw(text string) string {
	h.t.Helper()
	c, err := net.Dial("tcp", h.listen)
	h.must(err)
	defer c.Close()
	h.must(c.SetDeadline(time.Now().Add(2 * time.Second)))
	_, err = io.WriteString(c, text)
	h.must(err)
	h.must(c.(*net.TCPConn).CloseWrite())
	all, _ := io.ReadAll(bufio.NewReader(c)) // a reset is an answer, too
	return string(all)
}

// A request that two parsers could take for two requests reaches nothing unpaid:
// it is refused, or answered as the one request that it is.
func TestC090_Smuggling(t *testing.T) {
	h := build(t, plan{})
	const priced = "GET /v1/reports/7 HTTP/1.1\r\nHost: %[1]s\r\n\r\n"
	for _, tt := range []struct{ name, text string }{
		{"both lengths", "POST /v1/complete HTTP/1.1\r\nHost: %[1]s\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + priced},
		{"two lengths", "POST /v1/complete HTTP/1.1\r\nHost: %[1]s\r\nContent-Length: 0\r\nContent-Length: 50\r\n\r\n" + priced},
		{"a list of lengths", "POST /v1/complete HTTP/1.1\r\nHost: %[1]s\r\nContent-Length: 0, 50\r\n\r\n" + priced},
		{"an unknown coding", "POST /v1/complete HTTP/1.1\r\nHost: %[1]s\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + priced},
		{"a folded field", "GET /health HTTP/1.1\r\nHost: %[1]s\r\nX-A: 1\r\n Content-Length: 50\r\n\r\n" + priced},
		{"a space before the colon", "GET /health HTTP/1.1\r\nHost: %[1]s\r\nContent-Length : 50\r\n\r\n" + priced},
		{"a bare line feed", "GET /health HTTP/1.1\nHost: %[1]s\n\n" + priced},
		{"a chunk extension", "POST /v1/complete HTTP/1.1\r\nHost: %[1]s\r\nTransfer-Encoding: chunked\r\n\r\n0;a=\r\n\r\n" + priced},
		{"two hosts", "GET /health HTTP/1.1\r\nHost: %[1]s\r\nHost: inside.example\r\n\r\n" + priced},
		{"C094 a free request before a priced one", "GET /health HTTP/1.1\r\nHost: %[1]s\r\n\r\n" + priced},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(h.api.requests())
			got := h.raw(fmt.Sprintf(tt.text, h.listen))
			for _, r := range h.api.requests()[before:] {
				if r.URL.Path != "/health" {
					t.Errorf("%s %s reached the API unpaid", r.Method, r.URL)
				}
			}
			if got == "" || strings.Contains(got, "HTTP/1.1 500") {
				t.Errorf("answered %q", got)
			}
		})
	}
}

// HTTP/2 is spoken over TLS alone: neither by an upgrade nor by prior knowledge
// does a plain connection leave the one parser that is meant for it.
func TestC092_PlainHTTP2(t *testing.T) {
	h := build(t, plan{})
	if got := h.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); strings.Contains(got, "\x00\x00") || strings.Contains(got, "200") {
		t.Errorf("prior knowledge: answered %q", got)
	}
	got := h.raw("GET /v1/reports/7 HTTP/1.1\r\nHost: " + h.listen + "\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 402 ") {
		t.Errorf("upgrade: answered %.80q", got)
	}
}

// A flood of refusals is sampled in the log.
func TestD098_RefusalsInTheLog(t *testing.T) {
	h := build(t, plan{more: "limits: {failed_per_minute: 100000}\nlog: {level: info}\n"})
	before := strings.Count(h.logs.String(), "outcome=refused")
	for range 300 {
		if a := h.do(http.MethodGet, "/v1/reports/7", "", "Authorization: Payment junk"); a.status != http.StatusPaymentRequired {
			t.Fatalf("%d", a.status)
		}
	}
	if n := strings.Count(h.logs.String(), "outcome=refused") - before; n == 0 || n > 200 {
		t.Errorf("%d lines for 300 refusals", n)
	}
}
