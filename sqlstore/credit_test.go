package sqlstore_test

import (
	"testing"

	"paywall/methods/credit"
	"paywall/methods/credit/credittest"
)

func TestCredit(t *testing.T) {
	credittest.RunStore(t, func(t *testing.T) credit.Store {
		t.Helper()
		s, _ := open(t, nil)
		return s.Credit()
	})
}
