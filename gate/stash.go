package gate

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"paywall/money"
)

// answer is what a credential bought, kept for repeats of that very credential.
type answer struct {
	status int
	header http.Header
	body   []byte
	// owed, if set, ends a delivery that the payer has not had yet: collected, or
	// given up and refunded.
	owed func(ctx context.Context, collected bool)
	// unpaid says that its money may not have been taken yet: it is given out by
	// serveUnpaid alone. amount is what it costs.
	unpaid bool
	amount money.Amount
	// only is the network of the one client that may have it; the zero value is whoever
	// presents the credential.
	only netip.Addr

	key   string
	until time.Time
	timer *time.Timer
	// readers are writing it out to the payer right now; until they are done,
	// nobody gives it up. left says that it is no longer kept for others.
	readers int
	left    bool
}

func (a *answer) size() int64 {
	n := int64(cap(a.body)) + 1024
	for name, values := range a.header {
		for _, v := range values {
			n += int64(len(name) + len(v) + 16)
		}
	}
	return n
}

// stash keeps answers in memory, bounded in size and time. What is lost with it
// is served again or refunded by the payment's own record.
type stash struct {
	limits Limits
	now    func() time.Time

	mu     sync.Mutex // guards what follows
	byKey  map[string]*answer
	order  []string // oldest first
	total  int64
	ending sync.WaitGroup
}

func newStash(l Limits, now func() time.Time) *stash {
	return &stash{limits: l, now: now, byKey: map[string]*answer{}}
}

// put keeps a; nil is nothing to keep.
func (s *stash) put(key string, a *answer) {
	if a == nil {
		return
	}
	a.key, a.until = key, s.now().Add(s.limits.AnswerFor)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(key, nil)
	s.byKey[key] = a
	s.order = append(s.order, key)
	s.total += a.size()
	if a.owed != nil {
		a.timer = time.AfterFunc(s.limits.AnswerFor, func() { s.expire(key, a) })
	}
	for len(s.order) > 1 && (s.total > s.limits.Answers || s.now().After(s.oldest().until)) {
		s.drop(s.order[0], s.giveUp)
	}
}

func (s *stash) oldest() *answer { return s.byKey[s.order[0]] }

// elsewhere reports whether an answer is kept for another client.
func (s *stash) elsewhere(key string, client netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.byKey[key]
	return a != nil && !a.isFor(client)
}

func (a *answer) isFor(client netip.Addr) bool { return !a.only.IsValid() || a.only == client }

// hold returns the answer if it is for the client, or nil. Until it is released it is
// not given up: an answer on its way to the payer is either collected or refunded,
// never both.
func (s *stash) hold(key string, client netip.Addr) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.byKey[key]
	if a == nil || a.unpaid || !a.isFor(client) || s.now().After(a.until) {
		return nil
	}
	a.readers++
	if a.timer != nil {
		a.timer.Stop()
	}
	return a
}

// unpaid takes the answer out that is kept for a payment, or returns nil. The
// caller gives it out, or puts it back.
func (s *stash) unpaid(key string) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.byKey[key]
	if a == nil || !a.unpaid {
		return nil
	}
	s.drop(key, nil)
	a.left = false
	return a
}

// drop forgets an answer; end is told of one that is still owed. The caller holds mu.
func (s *stash) drop(key string, end func(*answer)) {
	a := s.byKey[key]
	if a == nil {
		return
	}
	delete(s.byKey, key)
	s.total -= a.size()
	for i, h := range s.order {
		if h == key {
			s.order = append(s.order[:i], s.order[i+1:]...)
			break
		}
	}
	if a.timer != nil {
		a.timer.Stop()
	}
	a.left = true
	if a.owed != nil && end != nil && a.readers == 0 {
		end(a)
	}
}

func (s *stash) expire(key string, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey[key] == a {
		s.drop(key, s.giveUp)
	}
}

// giveUp refunds beside the caller, who holds mu.
func (s *stash) giveUp(a *answer) {
	end := a.owed
	a.owed = nil
	s.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		end(ctx, false)
	})
}

// release ends a hold. An answer that was sent is collected; one that was not
// waits for the rest of its time.
func (s *stash) release(a *answer, sent bool) {
	s.mu.Lock()
	a.readers--
	end := a.owed
	switch {
	case end == nil:
	case sent:
		a.owed = nil
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		end(ctx, true)
		return
	case a.readers > 0:
	case a.left:
		s.giveUp(a)
	default:
		a.timer = time.AfterFunc(max(0, a.until.Sub(s.now())), func() { s.expire(a.key, a) })
	}
	s.mu.Unlock()
}

// close gives up what is owed and waits for it.
func (s *stash) close() {
	s.mu.Lock()
	for len(s.order) > 0 {
		s.drop(s.order[0], s.giveUp)
	}
	s.mu.Unlock()
	s.ending.Wait()
}

// Close refunds what was answered by a handler but not collected by its payer.
// Call it when no request is being served any more.
func (g *Gate) Close() { g.stash.close() }
