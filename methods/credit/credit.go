// Package credit is the rail that spends what packs have bought: a request costs less
// than a card can take, so one payment buys credit and each request draws on it.
//
// An account is named by the payment that bought it. Units are kept at three places more
// than the currency has, so that a US cent can be divided by a thousand. Each draw is a
// payment of its own in the core's books, and a row here that is there at most once: what
// was drawn and what was returned can always be told, and never more is drawn than was
// bought.
package credit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"paywall/internal/strictjson"
	"paywall/money"
	"paywall/payment"
)

// Errors of a [Store]; test with [errors.Is].
var (
	// ErrSpent: less is left than was asked for.
	ErrSpent = errors.New("not that much is left")
	// ErrClosed: nothing can be drawn, since the account is frozen or its time is over.
	ErrClosed = errors.New("nothing can be drawn any more")
)

// Account is what a pack has bought. Bought and Spent are in the same unit.
type Account struct {
	ID            string
	Bought, Spent money.Amount
	Frozen        bool
	Opened, Ends  time.Time
}

// Left is what can still be drawn at now.
func (a Account) Left(now time.Time) (money.Amount, error) {
	left := a.Bought.Units() - a.Spent.Units()
	if a.Frozen || !now.Before(a.Ends) {
		left = 0
	}
	return money.New(left, a.Bought.Currency(), a.Bought.Scale()) //nolint:wrapcheck // it says what is wrong
}

// Draw is what one payment takes from an account. Of zero units it is the promise that
// the payment never takes any.
type Draw struct {
	Payment, Account string
	Units            int64
	Returned         bool
}

// Store keeps accounts. Every method is atomic and durable on return. Every
// implementation passes credittest.RunStore.
type Store interface {
	// OpenAccount stores an account, or does nothing when it is there.
	OpenAccount(ctx context.Context, a Account) error
	// Account returns one, or [payment.ErrNotFound].
	Account(ctx context.Context, id string) (Account, error)
	// Accounts lists up to limit, newest first, behind the id after.
	Accounts(ctx context.Context, after string, limit int) ([]Account, error)
	// Draw takes d from its account, unless a draw of the payment is there: that is
	// returned instead, whatever became of it. Errors are [ErrSpent], [ErrClosed],
	// payment.ErrNotFound, or the store's own; then nothing was taken.
	Draw(ctx context.Context, d Draw, now time.Time) (Draw, error)
	// Drawn returns the draw of a payment, or payment.ErrNotFound.
	Drawn(ctx context.Context, paymentID string) (Draw, error)
	// Return gives a draw back to its account, once.
	Return(ctx context.Context, paymentID string) error
	// Freeze ends an account, if there is one.
	Freeze(ctx context.Context, id string) error
}

// Config makes a [Method]. Store is required.
type Config struct {
	Store Store
	Now   func() time.Time
}

// Method implements [payment.Credits].
type Method struct{ cfg Config }

var _ payment.Credits = (*Method)(nil)

// New checks the configuration.
func New(cfg Config) (*Method, error) {
	if cfg.Store == nil {
		return nil, errors.New("credit: Config.Store is required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Method{cfg}, nil
}

// Name implements [payment.Method].
func (*Method) Name() string { return payment.MethodCredit }

// Offer implements [payment.Method]. Prices of up to three places below the
// currency's smallest unit can be drawn.
func (m *Method) Offer(q payment.Quote) (payment.Offer, error) {
	scale, known := payment.CreditScale(q.Amount.Currency())
	if !known || q.Pack || q.Metered {
		return payment.Offer{}, fmt.Errorf("credit pays for no such thing: %w", payment.ErrNotOffered)
	}
	amount, err := q.Amount.Rescale(scale)
	if err != nil {
		return payment.Offer{}, fmt.Errorf("credit is drawn in units of %d places: %w", scale, payment.ErrNotOffered)
	}
	return payment.Offer{Method: payment.MethodCredit, Intent: "charge", Amount: amount, Protocol: Protocol, Quote: q}, nil
}

// Protocol is what credentials of this rail are presented by: the receipt of a pack.
const Protocol = "receipt"

// proof is a credential's payload.
type proof struct {
	Account string `json:"account"`
	Draw    string `json:"draw"`
}

// Draw implements [payment.Credits].
func (*Method) Draw(account, name string) json.RawMessage {
	data, _ := json.Marshal(proof{account, name}) //nolint:errchkjson // two texts
	return data
}

func read(payload json.RawMessage) (p proof, err error) {
	if err = strictjson.Check(payload, strictjson.Limits{}); err == nil {
		err = json.Unmarshal(payload, &p)
	}
	if err != nil || p.Account == "" || p.Draw == "" {
		return proof{}, payment.Refuse(payment.KindInvalidPayload, "the receipt names no credit")
	}
	return p, nil
}

// Inspect implements [payment.Method].
func (*Method) Inspect(c payment.Credential) (payment.Instrument, error) {
	p, err := read(c.Payload)
	if err != nil {
		return payment.Instrument{}, err
	}
	sum := sha256.Sum256([]byte("credit\x00" + p.Account + "\x00" + p.Draw))
	return payment.Instrument{Fingerprint: "credit:" + base64.RawURLEncoding.EncodeToString(sum[:])}, nil
}

// Prepare implements [payment.Method].
func (*Method) Prepare(p payment.Payment, c payment.Credential) (payment.Intent, error) {
	spend, err := read(c.Payload)
	if err != nil {
		return payment.Intent{}, err
	}
	sum := sha256.Sum256([]byte(p.ChallengeID))
	return payment.Intent{Key: "credit-" + base64.RawURLEncoding.EncodeToString(sum[:]), Request: []byte(spend.Account)}, nil
}

// Charge implements [payment.Method].
func (m *Method) Charge(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	d, err := m.cfg.Store.Draw(ctx, Draw{Payment: p.ID, Account: string(in.Request), Units: p.Amount.Units()}, m.cfg.Now())
	switch {
	case errors.Is(err, ErrSpent):
		return payment.Outcome{Class: payment.OutcomeDeclined, Kind: payment.KindPaymentInsufficient, Reason: "credit_spent"}
	case errors.Is(err, ErrClosed), errors.Is(err, payment.ErrNotFound):
		return payment.Outcome{Class: payment.OutcomeDeclined, Kind: payment.KindPaymentRequired, Reason: "credit_closed"}
	case err != nil:
		return payment.Outcome{Class: payment.OutcomeUnknown, Err: err}
	}
	return judged(p, d)
}

// judged is what a draw that is there means for its payment.
func judged(p payment.Payment, d Draw) payment.Outcome {
	if d.Units == 0 {
		return payment.Outcome{Class: payment.OutcomeDeclined, Reason: "credit_void"}
	}
	amount, err := money.New(d.Units, p.Amount.Currency(), p.Amount.Scale())
	if err != nil {
		return payment.Outcome{Class: payment.OutcomeMismatch, Err: err}
	}
	out := payment.Outcome{Class: payment.OutcomeSucceeded, Reference: reference(p), Amount: amount}
	if d.Returned {
		out.Refunded, out.RefundReference = amount, returned(p)
	}
	return out
}

func reference(p payment.Payment) string { return "draw_" + p.ID }
func returned(p payment.Payment) string  { return "return_" + p.ID }

// Lookup implements [payment.Method].
func (m *Method) Lookup(ctx context.Context, p payment.Payment, _ payment.Intent) payment.Outcome {
	d, err := m.cfg.Store.Drawn(ctx, p.ID)
	switch {
	case errors.Is(err, payment.ErrNotFound):
		return payment.Outcome{Class: payment.OutcomeNone}
	case err != nil:
		return payment.Outcome{Class: payment.OutcomeUnknown, Err: err}
	}
	return judged(p, d)
}

// Void implements [payment.Method].
func (m *Method) Void(ctx context.Context, p payment.Payment, in payment.Intent) payment.Outcome {
	d, err := m.cfg.Store.Draw(ctx, Draw{Payment: p.ID, Account: string(in.Request)}, m.cfg.Now())
	switch {
	case err != nil:
		return payment.Outcome{Class: payment.OutcomeUnknown, Err: err}
	case d.Units != 0:
		return payment.Outcome{Class: payment.OutcomeStarted}
	}
	return payment.Outcome{Class: payment.OutcomeVoided}
}

// Refund implements [payment.Method].
func (m *Method) Refund(ctx context.Context, p payment.Payment) payment.Outcome {
	if err := m.cfg.Store.Return(ctx, p.ID); err != nil {
		return payment.Outcome{Class: payment.OutcomeUnknown, Err: err}
	}
	return payment.Outcome{Class: payment.OutcomeSucceeded, Reference: returned(p), Amount: p.Amount}
}

// Open implements [payment.Credits].
func (m *Method) Open(ctx context.Context, pack payment.Payment, ends time.Time) error {
	bought, err := payment.CreditFor(pack.Amount)
	if err != nil {
		return err //nolint:wrapcheck // it names the amount
	}
	spent, err := money.New(0, bought.Currency(), bought.Scale())
	if err != nil {
		return fmt.Errorf("open credit %s: %w", pack.ID, err)
	}
	return m.cfg.Store.OpenAccount(ctx, Account{ID: pack.ID, Bought: bought, Spent: spent, Opened: m.cfg.Now(), Ends: ends}) //nolint:wrapcheck // it names the account
}

// Left implements [payment.Credits].
func (m *Method) Left(ctx context.Context, account string) (money.Amount, error) {
	a, err := m.cfg.Store.Account(ctx, account)
	if err != nil {
		return money.Amount{}, err //nolint:wrapcheck // it names the account
	}
	return a.Left(m.cfg.Now())
}
