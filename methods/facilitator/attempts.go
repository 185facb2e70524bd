package facilitator

import (
	"sync"
	"time"
)

// attempts remembers for which payments a settlement was sent and not answered for
// good, so that "it was used before" can be told from "it was used by us".
//
// It is only needed within one run of attempts at one payment, which the core ends
// after half a minute; whoever takes the payment up later, in this process or
// another, finds that in [payment.Payment].Attempts.
type attempts struct {
	mu     sync.Mutex
	sent   map[string]time.Time // by key, when it was sent first
	sweepT time.Time            // when the old ones were dropped last; both guarded by mu
}

// keepAttempts is long after any run of attempts has ended.
const keepAttempts = time.Hour

// begin notes that a settlement is about to be sent, and reports whether it is the
// first under its key.
func (a *attempts) begin(key string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.sweepT) > keepAttempts {
		for k, at := range a.sent {
			if now.Sub(at) > keepAttempts {
				delete(a.sent, k)
			}
		}
		a.sweepT = now
	}
	if _, again := a.sent[key]; again {
		return false
	}
	if a.sent == nil {
		a.sent = make(map[string]time.Time)
	}
	a.sent[key] = now
	return true
}

// forget drops what was noted: the outcome is known, or nothing was sent.
func (a *attempts) forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sent, key)
}
