package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// tolerated is how many failures in a row a poll gets over.
const tolerated = 5

// ErrPolling means that the owner had not decided when polling ended.
var ErrPolling = errors.New("POLLING_TIMEOUT")

// PollError is the end of polling without a decision. It is [ErrPolling] and
// [ErrExpired].
type PollError struct {
	ID     string
	Status Status
	Polls  int
}

func (e *PollError) Error() string {
	return fmt.Sprintf("%v: spend request %s is %s after %d polls", ErrPolling, e.ID, e.Status, e.Polls)
}

// Unwrap is what it is.
func (*PollError) Unwrap() []error { return []error{ErrPolling, ErrExpired} }

// Pay implements [Wallet]: it files a spend request, waits for its owner and
// fetches the token. A request that comes to nothing is withdrawn, so that a late
// approval does not lie around.
func (l *LinkClient) Pay(ctx context.Context, r Request) (Proof, error) {
	method := l.cfg.PaymentMethod
	if method == "" {
		var err error
		if method, err = l.defaultMethod(ctx); err != nil {
			return Proof{}, err
		}
	}
	s, err := l.CreateSpendRequest(ctx, SpendParams{
		PaymentMethod: method, NetworkID: r.NetworkID, Amount: r.Amount, Context: longEnough(r.Context),
		RequestApproval: true, Test: r.Test,
	})
	if err != nil {
		return Proof{}, err
	}
	token, err := l.approvedToken(ctx, r, s)
	if err != nil {
		return Proof{}, errors.Join(err, l.withdraw(ctx, s.ID, err))
	}
	payload, err := json.Marshal(map[string]string{"spt": token.Reveal()})
	if err != nil {
		return Proof{}, fmt.Errorf("proof: %w", err)
	}
	return Proof{Payload: payload, ID: Secret(s.ID)}, nil
}

// Asks implements [Asker]: the owner approves each request or has told the wallet
// which need no approval.
func (*LinkClient) Asks() bool { return true }

// Discard implements [Discarder]. A request that cannot be canceled is looked at: one
// that ended without a charge is as good.
func (l *LinkClient) Discard(ctx context.Context, id Secret) error {
	s, err := l.Cancel(ctx, id.Reveal())
	if err != nil {
		var rerr error
		if s, rerr = l.Retrieve(ctx, id.Reveal(), false); rerr != nil {
			return errors.Join(err, rerr)
		}
	}
	switch s.Status {
	case StatusCanceled, StatusDenied, StatusExpired, StatusFailed:
		return nil
	default:
		return fmt.Errorf("spend request is %s and may be charged", s.Status)
	}
}

// withdraw cancels after a failure. A request that ended by itself is not worth a word.
func (l *LinkClient) withdraw(ctx context.Context, id string, cause error) error {
	if errors.Is(cause, ErrDenied) || errors.Is(cause, ErrExpired) && !errors.Is(cause, ErrPolling) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCare)
	defer cancel()
	if err := l.Discard(ctx, Secret(id)); err != nil {
		return fmt.Errorf("withdraw spend request: %w", err)
	}
	return nil
}

func (l *LinkClient) approvedToken(ctx context.Context, r Request, s SpendRequest) (Secret, error) {
	if s.Status == StatusCreated {
		link, err := l.RequestApproval(ctx, s.ID)
		if err != nil {
			return "", err
		}
		s.Status, s.ApprovalURL = StatusPending, link
	}
	if s.Status != StatusApproved {
		l.cfg.Show(ctx, s)
		var err error
		if s, err = l.Poll(ctx, s.ID); err != nil {
			return "", err
		}
	}
	s, err := l.fetchToken(ctx, s.ID)
	if err != nil {
		return "", err
	}
	if s.Amount.Valid() && s.Amount != r.Amount || s.NetworkID != "" && s.NetworkID != r.NetworkID {
		return "", errors.New("spend request: the wallet approved another amount or seller")
	}
	return s.Token, nil
}

// Poll waits until the owner has decided and returns the approved request. Other
// ends are [ErrDenied], [ErrExpired], *[ActionError], and *[PollError] when
// there was none; a few failures in a row are got over.
func (l *LinkClient) Poll(ctx context.Context, id string) (SpendRequest, error) {
	last, failures, shown := StatusPending, 0, false
	for range l.cfg.Polls {
		s, err := l.Retrieve(ctx, id, false)
		wait := l.cfg.Interval
		if err != nil {
			if failures++; failures > tolerated || !passing(err) || ctx.Err() != nil {
				return SpendRequest{}, err
			}
			if refused, ok := errors.AsType[*LinkError](err); ok {
				wait = max(wait, min(refused.RetryAfter, time.Minute))
			}
		} else {
			failures, last = 0, s.Status
			done, err := decided(s)
			if err != nil || done {
				return s, err
			}
			if s.Status == StatusAction && !shown {
				shown = true
				l.cfg.Show(ctx, s)
			}
		}
		if err := l.cfg.Sleep(ctx, wait); err != nil {
			return SpendRequest{}, err
		}
	}
	return SpendRequest{}, &PollError{ID: id, Status: last, Polls: l.cfg.Polls}
}

// decided reports whether a request is approved. A status that is not known may
// be on the way to one that is.
func decided(s SpendRequest) (bool, error) {
	switch s.Status {
	case StatusApproved:
		return true, nil
	case StatusDenied, StatusCanceled:
		return false, fmt.Errorf("spend request %s is %s: %w", s.ID, s.Status, ErrDenied)
	case StatusExpired:
		return false, fmt.Errorf("spend request %s: %w", s.ID, ErrExpired)
	case StatusSucceeded, StatusSubmitted, StatusFailed:
		return false, fmt.Errorf("spend request %s is %s: its token is used up", s.ID, s.Status)
	case StatusAction:
		if s.Action == nil || s.Action.Resolution == "auto_resume" {
			return false, nil
		}
		return false, &ActionError{*s.Action}
	case StatusCreated, StatusPending:
	}
	return false, nil
}

// passing reports whether a failure may be gone at the next try.
func passing(err error) bool {
	if errors.Is(err, ErrLogin) {
		return false
	}
	refused, ok := errors.AsType[*LinkError](err)
	return !ok || refused.Status >= 500 || refused.Status == http.StatusTooManyRequests
}

// fetchToken asks for the token of an approved request, which may be there a
// moment later than the approval.
func (l *LinkClient) fetchToken(ctx context.Context, id string) (SpendRequest, error) {
	for n := 1; ; n++ {
		s, err := l.Retrieve(ctx, id, true)
		if err == nil && s.Token != "" {
			return s, nil
		}
		if err != nil && !passing(err) {
			return SpendRequest{}, err
		}
		if n == 3 {
			return SpendRequest{}, errors.Join(fmt.Errorf("spend request %s is approved and has no token", id), err)
		}
		if err := l.cfg.Sleep(ctx, time.Second); err != nil {
			return SpendRequest{}, err
		}
	}
}
