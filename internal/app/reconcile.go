package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"paywall/methods/stripe"
	"paywall/payment"
)

// reconciliation is the books held against the processor's.
type reconciliation struct {
	Since time.Time `json:"since"`
	// Account is the connected account that was walked; empty is the seller's own.
	Account string `json:"account,omitempty"`
	// Charges are those of ours that the processor listed, Payments those of the
	// store that were looked for among them.
	Charges  int `json:"charges"`
	Payments int `json:"payments"`
	// Elsewhere are payments on accounts that were not walked.
	Elsewhere int `json:"elsewhere"`
	// Resolved are payments in doubt that the processor's word has decided.
	Resolved []string `json:"resolved"`
	Drift    []drift  `json:"drift"`
}

// drift is one difference, with what a person may do about it: reconciliation
// moves no money.
type drift struct {
	Kind string `json:"kind"`
	// Payment is the id in the charge's metadata.
	Payment   string        `json:"payment"`
	Reference string        `json:"reference,omitempty"`
	State     payment.State `json:"state,omitempty"`
	// Amount is the processor's, Recorded the store's.
	Amount   string `json:"amount,omitempty"`
	Recorded string `json:"recorded,omitempty"`
	Do       string `json:"do"`
}

// Kinds of drift.
const (
	driftOrphan  = "orphan_charge"  // charged, and not in the store
	driftSecond  = "second_charge"  // a charge besides the one that settled the payment
	driftAmount  = "amount_differs" // another amount than was recorded
	driftClosed  = "charged_closed" // charged, though recorded as failed or voided
	driftReview  = "charged_review" // charged, and waits for a person
	driftNothing = "not_charged"    // recorded as settled, and the processor says no
	driftMissing = "charge_missing" // recorded as settled, and the processor lists no charge
	driftKept    = "not_refunded"   // recorded as refunded, and the money is not with the payer
	driftRefused = "not_resolved"   // charged and in doubt here, and its charge does not fit it
)

// advice is what to do about each kind.
var advice = map[string]string{
	driftOrphan:  "look for it in copies of the store and in other paywalls on this account; if nobody has it, refund it at the processor",
	driftSecond:  "refund this charge at the processor; the payment keeps its own",
	driftAmount:  "pause settlement, and compare the two at the processor before anything else",
	driftClosed:  "its payer was told that it failed: refund it at the processor",
	driftReview:  "decide: see it with paywall payments show, and refund it at the processor if it was not delivered",
	driftNothing: "pause settlement, and see at the processor what became of the charge",
	driftMissing: "look the reference up at the processor: is the key of another account or mode?",
	driftKept:    "see at the processor why the refund failed, and return the money to its payer another way",
	driftRefused: "compare its metadata and amount at the processor with paywall payments show",
}

// clockSlack is by how much the processor's clock may be behind ours.
const clockSlack = 5 * time.Minute

// reconciler compares one account of the processor with the store.
type reconciler struct {
	rail      *stripe.Method
	account   string
	store     payment.Store
	processor *payment.Processor

	busy sync.Mutex // held by the one that runs
}

var (
	errReconciling = errors.New("a reconciliation is under way")
	errAsk         = errors.New("the processor could not be asked")
)

// run compares everything since a time. Only one runs at a time, as each reads
// the processor's whole list.
func (c *reconciler) run(ctx context.Context, since time.Time) (reconciliation, error) {
	if !c.busy.TryLock() {
		return reconciliation{}, errReconciling
	}
	defer c.busy.Unlock()
	rec := reconciliation{Since: since.UTC(), Account: c.account, Resolved: []string{}, Drift: []drift{}}
	// What is settled from now on may be missing in the list that is read next.
	until := c.processor.Now()
	seen := map[string]bool{}
	for charge, err := range c.rail.Charges(ctx, c.account, since.Add(-clockSlack)) {
		if err != nil {
			return reconciliation{}, err //nolint:wrapcheck // it says what it did
		}
		rec.Charges++
		if err := c.compare(ctx, charge, seen, &rec); err != nil {
			return reconciliation{}, err
		}
	}
	return rec, c.missing(ctx, since, until, seen, &rec)
}

// compare holds one charge against its payment.
func (c *reconciler) compare(ctx context.Context, charge stripe.Charge, seen map[string]bool, rec *reconciliation) error {
	pay, err := c.store.Get(ctx, charge.PaymentID)
	found := func(kind string) {
		d := drift{Kind: kind, Payment: charge.PaymentID, Reference: charge.Reference, State: pay.State, Amount: charge.Amount.String(), Do: advice[kind]}
		if pay.ID != "" {
			d.Recorded = pay.Amount.String()
		}
		rec.Drift = append(rec.Drift, d)
	}
	if errors.Is(err, payment.ErrNotFound) {
		if charge.Outcome != payment.OutcomeDeclined {
			found(driftOrphan)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	own := pay.Reference == charge.Reference
	if own {
		seen[pay.ID] = true
	}
	charged := charge.Outcome == payment.OutcomeSucceeded
	settled := !pay.SettledAt.IsZero()
	switch {
	case settled && own && !charged:
		found(driftNothing)
	case settled && own && charge.Amount != pay.Amount:
		found(driftAmount)
	case settled && !own && charged:
		found(driftSecond)
	case settled, !charged:
		// As it should be, or nothing was taken.
	case pay.State == payment.StatePending:
		return c.resolve(ctx, pay, charge, rec, found)
	case pay.State == payment.StateReview:
		found(driftReview)
	default:
		found(driftClosed)
	}
	return nil
}

// resolve hands the processor's word on a payment in doubt to the core, after
// asking for the charge itself: a list proves less.
func (c *reconciler) resolve(ctx context.Context, pay payment.Payment, charge stripe.Charge, rec *reconciliation, found func(string)) error {
	out := c.rail.Reread(ctx, stripe.Event{Concern: stripe.ConcernCharge, Account: pay.Account, Reference: charge.Reference, PaymentID: pay.ID}, pay)
	switch out.Class {
	case payment.OutcomeSucceeded:
	case payment.OutcomeUnknown, payment.OutcomeNotNow:
		return errors.Join(errAsk, out.Err)
	default:
		found(driftRefused)
		return nil
	}
	moved, err := c.processor.Resolve(ctx, pay.ID, out)
	switch {
	case errors.Is(err, payment.ErrConflict), err == nil && !moved:
		// Whoever waits for the payment has found out at the same moment.
		return nil
	case errors.Is(err, payment.ErrState):
		found(driftRefused)
		return nil
	case err != nil:
		return fmt.Errorf("resolve %s: %w", pay.ID, err)
	}
	rec.Resolved = append(rec.Resolved, pay.ID)
	return nil
}

// missing finds settled payments for which the processor has listed no charge.
func (c *reconciler) missing(ctx context.Context, since, until time.Time, seen map[string]bool, rec *reconciliation) error {
	after := ""
	for {
		page, err := c.store.List(ctx, payment.Filter{}, after, 500)
		if err != nil {
			return fmt.Errorf("read the store: %w", err)
		}
		for _, pay := range page {
			after = pay.ID
			switch {
			case pay.CreatedAt.Before(since):
				return nil // newest first: the rest is older
			case pay.Method != stripe.Name, pay.SettledAt.IsZero(), !pay.SettledAt.Before(until):
			case pay.Account != c.account:
				rec.Elsewhere++
			default:
				rec.Payments++
				if err := c.settled(ctx, pay, seen[pay.ID], rec); err != nil {
					return err
				}
			}
		}
		if len(page) < 500 {
			return nil
		}
	}
}

// settled holds a settled payment against what was listed. Whether a refund is
// still one is asked one by one: there are few, and they may fail days later.
func (c *reconciler) settled(ctx context.Context, pay payment.Payment, listed bool, rec *reconciliation) error {
	d := drift{Payment: pay.ID, Reference: pay.Reference, State: pay.State, Recorded: pay.Amount.String()}
	switch {
	case !listed:
		d.Kind = driftMissing
	case pay.State == payment.StateRefunded:
		out := c.rail.Reread(ctx, stripe.Event{Concern: stripe.ConcernRefund, Account: pay.Account, Reference: pay.Reference, PaymentID: pay.ID}, pay)
		switch out.Class {
		case payment.OutcomeSucceeded:
			return nil
		case payment.OutcomeUnknown, payment.OutcomeNotNow:
			return errors.Join(errAsk, out.Err)
		default:
			d.Kind = driftKept
		}
	default:
		return nil
	}
	d.Do = advice[d.Kind]
	rec.Drift = append(rec.Drift, d)
	return nil
}

// Bounds of how far back a reconciliation looks.
const (
	sinceDefault = 48 * time.Hour
	sinceMost    = 90 * 24 * time.Hour
)

// reconcileFor is how long one may take: less than the command waits for an
// answer, so that it is told why there is none.
const reconcileFor = 50 * time.Second

type sinceBody struct {
	Since string `json:"since"`
}

// reconcile answers POST /admin/reconcile.
func (o *operator) reconcile(w http.ResponseWriter, r *http.Request) {
	if o.reconciler == nil {
		writeProblem(w, http.StatusNotFound, "No processor is configured whose charges could be compared.")
		return
	}
	back := sinceDefault
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<10))
	if err == nil && len(body) > 0 {
		var in sinceBody
		if err = json.Unmarshal(body, &in); err == nil {
			back, err = time.ParseDuration(in.Since)
		}
	}
	if err != nil || back < time.Minute || back > sinceMost {
		writeProblem(w, http.StatusBadRequest, `Send {"since":"48h"}, from 1m to 2160h, or nothing.`)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), reconcileFor)
	defer cancel()
	rec, err := o.reconciler.run(ctx, o.now().Add(-back))
	switch {
	case errors.Is(err, errReconciling):
		writeProblem(w, http.StatusConflict, "A reconciliation is under way.")
	case err != nil:
		o.logger.WarnContext(r.Context(), "reconciliation not finished", "err", err)
		writeProblem(w, http.StatusServiceUnavailable, "The store or the processor did not answer in time; the comparison is not complete. It takes less time over a shorter one.")
	default:
		if len(rec.Drift) > 0 {
			o.logger.ErrorContext(r.Context(), "the books differ from the processor's", "drift", len(rec.Drift))
		}
		writeJSON(w, rec)
	}
}

type reconcileCmd struct {
	configured

	Since time.Duration `help:"How far back." default:"48h"`
	JSON  bool          `help:"Print JSON."`
}

// Run compares through the running server; a difference is exit code 1.
func (c *reconcileCmd) Run(ctx context.Context, p *Process) error {
	if c.Since < time.Minute || c.Since > sinceMost {
		return exitWith(exitUsage, fmt.Errorf("--since must be 1m to %s", sinceMost))
	}
	var rec reconciliation
	if err := c.admin(ctx, p, http.MethodPost, "/admin/reconcile", sinceBody{c.Since.String()}, &rec); err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	var err error
	if c.JSON {
		err = printJSON(p, rec)
	} else {
		err = printReconciliation(p, rec)
	}
	if err == nil && len(rec.Drift) > 0 {
		err = exitWith(exitFailed, fmt.Errorf("%d differences", len(rec.Drift)))
	}
	return err
}

func printReconciliation(p *Process, rec reconciliation) error {
	fmt.Fprintf(p.Stdout, "since %s: %d charges at the processor, %d settled payments in the store\n", rec.Since.Format(time.RFC3339), rec.Charges, rec.Payments)
	if rec.Elsewhere > 0 {
		fmt.Fprintf(p.Stdout, "%d payments on other connected accounts were not compared\n", rec.Elsewhere)
	}
	for _, id := range rec.Resolved {
		fmt.Fprintf(p.Stdout, "resolved %s: it was in doubt and is settled\n", plainText(id))
	}
	if len(rec.Drift) == 0 {
		fmt.Fprintln(p.Stdout, "they agree")
		return nil
	}
	t := newTable(p.Stdout, "difference", "payment", "reference", "state", "charged", "recorded")
	for _, d := range rec.Drift {
		t.row(d.Kind, d.Payment, d.Reference, string(d.State), d.Amount, d.Recorded)
	}
	if err := t.flush(); err != nil {
		return err
	}
	said := map[string]bool{}
	for _, d := range rec.Drift {
		if !said[d.Kind] {
			said[d.Kind] = true
			fmt.Fprintf(p.Stdout, "%s: %s\n", plainText(d.Kind), plainText(d.Do))
		}
	}
	return nil
}
