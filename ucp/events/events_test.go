package events_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"paywall/checkout"
	"paywall/internal/fetch"
	"paywall/ucp/events"
	"paywall/ucp/protocol"
)

// store keeps deliveries in the order they were added.
type store struct {
	mu   sync.Mutex
	list []checkout.Delivery
	fail int // how many of the next saves fail
}

func (s *store) DueDeliveries(_ context.Context, now time.Time, limit int) ([]checkout.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []checkout.Delivery
	waiting := map[string]bool{}
	for _, d := range s.list {
		if d.State != checkout.DeliveryPending || waiting[d.Order] {
			continue
		}
		waiting[d.Order] = true
		if !d.Next.After(now) && len(due) < limit {
			due = append(due, d)
		}
	}
	return due, nil
}

func (s *store) SaveDelivery(_ context.Context, d checkout.Delivery) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail > 0 {
		s.fail--
		return errors.New("the disk is full")
	}
	i := slices.IndexFunc(s.list, func(o checkout.Delivery) bool { return o.ID == d.ID })
	if i < 0 {
		return checkout.ErrNotFound
	}
	s.list[i] = d
	return nil
}

func (s *store) add(d *checkout.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, *d)
}

func (s *store) first() checkout.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[0]
}

// got is one call of a platform.
type got struct {
	at     time.Time
	url    string
	header http.Header
	body   string
}

// platform answers in turn; after that it says 204.
type platform struct {
	mu      sync.Mutex
	calls   []got
	answers []any // a status, or an error
	hold    map[string]chan struct{}
}

func (p *platform) Post(_ context.Context, url string, h http.Header, body []byte) (fetch.Response, error) {
	p.mu.Lock()
	p.calls = append(p.calls, got{time.Now(), url, h.Clone(), string(body)})
	var answer any = http.StatusNoContent
	if len(p.answers) > 0 {
		answer, p.answers = p.answers[0], p.answers[1:]
	}
	hold := p.hold[url]
	p.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if err, ok := answer.(error); ok {
		return fetch.Response{}, err
	}
	return fetch.Response{Status: answer.(int)}, nil
}

func (p *platform) seen() []got {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

func sender(t *testing.T, s *store, c events.Client) *events.Sender {
	t.Helper()
	n := 0
	out, err := events.New(events.Config{
		Store: s, Client: c, Profile: "https://shop.example/.well-known/ucp",
		Sign: func(r *http.Request, body []byte) error {
			r.Header.Set("Signature", fmt.Sprintf("%s %d", r.URL.Host, len(body)))
			return nil
		},
		Encode: func(v protocol.Version, o checkout.Order) ([]byte, error) {
			return fmt.Appendf(nil, `{"version":%q,"id":%q,"revision":%d}`, v, o.ID, o.Revision), nil
		},
		NewID: func(prefix string) string { n++; return fmt.Sprintf("%s%d", prefix, n) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func order(id string, revision int64, hook string) checkout.Order {
	return checkout.Order{ID: id, Revision: revision, Platform: checkout.Platform{Profile: "https://agent.example/p", Version: "2026-08-25", Webhook: hook}}
}

func build(t *testing.T, s *events.Sender, o checkout.Order) *checkout.Delivery {
	t.Helper()
	d, err := s.Build(o)
	if err != nil || d == nil {
		t.Fatalf("%+v, %v", d, err)
	}
	return d
}

// run sends for a time and stops.
func run(s *events.Sender, d time.Duration) {
	ctx, stop := context.WithTimeout(context.Background(), d)
	defer stop()
	s.Run(ctx)
}

func TestBuild_NobodyToTell(t *testing.T) {
	if d, err := sender(t, &store{}, &platform{}).Build(order("ord_1", 1, "")); d != nil || err != nil {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestF127_SentUntilItIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := &store{}, &platform{answers: []any{500, errors.New("timeout"), 302, 429, 404}}
		out := sender(t, s, p)
		s.add(build(t, out, order("ord_1", 1, "https://agent.example/hook")))
		run(out, 20*time.Minute)
		calls := p.seen()
		if len(calls) != 6 || s.first().State != checkout.DeliverySent || s.first().Attempts != 6 {
			t.Fatalf("%d calls, %+v", len(calls), s.first())
		}
		for i, c := range calls {
			for name, want := range map[string]string{
				"Webhook-Id": "whk_1", "Idempotency-Key": "whk_1", "Webhook-Timestamp": strconv.FormatInt(calls[0].at.Unix(), 10), "Content-Type": "application/json",
				"Ucp-Agent": `profile="https://shop.example/.well-known/ucp"`, "Signature": "agent.example 50",
			} {
				if got := c.header.Get(name); got != want {
					t.Errorf("call %d: %s is %q, want %q", i, name, got, want)
				}
			}
			if c.body != calls[0].body {
				t.Errorf("call %d has another body: %s", i, c.body)
			}
			if i == 0 {
				continue
			}
			want := 10 * time.Second << (i - 1)
			if waited := c.at.Sub(calls[i-1].at); waited < want*3/4 || waited > want+2*time.Second {
				t.Errorf("before call %d it waited %s, want about %s", i, waited, want)
			}
		}
	})
}

func TestF127_GivesUp(t *testing.T) {
	for name, tt := range map[string]struct {
		answer any
		calls  int // exactly, or at least when negative
	}{
		"gone":        {http.StatusGone, 1},
		"no URL":      {fmt.Errorf("check: %w", fetch.ErrURL), 1},
		"never there": {http.StatusServiceUnavailable, -70},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &platform{answers: slices.Repeat([]any{tt.answer}, 200)}
				s := &store{}
				out := sender(t, s, p)
				s.add(build(t, out, order("ord_1", 1, "https://agent.example/hook")))
				run(out, 80*time.Hour)
				d, n := s.first(), len(p.seen())
				if d.State != checkout.DeliveryDead || d.Note == "" || tt.calls > 0 && n != tt.calls || tt.calls < 0 && (n < -tt.calls || n > 100) {
					t.Errorf("%d calls, %+v", n, d)
				}
			})
		})
	}
}

// A platform hears of an order in order, and a slow one holds up nobody else.
func TestF127_OrderAndIsolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		p := &platform{hold: map[string]chan struct{}{"https://slow.example/hook": held}}
		s := &store{}
		out := sender(t, s, p)
		for i := range 10 {
			s.add(build(t, out, order(fmt.Sprintf("slow_%d", i), 1, "https://slow.example/hook")))
		}
		for revision := range int64(3) {
			s.add(build(t, out, order("ord_1", revision+1, "https://fast.example/hook")))
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); out.Run(ctx) }()
		time.Sleep(10 * time.Second)
		var fast []string
		slow := 0
		for _, c := range p.seen() {
			if strings.Contains(c.url, "fast") {
				fast = append(fast, c.body)
			} else {
				slow++
			}
		}
		if slow != 2 {
			t.Errorf("%d attempts at the slow host at once", slow)
		}
		if len(fast) != 3 || !slices.IsSorted(fast) {
			t.Errorf("the other host heard %v", fast)
		}
		close(held)
		stop()
		<-done
	})
}

// An attempt whose outcome was lost is made again, as the same event.
func TestF127_LostOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := &store{fail: 1}, &platform{}
		out := sender(t, s, p)
		s.add(build(t, out, order("ord_1", 1, "https://agent.example/hook")))
		run(out, 5*time.Second)
		calls := p.seen()
		if len(calls) != 2 || calls[0].header.Get("Webhook-Id") != calls[1].header.Get("Webhook-Id") || s.first().State != checkout.DeliverySent {
			t.Errorf("%d calls, %+v", len(calls), s.first())
		}
	})
}

// Over the real client: what answers look like changes nothing but their status.
func TestF127_Answers(t *testing.T) {
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		state string
	}{
		"204":              {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, checkout.DeliverySent},
		"200, a long body": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) }, checkout.DeliverySent},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, checkout.DeliveryPending},
		"huge headers": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 2<<20)) }, checkout.DeliveryPending},
		"it hangs up":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, checkout.DeliveryPending},
		"410":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, checkout.DeliveryDead},
	} {
		t.Run(name, func(t *testing.T) {
			bodies := make(chan string, 8)
			platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				data, _ := io.ReadAll(r.Body)
				bodies <- string(data)
				tt.serve(w, r)
			}))
			defer platform.Close()
			s := &store{}
			out := sender(t, s, fetch.New(fetch.Config{Loopback: true, MaxBytes: 4096}))
			s.add(build(t, out, order("ord_1", 1, platform.URL+"/hook")))
			run(out, 500*time.Millisecond)
			if d := s.first(); d.State != tt.state || d.Attempts != 1 || len(bodies) != 1 || <-bodies != string(d.Body) {
				t.Errorf("%d calls, %+v", len(bodies), d)
			}
		})
	}
}

func TestNew_Refusals(t *testing.T) {
	if _, err := events.New(events.Config{}); err == nil {
		t.Error("nothing is enough")
	}
}
