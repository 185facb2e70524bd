package wallet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"paywall/x402"
)

// verdict is what the answer to a credential means.
type verdict int

const (
	answered verdict = iota // the seller's last word, whatever it is
	declined                // the credential was refused
	unknown                 // money may or may not have moved: come back
	moved                   // a redirect
)

// judge reads an answer and leaves its body as it was. Statuses that say nothing about the
// payment are the goods, or the API's own refusal of what was asked.
func judge(resp *http.Response) (verdict, Problem) {
	switch code := resp.StatusCode; code {
	case http.StatusPaymentRequired:
		if s := settlement(resp.Header); s != nil && s.ErrorReason == x402.CodePending {
			return unknown, peek(resp) // some servers say so with a 402
		}
		return declined, peek(resp)
	case http.StatusBadRequest:
		if p := peek(resp); p.Slug() != "" {
			return declined, p
		}
	case http.StatusConflict:
		if p := peek(resp); p.Slug() != "" || resp.Header.Get("Retry-After") != "" {
			return unknown, p
		}
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return unknown, peek(resp)
	case http.StatusNotModified:
	default:
		if code >= 500 {
			return unknown, peek(resp)
		}
		if code >= 300 && code < 400 {
			return moved, Problem{}
		}
	}
	return answered, Problem{}
}

// resume presents once more what an earlier call left without an answer.
func (t *Transport) resume(ctx context.Context, r *replay, p *Presentation) (*http.Response, error) {
	if err := mayResume(r, p); err != nil {
		t.setBusy(p.ID, false)
		return nil, err
	}
	return t.present(ctx, r, p, Result{Amount: p.Amount, Presented: true, Resumed: true})
}

func mayResume(r *replay, p *Presentation) error {
	if !secure(r.req.URL) {
		return &PolicyError{Limit: LimitPlain, Host: normalHost(r.req.URL.Hostname()), Amount: p.Amount}
	}
	if p.Field == authorization && len(r.req.Header.Values(authorization)) > 0 {
		return &PendingError{Amount: p.Amount, Err: errors.New("the request needs its Authorization field itself")}
	}
	return nil
}

// present sends the request with the credential until an answer settles the
// matter or patience ends. The credential is in the journal and stays there
// until then.
func (t *Transport) present(ctx context.Context, r *replay, p *Presentation, result Result) (*http.Response, error) {
	pending := &PendingError{Amount: p.Amount}
	// doubt is set once a copy may have been received whose answer is not known.
	doubt := result.Resumed
	deadline := t.cfg.Now().Add(t.cfg.Patience)
	for n := 1; ; n++ {
		resp, resent, err := t.send(ctx, r, p)
		doubt = doubt || resent
		wait := backoff(n)
		if err != nil {
			*pending = PendingError{Amount: p.Amount, Err: err}
		} else {
			if route, ok, err := t.earn(ctx, r, resp.Header); err != nil {
				return nil, errors.Join(err, resp.Body.Close())
			} else if ok && resp.StatusCode >= http.StatusBadRequest {
				// The credit is bought, and the request that bought it failed.
				return t.instead(ctx, resp, r, p, result, route)
			}
			v, problem := judge(resp)
			switch v {
			case answered:
				return t.answer(ctx, resp, r, p, result), nil
			case declined:
				closeBody(resp)
				return nil, t.decline(ctx, p, &DeclinedError{
					Status: resp.StatusCode, Problem: problem, Amount: p.Amount, MaybeCharged: doubt,
				})
			case moved:
				// Where it leads may be another seller, and the caller's client would
				// go there bare and pay again.
				closeBody(resp)
				t.setBusy(p.ID, false)
				return nil, &PendingError{Status: resp.StatusCode, Amount: p.Amount, Err: ErrRedirect}
			case unknown:
				closeBody(resp)
				after := retryAfter(resp.Header.Get("Retry-After"), t.cfg.Now())
				*pending = PendingError{Status: resp.StatusCode, Problem: problem, RetryAfter: after, Amount: p.Amount}
				wait = max(wait, after)
			}
		}
		doubt = true
		if n >= t.cfg.Attempts || ctx.Err() != nil || t.cfg.Now().Add(wait).After(deadline) {
			break
		}
		if err := t.cfg.Sleep(ctx, wait); err != nil {
			pending.Err = err
			break
		}
	}
	t.setBusy(p.ID, false)
	return nil, pending
}

// instead ends a purchase of credit whose request failed, and asks again with it.
func (t *Transport) instead(ctx context.Context, resp *http.Response, r *replay, p *Presentation, result Result, route string) (*http.Response, error) {
	resp = t.answer(ctx, resp, r, p, result)
	drain(resp)
	drawn, err := t.spend(ctx, r, route)
	if drawn == nil && err == nil {
		return nil, &PendingError{Status: resp.StatusCode, Amount: p.Amount, Err: errors.New("credit was bought, and cannot be spent yet")}
	}
	return drawn, err
}

// send presents the credential once. resent says that the base put more than one copy
// on the wire: net/http repeats a request by itself when a kept-alive connection
// dies, and the first copy may have been received.
func (t *Transport) send(ctx context.Context, r *replay, p *Presentation) (resp *http.Response, resent bool, err error) {
	var written atomic.Int32
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { written.Add(1) },
	})
	req := r.copy(traced)
	req.Header.Set(p.Field, p.Credential.Reveal())
	resp, err = t.cfg.Base.RoundTrip(req)
	if err != nil {
		err = fmt.Errorf("present: %w", err)
	}
	return resp, written.Load() > 1, err
}

// decline ends a purchase that the seller refused. Whatever the seller says, only
// the wallet can tell that the proof is worth nothing: then the money counts as not
// spent. In doubt about an earlier copy the journal keeps the credential, so that
// the request is not paid again by itself.
func (t *Transport) decline(ctx context.Context, p *Presentation, refusal *DeclinedError) error {
	defer t.setBusy(p.ID, false)
	var err error
	// A signed transfer cannot be taken back: it counts, and may be carried out until
	// it expires.
	var w Wallet
	if p.Field != paymentSignature || t.cfg.Stablecoins == nil || !strings.HasPrefix(p.Proof.Reveal(), "0x") {
		w = t.cfg.Wallet
	}
	if t.discard(ctx, w, p.Proof) {
		refusal.MaybeCharged = false
		err = t.release(ctx, p.Spend, nil)
	}
	// Whoever was sent a signed transfer can have it carried out until it expires,
	// whatever was answered: another one is not signed before.
	if end, signed := p.goodUntil(); signed && !refusal.MaybeCharged && t.cfg.Now().Before(end.Add(chainTime)) {
		refusal.MaybeCharged = true
		err = errors.Join(err, t.keepDeclined(ctx, *p))
	}
	if refusal.MaybeCharged {
		return errors.Join(refusal, err)
	}
	return errors.Join(refusal, err, t.forget(ctx, p))
}

// keepDeclined has the journal say that a credential was refused.
func (t *Transport) keepDeclined(ctx context.Context, p Presentation) error {
	if err := t.forget(ctx, &p); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCare)
	defer cancel()
	p.Declined = true
	if err := t.cfg.Journal.Put(ctx, p); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (t *Transport) forget(ctx context.Context, p *Presentation) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCare)
	defer cancel()
	if err := t.cfg.Journal.Delete(ctx, p.Key, p.ID); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// answer hands a response on. The journal lets go of the credential when the
// body has been read or is closed; a body that breaks off leaves it, since the
// seller may still owe the rest.
func (t *Transport) answer(ctx context.Context, resp *http.Response, r *replay, p *Presentation, result Result) *http.Response {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		result.readReceipts(resp.Header)
	}
	done := func(whole bool) error {
		defer t.setBusy(p.ID, false)
		if !whole {
			return nil
		}
		return t.forget(ctx, p)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.Body == nil {
		// The connection is the caller's now, and wrapping would hide its other half.
		_ = done(true) // kept too long, the credential is presented again and refused
	} else {
		resp.Body = &watched{body: resp.Body, done: done}
	}
	return attach(resp, r.req, result)
}
