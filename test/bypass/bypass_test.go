package bypass

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/mpp"
)

// atLeast is how many variants there must be.
const atLeast = 20_000

// No spelling of a request gets a priced resource without its own price: not
// unpaid, and not for the price of a cheaper one. Requests that are asked for
// the cheap price pay it.
func TestC081_C082_Corpus(t *testing.T) {
	all := corpus()
	if len(all) < atLeast {
		t.Fatalf("%d variants, want at least %d", len(all), atLeast)
	}
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, d)
			var wg sync.WaitGroup
			const workers = 4
			answers := make([]map[int]int, workers)
			for n := range workers {
				answers[n] = map[int]int{}
				wg.Go(func() {
					c := &client{h: h}
					defer c.close()
					for i := n; i < len(all); i += workers {
						answers[n][c.send(all[i])]++
						if found := h.violations(); len(found) > 0 {
							t.Errorf("%q: %s", all[i].raw, strings.Join(found, "; "))
						}
					}
				})
			}
			wg.Wait()
			total := map[int]int{}
			for _, a := range answers {
				for status, n := range a {
					total[status] += n
				}
			}
			served := h.served()
			t.Logf("%d variants, answers by status %v, upstream by route %v", len(all), total, served)
			if served["free"] == 0 || served["cheap"] == 0 || total[http.StatusPaymentRequired] == 0 {
				t.Errorf("the corpus reaches nothing: %v %v", served, total)
			}
			h.checkCoins(t)
			for _, l := range table {
				if l.price != "" && l.price != cheapPrice && served[l.id] > 0 {
					t.Errorf("%s was served %d times, and nobody paid for it", l.id, served[l.id])
				}
			}
		})
	}
}

// The corpus has teeth: without a gate, the lenient upstreams serve priced
// resources for thousands of its spellings.
func TestCorpusHasTeeth(t *testing.T) {
	all := corpus()
	for _, d := range dialects() {
		spelled := map[string]bool{}
		for _, v := range all {
			line, rest, _ := strings.Cut(v.raw, "\r\n")
			parts := strings.Split(line, " ")
			if len(parts) != 3 {
				continue
			}
			head, body, _ := strings.Cut(rest, "\r\n\r\n")
			h := http.Header{}
			for l := range strings.SplitSeq(head, "\r\n") {
				name, value, _ := strings.Cut(l, ": ")
				h.Add(name, value)
			}
			if _, ok := d.owners()[d.read(parts[0], parts[1], h, body)]; ok {
				spelled[parts[0]+" "+parts[1]] = true
			}
		}
		t.Logf("%s: %d spellings of method and target mean priced resources", d.name, len(spelled))
		if want := map[string]int{"strict": 10, "web server": 500, "path parameters": 500}[d.name]; len(spelled) < want {
			t.Errorf("%s: only %d, want %d", d.name, len(spelled), want)
		}
	}
}

// Every resource of the table can be had by paying for it, in each dialect.
func TestPaidIsServed(t *testing.T) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			h := newHouse(t, d)
			c := &client{h: h, any: true}
			defer c.close()
			for resource, route := range priced {
				method, p, _ := strings.Cut(resource, " ")
				if status := c.send(request(method, p, realm)); status != http.StatusOK {
					t.Errorf("%s: %d", resource, status)
				}
				if h.served()[route] == 0 {
					t.Errorf("%s was not served by %s: %v", resource, route, h.served())
				}
			}
			if found := h.violations(); len(found) > 0 {
				t.Error(found)
			}
		})
	}
}

// C094: requests in one packet are gated one by one.
func TestC094_Pipelining(t *testing.T) {
	h := newHouse(t, dialects()[0])
	conn, err := net.Dial("tcp", h.addr)
	must(t, err)
	defer conn.Close()
	free, dear := request("GET", "/free/page", realm).raw, request("GET", "/dear/report", realm).raw
	_, err = io.WriteString(conn, free+dear+free+dear+dear+free)
	must(t, err)
	br := bufio.NewReader(conn)
	var got []int
	for range 6 {
		resp, err := http.ReadResponse(br, nil)
		must(t, err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		got = append(got, resp.StatusCode)
	}
	if want := []int{200, 402, 200, 402, 402, 200}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if served := h.served(); served["exact"] != 0 || served["free"] != 3 {
		t.Errorf("upstream by route: %v", served)
	}
}

// client sends raw requests over one connection as long as that lives.
type client struct {
	h    *house
	any  bool // pays every price, not only the cheap one
	conn net.Conn
	br   *bufio.Reader
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
	}
	c.conn = nil
}

// send returns the status of the last answer, 0 when there was none. A challenge
// for the cheap price is paid.
func (c *client) send(v variant) int {
	resp := c.roundTrip(v)
	if resp == nil {
		return 0
	}
	if resp.StatusCode == http.StatusPaymentRequired {
		if field := c.pay(resp.Header); field != "" {
			first, rest, _ := strings.Cut(v.raw, "\r\n")
			paid := c.roundTrip(variant{v.method, first + "\r\nAuthorization: " + field + "\r\n" + rest})
			if paid == nil {
				return 0
			}
			return paid.StatusCode
		}
	}
	return resp.StatusCode
}

func (c *client) roundTrip(v variant) *http.Response {
	raw := v.method == "" // may hold several requests: a connection of its own
	for range 2 {
		if c.conn == nil || raw {
			c.close()
			conn, err := net.Dial("tcp", c.h.addr)
			if err != nil {
				return nil
			}
			c.conn, c.br = conn, bufio.NewReader(conn)
		}
		c.conn.SetDeadline(time.Now().Add(20 * time.Second))
		resp, err := c.once(v, raw)
		if err == nil {
			return resp
		}
		c.close()
		if raw || !errors.Is(err, errStale) {
			return nil
		}
	}
	return nil
}

var errStale = errors.New("connection was closed before an answer")

func (c *client) once(v variant, raw bool) (*http.Response, error) {
	if _, err := io.WriteString(c.conn, v.raw); err != nil {
		return nil, fmt.Errorf("%w: %w", errStale, err)
	}
	if raw {
		if tcp, ok := c.conn.(*net.TCPConn); ok {
			tcp.CloseWrite() // no more will come, whatever the head said
		}
	} else if _, err := c.br.Peek(1); err != nil {
		return nil, fmt.Errorf("%w: %w", errStale, err)
	}
	var last *http.Response
	for {
		method := v.method
		if method != http.MethodHead {
			method = http.MethodGet
		}
		resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
		if err != nil {
			if last != nil && raw {
				return last, nil
			}
			return nil, fmt.Errorf("read: %w", err)
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if last = resp; raw {
			continue
		}
		if resp.Close {
			c.close()
		}
		return last, nil
	}
}

// pay answers a challenge that the client is willing to pay.
func (c *client) pay(h http.Header) string {
	all, err := mpp.ParseChallenges(h)
	if err != nil || len(all) == 0 {
		return ""
	}
	object, err := all[0].RequestObject()
	if err != nil || !c.any && !strings.Contains(string(object), `"amount":"60"`) {
		return ""
	}
	payload, _ := json.Marshal(map[string]string{"token": fmt.Sprint("tok_", c.h.token())})
	cred, err := mpp.NewCredential(all[0], payload)
	if err != nil {
		return ""
	}
	field, err := cred.Format()
	if err != nil {
		return ""
	}
	return field
}
