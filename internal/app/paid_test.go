package app

import (
	"testing"
)

func TestPaidRequest(t *testing.T) {
	h := build(t, plan{})
	s := h.buy("GET", "/v1/reports/7", "")
	if p := h.payment(s.id); p.State != "settled" {
		t.Error(p.State)
	}
	h.whole()
	code, out := h.command("reconcile", "--since", "1h")
	if code != 0 {
		t.Errorf("%d %s", code, out)
	}
}
