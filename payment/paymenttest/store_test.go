package paymenttest_test

import (
	"testing"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

func TestStore(t *testing.T) {
	paymenttest.RunStore(t, func(*testing.T) payment.Store { return paymenttest.NewStore() })
}
