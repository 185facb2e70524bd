package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// behind is what lies behind the servers under measurement: the API, and a
// processor and a facilitator that take no time. All run in the process that loads.
type behind struct {
	api, processor, facilitator string // addresses

	// charges, pages, verified and settled count what was asked of them.
	charges, pages, verified, settled atomic.Int64
	// parts carries the time at which each part of a stream was written.
	parts chan time.Time
	// begin lets a stream write its first part.
	begin chan struct{}
}

func newBehind(ctx context.Context) (*behind, error) {
	b := &behind{parts: make(chan time.Time, 1), begin: make(chan struct{})}
	api := http.NewServeMux()
	page := page()
	report := func(w http.ResponseWriter, _ *http.Request) {
		b.pages.Add(1)
		h := w.Header()
		h["Content-Type"], h["Content-Length"] = []string{"application/json"}, []string{strconv.Itoa(len(page))}
		_, _ = w.Write(page)
	}
	for _, pattern := range []string{"/v1/reports/{id}", "/v1/coins/{id}", "/v1/calls/{id}"} {
		api.HandleFunc(pattern, report)
	}
	api.HandleFunc("/v1/stream", b.stream)
	api.HandleFunc("/v1/open", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: open\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for _, one := range []struct {
		addr    *string
		handler http.Handler
	}{{&b.api, api}, {&b.processor, http.HandlerFunc(b.process)}, {&b.facilitator, http.HandlerFunc(b.facilitate)}} {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		*one.addr = l.Addr().String()
		hs := &http.Server{Handler: one.handler, ReadHeaderTimeout: 5 * time.Second}
		go func() {
			if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				panic(err) // the benchmark cannot go on
			}
		}()
	}
	return b, nil
}

// page is the body of a report, 1 kB.
func page() []byte {
	return bytes.Repeat([]byte(`{"region":"north","units":1024,"share":"12.5"},`), 22)
}

// stream writes its only part when it is told to and says when that was.
func (b *behind) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	_ = rc.Flush()
	select {
	case <-b.begin:
	case <-r.Context().Done():
		return
	}
	at := time.Now()
	_, _ = io.WriteString(w, "data: first\n\n")
	_ = rc.Flush()
	b.parts <- at
}

// process answers the charge of a token as the processor does when all is well.
func (b *behind) process(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || r.URL.Path != "/v1/payment_intents" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	n := strconv.FormatInt(b.charges.Add(1), 10)
	var notes strings.Builder
	for name, values := range form {
		if k, ok := strings.CutPrefix(name, "metadata["); ok {
			if notes.Len() > 0 {
				notes.WriteByte(',')
			}
			fmt.Fprintf(&notes, "%q:%q", strings.TrimSuffix(k, "]"), values[0])
		}
	}
	amount := form.Get("amount")
	answer := `{"id":"pi_bench` + n + `","object":"payment_intent","status":"succeeded","amount":` + amount + `,"amount_received":` + amount +
		`,"currency":"` + form.Get("currency") + `","livemode":false,"created":1,"metadata":{` + notes.String() +
		`},"latest_charge":{"id":"ch_bench` + n + `","paid":true,"captured":true,"amount_refunded":0}}`
	h := w.Header()
	h["Content-Type"], h["Request-Id"] = []string{"application/json"}, []string{"req_bench" + n}
	_, _ = io.WriteString(w, answer)
}
