package payment

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Charge settles a verified credential, or finds what became of it before. A nil
// error means settled: Delivery open is to be served, Delivery delivered is a
// repeat of what was served. Errors are *[Error].
//
// It does not end with the caller's context: a hang-up must not leave a charge
// half made.
func (p *Processor) Charge(ctx context.Context, c Credential, e Entitlement) (Payment, error) {
	if c.Offer.Metered {
		return Payment{}, Refuse(KindInternal, "what the request will use is not known yet; nothing was charged")
	}
	return p.begin(ctx, c, e, false)
}

// begin claims a payment for the credential and charges it, or holds its money.
// Of a credential that has one already it answers with that.
func (p *Processor) begin(ctx context.Context, c Credential, e Entitlement, hold bool) (Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Patience)
	defer cancel()
	m, ok := p.methods[c.Offer.Method]
	if !ok {
		return Payment{}, Refuse(KindMethodUnsupported, "this way of paying is no longer offered")
	}
	holder, can := m.(Holder)
	if hold && !can {
		return Payment{}, Refuse(KindMethodUnsupported, "this way of paying cannot hold money; nothing was charged")
	}
	inst, err := m.Inspect(c)
	if err != nil {
		return Payment{}, err //nolint:wrapcheck // already *Error, made for the payer
	}
	release, err := p.acquire(ctx)
	if err != nil {
		return Payment{}, err
	}
	defer release()

	first := c.ChallengeID
	for n := 1; ; n++ {
		c.ChallengeID = numbered(first, n)
		pay, in, err := p.prepare(m, c, inst, e, hold)
		if err != nil {
			return Payment{}, err
		}
		if n == 1 {
			p.cfg.Point(PointVerified)
		}
		// Claim before asking the rail: two copies of one credential may arrive
		// together, and only the insert can tell the first from the second.
		switch err := p.cfg.Store.Claim(ctx, pay); {
		case err == nil:
			p.cfg.Point(PointIntent)
			if hold {
				p.take(pay.ID) // nobody else can have a payment that is this new
				return p.promise(ctx, holder, pay, in)
			}
			return p.settle(ctx, charging(m), pay, in)
		case errors.Is(err, ErrChallengeUsed):
			stored, err := p.claimed(ctx, c)
			if err != nil {
				return Payment{}, err
			}
			if released(stored) && n < maxClaims {
				continue // nothing was taken for it; it may be presented again
			}
			return p.rejoin(ctx, m, stored, hold)
		case errors.Is(err, ErrInstrumentUsed):
			return Payment{}, p.spent(ctx, pay)
		case errors.Is(err, ErrPaused):
			return Payment{}, &Error{Kind: KindPaused, Detail: "the seller has paused payments; nothing was charged", RetryAfter: time.Minute}
		default:
			// Whether or not the claim was stored, nothing was sent: the same
			// credential may come back, and recovery voids what is left over.
			return Payment{}, &Error{Kind: KindInternal, Detail: "the payment could not be recorded; nothing was charged", RetryAfter: 5 * time.Second, Err: err}
		}
	}
}

// prepare makes the record and the intent of a claim.
func (p *Processor) prepare(m Method, c Credential, inst Instrument, e Entitlement, hold bool) (Payment, Intent, error) {
	pay := p.record(c, inst, e)
	pay.Held = hold
	in, err := m.Prepare(pay, c)
	if err != nil {
		return Payment{}, Intent{}, &Error{Kind: KindInternal, Detail: "the payment could not be prepared; nothing was charged", Err: err}
	}
	pay.Key, pay.Account = in.Key, in.Account
	if pay.Intent, err = p.sealer.seal(pay.ID, in); err != nil {
		return Payment{}, Intent{}, &Error{Kind: KindInternal, Detail: "the payment could not be prepared; nothing was charged", Err: err}
	}
	return pay, in, nil
}

func (p *Processor) record(c Credential, inst Instrument, e Entitlement) Payment {
	now := p.Now()
	if e.Window == 0 {
		e.Window = 15 * time.Minute
	}
	return Payment{
		ID: p.cfg.NewID(), Revision: 1, State: StatePending, Delivery: DeliveryNone,
		Protocol: c.Protocol, Method: c.Offer.Method,
		ChallengeID: c.ChallengeID, CredentialHash: c.Hash, Instrument: inst.Fingerprint,
		Scope: c.Scope, Amount: c.Offer.Amount, Description: c.Offer.Quote.Description,
		Payer: c.Payer, Network: c.Offer.Network, Pack: c.Offer.Quote.Pack,
		WindowEnds: now.Add(e.Window), Redeliver: e.Redeliver,
		Owner: p.cfg.Owner, Epoch: 1, LeaseUntil: now.Add(leaseTime), Attempts: 1,
		CreatedAt: now, UpdatedAt: now,
	}
}

// sending is the call of a rail that takes the money.
type sending struct {
	op   string
	send func(ctx context.Context, p Payment, in Intent) Outcome
}

func charging(m Method) sending  { return sending{"charge", m.Charge} }
func capturing(m Holder) sending { return sending{"capture", m.Capture} }

// settle sends the intent until the rail gives a definite answer or the payer's
// patience ends. Every attempt has the same key and the same bytes.
func (p *Processor) settle(ctx context.Context, s sending, pay Payment, in Intent) (Payment, error) {
	wait := p.cfg.Backoff
	for attempt := 0; ; attempt++ {
		p.cfg.Point(PointSend)
		out := p.call(ctx, s.op, pay, attempt > 0, func(ctx context.Context) Outcome { return s.send(ctx, pay, in) })
		p.cfg.Point(PointAnswered)
		switch out.Class {
		case OutcomeSucceeded, OutcomeDeclined, OutcomeMismatch:
			return p.conclude(ctx, pay, out)
		case OutcomeNotNow:
			if out.Fatal {
				p.alarm(ctx, pay, out)
				return Payment{}, p.unknown(ctx, pay, out)
			}
		case OutcomeUnknown, OutcomeNone, OutcomeStarted, OutcomeVoided:
		}
		if !p.again(ctx, &wait, out) {
			return Payment{}, p.unknown(ctx, pay, out)
		}
	}
}

// again waits until a rail may be asked once more, and reports false when the
// payer's patience ends before.
func (p *Processor) again(ctx context.Context, wait *time.Duration, out Outcome) bool {
	next := max(*wait, out.RetryAfter)
	*wait = min(2**wait, 4*time.Second)
	if end, ok := ctx.Deadline(); ok && p.cfg.Now().Add(next).After(end) {
		return false
	}
	return p.pause(ctx, next)
}

// conclude stores a definite answer and says what the payer is told.
func (p *Processor) conclude(ctx context.Context, pay Payment, out Outcome) (Payment, error) {
	stored, err := p.enter(ctx, pay, out)
	if err != nil {
		return Payment{}, &Error{Kind: KindPending, Detail: "the outcome is being recorded; present the same credential again", PaymentID: pay.ID, RetryAfter: 2 * time.Second, Err: err}
	}
	if out.Class == OutcomeSucceeded {
		p.cfg.Point(PointSettled)
	}
	return stored, p.refusal(stored, out)
}

// enter writes a definite outcome of a payment that is not settled into the books.
func (p *Processor) enter(ctx context.Context, pay Payment, out Outcome) (Payment, error) {
	// Money may have moved: the entry must not be lost to a payer's patience.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
	defer cancel()
	out = judged(pay, out)
	now := p.Now()
	next := pay
	next.Revision, next.UpdatedAt, next.Intent = pay.Revision+1, now, nil
	next.Reference, next.Reason, next.Owner, next.LeaseUntil = out.Reference, out.Reason, "", time.Time{}
	var entries []Entry
	event := "payment.failed"
	switch out.Class {
	case OutcomeSucceeded:
		event, entries = settled(&next, pay, out, now)
	case OutcomeMismatch:
		event = "payment.review"
		next.State, next.Delivery, next.Intent = StateReview, DeliveryNone, pay.Intent
		p.cfg.Logger.ErrorContext(ctx, "payment needs review", "payment", pay.ID, "reason", out.Reason, "err", out.Err)
	case OutcomeDeclined:
		next.State, next.Delivery = StateFailed, DeliveryNone
	case OutcomeVoided:
		event = "payment.voided"
		next.State, next.Delivery = StateVoided, DeliveryNone
	case OutcomeUnknown, OutcomeNotNow, OutcomeNone, OutcomeStarted:
		return Payment{}, fmt.Errorf("conclude %s with %s: %w", pay.ID, out.Class, ErrState)
	}
	return p.update(ctx, pay, next, entries, event)
}

// settled fills in the record of a charge that succeeded, and says what is posted.
func settled(next *Payment, pay Payment, out Outcome, now time.Time) (event string, entries []Entry) {
	next.State, next.SettledAt = StateSettled, now
	window := pay.WindowEnds.Sub(pay.CreatedAt)
	next.WindowEnds = now.Add(window)
	entries = []Entry{{Payment: pay.ID, Kind: "settle", Debit: AccountReceivable + pay.Method, Credit: AccountUndelivered, Amount: pay.Amount, At: now}}
	if out.Refunded.IsPositive() {
		// It was paid back behind our back: what it bought is not owed any more.
		next.State, next.Delivery, next.RefundedAt = StateRefunded, DeliveryNone, now
		next.RefundReference, next.Reason = out.RefundReference, "refunded_at_rail"
		entries = append(entries,
			Entry{Payment: pay.ID, Kind: "refund_due", Debit: AccountUndelivered, Credit: AccountRefundsDue, Amount: pay.Amount, At: now},
			Entry{Payment: pay.ID, Kind: "refund", Debit: AccountRefundsDue, Credit: AccountReceivable + pay.Method, Amount: pay.Amount, At: now})
		return "payment.refunded", entries
	}
	next.Delivery = DeliveryOpen
	if pay.Held && (!pay.Redeliver || window <= finalStretch) {
		// Its request has run, or is running. If it must not run again, its answer may be
		// collected until the window's end, when anybody still has it.
		next.Delivery, next.LeaseUntil = DeliveryDispatched, next.WindowEnds
		if pay.Redeliver {
			next.LeaseUntil = now.Add(leaseTime)
		}
	}
	return "payment.settled", entries
}

// judged holds a rail's word of success against the payment once more, for every
// rail: charged = quoted.
func judged(pay Payment, out Outcome) Outcome {
	switch {
	case out.Class != OutcomeSucceeded:
	case out.Amount != pay.Amount:
		out.Class, out.Reason = OutcomeMismatch, "amount_differs"
	case out.Refunded.Valid() && !out.Refunded.IsZero() && out.Refunded != pay.Amount:
		out.Class, out.Reason = OutcomeMismatch, "partly_refunded"
	}
	return out
}

// refusal is what the payer is told about a stored payment that is not settled.
func (p *Processor) refusal(pay Payment, out Outcome) error {
	switch pay.State {
	case StateSettled:
		return nil
	case StateFailed:
		kind := out.Kind
		if kind == KindInternal {
			kind = KindVerificationFailed
		}
		return &Error{Kind: kind, Detail: declineDetail(kind), Reason: pay.Reason, Err: out.Err}
	case StateReview:
		return &Error{Kind: KindPending, Detail: "the payment is under review by the seller; do not pay again", PaymentID: pay.ID, RetryAfter: time.Minute, Err: out.Err}
	case StateVoided:
		return Refuse(KindInvalidChallenge, "this challenge was closed without a charge")
	case StatePending, StateAuthorized:
		return &Error{Kind: KindPending, Detail: "the outcome of the payment is not known yet; do not pay again", PaymentID: pay.ID, RetryAfter: 5 * time.Second}
	case StateRefunding, StateRefunded, StateCredited:
		return &Error{Kind: KindInvalidChallenge, Detail: "this payment was returned", PaymentID: pay.ID}
	}
	return Refuse(KindInternal, "the payment is in an unexpected state")
}

func declineDetail(k Kind) string {
	switch k {
	case KindPaymentInsufficient:
		return "the token's limit is below the price"
	case KindActionRequired:
		return "the payer's bank asks for an action by a person; approve it in the wallet and pay again"
	default:
		return "the payment was declined"
	}
}

// unknown hands a payment in doubt to recovery and tells the payer to come back.
// It never invites a second payment.
func (p *Processor) unknown(ctx context.Context, pay Payment, out Outcome) error {
	// The payer's patience is over, but the hand-over must still be stored.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	next := pay
	next.Revision, next.UpdatedAt, next.Owner = pay.Revision+1, p.Now(), ""
	next.LeaseUntil, next.Reason = p.Now(), orString(out.Reason, out.Class.String())
	if _, err := p.update(ctx, pay, next, nil, ""); err != nil {
		p.cfg.Logger.WarnContext(ctx, "lease kept", "payment", pay.ID, "err", err)
	}
	return &Error{
		Kind: KindPending, PaymentID: pay.ID, RetryAfter: 5 * time.Second, Err: out.Err,
		Detail: "the outcome of the payment is not known yet; do not pay again, present the same credential later",
	}
}

func (p *Processor) alarm(ctx context.Context, pay Payment, out Outcome) {
	p.cfg.Logger.ErrorContext(ctx, "the rail refuses this seller; settlement is paused", "method", pay.Method, "payment", pay.ID, "reason", out.Reason, "err", out.Err)
	if err := p.SetPaused(ctx, pay.Method+": "+orString(out.Reason, "refused by the processor")); err != nil {
		p.cfg.Logger.ErrorContext(ctx, "pause not stored", "err", err)
	}
}

// rejoin answers a credential with the payment that it has already.
func (p *Processor) rejoin(ctx context.Context, m Method, pay Payment, hold bool) (Payment, error) {
	if pay.State != StatePending && pay.State != StateAuthorized {
		return pay, p.refusal(pay, Outcome{})
	}
	inProgress := &Error{Kind: KindInProgress, Detail: "this payment is being settled", PaymentID: pay.ID, RetryAfter: time.Second}
	if p.Now().Before(pay.LeaseUntil) && pay.Owner != "" {
		return Payment{}, inProgress
	}
	holder, can := m.(Holder)
	switch {
	case p.Paused(ctx) != "":
		return Payment{}, p.refusal(pay, Outcome{}) // nothing is sent; recovery finds out what was
	case p.Now().Sub(pay.CreatedAt) > answerLimit:
		// The rail may have forgotten the key: the same bytes would be a new charge.
		// Recovery hands it to a person.
		return Payment{}, p.refusal(pay, Outcome{})
	case pay.Held && !can:
		return Payment{}, p.refusal(pay, Outcome{}) // recovery hands it to a person
	case pay.Held && pay.State == StatePending && (!hold || !pay.Redeliver || strings.HasPrefix(pay.Reason, releasedPrefix)):
		// Whether its request ran before its owner died is not known, and it must not run
		// twice; or it is being given up, or nobody asks for a payment that is held.
		// Recovery releases it, and then the credential may begin again.
		return Payment{}, p.refusal(pay, Outcome{})
	}
	// Whoever takes it first in this process has it: the payer or recovery.
	if !p.take(pay.ID) {
		return Payment{}, inProgress
	}
	// The payer is here again, so its consent is live: the stored bytes may be sent again.
	leased, err := p.lease(ctx, pay)
	if err != nil {
		p.drop(pay.ID)
		inProgress.Err = err
		return Payment{}, inProgress
	}
	in, err := p.sealer.open(leased)
	if err != nil {
		p.drop(pay.ID)
		return Payment{}, p.unknown(ctx, leased, Outcome{Reason: "intent_unreadable", Err: err})
	}
	if pay.Held && pay.State == StatePending {
		return p.promise(ctx, holder, leased, in)
	}
	defer p.drop(pay.ID)
	if pay.Held {
		return p.settle(ctx, capturing(holder), leased, in)
	}
	return p.settle(ctx, charging(m), leased, in)
}

// spent answers a credential whose instrument is held by another payment. Only
// while that payment is in doubt, for the very same request, is it the payer's
// own unanswered purchase: then it must not pay again.
func (p *Processor) spent(ctx context.Context, pay Payment) error {
	other, err := p.cfg.Store.ByInstrument(ctx, pay.Instrument)
	if err != nil {
		return &Error{Kind: KindInternal, Detail: "the payment could not be read; nothing was charged", RetryAfter: 5 * time.Second, Err: err}
	}
	// Recovery holds a lease while it asks; that does not make the outcome known.
	doubt := other.Owner == "" || other.Attempts > 1 || !p.Now().Before(other.LeaseUntil)
	unsettled := other.State == StatePending || other.State == StateAuthorized
	if unsettled && !doubt && other.Scope == pay.Scope {
		return &Error{Kind: KindInProgress, Detail: "an earlier payment with this token is being settled; do not pay again", RetryAfter: time.Second}
	}
	if unsettled && doubt && other.Scope == pay.Scope {
		return &Error{Kind: KindPending, Detail: "an earlier payment with this token has no known outcome yet; do not pay again", RetryAfter: 5 * time.Second}
	}
	return Refuse(KindVerificationFailed, "this payment token has been used")
}

// lease makes this process the owner of the payment. Whoever held it before is
// fenced: its next write meets another revision.
func (p *Processor) lease(ctx context.Context, pay Payment) (Payment, error) {
	next := pay
	next.Revision, next.Epoch, next.Attempts = pay.Revision+1, pay.Epoch+1, pay.Attempts+1
	next.Owner, next.LeaseUntil, next.UpdatedAt = p.cfg.Owner, p.Now().Add(leaseTime), p.Now()
	if err := p.cfg.Store.Update(ctx, next, nil, nil); err != nil {
		return Payment{}, fmt.Errorf("lease %s: %w", pay.ID, err)
	}
	return next, nil
}

// update stores next and retries what may pass: money has moved, and the books
// must follow. When the change was made already it returns what is stored now.
func (p *Processor) update(ctx context.Context, pay, next Payment, entries []Entry, event string) (Payment, error) {
	var events []Event
	if event != "" {
		events = []Event{{ID: eventID(next, event), Payment: next.ID, Type: event, At: next.UpdatedAt}}
	}
	wait := p.cfg.Backoff / 10
	for {
		err := p.cfg.Store.Update(ctx, next, entries, events)
		switch {
		case err == nil:
			return next, nil
		case errors.Is(err, ErrConflict):
			stored, gerr := p.cfg.Store.Get(ctx, pay.ID)
			if gerr != nil {
				return Payment{}, fmt.Errorf("update %s: %w", pay.ID, errors.Join(err, gerr))
			}
			if stored.Revision < next.Revision {
				return Payment{}, fmt.Errorf("update %s to %s/%s: %w", pay.ID, next.State, next.Delivery, err)
			}
			if at(stored) == at(next) && stored.Disputed == next.Disputed {
				return stored, nil
			}
			if at(stored) != at(pay) || stored.Epoch != pay.Epoch {
				return Payment{}, fmt.Errorf("update %s to %s/%s: %w", pay.ID, next.State, next.Delivery, err)
			}
			// Only a lease was renewed or a dispute flagged, under the same epoch:
			// the change still holds, and must not be lost to that.
			next = rebase(pay, stored, next)
			continue
		case errors.Is(err, ErrState):
			return Payment{}, fmt.Errorf("update %s: %w", pay.ID, err)
		}
		if !p.pause(ctx, wait) {
			return Payment{}, fmt.Errorf("update %s: %w", pay.ID, err)
		}
		wait = min(2*wait, time.Second)
	}
}

// eventID is stable for one change of one payment; some changes may happen twice.
func eventID(p Payment, event string) string {
	return fmt.Sprintf("evt_%s_%s_%d", strings.TrimPrefix(p.ID, "pay_"), strings.TrimPrefix(event, "payment."), p.Revision)
}

// rebase makes the change from pay to next once more, on what is stored now.
func rebase(pay, stored, next Payment) Payment {
	next.Revision = stored.Revision + 1
	if next.Disputed == pay.Disputed {
		next.Disputed = stored.Disputed
	}
	if next.LeaseUntil.Equal(pay.LeaseUntil) {
		next.LeaseUntil = stored.LeaseUntil
	}
	return next
}

func orString(s, d string) string {
	if s == "" {
		return d
	}
	return s
}
