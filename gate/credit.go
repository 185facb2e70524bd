package gate

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"paywall/internal/problem"
	"paywall/money"
	"paywall/payment"
)

// creditField says in answers what is left of the credit that was drawn on.
const creditField = "Paywall-Credit"

// A draw that was not served goes back when its window ends, should the process die. The
// window is longer than [payment.Processor] marks every request of in the store.
const drawWindow = 6 * time.Minute

// sale is a pack that was bought with the request.
type sale struct {
	pack    payment.Payment
	dialect payment.Dialect
	token   string
}

// checkCredit checks what a route says of credit.
func (g *Gate) checkCredit(c *route) error {
	if !c.Credit.sold() {
		return nil
	}
	switch {
	case g.cfg.Credits == nil || g.cfg.Receipts == nil:
		return fmt.Errorf("route %s: credit wants Config.Credits and Receipts", c.ID)
	case c.Settle != SettleAuto && c.Settle != SettleBefore:
		return fmt.Errorf("route %s: credit is taken before the request; leave settle out", c.ID)
	case c.Pass != (payment.Pass{}):
		return fmt.Errorf("route %s: its receipt spends credit, and cannot be a pass too", c.ID)
	}
	c.Settle = SettleBefore
	if c.Credit.For == 0 {
		c.Credit.For = CreditFor
	}
	return nil
}

// packOf is what is offered for a quote: itself, or the pack that it is drawn from.
func (g *Gate) packOf(c *route, q payment.Quote) (offered payment.Quote, draw *payment.Offer, err error) {
	if !c.Credit.sold() {
		return q, nil, nil
	}
	if more, err := q.Amount.Cmp(c.Credit.Pack); err != nil || more > 0 {
		return q, nil, fmt.Errorf("route %s: a pack of %s does not pay for one request at %s", c.ID, c.Credit.Pack, q.Amount)
	}
	o, err := g.cfg.Credits.Offer(q)
	if err != nil {
		return q, nil, fmt.Errorf("route %s: %w", c.ID, err)
	}
	offered = q
	offered.Amount, offered.Pack, offered.Hold = c.Credit.Pack, true, false
	offered.Description = PackDescription(c.Credit.Pack, q.Amount, q.Description)
	return offered, &o, nil
}

// PackDescription says to payers what a pack is: of requests at a price for what. A zero
// price is one that depends on the request.
func PackDescription(pack, price money.Amount, what string) string {
	text := "Credit of " + pack.String()
	if price.IsPositive() {
		text += ", for requests at " + price.String()
	}
	if what != "" && len(text)+2+len(what) <= 200 {
		text += ": " + what
	}
	return text
}

// pass is what the receipts of the route open.
func (c *route) pass() payment.Pass {
	if c.Credit.sold() {
		return payment.Pass{Credit: true, For: c.Credit.For}
	}
	return c.Pass
}

// sold opens the account of a pack that is paid, and draws this request from it. Its
// credential stays good for this one request, drawn anew: the answer may have been lost.
// One that the network shows to everybody is not, since it would spend the credit of
// whoever has paid.
func (x *exchange) sold(pack payment.Payment, d payment.Dialect, key string, public bool) {
	name := "first"
	if pack.Delivery == payment.DeliveryDelivered {
		if public {
			x.refuse(&payment.Error{Kind: payment.KindInvalidChallenge, Detail: "This challenge has been used; its credit is spent with the receipt.", PaymentID: pack.ID})
			return
		}
		name = rand.Text()
	}
	token, id, err := x.g.cfg.Receipts.Issue(pack, x.route.pass())
	if err != nil {
		x.refuse(&payment.Error{Kind: payment.KindInvalidChallenge, Detail: "What this payment bought is over.", PaymentID: pack.ID, Err: err})
		return
	}
	if pack.Delivery != payment.DeliveryDelivered {
		if err := x.open(pack, id); err != nil {
			x.refuse(err)
			return
		}
	}
	x.sale = &sale{pack, d, token}
	// From here on the payer is told of its credit, whatever becomes of the request.
	x.w.Header().Set(receiptField, token)
	x.draw(pack.ID, name, key)
}

// open delivers a pack. Whatever fails on the way is tried again with the same
// credential, or paid back when its time is over.
func (x *exchange) open(pack payment.Payment, receipt string) error {
	p := x.g.cfg.Processor
	served, err := p.Dispatch(x.r.Context(), pack, true)
	if err != nil {
		return err //nolint:wrapcheck // *payment.Error, classed at the edge
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), 15*time.Second)
	defer cancel()
	if err = x.g.cfg.Credits.Open(ctx, served, pack.SettledAt.Add(x.route.Credit.For)); err != nil {
		_, lost := p.Undelivered(ctx, served, true, "credit_not_opened")
		err = errors.Join(err, lost)
	} else {
		err = p.Delivered(ctx, served, receipt)
	}
	if err != nil {
		return &payment.Error{
			Kind: payment.KindPending, PaymentID: pack.ID, RetryAfter: 2 * time.Second, Err: err,
			Detail: "the credit is being entered; present the same credential again",
		}
	}
	return nil
}

// spend draws the request of a receipt's bearer. With an idempotency key the same
// request is drawn once; without one each is another.
func (x *exchange) spend(account string) {
	if x.terms.draw == nil {
		x.refuse(&payment.Error{Kind: payment.KindPaymentRequired, Detail: "This request is not paid with credit any more.", PaymentID: account})
		return
	}
	if err := x.closed(); err != nil {
		x.refuse(err)
		return
	}
	key := x.r.Header.Get("Idempotency-Key")
	if key == "" {
		if err := x.enough(account); err != nil {
			x.refuse(err)
			return
		}
		x.draw(account, rand.Text(), "")
		return
	}
	sum := sha256.Sum256([]byte(key))
	name := "key-" + base64.RawURLEncoding.EncodeToString(sum[:])
	key = "credit:" + account + ":" + name + x.scope.Hash()
	if x.repeat(key) {
		return
	}
	flight, first := x.g.flights.join(key)
	if !first {
		x.follow(flight, key)
		return
	}
	defer x.g.flights.land(key, flight)
	if x.repeat(key) {
		return
	}
	if err := x.enough(account); err != nil {
		x.refuse(err)
		return
	}
	x.draw(account, name, key)
}

// enough refuses what can be seen not to be covered before anything is written for it:
// a receipt that is spent costs nobody anything any more.
func (x *exchange) enough(account string) error {
	left, err := x.g.cfg.Credits.Left(x.r.Context(), account)
	switch {
	case errors.Is(err, payment.ErrNotFound):
		return &payment.Error{Kind: payment.KindPaymentRequired, Detail: "The receipt spends no credit that is known here.", PaymentID: account, Err: err}
	case err != nil:
		return &payment.Error{Kind: payment.KindInternal, Detail: "What is left of the credit could not be looked up; nothing was drawn.", RetryAfter: time.Second, Err: err}
	}
	if less, err := left.Cmp(x.terms.draw.Amount); err != nil || less < 0 {
		x.known = true
		return &payment.Error{
			Kind: payment.KindPaymentInsufficient, PaymentID: account,
			Detail: "What is left of the credit, " + left.String() + ", does not pay for this request at " + x.terms.quote.Amount.String() + ". Buy another pack.",
		}
	}
	return nil
}

// draw takes what the request costs from an account and serves it. The answer is kept
// under key, if there is one, for who asks again.
func (x *exchange) draw(account, name, key string) {
	challenge := "credit:" + account + ":" + name
	sum := sha256.Sum256([]byte(challenge))
	x.ev.Protocol = "receipt"
	pay, err := x.g.cfg.Processor.Charge(x.r.Context(), payment.Credential{
		Protocol: "receipt", ChallengeID: challenge, Offer: *x.terms.draw, Scope: x.scope, Payload: x.g.cfg.Credits.Draw(account, name),
		Hash: base64.RawURLEncoding.EncodeToString(sum[:]), Payer: account, Expires: x.now.Add(time.Minute),
	}, payment.Entitlement{Window: drawWindow, Redeliver: x.route.idempotent(x.c.Method)})
	if err != nil {
		x.refuse(err)
		return
	}
	if pay.Delivery == payment.DeliveryDelivered {
		x.refuse(&payment.Error{Kind: payment.KindInvalidChallenge, Detail: "This request was drawn and served before. Spend the credit with the receipt.", PaymentID: pay.ID})
		return
	}
	x.drawn = true
	x.dispatch(pay, nil, key)
}

// statement tells the payer what the request took and what is left, and, of a pack
// that was just bought, everything that its payment deserves.
func (x *exchange) statement(h http.Header, drawn payment.Payment) {
	h.Set(paymentIDField, drawn.ID)
	account := drawn.Payer
	if s := x.sale; s != nil {
		h.Set(receiptField, s.token)
		h.Set(paymentIDField, s.pack.ID)
		if s.dialect != nil {
			if err := s.dialect.Receipt(h, s.pack, s.token); err != nil {
				x.g.cfg.Logger.ErrorContext(x.r.Context(), "receipt header not written", "payment", s.pack.ID, "err", err)
			}
		}
	}
	x.balance(h, account)
}

// balance says what is left, if that can be told.
func (x *exchange) balance(h http.Header, account string) {
	left, err := x.g.cfg.Credits.Left(x.r.Context(), account)
	if err != nil {
		x.g.cfg.Logger.InfoContext(x.r.Context(), "balance not read", "account", account, "err", err)
		return
	}
	h.Set(creditField, "left=\""+left.Decimal()+"\", currency="+left.Currency()+", took=\""+x.terms.draw.Amount.Decimal()+"\"")
}

// undrawn tells the payer that its request failed and cost nothing.
func (x *exchange) undrawn(h http.Header) {
	h.Set("Retry-After", "5")
	if x.sale != nil {
		h.Set(receiptField, x.sale.token)
		h.Set(paymentIDField, x.sale.pack.ID)
	}
	x.problem(http.StatusBadGateway, "The service behind this payment failed, and the request took no credit. Ask again with the receipt.")
}

// account answers the holder of a receipt that spends credit with what is left.
func (g *Gate) account(w http.ResponseWriter, r *http.Request) {
	token, ok := "", false
	if g.cfg.Receipts != nil {
		token, ok = g.cfg.Receipts.Bearer(r.Header)
	}
	if !ok {
		w.Header().Set("Www-Authenticate", `Bearer realm="`+g.cfg.Realm+`"`)
		problem.Document{Type: "about:blank", Title: "Unauthorized", Status: http.StatusUnauthorized, Detail: "Present the receipt that spends the credit."}.Write(w)
		return
	}
	id, err := g.cfg.Receipts.Verify(token)
	if err == nil {
		left, lost := g.cfg.Credits.Left(r.Context(), id)
		if lost == nil {
			writeBalance(w, id, left)
			return
		}
		err = lost
	}
	if !errors.Is(err, payment.ErrNotFound) {
		g.cfg.Logger.InfoContext(r.Context(), "credit not read", "err", err)
	}
	if !g.limits.failure(g.cfg.Client(r)) {
		w.Header().Set("Retry-After", "2")
		problem.Document{Type: "about:blank", Title: "Too Many Requests", Status: http.StatusTooManyRequests, Detail: "Slow down."}.Write(w)
		return
	}
	problem.Document{Type: "about:blank", Title: "Not Found", Status: http.StatusNotFound, Detail: "The receipt spends no credit."}.Write(w)
}

// Balance is what the holder of a receipt that spends credit is told.
type Balance struct {
	Payment string `json:"payment"`
	Left    struct {
		Value    string `json:"value"`
		Currency string `json:"currency"`
	} `json:"left"`
}

func writeBalance(w http.ResponseWriter, id string, left money.Amount) {
	b := Balance{Payment: id}
	b.Left.Value, b.Left.Currency = left.Decimal(), left.Currency()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(b) //nolint:errchkjson // texts, to a client that may have left
}
