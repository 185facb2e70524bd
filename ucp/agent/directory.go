package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"paywall/internal/fetch"
	"paywall/ucp/protocol"
)

// Getter fetches documents that others have named ([fetch.Client]).
type Getter interface {
	Get(ctx context.Context, rawURL string, h http.Header) (fetch.Response, error)
}

// DirectoryConfig is what a [Directory] is made of.
type DirectoryConfig struct {
	// Client fetches profiles; nil fetches none.
	Client Getter
	// Pinned are profiles that are known, by their URL; they are never fetched. With
	// OnlyPinned there are no others.
	Pinned     map[string][]byte
	OnlyPinned bool
	// Size is how many profiles are remembered; zero is 10,000.
	Size int
	// Floor and Ceiling bound how long one is good for, whatever its origin says; zero
	// is a minute and an hour.
	Floor, Ceiling time.Duration
	// PerSecond bounds fetches in all, with a burst of ten times as many; zero is 10.
	PerSecond int

	Now    func() time.Time
	Logger *slog.Logger
}

// Directory knows profiles. It is safe for concurrent use.
type Directory struct {
	cfg    DirectoryConfig
	pinned map[string]Profile
	known  *lru.Cache[string, *remembered]

	mu      sync.Mutex // guards what follows
	flights map[string]*flight
	tokens  int64 // of the budget, in thousandths
	filled  time.Time
}

// remembered is a profile, or why there is none.
type remembered struct {
	profile Profile
	fault   *protocol.Fault
	fetched time.Time
	until   time.Time
}

type flight struct {
	done  chan struct{}
	found *remembered
}

// faultFor is how long it is remembered that a profile cannot be had.
const faultFor = 10 * time.Second

// NewDirectory checks the configuration and reads the pinned profiles.
func NewDirectory(cfg DirectoryConfig) (*Directory, error) {
	if cfg.Size == 0 {
		cfg.Size = 10_000
	}
	if cfg.Floor == 0 {
		cfg.Floor = time.Minute
	}
	if cfg.Ceiling == 0 {
		cfg.Ceiling = time.Hour
	}
	if cfg.PerSecond == 0 {
		cfg.PerSecond = 10
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	known, err := lru.New[string, *remembered](cfg.Size)
	if err != nil {
		return nil, fmt.Errorf("directory of agents: %w", err)
	}
	d := &Directory{cfg: cfg, pinned: map[string]Profile{}, known: known, flights: map[string]*flight{}, filled: cfg.Now()}
	d.tokens = int64(cfg.PerSecond) * burst * 1000
	for where, data := range cfg.Pinned {
		if d.pinned[where], err = ParseProfile(data); err != nil {
			return nil, fmt.Errorf("pinned profile %s: %w", where, err)
		}
	}
	return d, nil
}

const burst = 10

// Lookup returns a profile. Whoever asks for one that is being fetched waits for it.
func (d *Directory) Lookup(ctx context.Context, where string) (Profile, *protocol.Fault) {
	if p, ok := d.pinned[where]; ok {
		return p, nil
	}
	if d.cfg.OnlyPinned || d.cfg.Client == nil {
		return Profile{}, &protocol.Fault{Code: protocol.ProfileNotTrusted, Content: "Agents with this profile are not served here."}
	}
	old, have := d.known.Get(where)
	if have && d.cfg.Now().Before(old.until) {
		return old.profile, old.fault
	}
	return d.fetch(ctx, where, old)
}

// Refresh fetches a profile again, for a key that is not in it, unless that was done a
// moment ago.
func (d *Directory) Refresh(ctx context.Context, where string) (Profile, *protocol.Fault) {
	old, have := d.known.Get(where)
	if _, pinned := d.pinned[where]; pinned || d.cfg.Client == nil || have && d.cfg.Now().Sub(old.fetched) < d.cfg.Floor {
		return d.Lookup(ctx, where)
	}
	return d.fetch(ctx, where, old)
}

func (d *Directory) fetch(ctx context.Context, where string, old *remembered) (Profile, *protocol.Fault) {
	d.mu.Lock()
	f, under := d.flights[where]
	if !under {
		if !d.spend() {
			d.mu.Unlock()
			return Profile{}, &protocol.Fault{
				Code: protocol.Unavailable, Content: "Too many agents are being looked up; try again in a moment.", RetryAfter: 2 * time.Second,
			}
		}
		f = &flight{done: make(chan struct{})}
		d.flights[where] = f
		// The others wait for it too, and it is remembered: it does not end with its first caller.
		go d.fly(context.WithoutCancel(ctx), where, old, f)
	}
	d.mu.Unlock()
	select {
	case <-f.done:
		return f.found.profile, f.found.fault
	case <-ctx.Done():
		return Profile{}, &protocol.Fault{Code: protocol.Unavailable, Content: "The agent's profile is being fetched; try again in a moment.", RetryAfter: time.Second, Err: ctx.Err()}
	}
}

// spend takes a fetch from the budget. The caller holds mu.
func (d *Directory) spend() bool {
	now := d.cfg.Now()
	most := int64(d.cfg.PerSecond) * burst * 1000
	d.tokens = min(most, d.tokens+now.Sub(d.filled).Milliseconds()*int64(d.cfg.PerSecond))
	d.filled = now
	if d.tokens < 1000 {
		return false
	}
	d.tokens -= 1000
	return true
}

func (d *Directory) fly(ctx context.Context, where string, old *remembered, f *flight) {
	f.found = d.get(ctx, where)
	if f.found.fault != nil && f.found.fault.Code == protocol.ProfileUnreachable && old != nil && old.fault == nil &&
		d.cfg.Now().Sub(old.fetched) < d.cfg.Ceiling {
		// It was good a moment ago, and is better than none.
		kept := *old
		kept.until = d.cfg.Now().Add(faultFor)
		f.found = &kept
	}
	d.known.Add(where, f.found)
	d.mu.Lock()
	delete(d.flights, where)
	d.mu.Unlock()
	close(f.done)
}

func (d *Directory) get(ctx context.Context, where string) *remembered {
	answer, err := d.cfg.Client.Get(ctx, where, http.Header{"Accept": {"application/json"}})
	now := d.cfg.Now()
	r := &remembered{fetched: now, until: now.Add(faultFor)}
	switch {
	case errors.Is(err, fetch.ErrURL):
		r.fault = &protocol.Fault{Code: protocol.InvalidProfileURL, Content: "The agent's profile is not at an address that is called: https, a public name, no redirect.", Err: err}
	case errors.Is(err, fetch.ErrBusy):
		r.until = now
		r.fault = &protocol.Fault{Code: protocol.Unavailable, Content: "Too many agents are being looked up; try again in a moment.", RetryAfter: 2 * time.Second, Err: err}
	case errors.Is(err, fetch.ErrTooLarge), errors.Is(err, fetch.ErrEncoding):
		r.fault = &protocol.Fault{Code: protocol.ProfileMalformed, Content: "The agent's profile is too large, or compressed.", Err: err}
	case err != nil || answer.Status != http.StatusOK:
		// The same words for every reason: nobody learns what is behind an address.
		r.fault = &protocol.Fault{Code: protocol.ProfileUnreachable, Content: "The agent's profile could not be fetched.", Err: err}
	default:
		if r.profile, err = ParseProfile(answer.Body); err != nil {
			r.fault = &protocol.Fault{Code: protocol.ProfileMalformed, Content: "The agent's profile is not one of a platform.", Err: err}
			return r
		}
		r.until = now.Add(d.life(answer.Header))
	}
	return r
}

var maxAge = regexp.MustCompile(`(?i)(?:^|[, ])max-age=([0-9]{1,9})(?:$|[, ])`)

// life is how long a profile is good for, by its origin and within our bounds.
func (d *Directory) life(h http.Header) time.Duration {
	said := d.cfg.Floor
	if m := maxAge.FindStringSubmatch(strings.Join(h.Values("Cache-Control"), ", ")); m != nil {
		n, _ := strconv.Atoi(m[1]) // digits
		said = time.Duration(n) * time.Second
	}
	return min(max(said, d.cfg.Floor), d.cfg.Ceiling)
}
