// Package events tells platforms of their orders: the whole order, signed, at every
// change, until they have it (order capability, "order events"). What is sent was
// stored with the change, so that nothing is lost with the process.
package events

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"paywall/checkout"
	"paywall/internal/fetch"
	"paywall/ucp/protocol"
)

// Store is the part of [checkout.Store] that is used here.
type Store interface {
	DueDeliveries(ctx context.Context, now time.Time, limit int) ([]checkout.Delivery, error)
	SaveDelivery(ctx context.Context, d checkout.Delivery) error
}

// Client calls URLs that others have named ([fetch.Client]).
type Client interface {
	Post(ctx context.Context, rawURL string, h http.Header, body []byte) (fetch.Response, error)
}

// Config is what a [Sender] is made of. Store, Client, Sign, Encode and Profile are required.
type Config struct {
	Store  Store
	Client Client
	// Sign adds Content-Digest, Signature-Input and Signature. The protocol wants every
	// event to be signed.
	Sign func(r *http.Request, body []byte) error
	// Encode renders an order in a version of the protocol.
	Encode func(v protocol.Version, o checkout.Order) ([]byte, error)
	// Profile is the URL of our own profile, where the keys are.
	Profile string

	NewID  func(prefix string) string
	Now    func() time.Time
	Logger *slog.Logger
	// Observe, if set, is told of every attempt.
	Observe func(state string)
}

// Bounds of sending. A platform has three days to come back.
const (
	firstPause  = 10 * time.Second
	longest     = time.Hour
	giveUpAfter = 72 * time.Hour
	giveUpTries = 100
	attempt     = 15 * time.Second
	together    = 8 // attempts at once, and of them
	perHost     = 2 // to one host
	batch       = 64
	lookEvery   = time.Second
)

// Sender sends what is due. It is safe for concurrent use.
type Sender struct {
	cfg Config

	mu   sync.Mutex      // guards what follows
	busy map[string]bool // orders with an attempt under way
	host map[string]int  // attempts by host
	work sync.WaitGroup
}

// New checks the configuration.
func New(cfg Config) (*Sender, error) {
	if cfg.Store == nil || cfg.Client == nil || cfg.Sign == nil || cfg.Encode == nil || cfg.Profile == "" {
		return nil, errors.New("events: Config.Store, Client, Sign, Encode and Profile are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewID == nil {
		cfg.NewID = func(prefix string) string { return prefix + crand.Text() }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string) {}
	}
	return &Sender{cfg: cfg, busy: map[string]bool{}, host: map[string]int{}}, nil
}

// Build makes the delivery of an order as it is now; nil when its platform wants to
// hear nothing. Its id, time and body are the same however often it is sent.
func (s *Sender) Build(o checkout.Order) (*checkout.Delivery, error) {
	if o.Platform.Webhook == "" {
		return nil, nil //nolint:nilnil // there is nobody to tell
	}
	body, err := s.cfg.Encode(protocol.Version(o.Platform.Version), o)
	if err != nil {
		return nil, fmt.Errorf("event of %s: %w", o.ID, err)
	}
	now := s.cfg.Now().UTC().Truncate(time.Millisecond)
	return &checkout.Delivery{
		ID: s.cfg.NewID("whk_"), Order: o.ID, URL: o.Platform.Webhook, At: now, Body: body,
		Profile: o.Platform.Profile, Version: o.Platform.Version, State: checkout.DeliveryPending, Next: now,
	}, nil
}

// Run sends what is due until ctx ends, and then waits for the attempts under way.
func (s *Sender) Run(ctx context.Context) {
	defer s.work.Wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look begins the attempts that are due and have a place.
func (s *Sender) look(ctx context.Context) {
	due, err := s.cfg.Store.DueDeliveries(ctx, s.cfg.Now(), batch)
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Logger.WarnContext(ctx, "order events not read", "err", err)
		}
		return
	}
	for _, d := range due {
		host := hostOf(d.URL)
		if !s.enter(d.Order, host) {
			continue
		}
		s.work.Go(func() {
			defer s.leave(d.Order, host)
			// An attempt that has begun is finished, so that its outcome is known.
			s.try(context.WithoutCancel(ctx), d)
		})
	}
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Host
}

// enter takes a place: one attempt for an order, so that it is told in order, and a
// few for a host, so that a slow one does not take them all.
func (s *Sender) enter(order, host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[order] || s.host[host] >= perHost || len(s.busy) >= together {
		return false
	}
	s.busy[order] = true
	s.host[host]++
	return true
}

func (s *Sender) leave(order, host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, order)
	if s.host[host]--; s.host[host] <= 0 {
		delete(s.host, host)
	}
}

func (s *Sender) try(ctx context.Context, d checkout.Delivery) {
	bounded, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	status, err := s.send(bounded, d)
	d.Attempts++
	d.State, d.Note = s.judge(d, status, err)
	if d.State == checkout.DeliveryPending {
		d.Next = s.cfg.Now().Add(pause(d.Attempts)).UTC().Truncate(time.Millisecond)
	}
	s.cfg.Observe(d.State)
	if d.State == checkout.DeliveryDead {
		s.cfg.Logger.ErrorContext(ctx, "an order event is given up; paywall orders resend sends it again", "event", d.ID, "order", d.Order, "note", d.Note)
	}
	// If this is not stored the event is sent again, with the same id: whoever gets it
	// drops the second.
	if err := s.cfg.Store.SaveDelivery(ctx, d); err != nil {
		s.cfg.Logger.WarnContext(ctx, "attempt at an order event not stored", "event", d.ID, "err", err)
	}
}

// judge says what an attempt has come to, and why, for operators.
func (s *Sender) judge(d checkout.Delivery, status int, err error) (state, note string) {
	over := d.Attempts >= giveUpTries || s.cfg.Now().Sub(d.At) > giveUpAfter
	switch {
	case status >= 200 && status <= 299: // whatever the body is like
		return checkout.DeliverySent, ""
	case status == http.StatusGone:
		return checkout.DeliveryDead, "410: the platform does not want it"
	case errors.Is(err, fetch.ErrURL):
		return checkout.DeliveryDead, "the address is not one that is called"
	case errors.Is(err, fetch.ErrAddress):
		note = "the address is not a public one"
	case status == 0:
		note = "no answer"
	default:
		note = strconv.Itoa(status)
	}
	if over {
		return checkout.DeliveryDead, note
	}
	return checkout.DeliveryPending, note
}

// pause doubles, up to an hour, less up to a quarter, so that events that failed
// together do not come back together.
func pause(attempts int) time.Duration {
	d := longest
	if attempts < 10 {
		d = min(d, firstPause<<(attempts-1))
	}
	return d - time.Duration(rand.Int64N(int64(d)/4)) //nolint:gosec // to spread them, not a secret
}

func (s *Sender) send(ctx context.Context, d checkout.Delivery) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", fetch.ErrURL, err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Webhook-Id": d.ID, "Webhook-Timestamp": strconv.FormatInt(d.At.Unix(), 10),
		"Idempotency-Key": d.ID, "Ucp-Agent": `profile="` + s.cfg.Profile + `"`,
	} {
		r.Header.Set(name, value)
	}
	if err := s.cfg.Sign(r, d.Body); err != nil {
		return 0, fmt.Errorf("sign: %w", err)
	}
	answer, err := s.cfg.Client.Post(ctx, d.URL, r.Header, d.Body)
	return answer.Status, err //nolint:wrapcheck // classed by the caller
}
