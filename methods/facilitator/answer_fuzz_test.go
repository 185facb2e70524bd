package facilitator

import (
	"encoding/json"
	"strings"
	"testing"
)

// An answer counts as a success only when it holds the very member success:true,
// once, and is whole.
func FuzzReadSettlement(f *testing.F) {
	for _, s := range []string{
		`{"success":true,"transaction":"0x1","network":"eip155:1","payer":"0x","amount":"1"}`,
		`{"success":false,"errorReason":"insufficient_funds"}`, `{}`, `{"success":"true"}`, `{"Success":true}`,
		`{"success":true,"success":false}`, `{"success":true,"errorReason":null}`, `<html>`, `{"isValid":true,"payer":"0x"}`, `{"isValid":false,"isValid":true}`, `{"success":true} `, "\ufeff{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, ok := readSettlement(body)
		var loose map[string]any
		whole := json.Unmarshal(body, &loose) == nil
		if v, verdict := readVerdict(body); verdict {
			if got, isBool := loose["isValid"].(bool); !whole || !isBool || got != v.valid {
				t.Errorf("%q reads as %+v", body, v)
			}
		}
		if !ok {
			if s != (settlement{}) {
				t.Errorf("%q is refused and says %+v", body, s)
			}
			return
		}
		if got, isBool := loose["success"].(bool); !whole || !isBool || got != s.success {
			t.Errorf("%q reads as %+v", body, s)
		}
		for name, got := range map[string]string{"errorReason": s.reason, "transaction": s.transaction, "network": s.network, "payer": s.payer, "amount": s.amount} {
			if want, _ := loose[name].(string); want != got {
				t.Errorf("%s of %q is %q, want %q", name, body, got, want)
			}
		}
		if r := reference(s.transaction); r != "" && r != s.transaction || strings.ContainsAny(r, "\r\n\" ,;") {
			t.Errorf("reference %q", r)
		}
		if reason := rule(s.reason).reason; reason == "" || strings.Trim(reason, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
			t.Errorf("reason %q", reason)
		}
	})
}
