package receiptstest_test

import (
	"testing"

	"paywall/receipts"
	"paywall/receipts/receiptstest"
)

func TestUses(t *testing.T) {
	receiptstest.RunUses(t, func(*testing.T) receipts.Uses { return &receiptstest.Uses{} })
}
