package link

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// listener is the other end of the webhook, without a network.
type listener struct {
	mu     sync.Mutex
	fail   int // so many calls are refused first
	calls  int
	events []Event
	check  func(r *http.Request, body []byte)
}

func (l *listener) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls++; l.calls <= l.fail {
		if l.calls%2 == 0 {
			return nil, errors.New("connection refused")
		}
		return &http.Response{StatusCode: http.StatusBadGateway, Body: http.NoBody, Request: r}, nil
	}
	l.check(r, body)
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	l.events = append(l.events, e)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}

func (l *listener) types() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, e := range l.events {
		out = append(out, strings.TrimPrefix(e.Type, "agent.purchase."))
	}
	return out
}

func newListening(t *testing.T, l *listener, log *slog.Logger) (*fixture, func()) {
	t.Helper()
	l.check = func(r *http.Request, body []byte) {
		want := sign([]byte("whsec_test"), time.Now(), body)
		if got := r.Header.Get(SignatureHeader); got != want {
			t.Errorf("signature %q, want %q", got, want)
		}
		if bytes.Contains(body, []byte("spt_")) {
			t.Errorf("a token is in the event: %s", body)
		}
	}
	f := newFixture(t, func(c *Config) {
		c.Client, c.Logger = &http.Client{Transport: l}, log
		c.Now, c.Wall = func() time.Time { return time.Now().Add(90 * day) }, time.Now
		c.Webhook, c.WebhookSecret, c.AutoApprove = "http://127.0.0.1:9/hook", "whsec_test", 100
	})
	return f, f.Close
}

func TestEventsTellEveryDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{}
		f, end := newListening(t, l, nil)
		defer end()
		bought := f.create(nil)
		denied := f.create(map[string]any{"amount": 2000})
		canceled := f.create(map[string]any{"amount": 3000})
		f.create(map[string]any{"amount": 4000})
		f.create(map[string]any{"amount": 99})
		if err := errors.Join(f.Approve(bought.ID), f.Deny(denied.ID)); err != nil {
			t.Fatal(err)
		}
		f.call(StaticToken, http.MethodPost, "/spend_requests/"+canceled.ID+"/cancel", "")
		for _, g := range f.proc.grants {
			if g.amount == 1500 {
				f.proc.capture(g.id, 1500)
			} else {
				f.Declined(g.id, "card_declined", "lost_card")
			}
		}
		time.Sleep(10*time.Minute + 2*time.Second) // nobody asks, and the fourth expires all the same
		synctest.Wait()
		want := []string{
			"requested", "requested", "requested", "requested", "approved", "approved", "denied", "canceled", "failed", "succeeded", "expired",
		}
		if got := l.types(); !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		first := l.events[0]
		if first.Reason != "over_policy_limit" || first.Livemode || first.Data.Object.ID != bought.ID ||
			first.Data.Object.Status != PendingApproval || first.Data.Object.ApprovalURL == "" {
			t.Errorf("%+v", first)
		}
	})
}

func TestEventsAreTriedAgainInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := &listener{fail: 4 + 2}
		f, end := newListening(t, l, slog.New(slog.NewTextHandler(&log, nil)))
		defer end()
		start := time.Now()
		lost := f.create(nil)
		f.create(map[string]any{"amount": 2000})
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(l.events) != 1 || l.events[0].Data.Object.Amount != 2000 {
			t.Fatalf("%+v", l.events)
		}
		if l.calls != 7 {
			t.Errorf("%d calls", l.calls)
		}
		if got := log.String(); strings.Count(got, "event not delivered") != 1 {
			t.Errorf("after %v for %s: %s", time.Since(start), lost.ID, got)
		}
	})
}

func TestCloseDoesNotWaitForRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, end := newListening(t, &listener{fail: 100}, nil)
		f.create(nil)
		synctest.Wait()
		before := time.Now()
		end()
		if waited := time.Since(before); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestFullQueueDropsWithAWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f, end := newListening(t, &listener{fail: 1 << 30}, slog.New(slog.NewTextHandler(&log, nil)))
		defer end()
		sr := f.create(nil)
		f.mu.Lock()
		for range maxQueue + 1 {
			f.emit("requested", f.byID[sr.ID])
		}
		f.mu.Unlock()
		if !strings.Contains(log.String(), "event dropped") {
			t.Error(log.String())
		}
	})
}
