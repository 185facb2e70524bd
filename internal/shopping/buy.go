package shopping

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"paywall/money"
	"paywall/wallet"
)

// Purse makes proofs under a spending policy ([wallet.Transport]).
type Purse interface {
	Spend(ctx context.Context, p wallet.Purchase) (wallet.Proof, func(context.Context) error, error)
}

// Errors of buying; test with [errors.Is].
var (
	// ErrNotReady says that the checkout wants something else before it can be paid.
	ErrNotReady = errors.New("the checkout cannot be paid yet")
	// ErrNoWay says that the shop takes nothing that this side can pay with.
	ErrNoWay = errors.New("the shop takes no payment that this wallet makes")
	// ErrDeclined says that the payment was declined; nothing was bought.
	ErrDeclined = errors.New("the payment was declined")
	// ErrEscalated says that a person has to act at the checkout's page.
	ErrEscalated = errors.New("a person has to act")
	// ErrPending says that it is not known yet whether the payment was taken.
	ErrPending = errors.New("the payment is still being made")
)

// handlerName is the handler whose tokens the wallet makes.
const handlerName = "com.stripe.payments"

// Pay pays a checkout with a token of the wallet, and waits until it is known what came
// of it. co is as it was answered last: what it shows is what is paid, or nothing.
func (c *Client) Pay(ctx context.Context, s Shop, co Checkout, p Purse, why string) (Checkout, error) {
	if co.Status != "ready_for_complete" {
		return co, fmt.Errorf("it is %s: %w", co.Status, ErrNotReady)
	}
	total, err := co.amount()
	if err != nil {
		return co, err
	}
	// The key follows from the checkout, so that a second try of this process, or of
	// another, is the same call.
	key := co.ID + "-complete"
	if total.IsZero() {
		done, err := c.Complete(ctx, s, co.ID, key)
		return c.outcome(ctx, s, co, done, err)
	}
	h, ok := tokens(co)
	if !ok {
		return co, ErrNoWay
	}
	network := h.Text("network_id")
	if network == "" {
		network = h.Text("business_profile")
	}
	host := s.Origin
	if u, err := url.Parse(s.Origin); err == nil {
		host = u.Hostname()
	}
	proof, forget, err := p.Spend(wallet.WithPurpose(ctx, why), wallet.Purchase{
		Request: wallet.Request{Amount: total, NetworkID: network, Host: host, Description: summary(co)}, URL: s.Origin, Method: "stripe",
	})
	if err != nil {
		return co, err //nolint:wrapcheck // those of package wallet decide the exit code
	}
	var payload struct {
		SPT string `json:"spt"`
	}
	if err := json.Unmarshal(proof.Payload, &payload); err != nil || payload.SPT == "" {
		return co, errors.Join(ErrNoWay, forget(ctx))
	}
	done, err := c.Complete(ctx, s, co.ID, key+"-"+payloadKey(payload.SPT), Instrument{
		ID: "pi_1", HandlerID: h.ID, Type: "link", Credential: map[string]string{"type": "stripe_payment_token", "token": payload.SPT},
	})
	done, err = c.outcome(ctx, s, co, done, err)
	if errors.Is(err, ErrDeclined) || errors.Is(err, ErrRefused) || errors.Is(err, ErrNotReady) {
		err = errors.Join(err, forget(ctx))
	}
	return done, err
}

// outcome says what a completion has come to, and waits while it is not known.
func (c *Client) outcome(ctx context.Context, s Shop, before, co Checkout, err error) (Checkout, error) {
	if err != nil && !errors.Is(err, ErrUnclear) {
		return before, err
	}
	for n := 0; err != nil || co.Status == "complete_in_progress"; n++ {
		if n == patience {
			return before, fmt.Errorf("checkout %s: %w", before.ID, ErrPending)
		}
		timer := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			timer.Stop()
			return before, fmt.Errorf("checkout %s: %w", before.ID, ErrPending)
		case <-timer.C:
		}
		co, err = c.Get(ctx, s, before.ID)
		if err != nil && !errors.Is(err, ErrUnclear) {
			return before, fmt.Errorf("checkout %s: %w: %w", before.ID, ErrPending, err)
		}
	}
	switch co.Status {
	case "completed":
		return co, nil
	case "requires_escalation":
		return co, fmt.Errorf("%s: %w", said(co, "at "+co.ContinueURL), ErrEscalated)
	case "canceled":
		return co, fmt.Errorf("it was canceled: %w", ErrNotReady)
	}
	if m, failed := failure(co); failed {
		return co, fmt.Errorf("%s: %w", m.Content, ErrDeclined)
	}
	return co, fmt.Errorf("%s: %w", said(co, "it has changed"), ErrNotReady)
}

// patience is how many seconds a payment in doubt is waited for.
const patience = 60

func said(c Checkout, otherwise string) string {
	for _, m := range c.Messages {
		if m.Type != "info" {
			return m.Content
		}
	}
	return otherwise
}

func failure(c Checkout) (Message, bool) {
	for _, m := range c.Messages {
		if m.Code == "payment_failed" {
			return m, true
		}
	}
	return Message{}, false
}

func (c Checkout) amount() (money.Amount, error) {
	units, ok := c.Total()
	scale, known := money.Exponent(c.Currency)
	if !ok || !known || units < 0 {
		return money.Amount{}, fmt.Errorf("the checkout has no total that can be paid: %w", ErrShop)
	}
	a, err := money.New(units, c.Currency, scale)
	if err != nil {
		return money.Amount{}, fmt.Errorf("the checkout's total: %w", err)
	}
	return a, nil
}

// Amount is the total, for people; empty when there is none.
func (c Checkout) Amount() string {
	a, err := c.amount()
	if err != nil {
		return ""
	}
	return a.String()
}

// Price is an amount of a currency, for people.
func Price(units int64, currency string) string {
	scale, known := money.Exponent(currency)
	a, err := money.New(units, currency, scale)
	if !known || err != nil {
		return strconv.FormatInt(units, 10) + " of " + currency
	}
	return a.String()
}

// tokens is the handler of the checkout that takes tokens of a Link wallet.
func tokens(c Checkout) (Handler, bool) {
	for _, h := range c.UCP.Handlers[handlerName] {
		if h.Takes("link") {
			return h, true
		}
	}
	return Handler{}, false
}

// summary names what is bought, for the person who approves.
func summary(c Checkout) string {
	names := make([]string, len(c.LineItems))
	for i, l := range c.LineItems {
		names[i] = l.Item.Title
		if q := string(l.Quantity); q != "1" && q != "" {
			names[i] = q + " × " + names[i]
		}
	}
	return strings.Join(names, ", ")
}

// payloadKey names a token in an idempotency key without telling it.
func payloadKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:8])
}
