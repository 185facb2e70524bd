package receipts

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// KeyRing holds the keys of one issuer: at most one that signs, older ones that
// still verify, and revoked ones that are remembered. Every change replaces one
// immutable snapshot, so readers take no lock and see all of a change or none.
// It is safe for concurrent use.
type KeyRing struct {
	set     atomic.Pointer[keySet]
	writing sync.Mutex // held by those who derive a new snapshot from the current one
}

// keySet is never changed after it is stored. Its address is the ring's epoch:
// whatever was derived from another one is stale.
type keySet struct {
	keys    []Key
	signing int // index in keys, or -1
}

// NewKeyRing makes a ring. Two keys with one id, or two that sign, are [ErrKey].
func NewKeyRing(keys ...Key) (*KeyRing, error) {
	set, err := newKeySet(keys)
	if err != nil {
		return nil, err
	}
	r := &KeyRing{}
	r.set.Store(set)
	return r, nil
}

func newKeySet(keys []Key) (*keySet, error) {
	set := &keySet{keys: slices.Clone(keys), signing: -1}
	seen := make(map[string]struct{}, len(keys))
	for i, k := range set.keys {
		if k.public == nil {
			return nil, fmt.Errorf("key %q was not made by this package: %w", k.ID, ErrKey)
		}
		if _, dup := seen[k.ID]; dup {
			return nil, fmt.Errorf("key id %q occurs twice: %w", k.ID, ErrKey)
		}
		seen[k.ID] = struct{}{}
		switch k.Status {
		case Signing:
			if set.signing >= 0 {
				return nil, fmt.Errorf("both %q and %q sign: %w", set.keys[set.signing].ID, k.ID, ErrKey)
			}
			if k.private == nil {
				return nil, fmt.Errorf("signing key %q has no private half: %w", k.ID, ErrKey)
			}
			if !k.NotAfter.IsZero() {
				return nil, fmt.Errorf("signing key %q has an end: %w", k.ID, ErrKey)
			}
			set.signing = i
		case Verifying, Revoked:
			set.keys[i] = k.withoutPrivate()
		default:
			return nil, fmt.Errorf("key %q has the unknown status %q: %w", k.ID, k.Status, ErrKey)
		}
	}
	return set, nil
}

// Keys returns the keys in the order they were added.
func (r *KeyRing) Keys() []Key { return slices.Clone(r.set.Load().keys) }

// Signing returns the key that signs, or false for a ring that only verifies.
func (r *KeyRing) Signing() (Key, bool) {
	set := r.set.Load()
	if set.signing < 0 {
		return Key{}, false
	}
	return set.keys[set.signing], true
}

// Rotate makes next the signing key. The one before it verifies until notAfter,
// which should be no sooner than the end of the last receipt it signed, and loses
// its private half.
func (r *KeyRing) Rotate(next Key, notAfter time.Time) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	keys := r.Keys()
	for i, k := range keys {
		if k.Status == Signing {
			keys[i].Status, keys[i].NotAfter = Verifying, notAfter.UTC().Truncate(time.Second)
		}
	}
	next.Status = Signing
	return r.store(append(keys, next))
}

// Revoke makes every receipt of the key refused from now on. The signing key
// cannot be revoked before another one took its place with [KeyRing.Rotate].
func (r *KeyRing) Revoke(id string) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	keys := r.Keys()
	i := slices.IndexFunc(keys, func(k Key) bool { return k.ID == id })
	if i < 0 {
		return fmt.Errorf("no key %q: %w", id, ErrKey)
	}
	if keys[i].Status == Signing {
		return fmt.Errorf("key %q signs: rotate first: %w", id, ErrKey)
	}
	keys[i].Status = Revoked
	return r.store(keys)
}

// Replace takes over the keys of another ring, for instance of a file that was
// read again. Receipts verified before are verified again.
func (r *KeyRing) Replace(other *KeyRing) {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.set.Store(other.set.Load())
}

func (r *KeyRing) store(keys []Key) error {
	set, err := newKeySet(keys)
	if err != nil {
		return err
	}
	r.set.Store(set)
	return nil
}
