package link

import (
	"errors"
	"fmt"
	"time"
)

// Limits bound what agents may ask for. Amounts are US cents, and the number of
// minor units is what counts for other currencies, too: a stand-in has no rates.
// A zero field is the limit Link documents.
type Limits struct {
	PerRequest int64 // 500 dollars
	Daily      int64 // 500 dollars in any 24 hours
	ThirtyDay  int64 // 20,000 dollars in any 30 days

	Active   int // 30 requests created, waiting or approved
	Approved int // 10 requests approved and not yet spent

	Hourly    int // 50 requests filed in any hour
	SixtyDays int // 200 requests filed in any 60 days

	ApprovalWindow time.Duration // 10 minutes
	Validity       time.Duration // 12 hours from the filing of the request
}

const (
	day = 24 * time.Hour

	// duplicateWindow is how long an equal request that still waits is taken for
	// a repetition by mistake. Link says "a short period".
	duplicateWindow = time.Minute
)

func (l Limits) withDefaults() (Limits, error) {
	if min(l.PerRequest, l.Daily, l.ThirtyDay) < 0 || min(l.Active, l.Approved, l.Hourly, l.SixtyDays) < 0 ||
		min(l.ApprovalWindow, l.Validity) < 0 {
		return Limits{}, errors.New("a limit is negative")
	}
	return Limits{
		PerRequest: orElse(l.PerRequest, 500_00),
		Daily:      orElse(l.Daily, 500_00),
		ThirtyDay:  orElse(l.ThirtyDay, 20_000_00),
		Active:     orElse(l.Active, 30),
		Approved:   orElse(l.Approved, 10),
		Hourly:     orElse(l.Hourly, 50),
		SixtyDays:  orElse(l.SixtyDays, 200),

		ApprovalWindow: orElse(l.ApprovalWindow, 10*time.Minute),
		Validity:       orElse(l.Validity, 12*time.Hour),
	}, nil
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// committed is what approvals since then bind: the whole amount while a request
// is approved, what was captured once it is spent. Callers hold mu.
func (w *Wallet) committed(since time.Time) int64 {
	var sum int64
	for _, r := range w.requests {
		switch {
		case r.busy: // an approval under way binds as much as one that is done
			sum += r.Amount
		case r.approvedAt.IsZero() || !r.approvedAt.After(since):
		case r.status == Approved:
			sum += r.Amount
		case r.status == Succeeded:
			sum += r.captured
		}
	}
	return sum
}

// admit says whether a request of this amount may be filed. Callers hold mu.
func (w *Wallet) admit(d *draft, now time.Time) *refusal {
	var hour, sixty, active int
	var hourFirst, sixtyFirst time.Time
	for _, r := range w.requests {
		if r.createdAt.After(now.Add(-60 * day)) {
			if sixty++; sixty == 1 {
				sixtyFirst = r.createdAt
			}
		}
		if r.createdAt.After(now.Add(-time.Hour)) {
			if hour++; hour == 1 {
				hourFirst = r.createdAt
			}
		}
		if r.status.active() {
			active++
		}
		if (r.status == Created || r.status == PendingApproval) && r.createdAt.After(now.Add(-duplicateWindow)) &&
			r.same(d) {
			dup := w.wire(r, include{})
			return &refusal{
				kind: ErrLimit, status: 429, code: "spend_request_rate_limited",
				message:   "You cannot submit duplicate spend requests within a short period of time. Please try again later.",
				retryAt:   r.createdAt.Add(duplicateWindow),
				duplicate: &dup,
			}
		}
	}
	switch {
	case hour >= w.limits.Hourly:
		return tooMany(fmt.Sprintf("You cannot create more than %d spend requests per hour.", w.limits.Hourly), hourFirst.Add(time.Hour))
	case sixty >= w.limits.SixtyDays:
		return tooMany(fmt.Sprintf("You cannot create more than %d spend requests per 60 days.", w.limits.SixtyDays), sixtyFirst.Add(60*day))
	case active >= w.limits.Active:
		return overLimit("active_limit_exceeded", fmt.Sprintf("You cannot have more than %d active spend requests.", w.limits.Active))
	}
	return w.affordable(d.Amount, now)
}

func tooMany(message string, retryAt time.Time) *refusal {
	return &refusal{kind: ErrLimit, status: 429, code: "spend_request_rate_limited", message: message, retryAt: retryAt}
}

// affordable says whether the amount fits what is left. Callers hold mu.
func (w *Wallet) affordable(amount int64, now time.Time) *refusal {
	switch {
	case amount > w.limits.PerRequest:
		return overLimit("amount_limit_exceeded", fmt.Sprintf("amount must not exceed %d", w.limits.PerRequest))
	case amount > w.limits.Daily-w.committed(now.Add(-day)):
		return overLimit("daily_limit_exceeded", fmt.Sprintf("This would exceed the daily limit of %d", w.limits.Daily))
	case amount > w.limits.ThirtyDay-w.committed(now.Add(-30*day)):
		return overLimit("thirty_day_limit_exceeded", fmt.Sprintf("This would exceed the 30-day limit of %d", w.limits.ThirtyDay))
	}
	return nil
}

// approvable says whether one more request may be approved now: what was
// affordable when it was filed may not be so any more. Callers hold mu.
func (w *Wallet) approvable(r *spendRequest, now time.Time) *refusal {
	approved := 0
	for _, other := range w.requests {
		if other.status == Approved || other.busy {
			approved++
		}
	}
	if approved >= w.limits.Approved {
		return overLimit("approved_limit_exceeded", fmt.Sprintf("You cannot have more than %d approved spend requests.", w.limits.Approved))
	}
	return w.affordable(r.Amount, now)
}
