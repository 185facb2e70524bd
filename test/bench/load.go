package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A load keeps a number of connections busy for a time or a number of requests.
type load struct {
	addr        string
	connections int
	// request returns the n-th request as it goes over the wire, or nil when there are no more.
	request func(n int) []byte
	// status is what every answer must have.
	status int
	// length bounds the time; zero is until request has no more.
	length time.Duration
	// latencies asks for the time of each answer.
	latencies bool
	// read, if set, is given the body of each answer.
	read func(body []byte) error
}

// A sample is what a load came to.
type sample struct {
	requests int
	took     time.Duration
	times    []time.Duration
}

func (s sample) perSecond() float64 { return float64(s.requests) / s.took.Seconds() }

// run is one sample with connections of its own.
func (l load) run() (sample, error) {
	c, err := l.gather()
	if err != nil {
		return sample{}, err
	}
	defer c.close()
	return c.run()
}

// A crowd is a load with its connections open, for many samples.
type crowd struct {
	load

	conns []*client
}

func (l load) gather() (*crowd, error) {
	c := &crowd{load: l}
	for range l.connections {
		one, err := dial(l.addr)
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, one)
	}
	return c, nil
}

func (c *crowd) close() {
	for _, one := range c.conns {
		_ = one.Close()
	}
}

func (c *crowd) run() (sample, error) {
	l, conns := c.load, c.conns
	var next atomic.Int64
	var done atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex // guards failures and out.times
	var failures []error
	var out sample
	start := time.Now()
	for _, c := range conns {
		wg.Go(func() {
			var times []time.Duration
			n, err := l.drive(c, start, &next, &times)
			done.Add(int64(n))
			mu.Lock()
			defer mu.Unlock()
			out.times = append(out.times, times...)
			if err != nil {
				failures = append(failures, err)
			}
		})
	}
	wg.Wait()
	out.took, out.requests = time.Since(start), int(done.Load())
	if len(failures) > 0 {
		return out, failures[0]
	}
	return out, nil
}

func (l load) drive(c *client, start time.Time, next *atomic.Int64, times *[]time.Duration) (int, error) {
	n := 0
	for l.length == 0 || time.Since(start) < l.length {
		req := l.request(int(next.Add(1)) - 1)
		if req == nil {
			break
		}
		c.keep = l.read != nil
		sent := time.Now()
		status, _, err := c.do(req)
		took := time.Since(sent)
		if err != nil {
			return n, err
		}
		if status != l.status {
			return n, fmt.Errorf("%s answered %d, want %d", l.addr, status, l.status)
		}
		if l.read != nil {
			if err := l.read(c.body); err != nil {
				return n, err
			}
		}
		if l.latencies {
			*times = append(*times, took)
		}
		n++
	}
	return n, nil
}

// A client is one connection. It reads just enough of HTTP/1.1 to find the end
// of an answer, so that it costs little beside the server it measures.
type client struct {
	net.Conn

	r    *bufio.Reader
	head []byte
	// keep asks for the body, which is passed over otherwise.
	keep bool
	body []byte
}

func dial(addr string) (*client, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second) //nolint:noctx // bounded by its timeout
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &client{Conn: c, r: bufio.NewReaderSize(c, 16<<10)}, nil
}

var errFraming = errors.New("an answer without Content-Length")

// do sends one request and reads the answer to its end. The head is good until the next call.
func (c *client) do(req []byte) (status int, head []byte, err error) {
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, nil, fmt.Errorf("send: %w", err)
	}
	if _, err := c.Write(req); err != nil {
		return 0, nil, fmt.Errorf("send: %w", err)
	}
	return c.answer()
}

func (c *client) answer() (status int, head []byte, err error) {
	length := -1
	c.head = c.head[:0]
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, nil, fmt.Errorf("read the head: %w", err)
		}
		c.head = append(c.head, line...)
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			if status == http.StatusNotModified {
				return status, c.head, nil // which never has a body
			}
			if length < 0 {
				return status, c.head, errFraming
			}
			if c.keep {
				c.body = make([]byte, length)
				if _, err := io.ReadFull(c.r, c.body); err != nil {
					return 0, nil, fmt.Errorf("read the body: %w", err)
				}
				return status, c.head, nil
			}
			if _, err := c.r.Discard(length); err != nil {
				return 0, nil, fmt.Errorf("read the body: %w", err)
			}
			return status, c.head, nil
		case status == 0:
			if len(line) < 12 {
				return 0, nil, io.ErrUnexpectedEOF
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, nil, fmt.Errorf("read the status: %w", err)
			}
		case len(line) > 16 && bytes.EqualFold(line[:16], []byte("Content-Length: ")):
			if length, err = strconv.Atoi(string(line[16:])); err != nil {
				return 0, nil, fmt.Errorf("read the length: %w", err)
			}
		}
	}
}

// same is a request that is sent over and over.
func same(req []byte) func(int) []byte { return func(int) []byte { return req } }

// get is a GET as a small client writes it.
func get(target, authority string, fields ...string) []byte {
	return request(http.MethodGet, target, authority, fields...)
}

// request is one without a body.
func request(method, target, authority string, fields ...string) []byte {
	b := []byte(method + " " + target + " HTTP/1.1\r\nHost: " + authority + "\r\nUser-Agent: bench\r\nAccept: */*\r\n")
	if method == http.MethodPost {
		b = append(b, "Content-Length: 0\r\n"...)
	}
	for _, f := range fields {
		b = append(append(b, f...), "\r\n"...)
	}
	return append(b, "\r\n"...)
}
