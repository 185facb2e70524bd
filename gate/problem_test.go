package gate

import (
	"testing"

	"paywall/payment"
)

// Every kind has a row, and only kinds that leave nothing open ask for payment.
func TestProblems(t *testing.T) {
	for _, k := range payment.Kinds() {
		r, ok := problems[k]
		if !ok || r.title == "" || r.base == "" {
			t.Errorf("%s has no row", k)
		}
		if asks := r.status < 500 && r.status != 409; asks == k.Unsettled() {
			t.Errorf("%s is answered with %d, unsettled %v", k, r.status, k.Unsettled())
		}
	}
	if len(problems) != len(payment.Kinds()) {
		t.Errorf("%d rows for %d kinds", len(problems), len(payment.Kinds()))
	}
}
