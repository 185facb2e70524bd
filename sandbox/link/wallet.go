package link

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A Processor grants the Shared Payment Tokens that an approval yields. Both
// methods may be called from several goroutines; the wallet holds no lock
// meanwhile.
type Processor interface {
	// Grant returns a token for at most maxAmount minor units of currency, good
	// until expires, for the seller whose profile is networkID.
	Grant(paymentMethod, currency string, maxAmount int64, expires time.Time, networkID string) (tokenID string, err error)
	// Revoke ends a token that was not used.
	Revoke(tokenID string) error
}

// Config is what a [Wallet] needs.
type Config struct {
	// Processor is required.
	Processor Processor
	// BaseURL is the origin under which Handler is reached, such as
	// http://127.0.0.1:4022; approval links begin with it. Required.
	BaseURL string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Wall is the clock of the webhook's listener, which judges the age of a
	// signature by it, for when Now is put forward. Nil is Now.
	Wall func() time.Time
	// NewID returns a fresh identifier that begins with the prefix and an
	// underscore; nil is 120 random bits.
	NewID func(prefix string) string
	// AutoApprove is the amount in US cents below which no click is needed. Zero
	// always asks.
	AutoApprove int64
	// Limits holds what differs from Link's own limits.
	Limits Limits
	// Captured tells how much of a token the seller captured, in minor units, and
	// zero while it is unspent. Nil leaves approved requests approved until they
	// expire.
	Captured func(tokenID string) int64
	// Webhook is where agent.purchase.* events are posted; empty posts none.
	Webhook string
	// WebhookSecret signs them and is required with Webhook.
	WebhookSecret string
	// Client posts the events. Nil is a client with a time-out of 5 seconds that
	// follows no redirect.
	Client *http.Client
	// Logger is nil for no log. Tokens and codes never get into it.
	Logger *slog.Logger
}

// A Wallet is one person's wallet with everything the agents asked of it, kept
// in memory. It is safe for concurrent use.
type Wallet struct {
	cfg    Config
	now    func() time.Time
	log    *slog.Logger
	base   string // BaseURL without a slash at its end
	host   string // host of BaseURL
	limits Limits
	seal   [32]byte // keys the tokens in the page's forms
	cross  *http.CrossOriginProtection
	bot    *botKey
	events *outbox // nil without a webhook

	mu          sync.Mutex // guards what follows, and every record it points to
	epoch       int        // counts resets, so that a grant begun before one is not kept
	requests    []*spendRequest
	byID        map[string]*spendRequest
	byKey       map[string]*spendRequest // by idempotency key
	devices     []*device
	connections []*connection
	access      map[string]access
}

// New checks the configuration. A wallet with a Webhook runs a goroutine until
// [Wallet.Close].
func New(cfg Config) (*Wallet, error) {
	if cfg.Processor == nil {
		return nil, errors.New("link: Processor is missing")
	}
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("link: BaseURL: want an origin such as http://127.0.0.1:4022")
	}
	if cfg.AutoApprove < 0 {
		return nil, errors.New("link: AutoApprove is negative")
	}
	limits, err := cfg.Limits.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("link: Limits: %w", err)
	}
	bot, err := newBotKey()
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	w := &Wallet{
		cfg: cfg, now: cfg.Now, log: cfg.Logger, base: u.Scheme + "://" + u.Host, host: u.Hostname(),
		limits: limits, cross: http.NewCrossOriginProtection(), bot: bot,
	}
	if w.now == nil {
		w.now = time.Now
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if _, err := rand.Read(w.seal[:]); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	w.Reset()
	if cfg.Webhook != "" {
		if w.events, err = newOutbox(cfg, w); err != nil {
			return nil, fmt.Errorf("link: %w", err)
		}
		w.events.start()
	}
	return w, nil
}

// Close ends the posting of events and waits for the one under way. Events not
// yet posted are dropped.
func (w *Wallet) Close() {
	if w.events != nil {
		w.events.close()
	}
}

// Reset forgets all requests, agents and tokens. The static tokens stay good.
func (w *Wallet) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch++
	w.requests = nil
	w.byID = map[string]*spendRequest{}
	w.byKey = map[string]*spendRequest{}
	w.devices = nil
	w.connections = nil
	w.access = map[string]access{}
}

// id takes NewID by its word about the prefix, and mends the identifier when it
// was written for a prefix that brings its own underscore.
func (w *Wallet) id(prefix string) string {
	if w.cfg.NewID == nil {
		return prefix + "_" + rand.Text()[:24]
	}
	id := w.cfg.NewID(prefix)
	if strings.HasPrefix(id, prefix+"_") {
		return id
	}
	return prefix + "_" + strings.TrimPrefix(id, prefix)
}

// Handler serves all paths of the package comment.
func (w *Wallet) Handler() http.Handler {
	mux := http.NewServeMux()
	w.routeDevice(mux)
	w.routeRequests(mux)
	w.routeAccount(mux)
	w.routeControl(mux)
	w.routePages(mux)
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		w.fail(rw, r, &refusal{
			kind: ErrNotFound, status: http.StatusNotFound, code: "not_found",
			message: "The sandbox wallet has no such path",
		})
	})
	return mux
}
