package ucptest_test

import (
	"testing"

	"paywall/ucp/protocol"
	"paywall/ucp/ucptest"
)

// failing counts instead of failing.
type failing struct {
	testing.TB

	faults int
}

func (f *failing) Helper()               {}
func (f *failing) Errorf(string, ...any) { f.faults++ }

// A check that finds nothing wrong with anything is none.
func TestChecksFindFaults(t *testing.T) {
	const good = `{"ucp":{"version":"2026-08-25","capabilities":{"dev.ucp.shopping.checkout":[{"version":"2026-08-25"}]},"payment_handlers":{}},"id":"chk_1",` +
		`"status":"incomplete","currency":"USD","line_items":[{"id":"li_1","item":{"id":"a","title":"A","price":500},"quantity":1,"totals":[{"type":"subtotal","amount":500},{"type":"total","amount":500}]}],` +
		`"totals":[{"type":"subtotal","amount":500},{"type":"total","amount":500}],"links":[],"continue_url":"https://shop.example/c"}`
	for _, v := range protocol.Versions() {
		s := ucptest.Open(t, v)
		s.Valid(t, "checkout", []byte(good))
		ucptest.Consistent(t, []byte(good))
		f := &failing{TB: t}
		s.Valid(f, "checkout", []byte(`{"ucp":{"version":"2026-08-25"},"id":"chk_1","status":"paid"}`))
		s.Valid(f, "order", []byte(good))
		s.Valid(f, "profile", []byte(good))
		if f.faults < 3 {
			t.Errorf("%s: %d of three broken documents were found", v, f.faults)
		}
	}
	for name, bad := range map[string]string{
		"a sum":         `{"status":"incomplete","continue_url":"x","totals":[{"type":"subtotal","amount":500},{"type":"total","amount":400}],"line_items":[]}`,
		"a credential":  `{"credential":{}}`,
		"no page":       `{"status":"incomplete","totals":[{"type":"subtotal","amount":0},{"type":"total","amount":0}]}`,
		"no order":      `{"status":"completed","totals":[{"type":"subtotal","amount":0},{"type":"total","amount":0}]}`,
		"a line's sum":  `{"status":"incomplete","continue_url":"x","totals":[{"type":"subtotal","amount":5},{"type":"total","amount":5}],"line_items":[{"id":"a","totals":[{"type":"subtotal","amount":5},{"type":"total","amount":4}]}]}`,
		"an allocation": `{"status":"incomplete","continue_url":"x","totals":[{"type":"subtotal","amount":0},{"type":"total","amount":0}],"discounts":{"applied":[{"amount":5,"allocations":[]}]}}`,
	} {
		f := &failing{TB: t}
		ucptest.Consistent(f, []byte(bad))
		if f.faults == 0 {
			t.Errorf("%s was not found", name)
		}
	}
}
