package telemetry

import (
	"slices"
	"sync/atomic"

	"paywall/payment"
)

const (
	labelNone  = "none"
	labelOther = "other"
)

// routes are the ids of the configuration in force.
type routes struct {
	known atomic.Pointer[map[string]struct{}]
}

func (r *routes) replace(ids []string) {
	known := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		known[id] = struct{}{}
	}
	r.known.Store(&known)
}

func (r *routes) label(id string) string {
	if id == "" {
		return labelNone
	}
	if known := r.known.Load(); known != nil {
		if _, ok := (*known)[id]; ok {
			return id
		}
	}
	return labelOther
}

// knownOutcome holds the outcomes of the gate, which may not be imported here.
func knownOutcome(s string) string {
	switch s {
	case "free", "challenged", "refused", "pending", "paid", "receipt", "repeated", "failed", "rejected", "limited":
		return s
	default:
		return labelOther
	}
}

func knownState(s payment.State) string {
	switch s {
	case "":
		return labelNone
	case payment.StatePending, payment.StateAuthorized, payment.StateSettled, payment.StateFailed, payment.StateVoided,
		payment.StateReview, payment.StateRefunding, payment.StateRefunded, payment.StateCredited:
		return string(s)
	default:
		return labelOther
	}
}

func knownOp(s string) string {
	switch s {
	case "charge", "hold", "capture", "release", "lookup", "void", "refund":
		return s
	default:
		return labelOther
	}
}

// knownMethod accepts what [payment.Method] allows for a name. Names come from
// the configured rails and from stored payments.
func knownMethod(s string) string {
	if len(s) == 0 || len(s) > 20 {
		return labelOther
	}
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return labelOther
		}
	}
	return s
}

// UpstreamClass is what became of a request to an upstream.
type UpstreamClass string

// Classes of upstream results.
const (
	Upstream1xx       UpstreamClass = "1xx" // an upgrade
	Upstream2xx       UpstreamClass = "2xx"
	Upstream3xx       UpstreamClass = "3xx"
	Upstream4xx       UpstreamClass = "4xx"
	Upstream5xx       UpstreamClass = "5xx"
	UpstreamUnreached UpstreamClass = "unreached" // it has not seen the request
	UpstreamTimeout   UpstreamClass = "timeout"   // no answer in time
	UpstreamBroken    UpstreamClass = "broken"    // an answer without its end
	UpstreamOther     UpstreamClass = labelOther
)

// UpstreamStatus classes an answer by its status.
func UpstreamStatus(status int) UpstreamClass {
	switch status / 100 {
	case 1:
		return Upstream1xx
	case 2:
		return Upstream2xx
	case 3:
		return Upstream3xx
	case 4:
		return Upstream4xx
	case 5:
		return Upstream5xx
	default:
		return UpstreamOther
	}
}

func upstreamClasses() []UpstreamClass {
	return []UpstreamClass{
		Upstream1xx, Upstream2xx, Upstream3xx, Upstream4xx, Upstream5xx,
		UpstreamUnreached, UpstreamTimeout, UpstreamBroken, UpstreamOther,
	}
}

func (c UpstreamClass) known() UpstreamClass {
	if slices.Contains(upstreamClasses(), c) {
		return c
	}
	return UpstreamOther
}
