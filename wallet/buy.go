package wallet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"paywall/money"
	"paywall/mpp"
	"paywall/x402"
)

// lastCare bounds what is still done for a purchase whose caller has gone.
const lastCare = 10 * time.Second

// probes bounds how often the second bare request is sent.
const probes = 4

// buy sends the request bare and, if it is answered 402, pays.
func (t *Transport) buy(ctx context.Context, r *replay) (*http.Response, error) {
	resp, err := t.cfg.Base.RoundTrip(r.copy(ctx))
	if err != nil {
		return nil, err //nolint:wrapcheck // as a bare transport would return it
	}
	if resp.StatusCode != http.StatusPaymentRequired {
		return attach(resp, r.req, Result{}), nil
	}
	asked := peek(resp)
	drain(resp)
	if drawn, err := t.spend(ctx, r, asked.Credit); drawn != nil || err != nil {
		return drawn, err
	}
	offers, err := t.readOffers(resp.Header, t.live(r))
	if err != nil {
		return nil, &NoOfferError{Err: err}
	}
	chosen, err := t.choose(r, offers)
	if err != nil {
		return nil, err
	}
	return t.pay(ctx, r, chosen, offers)
}

func (t *Transport) live(r *replay) live {
	return live{
		url: r.req.URL, digest: r.digest, busy: len(r.req.Header.Values(authorization)) > 0,
		realm: t.cfg.Policy.Realms[normalHost(r.req.URL.Hostname())],
	}
}

// choose takes the first offer that can be paid and is allowed. When some can
// be paid and none is allowed, the first prohibition is the error.
func (t *Transport) choose(r *replay, offers []candidate) (*candidate, error) {
	host := normalHost(r.req.URL.Hostname())
	var forbidden error
	for i := range offers {
		o := &offers[i]
		if o.Why == "" && t.walletFor(o) == nil {
			o.Why = "no wallet for it"
		}
		if o.Why != "" {
			continue
		}
		err := t.cfg.Policy.Check(host, o.Method, o.Amount)
		if err == nil && !secure(r.req.URL) {
			err = &PolicyError{Limit: LimitPlain, Host: host, Amount: o.Amount}
		}
		if err == nil {
			return o, nil
		}
		if forbidden == nil {
			forbidden = err
		}
	}
	if forbidden != nil {
		return nil, forbidden
	}
	return nil, &NoOfferError{Offers: listed(offers)}
}

// walletFor is the wallet that can pay an offer, or nil.
func (t *Transport) walletFor(o *candidate) Wallet {
	if o.entry == nil || o.entry.transfer == nil {
		return t.cfg.Wallet
	}
	if k := t.cfg.Stablecoins; k != nil && k.Pays(o.Network) {
		return k
	}
	return nil
}

func listed(offers []candidate) []Offer {
	out := make([]Offer, len(offers))
	for i := range offers {
		out[i] = offers[i].Offer
	}
	return out
}

// pay gets a proof for the chosen offer and presents it. What is reserved is
// released on every way out on which no proof left this process.
func (t *Transport) pay(ctx context.Context, r *replay, chosen *candidate, offers []candidate) (*http.Response, error) {
	host := normalHost(r.req.URL.Hostname())
	spend := Spend{ID: t.cfg.NewID(), Host: host, Amount: chosen.Amount, At: t.cfg.Now()}
	caps, err := t.cfg.Policy.caps(host, spend.Amount, spend.At)
	if err != nil {
		return nil, err
	}
	if err := t.cfg.Ledger.Reserve(ctx, spend, caps); err != nil {
		return nil, fmt.Errorf("reserve %s: %w", spend.Amount, err)
	}
	approved, err := t.approve(ctx, r, chosen, spend)
	if err != nil {
		return nil, t.release(ctx, spend.ID, err)
	}
	ask := Request{
		Amount: chosen.Amount, NetworkID: chosen.NetworkID, Host: host, Description: chosen.Description,
		Context: explain(r, chosen, purpose(ctx)), Approved: approved, Test: t.cfg.Test,
	}
	if chosen.entry != nil && chosen.entry.transfer != nil {
		ask.Transfer, ask.NetworkID = chosen.entry.transfer, ""
	}
	proof, err := t.walletFor(chosen).Pay(ctx, ask)
	if err != nil {
		return nil, t.release(ctx, spend.ID, fmt.Errorf("wallet: %w", err))
	}
	p, resp, err := t.prepare(ctx, r, chosen, spend, proof)
	if err != nil || resp != nil {
		t.discard(ctx, t.walletFor(chosen), proof.ID) // it never left, so it is not charged either way
		if err = t.release(ctx, spend.ID, err); err != nil {
			closeBody(resp)
			return nil, err
		}
		return attach(resp, r.req, Result{Offers: listed(offers)}), nil
	}
	return t.present(ctx, r, p, Result{Offers: listed(offers), Amount: p.Amount, Presented: true})
}

// approve asks whoever has to be asked, and reports whether a person said yes here.
func (t *Transport) approve(ctx context.Context, r *replay, o *candidate, s Spend) (bool, error) {
	if !t.cfg.Policy.Asks(o.Amount) {
		return false, nil
	}
	if t.cfg.Ask == nil {
		if a, ok := t.walletFor(o).(Asker); ok && a.Asks() {
			return false, nil
		}
		limit, _ := t.cfg.Policy.AskAbove.For(o.Amount.Currency())
		return false, &PolicyError{Limit: LimitApproval, Amount: o.Amount, Max: limit}
	}
	spent, err := t.spent(ctx, s)
	if err != nil {
		return false, err
	}
	yes, err := t.cfg.Ask(ctx, Ask{
		Method: Clean(r.req.Method, 32), URL: Clean(r.req.URL.Redacted(), 500), Host: s.Host, Amount: o.Amount,
		NetworkID: o.NetworkID, Description: o.Description, Purpose: purpose(ctx), Spent: spent,
	})
	if err != nil {
		return false, fmt.Errorf("ask: %w", err)
	}
	if !yes {
		return false, fmt.Errorf("payment of %s to %s: %w", o.Amount, s.Host, ErrDenied)
	}
	return true, nil
}

// spent sums what counts beside s.
func (t *Transport) spent(ctx context.Context, s Spend) (money.Amount, error) {
	total, err := money.New(0, s.Amount.Currency(), s.Amount.Scale())
	if err != nil {
		return total, fmt.Errorf("ledger: %w", err)
	}
	all, err := t.cfg.Ledger.Spends(ctx, s.At.Add(-day))
	if err != nil {
		return total, fmt.Errorf("ledger: %w", err)
	}
	for _, o := range all {
		if o.ID == s.ID || o.Amount.Currency() != total.Currency() {
			continue
		}
		if total, err = sum(total, o.Amount); err != nil {
			return total, fmt.Errorf("ledger: %w", err)
		}
	}
	return total, nil
}

// prepare sends the request bare again and makes the credential for the fresh
// challenge, which has to be the offer that was agreed to. A response means that
// there is nothing to pay any more. Nothing has left when it returns.
func (t *Transport) prepare(
	ctx context.Context, r *replay, chosen *candidate, s Spend, proof Proof,
) (*Presentation, *http.Response, error) {
	resp, err := t.probe(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusPaymentRequired {
		return nil, resp, nil
	}
	drain(resp)
	fresh, err := t.readOffers(resp.Header, t.live(r))
	if err != nil {
		return nil, nil, &NoOfferError{Err: err}
	}
	for i := range fresh {
		o := &fresh[i]
		if o.Why != "" || !o.same(&chosen.Offer) || (o.entry == nil) != (chosen.entry == nil) {
			continue
		}
		p, err := t.record(ctx, r, o, s, proof)
		return p, nil, err
	}
	return nil, nil, &PriceChangedError{Was: chosen.Offer, Now: listed(fresh)}
}

// probe sends the second bare request. Nothing depends on it yet, so a failure on
// the way is tried again: the proof may have cost a person a decision.
func (t *Transport) probe(ctx context.Context, r *replay) (*http.Response, error) {
	for n := 1; ; n++ {
		resp, err := t.cfg.Base.RoundTrip(r.copy(ctx))
		var wait time.Duration
		if err == nil {
			switch code := resp.StatusCode; {
			case code >= 300 && code < 400 && code != http.StatusNotModified:
				drain(resp)
				return nil, fmt.Errorf("second look at the offer: %w", ErrRedirect)
			case code < 500 && code != http.StatusTooManyRequests:
				return resp, nil
			}
			if n == probes {
				return resp, nil
			}
			wait = retryAfter(resp.Header.Get("Retry-After"), t.cfg.Now())
			drain(resp)
		}
		if n == probes || ctx.Err() != nil {
			return nil, fmt.Errorf("second look at the offer: %w", err)
		}
		if err := t.cfg.Sleep(ctx, min(max(wait, backoff(n)), 30*time.Second)); err != nil {
			return nil, err
		}
	}
}

// record makes the credential and puts it into the journal.
func (t *Transport) record(ctx context.Context, r *replay, o *candidate, s Spend, proof Proof) (*Presentation, error) {
	header, field, id, err := t.credential(o, s, proof)
	if err != nil {
		return nil, err
	}
	u := *r.req.URL
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	p := &Presentation{
		ID: id, Key: r.key, Method: r.req.Method, URL: u.String(), Field: header, Credential: Secret(field),
		Amount: o.Amount, Spend: s.ID, Proof: proof.ID, At: t.cfg.Now(),
	}
	t.setBusy(id, true)
	if err := t.cfg.Journal.Put(ctx, *p); err != nil {
		t.setBusy(id, false)
		// It may be half there, and must not be presented by somebody later.
		return nil, errors.Join(fmt.Errorf("journal: %w", err), t.forget(ctx, p))
	}
	return p, nil
}

// credential encodes a proof for the offer's protocol: the field, its value, and a
// name that says nothing about it.
func (t *Transport) credential(o *candidate, s Spend, proof Proof) (header, field, id string, err error) {
	if o.entry != nil {
		field, id, err = o.entry.answer(proof, s.ID, t.cfg.LinkTokens)
		return http.CanonicalHeaderKey(x402.HeaderSignature), field, id, err
	}
	cred, err := mpp.NewCredential(o.challenge, proof.Payload)
	if err != nil {
		return "", "", "", errors.New("the wallet's proof is no JSON object") // the cause may quote it
	}
	if id, err = cred.Hash(); err != nil {
		return "", "", "", errors.New("the wallet's proof is no JSON object")
	}
	if field, err = cred.Format(); err != nil {
		return "", "", "", fmt.Errorf("credential: %w", err)
	}
	header = authorization
	if o.challenge.Header == mpp.PaymentAuthorization {
		header = mpp.PaymentAuthorization
	}
	return header, field, id, nil
}

// release gives a reservation back and returns err, joined with what went wrong
// in doing so: an amount that counts though it was not spent is worth knowing.
func (t *Transport) release(ctx context.Context, spend string, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCare)
	defer cancel()
	return errors.Join(err, t.cfg.Ledger.Release(ctx, spend))
}

// discard makes the proof worthless and reports whether that is certain.
func (t *Transport) discard(ctx context.Context, w Wallet, id Secret) bool {
	d, ok := w.(Discarder)
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCare)
	defer cancel()
	return d.Discard(ctx, id) == nil
}
