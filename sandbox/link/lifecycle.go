package link

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Who decided, as Request.DecidedBy shows it.
const (
	byPerson    = "person"
	byPolicy    = "policy"
	byDelegate  = "delegated"
	byControl   = "control"
	maxRequests = 10_000 // kept in memory; the oldest that are over go first
)

// file stores a new request and, when the policy or the delegate says so,
// approves it at once. With an idempotency key seen before it returns the
// request of then.
func (w *Wallet) file(ctx context.Context, d *draft, agent, decided string) (*spendRequest, error) {
	method := w.method(d.PaymentDetails)
	if method == nil || !method.eligible() {
		return nil, &refusal{
			kind: ErrInvalid, status: http.StatusUnprocessableEntity, code: "invalid_payment_details",
			message: "Invalid payment details",
		}
	}
	w.refresh(ctx)
	now := w.now().UTC()
	w.mu.Lock()
	if d.IdempotencyKey != "" {
		if earlier := w.byKey[d.IdempotencyKey]; earlier != nil {
			defer w.mu.Unlock()
			if !earlier.same(d) {
				return nil, &refusal{
					kind: ErrInvalid, status: http.StatusConflict, code: "idempotency_key_reused",
					message: "idempotency_key was used for a different spend request",
				}
			}
			return earlier, nil
		}
	}
	if ref := w.admit(d, now); ref != nil {
		w.mu.Unlock()
		return nil, ref
	}
	r := &spendRequest{
		draft: *d, id: w.id("lsrq"), agent: agent, method: method, status: Created,
		createdAt: now, updatedAt: now, expiresAt: now.Add(w.limits.ApprovalWindow), validUntil: now.Add(w.limits.Validity),
	}
	w.keep(r)
	if d.RequestApproval || decided != "" {
		r.move(PendingApproval, now)
	}
	w.mu.Unlock()
	w.log.InfoContext(ctx, "spend requested", "id", r.id, "amount", r.Amount, "currency", r.Currency)
	switch {
	case decided != "":
		return r, w.approve(ctx, r.id, decided)
	case d.RequestApproval:
		return r, w.ask(ctx, r)
	}
	return r, nil
}

// ask applies the policy to a request that waits now, or tells the listener
// that a person is needed.
func (w *Wallet) ask(ctx context.Context, r *spendRequest) error {
	w.mu.Lock()
	small := r.Currency == "usd" && r.Amount < w.cfg.AutoApprove
	w.mu.Unlock()
	if small {
		// What the policy may not approve any more is for the person to see.
		if err := w.approve(ctx, r.id, byPolicy); !errors.Is(err, ErrLimit) {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.emit("requested", r)
	return nil
}

// keep adds a record. Callers hold mu.
func (w *Wallet) keep(r *spendRequest) {
	if len(w.requests) >= maxRequests {
		if i := slices.IndexFunc(w.requests, func(old *spendRequest) bool { return !old.status.active() }); i >= 0 {
			delete(w.byID, w.requests[i].id)
			delete(w.byKey, w.requests[i].IdempotencyKey)
			w.requests = slices.Delete(w.requests, i, i+1)
		}
	}
	w.requests = append(w.requests, r)
	w.byID[r.id] = r
	if r.IdempotencyKey != "" {
		w.byKey[r.IdempotencyKey] = r
	}
}

// requestApproval puts a created request before the person.
func (w *Wallet) requestApproval(ctx context.Context, id string) (*spendRequest, error) {
	w.refresh(ctx)
	now := w.now().UTC()
	w.mu.Lock()
	r := w.byID[id]
	switch {
	case r == nil:
		w.mu.Unlock()
		return nil, notFound()
	case r.status == PendingApproval:
		w.mu.Unlock()
		return nil, &refusal{
			kind: ErrState, status: http.StatusBadRequest, code: "already_pending_approval",
			message: "This spend request is already awaiting approval",
		}
	case r.status != Created:
		defer w.mu.Unlock()
		return nil, wrongState("request approval of", r.status)
	}
	r.move(PendingApproval, now)
	r.expiresAt = now.Add(w.limits.ApprovalWindow)
	w.mu.Unlock()
	return r, w.ask(ctx, r)
}

// change lays an update over a request whose approval was not asked for yet:
// what a person has before their eyes does not change.
func (w *Wallet) change(ctx context.Context, id string, body []byte) (*spendRequest, error) {
	w.refresh(ctx)
	now := w.now().UTC()
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.byID[id]
	if r == nil {
		return nil, notFound()
	}
	if r.status != Created {
		return nil, wrongState("update", r.status)
	}
	d, err := r.update(body)
	if err != nil {
		return nil, err
	}
	method := w.method(d.PaymentDetails)
	if method == nil || !method.eligible() {
		return nil, &refusal{
			kind: ErrInvalid, status: http.StatusUnprocessableEntity, code: "invalid_payment_details",
			message: "Invalid payment details",
		}
	}
	if ref := w.affordable(d.Amount, now); ref != nil {
		return nil, ref
	}
	r.draft, r.method, r.updatedAt = *d, method, now
	return r, nil
}

// Approve approves a waiting request as the person would on the page, and has
// the processor grant its token.
func (w *Wallet) Approve(id string) error { return w.approve(context.Background(), id, byControl) }

// Deny denies a waiting request.
func (w *Wallet) Deny(id string) error { return w.deny(context.Background(), id, byControl) }

func (w *Wallet) approve(ctx context.Context, id, by string) error {
	w.refresh(ctx)
	now := w.now().UTC()
	w.mu.Lock()
	r, ref := w.waiting(id, "approve")
	if ref == nil {
		if limit := w.approvable(r, now); limit != nil {
			ref = limit
		}
	}
	if ref != nil {
		w.mu.Unlock()
		return ref
	}
	if r.method.attention {
		r.move(RequiresAction, now)
		r.by, r.decidedAt, r.expiresAt = by, now, now.Add(w.limits.Validity)
		w.mu.Unlock()
		return nil
	}
	// The claim: of two approvals that arrive together only the first gets here,
	// and no lock is held while the processor answers.
	r.busy = true
	epoch, draft, processorMethod, until := w.epoch, r.draft, r.method.processor, r.validUntil
	w.mu.Unlock()

	token, err := w.mint(&draft, processorMethod, until)

	w.mu.Lock()
	r.busy = false
	if err != nil {
		w.mu.Unlock()
		return fmt.Errorf("approve %s: %w: %w", id, ErrProcessor, err)
	}
	if w.epoch != epoch {
		w.mu.Unlock()
		w.revoke(ctx, draft.CredentialType, token)
		return notFound()
	}
	r.move(Approved, now)
	r.token, r.by, r.approvedAt, r.decidedAt, r.expiresAt = token, by, now, now, until
	w.emit("approved", r)
	w.mu.Unlock()
	w.log.InfoContext(ctx, "spend approved", "id", id, "by", by)
	return nil
}

// mint makes the credential, without the lock. A card needs none: its number is
// the test number that belongs to the payment method.
func (w *Wallet) mint(d *draft, processorMethod string, until time.Time) (string, error) {
	switch {
	case d.CredentialType == credentialToken:
		return w.cfg.Processor.Grant(processorMethod, d.Currency, d.Amount, until, d.NetworkID)
	case d.ExecutionMethod == payToken:
		return w.id("lpt"), nil
	}
	return "", nil
}

func (w *Wallet) revoke(ctx context.Context, credentialType, token string) {
	if credentialType != credentialToken || token == "" {
		return
	}
	if err := w.cfg.Processor.Revoke(token); err != nil {
		w.log.WarnContext(ctx, "token not revoked", "err", err)
	}
}

// waiting returns a request that a person can decide now. Callers hold mu.
func (w *Wallet) waiting(id, verb string) (*spendRequest, *refusal) {
	r := w.byID[id]
	switch {
	case r == nil:
		return nil, notFound()
	case r.busy:
		return nil, &refusal{
			kind: ErrState, status: http.StatusConflict, code: "invalid_state",
			message: "This spend request is being approved",
		}
	case r.status != PendingApproval:
		return nil, wrongState(verb, r.status)
	}
	return r, nil
}

func (w *Wallet) deny(ctx context.Context, id, by string) error {
	w.refresh(ctx)
	now := w.now().UTC()
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ref := w.waiting(id, "deny")
	if ref != nil {
		return ref
	}
	r.move(Denied, now)
	r.by, r.decidedAt = by, now
	w.emit("denied", r)
	w.log.InfoContext(ctx, "spend denied", "id", id, "by", by)
	return nil
}

// cancel withdraws a request; the token of an approved one is revoked.
func (w *Wallet) cancel(ctx context.Context, id string) (*spendRequest, error) {
	w.refresh(ctx)
	now := w.now().UTC()
	w.mu.Lock()
	r := w.byID[id]
	switch {
	case r == nil:
		w.mu.Unlock()
		return nil, notFound()
	case r.busy:
		w.mu.Unlock()
		return nil, &refusal{
			kind: ErrState, status: http.StatusConflict, code: "invalid_state",
			message: "This spend request is being approved",
		}
	case !r.move(Canceled, now):
		defer w.mu.Unlock()
		return nil, wrongState("cancel", r.status)
	}
	credentialType, token := r.CredentialType, r.token
	w.emit("canceled", r)
	w.mu.Unlock()
	w.revoke(ctx, credentialType, token)
	return r, nil
}

// refresh applies what happened outside the wallet: time went on, sellers
// captured tokens. Every operation begins with it.
func (w *Wallet) refresh(ctx context.Context) {
	for token, amount := range w.capturedTokens() {
		w.succeed(ctx, token, amount)
	}
	now := w.now().UTC()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		if !r.busy && !r.expiresAt.IsZero() && !now.Before(r.expiresAt) && r.move(Expired, now) {
			w.emit("expired", r)
		}
	}
}

// capturedTokens asks after the tokens that are out, without the lock.
func (w *Wallet) capturedTokens() map[string]int64 {
	if w.cfg.Captured == nil {
		return nil
	}
	w.mu.Lock()
	var out []string
	for _, r := range w.requests {
		if (r.status == Approved || r.status == Failed) && r.CredentialType == credentialToken {
			out = append(out, r.token)
		}
	}
	w.mu.Unlock()
	captured := map[string]int64{}
	for _, token := range out {
		if amount := w.cfg.Captured(token); amount > 0 {
			captured[token] = amount
		}
	}
	return captured
}

func (w *Wallet) succeed(ctx context.Context, token string, amount int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.byToken(token)
	if r == nil || !r.move(Succeeded, w.now().UTC()) {
		return
	}
	r.captured, r.transaction = amount, w.id("lntx")
	w.emit("succeeded", r)
	w.log.InfoContext(ctx, "purchase made", "id", r.id, "captured", amount)
}

// Declined records that the charge of an approved request's token was declined,
// with the processor's codes, and reports whether the token was one of ours. The
// token stays good at the processor, as a declined one does there: a seller that
// captures it after all makes the purchase succeed.
func (w *Wallet) Declined(tokenID, code, declineCode string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now().UTC()
	r := w.byToken(tokenID)
	if r == nil || !r.move(Failed, now) {
		return false
	}
	r.declined = &decline{code: code, declineCode: declineCode, at: now}
	w.emit("failed", r)
	return true
}

// byToken finds the request a token was granted for. Callers hold mu.
func (w *Wallet) byToken(token string) *spendRequest {
	for _, r := range w.requests {
		if token != "" && r.token == token && r.CredentialType == credentialToken {
			return r
		}
	}
	return nil
}

// Pending returns what waits for the person, oldest first.
func (w *Wallet) Pending() []Request {
	return w.list(context.Background(), waits)
}

// Purchases returns every request as []Request, oldest first, for the audit of
// the sandbox.
func (w *Wallet) Purchases() any { return w.list(context.Background(), anyOf) }

func waits(r *spendRequest) bool { return r.status == PendingApproval }
func anyOf(*spendRequest) bool   { return true }

func (w *Wallet) list(ctx context.Context, which func(*spendRequest) bool) []Request {
	w.refresh(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Request{}
	for _, r := range w.requests {
		if which(r) {
			out = append(out, w.view(r))
		}
	}
	return out
}
