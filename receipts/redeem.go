package receipts

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"paywall/payment"
)

// Uses counts the uses of receipts in the store that the replicas share.
type Uses interface {
	// Take records one more use of the receipt and returns its number, 1 to
	// limit, or 0 without an error when limit uses are gone and nothing was
	// recorded. It is atomic: of any number of calls at once, in any number of
	// processes, exactly limit ever succeed. A use is durable when Take returns,
	// and is not given back. The count may be forgotten a minute after expires
	// ([Skew]) and not before. After an error it is unknown whether a use was taken.
	Take(ctx context.Context, receiptID, paymentID string, limit int, expires time.Time) (n int, err error)
}

// Revocations tells which payments lost their receipts by a refund or a dispute.
type Revocations interface {
	// Revoked answers from memory, within nanoseconds. What happened elsewhere
	// may take up to 5 seconds to be known here.
	Revoked(paymentID string) bool
}

// RevocationList is [Revocations] in memory, fed by whoever watches the store.
// The zero value is empty and ready; it is safe for concurrent use.
type RevocationList struct {
	ids     atomic.Pointer[map[string]struct{}] // never changed once stored
	writing sync.Mutex
}

// Revoked implements [Revocations].
func (l *RevocationList) Revoked(paymentID string) bool {
	ids := l.ids.Load()
	if ids == nil {
		return false
	}
	_, ok := (*ids)[paymentID]
	return ok
}

// Add revokes the receipts of more payments. It copies the list: give it batches.
func (l *RevocationList) Add(paymentIDs ...string) {
	l.writing.Lock()
	defer l.writing.Unlock()
	next := make(map[string]struct{}, len(paymentIDs))
	if ids := l.ids.Load(); ids != nil {
		maps.Copy(next, *ids)
	}
	for _, id := range paymentIDs {
		next[id] = struct{}{}
	}
	l.ids.Store(&next)
}

// Replace makes the list exactly these, for a full reading of the store. A
// payment may be left out once every receipt of it has expired.
func (l *RevocationList) Replace(paymentIDs []string) {
	next := make(map[string]struct{}, len(paymentIDs))
	for _, id := range paymentIDs {
		next[id] = struct{}{}
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.ids.Store(&next)
}

// Len is the number of payments on the list.
func (l *RevocationList) Len() int {
	if ids := l.ids.Load(); ids != nil {
		return len(*ids)
	}
	return 0
}

// VerifyRequest verifies the receipt and that it covers the live request. It
// takes no use.
func (v *Verifier) VerifyRequest(token string, live payment.Scope) (Claims, error) {
	c, err := v.Verify(token)
	if err != nil {
		return Claims{}, err
	}
	if err := c.Covers(live); err != nil {
		return Claims{}, err
	}
	return c, nil
}

// Redeem verifies the receipt for the live request and takes one of its uses.
// [ErrUsedUp] means that none was left; an error that is none of this package's
// is the store's, and the request must not be served. A receipt of kind [Credit]
// is returned as verified: drawing on the balance is the caller's.
func (v *Verifier) Redeem(ctx context.Context, token string, live payment.Scope) (Claims, error) {
	c, err := v.VerifyRequest(token, live)
	if err != nil {
		return Claims{}, err
	}
	limit, counted := c.Use.Counted()
	if !counted {
		return c, nil
	}
	if v.cfg.Uses == nil {
		return Claims{}, fmt.Errorf("uses are not counted here: %w", ErrUsedUp)
	}
	n, err := v.cfg.Uses.Take(ctx, c.ID, c.PaymentID, limit, c.Expires)
	if err != nil {
		return Claims{}, fmt.Errorf("use of receipt %s: %w", c.ID, err)
	}
	if n < 1 || n > limit {
		return Claims{}, ErrUsedUp
	}
	return c, nil
}

// Bearer returns the token of an Authorization field when it looks like a
// receipt of this verifier's issuer, so that bearer tokens meant for the API
// behind it are left alone. Two Authorization fields are none.
func (v *Verifier) Bearer(h http.Header) (string, bool) {
	fields := h["Authorization"]
	if len(fields) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(fields[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || len(token) > MaxSize {
		return "", false
	}
	head, _, _, err := split(token)
	if err != nil {
		return "", false
	}
	_, ours := v.table(v.cfg.Keys.set.Load()).keys[head]
	return token, ours
}
