package stripe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"paywall/money"
	"paywall/payment"
)

// DefaultLedgerSetting is where a [Deliverer] keeps how far it has come.
const DefaultLedgerSetting = "stripe.transfers"

const (
	deliverBatch = 200
	// maxUnsettled bounds the transfers that wait or are given up. With more of them
	// something is wrong with the account, and delivery stops where it is.
	maxUnsettled = 500
	// settledEvent is the fact that is delivered.
	settledEvent = "payment.settled"
)

// Errors of a [Deliverer]; test with [errors.Is].
var (
	// ErrLedger: what is stored of the delivery cannot be read.
	ErrLedger = errors.New("the state of transfers cannot be read")
	// ErrDelivery: the processor cannot be asked now; nothing is lost.
	ErrDelivery = errors.New("transfers cannot be entered now")
	// ErrBacklog: too many transfers wait for a person, or for the chain.
	ErrBacklog = errors.New("too many transfers are not entered; see to them first")
)

// Outbox is what a [Deliverer] needs of a [payment.Store].
type Outbox interface {
	Events(ctx context.Context, after int64, limit int) ([]payment.PositionedEvent, error)
	Get(ctx context.Context, id string) (payment.Payment, error)
	Setting(ctx context.Context, name string) (string, error)
	SetSetting(ctx context.Context, name, value string) error
}

// DelivererConfig is what a [Deliverer] is made of. Store, Recorder and Methods are
// required.
type DelivererConfig struct {
	Store    Outbox
	Recorder *Recorder
	// Methods are the names of the rails that are paid to an address of [Deposits]. A
	// rail that is to be paid elsewhere for a while wants another name.
	Methods []string
	// Setting is the name under which the state is kept; empty is [DefaultLedgerSetting].
	Setting string
	// Patience is for how long a transfer that the processor does not see is tried
	// again before it is given up; zero is three days.
	Patience time.Duration
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
	// Logger is told of what a person must see to; nil is nobody.
	Logger *slog.Logger
}

// A Deliverer enters the settled payments of other rails in the processor's books,
// in their order, until they hold. What is less than a cent is carried over to the
// next payment on the network, whose transaction then stands for both.
//
// A payment that was entered just before a crash is entered again under the same
// key and with the same words, which the processor takes for one. One Deliverer at
// a time should run on a store: two do no harm, but may undo what a person told the
// other.
type Deliverer struct {
	cfg  DelivererConfig
	turn chan struct{} // one changes the state at a time
}

// NewDeliverer checks the configuration. Nothing is read; call [Deliverer.Begin].
func NewDeliverer(cfg DelivererConfig) (*Deliverer, error) {
	cfg.Setting = or(cfg.Setting, DefaultLedgerSetting)
	if cfg.Patience == 0 {
		cfg.Patience = 72 * time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Methods = slices.Clone(cfg.Methods)
	switch {
	case cfg.Store == nil:
		return nil, errors.New("stripe: DelivererConfig.Store: it is required")
	case cfg.Recorder == nil:
		return nil, errors.New("stripe: DelivererConfig.Recorder: it is required")
	case len(cfg.Methods) == 0, slices.Contains(cfg.Methods, ""), slices.Contains(cfg.Methods, Name):
		return nil, fmt.Errorf("stripe: DelivererConfig.Methods: want the names of rails that are not %q", Name)
	case cfg.Patience < 0:
		return nil, errors.New("stripe: DelivererConfig.Patience: it is negative")
	}
	return &Deliverer{cfg: cfg, turn: make(chan struct{}, 1)}, nil
}

// Begin sets the beginning of the delivery, once for ever: what a store has settled
// before went to other addresses. Call it before the first offer is made.
func (d *Deliverer) Begin(ctx context.Context) error {
	return d.change(ctx, func(l *ledger, fresh bool) error {
		for fresh {
			events, err := d.cfg.Store.Events(ctx, l.Position, deliverBatch)
			if err != nil {
				return fmt.Errorf("read the outbox: %w", err)
			}
			if len(events) == 0 {
				break
			}
			l.Position = events[len(events)-1].Position
		}
		return nil
	})
}

// Deliver enters what there is to enter and returns how much that was. It stops at
// the first payment that cannot be tried now, with [ErrDelivery] and the cause.
func (d *Deliverer) Deliver(ctx context.Context) (recorded int, err error) {
	err = d.change(ctx, func(l *ledger, _ bool) error {
		if err := d.retry(ctx, l, &recorded); err != nil {
			return err
		}
		for {
			events, err := d.cfg.Store.Events(ctx, l.Position, deliverBatch)
			if err != nil {
				return fmt.Errorf("read the outbox: %w", err)
			}
			if len(events) == 0 {
				return nil
			}
			for _, e := range events {
				if err := d.event(ctx, l, e, &recorded); err != nil {
					return err
				}
			}
		}
	})
	return recorded, err
}

// change runs f on the state and stores what it left, whether or not it failed: f
// changes it only by whole steps.
func (d *Deliverer) change(ctx context.Context, f func(l *ledger, fresh bool) error) error {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return fmt.Errorf("transfers: %w", ctx.Err())
	}
	stored, err := d.cfg.Store.Setting(ctx, d.cfg.Setting)
	if err != nil {
		return fmt.Errorf("transfers: %w", err)
	}
	l := ledger{Carry: map[string]int64{}}
	if stored != "" {
		if l, err = parseLedger(stored); err != nil {
			return fmt.Errorf("setting %s: %w", d.cfg.Setting, err)
		}
	}
	err = f(&l, stored == "")
	if l.String() == stored {
		return err
	}
	return errors.Join(err, d.store(ctx, l))
}

// store keeps the state. What was entered has happened, so that it does not end with
// the caller's context.
func (d *Deliverer) store(ctx context.Context, l ledger) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := d.cfg.Store.SetSetting(ctx, d.cfg.Setting, l.String()); err != nil {
		return fmt.Errorf("keep the state of transfers: %w", err)
	}
	return nil
}

// event deals with one event. The state is as before when it returns an error.
func (d *Deliverer) event(ctx context.Context, l *ledger, e payment.PositionedEvent, recorded *int) error {
	if e.Type != settledEvent {
		l.Position = e.Position
		return nil
	}
	p, err := d.cfg.Store.Get(ctx, e.Payment)
	if err != nil {
		return fmt.Errorf("read a settled payment: %w", err)
	}
	if !slices.Contains(d.cfg.Methods, p.Method) {
		l.Position = e.Position
		return nil
	}
	if len(l.Waiting)+len(l.Dead) >= maxUnsettled {
		return ErrBacklog
	}
	now := d.cfg.Now().UTC().Truncate(time.Millisecond)
	one := entry{Payment: p.ID, Transaction: p.Reference, At: p.SettledAt.UTC(), Since: now, Next: now}
	network, err := d.cfg.Recorder.cfg.Rail.network(p.Network)
	one.Network = or(network, p.Network)
	cents, carry, counted := l.add(one.Network, p.Amount)
	one.Cents = cents
	switch {
	case err != nil:
		d.give(ctx, l, one, "network_unusable")
	case !counted:
		d.give(ctx, l, one, "amount_unusable")
	case cents == 0:
		l.Carry[network] = carry
	default:
		if err := d.enter(ctx, l, one, recorded); err != nil {
			return err
		}
		l.Carry[network] = carry
		l.Position = e.Position
		// The processor's word is kept at once: it is what the next amount stands on.
		return d.store(ctx, *l)
	}
	l.Position = e.Position
	return nil
}

// retry goes through the transfers that the processor did not see.
func (d *Deliverer) retry(ctx context.Context, l *ledger, recorded *int) error {
	now := d.cfg.Now()
	for _, one := range slices.Clone(l.Waiting) {
		if now.Before(one.Next) {
			continue
		}
		rest, _, err := take(l.Waiting, one.Payment)
		if err != nil {
			return err
		}
		next := *l
		next.Waiting = rest
		if err := d.enter(ctx, &next, one, recorded); err != nil {
			return err
		}
		*l = next
	}
	return nil
}

// enter makes one attempt at a transfer and puts it where it belongs by the answer.
// An error means that the attempt does not count.
func (d *Deliverer) enter(ctx context.Context, l *ledger, one entry, recorded *int) error {
	t, err := one.transfer()
	if err != nil {
		return err
	}
	out := d.cfg.Recorder.Record(ctx, t)
	switch {
	case out.Class == payment.OutcomeSucceeded:
		*recorded++
		d.cfg.Logger.DebugContext(ctx, "transfer entered", "payment", one.Payment, "reference", out.Reference, "amount", out.Amount.String())
	case out.Class == payment.OutcomeDeclined, out.Class == payment.OutcomeMismatch:
		d.give(ctx, l, one, out.Reason)
	case out.Reason != reasonUnverified && out.Reference == "":
		// Not the transfer's own trouble: the others would meet it too.
		if out.Fatal {
			d.cfg.Logger.ErrorContext(ctx, "the processor refuses transfers of stablecoins; they wait", "payment", one.Payment, "reason", out.Reason, "err", out.Err)
		}
		return &deliveryError{reason: out.Reason, after: out.RetryAfter, err: out.Err}
	case d.cfg.Now().Sub(one.Since) >= d.cfg.Patience:
		d.give(ctx, l, one, out.Reason)
	default:
		one.Reason, one.Tries = out.Reason, one.Tries+1
		one.Next = d.cfg.Now().UTC().Truncate(time.Millisecond).Add(transferBackoff(one.Tries))
		l.Waiting = append(slices.Clone(l.Waiting), one)
	}
	return nil
}

// give puts a transfer aside for a person. Its cents stay with it.
func (d *Deliverer) give(ctx context.Context, l *ledger, one entry, reason string) {
	one.Reason, one.Tries = reason, one.Tries+1
	l.Dead = append(slices.Clone(l.Dead), one)
	d.cfg.Logger.ErrorContext(ctx, "a transfer is not entered in the processor's books and waits for a person",
		"payment", one.Payment, "network", one.Network, "transaction", one.Transaction, "cents", one.Cents, "reason", reason)
}

// transferBackoff is how long a transfer is left alone after its nth attempt: two
// seconds, about a block, doubling to an hour.
func transferBackoff(tries int) time.Duration {
	return min(time.Second<<min(tries, 12), time.Hour)
}

// deliveryError says why a pass ended early.
type deliveryError struct {
	reason string
	after  time.Duration
	err    error
}

func (e *deliveryError) Error() string {
	if e.err == nil {
		return ErrDelivery.Error() + ": " + e.reason
	}
	return fmt.Sprintf("%s: %s: %s", ErrDelivery, e.reason, e.err)
}

func (e *deliveryError) Unwrap() []error {
	if e.err == nil {
		return []error{ErrDelivery}
	}
	return []error{ErrDelivery, e.err}
}

const maxDeliveryRest = 5 * time.Minute

// Run delivers until ctx ends. every is the time between two passes; zero is two
// seconds. After a failure it rests longer each time, to five minutes.
func (d *Deliverer) Run(ctx context.Context, every time.Duration) {
	every = cmp.Or(every, 2*time.Second)
	rest := every
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		_, err := d.Deliver(ctx)
		wait := every
		if err != nil && ctx.Err() == nil {
			rest = min(2*rest, max(every, maxDeliveryRest))
			wait = rest
			if late, ok := errors.AsType[*deliveryError](err); ok {
				wait = min(max(rest, late.after), max(every, maxDeliveryRest))
			}
			d.cfg.Logger.WarnContext(ctx, "transfers of stablecoins are not delivered", "err", err, "again_in", wait)
		} else {
			rest = every
		}
		timer.Reset(wait)
	}
}

// An Unrecorded is a settled payment that is not in the processor's books.
type Unrecorded struct {
	PaymentID, Network, Transaction string
	// Amount is what is to be entered for it, with what was carried over to it.
	Amount money.Amount
	Reason string
	Since  time.Time
	Tries  int
}

// Transfers are how far the delivery has come.
type Transfers struct {
	// Position is that of the last event that was dealt with.
	Position int64
	// Carry is by network what has come in and makes no whole cent yet.
	Carry map[string]money.Amount
	// Waiting are tried again, Dead are not until a person says so.
	Waiting, Dead []Unrecorded
}

// Transfers reads how far the delivery has come.
func (d *Deliverer) Transfers(ctx context.Context) (Transfers, error) {
	var out Transfers
	err := d.change(ctx, func(l *ledger, _ bool) error {
		out = Transfers{Position: l.Position, Carry: map[string]money.Amount{}}
		for network, units := range l.Carry {
			a, err := money.New(units, "USDC", coinScale)
			if err != nil {
				return fmt.Errorf("carry: %w", err)
			}
			out.Carry[network] = a
		}
		var err error
		if out.Waiting, err = unrecorded(l.Waiting); err != nil {
			return err
		}
		out.Dead, err = unrecorded(l.Dead)
		return err
	})
	return out, err
}

func unrecorded(list []entry) ([]Unrecorded, error) {
	out := make([]Unrecorded, 0, len(list))
	for _, e := range list {
		t, err := e.transfer()
		if err != nil {
			return nil, err
		}
		out = append(out, Unrecorded{
			PaymentID: e.Payment, Network: e.Network, Transaction: e.Transaction, Amount: t.Amount, Reason: e.Reason, Since: e.Since, Tries: e.Tries,
		})
	}
	return out, nil
}

// Retry has the dead transfer of a payment tried again, as long as a new one. It
// returns [payment.ErrNotFound] when it is not among the dead.
func (d *Deliverer) Retry(ctx context.Context, paymentID string) error {
	return d.change(ctx, func(l *ledger, _ bool) error {
		rest, one, err := take(l.Dead, paymentID)
		if err != nil {
			return err
		}
		now := d.cfg.Now().UTC().Truncate(time.Millisecond)
		one.Since, one.Next, one.Tries = now, now, 0
		l.Dead, l.Waiting = rest, append(slices.Clone(l.Waiting), one)
		return nil
	})
}

// Dismiss forgets the dead transfer of a payment, which a person has entered by hand.
// It returns [payment.ErrNotFound] when it is not among the dead.
func (d *Deliverer) Dismiss(ctx context.Context, paymentID string) error {
	return d.change(ctx, func(l *ledger, _ bool) error {
		rest, one, err := take(l.Dead, paymentID)
		if err != nil {
			return err
		}
		l.Dead = rest
		d.cfg.Logger.InfoContext(ctx, "a transfer was dismissed by a person", "payment", one.Payment, "transaction", one.Transaction, "cents", one.Cents)
		return nil
	})
}
