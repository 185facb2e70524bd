package wallet

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"paywall/money"
	"paywall/mpp"
	"paywall/x402"
)

// Presentation is a credential that has left or is about to, for one request.
type Presentation struct {
	// ID is unique to the credential and says nothing about it.
	ID string
	// Key is the request's: one per method, authority, URL and body.
	Key string
	// Method and URL are for people; Key decides.
	Method, URL string
	// Field is the header field that Credential goes into.
	Field string
	// Credential is the field value, a bearer secret.
	Credential Secret
	Amount     money.Amount
	// Spend is the ledger's id, Proof the wallet's.
	Spend string
	Proof Secret
	// At is when it was first presented.
	At time.Time
	// Declined says that the seller's word is a no, and that the transfer in it could be
	// carried out all the same until it expires.
	Declined bool
}

// LogValue keeps the URL's query and the credential out of logs.
func (p Presentation) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", p.ID), slog.String("amount", p.Amount.String()))
}

func (p *Presentation) check() error {
	if !isName(p.ID) || !isName(p.Key) || p.Spend == "" || p.At.IsZero() || !p.Amount.IsPositive() {
		return errors.New("presentation is incomplete")
	}
	if p.Field == paymentSignature {
		var payload x402.PaymentPayload
		if x402.Decode(p.Credential.Reveal(), &payload) != nil {
			return errors.New("presentation has no credential") // the cause may quote it
		}
		return nil
	}
	if p.Field != authorization && p.Field != mpp.PaymentAuthorization {
		return errors.New("presentation names no field of a protocol")
	}
	if _, err := mpp.ParseCredential(p.Credential.Reveal()); err != nil {
		return errors.New("presentation has no credential") // the cause may quote it
	}
	return nil
}

// Journal keeps what was presented and not yet answered. Implementations are
// safe for concurrent use.
type Journal interface {
	// Put is durable when it returns: the credential leaves after it. An id that is
	// there already is an error.
	Put(ctx context.Context, p Presentation) error
	// Find returns what is kept for a request, oldest first.
	Find(ctx context.Context, key string) ([]Presentation, error)
	// Delete forgets one; one that is not there is no error.
	Delete(ctx context.Context, key, id string) error
	// List returns all, oldest first.
	List(ctx context.Context) ([]Presentation, error)
}

// requestKey names a request by method, authority, URL and body: two requests of
// one key are the same purchase. The fragment and the user in the URL do not count.
func requestKey(method, host, target, digest string) string {
	h := sha256.New()
	for _, s := range []string{method, host, target, digest} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return mpp.EncodeBase64(h.Sum(nil))
}

// MemoryJournal is a [Journal] that ends with the process: what was unanswered
// then is not presented again. The zero value is empty and ready.
type MemoryJournal struct {
	mu   sync.Mutex // guards kept
	kept []Presentation
}

// Put implements [Journal].
func (j *MemoryJournal) Put(_ context.Context, p Presentation) error {
	if err := p.check(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if slices.ContainsFunc(j.kept, func(o Presentation) bool { return o.ID == p.ID }) {
		return errors.New("journal: presentation is there already")
	}
	j.kept = append(j.kept, p)
	return nil
}

// Find implements [Journal].
func (j *MemoryJournal) Find(_ context.Context, key string) ([]Presentation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return oldestFirst(slices.DeleteFunc(slices.Clone(j.kept), func(p Presentation) bool { return p.Key != key })), nil
}

// Delete implements [Journal].
func (j *MemoryJournal) Delete(_ context.Context, key, id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kept = slices.DeleteFunc(j.kept, func(p Presentation) bool { return p.Key == key && p.ID == id })
	return nil
}

// List implements [Journal].
func (j *MemoryJournal) List(context.Context) ([]Presentation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return oldestFirst(slices.Clone(j.kept)), nil
}

func oldestFirst(p []Presentation) []Presentation {
	slices.SortStableFunc(p, func(a, b Presentation) int {
		if n := a.At.Compare(b.At); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return p
}
