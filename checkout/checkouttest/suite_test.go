package checkouttest_test

import (
	"testing"

	"paywall/checkout/checkouttest"
)

func TestMemory(t *testing.T) {
	checkouttest.RunStore(t, func(*testing.T) checkouttest.Both { return &checkouttest.Memory{} })
}
