package link

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// SignatureHeader carries "t=<Unix seconds>,v1=<hex>", where v1 is the
// HMAC-SHA256 of "<t>.<body>" under Config.WebhookSecret.
const SignatureHeader = "Wallet-Signature"

const (
	maxQueue   = 256
	sweepEvery = time.Second
)

// retries are the waits before the attempts after the first.
var retries = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second}

// An Event is the body of a webhook call. Type is agent.purchase. followed by
// requested, approved, denied, expired, canceled, succeeded or failed. Link
// sends no such events; they are the sandbox's own.
type Event struct {
	ID       string    `json:"id"`
	Type     string    `json:"type"`
	Created  int64     `json:"created"` // Unix seconds
	Livemode bool      `json:"livemode"`
	Data     EventData `json:"data"`
	// Reason is why a person is asked: over_policy_limit or no_policy.
	Reason string `json:"reason,omitempty"`
}

// EventData holds the request as it stood when the event came about.
type EventData struct {
	Object Request `json:"object"`
}

// outbox posts events in order from one goroutine. When the listener is away for
// long the queue fills up and new events are dropped, with a line in the log.
type outbox struct {
	w      *Wallet
	wall   func() time.Time
	url    string
	secret []byte
	client *http.Client
	queue  chan Event
	stop   context.CancelFunc
	done   sync.WaitGroup
}

func newOutbox(cfg Config, w *Wallet) (*outbox, error) {
	u, err := url.Parse(cfg.Webhook)
	if err != nil || !isWebURL(cfg.Webhook) || u.User != nil {
		return nil, errors.New("the Webhook has to be an http or https URL")
	}
	if cfg.WebhookSecret == "" {
		return nil, errors.New("the WebhookSecret is missing")
	}
	o := &outbox{w: w, wall: cfg.Wall, url: cfg.Webhook, secret: []byte(cfg.WebhookSecret), client: cfg.Client, queue: make(chan Event, maxQueue)}
	if o.wall == nil {
		o.wall = w.now
	}
	if o.client == nil {
		o.client = &http.Client{
			Timeout:       5 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return o, nil
}

// start begins the posting; the wallet must be complete by then.
func (o *outbox) start() {
	ctx, cancel := context.WithCancel(context.Background())
	o.stop = cancel
	o.done.Go(func() { o.run(ctx) })
}

func (o *outbox) close() {
	o.stop()
	o.done.Wait()
}

// run also looks at the clock, so that an expiry nobody asks about is told.
func (o *outbox) run(ctx context.Context) {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			o.w.refresh(ctx)
		case e := <-o.queue:
			o.deliver(ctx, e)
		}
	}
}

func (o *outbox) deliver(ctx context.Context, e Event) {
	body, err := json.Marshal(e)
	for attempt := 0; err == nil; attempt++ {
		var sent error
		if sent = o.post(ctx, body); sent == nil {
			return
		}
		if attempt == len(retries) {
			err = sent
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retries[attempt]):
		}
	}
	o.w.log.WarnContext(ctx, "event not delivered", "event", e.ID, "type", e.Type, "err", err)
}

func (o *outbox) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(SignatureHeader, sign(o.secret, o.wall(), body))
	res, err := o.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the listener answered %d", res.StatusCode)
	}
	return nil
}

func sign(secret []byte, now time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%d.%s", now.Unix(), body) // a hash takes everything
	return fmt.Sprintf("t=%d,v1=%s", now.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

// emit queues an event about r. Callers hold mu, so that events have the order
// of what they tell of.
func (w *Wallet) emit(what string, r *spendRequest) {
	if w.events == nil {
		return
	}
	e := Event{ID: w.id("evt"), Type: "agent.purchase." + what, Created: w.now().Unix(), Data: EventData{w.view(r)}}
	if what == "requested" {
		e.Reason = "no_policy"
		if w.cfg.AutoApprove > 0 {
			e.Reason = "over_policy_limit"
		}
	}
	select {
	case w.events.queue <- e:
	default:
		w.log.Warn("event dropped: the queue is full", "event", e.ID, "type", e.Type)
	}
}
