package wallet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"paywall/money"
)

// Defaults of [Config].
const (
	DefaultMaxBody  = 10 << 20
	DefaultAttempts = 6
	DefaultPatience = 2 * time.Minute
)

// Ask is the question put to a person. The texts are safe to print; Description
// is the seller's own and proves nothing.
type Ask struct {
	Method, URL, Host string
	Amount            money.Amount
	NetworkID         string
	Description       string
	// Purpose is that of [WithPurpose].
	Purpose string
	// Spent is what all payments of the 24 hours before cost, this one not counted,
	// in its currency.
	Spent money.Amount
}

// Config makes a [Transport].
type Config struct {
	// Base carries the requests; nil is a transport of its own with bounded
	// waits and headers. It must not follow redirects.
	Base http.RoundTripper
	// Wallet makes the proofs of shared payment tokens, Stablecoins those of x402. One
	// of them at least is needed; offers for the other are passed over.
	Wallet      Wallet
	Stablecoins *KeyWallet
	// LinkTokens is how the tokens of Wallet travel over x402.
	LinkTokens LinkTokens
	// Prefer is the protocol that is paid by where both could be, "mpp" or "x402";
	// empty is mpp.
	Prefer string
	Policy Policy
	// Ledger counts for the policy; nil counts in memory.
	Ledger Ledger
	// Journal keeps what is unanswered; nil keeps it in memory, so that a payment
	// whose outcome was unknown at the end of the process is not taken up again.
	Journal Journal
	// Credit keeps receipts that spend what was prepaid; nil keeps them in memory.
	Credit Credit
	// Ask puts a payment above [Policy.AskAbove] to a person. When it is nil, such a
	// payment is left to a wallet that is an [Asker], and refused otherwise.
	Ask func(ctx context.Context, a Ask) (bool, error)
	// Test asks the wallet for play money.
	Test bool
	// MaxBody bounds request bodies, which are kept to be sent again; zero is 10 MiB.
	MaxBody int64
	// Attempts bounds how often one call presents a credential, zero is 6;
	// Patience bounds for how long it goes on, zero is two minutes.
	Attempts int
	Patience time.Duration

	// Now is the clock; nil is the real one.
	Now func() time.Time
	// Sleep waits; nil waits in real time.
	Sleep func(ctx context.Context, d time.Duration) error
	// NewID names spends; nil makes random names.
	NewID func() string
}

// Transport is an [http.RoundTripper] that pays. It is safe for concurrent use.
//
// Request bodies are read whole before anything is sent. A request that brings a
// payment credential of its own passes through untouched. Two equal requests at
// the same time are two purchases; one that follows another whose outcome is
// unknown is the same purchase.
type Transport struct {
	cfg Config

	mu   sync.Mutex      // guards busy
	busy map[string]bool // presentations that this process is presenting or reading the answer of
}

// NewTransport checks c and makes the transport.
func NewTransport(c Config) (*Transport, error) {
	if c.Wallet == nil && c.Stablecoins == nil {
		return nil, errors.New("wallet: Config.Wallet and Config.Stablecoins are both missing")
	}
	if c.Prefer != "" && c.Prefer != "mpp" && c.Prefer != "x402" {
		return nil, errors.New("wallet: Config.Prefer is neither mpp nor x402")
	}
	c.LinkTokens.defaults()
	if err := c.Policy.check(); err != nil {
		return nil, err
	}
	if c.MaxBody < 0 || c.Attempts < 0 || c.Patience < 0 {
		return nil, errors.New("wallet: Config: MaxBody, Attempts and Patience are not negative")
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.Attempts == 0 {
		c.Attempts = DefaultAttempts
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	if c.Base == nil {
		c.Base = newBase()
	}
	if c.Ledger == nil {
		c.Ledger = &MemoryLedger{}
	}
	if c.Journal == nil {
		c.Journal = &MemoryJournal{}
	}
	if c.Credit == nil {
		c.Credit = &MemoryCredit{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	if c.NewID == nil {
		c.NewID = rand.Text
	}
	return &Transport{cfg: c, busy: map[string]bool{}}, nil
}

func newBase() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  90 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 512 << 10,
		MaxIdleConns:           16,
	}
}

// RoundTrip implements [http.RoundTripper]. A response that is not nil answers
// the request for good; see [ResultOf]. Errors are those of this package where
// they concern payment.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if carriesPayment(req.Header) || req.Method == http.MethodConnect {
		return t.cfg.Base.RoundTrip(req)
	}
	ctx := req.Context()
	r, err := newReplay(req, t.cfg.MaxBody)
	if err != nil {
		return nil, err
	}
	kept, err := t.take(ctx, r.key)
	if err != nil {
		return nil, err
	}
	if kept != nil {
		return t.resume(ctx, r, kept)
	}
	return t.buy(ctx, r)
}

// Forget drops what is kept about a request with an unknown outcome, which may
// have been paid: the next one like it pays anew. The body is read and closed.
func (t *Transport) Forget(req *http.Request) error {
	r, err := newReplay(req, t.cfg.MaxBody)
	if err != nil {
		return err
	}
	kept, err := t.cfg.Journal.Find(req.Context(), r.key)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for i := range kept {
		err = errors.Join(err, t.cfg.Journal.Delete(req.Context(), r.key, kept[i].ID))
	}
	return err
}

// take returns a kept presentation for the request that nobody here is busy with,
// and marks it busy.
func (t *Transport) take(ctx context.Context, key string) (*Presentation, error) {
	kept, err := t.cfg.Journal.Find(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	live := kept[:0]
	for i := range kept {
		if end, signed := kept[i].goodUntil(); kept[i].Declined && signed && t.cfg.Now().After(end.Add(chainTime)) {
			if err := t.forget(ctx, &kept[i]); err != nil {
				return nil, err
			}
			continue // refused, and worth nothing any more
		}
		live = append(live, kept[i])
	}
	kept = live
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range kept {
		if !t.busy[kept[i].ID] {
			t.busy[kept[i].ID] = true
			return &kept[i], nil
		}
	}
	return nil, nil //nolint:nilnil // nothing kept is the usual case and no error
}

func (t *Transport) setBusy(id string, busy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if busy {
		t.busy[id] = true
	} else {
		delete(t.busy, id)
	}
}
