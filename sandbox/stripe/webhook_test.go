package stripe_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"paywall/sandbox/stripe"
)

// A receiver answers deliveries with scripted statuses, 200 when there are no more.
type receiver struct {
	mu       sync.Mutex
	statuses []int // 0 cuts the connection
	got      []delivered
}

type delivered struct {
	at        time.Time
	url       string
	signature string
	body      string
	kind      string
	id        string
	key       string
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	var e struct {
		ID, Type string
		Request  struct {
			Key string `json:"idempotency_key"`
		}
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, delivered{time.Now(), req.URL.String(), req.Header.Get("Stripe-Signature"), string(body), e.Type, e.ID, e.Request.Key})
	status := http.StatusOK
	if len(r.statuses) > 0 {
		status = r.statuses[0]
		r.statuses = r.statuses[1:]
	}
	if status == 0 {
		return nil, errors.New("connection reset")
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("ok")), Header: http.Header{"Location": {"http://127.0.0.1:1/"}}, Request: req}, nil
}

func (r *receiver) list() []delivered {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]delivered(nil), r.got...)
}

func (d delivered) signed(secret string) bool {
	var t, v string
	for part := range strings.SplitSeq(d.signature, ",") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "t":
			t = value
		case "v1":
			v = value
		}
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "." + d.body))
	return hex.EncodeToString(mac.Sum(nil)) == v
}

func TestWebhooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &receiver{}
		s := stripe.New(stripe.Config{Transport: rec, Webhooks: []stripe.Webhook{{URL: "http://127.0.0.1:1/hook", Secret: "whsec_a"}}})
		defer s.Close()
		p := &psp{Server: s, clock: &clock{at: time.Now()}}
		made := p.post("/v1/webhook_endpoints", "url=http://localhost:2/b&enabled_events[]=payment_intent.succeeded&api_version=2025-08-27.basil").ok(t)
		p.post("/v1/payment_intents", charge("pm_card_visa", 100), "Idempotency-Key: k").ok(t)
		synctest.Wait()
		kinds := map[string][]string{}
		for _, d := range rec.list() {
			kinds[d.url] = append(kinds[d.url], d.kind)
			secret := "whsec_a"
			if d.url != "http://127.0.0.1:1/hook" {
				secret = made.str("secret")
				if !strings.Contains(d.body, `"api_version":"2025-08-27.basil"`) {
					t.Errorf("version: %s", d.body)
				}
			}
			if !d.signed(secret) || d.key != "k" || !strings.HasPrefix(d.signature, "t="+strconv.FormatInt(time.Now().Unix(), 10)+",") {
				t.Errorf("delivery %+v", d)
			}
		}
		if got := strings.Join(kinds["http://127.0.0.1:1/hook"], " "); got != "payment_intent.created charge.succeeded payment_intent.succeeded" {
			t.Errorf("first endpoint: %s", got)
		}
		if got := strings.Join(kinds["http://localhost:2/b"], " "); got != "payment_intent.succeeded" {
			t.Errorf("second endpoint: %s", got)
		}
		last := p.get("/v1/events", "type=payment_intent.succeeded").ok(t)
		last.is(t, "data.0.pending_webhooks", 0)
		before := len(rec.list())
		if !s.Resend(last.str("data.0.id")) || s.Resend("evt_none") {
			t.Error("Resend")
		}
		p.post("/v1/events/"+last.str("data.0.id")+"/retry", "webhook_endpoint="+made.str("id")).ok(t)
		synctest.Wait()
		again := rec.list()[before:]
		if len(again) != 3 || again[0].id != last.str("data.0.id") {
			t.Errorf("resent %+v", again)
		}
		p.do(http.MethodDelete, "/v1/webhook_endpoints/"+made.str("id"), "").ok(t).is(t, "deleted", true)
		p.get("/v1/webhook_endpoints", "").ok(t).is(t, "data.1", nil)
		p.get("/v1/webhook_endpoints/"+made.str("id"), "").refused(t, http.StatusNotFound, "resource_missing", "No such")
	})
}

// F127: a receiver that fails is tried again with growing pauses, in the end given up.
func TestF127_Retries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &receiver{statuses: []int{500, 0, 302, 410}}
		s := stripe.New(stripe.Config{Transport: rec, Webhooks: []stripe.Webhook{{URL: "http://127.0.0.1:1/", Events: []string{"customer.created"}}}})
		defer s.Close()
		p := &psp{Server: s, clock: &clock{at: time.Now()}}
		begin := time.Now()
		p.post("/v1/customers", "").ok(t)
		time.Sleep(time.Hour)
		var after []time.Duration
		for _, d := range rec.list() {
			after = append(after, d.at.Sub(begin))
		}
		want := []time.Duration{0, time.Second, 6 * time.Second, 36 * time.Second, 156 * time.Second}
		if len(after) != len(want) {
			t.Fatalf("delivered after %v", after)
		}
		for i := range want {
			if after[i] != want[i] {
				t.Fatalf("delivered after %v, want %v", after, want)
			}
		}
		rec.mu.Lock()
		rec.statuses = []int{500, 500, 500, 500, 500, 500}
		rec.got = nil
		rec.mu.Unlock()
		p.post("/v1/customers", "").ok(t)
		time.Sleep(24 * time.Hour)
		if n := len(rec.list()); n != 6 {
			t.Errorf("tried %d times", n)
		}
	})
}

// A jump of the clock makes waiting deliveries due; a reset forgets them.
func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &receiver{statuses: []int{500, 500}}
		c := &clock{at: start}
		s := stripe.New(stripe.Config{
			Now: c.now, Wall: time.Now, Transport: rec, Retries: []time.Duration{time.Hour, time.Hour},
			Webhooks: []stripe.Webhook{{URL: "http://127.0.0.1:1/", Events: []string{"customer.created"}}},
		})
		defer s.Close()
		p := &psp{Server: s, clock: c}
		p.post("/v1/customers", "").ok(t)
		synctest.Wait()
		c.advance(time.Hour)
		s.Wake()
		synctest.Wait()
		got := rec.list()
		if len(got) != 2 || !strings.HasPrefix(got[1].signature, "t="+strconv.FormatInt(time.Now().Unix(), 10)+",") {
			t.Fatalf("after the jump: %+v", got)
		}
		s.Reset()
		c.advance(time.Hour)
		s.Wake()
		synctest.Wait()
		if n := len(rec.list()); n != 2 {
			t.Errorf("a reset left %d deliveries", n)
		}
	})
}

// Deliveries reach this machine and no other.
func TestWebhookAddresses(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	for _, url := range []string{"http://example.com/", "http://10.0.0.1/", "http://169.254.169.254/", "ftp://127.0.0.1/", "127.0.0.1", "http://u:p@127.0.0.1/", "http://127.0.0.1.example.com/"} {
		p.post("/v1/webhook_endpoints", "enabled_events[]=*&url="+url).refused(t, http.StatusBadRequest, "url_invalid", "Invalid URL")
	}
	p.post("/v1/webhook_endpoints", "url=http://127.0.0.1/").refused(t, http.StatusBadRequest, "parameter_missing", "enabled_events")
	got := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Stripe-Signature") }))
	defer srv.Close()
	p.post("/v1/webhook_endpoints", "enabled_events[]=customer.created&url="+srv.URL).ok(t)
	p.post("/v1/customers", "").ok(t)
	if sig := <-got; !strings.Contains(sig, ",v1=") {
		t.Errorf("signature %q", sig)
	}
}
